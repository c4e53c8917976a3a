package sql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// found asks the marker, on a new connection and with the session lock, what became of a transaction
// whose end is not known. With the lock had, no statement of the lost connection is running any more.
func (p *protocol) found(ctx context.Context, cause error) engine.Outcome {
	doubt := engine.Outcome{Err: cause.Error(), Effect: engine.EffectUnknown, InDoubt: true}
	if p.mark == nil && reachOf(cause) != lost {
		return engine.Outcome{Err: cause.Error(), Effect: engine.EffectUnknown,
			Evidence: []string{p.c.where + ": what was sent may have committed by itself, and there is no marker that could be asked"}}
	}
	if p.mark == nil {
		doubt.Evidence = []string{p.c.where + ": there is no marker that could be asked"}
		return doubt
	}
	p.s.unlock(ctx)
	m, err := p.c.askMarker(ctx, p.mark, p.lock, p.s.id, func(m marker) bool { return m.state == stateDone })
	if err != nil {
		doubt.Evidence = []string{"the marker could not be asked: " + err.Error()}
		return doubt
	}
	switch {
	case m.state == stateDone:
		// It was committed by this attempt: nobody else can have the token's lock.
		p.mark.committed()
		return engine.Outcome{Result: p.result}
	case m.state == stateBegun && m.result == p.note:
		doubt.Evidence = begunEvidence(p.c, p.mark.table, m)
		return doubt
	}
	if p.c.group == nil && m.state == stateNone { // of a group the writer has been asked for what was committed
		why, err := p.mark.movedSince(ctx, p.env.Call)
		if err != nil {
			why = "which database it is could not be asked: " + err.Error()
		}
		if why != "" {
			doubt.Evidence = []string{why}
			return doubt
		}
	}
	o := failure(cause)
	if p.leaky != "" && p.touched {
		o.Effect, o.Transient = engine.EffectUnknown, false
		o.Evidence = []string{p.leaky + ", so not everything may have been taken back"}
	} else {
		o.Evidence = []string{p.c.where + ": the marker is absent, so nothing of it was committed"}
	}
	return o
}

// askMarker reads a marker once the session lock is had. A connection that this engine has lost is ended
// first, so that its statement does not have to be waited for. proves: such a marker says that it was committed.
func (c *Conn) askMarker(ctx context.Context, mark *markers, lock string, lostID int64, proves func(marker) bool) (marker, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*c.patience)
	defer cancel()
	var last error
	for {
		m, err := c.askMarkerOnce(ctx, mark, lock, lostID)
		if c.group != nil {
			m, err = c.handedDown(ctx, mark, m, err, proves)
		}
		if err == nil {
			return m, nil
		}
		last = err
		if !pause(ctx, 200*time.Millisecond) {
			return marker{}, last
		}
	}
}

func (c *Conn) askMarkerOnce(ctx context.Context, mark *markers, lock string, lostID int64) (marker, error) {
	s, err := c.pin(ctx)
	if err != nil {
		return marker{}, err
	}
	defer s.release()
	if c.holds() && lostID != s.id && lostID != 0 {
		_ = c.killHolder(ctx, s, lock, lostID) // if it cannot be ended it is waited for
	}
	if err := s.lock(ctx, lock); err != nil {
		if ctx.Err() == nil || s.lost {
			return marker{}, err
		}
		// The time is up: what is to be said is who has the lock.
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.patience)
		defer cancel()
		return marker{}, errors.New(c.stillRuns(last, s, lock))
	}
	defer s.unlock(ctx)
	return mark.settled(ctx, s)
}

// settled reads the marker when nobody else is in the middle of writing it: SQLite says so by its lock
// on the file.
func (m *markers) settled(ctx context.Context, s *session) (got marker, err error) {
	if m.c.holds() {
		return m.read(ctx, s)
	}
	if _, err := s.exec(ctx, "wait for the database", m.c.d.begin()); err != nil {
		return marker{}, err
	}
	got, err = m.read(ctx, s)
	if _, end := s.exec(context.WithoutCancel(ctx), "let go of the database", "ROLLBACK"); end != nil {
		s.spoiled = true
	}
	return got, err
}

// killHolder ends the connection that has the session lock, if it is that one. only 0: whichever.
func (c *Conn) killHolder(ctx context.Context, s *session, token string, only int64) error {
	holder, err := s.holder(ctx, token)
	if err != nil || holder == 0 || only != 0 && holder != only {
		return err
	}
	return c.kill(ctx, holder, true)
}

