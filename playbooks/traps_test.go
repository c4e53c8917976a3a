package playbooks_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// What goes wrong in the written procedures is shown here as it is written, on a server, and then the playbook in the
// same place. docs/procedures.md lists all of them.

// session is one connection of a database: what SET changes holds for it alone.
func session(t *testing.T, db *sql.DB) func(statement string) {
	t.Helper()
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return func(statement string) {
		t.Helper()
		if _, err := c.ExecContext(context.Background(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

const (
	makeArchive = "CREATE TABLE IF NOT EXISTS document_numbering_audit_logs_archive LIKE document_numbering_audit_logs"
	twoYearsAgo = " WHERE timestamp < DATE_SUB(CURDATE(), INTERVAL 2 YEAR)"
	copyOldLogs = "INSERT INTO document_numbering_audit_logs_archive SELECT * FROM document_numbering_audit_logs" + twoYearsAgo
	takeOldLogs = "DELETE FROM document_numbering_audit_logs" + twoYearsAgo
)

// TestMidnightBetweenTwoCURDATEsLosesRows: the rows of one day are in neither table.
func TestMidnightBetweenTwoCURDATEsLosesRows(t *testing.T) {
	_, db := audited(t)
	mustExec(t, db, makeArchive)
	do := session(t, db)
	do("SET time_zone = '+00:00'")
	do("SET timestamp = UNIX_TIMESTAMP('2025-12-31 23:59:59')") // its CURDATE() is that of this moment
	do(copyOldLogs)
	do("SET timestamp = UNIX_TIMESTAMP('2026-01-01 00:00:01')")
	do(takeOldLogs)
	if left, moved := ask[int64](t, db, auditRows), ask[int64](t, db, archived); left+moved != 998 {
		t.Fatalf("%d rows are left, %d are archived, of 1000: the trap is none any more", left, moved)
	}
	// The playbook, begun a second before midnight in its zone: one moment counts for all of it.
	target, db := audited(t)
	w := open(t, "audit-log-archive", target)
	w.now = january.Add(-5*time.Minute - time.Second)
	w.ends(w.run(folderOf(t)), engine.RunOK)
	if left, moved := ask[int64](t, db, auditRows), ask[int64](t, db, archived); left+moved != 1000 {
		t.Errorf("%d rows are left, %d are archived, of 1000", left, moved)
	}
}

// TestCreateTableCommitsWhatIsAroundIt: the ROLLBACK of the written transaction takes nothing back.
func TestCreateTableCommitsWhatIsAroundIt(t *testing.T) {
	_, db := audited(t)
	do := session(t, db)
	do("START TRANSACTION")
	do("DELETE FROM document_numbering_audit_logs WHERE timestamp < '2024-01-01'")
	do(makeArchive)
	do("ROLLBACK")
	if n := ask[int64](t, db, auditRows); n == 1000 {
		t.Fatal("the rows came back: the trap is none any more")
	}
}

// TestWrittenYearlyResetDoubles, and the playbook does not.
func TestWrittenYearlyResetDoubles(t *testing.T) {
	const written = `INSERT INTO document_numbering_sequences (config_id, scope_value, current_value, last_used_at)
		SELECT id, YEAR(CURDATE()), 0, NULL FROM document_numbering_configs WHERE scope = 'YEARLY'`
	_, db := numbering(t)
	do := session(t, db)
	do("SET timestamp = UNIX_TIMESTAMP('2026-01-01 12:00:00')")
	do(written)
	do(written)
	if n := ask[int64](t, db, doubled); n != 2 {
		t.Fatalf("%d types are doubled: the trap is none any more", n)
	}
	target, db := numbering(t)
	w := open(t, "sequence-yearly-reset", target)
	w.ends(w.run(nil), engine.RunOK)
	w.ends(w.run(nil), engine.RunOK)
	if n := ask[int64](t, db, doubled); n != 0 {
		t.Errorf("%d types are doubled", n)
	}
}

// TestFailedDumpIsCompressedAndCalledASuccess: as the written script has it. That the playbook removes nothing old then,
// cmd/handrail shows.
func TestFailedDumpIsCompressedAndCalledASuccess(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "numbering_20200101_000000.sql.gz")
	put(t, old, []byte("the last good one"))
	if err := exec.Command("touch", "-d", "60 days ago", old).Run(); err != nil {
		t.Fatal(err)
	}
	script := exec.Command("bash", "-c", `mariadb-dump --host=127.0.0.1 --port=1 numbering > "$DIR/numbering_now.sql"
		gzip "$DIR/numbering_now.sql"
		find "$DIR" -name "numbering_*.sql.gz" -mtime +30 -delete
		echo "Backup complete"`)
	script.Env = append(os.Environ(), "DIR="+dir)
	out, err := script.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Backup complete") {
		t.Fatalf("%v: %s: the trap is none any more", err, out)
	}
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("the last good one is still there: %v", err)
	}
}

// TestExpiryIsAskedOfAnotherNode: the written sweep asks one node for the expiry of every key, and takes its answer MOVED
// for a number.
func TestExpiryIsAskedOfAnotherNode(t *testing.T) {
	cluster := servers.RedisClusterOf(t, 3, 0)
	c, one := cluster.Client(), cluster.Nodes[0].Client()
	moved := 0
	for i := range 60 {
		key := fmt.Sprintf("reservation:%d", i)
		if err := c.Set(t.Context(), key, "x", 0).Err(); err != nil {
			t.Fatal(err)
		}
		if err := one.TTL(t.Context(), key).Err(); err != nil && strings.HasPrefix(err.Error(), "MOVED") {
			moved++
		}
	}
	if moved == 0 {
		t.Fatal("no key is elsewhere: the trap is none any more")
	}
	w := open(t, "reservation-sweep", steps.Target{Name: "cache", Type: "cluster", Settings: cluster.Settings()})
	r := w.run(nil)
	w.ends(r, engine.RunOK)
	if got := engine.Text(r.Outputs()); got != "{swept: 60}" {
		t.Errorf("outputs: %s", got)
	}
}
