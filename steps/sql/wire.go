package sql

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// refusal is what the guard answers in place of the server.
type refusal struct{ why string }

func (r refusal) Error() string { return r.why }

// connector makes the connections of a target: prepared, numbered and, on a read-only target, guarded.
type connector struct {
	driver.Connector
	d      dialect
	access steps.Access
	heard  func(text string)
}

func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	ctx, cancel := connecting(ctx)
	defer cancel()
	raw, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, noGreeting(ctx, err)
	}
	id, err := c.d.greet(ctx, raw, c.access != steps.Full)
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return &wire{Conn: raw, d: c.d, id: id, readOnly: c.access != steps.Full, heard: c.heard}, nil
}

var errNoGreeting = errors.New("no greeting")

// connecting bounds the time in which a server greets.
func connecting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, connectLimit, errNoGreeting)
}

// noGreeting tells a server that took the connection and then said nothing, for as long as connecting lets it or the step.
func noGreeting(ctx context.Context, err error) error {
	switch {
	case errors.Is(context.Cause(ctx), errNoGreeting):
		return silence{err, "within " + connectLimit.String()}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return silence{err, "within the time allowed"}
	}
	return err
}

// silence is what meets a client that talks to something else than a database.
type silence struct {
	cause  error
	lasted string
}

func (s silence) Error() string { return s.cause.Error() }
func (s silence) Unwrap() error { return s.cause }

// wire is one connection to a server. It stands below the operations: whatever they send goes through
// it, and on a read-only target it lets nothing through but what is known to read.
type wire struct {
	driver.Conn
	d        dialect
	id       int64
	readOnly bool
	// heard is told each statement that is sent; nil: nobody listens.
	heard func(text string)
}

// sent tells of a statement, unless the driver has handed it back to be prepared.
func (w *wire) sent(text string, err error) {
	if w.heard != nil && !errors.Is(err, driver.ErrSkip) {
		w.heard(text)
	}
}

// admit judges a statement.
func (w *wire) admit(text string) error {
	if !w.readOnly {
		return nil
	}
	s, err := statement.ParseSent(w.d.grammar(), text)
	if err != nil {
		return refusal{"a dry-run only reads, and this statement cannot be understood: " + err.Error()}
	}
	switch {
	case s.Class.Sort != statement.Reads && s.Class.Why != "":
		return refusal{fmt.Sprintf("a dry-run only reads, and %s is not known to: %s", s.Class.Verb, s.Class.Why)}
	case s.Class.Sort != statement.Reads:
		return refusal{fmt.Sprintf("a dry-run only reads, and %s does not", s.Class.Verb)}
	case s.Class.Locks:
		return refusal{"a dry-run only reads, and this statement locks what it reads"}
	}
	if g, ok := w.Conn.(guard); ok {
		return g.admit(s)
	}
	return nil
}

// guard is a connection that knows more of what reads than the text tells.
type guard interface {
	admit(s *statement.Statement) error
}

// QueryContext sends a statement that brings rows.
func (w *wire) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	if err := w.admit(text); err != nil {
		return nil, err
	}
	if q, ok := w.Conn.(driver.QueryerContext); ok {
		rows, err := q.QueryContext(ctx, text, args)
		w.sent(text, err)
		return rows, err
	}
	return nil, driver.ErrSkip
}

// ExecContext sends a statement that brings none.
func (w *wire) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	if err := w.admit(text); err != nil {
		return nil, err
	}
	if e, ok := w.Conn.(driver.ExecerContext); ok {
		result, err := e.ExecContext(ctx, text, args)
		w.sent(text, err)
		return result, err
	}
	return nil, driver.ErrSkip
}

// Prepare prepares a statement.
func (w *wire) Prepare(text string) (driver.Stmt, error) {
	return w.PrepareContext(context.Background(), text)
}

// PrepareContext prepares a statement; what is prepared is judged here, since it is executed unseen.
func (w *wire) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	if err := w.admit(text); err != nil {
		return nil, err
	}
	w.sent(text, nil)
	if p, ok := w.Conn.(driver.ConnPrepareContext); ok {
		return p.PrepareContext(ctx, text)
	}
	return w.Conn.Prepare(text)
}

// Begin is not used here: a transaction is begun by a statement.
func (*wire) Begin() (driver.Tx, error) {
	return nil, errors.New("transactions are begun by a statement")
}

// BeginTx is not used here either.
func (w *wire) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) { return w.Begin() }

// Ping asks whether the server is there.
func (w *wire) Ping(ctx context.Context) error {
	if p, ok := w.Conn.(driver.Pinger); ok {
		return p.Ping(ctx)
	}
	return nil
}

// ResetSession is called BEFORE a connection is used again.
func (w *wire) ResetSession(ctx context.Context) error {
	if r, ok := w.Conn.(driver.SessionResetter); ok {
		return r.ResetSession(ctx)
	}
	return nil
}

// IsValid says whether a connection may be used again.
func (w *wire) IsValid() bool {
	if v, ok := w.Conn.(driver.Validator); ok {
		return v.IsValid()
	}
	return true
}

// CheckNamedValue brings an argument into the driver's form.
func (w *wire) CheckNamedValue(v *driver.NamedValue) error {
	if c, ok := w.Conn.(driver.NamedValueChecker); ok {
		return c.CheckNamedValue(v)
	}
	return driver.ErrSkip
}
