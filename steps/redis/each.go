package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// gathering puts together what the parts of an operation tell that acts on several nodes side by side.
//
// Invariants: notes holds the last note of every node that has one, in the order of their first; a note is
// recorded with all the others, so that the last one tells of every node AFTER a crash.
type gathering struct {
	env *steps.Env

	mu       sync.Mutex
	notes    engine.List
	progress map[string][2]int64
}

// voice is the attendant of one node.
type voice struct {
	g    *gathering
	node string
}

// Note records it beside the notes of the others.
func (v voice) Note(note engine.Value) error {
	v.g.mu.Lock()
	defer v.g.mu.Unlock()
	r := engine.Record{engine.NodeField: v.node, "note": note}
	if i := indexOfNode(v.g.notes, v.node); i >= 0 {
		v.g.notes[i] = r
	} else {
		v.g.notes = append(v.g.notes, r)
	}
	return v.g.env.Note(engine.Record{engine.NodesField: slices.Clone(v.g.notes)})
}

// Progress adds up what the nodes tell.
func (v voice) Progress(done, total int64, unit string) {
	v.g.mu.Lock()
	defer v.g.mu.Unlock()
	v.g.progress[v.node] = [2]int64{done, total}
	var sum [2]int64
	for _, p := range v.g.progress {
		sum[0], sum[1] = sum[0]+p[0], sum[1]+p[1]
	}
	v.g.env.Progress(sum[0], sum[1], unit)
}

// Write goes to the step's log.
func (v voice) Write(p []byte) (int, error) { return v.g.env.Output().Write(p) }

func indexOfNode(list engine.List, node string) int {
	return slices.IndexFunc(list, func(v engine.Value) bool {
		r, _ := v.(engine.Record)
		return r[engine.NodeField] == node
	})
}

// ofNode is what was seen or noted of one node.
func ofNode(v engine.Value, node, name string) engine.Value {
	r, _ := v.(engine.Record)
	list, _ := r[engine.NodesField].(engine.List)
	i := indexOfNode(list, node)
	if i < 0 {
		return nil
	}
	one, _ := list[i].(engine.Record)
	return one[name]
}

// each lets f act on all the nodes at once and puts the outcomes together.
func each(ctx context.Context, env *steps.Env, nodes []placed, f func(context.Context, *steps.Env, placed) engine.Outcome) engine.Outcome {
	g := &gathering{env: env, progress: map[string][2]int64{}}
	if r, ok := env.Call.Note.(engine.Record); ok && env.Again {
		list, _ := r[engine.NodesField].(engine.List)
		g.notes = slices.Clone(list)
	}
	out := make([]engine.Outcome, len(nodes))
	parts := make([]*steps.Env, len(nodes))
	for i, n := range nodes { // all of them BEFORE the first begins, which notes something in what they are made of
		parts[i] = env.Part(ofNode(env.Call.Seen, n.address, "seen"), ofNode(env.Call.Note, n.address, "note"), voice{g, n.address})
	}
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() { out[i] = f(ctx, parts[i], n) })
	}
	all.Wait()
	return together(nodes, out)
}

// together makes one outcome of those of the nodes. When some have failed, those that have not have their
// effect, so no more can be said than that it is not known as a whole.
func together(nodes []placed, parts []engine.Outcome) engine.Outcome {
	out := engine.Outcome{Transient: true}
	var list engine.List
	var errs, done []string
	var tail strings.Builder
	for i, p := range parts {
		out.InDoubt = out.InDoubt || p.InDoubt
		out.Effect = max(out.Effect, p.Effect)
		out.Evidence = append(out.Evidence, p.Evidence...)
		tail.WriteString(p.Tail)
		if p.Err != "" {
			errs = append(errs, p.Err)
			out.Transient = out.Transient && p.Transient
			continue
		}
		r := engine.Record{engine.NodeField: nodes[i].address}
		for k, v := range p.Result {
			r[k] = v
		}
		list = append(list, r)
		done = append(done, nodes[i].address)
	}
	out.Tail = tail.String()
	if len(errs) == 0 {
		out.Transient, out.Effect, out.Result = false, engine.EffectNone, engine.Record{engine.NodesField: list}
		if size := sizeOf(list); size > maxKept {
			return engine.Outcome{Err: tooLarge(size), Effect: engine.EffectStands}
		}
		return out
	}
	out.Err = strings.Join(errs, "; ")
	if len(nodes) > 1 {
		out.Err = fmt.Sprintf("%d of %d nodes: %s", len(errs), len(nodes), out.Err)
	}
	if len(done) > 0 {
		out.Effect = engine.EffectUnknown
		out.Evidence = append(out.Evidence, "it was done on "+strings.Join(done, ", "))
	}
	return out
}

// prepareEach looks at all the nodes BEFORE the intent.
func prepareEach(ctx context.Context, nodes []placed, look func(context.Context, *node) (engine.Value, error)) (engine.Value, error) {
	seen, err := askEach(ctx, nodes, func(ctx context.Context, n placed) (engine.Value, error) {
		v, err := look(ctx, n.node)
		return engine.Record{engine.NodeField: n.address, "seen": v}, err
	})
	return engine.Record{engine.NodesField: engine.List(seen)}, err
}

// askEach asks all the nodes at once.
func askEach[T any](ctx context.Context, nodes []placed, ask func(context.Context, placed) (T, error)) ([]T, error) {
	out, errs := make([]T, len(nodes)), make([]error, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() { out[i], errs[i] = ask(ctx, n) })
	}
	all.Wait()
	return out, errors.Join(errs...)
}

// onNodes lets f act on the nodes that `nodes` names: on several side by side, or on the one.
func onNodes(ctx context.Context, env *steps.Env, nodes, what string, f func(context.Context, *steps.Env, placed) engine.Outcome) engine.Outcome {
	c, err := connOf(ctx, env)
	if err != nil {
		return failure(err)
	}
	chosen, err := c.acting(ctx, nodes, what)
	if err != nil {
		return failure(err)
	}
	if several(engine.Record{"nodes": nodes}) {
		return each(ctx, env, chosen, f)
	}
	return f(ctx, env, chosen[0])
}

// previewRead says which nodes would be asked, where that is not plain.
func previewRead(ctx context.Context, env *steps.Env, nodes, what string, im engine.Impact) (engine.Impact, error) {
	c, err := connOf(ctx, env)
	if err != nil {
		return engine.Impact{}, err
	}
	if c.form == single && nodes == "" {
		return im, nil
	}
	chosen, err := c.acting(ctx, nodes, what)
	if err != nil {
		im.Standing, im.Why = engine.StandingUnknown, err.Error()
		return im, nil
	}
	im.Facts = append(im.Facts, facts(chosen)...)
	return im, nil
}
