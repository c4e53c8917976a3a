//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/internal/torture"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// engineRestartPlaybook restarts a container that takes its time to end, has a command in it, and makes another one.
const engineRestartPlaybook = `playbook: engine-restart
inputs: {name: {type: string}, ledger: {type: string}}
targets: {engine: docker}
steps:
  - {id: again, docker: {restart: "${{ inputs.name }}", grace: 20s}}
  - id: inside
    docker: {exec: {container: "${{ inputs.name }}", argv: [sh, -c, "echo begun >> /ledger/counts; until [ -e /ledger/go ]; do sleep 0.05; done; echo inside >> /ledger/counts"]}}
  - id: made
    docker: {run: {name: "${{ inputs.name }}-made", image: "handrail-test/base:1", network: none, volumes: ["${{ inputs.ledger }}:/ledger"], command: [sh, -c, "echo made >> /ledger/counts; exec sleep 600"]}}
`

// mortalEngine is a Docker engine that can be started again under a run.
type mortalEngine struct {
	host    string // where Handrail finds it
	direct  string // where the test does
	restart func()
}

// proxied is the shared engine behind a proxy: nobody gets through, the container of the test stops meanwhile, as with live-restore off,
// and then somebody answers again.
func proxied(t *testing.T, container func() string) *mortalEngine {
	direct, _ := servers.Docker(t)["host"].(string)
	way := torture.NewCutter(t, torture.DockerHost(direct))
	return &mortalEngine{"tcp://" + way.Addr, direct, func() {
		way.Away()
		out, err := exec.CommandContext(t.Context(), "docker", "-H", direct, "kill", container()).CombinedOutput()
		if err != nil && !bytes.Contains(out, []byte("is not running")) {
			t.Fatalf("docker kill: %v\n%s", err, out)
		}
		way.Heal()
	}}
}

// ownEngine starts a dockerd of the test's own, with nothing of the shared one but the test image. Its restart is SIGKILL and a start.
func ownEngine(t *testing.T) *mortalEngine {
	shared, _ := servers.Docker(t)["host"].(string)
	dir, err := os.MkdirTemp("/tmp", "hrd") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	host := "unix://" + filepath.Join(dir, "sock")
	var daemon *exec.Cmd
	start := func() {
		_ = os.Remove(filepath.Join(dir, "pid"))
		daemon = exec.Command("dockerd", "--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
			"--pidfile", filepath.Join(dir, "pid"), "-H", host, "--iptables=false", "--bridge=none", "--live-restore=false")
		log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		daemon.Stdout, daemon.Stderr = log, log
		// A dockerd without a bridge removes docker0 where it stands, which is another engine's: it has a network of its own.
		daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Cloneflags: syscall.CLONE_NEWNET}
		if err := daemon.Start(); err != nil {
			t.Fatal(err)
		}
		_ = log.Close() // the daemon has it
		deadline := time.Now().Add(2 * time.Minute)
		for exec.CommandContext(t.Context(), "docker", "-H", host, "version").Run() != nil {
			if time.Now().After(deadline) {
				b, _ := os.ReadFile(filepath.Join(dir, "log"))
				t.Fatalf("dockerd does not answer\n%s", b[max(0, len(b)-4000):])
			}
			wait(t.Context(), 100*time.Millisecond)
		}
	}
	containerd := filepath.Join(dir, "exec", "containerd")
	kill := func() { // with its containerd, which would be taken for a live one by its pid file; what is in containers lives on
		_ = daemon.Process.Kill()
		_ = daemon.Wait()
		if b, err := os.ReadFile(filepath.Join(containerd, "containerd.pid")); err == nil {
			_ = exec.Command("kill", "-9", strings.TrimSpace(string(b))).Run() // it may have ended with its parent
		}
		_ = os.Remove(filepath.Join(containerd, "containerd.pid"))
		_ = os.Remove(filepath.Join(containerd, "containerd.sock"))
	}
	t.Cleanup(func() {
		_ = exec.Command("sh", "-c", "docker -H "+host+" ps -aq | xargs -r docker -H "+host+" rm -f").Run()
		_ = daemon.Process.Signal(syscall.SIGTERM)
		ended := make(chan struct{})
		go func() { _ = daemon.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(time.Minute):
		}
		kill()
		_ = exec.Command("sh", "-c", "cut -d' ' -f2 /proc/mounts | grep '^"+dir+"/' | sort -r | xargs -r umount -l").Run()
		_ = os.RemoveAll(dir)
	})
	start()
	out, err := exec.CommandContext(t.Context(), "sh", "-c", "docker -H "+shared+" save handrail-test/base:1 | docker -H "+host+" load").CombinedOutput()
	if err != nil {
		t.Fatalf("load the image: %v\n%s", err, out)
	}
	return &mortalEngine{host, host, func() { kill(); start() }}
}

