package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

type doParams struct {
	Do    []engine.Value `param:"do" need:"yes" doc:"the command, each word an entry of its own; the name is written out, a list among the other words becomes as many words"`
	Nodes string         `param:"nodes" enum:"one,masters,replicas,all" literal:"yes" doc:"on which nodes; one (the default) is the server, the master that sentinels name, or the node of the command's keys in a cluster"`
}

// do is a single command.
type do struct {
	words   engine.List
	command command
	nodes   string
	after   *engine.Unknown // some words are not known yet
	secrets []string
}

func judgeDo(p engine.Proposal) engine.Judgement {
	words, ok := p.Params["do"].(engine.List)
	if !ok {
		return engine.Judgement{Problems: []engine.Problem{{Path: "do",
			Message: "a command is a list of its words, such as [GET, key], and its name is written out"}}}
	}
	j := judgeCommands("do", words)
	j.Each = several(p.Params)
	if len(j.Problems) > 0 {
		return j
	}
	words, _ = expand("do", words)
	c, _ := commandOf("do", words)
	nodes, _ := p.Params["nodes"].(string)
	if bad := misplaced(c, words, nodes, p.Target == "cluster"); bad != nil {
		j.Problems = append(j.Problems, *bad)
	}
	return j
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
	if err := steps.Bind(engine.Record{"nodes": params["nodes"]}, &struct {
		Nodes string `param:"nodes"`
	}{}); err != nil && params["nodes"] != nil {
		return nil, err
	}
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
	o.nodes, _ = params["nodes"].(string)
	if bad := misplaced(c, words, o.nodes, false); bad != nil {
		return nil, *bad
	}
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
	c, err := connOf(ctx, env)
	if err != nil {
		return failure(err)
	}
	slot, bad, err := o.place(ctx, c)
	switch {
	case bad != nil:
		return o.conceal(engine.Failure(*bad))
	case err != nil:
		return o.conceal(failure(err))
	case several(engine.Record{"nodes": o.nodes}):
		nodes, err := c.pick(ctx, o.nodes)
		if err == nil && o.command.wipes() {
			err = c.whole(ctx, o.command.spoken())
		}
		if err != nil {
			return failure(err)
		}
		return each(ctx, env, nodes, func(ctx context.Context, env *steps.Env, n placed) engine.Outcome {
			out, err := o.send(ctx, env, c, try{node: n.node})
			if err != nil {
				out = failure(err)
			}
			return o.conceal(out)
		})
	}
	var out engine.Outcome
	err = c.follow(ctx, slot, c.patience(), func(at try) (err error) {
		out, err = o.send(ctx, env, c, at)
		return err
	})
	if err != nil {
		out = failure(err)
	}
	return o.conceal(out)
}

// send sends the command to one node. The error is one that left nothing behind.
func (o *do) send(ctx context.Context, env *steps.Env, c *Conn, at try) (engine.Outcome, error) {
	if o.command.class != read {
		return o.write(ctx, env, c, at)
	}
	v, err := at.askAt(ctx, show(o.words[:1]), wired(o.words)...)
	if err != nil {
		return engine.Outcome{}, err
	}
	return o.result(v), nil
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
func (o *do) write(ctx context.Context, env *steps.Env, c *Conn, at try) (engine.Outcome, error) {
	doing := o.command.spoken()
	if env.Access != steps.Full {
		// The connection refuses it, too; this saves the questions before it.
		return engine.Outcome{}, fmt.Errorf("redis %s: %s was not sent: this is a dry-run", at.address, doing)
	}
	conn, err := at.pinFor(ctx, doing)
	if err != nil {
		return engine.Outcome{}, err
	}
	defer conn.release()
	if !o.command.admin {
		if err := c.admits(ctx, at.node); err != nil {
			return engine.Outcome{}, err
		}
	}
	unrepeatable := o.class(env) == engine.ClassUnrepeatable
	if unrepeatable {
		if err := noteSender(ctx, env, conn); err != nil {
			return engine.Outcome{}, err
		}
	}
	v, err := conn.call(ctx, doing, wired(o.words)...)
	if err == nil {
		return o.result(v), nil
	}
	out := o.failed(ctx, at.node, err, unrepeatable)
	if out.Effect == engine.EffectNone && !out.InDoubt && out.Err != "" {
		return out, err
	}
	return out, nil
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
	case f.reach == refused && o.command.scripted() && !f.unbegun():
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
