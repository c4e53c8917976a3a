package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestATailKeepsTheEndAsValidText(t *testing.T) {
	for _, c := range []struct {
		max    int
		writes []string
		want   string
		cut    bool
	}{
		{8, []string{"abc", "def\n"}, "abcdef", false},
		{4, []string{"abc", "def"}, "cdef", true},
		{4, []string{"abcdefghijkl"}, "ijkl", true},
		{4, []string{"ab", "cd", "ef", "gh", "ij"}, "ghij", true},
		{4, []string{"aaé€"}, "€", true}, // the cut is inside é
		{8, []string{"a\xffb"}, "a\uFFFDb", false},
		{8, []string{"\r\n\r\n"}, "", false},
	} {
		tail := NewTail(c.max)
		for _, w := range c.writes {
			if _, err := io.WriteString(tail, w); err != nil {
				t.Fatal(err)
			}
		}
		if tail.String() != c.want || tail.Cut() != c.cut {
			t.Errorf("%q: %q, cut %v", c.writes, tail, tail.Cut())
		}
	}
}

func TestAProcessIsToldByItsStart(t *testing.T) {
	me, err := identify(os.Getpid())
	if err != nil || me.Start == 0 || len(me.Boot) != 36 {
		t.Fatalf("%+v %v", me, err)
	}
	child := exec.Command("sleep", "1000")
	child.Env = []string{TokenVariable + "=a token of a test"}
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	known, err := identify(child.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	count := func(token string, p *Process) int {
		t.Helper()
		alive, err := survivors(token, p)
		if err != nil {
			t.Fatal(err)
		}
		return len(alive)
	}
	reused, rebooted := known, known
	reused.Start--
	reused.Latest--
	rebooted.Boot = "another"
	for _, c := range []struct {
		what  string
		token string
		p     *Process
		want  int
	}{
		{"by its identity", "", &known, 1},
		{"by its token", "a token of a test", nil, 1},
		{"not by part of a token", "a token", nil, 0},
		{"not by nothing", "", nil, 0},
		{"not when its pid is of another", "", &reused, 0},
		{"not when its pid is of another boot", "", &rebooted, 0},
	} {
		if n := count(c.token, c.p); n != c.want {
			t.Errorf("%s: found %d", c.what, n)
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	awaitZombie(t, child.Process.Pid)
	if n := count("a token of a test", &known); n != 0 {
		t.Errorf("a zombie is taken for alive")
	}
	_ = child.Wait() // killed
}

func TestTheClockSaysWhenAProcessWasStarted(t *testing.T) {
	for range 20 {
		r, err := Command{Path: "/bin/sleep", Argv: []string{"sleep", "1000"}, Stdout: io.Discard, Stderr: io.Discard}.begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		exact, err := identify(r.pid)
		if err != nil || !r.process.startedAt(exact.Start) || r.process.Boot != exact.Boot {
			t.Errorf("%+v is %+v: %v", r.process, exact, err)
		}
		r.watch.close()
		r.undo(-1)
	}
}

func TestALockOfAnOlderVersionIsRead(t *testing.T) {
	h, err := parseHolder("token abc attempt 2 pipes 3 4 pid 5 start 6 boot x\n")
	if want := (holder{token: "abc", attempt: 2, pipes: [2]uint64{3, 4}, process: Process{PID: 5, Start: 6, Latest: 6, Boot: "x"}}); err != nil || h != want {
		t.Errorf("%+v %v", h, err)
	}
	h.process.Latest++
	if again, err := parseHolder(string(h.text())); err != nil || again != h {
		t.Errorf("%+v %v", again, err)
	}
}

func awaitZombie(t *testing.T, pid int) {
	for {
		s, err := readStat(pid)
		if err != nil {
			t.Fatal(err)
		}
		if s.dead() {
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatal("it does not end")
		case <-time.After(time.Millisecond):
		}
	}
}

// run runs a shell under a lease.
func run(t *testing.T, f *Folder, token string, attempt int, text string) (Ended, string) {
	t.Helper()
	lease, err := f.Claim(token, attempt)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	e, err := Run(t.Context(), Command{Path: "/bin/sh", Argv: []string{"sh", "-c", text}, Stdout: &out, Stderr: &out, Lease: lease})
	if err != nil {
		t.Fatal(err)
	}
	return e, out.String()
}

func folder(t *testing.T, y *Yard, dir string) *Folder {
	t.Helper()
	f, err := y.Folder(dir)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func look(t *testing.T, tr Traces, token string, attempt int) Past {
	t.Helper()
	p, err := tr.Look(token, attempt)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLocksAreUsedAgainAndEndsAreKept(t *testing.T) {
	f := folder(t, &Yard{}, filepath.Join(t.TempDir(), "not", "yet"))
	for i := range 20 {
		token := fmt.Sprint("token ", i)
		if p := look(t, f.Traces, token, 1); !p.NeverStarted {
			t.Errorf("%s before: %+v", token, p)
		}
		run(t, f, token, 1, fmt.Sprintf("exit %d", i))
	}
	for i := range 20 {
		if p := look(t, f.Traces, fmt.Sprint("token ", i), 1); !p.Ended || p.Code != i {
			t.Errorf("token %d: %+v", i, p)
		}
		if p := look(t, f.Traces, fmt.Sprint("token ", i), 2); !p.NeverStarted {
			t.Errorf("the second attempt of token %d: %+v", i, p)
		}
	}
	locks, err := filepath.Glob(filepath.Join(f.dir, "*.lock"))
	if err != nil || len(locks) != 1 {
		t.Errorf("%d lock files for one command at a time: %v", len(locks), err)
	}
}

// dieAt leaves traces as an engine does that is killed at that point.
func dieAt(t *testing.T, f *Folder, token string, point string) {
	t.Helper()
	lease, err := f.Claim(token, 1)
	if err != nil {
		t.Fatal(err)
	}
	if point != "claimed" {
		if err := lease.starting([2]int{0, 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Close(lease.fd); err != nil {
		t.Fatal(err)
	}
}

func TestWhatAKillLeavesIsReadAsItIs(t *testing.T) {
	for _, c := range []struct {
		point        string
		neverStarted bool
	}{{"claimed", true}, {"starting", false}} {
		dir := t.TempDir()
		dead := folder(t, &Yard{}, dir)
		run(t, dead, "before", 1, "true") // so that a lock is there to be used again
		dieAt(t, dead, "token", c.point)
		next := folder(t, &Yard{}, dir)
		for _, when := range []string{"at once", "and when the next engine has run something"} {
			p := look(t, next.Traces, "token", 1)
			if p.NeverStarted != c.neverStarted || p.Ended || p.Process != nil || p.Rebooted {
				t.Errorf("%s, %s: %+v", c.point, when, p)
			}
			run(t, next, "another", 1, "true")
		}
		if p := look(t, next.Traces, "before", 1); !p.Ended {
			t.Errorf("%s: the end of a command before is lost: %+v", c.point, p)
		}
	}
}

func TestAnotherBootLeavesNoProofByAbsence(t *testing.T) {
	f := folder(t, &Yard{}, t.TempDir())
	if err := os.WriteFile(f.bootsFile(), []byte("another\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p := look(t, f.Traces, "token", 1); p.NeverStarted || !p.Rebooted {
		t.Errorf("%+v", p)
	}
	f = folder(t, &Yard{}, f.dir)
	if p := look(t, f.Traces, "token", 1); p.NeverStarted {
		t.Errorf("in the new boot: %+v", p)
	}
}

func TestABrokenTraceIsAnErrorAndNotAnAnswer(t *testing.T) {
	f := folder(t, &Yard{}, t.TempDir())
	if err := os.WriteFile(filepath.Join(f.dir, "1-1.lock"), []byte("token abc attempt"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := f.Look("token", 1); err == nil {
		t.Errorf("%+v", p)
	}
	if _, err := TracesIn(""); err == nil {
		t.Error("no folder is a folder")
	}
}

// TestALockThatAnotherStartHasForAMomentIsNotHeld: a command that is being started has a copy of what this process has open.
func TestALockThatAnotherStartHasForAMomentIsNotHeld(t *testing.T) {
	f := folder(t, &Yard{}, t.TempDir())
	lease, err := f.Claim("fails", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := lease.starting([2]int{0, 1}); err != nil {
		t.Fatal(err)
	}
	copied, err := syscall.Dup(lease.fd)
	if err != nil {
		t.Fatal(err)
	}
	lease.started(Process{})
	closed := make(chan error)
	time.AfterFunc(20*time.Millisecond, func() { closed <- syscall.Close(copied) })
	if lease.ended(1, false) {
		t.Error("it is taken for a lock that something alive holds")
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
}

func TestALockThatIsHeldIsNotUsedAgain(t *testing.T) {
	f := folder(t, &Yard{}, t.TempDir())
	e, out := run(t, f, "leaves a child", 1, "sleep 1000 >/dev/null 2>&1 & echo $!")
	if e.Code != 0 || e.Held {
		t.Errorf("a good end: %+v", e)
	}
	run(t, f, "another", 1, "true")
	locks, err := filepath.Glob(filepath.Join(f.dir, "*.lock"))
	if err != nil || len(locks) != 2 {
		t.Errorf("%v %v", locks, err)
	}
	if _, err := f.Claim("leaves a child", 2); !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), "sleep (pid "+strings.TrimSpace(out)) {
		t.Errorf("claimed beside it: %v", err)
	}
	var pid int
	if _, err := fmt.Sscan(out, &pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func TestNothingStaysOpenAfterACommand(t *testing.T) {
	// What other tests have open may be closed meanwhile: only what is new counts. A number that was
	// given away again is told from its first owner by what it leads to.
	open := func() map[string]bool {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for _, entry := range entries {
			if leads, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil {
				found[entry.Name()+" to "+leads] = true
			}
		}
		return found
	}
	f := folder(t, &Yard{}, t.TempDir())
	run(t, f, "first", 1, "true")
	before := open()
	for i := range 20 {
		run(t, f, fmt.Sprint(i), 1, "echo out; echo err >&2; exit 1")
		lease, err := f.Claim("bad", 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Run(t.Context(), Command{Path: "/no/such", Argv: []string{"x"}, Lease: lease, Stdin: "something"}); err == nil {
			t.Fatal("started")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Run(ctx, Command{Path: "/bin/true", Argv: []string{"true"}}); err == nil {
			t.Fatal("started")
		}
	}
	for descriptor := range open() {
		if !before[descriptor] {
			t.Errorf("still open: %s", descriptor)
		}
	}
}

func TestTheCommandGetsNothingOfTheEngineButWhatItMustHave(t *testing.T) {
	f := folder(t, &Yard{}, t.TempDir())
	_, out := run(t, f, "token", 1, "ls /proc/self/fd")
	// ls opens the folder itself as descriptor 3. What whoever started the engine wanted to be inherited
	// is not the engine's.
	allowed := map[string]bool{"0": true, "1": true, "2": true, "3": true, "13": true, "14": true, "15": true}
	var got int
	for _, fd := range strings.Fields(out) {
		n, err := strconv.Atoi(fd)
		if err != nil {
			t.Fatal(err)
		}
		flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0)
		switch inherited := err == nil && flags&unix.FD_CLOEXEC == 0; {
		case allowed[fd]:
			got++
		case !inherited:
			t.Errorf("descriptor %d is open", n)
		}
	}
	if got != len(allowed) {
		t.Errorf("open: %s", out)
	}
}
