package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

type transactionParams struct {
	Transaction [][]engine.Value `param:"transaction" need:"yes" doc:"the commands, each a list of its words"`
}

// transaction is several commands that are carried out as one, exactly once.
type transaction struct {
	onceOnly
	commands []engine.List
	kinds    []command
}

func judgeTransaction(p engine.Proposal) engine.Judgement {
	list, ok := p.Params["transaction"].(engine.List)
	if !ok {
		return engine.Judgement{Problems: []engine.Problem{{Path: "transaction",
			Message: "a transaction is a list of commands, each a list of its words, and their names are written out"}}}
	}
	if len(list) == 0 {
		return engine.Judgement{Problems: []engine.Problem{{Path: "transaction", Message: "there is no command in it"}}}
	}
	out := engine.Judgement{Class: engine.ClassTransactional, Risk: changes}
	var keys []string
	for i, e := range list {
		path := wordPath("transaction", i)
		words, ok := e.(engine.List)
		if !ok {
			out.Problems = append(out.Problems, engine.Problem{Path: path, Message: "a command is a list of its words, such as [INCR, key]"})
			continue
		}
		j := judgeCommands(path, words)
		out.Problems = append(out.Problems, j.Problems...)
		out.Risk = max(out.Risk, j.Risk)
		if len(j.Problems) == 0 {
			if bad := insideProblem(path, words); bad != nil {
				out.Problems = append(out.Problems, *bad)
			}
			flat, _ := expand(path, words)
			c, _ := commandOf(path, flat)
			keys = append(keys, c.keysOf(flat)...)
		}
	}
	if bad := crossSlot("transaction", "transaction", keys); bad != nil && p.Target == "cluster" {
		out.Problems = append(out.Problems, *bad)
	}
	return out
}

// insideProblem is why a command cannot be part of a transaction.
func insideProblem(path string, words engine.List) *engine.Problem {
	c, bad := commandOf(path, words)
	if bad != nil {
		return bad
	}
	bad = &engine.Problem{Path: wordPath(path, 0)}
	switch {
	case c.wipes():
		bad.Message = c.spoken() + " would remove the marker that proves the transaction; send it by `do`"
	case c.admin, c.scripted(), strings.HasSuffix(c.name, "_RO") && strings.HasPrefix(c.name, "E"), c.name == "FCALL_RO":
		bad.Message = c.spoken() + " cannot be part of a transaction; send it by `do`"
	case len(words) > maxWords:
		bad.Message = fmt.Sprintf("a command of %d words is more than the %d that fit into a transaction; make several of it", len(words), maxWords)
	default:
		for _, k := range c.keysOf(words) {
			if strings.HasPrefix(k, markerPrefix) {
				return &engine.Problem{Path: path, Message: "keys under handrail:{ are markers and belong to Handrail"}
			}
		}
		return nil
	}
	return bad
}

func decodeTransaction(params engine.Record) (steps.Operation, error) {
	t := &transaction{}
	t.what, t.mode, t.secrets, t.risk = "transaction", "commands", secretsIn(params), changes
	t.result = func(v engine.Value) engine.Record { return engine.Record{"values": v} }
	t.plain = t.multi
	if u, open := engine.FirstUnknown(params); open {
		t.after = &u
	}
	list, ok := params["transaction"].(engine.List)
	if !ok {
		if t.after != nil {
			return t, nil
		}
		return nil, engine.Problem{Path: "transaction", Message: fmt.Sprintf("must be a list, not %s", engine.TypeName(params["transaction"]))}
	}
	if len(list) == 0 {
		return nil, engine.Problem{Path: "transaction", Message: "there is no command in it"}
	}
	for i, e := range list {
		if err := t.add(wordPath("transaction", i), e); err != nil {
			return nil, err
		}
	}
	t.total = len(t.commands)
	return t, nil
}

