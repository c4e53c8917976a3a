package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	apicontainer "github.com/docker/docker/api/types/container"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/container"
)

func defineRun() engine.Operation {
	text := engine.Of(engine.TypeText)
	return engine.Operation{
		Name: "run", Key: "run", Class: engine.ClassUnrepeatable, Risk: engine.RiskChanges, Prepares: true,
		Doc: "Makes and starts a container. One of that name with the same configuration, made by Handrail, is taken as it is " +
			"(and started if it does not run); any other container of that name stops the step. With wait: exit it is a job that runs to its end.",
		Params: steps.Params[runParams](),
		Result: engine.RecordOf(
			engine.Field{Name: "name", Shape: text, Doc: "The container's name."},
			engine.Field{Name: "id", Shape: text, Doc: "The container's id."},
			engine.Field{Name: "changed", Shape: engine.Of(engine.TypeBool), Doc: "It was made or started by the step; false if it ran already."},
			engine.Field{Name: "container", Shape: containerShape(), Doc: "The container as it is afterwards."},
			engine.Field{Name: "code", Shape: engine.Of(engine.TypeInteger), Doc: "The exit code of a job; null otherwise."},
			engine.Field{Name: "stdout", Shape: text, Doc: "The last 64 KiB that a job has printed; null otherwise."},
			engine.Field{Name: "stderr", Shape: text, Doc: "The last 64 KiB of a job's errors; null otherwise."}),
		Example: "{id: cache, docker: {run: {name: cache-1, image: \"redis:7\", ports: [\"6379:6379\"], restart: unless-stopped, healthy: 30s}}}",
		Judge:   engine.ByParams(judgeRun),
	}
}

type run struct{ runSpec }

func decodeRun(params engine.Record) (steps.Operation, error) {
	var p runParams
	if err := steps.Bind(params, &p); err != nil {
		return nil, err
	}
	return run{p.Run}, first(checkRun(params))
}

// ours says whether a container is the one that the step wants, and if not, why.
func (op run) ours(s shown, w wanted, env *steps.Env) (bool, string) {
	by := madeBy(s.labels)
	switch {
	case s.labels[labelConfig] == "":
		return false, by
	case op.job() && s.labels[labelToken] != env.Call.Token:
		return false, by + ", and a job begins in a container of its own"
	case s.labels[labelConfig] != w.digest:
		why := by + " with another configuration"
		if d := w.differences(s); len(d) > 0 {
			why += " (" + strings.Join(d, "; ") + ")"
		}
		return false, why
	}
	return true, ""
}

func foreign(name, why string) error {
	return fmt.Errorf("there is another container %s: %s; remove it in a step before (docker: {remove: %s, force: true}), or give this one another name", name, why, name)
}

// Prepare refuses a foreign container and a missing image, while nothing has been done.
func (op run) Prepare(ctx context.Context, env *steps.Env) (engine.Preparation, error) {
	c, err := connect(ctx, env)
	if err != nil {
		return engine.Preparation{}, err
	}
	w, err := op.want(ctx, c, env)
	if err != nil {
		return engine.Preparation{}, err
	}
	s, found, err := c.look(ctx, op.Name)
	if err != nil {
		return engine.Preparation{}, err
	}
	seen := engine.Record{"id": textOrNull(s.id), "state": s.state, "started_at": timeOrNull(s.started)}
	if w.like != nil && !env.Call.Sensitive {
		seen["like"] = w.like
	}
	p := engine.Preparation{Seen: seen}
	if found {
		if ours, why := op.ours(s, w, env); !ours {
			return engine.Preparation{}, foreign(op.Name, why)
		}
		return p, nil
	}
	if err := op.volumesThere(ctx, c); err != nil {
		return engine.Preparation{}, err
	}
	if op.pulls() == pullNever {
		if _, there, err := c.image(ctx, w.image); err != nil {
			return engine.Preparation{}, err
		} else if !there {
			return engine.Preparation{}, noImage(w.image)
		}
	}
	return p, nil
}

func (op run) pulls() string {
	if op.Pull == "" {
		return pullNever
	}
	return op.Pull
}

func noImage(ref string) error {
	return fmt.Errorf("image %s is not on the engine; pull it in a step before (docker: {pull: %s}), or say pull: missing", ref, ref)
}

func (op run) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	if env.Access != steps.Full {
		return engine.Failure(fmt.Errorf("run a container: %w", errRefused))
	}
	c, err := connect(ctx, env)
	if err != nil {
		return failure(err)
	}
	w, err := op.want(ctx, c, env)
	if err != nil {
		return failure(err)
	}
	r := &making{run: op, c: c, env: env, wanted: w}
	if op.job() {
		return r.job(ctx)
	}
	return r.service(ctx)
}

// making is one execution of a run.
type making struct {
	run
	c      *connection
	env    *steps.Env
	wanted wanted
}

// service makes sure that the container is there and runs.
func (m *making) service(ctx context.Context) engine.Outcome {
	s, made, err := m.provide(ctx)
	if err != nil {
		return failure(err)
	}
	changed := made || !s.running() || m.changedBefore(s)
	if !s.running() {
		if err := m.c.start(ctx, s); err != nil {
			return m.notStarted(ctx, s, made, err)
		}
	}
	s, found, err := m.c.look(ctx, s.id)
	switch {
	case err != nil:
		return m.stands(failure(err), s, changed)
	case !found:
		return m.stands(engine.Failure(fmt.Errorf("container %s is gone after its start", m.Name)), s, changed)
	}
	if err := m.isUp(ctx, s); err != nil {
		o := failure(err)
		o.Tail = unwellLines(err, m.Name, m.env)
		return m.stands(o, s, changed)
	}
	if now, found, err := m.c.look(ctx, s.id); err == nil && found {
		s = now
	}
	return engine.Outcome{Result: m.result(s, changed)}
}

