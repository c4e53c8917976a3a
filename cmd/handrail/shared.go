package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/journal"
	"github.com/handrail-dev/handrail/engine/playbook"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/all"
)

// Locks between hosts: those that the environment has kept in one of its targets. They are taken AFTER those of this
// host, and freed BEFORE them.

// locksIn is the target that keeps the locks of the playbook as well; empty: none does, or there are no locks.
func (l *loaded) locksIn() string {
	if l.env == nil || len(l.pb.EveryLock()) == 0 {
		return ""
	}
	return l.env.Locks
}

// lockTarget begins the name of a target that keeps the locks, where the playbook calls another one so.
const lockTarget = "locks in "

// reachLocks resolves the target that keeps the locks, which the playbook itself need not have.
func (a *app) reachLocks(r *reach, l *loaded, in, base string) error {
	r.locks = in
	for _, use := range l.pb.Targets {
		switch {
		case use.Name != in:
		case use.Settings == nil:
			return nil // it is reached already
		default:
			r.locks = lockTarget + in // the playbook calls something else so
		}
	}
	typ, settings, err := playbook.ResolveTarget(engine.TargetUse{Name: in}, l.env, r.secrets)
	if err != nil {
		return fmt.Errorf("the target that keeps the locks: %w", err)
	}
	r.addTarget(r.locks, typ, settings, a.targetType(typ), base)
	return nil
}

// sharedLocks are those that one run has in a target.
type sharedLocks struct {
	steps.Locks
	in  string // the target
	env string
}

// openTargets makes what targets are reached through. None is opened yet.
func (s *session) openTargets(r *reach, id string) {
	s.executor = steps.NewExecutor(all.Kinds(), r.targets, steps.Full)
	s.executor.Run, s.executor.Dir, s.executor.Scratch = id, s.origin.Dir, s.store.Folder(id, "scratch")
}

func (s *session) closeTargets() {
	if s.executor == nil {
		return
	}
	if err := s.executor.Close(); err != nil {
		s.app.say("warning: close the targets: %s", err)
	}
	s.executor, s.shared = nil, nil
}

func ownerOf(h journal.Holder) steps.LockOwner {
	return steps.LockOwner{Run: h.Run, Playbook: h.Playbook, User: h.User, Host: h.Host, PID: h.PID, State: h.State, Since: h.Since}
}

func holderOf(h steps.HeldLock) journal.Holder {
	return journal.Holder{Lock: h.Lock, Run: h.Run, Playbook: h.Playbook, User: h.User, Host: h.Host, PID: h.PID, State: h.State, Since: h.Since}
}

// sharedLockedError says that another run has a lock that is kept in a target.
type sharedLockedError struct {
	steps.HeldLock
	in, env string
}

func (e *sharedLockedError) Error() string {
	s := fmt.Sprintf("the lock %s, kept in target %s, belongs to run %s of %s (state folder %s on %s); process %d of %s@%s ",
		e.Lock, e.in, e.Run, e.Playbook, e.State, e.Host, e.PID, e.User, e.Host)
	if e.Alive != "" {
		return s + fmt.Sprintf("has it in hand since %s (%s): watch it on %s with: handrail show %s --follow, or end it there: handrail cancel %s",
			e.Since.Format(time.RFC3339), e.Alive, e.Host, e.Run, e.Run)
	}
	return s + fmt.Sprintf("had it in hand from %s, and nothing shows that somebody has now: go on with it on %s: handrail resume %s, or end it there: handrail cancel %s; "+
		"if %s is lost, see that nothing of the run is still at work, then type: handrail unlock %s --env %s",
		e.Since.Format(time.RFC3339), e.Host, e.Run, e.Run, e.Host, e.Run, e.env)
}

// lockEvery is how often a lock that another run has is looked at.
const lockEvery = 200 * time.Millisecond

