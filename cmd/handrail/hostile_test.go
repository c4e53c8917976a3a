package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// hostilePlaybook brings a value to every kind of target, and brings what came back there once more.
const hostilePlaybook = `inputs: {v: {type: string, description: Something hostile}}
targets: {db: mysql, lite: sqlite, cache: redis}
steps:
  - id: lite
    on: lite
    sql: {exec: "INSERT INTO ledger (v) VALUES (:v)", args: {v: "${{ inputs.v }}"}}
  - id: back
    on: lite
    sql: {query: "SELECT v FROM ledger"}
  - id: maria
    on: db
    sql: {transaction: [{exec: "INSERT INTO ledger (v) VALUES (:v)", args: {v: "${{ steps.back.rows[0].v }}"}}]}
  - id: cache
    redis: {transaction: [[SET, "{h}:v", "${{ steps.back.rows[0].v }}"]]}
  - id: shell
    exec: {shell: 'printf %s "$V" > shell', env: {V: "${{ steps.back.rows[0].v }}"}}
  - id: argv
    exec: {argv: [sh, -c, 'printf %s "$1" > argv; printf %s "$1"', sh, "${{ steps.back.rows[0].v }}"]}
  - id: again
    exec: {argv: [sh, -c, 'printf %s "$1" > again', sh, "${{ steps.argv.stdout }}"]}
`

// What comes from outside reaches every target as it is: it is never SQL, nor a shell's, nor a template.
func TestHostileValuesAreData(t *testing.T) {
	g := newGround(t)
	settings := servers.MySQL(t)
	db, redis := servers.Open(t, settings), servers.Redis(t)
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE ledger (v VARCHAR(200) COLLATE utf8mb4_bin) ENGINE=InnoDB"); err != nil {
		t.Fatal(err)
	}
	lite := filepath.Join(g.dir, "lite.db")
	g.target("db", "mysql", settings)
	g.target("cache", "redis", redis.Settings())
	g.target("lite", "sqlite", engine.Record{"file": lite})
	g.playbook("prepare", "targets: {lite: sqlite}\nsteps:\n  - {id: drop, on: lite, sql: {exec: DROP TABLE IF EXISTS ledger}}\n  - {id: make, on: lite, sql: {exec: \"CREATE TABLE ledger (v TEXT)\"}}\n")
	g.playbook("hostile", hostilePlaybook)
	fresh := func() {
		if f, err := os.OpenFile(lite, os.O_CREATE, 0o600); err != nil || f.Close() != nil {
			t.Fatal(err)
		}
		g.handrail("run", "prepare", "--yes").is(0)
		if _, err := db.ExecContext(t.Context(), "DELETE FROM ledger"); err != nil {
			t.Fatal(err)
		}
	}
	for _, value := range []string{
		`'; DROP TABLE ledger; --`, `" OR ""="`, `\'; DROP TABLE ledger; #`, "$(touch hacked)", "`touch hacked`", "; touch hacked",
		"two\nlines", "tab\tand\rreturn", `${{ secrets.X }}`, `${{ 1 + 1 }}`, `{{.}} %s %n`, "-rf", "\u202eevil", "*",
	} {
		fresh()
		g.handrail("run", "hostile", "--yes", "-i", "v="+value).is(0)
		got := map[string]string{"redis": redis.Client().Get(t.Context(), "{h}:v").Val()}
		var inMaria string
		if err := db.QueryRowContext(t.Context(), "SELECT v FROM ledger").Scan(&inMaria); err != nil {
			t.Fatal(err)
		}
		got["mysql"] = inMaria
		for _, name := range []string{"shell", "argv", "again"} {
			b, err := os.ReadFile(filepath.Join(g.dir, name))
			if err != nil {
				t.Fatal(err)
			}
			got[name] = string(b)
		}
		for where, is := range got {
			// A result leaves out the line ends at its end, as a shell's $(…) does.
			if is != value && (where != "again" || is != strings.TrimRight(value, "\r\n")) {
				t.Errorf("%q came to %s as %q", value, where, is)
			}
		}
		if _, err := os.Stat(filepath.Join(g.dir, "hacked")); err == nil {
			t.Fatalf("%q was run", value)
		}
	}
	// A NUL cannot stand in an argument, an environment or a database's text: it is refused, not cut off.
	fresh()
	g.handrail("run", "hostile", "--yes", "-i", "v=before\x00after").is(1)
	for _, name := range []string{"shell", "argv"} {
		if b, err := os.ReadFile(filepath.Join(g.dir, name)); err != nil || string(b) == "before" {
			t.Errorf("%s has %q, %v", name, b, err)
		}
	}
}
