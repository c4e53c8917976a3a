package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// nestedCrashPlaybooks: the effects are two playbooks deep, and what is written there comes from the top.
var nestedCrashPlaybooks = map[string]string{
	"top.yaml": `playbook: top
inputs: {key: {type: string}}
targets: {file: sqlite}
steps:
  - {id: mid, playbook: {run: mid, inputs: {key: "${{ inputs.key }}"}, targets: {ledger: file}}}
  - {id: proven, verify: [{sql: {query: "SELECT COUNT(*) AS n FROM ledger WHERE k = :k", args: {k: "${{ steps.mid.key }}"}}, expect: "rows[0].n == 1"}]}
outputs: {key: steps.mid.key}
`,
	"mid.yaml": `playbook: mid
inputs: {key: {type: string}}
targets: {ledger: sqlite}
steps:
  - {id: proven, sql: {query: SELECT 1}}
  - {id: low, playbook: {run: ./low.yaml, inputs: {text: "${{ inputs.key }}"}, targets: {file: ledger}}}
outputs: {key: steps.low.written}
`,
	"low.yaml": `playbook: low
inputs: {text: {type: string}}
targets: {file: sqlite}
vars: {k: "${{ inputs.text }}"}
steps:
  - {id: lite, sql: {exec: "INSERT INTO ledger (k) VALUES (:k)", args: {k: "${{ vars.k }}"}}, expect: affected == 1}
  - {id: command, exec: {argv: [sh, -c, "echo $1 >> ledger.txt", sh, "${{ inputs.text }}"]}}
outputs: {written: vars.k}
always:
  - {id: tidy, effect: idempotent, exec: {argv: ["true"]}}
`,
}

// TestACrashInANestedPlaybookLosesAndRepeatsNothing kills a real engine at each point that it passes, and again in
// its recovery.
func TestACrashInANestedPlaybookLosesAndRepeatsNothing(t *testing.T) {
	s := newFileStand(t)
	for name, text := range nestedCrashPlaybooks {
		s.write(name, text)
	}
	s.write("here.yaml", fmt.Sprintf("targets:\n  file: {sqlite: {file: %q}}\n", s.liteFile))
	for point := 1; ; point++ {
		key := "k" + strconv.Itoa(point)
		state := filepath.Join(s.dir, "state-"+key)
		code, killed, _, stderr := s.handrail(state, point, "run", "./top.yaml", "--env", "./here.yaml", "--yes", "-i", "key="+key)
		if !killed && code != 0 {
			t.Fatalf("point %d: exit %d\n%s", point, code, stderr)
		}
		if killed {
			runs, err := os.ReadDir(filepath.Join(state, "runs"))
			if err != nil || len(runs) != 1 {
				t.Fatalf("point %d: %v runs, %v", point, len(runs), err)
			}
			s.untilDone(state, runs[0].Name(), key, "", point%7)
		}
		for id, n := range s.count(key, "") {
			if n != 1 {
				t.Errorf("killed at point %d: the effect of step %s happened %d times", point, id, n)
			}
		}
		if !killed {
			if point < 20 {
				t.Errorf("the run passed only %d points", point)
			}
			return
		}
	}
}
