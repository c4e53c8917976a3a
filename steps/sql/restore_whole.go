package sql

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/sql/stream"
)

// wholeRestorer is a dialect whose server takes all of a restore back when it breaks off: definitions and rows
// are one transaction, the counts are compared BEFORE it is committed, and its marker is committed with it.
type wholeRestorer interface {
	restorer
	// skips: the statement is not to be sent.
	skips(ctx context.Context, q queryer, text string) (bool, error)
	// markersOf is the table of markers as a dump names it.
	markersOf(database string) string
}

// whole is such a restore under way.
type whole struct {
	*restoring
	d     wholeRestorer
	point string // a savepoint: a statement of the dump that ends the transaction takes it along
	feed  *feed
}

// runWhole restores in one transaction.
func (x *restoring) runWhole(ctx context.Context, d wholeRestorer) engine.Outcome {
	w := &whole{restoring: x, d: d, point: pointName()}
	// They are there BEFORE it begins: then that a marker is not there says something.
	why, err := x.c.ensureMarkers(ctx, x.c.database)
	if err != nil {
		return failure(err)
	}
	x.unmarked = why != "" || x.c.database == ""
	if x.identity, err = x.c.identity(ctx, x.s, x.c.database); err != nil {
		return failure(err)
	}
	if x.scan, err = stream.New(x.b.Dump.System); err != nil {
		return failure(err)
	}
	if err := x.note(); err != nil {
		return failure(err)
	}
	result, err := w.fill(ctx)
	x.c.forget()
	if err != nil {
		return w.takenBack(ctx, err)
	}
	if _, err = x.s.exec(ctx, "commit the restore", "COMMIT"); err != nil {
		return w.uncommitted(ctx, err)
	}
	if !x.unmarked {
		x.marker().committed()
	}
	return engine.Outcome{Result: result}
}

// fill carries out all of the dump, and holds what is there against its counts. Nothing is committed.
func (w *whole) fill(ctx context.Context) (engine.Record, error) {
	for _, text := range []string{w.c.d.begin(), "SAVEPOINT " + w.point} {
		if _, err := w.s.exec(ctx, "begin the restore", text); err != nil {
			return nil, err
		}
	}
	kept, err := w.keepMarkers(ctx)
	if err != nil {
		return nil, err
	}
	split := stream.NewSplitter(w.scan, max(w.b.Dump.Longest, 1)+1, func(text []byte) error { return w.send(ctx, text) })
	split.Copies(func(text []byte) (io.WriteCloser, error) { return w.copy(ctx, text) })
	_, sum, err := w.b.pass(ctx, split)
	if err == nil {
		err = split.Close()
	}
	if err != nil && w.feed != nil {
		w.feed.cut()
	}
	switch {
	case err != nil && ctx.Err() != nil && reachOf(err) != lost:
		return nil, w.c.notSent("go on with the restore", errors.Join(ctx.Err(), err))
	case err != nil:
		return nil, err
	case sum != w.b.SHA256:
		return nil, errors.New("the file was changed while it was restored")
	}
	return w.proven(ctx, kept)
}

// keepMarkers moves the markers out of the way of a dump that does not have them and may take away the schema
// which they are in. It never does that to the schema public.
func (w *whole) keepMarkers(ctx context.Context) (kept bool, err error) {
	if w.unmarked || w.c.database == "public" || w.b.holds(w.d.markersOf(w.c.database)) {
		return false, nil
	}
	table := w.c.markerName(w.c.database)
	for _, text := range []string{"SAVEPOINT kept", "CREATE TEMPORARY TABLE handrail_kept ON COMMIT DROP AS TABLE " + table, "DROP TABLE " + table} {
		if err := w.s.plainly(ctx, "keep the markers", text); err != nil {
			if reachOf(err) == lost {
				return false, err
			}
			return false, w.s.plainly(ctx, "leave the markers where they are", "ROLLBACK TO SAVEPOINT kept")
		}
	}
	return true, nil
}

// proven holds what is there against the dump, and leaves the marker.
func (w *whole) proven(ctx context.Context, kept bool) (engine.Record, error) {
	// A dump may have said in which letters it is written, and sees to it that no name is looked for in a schema.
	if err := w.s.plainly(ctx, "go on as before the dump", "SET client_encoding = 'UTF8'; RELEASE SAVEPOINT "+w.point); err != nil {
		return nil, err
	}
	if kept {
		table := w.c.markerName(w.c.database)
		if err := w.s.plainly(ctx, "put the markers back", w.c.d.markerTable(table)+"; INSERT INTO "+table+" SELECT * FROM pg_temp.handrail_kept"); err != nil {
			return nil, err
		}
	}
	wrong, _, err := w.c.compare(ctx, w.s, w.b)
	switch {
	case err != nil:
		return nil, err
	case len(wrong) > 0:
		return nil, fmt.Errorf("%s: all of the dump was carried out, and then %s", w.c.where, strings.Join(wrong, ", "))
	}
	result := w.result()
	marked, err := w.markWith(ctx, result)
	if err != nil {
		return nil, err
	}
	if !marked && !w.unmarked {
		// It is durable BEFORE the commit: without it, that there is no marker proves that nothing was committed.
		w.unmarked = true
		return result, w.note()
	}
	return result, nil
}

