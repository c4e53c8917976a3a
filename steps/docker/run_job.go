package docker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apicontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/container"
)

// job makes the container, starts it, and stays until it has ended.
func (m *making) job(ctx context.Context) engine.Outcome {
	s, made, err := m.provide(ctx)
	if err == nil && !made && !m.env.Again && s.state == apicontainer.StateExited {
		// It is of an attempt before this one, whose end is recorded: a retry begins anew.
		if err = m.c.ContainerRemove(ctx, s.id, apicontainer.RemoveOptions{RemoveVolumes: true}); err == nil {
			s, made, err = m.provide(ctx)
		}
	}
	if err != nil {
		o := failure(err)
		o.InDoubt = false // one that was not started has done nothing, and is known by its token
		return o
	}
	// Durable BEFORE the start: a job whose container is not recorded has never been started.
	if err := m.env.Note(engine.Record{"container": s.id}); err != nil {
		return engine.Failure(fmt.Errorf("record the job's container, before it is started: %w", err))
	}
	if s.state == apicontainer.StateCreated {
		if err := m.c.start(ctx, s); err != nil {
			o := m.notStarted(ctx, s, made, err)
			if o.Effect == engine.EffectNone {
				return o
			}
			if ctx.Err() == nil {
				return m.jobInDoubt(s, o.Err)
			}
		}
	}
	return m.follow(ctx, s)
}

// follow takes in what the job prints, until it has ended.
func (m *making) follow(ctx context.Context, s shown) engine.Outcome {
	out, errs := newTail(m.env.Output()), newTail(m.env.Output())
	reading, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Add(1)
	read := make(chan struct{})
	go func() {
		defer wg.Done()
		defer close(read)
		m.readJob(reading, s, out, errs)
	}()
	defer wg.Wait()
	defer stop()

	end, err := m.c.awaitEnd(ctx, s.id)
	signal := ""
	if err != nil && ctx.Err() != nil {
		signal = fmt.Sprint(context.Cause(ctx))
		end, err = m.stopJob(ctx, s)
	}
	if err != nil {
		return m.jobInDoubt(s, err.Error())
	}
	drain := time.NewTimer(startSettle)
	defer drain.Stop()
	select { // the log may still hold what the job has printed last
	case <-read:
	case <-drain.C:
	}
	stop()
	wg.Wait()
	return m.judgeJob(end, out, errs, signal)
}

func (m *making) readJob(ctx context.Context, s shown, out, errs *tail) {
	body, err := m.c.ContainerLogs(ctx, s.id, apicontainer.LogsOptions{ShowStdout: true, ShowStderr: true, Follow: true})
	if err == nil {
		defer body.Close()
		_, err = stdcopy.StdCopy(out, errs, body)
	}
	if err != nil && ctx.Err() == nil {
		_, _ = fmt.Fprintf(m.env.Output(), "the output of %s could not be read: %v\n", m.Name, m.c.explain(ctx, err))
	}
}

// awaitEnd asks until a container has ended. An engine that is away for a while is asked again.
func (c *connection) awaitEnd(ctx context.Context, id string) (shown, error) {
	var s shown
	answered := time.Now()
	err := container.Poll(ctx, func(ctx context.Context) (bool, error) {
		now, found, err := c.look(ctx, id)
		switch {
		case ctx.Err() != nil:
			return false, context.Cause(ctx)
		case err != nil && time.Since(answered) > unreachableFor:
			return false, err
		case err != nil:
			return false, nil
		case !found:
			return false, fmt.Errorf("container %.12s was removed before its exit code was known", id)
		}
		s, answered = now, time.Now()
		return !now.up() && now.state != apicontainer.StateCreated && !now.removing(), nil
	})
	return s, err
}

// stopJob ends the job, because the step was cut short.
func (m *making) stopJob(ctx context.Context, s shown) (shown, error) {
	grace := 5 * time.Second
	if m.KillAfter != nil {
		grace = *m.KillAfter
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards+grace)
	defer cancel()
	seconds := int((grace + time.Second - 1) / time.Second)
	if err := m.c.ContainerStop(ctx, s.id, apicontainer.StopOptions{Timeout: &seconds}); err != nil {
		return s, fmt.Errorf("the step was cut short, and the job could not be stopped: %w", m.c.explain(ctx, err))
	}
	return m.c.awaitEnd(ctx, s.id)
}

