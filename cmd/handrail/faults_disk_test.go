package main

import (
	"bytes"
	"database/sql"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
)

// bookGround is a SQLite file with a ledger, and a playbook that writes many lines into it, one a step.
func bookGround(t *testing.T) (*ground, *sql.DB) {
	t.Helper()
	g := newGround(t)
	file := filepath.Join(g.dir, "book.db")
	db := openSQLite(t, file)
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE ledger (line TEXT NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	g.target("book", "sqlite", engine.Record{"file": file})
	return g, db
}

// booked asks the database which lines it has, in the order in which they were written.
func booked(t *testing.T, db *sql.DB) string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT line FROM ledger ORDER BY rowid")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, " ")
}

// mounted runs a script that may mount file systems of its own: nobody else sees them, and they are gone
// when it ends.
func (g *ground) mounted(script string) string {
	g.t.Helper()
	flags := "-m"
	if os.Geteuid() != 0 {
		flags = "-rm"
	}
	c := exec.CommandContext(g.t.Context(), "unshare", flags, "sh", "-euc", script)
	c.Dir, c.Env = g.dir, append(g.environ(), "STATE="+g.state())
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Run(); err != nil {
		g.t.Fatalf("%v\n%s", err, out.String())
	}
	said{g, 0, "", out.String()}.isForPeople()
	return out.String()
}

func TestDiskThatIsFullInTheMiddleOfARun(t *testing.T) {
	g, db := bookGround(t)
	g.playbook("book", `targets: {book: sqlite}
steps:
  - id: line
    for_each: ${{ map(1..200, string(#)) }}
    as: n
    sql: {exec: "INSERT INTO ledger VALUES (:n)", args: {n: "${{ n }}"}}
    expect: affected == 1
  - {id: proven, verify: [{sql: {query: "SELECT COUNT(*) AS n FROM ledger"}, expect: "rows[0].n == 200"}]}
`)
	out := g.mounted(`
mkdir "$STATE"; chmod 700 "$STATE"
mount -t tmpfs -o size=192k,mode=700 none "$STATE"
head -c 98304 /dev/zero > "$STATE/ballast"
code=0; handrail run --yes book || code=$?
echo "first: code=$code"
RUN=$(ls "$STATE/runs")
code=0; handrail resume $RUN || code=$?
echo "still full: code=$code"
code=0; handrail show $RUN > shown || code=$?
echo "show: code=$code"
rm "$STATE/ballast"
mount -o remount,size=8m "$STATE"
code=0; handrail resume $RUN || code=$?
echo "with space: code=$code"
handrail audit $RUN
handrail show $RUN -o json > shown.json
`)
	for _, want := range []string{"first: code=6", "no space left on device", "free some space there; see: df -h ", "the run stops here; when the disk is well again, type: handrail resume",
		"still full: code=6", "show: code=0", "with space: code=0", "the chain holds"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not said:\n%s", want, out)
		}
	}
	var want []string
	for n := 1; n <= 200; n++ {
		want = append(want, engine.Text(int64(n)))
	}
	if got := booked(t, db); got != strings.Join(want, " ") {
		t.Errorf("the ledger has %s", got)
	}
}

func TestStateFolderThatIsReadOnly(t *testing.T) {
	g, db := bookGround(t)
	g.playbook("book", `targets: {book: sqlite}
steps:
  - {id: line, sql: {exec: "INSERT INTO ledger VALUES ('once')"}}
  - {id: gate, exec: {shell: test -e open}}
  - {id: end, sql: {exec: "INSERT INTO ledger VALUES ('end')"}}
`)
	g.handrail("run", "--yes", "book").is(1)
	out := g.mounted(`
mount --bind "$STATE" "$STATE"
mount -o remount,bind,ro "$STATE"
RUN=$(ls "$STATE/runs")
touch open
code=0; handrail run --yes book || code=$?
echo "run: code=$code"
code=0; handrail resume $RUN || code=$?
echo "resume: code=$code"
code=0; handrail resolve $RUN gate done --because x || code=$?
echo "resolve: code=$code"
# What only reads goes on reading.
handrail show $RUN
handrail runs
handrail audit $RUN
handrail plan book
`)
	for _, want := range []string{"run: code=6", "nothing was begun", "read-only file system", "mount it writable", "resume: code=6", "resolve: code=6", "the chain holds"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not said:\n%s", want, out)
		}
	}
	if got := booked(t, db); got != "once" {
		t.Errorf("the ledger has %q", got)
	}
	g.handrail("resume", g.last()).is(0)
	if got := booked(t, db); got != "once end" {
		t.Errorf("the ledger has %q", got)
	}
}
