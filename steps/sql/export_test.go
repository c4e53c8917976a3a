package sql

import (
	"context"
	"database/sql/driver"
	"io"
	"time"
)

// SetPatience shortens the waits of a connection, for tests in which what is waited for never comes.
func SetPatience(c io.Closer, d time.Duration) {
	g, several := c.(*group)
	if !several {
		c.(*Conn).patience = d
		return
	}
	for _, m := range g.members {
		open := m.open
		m.open = func(ctx context.Context) (*Conn, error) {
			c, err := open(ctx)
			if err == nil {
				c.patience = d
			}
			return c, err
		}
		if m.conn != nil {
			m.conn.patience = d
		}
	}
}

// Hear tells each statement that is sent to the targets of the kind.
func (k *Kind) Hear(f func(text string)) { k.heard = f }

// LimitPreviews is how long a server works on one statement of a dry-run from now on.
func (k *Kind) LimitPreviews(d time.Duration) { k.limit = d }

// BelowTheGuard sends a statement past the guard, on the connection that the guard stands before.
func BelowTheGuard(ctx context.Context, c io.Closer, text string) error {
	s, err := c.(*Conn).pin(ctx)
	if err != nil {
		return err
	}
	defer s.release()
	return s.conn.Raw(func(raw any) error {
		_, err := raw.(*wire).Conn.(driver.ExecerContext).ExecContext(ctx, text, nil)
		return err
	})
}
