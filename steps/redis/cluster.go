package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/handrail-dev/handrail/engine"
)

// look asks for the cluster's layout: the nodes of the settings first, then those that were found through
// them.
func (c *Conn) look(ctx context.Context) (*layout, error) {
	var errs []error
	tried := map[string]bool{}
	for _, address := range append(slices.Clone(c.seeds), c.known()...) {
		n, err := c.node(address)
		if err != nil {
			return nil, err
		}
		if tried[n.address] {
			continue
		}
		tried[n.address] = true
		l, err := c.lookAt(ctx, n)
		if err == nil {
			return l, nil
		}
		errs = append(errs, err)
		if ended(ctx) {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// known are the addresses of the nodes that were found so far.
func (c *Conn) known() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]string, 0, len(c.nodes))
	for address := range c.nodes {
		out = append(out, address)
	}
	slices.Sort(out)
	return out
}

// lookAt asks one node how it sees the cluster.
func (c *Conn) lookAt(ctx context.Context, n *node) (*layout, error) {
	v, err := n.ask(ctx, "ask for the nodes of the cluster", "CLUSTER", "NODES")
	if err != nil {
		var f *fault
		if errors.As(err, &f) && strings.Contains(f.cause.Error(), "cluster support disabled") {
			return nil, fmt.Errorf("redis %s: it is no node of a cluster; make the target a `redis` one, or start the server with cluster-enabled yes", n.address)
		}
		return nil, err
	}
	l, err := parseLayout(raw(v), n.address, c.line.tls != nil && c.line.tls.ServerName == "")
	if err != nil {
		return nil, fmt.Errorf("redis %s: %w", n.address, err)
	}
	l.from = n
	return l, nil
}

// Words for `nodes`.
const (
	nodesOne      = "one"
	nodesMasters  = "masters"
	nodesReplicas = "replicas"
	nodesAll      = "all"
)

// several: the parameters say that the operation acts on several nodes, so that its result is a list.
func several(params engine.Record) bool {
	nodes, ok := params["nodes"].(string)
	return ok && nodes != "" && nodes != nodesOne
}

// placed is a node and what it is in its target.
type placed struct {
	*node
	role  string
	slots string // of a master in a cluster
}

// pick finds the nodes that `nodes` names, by address.
func (c *Conn) pick(ctx context.Context, nodes string) ([]placed, error) {
	switch c.form {
	case clustered:
		return c.pickInCluster(ctx, nodes)
	case watched:
		return c.pickWatched(ctx, nodes)
	case single:
	}
	n, err := c.node(c.seeds[0])
	if err != nil {
		return nil, err
	}
	p := placed{node: n, role: "master"}
	if nodes == nodesAll || nodes == nodesOne || nodes == "" {
		return []placed{p}, nil
	}
	now, err := n.glance(ctx)
	if err != nil {
		return nil, err
	}
	if now.replica() {
		p.role = "replica"
	}
	if !wanted(nodes, p.role) {
		return nil, fmt.Errorf("redis %s: it is a %s, so the target has no %s; nothing was sent", n.address, p.role, nodes)
	}
	return []placed{p}, nil
}

func wanted(nodes, role string) bool {
	switch nodes {
	case nodesMasters:
		return role == "master"
	case nodesReplicas:
		return role == "replica"
	}
	return true
}

func (c *Conn) pickWatched(ctx context.Context, nodes string) ([]placed, error) {
	seen, err := c.watch.ask(ctx)
	if err != nil {
		return nil, err
	}
	master, err := c.node(seen[0].master)
	if err != nil {
		return nil, err
	}
	out := []placed{{node: master, role: "master"}}
	if nodes != nodesReplicas && nodes != nodesAll {
		return out, nil
	}
	replicas, err := c.watch.replicas(ctx)
	if err != nil {
		return nil, err
	}
	if nodes == nodesReplicas {
		out = nil
	}
	for _, address := range replicas {
		n, err := c.node(address)
		if err != nil {
			return nil, err
		}
		if n != master {
			out = append(out, placed{node: n, role: "replica"})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the sentinels know no replica of the master %s; nothing was sent", c.watch.name)
	}
	sortPlaced(out)
	return out, nil
}

func sortPlaced(list []placed) {
	slices.SortFunc(list, func(a, b placed) int { return strings.Compare(a.address, b.address) })
}

func (c *Conn) pickInCluster(ctx context.Context, nodes string) ([]placed, error) {
	l, err := c.look(ctx)
	if err != nil {
		return nil, err
	}
	var out []placed
	for _, m := range l.members {
		// What has failed and holds nothing is no part of the cluster any more; it has only not been forgotten.
		if m.joining || !wanted(nodes, m.role()) || m.failed && !m.replica && len(m.slots) == 0 {
			continue
		}
		if m.address == "" {
			return nil, fmt.Errorf("redis %s: the cluster does not know the address of its node %s; nothing was sent; forget the node, or start it again", l.from.address, m.id)
		}
		n, err := c.node(m.address)
		if err != nil {
			return nil, err
		}
		out = append(out, placed{node: n, role: m.role(), slots: rangesText(m.slots)})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("redis %s: the cluster has no %s; nothing was sent", l.from.address, nodes)
	}
	sortPlaced(out)
	if nodes == nodesOne || nodes == "" {
		// Any one will do, but a master sooner than a replica, which may be behind.
		i := slices.IndexFunc(out, func(p placed) bool { return p.role == "master" && (p.node == l.from || l.myself().replica) })
		return out[max(i, 0) : max(i, 0)+1], nil
	}
	return out, nil
}

// whole says which slots no node can answer for. What must see every key would miss theirs.
func (c *Conn) whole(ctx context.Context, doing string) error {
	if c.form != clustered {
		return nil
	}
	l, err := c.look(ctx)
	if err != nil {
		return err
	}
	if open := l.uncovered(); len(open) > 0 {
		return fmt.Errorf("redis %s: %s would miss keys: no node answers for the slots %s; nothing was sent; bring their node back, or restore them",
			l.from.address, doing, rangesText(open))
	}
	return nil
}

// mustSayNodes is why an operation without `nodes` cannot be sent to a cluster.
func mustSayNodes(what string) engine.Problem {
	return engine.Problem{Path: "nodes", Message: what +
		" concerns one node only, and a cluster has several: say `nodes: masters` (or replicas, all)"}
}

// acting finds the nodes for an operation that needs `nodes` in a cluster.
func (c *Conn) acting(ctx context.Context, nodes, what string) ([]placed, error) {
	if c.form == clustered && nodes == "" {
		return nil, mustSayNodes(what)
	}
	return c.pick(ctx, nodes)
}

// judgeNodes is what the loader can say of it.
func judgeNodes(p engine.Proposal, what string, j engine.Judgement) engine.Judgement {
	j.Each = several(p.Params)
	if _, said := p.Params["nodes"]; p.Target == "cluster" && !said {
		j.Problems = append(j.Problems, mustSayNodes(what))
	}
	return j
}

// facts are the nodes that would be touched, for a plan.
func facts(nodes []placed) []engine.Fact {
	out := make([]engine.Fact, len(nodes))
	for i, n := range nodes {
		out[i] = engine.Fact{Name: n.address, Value: n.role}
		if n.slots != "" {
			out[i].Value += ", slots " + n.slots
		}
	}
	return out
}
