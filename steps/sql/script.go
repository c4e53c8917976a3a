package sql

import (
	"context"
	"errors"
	"fmt"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// script is the operation of that name. Each of its statements is committed by itself and leaves a
// marker of its own, which says what text it was; the step's own marker is written AFTER the last.
type script struct {
	text string
	all  engine.Record
}

func decodeScript(params engine.Record) (steps.Operation, error) {
	var p scriptParams
	if err := steps.Bind(params, &p); err != nil {
		return nil, err
	}
	if _, err := statement.Split(statement.Any, p.Script); err != nil {
		return nil, problemOf("script", err)
	}
	return &script{text: p.Script, all: argsOf(params)}, nil
}

// entries reads the statements in the server's grammar.
func (t *script) entries(c *Conn) ([]entry, error) {
	parts, err := statement.Split(c.d.grammar(), t.text)
	if err != nil {
		return nil, fmt.Errorf("%s: script: %w", c.where, err)
	}
	out := make([]entry, len(parts))
	for i, p := range parts {
		st, err := statement.Parse(c.d.grammar(), p.Text)
		if err == nil && st.Class.Sort == statement.Control {
			err = errors.New(controlSaid(st.Class.Verb))
		}
		if err == nil && st.Class.Never != "" {
			err = errors.New(st.Class.Never)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: script, statement %d: %w", c.where, i+1, err)
		}
		out[i] = entry{st: st, path: fmt.Sprintf("statement %d of %d", i+1, len(parts))}
	}
	return out, nil
}

// Prepare looks where the markers of the statements can be.
func (t *script) Prepare(ctx context.Context, env *steps.Env) (engine.Preparation, error) {
	c, err := connOf(ctx, env)
	if err != nil {
		return engine.Preparation{}, err
	}
	entries, err := t.entries(c)
	if err != nil {
		return engine.Preparation{}, err
	}
	p, err := c.prepare(ctx, env.Call.Class, t.written(entries))
	if env.Call.Class != engine.ClassTransactional {
		p.Class, p.Why = engine.ClassUnset, ""
	}
	return p, err
}

func (t *script) written(entries []entry) []written {
	list := make([]written, len(entries))
	for i, e := range entries {
		list[i] = written{e.st, values{path: "args", all: t.all}}
	}
	return list
}

// turn is one run over the statements.
type turn struct {
	*script
	env     *steps.Env
	c       *Conn
	s       *session
	seen    seen
	entries []entry
	sum     int64
	effects int // statements with an effect that are done
}

// mark is the marker of the i-th statement, and of the whole for -1; nil: there are no markers.
func (r *turn) mark(i int) *markers {
	if r.seen.markers == "" {
		return nil
	}
	token := r.env.Call.Token
	if i >= 0 {
		token += fmt.Sprintf("#s%d", i+1)
	}
	return &markers{c: r.c, table: r.c.markerName(r.seen.markers), token: token, epoch: r.env.Call.Epoch}
}

// Execute carries out the statements that are not done yet.
func (t *script) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	c, err := connOf(ctx, env)
	if err != nil {
		return failure(err)
	}
	s, err := c.pin(ctx)
	if err != nil {
		return failure(err)
	}
	defer s.release()
	s.spoiled = true // a script may leave anything behind in its session
	entries, err := t.entries(c)
	if err != nil {
		return failure(err)
	}
	r := &turn{script: t, env: env, c: c, s: s, seen: seenOf(env.Call), entries: entries}
	if err := r.seen.unmarked(env.Call); err != nil {
		return failure(err)
	}
	if err := s.lock(ctx, env.Call.Token); err != nil {
		return failure(err)
	}
	defer s.unlock(ctx)
	if err := s.remembers(ctx, env); err != nil {
		return failure(err)
	}
	if whole := r.mark(-1); whole != nil {
		m, err := whole.read(ctx, s)
		if err != nil {
			return failure(err)
		}
		if m.state == stateDone {
			result, err := decodeResult(m.result)
			if err != nil {
				return engine.Outcome{Err: err.Error(), Effect: engine.EffectStands}
			}
			return engine.Outcome{Result: result}
		}
	}
	for i, e := range r.entries {
		env.Progress(int64(i), int64(len(r.entries)), "statements")
		if o, ended := r.one(ctx, i, e); ended {
			return o
		}
	}
	return r.finish(ctx)
}

