package local

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// start makes a task of a command. Whoever has it does its work next.
func (l *loop) start(ctx context.Context, c engine.Command) *task {
	ctx, cancel := context.WithCancel(ctx)
	l.serial++
	t := &task{id: l.serial, command: c, cancel: cancel, drain: make(chan struct{})}
	t.work = l.worker(ctx, c, t.drain)
	l.live[t.id] = t
	l.observe(Notice{Started: c})
	return t
}

// eventsOf makes the events of an answer, from the run as it is when the answer is taken in.
type eventsOf = func(*engine.Run) []engine.Event

// worker is what the goroutine of a command does. What it returns is called under the lock of the loop.
func (l *loop) worker(ctx context.Context, c engine.Command, drain <-chan struct{}) func() eventsOf {
	switch c := c.(type) {
	case engine.Execute:
		return func() eventsOf { return l.execute(ctx, c, drain) }
	case engine.AskDoneIf:
		return func() eventsOf { return l.askDoneIf(ctx, c) }
	case engine.Prepare:
		return func() eventsOf { return l.prepare(ctx, c) }
	case engine.Settle:
		return func() eventsOf { return l.settle(ctx, c) }
	case engine.Pause:
		return func() eventsOf {
			select {
			case <-l.Clock.After(ctx, c.For):
				return just(engine.RetryDue{Step: c.Step})
			case <-ctx.Done():
				return just()
			}
		}
	case engine.AskPerson:
		return func() eventsOf { return l.askPerson(ctx, c) }
	case engine.CheckMemory:
		return func() eventsOf { return l.checkMemory(ctx, c) }
	}
	return func() eventsOf { return just() }
}

func just(events ...engine.Event) eventsOf {
	return func(*engine.Run) []engine.Event { return events }
}

// errTimeout is the cause of a context that ended because the step's own timeout did.
var errTimeout = errors.New("the step's timeout ended")

func (l *loop) execute(ctx context.Context, c engine.Execute, drain <-chan struct{}) eventsOf {
	ctx, cancel := l.within(ctx, c.Timeout)
	defer cancel()
	if l.Holds != nil && hasEffect(c) {
		if err := l.Holds(ctx); err != nil {
			return l.notBegun(c, err)
		}
	}
	a := &attendant{loop: l, ctx: ctx, drain: drain, step: c.Step, sensitive: c.Sensitive}
	o := l.Executor.Execute(ctx, c, a)
	a.close()
	if o.Tail == "" && o.Err != "" {
		o.Tail = a.tail()
	}
	o.Err = overdue(ctx, c.Timeout, o.Err)
	o = l.maskOutcome(o)
	jitter := l.Random()
	return func(r *engine.Run) []engine.Event {
		if o.Stopped && l.drain {
			return nil // it is under way still, for the process that takes the run over
		}
		return []engine.Event{r.Judge(c, o, jitter)}
	}
}

// overdue puts in front of a failure that it came of the step's timeout.
func overdue(ctx context.Context, timeout time.Duration, failure string) string {
	if failure == "" || !errors.Is(context.Cause(ctx), errTimeout) {
		return failure
	}
	return fmt.Sprintf("not done within its timeout of %s: %s", timeout, failure)
}

// notBegun: the effect was not had, and none may be had any more. The attempt is over, so that nobody has to ask what
// became of it, and the next resume makes another.
func (l *loop) notBegun(c engine.Execute, cause error) eventsOf {
	why := l.mask(cause.Error())
	if c.Again { // nothing is known of it that was not: it was cut off, and may go on
		return just(engine.RunPaused{State: engine.Interrupted, Reason: why})
	}
	return just(engine.RetryScheduled{Step: c.Step, Error: "nothing was done: " + why}, engine.RunPaused{State: engine.Interrupted, Reason: why})
}

func (l *loop) askDoneIf(ctx context.Context, c engine.AskDoneIf) eventsOf {
	ctx, cancel := l.within(ctx, c.Timeout)
	defer cancel()
	a := l.Executor.Ask(ctx, c.Step, c.Questions)
	return just(engine.DoneIfAsked{Step: c.Step, Asked: a.Asked, Message: l.mask(a.Message), Result: engine.Typed{V: l.maskResult(a.Result)}})
}

func (l *loop) prepare(ctx context.Context, c engine.Prepare) eventsOf {
	ctx, cancel := l.within(ctx, c.Timeout)
	defer cancel()
	p, err := l.Executor.Prepare(ctx, c)
	e := engine.Prepared{Step: c.Step, Seen: engine.Typed{V: l.maskAny(p.Seen)}, Class: p.Class, Why: l.mask(p.Why)}
	if err != nil {
		e.Error = l.mask(overdue(ctx, c.Timeout, err.Error()))
	}
	return func(r *engine.Run) []engine.Event { return []engine.Event{r.JudgePrepared(e)} }
}

// settle asks the operation first; the step's done_if answers where the operation has no proof.
func (l *loop) settle(ctx context.Context, c engine.Settle) eventsOf {
	a := &attendant{loop: l, ctx: ctx, step: c.Step, sensitive: c.Sensitive}
	s := l.Executor.Settle(ctx, c, a)
	a.close()
	var asked *engine.Answer
	if s.Verdict == engine.VerdictUnknown && s.Err == "" && len(c.Questions) > 0 {
		got := l.Executor.Ask(ctx, c.Step, c.Questions)
		got.Message, got.Result = l.mask(got.Message), l.maskResult(got.Result)
		asked = &got
	}
	s.Err, s.Result = l.mask(s.Err), l.maskResult(s.Result)
	for i, line := range s.Evidence {
		s.Evidence[i] = l.mask(line)
	}
	return func(r *engine.Run) []engine.Event { return r.JudgeSettled(c, s, asked) }
}

// askPerson waits for whoever sits at the terminal, as long as the approval may be waited for.
func (l *loop) askPerson(ctx context.Context, c engine.AskPerson) eventsOf {
	expired := just(engine.ApprovalRefused{Step: c.Step, Expired: true})
	if c.Expires.IsZero() {
		if l.Person == nil {
			return just()
		}
		return answered(l.Person(ctx, c))
	}
	left := c.Left(l.Clock.Now())
	if left <= 0 {
		return expired
	}
	if l.Person == nil {
		return just()
	}
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	said := make(chan engine.Event, 1)
	go func() { said <- l.Person(asking, c) }()
	select {
	case e := <-said:
		return answered(e)
	case <-l.Clock.After(asking, left):
		cancel()
		if e := <-said; e != nil { // the answer came in the same moment
			return answered(e)
		}
		return expired
	}
}

func answered(e engine.Event) eventsOf {
	if e == nil {
		return just()
	}
	return just(e)
}

// checkMemory asks the targets. One that cannot be asked is not taken for one that remembers: the
// process stops, and the next resume asks again.
func (l *loop) checkMemory(ctx context.Context, c engine.CheckMemory) eventsOf {
	lost, evidence, err := l.Executor.Remembers(ctx, c.Calls)
	if err != nil {
		reason := "could not ask whether finished effects are still there: " + l.mask(err.Error())
		return just(engine.RunPaused{State: engine.Interrupted, Reason: reason})
	}
	for i, line := range evidence {
		evidence[i] = l.mask(line)
	}
	return just(engine.MemoryChecked{Lost: lost, Evidence: evidence})
}
