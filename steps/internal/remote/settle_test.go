package remote

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/steps/internal/host"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// cutOff leaves an attempt as an engine does that was killed: prepared, and, if it is said, started.
func cutOff(t *testing.T, c *Conn, token, text string, started bool) Trace {
	t.Helper()
	cmd := Command{Argv: []string{"sh", "-c", text}, Token: token, Stdin: "what it reads"}
	trace, err := c.prepare(t.Context(), cmd)
	if err != nil {
		t.Fatal(err)
	}
	if started {
		startIt(t, c, trace, cmd)
	}
	return trace
}

func startIt(t *testing.T, c *Conn, trace Trace, cmd Command) {
	t.Helper()
	script, err := body(cmd.Argv, "", []string{"HANDRAIL_TOKEN=" + cmd.Token})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.start(t.Context(), trace, script); err != nil {
		t.Fatal(err)
	}
}

// settled is Settle, with what it has written out and said.
func settled(t *testing.T, c *Conn, trace Trace) (p Past, out, errs, said string) {
	t.Helper()
	var o, e bytes.Buffer
	p, err := c.Settle(t.Context(), trace, 1000, &o, &e, func(s string) { said += s + "\n" })
	if err != nil {
		t.Fatal(err)
	}
	return p, o.String(), e.String(), said
}

func TestWhatWasNeverStartedNeverWillBe(t *testing.T) {
	s := servers.SSH(t)
	c := open(t, s)
	trace := cutOff(t, c, "run/x", "touch "+s.Traces()+"/effect", false)
	for range 2 { // the answer to the first may have been lost
		if p, _, _, _ := settled(t, c, trace); !p.NeverStarted || !p.Dead || p.Ended {
			t.Errorf("%+v", p)
		}
	}
	// The dead engine's request to start comes in late.
	if err := c.start(t.Context(), trace, "touch "+s.Traces()+"/effect"); err == nil || !strings.Contains(err.Error(), "nothing was started") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(s.Traces() + "/effect"); err == nil {
		t.Error("it was started")
	}
}

func TestACommandIsStartedOnce(t *testing.T) {
	s := servers.SSH(t)
	c := open(t, s)
	cmd := Command{Argv: []string{"sh", "-c", "echo x >> " + s.Traces() + "/ledger"}, Token: "run/x"}
	trace := cutOff(t, c, "run/x", "", false)
	startIt(t, c, trace, cmd)
	if err := c.start(t.Context(), trace, "echo x >> "+s.Traces()+"/ledger"); err == nil {
		t.Error("started twice")
	}
	if p, _, _, _ := settled(t, c, trace); !p.Ended || p.Code != 0 {
		t.Errorf("%+v", p)
	}
	if b, err := os.ReadFile(s.Traces() + "/ledger"); err != nil || string(b) != "x\n" {
		t.Errorf("%q %v", b, err)
	}
}

func TestAnOrphanIsWaitedForAndItsEndAndOutputAreKnown(t *testing.T) {
	s := servers.SSH(t)
	first := open(t, s)
	gate := filepath.Join(t.TempDir(), "gate")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	trace := cutOff(t, first, "run/x", "cat; head -c 5000 /dev/zero | tr '\\000' y; read x <"+gate+"; echo; echo the end; echo an error >&2; exit 6", true)
	s.Kill()
	s.Restart()
	c := open(t, s)
	if _, err := c.prepare(t.Context(), Command{Argv: []string{"true"}, Token: "run/x"}); err == nil || !strings.Contains(err.Error(), "still alive of an earlier attempt: sh (pid ") {
		t.Errorf("another attempt beside it: %v", err)
	}
	go func() {
		f, err := os.OpenFile(gate, os.O_WRONLY, 0)
		if err == nil {
			_, _ = f.WriteString("\n")
			_ = f.Close()
		}
	}()
	p, out, errs, _ := settled(t, c, trace)
	if !p.Ended || p.Code != 6 || !p.Dead || p.Size != [2]int64{5000 + 13 + 9, 9} {
		t.Errorf("%+v", p)
	}
	if len(out) != 1000 || !strings.HasSuffix(out, "yyy\nthe end\n") || errs != "an error\n" {
		t.Errorf("%q %q", out, errs)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(s.Traces()); err != nil || len(left) > 0 {
		t.Errorf("traces are left: %v %v", left, err)
	}
}

// pids are those of keeper and command.
func pids(t *testing.T, trace Trace) (keeper, command int) {
	t.Helper()
	b, err := os.ReadFile(trace.Folder + "/pids")
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b))
	keeper, err1 := strconv.Atoi(f[0])
	command, err2 := strconv.Atoi(f[2])
	if err1 != nil || err2 != nil {
		t.Fatalf("%q", b)
	}
	return keeper, command
}

