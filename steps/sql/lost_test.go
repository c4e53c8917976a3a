package sql_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

func TestALostAnswerToCommitIsFoundOutByTheMarker(t *testing.T) {
	direct := mysqlGround(t)
	direct.stock(t)
	g, r := direct.through(t)
	for _, c := range []struct {
		name    string
		deliver bool
		n       string
	}{{"the commit never arrived", false, "10"}, {"the commit arrived", true, "11"}} {
		t.Run(c.name, func(t *testing.T) {
			s := g.step(t, "exec", exec("UPDATE stock SET n = n + 1 WHERE id = 1")).prepare()
			r.cutAt("COMMIT", c.deliver, false)
			o := s.execute(t.Context())
			if r.cut == 0 {
				t.Fatal("nothing was cut")
			}
			if c.deliver {
				if got := ok(t, o); got["affected"] != int64(1) {
					t.Errorf("result %v", got)
				}
			} else {
				failed(t, o, engine.EffectNone, "commit", "connection was lost")
				if !o.Transient || !strings.Contains(strings.Join(o.Evidence, ""), "marker is absent") {
					t.Errorf("transient %v, %v", o.Transient, o.Evidence)
				}
			}
			if direct.n(t, 1) != c.n {
				t.Errorf("n is %s", direct.n(t, 1))
			}
			ok(t, s.again(g, true).execute(t.Context()))
			if direct.n(t, 1) != "11" {
				t.Errorf("AFTER another attempt n is %s", direct.n(t, 1))
			}
			direct.must(t, "UPDATE stock SET n = 10 WHERE id = 1")
		})
	}
}

// TestACommitBehindWhichTheServerChangesIsInDoubt: another database answers at the address, and that it has no marker proves nothing.
func TestACommitBehindWhichTheServerChangesIsInDoubt(t *testing.T) {
	direct := mysqlGround(t)
	direct.stock(t)
	g, r := direct.through(t)
	s := g.step(t, "exec", exec("UPDATE stock SET n = n + 1 WHERE id = 1")).prepare()
	r.cutAt("COMMIT", true, true)
	done := make(chan engine.Outcome, 1)
	go func() { done <- s.execute(t.Context()) }()
	direct.await(t, "SELECT COUNT(*) FROM stock WHERE id = 1 AND n = 11")
	direct.must(t, "DELETE FROM handrail_markers WHERE state = 'done'", "UPDATE handrail_markers SET result = 'another' WHERE state = 'self'")
	r.letIn()
	o := <-done
	if !o.InDoubt || o.Effect != engine.EffectUnknown {
		t.Fatalf("in doubt %v, effect %s: %s", o.InDoubt, o.Effect, o.Err)
	}
	contains(t, strings.Join(o.Evidence, "\n"), "another database")
}

func TestACommitWhoseServerCannotBeAskedIsInDoubt(t *testing.T) {
	direct := mysqlGround(t)
	direct.stock(t)
	g, r := direct.through(t)
	s := g.step(t, "exec", exec("UPDATE stock SET n = n + 1 WHERE id = 1")).prepare().patience(300 * time.Millisecond)
	r.cutAt("COMMIT", true, true)
	o := s.execute(t.Context())
	if !o.InDoubt || o.Effect != engine.EffectUnknown {
		t.Fatalf("in doubt %v, effect %s: %s", o.InDoubt, o.Effect, o.Err)
	}
	contains(t, strings.Join(o.Evidence, "\n"), "could not be asked")
	if settled := s.settle(); settled.Verdict != engine.VerdictUnknown || settled.Dead {
		t.Errorf("settled as %s, dead %v, though nobody could be asked", settled.Verdict, settled.Dead)
	}
	r.letIn()
	settled := s.again(g, true).settle()
	if settled.Verdict != engine.VerdictDone || settled.Result["affected"] != int64(1) {
		t.Errorf("settled as %s with %v: %v", settled.Verdict, settled.Result, settled.Evidence)
	}
}

