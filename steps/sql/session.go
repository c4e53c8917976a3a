package sql

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/steps"
)

// session is one connection that a step has for itself.
type session struct {
	c    *Conn
	conn *sql.Conn
	id   int64
	lost bool // no answer came to something that was sent on it
	// spoiled: its settings, variables or temporary tables may be other than those of a new one.
	spoiled bool
	locked  string
	pooled  bool // a pooler stands between, which seems to keep sessions
}

// pin takes a connection for a step alone.
func (c *Conn) pin(ctx context.Context) (*session, error) {
	conn, err := c.db.Conn(ctx)
	if err != nil {
		return nil, c.notSent("connect", err)
	}
	s := &session{c: c, conn: conn}
	err = conn.Raw(func(raw any) error {
		w, ok := raw.(*wire)
		if !ok {
			return fmt.Errorf("a connection of type %T", raw)
		}
		s.id = w.id
		if l, ok := w.Conn.(*postgresLink); ok {
			s.pooled = l.pooled
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(c.faultOf("connect", err), conn.Close())
	}
	return s, nil
}

// notSent is the fault of something that failed BEFORE the statement could be sent.
func (c *Conn) notSent(doing string, err error) error {
	err = c.faultOf(doing, err)
	var f *fault
	if errors.As(err, &f) && f.reach == lost {
		f.reach = notSent
	}
	return err
}

// release gives the connection back, or ends it when it is not as a new one.
func (s *session) release() {
	if s.lost || s.spoiled || s.locked != "" {
		_ = s.conn.Raw(func(any) error { return driver.ErrBadConn }) // makes the pool close it
	}
	_ = s.conn.Close()
}

// do sends something and waits for its answer. When ctx ends first, the statement is killed at the
// server, and the answer is waited for all the same: only then it is known what is true.
func (s *session) do(ctx context.Context, doing string, f func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return s.c.notSent(doing, err)
	}
	err := s.attend(ctx, f)
	err = s.c.faultOf(doing, err)
	s.lost = s.lost || reachOf(err) == lost
	var fl *fault
	if ctx.Err() != nil && errors.As(err, &fl) && (fl.sort == stopped || fl.reach == lost) {
		fl.said = "stopped by its timeout or by hand: " + fl.said
	}
	return err
}

func (s *session) attend(ctx context.Context, f func(context.Context) error) error {
	if !s.c.holds() || ctx.Done() == nil {
		err := f(ctx)
		if ctx.Err() != nil && err != nil && !s.c.holds() {
			return interrupted{err} // the driver has waited for the end of the statement
		}
		return err
	}
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	answered, killer := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(killer)
		s.kill(answered, cancel)
	})
	err := f(inner)
	close(answered)
	if !stop() {
		<-killer // it must not kill what is sent next
	}
	return err
}

// interrupted is the end of a statement that was stopped on this machine.
type interrupted struct{ cause error }

func (i interrupted) Error() string { return i.cause.Error() }
func (i interrupted) Unwrap() error { return i.cause }

// kill ends the statement under way from a second connection: politely, then with its connection, and
// in the end by giving it up.
//
// On a read-only connection nothing is killed: what is read there ends by itself, by the server's limit.
func (s *session) kill(answered <-chan struct{}, giveUp func()) {
	defer giveUp()
	if s.c.access != steps.Full {
		return
	}
	for _, connection := range []bool{false, true} {
		if closed(answered) {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), s.c.patience)
		_ = s.c.kill(ctx, s.id, connection) // that it did not help is seen below
		select {
		case <-answered:
			cancel()
			return
		case <-ctx.Done():
		}
		cancel()
	}
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// holds: a statement goes on at the server when its client is gone.
func (c *Conn) holds() bool { return c.d.keeper() != nil }

// kill ends what a connection is doing, or the connection, by another one.
func (c *Conn) kill(ctx context.Context, id int64, connection bool) error {
	_, err := c.db.ExecContext(ctx, c.d.keeper().stop(id, connection))
	return c.faultOf("stop connection "+fmt.Sprint(id), err)
}