// one carries out one statement. ended: the script ends with it.
func (r *turn) one(ctx context.Context, i int, e entry) (engine.Outcome, bool) {
	var o engine.Outcome
	switch sort := e.st.Class.Sort; {
	case sort == statement.Reads, sort == statement.Session:
		o = r.send(ctx, e)
	case sort == statement.Writes, sort == statement.Calls, sort == statement.Defines && r.c.d.ddlRollsBack():
		if r.seen.markers == "" {
			if err := r.s.note(r.env, e); err != nil {
				o = failure(err)
				break
			}
		}
		p := &protocol{env: r.env, c: r.c, s: r.s, mark: r.mark(i), lock: r.env.Call.Token, leaky: r.seen.leaky,
			entries: []entry{e}, all: r.all, one: true, digest: engine.Digest(e.st.Source)}
		o = r.same(p.run(ctx), e)
	default:
		o = r.same(r.marked(ctx, i, e), e)
	}
	if o.Err != "" || o.InDoubt {
		o.Result = nil
		if o.Effect == engine.EffectNone && r.effects > 0 {
			o.Effect, o.Transient = engine.EffectStands, false
		}
		o.Evidence = append(o.Evidence, fmt.Sprintf("%d of %d statements of the script were done before", i, len(r.entries)))
		return o, true
	}
	if n, ok := o.Result["affected"].(int64); ok && e.st.Class.Sort != statement.Reads {
		r.sum += n
		fmt.Fprintf(r.env.Output(), "%s: %d rows\n", e.doing(), n)
	}
	if scriptClass(e.st.Class, r.c.d.ddlRollsBack()) != engine.ClassRead {
		r.effects++
	}
	return o, false
}

// same holds the text that a marker was left for against the statement at hand: a script may have been
// corrected since.
func (r *turn) same(o engine.Outcome, e entry) engine.Outcome {
	if was, ok := o.Result["digest"].(string); ok && was != engine.Digest(e.st.Source) {
		return engine.Outcome{Effect: engine.EffectStands,
			Err: fmt.Sprintf("%s: %s was carried out with another text before; put what was done back into the script as it was, or make a new step of the rest", r.c.where, e.doing())}
	}
	delete(o.Result, "digest")
	return o
}

// send carries out what has no effect beyond the session.
func (r *turn) send(ctx context.Context, e entry) engine.Outcome {
	sent, err := r.c.render(ctx, r.s, e.st, e.st.Whole(), values{path: "args", all: r.all})
	if err != nil {
		return failure(err)
	}
	result, err := r.s.send(ctx, e.doing(), sent, false)
	if err != nil {
		return ended(r.c, e, err)
	}
	return engine.Outcome{Result: result}
}

// marked carries out what commits by itself, with a marker written before it and changed AFTER it. Begun
// alone then says that it was sent, and no more.
func (r *turn) marked(ctx context.Context, i int, e entry) engine.Outcome {
	mark := r.mark(i)
	if mark != nil {
		f := mark.begin(ctx, r.s, fmt.Sprintf(`{"attempt":%d,"statement":%q}`, r.env.Call.Attempt, e.st.Class.Verb), r.env.Again)
		switch {
		case f.broken != nil:
			return failure(f.broken)
		case f.newer > 0:
			return failure(fmt.Errorf("%s: this run was taken over by another engine; nothing was done", r.c.where))
		case f.done != nil:
			result, err := decodeResult(f.done.result)
			if err != nil {
				return engine.Outcome{Err: err.Error(), Effect: engine.EffectStands}
			}
			return engine.Outcome{Result: result}
		case f.begun != nil:
			return engine.Outcome{Err: e.doing() + " was sent by an earlier attempt", Effect: engine.EffectUnknown, InDoubt: true,
				Evidence: []string{fmt.Sprintf("%s: the marker of %s says that it was sent, and not that it ended", r.c.where, e.doing())}}
		}
	}
	sent, err := r.c.render(ctx, r.s, e.st, e.st.Whole(), values{path: "args", all: r.all})
	if err != nil {
		return failure(err)
	}
	if err := r.s.note(r.env, e); err != nil {
		return failure(err)
	}
	result, err := r.s.alone(ctx, e, sent)
	if err != nil {
		return ended(r.c, e, err)
	}
	if mark == nil {
		return engine.Outcome{Result: result}
	}
	text, err := encode(engine.Record{"affected": result["affected"], "digest": engine.Digest(e.st.Source)})
	if err == nil {
		err = mark.set(context.WithoutCancel(ctx), r.s, stateDone, text, stateBegun)
	}
	if err == nil {
		mark.committed()
	}
	if err != nil {
		return engine.Outcome{Err: fmt.Sprintf("%s was carried out, and its marker could not be written: %v", e.doing(), err), Effect: engine.EffectStands}
	}
	return engine.Outcome{Result: result}
}

