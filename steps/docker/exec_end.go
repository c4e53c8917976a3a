package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	apicontainer "github.com/docker/docker/api/types/container"
)

// endScript sends a signal to every process in the container that carries the token in its
// environment. It stops them all BEFORE it signals one: a shell whose child is ended first would go on
// with its next command. It is given the token as an argument and not in its environment, so it does
// not find itself. It needs sh, tr and grep in the container, and runs as the user of the command, who
// alone may read that environment. Exit code 4: it found none.
const endScript = `find() {
  for d in /proc/[0-9]*; do
    if tr '\000' '\n' <"$d/environ" 2>/dev/null | grep -qxF "` + tokenVariable + `=$1" 2>/dev/null; then echo "${d#/proc/}"; fi
  done
}
kill -STOP $(find "$1") 2>/dev/null
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

// howEnded is how a command was brought to its end.
type howEnded struct {
	signal string
	state  execState
}

// end ends the command: SIGTERM, and after a while SIGKILL. An error means that it is not shown to
// have ended.
func (r *running) end(ctx context.Context) (howEnded, error) {
	stillRuns := errors.New("it still runs")
	for _, try := range []struct {
		signal string
		wait   time.Duration
	}{{"TERM", r.killAfter()}, {"KILL", 5 * time.Second}} {
		if err := r.signal(ctx, try.signal); err != nil {
			stillRuns = fmt.Errorf("it still runs: %w", err)
		}
		wait, cancel := context.WithTimeoutCause(ctx, try.wait, errTooLong)
		state, err := r.c.awaitExec(wait, r.note.exec)
		cancel()
		if err == nil {
			return howEnded{try.signal, state}, nil
		}
		if !errors.Is(err, errTooLong) {
			return howEnded{}, err
		}
	}
	return howEnded{}, stillRuns
}

// signal runs the script that signals the command, and waits for the script.
func (r *running) signal(ctx context.Context, signal string) error {
	made, err := r.c.ContainerExecCreate(ctx, r.note.container, apicontainer.ExecOptions{
		User: r.User, Cmd: []string{"sh", "-c", endScript, "handrail-end", r.env.Call.Token, signal},
	})
	if err != nil {
		return fmt.Errorf("send SIG%s: %w", signal, r.c.explain(ctx, err))
	}
	if err := r.c.ContainerExecStart(ctx, made.ID, apicontainer.ExecStartOptions{Detach: true}); err != nil {
		return fmt.Errorf("send SIG%s: %w", signal, r.c.explain(ctx, err))
	}
	end, err := r.c.awaitExec(ctx, made.ID)
	switch {
	case err != nil:
		return fmt.Errorf("send SIG%s: %w", signal, err)
	case end.code() == endNone:
		return fmt.Errorf("send SIG%s: no process of the command was found in the container, as its user, with its tr and grep", signal)
	case end.code() != endSent:
		return fmt.Errorf("send SIG%s: the container has no sh to send it (code %d)", signal, end.code())
	}
	return nil
}
