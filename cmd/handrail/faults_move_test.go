package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

const movePlaybook = `targets: {db: %s}
steps:
  - {id: move, sql: {move: audit, to: archive, where: "id > :from", args: {from: 0}, batch: 10, pause: 2ms}, expect: left == 0}
`

const moveRows = 3000

// moveGround is two tables in a database, the first of them full.
type moveGround struct {
	*ground
	db    *sql.DB
	kind  string  // of the target
	brief *sql.DB // the same, but waits only a moment for somebody's lock
}

func moveGrounds(t *testing.T, f func(t *testing.T, g *moveGround)) {
	t.Run("mysql", func(t *testing.T) {
		settings := servers.MySQL(t)
		g := &moveGround{ground: newGround(t), db: servers.Open(t, settings)}
		g.brief = g.db
		g.target("db", "mysql", settings)
		g.begin("mysql")
		f(t, g)
	})
	t.Run("sqlite", func(t *testing.T) {
		g := &moveGround{ground: newGround(t)}
		file := filepath.Join(g.dir, "shop.db")
		g.db = openSQLite(t, file)
		var err error
		if g.brief, err = sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(100)"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = g.brief.Close() })
		g.exec("CREATE TABLE t (n INT)")
		g.target("db", "sqlite", engine.Record{"file": file})
		g.begin("sqlite")
		f(t, g)
	})
}

func (g *moveGround) exec(q string) {
	g.t.Helper()
	if _, err := g.db.ExecContext(g.t.Context(), q); err != nil {
		g.t.Fatal(err)
	}
}

func (g *moveGround) begin(target string) {
	g.kind = target
	g.playbook("move", fmt.Sprintf(movePlaybook, target))
	for _, table := range []string{"audit", "archive"} {
		g.exec("CREATE TABLE " + table + " (id INTEGER PRIMARY KEY, note VARCHAR(20))")
	}
	var rows []string
	for id := range moveRows {
		rows = append(rows, fmt.Sprintf("(%d, 'row %d')", id+1, id+1))
	}
	g.exec("INSERT INTO audit VALUES " + strings.Join(rows, ","))
}

// arrived asks the tables: how many rows are in the archive, and that each row is in exactly one of the two.
func (g *moveGround) arrived() int {
	g.t.Helper()
	var from, to, both int
	// One statement, so that the move is seen between two batches.
	err := g.db.QueryRowContext(g.t.Context(), `SELECT (SELECT COUNT(*) FROM audit), (SELECT COUNT(*) FROM archive),
		(SELECT COUNT(*) FROM audit a JOIN archive b ON a.id = b.id)`).Scan(&from, &to, &both)
	if err != nil {
		g.t.Fatal(err)
	}
	if both != 0 || from+to != moveRows {
		g.t.Fatalf("%d rows are in both tables, %d in none", both, moveRows-from-to+both)
	}
	return to
}

// live is a process that moves.
type live struct {
	*exec.Cmd
	out bytes.Buffer
}

func (g *moveGround) process(args ...string) *live {
	g.t.Helper()
	l := &live{Cmd: exec.CommandContext(g.t.Context(), "handrail", args...)}
	l.Dir, l.Env, l.Stdout, l.Stderr = g.dir, g.environ(), &l.out, &l.out
	if err := l.Start(); err != nil {
		g.t.Fatal(err)
	}
	return l
}

// TestMoveThatIsKilledAgainAndAgain: kill -9 at many points; AFTER each of them the tables themselves are asked.
func TestMoveThatIsKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	moveGrounds(t, func(t *testing.T, g *moveGround) {
		random := rand.New(rand.NewPCG(7, 7))
		args, kills := []string{"run", "--yes", "move"}, 0
		for {
			before := g.arrived()
			l := g.process(args...)
			target := before + 50 + random.IntN(250)
			eventually(t, "rows arrive", func() bool { return g.arrived() >= min(target, moveRows) })
			_ = l.Process.Signal(syscall.SIGKILL)
			_ = l.Wait() // how it ended is in its state
			kills++
			if g.arrived() == moveRows {
				break
			}
			args = []string{"resume", g.last()}
		}
		if kills < 8 {
			t.Errorf("only %d kills", kills)
		}
		// The last kill may have met the run AFTER its end.
		if code := g.handrail("resume", g.last()).code; code != 0 && code != 2 {
			t.Errorf("exit %d", code)
		}
		g.handrail("show", g.last()).is(0)
		if g.arrived() != moveRows {
			t.Error("not every row was moved")
		}
	})
}

func TestMoveThatIsTerminatedEndsBetweenTwoBatches(t *testing.T) {
	t.Parallel()
	moveGrounds(t, func(t *testing.T, g *moveGround) {
		l := g.process("run", "--yes", "move")
		eventually(t, "rows arrive", func() bool { return g.arrived() >= 100 })
		if err := l.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		_ = l.Wait() // how it ended is in its state
		if code := l.ProcessState.ExitCode(); code != 5 {
			t.Fatalf("exit %d: %s", code, l.out.String())
		}
		if n := g.arrived(); n == moveRows || n%10 != 0 {
			t.Errorf("%d rows arrived", n)
		}
		g.handrail("resume", g.last()).is(0)
		if g.arrived() != moveRows {
			t.Error("not every row was moved")
		}
	})
}

