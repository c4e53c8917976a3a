package sql

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"path/filepath"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/disk"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// compiler is a dialect for which EXPLAIN tells more than preparing.
type compiler interface {
	// compile has the statement explained, which does not carry it out. A null stands in it for each argument.
	compile(ctx context.Context, raw driver.Conn, text string) error
}

// preparer is a connection on which statements are prepared and forgotten again, and never carried out: there is
// nothing else that it can do. So it may be used in a dry-run for every statement, and shows whether the tables and
// columns are there, and whether the user may. A read-only session would not do: there the server refuses to
// prepare what writes, BEFORE it looks at anything.
type preparer struct {
	c   *Conn
	raw driver.Conn
}

func (c *Conn) preparer(ctx context.Context) (*preparer, error) {
	ctx, cancel := connecting(ctx)
	defer cancel()
	raw, err := c.made.Connect(ctx)
	if err != nil {
		return nil, c.notSent("connect", noGreeting(ctx, err))
	}
	if _, err := c.d.greet(ctx, raw, false); err != nil {
		return nil, errors.Join(c.notSent("connect", err), raw.Close())
	}
	return &preparer{c, raw}, nil
}

func (p *preparer) close() { _ = p.raw.Close() } // nothing was done on it

// understand has the server prepare a statement.
func (p *preparer) understand(ctx context.Context, doing, text string) error {
	if c, ok := p.c.d.(compiler); ok {
		return p.c.faultOf(doing, c.compile(ctx, p.raw, text))
	}
	prepares, ok := p.raw.(driver.ConnPrepareContext)
	if !ok {
		return nil
	}
	stmt, err := prepares.PrepareContext(ctx, text)
	if err != nil {
		return p.c.faultOf(doing, err)
	}
	return p.c.faultOf(doing, stmt.Close())
}

// compile: SQLite compiles behind EXPLAIN, and shows its program instead of running it.
func (*sqliteDialect) compile(ctx context.Context, raw driver.Conn, text string) error {
	q, ok := raw.(driver.QueryerContext)
	if !ok {
		return nil
	}
	return dropped(q.QueryContext(ctx, "EXPLAIN "+text, nil))
}

// compile: PostgreSQL looks at the rights of the user when it explains, and not when it prepares. In a read-only
// transaction it explains what writes, too.
func (*postgresDialect) compile(ctx context.Context, raw driver.Conn, text string) error {
	e, execs := raw.(driver.ExecerContext)
	q, queries := raw.(driver.QueryerContext)
	if !execs || !queries {
		return nil
	}
	if _, err := e.ExecContext(ctx, "BEGIN READ ONLY", nil); err != nil {
		return err
	}
	err := dropped(q.QueryContext(ctx, "EXPLAIN "+text, nil))
	_, back := e.ExecContext(ctx, "ROLLBACK", nil)
	return errors.Join(err, back)
}

// dropped waits for the end of rows that nobody wants, and so for what is wrong with them.
func dropped(rows driver.Rows, err error) error {
	if err != nil {
		return err
	}
	for err == nil {
		err = rows.Next(make([]driver.Value, len(rows.Columns())))
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, rows.Close())
}

// Check has the server prepare the statement.
func (q *query) Check(ctx context.Context, env *steps.Env) ([]engine.Lack, error) {
	entries := func(c *Conn) ([]entry, error) {
		st, err := statement.Parse(c.d.grammar(), q.text)
		return []entry{{st: st, query: true}}, err
	}
	if q.nodes != nodesAny && q.nodes != nodesEach {
		return checkAll(ctx, env, q.node, q.all, entries)
	}
	members, err := membersOf(ctx, env)
	if err != nil {
		return nil, err
	}
	var lacks []engine.Lack
	var silent []error
	for _, m := range members {
		c, err := m.get(ctx)
		var more []engine.Lack
		if err == nil {
			more, err = c.check(ctx, q.all, entries)
		}
		lacks = append(lacks, more...)
		if err != nil {
			silent = append(silent, err)
		} else if q.nodes == nodesAny {
			return lacks, nil
		}
	}
	return lacks, errors.Join(silent...)
}

