package redis

import (
	"context"
	"fmt"

	"github.com/handrail-dev/handrail/engine"
)

type takeParams struct {
	Take string `param:"cluster_take" need:"yes" doc:"host:port or id of the master that takes them: empty, and known to the cluster"`
}

// findTake: what the slots held is lost, and the failed nodes that had them are forgotten BEFORE the slots get a
// new owner; one that came back would quarrel about them. An attempt that was cut off in between is gone on with,
// because slots of a forgotten node have none. So every node is asked: one may have forgotten, and another not.
func (m *membership) findTake(ctx context.Context, c *Conn, subject member) (*change, error) {
	views, silent, err := c.views(ctx)
	if err != nil {
		return nil, err
	}
	lost, agreed := uncoveredIn(views)
	dead := lostWith(views)
	ch := &change{would: fmt.Sprintf("give %s the slots %s, which no node answers for", c.reached(subject), rangesText(lost)),
		id: subject.id, done: silent == nil && agreed && len(lost)+len(dead) == 0}
	if len(lost)+len(dead) == 0 {
		ch.would, ch.waits = "give "+c.reached(subject)+" the slots that no node answers for; there are none", true
	}
	if ch.done {
		return ch, nil
	}
	n, err := c.node(subject.address)
	if err != nil {
		return nil, err
	}
	s, err := c.site(ctx, n)
	if err != nil {
		return nil, err
	}
	for _, other := range dead {
		ch.facts = append(ch.facts, engine.Fact{Name: c.reached(other), Value: "has failed with the slots " + rangesText(other.slots) + ", and would be forgotten"})
		if r, ok := replicaOf(views, other); ok {
			ch.why = fmt.Errorf("redis %s: it is a replica of %s, which has failed, and has the keys; nothing was changed; let it take over (CLUSTER FAILOVER TAKEOVER)",
				c.reached(r), c.reached(other))
		}
	}
	switch {
	case ch.waits:
	case subject.replica:
		ch.why = fmt.Errorf("redis %s: it is a replica; name a master", n.address)
	case subject.failed:
		ch.why = fmt.Errorf("redis %s: it has failed itself", n.address)
	case len(s.me.slots) == 0 && s.keys > 0:
		ch.why = fmt.Errorf("redis %s: it holds %d keys, and no slots that they could belong to; nothing was changed; empty it first", n.address, s.keys)
	}
	ch.do = func(ctx context.Context) error {
		for _, other := range dead {
			if err := c.forget(ctx, other); err != nil {
				return err
			}
		}
		for _, r := range lost {
			if err := s.take(ctx, r); err != nil {
				return err
			}
		}
		all, err := c.everyone(ctx)
		if err != nil {
			return err
		}
		_, err = c.until(ctx, "wait until the nodes agree that "+n.address+" has the slots", all, func(_ context.Context, sites []*site) error {
			return agree(sites)
		})
		return err
	}
	return ch, nil
}
