package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/docker/docker/api/types/volume"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

type volumeParams struct {
	Volume  string            `param:"volume" need:"yes" doc:"The volume's name."`
	State   string            `param:"state" enum:"present,absent" default:"present" doc:"absent: it is removed with what is in it. One that a container has is never removed, whether the container runs or not."`
	Driver  string            `param:"driver" doc:"The driver; local if not given."`
	Options map[string]string `param:"options" doc:"Options of the driver."`
	Labels  map[string]string `param:"labels" doc:"Labels. Those that begin with handrail. are set by Handrail."`
	Foreign string            `param:"foreign" enum:"error,ok" default:"error" doc:"ok: one that Handrail has not made is taken, or removed, too."`
}

func defineVolume() engine.Operation {
	text := engine.Of(engine.TypeText)
	return engine.Operation{
		Name: "volume", Key: "volume", Class: engine.ClassIdempotent, Risk: engine.RiskIrreversible, Prepares: true,
		Doc: "Makes a volume, or removes it. One of that name that Handrail has made and that is as the step says is taken as it is; " +
			"any other stops the step, because nobody knows what is in it.",
		Params: steps.Params[volumeParams](),
		Result: engine.RecordOf(
			engine.Field{Name: "name", Shape: text, Doc: "The volume's name."},
			engine.Field{Name: "changed", Shape: engine.Of(engine.TypeBool), Doc: "It was made or removed by the step; false if it was as wanted before."},
			engine.Field{Name: "driver", Shape: text, Doc: "Its driver; null when it is absent."},
			engine.Field{Name: "mountpoint", Shape: text, Doc: "Where it is on the engine's host; null when it is absent."},
			engine.Field{Name: "labels", Shape: engine.MapOf(text), Doc: "Its labels."}),
		Example: "{id: data, docker: {volume: cache-data}}",
		Judge:   engine.ByParams(judgeVolume),
	}
}

func judgeVolume(params engine.Record) engine.Judgement {
	j := engine.Judgement{Risk: engine.RiskIrreversible, Problems: checkVolume(params)}
	if state, given := params["state"]; !given || state == statePresent {
		j.Risk = engine.RiskChanges
	}
	return j
}

func checkVolume(params engine.Record) []engine.Problem {
	out := append(checkName("volume", "volume", params["volume"]), checkLabels(params)...)
	if params["state"] == wantedAbsent {
		for _, name := range []string{"driver", "options", "labels"} {
			if _, given := params[name]; given {
				out = append(out, engine.Problem{Path: name, Message: "says how the volume is to be, and state: absent that it is not to be"})
			}
		}
	}
	return out
}

type storing struct{ volumeParams }

func decodeVolume(params engine.Record) (steps.Operation, error) {
	var op storing
	if err := steps.Bind(params, &op.volumeParams); err != nil {
		return nil, err
	}
	return op, first(checkVolume(params))
}

func (op storing) absent() bool { return op.State == wantedAbsent }

func (op storing) options(env *steps.Env) (volume.CreateOptions, error) {
	o := volume.CreateOptions{Name: op.Volume, Driver: op.Driver, DriverOpts: op.Options}
	if o.Driver == "" {
		o.Driver = "local"
	}
	digest, err := engine.DigestValue(engine.Record{"driver": o.Driver, "options": texts(op.Options), "labels": texts(op.Labels)})
	if err != nil {
		return o, fmt.Errorf("the configuration: %w", err)
	}
	o.Labels = labelled(op.Labels, env, digest)
	return o, nil
}

// other is the error about a volume that the step may not take, or remove.
func (op storing) other(v volume.Volume) error {
	if v.Labels[labelConfig] == "" && op.Foreign != missingOK {
		return fmt.Errorf("there is another volume %s: %s, and what is in it is not known; say foreign: ok if the step may have it, or give this one another name",
			op.Volume, madeBy(v.Labels))
	}
	if op.absent() {
		return nil
	}
	var d []string
	if op.Driver != "" && v.Driver != op.Driver {
		d = append(d, fmt.Sprintf("driver is %s, wanted %s", v.Driver, op.Driver))
	}
	d = append(d, unlike("option", v.Options, op.Options)...)
	d = append(d, unlike("label", v.Labels, op.Labels)...)
	if len(d) > 0 {
		return fmt.Errorf("there is another volume %s: %s; %s. Give this one another name, or save what is in that one and remove it in a step before "+
			"(docker: {volume: %s, state: absent})", op.Volume, strings.Join(d, "; "), madeBy(v.Labels), op.Volume)
	}
	return nil
}

func (c *connection) findVolume(ctx context.Context, name string) (v volume.Volume, found bool, err error) {
	v, err = c.VolumeInspect(ctx, name)
	if notFound(err) {
		return volume.Volume{}, false, nil
	}
	if err != nil {
		return v, false, fmt.Errorf("look at volume %s: %w", name, c.explain(ctx, err))
	}
	return v, true, nil
}

