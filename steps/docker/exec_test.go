package docker

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	apicontainer "github.com/docker/docker/api/types/container"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/container"
)

func (w *world) exec(container, script string, more ...engine.Record) *act {
	w.t.Helper()
	spec := engine.Record{"container": container, "argv": engine.List{"sh", "-c", script}}
	for _, m := range more {
		for k, v := range m {
			spec[k] = v
		}
	}
	return w.step("exec", engine.Record{"exec": spec})
}

// crashed runs a step up to the moment at which its engine dies, and gives the step that takes over.
// start says whether the exec is started before that.
func (w *world) crashed(container, script string, start bool) *act {
	w.t.Helper()
	dead := w.exec(container, script)
	c, err := connect(context.Background(), dead.env)
	w.must(err)
	_, err = dead.op.(exec).create(context.Background(), c, dead.env)
	w.must(err)
	note, _ := readExecNote(dead.seat.lastNote())
	if start {
		// The client's connection breaks at once, as it does when the client is killed.
		stream, err := c.ContainerExecAttach(context.Background(), note.exec, apicontainer.ExecAttachOptions{})
		w.must(err)
		stream.Close()
	}
	next := w.exec(container, script)
	next.env.Call.Note, next.env.Again = w.journalled(dead.seat.lastNote()), true
	return next
}

func (a *act) settle() engine.Settlement {
	return a.op.(steps.Settler).Settle(context.Background(), a.env)
}

func TestExecGivesOutputAndCode(t *testing.T) {
	w := newWorld(t)
	up := w.up("up")
	s := w.exec(up, `read x; echo "got $x from $WHO in $PWD as $(id -u)"; echo oops >&2; printf %s "$HANDRAIL_TOKEN" >/tmp/token`, engine.Record{
		"stdin": engine.NewSecret("s", "hello\n"), "env": engine.Record{"WHO": engine.NewSecret("who", "me")}, "dir": "/tmp", "user": "0"}).prepared()
	r := s.ok()
	if r["stdout"] != "got hello from me in /tmp as 0\n" || r["stderr"] != "oops\n" || r["code"] != int64(0) {
		t.Errorf("result %q", r)
	}
	if got := w.sh(up, "cat /tmp/token"); got != s.env.Call.Token {
		t.Errorf("the command's token is %q", got)
	}
	w.says(s.seat.text(), "got hello", "oops")
}

func TestExecThatFailsHasAnUnknownEffect(t *testing.T) {
	w := newWorld(t)
	up := w.up("up")
	o := w.exec(up, "echo half done; echo disk full >&2; exit 7").failed(engine.EffectUnknown, "exit code 7", "disk full")
	if o.Result["code"] != int64(7) || o.Result["stdout"] != "half done\n" {
		t.Errorf("result %v", o.Result)
	}
	w.exec(up, "exit 7", engine.Record{"codes": engine.List{int64(0), int64(7)}}).ok()
}

func TestExecThatCannotBeStartedLeavesNoEffect(t *testing.T) {
	w := newWorld(t)
	up, down := w.up("up"), w.create("down", nil, apicontainer.Config{})
	w.step("exec", engine.Record{"exec": engine.Record{"container": up, "argv": engine.List{"no-such-command"}}}).
		failed(engine.EffectNone, "no-such-command could not be started", "not found")
	w.exec(down, "true").failed(engine.EffectNone, "does not run (it is created)")
	w.exec(w.name("gone"), "true").failed(engine.EffectNone, "there is no container")
	if _, err := w.exec(down, "true").op.(exec).Prepare(context.Background(), w.exec(down, "true").env); err == nil {
		t.Error("Prepare lets a container pass that does not run")
	}
}

func TestExecIsNotStartedUnlessItsIDIsRecorded(t *testing.T) {
	w := newWorld(t)
	up := w.up("up")
	s := w.exec(up, "touch /tmp/effect")
	s.seat.onNote = func(engine.Value) error {
		if w.sh(up, "ls /tmp") != "" {
			t.Error("the command ran BEFORE its id was recorded")
		}
		return errors.New("disk full")
	}
	s.failed(engine.EffectNone, "disk full")
	if w.sh(up, "ls /tmp") != "" {
		t.Error("the command ran although its id could not be recorded")
	}
}

