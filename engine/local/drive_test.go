package local_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/local"
)

// step makes a step of a class; its behaviour is what the executor of the test does for its id.
func step(id string, class engine.Class) *engine.Step {
	return &engine.Step{ID: id, Kind: "test", Operation: &engine.Operation{Name: "do", Class: class}, Class: class, AtOnce: 1, As: "item"}
}

// diary is a journal and an executor that write down, in one list, what happened in which order.
type diary struct {
	mu      sync.Mutex
	lines   []string
	events  []engine.Stamped
	failAt  int // the append that fails; 0: none
	appends int
	do      map[string]func(context.Context, engine.Execute, engine.Attendant) engine.Outcome
	look    func(context.Context) error // what preparing does
}

func (d *diary) write(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *diary) Append(events []engine.Stamped, sync bool) error {
	d.appends++
	if d.appends == d.failAt {
		return errors.New("no space left on device")
	}
	names := make([]string, len(events))
	for i, e := range events {
		names[i] = engine.EventName(e.Event)
		if s := engine.EventStep(e.Event); s != "" {
			names[i] += " " + s
		}
	}
	d.events = append(d.events, events...)
	how := "write"
	if sync {
		how = "sync"
	}
	d.write("%s [%s]", how, strings.Join(names, ", "))
	return nil
}

func (d *diary) Execute(ctx context.Context, c engine.Execute, a engine.Attendant) engine.Outcome {
	d.write("execute %s", c.Step)
	if f := d.do[c.Step]; f != nil {
		return f(ctx, c, a)
	}
	return engine.Outcome{Result: engine.Record{}}
}

func (d *diary) Ask(context.Context, string, []engine.Question) engine.Answer {
	return engine.Answer{Asked: engine.Yes}
}

func (d *diary) Prepare(ctx context.Context, _ engine.Prepare) (engine.Preparation, error) {
	if d.look != nil {
		return engine.Preparation{}, d.look(ctx)
	}
	return engine.Preparation{}, nil
}

func (d *diary) Settle(_ context.Context, c engine.Settle, _ engine.Attendant) engine.Settlement {
	d.write("settle %s", c.Step)
	return engine.Settlement{}
}

func (d *diary) Remembers(context.Context, []engine.Call) (lost, evidence []string, err error) {
	return nil, nil, nil
}

func driverOf(t *testing.T, d *diary, steps ...*engine.Step) *local.Driver {
	t.Helper()
	run := engine.NewRun(&engine.Playbook{Name: "p", Steps: steps}, engine.Given{})
	start := engine.Stamped{At: time.Now(), Event: engine.RunStarted{Run: "r", Playbook: "p", Started: time.Now()}}
	if err := run.Apply(start); err != nil {
		t.Fatal(err)
	}
	return &local.Driver{Run: run, Journal: d, Executor: d, Clock: local.SystemClock(), Random: func() float64 { return 0 }}
}

func (d *diary) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := strings.Join(d.lines, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("it went\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func TestTheIntentIsDurableBeforeTheEffectAndSharesASyncWithTheResultBefore(t *testing.T) {
	d := &diary{}
	state, err := driverOf(t, d, step("a", engine.ClassTransactional), step("b", engine.ClassUnrepeatable)).Drive(t.Context())
	if err != nil || state != engine.RunOK {
		t.Fatal(state, err)
	}
	d.expect(t,
		"sync [intended a]", "execute a",
		"sync [finished a, intended b]", "execute b",
		"sync [finished b, run_finished]")
}

func TestAResultIsDurableBeforeTheWorldIsAskedAndReadsCostNoSync(t *testing.T) {
	d := &diary{}
	_, err := driverOf(t, d, step("a", engine.ClassIdempotent), step("r", engine.ClassRead), step("s", engine.ClassRead)).Drive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.expect(t,
		"sync [intended a]", "execute a",
		"sync [finished a]", "execute r",
		"write [finished r]", "execute s",
		"sync [finished s, run_finished]")
}

func TestAnEffectForWhichTheRunHasNoLockIsNotBegun(t *testing.T) {
	d := &diary{}
	drv := driverOf(t, d, step("r", engine.ClassRead), step("a", engine.ClassUnrepeatable), step("b", engine.ClassUnrepeatable))
	drv.Holds = func(context.Context) error { return errors.New("the lock is another's") }
	state, err := drv.Drive(t.Context())
	if err != nil || state != engine.Interrupted {
		t.Fatal(state, err)
	}
	d.expect(t, "sync []", "execute r", "sync [finished r, intended a]", "sync [retry_scheduled a, run_paused]")
	// The next process makes another attempt, and nobody has to say what became of the first.
	if err := drv.Run.Apply(engine.Stamped{At: time.Now(), Event: engine.RunResumed{Epoch: 1}}); err != nil {
		t.Fatal(err)
	}
	d.lines, drv.Holds = nil, nil
	if state, err = drv.Drive(t.Context()); err != nil || state != engine.RunOK {
		t.Fatal(state, err)
	}
	if got := strings.Join(d.lines, "\n"); !strings.Contains(got, "execute a") || !strings.Contains(got, "execute b") {
		t.Errorf("it went\n%s", got)
	}
}

func TestALookThatTakesTooLongSaysHowLongItHad(t *testing.T) {
	d := &diary{look: func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }}
	s := step("a", engine.ClassUnrepeatable)
	s.Operation.Prepares, s.Timeout = true, time.Millisecond
	drv := driverOf(t, d, s)
	if state, err := drv.Drive(t.Context()); err != nil || state != engine.RunFailed {
		t.Fatal(state, err)
	}
	if v, _ := drv.Run.StepAt("a"); v.Error != "not done within its timeout of 1ms: the step's timeout ended" {
		t.Errorf("it says %q", v.Error)
	}
}

