package sql

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/handrail-dev/handrail/engine"
)

// A marker that is absent proves that nothing was committed, as long as the database that is asked is the one
// that was written. So each step notes which one that is: the server by its own name for itself, and the
// database by a row in its table of markers, which a restore from before takes away or a new table does not
// have. A marker that is there needs no such proof: whoever has it remembers.

// identityToken is the row by which a table of markers is known; its result is a random name.
const identityToken = "handrail/identity"

// stateSelf is the state of that row.
const stateSelf state = "self"

// christen gives the database its row, unless it has one.
func (c *Conn) christen(ctx context.Context, s *session, database string) error {
	m := &markers{c: c, table: c.markerName(database), token: identityToken}
	got, err := m.read(ctx, s)
	if err != nil || got.state != stateNone {
		return err
	}
	_, err = m.insert(ctx, s, "name the table of markers", stateSelf, strings.ToLower(rand.Text()[:16]))
	return err // that somebody else was faster is none
}

// identity is which server, and which table of markers on it, is being asked.
func (c *Conn) identity(ctx context.Context, s *session, database string) (string, error) {
	server, err := c.d.server(ctx, s)
	if err != nil {
		return "", err
	}
	m, err := (&markers{c: c, table: c.markerName(database), token: identityToken}).read(ctx, s)
	if err != nil {
		return "", err
	}
	table := m.result
	if table == "" {
		table = "none"
	}
	if c.group != nil { // those that follow each other may call themselves alike, as PostgreSQL's do
		server += " at " + c.address
	}
	return server + ", markers " + table, nil
}

// known is identity, asked once until something may have changed it.
func (c *Conn) known(ctx context.Context, database string) (string, error) {
	c.mu.Lock()
	id, ok := c.named[database]
	c.mu.Unlock()
	if ok {
		return id, nil
	}
	s, err := c.pin(ctx)
	if err != nil {
		return "", err
	}
	defer s.release()
	if id, err = c.identity(ctx, s, database); err != nil {
		return "", err
	}
	c.mu.Lock()
	c.named[database] = id
	c.mu.Unlock()
	return id, nil
}

// elsewhere: a step was begun on another server than this one. Then the session lock, which is had here, says
// nothing of whether the attempt is still alive there.
func (m *markers) elsewhere(ctx context.Context, s *session, call engine.Call, database string) bool {
	was := seenOf(call).identity
	if was == "" {
		return false
	}
	now, err := m.c.identity(ctx, s, database)
	return err != nil || serverIn(now) != serverIn(was)
}

// serverIn is the server's part of an identity.
func serverIn(identity string) string {
	server, _, _ := strings.Cut(identity, ", markers ")
	return server
}

// another says in a sentence that this is not the database that a step was begun on; empty: it is, or nobody
// noted which it was.
func (m *markers) another(ctx context.Context, s *session, call engine.Call, database string) (string, error) {
	was := seenOf(call).identity
	if was == "" {
		return "", nil
	}
	now, err := m.c.identity(ctx, s, database)
	if err != nil || now == was {
		return "", err
	}
	return fmt.Sprintf("%s: there is no marker in %s, and it is another database than the one that the step was begun on (that was %s; this is %s): it failed over, or was put back to an older state",
		m.c.where, m.table, was, now), nil
}

// movedSince is another, asked on a connection of its own in the middle of a step: its COMMIT may have had no answer because the server
// behind the address changed.
func (m *markers) movedSince(ctx context.Context, call engine.Call) (string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.c.patience)
	defer cancel()
	s, err := m.c.pin(ctx)
	if err != nil {
		return "", err
	}
	defer s.release()
	return m.another(ctx, s, call, seenOf(call).markers)
}

// ahead says in a sentence that a marker is of a later turn than this engine knows of; empty: it is not.
func (m *markers) ahead(got marker) string {
	if m.epoch == 0 || got.epoch <= int64(m.epoch) {
		return ""
	}
	return fmt.Sprintf("%s: the marker in %s is of turn %d of this run, and this journal is at turn %d: it was put back to an older state, or another engine has gone on with a copy of it. Go on with the newer one",
		m.c.where, m.table, got.epoch, m.epoch)
}
