package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

type doParams struct {
	Do []engine.Value `param:"do" need:"yes" doc:"the command, each word an entry of its own; the name is written out, a list among the other words becomes as many words"`
}

// do is a single command.
type do struct {
	words   engine.List
	command command
	after   *engine.Unknown // some words are not known yet
	secrets []string
}

func judgeDo(params engine.Record) engine.Judgement {
	words, ok := params["do"].(engine.List)
	if !ok {
		return engine.Judgement{Problems: []engine.Problem{{Path: "do",
			Message: "a command is a list of its words, such as [GET, key], and its name is written out"}}}
	}
	return judgeCommands("do", words)
}

func judgeCommands(path string, words engine.List) engine.Judgement {
	if _, err := expand(path, words); err != nil {
		return engine.Judgement{Problems: []engine.Problem{problemOf(err)}}
	}
	c, bad := commandOf(path, words)
	if bad != nil {
		return engine.Judgement{Problems: []engine.Problem{*bad}}
	}
	return engine.Judgement{Class: c.class, Risk: c.risk, Remarks: c.remarks(path, words)}
}

func problemOf(err error) engine.Problem {
	var p engine.Problem
	if errors.As(err, &p) {
		return p
	}
	return engine.Problem{Message: err.Error()}
}

func decodeDo(params engine.Record) (steps.Operation, error) {
	o := &do{secrets: secretsIn(params)}
	if u, open := engine.FirstUnknown(params); open {
		o.after = &u
	}
	list, ok := params["do"].(engine.List)
	if !ok {
		if o.after != nil {
			return o, nil
		}
		return nil, engine.Problem{Path: "do", Message: fmt.Sprintf("must be a list, not %s", engine.TypeName(params["do"]))}
	}
	words, err := expand("do", list)
	if err != nil {
		return nil, err
	}
	c, bad := commandOf("do", words)
	if bad != nil {
		return nil, *bad
	}
	o.words, o.command = words, c
	return o, nil
}

// class is what a crash may do to the command, as the author or the table says.
func (o *do) class(env *steps.Env) engine.Class {
	if env.Call.Class != engine.ClassUnset {
		return env.Call.Class
	}
	return o.command.class
}

// Execute sends the command.
func (o *do) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	if o.after != nil {
		return engine.Outcome{Err: "the command is " + o.after.Error()}
	}
	n, err := nodeOf(ctx, env)
	if err != nil {
		return failure(err)
	}
	if o.command.class == read {
		v, err := n.ask(ctx, show(o.words[:1]), wired(o.words)...)
		if err != nil {
			return o.conceal(failure(err))
		}
		return o.result(v)
	}
	return o.conceal(o.write(ctx, env, n))
}

func (o *do) result(v engine.Value) engine.Outcome {
	if mapped(o.command.name) {
		v = pairUp(v)
	}
	if size := sizeOf(v); size > maxKept {
		out := engine.Outcome{Err: o.command.spoken() + ": " + tooLarge(size)}
		if o.command.class != read {
			out.Effect = engine.EffectStands
		}
		return out
	}
	return o.conceal(engine.Outcome{Result: engine.Record{"value": v}})
}

// conceal masks the secrets among the words wherever the server repeats them.
func (o *do) conceal(out engine.Outcome) engine.Outcome { return concealed(out, o.secrets) }

func concealed(out engine.Outcome, secrets []string) engine.Outcome {
	if len(secrets) == 0 {
		return out
	}
	out.Err, _ = masked(out.Err, secrets).(string)
	for i, e := range out.Evidence {
		out.Evidence[i], _ = masked(e, secrets).(string)
	}
	if out.Result != nil {
		out.Result, _ = masked(out.Result, secrets).(engine.Record)
	}
	return out
}

