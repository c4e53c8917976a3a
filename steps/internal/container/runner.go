package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	apicontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/handrail-dev/handrail/steps/internal/host"
)

const (
	// afterwards bounds what is asked AFTER a job was cut short, to say what is true.
	afterwards = 30 * time.Second
	// patience is how long the output of a job that has ended is waited for.
	patience = 2 * time.Second
)

// Runner runs jobs in one container.
type Runner struct {
	Engine    Engine
	Container string // by name or id; it must run
	User      string // as name, uid or uid:gid; empty: the container's own
}

var _ host.Runner = Runner{}

// Run runs a job to its end. The job is ended in its container when ctx ends; its process would not end
// with the connection.
func (r Runner) Run(ctx context.Context, j host.Job) (host.Ended, error) {
	env := j.Env
	if j.Token != "" {
		env = append(env[:len(env):len(env)], host.TokenVariable+"="+j.Token)
	}
	id, err := r.id(ctx)
	if err != nil {
		return host.Ended{}, err
	}
	made, err := r.Engine.ContainerExecCreate(ctx, id, apicontainer.ExecOptions{
		User: r.User, WorkingDir: j.Dir, Cmd: j.Argv, Env: env,
		AttachStdin: j.Stdin != nil, AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		return host.Ended{}, fmt.Errorf("prepare a command in %s: %w", r.Container, r.Engine.Explain(ctx, err))
	}
	a := &attempt{Runner: r, job: j, process: Process{Container: id, Exec: made.ID, User: r.User, Token: j.Token}}
	return a.run(ctx)
}

// id is that of the container, which must run.
func (r Runner) id(ctx context.Context) (string, error) {
	s, err := r.Engine.ContainerInspect(ctx, r.Container)
	if err != nil {
		return "", fmt.Errorf("look at container %s: %w", r.Container, r.Engine.Explain(ctx, err))
	}
	if s.ContainerJSONBase == nil || s.State == nil || !s.State.Running {
		return "", fmt.Errorf("container %s does not run; start it in a step before", r.Container)
	}
	return s.ID, nil
}

// attempt is a job under way.
type attempt struct {
	Runner
	job     host.Job
	process Process
}

func (a *attempt) run(ctx context.Context) (host.Ended, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stream, err := a.Engine.ContainerExecAttach(ctx, a.process.Exec, apicontainer.ExecAttachOptions{})
	if err != nil {
		return a.notAttached(ctx, err)
	}
	drained := make(chan error, 1)
	var wg sync.WaitGroup
	// The reader ignores contexts; only closing the connection ends it.
	defer wg.Wait()
	defer stream.Close()
	stdout, stderr := host.EndingOn(a.job.Stdout, cancel), host.EndingOn(a.job.Stderr, cancel)
	wg.Go(func() {
		_, err := stdcopy.StdCopy(stdout, stderr, stream.Reader)
		drained <- err
	})
	in := InputOf(stream)
	if a.job.Stdin != nil {
		fed := host.Feed(in, a.job.Stdin, cancel)
		wg.Go(func() { <-fed })
	}
	select {
	case err = <-drained:
	case <-ctx.Done():
		return a.cut(ctx, drained)
	}
	s, awaitErr := Await(ctx, a.Engine, a.process.Exec)
	if awaitErr == nil && err == nil {
		// It has ended, so nothing reads any more: a write that is under way comes back.
		stream.Close()
		wg.Wait()
		if in.WasReset() {
			err = syscall.ECONNRESET
		}
	}
	switch {
	case awaitErr != nil && ctx.Err() != nil:
		return a.cut(ctx, nil)
	case awaitErr != nil:
		return host.Ended{}, &host.LostError{Err: errors.Join(err, awaitErr)}
	case err != nil:
		// Its exit code alone would pass off a part of the output as the whole.
		return host.Ended{}, &host.LostError{Err: fmt.Errorf("the connection to the engine broke while it ran; it has ended with code %d: %w", s.Code(), err)}
	}
	return a.ended(s)
}

// ended is how the engine says that the command ended.
func (a *attempt) ended(s State) (host.Ended, error) {
	if s.NeverRan() {
		return host.Ended{}, fmt.Errorf("%s could not be started in container %s (exit code %d): there is no such program in it, or it may not be executed",
			a.job.Argv[0], a.Container, s.Code())
	}
	return endedWith(s), nil
}

// endedWith tells no signal: an engine gives 128 and its number as the code, as a program may, too.
func endedWith(s State) host.Ended { return host.Ended{Code: int(s.Code())} }

// notAttached finds out whether the command was started although the connection to it failed.
func (a *attempt) notAttached(ctx context.Context, cause error) (host.Ended, error) {
	err := fmt.Errorf("start %s in container %s: %w", a.job.Argv[0], a.Container, a.Engine.Explain(ctx, cause))
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	s, known := Started(after, a.Engine, a.process.Exec)
	switch {
	case known && (s.NotStarted() || s.NeverRan()):
		return host.Ended{}, err
	case known && ctx.Err() != nil:
		return a.cut(ctx, nil)
	}
	return host.Ended{}, &host.LostError{Err: err}
}

// cut ends the command, because ctx has ended.
func (a *attempt) cut(ctx context.Context, drained <-chan error) (host.Ended, error) {
	cause := context.Cause(ctx)
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards+a.job.KillAfter)
	defer cancel()
	if s, err := a.Engine.ExecState(after, a.process.Exec); err == nil && s.Ended() {
		e := endedWith(s)
		e.Cut = cause
		return e, nil
	}
	how, err := End(after, a.Engine, a.process, a.job.KillAfter)
	if err != nil {
		return host.Ended{}, &host.LostError{Err: fmt.Errorf("it was to be ended (%w): %w", cause, err)}
	}
	if drained != nil {
		select {
		case <-drained: //nolint:errcheck // what broke the stream does not matter any more
		case <-time.After(patience):
		}
	}
	e := endedWith(how.State)
	e.Cut = cause
	return e, nil
}

