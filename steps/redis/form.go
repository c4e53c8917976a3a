package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

type createParams struct {
	Create createOf `param:"cluster_create" need:"yes" doc:"of which nodes; {} for those of the target, without replicas"`
}

type createOf struct {
	Nodes    steps.Texts `param:"nodes" doc:"host:port of the nodes, masters first; the addresses of the target when left out"`
	Replicas int64       `param:"replicas" default:"0" doc:"how many replicas each master gets"`
}

// leastMasters: with fewer no majority is left to replace one that fails.
const leastMasters = 3

// create forms a cluster of empty nodes.
type create struct {
	createOf
	after *engine.Unknown
}

func judgeCreate(p engine.Proposal) engine.Judgement {
	out := onClusters(p)
	r, _ := p.Params["cluster_create"].(engine.Record)
	if n, ok := r["replicas"].(int64); ok && n < 0 {
		out.Problems = append(out.Problems, engine.Problem{Path: "cluster_create.replicas", Message: "must not be negative"})
	}
	return out
}

// onClusters: the operation makes sense on a `cluster` target only.
func onClusters(p engine.Proposal) engine.Judgement {
	var out engine.Judgement
	if p.Target != "" && p.Target != "cluster" {
		out.Problems = append(out.Problems, engine.Problem{Message: "this needs a target of type cluster; this one is " + p.Target})
	}
	return out
}

func decodeCreate(params engine.Record) (steps.Operation, error) {
	var p createParams
	if err := steps.Bind(params, &p); err != nil {
		return nil, err
	}
	o := &create{createOf: p.Create}
	if u, open := engine.FirstUnknown(params); open {
		o.after = &u
	}
	if o.Replicas < 0 {
		return nil, engine.Problem{Path: "cluster_create.replicas", Message: "must not be negative"}
	}
	return o, nil
}

// share is what one node is to become.
type share struct {
	slots  slotRange
	master int // of a replica: the place of its master among the nodes; -1: it is a master
}

// shares divides the slots among the first nodes, and gives each of them replicas among the others, if
// possible on other hosts. It depends on nothing but the addresses, so that a second attempt goes on with it.
func shares(addresses []string, replicas int) ([]share, error) {
	masters := len(addresses) / (replicas + 1)
	switch {
	case masters < leastMasters:
		return nil, fmt.Errorf("a cluster needs at least %d masters, and so with %d replicas each at least %d nodes; here are %d",
			leastMasters, replicas, leastMasters*(replicas+1), len(addresses))
	case masters*(replicas+1) != len(addresses):
		return nil, fmt.Errorf("%d nodes cannot be divided into masters with %d replicas each", len(addresses), replicas)
	}
	out := make([]share, len(addresses))
	for i := range masters {
		out[i] = share{slots: slotRange{i * slots / masters, (i+1)*slots/masters - 1}, master: -1}
	}
	has := make([]int, masters)
	for i := masters; i < len(addresses); i++ {
		best := -1
		for k := range masters {
			m := (i + k) % masters
			if has[m] < replicas && (best < 0 || sameHost(addresses[i], addresses[best]) && !sameHost(addresses[i], addresses[m])) {
				best = m
			}
		}
		has[best]++
		out[i] = share{master: best}
	}
	return out, nil
}

func sameHost(a, b string) bool {
	hostA, _, errA := net.SplitHostPort(a)
	hostB, _, errB := net.SplitHostPort(b)
	return errA == nil && errB == nil && hostA == hostB
}

// forming is one attempt at it.
type forming struct {
	c         *Conn
	addresses []string
	shares    []share
}

func (o *create) begin(ctx context.Context, env *steps.Env) (*forming, []*site, error) {
	c, err := clusterOf(ctx, env)
	if err != nil {
		return nil, nil, err
	}
	f := &forming{c: c, addresses: o.Nodes}
	if len(f.addresses) == 0 {
		f.addresses = c.seeds
	}
	if f.shares, err = shares(f.addresses, int(o.Replicas)); err != nil {
		return nil, nil, err
	}
	if env.Access != steps.Full {
		sites, err := c.sites(ctx, f.addresses)
		return f, sites, err
	}
	sites, err := c.answering(ctx, f.addresses)
	return f, sites, err
}

