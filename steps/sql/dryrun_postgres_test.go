package sql_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
	"github.com/handrail-dev/handrail/steps/steptest/witness"
)

// TestPostgresItselfSaysThatADryRunWritesNothing: no shipped playbook acts on PostgreSQL, so every operation is previewed here, by a user
// who may write everything. The witnesses are shown to see each what they are there for.
func TestPostgresItselfSaysThatADryRunWritesNothing(t *testing.T) {
	settings := servers.PrivatePostgres(t, witness.PostgresStill()...).Settings()
	// The witnesses wait until nobody else is connected, and the ground keeps a connection.
	db := servers.OpenPostgres(t, settings)
	db.SetMaxOpenConns(1)
	g := ground{target: steps.Target{Name: "db", Type: "postgres", Settings: settings}, db: db}
	g.stock(t)
	dir := t.TempDir()
	dump := filepath.Join(dir, "whole.sql")
	t.Run("before", func(t *testing.T) { // its connection ends with it
		ok(t, g.stepUnder(t, steps.Full, "dump", engine.Record{"dump": dump}).do())
	})
	watches := map[string]witness.Watch{"write-ahead log": witness.PostgresWAL(db), "pg_stat": witness.PostgresStat(db), "files": witness.Files([]string{dir})}
	found := witness.While(t, watches, func() {
		for name, params := range map[string]engine.Record{
			"query": query("SELECT * FROM stock"), "exec": exec("UPDATE stock SET n = 0"), "transaction": transaction(exec("UPDATE stock SET n = 0"), exec("DELETE FROM stock")),
			"script": script("CREATE TABLE made (a INT); INSERT INTO made VALUES (1); DROP TABLE stock"),
			"export": {"export": "SELECT * FROM stock", "to": filepath.Join(dir, "out.csv")}, "dump": {"dump": filepath.Join(dir, "other.sql")},
			"restore": {"restore": dump, "safety": filepath.Join(dir, "safety.sql")},
		} {
			t.Run(name, func(t *testing.T) {
				s := g.stepUnder(t, steps.ReadOnly, name, params)
				if impact, err := s.op.Preview(t.Context(), s.env); err != nil || impact.Standing != engine.StandingWould {
					t.Errorf("%s %s, %v", impact.Standing, impact.Why, err)
				}
			})
		}
	})
	for who, said := range found {
		t.Errorf("%s says: %q", who, said)
	}
	for what, c := range map[string]struct {
		write  func() error
		seenBy string
	}{
		"a row":        {func() error { _, err := db.Exec("UPDATE stock SET n = n + 1"); return err }, "pg_stat"},
		"a table":      {func() error { _, err := db.Exec("CREATE TABLE left_behind (a INT)"); return err }, "write-ahead log"},
		"a sequence":   {func() error { _, err := db.Exec("SELECT nextval('moved')"); return err }, "write-ahead log"},
		"a lock":       {func() error { _, err := db.Exec("SELECT pg_advisory_lock(1)"); return err }, "pg_stat"},
		"a file":       {func() error { return os.WriteFile(filepath.Join(dir, "new"), nil, 0o600) }, "files"},
		"a dump moved": {func() error { return os.Rename(dump, dump+".old") }, "files"},
	} {
		if what == "a sequence" {
			g.must(t, "CREATE SEQUENCE moved")
		}
		found := witness.While(t, watches, func() {
			if err := c.write(); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		})
		if len(found[c.seenBy]) == 0 {
			t.Errorf("%s: %s has not seen it, but %v", what, c.seenBy, found)
		}
	}
}
