package sql_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// What others do on the server while rows are moved.

// TestMoveLeavesRowsThatAreChangedMeanwhile: another transaction has the rows when they are to be copied, and
// one of them does not match any more when it lets go of them.
func TestMoveLeavesRowsThatAreChangedMeanwhile(t *testing.T) {
	g := mysqlGround(t)
	g.audit(t, 100)
	other, err := g.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Rollback() }()
	for _, text := range []string{"UPDATE audit SET what = 'kept' WHERE id = 31", "UPDATE audit SET note = 'changed' WHERE id = 32", "DELETE FROM audit WHERE id = 33"} {
		if _, err := other.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	s := g.step(t, "move", moved()).prepare()
	held := g.heldUp(t, s, 4)
	done := make(chan engine.Outcome, 1)
	go func() { done <- s.execute(t.Context()) }()
	held()
	if err := other.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := engine.Text(ok(t, <-done)["moved"]); got != "78" {
		t.Errorf("%s rows were moved", got)
	}
	if got := g.split(t, 99); got != "21 78" {
		t.Errorf("the tables have %s", got)
	}
	if got := g.one(t, "SELECT CONCAT(what, ' ', (SELECT note FROM archive WHERE id = 32)) FROM audit WHERE id = 31"); got != "kept changed" {
		t.Errorf("the changed rows are %q", got)
	}
}

func TestMoveEndsAlthoughRowsAreAddedAllTheTime(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.audit(t, 100)
		next := 1000
		s := g.step(t, "move", moved()).prepare()
		s.beforeBatch(func() {
			next++
			g.must(t, "INSERT INTO audit VALUES ("+engine.Text(int64(next))+", 'old', 'added', 0)")
		})
		r := ok(t, s.execute(t.Context()))
		if r["moved"] != int64(80) || r["left"] != int64(next-1000) {
			t.Errorf("result %s AFTER %d rows were added", engine.Text(r), next-1000)
		}
	})
}

func TestMoveThatMeetsALockTriesItsBatchAgain(t *testing.T) {
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
	done := make(chan engine.Outcome, 1)
	go func() { done <- s.execute(t.Context()) }()
	until(t, func() bool { return strings.Contains(s.rec.Output(), "waited too long for a lock") })
	// It holds no locks while it waits for its turn.
	g.wantSplit(t, 79, 21)
	if err := other.Rollback(); err != nil {
		t.Fatal(err)
	}
	ok(t, <-done)
	g.wantSplit(t, 20, 80)
}

func until(t testing.TB, is func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); !is(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("this did not come about")
		}
	}
}

// TestMoveLocksNothingButItsRows: the neighbours of the rows in a batch stay free, in both tables.
func TestMoveLocksNothingButItsRows(t *testing.T) {
	g := mysqlGround(t)
	g.audit(t, 100)
	other, err := g.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Rollback() }()
	// It holds the batch up at row 8, AFTER rows 6 and 7 are locked.
	if _, err := other.Exec("SELECT * FROM audit WHERE id = 8 FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	s := g.step(t, "move", moved()).prepare()
	held := g.heldUp(t, s, 1)
	done := make(chan engine.Outcome, 1)
	go func() { done <- s.execute(t.Context()) }()
	held()
	g.must(t, "SET SESSION innodb_lock_wait_timeout = 1", "UPDATE audit SET note = 'free' WHERE id IN (5, 10, 99)", "INSERT INTO audit VALUES (500, 'old', 'free', 0)", "INSERT INTO archive VALUES (501, 'other', 'free', 0)")
	if err := other.Rollback(); err != nil {
		t.Fatal(err)
	}
	ok(t, <-done)
}

func TestMoveRestsWhileTheServerIsBusy(t *testing.T) {
	g := ground{target: targetOf(servers.PrivateMySQL(t).Settings())}
	g.db = servers.Open(t, g.target.Settings)
	g.audit(t, 100)
	busy, cancel := context.WithCancel(t.Context())
	defer cancel()
	gone := make(chan struct{})
	for range 4 {
		go func() {
			_, _ = g.db.ExecContext(busy, "SELECT SLEEP(60)")
			gone <- struct{}{}
		}()
	}
	g.await(t, "SELECT COUNT(*) = 4 FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP(60)'")
	s := g.step(t, "move", moved("max_threads_running", int64(3))).prepare()
	done := make(chan engine.Outcome, 1)
	go func() { done <- s.execute(t.Context()) }()
	until(t, func() bool {
		return strings.Contains(s.rec.Output(), "statements are running on the server, and max_threads_running is 3")
	})
	ids := g.one(t, "SELECT GROUP_CONCAT(ID) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP(60)'")
	for id := range strings.SplitSeq(ids, ",") {
		g.must(t, "KILL "+id)
		<-gone
	}
	ok(t, <-done)
	g.wantSplit(t, 20, 80)
}

func TestMoveRestsWhileAProbeSaysNo(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.audit(t, 100)
		lag := steptest.Question(engine.Probe{Kind: "sql", Op: "query"}, query("SELECT 1"))
		params := moved("go_while", engine.List{lag})
		answers := []engine.Answer{{Asked: engine.No, Message: "the replica is 9 s behind"}, {Asked: engine.CouldNotAsk, Message: "nobody answers"}, {Asked: engine.Yes}}
		asked := 0
		s := g.step(t, "move", params)
		s.env = steptest.EnvAsking(t, newKind(), s.env.Call, g.target, steps.Full, s.rec, func(context.Context, engine.Question) engine.Answer {
			asked++
			return answers[min(asked, len(answers))-1]
		})
		ok(t, s.prepare().execute(t.Context()))
		contains(t, s.rec.Output(), "rests AFTER 7 rows: go_while", "no: the replica is 9 s behind", "could not ask: nobody answers")
		if asked < 3 {
			t.Errorf("asked %d times", asked)
		}
		g.wantSplit(t, 20, 80)

		// A timeout that ends while it rests leaves whole batches.
		g.must(t, "DELETE FROM audit", "DELETE FROM archive")
		g.fill(t, 100)
		ctx, cancel := context.WithCancel(t.Context())
		s = g.step(t, "move", params)
		s.env = steptest.EnvAsking(t, newKind(), s.env.Call, g.target, steps.Full, s.rec, func(context.Context, engine.Question) engine.Answer {
			cancel()
			return answers[0]
		})
		failed(t, s.prepare().execute(ctx), engine.EffectStands, "stopped while it rested", "9 s behind", "7 rows were moved by 1 batches")
		g.wantSplit(t, 93, 7)
	})
}

func TestMoveUnderStatementLoggingSaysWhatToSet(t *testing.T) {
	g := ground{target: targetOf(servers.PrivateMySQL(t, "--log-bin", "--server-id=1", "--binlog-format=STATEMENT").Settings())}
	g.db = servers.Open(t, g.target.Settings)
	g.audit(t, 10)
	s := g.step(t, "move", moved())
	failed(t, s.prepare().execute(t.Context()), engine.EffectNone, "binlog_format to MIXED or ROW")
	g.wantSplit(t, 10, 0)
}
