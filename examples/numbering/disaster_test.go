// Package numbering_test destroys the numbering stack and brings it back.
package numbering_test

import (
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/internal/torture"
)

// places are the steps of disaster-recovery in which its engine is killed with -9, one after the other, in one and the same run.
// `make test` has three of them, `make torture` all.
func places(t *testing.T) []string {
	if torture.How(t) == torture.Light {
		return []string{"redis_data/stop", "data/restore", "gap/raise[3]"}
	}
	return []string{
		"network/network", "redis/node[2]", "redis/formed", "redis_data/stop", "redis_data/swap[%s-redis-2]", "redis_data/start",
		"database/server", "data/restore", "gap/raise[3]", "backends/backend[1]",
	}
}

// TestTheDisaster is what all of this is for. Numbers are given out while the backups are taken, and after; then there is nothing left but
// the backups. The stack comes back, with its engine killed in several places and resumed; and no number is given out twice.
func TestTheDisaster(t *testing.T) {
	s := newStand(t)
	keep(t, s, "before")
	w := &writers{given: map[string]time.Time{}}
	s.begin(w)
	// The rate at which numbers are given out is seen in ten seconds.
	for since := time.Now(); w.count() < 100 || time.Since(since) < 15*time.Second; {
		pause(t.Context(), 50*time.Millisecond)
	}
	begun := time.Now()
	s.backup()
	for before := w.count(); w.count() < before+40; { // what nobody will know of
		pause(t.Context(), 50*time.Millisecond)
	}
	s.refuses()
	s.plan("of a stack that stands")
	keep(t, s, "after")
	s.stack("destroy")
	w.stop()
	if left := strings.TrimSpace(s.standing()); left != "" {
		t.Fatalf("the disaster left something: %s", left)
	}
	known := w.count()
	t.Logf("%d numbers were given out", known)

	plan := s.plan("of a stack that is gone")
	end := s.recover()
	s.held(plan, end.run(t))
	for _, want := range []string{"RTO 1 h: held, it took ", "RPO 15 min: held, the data is of ", "skipped: COR ALL "} {
		if !strings.Contains(end.out+end.err, want) {
			t.Errorf("%q is missing in\n%s\n%s", want, end.out, tail(end.err))
		}
	}
	s.hasWhatTheBackupsHad(w, begun)
	s.numbersOn(w)
	s.is(s.handrail("drills", "disaster-recovery", "--strict"), 0, "disaster-recovery: last run well ", "RTO 1 h: held", "RPO 15 min: held")
	for _, port := range []int{3001, 3002} {
		s.health(port, `"fallback_mode":false`, `"status":"up"`)
	}
	s.redis(t, w)
}

