package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/cmd/internal/view"
	"github.com/handrail-dev/handrail/engine/lint"
)

// lintFiles runs the command on files, and gives what it wrote and its exit code.
func lintFiles(t *testing.T, args ...string) (string, int) {
	t.Helper()
	var out, said bytes.Buffer
	code := run(t.Context(), append([]string{"lint"}, args...), surroundings{stdin: strings.NewReader(""), stdout: &out, stderr: &said,
		env: func(string) (string, bool) { return "", false }})
	if said.Len() > 0 {
		t.Log(said.String())
	}
	return out.String(), code
}

// TestLintFindsTheTrapsOfTheProcedures: the files in testdata/traps are procedures as people write them down,
// with their faults. What is found in each is in the golden file beside it.
func TestLintFindsTheTrapsOfTheProcedures(t *testing.T) {
	files, err := filepath.Glob("testdata/traps/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(err, len(files))
	}
	for _, file := range files {
		got, code := lintFiles(t, file)
		if code != 1 {
			t.Errorf("%s: exit code %d", file, code)
		}
		golden := strings.TrimSuffix(file, ".yaml") + ".golden"
		if os.Getenv("HANDRAIL_UPDATE") != "" {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s is not what %s says:\n%s", file, golden, got)
		}
	}
}

// TestLintFindsNothingInWhatIsShipped: who looks for an example finds one without traps.
func TestLintFindsNothingInWhatIsShipped(t *testing.T) {
	for _, folder := range []string{"../../playbooks/", "../../examples/quickstart/playbooks/"} {
		if got, code := lintFiles(t, folder, "--fail-on", "note"); code != 0 {
			t.Errorf("%s", got)
		}
	}
}

// TestLintKnowsEveryRule: each rule that a golden file or a kind names is one that the reference explains, and
// the page is the one that the rules write.
func TestLintKnowsEveryRule(t *testing.T) {
	page, err := os.ReadFile("../../docs/lint.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := view.LintRules(lint.Rules()); !bytes.Equal(page, want) {
		t.Error("docs/lint.md is not what the rules say; run: make docs")
	}
	codes, names := map[string]bool{}, map[string]bool{}
	for _, r := range lint.Rules() {
		if codes[r.Code] || names[string(r.Rule)] || r.Title == "" || r.Harm == "" || r.Remedy == "" {
			t.Errorf("%+v", r)
		}
		codes[r.Code], names[string(r.Rule)] = true, true
	}
	goldens, err := filepath.Glob("testdata/traps/*.golden")
	if err != nil {
		t.Fatal(err)
	}
	for _, golden := range goldens {
		text, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "HR000") {
			t.Errorf("%s holds a rule that nobody explains", golden)
		}
	}
}

const noted = `# lint: no-lock because it is the only one that touches this server
playbook: noted
targets: {cache: redis}
steps:
  # lint: destroys-unapproved because the keys are a cache
  - id: gone
    redis: {do: [DEL, "{a}:1"]}
  - id: wait
    wait: {for: 10s} # lint: fixed-wait because nothing can be asked here
  - id: proof
    verify: [{redis: {do: [EXISTS, "{a}:1"]}, expect: value == 0}]
    # lint: no-where
`

// TestLintNotes: what is known is kept back with its reason; a note without one, or about nothing, is found.
func TestLintNotes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "noted.yaml")
	if err := os.WriteFile(file, []byte(noted), 0o600); err != nil {
		t.Fatal(err)
	}
	got, code := lintFiles(t, file)
	want := file + ":12:5: warning HR002 stale-note: it does not say why: write `# lint: no-where because …`\n\n" +
		"1 playbook: 0 errors, 1 warning, 0 notes; 3 known to their authors\n"
	if got != want || code != 1 {
		t.Errorf("exit code %d\n%s", code, got)
	}
	if _, code := lintFiles(t, file, "--fail-on", "error"); code != 0 {
		t.Errorf("--fail-on error: exit code %d", code)
	}
	var sarif struct {
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct{ Rules []struct{ ID string } }
			}
			Results []struct {
				RuleID, Level string
				Locations     []struct {
					PhysicalLocation struct {
						ArtifactLocation struct{ URI string }
						Region           struct{ StartLine, StartColumn int }
					}
				}
				Suppressions []struct{ Kind, Justification string }
			}
		}
	}
	got, _ = lintFiles(t, file, "-o", "sarif")
	if err := json.Unmarshal([]byte(got), &sarif); err != nil {
		t.Fatal(err)
	}
	if sarif.Version != "2.1.0" || len(sarif.Runs) != 1 || len(sarif.Runs[0].Results) != 4 || len(sarif.Runs[0].Tool.Driver.Rules) != len(lint.Rules()) {
		t.Fatalf("%s", got)
	}
	stale, known := sarif.Runs[0].Results[0], sarif.Runs[0].Results[1]
	if stale.RuleID != "HR002" || stale.Level != "warning" || stale.Locations[0].PhysicalLocation.Region.StartLine != 12 ||
		len(stale.Suppressions) != 0 || len(known.Suppressions) != 1 || known.Suppressions[0].Kind != "inSource" || known.Suppressions[0].Justification == "" {
		t.Errorf("%s", got)
	}
}
