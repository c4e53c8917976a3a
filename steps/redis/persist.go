package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// saving describes one of the two files that a server writes in the background, by the fields of INFO
// persistence that tell about it.
type saving struct {
	word       string // for people
	command    string
	inProgress string
	scheduled  string // empty: it is never put off
	status     string
	count      string // how often it was BEGUN since the start; servers before 7.0 do not count
	seconds    string
}

var (
	snapshotting = saving{word: "snapshot", command: "BGSAVE", inProgress: "rdb_bgsave_in_progress",
		status: "rdb_last_bgsave_status", count: "rdb_saves", seconds: "rdb_last_bgsave_time_sec"}
	rewriting = saving{word: "rewrite of the append-only file", command: "BGREWRITEAOF", inProgress: "aof_rewrite_in_progress",
		scheduled: "aof_rewrite_scheduled", status: "aof_last_bgrewrite_status", count: "aof_rewrites",
		seconds: "aof_last_rewrite_time_sec"}
)

// Params of the two operations.
type (
	snapshotParams struct {
		Snapshot struct{} `param:"snapshot" need:"yes" doc:"{}: it has no parameters"`
		Nodes    string   `param:"nodes" enum:"one,masters,replicas,all" literal:"yes" doc:"which nodes write theirs, side by side; needed in a cluster"`
	}
	rewriteParams struct {
		Rewrite struct{} `param:"rewrite_aof" need:"yes" doc:"{}: it has no parameters"`
		Nodes   string   `param:"nodes" enum:"one,masters,replicas,all" literal:"yes" doc:"which nodes rewrite theirs, side by side; needed in a cluster"`
	}
)

// persist makes a server write one of its files, and waits until that has succeeded.
type persist struct {
	saving
	nodes string
}

func judgePersist(command string) func(engine.Proposal) engine.Judgement {
	return func(p engine.Proposal) engine.Judgement {
		return judgeNodes(p, command, engine.Judgement{Class: engine.ClassIdempotent, Risk: changes})
	}
}

// under says whether the work is under way, or about to be.
func (p *persist) under(s state) bool {
	return s.persistence(p.inProgress) == 1 || p.scheduled != "" && s.persistence(p.scheduled) == 1
}

// Prepare looks BEFORE the intent at how often the file was written. What starts after this look is as new
// as the step needs it.
func (p *persist) Prepare(ctx context.Context, env *steps.Env) (engine.Preparation, error) {
	c, err := connOf(ctx, env)
	if err != nil {
		return engine.Preparation{}, err
	}
	nodes, err := c.acting(ctx, p.nodes, p.command)
	if err != nil {
		return engine.Preparation{}, err
	}
	var seen engine.Value
	if several(engine.Record{"nodes": p.nodes}) {
		seen, err = prepareEach(ctx, nodes, p.prepare)
	} else {
		seen, err = p.prepare(ctx, nodes[0].node)
	}
	return engine.Preparation{Seen: seen}, err
}

func (p *persist) prepare(ctx context.Context, n *node) (engine.Value, error) {
	now, err := n.state(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.possible(n, now); err != nil {
		return nil, err
	}
	return engine.Record{
		"server": now.runID, "in_progress": p.under(now), "count": now.persistence(p.count),
		"last_save": now.persistence("rdb_last_save_time"),
	}, nil
}

func (p *persist) possible(n *node, now state) error {
	if p.command == rewriting.command && !now.aof && now.has("persistence", "aof_enabled") {
		return fmt.Errorf("redis %s: the append-only file is off, so there is nothing to rewrite; switch it on with CONFIG SET appendonly yes, or use `snapshot`", n.address)
	}
	return nil
}

// begunSince: AFTER the look that seen records, the server has begun to write the file once more. What it
// writes then is as new as the step needs it.
func (p *persist) begunSince(seen engine.Value, now state) bool {
	r, ok := seen.(engine.Record)
	if !ok || r["server"] != now.runID {
		return false
	}
	if now.has("persistence", p.count) {
		before, _ := r["count"].(int64)
		return now.persistence(p.count) > before
	}
	// What was under way then may be what is seen now. LASTSAVE has whole seconds, and says nothing of
	// rewrites.
	if running, _ := r["in_progress"].(bool); running {
		return false
	}
	last, _ := r["last_save"].(int64)
	return p.under(now) || p.command == snapshotting.command && now.persistence("rdb_last_save_time") > last
}

// Execute starts the work and waits for its end. After a crash it takes what was finished, or is under way,
// since the intent.
func (p *persist) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	if env.Access != steps.Full {
		return engine.Failure(fmt.Errorf("%s was not sent: this is a dry-run", p.command))
	}
	return onNodes(ctx, env, p.nodes, p.command, func(ctx context.Context, env *steps.Env, n placed) engine.Outcome {
		return p.executeOn(ctx, env, n.node)
	})
}

