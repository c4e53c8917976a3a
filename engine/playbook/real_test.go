package playbook_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/playbook"
	"github.com/handrail-dev/handrail/steps/all"
)

const root = "../.."

func realCatalogue() *playbook.Catalogue {
	var kinds []engine.Kind
	for _, k := range all.Kinds() {
		kinds = append(kinds, k.Define())
	}
	return playbook.NewCatalogue(kinds)
}

// targetNames are what the examples call the targets of their kinds.
var targetNames = map[string]string{"sql": "db", "redis": "cache", "docker": "engine", "exec": "box"}

// TestExamplesOnTheKindsPageLoad loads the targets that docs/kinds.md shows.
func TestExamplesOnTheKindsPageLoad(t *testing.T) {
	cat := realCatalogue()
	page := string(playbook.KindsMarkdown(cat))
	examples := regexp.MustCompile("(?s)```yaml\n(targets:\n.*?)```").FindAllStringSubmatch(page, -1)
	if len(examples) < 4 {
		t.Fatalf("%d examples", len(examples))
	}
	for _, e := range examples {
		text := e[1]
		for i, used := range regexp.MustCompile(`secrets\.(\w+)`).FindAllStringSubmatch(text, -1) {
			if i == 0 {
				text += "secrets:\n"
			}
			text += "  " + used[1] + ": {env: X}\n"
		}
		if _, err := playbook.LoadEnvironment("staging.yaml", []byte(text), cat); err != nil {
			t.Errorf("%s\n%s", text, rendered(err))
		}
	}
}

// TestGeneratedFilesAreCurrent: what is made from the declarations of the kinds is what they say now.
// `go test ./engine/playbook -run GeneratedFiles -update` writes it.
func TestGeneratedFilesAreCurrent(t *testing.T) {
	cat := realCatalogue()
	schema, err := playbook.Schema(cat)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{"kinds.md": playbook.KindsMarkdown(cat), "playbook.schema.json": append(schema, '\n')} {
		file := filepath.Join(root, "docs", name)
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("docs/%s is not what the kinds declare; write it anew with `make docs`", name)
		}
	}
}

// TestExamplesOfTheKindsLoad loads the example of each operation in a playbook with one target for each
// kind and the inputs that it uses.
func TestExamplesOfTheKindsLoad(t *testing.T) {
	cat := realCatalogue()
	head := "playbook: test\ntargets:\n"
	for _, k := range cat.Kinds() {
		if len(k.Targets) > 0 {
			head += fmt.Sprintf("  %s: %s\n", targetNames[k.Name], k.Targets[0].Name)
		}
	}
	for _, k := range cat.Kinds() {
		for _, o := range k.Operations {
			text := head
			for i, in := range regexp.MustCompile(`inputs\.(\w+)`).FindAllStringSubmatch(o.Example, -1) {
				if i == 0 {
					text += "inputs:\n"
				}
				text += "  " + in[1] + ": {type: string}\n"
			}
			text += "steps:\n  - " + o.Example + "\n"
			if _, err := playbook.LoadTree("test.yaml", []byte(text), cat, nil, findBackup); err != nil {
				t.Errorf("%s.%s:\n%s\n%s", k.Name, o.Name, o.Example, rendered(err))
			}
		}
	}
}

// findBackup finds the playbook that the example of the kind playbook runs.
func findBackup(_, name string) (playbook.File, error) {
	return playbook.File{Name: name + ".yaml", Text: []byte("playbook: " + name + "\ninputs: {dir: {type: path}}\nsteps:\n" +
		"  - {id: a, when: inputs.dir != '', wait: {for: 1s}}\noutputs: {dir: inputs.dir}\n")}, nil
}

// TestTheLanguagePageLoads loads every YAML block of docs/playbooks.md: whole playbooks and
// environments as they are, lists of steps inside of a playbook that has what they use.
func TestTheLanguagePageLoads(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/playbooks.md"))
	if err != nil {
		t.Fatal(err)
	}
	cat := realCatalogue()
	schema := schemaOf(t, cat)
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 10 {
		t.Fatalf("%d blocks", len(blocks))
	}
	shown := func(_, name string) (playbook.File, error) { // a playbook that another block shows
		for _, b := range blocks {
			if strings.HasPrefix(b[1], "playbook: "+name+"\n") {
				return playbook.File{Name: name + ".yaml", Text: []byte(b[1])}, nil
			}
		}
		return playbook.File{}, fmt.Errorf("the page shows no playbook %s", name)
	}
	for i, b := range blocks {
		text := b[1]
		first, _, _ := strings.Cut(text, "\n")
		wrong := strings.HasPrefix(first, "# refused")
		switch {
		case strings.HasPrefix(first, "# environments/"):
			if _, err := playbook.LoadEnvironment("staging.yaml", []byte(text), cat); err != nil {
				t.Errorf("block %d:\n%s\n%s", i, text, rendered(err))
			}
			continue
		case !strings.Contains(text, "playbook: "):
			text = "playbook: example\ninputs: {host: {type: string, default: a}}\nvars: {h: \"${{ inputs.host }}\"}\n" +
				"targets: {db: mysql, cache: redis, engine: docker, box: ssh}\n" + ifMissing(text, "steps:\n") + text
		}
		_, err := playbook.LoadTree("", []byte(text), cat, nil, shown)
		if (err != nil) != wrong {
			t.Errorf("block %d:\n%s\n%s", i, text, rendered(err))
		}
		if v, ok := plainYAML(t, []byte(text)); ok && !wrong {
			if err := schema.Validate(v); err != nil {
				t.Errorf("block %d: the schema refuses it: %v", i, err)
			}
		}
	}
}

func ifMissing(text, head string) string {
	if strings.Contains("\n"+text, "\n"+head) {
		return ""
	}
	return head
}

// TestShippedPlaybooksLoad loads what stands in playbooks/ and examples/, and holds it against the schema.
func TestShippedPlaybooksLoad(t *testing.T) {
	cat := realCatalogue()
	schema := schemaOf(t, cat)
	for _, pattern := range []string{"playbooks/*.yaml", "examples/*/playbooks/*.yaml"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			beside := func(_, name string) (playbook.File, error) {
				text, err := os.ReadFile(filepath.Join(filepath.Dir(file), name+".yaml"))
				if errors.Is(err, fs.ErrNotExist) { // a shipped one
					text, err = os.ReadFile(filepath.Join(root, "playbooks", name+".yaml"))
				}
				return playbook.File{Name: name + ".yaml", Text: text}, err
			}
			if _, err := playbook.LoadTree(filepath.Base(file), text, cat, nil, beside); err != nil {
				t.Errorf("%s", rendered(err))
				continue
			}
			v, _ := plainYAML(t, text)
			if err := schema.Validate(v); err != nil {
				t.Errorf("%s: the schema refuses it: %v", file, err)
			}
		}
	}
}