func TestExecCutShortIsEndedInsideTheContainer(t *testing.T) {
	w := newWorld(t)
	// The child's pid has three digits and its parent's has one, so that a signal to each in the order
	// of /proc reaches the child first, and a parent that is not held goes on.
	late := "while [ $(sh -c 'echo $$') -lt 100 ]; do :; done; echo begun; "
	for name, script := range map[string]string{
		"ends by SIGTERM": late + "sleep 500; echo never",
		"ignores SIGTERM": "trap '' TERM; " + late + "sleep 501; echo never; sleep 502",
	} {
		t.Run(name, func(t *testing.T) {
			up := w.up(strings.ReplaceAll(name, " ", "-"))
			s := w.exec(up, script, engine.Record{"kill_after": time.Second})
			ctx, cancel := context.WithCancelCause(context.Background())
			go func() {
				w.eventually("it has begun", func() bool { return strings.Contains(s.seat.text(), "begun") })
				cancel(errors.New("timeout of 1s"))
			}()
			o := w.failure(s.op.Execute(ctx, s.env), engine.EffectUnknown, "timeout of 1s", "was ended by SIG")
			if o.Result["stdout"] != "begun\n" {
				t.Errorf("stdout %q", o.Result["stdout"])
			}
			if left := w.sh(up, "ps | grep 'sleep 50' | grep -v grep"); left != "" {
				t.Errorf("it lives on: %s", left)
			}
		})
	}
}

func TestExecThatCannotBeEndedIsInDoubt(t *testing.T) {
	w := newWorld(t)
	up := w.up("up")
	// As sudo does, it drops the environment that it would be found by.
	s := w.exec(up, "echo begun; exec env -i sleep 40", engine.Record{"kill_after": 100 * time.Millisecond})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		w.eventually("it has begun", func() bool { return strings.Contains(s.seat.text(), "begun") })
		cancel()
	}()
	o := s.op.Execute(ctx, s.env)
	if !o.InDoubt || len(o.Evidence) == 0 {
		t.Fatalf("not in doubt: %+v", o)
	}
	w.says(strings.Join(o.Evidence, "\n"), "still runs", "no process of the command was found", "exec ", "on the engine's host")
}

func TestExecThatRunsOnAfterACrashIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	up := w.up("up")
	next := w.crashed(up, "sleep 2; echo x >>/tmp/effect", true)
	x := next.settle()
	if x.Verdict != engine.VerdictDone || x.Result["code"] != int64(0) || x.Result["stdout"] != nil || !x.Dead {
		t.Errorf("settled as %+v", x)
	}
	if got := w.sh(up, "cat /tmp/effect"); got != "x" {
		t.Errorf("the effect is %q at the verdict", got)
	}
	w.says(next.seat.text(), "waiting for it to end")
	w.says(strings.Join(x.Evidence, " "), "exit code 0", "is not kept")
}

func TestExecThatEndedAfterACrashIsJudgedByItsCode(t *testing.T) {
	w := newWorld(t)
	up := w.up("up")
	for script, want := range map[string]engine.Verdict{"exit 0": engine.VerdictDone, "exit 4": engine.VerdictUnknown} {
		next := w.crashed(up, script, true)
		note, _ := readExecNote(next.env.Call.Note)
		c, err := connect(context.Background(), next.env)
		w.must(err)
		_, err = container.Await(context.Background(), c, note.exec)
		w.must(err)
		x := next.settle()
		if x.Verdict != want || !x.Dead || (want == engine.VerdictDone) != (x.Err == "") {
			t.Errorf("%s: settled as %+v", script, x)
		}
	}
}

func TestExecThatWasNotStartedIsNotDone(t *testing.T) {
	w := newWorld(t)
	up := w.up("up")
	made := w.crashed(up, "touch /tmp/effect", false)
	if x := made.settle(); x.Verdict != engine.VerdictNotDone {
		t.Errorf("made and not started: %+v", x)
	}
	bare := w.exec(up, "touch /tmp/effect")
	if x := bare.settle(); x.Verdict != engine.VerdictNotDone {
		t.Errorf("nothing recorded: %+v", x)
	}
	if got := w.sh(up, "ls /tmp"); got != "" {
		t.Errorf("settling started it: %s", got)
	}
}

func TestExecOfAContainerThatIsGoneIsUnknownAndDead(t *testing.T) {
	w := newWorld(t)
	up := w.up("up")
	next := w.crashed(up, "sleep 600", true)
	w.must(w.plain.ContainerRemove(context.Background(), up, apicontainer.RemoveOptions{Force: true}))
	x := next.settle()
	if x.Verdict != engine.VerdictUnknown || x.Err != "" || !x.Dead {
		t.Errorf("settled as %+v", x)
	}
	w.says(strings.Join(x.Evidence, "\n"), "exit code is lost", "was removed")
}

