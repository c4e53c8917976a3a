package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/journal"
)

func (a *app) cancelCommand() *cobra.Command {
	var undo bool
	var inputs []string
	c := &cobra.Command{
		Use: "cancel RUN", Short: "End a run; with --undo, take back what it did", Args: cobra.ExactArgs(1),
		Long: "Asks the process that has the run in hand to end it. When there is none, ends it here: `always` is run, and\n" +
			"with --undo the `undo` of finished steps in reverse order.",
		ValidArgsFunction: a.completeRuns,
		RunE: func(c *cobra.Command, args []string) error {
			return a.cancel(c.Context(), args[0], undo, inputs)
		},
	}
	c.Flags().BoolVar(&undo, "undo", false, "run the `undo` of finished steps, in reverse order")
	c.Flags().StringArrayVarP(&inputs, "input", "i", nil, "a secret input again, as key=value: secrets are never stored")
	a.outputFlag(c)
	return c
}

func (a *app) cancel(ctx context.Context, typed string, undo bool, inputs []string) error {
	run, store, err := a.resolveAndLook(typed)
	if err != nil {
		return a.freeLeft(ctx, typed, err)
	}
	if _, err := run.Cancel(a.me(), undo); err != nil {
		err = fmt.Errorf("run %s cannot be cancelled: %s; see: handrail show %s", run.ID(), why(err), run.ID())
		return a.freeLeft(ctx, typed, err)
	}
	alive, err := store.Alive(run.ID())
	if err != nil {
		return err
	}
	if !alive {
		err := a.cancelHere(ctx, run.ID(), undo, inputs)
		var owned *journal.OwnedError
		if !errors.As(err, &owned) {
			return err
		}
		// Somebody has just resumed it, and will hear of it.
	}
	recorded, err := a.request(ctx, run.ID(), journal.Request{Ask: journal.AskCancel, Undo: undo, By: a.me(), At: a.now().UTC()})
	if err != nil {
		return err
	}
	return a.requested(recorded, fmt.Sprintf("run %s is being cancelled; watch it with: handrail show %s --follow", run.ID(), run.ID()))
}

// cancelHere ends a run that nobody has in hand.
func (a *app) cancelHere(ctx context.Context, id string, undo bool, inputs []string) error {
	s, err := a.continueRun(ctx, id, resumeFlags{inputs: inputs})
	if err != nil {
		return err
	}
	defer s.close()
	e, err := s.run.Cancel(s.by, undo)
	if err != nil {
		return err
	}
	if err := s.record(e); err != nil {
		return err
	}
	state, err := s.drive(ctx)
	if err != nil {
		return err
	}
	if state == engine.RunCancelled || state == engine.RunUndone {
		return nil
	}
	return endedIn(state, "failed")
}
