package file_test

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/disk"
)

// backups makes b-1 … b-n in a folder, b-n of today and each before it a day older. A name in proven has a
// checksum file; one in false has one that does not agree.
func backups(t *testing.T, n int, proven, wrong []int) string {
	dir := t.TempDir()
	for i := 1; i <= n; i++ {
		name := fmt.Sprintf("b-%d", i)
		write(t, dir, name, name)
		if slices.Contains(proven, i) {
			prove(t, dir, name)
		}
		if slices.Contains(wrong, i) {
			write(t, dir, name+".sha256", sumOf("another")+"  "+name+"\n")
		}
		age(t, n-i, dir, name)
	}
	return dir
}

func TestPrune(t *testing.T) {
	keep := func(n int64) engine.Record { return engine.Record{"folder": ".", "match": "b-*", "keep": n} }
	with := func(r engine.Record, name string, v engine.Value) engine.Record { r[name] = v; return r }
	for name, c := range map[string]struct {
		n             int
		proven, wrong []int
		params        engine.Record
		removed       string
		fails         string
		spared        string
	}{
		"by count":                    {n: 5, proven: []int{4, 5}, params: keep(3), removed: "b-1 b-2"},
		"nothing to remove":           {n: 3, params: keep(3), removed: ""},
		"by age":                      {n: 5, proven: []int{5}, params: engine.Record{"folder": ".", "match": "b-*", "older_than": 60 * time.Hour}, removed: "b-1 b-2"},
		"by count and age":            {n: 5, proven: []int{5}, params: with(keep(1), "older_than", 60*time.Hour), removed: "b-1 b-2"},
		"count holds against age":     {n: 5, proven: []int{5}, params: with(keep(4), "older_than", 60*time.Hour), removed: "b-1"},
		"the last proven is old":      {n: 5, proven: []int{1, 2}, params: keep(2), removed: "b-1 b-3", spared: "b-2"},
		"newer ones are wrong":        {n: 5, proven: []int{1}, wrong: []int{2, 3, 4, 5}, params: keep(2), removed: "b-2 b-3", spared: "b-1"},
		"none is proven":              {n: 5, params: keep(2), fails: "none of the 5 backups"},
		"all are wrong":               {n: 5, wrong: []int{1, 2, 3, 4, 5}, params: keep(2), fails: "none of the 5 backups"},
		"no backups":                  {n: 5, params: with(keep(2), "proven", false), removed: "b-1 b-2 b-3"},
		"all are over their time":     {n: 3, proven: []int{1, 2, 3}, params: engine.Record{"folder": ".", "match": "b-*", "older_than": time.Nanosecond}, removed: "b-1 b-2", spared: "b-3"},
		"other names are not touched": {n: 3, proven: []int{3}, params: engine.Record{"folder": ".", "match": "b-[12]", "keep": int64(1), "proven": false}, removed: "b-1"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := backups(t, c.n, c.proven, c.wrong)
			before := tree(t, dir)
			impact := preview(t, dir, "prune", c.params)
			s := newStep(t, dir, "prune", c.params)
			if c.fails != "" {
				s.mustFail(c.fails)
				if impact.Standing != engine.StandingUnknown || !strings.Contains(impact.Why, c.fails) {
					t.Errorf("the preview says %s: %s", impact.Standing, impact.Why)
				}
				if now := tree(t, dir); now != before {
					t.Errorf("AFTER it there is\n%s", now)
				}
				return
			}
			r := s.mustDo()
			var removed []string
			for _, v := range r["removed"].(engine.List) {
				removed = append(removed, v.(string))
			}
			if got := strings.Join(removed, " "); got != c.removed {
				t.Errorf("removed %q, not %q", got, c.removed)
			}
			for i, name := range removed {
				if !strings.HasPrefix(impact.Details[i], "remove "+name+" ") {
					t.Errorf("the preview said %q where %s was removed", impact.Details, name)
				}
				for _, path := range []string{name, name + ".sha256"} {
					if _, err := os.Lstat(filepath.Join(dir, path)); err == nil {
						t.Errorf("%s is still there", path)
					}
				}
			}
			if len(impact.Details) != len(removed) {
				t.Errorf("the preview said %q", impact.Details)
			}
			if left := len(strings.Fields(names(t, dir))); c.proven == nil && c.wrong == nil && left != c.n-len(removed) {
				t.Errorf("%d files are left", left)
			}
			if got := strings.Contains(strings.Join(impact.Warnings, ""), c.spared+" stays although"); got != (c.spared != "") {
				t.Errorf("the warnings are %q", impact.Warnings)
			}
		})
	}
}

