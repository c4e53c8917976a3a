// Package ci_test holds the example workflows to what makes them safe, and tries the script that they call.
package ci_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// workflow is as much of a workflow of GitHub as the rules are about.
type workflow struct {
	On          map[string]any
	Permissions map[string]string
	Jobs        map[string]struct {
		Permissions map[string]string
		Steps       []struct {
			Uses, Run string
			With      map[string]any
			Env       map[string]string
		}
	}
}

var (
	pinned    = regexp.MustCompile(`^\s*-?\s*uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d`)
	ofScript  = regexp.MustCompile(`\bci/handrail/([\w-]+)`)
	ofProgram = regexp.MustCompile(`github\.com/handrail-dev/handrail/([\w/.-]+)@`)
)

// granted are the rights of each job. Who needs another one says so here.
var granted = map[string]map[string]string{
	"check":   {"contents": "read"},
	"lines":   {"security-events": "write", "actions": "read"},
	"comment": {"actions": "read", "pull-requests": "write"},
}

// complaints are what is wrong with a workflow of GitHub.
func complaints(text string) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	var w workflow
	if err := yaml.Unmarshal([]byte(text), &w); err != nil {
		return []string{err.Error()}
	}
	if len(w.On) != 1 || w.On["pull_request"] == nil && w.On["workflow_run"] == nil {
		say("it is started by %v", w.On)
	}
	if w.Permissions == nil || len(w.Permissions) > 0 {
		say("the workflow as a whole has the permissions %v", w.Permissions)
	}
	if len(w.Jobs) == 0 {
		say("it has no jobs")
	}
	for name, job := range w.Jobs {
		if !reflect.DeepEqual(job.Permissions, granted[name]) {
			say("job %s has the permissions %v", name, job.Permissions)
		}
		trusted := name != "check"
		for _, s := range job.Steps {
			checkout := strings.HasPrefix(s.Uses, "actions/checkout@")
			switch {
			case trusted && (checkout || ofScript.MatchString(s.Run)):
				say("job %s, which may write, has something of the pull request", name)
			case checkout && s.With["persist-credentials"] != false:
				say("the token stays in the checkout")
			case strings.Contains(s.Run, "${{"):
				say("a text of the event stands in a script: %s", s.Run)
			}
			for key, value := range s.Env {
				if !trusted && (strings.Contains(value, "secrets.") || strings.Contains(value, "token")) {
					say("job %s is given %s", name, key)
				}
			}
		}
	}
	for line := range strings.Lines(text) {
		if strings.Contains(line, "uses:") && !pinned.MatchString(line) {
			say("not pinned to a commit: %s", strings.TrimSpace(line))
		}
	}
	return append(out, missing(text)...)
}

