package steptest

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var boundRow = regexp.MustCompile("(?m)^\\| ([a-z._`, ]+) \\| ([0-9]+) \\| ([0-9]+) \\|")

// Bound is how often a plan asks a target about one step of an operation, as docs/plan.md says it: so often, and so often again for
// each of what is counted there.
func Bound(t testing.TB, operation string, counted int) int {
	t.Helper()
	file := filepath.Join(root(t), "docs", "plan.md")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range boundRow.FindAllStringSubmatch(string(text), -1) {
		if !strings.Contains(row[1], "`"+operation+"`") {
			continue
		}
		once, err := strconv.Atoi(row[2])
		if err != nil {
			t.Fatal(err)
		}
		each, err := strconv.Atoi(row[3])
		if err != nil {
			t.Fatal(err)
		}
		return once + each*counted
	}
	t.Fatalf("%s does not say how often a plan asks about %s", file, operation)
	return 0
}

// root is the folder of the module.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("there is no go.mod above the test's folder")
		}
		dir = filepath.Dir(dir)
	}
}
