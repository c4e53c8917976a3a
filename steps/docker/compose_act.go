package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/docker/docker/api/types/network"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/docker/compose"
	"github.com/handrail-dev/handrail/steps/internal/host"
)

// Prepare refuses a mistake in the files, a missing command, and external networks and volumes that are not
// there, while nothing has been done.
func (op composing) Prepare(ctx context.Context, env *steps.Env) (engine.Preparation, error) {
	c, err := connect(ctx, env)
	if err != nil {
		return engine.Preparation{}, err
	}
	s, mistake, err := op.load(ctx, c, env)
	if err := errors.Join(mistake, err); err != nil {
		return engine.Preparation{}, err
	}
	if refused, err := op.refused(ctx, c, s); refused != nil || err != nil {
		return engine.Preparation{}, errors.Join(refused, err)
	}
	return engine.Preparation{Seen: engine.Record{"project": s.project.Name, "was": s.seen().value()}}, nil
}

// refused says why the command could not succeed as things are now.
func (op composing) refused(ctx context.Context, c *connection, s stack) (refused, err error) {
	if _, err := findCompose(); err != nil {
		return err, nil
	}
	if err := c.site.cliRefused(); err != nil {
		return err, nil
	}
	if op.Compose != composeUp {
		if len(s.containers) == 0 && op.Compose != composeDown {
			return fmt.Errorf("project %s has no containers of %s; bring it up in a step before (docker: {compose: up})", s.project.Name, s.names()), nil
		}
		return nil, nil
	}
	networks, volumes := s.project.External()
	all, err := c.NetworkList(ctx, network.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("look at the networks: %w", c.explain(ctx, err))
	}
	there := map[string]bool{}
	for _, n := range all {
		there[n.Name] = true
	}
	for _, n := range networks {
		if !there[n] {
			return fmt.Errorf("%s calls network %s external: %w", s.project.Files[0], n, noNetwork(n)), nil
		}
	}
	for _, v := range volumes {
		if _, found, err := c.findVolume(ctx, v); err != nil || !found {
			return fmt.Errorf("%s calls volume %s external, and it is not there; make it in a step before (docker: {volume: %s})", s.project.Files[0], v, v), err
		}
	}
	return nil, nil
}

func findCompose() (compose.Command, error) {
	path := os.Getenv("PATH")
	return compose.Find(func(name string) (string, error) { return host.LookPath(name, path, "") }, os.Getenv("HOME"), os.Getenv("DOCKER_CONFIG"))
}

func (op composing) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	if env.Access != steps.Full {
		return engine.Failure(fmt.Errorf("compose %s: %w", op.Compose, errRefused))
	}
	c, err := connect(ctx, env)
	if err != nil {
		return failure(err)
	}
	w := &composed{composing: op, c: c, env: env}
	if env.Again {
		// The command of the attempt that was cut off works on by itself; nothing is started beside it.
		if err := w.awaitEarlier(ctx); err != nil {
			return failure(err) // this one did nothing; that the one before may have is known to the core
		}
	}
	s, mistake, err := op.load(ctx, c, env)
	if err := errors.Join(mistake, err); err != nil {
		return failure(err)
	}
	if refused, err := op.refused(ctx, c, s); refused != nil || err != nil {
		return failure(errors.Join(refused, err))
	}
	w.stack, w.prior = s, s.seen()
	if was, ok := env.Call.Seen.(engine.Record); ok {
		if p, ok := readPrior(was["was"]); ok && was["project"] == s.project.Name {
			w.prior = p
		}
	}
	return w.all(ctx)
}

// composed is one execution of a compose step.
type composed struct {
	composing
	stack
	c     *connection
	env   *steps.Env
	prior prior
	tail  string
}