// missing are the scripts and programs that are called and not there.
func missing(text string) []string {
	var out []string
	scripts, programs := ofScript.FindAllStringSubmatch(text, -1), ofProgram.FindAllStringSubmatch(text, -1)
	for _, m := range scripts {
		if info, err := os.Stat(m[1]); err != nil || info.Mode()&0o111 == 0 {
			out = append(out, m[1]+" is no script that can be run")
		}
	}
	for _, m := range programs {
		if _, err := os.Stat(filepath.Join("..", "..", m[1], "main.go")); err != nil {
			out = append(out, m[1]+" is no program")
		}
	}
	if len(programs) == 0 {
		out = append(out, "it calls no program")
	}
	return out
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWorkflowsAreSafeForStrangers(t *testing.T) {
	review, comment := read(t, "github/handrail.yml"), read(t, "github/handrail-comment.yml")
	for name, text := range map[string]string{"handrail.yml": review, "handrail-comment.yml": comment} {
		if wrong := complaints(text); len(wrong) > 0 {
			t.Errorf("%s:\n%s", name, strings.Join(wrong, "\n"))
		}
	}
	if !strings.Contains(review, "HANDRAIL_UNTRUSTED: ${{ github.event.pull_request.head.repo.full_name != github.repository") {
		t.Error("a stranger's change is not told from another one")
	}
	// Each rule is one that can be broken.
	const checkout = "      - uses: actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2\n"
	for _, c := range []struct{ text, from, to, want string }{
		{review, "  pull_request:", "  pull_request_target:", "it is started by"},
		{review, "permissions: {}", "permissions: {contents: write}", "the workflow as a whole"},
		{review, "permissions: {}\n", "", "the workflow as a whole"},
		{review, "contents: read", "contents: write", "job check has the permissions"},
		{review, "persist-credentials: false", "persist-credentials: true", "the token stays"},
		{review, "@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2", "@v4", "not pinned"},
		{review, `"$BASE"`, "${{ github.head_ref }}", "a text of the event"},
		{review, "HANDRAIL_FAIL_ON: destroy", "TOKEN: ${{ secrets.X }}", "is given TOKEN"},
		{review, "ci/handrail/check", "ci/handrail/nothing", "is no script"},
		{comment, "    steps:\n", "    steps:\n" + checkout, "has something of the pull request"},
		{comment, "/examples/ci/comment@", "/examples/ci/nothing@", "is no program"},
	} {
		if !strings.Contains(c.text, c.from) {
			t.Errorf("%q is not there", c.from)
		}
		if got := strings.Join(complaints(strings.ReplaceAll(c.text, c.from, c.to)), "\n"); !strings.Contains(got, c.want) {
			t.Errorf("with %q nobody says %q: %s", c.to, c.want, got)
		}
	}
}

func TestThePipelineOfGitLab(t *testing.T) {
	type job struct {
		Extends, Image string
		Script         []string
		Variables      map[string]string
		Needs          []map[string]any
		Artifacts      struct{ Reports map[string]string }
		Environment    map[string]string
	}
	text := read(t, "gitlab/handrail.gitlab-ci.yml")
	var doc struct {
		Variables map[string]string
		Base      job `yaml:".handrail"`
		Review    job `yaml:"handrail-review"`
		Comment   job `yaml:"handrail-comment"`
	}
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range missing(text) {
		t.Error(wrong)
	}
	review, comment := doc.Review, doc.Comment
	if len(review.Script) == 0 || len(comment.Script) == 0 || review.Extends != ".handrail" || doc.Base.Image == "" || doc.Variables["HANDRAIL_FAIL_ON"] != "destroy" {
		t.Fatalf("%+v", doc)
	}
	if review.Variables["GIT_DEPTH"] != "0" || review.Artifacts.Reports["codequality"] == "" || !strings.Contains(strings.Join(review.Script, "\n"), "HANDRAIL_UNTRUSTED=yes") {
		t.Errorf("the review: %+v", review)
	}
	for _, line := range review.Script {
		if strings.Contains(line, "TOKEN") {
			t.Errorf("the job that runs the merge request's files has a token: %s", line)
		}
	}
	if comment.Variables["GIT_STRATEGY"] != "none" || comment.Environment["name"] != "handrail-comment" || ofScript.MatchString(strings.Join(comment.Script, "\n")) {
		t.Errorf("the job with the token has something of the merge request: %+v", comment)
	}
}

// TestTheScriptReviewsABranch with the program itself, on a repository whose branch has something to say.
func TestTheScriptReviewsABranch(t *testing.T) {
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(bin, "handrail"), "../../cmd/handrail")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	script, err := filepath.Abs("check")
	if err != nil {
		t.Fatal(err)
	}
	dir, folder := t.TempDir(), filepath.Join(t.TempDir(), "review")
	command := func(env []string, name string, args ...string) (string, int) {
		t.Helper()
		c := exec.CommandContext(t.Context(), name, args...)
		c.Dir = dir
		c.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+dir, "HANDRAIL_STATE="+dir+"/state", "HANDRAIL_ENV=", "HANDRAIL_UNTRUSTED=",
			"GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_SYSTEM="+os.DevNull)
		c.Env = append(c.Env, env...)
		out, err := c.CombinedOutput()
		if c.ProcessState == nil {
			t.Fatal(err)
		}
		return string(out), c.ProcessState.ExitCode()
	}
	must := func(name string, args ...string) {
		t.Helper()
		if out, code := command(nil, name, args...); code != 0 {
			t.Fatalf("%s %v: %s", name, args, out)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, "playbooks"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "playbooks", name+".yaml"), []byte("playbook: "+name+"\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const calm = "targets: {db: sqlite}\nsteps:\n  - {id: look, sql: {query: SELECT 1 AS n}}\n"
	must("git", "init", "-q", "-b", "main")
	write("shop", calm)
	write("same", calm)
	must("git", "add", "-A", "playbooks")
	must("git", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "-m", "before")

	check := func(code int, env []string, wants ...string) string {
		t.Helper()
		if out, got := command(env, script, "main", folder); got != code || strings.TrimSpace(read(t, folder+"/exit")) != fmt.Sprint(code) {
			t.Errorf("exit code %d: %s", got, out)
		}
		page := read(t, folder+"/comment.md")
		for _, want := range wants {
			if !strings.Contains(page, want) {
				t.Errorf("%q is missing:\n%s", want, page)
			}
		}
		return page
	}
	write("shop", strings.ReplaceAll(calm, "SELECT 1", "SELECT 2")+"  - {id: gone, sql: {exec: DROP TABLE orders}}\n")
	write("asks", "inputs: {name: {type: string}}\ntargets: {db: sqlite}\nsteps: [{id: look, sql: {query: 'SELECT :n AS n', args: {n: '${{ inputs.name }}'}}}]\n")
	page := check(1, nil, "**2 playbooks: 2 steps added", "it is new, and destroys", "Plan of <code>playbooks/shop.yaml</code>",
		"Plan of <code>playbooks/asks.yaml</code></summary>\n\nIt was not planned:\n\n<pre>\n  ", "input name is missing")
	if strings.Contains(page, "same") || len(page) > 65000 {
		t.Errorf("%d bytes:\n%s", len(page), page)
	}
	if sarif, quality := read(t, folder+"/lint.sarif"), read(t, folder+"/codequality.json"); !strings.Contains(sarif, `"uri": "playbooks/shop.yaml"`) ||
		!strings.Contains(quality, `"path": "playbooks/shop.yaml"`) {
		t.Errorf("%s\n%s", sarif, quality)
	}
	check(1, []string{"HANDRAIL_UNTRUSTED=yes"}, "**2 playbooks: 2 steps added", "it is new, and destroys", "Plan of <code>playbooks/asks.yaml</code></summary>\n\n### Plan of")
	write("shop", "steps: [{idd: x}]\n")
	check(2, []string{"HANDRAIL_FAIL_ON=never"}, "cannot be read after")
	if out, code := command(nil, script, "nowhere", folder); code != 2 || !strings.Contains(out, `there is no commit "nowhere" here`) {
		t.Errorf("exit code %d: %s", code, out)
	}
	if page := read(t, folder+"/comment.md"); !strings.Contains(page, "could not be found out") {
		t.Errorf("%s", page)
	}
}
