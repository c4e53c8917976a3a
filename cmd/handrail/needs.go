package main

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/handrail-dev/handrail/cmd/internal/secrets"
	"github.com/handrail-dev/handrail/engine/playbook"
)

// secretName finds the names that a text could mean as secrets.
var secretName = regexp.MustCompile(`[A-Za-z0-9_]+`)

// secretSources are the sources of the secrets that a playbook uses, itself or through its targets. No
// other is asked: a variable that is missing for a target of another playbook is of no matter.
func (a *app) secretSources(l *loaded) ([]secrets.Source, error) {
	declared := map[string]playbook.SecretSource{}
	if l.env != nil {
		declared = l.env.Secrets
	}
	needed := map[string]bool{}
	var errs []error
	for _, name := range sortedNames(l.pb.Secrets) {
		needed[name] = true
		if _, ok := declared[name]; !ok {
			errs = append(errs, &playbook.Diagnostic{Pos: l.pb.Secrets[name], Width: 1,
				Message: fmt.Sprintf("nothing says where the secret %s comes from", name),
				Remedy:  fmt.Sprintf("write it into an environment file, as secrets: {%s: {env: %s}}, and choose that with --env", name, name)})
		}
	}
	var texts []string
	for _, use := range l.pb.Targets {
		if l.env != nil && use.Settings == nil {
			texts = append(texts, l.env.Targets[use.Name].Settings.Source())
		}
	}
	if in := l.locksIn(); in != "" {
		texts = append(texts, l.env.Targets[in].Settings.Source())
	}
	return sourcesIn(l.env, texts, needed), errors.Join(errs...)
}

// sourcesIn are the sources of secrets that an environment declares and that are needed, by name or because a text names them.
func sourcesIn(env *playbook.Environment, texts []string, needed map[string]bool) []secrets.Source {
	declared := map[string]playbook.SecretSource{}
	if env != nil {
		declared = env.Secrets
	}
	if needed == nil {
		needed = map[string]bool{}
	}
	for _, text := range texts {
		for _, word := range secretName.FindAllString(text, -1) {
			if _, ok := declared[word]; ok {
				needed[word] = true
			}
		}
	}
	var out []secrets.Source
	for _, name := range sortedNames(needed) {
		s := declared[name]
		out = append(out, secrets.Source{Name: name, Env: s.Env, File: s.File, Command: s.Command, Shell: s.Shell,
			Age: s.Age, Identity: s.Identity, InPlan: s.InPlan})
	}
	return out
}