func TestPruneLeavesWhatLatestLeadsTo(t *testing.T) {
	dir := backups(t, 4, []int{1, 4}, nil)
	if err := os.Symlink("b-1", filepath.Join(dir, "latest")); err != nil {
		t.Fatal(err)
	}
	newStep(t, dir, "prune", engine.Record{"folder": ".", "match": "b-*", "keep": int64(1)}).mustDo()
	if got := names(t, dir); got != "b-1 b-1.sha256 b-4 b-4.sha256 latest" {
		t.Errorf("there is %s", got)
	}
}

func TestAManifestProvesToo(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "d", "data", "d.manifest.json", fmt.Sprintf(`{"sha256": %q, "size": 4, "counts": {"t": 1}}`, sumOf("data")))
	if r := newStep(t, dir, "checksum", "d").mustDo(); r["proven"] != true {
		t.Errorf("%v", r)
	}
	for _, text := range []string{`{"size": 4}`, `[]`, `{`, fmt.Sprintf(`{"sha256": %q, "size": 5}`, sumOf("data")), fmt.Sprintf(`{"sha256": %q}`, sumOf("else"))} {
		write(t, dir, "d.manifest.json", text)
		if r := newStep(t, dir, "checksum", "d").mustDo(); r["proven"] != false {
			t.Errorf("%s proves: %v", text, r["proof"])
		}
	}
	write(t, dir, "d.manifest.json", fmt.Sprintf(`{"sha256": %q}`, sumOf("data")), "d.sha256", sumOf("data")+"  other\n")
	if r := newStep(t, dir, "checksum", "d").mustDo(); r["proven"] != false {
		t.Error("a checksum file of another file agrees")
	}
}

func TestReplace(t *testing.T) {
	const ini = "# retention = 1\nretention = 7\nretention_days=9\n\n[mysqld]\nport=1\n\n[client]\nport=2\n"
	set := func(key string, value engine.Value, more ...string) engine.Record {
		r := engine.Record{"file": "f", "key": key, "value": value}
		for i := 0; i < len(more); i += 2 {
			r[more[i]] = more[i+1]
		}
		return r
	}
	for name, c := range map[string]struct {
		before string
		params engine.Record
		after  string
		fails  string
	}{
		"key":                    {ini, set("retention", int64(30)), strings.Replace(ini, "= 7", "= 30", 1), ""},
		"key that begins alike":  {ini, set("retention_days", "1"), strings.Replace(ini, "=9", "=1", 1), ""},
		"key in a section":       {ini, set("port", "3", "section", "client"), strings.Replace(ini, "port=2", "port=3", 1), ""},
		"key twice":              {ini, set("port", "3"), "", "twice, in lines 6 and 9"},
		"key missing":            {ini, set("nothing", "3"), "", "there is no key nothing"},
		"key added":              {"a=1", set("b", true, "missing", "add"), "a=1\nb=true\n", ""},
		"key added to nothing":   {"", set("b", "2", "missing", "add"), "b=2\n", ""},
		"key added to a section": {ini, set("bind", "x", "section", "mysqld", "missing", "add"), strings.Replace(ini, "port=1\n", "port=1\nbind=x\n", 1), ""},
		"section missing":        {ini, set("a", "1", "section", "none", "missing", "add"), "", "there is no section [none]"},
		"blank as separator":     {"maxmemory 1gb\nmaxmemory-policy x\n", set("maxmemory", "2gb", "separator", " "), "maxmemory 2gb\nmaxmemory-policy x\n", ""},
		"colon, indented":        {"a:\n  days: 7\n", set("days", "8", "separator", ":"), "a:\n  days: 8\n", ""},
		"line ends of Windows":   {"a=1\r\nb=2\r\n", set("a", "9"), "a=9\r\nb=2\r\n", ""},
		"empty value":            {"a=\nb=2\n", set("a", "1"), "a=1\nb=2\n", ""},
		"no line end":            {"a=1", set("a", "2"), "a=2", ""},
		"text":                   {"x a y", engine.Record{"file": "f", "text": "a", "with": "b"}, "x b y", ""},
		"text twice":             {"a\na", engine.Record{"file": "f", "text": "a", "with": "b"}, "", "stands there 2 times, in lines 1 and 2"},
		"text missing":           {"x", engine.Record{"file": "f", "text": "a", "with": "b"}, "", "neither the text"},
		"text that grows":        {"a", engine.Record{"file": "f", "text": "a", "with": "aa"}, "aa", ""},
		"text that goes":         {"xay", engine.Record{"file": "f", "text": "a", "with": ""}, "xy", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "f", c.before)
			if err := errors.Join(os.Chown(filepath.Join(dir, "f"), 12, 34), os.Chmod(filepath.Join(dir, "f"), 0o604)); err != nil {
				t.Fatal(err)
			}
			s := newStep(t, dir, "replace", c.params)
			if c.fails != "" {
				s.mustFail(c.fails)
				c.after = c.before
			} else {
				if i := preview(t, dir, "replace", c.params); i.Standing != engine.StandingWould || len(i.Facts) != 1 {
					t.Errorf("the preview says %s: %s %v", i.Standing, i.Why, i.Facts)
				}
				if r := s.mustDo(); r["changed"] != true || r["sha256"] != sumOf(c.after) {
					t.Errorf("the first time: %v", r)
				}
				if i := preview(t, dir, "replace", c.params); i.Standing != engine.StandingAlready {
					t.Errorf("AFTER it the preview says %s: %s", i.Standing, i.Why)
				}
				if r := newStep(t, dir, "replace", c.params).mustDo(); r["changed"] != false {
					t.Errorf("the second time: %v", r)
				}
			}
			if got := read(t, dir, "f"); got != c.after {
				t.Errorf("there is %q, not %q", got, c.after)
			}
			if s := newStep(t, dir, "stat", "f").mustDo(); s["uid"] != int64(12) || s["gid"] != int64(34) || s["mode"] != "0604" {
				t.Errorf("it is %v", s)
			}
			if got := names(t, dir); got != "f" {
				t.Errorf("there is %s", got)
			}
		})
	}
}

