package local

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// ErrJournal is wrapped by the error of a run that ended because it could not be recorded.
var ErrJournal = errors.New("the journal cannot be written")

// Drive carries the run on until it is finished, waits for a person, or is stopped. The returned
// state is what the journal says last. An error means that the run could not be recorded, or that
// the core refused an event; what had been recorded stands.
//
// One goroutine, the caller's, owns the run and the journal. Each command has a goroutine of its own,
// which the driver waits for before it returns.
func (d *Driver) Drive(ctx context.Context) (engine.RunState, error) {
	l := &loop{
		Driver: d, answers: make(chan answer), live: map[int]*task{},
	}
	defer l.stopAll()
	err := l.run(ctx)
	return d.Run.State(), err
}

// loop is the state of one Drive.
type loop struct {
	*Driver
	pending []engine.Stamped // applied, not yet written
	answers chan answer
	live    map[int]*task
	serial  int
	drain   bool
	reason  string // why the process stops before the run does
}

// task is a command under way.
type task struct {
	id      int
	command engine.Command
	cancel  context.CancelFunc
	// drain is closed when the command should stop at the next place behind which it can go on.
	drain    chan struct{}
	draining bool
	// cut: it has no effect and was ended before its answer; what it says is not recorded.
	cut bool
}

func (t *task) ask() {
	if !t.draining {
		t.draining = true
		close(t.drain)
	}
}

func (t *task) end() {
	t.ask()
	t.cut = t.cut || !hasEffect(t.command)
	t.cancel()
}

// answer is what the goroutine of a command sends back: a notice, a note that must be durable before
// the command goes on, or the end of the command.
type answer struct {
	task    int
	events  func(*engine.Run) []engine.Event
	noted   *engine.Noted
	written chan error
	notice  *Notice
}

func (l *loop) run(ctx context.Context) error {
	for {
		if !l.drain {
			if err := l.startDue(ctx); err != nil {
				return err
			}
			if l.Run.State().Final() {
				return l.finish()
			}
		}
		if len(l.live) == 0 {
			return l.pause()
		}
		if err := l.wait(ctx); err != nil {
			return err
		}
	}
}

// startDue records what the core decides and starts what it hands out, until there is nothing more.
func (l *loop) startDue(ctx context.Context) error {
	for {
		ready := l.Run.Next()
		for _, e := range ready.Events {
			if err := l.record(e); err != nil {
				return err
			}
		}
		if len(ready.Events) > 0 {
			l.dropUnwanted()
			continue
		}
		if len(ready.Commands) == 0 {
			return l.flush(l.Run.State().Final())
		}
		if err := l.flush(ready.Sync); err != nil {
			return err
		}
		for _, c := range ready.Commands {
			l.start(ctx, c)
		}
	}
}

// record stamps an event and applies it. It is written with the next flush, which comes before
// anything is started or waited for.
func (l *loop) record(e engine.Event) error {
	s := engine.Stamped{At: l.Clock.Now(), Event: e}
	if a, ok := e.(engine.ApprovalAsked); ok && a.For > 0 {
		a.Expires = s.At.Add(a.For)
		s.Event = a
	}
	if err := l.Run.Apply(s); err != nil {
		return fmt.Errorf("run %s: %w", l.Run.ID(), err)
	}
	l.pending = append(l.pending, s)
	return nil
}

// flush writes what was recorded as one line, and shows it.
func (l *loop) flush(sync bool) error {
	if len(l.pending) == 0 && (!sync || !l.Run.Unsynced()) {
		return nil
	}
	if err := l.Journal.Append(l.pending, sync); err != nil {
		return fmt.Errorf("%w: %w", ErrJournal, err)
	}
	if sync {
		l.Run.Synced()
	}
	for i := range l.pending {
		l.observe(Notice{Event: &l.pending[i]})
	}
	clear(l.pending)
	l.pending = l.pending[:0]
	return nil
}

func (l *loop) observe(n Notice) {
	if l.Observe != nil {
		l.Observe(n)
	}
}

// wait takes in one thing from outside.
func (l *loop) wait(ctx context.Context) error {
	select {
	case a := <-l.answers:
		return l.take(a)
	case req := <-l.Requests:
		return l.serve(req)
	case s := <-l.Signals:
		l.signal(s)
		return nil
	case <-ctx.Done():
		l.signal(Abort)
		return l.take(<-l.answers)
	}
}

