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
	text string
	all  engine.Record
}

func decodeQuery(params engine.Record) (steps.Operation, error) {
	var p queryParams
	if err := steps.Bind(params, &p); err != nil {
		return nil, err
	}
	if _, err := statement.Parse(statement.Any, p.Query); err != nil {
		return nil, problemOf("query", err)
	}
	return &query{text: p.Query, all: argsOf(params)}, nil
}

// Execute reads.
func (q *query) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	c, err := connOf(ctx, env)
	if err != nil {
		return failure(err)
	}
	st, err := statement.Parse(c.d.grammar(), q.text)
	if err != nil {
		return failure(fmt.Errorf("%s: %w", c.where, err))
	}
	s, err := c.pin(ctx)
	if err != nil {
		return failure(err)
	}
	defer s.release()
	e := entry{st: st, query: true}
	if st.Class.Sort != statement.Reads && env.Call.Class == engine.ClassUnrepeatable {
		if err := s.enter(ctx, env); err != nil {
			return failure(err)
		}
		defer s.unlock(ctx)
		return plain(ctx, env, s, e, q.all)
	}
	r, err := c.render(ctx, s, st, st.Whole(), values{path: "args", all: q.all})
	if err != nil {
		return failure(err)
	}
	if st.Class.Sort != statement.Reads {
		s.spoiled = true // what it calls may leave something behind in the session
	}
	result, err := s.query(ctx, e.doing(), r)
	if err != nil {
		return failure(err)
	}
	return engine.Outcome{Result: result}
}

// Settle finds out what became of an attempt that was cut off, when it called what may have an effect.
func (q *query) Settle(ctx context.Context, env *steps.Env) engine.Settlement {
	c, err := connOf(ctx, env)
	if err != nil {
		return engine.Settlement{Evidence: []string{"could not ask: " + err.Error()}}
	}
	return settlePlain(ctx, env, c)
}
