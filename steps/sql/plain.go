package sql

import (
	"context"
	"fmt"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// enter takes the session lock, if the effect must not happen beside an earlier attempt of itself.
func (s *session) enter(ctx context.Context, env *steps.Env) error {
	if env.Call.Class == engine.ClassTransactional || env.Call.Class == engine.ClassUnrepeatable {
		return s.lock(ctx, env.Call.Token)
	}
	return nil
}

// note records, BEFORE it is sent, on which connection something is sent that leaves no marker.
func (s *session) note(env *steps.Env, e entry) error {
	return env.Note(engine.Record{"connection": s.id, "statement": e.doing(), "server": s.c.where})
}

// plain carries out a statement that commits by itself.
func plain(ctx context.Context, env *steps.Env, s *session, e entry, all engine.Record) engine.Outcome {
	r, err := s.c.render(ctx, s, e.st, e.st.Whole(), values{path: "args", all: all})
	if err != nil {
		return failure(err)
	}
	if env.Call.Class == engine.ClassUnrepeatable {
		if err := s.note(env, e); err != nil {
			return failure(err)
		}
	}
	result, err := s.alone(ctx, e, r)
	if err != nil {
		return ended(s.c, e, err)
	}
	if env.Call.Expect != nil {
		if err := holds(env.Call.Expect, result, nil, ""); err != nil {
			return engine.Outcome{Err: s.c.where + ": " + err.Error() + "; the statement had committed by itself", Effect: engine.EffectStands, Result: result}
		}
	}
	return engine.Outcome{Result: result}
}

// alone sends a statement outside of a transaction. The connection is not used again: its settings may
// be changed.
func (s *session) alone(ctx context.Context, e entry, r rendered) (engine.Record, error) {
	s.spoiled = true
	result, err := s.send(ctx, e.doing(), r, e.query)
	s.c.forget()
	if verb := e.st.Class.Verb; err == nil && (verb == "DROP DATABASE" || verb == "DROP SCHEMA") { // its markers go with it
		wiped(s.c)
	}
	return result, err
}

// ended says what is known of the effect of a statement that failed.
func ended(c *Conn, e entry, err error) engine.Outcome {
	o := failure(err)
	switch {
	case reachOf(err) == lost:
		o.Effect, o.InDoubt, o.Transient = engine.EffectUnknown, true, false
		o.Evidence = []string{fmt.Sprintf("%s: %s was sent and its answer was lost", c.where, e.doing())}
	case reachOf(err) == notSent, is(err, earlyFault), is(err, rightsFault), is(err, absentFault) && len(e.st.Class.Tables) < 2:
	case e.st.Class.Sort == statement.Defines && len(e.st.Class.Tables) == 1 && !is(err, stopped):
		// One table's DDL is carried out whole or not at all.
	default:
		o.Effect, o.Transient = engine.EffectUnknown, false
	}
	return o
}

// strange says that something was sent to another server than the one that takes writes now; empty: it was not.
// The session lock, which would be asked for here, says nothing of what goes on there.
func (c *Conn) strange(note engine.Record) string {
	if was, noted := note["server"].(string); noted && c.group != nil && was != c.where {
		return fmt.Sprintf("%s takes the writes now: whether it is still running on %s, and whether what it did was handed down, cannot be told from here", c.where, was)
	}
	return ""
}

// settlePlain says what became of a statement that leaves no marker: whether it was sent, and whether
// it is still running. That is all there is to know.
func settlePlain(ctx context.Context, env *steps.Env, c *Conn) engine.Settlement {
	if env.Call.Class != engine.ClassUnrepeatable {
		return engine.Settlement{Evidence: []string{c.where + ": nothing is recorded of what may simply be done again"}}
	}
	note, sent := env.Call.Note.(engine.Record)
	if !sent {
		return engine.Settlement{Verdict: engine.VerdictNotDone, Dead: true,
			Evidence: []string{c.where + ": what is sent is recorded before it is sent, and nothing was recorded"}}
	}
	s, err := c.pin(ctx)
	if err != nil {
		return engine.Settlement{Evidence: []string{"could not ask: " + err.Error()}}
	}
	defer s.release()
	was := fmt.Sprintf("%s: %s was sent on connection %s", engine.Text(note["server"]), engine.Text(note["statement"]), engine.Text(note["connection"]))
	if why := c.strange(note); why != "" {
		return engine.Settlement{Evidence: []string{was, why}}
	}
	if why := c.outlive(ctx, s, env.Call.Token, false); why != "" {
		return engine.Settlement{Evidence: []string{was, why}}
	}
	defer s.unlock(ctx)
	return engine.Settlement{Dead: true, Evidence: []string{was, "it has ended: its session lock is free", "nothing says whether it was carried out"}}
}