func TestNothingIsDoneAfterTheJournalFailed(t *testing.T) {
	for n := 1; n <= 3; n++ {
		d := &diary{failAt: n}
		_, err := driverOf(t, d, step("a", engine.ClassIdempotent), step("b", engine.ClassIdempotent)).Drive(t.Context())
		if !errors.Is(err, local.ErrJournal) {
			t.Fatalf("append %d failed and the run said %v", n, err)
		}
		if executed := strings.Count(strings.Join(d.lines, "\n"), "execute"); executed != n-1 {
			t.Errorf("append %d failed, and %d effects were begun", n, executed)
		}
	}
}

func TestANoteIsDurableBeforeTheOperationGoesOn(t *testing.T) {
	d := &diary{}
	d.do = map[string]func(context.Context, engine.Execute, engine.Attendant) engine.Outcome{
		"a": func(_ context.Context, _ engine.Execute, a engine.Attendant) engine.Outcome {
			if err := a.Note("pid 7"); err != nil {
				return engine.Failure(err)
			}
			d.write("after the note")
			return engine.Outcome{}
		},
	}
	if _, err := driverOf(t, d, step("a", engine.ClassUnrepeatable)).Drive(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.expect(t, "sync [intended a]", "execute a", "sync [noted a]", "after the note", "sync [finished a, run_finished]")
}

func TestTheFirstSignalEndsReadsAndLetsAnEffectEnd(t *testing.T) {
	signals := make(chan local.Signal)
	release := make(chan struct{})
	d := &diary{}
	d.do = map[string]func(context.Context, engine.Execute, engine.Attendant) engine.Outcome{
		"r": func(ctx context.Context, _ engine.Execute, _ engine.Attendant) engine.Outcome {
			<-ctx.Done()
			close(release)
			return engine.Failure(ctx.Err())
		},
		"w": func(ctx context.Context, _ engine.Execute, _ engine.Attendant) engine.Outcome {
			signals <- local.Drain
			<-release
			if ctx.Err() != nil {
				return engine.Failure(errors.New("the effect was cut off"))
			}
			return engine.Outcome{}
		},
	}
	group := &engine.Step{ID: "g", Group: engine.ParallelGroup, AtOnce: 1, Steps: []*engine.Step{step("r", engine.ClassRead), step("w", engine.ClassUnrepeatable)}}
	drv := driverOf(t, d, group, step("z", engine.ClassIdempotent))
	drv.Signals = signals
	state, err := drv.Drive(t.Context())
	if err != nil || state != engine.Interrupted {
		t.Fatal(state, err)
	}
	w, _ := drv.Run.StepAt("w")
	r, _ := drv.Run.StepAt("r")
	if w.State != engine.OK || r.State != engine.Pending {
		t.Errorf("the effect is %s and the read is %s", w.State, r.State)
	}
	if strings.Contains(strings.Join(d.lines, "\n"), "execute z") {
		t.Error("a step was begun after the signal")
	}
}

func TestTheSecondSignalCancelsTheEffectAndRecordsWhatIsTrue(t *testing.T) {
	signals := make(chan local.Signal)
	d := &diary{}
	d.do = map[string]func(context.Context, engine.Execute, engine.Attendant) engine.Outcome{
		"w": func(ctx context.Context, _ engine.Execute, _ engine.Attendant) engine.Outcome {
			signals <- local.Drain
			signals <- local.Abort
			<-ctx.Done()
			return engine.Outcome{Err: "killed", Effect: engine.EffectUnknown, InDoubt: true}
		},
	}
	drv := driverOf(t, d, step("w", engine.ClassUnrepeatable))
	drv.Signals = signals
	state, err := drv.Drive(t.Context())
	if err != nil || state != engine.Interrupted {
		t.Fatal(state, err)
	}
	if w, _ := drv.Run.StepAt("w"); w.State != engine.InDoubt {
		t.Errorf("the effect is %s", w.State)
	}
}

func TestWithoutAPersonTheRunWaits(t *testing.T) {
	d := &diary{}
	state, err := driverOf(t, d, step("sure", engine.ClassPerson)).Drive(t.Context())
	if err != nil || state != engine.Waiting {
		t.Fatal(state, err)
	}
}

func TestARequestIsDurableBeforeItIsConfirmed(t *testing.T) {
	d := &diary{}
	requests := make(chan local.Request)
	drv := driverOf(t, d, step("sure", engine.ClassPerson), step("a", engine.ClassIdempotent))
	drv.Requests = requests
	asked := make(chan struct{})
	drv.Person = func(ctx context.Context, _ engine.AskPerson) engine.Event {
		close(asked)
		<-ctx.Done()
		return nil
	}
	go func() {
		<-asked
		requests <- local.Request{
			Event: func(r *engine.Run, now time.Time) (engine.Event, error) {
				return r.Approve("sure", engine.Person{User: "ann"}, now)
			},
			Done: func(err error) { d.write("confirmed %v", err) },
		}
	}()
	state, err := drv.Drive(t.Context())
	if err != nil || state != engine.RunOK {
		t.Fatal(state, err)
	}
	d.lines = d.lines[:min(5, len(d.lines))] // how the end is written depends on when the prompt goes away
	d.expect(t, "sync [approval_asked sure]", "sync [approval_given sure]", "confirmed <nil>",
		"sync [intended a]", "execute a")
}

func TestAnApprovalExpires(t *testing.T) {
	d := &diary{}
	s := step("sure", engine.ClassPerson)
	s.Params = engine.Template{Literal: engine.Record{"message": "?", "expires": time.Millisecond}}
	drv := driverOf(t, d, s)
	drv.Person = func(ctx context.Context, _ engine.AskPerson) engine.Event { <-ctx.Done(); return nil }
	state, err := drv.Drive(t.Context())
	if err != nil || state != engine.RunFailed {
		t.Fatal(state, err)
	}
}

// TestAnApprovalLivesByTheEvents: the clock was set back while nobody had the run in hand. What time the approval had
// used before is used.
func TestAnApprovalLivesByTheEvents(t *testing.T) {
	noon := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	s := step("sure", engine.ClassPerson)
	s.Params = engine.Template{Literal: engine.Record{"message": "?", "expires": 30 * time.Minute}}
	for _, c := range []struct {
		resumed, later time.Time
		expired        bool
	}{
		{noon.Add(20 * time.Minute), noon.Add(29 * time.Minute), false},
		{noon.Add(20 * time.Minute), noon.Add(31 * time.Minute), true},
		{noon.Add(20 * time.Minute), noon.Add(-24 * time.Hour), false}, // nothing is known of the time in between
		{noon.Add(31 * time.Minute), noon.Add(-24 * time.Hour), true},
		{noon.Add(10 * 365 * 24 * time.Hour), noon, true},
		{noon.Add(-time.Hour), noon.Add(-31 * time.Minute), false},
		{noon.Add(-time.Hour), noon.Add(-29 * time.Minute), true}, // by the clock it would have a whole hour left
	} {
		run := engine.NewRun(&engine.Playbook{Name: "p", Steps: []*engine.Step{s}}, engine.Given{})
		apply := func(at time.Time, e engine.Event) {
			t.Helper()
			if err := run.Apply(engine.Stamped{At: at, Event: e}); err != nil {
				t.Fatal(err)
			}
		}
		apply(noon, engine.RunStarted{Run: "r", Playbook: "p", Started: noon})
		for asked := false; !asked; {
			for _, e := range run.Next().Events {
				if a, ok := e.(engine.ApprovalAsked); ok {
					a.Expires, e, asked = noon.Add(a.For), nil, true
					apply(noon, a)
				}
				if e != nil {
					apply(noon, e)
				}
			}
		}
		apply(noon, engine.RunPaused{State: engine.Waiting})
		apply(c.resumed, engine.Repaired{})
		if _, err := run.Approve("sure", engine.Person{}, c.later); (err != nil) != c.expired {
			t.Errorf("seen at %s, approved at %s: %v", c.resumed, c.later, err)
		}
		apply(c.resumed, engine.RunResumed{Epoch: 1})
		for _, command := range run.Next().Commands {
			if ask, ok := command.(engine.AskPerson); !ok || (ask.Left(c.later) < 0) != c.expired {
				t.Errorf("seen at %s, asked at %s: %+v", c.resumed, c.later, command)
			}
		}
	}
}

func TestAGigabyteOfOutputStaysOutOfMemoryAndSecretsOutOfTheJournal(t *testing.T) {
	d := &diary{}
	var logged counter
	d.do = map[string]func(context.Context, engine.Execute, engine.Attendant) engine.Outcome{
		"w": func(_ context.Context, _ engine.Execute, a engine.Attendant) engine.Outcome {
			chunk := []byte(strings.Repeat("hunter2 and more\n", 1<<10))
			for range 1 << 10 {
				if _, err := a.Write(chunk); err != nil {
					return engine.Failure(err)
				}
			}
			return engine.Outcome{Err: "exit 1: hunter2", Result: engine.Record{"stdout": "hunter2"}}
		},
	}
	drv := driverOf(t, d, step("w", engine.ClassUnrepeatable))
	drv.Logs = func(string) (io.WriteCloser, error) { return &logged, nil }
	drv.Mask = func(s string) string { return strings.ReplaceAll(s, "hunter2", engine.Masked) }
	if _, err := drv.Drive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if logged.n != 17<<20 {
		t.Errorf("%d bytes were logged", logged.n)
	}
	for _, e := range d.events {
		b, err := engine.MarshalEvent(e)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "hunter2") {
			t.Errorf("a secret was recorded: %s", b)
		}
		if len(b) > 10<<10 {
			t.Errorf("an event has %d bytes", len(b))
		}
	}
}

