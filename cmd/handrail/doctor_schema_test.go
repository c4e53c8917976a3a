package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/handrail-dev/handrail/internal/schematest"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// TestWhatDoctorSaysIsAsItsSchemaSays: with findings of every sort, and without any.
func TestWhatDoctorSaysIsAsItsSchemaSays(t *testing.T) {
	g := newSQLGround(t, servers.MySQL(t))
	schema := g.handrail("schema", "doctor").tells(0).out
	published, err := os.ReadFile(filepath.Join("..", "..", "docs", "doctor.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	if string(published) != schema {
		t.Error("docs/doctor.schema.json is not what doctor says; write it anew with `make docs`")
	}
	valid := schematest.Compile(t, []byte(schema))
	holds := func(s said) (findings int) {
		t.Helper()
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(s.out)))
		if err != nil {
			t.Fatalf("%v in %s", err, s.out)
		}
		if err := valid.Validate(v); err != nil {
			t.Errorf("%v in %s", err, s.out)
		}
		var told struct {
			Playbooks []struct{ Findings []any }
			Machine   []any
		}
		if err := json.Unmarshal([]byte(s.out), &told); err != nil {
			t.Fatal(err)
		}
		for _, p := range told.Playbooks {
			findings += len(p.Findings)
		}
		return findings + len(told.Machine)
	}
	if n := holds(g.handrail("doctor", "-o", "json", "add").tells(0)); n != 0 {
		t.Errorf("%d findings", n)
	}
	g.playbook("wrong", "targets: {db: mysql}\nsteps:\n  - {id: a, sql: {query: SELECT n FROM nowhere}}\n  - {id: b, exec: {argv: [no-such-program]}}\n")
	g.playbook("broken", "targets: {db: mysql}\nsteps:\n  - {id: a, sqll: {query: SELECT 1}}\n")
	g.write("file", "")
	t.Setenv("HANDRAIL_STATE", filepath.Join(g.dir, "file", "state"))
	if n := holds(g.handrail("doctor", "--shipped", "-o", "json").tells(1)); n < 3 {
		t.Errorf("%d findings", n)
	}
	var whole map[string]any
	if err := json.Unmarshal([]byte(schema), &whole); err != nil || whole["title"] == nil {
		t.Errorf("%v, %v", whole["title"], err)
	}
}
