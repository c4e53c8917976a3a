package sql_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// stock makes the table that most tests change.
func (g ground) stock(t testing.TB) {
	g.must(t, "CREATE TABLE stock (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, note VARCHAR(100))", "INSERT INTO stock VALUES (1, 10, 'a'), (2, 20, NULL)")
}

func (g ground) n(t testing.TB, id int) string {
	return g.one(t, fmt.Sprintf("SELECT n FROM stock WHERE id = %d", id))
}

func TestExpectIsAskedBeforeTheCommit(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.stock(t)
		s := g.step(t, "exec", exec("UPDATE stock SET n = 0")).expect(steptest.Equals("affected", int64(1)))
		o := s.do()
		failed(t, o, engine.EffectNone, "affected == 1 does not hold", "affected is 2", "rolled back")
		if g.n(t, 1) != "10" {
			t.Error("the update was kept")
		}
		if settled := s.settle(); settled.Verdict != engine.VerdictNotDone {
			t.Errorf("settled as %s: %v", settled.Verdict, settled.Evidence)
		}
		ok(t, g.step(t, "exec", exec("UPDATE stock SET n = 10 WHERE id = 1")).expect(steptest.Equals("affected", int64(1))).do())
	})
}

func TestEntriesAreCommittedTogetherOrNotAtAll(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.stock(t)
		two := steptest.Condition(steptest.Equals("affected", int64(2)))
		bad := transaction(exec("UPDATE stock SET n = 11 WHERE id = 1"), engine.Record{"exec": "UPDATE stock SET n = 21 WHERE id = 2", "expect": two})
		failed(t, g.step(t, "transaction", bad).do(), engine.EffectNone, "transaction[1].expect", "affected is 1")
		if g.n(t, 1) != "10" {
			t.Error("the first entry was kept")
		}
		good := transaction(
			engine.Record{"query": "SELECT n FROM stock WHERE id = :id", "as": "old"},
			engine.Record{"exec": "UPDATE stock SET n = n + :by WHERE id = :id"},
			engine.Record{"exec": "INSERT INTO stock (id, n, note) VALUES (:new, :was, 'copy')", "args": engine.Record{"was": cell("old", "n"), "new": int64(3)}, "as": "copy"},
		)
		good["args"] = engine.Record{"id": int64(1), "by": int64(5)}
		r := ok(t, g.step(t, "transaction", good).do())
		if r["affected"] != int64(2) || r["copy"].(engine.Record)["affected"] != int64(1) || first(t, r["old"].(engine.Record))["n"] != int64(10) {
			t.Errorf("result %v", r)
		}
		if g.n(t, 1) != "15" || g.n(t, 3) != "10" {
			t.Errorf("n is %s and %s", g.n(t, 1), g.n(t, 3))
		}
	})
}

func TestTheConditionOnTheWholeSeesTheEntries(t *testing.T) {
	g := mysqlGround(t)
	g.stock(t)
	s := g.step(t, "transaction", transaction(exec("UPDATE stock SET n = 0 WHERE id = 1"), exec("UPDATE stock SET n = 0 WHERE id = 2")))
	failed(t, s.expect(steptest.Equals("affected", int64(3))).do(), engine.EffectNone, "affected is 2")
	if g.n(t, 1) != "10" {
		t.Error("it was kept")
	}
}

func TestRowsThatAreAsWantedCountAsAffected(t *testing.T) {
	g := mysqlGround(t)
	g.stock(t)
	if r := ok(t, g.step(t, "exec", exec("UPDATE stock SET n = 10 WHERE id = 1")).do()); r["affected"] != int64(1) {
		t.Errorf("affected %v", r["affected"])
	}
}

func TestReturningBringsRowsInATransaction(t *testing.T) {
	g := mysqlGround(t)
	g.stock(t)
	r := ok(t, g.step(t, "transaction", transaction(engine.Record{"query": "DELETE FROM stock WHERE id = 2 RETURNING n", "as": "gone"})).do())
	if first(t, r["gone"].(engine.Record))["n"] != int64(20) || g.one(t, "SELECT COUNT(*) FROM stock") != "1" {
		t.Errorf("result %v", r)
	}
}

