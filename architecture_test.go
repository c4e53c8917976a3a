// Package handrail holds no code. Its test holds the architecture: who may import whom, and what the
// pure core must never touch.
package handrail

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/handrail-dev/handrail/"

// rule says what the packages in a folder may import of this module, and what they must never import
// of anything. A name ending in /... stands for a folder and all below it.
type rule struct {
	folder string
	own    []string // packages of this module
	never  []string // any other packages
	only   []string // when given, the only packages from outside this module
}

// rules are tried in order; the first whose folder fits holds. Test files are free to import what they
// need to arrange their case, so the rules are for the others.
var rules = []rule{
	{folder: "engine", only: []string{
		"bytes", "cmp", "crypto/sha256", "encoding/base64", "encoding/binary", "encoding/hex", "encoding/json",
		"errors", "fmt", "hash", "iter", "maps", "math", "math/big", "math/bits", "slices", "sort", "strconv", "strings",
		"unicode", "unicode/utf8",
		"log/slog", // for slog.Value alone: a Secret masks itself there
		"time",     // its types and arithmetic; the clock is refused below
	}},
	{folder: "engine/playbook/...", own: []string{"engine", "."}, never: []string{
		"database/sql", "net", "net/http", "os/exec", "github.com/docker/...", "github.com/redis/...", "github.com/go-sql-driver/..."}},
	{folder: "engine/journal/...", own: []string{"engine", "."}, never: []string{"net", "net/http", "os/exec", "gopkg.in/yaml.v3"}},
	{folder: "engine/lint", own: []string{"engine"}, never: []string{"os", "os/exec", "net", "net/http", "gopkg.in/yaml.v3"}},
	{folder: "engine/objective", own: []string{"engine"}, never: []string{"os", "os/exec", "net", "net/http", "gopkg.in/yaml.v3"}},
	{folder: "engine/local/...", own: []string{"engine", "."}, never: []string{"net", "net/http", "os/exec", "gopkg.in/yaml.v3"}},
	{folder: "engine/revision", own: []string{"engine", "engine/lint", "engine/preview"}, never: []string{"os", "os/exec", "net", "net/http", "gopkg.in/yaml.v3"}},
	{folder: "engine/preview/...", own: []string{"engine", "engine/objective", "."}, never: []string{"os", "os/exec", "net", "net/http"}},
	{folder: "steps", own: []string{"engine"}},
	{folder: "steps/all", own: []string{"engine", "steps", "steps/..."}},
	{folder: "steps/steptest", own: []string{"engine", "engine/...", "steps"}},
	{folder: "steps/steptest/servers", own: []string{"engine"}},
	{folder: "steps/steptest/witness", own: []string{"engine"}},
	{folder: "steps/steptest/truth", own: []string{"engine", "engine/..."}},
	{folder: "steps/internal/...", own: []string{"engine", "steps", "steps/internal/...", "internal/mask"}},
	{folder: "steps/*/...", own: []string{"engine", "steps", "steps/internal/...", "internal/mask", "."}},
	{folder: "playbooks", only: []string{"embed", "io/fs"}},
	{folder: "cmd/internal/view/...", own: []string{"engine", "engine/lint", "engine/objective", "engine/preview", "engine/revision", "."}},
	{folder: "cmd/internal/git"},
	{folder: "cmd/internal/secrets/...", own: []string{"engine", "engine/playbook", "internal/mask", "."}},
	{folder: "cmd/handrail/...", own: []string{"..."}},
	{folder: "examples/..."},
	{folder: "bench/...", own: []string{"..."}},
	{folder: "internal/...", own: []string{"engine", "."}},
}

func TestImportRules(t *testing.T) {
	seen := map[string]bool{}
	eachFile(t, func(name string, file *ast.File, _ *token.FileSet) {
		folder := path.Dir(name)
		seen[folder] = true
		r, ok := ruleFor(folder)
		if !ok {
			t.Errorf("%s: no rule says what package %s may import; add one to architecture_test.go", name, folder)
			return
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if why := r.refuses(folder, imported); why != "" {
				t.Errorf("%s imports %s: %s", name, imported, why)
			}
		}
	})
	if !seen["engine"] {
		t.Error("the core was not looked at")
	}
}

func ruleFor(folder string) (rule, bool) {
	for _, r := range rules {
		if matches(r.folder, folder) {
			return r, true
		}
	}
	return rule{}, false
}

// matches knows three forms: exact, folder/... and folder/*/... where * is one name.
func matches(pattern, name string) bool {
	pattern, below := strings.CutSuffix(pattern, "/...")
	want, got := strings.Split(pattern, "/"), strings.Split(name, "/")
	if len(got) < len(want) || !below && len(got) != len(want) {
		return false
	}
	for i, w := range want {
		if w != "*" && w != got[i] {
			return false
		}
	}
	return true
}

