package sql_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// sleeping counts the sessions of the database, this one left out, that are in a statement with these words.
func sleeping(words string) string {
	return "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active' AND query LIKE '%" + words + "%'"
}

func TestALostAnswerToCommitOfPostgresIsFoundOutByTheMarker(t *testing.T) {
	direct := postgresGround(t)
	direct.stock(t)
	g, r := direct.through(t)
	for _, text := range []string{"UPDATE stock SET n = n + 1 WHERE id = 1", "DO $$ BEGIN UPDATE stock SET n = n + 1 WHERE id = 1; END $$"} {
		for _, deliver := range []bool{false, true} {
			s := g.step(t, "exec", exec(text)).prepare()
			r.cutAt("COMMIT", deliver, false)
			o := s.execute(t.Context())
			if deliver {
				ok(t, o)
			} else {
				failed(t, o, engine.EffectNone, "commit", "connection was lost")
				if !o.Transient || !strings.Contains(strings.Join(o.Evidence, ""), "marker is absent") {
					t.Errorf("transient %v, %v", o.Transient, o.Evidence)
				}
			}
			ok(t, s.again(g, true).execute(t.Context()))
			if direct.n(t, 1) != "11" {
				t.Errorf("%s, delivered %v: AFTER another attempt n is %s", text, deliver, direct.n(t, 1))
			}
			direct.must(t, "UPDATE stock SET n = 10 WHERE id = 1")
		}
	}
	if r.cut != 4 {
		t.Errorf("%d lines were cut", r.cut)
	}
}

func TestACommitWhosePostgresCannotBeAskedIsInDoubt(t *testing.T) {
	direct := postgresGround(t)
	direct.stock(t)
	g, r := direct.through(t)
	s := g.step(t, "exec", exec("UPDATE stock SET n = n + 1 WHERE id = 1")).prepare().patience(300 * time.Millisecond)
	r.cutAt("COMMIT", true, true)
	o := s.execute(t.Context())
	if !o.InDoubt || o.Effect != engine.EffectUnknown {
		t.Fatalf("in doubt %v, effect %s: %s", o.InDoubt, o.Effect, o.Err)
	}
	contains(t, strings.Join(o.Evidence, "\n"), "could not be asked")
	r.letIn()
	settled := s.again(g, true).settle()
	if settled.Verdict != engine.VerdictDone || settled.Result["affected"] != int64(1) {
		t.Errorf("settled as %s with %v: %v", settled.Verdict, settled.Result, settled.Evidence)
	}
}

func TestAPostgresConnectionLostBeforeTheCommitLeavesNoEffect(t *testing.T) {
	direct := postgresGround(t)
	direct.stock(t)
	g, r := direct.through(t)
	for _, word := range []string{"BEGIN", `INSERT INTO "`, "SAVEPOINT", "UPDATE stock", "RELEASE SAVEPOINT", `UPDATE "`} {
		s := g.step(t, "exec", exec("UPDATE stock SET n = n + 1 WHERE id = 1")).prepare()
		r.cutAt(word, true, false)
		o := s.execute(t.Context())
		failed(t, o, engine.EffectNone, "lost")
		if !o.Transient || direct.n(t, 1) != "10" {
			t.Errorf("%s: transient %v, n %s", word, o.Transient, direct.n(t, 1))
		}
		ok(t, s.again(g, true).execute(t.Context()))
		if direct.n(t, 1) != "11" {
			t.Errorf("%s: AFTER another attempt n is %s", word, direct.n(t, 1))
		}
		direct.must(t, "UPDATE stock SET n = 10 WHERE id = 1")
	}
}

