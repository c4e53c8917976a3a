package handrail

import (
	"bytes"
	"os"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/playbook"
	"github.com/handrail-dev/handrail/steps/all"
)

// TestGeneratedPagesAreCurrent: the reference of the kinds and the schema say what the code declares.
func TestGeneratedPagesAreCurrent(t *testing.T) {
	var defs []engine.Kind
	for _, k := range all.Kinds() {
		defs = append(defs, k.Define())
	}
	cat := playbook.NewCatalogue(defs)
	schema, err := playbook.Schema(cat)
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string][]byte{
		"docs/kinds.md": playbook.KindsMarkdown(cat), "docs/playbook.schema.json": schema,
	} {
		got, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("%v; run: make docs", err)
			continue
		}
		if !bytes.Equal(bytes.TrimSpace(got), bytes.TrimSpace(want)) {
			t.Errorf("%s is not what the code declares; run: make docs", file)
		}
	}
}