func (w *composed) all(ctx context.Context) engine.Outcome {
	var err error
	if w.env.Again && w.Compose == composeRestart {
		err = w.restartRest(ctx)
	} else {
		err = w.command(ctx)
	}
	if err == nil {
		if err = w.look(ctx, w.c, &w.stack); err == nil {
			err = w.proven(ctx)
		}
	}
	if err == nil {
		err = w.look(ctx, w.c, &w.stack) // it is healthy by now
	}
	changed, unseen := []string{}, false
	if err != nil {
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
		defer cancel()
		lookErr := w.look(after, w.c, &w.stack)
		if unseen = lookErr != nil; !unseen {
			changed = w.changedSince(w.prior)
		}
	} else {
		changed = w.changedSince(w.prior)
	}
	o := engine.Outcome{Tail: w.tail, Result: engine.Record{"project": w.project.Name, "changed": list(changed), "containers": records(w.containers)}}
	if err == nil {
		return o
	}
	o.Err, o.Transient = err.Error(), errors.Is(err, errUnreachable)
	notBegun := errors.As(err, new(beganError))
	o.InDoubt = !notBegun && (unseen || errors.Is(err, errLost))
	switch {
	case len(changed) > 0:
		o.Effect = engine.EffectStands
	case !notBegun:
		o.Effect = engine.EffectUnknown // networks and volumes are not looked at
	}
	return o
}

// restartRest restarts those containers that the command, which was cut off, has not restarted.
func (w *composed) restartRest(ctx context.Context) error {
	for _, s := range w.containers {
		was, known := w.prior.was[s.name]
		if !known || was.id != s.id || s.started.After(was.started) {
			continue
		}
		one := &changing{change: change{verb: verbRestart, names: []string{s.name}, grace: w.Grace}, c: w.c, env: w.env, prior: w.prior}
		if err := one.one(ctx, s.name); err != nil {
			return err
		}
	}
	return nil
}

// proven looks whether the containers have come to what was asked for; that the command ended well is no proof.
func (w *composed) proven(ctx context.Context) error {
	switch w.Compose {
	case composeDown:
		return w.provenGone()
	case composeStop:
		for _, s := range w.containers {
			if err := w.c.downOrExplain(ctx, s); err != nil {
				return err
			}
		}
		return nil
	case composeUp:
		for _, v := range w.services {
			if n := len(w.of(v.Name)); n < v.Scale {
				return fmt.Errorf("service %s of project %s has %d of %d containers", v.Name, w.project.Name, n, v.Scale)
			}
		}
	}
	limit := time.Now().Add(w.Healthy)
	for _, s := range w.containers {
		if err := w.provenUp(ctx, s, time.Until(limit)); err != nil {
			w.tail = unwellLines(err, s.name, w.env)
			return err
		}
	}
	return nil
}

// provenUp: one that ends well, and is not brought back by its restart policy, has done its work.
func (w *composed) provenUp(ctx context.Context, s shown, left time.Duration) error {
	if s.endedWell() {
		return nil
	}
	if w.Healthy == 0 {
		if !s.up() {
			return w.c.ended(ctx, s)
		}
		return nil
	}
	err := w.c.waitHealthy(ctx, s, max(left, time.Second))
	if isUnwell(err) {
		if now, found, lookErr := w.c.look(ctx, s.id); lookErr == nil && found && now.endedWell() {
			return nil
		}
	}
	return err
}

// endedWell: it has done what it was for. One whose policy brings it back is not meant to end.
func (s shown) endedWell() bool {
	comesBack := s.restartPolicy == "always" || s.restartPolicy == "unless-stopped"
	return s.state == stateExited && s.exitCode == 0 && !comesBack
}

func (w *composed) provenGone() error {
	var left []string
	for _, s := range w.containers {
		if w.Orphans == "remove" || w.project.Has(s.labels[labelService]) {
			left = append(left, s.name)
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("project %s was brought down, but %s is still there", w.project.Name, strings.Join(left, ", "))
	}
	return nil
}

// downOrExplain says why a container that was stopped runs.
func (c *connection) downOrExplain(ctx context.Context, s shown) error {
	now, found, err := c.look(ctx, s.id)
	if err != nil || !found || !now.up() {
		return err
	}
	return fmt.Errorf("container %s was stopped, but is %s: its restart policy (%s) or somebody else has started it", s.name, now.state, now.restartPolicy)
}
