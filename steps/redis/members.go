package redis

import (
	"context"
	"errors"
	"fmt"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

type (
	meetParams struct {
		Meet string `param:"cluster_meet" need:"yes" doc:"host:port of the empty node that joins the cluster"`
	}
	replicateParams struct {
		Replicate string `param:"cluster_replicate" need:"yes" doc:"host:port or id of the node that becomes a replica"`
		Of        string `param:"of" need:"yes" doc:"host:port or id of its master"`
	}
	forgetParams struct {
		Forget string `param:"cluster_forget" need:"yes" doc:"host:port or id of the node that leaves the cluster"`
	}
)

// membership is one change of who belongs to a cluster, or of what a node is in it.
type membership struct {
	word    string // meet, replicate, forget
	subject string
	of      string
	after   *engine.Unknown
}

func decodeMembership(word string, params engine.Record) (steps.Operation, error) {
	m := &membership{word: word}
	if u, open := engine.FirstUnknown(params); open {
		m.after = &u
	}
	var err error
	switch word {
	case "meet":
		var p meetParams
		err = steps.Bind(params, &p)
		m.subject = p.Meet
	case "replicate":
		var p replicateParams
		err = steps.Bind(params, &p)
		m.subject, m.of = p.Replicate, p.Of
	case "forget":
		var p forgetParams
		err = steps.Bind(params, &p)
		m.subject = p.Forget
	case "take":
		var p takeParams
		err = steps.Bind(params, &p)
		m.subject = p.Take
	}
	return m, err
}

// change is what a membership comes to on the cluster as it is.
type change struct {
	would string
	done  bool // there is nothing to do
	waits bool // there is nothing to do but wait until all nodes have heard of it
	// why not, in words for a person.
	why   error
	do    func(ctx context.Context) error
	facts []engine.Fact
	id    string // of the node
}

// find looks the change up.
func (m *membership) find(ctx context.Context, c *Conn) (*change, error) {
	if m.word == "meet" {
		return m.findMeet(ctx, c)
	}
	l, err := c.look(ctx)
	if err != nil {
		return nil, err
	}
	subject, known := c.member(l, m.subject)
	if m.word == "forget" {
		return m.findForget(ctx, c)
	}
	if m.word == "take" && known {
		return m.findTake(ctx, c, subject)
	}
	of, ok := c.member(l, m.of)
	switch {
	case !known:
		return nil, c.noMember(l, m.subject)
	case !ok:
		return nil, c.noMember(l, m.of)
	}
	return m.findReplicate(ctx, c, l, subject, of)
}

// member finds a node by its id, or by an address as the cluster or the settings have it.
func (c *Conn) member(l *layout, name string) (member, bool) {
	for _, m := range l.members {
		if m.id == name || m.address == name || m.address != "" && (c.reached(m) == withPort(name, c.line.port) || m.address == withPort(name, c.line.port)) {
			return m, true
		}
	}
	return member{}, false
}

func (c *Conn) noMember(l *layout, name string) error {
	return fmt.Errorf("redis %s: the cluster has no node %s; cluster_check lists those that it has", l.from.address, name)
}

func (m *membership) findMeet(ctx context.Context, c *Conn) (*change, error) {
	n, err := c.node(m.subject)
	if err != nil {
		return nil, err
	}
	s, err := c.site(ctx, n)
	if err != nil {
		return nil, err
	}
	var from *node
	for _, address := range c.seeds {
		if from, err = c.node(address); err == nil && from != n {
			break
		}
	}
	if from == n {
		return nil, fmt.Errorf("redis %s: the target names no other node of the cluster that it could join", n.address)
	}
	old, err := c.site(ctx, from)
	if err != nil {
		return nil, err
	}
	ch := &change{would: "have " + n.address + " join the cluster of " + from.address, id: s.id,
		done: old.knows(s.id) && s.knows(old.id)}
	switch {
	case ch.done:
	case s.keys > 0 && !s.me.replica:
		ch.why = fmt.Errorf("redis %s: it holds %d keys, and only an empty node may join: they would be lost to it; nothing was changed; empty it first (FLUSHALL)", n.address, s.keys)
	case len(s.me.slots) > 0:
		ch.why = fmt.Errorf("redis %s: it has slots (%s), which the cluster has, too; nothing was changed; reset it first (CLUSTER RESET)", n.address, rangesText(s.me.slots))
	case !s.alone() && !sharesMember(s.l, old.l):
		ch.why = fmt.Errorf("redis %s: it belongs to another cluster, which would be merged into this one; nothing was changed; reset it first (CLUSTER RESET)", n.address)
	}
	ch.do = func(ctx context.Context) error {
		if err := c.meet(ctx, old, s); err != nil {
			return err
		}
		all, err := c.everyone(ctx)
		if err != nil {
			return err
		}
		_, err = c.until(ctx, "wait until every node knows "+n.address, append(all, n.address), func(_ context.Context, sites []*site) error {
			for _, other := range sites {
				if !other.knows(s.id) {
					return notYet{fmt.Errorf("redis %s: it does not know %s yet", other.address, n.address)}
				}
			}
			if _, agreed := uncoveredIn(layoutsOf(sites)); !agreed {
				return notYet{fmt.Errorf("redis %s: it has not heard yet who has which slots", n.address)}
			}
			return nil
		})
		return err
	}
	return ch, nil
}

func sharesMember(a, b *layout) bool {
	for _, m := range a.members {
		if _, ok := b.byID(m.id); ok && !m.myself {
			return true
		}
	}
	return false
}

// everyone are the addresses of the nodes that have not failed.
func (c *Conn) everyone(ctx context.Context) ([]string, error) {
	l, err := c.look(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, m := range l.members {
		if !m.joining && !m.failed && m.address != "" {
			out = append(out, m.address)
		}
	}
	return out, nil
}

func (m *membership) findReplicate(ctx context.Context, c *Conn, l *layout, subject, of member) (*change, error) {
	ch := &change{would: fmt.Sprintf("make %s a replica of %s", c.reached(subject), c.reached(of)), id: subject.id,
		done: subject.replica && subject.master == of.id}
	n, err := c.node(subject.address)
	if err != nil {
		return nil, err
	}
	s, err := c.site(ctx, n)
	if err != nil {
		return nil, err
	}
	switch {
	case ch.done:
	case subject.id == of.id:
		ch.why = fmt.Errorf("redis %s: a node cannot be its own replica", n.address)
	case of.replica:
		ch.why = fmt.Errorf("redis %s: it is a replica itself; name a master", c.reached(of))
	case len(s.me.slots) > 0:
		ch.why = fmt.Errorf("redis %s: it has slots (%s), which no node would answer for; nothing was changed; move them first", n.address, rangesText(s.me.slots))
	case !s.me.replica && s.keys > 0:
		ch.why = fmt.Errorf("redis %s: it holds %d keys, which would be lost; nothing was changed; empty it first", n.address, s.keys)
	}
	ch.do = func(ctx context.Context) error {
		if !ch.done {
			if _, err := n.call(ctx, "CLUSTER REPLICATE", "CLUSTER", "REPLICATE", of.id); err != nil {
				return err
			}
		}
		all, err := c.everyone(ctx)
		if err != nil {
			return err
		}
		_, err = c.until(ctx, "wait until "+n.address+" follows its master", all, func(_ context.Context, sites []*site) error {
			for _, other := range sites {
				seen, ok := other.l.byID(subject.id)
				if !ok || !seen.replica || seen.master != of.id {
					return notYet{fmt.Errorf("redis %s: it does not see %s as a replica of %s yet", other.address, n.address, c.reached(of))}
				}
				if other.id == subject.id && other.link != "" && other.link != "up" {
					return notYet{fmt.Errorf("redis %s: its link to its master is %s", n.address, other.link)}
				}
			}
			return nil
		})
		return err
	}
	return ch, nil
}

// findForget: the nodes that stay forget it, each by itself; one that still knew it would tell the others. So it is looked for in what each of them
// knows: an attempt before this one may have been cut off between two.
func (m *membership) findForget(ctx context.Context, c *Conn) (*change, error) {
	views, silent, err := c.views(ctx)
	if err != nil {
		return nil, err
	}
	var subject member
	known := false
	for i := 0; i < len(views) && !known; i++ {
		subject, known = c.member(views[i], m.subject)
	}
	ch := &change{would: "have every node forget " + m.subject, done: !known, id: subject.id}
	if !known {
		return ch, silent // who did not answer may know it
	}
	for _, l := range views {
		for _, other := range l.members {
			if other.master == subject.id {
				ch.why = fmt.Errorf("redis %s: it is the master of %s; nothing was changed; give that one another master first (cluster_replicate), or fail it over",
					c.reached(subject), c.reached(other))
			}
		}
	}
	if len(subject.slots) > 0 {
		ch.why = fmt.Errorf("redis %s: it has the slots %s, which no node would answer for; nothing was changed; move them first, and if it has failed without a replica, bring it back or restore its keys: they are nowhere else",
			c.reached(subject), rangesText(subject.slots))
	}
	if !subject.failed {
		ch.facts = append(ch.facts, engine.Fact{Name: c.reached(subject), Value: "is alive, and would be reset, so that it does not come back by itself"})
	}
	ch.do = func(ctx context.Context) error { return c.forget(ctx, subject) }
	return ch, nil
}

func (c *Conn) forget(ctx context.Context, subject member) error {
	all, err := c.everyone(ctx)
	if err != nil {
		return err
	}
	for _, address := range all {
		n, err := c.node(address)
		if err != nil {
			return err
		}
		l, err := c.lookAt(ctx, n)
		if err != nil {
			return err
		}
		if _, known := l.byID(subject.id); !known || l.myself().id == subject.id {
			continue
		}
		if _, err := n.call(ctx, "CLUSTER FORGET", "CLUSTER", "FORGET", subject.id); err != nil {
			return err
		}
	}
	return c.dismiss(ctx, subject)
}

// dismiss resets a forgotten node that is alive: it still knows the others, and would join them again when
// they have ceased to refuse it, after a minute.
func (c *Conn) dismiss(ctx context.Context, subject member) error {
	if subject.address == "" {
		return nil
	}
	n, err := c.node(subject.address)
	if err != nil {
		return err
	}
	s, err := c.site(ctx, n)
	var f *fault
	if errors.As(err, &f) && f.reach != refused {
		return nil // it is gone
	}
	if err != nil || s.id != subject.id {
		return err
	}
	_, err = n.call(ctx, "CLUSTER RESET", "CLUSTER", "RESET", "SOFT")
	return err
}

// Preview says what would be changed.
func (m *membership) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	im := engine.Impact{Standing: engine.StandingWould, Risk: changes, Would: m.word + " " + m.subject}
	if m.after != nil {
		im.Standing, im.Why = engine.StandingUnknown, "the node is "+m.after.Error()
		return im, nil
	}
	c, err := clusterOf(ctx, env)
	if err != nil {
		return engine.Impact{}, err
	}
	ch, err := m.find(ctx, c)
	if err != nil {
		im.Standing, im.Why = engine.StandingUnknown, err.Error()
		return im, nil
	}
	im.Would, im.Facts = ch.would, ch.facts
	switch {
	case ch.done:
		im.Standing = engine.StandingAlready
	case ch.why != nil:
		im.Standing, im.Why = engine.StandingUnknown, ch.why.Error()
	}
	return im, nil
}

// Execute makes the change, and waits until every node agrees.
func (m *membership) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	if m.after != nil {
		return engine.Outcome{Err: "the node is " + m.after.Error()}
	}
	if env.Access != steps.Full {
		return engine.Failure(fmt.Errorf("cluster_%s was not begun: this is a dry-run", m.word))
	}
	c, err := clusterOf(ctx, env)
	if err != nil {
		return failure(err)
	}
	ch, err := m.find(ctx, c)
	switch {
	case err != nil:
		return failure(err)
	case ch.why != nil && !ch.done:
		return engine.Failure(ch.why)
	case !ch.done || m.word == "replicate":
		if err := ch.do(ctx); err != nil {
			out := failure(err)
			out.Effect = engine.EffectUnknown
			return out
		}
	}
	return engine.Outcome{Result: engine.Record{"id": ch.id, "changed": !ch.done && !ch.waits}}
}
