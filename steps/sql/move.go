package sql

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// move is the operation of that name. Its marker, state part, holds how far it came; each batch changes it
// in its own transaction. So the marker alone decides where an attempt goes on, and the notes in the
// journal are for people.
type move struct {
	from, to, where string
	all             engine.Record
	columns         []string
	index           string
	batch, limit    int64
	cascade         bool
	rest            rest
}

func decodeMove(params engine.Record) (steps.Operation, error) {
	p := moveParams{Index: primaryKey, Batch: defaultMoveBatch}
	if err := steps.Bind(params, &p); err != nil {
		return nil, err
	}
	if j := judgeMove(params); len(j.Problems) > 0 {
		return nil, j.Problems[0]
	}
	m := &move{from: p.Move, to: p.To, where: p.Where, all: argsOf(params), columns: p.Columns, index: p.Index, batch: p.Batch, limit: p.Limit,
		cascade: p.Cascade, rest: rest{pause: p.Pause, nice: p.Nice, running: defaultRunning, hold: p.Hold}}
	if p.Running != nil {
		m.rest.running = *p.Running
	}
	return m, nil
}

// Prepare looks whether every batch can be committed together with its marker.
func (m *move) Prepare(ctx context.Context, env *steps.Env) (engine.Preparation, error) {
	c, err := connOf(ctx, env)
	if err != nil {
		return engine.Preparation{}, err
	}
	r, err := m.routeOf(ctx, c, c, false)
	if err != nil {
		return engine.Preparation{}, err
	}
	list, err := r.written()
	if err != nil {
		return engine.Preparation{}, err
	}
	p, err := c.prepare(ctx, engine.ClassTransactional, list)
	if err == nil && p.Class != engine.ClassUnset {
		err = fmt.Errorf("%s: rows are moved only where each batch can be committed together with its marker: %s", c.where, p.Why)
	}
	return p, err
}

// progress is how far a move came, as its marker has it.
type progress struct {
	after   place // the last place that was looked at; nil: none yet
	upto    place // the last place that was there at the start; nil: there was no row
	moved   int64
	batches int64
	digest  string // of the route; under another one the table is walked anew
}

func (p progress) record() engine.Record {
	r := engine.Record{"moved": p.moved, "batches": p.batches, "digest": p.digest}
	if p.after != nil {
		r["after"] = engine.List(p.after)
	}
	if p.upto != nil {
		r["upto"] = engine.List(p.upto)
	}
	return r
}

func progressOf(text string) (progress, error) {
	r, err := decodeResult(text)
	if err != nil {
		return progress{}, err
	}
	var p progress
	if list, ok := r["after"].(engine.List); ok {
		p.after = place(list)
	}
	if list, ok := r["upto"].(engine.List); ok {
		p.upto = place(list)
	}
	p.moved, _ = r["moved"].(int64)
	p.batches, _ = r["batches"].(int64)
	p.digest, _ = r["digest"].(string)
	return p, nil
}

// mover is one attempt to move.
type mover struct {
	*move
	env  *steps.Env
	s    *session
	r    *route
	mark *markers
	cond rendered

	at    progress
	text  string // the marker's, AFTER the last commit
	bound place  // the end of the stretch that is being looked through; nil: it is to be found
	tired tiredness
	noted time.Time
}

// Execute moves rows until there are no more.
func (m *move) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	if env.Access != steps.Full {
		return failure(errors.New("a dry-run moves no rows"))
	}
	c, err := connOf(ctx, env)
	if err != nil {
		return failure(err)
	}
	was := seenOf(env.Call)
	if err := was.unmarked(env.Call); err != nil {
		return failure(err)
	}
	if was.markers == "" {
		return failure(fmt.Errorf("%s: there is no place for the marker of step %s, so rows cannot be moved", c.where, env.Call.Step))
	}
	s, err := c.pin(ctx)
	if err != nil {
		return failure(err)
	}
	defer s.release()
	if err := s.lock(ctx, env.Call.Token); err != nil {
		return failure(err)
	}
	defer s.unlock(ctx)
	if err := s.remembers(ctx, env); err != nil {
		return failure(err)
	}
	o := &mover{move: m, env: env, s: s, mark: m.mark(c, env, was), noted: env.Now()}
	if done, err := o.begin(ctx); done != nil || err != nil {
		if err != nil {
			return failure(err)
		}
		return engine.Outcome{Result: done}
	}
	return o.run(ctx)
}

func (*move) mark(c *Conn, env *steps.Env, was seen) *markers {
	return &markers{c: c, table: c.markerName(was.markers), token: env.Call.Token, epoch: env.Call.Epoch}
}