func TestAPostgresStatementThatRunsIntoItsTimeoutIsCancelled(t *testing.T) {
	g := postgresGround(t)
	g.stock(t)
	for _, text := range []string{"UPDATE stock SET n = n + 1 WHERE pg_sleep(60) IS NOT NULL", "DO $$ BEGIN PERFORM pg_sleep(60); END $$"} {
		s := g.step(t, "exec", exec(text)).prepare()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan engine.Outcome)
		go func() { done <- s.execute(ctx) }()
		g.await(t, sleeping("pg_sleep(60)"))
		cancel()
		failed(t, <-done, engine.EffectNone, "stopped by its timeout or by hand", "57014")
		if g.one(t, sleeping("pg_sleep(60)")) != "0" || g.n(t, 1) != "10" {
			t.Error("the statement is still running, or the update was applied")
		}
		if settled := s.settle(); settled.Verdict != engine.VerdictNotDone {
			t.Errorf("settled as %s: %v", settled.Verdict, settled.Evidence)
		}
	}
}

func TestALostStatementIsEndedAtPostgres(t *testing.T) {
	direct := postgresGround(t)
	direct.stock(t)
	g, r := direct.through(t)
	s := g.step(t, "exec", exec("UPDATE stock SET n = n + 1 WHERE pg_sleep(60) IS NOT NULL")).prepare()
	gone := make(chan engine.Outcome)
	go func() { gone <- s.execute(t.Context()) }()
	direct.await(t, sleeping("pg_sleep(60)"))
	r.cutAll()
	failed(t, <-gone, engine.EffectNone, "lost")
	direct.await(t, "SELECT (1 - ("+sleeping("pg_sleep(60)")+"))::text")
	if settled := s.again(g, true).settle(); settled.Verdict != engine.VerdictNotDone || direct.n(t, 1) != "10" {
		t.Errorf("settled as %s: %v; n %s", settled.Verdict, settled.Evidence, direct.n(t, 1))
	}
}

func TestAnOrphanAtPostgresIsEndedBeforeItIsJudged(t *testing.T) {
	g := postgresGround(t)
	g.stock(t)
	orphan := g.step(t, "exec", exec("UPDATE stock SET n = n + 1 WHERE pg_sleep(60) IS NOT NULL")).prepare()
	gone := make(chan engine.Outcome)
	go func() { gone <- orphan.execute(context.Background()) }()
	g.await(t, sleeping("pg_sleep(60)"))
	settled := orphan.again(g, true).patience(200 * time.Millisecond).settle()
	if settled.Verdict != engine.VerdictNotDone || !settled.Dead {
		t.Errorf("settled as %s, dead %v: %v", settled.Verdict, settled.Dead, settled.Evidence)
	}
	o := <-gone
	failed(t, o, engine.EffectNone, "the server ended it", "57P01")
	if g.n(t, 1) != "10" {
		t.Errorf("n is %s", g.n(t, 1))
	}
}

// TestWhatStillRunsAtPostgresIsNotDead: an index that is built on its own goes on when its client is gone.
func TestWhatStillRunsAtPostgresIsNotDead(t *testing.T) {
	direct := postgresGround(t)
	direct.stock(t)
	g, r := direct.through(t)
	other, err := direct.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Rollback() }()
	if _, err := other.Exec("UPDATE stock SET n = n WHERE id = 1"); err != nil { // the index waits for its end
		t.Fatal(err)
	}
	s := g.step(t, "exec", exec("CREATE INDEX CONCURRENTLY stock_n ON stock (n)")).prepare()
	gone := make(chan engine.Outcome)
	go func() { gone <- s.execute(t.Context()) }()
	direct.await(t, sleeping("CREATE INDEX CONCURRENTLY"))
	r.letNobodyIn() // else the driver would have the statement cancelled
	r.cutAll()
	if o := <-gone; !o.InDoubt {
		t.Fatalf("effect %s: %s", o.Effect, o.Err)
	}
	r.letIn()
	settled := s.again(g, true).patience(300 * time.Millisecond).settle()
	if settled.Dead || settled.Verdict != engine.VerdictUnknown {
		t.Errorf("settled as %s, dead %v", settled.Verdict, settled.Dead)
	}
	contains(t, strings.Join(settled.Evidence, "\n"), "still running", "CREATE INDEX CONCURRENTLY", "pg_terminate_backend(")
	if err := other.Rollback(); err != nil {
		t.Fatal(err)
	}
	if settled = s.again(g, true).settle(); !settled.Dead {
		t.Errorf("AFTER its end it is not dead: %v", settled.Evidence)
	}
}

