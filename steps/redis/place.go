package redis

import (
	"context"
	"fmt"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// misplaced is why a command cannot be sent to the nodes that `nodes` names. In a cluster a command without
// keys, such as FLUSHALL, KEYS, DBSIZE and CONFIG SET, would reach one node only, and say OK.
func misplaced(c command, words engine.List, nodes string, cluster bool) *engine.Problem {
	many := nodes != "" && nodes != nodesOne
	switch {
	case (nodes == nodesReplicas || nodes == nodesAll) && c.class != read && !c.admin && c.listed:
		return &engine.Problem{Path: "nodes", Message: c.spoken() + " writes, and a replica takes no writes: say `nodes: masters`"}
	case !cluster || !c.listed:
		return nil
	case c.keyed(words):
		if many && !c.admin {
			return &engine.Problem{Path: "nodes", Message: "the keys of " + c.spoken() + " are on one node of the cluster, and the command finds it: leave `nodes` out"}
		}
		return crossSlot("do", c.spoken(), c.keysOf(words))
	case many, c.anywhere():
		return nil
	case nodes == "":
		bad := mustSayNodes(c.spoken())
		bad.Path = wordPath("do", 0)
		return &bad
	case c.class != read:
		return &engine.Problem{Path: "nodes", Message: c.spoken() + " would change one node, and it is not said which: say `nodes: masters` (or all), or make that node a `redis` target"}
	}
	return nil
}

// crossSlot is why keys cannot be used together in a cluster.
func crossSlot(path, what string, keys []string) *engine.Problem {
	_, a, b, ok := slotOfAll(keys)
	if ok {
		return nil
	}
	return &engine.Problem{Path: path, Message: fmt.Sprintf(
		"%s: the keys %s and %s are in different slots of the cluster (%d and %d), so no node has both; give them one {tag}, or make several steps of it",
		what, showText(a), showText(b), slotOf(a), slotOf(b))}
}

// place finds the slot of the command in a cluster. Of a command that the table lacks, such as a module's,
// the server knows the keys.
func (o *do) place(ctx context.Context, c *Conn) (slot int, bad *engine.Problem, err error) {
	if c.form != clustered {
		return noSlot, nil, nil
	}
	if bad := misplaced(o.command, o.words, o.nodes, true); bad != nil {
		return noSlot, bad, nil
	}
	keys := o.command.keysOf(o.words)
	if !o.command.listed && o.nodes == "" {
		v, err := c.read(ctx, noSlot, "ask for the keys of "+o.command.spoken(), append([]any{"COMMAND", "GETKEYS"}, wired(o.words)...)...)
		if err != nil {
			return noSlot, nil, fmt.Errorf("%w; nothing was sent; a command without keys needs `nodes: masters` (or one, replicas, all) in a cluster", err)
		}
		list, _ := v.(engine.List)
		for _, k := range list {
			keys = append(keys, raw(k))
		}
		if bad := crossSlot("do", o.command.spoken(), keys); bad != nil {
			return noSlot, bad, nil
		}
	}
	slot, _, _, _ = slotOfAll(keys)
	return slot, nil, nil
}

// Preview says what the command would meet.
func (o *do) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	im := engine.Impact{Standing: engine.StandingWould, Would: "send " + show(o.words), Risk: o.command.risk}
	if o.command.class == read {
		im.Would = "ask " + show(o.words)
	}
	if o.nodes != "" {
		im.Would += map[string]string{nodesOne: " on one node", nodesMasters: " on every master", nodesReplicas: " on every replica",
			nodesAll: " on every node"}[o.nodes]
	}
	if o.command.class != read {
		if !o.command.listed && o.after == nil {
			im.Warnings = append(im.Warnings, o.command.spoken()+" is not a command that is known here; it counts as one that must not be repeated")
		}
		im.Warnings = append(im.Warnings, o.dangers(env)...)
	}
	c, err := connOf(ctx, env)
	if err != nil {
		return engine.Impact{}, err
	}
	if o.command.class == read && c.form == single {
		return im, nil
	}
	slot, bad, err := o.place(ctx, c)
	switch {
	case err != nil:
		return engine.Impact{}, err
	case bad != nil:
		im.Standing = engine.StandingUnknown
		im.Why, _ = masked(bad.Error(), o.secrets).(string)
		return im, nil
	case several(engine.Record{"nodes": o.nodes}):
		return o.previewMany(ctx, c, im)
	}
	var out engine.Impact
	err = c.follow(ctx, slot, c.patience(), func(at try) (err error) {
		out, err = o.previewAt(ctx, c, at, im)
		return err
	})
	return out, err
}

