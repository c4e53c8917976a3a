package playbooks_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
)

// current are the sequences by type and scope.
func current(t *testing.T, db *sql.DB) map[string]int64 {
	t.Helper()
	rows, err := db.Query(`SELECT CONCAT(c.document_type, ' ', s.scope_value), s.current_value
		FROM document_numbering_sequences s JOIN document_numbering_configs c ON c.id = s.config_id`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	out := map[string]int64{}
	for rows.Next() {
		var name string
		var n int64
		if err := rows.Scan(&name, &n); err != nil {
			t.Fatal(err)
		}
		out[name] = n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func skipRows(t *testing.T, db *sql.DB) (rows int) {
	t.Helper()
	if err := db.QueryRow("SELECT COUNT(*) FROM document_numbering_audit_logs WHERE operation = 'SKIP_NUMBERS'").Scan(&rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestTheGapIsTheHighestRateForAsLongAsTheBackupIsOldTwice: 40 numbers of COR in one moment, long ago when the newest row is taken
// for now, and slow hours; RFA had one number; nobody knows of TRN and DWG.
func TestTheGapIsTheHighestRateForAsLongAsTheBackupIsOldTwice(t *testing.T) {
	target, db := numbering(t)
	for _, s := range []string{
		`INSERT INTO document_numbering_audit_logs (operation, document_type, timestamp) SELECT 'GENERATE', 'COR', '2025-06-01 08:59:30' FROM (WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 40) SELECT i FROM n) x`,
		`INSERT INTO document_numbering_audit_logs (operation, document_type, timestamp) VALUES ('GENERATE', 'COR', '2025-06-01 08:00:00'), ('GENERATE', 'COR', '2025-06-01 07:00:00'), ('GENERATE', 'RFA', '2025-06-01 09:00:00')`,
		// More than a day before the newest, and of no number.
		`INSERT INTO document_numbering_audit_logs (operation, document_type, timestamp) SELECT 'GENERATE', 'DWG', '2025-05-01 08:59:30' FROM (WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 40) SELECT i FROM n) x`,
		`INSERT INTO document_numbering_audit_logs (operation, document_type, timestamp) VALUES ('ADJUST_MAX_VALUE', 'TRN', '2025-06-01 09:00:00')`,
	} {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	before := current(t, db)
	w := open(t, "sequence-gap", target)
	w.yes = true
	r := w.run(map[string]any{"age": "9m25s"}) // 57 times ten seconds, and the begun ones
	w.ends(r, engine.RunOK)
	after := current(t, db)
	for name, gap := range map[string]int64{"COR ALL": 40 * 58 * 2, "RFA 2024": 58 * 2, "TRN 2024": 100, "DWG ALL": 100} {
		if after[name] != before[name]+gap {
			t.Errorf("%s went from %d to %d, wanted a gap of %d", name, before[name], after[name], gap)
		}
	}
	var old, raised, metadata string
	err := db.QueryRow("SELECT old_value, new_value, metadata FROM document_numbering_audit_logs WHERE operation = 'SKIP_NUMBERS' AND document_type = 'COR'").Scan(&old, &raised, &metadata)
	if err != nil || old != "912345" || raised != "916985" || !strings.Contains(metadata, r.ID()) {
		t.Errorf("audit row: %s to %s, %s, %v", old, raised, metadata, err)
	}
	if n := skipRows(t, db); n != 4 {
		t.Errorf("%d audit rows for 4 sequences", n)
	}
	if got, _ := r.Outputs()["skipped"].(string); !strings.HasPrefix(got, "COR ALL 912346 to 916985; ") {
		t.Errorf("skipped: %q", got)
	}
}

func TestAGapIsGivenByHandAndApproved(t *testing.T) {
	target, db := numbering(t)
	before := current(t, db)
	w := open(t, "sequence-gap", target)
	r := w.run(map[string]any{"age": "1h", "gap": 7}) // nobody says yes
	w.ends(r, engine.Waiting)
	v, _ := r.StepAt("approved")
	if !strings.Contains(v.Ask, "COR ALL 912346 to 912352 (no rate is known)") {
		t.Errorf("asked: %s", v.Ask)
	}
	if after := current(t, db); after["COR ALL"] != before["COR ALL"] || skipRows(t, db) != 0 {
		t.Errorf("changed before anybody said yes: %v", after)
	}
	w.yes = true
	w.ends(w.run(map[string]any{"age": "1h", "gap": 7}), engine.RunOK)
	if after := current(t, db); after["COR ALL"] != before["COR ALL"]+7 || skipRows(t, db) != 4 {
		t.Errorf("after: %v", after)
	}
}

// TestASequencePastItsMaximumIsSaid: the gap does not fit; the run is degraded, and the back end refuses to go on.
func TestASequencePastItsMaximumIsSaid(t *testing.T) {
	target, db := numbering(t)
	w := open(t, "sequence-gap", target)
	w.yes = true
	w.ends(w.run(map[string]any{"age": "1h", "gap": 50000}), engine.RunDegraded)
	if n := skipRows(t, db); n != 4 {
		t.Errorf("%d audit rows", n)
	}
}
