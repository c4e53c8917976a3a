package docker

import (
	"fmt"
	"strings"

	"github.com/handrail-dev/handrail/engine"
)

// Whether a container that is not there is an error.
const (
	missingError = "error"
	missingOK    = "ok"
)

// checkNames finds what is wrong with a list of containers, as far as it is known.
func checkNames(path string, v engine.Value) []engine.Problem {
	list, ok := v.(engine.List)
	if !ok {
		if _, text := v.(string); !text {
			return nil
		}
		list = engine.List{v}
	}
	if len(list) == 0 {
		return []engine.Problem{{Path: path, Message: "names no container"}}
	}
	var out []engine.Problem
	seen := map[string]bool{}
	for i, e := range list {
		name, ok := e.(string)
		if !ok {
			continue
		}
		at := path
		if _, isList := v.(engine.List); isList {
			at = fmt.Sprintf("%s[%d]", path, i)
		}
		if message := badName("container", name); message != "" {
			out = append(out, engine.Problem{Path: at, Message: message})
		} else if seen[name] {
			out = append(out, engine.Problem{Path: at, Message: fmt.Sprintf("%s is named twice", name)})
		}
		seen[name] = true
	}
	return out
}

// badName says why a text cannot be the name or id of a container, network or volume; a slash in it would
// lead to another part of the engine's API.
func badName(what, name string) string {
	if name == "" {
		return "the name of a " + what + " cannot be empty"
	}
	for i, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && (i == 0 || !strings.ContainsRune("_.-", r)) {
			return fmt.Sprintf("%q is not the name of a %s: letters, digits, and _ . - after the first", name, what)
		}
	}
	return ""
}

// checkEnv finds values that cannot be environment variables.
func checkEnv(path string, v engine.Value) []engine.Problem {
	env, _ := v.(engine.Record)
	var out []engine.Problem
	for _, k := range engine.Keys(env) {
		switch env[k].(type) {
		case engine.List, engine.Record, nil:
			out = append(out, engine.Problem{Path: path + "." + k,
				Message: "an environment variable is text, a number, true or false, not " + engine.TypeName(env[k])})
		}
		if k == "" || strings.ContainsAny(k, "=\x00") {
			out = append(out, engine.Problem{Path: path, Message: fmt.Sprintf("%q cannot be the name of an environment variable", k)})
		}
	}
	return out
}

// environ makes NAME=value lines, sorted. Secrets are revealed: this goes to the engine only.
func environ(env map[string]engine.Value) []string {
	out := make([]string, 0, len(env)+1)
	for _, k := range engine.Keys(env) {
		v, ok := engine.Reveal(env[k])
		if !ok {
			v = engine.Text(env[k])
		}
		out = append(out, k+"="+v)
	}
	return out
}

// first is the first of problems as an error.
func first(problems []engine.Problem) error {
	if len(problems) == 0 {
		return nil
	}
	return problems[0]
}

// within puts a name in front of the paths of problems.
func within(name string, problems []engine.Problem) []engine.Problem {
	for i := range problems {
		if problems[i].Path == "" {
			problems[i].Path = name
		} else {
			problems[i].Path = name + "." + problems[i].Path
		}
	}
	return problems
}

// part is the record below a name; empty when it is not known or not there.
func part(params engine.Record, name string) engine.Record {
	r, _ := params[name].(engine.Record)
	return r
}

// judge makes a Judge of what only finds problems.
func judge(check func(engine.Record) []engine.Problem, risk engine.Risk) func(engine.Proposal) engine.Judgement {
	return engine.ByParams(func(params engine.Record) engine.Judgement {
		return engine.Judgement{Risk: risk, Problems: check(params), Remarks: remarks(params)}
	})
}

// checkName finds what is wrong with one name, as far as it is known.
func checkName(path, what string, v engine.Value) []engine.Problem {
	name, ok := v.(string)
	if !ok {
		return nil
	}
	if message := badName(what, name); message != "" {
		return []engine.Problem{{Path: path, Message: message}}
	}
	return nil
}
