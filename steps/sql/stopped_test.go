package sql_test

import (
	"context"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

func TestAnUpdateThatRunsIntoItsTimeoutIsKilled(t *testing.T) {
	g := mysqlGround(t)
	g.stock(t)
	s := g.step(t, "exec", exec("UPDATE stock SET n = n + 1 WHERE SLEEP(30) = 0")).prepare()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan engine.Outcome)
	go func() { done <- s.execute(ctx) }()
	running := "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND INFO LIKE '%SLEEP(30) = 0'"
	g.await(t, running)
	cancel()
	failed(t, <-done, engine.EffectNone, "stopped by its timeout or by hand")
	if g.one(t, running) != "0" {
		t.Error("the statement is still running")
	}
	if g.n(t, 1) != "10" {
		t.Error("the update was applied")
	}
	if settled := s.settle(); settled.Verdict != engine.VerdictNotDone {
		t.Errorf("settled as %s: %v", settled.Verdict, settled.Evidence)
	}
	o := g.step(t, "query", query("SELECT n FROM stock WHERE id = 1")).do()
	ok(t, o)
}

func TestALongStatementOfSQLiteIsInterrupted(t *testing.T) {
	g := sqliteGround(t)
	g.stock(t)
	s := g.step(t, "exec", exec("UPDATE stock SET n = (WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 1000000000) SELECT COUNT(*) FROM c)")).prepare()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	failed(t, s.execute(ctx), engine.EffectNone, "stopped by its timeout or by hand")
	if g.n(t, 1) != "10" {
		t.Error("the update was applied")
	}
	ok(t, g.step(t, "exec", exec("UPDATE stock SET n = 11 WHERE id = 1")).do())
}

func TestALockedSQLiteFileMayBeTriedAgain(t *testing.T) {
	g := sqliteGround(t)
	g.stock(t)
	s := g.step(t, "exec", exec("UPDATE stock SET n = 0 WHERE id = 1")).prepare()
	other, err := g.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	o := s.execute(t.Context())
	failed(t, o, engine.EffectNone, "locked")
	if !o.Transient {
		t.Error("it is not said to be transient")
	}
	if _, err := other.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	ok(t, s.execute(t.Context()))
}