func TestADeadlockLeavesNoEffectAndMayBeTriedAgain(t *testing.T) {
	g := mysqlGround(t)
	g.stock(t)
	for range 10 { // so that the step, which has changed less, is the one to give way
		g.must(t, "INSERT INTO stock SELECT MAX(id) + 1, 0, 'x' FROM stock")
	}
	other, err := g.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Rollback() }()
	for _, text := range []string{"UPDATE stock SET n = n + 1 WHERE id > 2", "UPDATE stock SET n = n + 1 WHERE id = 2"} {
		if _, err := other.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	s := g.step(t, "transaction", transaction(exec("UPDATE stock SET n = n + 1 WHERE id = 1"), exec("UPDATE stock SET n = n + 1 WHERE id = 2"))).prepare()
	done := make(chan engine.Outcome)
	go func() { done <- s.execute(t.Context()) }()
	g.await(t, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND INFO LIKE 'UPDATE stock%id = 2'")
	if _, err := other.Exec("UPDATE stock SET n = n + 1 WHERE id = 1"); err != nil {
		t.Fatalf("the other was chosen: %v", err)
	}
	o := <-done
	failed(t, o, engine.EffectNone, "deadlock", "1213")
	if !o.Transient {
		t.Error("it is not said to be transient")
	}
	if err := other.Commit(); err != nil {
		t.Fatal(err)
	}
	ok(t, s.again(g, false).execute(t.Context()))
	if g.n(t, 1) != "12" {
		t.Errorf("n is %s", g.n(t, 1))
	}
}

// await asks until the answer is not 0.
func (g ground) await(t testing.TB, question string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if g.one(t, question) != "0" {
			return
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("the test ended")
		}
	}
}

func TestALockWaitTimeoutLeavesNoEffect(t *testing.T) {
	settings := servers.PrivateMySQL(t, "--innodb-lock-wait-timeout=1").Settings()
	g := ground{target: targetOf(settings), db: servers.Open(t, settings)}
	g.stock(t)
	other, err := g.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Rollback() }()
	if _, err := other.Exec("UPDATE stock SET n = 0 WHERE id = 2"); err != nil {
		t.Fatal(err)
	}
	o := g.step(t, "transaction", transaction(exec("UPDATE stock SET n = 0 WHERE id = 1"), exec("UPDATE stock SET n = 0 WHERE id = 2"))).do()
	failed(t, o, engine.EffectNone, "transaction[1]", "lock", "1205")
	if !o.Transient || g.n(t, 1) != "10" {
		t.Errorf("transient %v, n %s", o.Transient, g.n(t, 1))
	}
}

func TestDDLHiddenInAProcedureIsFoundOut(t *testing.T) {
	g := mysqlGround(t)
	g.stock(t)
	g.must(t, "CREATE PROCEDURE hides() BEGIN UPDATE stock SET n = 99 WHERE id = 2; CREATE TABLE made (a INT); END",
		"CREATE PROCEDURE honest() UPDATE stock SET n = 77 WHERE id = 2")
	ok(t, g.step(t, "transaction", transaction(exec("UPDATE stock SET n = 11 WHERE id = 1"), exec("CALL honest()"))).do())
	if g.n(t, 2) != "77" {
		t.Fatal("the honest procedure did nothing")
	}
	s := g.step(t, "transaction", transaction(exec("UPDATE stock SET n = n + 1 WHERE id = 1"), exec("CALL hides()"), exec("UPDATE stock SET n = 13 WHERE id = 1")))
	o := s.do()
	if !o.InDoubt || o.Effect != engine.EffectUnknown {
		t.Fatalf("in doubt %v, effect %s: %s", o.InDoubt, o.Effect, o.Err)
	}
	contains(t, o.Err, "CALL", "committed by itself")
	contains(t, strings.Join(o.Evidence, "\n"), "savepoint", "statements 1 to 2 of 3")
	if g.n(t, 1) != "12" {
		t.Errorf("n is %s; the third statement must not have been sent", g.n(t, 1))
	}
	settled := s.settle()
	if settled.Verdict != engine.VerdictUnknown {
		t.Errorf("settled as %s", settled.Verdict)
	}
	contains(t, strings.Join(settled.Evidence, "\n"), "begun, not done")
	if o := s.again(g, true).execute(t.Context()); !o.InDoubt || g.n(t, 1) != "12" {
		t.Errorf("AFTER a crash it was carried out once more: n is %s, %+v", g.n(t, 1), o)
	}
	// A person has said that it is not done: it is tried anew, and fails in the procedure.
	g.must(t, "DROP PROCEDURE hides", "CREATE PROCEDURE hides() UPDATE stock SET n = 98 WHERE id = 2")
	ok(t, s.again(g, false).execute(t.Context()))
	if g.n(t, 1) != "13" || g.n(t, 2) != "98" {
		t.Errorf("n is %s and %s", g.n(t, 1), g.n(t, 2))
	}
}

func TestAProcedureThatFailsAfterACommitIsInDoubt(t *testing.T) {
	g := mysqlGround(t)
	g.stock(t)
	g.must(t, "CREATE PROCEDURE breaks(IN commits INT) BEGIN UPDATE stock SET n = 99 WHERE id = 2; IF commits THEN COMMIT; END IF; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'broken'; END")
	o := g.step(t, "exec", exec("CALL breaks(:c)", "c", int64(0))).do()
	failed(t, o, engine.EffectNone, "broken")
	if g.n(t, 2) != "20" {
		t.Fatalf("n is %s", g.n(t, 2))
	}
	if o = g.step(t, "exec", exec("CALL breaks(:c)", "c", int64(1))).do(); !o.InDoubt {
		t.Errorf("effect %s: %s", o.Effect, o.Err)
	}
}

