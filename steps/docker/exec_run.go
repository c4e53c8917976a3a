package docker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/docker/docker/api/types"
	apicontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

const (
	// unreachableFor is how long an engine that does not answer is asked for the end of a command.
	unreachableFor = time.Minute
	// startSettle is how long a request to start that was sent by a client now dead may still take
	// to be seen at work.
	startSettle = 2 * time.Second
)

// execState is what the engine says of an exec.
type execState struct {
	Running  bool
	ExitCode *int64 // null until it has ended
	Pid      int64
}

func (s execState) ended() bool      { return !s.Running && s.ExitCode != nil }
func (s execState) notStarted() bool { return !s.Running && s.ExitCode == nil && s.Pid == 0 }

// neverRan: the engine could not start the command, so it had no effect.
func (s execState) neverRan() bool {
	return s.ended() && s.Pid == 0 && (*s.ExitCode == 126 || *s.ExitCode == 127)
}

func (s execState) code() int64 {
	if s.ExitCode == nil {
		return -1
	}
	return *s.ExitCode
}

// stateOf asks for the state of an exec. The client's own struct cannot tell code 0 from none.
func (c *connection) stateOf(ctx context.Context, exec string) (execState, error) {
	var s execState
	err := c.getJSON(ctx, "/exec/"+exec+"/json", &s)
	return s, err
}

// running is an exec under way. Its goroutine, which takes in the output, is owned by run, which
// waits for it.
type running struct {
	exec
	c         *connection
	env       *steps.Env
	note      execNote
	out, errs *tail
	lost      bool // the stream broke before the command ended
}

// run starts the command and stays with it until it has ended.
func (r *running) run(ctx context.Context) engine.Outcome {
	stream, err := r.c.ContainerExecAttach(ctx, r.note.exec, apicontainer.ExecAttachOptions{})
	if err != nil {
		return r.notAttached(ctx, err)
	}
	var wg sync.WaitGroup
	drained := make(chan error, 1)
	wg.Add(1)
	go func() {
		defer wg.Done()
		_, err := stdcopy.StdCopy(r.out, r.errs, stream.Reader)
		drained <- err
	}()
	r.sendStdin(&wg, stream)
	// The reader ignores contexts; only closing the connection ends it.
	defer wg.Wait()
	defer stream.Close()
	if cut := r.watch(ctx, drained); cut {
		return r.cut(ctx, drained)
	}
	end, err := r.await(ctx)
	switch {
	case err == nil:
		return r.judge(end)
	case ctx.Err() != nil:
		return r.cut(ctx, drained)
	}
	return r.inDoubt(err.Error())
}

func (r *running) sendStdin(wg *sync.WaitGroup, stream types.HijackedResponse) {
	text, given := r.stdin()
	if !given {
		return
	}
	wg.Add(1)
	go func() {
		defer wg.Done()
		feed(stream.Conn, stream.CloseWrite, text)
	}()
}

// watch waits for the end of the output, or of ctx.
func (r *running) watch(ctx context.Context, drained <-chan error) (cut bool) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-drained:
			r.lost = err != nil
			return false
		case <-ctx.Done():
			return true
		case <-tick.C: // a short command has ended by now, and costs no note
			if r.note.pid == 0 {
				r.notePid(ctx)
			}
		}
	}
}

// notePid records the process AFTER the start: it shows later whether the command still lives when
// the engine has forgotten the exec. The command runs by now, and its end must be seen: a note that
// cannot be recorded ends the run, but not the watch over the command.
func (r *running) notePid(ctx context.Context) {
	s, err := r.c.stateOf(ctx, r.note.exec)
	if err != nil || s.Pid == 0 {
		return
	}
	r.note.pid = s.Pid
	_ = r.env.Note(r.note.value())
}

// notAttached finds out whether the command was started although the connection to it failed.
func (r *running) notAttached(ctx context.Context, cause error) engine.Outcome {
	err := fmt.Errorf("start %s in %s: %w", r.Argv[0], r.Container, r.c.explain(ctx, cause))
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	s, known := r.c.startedState(after, r.note.exec)
	switch {
	case !known:
		return r.inDoubt(err.Error())
	case s.notStarted(), s.neverRan():
		return failure(err)
	}
	r.lost = true
	if ctx.Err() != nil {
		return r.cut(ctx, nil)
	}
	end, waitErr := r.await(ctx)
	switch {
	case waitErr == nil:
		return r.judge(end)
	case ctx.Err() != nil:
		return r.cut(ctx, nil)
	}
	return r.inDoubt(err.Error(), waitErr.Error())
}

