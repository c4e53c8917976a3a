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
	"github.com/docker/docker/api/types/network"

	"github.com/handrail-dev/handrail/steps/internal/container"
)

const (
	// afterwards bounds what is asked AFTER a step was cut short, to record what is true.
	afterwards = 30 * time.Second
	// settleTime is how long the engine may take to carry out what it has accepted.
	settleTime = 20 * time.Second
	// engineBack is how long an engine is waited for that has gone away in the middle of a request.
	engineBack = 20 * time.Second
	// defaultGrace is the engine's own time for a container to end by itself.
	defaultGrace = 10 * time.Second
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
	case verbConnect:
		return w.c.NetworkConnect(ctx, w.network, id, &network.EndpointSettings{Aliases: w.aliases})
	case verbDisconnect:
		return w.c.NetworkDisconnect(ctx, w.network, id, false)
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

// provenDown waits until the container has ended. Its restart policy may have brought it back.
func (w *changing) provenDown(ctx context.Context, name string, before shown) error {
	limited, cancel := context.WithTimeoutCause(ctx, settleTime, container.ErrTooLong)
	defer cancel()
	err := container.Poll(limited, func(ctx context.Context) (bool, error) {
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
	if errors.Is(err, container.ErrTooLong) {
		return fmt.Errorf("container %s still runs %s after it was to %s", name, settleTime, w.verb)
	}
	return err
}

func (w *changing) provenGone(ctx context.Context, before shown) error {
	if before.id == "" {
		return nil
	}
	limited, cancel := context.WithTimeoutCause(ctx, settleTime, container.ErrTooLong)
	defer cancel()
	err := container.Poll(limited, func(ctx context.Context) (bool, error) {
		_, found, err := w.c.look(ctx, before.id)
		return !found, err
	})
	if errors.Is(err, container.ErrTooLong) {
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
	return w.awaitBegun(ctx, now, func(s shown) bool { return s.started.After(was.started) })
}

// stoppedBefore is the same for a stop: a second one beside it would cut its grace short.
func (w *changing) stoppedBefore(ctx context.Context, now shown, was seen) (bool, error) {
	if now.id != was.id || was.state == now.state && !now.up() {
		return false, nil
	}
	return w.awaitBegun(ctx, now, func(s shown) bool { return !s.up() })
}

// awaitBegun waits for a stop that has begun since the container was seen, as long as the engine may take.
func (w *changing) awaitBegun(ctx context.Context, now shown, so func(shown) bool) (bool, error) {
	if so(now) {
		return true, nil
	}
	begun, err := w.stopBegun(ctx, now.id)
	if err != nil || !begun {
		return false, err
	}
	w.say(now.name, fmt.Sprintf("is being %s by the attempt that was cut off; waiting for it", w.verb.did()))
	limited, cancel := context.WithTimeoutCause(ctx, w.engineTakes(now), container.ErrTooLong)
	defer cancel()
	done := false
	err = container.Poll(limited, func(ctx context.Context) (bool, error) {
		s, found, err := w.c.look(ctx, now.id)
		done = found && so(s)
		return done || !found, err
	})
	if errors.Is(err, container.ErrTooLong) {
		return false, nil // the engine has given it up: it was restarted itself, perhaps
	}
	return done, err
}

// engineTakes is how long the engine may take for what it has accepted.
func (w *changing) engineTakes(s shown) time.Duration {
	switch {
	case w.verb != verbStop && w.verb != verbRestart:
		return settleTime
	case w.grace != nil:
		return settleTime + *w.grace
	case s.raw.Config != nil && s.raw.Config.StopTimeout != nil:
		return settleTime + time.Duration(*s.raw.Config.StopTimeout)*time.Second
	}
	return settleTime + defaultGrace
}

// outlast finds out what became of a request whose answer was lost. The engine goes on without its client,
// so what it has begun is waited for, whether ctx has ended or not: nothing may be tried beside it.
func (w *changing) outlast(ctx context.Context, before shown, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.engineTakes(before)+afterwards)
	defer cancel()
	so := w.there
	if w.verb == verbRestart || w.verb == verbStart {
		so = func(s shown) bool { return s.started.After(before.started) }
	}
	_, took, err := settled(ctx, cause, func(ctx context.Context) (shown, bool, error) {
		s, found, err := w.c.look(ctx, before.id)
		return s, so(s) && (found || w.verb == verbRemove || w.verb == verbDisconnect), err
	})
	if err == nil && !took && (w.verb == verbRestart || w.verb == verbStop) {
		took, err = w.awaitBegun(ctx, before, so)
	}
	if err == nil && took {
		w.say(before.name, fmt.Sprintf("was %s, although the engine's answer was lost (%v)", w.verb.did(), cause))
		return nil
	}
	return lost{errors.Join(cause, err)}
}

// stopBegun asks the engine's events whether a stop of the container has begun since it was seen.
// The engine remembers a few hundred events; one that it has forgotten costs a second restart only
// if it is older than that and still under way.
func (w *changing) stopBegun(ctx context.Context, id string) (bool, error) {
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
		Filters: filters.NewArgs(filters.Arg("type", "container"), filters.Arg("container", id)),
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
