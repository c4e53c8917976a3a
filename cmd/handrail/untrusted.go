package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/metrics"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/cmd/internal/secrets"
	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/playbook"
	"github.com/handrail-dev/handrail/engine/preview"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/all"
)

// With --untrusted everything that a playbook is made of is taken for hostile, and what it must not have does not come
// near it: nothing is hidden afterwards. Each rule is held in one place, and a command that takes the flag has them all:
//
//   - which files are read: strange.go, through [app.fromDisk], [app.yamlFiles], [finder.locate], and in git [treeFinder.locate];
//   - which environment holds: [app.environmentFile], [app.loadEnvironment];
//   - inputs: [app.givenValues] and [app.parseInputs], of which only the names are looked at;
//   - secrets and targets: [app.makePlan]; [app.reach], which resolves secrets for a playbook, refuses;
//   - what the machine knows of runs and locks: [app.lastRuns], and makePlan, which does not look;
//   - what is written: [masked], through which every output goes;
//   - time and memory: [bounded].

// untrustedFlag adds --untrusted to a command that looks at playbooks and runs none. The command has its RunE already.
func (a *app) untrustedFlag(c *cobra.Command) {
	c.Flags().BoolVar(&a.untrusted, "untrusted", false,
		"the playbook is a stranger's, such as that of a pull request: it gets no secret and no input, and asks nobody anything; --env names a file")
	look := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		if !a.untrusted {
			return look(c, args)
		}
		if given := c.Flags().Lookup("inputs"); given != nil && given.Value.String() != "" {
			a.guarded = append(a.guarded, a.in(given.Value.String()))
		}
		return bounded(c.Context(), untrustedLimits, func(ctx context.Context) error {
			c.SetContext(ctx)
			return look(c, args)
		})
	}
}

// refuseUntrusted is for commands that begin something: they know the flag so that they can say why not.
func refuseUntrusted(c *cobra.Command) {
	var asked bool
	c.Flags().BoolVar(&asked, "untrusted", false, "")
	_ = c.Flags().MarkHidden("untrusted")
	check := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		if asked {
			return errors.New("--untrusted is for looking at the playbook of a stranger, not for running it: a run acts with the secrets and " +
				"rights of this machine, whatever the playbook says. Read it, merge it, plan it without --untrusted, and run that")
		}
		if check != nil {
			return check(c, args)
		}
		return nil
	}
}

// limits are how long a look may take, and how much memory.
type limits struct {
	time   time.Duration
	memory uint64 // bytes on the heap
}

var untrustedLimits = limits{2 * time.Minute, 1 << 30}

// bounded ends a look that takes too much. An expression cannot be stopped from outside; then the look is left behind,
// and the process with it.
func bounded(ctx context.Context, l limits, look func(context.Context) error) error {
	tooLong := fmt.Errorf("--untrusted: this took more than %s; a playbook that nobody has read gets no more", l.time)
	ctx, cancel := context.WithTimeoutCause(ctx, l.time, tooLong)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- look(ctx) }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
			heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
			metrics.Read(heap)
			if heap[0].Value.Uint64() > l.memory {
				return fmt.Errorf("--untrusted: this took more than %d MiB of memory; a playbook that nobody has read gets no more", l.memory>>20)
			}
		}
	}
}

// withheld is what stands for a value that a stranger's playbook must not know.
func withheld() engine.Unknown { return engine.Unknown{After: engine.TrustedRun} }

// withheldInputs are the inputs of a stranger's playbook. None is known, not even a default: the playbook could look harmless with
// that one. What was given is not even checked: a pattern of the playbook's would be a question about it.
func withheldInputs(pb *engine.Playbook, given map[string]any) (engine.Record, error) {
	out := engine.Record{}
	for _, in := range pb.Inputs {
		out[in.Name] = withheld()
	}
	for _, name := range sortedNames(given) {
		if _, ok := out[name]; !ok {
			return nil, fmt.Errorf("the playbook %s has no input %s", pb.Name, name)
		}
	}
	return out, nil
}

