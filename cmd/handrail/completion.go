package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/engine"
)

// A completion that cannot be made is no completion: while somebody types, nothing is complained of.

const noFiles = cobra.ShellCompDirectiveNoFileComp

func (a *app) completePlaybooks(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, noFiles
	}
	all, err := a.everyPlaybook()
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var out []string
	for _, f := range all {
		out = append(out, f.name)
	}
	return out, cobra.ShellCompDirectiveDefault
}

func (a *app) completeEnvironments(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	files, err := a.yamlFiles(a.in("environments"))
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var out []string
	for _, f := range files {
		out = append(out, stem(f))
	}
	return out, cobra.ShellCompDirectiveDefault
}

// completeInputs completes -i: the inputs of the playbook that was named.
func (a *app) completeInputs(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, noFiles
	}
	l, err := a.load(args[0], "")
	if err != nil {
		return nil, noFiles
	}
	var out []string
	for _, i := range l.pb.Inputs {
		if key, _, valued := strings.Cut(word, "="); valued && key == i.Name {
			for _, choice := range i.Shape.Enum {
				out = append(out, i.Name+"="+choice)
			}
			continue
		}
		out = append(out, i.Name+"=\t"+i.Description)
	}
	return out, noFiles | cobra.ShellCompDirectiveNoSpace
}

func (a *app) completeRuns(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, noFiles
	}
	s, err := a.state()
	if err != nil {
		return nil, noFiles
	}
	ids, err := s.List()
	if err != nil {
		return nil, noFiles
	}
	var out []string
	for _, id := range ids[:min(len(ids), 50)] {
		if sum, err := s.Summary(id); err == nil {
			out = append(out, id+"\t"+sum.Playbook+", "+sum.State.String())
		}
	}
	return out, noFiles | cobra.ShellCompDirectiveKeepOrder
}

func (a *app) completeRunsAndSteps(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return a.completeRuns(c, args, word)
	}
	run, _, err := a.resolveAndLook(args[0])
	if err != nil {
		return nil, noFiles
	}
	var out []string
	run.EachStep(func(v engine.StepView) {
		if !v.Group {
			out = append(out, v.Path+"\t"+v.State.String())
		}
	})
	return out, noFiles
}

func (a *app) completeResolve(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 2 {
		return a.completeRunsAndSteps(c, args, word)
	}
	var out []string
	for _, r := range resolutions {
		out = append(out, r.word)
	}
	return out, noFiles
}
