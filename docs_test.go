package handrail

import (
	"os"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/playbook"
	"github.com/handrail-dev/handrail/steps/all"
)

// TestReadmeShowsAPlaybookThatLoads: the first playbook that anybody sees must be right.
func TestReadmeShowsAPlaybookThatLoads(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "```yaml\n")
	text, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("README.md shows no playbook")
	}
	var defs []engine.Kind
	for _, k := range all.Kinds() {
		defs = append(defs, k.Define())
	}
	pb, err := playbook.Load("sequence-raise-max.yaml", []byte(text), playbook.NewCatalogue(defs), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(pb.Steps) != 3 {
		t.Errorf("it has %d steps", len(pb.Steps))
	}
}