func (p *persist) executeOn(ctx context.Context, env *steps.Env, n *node) engine.Outcome {
	now, err := n.state(ctx)
	if err != nil {
		return failure(err)
	}
	if err := p.possible(n, now); err != nil {
		return failure(err)
	}
	if env.Again && p.begunSince(env.Call.Seen, now) {
		if p.under(now) {
			return p.await(ctx, env, n, now, true)
		}
		if p.succeeded(now) {
			return p.finished(ctx, n, now, true)
		}
	}
	return p.start(ctx, env, n, now)
}

// start waits for work that was under way before, because it began too early to count, and then starts its
// own.
func (p *persist) start(ctx context.Context, env *steps.Env, n *node, now state) engine.Outcome {
	for {
		var err error
		if now, err = p.idle(ctx, env, n, now); err != nil {
			return failure(err)
		}
		_, err = n.call(ctx, p.command, p.command)
		var f *fault
		switch {
		case err == nil:
			return p.await(ctx, env, n, now, false)
		case errors.As(err, &f) && f.reach == lost:
			out := failure(err)
			out.Effect, out.Transient = engine.EffectUnknown, true
			return out
		case !errors.As(err, &f) || f.reach != refused || !strings.Contains(strings.ToLower(f.cause.Error()), "in progress") &&
			!strings.Contains(strings.ToLower(f.cause.Error()), "another child process"):
			return failure(err)
		}
		// Another child of the server got in between.
		if err := pause(ctx, polling); err != nil {
			return failure(faultOf(n.address, p.command, err, false))
		}
		if now, err = n.state(ctx); err != nil {
			return failure(err)
		}
	}
}

// polling is how often a server is asked how far its child is. At first it is asked oftener: the child of a
// small one is done in less time than that.
const (
	polling      = 100 * time.Millisecond
	firstPolling = 5 * time.Millisecond
)

// idle waits until the server has no child that would be in the way.
func (p *persist) idle(ctx context.Context, env *steps.Env, n *node, now state) (state, error) {
	first := now.runID
	for now.persistence(snapshotting.inProgress) == 1 || now.persistence(rewriting.inProgress) == 1 || p.under(now) {
		p.progress(env, now)
		if err := pause(ctx, polling); err != nil {
			return now, faultOf(n.address, "wait for the "+p.word+" under way", err, false)
		}
		var err error
		if now, err = n.state(ctx); err != nil {
			return now, err
		}
	}
	if now.runID != first {
		return now, fmt.Errorf("redis %s: the server was restarted while it was waited for", n.address)
	}
	return now, nil
}

// await waits for the end of the work that was started, and says how it ended.
func (p *persist) await(ctx context.Context, env *steps.Env, n *node, begun state, again bool) engine.Outcome {
	for next := firstPolling; ; next = min(next*5/4, polling) {
		now, err := n.state(ctx)
		if err != nil {
			out := failure(err)
			out.Effect, out.Transient = engine.EffectUnknown, ctx.Err() == nil
			return out
		}
		if now.runID != begun.runID {
			return engine.Outcome{Err: fmt.Sprintf("redis %s: the server was restarted while it wrote its %s", n.address, p.word),
				Effect: engine.EffectUnknown, Transient: true}
		}
		p.progress(env, now)
		if !p.under(now) {
			return p.finished(ctx, n, now, again)
		}
		if err := pause(ctx, next); err != nil {
			return engine.Outcome{Err: fmt.Sprintf("redis %s: the %s was still under way when the step's time was up; the server goes on with it",
				n.address, p.word), Effect: engine.EffectUnknown}
		}
	}
}

func (p *persist) progress(env *steps.Env, now state) {
	if total := now.persistence("current_save_keys_total"); total > 0 {
		env.Progress(now.persistence("current_save_keys_processed"), total, "keys")
	}
}