func TestTablesWithoutTransactionsAreFoundBefore(t *testing.T) {
	g := mysqlGround(t)
	g.stock(t)
	g.must(t, "CREATE TABLE old (id INT PRIMARY KEY, n INT) ENGINE=MyISAM", "INSERT INTO old VALUES (1, 1)")
	s := g.step(t, "exec", exec("UPDATE old SET n = 2")).expect(steptest.Equals("affected", int64(5))).prepare()
	if s.prep.Class != engine.ClassUnrepeatable {
		t.Fatalf("class %s", s.prep.Class)
	}
	contains(t, s.prep.Why, "old", "MyISAM", "no transactions")
	failed(t, s.execute(t.Context()), engine.EffectUnknown, "affected == 5 does not hold")
	if g.one(t, "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'handrail_markers'") != "0" {
		t.Error("a table of markers was made for nothing")
	}
	if p := g.step(t, "exec", exec("UPDATE stock SET n = 5 WHERE id = 1")).prepare().prep; p.Class != engine.ClassUnset {
		t.Errorf("the class of a good table falls: %s", p.Why)
	}
	g.must(t, "CREATE TRIGGER spills AFTER UPDATE ON stock FOR EACH ROW UPDATE old SET n = n + 1")
	if p := g.step(t, "exec", exec("UPDATE stock SET n = 6 WHERE id = 1")).prepare().prep; p.Class != engine.ClassUnrepeatable || !strings.Contains(p.Why, "spills") {
		t.Errorf("trigger: class %s, %s", p.Class, p.Why)
	}
	if p := g.step(t, "exec", exec("DELETE FROM stock WHERE id = 1")).prepare().prep; p.Class != engine.ClassUnset {
		t.Errorf("a trigger of another event counts: %s", p.Why)
	}
	g.must(t, "CREATE VIEW seen AS SELECT * FROM old")
	if p := g.step(t, "exec", exec("UPDATE seen SET n = 6")).prepare().prep; p.Class != engine.ClassUnrepeatable || !strings.Contains(p.Why, "view") {
		t.Errorf("view: class %s, %s", p.Class, p.Why)
	}
	g.must(t, "CREATE PROCEDURE p() UPDATE old SET n = 3")
	if p := g.step(t, "exec", exec("CALL p()")).prepare().prep; p.Class != engine.ClassUnrepeatable || !strings.Contains(p.Why, "CALL") {
		t.Errorf("procedure: class %s, %s", p.Class, p.Why)
	}
}

func TestAUserWithoutTheRightToCreateHasNoMarkers(t *testing.T) {
	g := userGround(t, servers.MySQL(t), "SELECT, INSERT, UPDATE, DELETE ON %s.*")
	g.stock(t)
	s := g.step(t, "exec", exec("UPDATE stock SET n = 0")).expect(steptest.Equals("affected", int64(1))).prepare()
	if s.prep.Class != engine.ClassUnrepeatable {
		t.Fatalf("class %s", s.prep.Class)
	}
	contains(t, s.prep.Why, "no markers", "create", "1142")
	if strings.Contains(s.prep.Why, password) {
		t.Error("the password stands in it")
	}
	failed(t, s.execute(t.Context()), engine.EffectNone, "rolled back")
	if g.n(t, 1) != "10" {
		t.Error("what was expected was not asked BEFORE the commit")
	}
	if notes := s.rec.Notes(); len(notes) != 1 {
		t.Errorf("%d notes; what leaves no marker must be recorded BEFORE it is sent", len(notes))
	}
	g.must(t, "CREATE TABLE handrail_markers (token VARBINARY(255) PRIMARY KEY, epoch BIGINT NOT NULL, state VARCHAR(8) NOT NULL, result LONGTEXT, at DATETIME(6) NOT NULL)")
	if p := g.step(t, "exec", exec("UPDATE stock SET n = 5 WHERE id = 1")).prepare().prep; p.Class != engine.ClassUnset {
		t.Errorf("with the table made by somebody else the class still falls: %s", p.Why)
	}
	reader := userGround(t, servers.MySQL(t), "SELECT ON %s.*")
	reader.stock(t)
	failed(t, reader.step(t, "exec", exec("UPDATE stock SET n = 0 WHERE id = 1")).do(), engine.EffectNone, "the user may not do this", "GRANT")
}

