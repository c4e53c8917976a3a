package docker

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	apicontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/container"
)

const (
	// unreachableFor is how long an engine that does not answer is asked for the end of a command.
	unreachableFor = time.Minute
	// startSettle is how long a request to start that was sent by a client now dead may still take
	// to be seen at work.
	startSettle = container.StartSettle
)

// ExecState asks for the state of an exec. The client's own struct cannot tell code 0 from none.
func (c *connection) ExecState(ctx context.Context, exec string) (container.State, error) {
	var s container.State
	err := c.getJSON(ctx, "/exec/"+exec+"/json", &s)
	return s, err
}

// Explain turns an error of the client into a sentence for a person.
func (c *connection) Explain(ctx context.Context, err error) error { return c.explain(ctx, err) }

var _ container.Engine = (*connection)(nil)

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
	wg.Go(func() {
		_, err := stdcopy.StdCopy(r.out, r.errs, stream.Reader)
		drained <- err
	})
	in := container.InputOf(stream)
	r.sendStdin(&wg, in)
	// The reader ignores contexts; only closing the connection ends it.
	defer wg.Wait()
	defer stream.Close()
	if cut := r.watch(ctx, drained); cut {
		return r.cut(ctx, drained)
	}
	end, err := r.await(ctx)
	if err == nil && !r.lost {
		// It has ended, so nothing reads any more: a write that is under way comes back.
		stream.Close()
		wg.Wait()
		if r.lost = in.WasReset(); r.lost {
			end, err = r.await(ctx)
		}
	}
	switch {
	case err == nil:
		return r.judge(end)
	case ctx.Err() != nil:
		return r.cut(ctx, drained)
	}
	return r.inDoubt(err.Error())
}

// saidUnsure is what is known of a command about which the engine knows nothing.
const saidUnsure = "the connection broke while it ran; the engine then says exit code 126, whatever the command has done"

// sendStdin sends what the command reads, and the end of it.
func (r *running) sendStdin(wg *sync.WaitGroup, in *container.Input) {
	text, given := r.stdin()
	if !given {
		return
	}
	wg.Go(func() {
		// A command that ends without reading everything is no error; its exit code says what it thinks.
		_, _ = io.WriteString(in, text)
		_ = in.Close()
	})
}

// watch waits for the end of the output, or of ctx.
func (r *running) watch(ctx context.Context, drained <-chan error) (cut bool) {
	tick := time.NewTicker(container.PollEvery)
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
	s, err := r.c.ExecState(ctx, r.note.exec)
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
	s, known := container.Started(after, r.c, r.note.exec)
	switch {
	case !known:
		return r.inDoubt(err.Error())
	case s.NotStarted(), s.NeverRan():
		return failure(err)
	}
	r.lost = true
	r.note.pid = s.Pid
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

// await waits for the end of the command.
func (r *running) await(ctx context.Context) (container.State, error) {
	s, err := container.Await(ctx, r.c, r.note.exec)
	if err == nil && r.lost && s.Unsure() {
		err = r.c.awaitGone(ctx, r.note.container, s.Pid)
	}
	return s, err
}

// awaitGone waits for a process that the engine does not follow any more.
func (c *connection) awaitGone(ctx context.Context, id string, pid int64) error {
	return container.Poll(ctx, func(ctx context.Context) (bool, error) {
		s, found, err := c.look(ctx, id)
		if err != nil || !found || !s.up() {
			return true, err
		}
		alive, err := c.hasProcess(ctx, s, pid)
		return !alive, err
	})
}

// cut ends the command inside its container, because the step was cut short, and says what is true.
// The process does not end with its client.
func (r *running) cut(ctx context.Context, drained <-chan error) engine.Outcome {
	cause := context.Cause(ctx)
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards+r.killAfter())
	defer cancel()
	if s, err := r.c.ExecState(after, r.note.exec); err == nil {
		if s.Ended() { // by itself, before it was to be ended
			r.drain(after, drained)
			return r.judge(s)
		}
		r.note.pid = s.Pid
	}
	how, err := container.End(after, r.c, container.Process{
		Container: r.note.container, Exec: r.note.exec, User: r.User, Token: r.env.Call.Token}, r.killAfter())
	if err != nil {
		return r.inDoubt(fmt.Sprintf("the step was cut short (%v), and the command was to be ended: %v", cause, err))
	}
	r.drain(after, drained)
	return engine.Outcome{
		Result: engine.Record{"stdout": r.out.String(), "stderr": r.errs.String(), "code": how.State.Code(),
			"truncated": r.out.full || r.errs.full},
		Err: fmt.Sprintf("%s in %s was cut short (%v): it was ended by SIG%s with exit code %d",
			r.Argv[0], r.Container, cause, how.Signal, how.State.Code()),
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
