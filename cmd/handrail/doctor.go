package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/cmd/internal/view"
	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/playbook"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/all"
)

// checkPatience bounds how long one target or one step is looked at.
const checkPatience = 30 * time.Second

func (a *app) doctorCommand() *cobra.Command {
	var g given
	var shipped bool
	c := &cobra.Command{
		Use: "doctor [NAME…]", Short: "Say what would fail tonight: playbooks against an environment, without changing anything",
		Long: "Checks your playbooks, or those that are named, against an environment: whether secrets can be had,\n" +
			"targets answer and let the user in, tables, columns and rights that statements need are there, containers, images,\n" +
			"programs and room for files. Connections can only read, as those of a plan. Exits 1 when something would fail.\n" +
			"--shipped takes in the shipped playbooks for which the environment has targets.",
		ValidArgsFunction: func(c *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
			return a.completePlaybooks(c, nil, word)
		},
		RunE: func(c *cobra.Command, args []string) error { return a.doctor(c.Context(), args, g, shipped) },
	}
	c.Flags().BoolVar(&shipped, "shipped", false, "the shipped playbooks too")
	a.givenFlags(c, &g)
	a.outputFlag(c)
	return c
}

func (a *app) doctor(ctx context.Context, names []string, g given, shipped bool) error {
	files, err := a.toExamine(names, shipped)
	if err != nil {
		return err
	}
	env, envSrc, err := a.loadEnvironment(g.env)
	if err != nil {
		return err
	}
	values, err := a.givenValues(g)
	if err != nil {
		return err
	}
	d := &doctor{app: a, env: env, envSrc: envSrc, given: values, reached: map[string]reached{}}
	report := view.Examined{Version: view.ExaminedVersion, At: a.now().UTC(), Playbooks: []view.ExaminedPlaybook{}}
	if env != nil {
		report.Environment = env.Name
	}
	report.Machine = a.examineState()
	for _, f := range files {
		p, err := d.playbook(ctx, f, len(names) > 0)
		if err != nil {
			return err
		}
		report.Playbooks = append(report.Playbooks, p)
	}
	if a.json() {
		err = view.ExaminedJSON(a.stdout, report)
	} else {
		err = view.ExaminedText(a.stdout, a.style(a.stdout), report)
	}
	if err != nil {
		return err
	}
	if report.Fails() {
		return ended(exitFailed)
	}
	return nil
}