// look finds the volume, and says why the step cannot bring it to what is wanted.
func (op storing) look(ctx context.Context, c *connection) (v volume.Volume, found bool, refused, err error) {
	v, found, err = c.findVolume(ctx, op.Volume)
	if err != nil || !found {
		return v, false, nil, err
	}
	if refused = op.other(v); refused != nil || !op.absent() {
		return v, true, refused, nil
	}
	by, err := c.having(ctx, "volume", op.Volume)
	return v, true, inUse("volume", op.Volume, by), err
}

// Prepare refuses what cannot be, while nothing has been done.
func (op storing) Prepare(ctx context.Context, env *steps.Env) (engine.Preparation, error) {
	c, err := connect(ctx, env)
	if err != nil {
		return engine.Preparation{}, err
	}
	v, found, refused, err := op.look(ctx, c)
	if err := errors.Join(err, refused); err != nil {
		return engine.Preparation{}, err
	}
	return engine.Preparation{Seen: engine.Record{"found": found, "created_at": v.CreatedAt}}, nil
}

// Preview says whether the volume is there, and what would be done about it.
func (op storing) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	c, err := connect(ctx, env)
	if err != nil {
		return engine.Impact{}, err
	}
	v, found, refused, err := op.look(ctx, c)
	if err != nil {
		return engine.Impact{}, err
	}
	i := engine.Impact{Standing: engine.StandingWould, Risk: engine.RiskChanges, Would: "make volume " + op.Volume,
		Figures: []engine.Figure{{Name: "volumes", Value: 1, Certainty: engine.FigureExact}},
		Facts:   []engine.Fact{{Name: op.Volume, Value: volumeNow(v, found)}}}
	if op.absent() {
		i.Would, i.Risk = "remove volume "+op.Volume+" with what is in it", engine.RiskIrreversible
	}
	switch {
	case refused != nil:
		previewRefused(&i, refused)
	case found != op.absent():
		previewAlready(&i, "volume "+op.Volume+" is "+map[bool]string{true: "there already", false: "absent already"}[found])
	}
	return i, nil
}

func volumeNow(v volume.Volume, found bool) string {
	if !found {
		return "there is no such volume"
	}
	return fmt.Sprintf("%s, made %s, %s", v.Driver, v.CreatedAt, madeBy(v.Labels))
}

func (op storing) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	if env.Access != steps.Full {
		return engine.Failure(fmt.Errorf("change volume %s: %w", op.Volume, errRefused))
	}
	c, err := connect(ctx, env)
	if err != nil {
		return failure(err)
	}
	was, _ := env.Call.Seen.(engine.Record)
	v, found, refused, err := op.look(ctx, c)
	if err := errors.Join(err, refused); err != nil {
		return failure(err)
	}
	switch {
	case op.absent() && found:
		if was["found"] == true && was["created_at"] != v.CreatedAt || was["found"] == false {
			return engine.Failure(fmt.Errorf("volume %s is not the one that was there when the step began: it is left as it is", op.Volume))
		}
		return op.remove(ctx, c)
	case op.absent():
		return op.done(v, env.Again && was["found"] == true)
	case found:
		return op.done(v, env.Again && v.Labels[labelToken] == env.Call.Token)
	}
	return op.make(ctx, c, env)
}

func (op storing) done(v volume.Volume, changed bool) engine.Outcome {
	return engine.Outcome{Result: engine.Record{"name": op.Volume, "changed": changed,
		"driver": textOrNull(v.Driver), "mountpoint": textOrNull(v.Mountpoint), "labels": texts(v.Labels)}}
}

func (op storing) make(ctx context.Context, c *connection, env *steps.Env) engine.Outcome {
	options, err := op.options(env)
	if err != nil {
		return engine.Failure(err)
	}
	_, cause := c.VolumeCreate(ctx, options)
	if cause != nil {
		cause = fmt.Errorf("make volume %s: %w", op.Volume, c.explain(ctx, cause))
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	v, found, err := settled(after, cause, func(ctx context.Context) (volume.Volume, bool, error) { return c.findVolume(ctx, op.Volume) })
	switch ours := v.Labels[labelToken] == env.Call.Token; {
	case err == nil && found && ours:
		return op.done(v, true) // also when the answer was lost
	case err == nil && found && cause == nil:
		// The engine answers a second request for a name with the volume that there is.
		return engine.Failure(fmt.Errorf("volume %s was made at the same time by somebody else: %s", op.Volume, madeBy(v.Labels)))
	}
	return lostOrRefused(cause, err, "volume "+op.Volume+" is not there AFTER it was made")
}

func (op storing) remove(ctx context.Context, c *connection) engine.Outcome {
	cause := c.VolumeRemove(ctx, op.Volume, false)
	if cause != nil && !notFound(cause) {
		cause = fmt.Errorf("remove volume %s: %w", op.Volume, c.explain(ctx, cause))
	} else {
		cause = nil
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	_, gone, err := settled(after, cause, func(ctx context.Context) (volume.Volume, bool, error) {
		v, found, err := c.findVolume(ctx, op.Volume)
		return v, !found, err
	})
	if err == nil && gone {
		return op.done(volume.Volume{}, true)
	}
	return lostOrRefused(cause, err, "volume "+op.Volume+" is still there AFTER it was removed")
}
