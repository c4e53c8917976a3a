package playbooks_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

func TestHostWatchRestartsOnceAndThenWaits(t *testing.T) {
	r := record(t, map[string]string{"pm2": "touch up"})
	var told atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch _, err := os.Stat(filepath.Join(r.dir, "up")); {
		case q.Method == http.MethodPost:
			told.Add(1)
		case err != nil:
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer server.Close()
	w := open(t, "host-watch")
	w.now = time.Now()
	stamp := filepath.Join(r.dir, "stamp")
	given := map[string]any{"health": server.URL, "stamp": stamp, "disk": r.dir, "disk_limit": 100, "memory_limit": 100}

	first := w.run(given)
	w.ends(first, engine.RunDegraded) // it is well again, but it was not
	r.wants("pm2 restart caddy-backend")
	w.ends(w.run(given), engine.RunOK)
	r.wants()

	// It fails again at once: a restart that has not helped for long is not done again within the pause.
	if err := os.Remove(filepath.Join(r.dir, "up")); err != nil {
		t.Fatal(err)
	}
	given["tell"], given["webhook"] = true, server.URL
	w.ends(w.run(given), engine.RunFailed)
	r.wants()
	if told.Load() != 1 {
		t.Errorf("told %d times", told.Load())
	}
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(stamp, long, long); err != nil {
		t.Fatal(err)
	}
	w.ends(w.run(given), engine.RunDegraded)
	r.wants("pm2 restart caddy-backend")

	given["memory_limit"], given["tell"] = 1, false
	tight := w.run(given)
	w.ends(tight, engine.RunDegraded)
	if w.state(tight, "graded") != engine.Degraded {
		t.Errorf("little memory is %s", w.state(tight, "graded"))
	}
}

func TestRedisSaveCopyCopiesThisSaveAndNoOther(t *testing.T) {
	server := servers.Redis(t)
	c := server.Client()
	if err := c.Set(t.Context(), "a", "1", 0).Err(); err != nil {
		t.Fatal(err)
	}
	w := open(t, "redis-save-copy", steps.Target{Name: "cache", Type: "redis", Settings: server.Settings()})
	to := filepath.Join(t.TempDir(), "copy.rdb")
	r := w.run(map[string]any{"to": to})
	w.ends(r, engine.RunOK)
	got, err := os.ReadFile(to)
	if err != nil || len(got) < 9 || string(got[:5]) != "REDIS" {
		t.Fatalf("%q %v", got, err)
	}
	w.ends(w.run(map[string]any{"to": filepath.Join(t.TempDir(), "none", "copy.rdb")}), engine.RunFailed)
}

func TestLockContentionEndsJustTheBlocker(t *testing.T) {
	target, db := numbering(t)
	w := open(t, "lock-contention", target)
	w.ends(w.run(nil), engine.RunOK) // nobody waits
	blocker, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer blocker.Rollback() //nolint:errcheck // its connection is killed
	if _, err := blocker.Exec("UPDATE document_numbering_configs SET max_value = 1 WHERE id = 1"); err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() {
		_, err := db.Exec("UPDATE document_numbering_configs SET max_value = 7 WHERE id = 1")
		waited <- err
	}()
	// InnoDB shows an old picture to whoever asks again within a tenth of a second.
	until(t, "somebody waits", func() bool { return ask[int64](t, db, "SELECT COUNT(*) FROM sys.innodb_lock_waits") == 1 })

	given := map[string]any{"longer_than": 0}
	look := w.run(given)
	w.ends(look, engine.RunFailed) // it only looks, and says what it has seen
	if rows, _ := look.Outputs()["blockers"].(engine.List); len(rows) != 0 {
		t.Errorf("a run that failed has outputs: %v", rows)
	}
	given["kill"] = true
	w.yes = true
	run := w.run(given)
	w.ends(run, engine.RunOK)
	if err := <-waited; err != nil {
		t.Errorf("who had waited: %v", err)
	}
	if got := ask[int64](t, db, maxOfCOR); got != 7 {
		t.Errorf("the maximum is %d", got)
	}
}

func until(t *testing.T, what string, yes func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !yes(); {
		if time.Now().After(end) {
			t.Fatalf("not in half a minute: %s", what)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func TestSlowNumberingMakesAnIndexOnceAndProvesThatItIsUsed(t *testing.T) {
	target, db := numbering(t)
	w := open(t, "slow-numbering", target)
	r := w.run(nil)
	w.ends(r, engine.RunOK)
	if w.state(r, "index") != engine.Already {
		t.Errorf("an index that is there is %s", w.state(r, "index"))
	}
	mustExec(t, db, "ALTER TABLE document_numbering_sequences ADD INDEX of_config (config_id), DROP INDEX idx_sequence_lookup")
	for i := range 200 {
		if _, err := db.Exec("INSERT INTO document_numbering_sequences (config_id, scope_value) VALUES (1, ?)", i); err != nil {
			t.Fatal(err)
		}
	}
	r = w.run(map[string]any{"optimize": true})
	w.ends(r, engine.RunOK)
	const columns = `SELECT GROUP_CONCAT(column_name ORDER BY seq_in_index) FROM information_schema.statistics
		WHERE table_schema = DATABASE() AND index_name = 'idx_sequence_lookup'`
	if got := ask[string](t, db, columns); got != "config_id,scope_value" {
		t.Errorf("the index is on %s", got)
	}
	w.ends(w.run(nil), engine.RunOK)
}
