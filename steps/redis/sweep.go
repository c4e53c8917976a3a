package redis

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

//go:embed sweep.lua
var sweepLua string

type sweepParams struct {
	Sweep sweepOf `param:"sweep" need:"yes" doc:"which keys, and what becomes of them"`
	Nodes string  `param:"nodes" enum:"one,masters" literal:"yes" doc:"which nodes are swept, side by side; needed in a cluster, where it is masters"`
}

type sweepOf struct {
	Match   string         `param:"match" need:"yes" doc:"pattern of the keys, as SCAN takes it: reservation:*"`
	Where   string         `param:"where" literal:"yes" doc:"what must hold of a key: ttl == -1 (does not expire), ttl < 10m, idle >= 30d, size > 1024, joined by and; every key of the pattern when left out"`
	Type    string         `param:"type" enum:"string,list,set,zset,hash,stream" doc:"only keys of this type"`
	Action  string         `param:"action" enum:"unlink,delete,expire" doc:"unlink (the default; memory is freed in the background), delete, or expire"`
	Expire  *time.Duration `param:"expire" doc:"with action expire: the time that the keys have left"`
	Batch   int64          `param:"batch" default:"2000" doc:"how many keys the server looks at in one go; it does nothing else meanwhile"`
	MaxKeys int64          `param:"max_keys" doc:"stop after so many keys were swept, on each node; no bound when left out"`
}

type countParams struct {
	Count countOf `param:"count" need:"yes" doc:"which keys"`
	Nodes string  `param:"nodes" enum:"one,masters,replicas,all" literal:"yes" doc:"which nodes count theirs, side by side; needed in a cluster"`
}

type countOf struct {
	Match string `param:"match" need:"yes" doc:"pattern of the keys, as SCAN takes it: reservation:*"`
	Where string `param:"where" literal:"yes" doc:"what must hold of a key, as for sweep"`
	Type  string `param:"type" enum:"string,list,set,zset,hash,stream" doc:"only keys of this type"`
}

const (
	defaultBatch = 2000
	mostBatch    = 100_000
)

// sweep acts on all keys of a pattern of which a condition holds.
type sweep struct {
	selection
	action string // the command
	expire time.Duration
	batch  int64
	most   int64 // 0: no bound
	nodes  string
	after  *engine.Unknown
}

func judgeSweep(p engine.Proposal) engine.Judgement {
	params := p.Params
	out := engine.Judgement{Class: engine.ClassIdempotent, Risk: destroys}
	r, ok := params["sweep"].(engine.Record)
	if !ok {
		return judgeNodes(p, "sweep", out)
	}
	if where, ok := r["where"].(string); ok {
		if _, bad := parseCondition(where); bad != nil {
			bad.Path = "sweep.where"
			out.Problems = append(out.Problems, *bad)
		}
	}
	_, expire := r["expire"]
	action, named := r["action"].(string)
	switch {
	case expire && named && action != "expire":
		out.Problems = append(out.Problems, engine.Problem{Path: "sweep.expire",
			Message: "expire belongs to `action: expire`; with " + action + " the keys are gone at once"})
	case named && action == "expire" && !expire:
		out.Problems = append(out.Problems, engine.Problem{Path: "sweep.action", Message: "action expire needs `expire`, such as `expire: 10m`"})
	}
	return judgeNodes(p, "sweep", out)
}

func decodeSweep(params engine.Record) (steps.Operation, error) {
	if j := judgeSweep(engine.Proposal{Params: params}); len(j.Problems) > 0 {
		return nil, j.Problems[0]
	}
	var p sweepParams
	if err := steps.Bind(params, &p); err != nil {
		return nil, err
	}
	s := &sweep{selection: selection{match: p.Sweep.Match, kind: p.Sweep.Type}, action: "UNLINK", batch: p.Sweep.Batch, most: p.Sweep.MaxKeys, nodes: p.Nodes}
	if u, open := engine.FirstUnknown(params); open {
		s.after = &u
	}
	if err := s.where(p.Sweep.Where); err != nil {
		return nil, err
	}
	switch {
	case p.Sweep.Expire != nil:
		s.action, s.expire = "PEXPIRE", *p.Sweep.Expire
		if s.expire < time.Millisecond && s.after == nil {
			return nil, engine.Problem{Path: "sweep.expire", Message: "must be at least 1ms; to remove the keys at once use unlink"}
		}
	case p.Sweep.Action == "delete":
		s.action = "DEL"
	}
	if s.match == "" && s.after == nil {
		return nil, engine.Problem{Path: "sweep.match", Message: "the pattern is empty and matches only the empty key; write * for every key"}
	}
	if s.batch == 0 {
		s.batch = defaultBatch
	}
	if s.batch < 1 || s.batch > mostBatch {
		return nil, engine.Problem{Path: "sweep.batch", Message: fmt.Sprintf("must be from 1 to %d", mostBatch)}
	}
	if s.most < 0 {
		return nil, engine.Problem{Path: "sweep.max_keys", Message: "must not be negative"}
	}
	return s, nil
}

