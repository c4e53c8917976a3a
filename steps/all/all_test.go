package all_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/handrail-dev/handrail/steps/all"
)

// Every folder below steps that is a kind is in the list, once, under its own name.
func TestEveryKindIsListed(t *testing.T) {
	listed := map[string]int{}
	for _, k := range all.Kinds() {
		listed[k.Define().Name]++
	}
	for name, n := range listed {
		if n != 1 {
			t.Errorf("%s is listed %d times", name, n)
		}
	}
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case !e.IsDir(), name == "all", name == "internal", name == "steptest":
		case listed[name] == 0 && hasCode(t, name):
			t.Errorf("kind %s is not listed", name)
		}
	}
}

func hasCode(t *testing.T, name string) bool {
	files, err := filepath.Glob(filepath.Join("..", name, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files) > 0
}