// markWith leaves a marker that is committed with the rest. There may be none.
func (w *whole) markWith(ctx context.Context, result engine.Record) (bool, error) {
	if w.unmarked {
		return false, nil
	}
	text, err := encode(result)
	if err != nil {
		return false, err
	}
	if _, err := w.s.exec(ctx, "write the marker of this step", "SAVEPOINT "+w.point); err != nil {
		return false, err
	}
	m := w.marker()
	_, err = w.s.exec(ctx, "create the table of markers", w.c.d.markerTable(m.table))
	if err == nil {
		f := m.begin(ctx, w.s, "", false)
		switch {
		case f.broken != nil:
			err = f.broken
		case f.newer > 0:
			return false, fmt.Errorf("this run was taken over by another engine (its turn %d, this one's %d)", f.newer, m.epoch)
		case f.done == nil:
			err = m.set(ctx, w.s, stateDone, text, stateBegun)
		default: // the dump has brought it along: it is of another run of this very step
			err = m.set(ctx, w.s, stateDone, text, stateDone)
		}
	}
	if err == nil || reachOf(err) == lost {
		return err == nil, err
	}
	_, err = w.s.exec(ctx, "go on without a marker", "ROLLBACK TO SAVEPOINT "+w.point)
	return false, err
}

// send carries out one statement of the dump.
func (w *whole) send(ctx context.Context, text []byte) error {
	if err := w.may(ctx); err != nil {
		return err
	}
	text = withoutComments(text)
	skip, err := w.d.skips(ctx, w.s, string(text))
	if err != nil || skip {
		return err
	}
	if err := w.s.plainly(ctx, w.doing(text), string(text)); err != nil {
		w.brokeOff()
		return err
	}
	w.n++
	return nil
}

// copy begins a COPY of the dump.
func (w *whole) copy(ctx context.Context, text []byte) (io.WriteCloser, error) {
	if err := w.may(ctx); err != nil {
		return nil, err
	}
	text = withoutComments(text)
	w.feed = w.s.copyIn(ctx, w.doing(text), string(text))
	return &copying{feed: w.feed, w: w, ctx: ctx}, nil
}

// copying is the feed of a restore, which tells how far it has come.
type copying struct {
	*feed
	w   *whole
	ctx context.Context //nolint:containedctx // it lives as long as the one COPY
}

func (c *copying) Write(p []byte) (int, error) {
	if err := c.w.may(c.ctx); err != nil {
		return 0, err
	}
	n, err := c.feed.Write(p)
	if err != nil {
		c.w.brokeOff()
	}
	return n, err
}

func (c *copying) Close() error {
	c.w.feed = nil
	err := c.feed.Close()
	if err != nil {
		c.w.brokeOff()
		return err
	}
	c.w.n++
	return nil
}

func (w *whole) may(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return w.c.notSent("go on with the restore", err)
	}
	return w.report()
}

func (w *whole) doing(text []byte) string {
	return fmt.Sprintf("statement %d of the dump (%s)", w.n+1, shorten(strings.Join(strings.Fields(string(text[:min(len(text), 2000)])), " "), 80))
}

func (w *whole) brokeOff() { w.rows, w.table = w.scan.Rows(), w.scan.At() }

// withoutComments is a statement without the lines of comment before it.
func withoutComments(text []byte) []byte {
	for {
		text = bytes.TrimSpace(text)
		if !bytes.HasPrefix(text, []byte("--")) {
			return text
		}
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
}

// takenBack says what is true AFTER a restore that broke off: the commit was never sent, so that nothing of it
// stays, whatever became of the connection.
func (w *whole) takenBack(ctx context.Context, err error) engine.Outcome {
	if !w.s.lost {
		_ = w.s.rollback(ctx) // without it the connection is closed, which does the same
	}
	o := failure(err)
	o.Effect = engine.EffectNone
	if w.table != "" {
		o.Err += fmt.Sprintf("; the restore broke off at table %s, %d of %d rows sent", w.table, w.rows, w.b.total())
	}
	o.Err += "; all of it was one transaction that was not committed: what was there before is as it was"
	return o
}

// uncommitted: what became of COMMIT is asked when the step is looked at again; its marker tells.
func (w *whole) uncommitted(ctx context.Context, err error) engine.Outcome {
	if reachOf(err) != lost {
		return w.takenBack(ctx, err)
	}
	o := failure(err)
	o.Effect, o.InDoubt, o.Transient = engine.EffectUnknown, true, false
	o.Evidence = append(o.Evidence, w.c.where+": COMMIT of the whole restore was sent and its answer was lost")
	return o
}

// settleWhole: the marker was committed with the rest, so it alone decides, unless there could be none.
func (r *restore) settleWhole(ctx context.Context, env *steps.Env, c *Conn, s *session, note engine.Record, out engine.Settlement) engine.Settlement {
	was, _ := note["identity"].(string)
	now, err := c.identity(ctx, s, c.database)
	unmarked, _ := note["unmarked"].(bool)
	switch {
	case err != nil:
		out.Evidence = append(out.Evidence, "could not ask which server it is: "+err.Error())
	case was != now:
		out.Evidence = append(out.Evidence, fmt.Sprintf("%s: it is not what the restore was begun on, or its markers were taken away since (it is %s, and was %s)", c.where, now, was))
	case unmarked:
		out.Evidence = append(out.Evidence, "it could leave no marker, so whether it was committed is not known")
	default:
		out.Verdict = engine.VerdictNotDone
		out.Evidence = append(out.Evidence, "all of the restore is one transaction, whose marker is not there: nothing of it was committed, and what was there before is as it was")
		return out
	}
	return r.weigh(ctx, env, c, s, note, out)
}
