package sql_test

import (
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
)

func script(text string, args ...any) engine.Record { return with("script", text, args...) }

func TestAScriptWithARoutine(t *testing.T) {
	g := mysqlGround(t)
	g.stock(t)
	s := g.step(t, "script", script(`
DELIMITER //
CREATE PROCEDURE raise(IN by_n INT)
BEGIN
  DECLARE x INT DEFAULT by_n; -- a ; here
  UPDATE stock SET n = n + x WHERE id = 1;
END//
DELIMITER ;
SET @by = :by;
CALL raise(@by);
UPDATE stock SET note = 'done; really' WHERE id = 2;
`, "by", int64(5)))
	if s.env.Call.Class != engine.ClassUnrepeatable {
		t.Errorf("class %s", s.env.Call.Class)
	}
	r := ok(t, s.do())
	if r["statements"] != int64(4) || g.n(t, 1) != "15" || g.one(t, "SELECT note FROM stock WHERE id = 2") != "done; really" {
		t.Errorf("result %v, n %s", r, g.n(t, 1))
	}
	contains(t, s.rec.Output(), "statement 4 of 4, UPDATE stock: 1 rows")
}

func TestAScriptThatFailedGoesOnWhereItStopped(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.stock(t)
		bad := "CREATE TABLE made (a INT); UPDATE stock SET n = n + 1 WHERE id = 1; UPDATE stock SET m = 1; UPDATE stock SET n = n + 1 WHERE id = 2"
		s := g.step(t, "script", script(bad))
		o := s.do()
		failed(t, o, engine.EffectStands, "statement 3 of 4", "no such column")
		contains(t, strings.Join(o.Evidence, "\n"), "2 of 4 statements")
		if g.n(t, 1) != "11" || g.n(t, 2) != "20" {
			t.Errorf("n is %s and %s", g.n(t, 1), g.n(t, 2))
		}
		// The author corrects the statement that failed, and resumes.
		next := s.again(g, false)
		next.op, _ = newKind().Decode("script", script(strings.Replace(bad, "m = 1", "note = 'x'", 1)))
		if r := ok(t, next.execute(t.Context())); r["affected"] == int64(0) {
			t.Errorf("result %v", r)
		}
		if g.n(t, 1) != "11" || g.n(t, 2) != "21" {
			t.Errorf("AFTER the correction n is %s and %s", g.n(t, 1), g.n(t, 2))
		}
		again := ok(t, next.again(g, false).execute(t.Context()))
		if g.n(t, 2) != "21" || again["statements"] != int64(4) {
			t.Errorf("a finished script did something: %v", again)
		}
	})
}

func TestAStatementThatWasDoneIsNotChangedUnseen(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.stock(t)
		for _, head := range []string{"UPDATE stock SET n = n + 1 WHERE id = 1", "CREATE TABLE made (a INT)"} {
			s := g.step(t, "script", script(head+"; SELECT nothing"))
			failed(t, s.do(), engine.EffectStands)
			next := s.again(g, false)
			next.op, _ = newKind().Decode("script", script(head+" ; SELECT 1"))
			ok(t, next.execute(t.Context()))
			s = g.step(t, "script", script("UPDATE stock SET n = n + 1 WHERE id = 2; SELECT nothing"))
			failed(t, s.do(), engine.EffectStands)
			next = s.again(g, false)
			next.op, _ = newKind().Decode("script", script("UPDATE stock SET n = n + 100 WHERE id = 2; SELECT 1"))
			failed(t, next.execute(t.Context()), engine.EffectStands, "statement 1 of 2", "with another text before")
			g.must(t, "DROP TABLE IF EXISTS made")
		}
	})
}

func TestAScriptThatWasCutOffIsSettledByItsMarkers(t *testing.T) {
	direct := mysqlGround(t)
	direct.stock(t)
	g, r := direct.through(t)
	text := "UPDATE stock SET n = n + 1 WHERE id = 1; UPDATE stock SET n = n + 1 WHERE id = 2"
	s := g.step(t, "script", script(text)).prepare()
	if s.env.Call.Class != engine.ClassTransactional {
		t.Fatalf("class %s", s.env.Call.Class)
	}
	r.cutAt("id = 2", true, false)
	failed(t, s.execute(t.Context()), engine.EffectStands, "statement 2 of 2", "lost")
	later := s.again(g, true)
	settled := later.settle()
	if settled.Verdict != engine.VerdictNotDone || !settled.Dead {
		t.Fatalf("settled as %s: %v", settled.Verdict, settled.Evidence)
	}
	contains(t, strings.Join(settled.Evidence, "\n"), "1 statements with an effect are done")
	if res := ok(t, later.execute(t.Context())); res["affected"] != int64(2) {
		t.Errorf("result %v", res)
	}
	if direct.n(t, 1) != "11" || direct.n(t, 2) != "21" {
		t.Errorf("n is %s and %s", direct.n(t, 1), direct.n(t, 2))
	}
	if settled = later.settle(); settled.Verdict != engine.VerdictDone || settled.Result["affected"] != int64(2) {
		t.Errorf("settled as %s with %v", settled.Verdict, settled.Result)
	}
}

func TestDDLOfAScriptThatWasCutOffIsInDoubt(t *testing.T) {
	direct := mysqlGround(t)
	direct.stock(t)
	g, r := direct.through(t)
	s := g.step(t, "script", script("UPDATE stock SET n = n + 1 WHERE id = 1; ALTER TABLE stock ADD COLUMN more INT; UPDATE stock SET more = 1")).prepare()
	r.cutAt("ADD COLUMN", true, false)
	if o := s.execute(t.Context()); !o.InDoubt {
		t.Fatalf("effect %s: %s", o.Effect, o.Err)
	}
	if n := len(s.rec.Notes()); n != 1 {
		t.Errorf("%d notes; what leaves no proof is recorded BEFORE it is sent, and nothing else is", n)
	}
	settled := s.settle()
	if settled.Verdict != engine.VerdictUnknown || !settled.Dead {
		t.Errorf("settled as %s, dead %v: %v", settled.Verdict, settled.Dead, settled.Evidence)
	}
	contains(t, strings.Join(settled.Evidence, "\n"), "statement 2 of 3, ALTER TABLE stock", "was sent")
	if o := s.again(g, true).execute(t.Context()); !o.InDoubt {
		t.Errorf("it was sent again: %s", o.Err)
	}
	// A person has looked, taken the column away, and says that it is not done.
	direct.must(t, "ALTER TABLE stock DROP COLUMN more")
	ok(t, s.again(g, false).execute(t.Context()))
	if direct.n(t, 1) != "11" {
		t.Errorf("the first statement was repeated: n is %s", direct.n(t, 1))
	}
}