// holder is the connection that has the session lock of a token; 0: none.
func (s *session) holder(ctx context.Context, token string) (int64, error) {
	rows, err := s.rows(ctx, "ask who has the session lock", s.c.d.keeper().holder(token))
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return number(rows[0][0]), nil
}

// pause waits; false: ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// settleMarker says what became of an attempt that was cut off, by its marker.
func settleMarker(ctx context.Context, env *steps.Env, c *Conn, mark *markers, database string) engine.Settlement {
	var out engine.Settlement
	s, err := c.pin(ctx)
	if err != nil {
		out.Evidence = []string{"could not ask: " + err.Error()}
		return out
	}
	defer s.release()
	if why := c.outlive(ctx, s, env.Call.Token, true); why != "" {
		out.Evidence = []string{why}
		return out
	}
	defer s.unlock(ctx)
	out.Dead = true
	m, err := mark.settled(ctx, s)
	if err != nil {
		out.Evidence = []string{"could not ask the marker: " + err.Error()}
		return out
	}
	if why := mark.ahead(m); why != "" {
		out.Evidence = []string{why}
		return out
	}
	switch m.state {
	case stateDone:
		out.Verdict, out.Evidence = engine.VerdictDone, []string{fmt.Sprintf("%s: the marker in %s says done", c.where, mark.table)}
		if out.Result, err = decodeResult(m.result); err != nil {
			out.Evidence = append(out.Evidence, err.Error())
		}
	case stateBegun:
		out.Evidence = begunEvidence(c, mark.table, m)
	case stateNone, stateFenced:
		if m.state == stateNone {
			why, err := mark.another(ctx, s, env.Call, database)
			if err != nil {
				out.Evidence = []string{"could not ask which database it is: " + err.Error()}
				return out
			}
			if why != "" {
				out.Evidence, out.Dead = []string{why}, !mark.elsewhere(ctx, s, env.Call, database)
				return out
			}
			if err := mark.fence(ctx, s); err != nil {
				out.Evidence = []string{"could not fence off an older attempt: " + err.Error()}
				return out
			}
		}
		out.Verdict = engine.VerdictNotDone
		out.Evidence = []string{fmt.Sprintf("%s: there is no marker in %s, and no statement of the attempt is running: nothing was committed", c.where, mark.table)}
	default:
		out.Evidence = []string{fmt.Sprintf("%s: the marker in %s says %q, which this version does not know", c.where, mark.table, m.state)}
	}
	return out
}

// outlive takes the session lock, so that nothing of an earlier attempt is running AFTER it. If it is
// not had in time, and may be, the connection that has it is ended: its engine is gone, or this one
// would not be asked. It returns why it is not had.
func (c *Conn) outlive(ctx context.Context, s *session, lock string, kill bool) string {
	if !c.holds() {
		return ""
	}
	for _, killed := range []bool{false, true} {
		if killed {
			if !kill {
				break
			}
			if err := c.killHolder(ctx, s, lock, 0); err != nil {
				return fmt.Sprintf("%s: the attempt is still running, and could not be ended: %v", c.where, err)
			}
		}
		turn, cancel := context.WithTimeout(ctx, c.patience)
		err := s.lock(turn, lock)
		over := turn.Err() != nil
		cancel()
		switch {
		case err == nil:
			return ""
		case !over:
			return "could not ask: " + err.Error()
		case ctx.Err() != nil:
			return fmt.Sprintf("%s: the attempt may still be running: its session lock is not free", c.where)
		}
	}
	return c.stillRuns(ctx, s, lock)
}

// unquoted is the beginning of a statement, up to the first text in it, which may be a secret.
func unquoted(text string) string {
	before, _, found := strings.Cut(text, "'")
	if found {
		return before + "…"
	}
	return text
}

// stillRuns describes the statement that holds the lock.
func (c *Conn) stillRuns(ctx context.Context, s *session, lock string) string {
	holder, err := s.holder(ctx, lock)
	if err != nil || holder == 0 {
		return fmt.Sprintf("%s: the attempt may still be running: its session lock was not had", c.where)
	}
	end := c.d.keeper().stop(holder, true)
	rows, err := s.rows(ctx, "ask what is running", c.d.keeper().running(holder))
	if err != nil || len(rows) == 0 {
		return fmt.Sprintf("%s: the attempt is still running on connection %d, with the rights of another user; wait for it and resume, or let an administrator end it with %s", c.where, holder, end)
	}
	return fmt.Sprintf("%s: the attempt is still running on connection %d, for %s s, %s: %s; wait for it and resume, or end it with %s",
		c.where, holder, word(rows[0][0]), word(rows[0][1]), unquoted(word(rows[0][2])), end)
}
