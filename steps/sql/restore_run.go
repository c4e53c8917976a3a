package sql

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/proof"
	"github.com/handrail-dev/handrail/steps/sql/stream"
)

// restoring is one restore under way. The statements go through the step's own connection, which has the
// session lock: when the engine dies nothing of it goes on behind the statement that the server has, and who
// gets the lock knows that it has ended.
type restoring struct {
	r      *restore
	env    *steps.Env
	c      *Conn
	s      *session
	b      *backup
	safety string

	scan    stream.Scanner
	n       int64 // statements that were carried out
	touched bool  // one was sent that changes more than the session
	noted   time.Time
	rows    int64  // sent, when it broke off
	table   string // of the dump, in which that was
	// identity is what a restore in one transaction is begun on; unmarked: it can leave no marker.
	identity string
	unmarked bool
}

// noteEvery is how often it is recorded how far the restore has come.
const noteEvery = 5 * time.Second

// run sends the dump, and holds what is there against its counts.
func (x *restoring) run(ctx context.Context) engine.Outcome {
	if d, ok := x.c.d.(wholeRestorer); ok {
		return x.runWhole(ctx, d)
	}
	var err error
	if x.scan, err = stream.New(x.b.Dump.System); err != nil {
		return failure(err)
	}
	split := stream.NewSplitter(x.scan, max(x.b.Dump.Longest, 1)+1, func(text []byte) error { return x.send(ctx, text) })
	// It is durable BEFORE the first statement: without it nothing was touched.
	if err := x.note(); err != nil {
		return failure(err)
	}
	_, sum, err := x.b.pass(ctx, split)
	if err == nil {
		err = split.Close()
	}
	if err == nil && sum != x.b.SHA256 {
		err = errors.New("the file was changed while it was restored")
	}
	x.c.forget()
	if err != nil {
		return x.failed(err)
	}
	wrong, counts, err := x.c.compare(ctx, x.s, x.b)
	switch {
	case err != nil:
		return engine.Outcome{Err: "all of the dump was carried out, and its tables could not be counted: " + err.Error(), Effect: engine.EffectStands}
	case len(wrong) > 0:
		return engine.Outcome{Err: fmt.Sprintf("%s: AFTER the restore %s; does somebody write to it?", x.c.where, strings.Join(wrong, ", ")),
			Effect: engine.EffectStands, Evidence: counts}
	}
	result := x.result()
	x.mark(ctx, result)
	return engine.Outcome{Result: result}
}

func (x *restoring) result() engine.Record {
	result := engine.Record{"file": x.b.path, "made": nil, "statements": x.n, "rows": x.b.total(),
		"tables": tablesOf(x.b.Dump.Tables), "safety": nil}
	if x.safety != "" {
		result["safety"] = x.safety
	}
	if !x.b.Made.At.IsZero() {
		result["made"] = x.b.Made.At
	}
	return result
}

// send carries out one statement of the dump.
func (x *restoring) send(ctx context.Context, text []byte) error {
	if err := ctx.Err(); err != nil {
		return x.c.notSent("go on with the restore", err)
	}
	if err := x.report(); err != nil {
		return err
	}
	text = bare(text)
	first := !x.touched && !setting(text)
	x.touched = x.touched || first
	_, err := x.s.exec(ctx, fmt.Sprintf("statement %d of the dump (%s)", x.n+1, shorten(headline(text), 80)), string(text))
	if err != nil {
		// The scanner is going to look at the rest of its piece of text.
		x.rows, x.table = x.scan.Rows(), x.scan.At()
		if first && (is(err, rightsFault) || is(err, earlyFault)) {
			x.touched = false
		}
		return err
	}
	x.n++
	return nil
}

// report shows how far it has come, and records it now and then.
func (x *restoring) report() error {
	x.env.Progress(x.scan.Rows(), x.b.total(), "rows")
	if x.env.Now().Sub(x.noted) < noteEvery {
		return nil
	}
	return x.note()
}

