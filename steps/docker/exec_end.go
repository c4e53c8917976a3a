package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	apicontainer "github.com/docker/docker/api/types/container"
)

// endScript sends a signal to every process in the container that carries the token in its
// environment. It is found by its own arguments, not by its environment, so it does not end itself.
// It needs sh, tr and grep in the container, and runs as the user of the command, who alone may read
// that environment.
const endScript = `for d in /proc/[0-9]*; do
  if tr '\000' '\n' <"$d/environ" 2>/dev/null | grep -qxF "` + tokenVariable + `=$1" 2>/dev/null; then kill -"$2" "${d#/proc/}"; fi
done
exit 0`

// howEnded is how a command was brought to its end.
type howEnded struct {
	signal string
	state  execState
}

// end ends the command: SIGTERM, and after a while SIGKILL. An error means that it is not shown to
// have ended.
func (r *running) end(ctx context.Context) (howEnded, error) {
	var errs []error
	for _, try := range []struct {
		signal string
		wait   time.Duration
	}{{"TERM", r.killAfter()}, {"KILL", 10 * time.Second}} {
		if err := r.signal(ctx, try.signal); err != nil {
			errs = append(errs, err)
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
	errs = append(errs, errors.New("it still runs"))
	return howEnded{}, errors.Join(errs...)
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
	case end.code() != 0:
		return fmt.Errorf("send SIG%s: the container has no sh to send it (code %d)", signal, end.code())
	}
	return nil
}
