package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/cmd/internal/view"
	"github.com/handrail-dev/handrail/engine"
)

type described struct {
	Name        string            `json:"name"`
	Description string            `json:"description,omitempty"`
	File        string            `json:"file"`
	Digest      string            `json:"digest"`
	Timezone    string            `json:"timezone,omitempty"`
	RTO         string            `json:"rto,omitempty"`
	RPO         string            `json:"rpo,omitempty"`
	Inputs      []describedInput  `json:"inputs"`
	Targets     []describedTarget `json:"targets"`
	Locks       []string          `json:"locks"`
	Secrets     []string          `json:"secrets"`
	Steps       []describedStep   `json:"steps"`
	Outputs     []string          `json:"outputs"`
}

type describedInput struct {
	Name        string        `json:"name"`
	Type        string        `json:"type"`
	Description string        `json:"description,omitempty"`
	Required    bool          `json:"required"`
	Default     *engine.Typed `json:"default,omitempty"`
	Min         *engine.Typed `json:"min,omitempty"`
	Max         *engine.Typed `json:"max,omitempty"`
	Pattern     string        `json:"pattern,omitempty"`
	Enum        []string      `json:"enum,omitempty"`
}

type describedTarget struct {
	Name string `json:"name"`
	Type string `json:"type,omitempty"`
}

type describedStep struct {
	ID        string       `json:"id"` // behind the ids of the steps that run its playbook
	Title     string       `json:"title,omitempty"`
	Playbook  string       `json:"playbook,omitempty"` // that the step runs
	Kind      string       `json:"kind,omitempty"`
	Operation string       `json:"operation,omitempty"`
	Group     string       `json:"group,omitempty"`
	Target    string       `json:"target,omitempty"`
	Class     engine.Class `json:"class,omitempty"`
	Risk      engine.Risk  `json:"risk"`
	Depth     int          `json:"depth"`
	Section   string       `json:"section,omitempty"`
	Line      int          `json:"line"`
}

func (a *app) describeCommand() *cobra.Command {
	var environment string
	c := &cobra.Command{
		Use: "describe NAME", Short: "Show a playbook's inputs, targets, objectives and steps", Args: cobra.ExactArgs(1),
		ValidArgsFunction: a.completePlaybooks,
		RunE:              func(_ *cobra.Command, args []string) error { return a.describe(args[0], environment) },
	}
	c.Flags().StringVar(&environment, "env", "", "the environment that says of what type the targets are")
	_ = c.RegisterFlagCompletionFunc("env", a.completeEnvironments)
	a.outputFlag(c)
	return c
}

func (a *app) describe(name, environment string) error {
	l, err := a.load(name, environment)
	if err != nil && environment == "" {
		l, err = a.loadAnyhow(name, err)
	}
	if err != nil {
		return err
	}
	d := describePlaybook(l)
	if a.json() {
		return view.WriteJSON(a.stdout, d)
	}
	var b strings.Builder
	d.write(&b)
	_, err = io.WriteString(a.stdout, b.String())
	return err
}

// loadAnyhow: a playbook can be described that the environment in use does not fit. Whoever describes it may be about to
// write one that does.
func (a *app) loadAnyhow(name string, wrong error) (*loaded, error) {
	f, err := a.find(name)
	if err != nil {
		return nil, wrong
	}
	l, err := a.loadFound(f, nil)
	if err != nil {
		return nil, err
	}
	a.say("it cannot run in the environment that is used here; see what is wrong with: handrail validate %s", view.Quote(name))
	return l, nil
}

func describePlaybook(l *loaded) described {
	pb := l.pb
	d := described{Name: pb.Name, Description: pb.Description, File: l.file, Digest: pb.Digest,
		Inputs: []describedInput{}, Targets: []describedTarget{}, Locks: append([]string{}, pb.EveryLock()...),
		Secrets: sortedNames(pb.Secrets), Steps: []describedStep{}, Outputs: []string{}}
	if pb.Timezone != nil {
		d.Timezone = pb.Timezone.String()
	}
	if pb.Objectives.RTO > 0 {
		d.RTO = pb.Objectives.RTO.String()
	}
	if pb.Objectives.RPO > 0 {
		d.RPO = pb.Objectives.RPO.String()
	}
	typed := func(v engine.Value) *engine.Typed {
		if v == nil {
			return nil
		}
		return &engine.Typed{V: v}
	}
	for _, i := range pb.Inputs {
		d.Inputs = append(d.Inputs, describedInput{Name: i.Name, Type: i.Shape.Type.String(), Description: i.Description,
			Required: i.Required, Default: typed(i.Default), Min: typed(i.Min), Max: typed(i.Max), Pattern: i.Pattern, Enum: i.Shape.Enum})
	}
	for _, t := range pb.Targets {
		d.Targets = append(d.Targets, describedTarget{t.Name, t.Type})
	}
	for _, o := range pb.Outputs {
		d.Outputs = append(d.Outputs, o.Name)
	}
	d.add(pb.Steps, "", 0, "")
	d.add(pb.Always, "", 0, "always")
	return d
}