func (a *app) toExamine(names []string, shipped bool) ([]found, error) {
	var out []found
	if len(names) == 0 {
		all, err := a.everyPlaybook()
		for _, f := range all {
			if shipped || !f.shipped {
				out = append(out, f)
			}
		}
		if err == nil && len(out) == 0 {
			err = errors.New("there are no playbooks of your own; name one, or say --shipped")
		}
		return out, err
	}
	for _, name := range names {
		f, err := a.find(name)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// doctor checks playbooks against one environment.
type doctor struct {
	app     *app
	env     *playbook.Environment
	envSrc  []byte
	given   map[string]any
	reached map[string]reached // by where a target is
}

// reached is what came of opening a target.
type reached struct {
	lacks []engine.Lack
	err   error // it cannot be had
}

// playbook checks one. named: the person has asked for it.
func (d *doctor) playbook(ctx context.Context, f found, named bool) (view.ExaminedPlaybook, error) {
	p := view.ExaminedPlaybook{Name: f.name, File: f.file, Findings: []view.ExaminedFinding{}}
	l, err := d.app.loadFound(f, nil)
	if err == nil && f.shipped && !named && !d.has(l.pb) {
		p.LeftOut = "it needs targets that the environment does not have"
		return p, ctx.Err()
	}
	if err == nil {
		l, err = d.app.loadFound(f, d.env)
	}
	if err != nil {
		for _, m := range mistakesOf(f.file, err) {
			p.Add(view.ExaminedFinding{Fails: true, What: m.Message, Remedy: m.Remedy, File: m.File, Line: m.Line, Column: m.Column})
		}
		return p, ctx.Err()
	}
	l.envSrc = d.envSrc
	x := &examination{doctor: d, loaded: l, into: &p, lost: map[string]bool{}, makers: map[string]string{}}
	return p, errors.Join(x.run(ctx), context.Cause(ctx))
}

// has: the environment says where all targets of a playbook are.
func (d *doctor) has(pb *engine.Playbook) bool {
	for _, use := range pb.Targets {
		if use.Settings != nil {
			continue
		}
		if d.env == nil {
			return false
		}
		if _, ok := d.env.Targets[use.Name]; !ok {
			return false
		}
	}
	return true
}

// examination is the check of one playbook.
type examination struct {
	*doctor
	loaded *loaded
	into   *view.ExaminedPlaybook
	reach  reach
	lost   map[string]bool   // targets on which nothing can be checked
	makers map[string]string // by target: the last step that may make what those after it miss
}

func (x *examination) found(step string, pos engine.Pos, fails bool, l engine.Lack) {
	x.into.Add(view.ExaminedFinding{Step: step, Fails: fails, What: x.app.masker.Text(l.What), Remedy: l.Remedy, File: pos.File, Line: pos.Line, Column: pos.Column})
}

func (x *examination) run(ctx context.Context) error {
	base, err := x.app.base()
	if err != nil {
		return err
	}
	x.reach = reach{secrets: engine.Record{}, shown: engine.Record{}}
	x.secrets(ctx)
	x.targets(base)
	x.targetOfLocks(base)
	ex := steps.NewExecutor(all.Kinds(), x.reach.targets, steps.ReadOnly)
	ex.Run, ex.Dir = "doctor", base
	for _, t := range x.reach.targets {
		x.target(ctx, ex, t)
	}
	x.locks(ctx, ex)
	inputs, err := x.inputs()
	if err != nil {
		return errors.Join(err, ex.Close())
	}
	known := engine.Record{"inputs": inputs, "targets": x.reach.shown, "secrets": x.reach.secrets,
		"run": engine.Record{"id": "doctor", "started": x.app.now().UTC(), "playbook": x.loaded.pb.Name}}
	x.loaded.pb.EachOutlook(known, func(o engine.Outlook) {
		if ctx.Err() == nil && !x.lost[o.Target] {
			x.step(ctx, ex, o)
		}
	})
	return ex.Close()
}

// step says what one operation would miss.
func (x *examination) step(ctx context.Context, ex *steps.Executor, o engine.Outlook) {
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	lacks, err := ex.Check(ctx, o.Call)
	if err != nil {
		lacks = append(lacks, steps.LackOf(err.Error()))
	}
	maker, made := x.makers[o.Target]
	for _, l := range lacks {
		fails := !l.Unsure && (l.Lasting || !made || maker == o.Step)
		if !fails && !l.Unsure {
			l.Remedy = "step " + maker + " before it may put that right"
		}
		x.found(o.Step, o.Pos, fails, l)
	}
	if ex.Makes(o.Call) {
		x.makers[o.Target] = o.Step
	}
}

// target opens a target. One that was tried for another playbook is not tried again.
func (x *examination) target(ctx context.Context, ex *steps.Executor, t steps.Target) {
	kind := ""
	for _, k := range x.app.catalogue().Kinds() {
		for _, typ := range k.Targets {
			if typ.Name == t.Type && kind == "" {
				kind = k.Name
			}
		}
	}
	where, err := engine.DigestValue(t.Settings)
	if err != nil {
		where = err.Error()
	}
	where = t.Type + where
	got, tried := x.reached[where]
	if !tried {
		ctx, cancel := context.WithTimeout(ctx, checkPatience)
		got.lacks, got.err = ex.Reach(ctx, kind, t.Name)
		cancel()
		x.reached[where] = got
	}
	if x.forLocksAlone(t.Name) {
		got.lacks = nil // no lock depends on a clock
	}
	for _, l := range got.lacks {
		x.found(called(t.Name), x.placeOf(t.Name), !l.Unsure, l)
	}
	if got.err == nil {
		return
	}
	x.lost[t.Name] = true
	x.found(called(t.Name), x.placeOf(t.Name), true, steps.LackOf(strings.TrimPrefix(got.err.Error(), "target "+t.Name+": ")))
}

// placeOf is where it is said where a target is.
func (x *examination) placeOf(target string) engine.Pos {
	if target == x.reach.locks && x.env != nil {
		return x.env.Targets[x.env.Locks].Pos
	}
	for _, use := range x.loaded.pb.Targets {
		if use.Name != target {
			continue
		}
		if use.Settings == nil && x.env != nil {
			return x.env.Targets[target].Pos
		}
		return use.Pos
	}
	return engine.Pos{File: x.loaded.file}
}

// inputs are what was given and the defaults; the rest is not known.
func (x *examination) inputs() (engine.Record, error) {
	pb := *x.loaded.pb
	pb.Inputs = append([]engine.Input(nil), pb.Inputs...)
	given, unknown := map[string]any{}, engine.Record{}
	for i := range pb.Inputs {
		in := &pb.Inputs[i]
		v, ok := x.given[in.Name]
		if ok {
			given[in.Name] = v
		} else if in.Default == nil {
			unknown[in.Name] = engine.Unknown{}
		}
		in.Required = false
	}
	inputs, err := playbook.ParseInputs(&pb, given)
	if err != nil {
		return nil, err
	}
	x.app.maskInputs(inputs)
	for name, v := range unknown {
		inputs[name] = v
	}
	return inputs, nil
}
