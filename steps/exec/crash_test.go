package exec_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest"
)

// The test binary is also an engine that can be killed, and a program that closes what it inherits.
const roleVariable = "HANDRAIL_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "engine":
		os.Exit(playEngine())
	case "closer":
		os.Exit(playCloser())
	}
	os.Exit(m.Run())
}

// playEngine executes one step, as the environment says, and prints what came of it.
func playEngine() int {
	op, err := newKind().Decode("exec", engine.Record{
		"argv": engine.List{"sh", "-c", os.Getenv("TEXT")},
		"env":  engine.Record{"DIR": os.Getenv("DIR"), "SELF": os.Args[0]},
	})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	env := steps.NewEnv(call(), steps.Target{}, steps.Full, &steptest.Recorder{}, nil, nil)
	env.Scratch, env.Dir = filepath.Join(os.Getenv("DIR"), "scratch"), os.Getenv("DIR")
	o := op.Execute(context.Background(), env)
	fmt.Printf("%+v\n", o)
	return 0
}

func call() engine.Call {
	return engine.Call{Kind: "exec", Operation: "exec", Class: engine.ClassUnrepeatable, Attempt: 1, Token: "run/" + os.Getenv("DIR")}
}

// playCloser does as sudo does: it closes every descriptor but the usual three.
func playCloser() int {
	for fd := 3; fd < 64; fd++ {
		_ = syscall.Close(fd)
	}
	gate, err := os.Open(filepath.Join(os.Getenv("DIR"), os.Getenv("GATE")))
	if err != nil {
		return 1
	}
	_, _ = gate.Read(make([]byte, 1))
	return 0
}

// world is an engine process and the folder in which it and its program act.
type world struct {
	*step
	t      *testing.T
	dir    string
	engine *osexec.Cmd
}