// survivorsScript lists the processes that carry a token: pid and name.
const survivorsScript = findScript + `for p in $(find "$1"); do
  read -r n <"/proc/$p/comm" 2>/dev/null || continue
  echo "$p $n"
done`

// Survivors looks into the process table of the container, as the user of the jobs. A container that does
// not run has none.
func (r Runner) Survivors(ctx context.Context, token string) ([]host.Alive, error) {
	if token == "" {
		return nil, errors.New("there is no token to look for")
	}
	if up, err := r.up(ctx); err != nil || !up {
		return nil, err
	}
	var out, errs bytes.Buffer
	e, err := r.Run(ctx, host.Job{Argv: []string{"sh", "-c", survivorsScript, "handrail-look", token}, Stdout: &out, Stderr: &errs})
	switch {
	case err == nil && e.Cut != nil:
		return nil, e.Cut
	case err == nil && e.Code != 0:
		err = fmt.Errorf("code %d: %s", e.Code, strings.TrimSpace(errs.String()))
	}
	if err != nil {
		if up, again := r.up(ctx); again == nil && !up { // it ended meanwhile
			return nil, nil
		}
		return nil, fmt.Errorf("look for processes in container %s: %w", r.Container, err)
	}
	var all []host.Alive
	for line := range strings.Lines(out.String()) {
		number, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		pid, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("look for processes in container %s: it said %q", r.Container, line)
		}
		all = append(all, host.Alive{PID: pid, Name: name})
	}
	return all, nil
}

// up: the container runs.
func (r Runner) up(ctx context.Context) (bool, error) {
	s, err := r.Engine.ContainerInspect(ctx, r.Container)
	if err != nil {
		return false, fmt.Errorf("look at container %s: %w", r.Container, r.Engine.Explain(ctx, err))
	}
	return s.ContainerJSONBase != nil && s.State != nil && s.State.Running, nil
}
