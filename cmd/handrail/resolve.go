package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/journal"
)

// resolutions are the words that a person types.
var resolutions = [...]struct {
	word string
	as   engine.Resolution
}{{"done", engine.ResolvedDone}, {"not-done", engine.ResolvedNotDone}, {"skip", engine.ResolvedSkip}}

func (a *app) resolveCommand() *cobra.Command {
	var because string
	c := &cobra.Command{
		Use: "resolve RUN STEP done|not-done|skip --because TEXT", Short: "Say what is true of a step in doubt", Args: cobra.ExactArgs(3),
		Long: "done: the effect is there; its done_if is asked all the same. not-done: it is not; the step is run again.\n" +
			"skip: the step is left out. Works on failed and pending steps too. Name and reason are recorded.",
		ValidArgsFunction: a.completeResolve,
		RunE: func(c *cobra.Command, args []string) error {
			return a.resolve(c.Context(), args[0], args[1], args[2], because)
		},
	}
	c.Flags().StringVar(&because, "because", "", "why; recorded, and never left out")
	return c
}

func (a *app) resolve(ctx context.Context, typed, step, word, because string) error {
	var as engine.Resolution
	known := false
	for _, r := range resolutions {
		if r.word == word {
			as, known = r.as, true
		}
	}
	if !known {
		return fmt.Errorf("%s: a step is done, not-done, or to be left out with skip", word)
	}
	run, _, err := a.resolveAndLook(typed)
	if err != nil {
		return err
	}
	if _, err := run.Resolve(step, as, a.me(), because); err != nil {
		return fmt.Errorf("step %s cannot be resolved: %s; see: handrail show %s", step, why(err), run.ID())
	}
	recorded, err := a.request(ctx, run.ID(), journal.Request{Ask: journal.AskResolve, Step: step, As: as, Because: because,
		By: a.me(), At: a.now().UTC()})
	if err != nil {
		return err
	}
	return a.requested(recorded, fmt.Sprintf("step %s is resolved as %s%s", step, as, a.goOn(run.ID())))
}
