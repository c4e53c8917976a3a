package docker

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/container"
)

// Settle finds the exec of an attempt that was cut off by its recorded id, waits for it if it still
// runs, and goes by its exit code.
func (op exec) Settle(ctx context.Context, env *steps.Env) engine.Settlement {
	n, ok := readExecNote(env.Call.Note)
	if !ok {
		return engine.Settlement{Verdict: engine.VerdictNotDone, Dead: true,
			Evidence: []string{"no exec id was recorded, and a command is started only AFTER its id is: it was not started"}}
	}
	c, err := connect(ctx, env)
	if err != nil {
		return couldNotAsk(err)
	}
	s, known := container.Started(ctx, c, n.exec)
	if !known {
		return op.settleLost(ctx, c, n)
	}
	if s.NotStarted() {
		return engine.Settlement{Verdict: engine.VerdictNotDone, Dead: true,
			Evidence: []string{fmt.Sprintf("exec %.12s was made, but never started", n.exec)}}
	}
	if !s.Ended() {
		_, _ = fmt.Fprintf(env.Output(), "%s still runs in %s since before the run was cut off; waiting for it to end\n", op.Argv[0], op.Container)
		if s, err = container.Await(ctx, c, n.exec); err != nil {
			if ctx.Err() == nil {
				return op.settleLost(ctx, c, n)
			}
			return engine.Settlement{Evidence: []string{
				fmt.Sprintf("the command still runs (exec %.12s, process %d on the engine's host); waiting for it was ended: %v", n.exec, s.Pid, err)}}
		}
	}
	if s.Unsure() {
		return op.settleUnsure(ctx, c, n, s)
	}
	return op.settleEnded(n, s)
}

// settleUnsure waits for the process itself, because the engine does not follow it any more.
func (op exec) settleUnsure(ctx context.Context, c *connection, n execNote, s container.State) engine.Settlement {
	if err := c.awaitGone(ctx, n.container, s.Pid); err != nil {
		return engine.Settlement{Evidence: []string{fmt.Sprintf("process %d of the command on the engine's host was waited for: %v", s.Pid, err)}}
	}
	return engine.Settlement{Dead: true, Evidence: []string{saidUnsure, fmt.Sprintf("process %d of the command has ended (exec %.12s)", s.Pid, n.exec)}}
}

func couldNotAsk(err error) engine.Settlement {
	return engine.Settlement{Evidence: []string{"could not ask: " + err.Error()}}
}

// settleEnded judges a command whose exit code is known. What it printed went to a client that is gone.
func (op exec) settleEnded(n execNote, s container.State) engine.Settlement {
	x := engine.Settlement{Dead: true, Evidence: []string{
		fmt.Sprintf("exec %.12s ended with exit code %d; what it printed after the run was cut off is not kept", n.exec, s.Code())}}
	if _, reads := op.stdin(); reads && slices.Contains(op.Codes, s.Code()) {
		// To the command the end of its client looks like the end of its input.
		x.Evidence = append(x.Evidence, "it was to read its input from the engine that died: whether it has read all of it is not known")
		return x
	}
	if slices.Contains(op.Codes, s.Code()) {
		x.Verdict = engine.VerdictDone
		x.Result = engine.Record{"stdout": nil, "stderr": nil, "code": s.Code(), "truncated": nil}
		return x
	}
	x.Err = codeError(op.Argv[0], op.Container, s.Code(), "")
	return x
}

// settleLost says what is known of a command whose exec the engine does not tell about any more.
func (op exec) settleLost(ctx context.Context, c *connection, n execNote) engine.Settlement {
	_, err := c.ExecState(ctx, n.exec)
	if !notFound(err) {
		if err == nil {
			err = fmt.Errorf("the engine's answers about exec %.12s differ", n.exec)
		}
		return couldNotAsk(c.explain(ctx, err))
	}
	x := engine.Settlement{Evidence: []string{fmt.Sprintf("the engine does not know exec %.12s any more, so its exit code is lost", n.exec)}}
	s, found, err := c.look(ctx, n.container)
	switch {
	case err != nil:
		x.Evidence = append(x.Evidence, "could not ask: "+err.Error())
	case !found:
		x.Dead = true
		x.Evidence = append(x.Evidence, fmt.Sprintf("container %.12s was removed, and the command with it", n.container))
	case !s.up():
		x.Dead = true
		x.Evidence = append(x.Evidence, fmt.Sprintf("container %s does not run (%s), so the command does not either", s.name, s.state))
	case !s.started.Equal(n.started):
		x.Dead = true
		x.Evidence = append(x.Evidence, fmt.Sprintf("container %s was restarted at %s, which ended the command", s.name, s.started.Format(time.RFC3339)))
	default:
		var said string
		x.Dead, said = c.processGone(ctx, s, n.pid)
		x.Evidence = append(x.Evidence, said)
	}
	return x
}

// processGone looks for the command's process among those of its container.
func (c *connection) processGone(ctx context.Context, s shown, pid int64) (bool, string) {
	if pid == 0 {
		return false, "its process was not recorded, so it cannot be shown that it has ended"
	}
	alive, err := c.hasProcess(ctx, s, pid)
	switch {
	case err != nil:
		return false, "could not ask: " + err.Error()
	case alive:
		return false, fmt.Sprintf("process %d of the command still runs on the engine's host", pid)
	}
	return true, fmt.Sprintf("process %d of the command is gone", pid)
}

// hasProcess asks for the processes of a container, by their numbers on the engine's host.
func (c *connection) hasProcess(ctx context.Context, s shown, pid int64) (bool, error) {
	top, err := c.ContainerTop(ctx, s.id, []string{"-eo", "pid,args"})
	if err != nil {
		return false, fmt.Errorf("look at the processes of container %s: %w", s.name, c.explain(ctx, err))
	}
	column := slices.Index(top.Titles, "PID")
	if column < 0 {
		return false, fmt.Errorf("the engine does not tell the processes of container %s", s.name)
	}
	for _, p := range top.Processes {
		if len(p) > column && p[column] == strconv.FormatInt(pid, 10) {
			return true, nil
		}
	}
	return false, nil
}