// takeLocks takes the locks of the run, of this host and then those in a target. For one that another run has it waits
// as long as patience lasts, and says for whom.
func (s *session) takeLocks(ctx context.Context, r *reach, names []string, h journal.Holder, patience time.Duration) error {
	if r.locks != "" && len(names) > 0 {
		open, err := s.executor.Locks(ctx, r.locks, ownerOf(h))
		if err != nil {
			return fmt.Errorf("the locks in target %s: %w", s.loaded.env.Locks, err)
		}
		s.shared = &sharedLocks{open, s.loaded.env.Locks, s.loaded.env.Name}
	}
	deadline := time.After(patience)
	shown := ""
	for {
		lock, run, err := s.tryLocks(ctx, names, h)
		if run == "" || patience == 0 {
			return err
		}
		if shown != run {
			shown = run
			s.app.say("waiting for the lock %s: %s", lock, err)
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

// tryLocks takes all of the locks, or says which run has which of them.
func (s *session) tryLocks(ctx context.Context, names []string, h journal.Holder) (lock, run string, err error) {
	if len(names) == 0 {
		return "", "", nil
	}
	s.app.points.at("before taking the locks of this host")
	err = s.app.locks(s.store).Take(ctx, names, h)
	var here *journal.LockedError
	if errors.As(err, &here) {
		return here.Lock, here.Run, err
	}
	s.app.points.at("after taking the locks of this host")
	if err != nil || s.shared == nil {
		return "", "", err
	}
	defer s.app.points.at("after taking the locks in the target")
	err = s.shared.Take(ctx, names, func(held steps.HeldLock) bool {
		return held.Host == h.Host && journal.RunStanding(holderOf(held)) == journal.StandingOver
	})
	var taken *steps.LockTakenError
	if errors.As(err, &taken) {
		return taken.Lock, taken.Run, &sharedLockedError{taken.HeldLock, s.shared.in, s.shared.env}
	}
	if err != nil {
		err = fmt.Errorf("the locks in target %s: %w", s.shared.in, err)
	}
	return "", "", err
}

// holds makes sure BEFORE an effect that the run still has what it took in a target.
func (s *session) holds(ctx context.Context) error {
	err := s.shared.Held(ctx)
	s.app.points.at("after asking for the locks in the target")
	if err == nil {
		return nil
	}
	return fmt.Errorf("target %s: %w; see that nothing of this run is needed any more, or go on: handrail resume %s", s.shared.in, err, s.run.ID())
}

// freeShared frees what the run has in a target, when it has come to its final state.
func (s *session) freeShared(ctx context.Context) {
	if s.shared == nil {
		return
	}
	s.app.points.at("before freeing the locks in the target")
	err := s.shared.Release(ctx)
	s.app.points.at("after freeing the locks in the target")
	if err != nil {
		s.app.say("warning: the locks of this run in target %s could not be freed: %s; free them with: handrail unlock %s --env %s",
			s.shared.in, err, s.run.ID(), s.shared.env)
	}
}

// freeHere frees what the run has on this host.
func (s *session) freeHere(ctx context.Context) {
	if len(s.loaded.pb.EveryLock()) > 0 {
		s.app.points.at("before freeing the locks of this host")
		defer s.app.points.at("after freeing the locks of this host")
	}
	if err := s.app.locks(s.store).Release(ctx, s.run.ID(), s.store.Path()); err != nil {
		s.app.say("warning: %s", err) // the next run sees that this one is over
	}
}

// unlockShared frees the locks of a run in the target of an environment.
func (a *app) unlockShared(ctx context.Context, run string, env *playbook.Environment) ([]journal.Holder, error) {
	l := &loaded{pb: &engine.Playbook{Locks: []string{"any"}}, env: env}
	r, err := a.reach(ctx, l, false)
	if err != nil {
		return nil, err
	}
	x := steps.NewExecutor(all.Kinds(), r.targets, steps.Full)
	defer func() { _ = x.Close() }() // nothing is written through it any more
	me := a.me()
	open, err := x.Locks(ctx, r.locks, steps.LockOwner{Run: run, Host: me.Host, User: me.User, PID: me.PID})
	if err != nil {
		return nil, fmt.Errorf("the locks in target %s: %w", env.Locks, err)
	}
	var letGo []func()
	defer func() {
		for _, f := range slices.Backward(letGo) {
			f()
		}
	}()
	var state []string
	freed, err := open.Unlock(ctx, run, func(h steps.HeldLock) error {
		if h.Host != me.Host || slices.Contains(state, h.State) {
			return nil
		}
		free, err := journal.HoldRun(holderOf(h))
		if err == nil {
			letGo, state = append(letGo, free), append(state, h.State)
		}
		return err
	})
	var out []journal.Holder
	for _, h := range freed {
		out = append(out, holderOf(h))
	}
	var taken *steps.LockTakenError
	if errors.As(err, &taken) {
		return out, &sharedLockedError{taken.HeldLock, env.Locks, env.Name}
	}
	return out, err
}