// Check has the server prepare the statement, and looks whether there is room for the file.
func (x *export) Check(ctx context.Context, env *steps.Env) ([]engine.Lack, error) {
	lacks, err := x.query.Check(ctx, env)
	if _, unknown := env.Call.Params["to"].(engine.Unknown); unknown || err != nil {
		return lacks, err
	}
	return append(lacks, disk.Lacks(filepath.Dir(x.file(env)))...), nil
}

// Check has the server prepare each statement.
func (t *change) Check(ctx context.Context, env *steps.Env) ([]engine.Lack, error) {
	return checkAll(ctx, env, t.node, t.all, t.entries)
}

// Check has the server prepare each statement.
func (t *script) Check(ctx context.Context, env *steps.Env) ([]engine.Lack, error) {
	return checkAll(ctx, env, nil, t.all, t.entries)
}

// Check looks at the server, for the program, and for room. What is known of the parameters decides how far.
func (d *dump) Check(ctx context.Context, env *steps.Env) ([]engine.Lack, error) {
	impact, err := d.Preview(ctx, env)
	if err != nil {
		return nil, err
	}
	var lacks []engine.Lack
	if _, unknown := engine.FirstUnknown(env.Call.Params); !unknown && impact.Standing == engine.StandingUnknown {
		lacks = append(lacks, steps.LackOf(impact.Why))
	}
	if path := d.Dump; path != "" {
		lacks = append(lacks, disk.Lacks(filepath.Dir(pathOf(env, path)))...)
	}
	return lacks, nil
}

func checkAll(ctx context.Context, env *steps.Env, node *string, all engine.Record, entries func(*Conn) ([]entry, error)) ([]engine.Lack, error) {
	c, err := connAt(ctx, env, node)
	if err != nil {
		return nil, err
	}
	return c.check(ctx, all, entries)
}

// check has one server prepare the statements.
func (c *Conn) check(ctx context.Context, all engine.Record, entries func(*Conn) ([]entry, error)) ([]engine.Lack, error) {
	list, err := entries(c)
	if err != nil {
		return []engine.Lack{steps.LackOf(err.Error())}, nil
	}
	p, err := c.preparer(ctx)
	if err != nil {
		return nil, err
	}
	defer p.close()
	var lacks []engine.Lack
	made := map[string]bool{} // by statements before
	for _, e := range list {
		if e.st.Class.Sort == statement.Defines {
			for _, n := range e.st.Class.Tables {
				made[n.Table] = true
			}
		}
		err := p.check(ctx, e, all)
		if err == nil || is(err, absentFault) && len(made) > 0 {
			continue
		}
		if reachOf(err) != refused {
			return lacks, err
		}
		l := steps.LackOf(err.Error())
		l.Lasting = is(err, rightsFault)
		lacks = append(lacks, l)
	}
	return lacks, nil
}

// check has the server prepare one statement, with a null for each argument. What cannot be prepared is not
// held against it.
func (p *preparer) check(ctx context.Context, e entry, all engine.Record) error {
	switch e.st.Class.Sort {
	case statement.Reads, statement.Writes:
	case statement.Calls, statement.Session, statement.Defines, statement.Commits, statement.Control, statement.Other:
		return nil
	}
	v := values{path: "args", all: all}
	unnamed := errors.New("a name is not known yet")
	n := 0
	text, err := e.st.Render(e.st.Whole(), func(a statement.Argument) (string, error) {
		if a.Ident {
			x, _ := v.get(a.Name)
			name, ok := x.(string)
			if !ok {
				return "", unnamed
			}
			return p.c.d.quote(name), nil
		}
		if _, explains := p.c.d.(compiler); explains {
			return "NULL", nil
		}
		n++
		text, _, err := p.c.d.bind(n, nil)
		return text, err
	})
	if errors.Is(err, unnamed) {
		return nil
	}
	if err != nil {
		return err
	}
	return p.understand(ctx, e.doing(), text)
}

// Makes: only what defines something, or runs code that is not seen here, makes a table.
func (t *change) Makes(*steps.Env) bool {
	for _, src := range t.texts {
		st, err := statement.Parse(statement.Any, src.text)
		if err != nil || st.Class.Sort != statement.Reads && st.Class.Sort != statement.Writes {
			return true
		}
	}
	return false
}

// Makes: the file is none of the target's things.
func (x *export) Makes(*steps.Env) bool { return false }

// Makes: the file is none of the target's things.
func (d *dump) Makes(*steps.Env) bool { return false }
