package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// selection is a set of keys: those of a pattern and a type of which a condition holds.
type selection struct {
	match, kind string
	text        string // of the condition
	condition   condition
}

func (s *selection) where(text string) error {
	if text == "" {
		return nil
	}
	c, bad := parseCondition(text)
	if bad != nil {
		return *bad
	}
	s.text, s.condition = text, c
	return nil
}

func (s selection) uses(field string) bool {
	for _, c := range s.condition {
		if c.field == field {
			return true
		}
	}
	return false
}

func (s selection) String() string {
	out := "keys " + s.match
	if s.kind != "" {
		out += " of type " + s.kind
	}
	if s.text != "" {
		out += " with " + s.text
	}
	return out
}

// scanCount is how many keys the server looks at for one SCAN.
const scanCount = 1000

// tally is how far a count has come.
type tally struct {
	cursor         string
	matched, found int64
	looked         int64    // about how many keys the server has looked at
	sample         []string // the first that were found
}

// scan looks at one more portion of the keys, by reading only.
func (s selection) scan(ctx context.Context, n *node, t *tally) error {
	args := []any{"SCAN", t.cursor, "MATCH", s.match, "COUNT", scanCount}
	if s.kind != "" {
		args = append(args, "TYPE", s.kind)
	}
	v, err := n.ask(ctx, "SCAN", args...)
	if err != nil {
		return err
	}
	reply, _ := v.(engine.List)
	if len(reply) != 2 {
		return fmt.Errorf("redis %s: SCAN answered %s, not a cursor and keys", n.address, engine.TypeName(v))
	}
	keys, _ := reply[1].(engine.List)
	keys = slices.DeleteFunc(keys, func(k engine.Value) bool { return strings.HasPrefix(raw(k), markerPrefix) })
	t.cursor = engine.Text(reply[0])
	t.matched += int64(len(keys))
	t.looked += scanCount
	if len(s.condition) == 0 {
		t.found += int64(len(keys))
		for _, k := range keys[:min(len(keys), mostWeighed-len(t.sample))] {
			t.sample = append(t.sample, raw(k))
		}
		return nil
	}
	return s.judge(ctx, n, keys, t)
}

// judge asks about each key, all in one go.
func (s selection) judge(ctx context.Context, n *node, keys engine.List, t *tally) error {
	if len(keys) == 0 {
		return nil
	}
	questions := make([][]any, 0, len(keys)*len(s.condition))
	for _, k := range keys {
		questions = append(questions, s.condition.questions(raw(k))...)
	}
	values, errs, err := n.askAll(ctx, "ask about keys", questions)
	if err != nil {
		return err
	}
	for i := range keys {
		from, to := i*len(s.condition), (i+1)*len(s.condition)
		away, err := elsewhereNow(errs[from:to])
		if err != nil {
			return err
		}
		if away {
			t.matched--
			continue
		}
		if s.condition.holds(values[from:to]) {
			t.found++
			if len(t.sample) < mostWeighed {
				t.sample = append(t.sample, raw(keys[i]))
			}
		}
	}
	return nil
}

// elsewhereNow: the key is on its way to another node of a cluster, which counts it then.
func elsewhereNow(errs []error) (bool, error) {
	for _, e := range errs {
		var f *fault
		if errors.As(e, &f) && (f.code == "MOVED" || f.code == "ASK") {
			return true, nil
		}
		if e != nil {
			return false, e
		}
	}
	return false, nil
}

// Bounds of what a plan looks at.
const (
	mostLooked  = 200_000
	mostLooking = 2 * time.Second
)

// estimate counts the keys, or as many as a plan may look at, and reckons from those. It gives the first of them, too.
func (s selection) estimate(ctx context.Context, env *steps.Env, n *node) (engine.Figure, []string, error) {
	started := env.Now()
	t := tally{cursor: "0"}
	for {
		if err := s.scan(ctx, n, &t); err != nil {
			return engine.Figure{}, nil, err
		}
		if t.cursor == "0" {
			return engine.Figure{Name: "keys", Value: t.found, Certainty: engine.FigureExact}, t.sample, nil
		}
		if t.looked >= mostLooked || env.Now().Sub(started) >= mostLooking {
			break
		}
	}
	part := scanned(t.cursor)
	return engine.Figure{Name: "keys", Value: int64(float64(t.found) / part), Certainty: engine.FigureEstimate,
		Why: fmt.Sprintf("reckoned from %d keys, which are %.0f %% of the database", t.looked, 100*part)}, t.sample, nil
}

// count is the operation that counts a selection.
type count struct {
	selection
	nodes string
	after *engine.Unknown
}

func judgeCount(p engine.Proposal) engine.Judgement {
	out := engine.Judgement{Class: read}
	r, _ := p.Params["count"].(engine.Record)
	if where, ok := r["where"].(string); ok {
		if _, bad := parseCondition(where); bad != nil {
			bad.Path = "count.where"
			out.Problems = append(out.Problems, *bad)
		}
	}
	return judgeNodes(p, "count", out)
}

func decodeCount(params engine.Record) (steps.Operation, error) {
	if j := judgeCount(engine.Proposal{Params: params}); len(j.Problems) > 0 {
		return nil, j.Problems[0]
	}
	var p countParams
	if err := steps.Bind(params, &p); err != nil {
		return nil, err
	}
	c := &count{selection: selection{match: p.Count.Match, kind: p.Count.Type}, nodes: p.Nodes}
	if u, open := engine.FirstUnknown(params); open {
		c.after = &u
	}
	return c, c.where(p.Count.Where)
}

// Preview says what would be counted.
func (c *count) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	im := engine.Impact{Standing: engine.StandingWould, Would: "count " + c.selection.String()}
	return previewRead(ctx, env, c.nodes, "count", im)
}

// Execute counts.
func (c *count) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	if c.after != nil {
		return engine.Outcome{Err: "the pattern is " + c.after.Error()}
	}
	conn, err := connOf(ctx, env)
	if err != nil {
		return failure(err)
	}
	return conn.steadily(ctx, c.nodes, "count", func(nodes []placed, _ map[string]string) engine.Outcome {
		if several(engine.Record{"nodes": c.nodes}) {
			return each(ctx, env, nodes, c.on)
		}
		return c.on(ctx, env, nodes[0])
	})
}

// on counts the keys of one node.
func (c *count) on(ctx context.Context, env *steps.Env, n placed) engine.Outcome {
	var keys int64
	if v, err := n.ask(ctx, "count the keys", "DBSIZE"); err == nil {
		keys, _ = v.(int64)
	}
	t := tally{cursor: "0"}
	for {
		if err := c.scan(ctx, n.node, &t); err != nil {
			return failure(err)
		}
		env.Progress(int64(scanned(t.cursor)*float64(keys)), keys, "keys")
		if t.cursor == "0" {
			return engine.Outcome{Result: engine.Record{"count": t.found, "matched": t.matched}}
		}
	}
}
