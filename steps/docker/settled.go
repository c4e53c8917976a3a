package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	apicontainer "github.com/docker/docker/api/types/container"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/internal/container"
)

// settled looks what became of a request. When the engine has answered, once is enough. When its answer
// was lost the request may still be on its way or at work, so "not there" counts only when it is said again
// a moment later. An engine that is away may be on its way back, as when it is started again: it is waited for, since only it can
// tell, and what is called failed is done once more by the next resume.
func settled[T any](ctx context.Context, cause error, look func(context.Context) (T, bool, error)) (v T, so bool, err error) {
	wait := startSettle
	if cause == nil || refusedBy(cause) {
		wait = 0
	}
	deadline, back := time.Now().Add(wait), time.Now().Add(engineBack)
	err = container.Poll(ctx, func(ctx context.Context) (bool, error) {
		v, so, err = look(ctx)
		if wait > 0 && errors.Is(err, errUnreachable) && time.Now().Before(back) {
			deadline = time.Now().Add(wait)
			return false, nil
		}
		return so || !time.Now().Before(deadline), err
	})
	return v, so, err
}

// refusedBy: the engine has read the request and said no, or it was never sent.
func refusedBy(err error) bool {
	var answered said
	return errors.As(err, &answered) || errors.Is(err, errRefused)
}

// errLost marks a request of which it is not known whether it had its effect: the engine may still be at it.
var errLost = errors.New("lost")

// lost is an error of such a request.
type lost struct{ error }

func (l lost) Unwrap() error      { return l.error }
func (lost) Is(target error) bool { return target == errLost }

// start starts a container. When the answer is lost, the container says whether it was started.
func (c *connection) start(ctx context.Context, s shown) error {
	cause := c.ContainerStart(ctx, s.id, apicontainer.StartOptions{})
	if cause == nil {
		return nil
	}
	cause = fmt.Errorf("start container %s: %w", s.name, c.explain(ctx, cause))
	if refusedBy(cause) {
		return cause
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	_, started, err := settled(after, cause, func(ctx context.Context) (shown, bool, error) {
		now, found, err := c.look(ctx, s.id)
		return now, found && (now.up() || now.started.After(s.started)), err
	})
	if err == nil && started {
		return nil
	}
	return cause
}

// lostOrRefused is the outcome of a request whose effect is not seen: none if the engine has said no,
// unknown if its answer was lost.
func lostOrRefused(cause, lookErr error, otherwise string) engine.Outcome {
	switch {
	case cause == nil && lookErr == nil:
		return engine.Outcome{Err: otherwise, Effect: engine.EffectUnknown}
	case cause == nil:
		return engine.Outcome{Err: lookErr.Error(), Effect: engine.EffectUnknown, InDoubt: true}
	}
	o := failure(cause)
	if !refusedBy(cause) {
		o.Effect, o.InDoubt = engine.EffectUnknown, true
		if lookErr != nil {
			o.Evidence = append(o.Evidence, "could not ask what became of it: "+lookErr.Error())
		}
	}
	return o
}

// previewRefused notes why the step would stop as things are now.
func previewRefused(i *engine.Impact, refused error) {
	i.Standing, i.Why = engine.StandingUnknown, refused.Error()+": unless a step before changes that, this step fails and changes nothing"
	i.Warnings = append(i.Warnings, refused.Error())
	none(i)
}

// previewAlready notes that there is nothing to do.
func previewAlready(i *engine.Impact, what string) {
	i.Standing, i.Would, i.Risk = engine.StandingAlready, what, engine.RiskReads
	none(i)
}

func none(i *engine.Impact) {
	for n := range i.Figures {
		i.Figures[n].Value = 0
	}
}