// exec sends a statement that brings no rows.
func (s *session) exec(ctx context.Context, doing, text string, args ...any) (result sql.Result, err error) {
	err = s.do(ctx, doing, func(ctx context.Context) error {
		result, err = s.conn.ExecContext(ctx, text, args...)
		return err
	})
	return result, err
}

// rollback takes back what the transaction has done.
func (s *session) rollback(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.c.patience)
	defer cancel()
	_, err := s.conn.ExecContext(ctx, "ROLLBACK")
	if err != nil && !s.c.holds() && reachOf(s.c.faultOf("", err)) == refused {
		return nil // SQLite has rolled back by itself
	}
	if err != nil {
		s.lost = true
	}
	return err
}

// rows reads a few rows of the server's own catalogue.
func (s *session) rows(ctx context.Context, doing, text string, args ...any) (out [][]any, err error) {
	err = s.do(ctx, doing, func(ctx context.Context) error {
		rows, err := s.conn.QueryContext(ctx, text, args...)
		if err != nil {
			return err
		}
		out, err = plainRows(rows)
		return err
	})
	return out, err
}

// rows reads a few rows on any connection.
func (c *Conn) rows(ctx context.Context, doing, text string, args ...any) ([][]any, error) {
	s, err := c.pin(ctx)
	if err != nil {
		return nil, err
	}
	defer s.release()
	return s.rows(ctx, doing, text, args...)
}

func plainRows(rows *sql.Rows) (out [][]any, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		row, to := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			to[i] = &row[i]
		}
		if err := rows.Scan(to...); err != nil {
			return nil, err
		}
		for i, v := range row {
			if b, ok := v.([]byte); ok {
				row[i] = string(b)
			}
		}
		out = append(out, row)
	}
	return out, rows.Err()
}

const (
	// lockTurn is how many seconds the server waits for a lock before it is asked again.
	lockTurn = 2
	// lockPause lies between two questions to a server that does not wait.
	lockPause = 100 * time.Millisecond
)

// lock takes the session lock of a token. As long as another session has it, a statement of that
// token may still be running at the server.
func (s *session) lock(ctx context.Context, token string) error {
	if !s.c.holds() {
		return nil
	}
	text, waits := s.c.d.keeper().lock(token, s.id)
	for {
		got, err := s.rows(ctx, "take the session lock of this step", text)
		if err != nil {
			return err
		}
		switch {
		case len(got) == 1 && number(got[0][0]) == 1:
			s.locked = token
			return nil
		case len(got) == 1 && number(got[0][0]) < 0:
			s.spoiled = true
			return s.c.notSent("", refusal{noPooler})
		case len(got) != 1 || got[0][0] == nil:
			return &fault{where: s.c.where, doing: "take the session lock of this step", reach: refused, said: "the server could not give it"}
		}
		if !waits {
			pause(ctx, lockPause) // that ctx has ended the next question says
		}
	}
}

// unlock lets go of it. A connection that could not is closed, which lets go as well.
func (s *session) unlock(ctx context.Context) {
	if s.locked == "" || s.lost {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.c.patience)
	defer cancel()
	if got, err := s.rows(ctx, "release the session lock", s.c.d.keeper().unlock(s.locked)); err == nil && len(got) == 1 && number(got[0][0]) == 1 {
		s.locked = ""
	}
}

func number(v any) int64 {
	switch x := v.(type) {
	case int64:
		return x
	case uint64:
		return int64(min(x, 1<<63-1))
	case float64:
		return int64(x)
	case string:
		var n int64
		_, _ = fmt.Sscan(x, &n)
		return n
	}
	return 0
}

func word(v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case string:
		return x
	case time.Time:
		return x.Format(time.RFC3339)
	}
	return fmt.Sprint(v)
}

// pointName is a name for a savepoint that nobody else uses.
func pointName() string { return "handrail_" + strings.ToLower(rand.Text()[:16]) }
