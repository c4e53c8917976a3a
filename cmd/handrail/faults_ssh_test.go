package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// sshGround is a machine that is reached over ssh, and a playbook that adds a line to a ledger there.
func sshGround(t *testing.T) (*ground, *servers.SSHServer) {
	t.Helper()
	g, s := newGround(t), servers.SSH(t)
	g.target("box", "ssh", s.Settings())
	g.overSSH("echo line >> " + g.dir + "/ledger; echo said")
	return g, s
}

// overSSH makes the playbook `add`, whose step runs a shell on the other machine; what that says is asked
// for by the next step.
func (g *ground) overSSH(text string) {
	g.t.Helper()
	g.playbook("add", `targets: {box: ssh}
steps:
  - {id: add, on: box, timeout: 2m, exec: {shell: "`+text+`"}}
  - {id: proven, exec: {argv: [printf, "%s", "${{ steps.add.stdout }}"]}, timeout: 1m, expect: "stdout == 'said'"}
`)
}

// sshWith are the settings of the target with one changed.
func (g *ground) sshWith(name string, value engine.Value) {
	g.t.Helper()
	settings := engine.Record{}
	for k, v := range g.targets["box"]["ssh"] {
		settings[k] = v
	}
	settings[name] = value
	g.target("box", "ssh", settings)
}

func TestMachineThatCannotBeReached(t *testing.T) {
	g, s := sshGround(t)
	s.Kill()
	g.handrail("plan", "add").is(1)
	g.handrail("run", "--yes", "add").is(1, "step add: target box: no ssh server answers at 127.0.0.1", "nothing was sent", "nothing was changed")
	s.Restart()
	g.handrail("resume", g.last()).is(0)
	g.ledger("line\n")
}

func TestMachineWhoseHostKeyIsNotKnown(t *testing.T) {
	g, s := sshGround(t)
	g.sshWith("known_hosts", filepath.Join(g.dir, "known_hosts"))
	g.handrail("run", "--yes", "add").is(1, "the host key of 127.0.0.1", "is not known", "SHA256:", "ssh-keyscan -p ", "nothing was sent", "nothing was changed")
	g.target("box", "ssh", s.Settings())
	g.handrail("run", "--yes", "add").is(0)
	g.ledger("line\n")
}

func TestMachineWhoseHostKeyHasChanged(t *testing.T) {
	g, s := sshGround(t)
	s.NewKey("host")
	s.Restart()
	g.handrail("run", "--yes", "add").is(1, "HAS CHANGED", "somebody is in between", "ssh-keygen -f ", "nothing was changed")
	g.ledger("")
	s.Trust()
	g.handrail("resume", g.last()).is(0)
	g.ledger("line\n")
}

func TestMachineThatDoesNotLetUsIn(t *testing.T) {
	g, s := sshGround(t)
	other := s.NewKey("other")
	g.sshWith("key", other)
	g.handrail("run", "--yes", "add").is(1, "does not let ", " in with the key ", "authorized_keys", "nothing was changed")
	g.ledger("")
	s.LetIn(other)
	g.handrail("resume", g.last()).is(0)
	g.ledger("line\n")
}

func TestProgramThatIsNotOnTheMachine(t *testing.T) {
	g, _ := sshGround(t)
	g.playbook("add", "targets: {box: ssh}\nsteps:\n  - {id: add, on: box, timeout: 1m, exec: {argv: [no-such-program]}}\n")
	g.handrail("run", "--yes", "add").is(1, "there is no command no-such-program on 127.0.0.1", "nothing was changed")
}

func TestPlanStartsNothingOnTheMachine(t *testing.T) {
	g, s := sshGround(t)
	p := g.handrail("plan", "add").is(0)
	for _, want := range []string{"on box, run in a shell: echo line", "which lets us in", "not looked for"} {
		if !strings.Contains(p.out, want) {
			t.Errorf("%q is not said:\n%s", want, p.out)
		}
	}
	g.ledger("")
	if _, err := os.Stat(s.Traces()); err == nil {
		t.Error("there are traces of something")
	}
}

// waitingOnTheMachine runs the playbook in a process, up to where its command waits to be let go on.
func (g *ground) waitingOnTheMachine() (process *exec.Cmd, errs *bytes.Buffer, letGo func()) {
	g.t.Helper()
	gate := filepath.Join(g.dir, "gate")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		g.t.Fatal(err)
	}
	g.overSSH("echo started >> " + g.dir + "/ledger; read x < " + gate + "; echo effect >> " + g.dir + "/ledger; echo said")
	process = exec.CommandContext(g.t.Context(), "handrail", "run", "--yes", "add")
	errs = &bytes.Buffer{}
	process.Dir, process.Env, process.Stderr = g.dir, g.environ(), errs
	if err := process.Start(); err != nil {
		g.t.Fatal(err)
	}
	eventually(g.t, "the command starts", func() bool {
		b, _ := os.ReadFile(filepath.Join(g.dir, "ledger"))
		return string(b) == "started\n"
	})
	return process, errs, func() {
		f, err := os.OpenFile(gate, os.O_WRONLY, 0)
		if err != nil {
			g.t.Error(err)
			return
		}
		_, _ = f.WriteString("\n")
		_ = f.Close()
	}
}

func TestEngineKilledWhileACommandRunsOnTheMachine(t *testing.T) {
	g, s := sshGround(t)
	process, _, letGo := g.waitingOnTheMachine()
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = process.Wait() // killed
	resumed := g.inBackground("resume", g.last())
	log := filepath.Join(g.state(), "runs", g.last())
	eventually(t, "it is waited for", func() bool { return holds(log, "waiting for what an earlier attempt has started") })
	letGo()
	(<-resumed).is(0)
	g.ledger("started\neffect\n")
	if left, err := os.ReadDir(s.Traces()); err != nil || len(left) > 0 {
		t.Errorf("traces are left: %v %v", left, err)
	}
}

// holds says whether some file below a folder holds a text.
func holds(dir, text string) bool {
	found := false
	_ = filepath.WalkDir(dir, func(path string, _ os.DirEntry, _ error) error {
		b, err := os.ReadFile(path)
		found = found || err == nil && strings.Contains(string(b), text)
		return nil
	})
	return found
}

func TestConnectionCutWhileACommandRunsOnTheMachine(t *testing.T) {
	g, s := sshGround(t)
	process, errs, letGo := g.waitingOnTheMachine()
	s.Restart() // server and connections are killed
	s.CutConnections()
	letGo()
	if err := process.Wait(); err != nil {
		t.Errorf("%v: %s", err, errs)
	}
	g.ledger("started\neffect\n")
}