// begin finds out where to go on, and makes the marker this engine's own.
func (o *mover) begin(ctx context.Context) (done engine.Record, err error) {
	c := o.s.c
	if o.r, err = o.routeOf(ctx, c, o.s, false); err != nil {
		return nil, err
	}
	if o.cond, err = o.r.condition(ctx, o.s); err != nil {
		return nil, err
	}
	o.s.spoiled = true // it is not as a new one any more
	for _, text := range c.d.gentle() {
		if _, err := o.s.exec(ctx, "prepare the session", text); err != nil {
			return nil, err
		}
	}
	old, err := o.mark.settled(ctx, o.s)
	if err != nil {
		return nil, err
	}
	switch {
	case old.epoch > int64(o.mark.epoch):
		return nil, o.takenOver(old.epoch)
	case old.state == stateDone:
		done, err := decodeResult(old.result)
		if done == nil && err == nil {
			done = engine.Record{} // a sensitive step keeps none
		}
		return done, err
	case old.state == stateBegun:
		return nil, fmt.Errorf("%s: the marker of this step in %s is not one of a move (%s)", c.where, o.mark.table, old.result)
	case old.state == statePart:
		if o.at, err = progressOf(old.result); err != nil {
			return nil, err
		}
	}
	if o.at.digest != o.r.digest {
		o.at.after = nil
		if o.at.upto, err = o.last(ctx); err != nil {
			return nil, err
		}
		o.at.digest = o.r.digest
	}
	return nil, o.claim(ctx, old)
}

func (o *mover) takenOver(epoch int64) error {
	return fmt.Errorf("%s: this run was taken over by another engine (its turn %d, this one's %d); this batch was not moved", o.s.c.where, epoch, o.mark.epoch)
}

// claim writes the marker as it is to be found BEFORE the first batch of this attempt.
func (o *mover) claim(ctx context.Context, old marker) error {
	text, err := encode(o.at.record())
	if err != nil {
		return err
	}
	if old.state == stateNone {
		_, err = o.s.exec(ctx, "write the marker of this step", o.s.c.d.own("INSERT INTO "+o.mark.table+" (token, epoch, state, result, at) VALUES (?, ?, ?, ?, ?)"),
			o.mark.key(), int64(o.mark.epoch), string(statePart), text, markerTime())
		if is(err, doubleFault) {
			return o.takenOver(int64(o.mark.epoch))
		}
	} else {
		err = o.mark.set(ctx, o.s, statePart, text, old.state)
	}
	o.text = text
	return err
}

// run moves batch by batch.
func (o *mover) run(ctx context.Context) engine.Outcome {
	for {
		if o.leaves() {
			return o.stop()
		}
		o.env.Progress(o.at.moved, o.limit, "rows")
		began := o.env.Now()
		more, err := o.batchOf(ctx)
		if err != nil {
			return o.failed(err)
		}
		if !more {
			return o.finish(ctx)
		}
		if err := o.note(); err != nil {
			return o.failed(err)
		}
		if err := o.pauseAfter(ctx, o.env.Now().Sub(began)); err != nil {
			return o.failed(err)
		}
	}
}

// leaves: it was asked to stop.
func (o *mover) leaves() bool { return closed(o.env.Draining()) }

// note tells the journal how far it came, at most once a second.
func (o *mover) note() error {
	now := o.env.Now()
	if now.Sub(o.noted) < time.Second {
		return nil
	}
	o.noted = now
	return o.env.Note(engine.Record{"moved": o.at.moved, "batches": o.at.batches})
}

func (o *mover) sofar() string {
	if o.at.moved == 0 {
		return "no row was moved"
	}
	return fmt.Sprintf("%d rows were moved by %d batches, which stand; resume goes on behind them", o.at.moved, o.at.batches)
}

// failed ends the attempt. What was moved before stands, and nothing else was.
func (o *mover) failed(err error) engine.Outcome {
	out := failure(err)
	var unknown unknownBatch
	switch {
	case errors.As(err, &unknown):
		out.Effect, out.InDoubt, out.Evidence = engine.EffectUnknown, true, unknown.evidence
	case o.at.moved > 0:
		out.Effect = engine.EffectStands
	}
	out.Err += "; " + o.sofar()
	return out
}

// stop ends the attempt between two batches.
func (o *mover) stop() engine.Outcome {
	out := engine.Outcome{Stopped: true, Err: "stopped between two batches; " + o.sofar()}
	if o.at.moved > 0 {
		out.Effect = engine.EffectStands
	}
	return out
}

