package redis

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

type checkParams struct {
	Check checkOf `param:"cluster_check" need:"yes" doc:"{}, or what is wanted of the cluster"`
}

type checkOf struct {
	Replicas int64 `param:"replicas" default:"0" doc:"how many replicas each master should have; fewer are degraded"`
}

// check looks at a cluster from every one of its nodes.
type check struct{ checkOf }

func decodeCheck(params engine.Record) (steps.Operation, error) {
	var p checkParams
	err := steps.Bind(params, &p)
	return &check{p.Check}, err
}

// Preview says that it only looks.
func (*check) Preview(context.Context, *steps.Env) (engine.Impact, error) {
	return engine.Impact{Standing: engine.StandingWould, Would: "look at the cluster from every node"}, nil
}

// finding is what was found, in two grades.
type finding struct {
	mu               sync.Mutex
	failed, degraded []string
}

func (f *finding) fails(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = append(f.failed, fmt.Sprintf(format, args...))
}

func (f *finding) degrades(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.degraded = append(f.degraded, fmt.Sprintf(format, args...))
}

// Execute looks. Slots that no node answers for, and nodes that say that the cluster is down, are failed; all
// else that is not as it should be is degraded.
func (o *check) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	c, err := clusterOf(ctx, env)
	if err != nil {
		return failure(err)
	}
	l, err := c.look(ctx)
	if err != nil {
		return failure(err)
	}
	f := &finding{}
	sites := c.visit(ctx, l, f)
	if open := l.uncovered(); len(open) > 0 {
		f.fails("no node answers for the slots %s", rangesText(open))
	}
	var masters, replicas int64
	for _, m := range l.members {
		if m.replica {
			replicas++
			continue
		}
		masters++
		if n := working(l, sites, m.id); len(m.slots) > 0 && int64(n) < o.Replicas {
			f.degrades("%s has %d working replicas, not %d", c.reached(m), n, o.Replicas)
		}
	}
	return f.outcome(l, masters, replicas, describe(l, c.reached))
}

func working(l *layout, sites map[string]*site, master string) int {
	n := 0
	for _, m := range l.members {
		if s := sites[m.id]; m.master == master && s != nil && s.link != "down" {
			n++
		}
	}
	return n
}

// visit asks each node for its own view.
func (c *Conn) visit(ctx context.Context, l *layout, f *finding) map[string]*site {
	out := map[string]*site{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, m := range l.members {
		all.Go(func() {
			s, err := c.visitOne(ctx, m)
			switch {
			case m.joining:
				f.degrades("%s has not joined yet", c.reached(m))
			case err != nil && len(m.slots) > 0:
				f.fails("%s (slots %s): %v", c.reached(m), rangesText(m.slots), err)
			case err != nil:
				f.degrades("%s (%s): %v", c.reached(m), m.role(), err)
			default:
				c.judge(l, m, s, f)
				mu.Lock()
				out[m.id] = s
				mu.Unlock()
			}
		})
	}
	for _, address := range c.seeds {
		all.Go(func() {
			n, err := c.node(address)
			if err != nil {
				return
			}
			s, err := c.site(ctx, n)
			if err != nil {
				return // if it is a member, it is found above
			}
			if _, ours := l.byID(s.id); !ours {
				f.fails("%s is named in the target, and is no part of this cluster", n.address)
			}
		})
	}
	all.Wait()
	return out
}

func (c *Conn) visitOne(ctx context.Context, m member) (*site, error) {
	if m.address == "" || m.joining {
		return nil, fmt.Errorf("the cluster does not know its address")
	}
	n, err := c.node(m.address)
	if err != nil {
		return nil, err
	}
	s, err := c.site(ctx, n)
	if err == nil && s.id != m.id {
		err = fmt.Errorf("redis %s: another node answers there", n.address)
	}
	return s, err
}

func (c *Conn) judge(l *layout, m member, s *site, f *finding) {
	switch {
	case !s.ok && !(m.replica && s.link != "up"):
		f.fails("%s does not say cluster_state:ok with %d slots", s.address, slots)
	case m.failed || m.suspect:
		f.degrades("%s answers, but %s does not reach it", s.address, l.from.address)
	}
	if s.l.view() != l.view() {
		f.degrades("%s sees the cluster otherwise than %s", s.address, l.from.address)
	}
	if len(s.me.moving) > 0 {
		f.degrades("%s has slots on their way: %s", s.address, strings.Join(s.me.moving, " "))
	}
	if m.replica && s.link != "" && s.link != "up" {
		f.degrades("%s: its link to its master is %s", s.address, s.link)
	}
}

func (f *finding) outcome(l *layout, masters, replicas int64, members engine.List) engine.Outcome {
	covered := int64(slots)
	for _, r := range l.uncovered() {
		covered -= int64(r.to - r.from + 1)
	}
	out := engine.Outcome{Message: fmt.Sprintf("%d masters, %d replicas, %d of %d slots", masters, replicas, covered, slots)}
	state := "ok"
	switch {
	case len(f.failed) > 0:
		out.Grade, state = engine.GradeFailed, "failed"
	case len(f.degraded) > 0:
		out.Grade, state = engine.GradeDegraded, "degraded"
	}
	var problems engine.List
	var texts []string
	for _, p := range append(f.failed, f.degraded...) {
		problems, texts = append(problems, p), append(texts, p)
	}
	if len(texts) > 0 {
		out.Message += ": " + strings.Join(texts, "; ")
	}
	out.Result = engine.Record{"state": state, "slots": covered, "masters": masters, "replicas": replicas, "problems": problems, "members": members}
	return out
}