// write sends a command that changes something, at most once.
func (o *do) write(ctx context.Context, env *steps.Env, n *node) engine.Outcome {
	doing := o.command.spoken()
	if env.Access != steps.Full {
		// The connection refuses it, too; this saves the questions before it.
		return engine.Failure(fmt.Errorf("redis %s: %s was not sent: this is a dry-run", n.address, doing))
	}
	conn, err := n.pin(ctx, doing)
	if err != nil {
		return failure(err)
	}
	defer conn.release()
	if !o.command.admin {
		if err := n.writable(ctx); err != nil {
			return failure(err)
		}
	}
	unrepeatable := o.class(env) == engine.ClassUnrepeatable
	if unrepeatable {
		if err := noteSender(ctx, env, conn); err != nil {
			return failure(err)
		}
	}
	v, err := conn.call(ctx, doing, wired(o.words)...)
	if err == nil {
		return o.result(v)
	}
	return o.failed(ctx, n, err, unrepeatable)
}

// writable refuses a replica, also one that would take the write and lose it.
func (n *node) writable(ctx context.Context) error {
	v, err := n.ask(ctx, "ask for its role", "ROLE")
	if err != nil {
		var f *fault
		if errors.As(err, &f) && f.reach == refused && !f.transient() {
			return nil // it may not be asked; the server itself refuses then
		}
		return err
	}
	role, ok := v.(engine.List)
	if !ok || len(role) < 3 || role[0] != "slave" {
		return nil
	}
	return n.replicaProblem(state{role: "slave", master: fmt.Sprintf("%s:%s", engine.Text(role[1]), engine.Text(role[2]))})
}

// failed says what is known of a command that brought an error.
func (o *do) failed(ctx context.Context, n *node, err error, unrepeatable bool) engine.Outcome {
	out := failure(err)
	var f *fault
	if !errors.As(err, &f) {
		return out
	}
	switch {
	case f.reach == refused && o.command.scripted():
		out.Effect = engine.EffectUnknown
		out.InDoubt = unrepeatable
		out.Evidence = []string{"the server answered with an error, but " + o.command.spoken() + " may have changed something before: " + f.cause.Error()}
	case f.reach == lost && o.command.name == "SHUTDOWN" && n.gone(ctx):
		return engine.Outcome{Result: engine.Record{"value": nil}}
	case f.reach == lost:
		out.Effect = engine.EffectUnknown
		out.InDoubt = unrepeatable
		out.Transient = !unrepeatable
		out.Evidence = []string{o.command.spoken() + " was sent to " + n.address + ", and no answer came; it may have been carried out"}
	}
	return out
}

// gone: the server cannot be reached any more.
func (n *node) gone(ctx context.Context) bool {
	for range 50 {
		_, err := n.call(ctx, "", "PING")
		var f *fault
		if errors.As(err, &f) && f.reach == notSent {
			return true
		}
		if err == nil || pause(ctx, asking) != nil {
			return false
		}
	}
	return false
}

// noteSender records BEFORE the command which connection sends it, so that the server can be asked after a
// crash whether the command could still arrive.
func noteSender(ctx context.Context, env *steps.Env, conn *pinned) error {
	note := engine.Record{"client": int64(0), "server": ""}
	if v, err := conn.call(ctx, "ask for the connection's id", "CLIENT", "ID"); err == nil {
		note["client"] = v
	}
	if v, err := conn.call(ctx, "ask for the server's id", "INFO", "server"); err == nil {
		note["server"] = stateOf(parseInfo(raw(v), 0)).runID
	}
	if err := ctx.Err(); err != nil {
		return faultOf(conn.n.address, "", err, false)
	}
	return env.Note(note)
}

// Settle finds out whether a command that was cut off could still arrive. Whether it was carried out only
// the step's done_if or a person knows.
func (o *do) Settle(ctx context.Context, env *steps.Env) engine.Settlement {
	if o.class(env) != engine.ClassUnrepeatable {
		return engine.Settlement{Evidence: []string{o.command.spoken() + " moves the server to a stated condition and may be sent again"}}
	}
	return settleSender(ctx, env, o.command.spoken())
}

