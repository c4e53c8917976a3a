package redis_test

import (
	"errors"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/redis"
)

func (w *world) locks(run, host string) (steps.Locks, *steps.Env) {
	w.t.Helper()
	env := w.env(call("transaction", transaction(words("INCR", "n"))), steps.Full)
	c, err := env.Conn(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	l, err := redis.New().Locks(c, steps.LockOwner{Run: run, Playbook: "p", User: "u", Host: host, PID: 7, State: "/state", Since: time.Now().UTC()})
	if err != nil {
		w.t.Fatal(err)
	}
	return l, env
}

// TestAScriptWhoseLockIsAnothersChangesNothing: the lock is lost AFTER it was last asked for.
func TestAScriptWhoseLockIsAnothersChangesNothing(t *testing.T) {
	w := newWorld(t)
	l, env := w.locks("r1", "alpha")
	if err := l.Take(t.Context(), []string{"b", "a"}, nil); err != nil {
		t.Fatal(err)
	}
	op := w.decode(env.Call)
	succeeded(t, op.Execute(t.Context(), env))
	env.Call.Token = "run/another"
	w.do("HSET", "handrail:{handrail-lock}:b", "run", "r2")
	w.do("HINCRBY", "handrail:{handrail-lock}:b", "fence", 1)
	o := op.Execute(t.Context(), env)
	has(t, o.Err, "a lock of this run is not its own any more; nothing was changed")
	if o.InDoubt || w.do("GET", "n") != "1" || w.do("EXISTS", "handrail:{handrail}:run/another") != int64(0) {
		t.Errorf("in doubt %v, n is %v", o.InDoubt, w.do("GET", "n"))
	}
	var lost *steps.LockLostError
	if err := l.Held(t.Context()); !errors.As(err, &lost) || lost.Lock != "b" || lost.Now.Run != "r2" {
		t.Errorf("%v", err)
	}
	if err := l.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.do("HGET", "handrail:{handrail-lock}:b", "run") != "r2" || w.do("HGET", "handrail:{handrail-lock}:a", "run") != "" {
		t.Error("what is another's was freed, or what is not stayed")
	}
	if w.do("TTL", "handrail:{handrail-lock}:a") != int64(-1) {
		t.Error("a lock expires")
	}
}

// TestAllLocksAreTakenOrNone: of two locks one is another run's.
func TestAllLocksAreTakenOrNone(t *testing.T) {
	w := newWorld(t)
	first, _ := w.locks("r1", "alpha")
	if err := first.Take(t.Context(), []string{"b"}, nil); err != nil {
		t.Fatal(err)
	}
	second, _ := w.locks("r2", "beta")
	var taken *steps.LockTakenError
	if err := second.Take(t.Context(), []string{"a", "b", "c"}, nil); !errors.As(err, &taken) || taken.Lock != "b" || taken.Run != "r1" ||
		taken.Host != "alpha" || taken.PID != 7 || taken.User != "u" || taken.Alive == "" {
		t.Fatalf("%+v", err)
	}
	if w.do("HGET", "handrail:{handrail-lock}:a", "run") != nil {
		t.Error("a lock was taken")
	}
	if _, err := second.Unlock(t.Context(), "r1", func(steps.HeldLock) error { return nil }); !errors.As(err, &taken) {
		t.Errorf("a run that is alive was unlocked: %v", err)
	}
	if err := second.Take(t.Context(), []string{"a", "b", "c"}, func(h steps.HeldLock) bool { return h.Run == "r1" }); err != nil {
		t.Fatal(err)
	}
	held, err := first.Look(t.Context(), []string{"a", "b", "d"})
	if err != nil || len(held) != 2 || held[0].Run != "r2" || held[1].Fence != 2 {
		t.Errorf("%+v %v", held, err)
	}
	if err := second.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if held, err = first.Look(t.Context(), []string{"a", "b", "c"}); err != nil || len(held) != 0 {
		t.Errorf("%+v %v", held, err)
	}
}

// TestNoLocksWhereTheServerThrowsKeysAway: a lock that is evicted would be nobody's.
func TestNoLocksWhereTheServerThrowsKeysAway(t *testing.T) {
	w := newWorld(t, "--maxmemory-policy", "allkeys-lru")
	l, _ := w.locks("r1", "alpha")
	err := l.Take(t.Context(), []string{"a"}, nil)
	if err == nil {
		t.Fatal("it was taken")
	}
	has(t, err.Error(), "maxmemory-policy allkeys-lru")
}

// TestAFenceThatCameBackIsNotTakenForOnesOwn: a failover has lost the lock as one process took it. Another of the same run, with
// a copy of its state folder, has got the same fence.
func TestAFenceThatCameBackIsNotTakenForOnesOwn(t *testing.T) {
	w := newWorld(t)
	first, env := w.locks("r1", "alpha")
	if err := first.Take(t.Context(), []string{"a"}, nil); err != nil {
		t.Fatal(err)
	}
	w.do("DEL", "handrail:{handrail-lock}:a", "handrail:{handrail-lock}/r1")
	second, _ := w.locks("r1", "beta")
	if err := second.Take(t.Context(), []string{"a"}, nil); err != nil {
		t.Fatal(err)
	}
	if w.do("HGET", "handrail:{handrail-lock}:a", "fence") != "1" {
		t.Fatal("the fence is another one: the test shows nothing")
	}
	has(t, w.decode(env.Call).Execute(t.Context(), env).Err, "a lock of this run is not its own any more; nothing was changed")
	if w.do("EXISTS", "n") != int64(0) {
		t.Errorf("n is %v", w.do("GET", "n"))
	}
	var lost *steps.LockLostError
	if err := first.Held(t.Context()); !errors.As(err, &lost) || lost.Now.Host != "beta" {
		t.Errorf("%v", err)
	}
	if err := first.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := second.Held(t.Context()); err != nil {
		t.Errorf("what is another process's was freed: %v", err)
	}
}
