package redis

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// memory is the marker that each node has said last to be done, by its address. Replicas follow their master at a distance, so a failover
// may lose what was done; and they follow in order, so who has the last marker has all that were before it.
type memory map[string]string

// did notes a marker that a node has. AFTER a failover, nothing is built on a node that does not have it.
func (c *Conn) did(n *node, marker string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		c.last = memory{}
	}
	c.last[n.address] = marker
}

// noted is did of what a marker's script has answered.
func (c *Conn) noted(n *node, p protocol, m mark) {
	if m.verdict == "done" || m.verdict == "begun" {
		c.did(n, p.marker)
	}
}

// wiped: whoever erases markers on purpose is not told that they are gone.
func (c *Conn) wiped() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = nil
}

// others are the nodes that n may have taken over from: where one address is all that is known of a target, from what was behind it. In a
// cluster a node that has been written to is a master already, and takes over from nobody.
func (c *Conn) others(n *node) memory {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, known := c.last[n.address]
	if c.form == clustered && known {
		return nil
	}
	out := maps.Clone(c.last)
	if c.form != single {
		delete(out, n.address)
	}
	return out
}

// admits says whether anything may be written to a node: it is no replica, and what was done BEFORE is there.
func (c *Conn) admits(ctx context.Context, n *node) error {
	if err := n.writable(ctx); err != nil {
		return err
	}
	return c.nothingLost(ctx, n)
}

// nothingLost: a node that has taken over from one on which this process has seen something done must have
// that. The error says that it was lost, and nothing was sent; when the run is resumed, its targets are asked for all that it has done.
func (c *Conn) nothingLost(ctx context.Context, at *node) error {
	others := c.others(at)
	for _, before := range slices.Sorted(maps.Keys(others)) {
		marker := others[before]
		state, err := at.ask(ctx, "look for the last marker", "HGET", marker, "state")
		var f *fault
		if errors.As(err, &f) && (f.code == "MOVED" || f.code == "ASK") {
			continue // the slot is still where it was
		}
		if err != nil {
			return err
		}
		if state == "done" || state == "begun" {
			c.handed(before)
			continue
		}
		if c.form == single {
			return fmt.Errorf("redis %s: does not have what was done there last (%s): it is another server now, or was put back to an older state; nothing was sent; "+
				"resume tells which steps are gone; a step that does this on purpose says so with `wipes`", at.address, marker)
		}
		return fmt.Errorf("redis %s: has taken over from %s and does not have what was done there last (%s): the failover has lost it; nothing was sent; resume tells which steps are gone",
			at.address, before, marker)
	}
	return nil
}

// handed: what a node had is there, so the one that has taken over answers for it from now on. Behind one address that is asked anew each time.
func (c *Conn) handed(before string) {
	if c.form == single {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.last, before)
}
