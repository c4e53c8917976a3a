package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/cmd/internal/view"
	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/journal"
)

type listedRun struct {
	ID       string          `json:"id"`
	Playbook string          `json:"playbook"`
	State    engine.RunState `json:"state"`
	Started  time.Time       `json:"started_at"`
	Finished *time.Time      `json:"finished_at"` // null: not yet
	Reason   string          `json:"reason,omitempty"`
	By       engine.Person   `json:"by"`
}

func (a *app) runsCommand() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use: "runs", Short: "List the runs, newest first", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.runs(limit) },
	}
	c.Flags().IntVarP(&limit, "limit", "n", 0, "at most so many; 0: all")
	a.outputFlag(c)
	return c
}

func (a *app) runs(limit int) error {
	s, err := a.state()
	if err != nil {
		return err
	}
	ids, err := s.List()
	if err != nil {
		return err
	}
	out := []listedRun{}
	var unreadable error
	for _, id := range ids {
		if limit > 0 && len(out) == limit {
			break
		}
		sum, err := s.Summary(id)
		if errors.Is(err, journal.ErrNotBegun) {
			continue
		}
		if err != nil { // the others are shown all the same
			a.complain(err)
			unreadable = ended(codeOf(err))
			continue
		}
		r := listedRun{ID: id, Playbook: sum.Playbook, State: sum.State, Started: sum.Started, Reason: sum.Reason, By: sum.By}
		if !sum.Finished.IsZero() {
			r.Finished = &sum.Finished
		}
		out = append(out, r)
	}
	if a.json() {
		return errors.Join(view.WriteJSON(a.stdout, out), unreadable)
	}
	for _, r := range out {
		took := ""
		if r.Finished != nil {
			took = view.Duration(r.Finished.Sub(r.Started))
		}
		if _, err := fmt.Fprintf(a.stdout, "%s  %-11s  %s  %-10s  %s\n", r.ID, r.State,
			r.Started.Local().Format("2006-01-02 15:04:05"), took, r.Playbook); err != nil {
			return err
		}
	}
	if len(out) == 0 && unreadable == nil {
		a.say("there are no runs in %s", s.Path())
	}
	return unreadable
}
