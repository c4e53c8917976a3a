package playbook_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/playbook"
)

var update = flag.Bool("update", false, "write the golden files anew")

// load loads a playbook that must be right.
func load(t testing.TB, text string) *engine.Playbook {
	t.Helper()
	pb, err := playbook.Load("test.yaml", []byte(text), testCatalogue(), nil)
	if err != nil {
		t.Fatal(rendered(err))
	}
	return pb
}

func rendered(err error) string {
	if err == nil {
		return ""
	}
	var all []string
	for _, d := range playbook.Diagnostics(err) {
		all = append(all, d.Render())
	}
	return strings.Join(all, "\n") + "\n"
}

// TestBadFiles loads every testdata/bad/*.yaml; what is said about it stands in a .golden beside it. A
// first line `# environment` means that the file is an environment.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d files (%v)", len(files), err)
	}
	env, err := playbook.LoadEnvironment("staging.yaml", []byte("targets:\n  db: {sqlite: {file: a.db}}\nsecrets:\n  DB_PASSWORD: {env: X}\n"), testCatalogue())
	if err != nil {
		t.Fatal(rendered(err))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Base(file)
			switch {
			case strings.HasPrefix(string(text), "# environment"):
				_, err = playbook.LoadEnvironment(name, text, testCatalogue())
			case strings.HasPrefix(string(text), "# in staging"):
				_, err = playbook.Load(name, text, testCatalogue(), env)
			default:
				_, err = playbook.Load(name, text, testCatalogue(), nil)
			}
			if err == nil {
				t.Fatal("it loads")
			}
			got := rendered(err)
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

const raiseMax = `# yaml-language-server: $schema=./playbook.schema.json
playbook: test
description: Raises the maximum of a numbering sequence that is nearly used up.
timezone: Asia/Bangkok
objectives: {rto: 5m}
inputs:
  type:   {type: string, pattern: "^[A-Z]{2,5}$", description: "Document type, such as COR"}
  factor: {type: integer, default: 10, min: 2, max: 100}
targets:
  db: mysql
locks: [numbering]
vars:
  today: ${{ now() }}            # evaluated once, recorded, the same after a resume
steps:
  - id: usage
    title: How full is it?
    on: db
    sql:
      query: SELECT current_value, max_value FROM c WHERE c.document_type = :type
      args: {type: "${{ inputs.type }}"}
    expect: len(rows) == 1

  - id: raise
    when: steps.usage.rows[0].current_value > 0.8 * steps.usage.rows[0].max_value
    sql:
      args: {type: "${{ inputs.type }}", factor: "${{ inputs.factor }}", day: "${{ vars.today.Format(\"2006-01-02\") }}"}
      transaction:
        - {query: SELECT max_value FROM c FOR UPDATE, as: old}
        - {exec: UPDATE c SET max_value = max_value * :factor WHERE document_type = :type, expect: affected == 1}
        - {exec: "INSERT INTO audit_logs (old_value) VALUES (:old)", args: {old: "${{ old.rows[0].max_value }}"}}
    timeout: 30s
    retry: {attempts: 3, backoff: 1s..10s}

  - id: proven
    verify:
      - sql: {query: SELECT max_value FROM c}
        expect: rows[0].max_value == steps.usage.rows[0].max_value * inputs.factor
        tolerate: rows[0].max_value > steps.usage.rows[0].max_value
        message: maximum is ${{ rows[0].max_value }}
outputs: {max: "steps.proven.rows[0].max_value"}
always: []
`

func TestLoadsTheExampleOfTheDesign(t *testing.T) {
	pb := load(t, raiseMax)
	if len(pb.Steps) != 3 || pb.Timezone.String() != "Asia/Bangkok" || pb.Objectives.RTO.Minutes() != 5 {
		t.Fatalf("%+v", pb)
	}
	usage, raise, proven := pb.Steps[0], pb.Steps[1], pb.Steps[2]
	if !usage.Kept || raise.Kept || !proven.Kept {
		t.Errorf("kept: %v %v %v", usage.Kept, raise.Kept, proven.Kept)
	}
	if usage.Class != engine.ClassRead || raise.Class != engine.ClassTransactional || raise.Target != "db" {
		t.Errorf("%v %v %q", usage.Class, raise.Class, raise.Target)
	}
	if raise.Retry.Attempts != 3 || raise.Retry.Max.Seconds() != 10 || raise.Timeout.Seconds() != 30 {
		t.Errorf("%+v %v", raise.Retry, raise.Timeout)
	}
	scope := engine.FixedScope(engine.Record{
		"inputs": engine.Record{"type": "COR", "factor": int64(10)},
		"vars":   engine.Record{"today": mustTime(t, "2026-01-02T03:04:05Z")},
		"steps":  engine.Record{"usage": engine.Record{"rows": engine.List{engine.Record{"current_value": int64(90), "max_value": int64(100)}}}},
	})
	if due, err := engine.Test(raise.When, scope); err != nil || !due {
		t.Errorf("when: %v %v", due, err)
	}
	v, err := raise.Params.Render(scope)
	if err != nil {
		t.Fatal(err)
	}
	params := v.(engine.Record)
	if day := params["args"].(engine.Record)["day"]; day != "2026-01-02" {
		t.Errorf("day is %v", day)
	}
	entries := params["transaction"].(engine.List)
	if entries[0].(engine.Record)["as"] != "old" {
		t.Errorf("%v", entries[0])
	}
	affected := entries[1].(engine.Record)["expect"].(engine.Condition)
	for n, want := range map[int64]bool{1: true, 2: false} {
		if holds, err := affected.Holds(engine.Record{"affected": n}, nil); err != nil || holds != want {
			t.Errorf("expect with %d: %v %v", n, holds, err)
		}
	}
	old := entries[2].(engine.Record)["args"].(engine.Record)["old"].(engine.Late)
	bound := engine.Record{"old": engine.Record{"rows": engine.List{engine.Record{"max_value": int64(7)}}}}
	if v, err := old.Render(bound); err != nil || v != int64(7) {
		t.Errorf("old: %v %v", v, err)
	}
}

func TestADiagnosticIsReachedThroughTheError(t *testing.T) {
	_, err := playbook.Load("x/test.yaml", []byte("playbook: test\nsteps:\n  - {id: a, wait: {four: 1s}}\n"), testCatalogue(), nil)
	var d *playbook.Diagnostic
	if !errors.As(err, &d) || d.Pos.Line != 3 || d.Pos.Column != 20 || d.Source == "" {
		t.Fatalf("%v: %+v", err, d)
	}
	if got := err.Error(); got != "x/test.yaml:3:20: wait has no operation four" {
		t.Error(got)
	}
}
