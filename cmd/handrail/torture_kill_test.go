package main

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/internal/torture"
)

// killPlaybook has what of crashPlaybook is quick, twice over, so that a kill has something to fall into.
const killPlaybook = `playbook: kill
description: Effects of every class, counted where they happen.
locks: [kill]
inputs:
  key: {type: string, description: What this run writes}
targets: {file: sqlite, db: mysql, pg: postgres, cache: redis}
steps:
  - id: lite
    on: file
    sql: {exec: "INSERT INTO ledger (k) VALUES (:k)", args: {k: "${{ inputs.key }}"}}
  - id: command
    exec: {argv: [sh, -c, "echo $1 >> ledger.txt", sh, "${{ inputs.key }}"]}
  - id: maria
    on: db
    sql: {args: {k: "${{ inputs.key }}"}, transaction: [{exec: "INSERT INTO ledger (k) VALUES (:k)"}, {exec: "UPDATE total SET n = n + 1"}]}
  - id: ledger
    on: pg
    sql: {args: {k: "${{ inputs.key }}"}, transaction: [{exec: "INSERT INTO ledger (k) VALUES (:k)"}, {exec: "UPDATE total SET n = n + 1"}]}
  - id: queue
    redis: {transaction: [[RPUSH, "ledger:${{ inputs.key }}", x], [INCR, "total:${{ inputs.key }}"]]}
`

// killed runs the binary and kills it AFTER a while, if it lives so long.
func (s *stand) killed(state string, after time.Duration, args ...string) (code int, killed bool) {
	s.t.Helper()
	c := s.command(state, args...)
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { _ = c.Process.Kill() })
	defer timer.Stop()
	_ = c.Wait() // how it ended is in its state
	ws, _ := c.ProcessState.Sys().(syscall.WaitStatus)
	return c.ProcessState.ExitCode(), ws.Signaled()
}

func (s *stand) command(state string, args ...string) *exec.Cmd {
	c := exec.CommandContext(s.t.Context(), s.bin, args...)
	c.Dir = s.dir
	c.Env = append(os.Environ(), "HANDRAIL_STATE="+state, "HANDRAIL_LOCKS="+filepath.Join(s.dir, "locks"))
	return c
}

// killUntilDone runs the playbook once, kills it at random until it is done, and asks the ledgers. It gives
// the number of kills.
func (s *stand) killUntilDone(r *rand.Rand, key string, longest time.Duration) (kills int) {
	s.t.Helper()
	state := filepath.Join(s.dir, "state-"+key)
	pause := func() time.Duration { return time.Duration(r.Int64N(int64(longest))) }
	code, killed := s.killed(state, pause(), "run", "./kill.yaml", "--env", "./here.yaml", "--yes", "-i", "key="+key)
	for round := 0; killed || code != 0; round++ {
		if killed {
			kills++
		}
		if round > 60 {
			s.t.Fatalf("%s: the run does not come to an end; it ended with %d", key, code)
		}
		run := s.begun(state)
		if run == "" { // nothing may have happened; its lock is left over, and the next run takes it
			for id, n := range s.counts(key) {
				if n != 0 {
					s.t.Errorf("%s: a run that never began had its effect %s", key, id)
				}
			}
			code, killed = s.killed(state, longest*4, "run", "./kill.yaml", "--env", "./here.yaml", "--yes", "-i", "key="+key)
			continue
		}
		if code == 3 {
			s.resolveByLedger(state, run, key)
		}
		if s.show(state, run).State == engine.RunOK { // it was killed when it had ended
			break
		}
		limit := pause()
		if round > 6 {
			limit = time.Minute
		}
		code, killed = s.killed(state, limit, "resume", run)
		if code == 2 || code == 6 {
			s.t.Fatalf("%s: resume ends with %d", key, code)
		}
	}
	for id, n := range s.counts(key) {
		if n != 1 {
			s.t.Errorf("%s: after %d kills the effect of step %s happened %d times", key, kills, id, n)
		}
	}
	if killed {
		return kills // its lock may be left over, and only its state folder says that the run has ended
	}
	if err := os.RemoveAll(state); err != nil {
		s.t.Error(err)
	}
	return kills
}