// TestADockerEngineThatIsStartedAgain has the engine die while it restarts a container, and while it has a command in one. In `make
// test` a proxy stands for that; in `make torture` it is a dockerd.
func TestADockerEngineThatIsStartedAgain(t *testing.T) {
	s := newFileStand(t)
	name := ""
	var e *mortalEngine
	if torture.How(t) == torture.Light {
		e = proxied(t, func() string { return name })
	} else {
		e = ownEngine(t)
	}
	s.docker = e.direct
	s.write("engine-restart.yaml", engineRestartPlaybook)
	s.write("here.yaml", fmt.Sprintf("targets:\n  engine: {docker: {host: %q}}\n", e.host))
	restarts, asked := 0, 0
	for i := range torture.Turns(t, 1, 3, 100) {
		for _, moment := range []string{"term", "begun"} {
			name = fmt.Sprintf("handrail-engine-%d-%s-%d", os.Getpid(), moment, i)
			asked += s.engineDies(e, name, moment)
			restarts++
		}
	}
	torture.Figure(t, 6, "%d restarts of the Docker engine, 0 effects lost, 0 twice; a person was asked of %d steps", restarts, asked)
}

// TestADockerEngineThatStaysAway while it restarts a container cannot be asked what became of that: the step has failed, and its effect is
// not known. The resume finds that it has happened, and restarts nothing.
func TestADockerEngineThatStaysAway(t *testing.T) {
	t.Parallel()
	direct, _ := servers.Docker(t)["host"].(string)
	way := torture.NewCutter(t, torture.DockerHost(direct))
	g := newGround(t)
	g.target("engine", "docker", engine.Record{"host": "tcp://" + way.Addr})
	g.targets["engine"] = map[string]engine.Record{"docker": {"host": direct}} // for the test's own commands
	g.playbook("again", `inputs: {name: {type: string, description: The container}}
targets: {engine: docker}
steps:
  - {id: again, docker: {restart: "${{ inputs.name }}", grace: 2s}}
`)
	name := g.container()
	g.docker("run", "-d", "--name", name, "--network", "none", servers.Image, "sh", "-c", "trap 'echo term' TERM; echo started; while :; do sleep 0.1; done")
	told := func(word string) int { return strings.Count(g.docker("logs", name), word) }
	eventually(t, "the container is up", func() bool { return told("started") == 1 })
	ended := make(chan said, 1)
	go func() { ended <- g.handrail("run", "--yes", "again", "-i", "name="+name) }()
	eventually(t, "the engine is at it", func() bool { return told("term") == 1 })
	way.Away()
	(<-ended).is(1, "restart container "+name)
	if !strings.Contains(g.handrail("show", g.last(), "-o", "json").out, `"effect": "unknown"`) {
		t.Error("show does not say that the effect is not known")
	}
	eventually(t, "the engine has done it", func() bool { return told("started") == 2 })
	way.Heal()
	g.handrail("resume", g.last()).is(0)
	if n := told("term"); n != 1 || told("started") != 2 {
		t.Errorf("it was stopped %d times, and started %d times", n, told("started"))
	}
}

