package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// verb is what a change does to each of its containers.
type verb int

const (
	verbStart verb = iota
	verbStop
	verbRestart
	verbKill
	verbRemove
	verbConnect
	verbDisconnect
)

var verbWords = [...]string{"start", "stop", "restart", "kill", "remove", "connect", "disconnect"}
var verbDone = [...]string{"started", "stopped", "restarted", "killed", "removed", "connected", "disconnected"}

func (v verb) String() string { return verbWords[v] }

// did is the word for a container that the step has changed.
func (v verb) did() string { return verbDone[v] }

// change moves a list of containers, one after the other, to the condition that its verb states.
type change struct {
	verb    verb
	names   []string
	grace   *time.Duration
	healthy time.Duration // zero: not waited for
	signal  string
	missing string
	force   bool
	volumes bool
	network string   // of connect and disconnect
	aliases []string // of connect
}

// seen is a container as it was BEFORE the intent.
type seen struct {
	name, id, state string
	started         time.Time
	joined          bool // it was in the network that the step is about
}

// prior is what Prepare has recorded: when, by the engine's clock, and of each container.
type prior struct {
	at  time.Time
	was map[string]seen
}

func (p prior) value() engine.Value {
	list := make(engine.List, 0, len(p.was))
	names := make(engine.Record, len(p.was))
	for n := range p.was {
		names[n] = nil
	}
	for _, n := range engine.Keys(names) {
		w := p.was[n]
		list = append(list, engine.Record{"name": w.name, "id": w.id, "state": w.state, "started_at": timeOrNull(w.started), "joined": w.joined})
	}
	return engine.Record{"at": timeOrNull(p.at), "containers": list}
}

func readPrior(v engine.Value) (prior, bool) {
	r, ok := v.(engine.Record)
	if !ok {
		return prior{}, false
	}
	p := prior{was: map[string]seen{}}
	p.at, _ = r["at"].(time.Time)
	list, _ := r["containers"].(engine.List)
	for _, e := range list {
		c, _ := e.(engine.Record)
		var w seen
		w.name, _ = c["name"].(string)
		w.id, _ = c["id"].(string)
		w.state, _ = c["state"].(string)
		w.started, _ = c["started_at"].(time.Time)
		w.joined, _ = c["joined"].(bool)
		p.was[w.name] = w
	}
	return p, true
}

// Prepare looks at the containers and refuses what cannot succeed, while nothing has been done.
func (op change) Prepare(ctx context.Context, env *steps.Env) (engine.Preparation, error) {
	p, err := op.prepare(ctx, env)
	if err != nil {
		return engine.Preparation{}, err
	}
	return engine.Preparation{Seen: p.value()}, nil
}

func (op change) prepare(ctx context.Context, env *steps.Env) (prior, error) {
	c, all, err := lookAll(ctx, env, op.names)
	if err != nil {
		return prior{}, err
	}
	if gone := absent(all); len(gone) > 0 && op.missing != missingOK {
		return prior{}, noContainer(gone)
	}
	p := prior{was: map[string]seen{}}
	byID := map[string]string{}
	for i, s := range all {
		name := op.names[i]
		if other, twice := byID[s.id]; twice && s.id != "" {
			return prior{}, fmt.Errorf("%s and %s are the same container", other, name)
		}
		byID[s.id] = name
		if err := op.refuse(s); err != nil {
			return prior{}, err
		}
		p.was[name] = seen{name: name, id: s.id, state: s.state, started: s.started, joined: s.joined(op.network)}
	}
	if err := op.networkThere(ctx, c); err != nil {
		return prior{}, err
	}
	if op.verb == verbRestart || op.verb == verbStop {
		// Only what the engine's own clock says can be compared with its events AFTER a crash.
		info, err := c.Info(ctx)
		if err != nil {
			return prior{}, fmt.Errorf("ask the engine for its time: %w", c.explain(ctx, err))
		}
		p.at = parseTime(info.SystemTime)
	}
	return p, nil
}

// refuse says why a container cannot be changed as it is.
func (op change) refuse(s shown) error {
	switch {
	case s.paused() && op.verb == verbStart:
		return fmt.Errorf("container %s is paused; unpause it (docker unpause %s), then run the step again", s.name, s.name)
	case s.up() && op.verb == verbRemove && !op.force:
		return fmt.Errorf("container %s is %s; stop it in a step before, or say force: true", s.name, s.state)
	}
	return nil
}

// there says whether the container is in the wanted condition already.
func (op change) there(s shown) bool {
	switch op.verb {
	case verbStart:
		return s.running()
	case verbStop, verbKill:
		return !s.up()
	case verbRemove:
		return s.state == stateAbsent
	case verbRestart:
		return s.state == stateAbsent // only with missing: ok
	case verbConnect:
		return s.joined(op.network)
	case verbDisconnect:
		return !s.joined(op.network)
	}
	return false
}

func (op change) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	if env.Access != steps.Full {
		return engine.Failure(fmt.Errorf("%s containers: %w", op.verb, errRefused))
	}
	c, err := connect(ctx, env)
	if err != nil {
		return failure(err)
	}
	p, ok := readPrior(env.Call.Seen)
	if !ok {
		if p, err = op.prepare(ctx, env); err != nil {
			return failure(err)
		}
	}
	w := &changing{change: op, c: c, env: env, prior: p}
	return w.all(ctx)
}

// changing is one execution of a change.
type changing struct {
	change
	c       *connection
	env     *steps.Env
	prior   prior
	changed []string
	already []string
	tail    string // the last lines of a container that failed
	sent    bool   // a request that changes was sent
}

