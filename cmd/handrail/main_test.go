package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/journal"
)

func TestMain(m *testing.M) {
	testscript.Main(tidy{m}, map[string]func(){"handrail": main})
}

// The scripts know two commands of their own:
//
//	lastrun [NAME]   sets RUN, or NAME, to the id of the newest run
//	await FILE       waits until a file is there
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("USER", "ops")
			env.Setenv("HANDRAIL_STATE", filepath.Join(env.WorkDir, "state"))
			env.Setenv("HANDRAIL_LOCKS", filepath.Join(env.WorkDir, "locks"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"lastrun": lastRun, "await": await},
	})
}

// lastRun is the run that was made last. Runs of the same second have ids that do not tell.
func lastRun(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: lastrun [NAME]")
	}
	ids, err := filepath.Glob(filepath.Join(ts.Getenv("HANDRAIL_STATE"), "runs", "*"))
	ts.Check(err)
	if len(ids) == 0 {
		ts.Fatalf("there are no runs")
	}
	made := func(id string) time.Time {
		info, err := os.Stat(filepath.Join(id, "inputs.json")) // is written once
		ts.Check(err)
		return info.ModTime()
	}
	last := slices.MaxFunc(ids, func(a, b string) int { return made(a).Compare(made(b)) })
	name := "RUN"
	if len(args) == 1 {
		name = args[0]
	}
	ts.Setenv(name, filepath.Base(last))
}

// await waits until a file is there that somebody else writes.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await FILE")
	}
	ts.Check(ts.Exec("sh", "-c", `i=0; until [ -s "$0" ]; do i=$((i+1)); [ $i -lt 200 ] || exit 1; sleep 0.05; done`, ts.MkAbs(args[0])))
}

func TestExitCodesOfErrors(t *testing.T) {
	cases := []struct {
		err  error
		want exitCode
	}{
		{nil, exitOK},
		{errors.New("no such flag"), exitWrong},
		{&journal.Fault{Err: os.ErrPermission}, exitJournal},
		{errors.Join(&journal.LockedError{}, os.ErrClosed), exitLocked},
		{&journal.OwnedError{}, exitLocked},
		{ended(exitWaits), exitWaits},
		{coded{exitJournal, &journal.OwnedError{}}, exitJournal},
		{engine.ErrNotPossible, exitWrong},
	}
	for _, c := range cases {
		if got := codeOf(c.err); got != c.want {
			t.Errorf("%v: exit %d, not %d", c.err, got, c.want)
		}
	}
}

func TestExitCodesOfStates(t *testing.T) {
	want := map[engine.RunState]exitCode{
		engine.RunOK: exitOK, engine.RunDegraded: exitOK, engine.RunFailed: exitFailed, engine.RunCancelled: exitFailed,
		engine.RunUndone: exitFailed, engine.Waiting: exitWaits, engine.Interrupted: exitInterrupted, engine.Running: exitInterrupted,
	}
	for state, code := range want {
		if got := codeOfState(state, false); got != code {
			t.Errorf("%s: exit %d, not %d", state, got, code)
		}
	}
	if got := codeOfState(engine.RunDegraded, true); got != exitFailed {
		t.Errorf("--fail-on degraded: exit %d", got)
	}
}

func TestNothingThatIsPrintedShowsASecret(t *testing.T) {
	var out strings.Builder
	a := newApp(surroundings{stdout: &out, stderr: &out})
	a.masker.Add("password", "hunter2-hunter2")
	a.say("connect with hunter2-hunter2 failed")
	a.complain(errors.New("hunter2-hunter2 is wrong"))
	if strings.Contains(out.String(), "hunter2") || strings.Count(out.String(), engine.Masked) != 2 {
		t.Fatalf("printed %q", out.String())
	}
}

func TestEditDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"restart", "restrat", 2}, {"sweep", "sweeps", 1}} {
		if got := editDistance(c.a, c.b); got != c.want {
			t.Errorf("%s, %s: %d", c.a, c.b, got)
		}
	}
}

// oneAtATime is a writer that takes its time, and counts who comes in between.
type oneAtATime struct{ writing, between atomic.Int64 }

func (w *oneAtATime) Write(p []byte) (int, error) {
	if w.writing.Add(1) > 1 {
		w.between.Add(1)
	}
	for range 100 {
		runtime.Gosched()
	}
	w.writing.Add(-1)
	return len(p), nil
}

// TestTwoMaySpeakAtOnce: a run tells of its steps while a signal is answered.
func TestTwoMaySpeakAtOnce(t *testing.T) {
	var w oneAtATime
	a := newApp(surroundings{stdout: io.Discard, stderr: &w})
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			for range 100 {
				a.say("a line")
			}
		})
	}
	both.Wait()
	if n := w.between.Load(); n > 0 {
		t.Errorf("%d lines were begun in the middle of another", n)
	}
}
