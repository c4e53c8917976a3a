package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/cmd/internal/view"
	"github.com/handrail-dev/handrail/engine"
)

// runFlags say how a run is started and ended.
type runFlags struct {
	given
	yes, dryRun bool
	plan        string // a saved plan
	failOn      string
	patience    time.Duration
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use: "run {NAME | --plan FILE}", Short: "Run a playbook", Args: cobra.MaximumNArgs(1),
		Long: "Runs a playbook, by its name or its file. Every step is recorded; a run that was cut off goes on with `handrail resume`.\n" +
			"--yes confirms that the run starts. It never answers an approval.",
		ValidArgsFunction: a.completePlaybooks,
		RunE: func(c *cobra.Command, args []string) error {
			if f.plan != "" {
				return a.startPlanned(c.Context(), optional(args, 0), f)
			}
			if len(args) == 0 {
				return errors.New("give it as: handrail run NAME, or handrail run --plan FILE; see: handrail run --help")
			}
			if f.dryRun {
				return a.plan(c.Context(), args[0], planFlags{given: f.given, failOn: "unknown", limit: view.CommentLimit})
			}
			return a.start(c.Context(), args[0], f)
		},
	}
	a.givenFlags(c, &f.given)
	c.Flags().BoolVar(&f.yes, "yes", false, "start without asking")
	c.Flags().StringVar(&f.plan, "plan", "", "carry out a saved plan, if it still holds: handrail plan NAME --out FILE")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "the same as: handrail plan NAME")
	a.failOnFlag(c, &f.failOn)
	lockFlag(c, &f.patience)
	a.outputFlag(c)
	refuseUntrusted(c)
	return c
}

func lockFlag(c *cobra.Command, patience *time.Duration) {
	c.Flags().DurationVar(patience, "wait-for-lock", 0, "how long to wait for a lock that another run has")
}

func (a *app) failOnFlag(c *cobra.Command, failOn *string) {
	c.Flags().StringVar(failOn, "fail-on", "failed", "degraded: a degraded run exits 1 too")
	_ = c.RegisterFlagCompletionFunc("fail-on", cobra.FixedCompletions([]string{"failed", "degraded"}, cobra.ShellCompDirectiveNoFileComp))
	c.PreRunE = func(*cobra.Command, []string) error {
		if *failOn != "failed" && *failOn != "degraded" {
			return fmt.Errorf("--fail-on %s: there are failed and degraded", *failOn)
		}
		return nil
	}
}

func (a *app) start(ctx context.Context, name string, f runFlags) error {
	l, err := a.load(name, f.env)
	if err != nil {
		return err
	}
	inputs, err := a.inputs(l.pb, f.given)
	if err != nil {
		return err
	}
	r, err := a.reach(ctx, l, false)
	if err != nil {
		return err
	}
	for _, w := range r.warnings {
		a.say("warning: %s", w)
	}
	return a.begin(ctx, l, r, inputs, f, "")
}

// begin starts a run of which everything is known, and drives it. plan is the hash of the saved plan that it carries out.
func (a *app) begin(ctx context.Context, l *loaded, r *reach, inputs engine.Record, f runFlags, plan string) error {
	if err := a.confirmStart(ctx, l, f.yes); err != nil {
		return err
	}
	s, err := a.newRun(ctx, l, r, inputs, f.patience, plan)
	if err != nil {
		return err
	}
	defer s.close()
	state, err := s.drive(ctx)
	if err != nil {
		return err
	}
	return endedIn(state, f.failOn)
}

// endedIn turns the state that a run was left in into the exit code.
func endedIn(state engine.RunState, failOn string) error {
	if code := codeOfState(state, failOn == "degraded"); code != exitOK {
		return ended(code)
	}
	return nil
}

// confirmStart asks before something is changed. Where nobody can be asked, --yes must have been said.
func (a *app) confirmStart(ctx context.Context, l *loaded, yes bool) error {
	changes := whatChanges(l.pb)
	if yes || changes == "" {
		return nil
	}
	where := ""
	if l.env != nil {
		where = " on " + l.env.Name
	}
	if !a.attended() || a.json() {
		return fmt.Errorf("%s%s %s; nobody is here to confirm that, so nothing was begun. Look at it with: handrail plan %s, then add --yes",
			l.pb.Name, where, changes, l.pb.Name)
	}
	ok, err := a.confirm(ctx, fmt.Sprintf("%s%s %s. Start?", l.pb.Name, where, changes))
	if err != nil {
		return err
	}
	if !ok {
		return errors.New("not started; nothing was begun")
	}
	return nil
}

// whatChanges says what a playbook may change; empty: it only reads.
func whatChanges(pb *engine.Playbook) string {
	worst := engine.RiskReads
	seen := map[string]bool{}
	var where []string
	pb.EveryStep(func(s *engine.Step) {
		if s.Operation == nil || !s.Class.Writes() {
			return
		}
		worst = max(worst, s.Risk, engine.RiskChanges)
		place := s.Target
		if place == "" {
			place = s.Kind
		}
		if !seen[place] {
			seen[place] = true
			where = append(where, place)
		}
	})
	if len(where) == 0 {
		return ""
	}
	verb := "changes"
	switch worst {
	case engine.RiskReads, engine.RiskChanges:
	case engine.RiskDestroys:
		verb = "may destroy data or services on"
	case engine.RiskIrreversible:
		verb = "does what cannot be taken back on"
	}
	return verb + " " + strings.Join(where, ", ")
}
