package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// site is one node that is, or is to be, part of a cluster.
type site struct {
	*node
	id   string
	me   member
	l    *layout // as it sees the cluster
	keys int64
	ok   bool   // it says cluster_state:ok, with every slot
	link string // of a replica: the state of the link to its master
}

// site asks one node about itself.
func (c *Conn) site(ctx context.Context, n *node) (*site, error) {
	l, err := c.lookAt(ctx, n)
	if err != nil {
		return nil, err
	}
	s := &site{node: n, l: l, me: l.myself()}
	s.id = s.me.id
	v, err := n.ask(ctx, "count the keys", "DBSIZE")
	if err != nil {
		return nil, err
	}
	s.keys, _ = v.(int64)
	info, err := n.ask(ctx, "ask for the cluster's state", "CLUSTER", "INFO")
	if err != nil {
		return nil, err
	}
	text := raw(info)
	s.ok = strings.Contains(text, "cluster_state:ok") && strings.Contains(text, fmt.Sprintf("cluster_slots_ok:%d", slots))
	if s.me.replica {
		now, err := n.glance(ctx)
		if err != nil {
			return nil, err
		}
		r, _ := now.sections["replication"].(engine.Record)
		s.link, _ = r["master_link_status"].(string)
	}
	return s, nil
}

// sites asks several nodes at once. All must answer.
func (c *Conn) sites(ctx context.Context, addresses []string) ([]*site, error) {
	nodes := make([]placed, len(addresses))
	for i, a := range addresses {
		n, err := c.node(a)
		if err != nil {
			return nil, err
		}
		nodes[i] = placed{node: n}
	}
	return askEach(ctx, nodes, func(ctx context.Context, n placed) (*site, error) { return c.site(ctx, n.node) })
}

// alone: it knows no other node.
func (s *site) alone() bool {
	for _, m := range s.l.members {
		if !m.myself && !m.joining {
			return false
		}
	}
	return true
}

// knows: it has met the other node, and they talk to each other.
func (s *site) knows(id string) bool {
	m, ok := s.l.byID(id)
	return ok && !m.joining && !m.failed && (m.linked || m.myself)
}

// internal is the address by which the other nodes reach it. CLUSTER MEET takes no names.
func (c *Conn) internal(ctx context.Context, s *site) (host, port string, err error) {
	address := s.address
	for announced, reached := range c.line.reach {
		if withPort(reached, c.line.port) == address {
			address = announced
		}
	}
	host, port, err = net.SplitHostPort(withPort(address, c.line.port))
	if err != nil {
		return "", "", fmt.Errorf("redis %s: a node of a cluster has an address of host and port", s.address)
	}
	if net.ParseIP(host) != nil {
		return host, port, nil
	}
	found, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return "", "", fmt.Errorf("redis %s: find the address of %s: %w", s.address, host, err)
	}
	return found[0], port, nil
}

// meet introduces a node to another.
func (c *Conn) meet(ctx context.Context, from, to *site) error {
	host, port, err := c.internal(ctx, to)
	if err != nil {
		return err
	}
	args := []any{"CLUSTER", "MEET", host, port}
	if to.me.bus > 0 {
		args = append(args, to.me.bus)
	}
	_, err = from.call(ctx, "CLUSTER MEET", args...)
	return err
}

const (
	// agreeing bounds how long the nodes of a cluster may take to agree on what they were told.
	agreeing = 90 * time.Second
	// meetAgain is how often a node that has not answered is introduced once more.
	meetAgain = 5 * time.Second
)

// notYet is what the nodes do not agree on yet.
type notYet struct{ error }

// until asks the nodes until holds has nothing to say against what they answer. A node that does not answer
// for a while is waited for, too.
func (c *Conn) until(ctx context.Context, doing string, addresses []string, holds func(context.Context, []*site) error) ([]*site, error) {
	within, stop := context.WithTimeout(ctx, agreeing)
	defer stop()
	for {
		sites, err := c.sites(within, addresses)
		if err == nil {
			if err = holds(within, sites); err == nil {
				return sites, nil
			}
			if !errors.As(err, new(notYet)) {
				return sites, err
			}
		}
		if wait := pause(within, polling); wait != nil {
			return nil, fmt.Errorf("%s: %w", doing, err)
		}
	}
}

// agree is what the nodes have yet to agree on: that the cluster is whole, and who has what.
func agree(sites []*site) error {
	for _, s := range sites {
		for _, other := range sites {
			if !s.knows(other.id) {
				return notYet{fmt.Errorf("redis %s: it does not talk to %s yet", s.address, other.address)}
			}
		}
		switch {
		case !s.ok:
			return notYet{fmt.Errorf("redis %s: it does not say cluster_state:ok with %d slots yet", s.address, slots)}
		case s.l.view() != sites[0].l.view():
			return notYet{fmt.Errorf("redis %s: it sees the cluster otherwise than %s", s.address, sites[0].address)}
		case s.me.replica && s.link != "" && s.link != "up":
			return notYet{fmt.Errorf("redis %s: its link to its master is %s", s.address, s.link)}
		}
	}
	return nil
}

// describe is what is reported of the nodes.
func describe(l *layout, reached func(member) string) engine.List {
	out := make(engine.List, 0, len(l.members))
	for _, m := range l.members {
		r := engine.Record{engine.NodeField: reached(m), "id": m.id, "role": m.role(), "slots": int64(m.count()),
			"ranges": rangesText(m.slots), "master": nil, "failed": m.failed}
		if master, ok := l.byID(m.master); ok {
			r["master"] = reached(master)
		}
		out = append(out, r)
	}
	return out
}

// reached is where a node is reached from here.
func (c *Conn) reached(m member) string {
	if to, ok := c.line.reach[m.address]; ok {
		return withPort(to, c.line.port)
	}
	if m.address == "" {
		return m.id
	}
	return m.address
}
