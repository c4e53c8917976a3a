package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/handrail-dev/handrail/engine/journal"
)

func (a *app) unlockCommand() *cobra.Command {
	env := ""
	c := &cobra.Command{
		Use: "unlock RUN", Short: "Free the locks of a run that is lost", Args: cobra.ExactArgs(1),
		Long: "Frees the locks of a run whose files are lost or damaged. RUN is the whole id, as the message about the lock says it.\n" +
			"A run that is there is better resumed or cancelled: that frees its locks, too. While a process has the run in hand nothing is freed.\n" +
			"Locks that an environment keeps in a target are freed there as well, from any host.",
		RunE: func(c *cobra.Command, args []string) error { return a.unlock(c.Context(), args[0], env) },
	}
	c.Flags().StringVar(&env, "env", "", "the environment whose target keeps the locks: its name, or its file")
	_ = c.RegisterFlagCompletionFunc("env", a.completeEnvironments)
	return c
}

func (a *app) unlock(ctx context.Context, run, environment string) error {
	if !journal.ValidID(run) {
		return fmt.Errorf("%s is not the whole id of a run; the message about the lock says it", run)
	}
	store, err := a.state()
	if err != nil {
		return err
	}
	env, _, err := a.loadEnvironment(environment)
	if err != nil {
		return err
	}
	where := "on this host"
	var shared []journal.Holder
	if env != nil && env.Locks != "" {
		where += " and none in target " + env.Locks
		if shared, err = a.unlockShared(ctx, run, env); err != nil {
			return err
		}
	}
	freed, err := a.locks(store).Unlock(ctx, run, a.me().Host)
	if err != nil {
		return err
	}
	freed = append(shared, freed...)
	if len(freed) == 0 {
		return fmt.Errorf("run %s has no lock %s", run, where)
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
