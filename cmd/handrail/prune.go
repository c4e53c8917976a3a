package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/cmd/internal/view"
	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/journal"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/all"
)

// prunedRun is a run that is old enough to go.
type prunedRun struct {
	ID       string          `json:"id"`
	Playbook string          `json:"playbook"`
	State    engine.RunState `json:"state"`
	Finished time.Time       `json:"finished_at"`
	// Markers is how many of it the targets kept.
	Markers int64 `json:"markers"`
	Removed bool  `json:"removed"`
	// Stays is why it was not removed; empty in a dry-run that would.
	Stays string `json:"stays,omitempty"`
}

func (a *app) pruneCommand() *cobra.Command {
	var older age
	var dry bool
	c := &cobra.Command{
		Use: "prune --older-than AGE", Short: "Remove old runs, and the markers that targets keep of them", Args: cobra.NoArgs,
		Long: "Removes the runs that ended longer ago than AGE (such as 90d) and will not go on: ok, degraded, cancelled, undone. Failed runs and\n" +
			"those that wait can go on, and stay; so does the newest good run of each playbook. First the markers of a run are removed from\n" +
			"its databases, then its folder: a target that cannot be reached keeps the run where it is. Markers in Redis go by themselves.",
		RunE: func(c *cobra.Command, _ []string) error { return a.prune(c.Context(), time.Duration(older), dry) },
	}
	c.Flags().Var(&older, "older-than", "how long ago the run must have ended, such as 90d")
	c.Flags().BoolVar(&dry, "dry-run", false, "say what would be removed, and change nothing")
	_ = c.MarkFlagRequired("older-than")
	a.outputFlag(c)
	return c
}

func (a *app) prune(ctx context.Context, older time.Duration, dry bool) error {
	store, err := a.state()
	if err != nil {
		return err
	}
	if !dry {
		if err := store.Sweep(); err != nil {
			return err
		}
	}
	old, unreadable, err := a.oldRuns(store, a.now().Add(-older))
	if err != nil {
		return err
	}
	out := []prunedRun{}
	for _, p := range old {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("stopped before run %s; what was removed is removed: %w", p.ID, context.Cause(ctx))
		}
		if dry {
			p.Markers, err = a.markersOf(ctx, store, p.ID)
		} else {
			p.Markers, err = a.pruneRun(ctx, store, p.ID)
			p.Removed = err == nil
		}
		if err != nil {
			p.Stays = why(err)
			unreadable = ended(exitFailed)
		}
		out = append(out, p)
		if !a.json() {
			if _, err := fmt.Fprintln(a.stdout, p.line(dry)); err != nil {
				return err
			}
		}
	}
	if a.json() {
		return errors.Join(view.WriteJSON(a.stdout, out), unreadable)
	}
	if len(out) == 0 && unreadable == nil {
		a.say("no run in %s is old enough to be removed", store.Path())
	}
	return unreadable
}

func (p prunedRun) line(dry bool) string {
	done := "removed"
	switch {
	case p.Stays != "":
		done = "stays: " + p.Stays
	case dry:
		done = "would be removed"
	}
	markers := "markers"
	if p.Markers == 1 {
		markers = "marker"
	}
	return fmt.Sprintf("%s  %s  %s  ended %s  %d %s: %s", p.ID, p.Playbook, p.State, p.Finished.Local().Format("2006-01-02"), p.Markers, markers, done)
}

// oldRuns are those that may go, the oldest first. A run that cannot be read stays, and is told.
func (a *app) oldRuns(store *journal.Store, before time.Time) (old []prunedRun, unreadable, err error) {
	ids, err := store.List()
	if err != nil {
		return nil, nil, err
	}
	for _, id := range ids {
		sum, err := store.Summary(id)
		switch {
		case errors.Is(err, journal.ErrNotBegun):
		case err != nil:
			a.complain(err)
			unreadable = ended(codeOf(err))
		case sum.State.Final() && sum.State != engine.RunFailed:
			old = append(old, prunedRun{ID: id, Playbook: sum.Playbook, State: sum.State, Finished: sum.Finished})
		}
	}
	slices.SortFunc(old, func(x, y prunedRun) int { return x.Finished.Compare(y.Finished) }) // ids of one second do not sort
	newest := map[string]string{}
	for _, p := range old {
		if p.State == engine.RunOK || p.State == engine.RunDegraded {
			newest[p.Playbook] = p.ID
		}
	}
	old = slices.DeleteFunc(old, func(p prunedRun) bool { return newest[p.Playbook] == p.ID || !p.Finished.Before(before) })
	return old, unreadable, nil
}

// pruneRun removes a run that nobody has in hand. The markers go BEFORE the folder: without that nobody would know any
// more on which targets they are.
func (a *app) pruneRun(ctx context.Context, store *journal.Store, id string) (markers int64, err error) {
	s, err := a.takeOver(id)
	if err != nil {
		return 0, err
	}
	if state := s.run.State(); !state.Final() || state == engine.RunFailed {
		s.close()
		return 0, fmt.Errorf("it is %s", state) // somebody went on with it a moment ago
	}
	a.points.at("before forgetting run %s", id)
	markers, err = a.forget(ctx, s.loaded, id, steps.Full)
	if err != nil {
		s.close()
		return markers, err
	}
	a.points.at("before removing run %s", id)
	err = s.store.Erase(s.journal)
	a.points.at("after removing run %s", id)
	return markers, err
}

// markersOf counts what pruneRun would remove.
func (a *app) markersOf(ctx context.Context, store *journal.Store, id string) (int64, error) {
	r, err := store.Read(id)
	if err != nil {
		return 0, err
	}
	defer func() { _ = r.Close() }() // it was only read
	t, err := listenTo(id, r.Replay, nil)
	if err != nil {
		return 0, err
	}
	l, _, err := a.loadPinned(store, id, t)
	if err != nil {
		return 0, err
	}
	return a.forget(ctx, l, id, steps.ReadOnly)
}

// forget asks each target on which a step may have left a marker.
func (a *app) forget(ctx context.Context, l *loaded, id string, access steps.Access) (markers int64, err error) {
	r, err := a.reach(ctx, l, false)
	if err != nil {
		return 0, err
	}
	x := steps.NewExecutor(all.Kinds(), r.targets, access)
	x.Run = id
	defer func() { err = errors.Join(err, x.Close()) }()
	for _, at := range marked(l.pb) {
		n, err := x.Forget(ctx, at.kind, at.target, id)
		markers += n
		a.points.at("after forgetting on target %s", at.target)
		if err != nil {
			return markers, fmt.Errorf("the markers on target %s: %w", at.target, err)
		}
	}
	return markers, nil
}

// place is a target as a kind reaches it.
type place struct{ kind, target string }

// marked are the places on which steps act, those of nested playbooks included.
func marked(pb *engine.Playbook) []place {
	var out []place
	var walk func(list []*engine.Step)
	walk = func(list []*engine.Step) {
		for _, s := range list {
			if p := (place{s.Kind, s.Target}); s.Target != "" && !slices.Contains(out, p) {
				out = append(out, p)
			}
			walk(s.Steps)
			walk(s.Always)
			walk(s.Undo)
		}
	}
	walk(pb.Steps)
	walk(pb.Always)
	return out
}
