package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/journal"
)

func (a *app) rejectCommand() *cobra.Command {
	var because string
	c := &cobra.Command{
		Use: "reject RUN [STEP]", Short: "Say no to what a run asks", Args: cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeRunsAndSteps,
		RunE: func(c *cobra.Command, args []string) error {
			return a.reject(c.Context(), args[0], optional(args, 1), because)
		},
	}
	c.Flags().StringVar(&because, "because", "", "why; recorded")
	return c
}

func (a *app) reject(ctx context.Context, typed, step, because string) error {
	run, _, err := a.resolveAndLook(typed)
	if err != nil {
		return err
	}
	e, err := run.Reject(step, a.me(), because)
	if err != nil {
		return err
	}
	step = engine.EventStep(e)
	recorded, err := a.request(ctx, run.ID(), journal.Request{Ask: journal.AskReject, Step: step, Because: because,
		By: a.me(), At: a.now().UTC()})
	if err != nil {
		return err
	}
	return a.requested(recorded, fmt.Sprintf("step %s is declined%s", step, a.goOn(run.ID())))
}
