package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// ground is a folder with playbooks, an environment and a state folder of a test's own, on which
// commands are given as at a terminal that nobody sits at.
type ground struct {
	t       *testing.T
	dir     string
	targets map[string]map[string]engine.Record
	signals chan os.Signal
	now     func() time.Time // nil: the clock of the machine
}

func newGround(t *testing.T) *ground {
	t.Helper()
	g := &ground{t: t, dir: t.TempDir(), targets: map[string]map[string]engine.Record{}, signals: make(chan os.Signal, 8)}
	for _, sub := range []string{"playbooks", "environments"} {
		if err := os.Mkdir(filepath.Join(g.dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// target says in the environment where a target is.
func (g *ground) target(name, kind string, settings engine.Record) {
	g.t.Helper()
	g.targets[name] = map[string]engine.Record{kind: settings}
	b, err := json.Marshal(map[string]any{"targets": g.targets}) // YAML, too
	if err != nil {
		g.t.Fatal(err)
	}
	g.write("environments/default.yaml", string(b))
}

func (g *ground) write(name, text string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

func (g *ground) playbook(name, text string) {
	g.t.Helper()
	g.write("playbooks/"+name+".yaml", "playbook: "+name+"\n"+text)
}

// said is what a command ended with and wrote.
type said struct {
	g           *ground
	code        int
	out, errors string
}

func (g *ground) state() string { return filepath.Join(g.dir, "state") }

// handrail gives a command line. Whatever it says is looked at for what no person should have to read.
func (g *ground) handrail(args ...string) said {
	g.t.Helper()
	env := func(key string) (string, bool) {
		for _, pair := range g.environ() {
			if value, ok := strings.CutPrefix(pair, key+"="); ok {
				return value, true
			}
		}
		return "", false
	}
	now := g.now
	if now == nil {
		now = time.Now
	}
	var out, errs bytes.Buffer
	code := run(g.t.Context(), append([]string{"-C", g.dir}, args...), surroundings{stdin: strings.NewReader(""),
		stdout: &out, stderr: &errs, env: env, signals: g.signals, now: now, random: rand.Reader})
	s := said{g, code, out.String(), errs.String()}
	s.isForPeople()
	return s
}

func (g *ground) environ() []string {
	return []string{"HANDRAIL_STATE=" + g.state(), "HANDRAIL_LOCKS=" + filepath.Join(g.dir, "locks"), "PATH=" + os.Getenv("PATH"), "HOME=" + g.dir}
}

// process gives a command line to a process of its own, which may be killed; its exit code is then -1.
func (g *ground) process(args ...string) said {
	g.t.Helper()
	c := exec.CommandContext(g.t.Context(), "handrail", args...)
	c.Dir, c.Env = g.dir, g.environ()
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	_ = c.Run() // how it ended is in its state
	s := said{g, c.ProcessState.ExitCode(), out.String(), errs.String()}
	s.isForPeople()
	return s
}

// insides are what a person on a call should never have to read aloud.
var insides = regexp.MustCompile(`context canceled|context deadline|goroutine|panic|runtime error|%!|0x[0-9a-f]{6}|` +
	`\*?(mysql|redis|sql|docker|engine|journal|net|fs|os|errors)\.[A-Z][A-Za-z]+\b|@tcp\(|://[^ /]*:[^ /]*@|hijack|<nil>|i/o timeout|map\[`)

func (s said) isForPeople() {
	s.g.t.Helper()
	if found := insides.FindString(s.out + s.errors); found != "" {
		s.g.t.Errorf("%q is nothing to be read aloud:\n%s%s", found, s.out, s.errors)
	}
}

// is asks for the exit code and for what is said on stderr.
func (s said) is(code int, wants ...string) said {
	s.g.t.Helper()
	if s.code != code {
		s.g.t.Errorf("exit %d, not %d\n%s%s", s.code, code, s.out, s.errors)
	}
	for _, want := range wants {
		if !strings.Contains(s.errors, want) {
			s.g.t.Errorf("%q is not said:\n%s%s", want, s.out, s.errors)
		}
	}
	return s
}

// never asks that a text, such as a password, is in no output.
func (s said) never(text string) said {
	s.g.t.Helper()
	if strings.Contains(s.out+s.errors, text) {
		s.g.t.Errorf("%q is shown:\n%s%s", text, s.out, s.errors)
	}
	return s
}

// last is the newest run.
func (g *ground) last() string {
	g.t.Helper()
	ids, err := filepath.Glob(filepath.Join(g.state(), "runs", "*"))
	if err != nil || len(ids) == 0 {
		g.t.Fatalf("there are no runs: %v", err)
	}
	newest, when := "", time.Time{}
	for _, id := range ids {
		info, err := os.Stat(filepath.Join(id, "journal.jsonl"))
		if err == nil && (newest == "" || info.ModTime().After(when)) {
			newest, when = filepath.Base(id), info.ModTime()
		}
	}
	return newest
}

// inBackground gives a command line and hands over what came of it.
func (g *ground) inBackground(args ...string) <-chan said {
	done := make(chan said, 1)
	go func() { done <- g.handrail(args...) }()
	return done
}

// eventually waits for something that somebody else brings about.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-tick.C {
		if is() {
			return
		}
	}
	t.Fatalf("%s: this did not come about", what)
}

// ledger is what steps have appended to the file of that name.
func (g *ground) ledger(want string) {
	g.t.Helper()
	b, err := os.ReadFile(filepath.Join(g.dir, "ledger"))
	if err != nil && !os.IsNotExist(err) {
		g.t.Fatal(err)
	}
	if string(b) != want {
		g.t.Errorf("the ledger has %q, not %q", b, want)
	}
}

// container is the name of a container that is removed at the end, whoever makes it.
func (g *ground) container() string {
	g.t.Helper()
	name := "handrail-fault-" + strings.ToLower(rand.Text()[:10])
	g.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_ = g.dockerCommand(ctx, "rm", "-f", "-v", name).Run() // it may never have been made
	})
	return name
}

func (g *ground) dockerCommand(ctx context.Context, args ...string) *exec.Cmd {
	host, _ := g.targets["engine"]["docker"]["host"].(string)
	return exec.CommandContext(ctx, "docker", append([]string{"-H", host}, args...)...)
}

// docker is what the test itself does with the engine.
func (g *ground) docker(args ...string) string {
	g.t.Helper()
	out, err := g.dockerCommand(g.t.Context(), args...).CombinedOutput()
	if err != nil {
		g.t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// openSQLite opens a database of the test, and waits for whoever holds it: an engine that runs, or one that
// was killed in the middle of a write, whose journal the next reader rolls back under a lock.
func openSQLite(t *testing.T, file string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(20000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}