// finish leaves the marker of the whole.
func (r *turn) finish(ctx context.Context) engine.Outcome {
	result := engine.Record{"statements": int64(len(r.entries)), "affected": r.sum}
	r.env.Progress(int64(len(r.entries)), int64(len(r.entries)), "statements")
	mark := r.mark(-1)
	if mark == nil {
		return engine.Outcome{Result: result}
	}
	text, err := encode(result)
	if err == nil {
		f := mark.begin(ctx, r.s, "", false)
		if err = f.broken; err == nil && f.newer == 0 && f.done == nil {
			err = mark.set(ctx, r.s, stateDone, text, stateBegun)
		}
	}
	if err == nil {
		mark.committed()
	}
	if err != nil {
		return engine.Outcome{Err: "all statements were carried out, and the marker of the script could not be written: " + err.Error(), Effect: engine.EffectStands}
	}
	return engine.Outcome{Result: result}
}

// Settle finds out how far an attempt came that was cut off. "Not done" means that it can go on.
func (t *script) Settle(ctx context.Context, env *steps.Env) engine.Settlement {
	c, err := connOf(ctx, env)
	if err != nil {
		return engine.Settlement{Evidence: []string{"could not ask: " + err.Error()}}
	}
	entries, err := t.entries(c)
	if err != nil {
		return engine.Settlement{Evidence: []string{"could not ask: " + err.Error()}}
	}
	was, err := c.recall(ctx, env.Call, t.written(entries))
	if err != nil {
		return engine.Settlement{Evidence: []string{"could not ask: " + err.Error()}}
	}
	if was.markers == "" {
		return settlePlain(ctx, env, c)
	}
	s, err := c.pin(ctx)
	if err != nil {
		return engine.Settlement{Evidence: []string{"could not ask: " + err.Error()}}
	}
	defer s.release()
	r := &turn{script: t, env: env, c: c, s: s, seen: was, entries: entries}
	if why := c.outlive(ctx, s, env.Call.Token, r.onlyWrites()); why != "" {
		return engine.Settlement{Evidence: []string{why}}
	}
	defer s.unlock(ctx)
	return r.settle(ctx)
}

// onlyWrites: every statement is taken back when its connection is ended.
func (r *turn) onlyWrites() bool {
	for _, e := range r.entries {
		if scriptClass(e.st.Class, r.c.d.ddlRollsBack()) == engine.ClassUnrepeatable {
			return false
		}
	}
	return true
}

func (r *turn) settle(ctx context.Context) engine.Settlement {
	out := engine.Settlement{Dead: true}
	say := func(format string, args ...any) engine.Settlement {
		out.Evidence = append(out.Evidence, r.c.where+": "+fmt.Sprintf(format, args...))
		return out
	}
	whole, err := r.mark(-1).settled(ctx, r.s)
	if err != nil {
		return say("the marker could not be asked: %v", err)
	}
	if whole.state == stateDone {
		out.Verdict = engine.VerdictDone
		if out.Result, err = decodeResult(whole.result); err != nil {
			return say("%v", err)
		}
		return say("the marker of the script says done")
	}
	if why := r.mark(-1).ahead(whole); why != "" {
		out.Evidence = []string{why}
		return out
	}
	if why, err := r.mark(-1).another(ctx, r.s, r.env.Call, r.seen.markers); err != nil || why != "" {
		if err != nil {
			return say("could not ask which database it is: %v", err)
		}
		out.Evidence, out.Dead = []string{why}, !r.mark(-1).elsewhere(ctx, r.s, r.env.Call, r.seen.markers)
		return out
	}
	done := 0
	for i, e := range r.entries {
		if scriptClass(e.st.Class, r.c.d.ddlRollsBack()) == engine.ClassRead {
			continue
		}
		m, err := r.mark(i).read(ctx, r.s)
		switch {
		case err != nil:
			return say("the marker of %s could not be asked: %v", e.doing(), err)
		case m.state == stateBegun:
			return say("the marker of %s says that it was sent, and not that it ended; %d statements with an effect before it are done", e.doing(), done)
		case m.state == stateDone:
			done++
			continue
		}
		break
	}
	out.Verdict = engine.VerdictNotDone
	return say("%d statements with an effect are done, each with its marker; the script goes on behind them", done)
}
