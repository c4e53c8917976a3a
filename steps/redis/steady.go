package redis

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// Bounds of how often the keys of a cluster are gone over while slots are being moved.
const (
	mostPasses   = 5
	betweenTimes = time.Second
)

// steadily goes over the keys of the nodes until no slot has been moved meanwhile: a key that is moved from a
// node that has yet to be looked at to one that has been is missed otherwise. pass gets, for each node of a
// cluster, which slots it has.
func (c *Conn) steadily(ctx context.Context, nodes, doing string, pass func([]placed, map[string]string) engine.Outcome) engine.Outcome {
	for i := 1; ; i++ {
		chosen, before, err := c.survey(ctx, nodes, doing)
		if err != nil {
			return failure(err)
		}
		out := pass(chosen, before)
		if out.Err != "" || c.form != clustered {
			return out
		}
		_, now, err := c.survey(ctx, nodes, doing)
		if err != nil {
			out := failure(err)
			out.Effect = engine.EffectUnknown
			return out
		}
		if maps.Equal(before, now) && !anyMoving(now) {
			return out
		}
		if i == mostPasses {
			return engine.Outcome{Effect: engine.EffectUnknown, Transient: true, Err: fmt.Sprintf(
				"slots of the cluster are being moved all the while (%s), so keys may have been missed; try again when the resharding is over", movingText(now))}
		}
		if err := pause(ctx, betweenTimes); err != nil {
			return engine.Outcome{Effect: engine.EffectUnknown, Err: doing + ": stopped while slots of the cluster were being moved, so keys may have been missed"}
		}
	}
}

// survey picks the nodes, and asks each of a cluster for the slots that it has and those on their way.
func (c *Conn) survey(ctx context.Context, nodes, doing string) ([]placed, map[string]string, error) {
	chosen, err := c.acting(ctx, nodes, doing)
	if err != nil || c.form != clustered {
		return chosen, nil, err
	}
	if err := c.whole(ctx, doing); err != nil {
		return nil, nil, err
	}
	shapes, err := askEach(ctx, chosen, func(ctx context.Context, n placed) (string, error) {
		l, err := c.lookAt(ctx, n.node)
		if err != nil {
			return "", err
		}
		me := l.myself()
		return strings.TrimSpace(me.role() + " " + rangesText(me.slots) + " " + strings.Join(me.moving, " ")), nil
	})
	if err != nil {
		return nil, nil, err
	}
	out := make(map[string]string, len(chosen))
	for i, n := range chosen {
		out[n.address] = shapes[i]
	}
	return chosen, out, nil
}

func moving(shape string) bool { return strings.Contains(shape, "[") }

func anyMoving(shapes map[string]string) bool {
	for _, s := range shapes {
		if moving(s) {
			return true
		}
	}
	return false
}

func movingText(shapes map[string]string) string {
	var parts []string
	for node, s := range shapes {
		if at := strings.IndexByte(s, '['); at >= 0 {
			parts = append(parts, node+" "+s[at:])
		}
	}
	if len(parts) == 0 {
		return "they change hands"
	}
	return strings.Join(parts, ", ")
}

// sum adds up what several passes have swept on each node.
type sum struct {
	action string
	nodes  map[string]engine.Record
}

// add takes in one more pass, and gives the outcome of all of them.
func (s *sum) add(out engine.Outcome) engine.Outcome {
	if out.Err != "" {
		return out
	}
	if s.nodes == nil {
		s.nodes = map[string]engine.Record{}
	}
	list, _ := out.Result[engine.NodesField].(engine.List)
	for i, v := range list {
		r, _ := v.(engine.Record)
		name := engine.Text(r[engine.NodeField])
		if before, ok := s.nodes[name]; ok {
			r = plus(before, r, s.action != "PEXPIRE")
		}
		s.nodes[name], list[i] = r, r
	}
	return out
}

func plus(before, r engine.Record, removed bool) engine.Record {
	num := func(r engine.Record, name string) int64 { n, _ := r[name].(int64); return n }
	out := engine.Record{}
	for k, v := range r {
		out[k] = v
	}
	for _, name := range []string{"found", "swept"} {
		out[name] = num(before, name) + num(r, name)
	}
	if removed { // what the pass before has removed was not met again
		out["matched"] = num(before, "swept") + num(r, "matched")
	}
	out["swept_before"] = before["swept_before"]
	return out
}
