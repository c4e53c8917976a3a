package container

import (
	"context"
	"errors"
	"fmt"
	"time"

	apicontainer "github.com/docker/docker/api/types/container"

	"github.com/handrail-dev/handrail/steps/internal/host"
)

// findScript defines find, which names every process in the container that carries the token in its
// environment. The scripts are given the token as an argument and not in their environment, so they do
// not find themselves. They need sh, tr and grep in the container, and run as the user of the command,
// who alone may read that environment.
const findScript = `find() {
  for d in /proc/[0-9]*; do
    if tr '\000' '\n' <"$d/environ" 2>/dev/null | grep -qxF "` + host.TokenVariable + `=$1" 2>/dev/null; then echo "${d#/proc/}"; fi
  done
}
`

// endScript sends a signal to the processes of a command. It stops them all BEFORE it signals one: a
// shell whose child is ended first would go on with its next command. Exit code 4: it found none.
const endScript = findScript + `kill -STOP $(find "$1") 2>/dev/null
kill -STOP $(find "$1") 2>/dev/null
all=$(find "$1")
[ -n "$all" ] || exit 4
kill -"$2" $all
kill -CONT $all 2>/dev/null
exit 0`

// Exit codes of endScript.
const (
	endSent = 0
	endNone = 4
)

// Process is a command that was started in a container.
type Process struct {
	Container string // its id
	Exec      string
	User      string // whose process it is; empty: the container's own
	Token     string
}

// HowEnded is how a command was brought to its end.
type HowEnded struct {
	Signal string
	State  State
}

// End ends a command: SIGTERM, and after a while SIGKILL. An error means that it is not shown to have
// ended.
func End(ctx context.Context, e Engine, p Process, killAfter time.Duration) (HowEnded, error) {
	stillRuns := errors.New("it still runs")
	for _, try := range []struct {
		signal string
		wait   time.Duration
	}{{"TERM", killAfter}, {"KILL", 5 * time.Second}} {
		if err := signal(ctx, e, p, try.signal); err != nil {
			stillRuns = fmt.Errorf("it still runs: %w", err)
		}
		wait, cancel := context.WithTimeoutCause(ctx, try.wait, ErrTooLong)
		state, err := Await(wait, e, p.Exec)
		cancel()
		if err == nil {
			return HowEnded{try.signal, state}, nil
		}
		if !errors.Is(err, ErrTooLong) {
			return HowEnded{}, err
		}
	}
	return HowEnded{}, stillRuns
}

// signal runs the script that signals the command, and waits for the script.
func signal(ctx context.Context, e Engine, p Process, signal string) error {
	made, err := e.ContainerExecCreate(ctx, p.Container, apicontainer.ExecOptions{
		User: p.User, Cmd: []string{"sh", "-c", endScript, "handrail-end", p.Token, signal},
	})
	if err != nil {
		return fmt.Errorf("send SIG%s: %w", signal, e.Explain(ctx, err))
	}
	if err := e.ContainerExecStart(ctx, made.ID, apicontainer.ExecStartOptions{Detach: true}); err != nil {
		return fmt.Errorf("send SIG%s: %w", signal, e.Explain(ctx, err))
	}
	end, err := Await(ctx, e, made.ID)
	switch {
	case err != nil:
		return fmt.Errorf("send SIG%s: %w", signal, err)
	case end.Code() == endNone:
		return fmt.Errorf("send SIG%s: no process of the command was found in the container, as its user, with its tr and grep", signal)
	case end.Code() != endSent:
		return fmt.Errorf("send SIG%s: the container has no sh to send it (code %d)", signal, end.Code())
	}
	return nil
}
