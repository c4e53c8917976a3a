package handrail

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
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

// TestEveryShippedPlaybookIsExplained: the page of procedures knows each of them, and no other.
func TestEveryShippedPlaybookIsExplained(t *testing.T) {
	page, err := os.ReadFile("docs/procedures.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("playbooks/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(err, len(files))
	}
	shipped, lacking, _ := strings.Cut(string(page), "## What is not there yet")
	for _, file := range files {
		name := "`" + strings.TrimSuffix(filepath.Base(file), ".yaml") + "`"
		if !strings.Contains(shipped, name) || strings.Contains(lacking, name) {
			t.Errorf("docs/procedures.md does not explain %s", name)
		}
	}
}

// TestThePageOfPullRequestsShowsARealComment: it is the one that the test of the diff has made.
func TestThePageOfPullRequestsShowsARealComment(t *testing.T) {
	const page, begin, end = "docs/pull-requests.md", "<!-- begin: cmd/handrail/testdata/diff/planned.md -->\n", "<!-- end -->"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	made, err := os.ReadFile("cmd/handrail/testdata/diff/planned.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := strings.Cut(string(text), begin)
	shown, after, ended := strings.Cut(rest, end)
	if !begun || !ended {
		t.Fatalf("%s has no place for the comment", page)
	}
	if want := "\n" + string(made) + "\n"; shown != want {
		if os.Getenv("HANDRAIL_UPDATE") == "" {
			t.Fatalf("%s does not show what the test of the diff has made; HANDRAIL_UPDATE=1 brings it up to date", page)
		}
		if err := os.WriteFile(page, []byte(before+begin+want+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDesignNamesEveryKind: the page that explains the words knows them all.
func TestDesignNamesEveryKind(t *testing.T) {
	page, err := os.ReadFile("docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, k := range all.Kinds() {
		names[k.Define().Name] = true
	}
	for line := range strings.Lines(string(page)) {
		if rest, ok := strings.CutPrefix(line, "| kind |"); ok {
			for _, word := range strings.Fields(strings.Trim(rest, " |\n")) {
				if name := strings.Trim(word, "`"); !names[name] {
					t.Errorf("docs/design.md names the kind %s, which there is not", name)
				} else {
					delete(names, name)
				}
			}
		}
	}
	for name := range names {
		t.Errorf("docs/design.md does not name the kind %s", name)
	}
}

// TestEveryDependencyHasItsReason: a module that our code imports is in docs/dependencies.md.
func TestEveryDependencyHasItsReason(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	var modules []string
	for line := range strings.Lines(string(mod)) {
		if f := strings.Fields(line); len(f) >= 2 && strings.HasPrefix(f[1], "v") {
			modules = append(modules, f[0])
		}
	}
	for imported, file := range imports(t) {
		module := ""
		for _, m := range modules {
			if (imported == m || strings.HasPrefix(imported, m+"/")) && len(m) > len(module) {
				module = m
			}
		}
		if module != "" && !strings.Contains(string(page), strings.TrimPrefix(module, "github.com/")) {
			t.Errorf("%s imports %s; give the reason for %s in docs/dependencies.md", file, imported, module)
		}
	}
}

// imports gives what the module's Go files import, tests included, each with one file that does.
func imports(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (name == "tools" || name != "." && strings.HasPrefix(entry.Name(), ".")) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			found[imported] = name
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestEveryTrapHasItsTest: what docs/procedures.md calls a test is one.
func TestEveryTrapHasItsTest(t *testing.T) {
	page, err := os.ReadFile("docs/procedures.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "## What goes wrong, and the tests that show it")
	table, _, ended := strings.Cut(rest, "\n## ")
	if !found || !ended {
		t.Fatal("docs/procedures.md lists no tests")
	}
	there := map[string]bool{}
	for _, folder := range []string{"playbooks", "cmd/handrail"} {
		files, err := filepath.Glob(folder + "/*_test.go")
		if err != nil || len(files) == 0 {
			t.Fatal(err, len(files))
		}
		for _, file := range files {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok {
					there[fn.Name.Name] = true
				}
			}
		}
	}
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || strings.Contains(line, "---") || strings.Contains(line, "| test |") {
			continue
		}
		names := strings.Split(strings.Trim(cells[3], " "), ", ")
		for _, name := range names {
			if name = strings.Trim(name, "`"); !there[name] {
				t.Errorf("docs/procedures.md: there is no test %q", name)
			}
		}
	}
}
