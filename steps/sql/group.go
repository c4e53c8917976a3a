package sql

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// group is a target with several servers that hold the same data: one takes writes, the others follow it. What
// writes goes to the writer. Who that is is asked of all of them whenever a step begins, because a failover may lie
// between two steps; that none says it, or two do, is an error, and never a choice made here.
//
// Each server has a connection of its own, which is opened when it is first needed, so that one that is down
// stops only what needs it.
type group struct {
	name    string
	where   string // for messages: "mysql a:3306, b:3306"
	members []*member

	mu     sync.Mutex
	asked  bool     // all of them, once
	writer *member  // that took the last write
	last   *markers // of what was committed there last
}

// member is one server of a group.
type member struct {
	address string
	open    func(ctx context.Context) (*Conn, error)
	turn    chan struct{} // whoever has its one value may look at conn
	conn    *Conn
}

// writerGrace is how long others may take to answer once one has said that it takes writes. Only the first
// time all are waited for as long as a greeting may take: a server that is silent must not hold up every step.
const writerGrace = time.Second

// severalOf are the addresses of a target with several servers; none: it is one server.
func severalOf(target steps.Target) ([]string, error) {
	if target.Type != typeMySQL && target.Type != typePostgres {
		return nil, nil
	}
	given, several := target.Settings["addresses"]
	if _, one := target.Settings["address"]; one == several {
		return nil, engine.Problem{Path: "address", Message: "give either `address` or `addresses`"}
	}
	list, _ := given.(engine.List)
	out := make([]string, len(list))
	for i, v := range list {
		out[i], _ = v.(string)
		for _, before := range out[:i] {
			if before == out[i] {
				return nil, engine.Problem{Path: fmt.Sprintf("addresses[%d]", i), Message: out[i] + " stands there twice"}
			}
		}
	}
	if several && len(out) == 0 {
		return nil, engine.Problem{Path: "addresses", Message: "there is no address in it"}
	}
	if programs, _ := target.Settings["programs"].(engine.Record); several && programs["address"] != nil {
		return nil, engine.Problem{Path: "programs.address", Message: "there are several servers, and it would stand for each of them; leave it out, so that the program goes to the one that was chosen"}
	}
	return out, nil
}

func (k *Kind) newGroup(target steps.Target, addresses []string, access steps.Access) *group {
	g := &group{name: target.Name, where: target.Type + " " + strings.Join(addresses, ", ")}
	for _, address := range addresses {
		one := target
		one.Settings = maps.Clone(target.Settings)
		delete(one.Settings, "addresses")
		one.Settings["address"] = address
		m := &member{address: address, turn: make(chan struct{}, 1)}
		m.open = func(ctx context.Context) (*Conn, error) {
			c, err := k.connect(ctx, one, access)
			if err == nil {
				c.group, c.member = g, m
			}
			return c, err
		}
		m.turn <- struct{}{}
		g.members = append(g.members, m)
	}
	return g
}

// Close ends all connections.
func (g *group) Close() error {
	var errs []error
	for _, m := range g.members {
		<-m.turn
		if m.conn != nil {
			errs = append(errs, m.conn.Close())
			m.conn = nil
		}
		m.turn <- struct{}{}
	}
	return errors.Join(errs...)
}

// get is the connection to a server. A failure to open it is not kept.
func (m *member) get(ctx context.Context) (*Conn, error) {
	select {
	case <-m.turn:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { m.turn <- struct{}{} }()
	if m.conn != nil {
		return m.conn, nil
	}
	c, err := m.open(ctx)
	if err == nil {
		m.conn = c
	}
	return c, err
}

// saying is what one server says of itself.
type saying struct {
	m       *member
	c       *Conn
	follows string // why it takes no writes; empty: it does
	err     error
}

func (s saying) writes() bool { return s.err == nil && s.follows == "" }

// String is the answer in a few words.
func (s saying) String() string {
	said := "takes writes"
	switch {
	case s.err != nil:
		said = s.err.Error()
		var f *fault
		if errors.As(s.err, &f) {
			said = f.said
		}
		said, _, _ = strings.Cut(said, "; ")
	case s.follows != "":
		said = s.follows
	}
	return s.m.address + " " + said
}

// survey asks all servers side by side whether they take writes. The answers stand in the order of the addresses.
func (g *group) survey(ctx context.Context, grace time.Duration) []saying {
	ctx, cancel := connecting(ctx)
	defer cancel()
	type answer struct {
		i int
		saying
	}
	answers := make(chan answer)
	for i, m := range g.members {
		go func() {
			s := saying{m: m}
			if s.c, s.err = m.get(ctx); s.err == nil {
				s.follows, s.err = s.c.d.follows(ctx, brief{s.c})
			}
			answers <- answer{i, s}
		}()
	}
	out := make([]saying, len(g.members))
	for range g.members {
		a := <-answers
		out[a.i] = a.saying
		if a.writes() && grace > 0 {
			late := time.AfterFunc(grace, cancel)
			defer late.Stop()
		}
	}
	return out
}

// brief asks something that may simply be given up, and so needs no second connection to end it.
type brief struct{ c *Conn }

func (b brief) rows(ctx context.Context, doing, text string, args ...any) ([][]any, error) {
	rows, err := b.c.db.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, b.c.notSent(doing, err)
	}
	out, err := plainRows(rows)
	return out, b.c.notSent(doing, err)
}

