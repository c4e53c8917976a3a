package sql

import (
	"context"
	"fmt"
	"io"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// wiped: a step has erased the markers on purpose, or is about to.
func wiped(conn io.Closer) {
	switch c := conn.(type) {
	case *Conn:
		if c.group != nil {
			wiped(c.group)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.last = nil
	case *group:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.last = nil
	}
}

// committed remembers what must be there when the next step writes: whatever is behind an address now, or another server of a
// group, may have taken over.
func (m *markers) committed() {
	switch {
	case m == nil:
	case m.c.group != nil:
		m.c.group.mu.Lock()
		defer m.c.group.mu.Unlock()
		m.c.group.last = m
	default:
		m.c.mu.Lock()
		defer m.c.mu.Unlock()
		m.c.last = m
	}
}

// remembers is the error if what was committed last is not there, where one address is all that is known of a target: behind it there may be
// another server by now, or an older state of the same one. It asks on the session that writes next. Of a group [group.turnTo] asks that.
func (s *session) remembers(ctx context.Context, env *steps.Env) error {
	c := s.c
	c.mu.Lock()
	last := c.last
	c.mu.Unlock()
	if last == nil || env.Call.Class == engine.ClassRead {
		return nil
	}
	m, err := last.read(ctx, s)
	if err != nil || m.state == stateDone || m.state == statePart {
		return err
	}
	c.forget()
	return &fault{where: c.where, reach: notSent, sort: busyFault, said: fmt.Sprintf(
		"does not have what was committed there last (%s): it is another server now, or was put back to an older state; nothing was sent; resume tells which steps are gone; "+
			"a step that does this on purpose says so: `wipes: [%s]`", last.token, env.Target.Name)}
}