// noteEvery bounds how often the progress of a sweep is made durable. What is under way is begun anew after a
// crash, and what was swept is not found again; a node that is done is left out.
const noteEvery = time.Second

// sweeping is how far a sweep has come on one node.
type sweeping struct {
	cursor                string
	matched, found, swept int64
	before                int64 // swept by attempts that were cut off, as far as noted
	keys                  int64 // in the database at the start
	noted                 time.Time
	shape                 string // the slots of the node when it was begun
	server                string // its run id
}

// Execute sweeps.
func (s *sweep) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	if s.after != nil {
		return engine.Outcome{Err: "the sweep is " + s.after.Error()}
	}
	if env.Access != steps.Full {
		return engine.Failure(errors.New("the sweep was not begun: this is a dry-run"))
	}
	c, err := connOf(ctx, env)
	if err != nil {
		return failure(err)
	}
	total := &sum{action: s.action}
	return c.steadily(ctx, s.nodes, "sweep", func(nodes []placed, shapes map[string]string) engine.Outcome {
		on := func(ctx context.Context, env *steps.Env, n placed) engine.Outcome {
			return s.on(ctx, env, c, n.node, shapes[n.address])
		}
		if several(engine.Record{"nodes": s.nodes}) {
			return total.add(each(ctx, env, nodes, on))
		}
		return on(ctx, env, nodes[0])
	})
}

// on sweeps one node. A node that an attempt that was cut off had done with, and that has had the same slots
// since, is left as it is.
func (s *sweep) on(ctx context.Context, env *steps.Env, c *Conn, n *node, shape string) engine.Outcome {
	if err := c.admits(ctx, n); err != nil {
		return failure(err)
	}
	at := sweeping{cursor: "0", noted: env.Now(), shape: shape}
	if now, err := n.glance(ctx); err == nil {
		at.server = now.runID
	}
	if note, ok := env.Call.Note.(engine.Record); ok && env.Again {
		if result, ok := note["done"].(engine.Record); ok && note["shape"] == shape && note["server"] == at.server && !moving(shape) {
			return engine.Outcome{Result: result}
		}
		at.before, _ = note["swept"].(int64)
	}
	if v, err := n.ask(ctx, "count the keys", "DBSIZE"); err == nil {
		at.keys, _ = v.(int64)
	}
	return s.run(ctx, env, n, &at)
}

func (s *sweep) run(ctx context.Context, env *steps.Env, n *node, at *sweeping) engine.Outcome {
	for {
		more, err := s.portion(ctx, n, at)
		if err != nil {
			return sweepFailed(ctx, at, err)
		}
		ended := at.cursor == "0" || more
		if now := env.Now(); !ended && now.Sub(at.noted) >= noteEvery {
			at.noted = now
			if err := env.Note(engine.Record{"swept": at.before + at.swept, "matched": at.matched, "cursor": at.cursor}); err != nil {
				return engine.Outcome{Err: err.Error(), Effect: engine.EffectUnknown}
			}
		}
		env.Progress(int64(scanned(at.cursor)*float64(at.keys)), at.keys, "keys")
		if !ended {
			continue
		}
		result := engine.Record{"matched": at.matched, "found": at.found, "swept": at.swept, "swept_before": at.before, "more": more}
		if s.nodes == nodesMasters { // the others may still be under way when a crash comes
			if err := env.Note(engine.Record{"swept": at.before + at.swept, "done": result, "shape": at.shape, "server": at.server}); err != nil {
				return engine.Outcome{Err: err.Error(), Effect: engine.EffectUnknown}
			}
		}
		return engine.Outcome{Result: result}
	}
}

func sweepFailed(ctx context.Context, at *sweeping, err error) engine.Outcome {
	out := failure(err)
	out.Err = fmt.Sprintf("%s; %d keys were swept before that", out.Err, at.swept)
	var f *fault
	lostOne := errors.As(err, &f) && f.reach == lost
	switch {
	case lostOne:
		out.Effect, out.Transient = engine.EffectUnknown, ctx.Err() == nil
	case at.swept > 0:
		out.Effect = engine.EffectUnknown
	}
	return out
}

// portion sweeps one portion; more says that the bound was reached before the end.
func (s *sweep) portion(ctx context.Context, n *node, at *sweeping) (more bool, err error) {
	room := int64(math.MaxInt32)
	if s.most > 0 {
		room = s.most - at.swept
	}
	cluster := "0"
	if at.shape != "" {
		cluster = "1"
	}
	args := append([]any{0, at.cursor, s.match, s.batch, s.kind, s.action, s.expire.Milliseconds(), room, cluster}, s.condition.args()...)
	v, err := try{node: n, asking: moving(at.shape)}.script(ctx, "sweep", sweepLua, sweepSHA, args)
	if err != nil {
		return false, err
	}
	list, ok := v.(engine.List)
	if !ok || len(list) != 5 {
		return false, fmt.Errorf("redis %s: the sweep's script answered %s, not five values", n.address, engine.TypeName(v))
	}
	matched, _ := list[1].(int64)
	found, _ := list[2].(int64)
	swept, _ := list[3].(int64)
	at.cursor = engine.Text(list[0])
	at.matched += matched
	at.found += found
	at.swept += swept
	full := s.most > 0 && at.swept >= s.most && at.cursor != "0"
	return list[4] == int64(1) || full, nil
}

