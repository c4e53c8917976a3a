package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/handrail-dev/handrail/cmd/internal/view"
	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/internal/schematest"
)

// publishedSchema is the one of docs, under a validator that had no part in making it.
func publishedSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := os.ReadFile("../../docs/plan.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schematest.Compile(t, text)
}

// reviewGround has a playbook of which every form of a plan has something to say.
func reviewGround(t *testing.T) *ground {
	t.Helper()
	g := newGround(t)
	g.target("db", "sqlite", engine.Record{"file": filepath.Join(g.dir, "shop.db")})
	g.sqlite("CREATE TABLE orders (id INTEGER PRIMARY KEY, state TEXT); INSERT INTO orders VALUES (1, 'old'), (2, 'old'), (3, 'new'); CREATE TABLE old_orders (id INTEGER)")
	g.playbook("inner", "steps: [{id: note, exec: {argv: [echo, inside]}}]\n")
	g.playbook("clean", `inputs: {state: {type: string, default: old}, token: {type: secret}}
targets: {db: sqlite}
steps:
  - {id: count, sql: {query: "SELECT COUNT(*) AS n FROM orders"}}
  - {id: sure, approve: {message: "remove @everyone | ${{ steps.count.rows[0].n }}"}}
  - {id: purge, title: "Remove <b>old</b> orders", sql: {exec: "DELETE FROM orders WHERE state = :s", args: {s: "${{ inputs.state }}"}}}
  - {id: drop, sql: {exec: DROP TABLE old_orders}}
  - {id: nested, playbook: {run: inner}}
  - {id: echo, sql: {query: "SELECT :t AS t", args: {t: "${{ inputs.token }}"}}, expect: "rows[0].t != 'x'"}
  - {id: never, when: inputs.state == "none", exec: {argv: [echo, never]}}
always:
  - {id: after, sql: {query: "SELECT COUNT(*) AS n FROM orders"}}
`)
	return g
}

// sqlite gives statements to the database of the test.
func (g *ground) sqlite(statements string) {
	g.t.Helper()
	file, _ := g.targets["db"]["sqlite"]["file"].(string)
	db := openSQLite(g.t, file)
	defer func() { _ = db.Close() }() // what it was given is there, or the next line says so
	if _, err := db.ExecContext(g.t.Context(), statements); err != nil {
		g.t.Fatal(err)
	}
}

var madeAt = regexp.MustCompile(`"made_at": "[^"]*"|at [0-9T:-]+Z`)

// TestEveryFormOfAPlan is what its schema says, fits into a comment, and is the same when nothing has changed.
func TestEveryFormOfAPlan(t *testing.T) {
	own, bare, schema := reviewGround(t), newGround(t), publishedSchema(t)
	names := []string{"clean"}
	shipped, err := filepath.Glob("../../playbooks/*.yaml")
	if err != nil || len(shipped) == 0 {
		t.Fatal(err)
	}
	for _, f := range shipped {
		names = append(names, stem(f))
	}
	minute := time.Now().UTC().Truncate(time.Minute) // names of files hold the time
	own.now, bare.now = func() time.Time { return minute }, func() time.Time { return minute }
	planned := 0
	for _, name := range names {
		g, args := own, []string{"plan", name, "-i", "token=hunter2-hunter2"}
		if name != "clean" {
			g, args = bare, []string{"plan", name, "--offline"}
		}
		doc := g.handrail(append(args, "-o", "json")...)
		if doc.code == int(exitWrong) && strings.Contains(doc.errors, "input") {
			continue // it wants inputs that only its own test knows
		}
		planned++
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(doc.out))
		if err != nil {
			t.Fatalf("%s: %v\n%s%s", name, err, doc.out, doc.errors)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, form := range []string{"json", "markdown", "text"} {
			one, two := g.handrail(append(args, "-o", form)...), g.handrail(append(args, "-o", form)...)
			if madeAt.ReplaceAllString(one.out, "") != madeAt.ReplaceAllString(two.out, "") {
				t.Errorf("%s: two plans of the same differ:\n%s\n%s", name, one.out, two.out)
			}
			if form == "markdown" && len(one.out) > view.CommentLimit {
				t.Errorf("%s: %d bytes", name, len(one.out))
			}
		}
	}
	if planned < 5 {
		t.Errorf("only %d playbooks were planned", planned)
	}
}

func TestMarkdownOfAPlan(t *testing.T) {
	g := reviewGround(t)
	page := g.handrail("plan", "clean", "-o", "markdown", "-i", "token=hunter2-hunter2").is(0).never("hunter2").never("@everyone").never("<b>")
	for _, want := range []string{"### Plan of <code>clean</code> in environment <code>default</code>", "8 steps: 3 read / ", " / 1 destroy / 1 need approval",
		"| <code>purge</code><br>Remove &#60;b&#62;old", "rows: 2 (exact)", "<details><summary><code>purge</code>", "left out: "} {
		if !strings.Contains(page.out, want) {
			t.Errorf("%q is missing:\n%s", want, page.out)
		}
	}
	if small := g.handrail("plan", "clean", "-i", "token=hunter2-hunter2", "-o", "markdown", "--limit", "900").is(0); len(small.out) > 900 {
		t.Errorf("%d bytes", len(small.out))
	}
}

// TestAPlanCanHoldUpAPullRequest: what is ruled out ends with exit code 1.
func TestAPlanCanHoldUpAPullRequest(t *testing.T) {
	g := reviewGround(t)
	g.handrail("plan", "clean", "-i", "token=hunter2-hunter2", "--fail-on", "destroy").is(1, "--fail-on destroy: step drop: ")
	g.handrail("plan", "clean", "-i", "token=hunter2-hunter2", "--fail-on", "change").is(1, "step nested/note: ")
	g.handrail("plan", "clean", "-i", "token=hunter2-hunter2").is(0)
	g.handrail("plan", "clean", "-i", "token=hunter2-hunter2", "--fail-on", "destruction").is(2, "there are change, destroy, irreversible, unknown, never")
	g.playbook("calm", "targets: {db: sqlite}\nsteps: [{id: look, sql: {query: SELECT 1 AS n}}]\n")
	g.handrail("plan", "calm", "--fail-on", "change").is(0)
	g.playbook("lost", "targets: {db: sqlite}\nsteps: [{id: look, sql: {query: SELECT x FROM nowhere}}]\n")
	g.handrail("plan", "lost", "--fail-on", "destroy").is(1)
	g.handrail("plan", "lost", "--fail-on", "never").is(0)
}
