package sql_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest"
)

// beforeBatch calls f BEFORE each batch of a move.
func (s *step) beforeBatch(f func()) { s.rec.OnProgress = func(steptest.Progress) { f() } }

// heldUp waits until the n-th batch of a move waits for somebody's lock.
func (g ground) heldUp(t testing.TB, s *step, n int) func() {
	began := make(chan struct{})
	s.beforeBatch(func() {
		if n--; n == 0 {
			close(began)
		}
	})
	return func() {
		t.Helper()
		select {
		case <-began:
		case <-time.After(time.Minute):
			t.Fatal("the batch does not begin")
		}
		g.await(t, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND INFO LIKE 'INSERT INTO%archive%FOR UPDATE'")
	}
}

// TestMoveThatIsCutAtEachOfItsStatements: the line is cut in the third batch, BEFORE a statement reaches the
// server and AFTER it; the tables themselves are asked at once, and AFTER the next attempt.
func TestMoveThatIsCutAtEachOfItsStatements(t *testing.T) {
	direct := mysqlGround(t)
	direct.audit(t, 0)
	g, r := direct.through(t)
	for _, word := range []string{"START TRANSACTION", "UPDATE `", "INSERT INTO `", "DELETE handrail_from", "COMMIT", "SELECT `id` FROM"} {
		for _, deliver := range []bool{false, true} {
			name := word + map[bool]string{false: " is lost", true: " arrives, its answer is lost"}[deliver]
			t.Run(name, func(t *testing.T) {
				direct.must(t, "DELETE FROM audit", "DELETE FROM archive")
				direct.fill(t, 100)
				s := g.step(t, "move", moved()).prepare()
				s.rec.Drain = make(chan struct{})
				third := 0
				s.beforeBatch(func() {
					if third++; third == 3 {
						r.cutAt(word, deliver, false)
					}
				})
				cut := r.cutSoFar()
				o := s.execute(t.Context())
				if r.cutSoFar() == cut {
					t.Fatal("nothing was cut")
				}
				failed(t, o, engine.EffectStands, "lost", "resume goes on behind them")
				if o.InDoubt || !o.Transient {
					t.Errorf("in doubt %v, transient %v: %s", o.InDoubt, o.Transient, o.Err)
				}
				want := 14
				if word == "COMMIT" && deliver {
					want = 21
				}
				direct.wantSplit(t, 100-want, want)
				next := s.again(g, false)
				if settled := next.settle(); settled.Verdict != engine.VerdictNotDone {
					t.Errorf("settled as %s: %v", settled.Verdict, settled.Evidence)
				}
				next.env.Again = false
				if got := engine.Text(ok(t, next.execute(t.Context()))); !strings.Contains(got, "left: 0, moved: 80") {
					t.Errorf("result %s", got)
				}
				direct.wantSplit(t, 20, 80)
			})
		}
	}
}

func TestMoveWhoseServerCannotBeAskedAboutItsCommitIsInDoubt(t *testing.T) {
	direct := mysqlGround(t)
	direct.audit(t, 100)
	g, r := direct.through(t)
	s := g.step(t, "move", moved()).prepare().patience(300 * time.Millisecond)
	s.beforeBatch(func() { r.cutAt("COMMIT", true, true) })
	o := s.execute(t.Context())
	if !o.InDoubt || o.Effect != engine.EffectUnknown {
		t.Fatalf("in doubt %v, effect %s: %s", o.InDoubt, o.Effect, o.Err)
	}
	r.letIn()
	next := s.again(g, true)
	settled := next.settle()
	if settled.Verdict != engine.VerdictNotDone {
		t.Fatalf("settled as %s: %v", settled.Verdict, settled.Evidence)
	}
	contains(t, strings.Join(settled.Evidence, " "), "7 rows were moved by 1 batches")
	ok(t, next.execute(t.Context()))
	direct.wantSplit(t, 20, 80)
}

// part moves some batches and stops, as an engine that ends orderly does.
func (g ground) part(t testing.TB, s *step, batches int) engine.Outcome {
	t.Helper()
	s.rec.Drain = make(chan struct{})
	n := 0
	s.beforeBatch(func() {
		if n++; n == batches+1 {
			close(s.rec.Drain)
		}
	})
	return s.execute(t.Context())
}

func TestMoveStopsBetweenTwoBatchesAndGoesOnThere(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.audit(t, 100)
		s := g.step(t, "move", moved()).prepare()
		o := g.part(t, s, 3)
		if !o.Stopped || o.InDoubt {
			t.Fatalf("stopped %v, in doubt %v: %s", o.Stopped, o.InDoubt, o.Err)
		}
		contains(t, o.Err, "21 rows were moved by 3 batches")
		g.wantSplit(t, 79, 21)
		next := s.again(g, true)
		settled := next.settle()
		if settled.Verdict != engine.VerdictNotDone || !settled.Dead {
			t.Fatalf("settled as %s: %v", settled.Verdict, settled.Evidence)
		}
		if got := engine.Text(ok(t, next.execute(t.Context()))); got != "{batches: 12, left: 0, moved: 80}" {
			t.Errorf("result %s", got)
		}
		g.wantSplit(t, 20, 80)
		if settled := s.again(g, true).settle(); settled.Verdict != engine.VerdictDone || engine.Text(settled.Result) != "{batches: 12, left: 0, moved: 80}" {
			t.Errorf("settled as %s with %v", settled.Verdict, settled.Result)
		}
		// Once more under its token: nothing new of it is moved.
		g.must(t, "INSERT INTO audit VALUES (3, 'old', 'new again', 1)")
		ok(t, s.again(g, false).execute(t.Context()))
		if n := g.one(t, "SELECT COUNT(*) FROM audit WHERE id = 3"); n != "1" {
			t.Error("a move that was done was done again")
		}
	})
}