// answering waits for nodes that have only just been started.
func (c *Conn) answering(ctx context.Context, addresses []string) ([]*site, error) {
	within, stop := context.WithTimeout(ctx, c.patience())
	defer stop()
	for {
		sites, err := c.sites(within, addresses)
		var f *fault
		if err == nil || !errors.As(err, &f) || !f.transient() || pause(within, asking) != nil {
			return sites, err
		}
	}
}

// clusterOf is the connection of a step that needs a cluster.
func clusterOf(ctx context.Context, env *steps.Env) (*Conn, error) {
	c, err := connOf(ctx, env)
	if err == nil && c.form != clustered {
		err = fmt.Errorf("target %s is no cluster; give it the type cluster in the environment file", env.Target.Name)
	}
	return c, err
}

// whatIs says whether the cluster is formed, and if not, what is in the way of forming it or of going on
// with it: nodes that hold keys, that belong to another cluster, or that are something else than planned.
func (f *forming) whatIs(sites []*site) (formed bool, obstacles []string) {
	ids := map[string]int{}
	for i, s := range sites {
		if twin, twice := ids[s.id]; twice {
			return false, []string{fmt.Sprintf("%s and %s are the same node", sites[twin].address, s.address)}
		}
		ids[s.id] = i
	}
	if agree(sites) == nil {
		return true, nil
	}
	for i, s := range sites {
		obstacles = append(obstacles, f.obstacles(sites, ids, i, s)...)
	}
	return false, obstacles
}

func (f *forming) obstacles(sites []*site, ids map[string]int, i int, s *site) []string {
	var out []string
	add := func(format string, args ...any) {
		out = append(out, s.address+" "+fmt.Sprintf(format, args...))
	}
	want := f.shares[i]
	for _, m := range s.l.members {
		if _, ours := ids[m.id]; !ours && !m.joining && !m.failed {
			add("knows the node %s (%s), which is none of those named", f.c.reached(m), m.id)
		}
	}
	switch {
	case s.me.replica && want.master < 0:
		add("is a replica, and is to be a master")
	case s.me.replica && s.me.master != sites[want.master].id:
		add("is a replica of another node than %s", sites[want.master].address)
	case !s.me.replica && s.keys > 0:
		add("holds %d keys; a cluster is formed of empty nodes", s.keys)
	case want.master >= 0 && len(s.me.slots) > 0:
		add("has slots (%s), and is to be a replica", rangesText(s.me.slots))
	}
	for _, r := range s.me.slots {
		if want.master < 0 && (r.from < want.slots.from || r.to > want.slots.to) {
			add("has the slots %s, and is to have %s", rangesText(s.me.slots), want.slots)
			break
		}
	}
	return out
}

func obstructed(obstacles []string) error {
	return fmt.Errorf("the cluster cannot be formed: %s; nothing was changed; empty or reset what is in the way (FLUSHALL, CLUSTER RESET), or name other nodes",
		strings.Join(obstacles, "; "))
}

// Preview says what would become of each node.
func (o *create) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	im := engine.Impact{Standing: engine.StandingWould, Risk: changes, Would: "form a cluster"}
	if o.after != nil {
		im.Standing, im.Why = engine.StandingUnknown, "the nodes are "+o.after.Error()
		return im, nil
	}
	f, sites, err := o.begin(ctx, env)
	if err != nil {
		im.Standing, im.Why = engine.StandingUnknown, err.Error()
		return im, nil
	}
	im.Would = fmt.Sprintf("form a cluster of %d nodes", len(sites))
	im.Figures = []engine.Figure{touched(len(sites))}
	formed, obstacles := f.whatIs(sites)
	switch {
	case formed:
		im.Standing = engine.StandingAlready
	case len(obstacles) > 0:
		im.Standing, im.Why = engine.StandingUnknown, obstructed(obstacles).Error()
		return im, nil
	}
	for i, s := range sites {
		value := "master, slots " + f.shares[i].slots.String()
		if m := f.shares[i].master; m >= 0 {
			value = "replica of " + sites[m].address
		}
		if formed {
			value = strings.TrimSuffix(s.me.role()+", slots "+rangesText(s.me.slots), ", slots ")
		}
		im.Facts = append(im.Facts, engine.Fact{Name: s.address, Value: value})
	}
	return im, nil
}

