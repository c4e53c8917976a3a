package docker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	apicontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
)

const (
	// afterwards bounds what is asked AFTER a step was cut short, to record what is true.
	afterwards = 30 * time.Second
	// settleTime is how long the engine may take to carry out what it has accepted.
	settleTime = 20 * time.Second
	pollEvery  = 200 * time.Millisecond
)

// request sends the one request of the verb.
func (w *changing) request(ctx context.Context, id string) error {
	switch w.verb {
	case verbStart:
		return w.c.ContainerStart(ctx, id, apicontainer.StartOptions{})
	case verbStop:
		return w.c.ContainerStop(ctx, id, w.stopOptions())
	case verbRestart:
		return w.c.ContainerRestart(ctx, id, w.stopOptions())
	case verbKill:
		err := w.c.ContainerKill(ctx, id, w.signal)
		if cerrdefs.IsConflict(err) {
			return nil // it has ended in the meantime; whether it has is asked afterwards
		}
		return err
	case verbRemove:
		err := w.c.ContainerRemove(ctx, id, apicontainer.RemoveOptions{Force: w.force, RemoveVolumes: w.volumes})
		if cerrdefs.IsConflict(err) {
			if now, found, lookErr := w.c.look(ctx, id); lookErr == nil && (!found || now.removing()) {
				return nil // a removal that was asked for before is under way
			}
		}
		return err
	}
	return fmt.Errorf("unknown change %d", w.verb)
}

func (w *changing) stopOptions() apicontainer.StopOptions {
	if w.grace == nil {
		return apicontainer.StopOptions{}
	}
	seconds := int((*w.grace + time.Second - 1) / time.Second)
	return apicontainer.StopOptions{Timeout: &seconds}
}

// poll asks until the answer is yes, an error, or ctx ends.
func poll(ctx context.Context, ask func(context.Context) (bool, error)) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		yes, err := ask(ctx)
		if yes || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

var errTooLong = errors.New("it took too long")

// provenDown waits until the container has ended. Its restart policy may have brought it back.
func (w *changing) provenDown(ctx context.Context, name string, before shown) error {
	limited, cancel := context.WithTimeoutCause(ctx, settleTime, errTooLong)
	defer cancel()
	err := poll(limited, func(ctx context.Context) (bool, error) {
		now, found, err := w.c.look(ctx, name)
		if err != nil || !found {
			return true, err
		}
		if now.up() && now.started.After(before.started) && now.id == before.id {
			return false, fmt.Errorf("container %s was %s, but runs again: its restart policy (%s) or somebody else has started it",
				name, w.verb.did(), now.restartPolicy)
		}
		return !now.up(), nil
	})
	if errors.Is(err, errTooLong) {
		return fmt.Errorf("container %s still runs %s after it was to %s", name, settleTime, w.verb)
	}
	return err
}

func (w *changing) provenGone(ctx context.Context, before shown) error {
	if before.id == "" {
		return nil
	}
	limited, cancel := context.WithTimeoutCause(ctx, settleTime, errTooLong)
	defer cancel()
	err := poll(limited, func(ctx context.Context) (bool, error) {
		_, found, err := w.c.look(ctx, before.id)
		return !found, err
	})
	if errors.Is(err, errTooLong) {
		return fmt.Errorf("container %s is still there %s after it was removed; docker inspect says why", before.name, settleTime)
	}
	return err
}

func (w *changing) provenUp(ctx context.Context, name string) error {
	now, found, err := w.c.look(ctx, name)
	switch {
	case err != nil:
		return err
	case !found:
		if w.missing == missingOK {
			return nil
		}
		return fmt.Errorf("container %s is gone after it was %s", name, w.verb.did())
	}
	if w.healthy > 0 {
		err = w.c.waitHealthy(ctx, now, w.healthy)
	} else if !now.up() && now.exitCode != 0 {
		err = w.c.ended(ctx, now)
	}
	w.tail = unwellLines(err, name, w.env)
	return err
}

// restartedBefore says whether the restart that was cut off has happened, and waits for one that the
// engine is still busy with: it goes on without its client.
func (w *changing) restartedBefore(ctx context.Context, now shown, was seen) (bool, error) {
	if now.id != was.id {
		return false, nil
	}
	if now.started.After(was.started) {
		return true, nil
	}
	begun, err := w.stopBegun(ctx, was)
	if err != nil || !begun {
		return false, err
	}
	w.say(now.name, "is being restarted by the attempt that was cut off; waiting for it")
	wait := settleTime
	if w.grace != nil {
		wait += *w.grace
	} else if now.raw.Config != nil && now.raw.Config.StopTimeout != nil {
		wait += time.Duration(*now.raw.Config.StopTimeout) * time.Second
	}
	limited, cancel := context.WithTimeoutCause(ctx, wait, errTooLong)
	defer cancel()
	done := false
	err = poll(limited, func(ctx context.Context) (bool, error) {
		s, found, err := w.c.look(ctx, was.id)
		done = found && s.started.After(was.started)
		return done || !found, err
	})
	if errors.Is(err, errTooLong) {
		return false, nil // the engine has given it up: it was restarted itself, perhaps
	}
	return done, err
}

// stopBegun asks the engine's events whether a stop of the container has begun since it was seen.
// The engine remembers a few hundred events; one that it has forgotten costs a second restart only
// if it is older than that and still under way.
func (w *changing) stopBegun(ctx context.Context, was seen) (bool, error) {
	if w.prior.at.IsZero() {
		return false, nil
	}
	info, err := w.c.Info(ctx)
	if err != nil {
		return false, fmt.Errorf("ask the engine for its time: %w", w.c.explain(ctx, err))
	}
	ctx, cancel := context.WithTimeout(ctx, afterwards)
	defer cancel()
	messages, errs := w.c.Events(ctx, events.ListOptions{
		Since: stamp(w.prior.at), Until: stamp(parseTime(info.SystemTime)),
		Filters: filters.NewArgs(filters.Arg("type", "container"), filters.Arg("container", was.id)),
	})
	begun := false
	for {
		select {
		case m := <-messages:
			begun = begun || m.Action == events.ActionKill || m.Action == events.ActionStop || m.Action == events.ActionDie
		case err := <-errs:
			// io.EOF ends the answer; anything else means that it is not known.
			return begun, w.c.endOfStream(ctx, err)
		}
	}
}

func stamp(t time.Time) string {
	return strconv.FormatInt(t.Unix(), 10) + fmt.Sprintf(".%09d", t.Nanosecond())
}