// write finds the server that takes writes.
func (g *group) write(ctx context.Context) (*Conn, error) {
	g.mu.Lock()
	grace := writerGrace
	if !g.asked {
		grace = 0
	}
	g.asked = true
	g.mu.Unlock()
	return g.choose(ctx, g.survey(ctx, grace))
}

// choose finds it by what the servers say.
func (g *group) choose(ctx context.Context, said []saying) (*Conn, error) {
	var writers []saying
	answers := make([]string, len(said))
	silent := false
	for i, s := range said {
		answers[i] = s.String()
		silent = silent || s.err != nil
		if s.writes() {
			writers = append(writers, s)
		}
	}
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s: stopped while its servers were asked which one takes writes", g.where)
	case len(writers) == 1:
		return writers[0].c, g.turnTo(ctx, writers[0])
	case len(writers) == 0:
		f := &fault{where: "target " + g.name, reach: notSent, said: fmt.Sprintf(
			"none of its servers takes writes (%s); nothing was sent; wait for the failover to end, or see to it that one is the primary", strings.Join(answers, ", "))}
		if silent {
			f.sort = busyFault
		}
		return nil, f
	}
	return nil, &fault{where: "target " + g.name, reach: notSent, sort: earlyFault, said: fmt.Sprintf(
		"%d of its servers take writes, and only one may (%s); nothing was sent; find out which is the primary, and make the others read-only or take them out of `addresses`",
		len(writers), strings.Join(answers, ", "))}
}

// turnTo makes a server the writer. AFTER a failover it must have what was committed last on the one before: else
// that is lost, or is still on its way, and nothing may be built on it.
func (g *group) turnTo(ctx context.Context, s saying) error {
	g.mu.Lock()
	before, last := g.writer, g.last
	g.mu.Unlock()
	if before != nil && before != s.m {
		s.c.forget()
		if last != nil {
			m, err := last.on(s.c).ask(ctx)
			if err != nil {
				return err
			}
			if m.state != stateDone && m.state != statePart {
				return &fault{where: s.c.where, reach: notSent, sort: busyFault, said: fmt.Sprintf(
					"takes the writes now in place of %s, and does not have what was committed there last (%s): it is lost, or has not arrived yet; nothing was sent; if it arrives, resume goes on",
					before.address, last.token)}
			}
		}
	}
	g.mu.Lock()
	g.writer = s.m
	g.mu.Unlock()
	return nil
}

// handedDown takes in that another server may have taken over since something was sent to this one. here and asked
// are what this one says of the marker. What was not committed here was not committed; what was, and what cannot be
// asked here, must be found on the writer: that a marker is not there proves nothing, for it may have been lost with
// the commit, or be on its way.
func (c *Conn) handedDown(ctx context.Context, mark *markers, here marker, asked error, proves func(marker) bool) (marker, error) {
	if asked == nil && !proves(here) {
		return here, nil
	}
	w, err := c.group.write(ctx)
	switch {
	case err != nil:
		return marker{}, errors.Join(asked, err)
	case w == c:
		return here, asked
	}
	there, err := mark.on(w).ask(ctx)
	switch {
	case err != nil:
		return marker{}, errors.Join(asked, err)
	case proves(there):
		return there, nil
	case asked == nil:
		return marker{}, fmt.Errorf("%s has committed it, and %s, which takes the writes now, does not have it: it is lost, or has not arrived yet", c.where, w.where)
	}
	return marker{}, fmt.Errorf("%s takes the writes now, and does not have the marker of this step; %s may have committed it BEFORE it went away (%w)", w.where, c.where, asked)
}

// on is the same marker on another server.
func (m *markers) on(c *Conn) *markers {
	other := *m
	other.c = c
	return &other
}

// ask reads it on a connection of its own.
func (m *markers) ask(ctx context.Context) (marker, error) {
	s, err := m.c.pin(ctx)
	if err != nil {
		return marker{}, err
	}
	defer s.release()
	return m.read(ctx, s)
}