// succeeded: the last run of the work did, or the server does not say.
func (p *persist) succeeded(now state) bool {
	status := now.persistenceText(p.status)
	return status == "ok" || status == ""
}

// finished reads how the last run of the work ended. The server tells a failure, but not its reason.
func (p *persist) finished(ctx context.Context, n *node, now state, again bool) engine.Outcome {
	if !p.succeeded(now) {
		return engine.Outcome{Err: fmt.Sprintf("redis %s: the %s failed (%s: %s); the file from before is untouched; the reason stands in the server's log; usual ones are a full disk, a folder without write permission%s, and too little memory to fork",
			n.address, p.word, p.status, now.persistenceText(p.status), n.folder(ctx))}
	}
	result := engine.Record{"seconds": max(now.persistence(p.seconds), 0), "already": again}
	if p.command == rewriting.command {
		result["size"] = now.persistence("aof_current_size")
	} else {
		result["last_save"] = time.Unix(now.persistence("rdb_last_save_time"), 0).UTC()
	}
	return engine.Outcome{Result: result}
}

// folder names the server's data folder, if it may be asked.
func (n *node) folder(ctx context.Context) string {
	v, err := n.ask(ctx, "ask for the folder", "CONFIG", "GET", "dir")
	if err != nil {
		return ""
	}
	r, _ := pairUp(v).(engine.Record)
	dir, _ := r["dir"].(string)
	if dir == "" {
		return ""
	}
	return " (" + dir + ")"
}

// Preview says how old the file is.
func (p *persist) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	im := engine.Impact{Standing: engine.StandingWould, Risk: changes, Would: "send " + p.command + " and wait until it has succeeded"}
	c, err := connOf(ctx, env)
	if err != nil {
		return engine.Impact{}, err
	}
	nodes, err := c.acting(ctx, p.nodes, p.command)
	if err != nil {
		im.Standing, im.Why = engine.StandingUnknown, err.Error()
		return im, nil
	}
	if !several(engine.Record{"nodes": p.nodes}) {
		return p.previewOn(ctx, nodes[0], im)
	}
	im.Would += ", on " + p.nodes + " side by side"
	im.Figures = append(im.Figures, touched(len(nodes)))
	parts, err := askEach(ctx, nodes, func(ctx context.Context, n placed) (engine.Impact, error) {
		return p.previewOn(ctx, n, engine.Impact{Standing: im.Standing})
	})
	if err != nil {
		return engine.Impact{}, err
	}
	for i, part := range parts {
		if part.Standing == engine.StandingUnknown {
			im.Standing, im.Why = part.Standing, part.Why
		}
		for _, f := range part.Facts {
			im.Facts = append(im.Facts, engine.Fact{Name: nodes[i].address + " " + f.Name, Value: f.Value})
		}
		for _, w := range part.Warnings {
			im.Warnings = append(im.Warnings, nodes[i].address+": "+w)
		}
	}
	return im, nil
}

func (p *persist) previewOn(ctx context.Context, n placed, im engine.Impact) (engine.Impact, error) {
	now, err := n.state(ctx)
	if err != nil {
		return engine.Impact{}, err
	}
	if err := p.possible(n.node, now); err != nil {
		im.Standing, im.Why = engine.StandingUnknown, err.Error()
		return im, nil
	}
	if p.command == snapshotting.command {
		if last := now.persistence("rdb_last_save_time"); last > 0 {
			im.Facts = append(im.Facts, engine.Fact{Name: "last snapshot", Value: time.Unix(last, 0).UTC().Format(time.RFC3339)})
		}
		im.Facts = append(im.Facts, engine.Fact{Name: "changes since", Value: fmt.Sprint(now.persistence("rdb_changes_since_last_save"))})
	} else {
		im.Facts = append(im.Facts, engine.Fact{Name: "append-only file",
			Value: fmt.Sprintf("%d bytes, %d when it was last rewritten", now.persistence("aof_current_size"), now.persistence("aof_base_size"))})
	}
	if p.under(now) {
		im.Warnings = append(im.Warnings, "a "+p.word+" is under way; it would be waited for, and then a new one started")
	}
	if !p.succeeded(now) {
		im.Warnings = append(im.Warnings, "the last "+p.word+" failed; the reason stands in the server's log")
	}
	return im, nil
}
