package playbooks_test

import (
	"database/sql"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

const (
	archived = "SELECT COUNT(*) FROM document_numbering_audit_logs_archive"
	inBoth   = "SELECT COUNT(*) FROM document_numbering_audit_logs l JOIN document_numbering_audit_logs_archive b ON b.id = l.id"
)

// audited is numbering with 1,000 audit rows: 600 old ones, two around the cut-off of a run in January, and the
// rest younger. The server's clock is UTC, the users' day begins seven hours earlier.
func audited(t *testing.T) (steps.Target, *sql.DB) {
	t.Helper()
	target, db := numbering(t)
	target.Settings["timezone"] = "UTC"
	for from, rows := range map[string]int{"2023-03-01 00:00:00": 599, "2023-12-31 16:59:59": 1, "2023-12-31 17:00:00": 1, "2024-06-01 00:00:00": 99, "2025-06-01 00:00:00": 300} {
		mustExec(t, db, fmt.Sprintf(`INSERT INTO document_numbering_audit_logs (operation, document_type, old_value, new_value, user_id, metadata, timestamp)
			SELECT 'ADJUST', IF(seq %% 3, 'COR', NULL), seq, 'a "quoted", value', seq %% 7, '{"n": 1}', '%s' FROM seq_1_to_%d`, from, rows))
	}
	return target, db
}

func folderOf(t *testing.T) map[string]any {
	return map[string]any{"folder": t.TempDir(), "pause": "0s", "batch": 70}
}

// records are the rows of the only CSV file in a folder, and the name of its checksum file.
func records(t *testing.T, folder any) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder.(string), "*.csv"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	f, err := os.Open(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile(files[0] + ".sha256")
	if err != nil || !strings.HasSuffix(string(sum), "  "+filepath.Base(files[0])+"\n") {
		t.Errorf("checksum file: %q, %v", sum, err)
	}
	return len(rows) - 1
}

func (w *world) rowsAre(db *sql.DB, logs, archive int64) {
	w.t.Helper()
	if a, b, both := ask[int64](w.t, db, auditRows), ask[int64](w.t, db, archived), ask[int64](w.t, db, inBoth); a != logs || b != archive || both != 0 {
		w.t.Errorf("%d rows in the log, %d in the archive, %d in both; want %d and %d", a, b, both, logs, archive)
	}
}

func TestArchiveMovesProvesAndExports(t *testing.T) {
	target, db := audited(t)
	w := open(t, "audit-log-archive", target)
	given := folderOf(t)
	given["optimize"] = true
	before := checksum(t, db, "document_numbering_audit_logs")
	plan := w.plan(given)
	if s := line(t, plan, "move"); s.Standing != engine.StandingWould || s.Class != engine.ClassTransactional || len(s.Figures) == 0 || s.Figures[0].Value != 600 {
		t.Errorf("the plan says of the move %+v", s)
	}
	if after := checksum(t, db, "document_numbering_audit_logs"); after != before {
		t.Fatalf("the plan changed the log")
	}
	r := w.run(given)
	w.ends(r, engine.RunOK)
	w.rowsAre(db, 400, 600)
	if n := records(t, given["folder"]); n != 600 {
		t.Errorf("%d rows in the file", n)
	}
	if n := ask[int64](t, db, auditRows+" WHERE timestamp = '2023-12-31 17:00:00'"); n != 1 {
		t.Error("a row of the users' first day that stays was moved")
	}
	// The second run moves nothing, and exports nothing.
	again := folderOf(t)
	second := w.run(again)
	w.ends(second, engine.RunOK)
	w.rowsAre(db, 400, 600)
	if got := second.Outputs()["moved"]; got != int64(0) || w.state(second, "export") != engine.Skipped {
		t.Errorf("the second run moved %v, export is %s", got, w.state(second, "export"))
	}
}

// TestArchiveKnowsOneCutOff: the run began in January and goes on when it is autumn on every clock, the server's
// and ours. What has grown old meanwhile stays where it is, and is in neither step taken for old.
func TestArchiveKnowsOneCutOff(t *testing.T) {
	target, db := audited(t)
	w := open(t, "audit-log-archive", target)
	r := w.run(folderOf(t))
	w.ends(r, engine.RunOK)
	if n := ask[int64](t, db, auditRows+" WHERE timestamp = '2024-06-01'"); n != 99 {
		t.Errorf("%d rows of June 2024 are left", n)
	}
	w.now = january.AddDate(0, 10, 0)
	w.ends(w.run(folderOf(t)), engine.RunOK)
	w.rowsAre(db, 300, 700)
}

// TestArchiveThatHasARowAlreadyIsNotBegun: it would stop in its middle.
func TestArchiveThatHasARowAlreadyIsNotBegun(t *testing.T) {
	target, db := audited(t)
	mustExec(t, db, "CREATE TABLE document_numbering_audit_logs_archive LIKE document_numbering_audit_logs")
	mustExec(t, db, "INSERT INTO document_numbering_audit_logs_archive SELECT * FROM document_numbering_audit_logs ORDER BY id LIMIT 1")
	w := open(t, "audit-log-archive", target)
	r := w.run(folderOf(t))
	w.ends(r, engine.RunFailed)
	if w.state(r, "kept") != engine.Failed || ask[int64](t, db, auditRows) != 1000 {
		t.Errorf("kept is %s, %d rows in the log", w.state(r, "kept"), ask[int64](t, db, auditRows))
	}
}

func TestAuditExportHasEveryRowOfThePeriod(t *testing.T) {
	target, db := audited(t)
	w := open(t, "audit-log-archive", target)
	w.ends(w.run(folderOf(t)), engine.RunOK)
	x := open(t, "audit-export", target)
	given := map[string]any{"folder": t.TempDir(), "from": "2023-01-01", "until": "2025-01-01"}
	r := x.run(given)
	x.ends(r, engine.RunOK)
	if n := records(t, given["folder"]); n != 700 || r.Outputs()["count"] != int64(700) {
		t.Errorf("%d rows in the file, outputs %s", n, engine.Text(r.Outputs()))
	}
	x.rowsAre(db, 400, 600)
	open := map[string]any{"folder": t.TempDir(), "from": "2025-01-01", "until": "2026-01-02"}
	late := x.run(open)
	x.ends(late, engine.RunFailed)
	if w, _ := late.StepAt("sane"); !strings.Contains(w.Error+w.Message, "rows of a period that is not over may still come") {
		t.Errorf("it says %q %q", w.Error, w.Message)
	}
}
