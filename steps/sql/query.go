package sql

import (
	"context"
	"fmt"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// query is the operation of that name.
type query struct {
	text  string
	all   engine.Record
	nodes string  // which servers are asked
	node  *string // the one that is asked; nil: nodes says it
}

func decodeQuery(params engine.Record) (steps.Operation, error) {
	var p queryParams
	if err := steps.Bind(params, &p); err != nil {
		return nil, err
	}
	if p.Node != nil && p.Nodes != "" {
		return nil, engine.Problem{Path: "node", Message: nodeOrNodes}
	}
	if _, err := statement.Parse(statement.Any, p.Query); err != nil {
		return nil, problemOf("query", err)
	}
	return &query{text: p.Query, all: argsOf(params), nodes: p.Nodes, node: p.Node}, nil
}

// Execute reads.
func (q *query) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	switch q.nodes {
	case nodesAny:
		return q.any(ctx, env)
	case nodesEach:
		return q.each(ctx, env)
	}
	c, err := connAt(ctx, env, q.node)
	if err != nil {
		return failure(err)
	}
	st, err := statement.Parse(c.d.grammar(), q.text)
	if err != nil {
		return failure(fmt.Errorf("%s: %w", c.where, err))
	}
	if st.Class.Sort == statement.Reads || env.Call.Class != engine.ClassUnrepeatable {
		result, err := q.on(ctx, c)
		if err != nil {
			return failure(err)
		}
		return engine.Outcome{Result: result}
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
	return plain(ctx, env, s, entry{st: st, query: true}, q.all)
}

// on reads from one server.
func (q *query) on(ctx context.Context, c *Conn) (engine.Record, error) {
	st, err := statement.Parse(c.d.grammar(), q.text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.where, err)
	}
	s, err := c.pin(ctx)
	if err != nil {
		return nil, err
	}
	defer s.release()
	r, err := c.render(ctx, s, st, st.Whole(), values{path: "args", all: q.all})
	if err != nil {
		return nil, err
	}
	if st.Class.Sort != statement.Reads {
		s.spoiled = true // what it calls may leave something behind in the session
	}
	return s.query(ctx, entry{st: st, query: true}.doing(), r)
}

// Settle finds out what became of an attempt that was cut off, when it called what may have an effect.
func (q *query) Settle(ctx context.Context, env *steps.Env) engine.Settlement {
	c, err := connAt(ctx, env, q.node)
	if err != nil {
		return engine.Settlement{Evidence: []string{"could not ask: " + err.Error()}}
	}
	return settlePlain(ctx, env, c)
}