// add takes one command in, in the form that protocol.lua reads.
func (t *transaction) add(path string, e engine.Value) error {
	list, ok := e.(engine.List)
	if !ok {
		if _, open := e.(engine.Unknown); open {
			return nil
		}
		return engine.Problem{Path: path, Message: fmt.Sprintf("must be a list, not %s", engine.TypeName(e))}
	}
	words, err := expand(path, list)
	if err != nil {
		return err
	}
	if bad := insideProblem(path, words); bad != nil {
		return *bad
	}
	c, _ := commandOf(path, words)
	t.commands, t.kinds = append(t.commands, words), append(t.kinds, c)
	t.risk = max(t.risk, c.risk)
	for _, k := range c.keysOf(words) {
		if !slices.Contains(t.keys, k) {
			t.keys = append(t.keys, k)
		}
	}
	return nil
}

// Execute runs the commands.
func (t *transaction) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	c, err := connOf(ctx, env)
	if err != nil {
		return failure(err)
	}
	t.body = nil
	for i, words := range t.commands {
		flag := "w"
		if t.kinds[i].class == read {
			flag = "r"
		}
		t.body = append(t.body, flag, len(words))
		args := wired(words)
		args[0] = c.line.real(args[0].(string))
		t.body = append(t.body, args...)
	}
	return t.onceOnly.Execute(ctx, env)
}

// multi runs the commands by MULTI and EXEC, for a user who may not run scripts. It is sent at most once,
// and no marker tells afterwards.
func (t *transaction) multi(ctx context.Context, n *node, conn *pinned) (engine.Outcome, error) {
	cmds := make([]*goredis.Cmd, len(t.commands))
	err := conn.run(ctx, func() error {
		_, err := conn.conn.TxPipelined(ctx, func(p goredis.Pipeliner) error {
			for i, words := range t.commands {
				cmds[i] = p.Do(ctx, wired(words)...)
			}
			return nil
		})
		return err
	})
	var said goredis.Error
	if err != nil && !errors.As(err, &said) {
		f := faultOf(n.address, "transaction", err, true)
		return engine.Outcome{Err: f.Error(), InDoubt: f.reach == lost, Effect: engine.EffectUnknown,
			Evidence: []string{"the commands were sent by MULTI and EXEC, and no answer came; they were all applied, or none"}}, nil
	}
	return t.multiOutcome(n, cmds, err)
}

func (t *transaction) multiOutcome(n *node, cmds []*goredis.Cmd, err error) (engine.Outcome, error) {
	values := make(engine.List, len(cmds))
	applied, failed := 0, ""
	var first error
	for i, c := range cmds {
		switch e := c.Err(); {
		case e == nil:
			values[i] = valueOf(c.Val())
			applied++
		case errors.Is(e, goredis.Nil):
			applied++
		case first == nil:
			first = e
			failed = fmt.Sprintf("command %d of %d: %v", i+1, len(cmds), e)
		}
	}
	switch {
	case failed == "" && (err == nil || errors.Is(err, goredis.Nil)):
		return engine.Outcome{Result: t.result(values)}, nil
	case applied == 0:
		// EXECABORT does not say why; the first command that was refused does.
		if f := faultOf(n.address, "transaction", first, true); first != nil && f.unbegun() {
			return engine.Outcome{}, f
		}
		return engine.Outcome{}, faultOf(n.address, "transaction", err, true)
	}
	return engine.Outcome{Err: fmt.Sprintf("redis %s: transaction: %s", n.address, failed), InDoubt: true, Effect: engine.EffectUnknown,
		Evidence: []string{fmt.Sprintf("%d of %d commands were applied and stand; Redis takes nothing back", applied, len(cmds)), failed}}, nil
}

// Preview says what would be sent, and what the keys are now.
func (t *transaction) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	im := engine.Impact{Would: fmt.Sprintf("run %d commands as one", len(t.commands))}
	for _, words := range t.commands {
		im.Details = append(im.Details, show(words))
	}
	return t.preview(ctx, env, im)
}
