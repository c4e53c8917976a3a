package redis

import (
	"context"
	"errors"
)

// views are what the living nodes know of the cluster, each by itself. They differ while the cluster is changed one node after the other, and where
// that was cut off. silent says which did not answer: the cluster may not have noticed yet.
func (c *Conn) views(ctx context.Context) (out []*layout, silent, err error) {
	all, err := c.everyone(ctx)
	if err != nil {
		return nil, nil, err
	}
	var missing []error
	for _, address := range all {
		n, err := c.node(address)
		if err != nil {
			return nil, nil, err
		}
		l, err := c.lookAt(ctx, n)
		if err != nil {
			missing = append(missing, err)
			continue
		}
		out = append(out, l)
	}
	silent = errors.Join(missing...)
	if len(out) == 0 {
		return nil, nil, silent
	}
	return out, silent, nil
}

// uncoveredIn are the slots of which no node knows an owner that lives. agreed: no node sees more than these without one.
func uncoveredIn(views []*layout) (lost []slotRange, agreed bool) {
	without := make([]int, slots)
	for _, l := range views {
		for _, r := range l.uncovered() {
			for i := r.from; i <= r.to; i++ {
				without[i]++
			}
		}
	}
	agreed = true
	for _, n := range without {
		agreed = agreed && (n == 0 || n == len(views))
	}
	return rangesOf(func(i int) bool { return without[i] == len(views) }), agreed
}

// lostWith are the members that failed with slots, as any node knows them.
func lostWith(views []*layout) []member {
	var out []member
	seen := map[string]bool{}
	for _, l := range views {
		for _, m := range l.members {
			if m.failed && len(m.slots) > 0 && !seen[m.id] {
				seen[m.id] = true
				out = append(out, m)
			}
		}
	}
	return out
}

// replicaOf finds a replica that lives of a member.
func replicaOf(views []*layout, of member) (member, bool) {
	for _, l := range views {
		for _, m := range l.members {
			if m.master == of.id && !m.failed {
				return m, true
			}
		}
	}
	return member{}, false
}

func layoutsOf(sites []*site) []*layout {
	out := make([]*layout, len(sites))
	for i, s := range sites {
		out[i] = s.l
	}
	return out
}