// finish counts what is left, and leaves the marker that says done.
func (o *mover) finish(ctx context.Context) engine.Outcome {
	f := (&fragment{}).add("SELECT COUNT(*) FROM " + o.r.quoted(o.r.from) + " WHERE ").rendered(o.cond)
	rows, err := o.s.rows(ctx, "count the rows that are left", o.s.c.d.inOrder(f.text.String()), f.args...)
	if err != nil {
		return o.failed(err)
	}
	result := engine.Record{"moved": o.at.moved, "batches": o.at.batches, "left": number(rows[0][0])}
	text := ""
	if !o.env.Call.Sensitive {
		if text, err = encode(result); err != nil {
			return o.failed(err)
		}
	}
	if err := o.mark.set(ctx, o.s, stateDone, text, statePart); err != nil {
		return o.failed(err)
	}
	return engine.Outcome{Result: result}
}

// Settle finds out how far an attempt came that was cut off. "Not done" means that it can go on.
func (m *move) Settle(ctx context.Context, env *steps.Env) engine.Settlement {
	unasked := func(err error) engine.Settlement {
		return engine.Settlement{Evidence: []string{"could not ask: " + err.Error()}}
	}
	c, err := connOf(ctx, env)
	if err != nil {
		return unasked(err)
	}
	was := seenOf(env.Call)
	if was.markers == "" {
		n, err := statement.ParseName(c.d.grammar(), m.from)
		if err != nil {
			return unasked(err)
		}
		if was.markers = n.Schema; n.Schema == "" {
			was.markers = c.database
		}
	}
	s, err := c.pin(ctx)
	if err != nil {
		return unasked(err)
	}
	defer s.release()
	if why := c.outlive(ctx, s, env.Call.Token, true); why != "" {
		return engine.Settlement{Evidence: []string{why}}
	}
	defer s.unlock(ctx)
	mark := m.mark(c, env, was)
	got, err := mark.settled(ctx, s)
	if err != nil {
		return unasked(err)
	}
	if why := mark.ahead(got); why != "" {
		return engine.Settlement{Dead: true, Evidence: []string{why}}
	}
	if got.state == stateNone {
		if why, err := mark.another(ctx, s, env.Call, was.markers); err != nil || why != "" {
			if err != nil {
				return unasked(err)
			}
			return engine.Settlement{Dead: !mark.elsewhere(ctx, s, env.Call, was.markers), Evidence: []string{why}}
		}
	}
	return m.judge(ctx, env, s, mark, got)
}

// judge says what a marker means.
func (m *move) judge(ctx context.Context, env *steps.Env, s *session, mark *markers, got marker) engine.Settlement {
	out := engine.Settlement{Dead: true}
	say := func(verdict engine.Verdict, format string, args ...any) engine.Settlement {
		out.Verdict, out.Evidence = verdict, []string{s.c.where + ": " + fmt.Sprintf(format, args...)}
		return out
	}
	note, _ := env.Call.Note.(engine.Record)
	noted, _ := note["batches"].(int64)
	switch got.state {
	case stateDone:
		var err error
		if out.Result, err = decodeResult(got.result); err != nil {
			return say(engine.VerdictUnknown, "%v", err)
		}
		return say(engine.VerdictDone, "the marker in %s says done", mark.table)
	case statePart:
		at, err := progressOf(got.result)
		switch {
		case err != nil:
			return say(engine.VerdictUnknown, "%v", err)
		case at.batches < noted:
			return say(engine.VerdictUnknown, "the marker in %s knows of %d batches and the journal of %d: the database was put back to an older state, or is another one", mark.table, at.batches, noted)
		}
		return say(engine.VerdictNotDone, "%d rows were moved by %d batches, each whole; the move goes on behind them", at.moved, at.batches)
	case stateNone, stateFenced:
		if noted > 0 {
			return say(engine.VerdictUnknown, "there is no marker in %s, and the journal knows of %d batches: the database was put back to an older state, or is another one", mark.table, noted)
		}
		if got.state == stateNone {
			if err := mark.fence(ctx, s); err != nil {
				return say(engine.VerdictUnknown, "could not fence off an older attempt: %v", err)
			}
		}
		return say(engine.VerdictNotDone, "there is no marker in %s, and no statement of the attempt is running: no row was moved", mark.table)
	case stateBegun, stateSelf:
		return say(engine.VerdictUnknown, "the marker in %s is not one of a move (%s)", mark.table, got.result)
	}
	return say(engine.VerdictUnknown, "the marker in %s says %q, which this version does not know", mark.table, got.state)
}
