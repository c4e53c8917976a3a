package main

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

const pruned = `inputs: {k: {type: string, description: the effect}}
targets: {db: KIND}
steps:
  - {id: note, sql: {args: {k: "${{ inputs.k }}"}, transaction: [{exec: "INSERT INTO ledger (k) VALUES (:k)", expect: affected == 1}]}}
  - {id: then, exec: {argv: [cat, there]}}
`

// shows asks for what is said on stdout.
func (s said) shows(wants ...string) {
	s.g.t.Helper()
	for _, want := range wants {
		if !strings.Contains(s.out, want) {
			s.g.t.Errorf("%q is not shown:\n%s%s", want, s.out, s.errors)
		}
	}
}

// TestPruneForgetsARunWithItsMarkers: old runs go, and with them what the database keeps of them. What can go on and
// the newest good run stay, markers and all.
func TestPruneForgetsARunWithItsMarkers(t *testing.T) {
	lite := filepath.Join(t.TempDir(), "ledger.db")
	for kind, open := range map[string]func(t *testing.T) (engine.Record, *sql.DB){
		"mysql": func(t *testing.T) (engine.Record, *sql.DB) { s := servers.MySQL(t); return s, servers.Open(t, s) },
		"postgres": func(t *testing.T) (engine.Record, *sql.DB) {
			s := servers.Postgres(t)
			return s, servers.OpenPostgres(t, s)
		},
		"sqlite": func(t *testing.T) (engine.Record, *sql.DB) {
			return engine.Record{"file": lite}, openSQLite(t, lite)
		},
	} {
		t.Run(kind, func(t *testing.T) {
			settings, db := open(t)
			if _, err := db.ExecContext(t.Context(), "CREATE TABLE ledger (k VARCHAR(64))"); err != nil {
				t.Fatal(err)
			}
			g := newGround(t)
			g.target("db", kind, settings)
			g.playbook("note", strings.Replace(pruned, "KIND", kind, 1))
			count := func(query string) (n int) {
				t.Helper()
				if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
					t.Fatal(err)
				}
				return n
			}
			marked := func(run string) int {
				t.Helper()
				return count("SELECT COUNT(*) FROM handrail_markers WHERE token LIKE '" + run + "/%'")
			}
			g.write("there", "")
			g.handrail("run", "--yes", "note", "-i", "k=old").is(0)
			old := g.last()
			g.handrail("run", "--yes", "note", "-i", "k=good").is(0)
			good := g.last()
			if err := os.Remove(filepath.Join(g.dir, "there")); err != nil {
				t.Fatal(err)
			}
			g.handrail("run", "--yes", "note", "-i", "k=failed").is(1)
			failed := g.last()
			all := count("SELECT COUNT(*) FROM handrail_markers")

			g.handrail("prune", "--older-than", "1d").is(0, "old enough")
			g.handrail("prune", "--older-than", "0s", "--dry-run").is(0).shows(old+"  note  ok", "1 marker: would be removed")
			if n := count("SELECT COUNT(*) FROM handrail_markers"); n != all || marked(old) != 1 {
				t.Errorf("a dry-run leaves %d of %d markers", n, all)
			}
			g.handrail("show", old).is(0)
			g.handrail("prune", "--older-than", "0s").is(0).shows(old+"  note  ok", "1 marker: removed")
			g.handrail("show", old).is(2, "no such run")
			if marked(old) != 0 || marked(good) != 1 || marked(failed) != 1 || count("SELECT COUNT(*) FROM handrail_markers") != all-1 {
				t.Errorf("markers: %d of the old run, %d of the good one, %d of the failed one", marked(old), marked(good), marked(failed))
			}
			if n := count("SELECT COUNT(*) FROM ledger"); n != 3 {
				t.Errorf("%d effects are left of 3", n)
			}
			g.handrail("prune", "--older-than", "0s").is(0, "old enough")
			g.write("there", "")
			g.handrail("resume", failed).is(0) // its marker is there: nothing was forgotten
			if n := count("SELECT COUNT(*) FROM ledger WHERE k = 'failed'"); n != 1 {
				t.Errorf("the effect of the failed run is there %d times", n)
			}
			// Now the failed run is the newest good one, and the one before it may go.
			g.handrail("prune", "--older-than", "0s", "-o", "json").is(0).shows(`"id": "`+good+`"`, `"removed": true`, `"markers": 1`)
		})
	}
}

// TestPruneKeepsARunWhoseTargetIsAway: without its folder nobody would know where its markers are.
func TestPruneKeepsARunWhoseTargetIsAway(t *testing.T) {
	g := newGround(t)
	file := filepath.Join(g.dir, "ledger.db")
	db := openSQLite(t, file)
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE ledger (k VARCHAR(64))"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	g.target("db", "sqlite", engine.Record{"file": file})
	g.playbook("note", strings.Replace(pruned, "KIND", "sqlite", 1))
	g.write("there", "")
	g.handrail("run", "--yes", "note", "-i", "k=old").is(0)
	old := g.last()
	g.handrail("run", "--yes", "note", "-i", "k=new").is(0)
	if err := os.Rename(file, file+".away"); err != nil {
		t.Fatal(err)
	}
	g.handrail("prune", "--older-than", "0s").is(1).shows(old, "stays: the markers on target db")
	g.handrail("show", old).is(0)
	if err := os.Rename(file+".away", file); err != nil {
		t.Fatal(err)
	}
	g.handrail("prune", "--older-than", "0s").is(0).shows(old, "1 marker: removed")
	for age, code := range map[string]int{"90d": 0, "12w": 0, "36h": 0, "90": 2, "d": 2, "-1d": 2, "soon": 2} {
		g.handrail("prune", "--older-than="+age).is(code)
	}
	g.handrail("prune").is(2, "older-than")
}
