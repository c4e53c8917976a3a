package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/journal"
)

func (a *app) approveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "approve RUN [STEP]", Short: "Say yes to what a run asks", Args: cobra.RangeArgs(1, 2),
		Long:              "Approves the step that waits, or the one that is named. The yes is bound to what was asked: a corrected playbook voids it.",
		ValidArgsFunction: a.completeRunsAndSteps,
		RunE: func(c *cobra.Command, args []string) error {
			return a.approve(c.Context(), args[0], optional(args, 1))
		},
	}
}

func optional(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}

// resolveAndLook finds a run that a person has named, and how it stands.
func (a *app) resolveAndLook(typed string) (*engine.Run, *journal.Store, error) {
	store, err := a.state()
	if err != nil {
		return nil, nil, err
	}
	id, err := store.Resolve(typed)
	if err != nil {
		return nil, nil, err
	}
	return a.lookAt(id)
}

func (a *app) approve(ctx context.Context, typed, step string) error {
	run, _, err := a.resolveAndLook(typed)
	if err != nil {
		return err
	}
	e, err := run.Approve(step, a.me(), a.now())
	if err != nil {
		return err
	}
	asked, _ := e.(engine.ApprovalGiven)
	if v, ok := run.StepAt(asked.Step); ok {
		a.say("step %s asks: %s", asked.Step, v.Ask)
	}
	recorded, err := a.request(ctx, run.ID(), journal.Request{Ask: journal.AskApprove, Step: asked.Step,
		Digest: asked.Digest, By: a.me(), At: a.now().UTC()})
	if err != nil {
		return err
	}
	return a.requested(recorded, fmt.Sprintf("step %s is approved%s", asked.Step, a.goOn(run.ID())))
}

// goOn is what to type when nobody has the run in hand.
func (a *app) goOn(id string) string {
	if alive, err := a.store.Alive(id); err != nil || alive {
		return ""
	}
	return "; go on with: handrail resume " + id
}

// requested says what came of a request.
func (a *app) requested(recorded bool, done string) error {
	if !recorded {
		a.say("the request lies in the inbox of the run; the process that has the run in hand will take it")
		return nil
	}
	a.say("%s", done)
	return nil
}
