package main

import (
	"context"
	"errors"
	"slices"

	"github.com/handrail-dev/handrail/engine/journal"
	"github.com/handrail-dev/handrail/engine/preview"
	"github.com/handrail-dev/handrail/steps"
)

// lookAtLocks says of each lock of a playbook who has it, on this host and in a target. It takes none, and makes nothing.
func (a *app) lookAtLocks(ctx context.Context, l *loaded, r *reach, x *steps.Executor) []preview.Lock {
	var out []preview.Lock
	store, err := a.state()
	for _, name := range l.pb.EveryLock() {
		here := preview.Lock{Name: name, In: preview.ThisHost}
		if err == nil {
			err = a.locks(store).Look(name)
		}
		var locked *journal.LockedError
		switch {
		case errors.As(err, &locked):
			here.Run, here.Held = locked.Run, locked.Error()
		case err != nil:
			here.Why = err.Error()
		}
		err = nil
		out = append(out, here)
	}
	if r.locks != "" {
		out = append(out, a.lookAtShared(ctx, l, r.locks, x)...)
	}
	return out
}

func (a *app) lookAtShared(ctx context.Context, l *loaded, target string, x *steps.Executor) []preview.Lock {
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	names, in := l.pb.EveryLock(), "target "+l.env.Locks
	var held []steps.HeldLock
	open, err := x.Locks(ctx, target, steps.LockOwner{})
	if err == nil {
		held, err = open.Look(ctx, names)
	}
	var out []preview.Lock
	for _, name := range names {
		lock := preview.Lock{Name: name, In: in}
		if err != nil {
			lock.Why = a.masker.Text(err.Error())
		}
		if i := slices.IndexFunc(held, func(h steps.HeldLock) bool { return h.Lock == name }); i >= 0 {
			lock.Run = held[i].Run
			lock.Held = (&sharedLockedError{held[i], l.env.Locks, l.env.Name}).Error()
		}
		out = append(out, lock)
	}
	return out
}