// settleSender asks the server about the connection that noteSender recorded.
func settleSender(ctx context.Context, env *steps.Env, doing string) engine.Settlement {
	note, ok := env.Call.Note.(engine.Record)
	if !ok {
		return engine.Settlement{Verdict: engine.VerdictNotDone, Dead: true,
			Evidence: []string{doing + " was not sent: the attempt ended before it had a connection"}}
	}
	n, err := nodeOf(ctx, env)
	if err != nil {
		return engine.Settlement{Evidence: []string{err.Error()}}
	}
	now, err := n.glance(ctx)
	if err != nil {
		return engine.Settlement{Evidence: []string{err.Error()}}
	}
	server, _ := note["server"].(string)
	client, _ := note["client"].(int64)
	switch {
	case server != "" && now.runID != "" && server != now.runID:
		return engine.Settlement{Dead: true, Evidence: []string{fmt.Sprintf(
			"%s may have been sent; the server was restarted since, so it cannot arrive any more", doing)}}
	case client == 0 || server == "":
		return engine.Settlement{Evidence: []string{doing + " may have been sent; the server did not tell the id of its connection"}}
	}
	if err := n.endClient(ctx, client); err != nil {
		return engine.Settlement{Evidence: []string{fmt.Sprintf("%s may have been sent; its connection cannot be asked about: %v", doing, err)}}
	}
	return engine.Settlement{Dead: true, Evidence: []string{fmt.Sprintf(
		"%s may have been sent; its connection %d is closed, so it cannot arrive any more", doing, client)}}
}

// endClient closes a connection of another process and waits until it is gone.
func (n *node) endClient(ctx context.Context, id int64) error {
	for {
		v, err := n.ask(ctx, "look for a connection", "CLIENT", "LIST", "ID", id)
		if err != nil {
			return err
		}
		if raw(v) == "" {
			return nil
		}
		if _, err := n.call(ctx, "close a connection", "CLIENT", "KILL", "ID", id); err != nil {
			return err
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// Preview says what the command would meet.
func (o *do) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	im := engine.Impact{Standing: engine.StandingWould, Would: "send " + show(o.words), Risk: o.command.risk}
	if o.command.class == read {
		im.Would = "ask " + show(o.words)
		return im, nil
	}
	if !o.command.listed && o.after == nil {
		im.Warnings = append(im.Warnings, o.command.spoken()+" is not a command that is known here; it counts as one that must not be repeated")
	}
	im.Warnings = append(im.Warnings, o.dangers(env)...)
	n, err := nodeOf(ctx, env)
	if err != nil {
		return engine.Impact{}, err
	}
	now, err := n.glance(ctx)
	if err != nil {
		return engine.Impact{}, err
	}
	if err := n.replicaProblem(now); err != nil && !o.command.admin {
		im.Standing, im.Why = engine.StandingUnknown, err.Error()
		return im, nil
	}
	im.Warnings = append(im.Warnings, now.warnings()...)
	return o.previewFacts(ctx, n, now, im)
}

// dangers are the warnings that the command itself deserves.
func (o *do) dangers(env *steps.Env) []string {
	var out []string
	switch name := o.command.name; {
	case o.command.wipes():
		out = append(out, name+" cannot be taken back")
		if !env.Call.Wipes {
			out = append(out, name+" also removes the markers of finished transactions; say `wipes: true`, or a resume takes the target for restored")
		}
	case name == "SAVE":
		out = append(out, "SAVE stops the server for as long as it takes; `snapshot` does not")
	case name == "BGSAVE", name == "BGREWRITEAOF":
		out = append(out, name+" only starts the work; `snapshot` and `rewrite_aof` wait until it has succeeded")
	case name == "SHUTDOWN":
		out = append(out, "SHUTDOWN ends the server for everybody")
	case slices.Contains([]string{"EVAL", "EVALSHA", "FCALL"}, name):
		out = append(out, name+" sent like this is never repeated after a crash; `script` is carried out exactly once")
	}
	return out
}
