package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/cmd/internal/view"
	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/objective"
	"github.com/handrail-dev/handrail/engine/preview"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/all"
)

// planFlags say how a plan is made, shown and judged.
type planFlags struct {
	given
	offline bool
	failOn  string
	limit   int
	out     string // where the plan is saved
	// tolerance is by how many hundredths a number of a saved plan may change.
	tolerance int
}

func (a *app) planCommand() *cobra.Command {
	var f planFlags
	c := &cobra.Command{
		Use: "plan NAME", Short: "Say what a run would do to the system as it is now, and change nothing", Args: cobra.ExactArgs(1),
		Long: "Walks the playbook with connections that can only read. Exits 0 when every step could be judged, 1 when not,\n" +
			"or when a step would do what --fail-on rules out. -o markdown is for a pull request, -o json has a schema: handrail schema plan",
		ValidArgsFunction: a.completePlaybooks,
		RunE:              func(c *cobra.Command, args []string) error { return a.plan(c.Context(), args[0], f) },
	}
	a.givenFlags(c, &f.given)
	c.Flags().BoolVar(&f.offline, "offline", false, "ask no target; judge by the file alone")
	c.Flags().IntVar(&f.limit, "limit", view.CommentLimit, "the most bytes of the Markdown form")
	c.Flags().StringVar(&f.out, "out", "", "save the plan to a file, which `handrail run --plan` carries out as long as it holds")
	c.Flags().IntVar(&f.tolerance, "tolerance", 10, "by how many hundredths a number may change before a saved plan does not hold any more")
	a.gateFlag(c, &f.failOn)
	a.outputFlag(c, "markdown")
	a.untrustedFlag(c)
	return c
}

func (a *app) plan(ctx context.Context, name string, f planFlags) error {
	l, err := a.load(name, f.env)
	if err != nil {
		return err
	}
	inputs, err := a.inputs(l.pb, f.given)
	if err != nil {
		return err
	}
	if f.out != "" && a.untrusted {
		return errors.New("--out with --untrusted: a saved plan is what `handrail run --plan` carries out, and this one knows neither inputs nor what is there")
	}
	if f.out != "" && f.offline {
		return errors.New("--out with --offline: such a plan has seen nothing that it could be held against")
	}
	p, err := a.makePlan(ctx, l, inputs, f.offline, a.now().UTC())
	if err != nil {
		return err
	}
	a.addPast(p, l.pb)
	if err := a.showPlan(p, f.limit); err != nil {
		return err
	}
	if f.out != "" {
		if err := a.savePlan(p, l, inputs, name, f); err != nil {
			return err
		}
	}
	return a.gate(p, f.failOn)
}

// addPast adds what this machine knows of the runs before. A stranger may call a playbook by the name of any other, and is
// told nothing.
func (a *app) addPast(p *preview.Plan, pb *engine.Playbook) {
	if a.untrusted {
		return
	}
	p.LastRuns = a.lastRuns(pb.Name)
	if past, err := a.history(pb.Name); err != nil {
		a.say("warning: how long the runs before took cannot be read: %s", err)
	} else {
		p.Past(pb, objective.Past(past, p.Environment))
		p.Saved(past)
	}
}

func (a *app) showPlan(p *preview.Plan, limit int) error {
	switch a.output {
	case "json":
		return view.PlanJSON(a.stdout, p)
	case "markdown":
		return view.PlanMarkdown(a.stdout, p, limit)
	}
	return view.PlanText(a.stdout, p)
}

// makePlan makes a plan. at is what now() is in it.
func (a *app) makePlan(ctx context.Context, l *loaded, inputs engine.Record, offline bool, at time.Time) (*preview.Plan, error) {
	if a.untrusted {
		return a.outlinePlan(ctx, l, inputs, offline, at)
	}
	start := engine.RunStarted{Playbook: l.pb.Name, PlaybookDigest: l.pb.Digest, Nested: l.pb.NestedDigests(), Inputs: engine.Typed{V: inputs},
		Started: at, By: a.me(), Version: version, Run: "plan"}
	if l.env != nil {
		start.Environment, start.EnvDigest = l.env.Name, l.env.Digest
	}
	g := engine.Given{Inputs: secretInputs(inputs), Preview: true}
	if offline {
		g.Secrets, g.Targets = unknownSecrets(l.pb), unknownTargets(l.pb)
		return preview.Make(ctx, l.pb, start, g, nil)
	}
	r, err := a.reach(ctx, l, true)
	if err != nil {
		return nil, err
	}
	base, err := a.base()
	if err != nil {
		return nil, err
	}
	g.Secrets, g.Targets = r.secrets, r.shown
	x := steps.NewExecutor(all.Kinds(), r.targets, steps.ReadOnly)
	x.Run, x.Dir = "plan", base
	p, err := preview.Make(ctx, l.pb, start, g, maskedLooker{x, a})
	if p != nil {
		p.Warnings = append(p.Warnings, r.warnings...)
		p.Locks = a.lookAtLocks(ctx, l, r, x)
	}
	return p, errors.Join(err, x.Close())
}

// maskedLooker masks what targets say BEFORE a plan holds it, as a run does BEFORE it is recorded: what is
// shortened or quoted later on is masked by then.
type maskedLooker struct {
	*steps.Executor
	app *app
}

func (m maskedLooker) Preview(ctx context.Context, c engine.Call) (engine.Impact, error) {
	i, err := m.Executor.Preview(ctx, c)
	if err != nil {
		err = errors.New(m.app.masker.Text(err.Error()))
	}
	return i.Texts(m.app.masker.Text), err
}

func (m maskedLooker) Execute(ctx context.Context, c engine.Execute, at engine.Attendant) engine.Outcome {
	o := m.Executor.Execute(ctx, c, at)
	o.Err, o.Message = m.app.masker.Text(o.Err), m.app.masker.Text(o.Message)
	o.Result, _ = m.app.masker.Value(o.Result).(engine.Record)
	return o
}

func (m maskedLooker) Ask(ctx context.Context, step string, questions []engine.Question) engine.Answer {
	o := m.Executor.Ask(ctx, step, questions)
	o.Message = m.app.masker.Text(o.Message)
	o.Result, _ = m.app.masker.Value(o.Result).(engine.Record)
	return o
}

// lastRuns are the last runs of a playbook. A plan is made without them where they cannot be read.
func (a *app) lastRuns(name string) []preview.LastRun {
	const most, look = 3, 200
	s, err := a.state()
	if err != nil {
		return nil
	}
	ids, err := s.List()
	if err != nil {
		a.say("warning: %s", err)
		return nil
	}
	var out []preview.LastRun
	for _, id := range ids[:min(len(ids), look)] {
		sum, err := s.Summary(id)
		if err != nil || sum.Playbook != name {
			continue
		}
		last := preview.LastRun{ID: id, State: sum.State, Started: sum.Started}
		if !sum.Finished.IsZero() {
			last.Took = sum.Finished.Sub(sum.Started)
		}
		if out = append(out, last); len(out) == most {
			break
		}
	}
	return out
}

func unknownSecrets(pb *engine.Playbook) engine.Record {
	out := engine.Record{}
	for name := range pb.Secrets {
		out[name] = engine.Unknown{}
	}
	return out
}

func unknownTargets(pb *engine.Playbook) engine.Record {
	out := engine.Record{}
	for _, t := range pb.Targets {
		out[t.Name] = engine.Unknown{}
	}
	return out
}
