package sql

import (
	"bufio"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/disk"
	"github.com/handrail-dev/handrail/steps/internal/proof"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// export is the operation of that name.
type export struct {
	query
	to     string
	header bool
	null   string
	comma  string
	sum    bool
}

func oneCharacter(s string) bool {
	return utf8.RuneCountInString(s) == 1 && !strings.ContainsAny(s, "\"\r\n")
}

func commaProblem() engine.Problem {
	return engine.Problem{Path: "comma", Message: "must be one character, and neither a quote nor the end of a line"}
}

func decodeExport(params engine.Record) (steps.Operation, error) {
	p := exportParams{Comma: ","}
	if err := steps.Bind(params, &p); err != nil {
		return nil, err
	}
	if _, err := statement.Parse(statement.Any, p.Export); err != nil {
		return nil, problemOf("export", err)
	}
	if !oneCharacter(p.Comma) {
		return nil, commaProblem()
	}
	if p.To == "" && params["to"] == "" {
		return nil, engine.Problem{Path: "to", Message: "names no file"}
	}
	x := &export{query: query{text: p.Export, all: argsOf(params)}, to: string(p.To), header: true, null: `\N`, comma: p.Comma, sum: p.Sum}
	if p.Header != nil {
		x.header = *p.Header
	}
	if p.Null != nil {
		x.null = *p.Null
	}
	return x, nil
}

func (x *export) file(env *steps.Env) string {
	if filepath.IsAbs(x.to) {
		return x.to
	}
	return filepath.Join(env.Dir, x.to)
}

// Execute writes the file under another name first, and gives it its own when it is complete and on disk.
func (x *export) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	if env.Access != steps.Full {
		return failure(errors.New("a dry-run writes no file"))
	}
	c, err := connOf(ctx, env)
	if err != nil {
		return failure(err)
	}
	st, err := statement.Parse(c.d.grammar(), x.text)
	if err != nil {
		return failure(fmt.Errorf("%s: %w", c.where, err))
	}
	s, err := c.pin(ctx)
	if err != nil {
		return failure(err)
	}
	defer s.release()
	e := entry{st: st, query: true}
	r, err := c.render(ctx, s, st, st.Whole(), values{path: "args", all: x.all})
	if err != nil {
		return failure(err)
	}
	if st.Class.Sort != statement.Reads {
		s.spoiled = true
		if err := s.enter(ctx, env); err != nil {
			return failure(err)
		}
		defer s.unlock(ctx)
		if env.Call.Class == engine.ClassUnrepeatable {
			if err := s.note(env, e); err != nil {
				return failure(err)
			}
		}
	}
	result, err := x.write(ctx, env, s, e, r)
	if err != nil && st.Class.Sort != statement.Reads {
		return ended(c, e, err)
	}
	if err != nil {
		return failure(err)
	}
	return engine.Outcome{Result: result}
}

func (x *export) write(ctx context.Context, env *steps.Env, s *session, e entry, r rendered) (result engine.Record, err error) {
	file := x.file(env)
	// The name is the same for each attempt, so that what a crash left behind is overwritten.
	part := filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+"."+engine.Digest(env.Call.Token)[:12]+".part")
	f, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("export to %s: %w", file, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(part))
		}
	}()
	out := &csvWriter{sum: sha256.New(), x: x, d: s.c.d}
	out.to = bufio.NewWriterSize(io.MultiWriter(f, out.sum, &out.bytes), 1<<16)
	var own error
	err = s.do(ctx, e.doing(), func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		rows, err := s.conn.QueryContext(ctx, r.text, r.args...)
		if err != nil {
			return err
		}
		if own, err = out.rows(rows, env); own != nil {
			s.lost = true // the rest is not read
			cancel()
			_ = rows.Close()
			return nil
		}
		return errors.Join(err, rows.Close())
	})
	if err == nil {
		err = own
	}
	if err != nil {
		return nil, err
	}
	sum := hex.EncodeToString(out.sum.Sum(nil))
	if x.sum {
		err = writeSum(env, file, sum)
	}
	if err == nil {
		err = publish(f, part, file)
	}
	if err != nil {
		return nil, fmt.Errorf("export to %s: %w", file, err)
	}
	return engine.Record{"file": file, "count": out.count, "bytes": int64(out.bytes), "sha256": sum}, nil
}

// writeSum writes the checksum file of a file that does not have its name yet: a file must not be there
// without it, or beside that of an older one.
func writeSum(env *steps.Env, file, sum string) error {
	w, err := disk.ForChanges(env.Access)
	if err != nil {
		return err
	}
	d, err := w.Draft(file+proof.SumSuffix, engine.Digest(env.Call.Token)[:12], 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(d, "%s  %s\n", sum, filepath.Base(file))
	if err == nil {
		err = d.Sync()
	}
	if err == nil {
		err = d.Publish()
	}
	if err != nil {
		return errors.Join(err, d.Discard())
	}
	return nil
}

// publish makes the file durable BEFORE it gets its name, and the name durable AFTER.
func publish(f *os.File, part, file string) error {
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(part, file); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// csvWriter writes rows as they come.
type csvWriter struct {
	x     *export
	d     dialect
	to    *bufio.Writer
	sum   hash.Hash
	bytes byteCount
	count int64
}

type byteCount int64

func (b *byteCount) Write(p []byte) (int, error) { *b += byteCount(len(p)); return len(p), nil }

// progressRows is after how many rows progress is shown.
const progressRows = 1000

// rows writes them all. own is an error of this side: a value that cannot be read, a full disk.
func (w *csvWriter) rows(rows *sql.Rows, env *steps.Env) (own, err error) {
	t, err := tableOf(w.d, rows)
	if err != nil {
		return nil, err
	}
	if w.x.header {
		for i, n := range t.names {
			w.field(i, n, true)
		}
		if err := w.line(); err != nil {
			return fmt.Errorf("export to %s: %w", w.x.to, err), nil
		}
	}
	for rows.Next() {
		row, err := t.scan(rows)
		var bad badValue
		if errors.As(err, &bad) {
			return bad.error, nil
		}
		if err != nil {
			return nil, err
		}
		for i, v := range row {
			if v == nil {
				w.raw(i, w.x.null)
				continue
			}
			_, text := v.(string)
			w.field(i, w.d.csv(t.types[i], v), text)
		}
		if err := w.line(); err != nil {
			return fmt.Errorf("export to %s: %w", w.x.to, err), nil
		}
		if w.count++; w.count%progressRows == 0 {
			env.Progress(w.count, 0, "rows")
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if err := w.to.Flush(); err != nil {
		return fmt.Errorf("export to %s: %w", w.x.to, err), nil
	}
	return nil, nil
}

func (w *csvWriter) raw(i int, text string) {
	if i > 0 {
		_, _ = w.to.WriteString(w.x.comma) // an error stays with the writer until line asks for it
	}
	_, _ = w.to.WriteString(text)
}

// field writes one, in quotes where RFC 4180 wants them, and where it would read like NULL.
func (w *csvWriter) field(i int, s string, text bool) {
	if text && s == w.x.null || strings.ContainsAny(s, "\"\r\n") || strings.Contains(s, w.x.comma) || s != strings.TrimSpace(s) {
		s = `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	w.raw(i, s)
}

func (w *csvWriter) line() error {
	_, err := w.to.WriteString("\n")
	return err
}