// take records the answer of a command.
func (l *loop) take(a answer) error {
	switch {
	case a.notice != nil:
		l.observe(*a.notice)
		return nil
	case a.noted != nil:
		err := l.record(*a.noted)
		if err == nil {
			err = l.flush(true)
		}
		a.written <- err
		return err
	}
	t := l.retire(a)
	if t.cut {
		return nil
	}
	for _, e := range a.events(l.Run) {
		if p, stop := e.(engine.RunPaused); stop {
			l.drain, l.reason = true, p.Reason
			l.endReads()
			continue
		}
		if err := l.record(e); err != nil {
			return err
		}
	}
	if len(l.live) > 0 {
		l.dropUnwanted()
	}
	return nil
}

// retire takes a command that has ended off the list.
func (l *loop) retire(a answer) *task {
	t := l.live[a.task]
	t.cancel()
	delete(l.live, a.task)
	l.Run.Ended(t.command)
	return t
}

// dropUnwanted cuts short the reads whose step was closed by a failure elsewhere.
func (l *loop) dropUnwanted() {
	for _, t := range l.live {
		if step := engine.CommandStep(t.command); step != "" && !hasEffect(t.command) && !l.Run.Wants(step) {
			t.end()
		}
	}
}

// serve journals what another hand asked for, BEFORE it is confirmed.
func (l *loop) serve(req Request) error {
	e, err := req.Event(l.Run, l.Clock.Now())
	if err != nil {
		req.Done(err)
		return nil
	}
	if err := l.record(e); err != nil {
		req.Done(err)
		if errors.Is(err, engine.ErrNotPossible) {
			return nil
		}
		return err
	}
	if err := l.flush(true); err != nil {
		req.Done(err)
		return err
	}
	req.Done(nil)
	if _, ok := e.(engine.CancelAsked); ok {
		l.askAll()
	}
	l.dropUnwanted()
	return nil
}

func (l *loop) signal(s Signal) {
	l.drain, l.reason = true, "stopped by a signal"
	l.endReads()
	l.askAll()
	if s == Abort {
		for _, t := range l.live {
			t.end()
		}
	}
}

// askAll asks what has an effect to stop where another attempt can go on. What knows no such place ends
// by itself.
func (l *loop) askAll() {
	for _, t := range l.live {
		t.ask()
	}
}

// endReads cuts short what has no effect. It is asked again by the next process.
func (l *loop) endReads() {
	for _, t := range l.live {
		if !hasEffect(t.command) {
			t.end()
		}
	}
}

func hasEffect(c engine.Command) bool {
	e, ok := c.(engine.Execute)
	return ok && e.Class.Writes()
}

// pause ends the process before the run has ended.
func (l *loop) pause() error {
	e := engine.RunPaused{State: engine.Interrupted, Reason: l.reason}
	if !l.drain {
		e = engine.RunPaused{State: engine.Waiting, Reason: l.Run.Next().Waiting}
	}
	if err := l.record(e); err != nil {
		return err
	}
	return l.flush(true)
}

// finish waits for what is still under way and of no more use.
func (l *loop) finish() error {
	l.endReads()
	for len(l.live) > 0 {
		l.discard(<-l.answers)
	}
	return l.flush(true)
}

// stopAll makes sure that no goroutine outlives the driver.
func (l *loop) stopAll() {
	for _, t := range l.live {
		t.end()
	}
	for len(l.live) > 0 {
		l.discard(<-l.answers)
	}
}

func (l *loop) discard(a answer) {
	switch {
	case a.noted != nil:
		a.written <- errors.New("the run has ended; nothing more is recorded")
	case a.notice == nil:
		l.retire(a)
	}
}

// systemClock is the clock of the machine.
type systemClock struct{}

// SystemClock is the clock of the machine.
func SystemClock() Clock { return systemClock{} }

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) After(ctx context.Context, d time.Duration) <-chan time.Time {
	c := make(chan time.Time, 1)
	t := time.NewTimer(d)
	stop := context.AfterFunc(ctx, func() { t.Stop() })
	go func() {
		defer stop()
		select {
		case at := <-t.C:
			c <- at
		case <-ctx.Done():
		}
	}()
	return c
}
