package sql

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// rendered is a statement as it is sent.
type rendered struct {
	text   string
	args   []any
	secret bool // a secret stands in the text
}

// values are the arguments of one statement: its own, and those of the whole step behind them.
type values struct {
	path string // of the statement's own: "args", "transaction[1].args"
	own  engine.Record
	all  engine.Record
}

func (v values) get(name string) (engine.Value, bool) {
	if x, ok := v.own[name]; ok {
		return x, true
	}
	x, ok := v.all[name]
	return x, ok
}

func (v values) problem(name, format string, args ...any) error {
	path := v.path
	if _, ok := v.own[name]; !ok {
		path = "args"
	}
	return engine.Problem{Path: path + "." + name, Message: fmt.Sprintf(format, args...)}
}

// late renders what refers to the results of earlier entries.
func late(v engine.Value, locals engine.Record) (engine.Value, error) {
	switch x := v.(type) {
	case engine.Late:
		return x.Render(locals)
	case engine.List:
		out := make(engine.List, len(x))
		for i, e := range x {
			var err error
			if out[i], err = late(e, locals); err != nil {
				return nil, err
			}
		}
		return out, nil
	case engine.Record:
		out := make(engine.Record, len(x))
		for k, e := range x {
			var err error
			if out[k], err = late(e, locals); err != nil {
				return nil, fmt.Errorf("%s: %w", k, err)
			}
		}
		return out, nil
	}
	return v, nil
}

// lateRecord renders the arguments of an entry.
func lateRecord(v engine.Value, locals engine.Record, path string) (engine.Record, error) {
	got, err := late(v, locals)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	switch r := got.(type) {
	case nil:
		return nil, nil
	case engine.Record:
		return r, nil
	}
	return nil, engine.Problem{Path: path, Message: "must be a mapping of names to values, not " + engine.TypeName(got)}
}

// render puts the arguments into a piece of a statement: values as parameters, names in quotes AFTER
// the catalogue has them.
func (c *Conn) render(ctx context.Context, q queryer, st *statement.Statement, piece statement.Span, v values) (rendered, error) {
	if err := c.checkNames(ctx, q, st, v); err != nil {
		return rendered{}, err
	}
	var out rendered
	text, err := st.Render(piece, func(a statement.Argument) (string, error) {
		x, ok := v.get(a.Name)
		if !ok {
			return "", engine.Problem{Path: v.path, Message: fmt.Sprintf("the statement takes :%s, and it is not given; write it under `args:`", a.Name)}
		}
		if u, unknown := x.(engine.Unknown); unknown {
			return "", u
		}
		if a.Ident {
			return c.d.quote(x.(string)), nil // checkNames has seen that it is one
		}
		list, ok := x.(engine.List)
		if !ok {
			list = engine.List{x}
		} else if len(list) == 0 {
			return "", v.problem(a.Name, "an empty list cannot stand in a statement, because IN () is no SQL; guard the step with `when: len(…) > 0`")
		}
		marks := make([]string, len(list))
		var err error
		for i, e := range list {
			if c.d.unbound(st.Class) {
				_, secret := e.(engine.Secret)
				out.secret = out.secret || secret
				if marks[i], err = c.d.literal(e); err != nil {
					return "", v.problem(a.Name, "%v", err)
				}
				continue
			}
			mark, arg, err := c.d.bind(len(out.args)+1, e)
			if err != nil {
				return "", v.problem(a.Name, "%v", err)
			}
			marks[i] = mark
			out.args = append(out.args, arg)
		}
		return strings.Join(marks, ", "), nil
	})
	out.text = text
	return out, err
}

// checkNames holds the names that come as arguments against the catalogue.
func (c *Conn) checkNames(ctx context.Context, q queryer, st *statement.Statement, v values) error {
	var names []string
	of := map[string]string{}
	for _, a := range st.Arguments() {
		x, given := v.get(a.Name)
		if !a.Ident || !given {
			continue
		}
		if u, unknown := x.(engine.Unknown); unknown {
			return u
		}
		name, ok := x.(string)
		if !ok || name == "" || strings.ContainsRune(name, 0) {
			return v.problem(a.Name, "ident() takes the name of a table, column or database, not %s", engine.TypeName(x))
		}
		names = append(names, name)
		of[name] = a.Name
	}
	if len(names) == 0 {
		return nil
	}
	strangers, err := c.d.strangers(ctx, q, names)
	if err != nil || len(strangers) == 0 {
		return err
	}
	return v.problem(of[strangers[0]], "%s has no database, table, column or index called %q; only names that are there can be given to ident()", c.where, strangers[0])
}

// target is the name of a written table, with names that came as arguments filled in and the current
// database where the statement names none. False: it cannot be known yet.
func (c *Conn) targets(st *statement.Statement, v values, database string) ([]statement.Name, bool) {
	st, known := c.filled(st, v)
	if !known {
		return nil, false
	}
	out := make([]statement.Name, len(st.Class.Tables))
	for i, n := range st.Class.Tables {
		out[i] = n
		if n.Schema == "" {
			out[i].Schema = database
		}
	}
	return out, true
}

// filled is a statement with the names that came as arguments in their places. False: they cannot be known yet.
func (c *Conn) filled(st *statement.Statement, v values) (*statement.Statement, bool) {
	var idents []string
	for _, a := range st.Arguments() {
		if a.Ident {
			x, _ := v.get(a.Name)
			s, ok := x.(string)
			if !ok {
				return nil, false
			}
			idents = append(idents, s)
		}
	}
	if len(idents) == 0 {
		return st, true
	}
	// The names are known now: the statement is read again with them in place.
	text, err := st.Render(st.Whole(), func(a statement.Argument) (string, error) {
		if a.Ident {
			x, _ := v.get(a.Name)
			return c.d.quote(x.(string)), nil
		}
		return ":" + a.Name, nil
	})
	if err != nil {
		return nil, false
	}
	again, err := statement.ParseSent(c.d.grammar(), text)
	if err != nil {
		return nil, false
	}
	return again, true
}

// unknownOfArgs is the step after which a value is known, if one of these is not known yet.
func unknownOfArgs(err error) (engine.Unknown, bool) {
	var u engine.Unknown
	return u, errors.As(err, &u)
}
