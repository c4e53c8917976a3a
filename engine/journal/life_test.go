package journal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/local"
	"github.com/handrail-dev/handrail/internal/torture"
)

// life is a whole run on a disk in memory: the real core, the real driver, the real journal, and a target
// whose ledger says how often each effect happened.
type life struct {
	t      *testing.T
	disk   *memDisk
	ledger map[string]int
	clock  *jumpingClock
}

// jumpingClock is a clock that somebody sets, each time that it is looked at, up to ten years either way.
type jumpingClock struct {
	*rand.Rand
	at   time.Time
	jump bool
}

func (c *jumpingClock) Now() time.Time {
	c.at = c.at.Add(time.Millisecond)
	if c.jump && c.IntN(3) == 0 {
		const tenYears = 10 * 365 * 24 * time.Hour
		c.at = noon.Add(time.Duration(c.Int64N(int64(2*tenYears))) - tenYears)
	}
	return c.at
}

// After passes at once: how long a pause takes is not what is looked at here.
func (c *jumpingClock) After(context.Context, time.Duration) <-chan time.Time {
	ch := make(chan time.Time, 1)
	ch <- c.at
	return ch
}

var classesOfLife = map[string]engine.Class{
	"a_read": engine.ClassRead, "b_same": engine.ClassIdempotent, "c_tx": engine.ClassTransactional,
	"d_once": engine.ClassUnrepeatable, "e_read": engine.ClassRead, "f_tx": engine.ClassTransactional, "g_once": engine.ClassUnrepeatable,
}

func lifePlaybook() *engine.Playbook {
	p := &engine.Playbook{Name: "p"}
	for _, id := range []string{"a_read", "b_same", "c_tx", "d_once", "e_read", "f_tx", "g_once"} {
		p.Steps = append(p.Steps, &engine.Step{ID: id, Kind: "test", AtOnce: 1, As: "item", Class: classesOfLife[id],
			Operation: &engine.Operation{Name: "do", Class: classesOfLife[id]}})
	}
	return p
}

func (l *life) Execute(_ context.Context, c engine.Execute, a engine.Attendant) engine.Outcome {
	if c.Class == engine.ClassUnrepeatable {
		if err := a.Note("about to"); err != nil {
			return engine.Failure(err) // nothing was done
		}
	}
	if c.Class.Writes() {
		l.ledger[c.Step]++
	}
	return engine.Outcome{Result: engine.Record{"n": int64(1)}}
}

func (l *life) Settle(_ context.Context, c engine.Settle, _ engine.Attendant) engine.Settlement {
	s := engine.Settlement{Dead: true}
	if c.Class == engine.ClassTransactional {
		s.Verdict = engine.VerdictNotDone
		if l.ledger[c.Step] > 0 {
			s.Verdict = engine.VerdictDone
		}
	}
	return s
}

func (l *life) Ask(context.Context, string, []engine.Question) engine.Answer { return engine.Answer{} }

func (l *life) Prepare(context.Context, engine.Prepare) (engine.Preparation, error) {
	return engine.Preparation{}, nil
}

func (l *life) Remembers(context.Context, []engine.Call) (lost, evidence []string, err error) {
	return nil, nil, nil
}

// process is one process that drives the run as far as it comes; an error is the end of it.
func (l *life) process() (engine.RunState, error) {
	s := StoreOn(l.disk)
	j, err := s.Open(testRun, tester)
	fresh := errors.Is(err, ErrNoRun) || errors.Is(err, ErrNotBegun)
	if errors.Is(err, ErrNotBegun) { // what a process left that died on the way
		for name := range l.disk.files {
			if strings.HasPrefix(name, "runs/"+testRun) {
				delete(l.disk.files, name)
			}
		}
	}
	if fresh {
		j, err = s.Create(testRun, tester, pinned)
	}
	if err != nil {
		return engine.Interrupted, err
	}
	defer func() { _ = j.Close() }()
	run := engine.NewRun(lifePlaybook(), engine.Given{})
	n := 0
	if err := j.Replay(func(e engine.Stamped) error { n++; return run.Apply(e) }); err != nil {
		return engine.Interrupted, err
	}
	run.Synced()
	record := func(e engine.Event) error {
		at := engine.Stamped{At: l.clock.Now(), Event: e}
		if err := run.Apply(at); err != nil {
			l.t.Fatal(err)
		}
		err := j.Append([]engine.Stamped{at}, true)
		run.Synced()
		return err
	}
	if torn := j.Repaired(); torn != nil && n > 0 {
		if err := record(*torn); err != nil {
			return engine.Interrupted, err
		}
	}
	switch {
	case n == 0:
		err = record(engine.RunStarted{Run: testRun, Playbook: "p", Inputs: engine.Typed{V: engine.Record{}}, Started: l.clock.Now(), By: tester})
	case run.State() == engine.RunOK:
		return engine.RunOK, nil
	default:
		err = record(engine.RunResumed{By: tester, Epoch: run.Epoch() + 1})
	}
	if err != nil {
		return engine.Interrupted, err
	}
	return l.drive(run, j, record)
}

