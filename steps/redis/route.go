package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// misdirected: the server is a replica, so what was to be sent there belongs elsewhere.
type misdirected struct{ error }

// mostHops bounds how often one command is shown on to another node without a pause.
const mostHops = 16

// try is one attempt at a command: on which node, and whether it comes there by an ASK.
type try struct {
	*node
	asking bool
}

// follow lets f act on the node that answers for a slot, or without one on the master of the target; and
// again, there or elsewhere, as long as the servers say that nothing was carried out. f returns an error only
// if nothing was, or if it only reads. A single server is asked once.
func (c *Conn) follow(ctx context.Context, slot int, patience time.Duration, f func(try) error) error {
	if c.form == single {
		n, err := c.node(c.seeds[0])
		if err != nil {
			return err
		}
		return f(try{node: n})
	}
	within, stop := context.WithTimeout(ctx, patience)
	defer stop()
	var at try
	var why error // it was waited for the cluster
	for hops := 0; ; hops++ {
		var err error
		if at.node == nil {
			at.node, err = c.home(within, slot)
			if err != nil && why != nil && ended(within) && !ended(ctx) {
				return c.told(ctx, why) // the patience has ended in the middle of a question, which is no reason
			}
		}
		if err == nil {
			err = f(at)
		}
		if err == nil {
			return nil
		}
		next, wait, again := c.elsewhere(at, slot, err)
		if !again || ctx.Err() != nil {
			return c.told(ctx, err)
		}
		if wait || hops > mostHops {
			hops, why = 0, err
			if pause(within, asking) != nil {
				return c.told(ctx, err)
			}
		}
		at = next
	}
}

// ended says that a context's time is up. A socket keeps the same time and can be a moment ahead of the
// context's own timer, so the clock is asked as well.
func ended(ctx context.Context) bool {
	deadline, limited := ctx.Deadline()
	return ctx.Err() != nil || limited && !time.Now().Before(deadline)
}

// home is the node that answers for a slot as things are, or the master.
func (c *Conn) home(ctx context.Context, slot int) (*node, error) {
	if c.form == watched || slot == noSlot {
		nodes, err := c.pick(ctx, nodesOne)
		if err != nil {
			return nil, err
		}
		return nodes[0].node, nil
	}
	l, err := c.look(ctx)
	if err != nil {
		return nil, err
	}
	m, ok := l.owner(slot)
	if !ok || m.failed {
		return nil, uncovered{l.from.address, slot, rangesText(l.uncovered())}
	}
	return c.node(m.address)
}

// uncovered is a slot that no node answers for.
type uncovered struct {
	node string
	slot int
	all  string
}

func (e uncovered) Error() string {
	return fmt.Sprintf("redis %s: no node of the cluster answers for slot %d; nothing was sent; uncovered are the slots %s: bring their node back, or restore them",
		e.node, e.slot, e.all)
}

// elsewhere says where to go after an error that shows that nothing was carried out.
func (c *Conn) elsewhere(at try, slot int, err error) (next try, wait, again bool) {
	if errors.As(err, new(misdirected)) || errors.As(err, new(uncovered)) || errors.As(err, new(split)) {
		return try{}, true, true
	}
	var f *fault
	if !errors.As(err, &f) {
		return try{}, false, false
	}
	switch f.reach {
	case notSent:
		return try{}, true, !errors.As(err, new(refusal))
	case lost:
		return try{}, false, false
	case refused:
	}
	switch f.code {
	case "MOVED", "ASK":
		address, ok := shownTo(f.cause.Error(), slot, at)
		if !ok {
			return try{}, false, false
		}
		n, err := c.node(address)
		if err != nil {
			return try{}, false, false
		}
		return try{node: n, asking: f.code == "ASK"}, false, true
	case "TRYAGAIN":
		return at, true, true
	case "CLUSTERDOWN", "LOADING", "MASTERDOWN", "READONLY":
		return try{}, true, true
	}
	return try{}, false, false
}

// shownTo reads "MOVED 3999 127.0.0.1:6381". A server that does not know the host of the other leaves it
// out, and means its own.
func shownTo(said string, slot int, at try) (address string, ok bool) {
	f := strings.Fields(said)
	if len(f) < 3 || f[1] != strconv.Itoa(slot) {
		return "", false
	}
	address = f[2]
	if port, own := strings.CutPrefix(address, ":"); own && at.node != nil {
		host := at.address[:strings.LastIndexByte(at.address, ':')]
		return host + ":" + port, true
	}
	return address, true
}

// told adds to a fault of the cluster which slots are meant.
func (c *Conn) told(ctx context.Context, err error) error {
	var f *fault
	if c.form != clustered || !errors.As(err, &f) || f.code != "CLUSTERDOWN" {
		return err
	}
	l, look := c.look(ctx)
	if look != nil {
		return err
	}
	if open := l.uncovered(); len(open) > 0 {
		return &fault{node: f.node, doing: f.doing, reach: f.reach, code: f.code,
			cause: fmt.Errorf("%w; no node answers for the slots %s", f.cause, rangesText(open))}
	}
	return err
}

// askAt sends a command that only reads, by an ASK if that is how it comes there.
func (t try) askAt(ctx context.Context, doing string, args ...any) (engine.Value, error) {
	if !t.asking {
		return t.ask(ctx, doing, args...)
	}
	p, err := t.pinFor(ctx, doing)
	if err != nil {
		return nil, err
	}
	defer p.release()
	return p.call(ctx, doing, args...)
}

// callAt sends a command once.
func (t try) callAt(ctx context.Context, doing string, args ...any) (engine.Value, error) {
	if !t.asking {
		return t.call(ctx, doing, args...)
	}
	return t.askAt(ctx, doing, args...)
}

// pinFor is a connection whose commands are sent by an ASK if that is how they come to the node.
func (t try) pinFor(ctx context.Context, doing string) (*pinned, error) {
	p, err := t.pin(ctx, doing)
	if err == nil {
		p.asking = t.asking
	}
	return p, err
}

// read asks the node of a slot, wherever it is.
func (c *Conn) read(ctx context.Context, slot int, doing string, args ...any) (v engine.Value, err error) {
	err = c.follow(ctx, slot, c.patience(), func(at try) (err error) {
		v, err = at.askAt(ctx, doing, append([]any(nil), args...)...)
		return err
	})
	return v, err
}

// patience bounds how long a node that is down, loading or being replaced is waited for.
func (c *Conn) patience() time.Duration { return min(c.line.timeout, defaultTimeout) }
