package sql

import (
	"context"
	"fmt"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// change is the operations exec and transaction.
type change struct {
	texts []source
	all   engine.Record
	one   bool    // exec
	node  *string // of several servers the one that it is for; nil: the one that takes writes
}

// source is one statement as the parameters have it.
type source struct {
	text   string
	path   string // of the entry; empty for exec
	query  bool
	args   engine.Value
	as     string
	expect *engine.Condition
}

func argsOf(params engine.Record) engine.Record {
	r, _ := params["args"].(engine.Record)
	return r
}

func decodeExec(params engine.Record) (steps.Operation, error) {
	var p execParams
	if err := steps.Bind(params, &p); err != nil {
		return nil, err
	}
	if _, err := statement.Parse(statement.Any, p.Exec); err != nil {
		return nil, problemOf("exec", err)
	}
	return &change{texts: []source{{text: p.Exec}}, all: argsOf(params), one: true, node: p.Node}, nil
}

func decodeTransaction(params engine.Record) (steps.Operation, error) {
	var p transactionParams
	if err := steps.Bind(params, &p); err != nil {
		return nil, err
	}
	if len(p.Transaction) == 0 {
		return nil, engine.Problem{Path: "transaction", Message: "there is no statement in it"}
	}
	t := &change{all: argsOf(params)}
	for i, e := range p.Transaction {
		path := fmt.Sprintf("transaction[%d]", i)
		src := source{text: e.Exec, path: path, args: e.Args, as: e.As, expect: e.Expect}
		key := "exec"
		switch {
		case e.Query != "" && e.Exec != "", e.Query == "" && e.Exec == "":
			return nil, engine.Problem{Path: path, Message: "an entry has either `query` or `exec`"}
		case e.Query != "":
			src.text, src.query, key = e.Query, true, "query"
		}
		if _, err := statement.Parse(statement.Any, src.text); err != nil {
			return nil, problemOf(path+"."+key, err)
		}
		switch e.Args.(type) {
		case nil, engine.Record, engine.Late, engine.Unknown:
		default:
			return nil, engine.Problem{Path: path + ".args", Message: "must be a mapping of names to values, not " + engine.TypeName(e.Args)}
		}
		t.texts = append(t.texts, src)
	}
	return t, nil
}

// entries reads the statements in the server's grammar.
func (t *change) entries(c *Conn) ([]entry, error) {
	out := make([]entry, len(t.texts))
	for i, src := range t.texts {
		st, err := statement.Parse(c.d.grammar(), src.text)
		if err != nil {
			return nil, fmt.Errorf("%s: %s%w", c.where, prefix(src.path), err)
		}
		if st.Class.Never != "" {
			return nil, fmt.Errorf("%s: %s%s", c.where, prefix(src.path), st.Class.Never)
		}
		out[i] = entry{st: st, path: src.path, query: src.query, args: src.args, as: src.as, expect: src.expect}
		if said := unfitForOne(st.Class); said != "" && t.node != nil {
			return nil, fmt.Errorf("%s: %s", c.where, said)
		}
		if said := unfit(st.Class, src.query, c.d.ddlRollsBack()); said != "" && !t.one {
			return nil, fmt.Errorf("%s: %s%s", c.where, prefix(src.path), said)
		}
	}
	return out, nil
}

func prefix(path string) string {
	if path == "" {
		return ""
	}
	return path + ": "
}

// alone: the statement commits by itself, so there is no transaction around it.
func (t *change) alone(c *Conn, e entry) bool {
	if !t.one {
		return false
	}
	switch e.st.Class.Sort {
	case statement.Writes, statement.Calls:
		return false
	case statement.Defines:
		return !c.d.ddlRollsBack()
	case statement.Reads, statement.Session, statement.Commits, statement.Control, statement.Other:
	}
	return true
}

// Prepare looks whether the effect can be committed together with its marker.
func (t *change) Prepare(ctx context.Context, env *steps.Env) (engine.Preparation, error) {
	c, err := connAt(ctx, env, t.node)
	if err != nil {
		return engine.Preparation{}, err
	}
	entries, err := t.entries(c)
	if err != nil {
		return engine.Preparation{}, err
	}
	if t.alone(c, entries[0]) {
		if begins(t.written(entries)) {
			err = c.takes(ctx, c)
		}
		return engine.Preparation{}, err
	}
	p, err := c.prepare(ctx, env.Call.Class, t.written(entries))
	if env.Call.Class != engine.ClassTransactional {
		p.Class, p.Why = engine.ClassUnset, "" // it is no more than that already
	}
	return p, err
}

// written are the statements with the arguments that are known BEFORE the transaction.
func (t *change) written(entries []entry) []written {
	out := make([]written, len(entries))
	for i, e := range entries {
		own, _ := e.args.(engine.Record)
		out[i] = written{e.st, values{path: argsPath(e.path), own: own, all: t.all}}
	}
	return out
}

// Execute carries it out.
func (t *change) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	c, err := connAt(ctx, env, t.node)
	if err != nil {
		return failure(err)
	}
	entries, err := t.entries(c)
	if err != nil {
		return failure(err)
	}
	s, err := c.pin(ctx)
	if err != nil {
		return failure(err)
	}
	defer s.release()
	if err := s.enter(ctx, env); err != nil {
		return failure(err)
	}
	defer s.unlock(ctx)
	if err := s.remembers(ctx, env); err != nil {
		return failure(err)
	}
	if t.alone(c, entries[0]) {
		if env.Call.Class == engine.ClassTransactional {
			return failure(fmt.Errorf("%s: %s commits by itself, so it cannot be transactional on this server", c.where, entries[0].st.Class.Verb))
		}
		return plain(ctx, env, s, entries[0], t.all)
	}
	was := seenOf(env.Call)
	if err := was.unmarked(env.Call); err != nil {
		return failure(err)
	}
	mark := t.mark(c, env, was)
	if env.Call.Class == engine.ClassUnrepeatable && mark == nil {
		if err := s.note(env, entries[0]); err != nil {
			return failure(err)
		}
	}
	p := &protocol{env: env, c: c, s: s, mark: mark, lock: env.Call.Token, leaky: was.leaky,
		entries: entries, all: t.all, one: t.one, expect: env.Call.Expect}
	return p.run(ctx)
}

// mark is where the marker of the step is; nil: it has none.
func (t *change) mark(c *Conn, env *steps.Env, s seen) *markers {
	if s.markers == "" || env.Call.Class != engine.ClassTransactional && env.Call.Class != engine.ClassUnrepeatable {
		return nil
	}
	return &markers{c: c, table: c.markerName(s.markers), token: env.Call.Token, epoch: env.Call.Epoch}
}

// Settle finds out what became of an attempt that was cut off.
func (t *change) Settle(ctx context.Context, env *steps.Env) engine.Settlement {
	c, err := connAt(ctx, env, t.node)
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
	mark := t.mark(c, env, was)
	if mark == nil {
		return settlePlain(ctx, env, c)
	}
	return settleMarker(ctx, env, c, mark, was.markers)
}
