package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	apicontainer "github.com/docker/docker/api/types/container"

	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/container"
)

// steadyFor is how long a container without a health check must run without a restart before it
// counts as running.
const steadyFor = time.Second

// unwell is a container that did not become what was waited for.
type unwell struct {
	message string
	lines   string // the end of its log
}

func (u *unwell) Error() string { return u.message }

// waitHealthy waits until a container is healthy or, where it has no health check, runs steadily. One
// that ends and is not brought back by its restart policy, or becomes unhealthy, is an *unwell.
func (c *connection) waitHealthy(ctx context.Context, s shown, limit time.Duration) error {
	limited, cancel := context.WithTimeoutCause(ctx, limit, container.ErrTooLong)
	defer cancel()
	last, restarted := s, 0
	running := s.started // the start that the container's steadiness is counted from
	since := time.Now()
	err := container.Poll(limited, func(ctx context.Context) (bool, error) {
		now, found, err := c.look(ctx, s.id)
		if err != nil {
			return false, err
		}
		if !found {
			return false, &unwell{message: fmt.Sprintf("container %s was removed while it was to become healthy", s.name)}
		}
		if !now.started.Equal(running) {
			running, since = now.started, time.Now()
			restarted++
		}
		last = now
		switch {
		case now.state == apicontainer.StateExited || now.state == apicontainer.StateDead || now.state == apicontainer.StateCreated:
			return false, c.ended(ctx, now)
		case !now.running():
			return false, nil // restarting, or paused for a moment
		case now.health == apicontainer.Healthy:
			return true, nil
		case now.health == apicontainer.Unhealthy:
			return false, c.unhealthy(ctx, now)
		case now.health == apicontainer.NoHealthcheck:
			return time.Since(since) >= steadyFor, nil
		}
		return false, nil // starting
	})
	// The look that the limit has cut short says so with an error of its own.
	if err != nil && context.Cause(limited) == container.ErrTooLong && !isUnwell(err) { //nolint:errorlint // it is the cause itself, not one that wraps it
		return c.tooLong(ctx, last, limit, restarted)
	}
	return err
}

// unwellLines are the last lines of a container that an error is about; they go to the step's log.
func unwellLines(err error, name string, env *steps.Env) string {
	var u *unwell
	if !errors.As(err, &u) || u.lines == "" {
		return ""
	}
	_, _ = fmt.Fprintf(env.Output(), "the last lines of %s:\n%s\n", name, u.lines)
	return u.lines
}

func isUnwell(err error) bool {
	var u *unwell
	return errors.As(err, &u)
}

// ended is the error about a container that does not run any more.
func (c *connection) ended(ctx context.Context, s shown) error {
	message := fmt.Sprintf("container %s ended with exit code %d", s.name, s.exitCode)
	if ran := s.finished.Sub(s.started); ran > 0 && !s.started.IsZero() {
		message += " " + ran.Round(time.Millisecond).String() + " after its start"
	}
	if s.oomKilled {
		message += ": it used more memory than it may"
	}
	if s.trouble != "" {
		message += ": " + s.trouble
	}
	return c.withLines(ctx, s, message)
}

func (c *connection) unhealthy(ctx context.Context, s shown) error {
	message := fmt.Sprintf("container %s is unhealthy", s.name)
	if s.lastCheck != "" {
		message += "; its health check says: " + lastLine(s.lastCheck)
	}
	return c.withLines(ctx, s, message)
}

func (c *connection) tooLong(ctx context.Context, s shown, limit time.Duration, restarted int) error {
	message := fmt.Sprintf("container %s was not healthy after %s; it is %s", s.name, limit, s.state)
	if s.health != apicontainer.NoHealthcheck {
		message += ", health " + s.health
	}
	if restarted > 0 {
		message += fmt.Sprintf("; it ended and was restarted %d times, last with exit code %d", restarted, s.exitCode)
	}
	if s.lastCheck != "" {
		message += "; its health check says: " + lastLine(s.lastCheck)
	}
	return c.withLines(ctx, s, message)
}

func (c *connection) withLines(ctx context.Context, s shown, message string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	lines := c.lastLines(ctx, s)
	if l := lastLine(lines); l != "" {
		message += "; its last line: " + l
	}
	return &unwell{message: message, lines: lines}
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	if i := strings.LastIndexByte(s, '\n'); i >= 0 {
		s = s[i+1:]
	}
	if r := []rune(s); len(r) > 200 {
		s = string(r[:200]) + "…"
	}
	return s
}

// endOfStream is nil for an answer that has come to its end.
func (c *connection) endOfStream(ctx context.Context, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	return c.explain(ctx, err)
}
