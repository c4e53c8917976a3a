package sql_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// beside lets another step use this one's connection, as those of one run do.
func (s *step) beside(next *step) *step {
	next.env = steps.NewEnv(next.env.Call, next.env.Target, next.env.Access, next.rec,
		func(ctx context.Context, _ steps.Target) (io.Closer, error) { return s.env.Conn(ctx) }, nil)
	return next
}

// TestAFailoverBetweenTwoSteps: the next step goes to the new writer, on the same connection.
func TestAFailoverBetweenTwoSteps(t *testing.T) {
	eachFollowed(t, func(t *testing.T, g followed) {
		s := g.step(t, "exec", exec(more))
		ok(t, s.do())
		servers.Arrives(t, g.follower, "SELECT COUNT(*) FROM handrail_markers WHERE state = 'done'")
		g.one.Kill()
		next := s.beside(g.step(t, "exec", exec(more)))
		_, err := next.op.(steps.Preparer).Prepare(t.Context(), next.env)
		if err == nil {
			t.Fatal("it is prepared while there is no writer")
		}
		contains(t, err.Error(), "none of its servers takes writes", g.first+" cannot be reached")
		g.two.Promote()
		ok(t, next.do())
		if got := stockOn(t, g.follower); got != "12" {
			t.Errorf("n is %s", got)
		}
	})
}

// TestWhatAFailoverHasLostIsNotBuiltUpon: the new writer does not have what the last step committed.
func TestWhatAFailoverHasLostIsNotBuiltUpon(t *testing.T) {
	eachFollowed(t, func(t *testing.T, g followed) {
		s := g.step(t, "exec", exec(more))
		ok(t, s.do())
		servers.Arrives(t, g.follower, "SELECT COUNT(*) FROM handrail_markers WHERE state = 'done'")
		g.two.CutOff()
		lost := s.beside(g.step(t, "exec", exec(more)))
		ok(t, lost.do())
		g.one.Kill()
		g.two.Promote()
		next := s.beside(g.step(t, "exec", exec(more)))
		o := next.execute(t.Context())
		failed(t, o, engine.EffectNone, "takes the writes now in place of "+g.first, lost.env.Call.Token, "nothing was sent")
		if !o.Transient || stockOn(t, g.follower) != "11" {
			t.Errorf("transient %v, n %s", o.Transient, stockOn(t, g.follower))
		}
		settled := lost.again(g.ground, true).settle()
		if settled.Verdict != engine.VerdictUnknown || settled.Dead {
			t.Errorf("settled as %s, dead %v: %v", settled.Verdict, settled.Dead, settled.Evidence)
		}
		contains(t, strings.Join(settled.Evidence, ""), "failed over", g.first, g.second)
		wipes := s.beside(g.step(t, "exec", exec(more)))
		wipes.env.Call.Wiped = true
		ok(t, wipes.do())
	})
}

// TestAFailoverInTheMiddleOfACommit: the writer goes away with the answer, and the marker on the next one decides.
func TestAFailoverInTheMiddleOfACommit(t *testing.T) {
	eachFollowed(t, func(t *testing.T, direct followed) {
		g, r := direct.through(t)
		s := g.step(t, "exec", exec(more)).prepare()
		r.cutAt("COMMIT", true, true)
		done := make(chan engine.Outcome)
		go func() { done <- s.execute(t.Context()) }()
		servers.Arrives(t, g.follower, "SELECT COUNT(*) FROM stock WHERE id = 1 AND n = 11")
		g.two.Promote()
		ok(t, <-done)
		ok(t, s.again(g.ground, true).execute(t.Context()))
		if got := stockOn(t, g.follower); got != "11" {
			t.Errorf("n is %s", got)
		}
	})
}