// outlinePlan makes the plan of a stranger's playbook. The walk is handed nothing that is worth having and nobody to ask; what
// is reached are the targets of the environment, by which nothing of the playbook goes.
func (a *app) outlinePlan(ctx context.Context, l *loaded, inputs engine.Record, offline bool, at time.Time) (*preview.Plan, error) {
	start := engine.RunStarted{Playbook: l.pb.Name, PlaybookDigest: l.pb.Digest, Nested: l.pb.NestedDigests(),
		Inputs: engine.Typed{V: inputs}, Started: at, Version: version, Run: "plan"}
	if l.env != nil {
		start.Environment = l.env.Name
	}
	g := engine.Given{Secrets: engine.Record{}, Targets: engine.Record{}}
	for name := range l.pb.Secrets {
		g.Secrets[name] = withheld()
	}
	for _, t := range l.pb.Targets {
		g.Targets[t.Name] = withheld()
	}
	p, err := preview.Outline(ctx, l.pb, start, g)
	if err != nil {
		return nil, err
	}
	for _, name := range sortedNames(l.pb.Secrets) {
		p.Warnings = append(p.Warnings, fmt.Sprintf("the playbook asks for the secret %s, at %s", name, l.pb.Secrets[name]))
	}
	p.Contacts = a.contacts(ctx, l, offline)
	return p, nil
}

// contacts says of each target whether it is reached, in words that no target and no playbook has a part in.
func (a *app) contacts(ctx context.Context, l *loaded, offline bool) []preview.Contact {
	out := make([]preview.Contact, len(l.pb.Targets))
	var targets []steps.Target
	for i, use := range l.pb.Targets {
		out[i] = preview.Contact{Target: use.Name, Type: use.Type}
		switch {
		case use.Settings != nil:
			out[i].Why = "not contacted: the playbook itself says where it is"
		case l.env == nil:
			out[i].Why = "not contacted: no environment says where it is"
		case offline:
			out[i].Why = "not contacted: the plan is offline"
		default:
			t, err := a.trustedTarget(ctx, l, use)
			if err != nil {
				out[i].Why = "not contacted: what the environment says of it could not be had; handrail doctor says why"
				continue
			}
			out[i].Type = t.Type
			targets = append(targets, t)
		}
	}
	r := steps.NewReacher(all.Kinds(), targets)
	type answer struct {
		target string
		err    error
	}
	answers := make(chan answer)
	for _, t := range targets {
		go func() {
			ctx, cancel := context.WithTimeout(ctx, checkPatience)
			defer cancel()
			answers <- answer{t.Name, r.Reach(ctx, t.Name)}
		}()
	}
	for range targets {
		got := <-answers
		c := &out[slices.IndexFunc(out, func(c preview.Contact) bool { return c.Target == got.target })]
		if c.Reached = got.err == nil; !c.Reached {
			c.Why = "it could not be reached; handrail doctor says why"
		}
	}
	_ = r.Close() // nothing was written that could be lost
	return out
}

// trustedTarget resolves a target by the environment alone. Its secrets are known to no masker: what was masked in a playbook's own
// texts would tell that the playbook has guessed one.
func (a *app) trustedTarget(ctx context.Context, l *loaded, use engine.TargetUse) (steps.Target, error) {
	dir := a.besideEnvironment(l.env)
	found, err := secrets.Resolve(ctx, sourcesIn(l.env, []string{l.env.Targets[use.Name].Settings.Source()}, nil),
		secrets.Options{InPlan: true, LookupEnv: a.env, Masker: &secrets.Masker{}, Dir: dir})
	if err != nil {
		return steps.Target{}, err
	}
	typ, settings, err := playbook.ResolveTarget(use, l.env, found.Values)
	if err != nil {
		return steps.Target{}, err
	}
	if _, unknown := engine.FirstUnknown(settings); unknown {
		return steps.Target{}, errors.New("it rests on a secret that a plan does not ask for")
	}
	r := &reach{}
	r.addTarget(use.Name, typ, settings, a.targetType(typ), dir) // not the folder of the playbook, which is a stranger's
	return r.targets[0], nil
}
