package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/cmd/internal/view"
	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/playbook"
	"github.com/handrail-dev/handrail/engine/preview"
	"github.com/handrail-dev/handrail/engine/revision"
)

// diffFlags say what is compared, how it is shown and how it is judged.
type diffFlags struct {
	given
	base, head string
	offline    bool
	failOn     string
	limit      int
}

func (a *app) diffCommand() *cobra.Command {
	var f diffFlags
	c := &cobra.Command{
		Use: "diff {OLD NEW | --base REVISION [PLAYBOOK…]}", Short: "Say in what two revisions of playbooks differ: steps, risk, settings, impact",
		Long: "Compares two files, or playbooks in git: as they were where this branch has left --base, and as they are now (or in --head).\n" +
			"Without names, every playbook that differs. Playbooks that they run are those of the same revision. With an environment\n" +
			"both are planned, and what the change does to the system as it is now is told as well.\n" +
			"-o markdown is for a pull request, -o json has a schema: handrail schema diff. Nothing is written, and nothing is checked out.",
		ValidArgsFunction: a.completePlaybooks,
		Args: func(_ *cobra.Command, args []string) error {
			if f.base == "" && len(args) != 2 {
				return errors.New("two files, or --base")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return a.diff(c.Context(), args, f) },
	}
	a.givenFlags(c, &f.given)
	c.Flags().StringVar(&f.base, "base", "", "the git revision that the change is meant for, such as origin/main")
	c.Flags().StringVar(&f.head, "head", "", "the git revision with the change; the files as they are when it is not given")
	c.Flags().BoolVar(&f.offline, "offline", false, "ask no target; compare the files alone")
	c.Flags().IntVar(&f.limit, "limit", view.CommentLimit, "the most bytes of the Markdown form")
	a.gateFlag(c, &f.failOn)
	a.outputFlag(c, "markdown")
	a.untrustedFlag(c)
	return c
}

func (a *app) diff(ctx context.Context, args []string, f diffFlags) error {
	if f.head != "" && f.base == "" {
		return errors.New("--head goes with --base")
	}
	env, _, err := a.loadEnvironment(f.env)
	c := &comparing{app: a, flags: f, env: env, at: a.now().UTC(), declared: map[string]bool{}}
	if err != nil {
		if f.env != "" {
			return err
		}
		c.warn("the environment cannot be read, so the files alone were compared: %s", firstLine(err))
	}
	if c.values, err = a.givenValues(f.given); err != nil {
		return err
	}
	d, err := c.diff(ctx, args)
	if err != nil {
		return err
	}
	for _, name := range sortedNames(c.values) {
		if !c.declared[name] && len(d.Playbooks) > 0 {
			return fmt.Errorf("-i %s: no playbook that was compared has such an input", name)
		}
	}
	shown := &revision.Diff{}
	if err := a.maskInto(shown, d); err != nil {
		return fmt.Errorf("diff: %w", err)
	}
	if err := a.showDiff(shown, f.limit); err != nil {
		return err
	}
	return a.gateDiff(shown, c.unjudged, f.failOn)
}

func (a *app) showDiff(d *revision.Diff, limit int) error {
	switch a.output {
	case "json":
		return view.WriteJSON(a.stdout, d)
	case "markdown":
		return view.DiffMarkdown(a.stdout, d, limit)
	}
	return view.DiffText(a.stdout, d)
}

// comparing is the work of one diff.
type comparing struct {
	app      *app
	flags    diffFlags
	env      *playbook.Environment // nil: none
	at       time.Time             // what now() is in both plans
	values   map[string]any
	declared map[string]bool // the given inputs that some playbook has
	warnings []string
	unjudged bool // a plan was wanted and could not be made
}

func (c *comparing) warn(format string, args ...any) {
	if w := fmt.Sprintf(format, args...); !slices.Contains(c.warnings, w) {
		c.warnings = append(c.warnings, w)
	}
}

func (c *comparing) diff(ctx context.Context, args []string) (*revision.Diff, error) {
	d := &revision.Diff{Version: revision.Version, Playbooks: []revision.Playbook{}}
	if c.env != nil {
		d.Environment = c.env.Name
	}
	compare := c.files
	if c.flags.base != "" {
		compare = c.revisions
	}
	if err := compare(ctx, d, args); err != nil {
		return nil, err
	}
	d.Warnings = c.warnings
	d.Summarize()
	return d, nil
}

// files compares two files.
func (c *comparing) files(ctx context.Context, d *revision.Diff, args []string) error {
	d.Before.Name, d.After.Name = args[0], args[1]
	var sides [2]revision.Revision
	for i, name := range args {
		f, err := c.app.find(name)
		if err != nil {
			return err
		}
		f.ours = i == 0 // with --untrusted as well: it is what the change is held against
		load := func(env *playbook.Environment) (*loaded, error) { return c.app.loadFound(f, env) }
		if sides[i], err = c.side(ctx, f.name, [...]string{"before", "after"}[i]+" ("+name+")", f.file, true, load); err != nil {
			return err
		}
	}
	p := revision.Compare(args[1], sides[0], sides[1])
	if p.Name == "" {
		p.Name = stem(args[1])
	}
	if p.Change != revision.Same || sides[0].Playbook.WholeDigest() != sides[1].Playbook.WholeDigest() {
		d.Playbooks = append(d.Playbooks, p)
	}
	return nil
}

// side loads one revision of a playbook, and plans it if that is possible.
func (c *comparing) side(ctx context.Context, name, side, file string, plan bool, load func(*playbook.Environment) (*loaded, error)) (revision.Revision, error) {
	l, err := load(c.env)
	if err != nil && c.env != nil {
		if bare, bareErr := load(nil); bareErr == nil {
			c.warn("%s %s does not fit the environment %s, so the files alone were compared: %s", name, side, c.env.Name, firstLine(err))
			c.unjudged = c.unjudged || c.planned()
			return revision.Revision{Playbook: bare.pb}, nil
		}
	}
	if err != nil {
		c.app.say("%s, %s, cannot be read:", name, side)
		c.app.complain(err)
		var problems []revision.Problem
		for _, m := range mistakesOf(file, err) {
			problems = append(problems, revision.Problem{File: m.File, Line: m.Line, Column: m.Column, Message: m.Message})
		}
		return revision.Revision{Problems: problems}, nil
	}
	for input := range c.values {
		if slices.ContainsFunc(l.pb.Inputs, func(i engine.Input) bool { return i.Name == input }) {
			c.declared[input] = true
		}
	}
	r := revision.Revision{Playbook: l.pb}
	inputs, err := c.inputs(l.pb)
	if plan && c.planned() {
		if err == nil {
			r.Plan, err = c.plan(ctx, l, inputs)
		}
		if err != nil {
			if ctx.Err() != nil {
				return r, err
			}
			var lacking inputsLack
			c.unjudged = c.unjudged || !errors.As(err, &lacking)
			c.warn("%s %s was not planned: %s", name, side, firstLine(err))
		}
	}
	return r, nil
}

// planned: there is an environment, and targets may be asked.
func (c *comparing) planned() bool { return c.env != nil && !c.flags.offline }

// inputs are those of the given ones that a playbook has. What is secret among them is masked from then on.
func (c *comparing) inputs(pb *engine.Playbook) (engine.Record, error) {
	own := map[string]any{}
	for _, i := range pb.Inputs {
		if v, ok := c.values[i.Name]; ok {
			own[i.Name] = v
		}
	}
	inputs, err := c.app.parseInputs(pb, own)
	if err != nil {
		return nil, inputsLack{err}
	}
	return inputs, nil
}

// plan makes a plan of one revision.
func (c *comparing) plan(ctx context.Context, l *loaded, inputs engine.Record) (*preview.Plan, error) {
	// Of an untrusted plan nothing that a target says would be compared, so none is asked.
	p, err := c.app.makePlan(ctx, l, inputs, c.app.untrusted, c.at)
	if err != nil {
		return nil, err
	}
	for _, w := range p.Warnings {
		c.warn("%s", w)
	}
	return p, nil
}

// inputsLack means that a playbook was not planned because nobody has said with what. That is no lack of the change.
type inputsLack struct{ error }

func (e inputsLack) Unwrap() error { return e.error }

// firstLine is an error in one line: the first of several mistakes.
func firstLine(err error) string {
	if found := playbook.Diagnostics(err); len(found) > 0 {
		if len(found) > 1 {
			return fmt.Sprintf("%s, and %d more", found[0].Error(), len(found)-1)
		}
		return found[0].Error()
	}
	return strings.ReplaceAll(strings.TrimSpace(why(err)), "\n", "; ")
}