type counter struct{ n int }

func (c *counter) Write(p []byte) (int, error) { c.n += len(p); return len(p), nil }
func (c *counter) Close() error                { return nil }

// TestAnEffectMadeOfPartsIsAskedToStop: when the process ends, nothing of it is recorded, so the next process
// finds it cut off; when the run is cancelled, it has failed.
func TestAnEffectMadeOfPartsIsAskedToStop(t *testing.T) {
	parts := func(begun chan<- struct{}) func(context.Context, engine.Execute, engine.Attendant) engine.Outcome {
		return func(ctx context.Context, _ engine.Execute, a engine.Attendant) engine.Outcome {
			close(begun)
			<-a.(interface{ Draining() <-chan struct{} }).Draining()
			if ctx.Err() != nil {
				t.Error("it was cut short as well")
			}
			return engine.Outcome{Stopped: true, Err: "stopped between two parts", Effect: engine.EffectStands}
		}
	}
	t.Run("the process ends", func(t *testing.T) {
		signals, begun := make(chan local.Signal), make(chan struct{})
		d := &diary{do: map[string]func(context.Context, engine.Execute, engine.Attendant) engine.Outcome{"a": parts(begun)}}
		driver := driverOf(t, d, step("a", engine.ClassTransactional))
		driver.Signals = signals
		go func() { <-begun; signals <- local.Drain }()
		if state, err := driver.Drive(t.Context()); err != nil || state != engine.Interrupted {
			t.Fatal(state, err)
		}
		d.expect(t, "sync [intended a]", "execute a", "sync [run_paused]")
	})
	t.Run("the run is cancelled", func(t *testing.T) {
		requests, begun := make(chan local.Request), make(chan struct{})
		d := &diary{do: map[string]func(context.Context, engine.Execute, engine.Attendant) engine.Outcome{"a": parts(begun)}}
		driver := driverOf(t, d, step("a", engine.ClassTransactional))
		driver.Requests = requests
		go func() {
			<-begun
			requests <- local.Request{Done: func(error) {}, Event: func(*engine.Run, time.Time) (engine.Event, error) { return engine.CancelAsked{}, nil }}
		}()
		if state, err := driver.Drive(t.Context()); err != nil || state != engine.RunCancelled {
			t.Fatal(state, err)
		}
		d.expect(t, "sync [intended a]", "execute a", "sync [cancel_asked]", "sync [finished a, run_finished]")
	})
}