func (m *making) judgeJob(s shown, out, errs *tail, cut string) engine.Outcome {
	r := m.result(s, true)
	r["code"], r["stdout"], r["stderr"] = s.exitCode, out.String(), errs.String()
	o := engine.Outcome{Result: r}
	switch {
	case cut != "":
		o.Err, o.Effect = fmt.Sprintf("job %s was cut short (%s): it was stopped with exit code %d", m.Name, cut, s.exitCode), engine.EffectUnknown
	case s.exitCode != 0:
		o.Err, o.Effect = fmt.Sprintf("job %s ended with exit code %d", m.Name, s.exitCode), engine.EffectUnknown
		if l := lastLine(errs.String()); l != "" {
			o.Err += ": " + l
		}
	case out.err != nil || errs.err != nil:
		o.Err, o.Effect = fmt.Sprintf("job %s ended well, but its output could not be kept: %v", m.Name, errors.Join(out.err, errs.err)), engine.EffectStands
	}
	return o
}

func (m *making) jobInDoubt(s shown, evidence ...string) engine.Outcome {
	return engine.Outcome{InDoubt: true, Effect: engine.EffectUnknown,
		Err:      fmt.Sprintf("it is not known how job %s has ended", m.Name),
		Evidence: append(evidence, fmt.Sprintf("container %s (%.12s)", m.Name, s.id))}
}

// Settle finds the job of an attempt that was cut off by its labels, waits for it if it still runs,
// and goes by its exit code.
func (op run) Settle(ctx context.Context, env *steps.Env) engine.Settlement {
	if !op.job() {
		return engine.Settlement{Evidence: []string{"a container that is meant to run on is looked at again, not settled"}}
	}
	c, err := connect(ctx, env)
	if err != nil {
		return couldNotAsk(err)
	}
	note, _ := env.Call.Note.(engine.Record)
	id, _ := note["container"].(string)
	if id == "" {
		return engine.Settlement{Verdict: engine.VerdictNotDone, Dead: true,
			Evidence: []string{"no container was recorded, and a job is started only AFTER its container is: it was not started"}}
	}
	s, found, err := c.createdSettled(ctx, id)
	switch {
	case err != nil:
		return couldNotAsk(err)
	case !found:
		return engine.Settlement{Dead: true, Evidence: []string{fmt.Sprintf("container %s (%.12s) was removed, and its exit code with it", op.Name, id)}}
	case s.state == apicontainer.StateCreated && s.started.IsZero():
		return engine.Settlement{Verdict: engine.VerdictNotDone, Dead: true,
			Evidence: []string{fmt.Sprintf("container %s (%.12s) was made, but never started", op.Name, id)}}
	}
	if s.up() {
		_, _ = fmt.Fprintf(env.Output(), "job %s still runs since before the run was cut off; waiting for it to end\n", op.Name)
	}
	end, err := c.awaitEnd(ctx, id)
	if err != nil {
		return engine.Settlement{Evidence: []string{fmt.Sprintf("job %s (%.12s): %v", op.Name, id, err)}}
	}
	return op.settleJob(ctx, c, env, end)
}

// createdSettled looks at a container that may be about to be started by a request still on its way.
func (c *connection) createdSettled(ctx context.Context, id string) (s shown, found bool, err error) {
	deadline := time.Now().Add(startSettle)
	err = container.Poll(ctx, func(ctx context.Context) (bool, error) {
		s, found, err = c.look(ctx, id)
		return !found || s.state != apicontainer.StateCreated || time.Now().After(deadline), err
	})
	return s, found, err
}

func (op run) settleJob(ctx context.Context, c *connection, env *steps.Env, end shown) engine.Settlement {
	m := &making{run: op, c: c, env: env}
	out, errs := newTail(env.Output()), newTail(env.Output())
	m.readJob(ctx, end, out, errs)
	o := m.judgeJob(end, out, errs, "")
	x := engine.Settlement{Dead: true, Err: o.Err,
		Evidence: []string{fmt.Sprintf("job %s (%.12s) ended with exit code %d", op.Name, end.id, end.exitCode)}}
	if o.Err == "" {
		x.Verdict, x.Result = engine.VerdictDone, o.Result
	}
	return x
}
