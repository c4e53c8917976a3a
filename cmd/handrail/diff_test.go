package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/handrail-dev/handrail/cmd/internal/view"
	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/internal/schematest"
)

// git is what the test itself does with the repository. Its commits are the same each time.
func (g *ground) git(args ...string) {
	g.t.Helper()
	c := exec.CommandContext(g.t.Context(), "git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"}, args...)...)
	c.Dir = g.dir
	c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_SYSTEM="+os.DevNull,
		"GIT_AUTHOR_DATE=2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z")
	if out, err := c.CombinedOutput(); err != nil {
		g.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

const shopBefore = `description: Closes a month.
targets: {db: sqlite}
inputs: {state: {type: string, default: old}, token: {type: secret, required: false}}
locks: [shop]
steps:
  - {id: count, sql: {query: "SELECT COUNT(*) AS n FROM orders"}}
  - {id: sure, approve: {message: "close ${{ steps.count.rows[0].n }}"}}
  - {id: mark, sql: {exec: "UPDATE orders SET state = 'seen' WHERE state = 'new'"}}
  - {id: purge, title: Old orders, sql: {exec: "DELETE FROM orders WHERE state = :s", args: {s: "${{ inputs.state }}"}}}
  - {id: in_it, playbook: {run: inner, inputs: {token: "${{ inputs.token }}"}}}
  - {id: proof, verify: [{sql: {query: "SELECT COUNT(*) AS n FROM orders"}, expect: "rows[0].n >= 0"}]}
`

// diffGround is a repository on whose branch a playbook has changed in every way. The earlier inner playbook is in the
// earlier revision alone.
func diffGround(t *testing.T) *ground {
	t.Helper()
	g := newGround(t)
	g.git("init", "-q", "-b", "main")
	g.playbook("shop", shopBefore)
	g.playbook("inner", "inputs: {token: {type: secret}}\nsteps: [{id: note, exec: {argv: [echo], env: {KEY: \"${{ inputs.token }}\"}}}]\n")
	g.playbook("calm", "steps: [{id: look, exec: {argv: [echo, calm]}}]\n")
	g.playbook("gone", "steps: [{id: look, exec: {argv: [echo, gone]}}]\n")
	g.git("add", "-A", "playbooks")
	g.git("commit", "-q", "-m", "before")
	g.git("checkout", "-q", "-b", "work")
	after := shopBefore
	for _, change := range [][2]string{
		{"default: old", "default: new"},
		{"locks: [shop]\n", ""},
		{"  - {id: sure, approve: {message: \"close ${{ steps.count.rows[0].n }}\"}}\n", ""},
		{"id: mark,", "id: mark_new,"},
		{"  - {id: proof", "  - {id: drop, sql: {exec: DROP TABLE old_orders}}\n  - {id: proof"},
		{"rows[0].n >= 0", "rows[0].n == 0"},
	} {
		if !strings.Contains(after, change[0]) {
			t.Fatalf("%q is not there", change[0])
		}
		after = strings.Replace(after, change[0], change[1], 1)
	}
	g.playbook("shop", after)
	g.playbook("inner", "inputs: {token: {type: secret}}\nsteps: [{id: note, exec: {argv: [echo, twice], env: {KEY: \"${{ inputs.token }}\"}}}]\n")
	g.playbook("fresh", "steps: [{id: look, exec: {argv: [echo, fresh]}}]\n")
	if err := os.Remove(filepath.Join(g.dir, "playbooks", "gone.yaml")); err != nil {
		t.Fatal(err)
	}
	return g
}

// withShop gives the targets of the playbook.
func (g *ground) withShop() {
	g.target("db", "sqlite", engine.Record{"file": filepath.Join(g.dir, "shop.db")})
	g.sqlite("CREATE TABLE orders (id INTEGER PRIMARY KEY, state TEXT); INSERT INTO orders VALUES (1, 'old'), (2, 'old'), (3, 'new'); CREATE TABLE old_orders (id INTEGER)")
}

// everything is a digest of all files below the folder, git's own included.
func (g *ground) everything() string {
	g.t.Helper()
	sum := sha256.New()
	err := filepath.WalkDir(g.dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			fmt.Fprintln(sum, name)
			return err
		}
		b, err := os.ReadFile(name)
		info, infoErr := e.Info()
		if infoErr == nil {
			fmt.Fprintln(sum, name, info.Mode(), info.ModTime().UnixNano(), len(b))
		}
		sum.Write(b)
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

func diffGolden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "diff", name)
	if os.Getenv("HANDRAIL_UPDATE") != "" {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; it is\n%s", file, got)
	}
}