// engineDies: the moment is a word in the ledger.
func (s *stand) engineDies(e *mortalEngine, name, moment string) (asked int) {
	t := s.t
	t.Helper()
	ledger := t.TempDir()
	counts := filepath.Join(ledger, "counts")
	s.dockerCLI("run", "-d", "--name", name, "--network", "none", "-v", ledger+":/ledger", "handrail-test/base:1",
		"sh", "-c", "echo started >> /ledger/counts; trap 'echo term >> /ledger/counts' TERM; until [ -e /ledger/end ]; do sleep 0.05; done")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = s.dockerCommand(ctx, "rm", "-f", name, name+"-made").Run() // not all of them are there
	})
	count := func(word string) (n int) {
		b, _ := os.ReadFile(counts) // it may not be there yet
		for line := range strings.Lines(string(b)) {
			if strings.TrimSpace(line) == word {
				n++
			}
		}
		return n
	}
	eventually(t, "the container is there", func() bool { return count("started") == 1 })
	if moment == "begun" {
		_ = os.WriteFile(filepath.Join(ledger, "end"), nil, 0o644) // the first ends at once
		eventually(t, "the container has ended", func() bool {
			return strings.Contains(s.dockerCLI("inspect", "-f", "{{.State.Running}}", name), "false")
		})
		_ = os.Remove(filepath.Join(ledger, "end"))
	}
	state := filepath.Join(s.dir, "state-"+name)
	run := s.command(state, "run", "./engine-restart.yaml", "--env", "./here.yaml", "--yes", "-i", "name="+name, "-i", "ledger="+ledger)
	var said bytes.Buffer
	run.Stderr = &said
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(2 * time.Minute)
	for count(moment) == 0 {
		if time.Now().After(deadline) {
			_ = run.Process.Kill()
			_ = run.Wait()
			t.Fatalf("%s: it never came to that\n%s", moment, &said)
		}
		wait(t.Context(), 10*time.Millisecond)
	}
	if moment == "begun" { // the container says so in its own time
		eventually(t, "the container was started twice", func() bool { return count("started") == 2 })
	}
	e.restart()
	if err := os.WriteFile(filepath.Join(ledger, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_ = run.Wait() // how it ended is in its state
	byHand := 0
	asked = s.resumeByLedger(state, s.begun(state), count, &said, func() { // what stopped with the engine, and nobody restarts
		if count("begun") > 0 && !strings.Contains(s.dockerCLI("inspect", "-f", "{{.State.Running}}", name), "true") {
			s.dockerCLI("start", name)
			byHand++
		}
	})
	for word, want := range map[string]int{"started": 2 + byHand, "inside": 1, "made": 1} {
		eventually(t, word+" is in the ledger", func() bool { return count(word) >= want })
		if n := count(word); n != want {
			t.Errorf("%s: %q is in the ledger %d times, want %d\n%s", moment, word, n, want, &said)
		}
	}
	s.dockerCLI("rm", "-f", name, name+"-made")
	return asked
}

// resumeByLedger goes on with a run until it is ok. What a person is asked, the ledger answers.
func (s *stand) resumeByLedger(state, run string, count func(string) int, said *bytes.Buffer, before func()) (asked int) {
	s.t.Helper()
	for range 12 {
		if s.show(state, run).State == engine.RunOK {
			return asked
		}
		before()
		_, _, _, errs := s.handrail(state, 0, "resume", run)
		said.WriteString(errs)
		for _, step := range s.show(state, run).Steps {
			if step.State != engine.InDoubt {
				continue
			}
			asked++
			word := "not-done"
			if count(step.ID) > 0 {
				word = "done"
			}
			if code, _, _, errs := s.handrail(state, 0, "resolve", run, step.Path, word, "--because", "the ledger says so"); code != 0 {
				s.t.Fatalf("resolve %s: exit %d\n%s", step.Path, code, errs)
			}
		}
	}
	s.t.Fatalf("the run does not come to an end\n%s", said)
	return asked
}