// start starts an engine that runs a program, and waits until the program has said "started".
func start(t *testing.T, text string) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	for _, gate := range []string{"gate", "back-gate"} {
		if err := syscall.Mkfifo(filepath.Join(w.dir, gate), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(w.openAll)
	w.engine = osexec.Command(os.Args[0])
	w.engine.Env = append(os.Environ(), roleVariable+"=engine", "DIR="+w.dir, "TEXT="+text)
	w.engine.Stderr = os.Stderr
	if err := w.engine.Start(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DIR", w.dir)
	w.step = newStep(t, engine.Record{"argv": engine.List{"sh", "-c", text}})
	w.env.Call = call()
	w.env.Scratch = filepath.Join(w.dir, "scratch")
	return w
}

// openAll lets everything go on that a failed test has left waiting at a gate.
func (w *world) openAll() {
	for _, gate := range []string{"gate", "back-gate"} {
		f, err := os.OpenFile(filepath.Join(w.dir, gate), os.O_RDWR, 0)
		if err != nil {
			w.t.Error(err)
			continue
		}
		_ = f.Close()
	}
}

func (w *world) said(line string) func() bool {
	return func() bool {
		b, _ := os.ReadFile(filepath.Join(w.dir, "ledger"))
		return strings.Contains(string(b), line+"\n")
	}
}

// kill is kill -9 of the engine, AFTER the program has said that it started.
func (w *world) kill() {
	w.t.Helper()
	eventually(w.t, "the program starts", w.said("started"))
	if err := w.engine.Process.Kill(); err != nil {
		w.t.Fatal(err)
	}
	_ = w.engine.Wait() // killed
}

// open lets the program that waits at a gate go on.
func (w *world) open(gate string) {
	w.t.Helper()
	f, err := os.OpenFile(filepath.Join(w.dir, gate), os.O_WRONLY, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := f.WriteString("\n"); err != nil {
		w.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		w.t.Fatal(err)
	}
}

func kill(t testing.TB, pid string) {
	n, err := strconv.Atoi(pid)
	if err != nil {
		return
	}
	if err := syscall.Kill(n, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Error(err)
	}
}

func TestAnOrphanGoesOnAndIsWaitedForAndItsOutputTakenUp(t *testing.T) {
	w := start(t, `echo started >> "$DIR/ledger"; read x < "$DIR/gate"
		i=0; while [ $i -lt 5000 ]; do echo "line $i, which is long enough to fill a pipe"; i=$((i+1)); done
		echo effect >> "$DIR/ledger"; echo the last line`)
	w.kill()
	settled := make(chan engine.Settlement)
	go func() { settled <- w.settle(context.Background()) }()
	eventually(t, "it is said who is waited for", func() bool { return strings.Contains(w.rec.Output(), "waiting for") })
	select {
	case s := <-settled:
		t.Fatalf("did not wait: %+v", s)
	default:
	}
	w.open("gate")
	s := <-settled
	if s.Verdict != engine.VerdictUnknown || !s.Dead || s.Err != "" {
		t.Errorf("%+v", s)
	}
	if e := strings.Join(s.Evidence, "\n"); !strings.Contains(e, "its exit code is not known") || !strings.Contains(e, "it wrote: the last line") {
		t.Errorf("evidence:\n%s", e)
	}
	if !w.said("effect")() {
		t.Error("the program did not come to its end")
	}
	if !strings.Contains(w.rec.Output(), "line 4999,") {
		t.Error("its output was not taken up")
	}
}

func TestAFreeLockAloneProvesNothing(t *testing.T) {
	w := start(t, `echo started >> "$DIR/ledger"; HANDRAIL_TEST_ROLE=closer GATE=gate exec "$SELF"`)
	w.kill()
	ctx, cancel := context.WithCancel(t.Context())
	settled := make(chan engine.Settlement)
	go func() { settled <- w.settle(ctx) }()
	eventually(t, "it is said who is waited for", func() bool { return strings.Contains(w.rec.Output(), "(pid ") })
	cancel()
	if s := <-settled; s.Verdict != engine.VerdictUnknown || s.Dead || !strings.Contains(s.Evidence[0], "still alive: ") {
		t.Errorf("%+v", s)
	}
	w.open("gate")
	if s := w.settle(t.Context()); !s.Dead || s.Verdict != engine.VerdictUnknown {
		t.Errorf("%+v", s)
	}
}

func TestWhatLeftItsGroupAndClosedItsLockIsFoundByItsToken(t *testing.T) {
	w := start(t, `HANDRAIL_TEST_ROLE=closer GATE=back-gate setsid "$SELF" & echo $$ > "$DIR/shell"; echo started >> "$DIR/ledger"; read x < "$DIR/gate"`)
	w.kill()
	w.open("gate")
	shell, err := os.ReadFile(filepath.Join(w.dir, "shell"))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the shell ends", func() bool { return ended(strings.TrimSpace(string(shell))) })
	settled := make(chan engine.Settlement, 1)
	go func() { settled <- w.settle(context.Background()) }()
	eventually(t, "somebody is waited for", func() bool { return len(settled) > 0 || strings.Contains(w.rec.Output(), "(pid ") })
	select {
	case s := <-settled:
		t.Fatalf("nobody is found: %+v", s)
	default:
	}
	w.open("back-gate")
	if s := <-settled; !s.Dead {
		t.Errorf("%+v", s)
	}
}

func TestAnEndThatWasSeenIsKnown(t *testing.T) {
	for text, want := range map[string]engine.Settlement{
		"true":   {Verdict: engine.VerdictDone, Dead: true},
		"exit 3": {Verdict: engine.VerdictUnknown, Dead: true, Err: "sh exited with code 3"},
	} {
		w := start(t, text)
		if err := w.engine.Wait(); err != nil {
			t.Fatal(err)
		}
		s := w.settle(t.Context())
		if s.Verdict != want.Verdict || s.Dead != want.Dead || s.Err != want.Err {
			t.Errorf("%s: %+v", text, s)
		}
		if _, lies := s.Result["stdout"]; lies {
			t.Errorf("%s: an output that was lost is said to be empty", text)
		}
		w.env.Call.Attempt = 2
		if s := w.settle(t.Context()); s.Verdict != engine.VerdictNotDone || !s.Dead {
			t.Errorf("%s: of an attempt that never began: %+v", text, s)
		}
	}
}

func TestALossOfPowerIsNotTakenForAProof(t *testing.T) {
	w := start(t, `echo started >> "$DIR/ledger"; read x < "$DIR/gate"`)
	w.kill()
	w.open("gate")
	if s := w.settle(t.Context()); !s.Dead || s.Verdict != engine.VerdictUnknown {
		t.Fatalf("%+v", s)
	}
	// The lock has gone with the power, and the run was in another boot.
	locks, err := filepath.Glob(filepath.Join(w.env.Scratch, "*.lock"))
	if err != nil || len(locks) != 1 {
		t.Fatal(locks, err)
	}
	if err := os.Remove(locks[0]); err != nil {
		t.Fatal(err)
	}
	boots := filepath.Join(w.env.Scratch, "boots")
	if err := os.WriteFile(boots, []byte("another-boot\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"before", "AFTER"} {
		if s := w.settle(t.Context()); s.Verdict != engine.VerdictUnknown || !s.Dead {
			t.Errorf("%s another step of this boot: %+v", when, s)
		}
		other := newStep(t, engine.Record{"argv": engine.List{"true"}})
		other.env.Scratch = w.env.Scratch
		if o := other.op.Execute(t.Context(), other.env); o.Err != "" {
			t.Fatal(o.Err)
		}
	}
}

// TestWhatRunsAfterAnotherBootIsNotWaitedFor: a program of this boot has the pid, and the lock, that are written of an attempt of the
// last one. It is somebody else's.
func TestWhatRunsAfterAnotherBootIsNotWaitedFor(t *testing.T) {
	w := start(t, `echo started >> "$DIR/ledger"; read x < "$DIR/gate"`)
	t.Cleanup(func() { w.open("gate") })
	var locks []string
	var text []byte
	eventually(t, "the lock says who has it", func() bool { // the program may be quicker than its engine
		var err error
		if locks, err = filepath.Glob(filepath.Join(w.env.Scratch, "*.lock")); err != nil || len(locks) != 1 {
			return false
		}
		text, err = os.ReadFile(locks[0])
		return err == nil && strings.Contains(string(text), " pid ") && !strings.Contains(string(text), " pid 0 ")
	})
	w.kill()
	fields := strings.Fields(string(text))
	fields[len(fields)-1] = "another-boot"
	if err := os.WriteFile(locks[0], []byte(strings.Join(fields, " ")), 0o600); err != nil { // the same file, which is held
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context()) // nothing can be waited for
	end()
	if s := w.settle(ended); !s.Dead || s.Verdict != engine.VerdictUnknown || !strings.Contains(strings.Join(s.Evidence, " "), "the machine was started anew since") {
		t.Errorf("%+v", s)
	}
}

func TestAnAuthorsIdempotentStepWaitsForItsOrphanBeforeItRunsAgain(t *testing.T) {
	w := start(t, `echo started >> "$DIR/ledger"; read x < "$DIR/gate"; echo done >> "$DIR/ledger"`)
	w.kill()
	again := newStep(t, engine.Record{"argv": engine.List{"sh", "-c", `echo again >> "$DIR/ledger"`}, "env": engine.Record{"DIR": w.dir}})
	again.env.Call, again.env.Scratch, again.env.Again = call(), w.env.Scratch, true
	again.env.Call.Attempt, again.env.Call.Class = 2, engine.ClassIdempotent
	finished := make(chan engine.Outcome)
	go func() { finished <- again.op.Execute(context.Background(), again.env) }()
	eventually(t, "it waits", func() bool { return strings.Contains(again.rec.Output(), "waiting for") })
	w.open("gate")
	if o := <-finished; o.Err != "" {
		t.Error(o.Err)
	}
	b, err := os.ReadFile(filepath.Join(w.dir, "ledger"))
	if err != nil || string(b) != "started\ndone\nagain\n" {
		t.Errorf("%q %v", b, err)
	}
}

func TestAProbeLeavesNoTrace(t *testing.T) {
	s := newStep(t, engine.Record{"argv": engine.List{"sleep", "0.6"}})
	s.env.Call.Class, s.env.Call.Token, s.env.Call.Attempt = engine.ClassRead, "", 0
	s.rec.OnNote = func(engine.Value) error { return errors.New("a probe has nothing to note") }
	if o := s.op.Execute(t.Context(), s.env); o.Err != "" {
		t.Error(o.Err)
	}
	if files, err := os.ReadDir(s.env.Scratch); err != nil || len(files) > 0 {
		t.Errorf("%v %v", files, err)
	}
}

func TestALongProgramIsNotedAndEndedIfThatFails(t *testing.T) {
	s := newStep(t, engine.Record{"argv": engine.List{"sleep", "1000"}, "kill_after": time.Second})
	s.rec.OnNote = func(v engine.Value) error {
		if pid, _ := v.(engine.Record)["pid"].(int64); pid == 0 || ended(strconv.FormatInt(pid, 10)) {
			t.Errorf("noted %v", v)
		}
		return errors.New("the disk is full")
	}
	o := s.op.Execute(t.Context(), s.env)
	if !strings.Contains(o.Err, "the disk is full") || o.Effect != engine.EffectUnknown {
		t.Errorf("%+v", o)
	}
}

// BenchmarkTrue runs /bin/true as a step and by itself, in turn, and compares the medians: other work on
// the machine meets both alike.
func BenchmarkTrue(b *testing.B) {
	s := newStep(b, engine.Record{"argv": engine.List{"/bin/true"}})
	var step, bare []time.Duration
	for i := 0; b.Loop(); i++ {
		s.env.Call.Token = "run/" + strconv.Itoa(i)
		began := time.Now()
		if o := s.op.Execute(b.Context(), s.env); o.Err != "" {
			b.Fatal(o.Err)
		}
		middle := time.Now()
		if err := osexec.Command("/bin/true").Run(); err != nil {
			b.Fatal(err)
		}
		step, bare = append(step, middle.Sub(began)), append(bare, time.Since(middle))
	}
	slices.Sort(step)
	slices.Sort(bare)
	b.ReportMetric(float64(step[len(step)/2].Microseconds()), "us/step")
	b.ReportMetric(float64(bare[len(bare)/2].Microseconds()), "us/bare")
	b.ReportMetric(float64(step[len(step)/2])/float64(bare[len(bare)/2]), "ratio")
}