// changedBefore says whether it was an attempt of this step, since cut off, that made or started it.
func (m *making) changedBefore(s shown) bool {
	if !m.env.Again {
		return false
	}
	was, _ := m.env.Call.Seen.(engine.Record)
	return s.labels[labelToken] == m.env.Call.Token || was["state"] != nil && was["state"] != apicontainer.StateRunning
}

func (m *making) isUp(ctx context.Context, s shown) error {
	if m.Healthy > 0 {
		return m.c.waitHealthy(ctx, s, m.Healthy)
	}
	if !s.up() && s.exitCode != 0 {
		return m.c.ended(ctx, s)
	}
	return nil
}

// stands is a failure AFTER the container was made or started, if this step did that.
func (m *making) stands(o engine.Outcome, s shown, changed bool) engine.Outcome {
	o.Result = m.result(s, changed)
	if changed {
		o.Effect = engine.EffectStands
	}
	return o
}

func (m *making) result(s shown, changed bool) engine.Record {
	return engine.Record{"name": m.Name, "id": textOrNull(s.id), "changed": changed, "container": s.record(),
		"code": nil, "stdout": nil, "stderr": nil}
}

// provide finds the container, or makes it. It is not started.
func (m *making) provide(ctx context.Context) (s shown, made bool, err error) {
	s, found, err := m.c.look(ctx, m.Name)
	if err != nil {
		return s, false, err
	}
	if found {
		return s, false, m.take(ctx, s)
	}
	if err := m.volumesThere(ctx, m.c); err != nil {
		return s, false, err
	}
	if err := m.provideImage(ctx); err != nil {
		return s, false, err
	}
	created, cause := m.c.ContainerCreate(ctx, m.wanted.config, m.wanted.host, m.wanted.net, nil, m.Name)
	if cerrdefs.IsConflict(cause) {
		if s, there, err := m.beingMade(ctx); err == nil && there {
			return s, false, m.take(ctx, s)
		}
	}
	if s, err = m.created(ctx, cause); err != nil {
		return s, false, err
	}
	for _, warning := range created.Warnings {
		_, _ = fmt.Fprintf(m.env.Output(), "%s: %s\n", m.Name, warning)
	}
	return s, true, m.c.joinOthers(ctx, s)
}

// take makes use of a container that is there.
func (m *making) take(ctx context.Context, s shown) error {
	ours, why := m.ours(s, m.wanted, m.env)
	switch {
	case !ours:
		return foreign(m.Name, why)
	case s.paused():
		return fmt.Errorf("container %s is paused; unpause it (docker unpause %s)", m.Name, m.Name)
	}
	return m.c.joinOthers(ctx, s)
}

// beingMade waits for a container whose name is taken although it is not there: the engine takes the name when it
// begins to make a container, and shows the container at the end. So it is after a client was killed a moment ago.
func (m *making) beingMade(ctx context.Context) (s shown, there bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, afterwards)
	defer cancel()
	err = container.Poll(ctx, func(ctx context.Context) (bool, error) {
		s, there, err = m.c.look(ctx, m.Name)
		return there, err
	})
	return s, there, err
}

// created looks for the container that was asked for, also when the answer to that was lost: it is known
// by its token then, has not been started, and is taken as it is.
func (m *making) created(ctx context.Context, cause error) (shown, error) {
	if cause != nil {
		cause = fmt.Errorf("make container %s: %w", m.Name, m.c.explain(ctx, cause))
		if refusedBy(cause) {
			return shown{}, cause
		}
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	s, found, err := settled(after, cause, func(ctx context.Context) (shown, bool, error) { return m.c.look(ctx, m.Name) })
	switch {
	case err == nil && found && s.labels[labelToken] == m.env.Call.Token:
		return s, nil
	case cause == nil:
		cause = fmt.Errorf("container %s is not there AFTER it was made", m.Name)
	}
	return s, lost{errors.Join(cause, err)}
}

// notStarted takes back a container that was made by this attempt and could not be started, so that
// the failure leaves nothing behind.
func (m *making) notStarted(ctx context.Context, s shown, made bool, cause error) engine.Outcome {
	o := failure(cause)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	now, found, err := m.c.look(ctx, s.id)
	switch {
	case err != nil:
		o.Effect, o.InDoubt = engine.EffectUnknown, true
		return o
	case !found:
		return o
	case now.up() || now.started.After(s.started):
		return m.stands(o, now, true)
	}
	if !made {
		return o
	}
	// Not by force: a container that runs after all is not removed.
	if err := m.c.ContainerRemove(ctx, s.id, apicontainer.RemoveOptions{RemoveVolumes: true}); err != nil && !notFound(err) {
		o.Effect = engine.EffectStands
		o.Evidence = append(o.Evidence, fmt.Sprintf("container %s was made, could not be started, and could not be removed: %v", m.Name, said{err}))
	}
	return o
}

// provideImage makes sure that the image is on the engine, as far as the step may do that.
func (m *making) provideImage(ctx context.Context) error {
	_, there, err := m.c.image(ctx, m.wanted.image)
	if err != nil {
		return err
	}
	switch {
	case m.pulls() == pullAlways, m.pulls() == pullMissing && !there:
		return m.c.pull(ctx, m.env, m.wanted.image, nil)
	case !there:
		return noImage(m.wanted.image)
	}
	return nil
}