func (o *do) previewAt(ctx context.Context, c *Conn, at try, im engine.Impact) (engine.Impact, error) {
	if c.form != single {
		im.Facts = append(im.Facts, engine.Fact{Name: "node", Value: at.address})
	}
	if o.command.class == read {
		return im, nil
	}
	now, err := at.glance(ctx)
	if err != nil {
		return engine.Impact{}, err
	}
	if err := at.replicaProblem(now); err != nil && !o.command.admin {
		if c.form != single {
			return im, err
		}
		im.Standing, im.Why = engine.StandingUnknown, err.Error()
		return im, nil
	}
	im.Warnings = append(im.Warnings, now.warnings()...)
	return o.previewFacts(ctx, at.node, now, im)
}

// previewMany says which nodes would be touched, and what each of them would lose or be set to.
func (o *do) previewMany(ctx context.Context, c *Conn, im engine.Impact) (engine.Impact, error) {
	nodes, err := c.pick(ctx, o.nodes)
	if err != nil {
		im.Standing, im.Why = engine.StandingUnknown, err.Error()
		return im, nil
	}
	im.Facts = append(im.Facts, facts(nodes)...)
	if o.command.class == read {
		return im, nil
	}
	if o.command.wipes() {
		if err := c.whole(ctx, o.command.spoken()); err != nil {
			im.Standing, im.Why = engine.StandingUnknown, err.Error()
			return im, nil
		}
	}
	parts, err := askEach(ctx, nodes, func(ctx context.Context, n placed) (engine.Impact, error) {
		now, err := n.glance(ctx)
		if err != nil {
			return engine.Impact{}, err
		}
		part, err := o.previewFacts(ctx, n.node, now, engine.Impact{})
		part.Warnings = append(part.Warnings, now.warnings()...)
		return part, err
	})
	if err != nil {
		return engine.Impact{}, err
	}
	sums := map[string]engine.Figure{}
	var names []string
	for i, part := range parts {
		for _, f := range part.Facts {
			im.Facts = append(im.Facts, engine.Fact{Name: nodes[i].address + " " + f.Name, Value: f.Value})
		}
		for _, w := range part.Warnings {
			im.Warnings = append(im.Warnings, nodes[i].address+": "+w)
		}
		for _, f := range part.Figures {
			im.Facts = append(im.Facts, engine.Fact{Name: nodes[i].address + " " + f.Name, Value: fmt.Sprint(f.Value)})
			if _, had := sums[f.Name]; !had {
				names = append(names, f.Name)
			}
			sums[f.Name] = addFigure(sums[f.Name], f)
		}
	}
	for _, name := range names {
		im.Figures = append(im.Figures, sums[name])
	}
	im.Figures = append(im.Figures, touched(len(nodes)))
	return im, nil
}

// addFigure adds what one more node has; the sum is as certain as its least certain part.
func addFigure(sum, f engine.Figure) engine.Figure {
	if sum.Name == "" {
		return f
	}
	sum.Value += f.Value
	sum.Certainty = min(sum.Certainty, f.Certainty)
	if sum.Why == "" {
		sum.Why = f.Why
	}
	return sum
}
