package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/cmd/internal/view"
	"github.com/handrail-dev/handrail/engine"
)

func (a *app) showCommand() *cobra.Command {
	var follow, every bool
	c := &cobra.Command{
		Use: "show RUN", Short: "Show where a run stands, and what to type next", Args: cobra.ExactArgs(1),
		ValidArgsFunction: a.completeRuns,
		RunE: func(c *cobra.Command, args []string) error {
			if follow {
				return a.follow(c.Context(), args[0], every)
			}
			return a.show(args[0], every)
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "show what happens until nobody has the run in hand any more")
	c.Flags().BoolVar(&every, "all", false, "show every item of a loop")
	a.outputFlag(c)
	return c
}

func (a *app) show(typed string, every bool) error {
	run, store, err := a.resolveAndLook(typed)
	if err != nil {
		return err
	}
	sum, err := store.Summary(run.ID())
	if err != nil {
		return err
	}
	shown := view.Shown{Run: run, State: sum.State, Reason: sum.Reason, Now: a.now(), All: every, Folder: store.Folder(run.ID())}
	if sum.State == engine.Running {
		shown.Owner = store.Owner(run.ID())
	}
	if a.json() {
		return view.ShowJSON(a.stdout, shown)
	}
	return view.Show(a.stdout, a.style(a.stdout), shown)
}

// followEvery is how often a journal is looked at for news.
const followEvery = 200 * time.Millisecond

// follow shows the events of a run as they come, from the first one on.
func (a *app) follow(ctx context.Context, typed string, every bool) error {
	run, store, err := a.resolveAndLook(typed)
	if err != nil {
		return err
	}
	id := run.ID()
	r, err := store.Read(id)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // it was only read
	var to view.Progress = view.NewPlain(a.stdout, a.style(a.stdout), run.Playbook())
	if a.json() {
		to = &view.JSON{W: a.stdout}
	}
	for {
		// The question comes BEFORE the reading: what an owner wrote before it ended is read.
		alive, err := store.Alive(id)
		if err != nil {
			return err
		}
		if err := r.Replay(func(e engine.Stamped) error { to.Event(e); return nil }); err != nil {
			return err
		}
		if !alive {
			if a.json() {
				return nil
			}
			return a.show(id, every)
		}
		select {
		case <-time.After(followEvery):
		case <-ctx.Done():
			var stopped ended
			if errors.As(context.Cause(ctx), &stopped) { // the watcher has seen enough; the run goes on
				return nil
			}
			return context.Cause(ctx)
		}
	}
}
