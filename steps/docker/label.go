package docker

import (
	"fmt"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// labelPrefix is the part of the labels that belongs to Handrail.
const labelPrefix = "handrail."

// The labels by which what a step has made is known again.
const (
	labelRun    = labelPrefix + "run"
	labelStep   = labelPrefix + "step"
	labelConfig = labelPrefix + "config"
	labelToken  = labelPrefix + "token"
)

// labelled are the labels of what a step makes: those that the playbook says, and its own.
func labelled(own map[string]string, env *steps.Env, digest string) map[string]string {
	out := make(map[string]string, len(own)+4)
	for k, v := range own {
		out[k] = v
	}
	run := env.Run
	if run == "" {
		run, _, _ = strings.Cut(env.Call.Token, "/")
	}
	out[labelRun], out[labelStep] = run, env.Call.Step
	out[labelToken], out[labelConfig] = env.Call.Token, digest
	return out
}

// madeBy says who made what carries the labels.
func madeBy(labels map[string]string) string {
	if r := labels[labelRun]; r != "" {
		return fmt.Sprintf("it was made by step %s of run %s", labels[labelStep], r)
	}
	return "it was not made by Handrail"
}

func checkLabels(spec engine.Record) []engine.Problem {
	var out []engine.Problem
	for _, k := range engine.Keys(part(spec, "labels")) {
		if strings.HasPrefix(k, labelPrefix) {
			out = append(out, engine.Problem{Path: "labels." + k, Message: "labels that begin with " + labelPrefix + " are set by Handrail"})
		}
	}
	return out
}

// unlike says which of the wanted labels or options are not as wanted. Values are not shown: they may be
// long, or secret.
func unlike(what string, have, want map[string]string) []string {
	var out []string
	for _, k := range engine.Keys(texts(want)) {
		if v, ok := have[k]; !ok || v != want[k] {
			out = append(out, what+" "+k+" differs")
		}
	}
	return out
}