// TestDiffOfABranch in every form, by the files alone and against a database: the same each time, as the schema says, and
// nothing is written by it.
func TestDiffOfABranch(t *testing.T) {
	g := diffGround(t)
	text, err := os.ReadFile("../../docs/diff.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	schema := schematest.Compile(t, text)
	for _, ground := range []string{"files", "planned"} {
		if ground == "planned" {
			g.withShop()
		}
		before := g.everything()
		for form, ending := range map[string]string{"text": "txt", "json": "json", "markdown": "md"} {
			args := []string{"diff", "--base", "main", "-o", form, "-i", "token=hunter2-hunter2"}
			one, two := g.handrail(args...).is(0).never("hunter2"), g.handrail(args...).is(0)
			if one.out != two.out {
				t.Errorf("two of the same differ:\n%s\n%s", one.out, two.out)
			}
			diffGolden(t, ground+"."+ending, one.out)
			if form == "json" {
				v, err := jsonschema.UnmarshalJSON(strings.NewReader(one.out))
				if err != nil {
					t.Fatal(err)
				}
				if err := schema.Validate(v); err != nil {
					t.Error(err)
				}
			}
			if form == "markdown" && (len(one.out) > view.CommentLimit || len(g.handrail(append(args, "--limit", "1200")...).out) > 1200) {
				t.Error("it does not fit into a comment")
			}
		}
		if g.everything() != before {
			t.Error("a diff has written something")
		}
	}
}

// TestDiffIsWhatItSays looks at single things that the golden files could hide.
func TestDiffIsWhatItSays(t *testing.T) {
	g := diffGround(t)
	g.withShop()
	all := g.handrail("diff", "--base", "main", "-i", "token=hunter2-hunter2").is(0)
	for _, want := range []string{"4 playbooks: ", "impact: rows: 2 (estimate) → 1 (estimate)", "uses what was changed: inputs.state", "was called mark", "not locked any more: shop",
		"fresh  [added]", "gone  [removed]", "~ in_it/note  [changed", "- argv: [echo]", "+ argv: [echo, twice]"} {
		if !strings.Contains(all.out, want) {
			t.Errorf("%q is missing:\n%s", want, all.out)
		}
	}
	if strings.Contains(all.out, "calm") || regexp.MustCompile(`(?m)^ *- mark\b`).MatchString(all.out) {
		t.Errorf("what is the same is shown, or what was renamed is gone:\n%s", all.out)
	}
	// What has happened on main since is no change of the branch.
	g.git("add", "-A", "playbooks")
	g.git("commit", "-q", "-m", "after")
	g.git("checkout", "-q", "main")
	g.playbook("calm", "steps: [{id: other, exec: {argv: [echo, other]}}]\n")
	g.git("commit", "-q", "-a", "-m", "elsewhere")
	committed := g.handrail("diff", "--base", "main", "--head", "work", "-i", "token=hunter2-hunter2").is(0)
	if committed.out != all.out {
		t.Errorf("the same change is another one when it is committed:\n%s\nnot\n%s", committed.out, all.out)
	}
	// A playbook that is named by its name, its file, its folder, and one that does not differ.
	for _, name := range []string{"shop", "playbooks/shop.yaml", filepath.Join(g.dir, "playbooks", "shop.yaml")} {
		one := g.handrail("diff", "--base", "main", "--head", "work", "--offline", name).is(0)
		if !strings.HasPrefix(one.out, "1 playbook: ") || !strings.Contains(one.out, "~ purge") || !strings.Contains(one.out, "by the files alone") {
			t.Errorf("%s:\n%s", name, one.out)
		}
	}
	if folder := g.handrail("diff", "--base", "main", "--head", "work", "--offline", "playbooks/").is(0); !strings.HasPrefix(folder.out, "4 playbooks: ") {
		t.Errorf("%s", folder.out)
	}
	g.handrail("diff", "--base", "main", "--head", "work", "shop", "-i", "colour=red").is(2, "-i colour: no playbook that was compared has such an input")
	if none := g.handrail("diff", "--base", "main", "--head", "work", "calm").is(0); !strings.HasPrefix(none.out, "No playbook differs") {
		t.Errorf("%s", none.out)
	}
}

// TestADiffShowsNoSecret that it knows, whatever says it, nor one that stands in a place for secrets.
func TestADiffShowsNoSecret(t *testing.T) {
	g := diffGround(t)
	g.playbook("inner", "inputs: {token: {type: secret}}\nsteps: [{id: note, title: \"as hunter2-hunter2 said\", exec: {argv: [echo, \"x hunter2-hunter2\"], env: {KEY: \"${{ inputs.token }}\", API_TOKEN: hunter3-hunter3}}}]\n")
	for _, form := range []string{"text", "json", "markdown"} {
		for _, more := range []string{"--offline", "--limit=900", "--limit=65536"} {
			s := g.handrail("diff", "--base", "main", "-o", form, "-i", "token=hunter2-hunter2", more).is(0).never("hunter2").never("hunter3")
			if !strings.Contains(s.out, "note") && form != "markdown" {
				t.Errorf("%s", s.out)
			}
		}
	}
}

// TestDiffOfTwoFiles needs no git.
func TestDiffOfTwoFiles(t *testing.T) {
	g := newGround(t)
	if err := os.Mkdir(filepath.Join(g.dir, "old"), 0o700); err != nil {
		t.Fatal(err)
	}
	g.write("old/p.yaml", "playbook: p\nsteps: [{id: a, exec: {argv: [echo, a]}}]\n")
	g.playbook("p", "steps: [{id: a, exec: {argv: [echo, b]}}]\n")
	two := g.handrail("diff", "old/p.yaml", "playbooks/p.yaml").is(0)
	if !strings.HasPrefix(two.out, "1 playbook: 0 steps added / 0 removed / 1 changed; of them 1 change\nsince old/p.yaml, by the files alone\n") || !strings.Contains(two.out, "+ argv: [echo, b]") {
		t.Errorf("%s", two.out)
	}
	if same := g.handrail("diff", "old/p.yaml", "old/p.yaml").is(0); !strings.HasPrefix(same.out, "No playbook differs") {
		t.Errorf("%s", same.out)
	}
	g.handrail("diff", "old/p.yaml").is(2, "give it as: handrail diff {OLD NEW | --base REVISION [PLAYBOOK…]}")
	g.handrail("diff", "--head", "x", "old/p.yaml", "playbooks/p.yaml").is(2, "--head goes with --base")
	g.handrail("diff", "--base", "main").is(2, "git repository")
}

// TestDiffOfWhatCannotBeRead names the side, and shows the other one.
func TestDiffOfWhatCannotBeRead(t *testing.T) {
	g := diffGround(t)
	g.write("playbooks/fresh.yaml", "playbook: fresh\nsteps: [{id: look, exce: {argv: [echo]}}]\n")
	g.write("playbooks/shop.yaml", "playbook: shop\nsteps: [{id: look, sqll: {query: SELECT 1}}]\n")
	broken := g.handrail("diff", "--base", "main").is(2, "shop, after (the files as they are), cannot be read:", "playbooks/shop.yaml:2:20: there is no kind and no key sqll", "fresh, after")
	for _, want := range []string{"shop  [cannot be compared]", "cannot be read after: playbooks/shop.yaml:2:20", "purge  Old orders  [uncompared", "gone  [removed]"} {
		if !strings.Contains(broken.out, want) {
			t.Errorf("%q is missing:\n%s", want, broken.out)
		}
	}
	// The other way round: what was broken is mended. That cannot be compared, and is no mistake of the change.
	g.git("add", "-A", "playbooks")
	g.git("commit", "-q", "-m", "broken")
	g.git("branch", "broken")
	g.playbook("shop", shopBefore)
	g.playbook("fresh", "steps: [{id: look, exec: {argv: [echo]}}]\n")
	mended := g.handrail("diff", "--base", "broken").is(1, "shop, before (broken, ")
	if !strings.Contains(mended.out, "cannot be read before: playbooks/shop.yaml:2:20") || !strings.Contains(mended.out, "purge  Old orders  [uncompared") {
		t.Errorf("%s", mended.out)
	}
	g.handrail("diff", "--base", "broken", "--fail-on", "never").is(0)
	// A link is not followed out of the repository.
	g.write("outside", "playbook: fresh\nhunter2-hunter2\n")
	if err := os.Rename(filepath.Join(g.dir, "outside"), filepath.Join(t.TempDir(), "outside")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(g.dir, "playbooks", "fresh.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(g.dir, "playbooks", "fresh.yaml")); err != nil {
		t.Fatal(err)
	}
	g.handrail("diff", "--base", "main").is(2, "fresh, after")
	g.git("add", "-A", "playbooks")
	g.git("commit", "-q", "-m", "link")
	g.handrail("diff", "--base", "main", "--head", "HEAD").is(2, "playbooks/fresh.yaml is a symbolic link")
	for _, revision := range []string{"-x", "--output=playbooks/x", "nowhere"} {
		g.handrail("diff", "--base="+revision).is(2, "--base: ")
		g.handrail("diff", "--base=main", "--head="+revision).is(2, "--head: ")
	}
}

// TestADiffCanHoldUpAPullRequest: what is ruled out ends with exit code 1.
func TestADiffCanHoldUpAPullRequest(t *testing.T) {
	g := diffGround(t)
	diff := []string{"diff", "--base", "main"}
	with := func(more ...string) said { return g.handrail(append(diff, more...)...) }
	with("--fail-on", "destroy").is(1, "--fail-on destroy: ", "shop, step drop: destroys, added", "shop, step sure: approval is not asked for where it was")
	with("--fail-on", "change").is(1, "shop, step purge: changes, reached", "fresh, step look: changes, added")
	with("--fail-on", "irreversible").is(0)
	with("--fail-on", "never").is(0)
	with("fresh", "--fail-on", "destroy").is(0)
	with("--fail-on", "destruction").is(2, "there are change, destroy, irreversible, unknown, never")
	// A target that cannot be asked is unknown, and what the files say is told all the same.
	g.target("db", "sqlite", engine.Record{"file": filepath.Join(g.dir, "nowhere", "shop.db")})
	lost := with("-i", "token=hunter2-hunter2").is(1)
	if !strings.Contains(lost.out, "- locks: shop") || !strings.Contains(lost.out, "could not be judged") {
		t.Errorf("%s", lost.out)
	}
	with("--offline").is(0)
}