func TestExecThatIsForgottenIsDeadOnlyIfItsProcessIsGone(t *testing.T) {
	w := newWorld(t)
	up := w.up("up")
	other := w.crashed(up, "sleep 600", true)
	note, _ := readExecNote(other.env.Call.Note)
	c, err := connect(context.Background(), other.env)
	w.must(err)
	state, err := c.ExecState(context.Background(), note.exec)
	w.must(err)
	for pid, dead := range map[int64]bool{state.Pid: false, 4194303: true, 0: false} {
		note.exec, note.pid = strings.Repeat("0", 64), pid // an id that the engine has forgotten
		other.env.Call.Note = w.journalled(note.value())
		if x := other.settle(); x.Verdict != engine.VerdictUnknown || x.Dead != dead {
			t.Errorf("process %d: %+v", pid, x)
		}
	}
	w.must(w.plain.ContainerRestart(context.Background(), up, apicontainer.StopOptions{}))
	if x := other.settle(); !x.Dead {
		t.Errorf("after a restart: %+v", x)
	}
}

func TestSettleThatCannotAskDecidesNothing(t *testing.T) {
	w := newWorld(t)
	up := w.up("up")
	next := w.crashed(up, "sleep 600", true)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if x := next.op.(steps.Settler).Settle(ctx, next.env); x.Verdict != engine.VerdictUnknown || x.Dead || x.Err != "" {
		t.Errorf("settled as %+v", x)
	}
	next.w.target.Settings = engine.Record{"host": "unix:///nowhere.sock"}
	lost := w.exec(up, "sleep 600")
	lost.env.Call.Note = next.env.Call.Note
	if x := lost.settle(); x.Verdict != engine.VerdictUnknown || x.Dead {
		t.Errorf("settled as %+v", x)
	}
}

func TestWidenedExecIsNotStartedBesideALiveOne(t *testing.T) {
	w := newWorld(t)
	up := w.up("up")
	next := w.crashed(up, "sleep 2; echo x >>/tmp/effect", true)
	next.ok()
	if got := w.sh(up, "cat /tmp/effect"); got != "x" {
		t.Errorf("the effect happened as %q", got)
	}
}

func TestLargeOutputDoesNotGrowMemory(t *testing.T) {
	w := newLoneWorld(t) // alone: the memory is that of all tests
	up := w.up("up")
	const size = 200 << 20
	s := w.exec(up, "dd if=/dev/zero bs=1M count=200 2>/dev/null | tr '\\000' x; echo; echo the end")
	s.seat.discard = true
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	done := make(chan engine.Outcome, 1)
	go func() { done <- s.execute() }()
	var peak uint64
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapAlloc)
			continue
		case o := <-done:
			out, _ := o.Result["stdout"].(string)
			if o.Err != "" || s.seat.written < size || len(out) != tailBytes || !strings.HasSuffix(out, "x\nthe end\n") {
				t.Errorf("wrote %d, kept %d, failed %q", s.seat.written, len(out), o.Err)
			}
		}
		break
	}
	if grown := int64(peak) - int64(before.HeapAlloc); grown > 32<<20 {
		t.Errorf("memory grew by %d MiB", grown>>20)
	}
}

func TestExecWithABackgroundChildEndsWithTheCommand(t *testing.T) {
	w := newWorld(t)
	up := w.up("up")
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	s := w.exec(up, "sleep 300 & echo done")
	if o := s.op.Execute(ctx, s.env); o.Err != "" || o.Result["stdout"] != "done\n" {
		t.Errorf("%+v", o)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	for _, chunk := range []int{1, 7, 4096, tailBytes, 3*tailBytes + 5} {
		var sink attendant
		tl := newTail(&sink)
		text := strings.Repeat("abcdefghij", 30000)
		for rest := text; rest != ""; {
			n := min(chunk, len(rest))
			_, _ = tl.Write([]byte(rest[:n]))
			rest = rest[n:]
		}
		if tl.String() != text[len(text)-tailBytes:] || sink.text() != text {
			t.Errorf("chunks of %d: kept %d bytes", chunk, len(tl.String()))
		}
	}
}

func TestStartThatIsStillOnItsWayIsNotTakenForNone(t *testing.T) {
	w := newWorld(t)
	up := w.up("up")
	next := w.crashed(up, "echo x >>/tmp/effect", false)
	note, _ := readExecNote(next.env.Call.Note)
	settled := make(chan engine.Settlement, 1)
	go func() { settled <- next.settle() }()
	select { // the engine hears the dead client's request a little late
	case <-time.After(startSettle / 4):
	case x := <-settled:
		t.Fatalf("settled at once as %+v", x)
	}
	w.must(w.plain.ContainerExecStart(context.Background(), note.exec, apicontainer.ExecStartOptions{Detach: true}))
	if x := <-settled; x.Verdict != engine.VerdictDone {
		t.Errorf("settled as %+v", x)
	}
}