func TestATransactionIsNotCarriedOutWithoutItsMarker(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.stock(t)
		failed(t, g.step(t, "exec", exec("UPDATE stock SET n = 0")).execute(t.Context()), engine.EffectNone, "was not prepared")
		failed(t, g.step(t, "script", script("UPDATE stock SET n = 0")).execute(t.Context()), engine.EffectNone, "was not prepared")
		if g.n(t, 1) != "10" {
			t.Error("it was carried out")
		}
		s := g.step(t, "exec", exec("UPDATE stock SET n = n + 1 WHERE id = 1"))
		s.env.Call.Class = engine.ClassIdempotent // as an author may say
		ok(t, s.do())
		ok(t, s.again(g, true).execute(t.Context()))
		if n := g.n(t, 1); n != "12" {
			t.Errorf("n is %s; what is idempotent by its author's word is done again", n)
		}
		for _, name := range g.everyTable(t) {
			if name == "handrail_markers" {
				t.Error("a table of markers was made for nothing")
			}
		}
	})
}

func TestAnOlderEngineChangesNothing(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.stock(t)
		old := g.step(t, "exec", exec("UPDATE stock SET n = n + 1 WHERE id = 1")).prepare()
		// The run was taken over, and the new engine found that nothing had been done.
		if settled := old.again(g, true).settle(); settled.Verdict != engine.VerdictNotDone {
			t.Fatalf("settled as %s: %v", settled.Verdict, settled.Evidence)
		}
		failed(t, old.execute(t.Context()), engine.EffectNone, "taken over")
		if g.n(t, 1) != "10" {
			t.Error("the older engine wrote")
		}
		ok(t, old.again(g, true).execute(t.Context()))
		failed(t, old.execute(t.Context()), engine.EffectNone, "taken over")
		if g.n(t, 1) != "11" {
			t.Errorf("n is %s", g.n(t, 1))
		}
	})
}

// TestAMarkerOfANewerTurnIsNotWrittenOver: the row becomes a newer engine's between the first statement and the
// last. The step itself makes it so, since nobody else can while the transaction holds the row.
func TestAMarkerOfANewerTurnIsNotWrittenOver(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.stock(t)
		s := g.step(t, "transaction", engine.Record{"transaction": engine.List{
			exec("UPDATE stock SET n = n + 1 WHERE id = 1"), exec("UPDATE handrail_markers SET epoch = epoch + 5"),
		}})
		failed(t, s.do(), engine.EffectNone, "taken over by another engine")
		if g.n(t, 1) != "10" {
			t.Errorf("n is %s", g.n(t, 1))
		}
	})
}

func TestAResultThatIsSensitiveIsNotStored(t *testing.T) {
	g := mysqlGround(t)
	g.stock(t)
	s := g.step(t, "transaction", transaction(engine.Record{"query": "SELECT note FROM stock WHERE id = 1 FOR UPDATE", "as": "secret"}, exec("UPDATE stock SET n = 1 WHERE id = 1")))
	s.env.Call.Sensitive = true
	ok(t, s.do())
	if got := g.one(t, "SELECT result FROM handrail_markers WHERE state = 'done'"); got != "" {
		t.Errorf("the marker holds %s", got)
	}
	if settled := s.settle(); settled.Verdict != engine.VerdictDone || settled.Result != nil {
		t.Errorf("settled as %s with %v", settled.Verdict, settled.Result)
	}
}

func TestRemembersFinishedEffectsOnly(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.stock(t)
		done := g.step(t, "exec", exec("UPDATE stock SET n = 1 WHERE id = 1"))
		ok(t, done.do())
		fenced := g.step(t, "exec", exec("UPDATE stock SET n = 1 WHERE id = 1"))
		fenced.settle()
		long := g.step(t, "exec", exec("UPDATE stock SET n = 2 WHERE id = 1"))
		long.env.Call.Token += strings.Repeat("/ก", 300)
		ok(t, long.do())
		conn, err := done.env.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		tokens := []string{done.env.Call.Token, fenced.env.Call.Token, long.env.Call.Token, "never", done.env.Call.Token + " ", strings.ToUpper(done.env.Call.Token)}
		calls := make([]engine.Call, len(tokens))
		for i, token := range tokens {
			calls[i].Token = token
		}
		there, err := newKind().Remembers(t.Context(), conn, calls)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []bool{true, false, true, false, false, false} {
			if there[tokens[i]] != want {
				t.Errorf("%q: %v", tokens[i], there[tokens[i]])
			}
		}
		g.must(t, "DROP TABLE handrail_markers")
		if there, err = newKind().Remembers(t.Context(), conn, calls); err != nil || there[tokens[0]] {
			t.Errorf("AFTER a restore: %v, %v", there, err)
		}
		g.must(t, "CREATE TABLE handrail_markers (token VARCHAR(20) PRIMARY KEY)")
		if there, err = newKind().Remembers(t.Context(), conn, calls); err != nil || there[tokens[0]] {
			t.Errorf("with a table of that name that is none of markers: %v, %v", there, err)
		}
	})
}