// Execute forms the cluster, or goes on with one that is half formed. One that is formed is left alone.
func (o *create) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	if o.after != nil {
		return engine.Outcome{Err: "the nodes are " + o.after.Error()}
	}
	if env.Access != steps.Full {
		return engine.Failure(errors.New("the cluster was not formed: this is a dry-run"))
	}
	f, sites, err := o.begin(ctx, env)
	if err != nil {
		return failure(err)
	}
	formed, obstacles := f.whatIs(sites)
	switch {
	case formed:
		return f.result(sites, false)
	case len(obstacles) > 0:
		return engine.Failure(obstructed(obstacles))
	}
	sites, err = f.form(ctx, sites)
	if err != nil {
		out := failure(err)
		out.Effect = engine.EffectUnknown
		return out
	}
	return f.result(sites, true)
}

func (f *forming) result(sites []*site, created bool) engine.Outcome {
	l := sites[0].l
	var masters, replicas int64
	for _, m := range l.members {
		if m.replica {
			replicas++
		} else {
			masters++
		}
	}
	return engine.Outcome{Result: engine.Record{"created": created, "masters": masters, "replicas": replicas, "members": describe(l, f.c.reached)}}
}

// form takes the nodes from whatever part of the way they are to the end of it. Each part may be done twice.
func (f *forming) form(ctx context.Context, sites []*site) ([]*site, error) {
	for i, s := range sites {
		if s.alone() && s.me.epoch == 0 {
			// Different epochs from the start save the nodes a quarrel; they settle it by themselves if they must.
			if _, err := s.call(ctx, "CLUSTER SET-CONFIG-EPOCH", "CLUSTER", "SET-CONFIG-EPOCH", i+1); err != nil && !wasRefused(err) {
				return nil, err
			}
		}
		if f.shares[i].master < 0 {
			if err := s.take(ctx, f.shares[i].slots); err != nil {
				return nil, err
			}
		}
	}
	var met time.Time
	sites, err := f.c.until(ctx, "wait until the nodes know each other", f.addresses, func(ctx context.Context, sites []*site) error {
		return f.introduce(ctx, sites, &met)
	})
	if err != nil {
		return nil, err
	}
	for i, s := range sites {
		if m := f.shares[i].master; m >= 0 && s.me.master != sites[m].id {
			if _, err := s.call(ctx, "CLUSTER REPLICATE", "CLUSTER", "REPLICATE", sites[m].id); err != nil {
				return nil, err
			}
		}
	}
	return f.c.until(ctx, "wait until the nodes agree", f.addresses, func(_ context.Context, sites []*site) error {
		for i, s := range sites {
			if m := f.shares[i].master; m >= 0 && s.me.master != sites[m].id {
				return notYet{fmt.Errorf("redis %s: it is no replica of %s yet", s.address, sites[m].address)}
			}
		}
		return agree(sites)
	})
}

func wasRefused(err error) bool {
	var f *fault
	return errors.As(err, &f) && f.reach == refused
}

// introduce has the first node meet all that it does not know, now and then once more.
func (f *forming) introduce(ctx context.Context, sites []*site, met *time.Time) error {
	var strangers error
	for _, s := range sites {
		for _, other := range sites {
			if !s.knows(other.id) {
				strangers = notYet{fmt.Errorf("redis %s: it does not know %s yet; can they reach each other, on the port for clients and on the one for the cluster (usually 10000 more)?", s.address, other.address)}
			}
		}
	}
	if strangers == nil || time.Since(*met) < meetAgain {
		return strangers
	}
	*met = time.Now()
	for _, s := range sites[1:] {
		if sites[0].knows(s.id) && s.knows(sites[0].id) {
			continue
		}
		if err := f.c.meet(ctx, sites[0], s); err != nil {
			return err
		}
	}
	return strangers
}

// take gives a node what it lacks of its slots.
func (s *site) take(ctx context.Context, want slotRange) error {
	var has [slots]bool
	for _, r := range s.me.slots {
		for i := r.from; i <= r.to; i++ {
			has[i] = true
		}
	}
	missing := rangesOf(func(i int) bool { return i >= want.from && i <= want.to && !has[i] })
	for _, r := range missing {
		_, err := s.call(ctx, "CLUSTER ADDSLOTSRANGE", "CLUSTER", "ADDSLOTSRANGE", r.from, r.to)
		if wasRefused(err) && strings.Contains(strings.ToLower(err.Error()), "unknown") { // servers before 7.0
			args := []any{"CLUSTER", "ADDSLOTS"}
			for i := r.from; i <= r.to; i++ {
				args = append(args, i)
			}
			_, err = s.call(ctx, "CLUSTER ADDSLOTS", args...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