func TestMoveOfARunThatIsCancelledEndsBetweenTwoBatches(t *testing.T) {
	t.Parallel()
	moveGrounds(t, func(t *testing.T, g *moveGround) {
		l := g.process("run", "--yes", "move")
		eventually(t, "rows arrive", func() bool { return g.arrived() >= 100 })
		g.handrail("cancel", g.last()).is(0)
		_ = l.Wait() // how it ended is in its state
		if code := l.ProcessState.ExitCode(); code != 1 || !strings.Contains(l.out.String(), "stopped between two batches") {
			t.Fatalf("exit %d: %s", code, l.out.String())
		}
		if n := g.arrived(); n == moveRows || n%10 != 0 {
			t.Errorf("%d rows arrived", n)
		}
	})
}

// TestMoveThatFailedGoesOnWithoutAQuestion: what was moved stands, and nobody has to say so.
func TestMoveThatFailedGoesOnWithoutAQuestion(t *testing.T) {
	moveGrounds(t, func(t *testing.T, g *moveGround) {
		g.exec("INSERT INTO archive VALUES (500, 'in the way')")
		g.handrail("run", "--yes", "move").is(1, "490 rows were moved by 49 batches, which stand; resume goes on behind them")
		g.exec("DELETE FROM archive WHERE id = 500")
		g.handrail("resume", g.last()).is(0)
		if g.arrived() != moveRows {
			t.Error("not every row was moved")
		}
	})
}

// stopOutsideOfABatch stops a process while it has no lock on the database. One that is stopped inside of a
// batch keeps SQLite's: then nobody can go on, and a resume says that it could not ask.
func (g *moveGround) stopOutsideOfABatch(l *live) {
	g.t.Helper()
	eventually(g.t, "the process is between two batches", func() bool {
		if err := l.Process.Signal(syscall.SIGSTOP); err != nil {
			g.t.Fatal(err)
		}
		if _, err := g.brief.ExecContext(g.t.Context(), "UPDATE audit SET note = 'x' WHERE id = -1"); err == nil {
			return true
		}
		_ = l.Process.Signal(syscall.SIGCONT)
		return false
	})
}

// TestStaleEngineThatMovesChangesNothing: an engine is stopped in its tracks, as a paused machine is; somebody
// goes on with a copy of its state folder, as one does who takes it for dead; then it wakes up.
func TestStaleEngineThatMovesChangesNothing(t *testing.T) {
	t.Parallel()
	moveGrounds(t, func(t *testing.T, g *moveGround) {
		g.playbook("move", strings.Replace(fmt.Sprintf(movePlaybook, g.kind), "batch: 10, pause: 2ms", "batch: 50, pause: 100ms", 1))
		l := g.process("run", "--yes", "move")
		eventually(t, "rows arrive", func() bool { return g.arrived() >= 100 })
		g.stopOutsideOfABatch(l)
		run, other := g.last(), newGround(t)
		if err := os.CopyFS(other.state(), os.DirFS(g.state())); err != nil {
			t.Fatal(err)
		}
		other.handrail("resume", run).is(0)
		at := g.arrived()
		if err := l.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		_ = l.Wait() // how it ended is in its state
		// Its connection was ended by whoever took over; or the marker says that there is a newer engine, or
		// that all is done.
		out := l.out.String()
		if !strings.Contains(out, "taken over by another engine") && !strings.Contains(out, "says done") && !strings.Contains(out, "the connection was ") {
			t.Errorf("the stale engine says: %s", out)
		}
		if n := g.arrived(); n != at || n != moveRows {
			t.Errorf("%d rows had arrived, now %d", at, n)
		}
		if l.ProcessState.ExitCode() != 0 { // its own folder finds out what is true
			g.handrail("resume", run).is(0)
		}
	})
}

// TestArchiveThatIsKilledGoesOnAndProves: the shipped playbook, with kill -9 in the middle of its move.
func TestArchiveThatIsKilledGoesOnAndProves(t *testing.T) {
	settings := servers.MySQL(t)
	g := newGround(t)
	db := servers.Open(t, settings)
	g.target("db", "mysql", settings)
	schema, err := os.ReadFile("../../examples/numbering/schema.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{string(schema), `INSERT INTO document_numbering_audit_logs (operation, old_value, timestamp)
		SELECT 'OLD', seq, NOW() - INTERVAL 3 YEAR FROM seq_1_to_2000`, "INSERT INTO document_numbering_audit_logs (operation) VALUES ('NEW'), ('NEW')"} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	archived := func() (n int) {
		_ = db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM document_numbering_audit_logs_archive").Scan(&n) // it may not be there yet
		return n
	}
	l := (&moveGround{ground: g}).process("run", "--yes", "audit-log-archive", "-i", "folder="+g.dir, "-i", "batch=10", "-i", "pause=5ms")
	eventually(t, "rows arrive", func() bool { return archived() >= 300 })
	_ = l.Process.Signal(syscall.SIGKILL)
	_ = l.Wait() // how it ended is in its state
	if n := archived(); n >= 2000 || n%10 != 0 {
		t.Fatalf("%d rows arrived", n)
	}
	g.handrail("resume", g.last()).is(0)
	var left, both int
	if err := db.QueryRowContext(t.Context(), `SELECT (SELECT COUNT(*) FROM document_numbering_audit_logs),
		(SELECT COUNT(*) FROM document_numbering_audit_logs l JOIN document_numbering_audit_logs_archive b ON b.id = l.id)`).Scan(&left, &both); err != nil {
		t.Fatal(err)
	}
	if archived() != 2000 || left != 2 || both != 0 {
		t.Errorf("%d rows in the archive, %d in the log, %d in both", archived(), left, both)
	}
	if files, _ := filepath.Glob(filepath.Join(g.dir, "audit-archive-*.csv")); len(files) != 1 {
		t.Errorf("%d files", len(files))
	}
}