func (d *described) add(list []*engine.Step, prefix string, depth int, section string) {
	for _, s := range list {
		inner := prefix
		x := describedStep{ID: prefix + s.ID, Title: s.Title, Kind: s.Kind, Target: s.Target, Class: s.Class, Risk: s.Risk,
			Depth: depth, Section: section, Line: s.Pos.Line}
		if s.Operation != nil {
			x.Operation = s.Operation.Name
		}
		if x.Group = s.Group.String(); s.Nested != nil {
			x.Playbook = s.Nested.Playbook.Name
			inner += s.ID + "/"
		}
		d.Steps = append(d.Steps, x)
		d.add(s.Steps, inner, depth+1, section)
		d.add(s.Always, inner, depth+1, section)
		d.add(s.Undo, prefix, depth+1, "undo")
	}
}

func (d described) write(b *strings.Builder) {
	fmt.Fprintf(b, "%s  (%s)\n", d.Name, d.File)
	if d.Description != "" {
		fmt.Fprintf(b, "  %s\n", d.Description)
	}
	for _, line := range [][2]string{{"recovery time objective", d.RTO}, {"recovery point objective", d.RPO}, {"time zone", d.Timezone},
		{"locks", strings.Join(d.Locks, ", ")}, {"secrets", strings.Join(d.Secrets, ", ")}, {"outputs", strings.Join(d.Outputs, ", ")}} {
		if line[1] != "" {
			fmt.Fprintf(b, "  %s: %s\n", line[0], line[1])
		}
	}
	if len(d.Inputs) > 0 {
		b.WriteString("\nInputs:\n")
	}
	for _, i := range d.Inputs {
		fmt.Fprintf(b, "  %-16s %-10s %s\n", i.Name, i.Type, strings.Join(i.remarks(), "; "))
	}
	if len(d.Targets) > 0 {
		b.WriteString("\nTargets:\n")
	}
	for _, t := range d.Targets {
		fmt.Fprintf(b, "  %-16s %s\n", t.Name, t.Type)
	}
	section := "steps"
	b.WriteString("\nSteps:\n")
	for _, s := range d.Steps {
		if s.Section == "always" && section != "always" {
			section = s.Section
			b.WriteString("\nAlways:\n")
		}
		s.write(b)
	}
}

func (i describedInput) remarks() []string {
	var out []string
	if i.Description != "" {
		out = append(out, i.Description)
	}
	switch {
	case i.Default != nil:
		out = append(out, "default "+engine.Text(i.Default.V))
	case i.Required:
		out = append(out, "must be given")
	}
	if i.Min != nil {
		out = append(out, "at least "+engine.Text(i.Min.V))
	}
	if i.Max != nil {
		out = append(out, "at most "+engine.Text(i.Max.V))
	}
	if i.Pattern != "" {
		out = append(out, "matches "+i.Pattern)
	}
	if len(i.Enum) > 0 {
		out = append(out, "one of "+strings.Join(i.Enum, ", "))
	}
	return out
}

func (s describedStep) write(b *strings.Builder) {
	name := strings.Repeat("  ", s.Depth) + s.ID
	if s.Section == "undo" {
		name = strings.Repeat("  ", s.Depth) + "undo: " + s.ID
	}
	if s.Group != "" {
		b.WriteString(strings.TrimRight(fmt.Sprintf("  %-22s %-24s %s", name, strings.TrimSpace(s.Group+" "+s.Playbook), s.Title), " ") + "\n")
		return
	}
	what := s.Kind + "." + s.Operation
	if s.Target != "" {
		what += " on " + s.Target
	}
	marks := s.Risk.String()
	if s.Class != engine.ClassUnset && s.Class != engine.ClassRead {
		marks += ", " + s.Class.String()
	}
	b.WriteString(strings.TrimRight(fmt.Sprintf("  %-22s %-24s %-26s %s", name, what, marks, s.Title), " ") + "\n")
}
