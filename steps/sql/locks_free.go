package sql

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/handrail-dev/handrail/steps"
)

func (b *lockbook) has() map[string]int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.held)
}

// fenced makes sure, inside of a transaction and until its end, that the runs that have locks in this database still
// have them.
func (c *Conn) fenced(ctx context.Context, s *session) error {
	for _, b := range c.lockbooks() {
		held := b.has()
		if len(held) == 0 {
			continue
		}
		if err := b.still(ctx, s, held, c.d.shared()); err != nil {
			return fmt.Errorf("%s: %w; nothing was done", c.where, err)
		}
	}
	return nil
}

// Release frees what was taken.
func (b *lockbook) Release(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.giveBack(ctx, b.held)
	if err == nil {
		clear(b.held)
		b.drop()
	}
	return err
}

func (b *lockbook) giveBack(ctx context.Context, held map[string]int64) error {
	if len(held) == 0 {
		return nil
	}
	s, err := b.c.pin(ctx)
	if err != nil {
		return err
	}
	defer s.release()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(held)) {
		_, err := s.exec(ctx, "free the lock "+name, b.c.d.own("UPDATE "+b.table+" SET run = ?, owner = ? WHERE name = ? AND run = ? AND fence = ? AND owner = ?"), "", "", name, b.owner.Run, held[name], b.said)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Unlock frees the locks of a run that no process has in hand: its session lock is had meanwhile.
func (b *lockbook) Unlock(ctx context.Context, run string, may func(steps.HeldLock) error) ([]steps.HeldLock, error) {
	found, err := b.rows(ctx, b.c, " WHERE run = ?", run)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	s, err := b.engine(ctx, run, false)
	var other inHand
	if errors.As(err, &other) {
		found[0].Alive = other.Error()
		return nil, &steps.LockTakenError{HeldLock: found[0]}
	}
	if err != nil {
		return nil, err
	}
	defer func() { s.unlock(ctx); s.release() }()
	var freed []steps.HeldLock
	for _, r := range found {
		if err := may(r); err != nil {
			return freed, err
		}
		_, err := s.exec(ctx, "free the lock "+r.Lock, b.c.d.own("UPDATE "+b.table+" SET run = ?, owner = ? WHERE name = ? AND run = ? AND fence = ?"), "", "", r.Lock, run, r.Fence)
		if err != nil {
			return freed, err
		}
		freed = append(freed, r)
	}
	return freed, nil
}