func TestACommandWithoutItsKeeperIsWaitedForAndItsEndIsNotKnown(t *testing.T) {
	c := open(t, servers.SSH(t))
	trace := cutOff(t, c, "run/x", "echo before; exec sleep 1", true)
	keeper, _ := pids(t, trace)
	if err := syscall.Kill(keeper, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p, out, _, said := settled(t, c, trace)
	if p.Ended || !p.Dead || !p.Waited || out != "before\n" || !strings.Contains(said, "waiting for") || !strings.Contains(p.Evidence, "no exit code was written down") {
		t.Errorf("%+v %q %q", p, out, said)
	}
}

// waitsAt returns when somebody reads from this pipe: what is written goes there.
func waitsAt(t *testing.T, pipe string) *os.File {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-time.After(10 * time.Millisecond) {
		// Nobody who writes can open it without waiting as long as nobody reads.
		f, err := os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err == nil {
			t.Cleanup(func() { _ = f.Close() })
			return f
		}
		if !errors.Is(err, syscall.ENXIO) {
			t.Fatal(err)
		}
	}
	t.Fatalf("nobody reads from %s", pipe)
	return nil
}

func TestWhatLeftItsGroupAndClosedTheLockIsFoundByItsToken(t *testing.T) {
	c := open(t, servers.SSH(t))
	gate := filepath.Join(t.TempDir(), "gate")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	trace := cutOff(t, c, "run/x", "setsid sh -c 'read x <"+gate+"' >/dev/null 2>&1 9>&- & exec sleep 1000", true)
	reader := waitsAt(t, gate)
	keeper, command := pids(t, trace)
	for _, pid := range []int{keeper, command} {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	// It lives until it was found.
	p, err := c.Settle(t.Context(), trace, 1000, io.Discard, io.Discard, func(string) {
		if _, err := reader.WriteString("go\n"); err != nil {
			t.Error(err)
		}
	})
	if err != nil || p.Ended || !p.Dead || !p.Waited {
		t.Errorf("%+v %v", p, err)
	}
}

func TestAnotherBootIsNoProofOfAnything(t *testing.T) {
	c := open(t, servers.SSH(t))
	trace := cutOff(t, c, "run/x", "exec sleep 1000", true)
	keeper, command := pids(t, trace)
	if err := os.WriteFile(trace.Folder+"/boot", []byte("another\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, _, _, _ := settled(t, c, trace)
	if p.Ended || p.NeverStarted || !p.Dead || !strings.Contains(p.Evidence, "was started anew since") {
		t.Errorf("%+v", p)
	}
	for _, pid := range []int{keeper, command} {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTracesThatAreGoneAreNotTakenForNone(t *testing.T) {
	c := open(t, servers.SSH(t))
	trace := cutOff(t, c, "run/x", "true", true)
	if p, _, _, _ := settled(t, c, trace); !p.Ended { // so that its keeper writes nothing any more
		t.Fatalf("%+v", p)
	}
	if err := os.RemoveAll(trace.Folder); err != nil {
		t.Fatal(err)
	}
	if p, _, _, _ := settled(t, c, trace); p.NeverStarted || p.Ended || p.Dead || !strings.Contains(p.Evidence, "are gone") {
		t.Errorf("%+v", p)
	}
}

func TestACommandWhoseMachineStaysAwayIsInDoubtAndIsFoundLater(t *testing.T) {
	s := servers.SSH(t)
	away := open(t, s)
	away.patience = 200 * time.Millisecond
	gate := filepath.Join(t.TempDir(), "gate")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	var trace Trace
	out := &notingWriter{on: s.Kill}
	_, err := away.Run(t.Context(), Command{Argv: []string{"sh", "-c", "echo before; read x <" + gate + "; echo the end"}, Stdout: out, Token: "run/x",
		Noted: func(t Trace) error { trace = t; return nil }})
	var lost *host.LostError
	if !errors.As(err, &lost) || !strings.Contains(err.Error(), "no ssh server answers") || !strings.Contains(err.Error(), "its traces are in "+trace.Folder) {
		t.Errorf("%v", err)
	}
	s.Restart()
	f, err := os.OpenFile(gate, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if p, out, _, _ := settled(t, open(t, s), trace); !p.Ended || p.Code != 0 || out != "before\nthe end\n" {
		t.Errorf("%+v %q", p, out)
	}
}