func (w *changing) all(ctx context.Context) engine.Outcome {
	total := int64(len(w.names))
	w.env.Progress(0, total, "containers")
	for i, name := range w.names {
		if err := w.one(ctx, name); err != nil {
			return w.failed(ctx, name, err)
		}
		w.env.Progress(int64(i+1), total, "containers")
	}
	return w.finished(ctx)
}

func (w *changing) one(ctx context.Context, name string) error {
	now, _, err := w.c.look(ctx, name)
	if err != nil {
		return err
	}
	was := w.prior.was[name]
	if now.state == stateAbsent && w.verb != verbRemove && w.missing != missingOK {
		return fmt.Errorf("container %s has been removed since the step began", name)
	}
	if was.id != "" && now.id != "" && now.id != was.id && w.verb != verbStart && w.verb != verbStop && w.verb != verbKill {
		return fmt.Errorf("container %s is not the one that was there when the step began (%.12s, now %.12s): it is left as it is",
			name, was.id, now.id)
	}
	done, err := w.doneBefore(ctx, now, was)
	if err != nil {
		return err
	}
	switch {
	case done:
		w.changed = append(w.changed, name)
		w.say(name, "was "+w.verb.did()+" before the run was cut off")
	case w.there(now):
		w.already = append(w.already, name)
		w.say(name, "is "+now.state+" already")
	default:
		if err := w.refuse(now); err != nil {
			return err
		}
		if err := w.apply(ctx, now); err != nil {
			return err
		}
		w.changed = append(w.changed, name)
		w.say(name, w.verb.did())
	}
	return w.proven(ctx, name, now)
}

func (w *changing) say(name, what string) {
	// A log that cannot be written is the log's trouble: the container's is told by the outcome.
	_, _ = fmt.Fprintf(w.env.Output(), "%s %s\n", name, what)
}

// doneBefore says whether an attempt that was cut off has had its effect on the container.
func (w *changing) doneBefore(ctx context.Context, now shown, was seen) (bool, error) {
	if !w.env.Again || was.id == "" {
		return false, nil
	}
	switch w.verb {
	case verbRestart:
		return w.restartedBefore(ctx, now, was)
	case verbStart:
		return now.running() && (was.state != now.state || now.started.After(was.started)), nil
	case verbStop:
		return w.stoppedBefore(ctx, now, was)
	case verbKill:
		return !now.up() && was.state != now.state, nil
	case verbRemove:
		return now.state == stateAbsent, nil
	case verbConnect, verbDisconnect:
		return w.there(now) && now.joined(w.network) != was.joined, nil
	}
	return false, nil
}

// apply sends the request.
func (w *changing) apply(ctx context.Context, now shown) error {
	w.sent = true
	err := w.request(ctx, now.id)
	if err == nil {
		return nil
	}
	if w.verb == verbRemove && notFound(err) {
		return nil
	}
	cause := fmt.Errorf("%s container %s: %w", w.verb, now.name, w.c.explain(ctx, err))
	if refusedBy(cause) {
		return cause
	}
	return w.outlast(ctx, now, cause)
}

// proven looks whether the container has come to what was asked for; a request that returned is no
// proof.
func (w *changing) proven(ctx context.Context, name string, before shown) error {
	switch w.verb {
	case verbStop, verbKill:
		return w.provenDown(ctx, name, before)
	case verbRemove:
		return w.provenGone(ctx, before)
	case verbStart, verbRestart:
		return w.provenUp(ctx, name)
	case verbConnect, verbDisconnect:
		return w.provenJoined(ctx, name)
	}
	return nil
}

// finished is the outcome when every container is as it was asked to be.
func (w *changing) finished(ctx context.Context) engine.Outcome {
	return engine.Outcome{Result: w.result(ctx)}
}

func (w *changing) result(ctx context.Context) engine.Record {
	containers := engine.List{}
	for _, name := range w.names {
		// What was done is proven by now; how it looks a moment later is shown where it can be had.
		if s, _, err := w.c.look(ctx, name); err == nil {
			containers = append(containers, s.record())
		}
	}
	return engine.Record{"changed": list(w.changed), "already": list(w.already), "containers": containers}
}

func list(names []string) engine.List {
	out := make(engine.List, len(names))
	for i, n := range names {
		out[i] = n
	}
	return out
}

// failed says what is true after a failure: a container that is not as it was seen has been changed.
func (w *changing) failed(ctx context.Context, name string, err error) engine.Outcome {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	o := failure(err)
	o.Tail = w.tail
	o.Result = w.result(ctx)
	o.Effect = w.effect(ctx, name, err)
	if len(w.changed) > 0 {
		o.Evidence = append(o.Evidence, w.verb.did()+": "+strings.Join(w.changed, ", "))
	}
	return o
}

// effect is what is known of the effect after a failure on one container.
func (w *changing) effect(ctx context.Context, name string, err error) engine.Effect {
	switch {
	case len(w.changed) > 0:
		return engine.EffectStands
	case !w.sent, errors.Is(err, errRefused):
		return engine.EffectNone
	}
	now, _, lookErr := w.c.look(ctx, name)
	was, known := w.prior.was[name]
	var answered said
	switch {
	case lookErr != nil || !known:
		return engine.EffectUnknown
	case now.id != was.id || now.state != was.state || !now.started.Equal(was.started) || now.joined(w.network) != was.joined:
		return engine.EffectStands
	case errors.As(err, &answered):
		return engine.EffectNone // the engine has said no, and the container is as it was
	}
	return engine.EffectUnknown // the engine goes on with a request whose client is gone
}