func TestAConnectionLostBeforeTheCommitLeavesNoEffect(t *testing.T) {
	direct := mysqlGround(t)
	direct.stock(t)
	g, r := direct.through(t)
	for _, word := range []string{"START TRANSACTION", "INSERT INTO `", "SAVEPOINT", "UPDATE stock", "RELEASE SAVEPOINT", "UPDATE `"} {
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

func TestALostProcedureIsAskedAbout(t *testing.T) {
	direct := mysqlGround(t)
	direct.stock(t)
	direct.must(t, "CREATE PROCEDURE p(IN commits INT) BEGIN UPDATE stock SET n = n + 1 WHERE id = 1; IF commits THEN COMMIT; END IF; END")
	g, r := direct.through(t)
	for _, commits := range []int64{0, 1} {
		s := g.step(t, "exec", exec("CALL p(:commits)", "commits", commits)).prepare()
		r.cutAt("RELEASE SAVEPOINT", true, false)
		o := s.execute(t.Context())
		if o.InDoubt != (commits == 1) {
			t.Errorf("commits %d: in doubt %v, effect %s: %s %v", commits, o.InDoubt, o.Effect, o.Err, o.Evidence)
		}
	}
}

// TestALostStatementIsEndedAtTheServer, if the user may do that: code that runs with the rights of another
// user is not its own, and is waited for.
func TestALostStatementIsEndedAtTheServer(t *testing.T) {
	direct := mysqlGround(t)
	direct.stock(t)
	for name, security := range map[string]string{"own": "INVOKER", "another's": "DEFINER"} {
		t.Run(name, func(t *testing.T) {
			direct.must(t, "CREATE OR REPLACE PROCEDURE p() SQL SECURITY "+security+" BEGIN UPDATE stock SET n = n + 1 WHERE id = 1; DO SLEEP(3); END")
			g, r := direct.through(t)
			s := g.step(t, "exec", exec("CALL p()")).prepare().patience(500 * time.Millisecond)
			gone := make(chan engine.Outcome)
			go func() { gone <- s.execute(t.Context()) }()
			running := "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND INFO LIKE '%SLEEP(3)%' AND ID <> CONNECTION_ID()"
			direct.await(t, running)
			r.cutAll()
			o := <-gone
			if security == "INVOKER" {
				failed(t, o, engine.EffectNone, "lost")
				return
			}
			if !o.InDoubt {
				t.Errorf("effect %s: %s", o.Effect, o.Err)
			}
			contains(t, strings.Join(o.Evidence, "\n"), "still running on connection", "KILL")
			direct.await(t, "SELECT 1 - ("+running+")")
			if settled := s.again(g, true).settle(); settled.Verdict != engine.VerdictNotDone {
				t.Errorf("AFTER its end it is settled as %s: %v", settled.Verdict, settled.Evidence)
			}
		})
	}
	if direct.n(t, 1) != "10" {
		t.Errorf("n is %s", direct.n(t, 1))
	}
}

func TestDDLWhoseAnswerIsLostIsInDoubt(t *testing.T) {
	direct := mysqlGround(t)
	direct.stock(t)
	g, r := direct.through(t)
	s := g.step(t, "exec", exec("ALTER TABLE stock ADD COLUMN more INT")).prepare()
	if s.env.Call.Class != engine.ClassUnrepeatable {
		t.Fatalf("class %s", s.env.Call.Class)
	}
	r.cutAt("ALTER TABLE", true, false)
	o := s.execute(t.Context())
	if !o.InDoubt {
		t.Fatalf("effect %s: %s", o.Effect, o.Err)
	}
	settled := s.settle()
	if settled.Verdict != engine.VerdictUnknown || !settled.Dead {
		t.Errorf("settled as %s, dead %v: %v", settled.Verdict, settled.Dead, settled.Evidence)
	}
	contains(t, strings.Join(settled.Evidence, "\n"), "ALTER TABLE stock was sent on connection", "has ended")
}

func TestWhatIsStillRunningIsNotDead(t *testing.T) {
	direct := mysqlGround(t)
	direct.stock(t)
	g, r := direct.through(t)
	other, err := direct.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Rollback() }()
	if _, err := other.Exec("SELECT * FROM stock"); err != nil { // its metadata lock stops the ALTER
		t.Fatal(err)
	}
	s := g.step(t, "exec", exec("ALTER TABLE stock ADD COLUMN more INT")).prepare()
	gone := make(chan engine.Outcome)
	go func() { gone <- s.execute(t.Context()) }()
	direct.await(t, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND INFO LIKE 'ALTER%' AND STATE LIKE 'Waiting%'")
	r.cutAll()
	if o := <-gone; !o.InDoubt {
		t.Fatalf("effect %s: %s", o.Effect, o.Err)
	}
	later := s.again(g, true).patience(100 * time.Millisecond)
	settled := later.settle()
	if settled.Dead || settled.Verdict != engine.VerdictUnknown {
		t.Errorf("settled as %s, dead %v", settled.Verdict, settled.Dead)
	}
	contains(t, strings.Join(settled.Evidence, "\n"), "still running", "ALTER TABLE stock", "KILL")
	if err := other.Rollback(); err != nil {
		t.Fatal(err)
	}
	if settled = s.again(g, true).settle(); !settled.Dead {
		t.Errorf("AFTER its end it is not dead: %v", settled.Evidence)
	}
	if direct.one(t, "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND column_name = 'more'") == "1" {
		t.Log("it was carried out AFTER its client was gone, which is why it is asked")
	}
}

func TestAnOrphanOfATransactionIsEndedBeforeItIsJudged(t *testing.T) {
	g := mysqlGround(t)
	g.stock(t)
	orphan := g.step(t, "exec", exec("UPDATE stock SET n = n + 1 WHERE SLEEP(30) = 0")).prepare()
	gone := make(chan engine.Outcome)
	go func() { gone <- orphan.execute(context.Background()) }()
	g.await(t, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND INFO LIKE '%SLEEP(30) = 0'")
	later := orphan.again(g, true).patience(200 * time.Millisecond)
	settled := later.settle()
	if settled.Verdict != engine.VerdictNotDone || !settled.Dead {
		t.Errorf("settled as %s, dead %v: %v", settled.Verdict, settled.Dead, settled.Evidence)
	}
	if o := <-gone; o.Err == "" || g.n(t, 1) != "10" {
		t.Errorf("the orphan ended with %q, n is %s", o.Err, g.n(t, 1))
	}
}

func TestAServerThatIsKilled(t *testing.T) {
	server := servers.PrivateMySQL(t)
	settings := server.Settings()
	g := ground{target: targetOf(settings), db: servers.Open(t, settings)}
	g.stock(t)
	s := g.step(t, "exec", exec("UPDATE stock SET n = n + 1 WHERE SLEEP(30) = 0")).prepare().patience(time.Second)
	gone := make(chan engine.Outcome)
	go func() { gone <- s.execute(t.Context()) }()
	g.await(t, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE '%SLEEP(30) = 0' AND ID <> CONNECTION_ID()")
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
}

func TestADeadConnectionOfThePoolIsReplaced(t *testing.T) {
	g := mysqlGround(t)
	s := g.step(t, "query", query("SELECT CONNECTION_ID() AS id"))
	id := first(t, ok(t, s.do()))["id"]
	g.must(t, "KILL "+engine.Text(id))
	g.await(t, "SELECT 1 - COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = "+engine.Text(id))
	if again := first(t, ok(t, s.do()))["id"]; again == id {
		t.Error("the connection was not killed")
	}
}
