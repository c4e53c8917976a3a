package local

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/handrail-dev/handrail/engine"
)

// ErrJournal is wrapped by the error of a run that ended because it could not be recorded.
var ErrJournal = errors.New("the journal cannot be written")

// Drive carries the run on until it is finished, waits for a person, or is stopped. The returned
// state is what the journal says last. An error means that the run could not be recorded, or that
// the core refused an event; what had been recorded stands.
//
// One goroutine at a time, the one that holds the lock of the loop, owns the run and the journal. Each
// command has a goroutine, which the driver waits for before it returns. The goroutine of a command that
// has ended takes in its answer itself, and goes on with the next command: in a row of steps nothing is
// handed from one goroutine to another, which would cost more than many a step does.
func (d *Driver) Drive(ctx context.Context) (engine.RunState, error) {
	l := &loop{Driver: d, live: map[int]*task{}, over: make(chan struct{})}
	l.turn(ctx, func() error { return nil })
	l.listen(ctx)
	l.stopAll()
	return d.Run.State(), l.err
}

// loop is the state of one Drive.
type loop struct {
	*Driver
	hands sync.WaitGroup // the goroutines of the commands
	over  chan struct{}  // closed when nothing more is recorded and started

	mu      sync.Mutex       // of all that follows, and of the run, the journal and the screen
	pending []engine.Stamped // applied, not yet written
	live    map[int]*task
	serial  int
	drain   bool
	reason  string // why the process stops before the run does
	ended   bool
	err     error // why it had to end
}

// task is a command under way.
type task struct {
	id      int
	command engine.Command
	work    func() eventsOf
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

// listen takes in what comes from outside, until the loop is over.
func (l *loop) listen(ctx context.Context) {
	gone := ctx.Done()
	for {
		select {
		case <-l.over:
			return
		case req := <-l.Requests:
			l.turn(ctx, func() error { return l.serve(req) })
		case s := <-l.Signals:
			l.turn(ctx, func() error { l.signal(s); return nil })
		case <-gone:
			gone = nil
			l.turn(ctx, func() error { l.signal(Abort); return nil })
		}
	}
}

// turn does something that the lock is needed for, and goes on with what is due after it.
func (l *loop) turn(ctx context.Context, do func() error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	if err := do(); err != nil {
		l.finish(err)
		return
	}
	if t := l.goOn(ctx); t != nil {
		l.spawn(ctx, t)
	}
}

// carry does the work of a command, and of those that follow it.
func (l *loop) carry(ctx context.Context, t *task) {
	for t != nil {
		t = l.done(ctx, t, t.work())
	}
}

func (l *loop) spawn(ctx context.Context, t *task) { l.hands.Go(func() { l.carry(ctx, t) }) }

// done takes in the answer of a command and goes on with what is due. A command that it returns is for
// the goroutine of the one that has ended.
func (l *loop) done(ctx context.Context, t *task, events eventsOf) *task {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retire(t)
	if l.ended {
		return nil
	}
	if err := l.take(t, events); err != nil {
		l.finish(err)
		return nil
	}
	return l.goOn(ctx)
}

// finish: nothing more is recorded or started.
func (l *loop) finish(err error) {
	l.ended, l.err = true, err
	close(l.over)
}

// goOn starts what is due. The last command is started only in so far as the caller has to do its work, or
// find somebody who does.
func (l *loop) goOn(ctx context.Context) *task {
	var mine *task
	if !l.drain {
		var err error
		if mine, err = l.startDue(ctx); err != nil || l.Run.State().Final() {
			l.finish(err)
			return nil
		}
	}
	if len(l.live) == 0 {
		l.finish(l.pause())
	}
	return mine
}

// startDue records what the core decides and starts what it hands out, until there is nothing more. The
// last command is left to the caller if nothing has to be done beside it.
func (l *loop) startDue(ctx context.Context) (mine *task, err error) {
	for {
		ready := l.Run.Next()
		if mine != nil && len(ready.Events)+len(ready.Commands) > 0 {
			l.spawn(ctx, mine)
			mine = nil
		}
		for _, e := range ready.Events {
			if err := l.record(e); err != nil {
				return nil, err
			}
		}
		if len(ready.Events) > 0 {
			l.dropUnwanted()
			continue
		}
		if len(ready.Commands) == 0 {
			return mine, l.flush(l.Run.State().Final())
		}
		if err := l.flush(ready.Sync); err != nil {
			return nil, err
		}
		for _, c := range ready.Commands {
			if mine != nil {
				l.spawn(ctx, mine)
			}
			mine = l.start(ctx, c)
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

// take records the answer of a command.
func (l *loop) take(t *task, events eventsOf) error {
	if t.cut {
		return nil
	}
	for _, e := range events(l.Run) {
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

// note records what an operation must know of itself; it is durable when note returns.
func (l *loop) note(n engine.Noted) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return errors.New("the run has ended; nothing more is recorded")
	}
	err := l.record(n)
	if err == nil {
		err = l.flush(true)
	}
	if err != nil {
		l.finish(err)
	}
	return err
}

// glance shows what may as well not be shown: while the loop is busy, it is not.
func (l *loop) glance(n Notice) {
	if !l.mu.TryLock() {
		return
	}
	defer l.mu.Unlock()
	if !l.ended {
		l.observe(n)
	}
}

// retire takes a command that has ended off the list.
func (l *loop) retire(t *task) {
	t.cancel()
	delete(l.live, t.id)
	l.Run.Ended(t.command)
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

// stopAll makes sure that no goroutine outlives the driver. What is still under way is of no more use; an
// effect may end in peace, unless the run could not be recorded.
func (l *loop) stopAll() {
	l.mu.Lock()
	l.endReads()
	if l.err != nil {
		for _, t := range l.live {
			t.end()
		}
	}
	l.mu.Unlock()
	l.hands.Wait()
	if l.err == nil {
		l.err = l.flush(true)
	}
}
