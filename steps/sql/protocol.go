package sql

import (
	"context"
	"errors"
	"fmt"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// entry is one statement of a transaction.
type entry struct {
	st     *statement.Statement
	path   string // "transaction[1]"
	query  bool   // its rows are its result
	args   engine.Value
	as     string
	expect *engine.Condition
}

func (e entry) doing() string {
	text := e.st.Class.Verb
	if n := len(e.st.Class.Tables); n > 0 && e.st.Class.Tables[0].Table != "" {
		text += " " + e.st.Class.Tables[0].String()
	}
	if e.path == "" {
		return text
	}
	return e.path + ", " + text
}

// hides: it may commit without saying so. A function cannot, only a procedure and dynamic SQL can.
func (e entry) hides() bool {
	switch e.st.Class.Sort {
	case statement.Reads, statement.Writes:
		return false
	case statement.Calls:
		return e.st.Class.Verb == "CALL" || e.st.Class.Verb == "EXECUTE"
	case statement.Other, statement.Session, statement.Defines, statement.Commits, statement.Control:
	}
	return true
}

// protocol is one transaction with its marker:
//
//	session lock, BEGIN, marker begun, SAVEPOINT, the statements (after each of which the savepoint is
//	asked for), the conditions, marker done with the result, COMMIT
//
// The session lock is taken by the caller, on the same session.
type protocol struct {
	env     *steps.Env
	c       *Conn
	s       *session
	mark    *markers // nil: without a marker
	lock    string   // the token of the session lock
	leaky   string   // why a rollback may not take everything back; empty: it does
	entries []entry
	all     engine.Record // arguments of all entries
	one     bool          // the result is that of the only entry
	expect  *engine.Condition
	digest  string // of the statement of a script; it stands in the marker's result

	point   string // the savepoint
	note    string // what tells this attempt's marker from another's
	hidden  bool   // something was sent that may have committed
	touched bool   // something was sent that may have written
	locals  engine.Record
	sum     int64
	result  engine.Record
}

// run carries it out.
func (p *protocol) run(ctx context.Context) engine.Outcome {
	p.point, p.locals = pointName(), engine.Record{}
	p.note = fmt.Sprintf(`{"attempt":%d,"savepoint":%q}`, p.env.Call.Attempt, p.point)
	if _, err := p.s.exec(ctx, "begin a transaction", p.c.d.begin()); err != nil {
		return failure(err)
	}
	if err := p.c.fenced(ctx, p.s); err != nil {
		return p.abort(ctx, err)
	}
	if p.mark != nil {
		if o, ended := p.open(ctx); ended {
			return o
		}
	}
	if _, err := p.s.exec(ctx, "set a savepoint", "SAVEPOINT "+p.point); err != nil {
		return p.abort(ctx, err)
	}
	for i, e := range p.entries {
		if err := p.step(ctx, e); err != nil {
			return p.abort(ctx, err)
		}
		if o, gone := p.stands(ctx, i); gone {
			return o
		}
	}
	return p.close(ctx)
}

// open writes the marker. ended: there is nothing to be done any more, or nothing that may be done.
func (p *protocol) open(ctx context.Context) (engine.Outcome, bool) {
	f := p.mark.begin(ctx, p.s, p.note, p.env.Again)
	switch {
	case f.broken != nil:
		if is(f.broken, absentFault) || is(f.broken, rightsFault) {
			p.c.forget() // it was there when it was prepared
		}
		return p.abort(ctx, f.broken), true
	case f.newer > 0:
		return p.abort(ctx, fmt.Errorf("%s: this run was taken over by another engine (its turn %d, this one's %d); nothing was done", p.c.where, f.newer, p.mark.epoch)), true
	case f.done != nil:
		if o := p.s.rollback(ctx); o != nil {
			return failure(o), true
		}
		result, err := decodeResult(f.done.result)
		if err != nil {
			return engine.Outcome{Err: err.Error(), Effect: engine.EffectStands}, true
		}
		return engine.Outcome{Result: result}, true
	case f.begun != nil:
		_ = p.s.rollback(ctx) // nothing was written
		return engine.Outcome{Err: "an earlier attempt committed before its end", Effect: engine.EffectUnknown, InDoubt: true, Evidence: begunEvidence(p.c, p.mark.table, *f.begun)}, true
	}
	return engine.Outcome{}, false
}

func begunEvidence(c *Conn, table string, m marker) []string {
	return []string{fmt.Sprintf("%s: the marker in %s says begun, not done: something in the transaction committed before its end, so a part of it is there (%s)", c.where, table, m.result)}
}

// step sends one statement and asks what is expected of it.
func (p *protocol) step(ctx context.Context, e entry) error {
	own, err := lateRecord(e.args, p.locals, argsPath(e.path))
	if err != nil {
		return err
	}
	r, err := p.c.render(ctx, p.s, e.st, e.st.Whole(), values{path: argsPath(e.path), own: own, all: p.all})
	if err != nil {
		return err
	}
	p.hidden = p.hidden || e.hides() && !p.c.d.ddlRollsBack()
	p.touched = p.touched || e.st.Class.Sort != statement.Reads
	switch e.st.Class.Sort {
	case statement.Calls, statement.Session, statement.Other:
		p.s.spoiled = true
	case statement.Reads, statement.Writes, statement.Defines, statement.Commits, statement.Control:
	}
	result, err := p.s.send(ctx, e.doing(), r, e.query)
	if err != nil {
		return err
	}
	if n, ok := result["affected"].(int64); ok {
		p.sum += n
	}
	if e.expect != nil {
		if err := holds(e.expect, result, p.locals, e.path); err != nil {
			return err
		}
	}
	if e.as != "" {
		p.locals[e.as] = result
	}
	p.result = result
	return nil
}

func argsPath(path string) string {
	if path == "" {
		return "args"
	}
	return path + ".args"
}

// send carries a statement out and gives its result.
func (s *session) send(ctx context.Context, doing string, r rendered, query bool) (engine.Record, error) {
	if query {
		return s.query(ctx, doing, r)
	}
	done, err := s.exec(ctx, doing, r.text, r.args...)
	if err != nil {
		return nil, discreet(err, r)
	}
	affected, err := done.RowsAffected()
	if err != nil {
		return nil, s.c.faultOf(doing, err)
	}
	last, err := done.LastInsertId()
	if err != nil {
		return nil, s.c.faultOf(doing, err)
	}
	return engine.Record{"affected": affected, "last_insert_id": lastID(last)}, nil
}

// lastID undoes the driver's conversion of an id beyond the signed integers.
func lastID(n int64) engine.Value {
	if n < 0 {
		return uint64(n)
	}
	return n
}

// brokenCondition is a condition that does not hold.
type brokenCondition struct{ said string }

func (b brokenCondition) Error() string { return b.said }

func holds(c *engine.Condition, result, locals engine.Record, path string) error {
	yes, err := c.Holds(result, locals)
	where := "expect"
	if path != "" {
		where = path + ".expect"
	}
	switch {
	case err != nil:
		return brokenCondition{fmt.Sprintf("%s: %s: %v", where, c, err)}
	case yes:
		return nil
	}
	said := fmt.Sprintf("%s: %s does not hold", where, c)
	if n, ok := result["affected"]; ok {
		said += fmt.Sprintf(" (affected is %s)", engine.Text(n))
	} else if rows, ok := result["rows"].(engine.List); ok {
		said += fmt.Sprintf(" (rows: %d)", len(rows))
	}
	return brokenCondition{said}
}

// stands asks whether the savepoint is still there AFTER the i-th statement. If it is not, the
// statement has committed, and what was written before it is there for good.
func (p *protocol) stands(ctx context.Context, i int) (engine.Outcome, bool) {
	e := p.entries[i]
	if e.st.Class.Sort == statement.Reads {
		return engine.Outcome{}, false
	}
	_, err := p.s.exec(ctx, "ask whether the transaction still stands", "RELEASE SAVEPOINT "+p.point)
	if err == nil && i+1 < len(p.entries) {
		_, err = p.s.exec(ctx, "set a savepoint", "SAVEPOINT "+p.point)
	}
	switch {
	case err == nil:
		return engine.Outcome{}, false
	case !is(err, gonePoint):
		return p.abort(ctx, err), true
	}
	_ = p.s.rollback(ctx) // of whatever was begun AFTER the commit; the connection is closed if it fails
	return engine.Outcome{
		Err:    fmt.Sprintf("%s: %s committed by itself in the middle of the transaction; what was done up to there stands, the rest was not done", p.c.where, e.doing()),
		Effect: engine.EffectUnknown, InDoubt: true,
		Evidence: []string{
			fmt.Sprintf("%s: AFTER %s the savepoint was gone, so an implicit commit had ended the transaction (DDL hides in it, such as in a procedure)", p.c.where, e.doing()),
			fmt.Sprintf("statements 1 to %d of %d were carried out", i+1, len(p.entries)),
		},
	}, true
}

// close asks the condition on the whole, marks it done and commits.
func (p *protocol) close(ctx context.Context) engine.Outcome {
	if !p.one {
		p.result = engine.Record{"affected": p.sum}
		for name, v := range p.locals {
			p.result[name] = v
		}
	}
	if p.expect != nil {
		if err := holds(p.expect, p.result, nil, ""); err != nil {
			return p.abort(ctx, err)
		}
	}
	if p.digest != "" {
		p.result["digest"] = p.digest
	}
	if p.mark != nil {
		text := ""
		if !p.env.Call.Sensitive {
			var err error
			if text, err = encode(p.result); err != nil {
				return p.abort(ctx, fmt.Errorf("the result cannot be kept: %w", err))
			}
		}
		if err := p.mark.set(ctx, p.s, stateDone, text, stateBegun); err != nil {
			return p.abort(ctx, err)
		}
	}
	if err := ctx.Err(); err != nil {
		return p.abort(ctx, p.c.notSent("commit", err))
	}
	// From here on nothing is stopped: whether a COMMIT that was interrupted has happened would have
	// to be found out all the same.
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.c.patience)
	defer cancel()
	_, err := p.s.conn.ExecContext(bounded, "COMMIT")
	if p.defines() {
		p.c.forget()
	}
	if err == nil {
		p.mark.committed()
		return engine.Outcome{Result: p.result}
	}
	err = p.c.faultOf("commit", err)
	switch {
	case !p.c.holds():
		_ = p.s.rollback(ctx) // a COMMIT that SQLite refuses leaves the transaction open
	case reachOf(err) == refused && p.c.d.ddlRollsBack():
		return p.abort(ctx, err) // a constraint that is checked now; nothing has committed by itself before
	}
	p.s.lost = true // its state is not known
	return p.found(ctx, err)
}

// defines: tables may be other than they were.
func (p *protocol) defines() bool {
	for _, e := range p.entries {
		if e.st.Class.Sort != statement.Reads && e.st.Class.Sort != statement.Writes {
			return true
		}
	}
	return false
}

// abort ends a transaction that failed BEFORE its COMMIT, and says what of it stands.
func (p *protocol) abort(ctx context.Context, cause error) engine.Outcome {
	if !p.s.lost {
		_ = p.s.rollback(ctx) // if it fails the connection is lost, and that ends the transaction too
	}
	o := failure(cause)
	switch {
	case p.hidden:
		// Something was sent that may have committed. The marker would have been committed with it.
		return p.found(ctx, cause)
	case p.leaky != "" && p.touched:
		o.Effect, o.Transient = engine.EffectUnknown, false
		o.Evidence = []string{p.leaky + ", so the rollback may not have taken everything back"}
	}
	var b brokenCondition
	if errors.As(cause, &b) {
		if o.Effect == engine.EffectNone {
			o.Err += "; the transaction was rolled back"
		}
		o.Err = p.c.where + ": " + o.Err
	}
	return o
}