func (r rule) refuses(folder, imported string) string {
	if own, ok := strings.CutPrefix(imported, module); ok {
		if slices.ContainsFunc(r.own, func(p string) bool {
			return p == "..." || matches(p, own) || p == "." && r.sameKind(folder, own)
		}) {
			return ""
		}
		return fmt.Sprintf("package %s may import of this module only %v", folder, r.own)
	}
	if slices.ContainsFunc(r.never, func(p string) bool { return matches(p, imported) }) {
		return fmt.Sprintf("package %s must not", folder)
	}
	if r.only != nil && !slices.Contains(r.only, imported) {
		return fmt.Sprintf("package %s may import only %v", folder, r.only)
	}
	return ""
}

// sameKind: both lie in the same folder of those that the rule's pattern names.
func (r rule) sameKind(folder, own string) bool {
	depth := len(strings.Split(strings.TrimSuffix(r.folder, "/..."), "/"))
	a, b := strings.Split(folder, "/"), strings.Split(own, "/")
	return len(a) >= depth && len(b) >= depth && slices.Equal(a[:depth], b[:depth])
}

// TestCoreIsPure: time, identity and randomness reach the core only as events, and nothing in it runs
// beside it; so that the same code can be run by another driver, and replayed.
func TestCoreIsPure(t *testing.T) {
	clock := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}
	eachFile(t, func(name string, file *ast.File, set *token.FileSet) {
		if path.Dir(name) != "engine" {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.GoStmt, *ast.SelectStmt, *ast.ChanType, *ast.SendStmt:
				t.Errorf("%s: the core has no goroutines and no channels", set.Position(n.Pos()))
			case *ast.SelectorExpr:
				if id, ok := x.X.(*ast.Ident); ok && id.Name == "time" && slices.Contains(clock, x.Sel.Name) {
					t.Errorf("%s: the core has no clock; time comes with an event", set.Position(n.Pos()))
				}
			}
			return true
		})
	})
}

// TestHouseRules holds what a reader relies on: packages named for what is in them, no hidden start-up
// code, files and functions that can be read in one go.
func TestHouseRules(t *testing.T) {
	const longestFile, longestFunction = 450, 80
	eachFile(t, func(name string, file *ast.File, set *token.FileSet) {
		if slices.Contains([]string{"util", "utils", "common", "helpers", "manager", "types"}, file.Name.Name) {
			t.Errorf("%s: package %s says nothing about what is in it", name, file.Name.Name)
		}
		if lines := set.Position(file.End()).Line; lines > longestFile {
			t.Errorf("%s has %d lines; %d is the most", name, lines, longestFile)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: no init functions", set.Position(f.Pos()))
			}
			if lines := set.Position(f.End()).Line - set.Position(f.Pos()).Line; lines > longestFunction {
				t.Errorf("%s: %s has %d lines; %d is the most", set.Position(f.Pos()), f.Name.Name, lines, longestFunction)
			}
		}
	})
}

// TestPackagesSayWhatTheyAre: every package has a package comment.
func TestPackagesSayWhatTheyAre(t *testing.T) {
	said := map[string]bool{}
	eachFile(t, func(name string, file *ast.File, _ *token.FileSet) {
		folder := path.Dir(name)
		said[folder] = said[folder] || file.Doc != nil
	})
	for folder, ok := range said {
		if !ok {
			t.Errorf("package %s has no package comment", folder)
		}
	}
}

// eachFile visits the Go files of the module that are not tests.
func eachFile(t *testing.T, visit func(name string, file *ast.File, set *token.FileSet)) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != "." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || name == "tools" || name == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		visit(filepath.ToSlash(name), file, set)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRulesRefuse shows that the rules can fail.
func TestRulesRefuse(t *testing.T) {
	for _, c := range []struct {
		folder, imported string
		refused          bool
	}{
		{"engine", "os", true},
		{"engine", "context", true},
		{"engine", "math/rand", true},
		{"engine", module + "steps", true},
		{"engine", "strings", false},
		{"engine/playbook", module + "steps/sql", true},
		{"engine/playbook", "github.com/redis/go-redis/v9", true},
		{"engine/playbook", module + "engine", false},
		{"engine/playbook", module + "engine/playbook/expression", false},
		{"engine/playbook", module + "engine/local", true},
		{"engine/local", module + "engine/journal", true},
		{"engine/preview", "os", true},
		{"steps", module + "engine/local", true},
		{"steps/sql", module + "steps/redis", true},
		{"steps/sql", module + "steps/sql/dialect", false},
		{"steps/sql/dialect", module + "steps/sql", false},
		{"steps/sql", module + "steps/internal/host", false},
		{"steps/sql", module + "engine/journal", true},
		{"steps/all", module + "steps/redis", false},
		{"cmd/internal/view", module + "steps", true},
		{"cmd/internal/view", module + "engine/preview", false},
		{"cmd/handrail", module + "steps/all", false},
		{"examples/quickstart", module + "engine", true},
	} {
		r, ok := ruleFor(c.folder)
		if why := r.refuses(c.folder, c.imported); !ok || (why != "") != c.refused {
			t.Errorf("%s importing %s: refused %v (%s), want %v", c.folder, c.imported, why != "", why, c.refused)
		}
	}
}
