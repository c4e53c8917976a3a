package redis

import (
	"context"
	"errors"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

type scriptParams struct {
	Script string         `param:"script" need:"yes" literal:"yes" doc:"Lua; values come in as KEYS and ARGV, never as part of the text"`
	Keys   []engine.Value `param:"keys" doc:"the keys that the script touches: KEYS[1] and so on"`
	Args   []engine.Value `param:"args" doc:"other values: ARGV[1] and so on"`
}

// script is a Lua script of the author's, carried out exactly once.
type script struct {
	onceOnly
	text string
	args engine.List
}

func judgeScript(p engine.Proposal) engine.Judgement {
	params := p.Params
	out := engine.Judgement{Class: engine.ClassTransactional, Risk: destroys}
	text, ok := params["script"].(string)
	if !ok {
		return out
	}
	if bad := scriptProblem(text); bad != nil {
		out.Problems = append(out.Problems, *bad)
	}
	for _, name := range []string{"keys", "args"} {
		list, _ := params[name].(engine.List)
		flat, err := expandAll(name, list)
		if err != nil {
			out.Problems = append(out.Problems, problemOf(err))
			continue
		}
		if p.Target != "cluster" || name != "keys" {
			continue
		}
		if bad := crossSlot("keys", "script", known(flat)); bad != nil {
			out.Problems = append(out.Problems, *bad)
		}
		if _, said := params["keys"]; !said {
			out.Problems = append(out.Problems, noKeys())
		}
	}
	return out
}

// noKeys is why a script without keys cannot be sent to a cluster.
func noKeys() engine.Problem {
	return engine.Problem{Path: "script", Message: "in a cluster a script runs where its keys are: name them under `keys`"}
}

// known are the values that are known already, as they go to the server.
func known(list engine.List) []string {
	var out []string
	for _, v := range list {
		if b, err := wire("", v); err == nil {
			out = append(out, string(b))
		}
	}
	return out
}

func scriptProblem(text string) *engine.Problem {
	switch {
	case strings.TrimSpace(text) == "":
		return &engine.Problem{Path: "script", Message: "the script is empty"}
	case strings.HasPrefix(text, "#!"):
		return &engine.Problem{Path: "script",
			Message: "leave the #! line out: the script runs inside one of Handrail's own, which keeps the marker; its flags would not hold"}
	}
	return nil
}

// expandAll is expand for a list without a command's name.
func expandAll(path string, list engine.List) (engine.List, error) {
	out := make(engine.List, 0, len(list))
	for i, e := range list {
		inner, ok := e.(engine.List)
		if !ok {
			inner = engine.List{e}
		}
		for _, v := range inner {
			if _, open := v.(engine.Unknown); !open {
				if _, err := wire(wordPath(path, i), v); err != nil {
					return nil, err
				}
			}
			out = append(out, v)
		}
	}
	return out, nil
}

func decodeScript(params engine.Record) (steps.Operation, error) {
	var p scriptParams
	if err := steps.Bind(params, &p); err != nil {
		return nil, err
	}
	s := &script{text: p.Script}
	s.what, s.mode, s.secrets, s.risk = "script", "script", secretsIn(params), destroys
	s.result = func(v engine.Value) engine.Record { return engine.Record{"value": v} }
	s.plain = s.bare
	if u, open := engine.FirstUnknown(params); open {
		s.after = &u
	}
	if bad := scriptProblem(p.Script); bad != nil {
		return nil, *bad
	}
	// Bind leaves nothing of what is not known, so the lists are taken as they came.
	keyList, _ := params["keys"].(engine.List)
	argList, _ := params["args"].(engine.List)
	keys, err := expandAll("keys", keyList)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		b, err := wire("keys", k)
		if err != nil {
			continue // not known yet
		}
		if strings.HasPrefix(string(b), markerPrefix) {
			return nil, engine.Problem{Path: "keys", Message: "keys under handrail:{ are markers and belong to Handrail"}
		}
		s.keys = append(s.keys, string(b))
	}
	if s.args, err = expandAll("args", argList); err != nil {
		return nil, err
	}
	return s, nil
}

// Execute runs the script.
func (s *script) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	c, err := connOf(ctx, env)
	if err != nil {
		return failure(err)
	}
	s.body = append([]any{s.text, " " + strings.Join(readNames(), " ") + " ", c.line.db}, s.wiredArgs()...)
	return s.onceOnly.Execute(ctx, env)
}

func (s *script) wiredArgs() []any {
	out := make([]any, len(s.args))
	for i, a := range s.args {
		b, _ := wire("", a)
		out[i] = b
	}
	return out
}

// bare runs the script without a marker, for a user who may not keep one.
func (s *script) bare(ctx context.Context, _ *node, conn *pinned) (engine.Outcome, error) {
	args := []any{"EVAL", s.text, len(s.keys)}
	for _, k := range s.keys {
		args = append(args, k)
	}
	v, err := conn.call(ctx, "script", append(args, s.wiredArgs()...)...)
	if err == nil {
		return engine.Outcome{Result: s.result(v)}, nil
	}
	var f *fault
	if !errors.As(err, &f) || f.code == "NOPERM" || f.reach == notSent || f.unbegun() {
		return engine.Outcome{}, err
	}
	out := failure(err)
	out.InDoubt, out.Effect = true, engine.EffectUnknown
	out.Evidence = []string{"the script ran without a marker, and ended with: " + f.cause.Error()}
	return out, nil
}

// Preview says what would be sent, and what the keys are now.
func (s *script) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	return s.preview(ctx, env, engine.Impact{
		Would:   strings.TrimSuffix("run a script on "+show(anyValues(s.keys)), " on "),
		Details: []string{indent(s.text)},
	})
}

func anyValues(list []string) engine.List {
	out := make(engine.List, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}
