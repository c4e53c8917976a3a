package main

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/internal/torture"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// pruneCrashPlaybook leaves a marker in two databases.
const pruneCrashPlaybook = `playbook: prune
inputs:
  key: {type: string, description: What this run writes}
targets: {file: sqlite, db: mysql}
steps:
  - {id: lite, on: file, sql: {exec: "INSERT INTO ledger (k) VALUES (:k)", args: {k: "${{ inputs.key }}"}}, retry: {attempts: 5, backoff: 1s}}
  - {id: maria, on: db, sql: {exec: "INSERT INTO ledger (k) VALUES (:k)", args: {k: "${{ inputs.key }}"}}, retry: {attempts: 5, backoff: 1s}}
`

// TestACrashAtEveryPointOfPrune: whatever it had come to, the run that was to go is there whole, or gone; the next prune leaves neither
// it nor its markers; and nothing of the run that stays, nor of what they did, is touched.
func TestACrashAtEveryPointOfPrune(t *testing.T) {
	s := newFileStand(t)
	db := servers.MySQL(t)
	maria := servers.Open(t, db)
	s.exec(maria, "CREATE TABLE ledger (k VARCHAR(64)) ENGINE=InnoDB")
	s.write("prune.yaml", pruneCrashPlaybook)
	s.write("here.yaml", fmt.Sprintf("targets:\n  file: {sqlite: {file: %q}}\n  db: {mysql: %s}\n", s.liteFile, flow(t, db)))
	marks := func(run string) (n int) {
		t.Helper()
		for _, d := range []*sql.DB{s.lite, maria} {
			var one int
			if err := d.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM handrail_markers WHERE token LIKE ?", run+"/%").Scan(&one); err != nil {
				t.Fatal(err)
			}
			n += one
		}
		return n
	}
	kills := 0
	for point := 1; ; point++ {
		state := filepath.Join(s.dir, fmt.Sprintf("state-%d", point))
		old, kept := s.ended(state, fmt.Sprintf("old-%d", point)), s.ended(state, fmt.Sprintf("kept-%d", point))
		code, killed, _, stderr := s.handrail(state, point, "prune", "--older-than", "0s")
		if !killed && code != 0 {
			t.Fatalf("point %d: exit %d\n%s", point, code, stderr)
		}
		// A run that is there can be looked at; one that is not has left no marker that nobody would find any more.
		if code, _, _, _ := s.handrail(state, 0, "show", old); code != 0 && marks(old) != 0 {
			t.Errorf("point %d: the run is gone, and %d markers are left", point, marks(old))
		}
		if code, _, _, stderr := s.handrail(state, 0, "prune", "--older-than", "0s"); code != 0 {
			t.Fatalf("point %d: the next prune: exit %d\n%s", point, code, stderr)
		}
		left, err := os.ReadDir(filepath.Join(state, "runs"))
		if err != nil || len(left) != 1 || left[0].Name() != kept {
			t.Errorf("point %d: %v is left, %v", point, left, err)
		}
		if marks(old) != 0 || marks(kept) != 2 {
			t.Errorf("point %d: %d markers of the old run, %d of the other", point, marks(old), marks(kept))
		}
		for _, key := range []string{"old", "kept"} {
			if key = fmt.Sprintf("%s-%d", key, point); s.rows(s.lite, key) != 1 || s.rows(maria, key) != 1 {
				t.Errorf("point %d: an effect of %s is gone", point, key)
			}
		}
		if !killed {
			break
		}
		kills++
	}
	if kills < 5 {
		t.Errorf("prune passed only %d points", kills)
	}
	torture.Figure(t, 1, "prune killed at each of its %d points", kills)
}

// ended is a run that has come to its end.
func (s *stand) ended(state, key string) string {
	s.t.Helper()
	code, _, _, stderr := s.handrail(state, 0, "run", "./prune.yaml", "--env", "./here.yaml", "--yes", "-i", "key="+key)
	if code != 0 {
		s.t.Fatalf("exit %d\n%s", code, stderr)
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(stderr[strings.Index(stderr, "run "):], "run "), " ")
	return id
}