func (x *restoring) note() error {
	x.noted = x.env.Now()
	n := engine.Record{"server": x.c.where, "connection": x.s.id, "file": x.b.path, "sha256": x.b.SHA256,
		"statements": x.n, "rows": x.scan.Rows(), "of": x.b.total(), "table": x.scan.At(), "safety": x.safety}
	if x.identity != "" {
		n["identity"], n["unmarked"] = x.identity, x.unmarked
	}
	return x.env.Note(n)
}

// setting: the statement changes nothing but the session.
func setting(text []byte) bool {
	line := strings.ToUpper(headline(text))
	return strings.HasPrefix(line, "SET ") || strings.HasPrefix(line, "USE ")
}

// bare is a statement without the lines of comment before it, as the client of the server sends it.
func bare(text []byte) []byte {
	for {
		text = bytes.TrimSpace(text)
		if !bytes.HasPrefix(text, []byte("-- ")) && !bytes.HasPrefix(text, []byte("--\n")) && !bytes.HasPrefix(text, []byte("#")) {
			return text
		}
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
}

// headline is a statement without the marks of a conditional one.
func headline(text []byte) string {
	s := string(text[:min(len(text), 2000)])
	if strings.HasPrefix(s, "/*M!999999") {
		_, rest, _ := strings.Cut(s, "*/")
		s = string(bare([]byte(rest)))
	}
	s = strings.TrimPrefix(strings.TrimPrefix(s, "/*M"), "/*")
	return strings.Join(strings.Fields(strings.TrimLeft(s, "!0123456789 ")), " ")
}

// failed says what is true AFTER a restore that broke off.
func (x *restoring) failed(err error) engine.Outcome {
	o := failure(err)
	if !x.touched {
		o.Err += "; nothing was touched"
		return o
	}
	o.Effect, o.Transient = engine.EffectStands, false
	half := "its end"
	if x.table != "" {
		half = "table " + x.table
	}
	o.Err += fmt.Sprintf("; the restore broke off at %s: %d statements of the dump were carried out, %d of %d rows sent; what it held before is gone", half, x.n, x.rows, x.b.total())
	if x.safety != "" {
		o.Err += ", and stands in " + x.safety
	}
	if reachOf(err) == lost {
		o.Effect, o.InDoubt = engine.EffectUnknown, true
		o.Evidence = append(o.Evidence, fmt.Sprintf("%s: statement %d of the dump was sent and its answer was lost", x.c.where, x.n+1))
	}
	return o
}

// compare counts the tables of a dump as they are now. wrong are those that have not its counts.
func (c *Conn) compare(ctx context.Context, q queryer, b *backup) (wrong, counts []string, err error) {
	for _, t := range b.Dump.Tables {
		n, err := c.countOf(ctx, q, b.Dump, t.Name)
		if err != nil {
			return wrong, counts, err
		}
		if n != t.Rows {
			wrong = append(wrong, fmt.Sprintf("table %s has %d rows, and the dump %d", t.Name, n, t.Rows))
		}
		counts = append(counts, fmt.Sprintf("%s: %d rows, in the dump %d", t.Name, n, t.Rows))
	}
	return wrong, counts, nil
}

// countOf counts a table that a dump names.
func (c *Conn) countOf(ctx context.Context, q queryer, d *proof.Dump, name string) (int64, error) {
	how, ok := c.d.(restorer)
	if !ok {
		return 0, fmt.Errorf("%s: %s", c.where, noDumps)
	}
	rows, err := q.rows(ctx, "count table "+name, "SELECT COUNT(*) FROM "+how.counting(d, name))
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return number(rows[0][0]), nil
}

// mark leaves a marker that says done, so that a crash from here on leaves no doubt. There may be none: the
// step is unrepeatable all the same, and then a person is asked.
func (x *restoring) mark(ctx context.Context, result engine.Record) {
	if why, err := x.c.ensureMarkers(ctx, x.c.database); why != "" || err != nil || x.c.database == "" {
		return
	}
	text, err := encode(result)
	if err != nil {
		return
	}
	m := x.marker()
	if f := m.begin(ctx, x.s, "", false); f.broken == nil && f.newer == 0 && f.done == nil {
		if m.set(ctx, x.s, stateDone, text, stateBegun) == nil {
			m.committed()
		}
	}
}

func (x *restoring) marker() *markers {
	return &markers{c: x.c, table: x.c.markerName(x.c.database), token: x.env.Call.Token, epoch: x.env.Call.Epoch}
}

// Settle finds out what became of an attempt that was cut off.
func (r *restore) Settle(ctx context.Context, env *steps.Env) engine.Settlement {
	c, err := connOf(ctx, env)
	if err != nil {
		return engine.Settlement{Evidence: []string{"could not ask: " + err.Error()}}
	}
	note, begun := env.Call.Note.(engine.Record)
	if !begun {
		return engine.Settlement{Verdict: engine.VerdictNotDone, Dead: true, Evidence: []string{
			c.where + ": that the restore begins is recorded BEFORE its first statement is sent, and nothing was recorded: nothing was touched"}}
	}
	was := fmt.Sprintf("%s: the restore of %s was under way on connection %s; when it was last recorded %s statements were carried out, %s of %s rows",
		engine.Text(note["server"]), engine.Text(note["file"]), engine.Text(note["connection"]), engine.Text(note["statements"]), engine.Text(note["rows"]), engine.Text(note["of"]))
	out := engine.Settlement{Evidence: []string{was}}
	s, err := c.pin(ctx)
	if err != nil {
		out.Evidence = append(out.Evidence, "could not ask: "+err.Error())
		return out
	}
	defer s.release()
	strange := c.strange(note)
	if strange == "" {
		if why := c.outlive(ctx, s, env.Call.Token, false); why != "" {
			out.Evidence = append(out.Evidence, why)
			return out
		}
		defer s.unlock(ctx)
		out.Dead = true
	}
	x := &restoring{r: r, env: env, c: c, s: s}
	if m, err := x.marker().read(ctx, s); err == nil && m.state == stateDone && c.database != "" {
		if out.Result, err = decodeResult(m.result); err == nil {
			out.Verdict = engine.VerdictDone
			out.Evidence = append(out.Evidence, "its marker says done: all was carried out, and the counts agreed")
			return out
		}
	}
	if strange != "" {
		out.Evidence = append(out.Evidence, strange)
		return r.weigh(ctx, env, c, s, note, out)
	}
	out.Evidence = append(out.Evidence, "it has ended: its session lock is free")
	if _, one := c.d.(wholeRestorer); one {
		return r.settleWhole(ctx, env, c, s, note, out)
	}
	return r.weigh(ctx, env, c, s, note, out)
}

// weigh shows how the tables are now. That says nothing of what comes behind the rows, such as triggers: so
// it decides nothing.
func (r *restore) weigh(ctx context.Context, env *steps.Env, c *Conn, s *session, note engine.Record, out engine.Settlement) engine.Settlement {
	if safety, _ := note["safety"].(string); safety != "" {
		out.Evidence = append(out.Evidence, "what was there before stands in "+safety)
	}
	b, err := r.find(env)
	if err != nil {
		out.Evidence = append(out.Evidence, err.Error())
		return out
	}
	b.close()
	if b.Dump == nil {
		return out
	}
	for i, t := range b.Dump.Tables {
		if i == shownTables {
			out.Evidence = append(out.Evidence, fmt.Sprintf("and %d more tables", len(b.Dump.Tables)-i))
			break
		}
		out.Evidence = append(out.Evidence, c.now(ctx, s, b.Dump, t))
	}
	return out
}

// shownTables bounds what is shown of a dump with many.
const shownTables = 12

// now is how a table of a dump is.
func (c *Conn) now(ctx context.Context, q queryer, d *proof.Dump, t proof.Table) string {
	n, err := c.countOf(ctx, q, d, t.Name)
	switch {
	case is(err, absentFault):
		return fmt.Sprintf("table %s is not there; the dump has %d rows", t.Name, t.Rows)
	case err != nil:
		return fmt.Sprintf("table %s could not be counted: %v", t.Name, err)
	}
	return fmt.Sprintf("table %s has %d rows; the dump has %d", t.Name, n, t.Rows)
}