func TestReplaceKeepsTheLinkAndShowsOldAndNew(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "real/f", "a=1\n")
	if err := os.Symlink("real/f", filepath.Join(dir, "f")); err != nil {
		t.Fatal(err)
	}
	params := engine.Record{"file": "f", "key": "a", "value": int64(2)}
	if i := preview(t, dir, "replace", params); len(i.Facts) != 1 || i.Facts[0].Value != `"1" would become "2"` {
		t.Errorf("the preview says %v", i.Facts)
	}
	if r := newStep(t, dir, "replace", params).mustDo(); r["old"] != "1" || r["new"] != "2" || r["line"] != int64(1) {
		t.Errorf("%v", r)
	}
	if s := newStep(t, dir, "stat", "f").mustDo(); s["link"] != "real/f" || read(t, dir, "real/f") != "a=2\n" {
		t.Errorf("it is %v", s)
	}
}

// A reader that opens the name all the time finds one backup or the other, never nothing.
func TestPublishIsNeverMissedByAReader(t *testing.T) {
	for _, how := range []string{"link", "copy"} {
		dir := t.TempDir()
		write(t, dir, "b-1", "one", "b-2", "two")
		newStep(t, dir, "publish", engine.Record{"from": "b-1", "as": "latest", "how": how}).mustDo()
		var reader sync.WaitGroup
		done, seen := make(chan struct{}), map[string]int{}
		reader.Go(func() {
			for {
				b, err := os.ReadFile(filepath.Join(dir, "latest"))
				if err != nil {
					t.Error(err)
				}
				seen[string(b)]++
				select {
				case <-done:
					return
				default:
				}
			}
		})
		for i := range 200 {
			newStep(t, dir, "publish", engine.Record{"from": fmt.Sprintf("b-%d", i%2+1), "as": "latest", "how": how}).mustDo()
		}
		close(done)
		reader.Wait()
		for text := range seen {
			if text != "one" && text != "two" {
				t.Errorf("%s: a reader got %q", how, text)
			}
		}
	}
}

func TestPublishRefusesWhatItMustNotReplaceOrProve(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "b", "b", "b.sha256", sumOf("another")+"  b\n", "c", "c", "latest", "a file", "d/e", "")
	for want, params := range map[string]engine.Record{
		"is no symbolic link": {"from": "c", "as": "latest"},
		"is not published":    {"from": "b", "as": "new"},
		"is not published: ":  {"from": "b", "as": "new", "how": "copy"},
		"no such file":        {"from": "nothing", "as": "new"},
		"cannot lead to it":   {"from": "d", "as": "d/latest"},
		"is a folder; name":   {"from": "c", "as": "d", "how": "copy"},
	} {
		newStep(t, dir, "publish", params).mustFail(want)
	}
	newStep(t, dir, "publish", engine.Record{"from": "d", "as": "current"}).mustDo()
	if to, err := os.Readlink(filepath.Join(dir, "current")); err != nil || to != "d" {
		t.Errorf("it leads to %q (%v), and a relative link could be moved", to, err)
	}
}