var sweepSHA = shaOf(sweepLua)

func shaOf(script string) string {
	sum := sha1.Sum([]byte(script))
	return hex.EncodeToString(sum[:])
}

// script runs a script by its digest, and sends its text when the server does not know it.
func (t try) script(ctx context.Context, doing, text, sha string, args []any) (engine.Value, error) {
	v, err := t.callAt(ctx, doing, append([]any{"EVALSHA", sha}, args...)...)
	var f *fault
	if errors.As(err, &f) && f.reach == refused && f.code == "NOSCRIPT" {
		return t.callAt(ctx, doing, append([]any{"EVAL", text}, args...)...)
	}
	return v, err
}

// scanned is the part of a database that a cursor of SCAN has left behind. The cursor counts up with its
// bits reversed, so that it survives a change of the table's size.
func scanned(cursor string) float64 {
	c, err := strconv.ParseUint(cursor, 10, 64)
	if err != nil || c == 0 {
		return 1
	}
	return float64(bits.Reverse64(c)) / math.MaxUint64
}

// Preview counts what would be swept.
func (s *sweep) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	im := engine.Impact{Standing: engine.StandingWould, Risk: destroys, Would: s.would()}
	if s.after != nil {
		im.Figures = []engine.Figure{{Name: "keys", Why: s.after.Error()}}
		return im, nil
	}
	c, err := connOf(ctx, env)
	if err != nil {
		return engine.Impact{}, err
	}
	nodes, err := c.acting(ctx, s.nodes, "sweep")
	if err == nil {
		err = c.whole(ctx, "sweep")
	}
	if err != nil {
		im.Standing, im.Why = engine.StandingUnknown, err.Error()
		return im, nil
	}
	if s.text == "" && strings.Trim(s.match, "*") == "" {
		im.Warnings = append(im.Warnings, "this is every key of the database, Handrail's own markers excepted")
	}
	parts, err := askEach(ctx, nodes, func(ctx context.Context, n placed) (engine.Impact, error) { return s.previewOn(ctx, env, n) })
	if err != nil {
		return engine.Impact{}, err
	}
	var keys, weight engine.Figure
	for i, part := range parts {
		if part.Why != "" {
			im.Standing, im.Why = engine.StandingUnknown, part.Why
			return im, nil
		}
		im.Warnings = append(im.Warnings, part.Warnings...)
		keys = addFigure(keys, part.Figures[0])
		if len(part.Figures) > 1 {
			weight = addFigure(weight, part.Figures[1])
		}
		for _, f := range part.Facts {
			if s.nodes != "" {
				f.Name = nodes[i].address + " " + f.Name
			}
			im.Facts = append(im.Facts, f)
		}
		if s.nodes != "" {
			im.Facts = append(im.Facts, engine.Fact{Name: nodes[i].address, Value: fmt.Sprintf("%d keys, %s", part.Figures[0].Value, part.Figures[0].Certainty)})
		}
	}
	im.Figures = append(im.Figures, keys, touched(len(nodes)))
	if weight.Name != "" {
		im.Figures = append(im.Figures, weight)
	}
	return im, nil
}

func (s *sweep) previewOn(ctx context.Context, env *steps.Env, n placed) (engine.Impact, error) {
	var im engine.Impact
	now, err := n.glance(ctx)
	if err != nil {
		return im, err
	}
	if err := n.replicaProblem(now); err != nil {
		return engine.Impact{Why: err.Error()}, nil
	}
	if len(s.condition) > 0 && s.uses("idle") && strings.Contains(now.policy, "lfu") {
		im.Warnings = append(im.Warnings, "policy "+now.policy+" keeps no idle time; the server would refuse the sweep")
	}
	f, sample, err := s.estimate(ctx, env, n.node)
	if err != nil {
		return im, err
	}
	if s.most > 0 && f.Value > s.most {
		f.Value, f.Why = s.most, strings.TrimPrefix(f.Why+"; no more than max_keys", "; ")
	}
	im.Figures = append(im.Figures, f)
	if s.action != "PEXPIRE" {
		weight, err := n.weighed(ctx, sample, f)
		if err != nil {
			return im, err
		}
		im.Figures = append(im.Figures, weight)
	}
	im.Facts = now.memory()
	return im, nil
}

func (s *sweep) would() string {
	verb := map[string]string{"UNLINK": "remove", "DEL": "remove", "PEXPIRE": "let expire in " + s.expire.String()}[s.action]
	return verb + " " + s.selection.String()
}
