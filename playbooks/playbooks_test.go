package playbooks_test

import (
	"database/sql"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/preview"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
	"github.com/handrail-dev/handrail/steps/steptest/truth"
)

const (
	maxOfCOR  = "SELECT max_value FROM document_numbering_configs WHERE document_type = 'COR'"
	auditRows = "SELECT COUNT(*) FROM document_numbering_audit_logs"
	sequences = "SELECT COUNT(*) FROM document_numbering_sequences"
	// doubled counts the yearly types that do not have exactly one sequence for 2026.
	doubled = `SELECT COUNT(*) FROM (SELECT c.id FROM document_numbering_configs c
		LEFT JOIN document_numbering_sequences s ON s.config_id = c.id AND s.scope_value = '2026'
		WHERE c.scope = 'YEARLY' GROUP BY c.id HAVING COUNT(s.id) <> 1) x`
)

func TestRaiseMaxRaisesAndWritesTheTrueValues(t *testing.T) {
	target, db := numbering(t)
	w := open(t, "sequence-raise-max", target)
	r := w.run(map[string]any{"type": "COR"})
	w.ends(r, engine.RunOK)
	if got := ask[int64](t, db, maxOfCOR); got != 9999990 {
		t.Errorf("the maximum is %d", got)
	}
	audit := ask[string](t, db, `SELECT CONCAT_WS(' ', operation, document_type, old_value, new_value, user_id,
		JSON_VALUE(metadata, '$.reason'), JSON_VALUE(metadata, '$.automated'), JSON_VALUE(metadata, '$.run')) FROM document_numbering_audit_logs`)
	if want := "ADJUST_MAX_VALUE COR 999999 9999990 1 Approaching limit 1 " + r.ID(); audit != want {
		t.Errorf("the audit row is %s\nwant             %s", audit, want)
	}
}

func TestRaiseMaxLeavesWhatHasRoom(t *testing.T) {
	target, db := numbering(t)
	w := open(t, "sequence-raise-max", target)
	w.ends(w.run(map[string]any{"type": "COR"}), engine.RunOK)
	again := w.run(map[string]any{"type": "COR"})
	w.ends(again, engine.RunOK)
	if w.state(again, "raise") != engine.Skipped || ask[int64](t, db, maxOfCOR) != 9999990 || ask[int64](t, db, auditRows) != 1 {
		t.Errorf("raise is %s, maximum %d, audit rows %d", w.state(again, "raise"), ask[int64](t, db, maxOfCOR), ask[int64](t, db, auditRows))
	}
	// 88,001 of 99,999 numbers were used last year; this year has its own sequence.
	yearly := w.run(map[string]any{"type": "RFA"})
	w.ends(yearly, engine.RunOK)
	if w.state(yearly, "raise") != engine.Skipped {
		t.Error("a yearly type was raised for what it had used last year")
	}
}

func TestRaiseMaxRefusesAnUnknownType(t *testing.T) {
	target, db := numbering(t)
	w := open(t, "sequence-raise-max", target)
	w.ends(w.run(map[string]any{"type": "NIX"}), engine.RunFailed)
	if n := ask[int64](t, db, auditRows); n != 0 {
		t.Errorf("%d audit rows were written", n)
	}
}

// TestRaiseMaxIsOneTransaction: the audit table takes no row, so the maximum must stay, too.
func TestRaiseMaxIsOneTransaction(t *testing.T) {
	target, db := numbering(t)
	mustExec(t, db, "ALTER TABLE document_numbering_audit_logs ADD CONSTRAINT closed CHECK (operation <> 'ADJUST_MAX_VALUE')")
	w := open(t, "sequence-raise-max", target)
	w.ends(w.run(map[string]any{"type": "COR"}), engine.RunFailed)
	if got := ask[int64](t, db, maxOfCOR); got != 999999 {
		t.Errorf("the maximum is %d, without an audit row", got)
	}
}

func TestYearlyResetOpensEachTypeOnce(t *testing.T) {
	target, db := numbering(t)
	w := open(t, "sequence-yearly-reset", target)
	r := w.run(nil)
	w.ends(r, engine.RunOK)
	if got := engine.Text(r.Outputs()); got != "{opened: 2, year: 2026}" {
		t.Errorf("outputs: %s", got) // 2026 in Bangkok, 2025 by the server's clock
	}
	again := w.run(nil)
	w.ends(again, engine.RunOK)
	if w.state(again, "open") != engine.Skipped || ask[int64](t, db, doubled) != 0 || ask[int64](t, db, sequences) != 6 {
		t.Errorf("after the second run: open is %s, %d types are wrong, %d sequences", w.state(again, "open"),
			ask[int64](t, db, doubled), ask[int64](t, db, sequences))
	}
	w.ends(w.run(map[string]any{"year": 2031}), engine.RunOK)
	if n := ask[int64](t, db, sequences+" WHERE scope_value = '2031' AND current_value = 0"); n != 2 {
		t.Errorf("%d sequences for 2031", n)
	}
}