func TestLooking(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a", "text", "binary", "\xff\xfe", "large", strings.Repeat("x", 1<<20+1), "full", strings.Repeat("x", 1<<20))
	age(t, 2, dir, "a")
	if err := os.Symlink("nowhere", filepath.Join(dir, "dangling")); err != nil {
		t.Fatal(err)
	}
	s := newStep(t, dir, "stat", "a").mustDo()
	if s["exists"] != true || s["type"] != "file" || s["size"] != int64(4) || s["mode"] != "0640" || s["age"].(time.Duration) < 47*time.Hour || s["free"].(int64) <= 0 || s["used_percent"].(int64) < 0 || s["used_percent"].(int64) > 100 {
		t.Errorf("%v", s)
	}
	if s := newStep(t, dir, "stat", "."); s.mustDo()["type"] != "folder" {
		t.Error("no folder")
	}
	for _, name := range []string{"nothing", "dangling", "no/thing"} {
		if s := newStep(t, dir, "stat", name).mustDo(); s["exists"] != false || s["type"] != "absent" {
			t.Errorf("%s: %v", name, s)
		}
	}
	if r := newStep(t, dir, "read", "a").mustDo(); r["text"] != "text" || r["sha256"] != sumOf("text") {
		t.Errorf("%v", r)
	}
	newStep(t, dir, "read", "full").mustDo()
	newStep(t, dir, "read", "large").mustFail("at most 1.0 MiB are read")
	newStep(t, dir, "read", "binary").mustFail("not text")
	newStep(t, dir, "read", ".").mustFail("is not a regular file")
	newStep(t, dir, "checksum", "/dev/zero").mustFail("is not a regular file")
}

func TestPreviewOfWhatIsNotKnownYetSaysSo(t *testing.T) {
	later := engine.Unknown{After: "dump"}
	for operation, params := range map[string]engine.Value{
		"stat": later, "copy": engine.Record{"from": later, "to": "b"}, "archive": engine.Record{"from": engine.List{later}, "to": later},
		"extract": engine.Record{"from": later, "to": "b"}, "prune": engine.Record{"folder": later, "match": "*", "keep": int64(1)},
		"replace": engine.Record{"file": "f", "key": "k", "value": later}, "publish": engine.Record{"from": later, "as": "latest"},
	} {
		if i := preview(t, t.TempDir(), operation, params); i.Standing != engine.StandingUnknown || !strings.Contains(i.Why, "known after step dump") {
			t.Errorf("%s: %+v", operation, i)
		}
	}
}

// The seam: only package disk touches the file system, and without full access it has no way to a change.
func TestOnlyPackageDiskTouchesFiles(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range f.Imports {
			switch path := strings.Trim(spec.Path.Value, `"`); path {
			case "os", "syscall", "golang.org/x/sys/unix", "io/ioutil", "os/exec":
				t.Errorf("%s imports %s", name, path)
			}
		}
	}
}

func TestAWriterWithoutFullAccessChangesNothing(t *testing.T) {
	if _, err := disk.ForChanges(steps.ReadOnly); !errors.Is(err, disk.ErrReadOnly) {
		t.Errorf("a dry-run gets a writer: %v", err)
	}
	dir := t.TempDir()
	write(t, dir, "a", "a")
	a := filepath.Join(dir, "a")
	info, err := os.Lstat(a)
	if err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	w, look := &disk.Writer{}, disk.Reader{}
	tr, err := look.Look(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	_, draft := w.Draft(a, "k", 0o600)
	_, writable := w.Tree(dir)
	_, create := tr.Create("b")
	for i, err := range []error{draft, writable, create, w.Clear(a), w.SyncFolder(dir), w.Symlink("a", a, "k"), w.Remove(a, info), w.Rename(a, a+"b"),
		w.MakeFolder(a + "b"), tr.Mkdir("b"), tr.Symlink("a", "b"), tr.Link("a", "b"), tr.Rename("a", "b"), tr.RemoveAll("a"), tr.Dress("a", 0, 1, 1, time.Now()), tr.Sync()} {
		if !errors.Is(err, disk.ErrReadOnly) {
			t.Errorf("change %d is not refused: %v", i, err)
		}
	}
	if now := tree(t, dir); now != before {
		t.Errorf("there is\n%s", now)
	}
}
