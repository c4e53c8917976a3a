package playbook_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"github.com/handrail-dev/handrail/engine/playbook"
	"github.com/handrail-dev/handrail/internal/schematest"
)

// schemaOf compiles the schema of a catalogue with a validator that had no part in making it.
func schemaOf(t testing.TB, cat *playbook.Catalogue) *jsonschema.Schema {
	t.Helper()
	text, err := playbook.Schema(cat)
	if err != nil {
		t.Fatal(err)
	}
	return schematest.Compile(t, text)
}

// plainYAML is a file as a schema validator sees it: what an editor's YAML parser makes of it.
func plainYAML(t testing.TB, text []byte) (any, bool) {
	t.Helper()
	var n yaml.Node
	if yaml.Unmarshal(text, &n) != nil || len(n.Content) == 0 {
		return nil, false
	}
	return plainNode(n.Content[0])
}

func plainNode(n *yaml.Node) (any, bool) {
	switch n.Kind {
	case yaml.MappingNode:
		out := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			v, ok := plainNode(n.Content[i+1])
			if !ok {
				return nil, false
			}
			out[n.Content[i].Value] = v
		}
		return out, true
	case yaml.SequenceNode:
		out := make([]any, len(n.Content))
		for i, c := range n.Content {
			var ok bool
			if out[i], ok = plainNode(c); !ok {
				return nil, false
			}
		}
		return out, true
	default:
		if n.Tag == "!!str" || n.Tag == "!!timestamp" {
			return n.Value, true
		}
		var v any
		return v, n.Decode(&v) == nil
	}
}

// beyondSchema are bad files whose mistake a schema cannot say: it lies in the text of the file, in an
// expression, or in how parts far from each other go together.
var beyondSchema = map[string]bool{
	"other-name": true, "unused-input": true, "timezone": true, "two-documents": true, "duplicate-key": true, "octal": true,
	"anchor-and-alias": true, "yaml-tag": true, "comment-cuts": true,
	"unknown-target": true, "wrong-target": true, "no-target": true, "which-target": true, "target-missing-in-environment": true,
	"target-other-in-environment": true, "secret-missing-in-environment": true, "input-secret-in-when": true,
	"retry-unrepeatable": true, "undo-of-read": true, "wipes-nothing": true, "forward-reference": true, "unknown-step": true,
	"unknown-field": true, "self-reference": true, "into-a-loop": true, "between-branches": true, "undo-is-not-seen": true,
	"state-word": true, "vars-order": true, "not-boolean": true, "ill-typed": true, "unknown-function": true, "expression-syntax": true,
	"template-unclosed": true, "template-place": true, "wide-characters": true, "parameter-types": true, "secret-places": true,
	"judged": true, "comment-cuts-template": true,
}

func TestSchemaRefusesWhatTheLoaderRefuses(t *testing.T) {
	schema := schemaOf(t, testCatalogue())
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		v, ok := plainYAML(t, text)
		if !ok || strings.HasPrefix(string(text), "# environment") {
			continue
		}
		refused := schema.Validate(v) != nil
		if refused == beyondSchema[name] {
			t.Errorf("%s: the schema refuses it: %v", name, refused)
		}
		if refused {
			told++
		}
	}
	if told < 30 {
		t.Errorf("the schema refuses only %d files", told)
	}
}

func TestSchemaAcceptsWhatTheLoaderAccepts(t *testing.T) {
	schema := schemaOf(t, testCatalogue())
	for name, text := range goodPlaybooks(t) {
		if _, err := playbook.Load("test.yaml", []byte(text), testCatalogue(), nil); err != nil {
			t.Errorf("%s does not load:\n%s", name, rendered(err))
			continue
		}
		v, ok := plainYAML(t, []byte(text))
		if !ok {
			t.Errorf("%s is not YAML", name)
			continue
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func goodPlaybooks(t testing.TB) map[string]string {
	t.Helper()
	out := map[string]string{"design": raiseMax}
	files, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(file)] = string(text)
	}
	return out
}