// startedState says whether an exec was started. A request to start may still be on its way to the
// engine, so "not started" counts only when it is said again a moment later.
func (c *connection) startedState(ctx context.Context, exec string) (s execState, known bool) {
	deadline := time.Now().Add(startSettle)
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		var err error
		s, err = c.stateOf(ctx, exec)
		return !s.notStarted() || time.Now().After(deadline), err
	})
	return s, err == nil
}

// await asks for the end of the command until the engine tells it. An engine that is away for a while
// is asked again.
func (r *running) await(ctx context.Context) (execState, error) {
	return r.c.awaitExec(ctx, r.note.exec)
}

func (c *connection) awaitExec(ctx context.Context, exec string) (execState, error) {
	var s execState
	answered := time.Now()
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		now, err := c.stateOf(ctx, exec)
		switch {
		case err == nil:
			s, answered = now, time.Now()
			return s.ended(), nil
		case notFound(err):
			return false, fmt.Errorf("the engine does not know the command's exec any more: %w", err)
		case ctx.Err() != nil:
			return false, context.Cause(ctx)
		case time.Since(answered) > unreachableFor:
			return false, fmt.Errorf("the engine does not say how the command ended: %w", c.explain(ctx, err))
		}
		return false, nil
	})
	return s, err
}

// cut ends the command inside its container, because the step was cut short, and says what is true.
// The process does not end with its client.
func (r *running) cut(ctx context.Context, drained <-chan error) engine.Outcome {
	cause := context.Cause(ctx)
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards+r.killAfter())
	defer cancel()
	if s, err := r.c.stateOf(after, r.note.exec); err == nil {
		if s.ended() { // by itself, before it was to be ended
			r.drain(after, drained)
			return r.judge(s)
		}
		r.note.pid = s.Pid
	}
	how, err := r.end(after)
	if err != nil {
		return r.inDoubt(fmt.Sprintf("the step was cut short (%v), and the command was to be ended: %v", cause, err))
	}
	r.drain(after, drained)
	return engine.Outcome{
		Result: engine.Record{"stdout": r.out.String(), "stderr": r.errs.String(), "code": how.state.code()},
		Err: fmt.Sprintf("%s in %s was cut short (%v): it was ended by SIG%s with exit code %d",
			r.Argv[0], r.Container, cause, how.signal, how.state.code()),
		Effect: engine.EffectUnknown,
	}
}

// drain takes in what is left of the output of a command that has ended.
func (r *running) drain(ctx context.Context, drained <-chan error) {
	if drained == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, startSettle)
	defer cancel()
	select {
	case err := <-drained:
		r.lost = err != nil
	case <-ctx.Done():
		r.lost = true
	}
}

func (r *running) inDoubt(evidence ...string) engine.Outcome {
	facts := append(evidence, fmt.Sprintf("exec %s in container %s (%.12s)", r.note.exec, r.Container, r.note.container))
	if r.note.pid != 0 {
		facts = append(facts, fmt.Sprintf("process %d on the engine's host", r.note.pid))
	}
	return engine.Outcome{InDoubt: true, Effect: engine.EffectUnknown, Evidence: facts,
		Err: fmt.Sprintf("it is not known whether %s in %s has ended, and how", r.Argv[0], r.Container)}
}

// settledBefore goes by what became of an attempt that was cut off. settled is false when it is shown
// to have ended, or never to have begun, so that another may be made.
func (op exec) settledBefore(ctx context.Context, env *steps.Env) (o engine.Outcome, settled bool) {
	s := op.Settle(ctx, env)
	switch {
	case s.Verdict == engine.VerdictDone:
		return engine.Outcome{Result: s.Result}, true
	case s.Verdict == engine.VerdictNotDone, s.Err != "", s.Dead:
		return engine.Outcome{}, false
	}
	return engine.Outcome{InDoubt: true, Effect: engine.EffectUnknown, Evidence: s.Evidence,
		Err: "the command of the attempt that was cut off may still run; nothing is started beside it"}, true
}
