package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/internal/torture"
)

// TestAStaleEngineThatSleepsAnywhere stops an engine wherever it is: before its effect, in the middle of its transaction or
// script, behind it. Another host goes on with a copy of the state folder until the run is done, and the first wakes up.
// The effect is there once.
func TestAStaleEngineThatSleepsAnywhere(t *testing.T) {
	r := torture.Rand(t, 5)
	eachKeeper(t, func(t *testing.T, k keeper) {
		times, passed, woken := 0, 0, map[int]int{}
		for i := range torture.Turns(t, 3, 100, 1000) {
			times++
			h := newHosts(t, k)
			key := "s" + strconv.Itoa(i)
			a, id := h.begin("alpha", key)
			h.let(key)
			wait(t.Context(), time.Duration(r.Int64N(int64(50*time.Millisecond))))
			sendSignal(t, a, syscall.SIGSTOP)
			h.copied("alpha", "beta")
			k.cut()
			b := h.at("beta", "resume", id)
			_ = b.Run() // how it ended is in its state
			switch code := b.ProcessState.ExitCode(); code {
			case 0:
				passed++
			case 2: // it had come to its end before it was stopped
			default:
				t.Errorf("%s: the other host does not come to an end: exit %d\n%s", key, code, b.Stderr)
			}
			h.counted(key, 1)
			sendSignal(t, a, syscall.SIGCONT)
			_ = a.Wait() // what it says of itself is its own view; the ledger decides
			woken[a.ProcessState.ExitCode()]++
			h.counted(key, 1)
		}
		torture.Figure(t, 5, "%d engines slept, %d of them while another host came to the end of their run; they woke up to exit codes %v", times, passed, woken)
	})
}

// sqliteHosts are two hosts that share a file; SQLite keeps no locks between hosts, so markers and the file's own lock are all there is.
func sqliteHosts(t *testing.T) (h *hosts, db *sql.DB, file string) {
	t.Helper()
	s := newFileStand(t)
	k := keeper{built: s.bin, typ: "sqlite", effect: `sql: {exec: "INSERT INTO ledger (k) VALUES (:k)", args: {k: "${{ inputs.key }}"}}
    retry: {attempts: 5, backoff: 1s}`,
		times: func(key string) int { return s.rows(s.lite, key) }}
	h = newHosts(t, k)
	h.write("here.yaml", fmt.Sprintf("targets:\n  keeper: {sqlite: {file: %q}}\n", s.liteFile))
	return h, s.lite, s.liteFile
}

// TestAStaleEngineOnSQLiteChangesNothing: an engine sleeps before its effect, another goes on with a copy of its state folder, and the
// first wakes up.
func TestAStaleEngineOnSQLiteChangesNothing(t *testing.T) {
	h, _, _ := sqliteHosts(t)
	a, id := h.begin("alpha", "one")
	sendSignal(t, a, syscall.SIGSTOP)
	h.copied("alpha", "beta")
	h.let("one")
	h.do("beta", 0, "", "resume", id)
	h.counted("one", 1)
	sendSignal(t, a, syscall.SIGCONT)
	_ = a.Wait() // it finds the marker of the other
	if code := a.ProcessState.ExitCode(); code == 0 || !strings.Contains(a.Stderr.(*bytes.Buffer).String(), "taken over by another engine") {
		t.Errorf("the first engine ends with %d, and does not say that another has gone on\n%s", code, a.Stderr)
	}
	h.counted("one", 1)
}

// TestAnEngineThatSleepsInItsTransactionOnSQLite: the other waits for its COMMIT, and finds its marker.
func TestAnEngineThatSleepsInItsTransactionOnSQLite(t *testing.T) {
	h, db, lite := sqliteHosts(t)
	a, id := h.begin("alpha", "one")
	reader, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := reader.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM ledger").Scan(&n); err != nil { // as long as it reads nobody can commit
		t.Fatal(err)
	}
	h.let("one")
	writer := openSQLite(t, lite)
	writer.SetMaxOpenConns(1)
	if _, err := writer.ExecContext(t.Context(), "PRAGMA busy_timeout = 0"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the engine is in its transaction", func() bool {
		_, err := writer.ExecContext(t.Context(), "BEGIN IMMEDIATE")
		if err == nil {
			_, err = writer.ExecContext(t.Context(), "ROLLBACK")
			if err != nil {
				t.Fatal(err)
			}
			return false
		}
		return strings.Contains(err.Error(), "locked")
	})
	sendSignal(t, a, syscall.SIGSTOP)
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	h.copied("alpha", "beta")
	b := h.at("beta", "resume", id)
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other engine goes on", func() bool {
		text, err := os.ReadFile(filepath.Join(h.dir, "beta", "runs", id, "journal.jsonl"))
		return err == nil && bytes.Contains(text, []byte(`"run_resumed"`))
	})
	sendSignal(t, a, syscall.SIGCONT)
	_ = a.Wait() // what it says of itself is its own view; the ledger decides
	_ = b.Wait()
	if code := b.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the other engine ends with %d\n%s", code, b.Stderr)
	}
	h.counted("one", 1)
}