func TestAPostgresThatIsKilled(t *testing.T) {
	server := servers.PrivatePostgres(t)
	settings := server.Settings()
	g := ground{target: steps.Target{Name: "db", Type: "postgres", Settings: settings}, db: servers.OpenPostgres(t, settings)}
	g.stock(t)
	s := g.step(t, "exec", exec("UPDATE stock SET n = n + 1 WHERE pg_sleep(60) IS NOT NULL")).prepare().patience(time.Second)
	gone := make(chan engine.Outcome)
	go func() { gone <- s.execute(t.Context()) }()
	g.await(t, sleeping("pg_sleep(60)"))
	server.Kill()
	failed(t, <-gone, engine.EffectNone, "connection was lost")
	o := g.step(t, "query", query("SELECT 1")).do()
	failed(t, o, engine.EffectNone, "cannot be reached", "check the address", "connection refused")
	if !o.Transient {
		t.Error("a refused connection is not said to be transient")
	}
	server.Restart()
	if settled := s.again(g, true).settle(); settled.Verdict != engine.VerdictNotDone {
		t.Errorf("settled as %s: %v", settled.Verdict, settled.Evidence)
	}
	ok(t, g.step(t, "query", query("SELECT 1")).do())
}

func TestADeadConnectionToPostgresIsReplaced(t *testing.T) {
	g := postgresGround(t)
	s := g.step(t, "query", query("SELECT pg_backend_pid() AS id"))
	id := first(t, ok(t, s.do()))["id"]
	g.must(t, "SELECT pg_terminate_backend("+engine.Text(id)+")")
	g.await(t, "SELECT 1 - COUNT(*) FROM pg_stat_activity WHERE pid = "+engine.Text(id))
	if again := first(t, ok(t, s.do()))["id"]; again == id {
		t.Error("the connection was not ended")
	}
}

// TestDeadlocksAndLocksOfPostgres: both leave nothing, and may be tried again.
func TestDeadlocksAndLocksOfPostgres(t *testing.T) {
	g := postgresGround(t)
	g.stock(t)
	other, err := g.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Rollback() }()
	if _, err := other.Exec("SET LOCAL ROLE NONE; SET LOCAL deadlock_timeout = '1h'; UPDATE stock SET n = n WHERE id = 2"); err != nil {
		t.Fatal(err)
	}
	limited := g.step(t, "transaction", transaction(exec("SET LOCAL lock_timeout = 100"), exec("UPDATE stock SET n = 0")))
	o := limited.do()
	failed(t, o, engine.EffectNone, "waited too long for a lock", "55P03")
	if !o.Transient {
		t.Error("a lock is not said to be transient")
	}
	s := g.step(t, "transaction", transaction(exec("UPDATE stock SET n = 0 WHERE id = 1"), exec("UPDATE stock SET n = 0 WHERE id = 2"))).prepare()
	gone := make(chan engine.Outcome)
	go func() { gone <- s.execute(t.Context()) }()
	g.await(t, sleeping("WHERE id = 2")+" AND wait_event_type = 'Lock'")
	crossed := make(chan error)
	go func() { _, err := other.Exec("UPDATE stock SET n = n WHERE id = 1"); crossed <- err }()
	o = <-gone
	failed(t, o, engine.EffectNone, "deadlock", "40P01")
	if !o.Transient {
		t.Error("a deadlock is not said to be transient")
	}
	if err := <-crossed; err != nil {
		t.Errorf("the other transaction: %v", err)
	}
}