func TestYearlyResetLeavesAYearThatIsInUse(t *testing.T) {
	target, db := numbering(t)
	mustExec(t, db, "INSERT INTO document_numbering_sequences (config_id, scope_value, current_value) VALUES (2, '2026', 17)")
	w := open(t, "sequence-yearly-reset", target)
	w.ends(w.run(nil), engine.RunOK)
	if n := ask[int64](t, db, "SELECT current_value FROM document_numbering_sequences WHERE config_id = 2 AND scope_value = '2026'"); n != 17 {
		t.Errorf("a sequence in use was set to %d", n)
	}
}

// TestTwoYearlyResetsAtOnce: from two hosts, where Handrail's own lock does not reach. The second may fail,
// because what it had seen missing is there; it may not double anything.
func TestTwoYearlyResetsAtOnce(t *testing.T) {
	target, db := numbering(t)
	type result struct {
		run *engine.Run
		err error
	}
	results := make(chan result)
	for host := range byte(2) {
		w := open(t, "sequence-yearly-reset", target)
		w.runs = 10 * host // the runs are two, and so are their ids
		start := w.started(nil)
		go func() {
			r, err := w.drive(start, &truth.Ledger{})
			results <- result{r, err}
		}()
	}
	for range 2 {
		if got := <-results; got.err != nil {
			t.Error(got.err)
		}
	}
	if n := ask[int64](t, db, doubled); n != 0 {
		t.Errorf("%d yearly types do not have exactly one sequence", n)
	}
}

func TestReservationSweepRemovesOnlyWhatHasNoExpiry(t *testing.T) {
	server := servers.Redis(t)
	c := server.Client()
	p := c.Pipeline()
	for i := range 3000 {
		p.Set(t.Context(), "reservation:stale:"+strconv.Itoa(i), "x", 0)
	}
	for i := range 100 {
		p.Set(t.Context(), "reservation:live:"+strconv.Itoa(i), "x", time.Hour)
	}
	p.Set(t.Context(), "other", "x", 0)
	if _, err := p.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := open(t, "reservation-sweep", steps.Target{Name: "cache", Type: "redis", Settings: server.Settings()})

	before := c.DBSize(t.Context()).Val()
	if s := line(t, w.plan(nil), "sweep"); len(s.Figures) == 0 || s.Figures[0].Value != 3000 || s.Figures[0].Certainty != engine.FigureExact {
		t.Errorf("the plan says %+v", s.Figures)
	}
	if after := c.DBSize(t.Context()).Val(); after != before {
		t.Fatalf("the plan changed the number of keys from %d to %d", before, after)
	}

	r := w.run(nil)
	w.ends(r, engine.RunOK)
	if got := engine.Text(r.Outputs()); got != "{swept: 3000}" {
		t.Errorf("outputs: %s", got)
	}
	left := len(c.Keys(t.Context(), "reservation:*").Val())
	if left != 100 || c.Exists(t.Context(), "other").Val() != 1 {
		t.Errorf("%d reservations are left, other: %d", left, c.Exists(t.Context(), "other").Val())
	}
	w.ends(w.run(nil), engine.RunOK) // nothing left is no fault
}

// TestPlansReadAndTell: a dry-run of the numbering playbooks changes nothing and shows what would happen.
func TestPlansReadAndTell(t *testing.T) {
	target, db := numbering(t)
	tables := "document_numbering_configs, document_numbering_sequences, document_numbering_audit_logs"
	before := checksum(t, db, tables)
	raise := open(t, "sequence-raise-max", target).plan(map[string]any{"type": "COR"})
	if s := line(t, raise, "raise"); s.Standing != engine.StandingWould || s.Class != engine.ClassTransactional {
		t.Errorf("raise: %+v", s)
	}
	if s := line(t, raise, "proven"); s.KnownAfter != "raise" {
		t.Errorf("proven is known after %q", s.KnownAfter)
	}
	if s := line(t, open(t, "sequence-raise-max", target).plan(map[string]any{"type": "DWG"}), "raise"); s.Standing != engine.StandingSkip {
		t.Errorf("a type with room: %+v", s)
	}
	reset := open(t, "sequence-yearly-reset", target).plan(nil)
	if s := line(t, reset, "open"); s.Standing != engine.StandingWould {
		t.Errorf("open: %+v", s)
	}
	if after := checksum(t, db, tables); after != before {
		t.Errorf("a plan changed the tables:\n%s\n%s", before, after)
	}
	if n := ask[int64](t, db, "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()"); n != 3 {
		t.Errorf("a plan left %d tables", n)
	}
}

func line(t *testing.T, p *preview.Plan, step string) preview.Step {
	t.Helper()
	for _, s := range p.Steps {
		if s.Path == step {
			return s
		}
	}
	t.Fatalf("the plan has no step %s: %s", step, p.Error)
	return preview.Step{}
}

func checksum(t *testing.T, db *sql.DB, tables string) string {
	t.Helper()
	rows, err := db.Query("CHECKSUM TABLE " + tables)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all strings.Builder
	for rows.Next() {
		var name, sum string
		if err := rows.Scan(&name, &sum); err != nil {
			t.Fatal(err)
		}
		all.WriteString(name + " " + sum + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func mustExec(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}
