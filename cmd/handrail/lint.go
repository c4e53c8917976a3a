package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/cmd/internal/view"
	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/lint"
	"github.com/handrail-dev/handrail/engine/playbook"
)

type lintFlags struct {
	env    string
	failOn string
	rules  bool
}

func (a *app) lintCommand() *cobra.Command {
	var f lintFlags
	c := &cobra.Command{
		Use: "lint [PATH…]", Short: "Find the traps in playbooks: what is correct and known to go wrong",
		Long: "Checks files, folders of files, or playbooks by name; without any, ./playbooks. Every rule is explained in docs/lint.md.\n" +
			"What is known and meant is said beside it: `# lint: RULE because …`.",
		RunE: func(_ *cobra.Command, args []string) error { return a.lint(args, f) },
	}
	c.ValidArgsFunction = func(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		names, _ := a.completePlaybooks(c, nil, word)
		return names, cobra.ShellCompDirectiveDefault
	}
	c.Flags().StringVar(&f.env, "env", "", "the environment under which playbooks are checked")
	c.Flags().StringVar(&f.failOn, "fail-on", "warning", "the least that ends with exit code 1: error, warning, note, never")
	c.Flags().BoolVar(&f.rules, "rules", false, "write the reference of the rules, in Markdown")
	_ = c.RegisterFlagCompletionFunc("env", a.completeEnvironments)
	_ = c.RegisterFlagCompletionFunc("fail-on", cobra.FixedCompletions([]string{"error", "warning", "note", "never"}, cobra.ShellCompDirectiveNoFileComp))
	a.outputFlag(c, "sarif")
	a.untrustedFlag(c)
	return c
}

func (a *app) lint(paths []string, f lintFlags) error {
	if f.rules {
		_, err := a.stdout.Write(view.LintRules(lint.Rules()))
		return err
	}
	least, err := leastSeverity(f.failOn)
	if err != nil {
		return err
	}
	env, _, envErr := a.loadEnvironment(f.env)
	if envErr != nil && f.env != "" {
		return envErr
	}
	files, err := a.toLint(paths)
	if err != nil {
		return err
	}
	var all []view.LintFinding
	seen := map[view.LintFinding]bool{} // what a playbook runs may be among the files, too
	for _, file := range files {
		found, err := a.lintOne(file, env)
		if err != nil {
			return err
		}
		for _, f := range found {
			if !seen[f] {
				all = append(all, f)
			}
			seen[f] = true
		}
	}
	if err := a.showLint(all, len(files)); err != nil {
		return err
	}
	for _, x := range all {
		if x.Because == "" && x.Severity >= least {
			return ended(exitFailed)
		}
	}
	return nil
}

// leastSeverity reads --fail-on; never is more than there is.
func leastSeverity(word string) (lint.Severity, error) {
	var s lint.Severity
	if word == "never" {
		return lint.Error + 1, nil
	}
	if err := s.UnmarshalText([]byte(word)); err != nil {
		return s, fmt.Errorf("--fail-on %s: it is error, warning, note or never", word)
	}
	return s, nil
}

// toLint lists the playbooks that are meant.
func (a *app) toLint(paths []string) ([]found, error) {
	files, err := a.toValidate(paths)
	if err != nil {
		return nil, err
	}
	var out []found
	for _, f := range files {
		src, err := f.read()
		if err != nil {
			return nil, err
		}
		if !ofEnvironment.Match(src) || ofPlaybook.Match(src) {
			out = append(out, f)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("there is no playbook among what was named")
	}
	return out, nil
}

// lintOne looks at one file. That it cannot be loaded is a finding, too: in a pull request all come together.
func (a *app) lintOne(f found, env *playbook.Environment) ([]view.LintFinding, error) {
	src, err := f.read()
	if err != nil {
		return nil, err
	}
	l, err := a.loadFound(f, env)
	if err != nil {
		var out []view.LintFinding
		for _, m := range mistakesOf(f.file, err) {
			out = append(out, view.Finding(engine.Finding{Rule: lint.RuleLoads, Message: m.Message,
				Pos: engine.Pos{File: m.File, Line: max(1, m.Line), Column: max(1, m.Column)}}, lint.Of(lint.RuleLoads), ""))
		}
		return out, nil
	}
	report := lint.Check(l.pb, string(src))
	var out []view.LintFinding
	for _, x := range report.Findings {
		out = append(out, view.Finding(x, lint.Of(x.Rule), ""))
	}
	for _, x := range report.Known {
		out = append(out, view.Finding(x.Finding, lint.Of(x.Rule), x.Because))
	}
	return out, nil
}

func (a *app) showLint(all []view.LintFinding, files int) error {
	switch a.output {
	case "json":
		return view.WriteJSON(a.stdout, all)
	case "sarif":
		return view.LintSARIF(a.stdout, all, version)
	}
	return view.LintText(a.stdout, all, files)
}
