package sql_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// locked gives the step's connection the lock, for a run of a host.
func (s *step) locked(run, host string) steps.Locks {
	s.t.Helper()
	c, err := s.env.Conn(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	l, err := newKind().Locks(c, steps.LockOwner{Run: run, Playbook: "p", User: "u", Host: host, PID: 7, State: "/state", Since: time.Now().UTC()})
	if err != nil {
		s.t.Fatal(err)
	}
	return l
}

func eachLocking(t *testing.T, f func(t *testing.T, g ground)) {
	t.Run("mysql", func(t *testing.T) { f(t, mysqlGround(t)) })
	t.Run("postgres", func(t *testing.T) { f(t, postgresGround(t)) })
}

// TestATransactionWhoseLockIsAnothersCommitsNothing: the lock is lost AFTER it was last asked for, as with a process that
// falls asleep right there.
func TestATransactionWhoseLockIsAnothersCommitsNothing(t *testing.T) {
	eachLocking(t, func(t *testing.T, g ground) {
		g.stock(t)
		before := g.n(t, 1)
		s := g.step(t, "exec", engine.Record{"exec": "UPDATE stock SET n = n + 1 WHERE id = 1"})
		l := s.locked("r1", "alpha")
		if err := l.Take(t.Context(), []string{"b", "a", "b"}, nil); err != nil {
			t.Fatal(err)
		}
		if err := l.Held(t.Context()); err != nil {
			t.Fatal(err)
		}
		g.must(t, "UPDATE handrail_locks SET run = 'r2', fence = fence + 1 WHERE name = 'b'")
		failed(t, s.do(), engine.EffectNone, "the lock b is not this run's any more", "nothing was done")
		if n := g.n(t, 1); n != before {
			t.Errorf("n is %s, was %s", n, before)
		}
		var lost *steps.LockLostError
		if err := l.Held(t.Context()); !errors.As(err, &lost) || lost.Lock != "b" || lost.Now == nil || lost.Now.Run != "r2" {
			t.Errorf("%v", err)
		}
		// What is another's is not freed.
		if err := l.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := g.one(t, "SELECT run FROM handrail_locks WHERE name = 'b'"); got != "r2" {
			t.Errorf("the lock b belongs to %q", got)
		}
		if got := g.one(t, "SELECT run FROM handrail_locks WHERE name = 'a'"); got != "" {
			t.Errorf("the lock a belongs to %q", got)
		}
	})
}

// TestAllLocksAreTakenOrNone: of two locks one is another run's.
func TestAllLocksAreTakenOrNone(t *testing.T) {
	eachLocking(t, func(t *testing.T, g ground) {
		first := g.step(t, "query", engine.Record{"query": "SELECT 1"}).locked("r1", "alpha")
		if err := first.Take(t.Context(), []string{"b"}, nil); err != nil {
			t.Fatal(err)
		}
		second := g.step(t, "query", engine.Record{"query": "SELECT 1"}).locked("r2", "beta")
		var taken *steps.LockTakenError
		if err := second.Take(t.Context(), []string{"a", "b", "c"}, nil); !errors.As(err, &taken) || taken.Lock != "b" || taken.Run != "r1" ||
			taken.Host != "alpha" || taken.PID != 7 || taken.User != "u" || !strings.Contains(taken.Alive, "connection") {
			t.Fatalf("%+v", err)
		}
		if got := g.one(t, "SELECT COUNT(*) FROM handrail_locks WHERE run = 'r2'"); got != "0" {
			t.Errorf("%s locks were taken", got)
		}
		if _, err := second.Unlock(t.Context(), "r1", func(steps.HeldLock) error { return nil }); !errors.As(err, &taken) {
			t.Errorf("a run that is alive was unlocked: %v", err)
		}
		// One that is known to be over gives way.
		if err := second.Take(t.Context(), []string{"a", "b", "c"}, func(h steps.HeldLock) bool { return h.Run == "r1" }); err != nil {
			t.Fatal(err)
		}
		held, err := first.Look(t.Context(), []string{"a", "b", "d"})
		if err != nil || len(held) != 2 || held[0].Run != "r2" || held[1].Run != "r2" {
			t.Errorf("%+v %v", held, err)
		}
		if err := second.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if held, err = first.Look(t.Context(), []string{"a", "b", "c"}); err != nil || len(held) != 0 {
			t.Errorf("%+v %v", held, err)
		}
	})
}

// TestAFenceThatCameBackIsNotTakenForOnesOwn: a failover has lost the row as one process wrote it. Another of the same run, with a
// copy of its state folder, has it under the same fence.
func TestAFenceThatCameBackIsNotTakenForOnesOwn(t *testing.T) {
	eachLocking(t, func(t *testing.T, g ground) {
		g.stock(t)
		before := g.n(t, 1)
		s := g.step(t, "exec", engine.Record{"exec": "UPDATE stock SET n = n + 1 WHERE id = 1"})
		first := s.locked("r1", "alpha")
		if err := first.Take(t.Context(), []string{"a"}, nil); err != nil {
			t.Fatal(err)
		}
		fence := g.one(t, "SELECT fence FROM handrail_locks")
		g.must(t, "UPDATE handrail_locks SET run = 'r1', owner = 'null', fence = fence - 1")
		second := g.step(t, "query", engine.Record{"query": "SELECT 1"}).locked("r1", "beta")
		var taken *steps.LockTakenError
		if err := second.Take(t.Context(), []string{"a"}, nil); !errors.As(err, &taken) || taken.Alive == "" {
			t.Fatalf("beside a live process the lock is taken: %v", err)
		}
		// The new server knows of no session of the first.
		g.must(t, "UPDATE handrail_locks SET owner = '"+ownerText("beta")+"', fence = "+fence)
		failed(t, s.do(), engine.EffectNone, "the lock a is not this run's any more", "nothing was done")
		if n := g.n(t, 1); n != before {
			t.Errorf("n is %s, was %s", n, before)
		}
		var lost *steps.LockLostError
		if err := first.Held(t.Context()); !errors.As(err, &lost) || lost.Now == nil || lost.Now.Host != "beta" {
			t.Errorf("%v", err)
		}
		if err := first.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := g.one(t, "SELECT run FROM handrail_locks"); got != "r1" {
			t.Errorf("what is another process's was freed: the lock belongs to %q", got)
		}
	})
}

// ownerText is what a row says of a process on another host.
func ownerText(host string) string {
	return `{"Run":"r1","Host":"` + host + `","PID":8,"State":"/state"}`
}
