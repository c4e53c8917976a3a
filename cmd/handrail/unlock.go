package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/engine/journal"
)

func (a *app) unlockCommand() *cobra.Command {
	return &cobra.Command{
		Use: "unlock RUN", Short: "Free the locks of a run that is lost", Args: cobra.ExactArgs(1),
		Long: "Frees the locks of a run whose files are lost or damaged. RUN is the whole id, as the message about the lock says it.\n" +
			"A run that is there is better resumed or cancelled: that frees its locks, too. While a process has the run in hand nothing is freed.",
		RunE: func(c *cobra.Command, args []string) error { return a.unlock(c.Context(), args[0]) },
	}
}

func (a *app) unlock(ctx context.Context, run string) error {
	if !journal.ValidID(run) {
		return fmt.Errorf("%s is not the whole id of a run; the message about the lock says it", run)
	}
	store, err := a.state()
	if err != nil {
		return err
	}
	freed, err := a.locks(store).Unlock(ctx, run, a.me().Host)
	if err != nil {
		return err
	}
	if len(freed) == 0 {
		return fmt.Errorf("run %s has no lock on this host", run)
	}
	said := map[string]bool{}
	for _, h := range freed {
		if said[h.Lock] {
			continue
		}
		said[h.Lock] = true
		a.say("the lock %s is free; run %s of %s by %s@%s had it since %s", h.Lock, h.Run, h.Playbook, h.User, h.Host, h.Since.Format(time.RFC3339))
	}
	if sum, err := store.Summary(run); err == nil && !sum.State.Final() {
		a.say("the run is %s, and takes its locks again when it is resumed", sum.State)
	}
	return nil
}

// lockEvery is how often a lock that another run has is looked at.
const lockEvery = 200 * time.Millisecond

// takeLocks takes the locks of a run. For one that another run has it waits as long as patience lasts, and
// says for whom.
func (a *app) takeLocks(ctx context.Context, s *journal.Store, names []string, h journal.Holder, patience time.Duration) error {
	deadline := time.After(patience)
	shown := ""
	for {
		err := a.locks(s).Take(ctx, names, h)
		var locked *journal.LockedError
		if !errors.As(err, &locked) || patience == 0 {
			return err
		}
		if shown != locked.Run {
			shown = locked.Run
			a.say("waiting for the lock %s: %s", locked.Lock, locked)
		}
		select {
		case <-deadline:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lockEvery):
		}
	}
}
