package sql

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/disk"
	"github.com/handrail-dev/handrail/steps/internal/proof"
	"github.com/handrail-dev/handrail/steps/sql/stream"
)

// backup is a dump that was found to be whole, and is still open: what is restored is what was checked.
type backup struct {
	path string // with all symbolic links followed
	proof.Manifest
	f *disk.File
}

func (b *backup) close() { _ = b.f.Close() } // it was only read

// open checks a dump: size and sum by its manifest, that it can be unpacked to its end, the mark of the end,
// and the counts. Nothing is touched by it.
func (r *restore) open(ctx context.Context, env *steps.Env, c *Conn) (*backup, error) {
	d, err := dumperOf(c)
	if err != nil {
		return nil, err
	}
	b, err := r.find(env)
	if err != nil {
		return nil, fmt.Errorf("%w; nothing was touched", err)
	}
	system := d.system()
	if b.Dump != nil {
		system = b.Dump.System
	}
	found, err := b.read(ctx, system)
	if err == nil && b.Dump == nil {
		b.Manifest = found
	} else if err == nil {
		err = b.agrees(found.Dump)
	}
	if err != nil {
		b.close()
		return nil, fmt.Errorf("%s: %w; nothing was touched", b.path, err)
	}
	return b, nil
}

// find opens the file, and reads the manifest if there must be one.
func (r *restore) find(env *steps.Env) (*backup, error) {
	var from disk.Reader
	path, err := from.Real(pathOf(env, r.Restore))
	if err != nil {
		return nil, err
	}
	b := &backup{path: path}
	if r.Proven == nil || *r.Proven {
		b.Manifest, err = proof.Read(from, path)
		switch {
		case errors.Is(err, proof.ErrNone):
			return nil, fmt.Errorf("%s: %w, so it is not known to be whole; if it was made by other means and is wanted all the same, say proven: false", path, err)
		case err != nil:
			return nil, err
		case b.Dump == nil || b.Dump.System == "" || len(b.Dump.Tables) == 0:
			return nil, fmt.Errorf("%s: its manifest counts no tables, so it is not one of a dump", path)
		}
	}
	if b.f, err = from.Open(path); err != nil {
		return nil, err
	}
	if size := b.f.Info().Size(); b.Dump != nil && size != b.Size {
		b.close()
		return nil, fmt.Errorf("%s has %d bytes, and its manifest says %d: it was cut short, or is another file", path, size, b.Size)
	}
	return b, nil
}

// read reads all of it, and says what it holds.
func (b *backup) read(ctx context.Context, system string) (proof.Manifest, error) {
	scan, err := stream.New(system)
	if err != nil {
		return proof.Manifest{}, err
	}
	n, sum, err := b.pass(ctx, scan)
	if err != nil && ctx.Err() == nil && b.Dump != nil {
		// That it is not what was made says more than where reading it came to an end.
		if whole, bad := b.sumAlone(ctx); bad == nil && whole != b.SHA256 {
			sum, err = whole, nil
		}
	}
	switch {
	case err != nil:
	case b.Dump != nil && sum != b.SHA256:
		err = fmt.Errorf("its SHA-256 is %s…, and its manifest says %s…: it was changed or damaged since it was made", sum[:12], b.SHA256[:12])
	case scan.Refused() != "":
		err = fmt.Errorf("it cannot be restored statement by statement: %s", scan.Refused())
	case !scan.Complete():
		err = errors.New("the mark that the program writes at its end is not there: the dump is cut short")
	case len(scan.Tables()) == 0:
		err = errors.New("there is no table in it")
	default:
		err = b.f.Unchanged()
	}
	m := proof.Manifest{Size: b.f.Info().Size(), SHA256: sum,
		Dump: &proof.Dump{System: system, Size: n, Longest: scan.Longest(), Rows: scan.Rows(), Databases: scan.Databases()}}
	for _, t := range scan.Tables() {
		m.Dump.Tables = append(m.Dump.Tables, proof.Table{Name: t.Name, Rows: t.Rows})
	}
	return m, err
}

func (b *backup) sumAlone(ctx context.Context) (string, error) {
	if err := b.f.Rewind(); err != nil {
		return "", err
	}
	return sumOf(ctx, b.f)
}

// pass reads the file once: unpacked into to, and as it is into its sum. An error of to ends it.
func (b *backup) pass(ctx context.Context, to io.Writer) (n int64, sum string, err error) {
	if err := b.f.Rewind(); err != nil {
		return 0, "", err
	}
	h := sha256.New()
	in := io.TeeReader(stopping{ctx, b.f}, h)
	text, err := stream.Unpack(in)
	if err != nil {
		return 0, "", unreadable(ctx, err)
	}
	out := &remembering{to: to}
	n, err = io.CopyBuffer(out, struct{ io.Reader }{text}, make([]byte, 256<<10))
	err = errors.Join(err, text.Close())
	switch {
	case out.err != nil:
		return n, "", out.err
	case err != nil:
		return n, "", unreadable(ctx, err)
	}
	// What stands behind the end is summed, too.
	_, err = io.Copy(io.Discard, in)
	return n, hex.EncodeToString(h.Sum(nil)), err
}

func unreadable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("it cannot be read to its end: %w", err)
}

// remembering tells the error of who takes the text from that of who gives it.
type remembering struct {
	to  io.Writer
	err error
}

func (r *remembering) Write(p []byte) (int, error) {
	n, err := r.to.Write(p)
	r.err = err
	return n, err
}

// agrees holds what is in the dump against what its manifest says.
func (b *backup) agrees(found *proof.Dump) error {
	if len(found.Tables) != len(b.Dump.Tables) {
		return fmt.Errorf("%d tables are in it, and its manifest counts %d", len(found.Tables), len(b.Dump.Tables))
	}
	for i, t := range b.Dump.Tables {
		if found.Tables[i] != t {
			return fmt.Errorf("table %s has %d rows in it, where its manifest says %s with %d", found.Tables[i].Name, found.Tables[i].Rows, t.Name, t.Rows)
		}
	}
	b.Dump.Longest = found.Longest
	return nil
}

// total is how many rows the dump has.
func (b *backup) total() int64 { return b.Dump.Rows }
