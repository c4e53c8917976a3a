package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// heldPlaybook has a command in the middle that says who it is and goes on when it is told to. SIGTERM does not end it.
const heldPlaybook = `steps:
  - {id: one, exec: {argv: [sh, -c, "echo one >> ledger"]}}
  - {id: two, exec: {argv: [sh, -c, "trap '' TERM; echo $$ > pid; mv pid held; while [ ! -e go ]; do sleep 0.02; done; echo two >> ledger"]}}
  - {id: three, exec: {argv: [sh, -c, "echo three >> ledger"]}}
`

// held waits until the command in the middle is there, and gives its pid.
func (g *ground) held() (pid int) {
	g.t.Helper()
	eventually(g.t, "the command in the middle runs", func() bool {
		b, err := os.ReadFile(filepath.Join(g.dir, "held"))
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(b)))
		return err == nil
	})
	return pid
}

// ptyOf is a new pseudo terminal: the end that a person's window holds, and the one that a program is given.
func ptyOf(t *testing.T) (window, end *os.File) {
	t.Helper()
	window, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = window.Close() })
	if err := unix.IoctlSetPointerInt(int(window.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(window.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	end, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return window, end
}

// TestTerminalThatIsLost: the window is closed, or the line to the machine is cut, in the middle of a run. The kernel
// sends SIGHUP, and nothing can be written to the terminal any more. The run goes on to its end.
func TestTerminalThatIsLost(t *testing.T) {
	g := newGround(t)
	g.playbook("held", heldPlaybook)
	window, end := ptyOf(t)
	c := exec.CommandContext(t.Context(), "handrail", "run", "--yes", "held")
	c.Dir, c.Env = g.dir, append(g.environ(), "TERM=xterm")
	c.Stdin, c.Stdout, c.Stderr = end, end, end
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true} // as a login shell's only program
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if err := end.Close(); err != nil {
		t.Fatal(err)
	}
	// The terminal is read by the runtime's poller or not at all: a read that blocks would keep it open.
	shown := make(chan string, 1)
	go func() {
		var seen bytes.Buffer
		buf := make([]byte, 4096)
		for !strings.Contains(seen.String(), "two") {
			n, err := window.Read(buf)
			seen.Write(buf[:n])
			if err != nil {
				break
			}
		}
		shown <- seen.String()
	}()
	g.held()
	if text := <-shown; !strings.Contains(text, "two") {
		t.Errorf("the terminal shows %q", text)
	}
	if err := window.Close(); err != nil {
		t.Fatal(err)
	}
	g.write("go", "")
	if err := c.Wait(); err != nil {
		t.Errorf("the run did not come to its end: %v", err)
	}
	g.ledger("one\ntwo\nthree\n")
	g.handrail("audit", g.last()).is(0)
	if s := g.handrail("show", g.last()); !strings.Contains(s.out, ": ok") {
		t.Errorf("the run is not ok:\n%s", s.out)
	}
}

// TestMachineThatIsShutDown: every process gets SIGTERM, and a while later SIGKILL, the engine and its command alike.
func TestMachineThatIsShutDown(t *testing.T) {
	g := newGround(t)
	g.playbook("held", heldPlaybook)
	c := exec.CommandContext(t.Context(), "handrail", "run", "--yes", "held")
	c.Dir, c.Env = g.dir, g.environ()
	said := filepath.Join(g.dir, "said")
	errs, err := os.Create(said)
	if err != nil {
		t.Fatal(err)
	}
	defer errs.Close()
	c.Stderr = errs
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	child := g.held()
	all := func(s syscall.Signal) {
		for _, group := range []int{c.Process.Pid, child} {
			if err := syscall.Kill(-group, s); err != nil {
				t.Fatalf("%s to group %d: %v", s, group, err)
			}
		}
	}
	all(syscall.SIGTERM)
	// The engine has taken it in, and waits for the effect that is under way.
	eventually(t, "the engine has heard of it", func() bool {
		b, err := os.ReadFile(said)
		return err == nil && strings.Contains(string(b), "stopping: ")
	})
	all(syscall.SIGKILL)
	_ = c.Wait() // it was killed
	g.ledger("one\n")
	g.handrail("resume", g.last()).is(3, "In doubt", "two", "is not alive any more")
	g.ledger("one\n")
	g.handrail("resolve", g.last(), "two", "not-done", "--because", "the machine went down before").is(0)
	g.write("go", "")
	g.handrail("resume", g.last()).is(0)
	g.ledger("one\ntwo\nthree\n")
}