// begun is the run that has a first event; empty: none has.
func (s *stand) begun(state string) string {
	s.t.Helper()
	journals, err := filepath.Glob(filepath.Join(state, "runs", "*", "journal.jsonl"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, j := range journals {
		run := filepath.Base(filepath.Dir(j))
		if code, _, _, _ := s.handrail(state, 0, "show", run); code == 0 {
			return run
		}
	}
	return ""
}

// resolveByLedger says of each step in doubt what its own target says.
func (s *stand) resolveByLedger(state, run, key string) {
	s.t.Helper()
	for _, step := range s.show(state, run).Steps {
		if step.State != engine.InDoubt {
			continue
		}
		word := "not-done"
		if s.counts(key)[step.Path] > 0 {
			word = "done"
		}
		if code, _, _, errs := s.handrail(state, 0, "resolve", run, step.Path, word, "--because", "the ledger says so"); code != 0 {
			s.t.Fatalf("resolve %s: exit %d\n%s", step.Path, code, errs)
		}
	}
}

// TestKilledAtRandomFromOutside kills real processes with SIGKILL whenever it pleases.
func TestKilledAtRandomFromOutside(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.write("kill.yaml", killPlaybook)
	want := torture.Share(t, 20, 500, 10_000)
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 2))
	kills, runs := 0, 0
	for ; kills < want && !t.Failed(); runs++ {
		kills += s.killUntilDone(r, "r"+strconv.Itoa(runs), 120*time.Millisecond)
	}
	torture.Figure(t, 2, "%d kills in %d runs, 0 lost, 0 twice", kills, runs)
}

// TestSoak lets runs follow each other, one kill a second, for as long as it is told.
func TestSoak(t *testing.T) {
	s := newStand(t)
	s.write("kill.yaml", killPlaybook)
	end := time.Now().Add(time.Duration(torture.Times(t, 5, 120, 3600)) * time.Second)
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 11))
	kills, runs := 0, 0
	for ; time.Now().Before(end) && !t.Failed(); runs++ {
		kills += s.killUntilDone(r, "s"+strconv.Itoa(runs), time.Second)
	}
	torture.Figure(t, 11, "%d runs and %d kills, 0 lost, 0 twice", runs, kills)
}

// TestAnEngineThatSleepsIsNotPassedBy stops a process in the middle of a run. Nobody takes its run or its lock
// while it sleeps, and when it wakes up it goes on as if nothing had been.
func TestAnEngineThatSleepsIsNotPassedBy(t *testing.T) {
	s := newStand(t)
	s.write("kill.yaml", killPlaybook)
	r := torture.Rand(t, 5)
	times, slept := 0, 0
	for i := range torture.Turns(t, 5, 100, 1000) {
		times++
		key := "p" + strconv.Itoa(i)
		state := filepath.Join(s.dir, "state-"+key)
		c := s.command(state, "run", "./kill.yaml", "--env", "./here.yaml", "--yes", "-i", "key="+key)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		wait(t.Context(), time.Duration(r.Int64N(int64(80*time.Millisecond))))
		if err := c.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		if runs, err := filepath.Glob(filepath.Join(state, "runs", "*", "owner.json")); err == nil && len(runs) == 1 {
			run := filepath.Base(filepath.Dir(runs[0]))
			switch code, _, _, errs := s.handrail(state, 0, "resume", run); code {
			case 4:
				slept++
			case 2: // it has come to its end, or is about to begin
			default:
				t.Errorf("%s: somebody else has the run: exit %d\n%s", key, code, errs)
			}
		}
		if err := c.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		for id, n := range s.counts(key) {
			if n != 1 {
				t.Errorf("%s: the effect of step %s happened %d times", key, id, n)
			}
		}
	}
	torture.Figure(t, 5, "%d sleeping engines, %d of them with a run that somebody tried to take", times, slept)
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