// keep writes keys that have no expiry into Redis.
func keep(t *testing.T, s *stand, prefix string) {
	t.Helper()
	for i := range 100 {
		if err := s.cache.Set(t.Context(), fmt.Sprintf("%s:%d", prefix, i), i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// refuses: a backup that is cut short is found out BEFORE anything is touched, in a stack that stands.
func (s *stand) refuses() {
	s.t.Helper()
	before := s.standing()
	for _, x := range []struct{ input, folder, latest, step string }{
		{"db_folder", "numbering", "latest.sql.zst", "step dump: "}, {"redis_folder", "redis", "latest.tar.gz", "step archive: "},
	} {
		bad := filepath.Join(s.dir, "bad-"+x.folder)
		if out, err := exec.CommandContext(s.t.Context(), "cp", "-a", filepath.Join(s.dir, "stack", "backups", x.folder), bad).CombinedOutput(); err != nil {
			s.t.Fatalf("%v: %s", err, out)
		}
		file, err := filepath.EvalSymlinks(filepath.Join(bad, x.latest))
		if err != nil {
			s.t.Fatal(err)
		}
		info, err := os.Stat(file)
		if err == nil {
			err = os.Truncate(file, info.Size()-20)
		}
		if err != nil {
			s.t.Fatal(err)
		}
		s.is(s.handrail("run", "disaster-recovery", "--yes", "--env", s.environment, "--inputs", s.input, "-i", x.input+"="+bad), 1, x.step)
	}
	if after := s.standing(); after != before {
		s.t.Errorf("a backup that is cut short was refused, and yet the stack is not as it was:\n%s\nbefore:\n%s", after, before)
	}
}

// recover runs disaster-recovery.
func (s *stand) recover() said {
	s.t.Helper()
	return s.through(places(s.t), "disaster-recovery", "--inputs", s.input)
}

// through runs a playbook, kills it in each of the places, resumes it, and says yes to what it asks.
func (s *stand) through(all []string, playbook string, args ...string) said {
	s.t.Helper()
	args = append([]string{"run", playbook, "--yes", "--env", s.environment}, args...)
	left, kills, run := all, 0, ""
	for range 3*len(all) + 10 {
		step := ""
		if len(left) > 0 {
			step = left[0]
			if strings.Contains(step, "%s") {
				step = fmt.Sprintf(step, s.name)
			}
		}
		wait := time.Duration(rand.IntN(150)) * time.Millisecond
		got := s.kill(step, wait, args...)
		if run == "" {
			run = got.run(s.t)
			args = []string{"resume", run}
		}
		switch got.code {
		case -1:
			s.t.Logf("killed in %s, %s AFTER it was seen", step, wait)
			left, kills = left[1:], kills+1
		case 3:
			s.approve(run)
		case 0:
			if kills != len(all) {
				s.t.Fatalf("it was killed %d times, wanted %d: %s was not reached", kills, len(all), step)
			}
			return got
		default:
			s.t.Fatalf("it ended with %d:\n%s\n%s", got.code, tail(got.out), tail(got.err))
		}
	}
	s.t.Fatal("it comes to no end")
	return said{}
}

// hasWhatTheBackupsHad: every number whose answer was there before the backup began, and every key of the archive.
func (s *stand) hasWhatTheBackupsHad(w *writers, begun time.Time) {
	s.t.Helper()
	rows, err := s.db.QueryContext(s.t.Context(), "SELECT document_type, new_value FROM document_numbering_audit_logs WHERE operation = 'GENERATE'")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	have := map[string]bool{}
	for rows.Next() {
		var kind, number string
		if err := rows.Scan(&kind, &number); err != nil {
			s.t.Fatal(err)
		}
		have[kind+" ALL "+number] = true
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	lost := 0
	w.mu.Lock()
	for number, at := range w.given {
		switch {
		case have[number]:
		case at.Before(begun):
			s.t.Errorf("%s was given out before the backup, and is gone", number)
		default:
			lost++
		}
	}
	w.mu.Unlock()
	if lost == 0 {
		s.t.Error("nothing was lost in this disaster, so the gap was not put to the test")
	}
	s.t.Logf("of %d numbers the restored database does not know", lost)
	s.has("before")
	for i := range 100 {
		if n, err := s.cache.Exists(s.t.Context(), fmt.Sprintf("after:%d", i)).Result(); err != nil || n != 0 {
			s.t.Errorf("key after:%d came back from nowhere: %v", i, err)
		}
	}
}

// numbersOn: what is given out now was never given out before, and the audit log has one row for each gap.
func (s *stand) numbersOn(w *writers) {
	s.t.Helper()
	for i := range 50 {
		if number, err := s.write(w, 3001+i%2); err != nil {
			s.t.Fatalf("%s: %v", number, err)
		}
	}
	if len(w.twice) > 0 {
		s.t.Errorf("given out twice: %v", w.twice)
	}
	var gaps, sequences int
	err := s.db.QueryRowContext(s.t.Context(), "SELECT (SELECT COUNT(*) FROM document_numbering_audit_logs WHERE operation = 'SKIP_NUMBERS'), COUNT(*) FROM document_numbering_sequences").
		Scan(&gaps, &sequences)
	if err != nil || gaps != sequences {
		s.t.Errorf("%d audit rows for the gaps of %d sequences, %v", gaps, sequences, err)
	}
	var old, raised int64
	err = s.db.QueryRowContext(s.t.Context(), `SELECT old_value, new_value FROM document_numbering_audit_logs WHERE operation = 'SKIP_NUMBERS' AND document_type = 'COR'`).Scan(&old, &raised)
	if err != nil || raised <= old {
		s.t.Errorf("the gap of COR is from %d to %d, %v", old, raised, err)
	}
	var none sql.NullInt64
	if err := s.db.QueryRowContext(s.t.Context(), `SELECT MIN(CAST(new_value AS SIGNED)) FROM document_numbering_audit_logs WHERE operation = 'GENERATE' AND document_type = 'COR'
		AND CAST(new_value AS SIGNED) > ? AND CAST(new_value AS SIGNED) <= ?`, old, raised).Scan(&none); err != nil || none.Valid {
		s.t.Errorf("%d lies in the gap, %v", none.Int64, err)
	}
}

// health asks a back end how it is, and looks for what it should say.
func (s *stand) health(port int, words ...string) {
	s.t.Helper()
	r, err := client.Get(fmt.Sprintf("http://%s.1:%d/health/numbering", s.net, port))
	if err != nil {
		s.t.Errorf("back end on %d: %v", port, err)
		return
	}
	defer func() { _ = r.Body.Close() }()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Errorf("back end on %d: %v", port, err)
	}
	for _, w := range words {
		if !strings.Contains(string(body), w) {
			s.t.Errorf("back end on %d says %s, and not %s", port, body, w)
		}
	}
}