// TestMoveOfAnEngineThatWasTakenOverChangesNothing: it wakes up between two batches, AFTER another has gone on.
func TestMoveOfAnEngineThatWasTakenOverChangesNothing(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.audit(t, 100)
		stale := g.step(t, "move", moved()).prepare()
		asleep, wake := make(chan struct{}), make(chan struct{})
		n := 0
		stale.beforeBatch(func() {
			if n++; n == 3 {
				close(asleep)
				<-wake
			}
		})
		gone := make(chan engine.Outcome)
		go func() { gone <- stale.execute(context.WithoutCancel(t.Context())) }()
		<-asleep
		next := stale.again(g, true).patience(300 * time.Millisecond)
		if settled := next.settle(); settled.Verdict != engine.VerdictNotDone {
			t.Fatalf("settled as %s: %v", settled.Verdict, settled.Evidence)
		}
		g.part(t, next, 2)
		g.wantSplit(t, 72, 28)
		close(wake)
		o := <-gone
		if o.Err == "" {
			t.Fatal("the stale engine went on")
		}
		if !g.mysql() && !g.postgres() { // there its connection has been ended
			contains(t, o.Err, "taken over by another engine", "this batch was not moved")
		}
		g.wantSplit(t, 72, 28)
		ok(t, next.again(g, false).execute(t.Context()))
		g.wantSplit(t, 20, 80)
	})
}

func TestMoveThatTheDatabaseHasForgottenIsInDoubt(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.audit(t, 100)
		s := g.step(t, "move", moved()).prepare()
		g.part(t, s, 3)
		s.env.Call.Note = engine.Record{"moved": int64(21), "batches": int64(3)}
		older := strings.Replace(g.one(t, "SELECT result FROM handrail_markers WHERE state = 'part'"), `"batches":{"int":3}`, `"batches":{"int":2}`, 1)
		for _, forget := range []string{"UPDATE handrail_markers SET result = '" + strings.Replace(older, `"batches":3`, `"batches":2`, 1) + "' WHERE state = 'part'", "DELETE FROM handrail_markers WHERE state = 'part'"} {
			g.must(t, forget)
			settled := s.again(g, true).settle()
			if settled.Verdict != engine.VerdictUnknown {
				t.Errorf("settled as %s: %v", settled.Verdict, settled.Evidence)
			}
			contains(t, strings.Join(settled.Evidence, " "), "put back to an older state")
		}
	})
}

// TestMoveThatIsKilledInTheMiddleOfABatch: its timeout ends while it waits for somebody's lock.
func TestMoveThatIsKilledInTheMiddleOfABatch(t *testing.T) {
	g := mysqlGround(t)
	g.audit(t, 100)
	other, err := g.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Rollback() }()
	if _, err := other.Exec("SELECT * FROM audit WHERE id = 31 FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	s := g.step(t, "move", moved()).prepare()
	ctx, cancel := context.WithCancel(t.Context())
	held := g.heldUp(t, s, 4)
	gone := make(chan engine.Outcome, 1)
	go func() { gone <- s.execute(ctx) }()
	held()
	cancel()
	failed(t, <-gone, engine.EffectStands, "stopped by its timeout or by hand", "21 rows were moved by 3 batches")
	g.wantSplit(t, 79, 21)
	if err := other.Rollback(); err != nil {
		t.Fatal(err)
	}
	ok(t, s.again(g, false).execute(t.Context()))
	g.wantSplit(t, 20, 80)
}