// TestACommitThatTheNextWriterDoesNotHaveIsInDoubt: it is never done again unasked.
func TestACommitThatTheNextWriterDoesNotHaveIsInDoubt(t *testing.T) {
	eachFollowed(t, func(t *testing.T, direct followed) {
		g, r := direct.through(t)
		ok(t, g.step(t, "exec", exec(more)).do())
		servers.Arrives(t, g.follower, "SELECT COUNT(*) FROM handrail_markers WHERE state = 'done'")
		g.two.CutOff()
		s := g.step(t, "exec", exec(more)).prepare().patience(500 * time.Millisecond)
		r.cutAt("COMMIT", true, true)
		done := make(chan engine.Outcome)
		go func() { done <- s.execute(t.Context()) }()
		servers.Arrives(t, g.db, "SELECT COUNT(*) FROM stock WHERE id = 1 AND n = 12")
		g.two.Promote()
		o := <-done
		if !o.InDoubt || o.Effect != engine.EffectUnknown {
			t.Fatalf("in doubt %v, effect %s: %s", o.InDoubt, o.Effect, o.Err)
		}
		contains(t, strings.Join(o.Evidence, "\n"), "could not be asked")
		settled := s.again(g.ground, true).settle()
		if settled.Verdict != engine.VerdictUnknown || settled.Dead {
			t.Errorf("settled as %s, dead %v: %v", settled.Verdict, settled.Dead, settled.Evidence)
		}
		contains(t, strings.Join(settled.Evidence, "\n"), "failed over")
		if got := stockOn(t, g.follower); got != "11" {
			t.Errorf("n is %s on the new writer", got)
		}
	})
}

// TestAStatementWithoutAMarkerThatWentToTheWriterBefore cannot be judged on the one now.
func TestAStatementWithoutAMarkerThatWentToTheWriterBefore(t *testing.T) {
	eachFollowed(t, func(t *testing.T, direct followed) {
		g, r := direct.through(t)
		s := g.step(t, "exec", exec("ANALYZE TABLE stock"))
		word := "ANALYZE"
		if g.postgres() {
			s = g.step(t, "exec", exec("VACUUM stock"))
			word = "VACUUM"
		}
		s.prepare()
		r.cutAt(word, true, true)
		if o := s.execute(t.Context()); !o.InDoubt {
			t.Fatalf("not in doubt: %s", o.Err)
		}
		g.two.Promote()
		next := s.again(g.ground, true)
		notes := s.rec.Notes()
		next.env.Call.Note = notes[len(notes)-1]
		settled := next.settle()
		if settled.Verdict != engine.VerdictUnknown || settled.Dead {
			t.Errorf("settled as %s, dead %v: %v", settled.Verdict, settled.Dead, settled.Evidence)
		}
		contains(t, strings.Join(settled.Evidence, "\n"), g.second, "takes the writes now", r.address)
	})
}

// TestAMoveGoesOnBehindAFailover: each batch has come over with its marker, and what has not is moved again there.
func TestAMoveGoesOnBehindAFailover(t *testing.T) {
	eachFollowed(t, func(t *testing.T, direct followed) {
		for range 100 {
			direct.must(t, "INSERT INTO stock (id, n) SELECT COALESCE(MAX(id), 0) + 1, 5 FROM stock")
		}
		direct.must(t, "CREATE TABLE kept (id INT PRIMARY KEY, n INT, note VARCHAR(100))")
		servers.Arrives(t, direct.follower, "SELECT COUNT(*) + 1 FROM kept")
		g, r := direct.through(t)
		s := g.step(t, "move", engine.Record{"move": "stock", "to": "kept", "where": "n = 5", "batch": int64(10)}).prepare().patience(500 * time.Millisecond)
		batches := 0
		s.rec.OnProgress = func(p steptest.Progress) {
			if batches++; batches == 4 {
				r.cutAt("COMMIT", true, true)
			}
		}
		done := make(chan engine.Outcome)
		go func() { done <- s.execute(t.Context()) }()
		servers.Arrives(t, g.follower, "SELECT COUNT(*) FROM (SELECT COUNT(*) AS c FROM kept) k WHERE c >= 40")
		g.two.Promote()
		if o := <-done; o.Err == "" {
			t.Fatalf("it did not notice: %v", o.Result)
		}
		next := s.again(g.ground, true)
		if settled := next.settle(); settled.Verdict != engine.VerdictNotDone {
			t.Fatalf("settled as %s: %v", settled.Verdict, settled.Evidence)
		}
		if moved := ok(t, next.execute(t.Context()))["moved"]; moved != int64(100) {
			t.Errorf("%v rows are said to be moved", moved)
		}
		two := ground{db: g.follower}
		if two.one(t, "SELECT COUNT(*) FROM kept") != "100" || two.one(t, "SELECT COUNT(*) FROM stock WHERE n = 5") != "0" {
			t.Error("rows are lost or doubled")
		}
	})
}
