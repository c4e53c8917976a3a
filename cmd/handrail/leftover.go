package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/journal"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/all"
)

// A process that is killed BEFORE its run has begun, or AFTER the run's end is durable, leaves locks in a target that no
// other host may take. The message about them says: resume it, or cancel it. Neither has anything to go on with, and so
// both free what is left.

// freeLeft frees what a run that is over has left in a target, and adds to err what kept it from that.
func (a *app) freeLeft(ctx context.Context, typed string, err error) error {
	store, unknown := a.state()
	if unknown != nil {
		return err
	}
	id, unknown := store.Resolve(typed)
	if unknown != nil || !isOver(store, id) {
		return err
	}
	freed, left := a.freeLeftOf(ctx, store, id)
	for _, h := range freed {
		a.say("the lock %s, which run %s had left behind, is free", h.Lock, id)
	}
	if left != nil {
		left = fmt.Errorf("whether run %s has left locks behind could not be told: %w", id, left)
	}
	return errors.Join(err, left)
}

// isOver: nobody will go on with a run. A failed one can go on.
func isOver(store *journal.Store, id string) bool {
	sum, err := store.Summary(id)
	if !errors.Is(err, journal.ErrNotBegun) && (err != nil || !sum.State.Final() || sum.State == engine.RunFailed) {
		return false
	}
	alive, err := store.Alive(id) // a process may be about to begin it
	return err == nil && !alive
}

func (a *app) freeLeftOf(ctx context.Context, store *journal.Store, id string) ([]steps.HeldLock, error) {
	l, err := a.loadLeft(store, id)
	if err != nil || l.locksIn() == "" {
		return nil, err
	}
	r, err := a.reach(ctx, l, false)
	if err != nil {
		return nil, err
	}
	x := steps.NewExecutor(all.Kinds(), r.targets, steps.Full)
	defer func() { _ = x.Close() }() // nothing is written through it any more
	holder := journal.HolderOf(id, l.pb.Name, store.Path(), a.me(), a.now().UTC())
	open, err := x.Locks(ctx, r.locks, ownerOf(holder))
	if err != nil {
		return nil, err
	}
	all, err := open.Look(ctx, l.pb.EveryLock())
	var left []steps.HeldLock
	var names []string
	for _, h := range all {
		if h.Run == id && h.Host == holder.Host && h.State == holder.State {
			left, names = append(left, h), append(names, h.Lock)
		}
	}
	if err != nil || len(left) == 0 {
		return nil, err
	}
	if err := open.Take(ctx, names, nil); err != nil { // what seems to live is known to be dead
		return nil, err
	}
	return left, open.Release(ctx)
}

// loadLeft loads what a run was started with, also if it never began.
func (a *app) loadLeft(store *journal.Store, id string) (*loaded, error) {
	var t told
	r, err := store.Read(id)
	if err == nil {
		t, err = listenTo(id, r.Replay, nil)
		err = errors.Join(err, r.Close())
	}
	if err != nil && !errors.Is(err, journal.ErrNotBegun) {
		return nil, err
	}
	l, _, err := a.loadPinned(store, id, t)
	return l, err
}