func (l *life) drive(run *engine.Run, j *Journal, record func(engine.Event) error) (engine.RunState, error) {
	for {
		d := &local.Driver{Run: run, Journal: j, Executor: l, Clock: l.clock, Random: func() float64 { return 0 }}
		state, err := d.Drive(l.t.Context())
		if err != nil || state != engine.Waiting {
			return state, err
		}
		// A person looks at the ledger and says what is true.
		run.EachStep(func(v engine.StepView) {
			if v.State != engine.InDoubt || err != nil {
				return
			}
			as := engine.ResolvedNotDone
			if l.ledger[v.Path] > 0 {
				as = engine.ResolvedDone
			}
			var e engine.Event
			if e, err = run.Resolve(v.Path, as, tester, "I looked"); err == nil {
				err = record(e)
			}
		})
		if err != nil {
			return state, err
		}
	}
}

// untilDone lets one process after the other have a go, the first on a disk that fails.
func (l *life) untilDone(what string) {
	l.t.Helper()
	for round := 0; ; round++ {
		state, err := l.process()
		if err == nil && state == engine.RunOK {
			break
		}
		if err == nil {
			l.t.Fatalf("%s: the run is %s", what, state)
		}
		if round > 3 {
			l.t.Fatalf("%s: the run does not come to an end: %v", what, err)
		}
		l.disk.fail = nil
		for _, f := range l.disk.files { // the process is gone, and its locks with it
			f.locked = false
		}
	}
	for id, class := range classesOfLife {
		n := l.ledger[id]
		if class.Writes() && n != 1 && (class != engine.ClassIdempotent || n < 1) {
			l.t.Errorf("%s: the effect of %s happened %d times", what, id, n)
		}
	}
}

func newLife(t *testing.T, seed uint64) *life {
	return &life{t: t, disk: newMemDisk(), ledger: map[string]int{}, clock: &jumpingClock{Rand: rand.New(rand.NewPCG(seed, 9)), at: noon}}
}

// Whatever the disk fails at, at its Nth operation, the run stops there, and goes on when the disk is well
// again, with every effect once.
func TestTheDiskFailsAtEveryOperation(t *testing.T) {
	faults := []struct {
		name  string
		err   error
		short int
	}{{"i/o error", syscall.EIO, 0}, {"disk full", syscall.ENOSPC, 0}, {"short write", syscall.ENOSPC, 17}}
	tried := 0
	for _, f := range faults {
		for _, lasting := range []bool{false, true} {
			for at := 1; ; at++ {
				l := newLife(t, 1)
				n := 0
				l.disk.short = f.short
				l.disk.fail = func(string) error {
					if n++; n == at || lasting && n > at {
						return f.err
					}
					return nil
				}
				l.untilDone(fmt.Sprintf("%s at operation %d, lasting %v", f.name, at, lasting))
				tried++
				if n < at { // the run had ended by then
					break
				}
			}
		}
	}
	torture.Figure(t, 7, "%d runs with a disk that fails at its Nth open, write, sync, rename or removal, every effect once", tried)
}

// A power failure at every operation of the disk, of which any part may survive.
func TestThePowerFailsAtEveryOperation(t *testing.T) {
	tried := 0
	for round := range torture.Turns(t, 3, 20, 1000) {
		for at := 1; ; at++ {
			l := newLife(t, uint64(round))
			r := rand.New(rand.NewPCG(uint64(round), uint64(at)))
			n := 0
			l.disk.fail = func(string) error {
				if n++; n >= at {
					return errDisk // the machine is off: nothing more is done
				}
				return nil
			}
			state, err := l.process()
			if err == nil && state == engine.RunOK && n < at {
				break
			}
			l.disk = l.disk.crash(r.IntN(1 << r.IntN(13)))
			l.untilDone(fmt.Sprintf("round %d, power lost at operation %d", round, at))
			tried++
		}
	}
	torture.Figure(t, 3, "%d power failures at the Nth operation of a run, every effect once", tried)
}

// The clock is set ten years forth or back, again and again, also while the power fails.
func TestTheClockJumps(t *testing.T) {
	rounds := 0
	for seed := range torture.Turns(t, 200, 2000, 20_000) {
		rounds++
		l := newLife(t, uint64(seed))
		l.clock.jump = true
		n, at := 0, l.clock.IntN(150)
		l.disk.fail = func(string) error {
			if n++; n >= at {
				return errDisk
			}
			return nil
		}
		if state, err := l.process(); err != nil || state != engine.RunOK {
			l.disk = l.disk.crash(l.clock.IntN(500))
			l.untilDone(fmt.Sprintf("seed %d", seed))
		}
	}
	torture.Figure(t, 10, "%d runs under a clock that jumps up to ten years either way, every effect once", rounds)
}
