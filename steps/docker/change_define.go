package docker

import (
	"fmt"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

type startParams struct {
	Start   steps.Texts   `param:"start" need:"yes" doc:"The containers, by name or id, in this order."`
	Healthy time.Duration `param:"healthy" doc:"How long each may take to become healthy, or to run steadily where it has no health check. The next is started when it is."`
}

type stopParams struct {
	Stop    steps.Texts    `param:"stop" need:"yes" doc:"The containers, by name or id, in this order."`
	Grace   *time.Duration `param:"grace" doc:"How long each may take to end by itself before it is killed. Without it the container's own time holds, usually 10s."`
	Missing string         `param:"missing" enum:"error,ok" default:"error" doc:"ok: a container that is not there counts as stopped."`
}

type restartParams struct {
	Restart steps.Texts    `param:"restart" need:"yes" doc:"The containers, by name or id, in this order."`
	Grace   *time.Duration `param:"grace" doc:"How long each may take to end by itself before it is killed. Without it the container's own time holds, usually 10s."`
	Healthy time.Duration  `param:"healthy" doc:"How long each may take to become healthy, or to run steadily where it has no health check. The next is restarted when it is."`
}

type killParams struct {
	Kill    steps.Texts `param:"kill" need:"yes" doc:"The containers, by name or id, in this order."`
	Signal  string      `param:"signal" enum:"KILL,TERM,INT,QUIT" default:"KILL" doc:"The signal that ends them. The step waits until they have ended."`
	Missing string      `param:"missing" enum:"error,ok" default:"error" doc:"ok: a container that is not there counts as ended."`
}

type removeParams struct {
	Remove  steps.Texts `param:"remove" need:"yes" doc:"The containers, by name or id, in this order. One that is not there is removed already."`
	Force   bool        `param:"force" default:"false" doc:"Kill those that run; without it a running container is an error."`
	Volumes bool        `param:"volumes" default:"false" doc:"Remove their anonymous volumes, too."`
}

type connectParams struct {
	Connect steps.Texts `param:"connect" need:"yes" doc:"The containers, by name or id, in this order."`
	To      string      `param:"to" need:"yes" doc:"The network that they join."`
	Aliases []string    `param:"aliases" doc:"Further names of the container in the network; only for one container."`
}

type disconnectParams struct {
	Disconnect steps.Texts `param:"disconnect" need:"yes" doc:"The containers, by name or id, in this order. One that is not there has left already."`
	From       string      `param:"from" need:"yes" doc:"The network that they leave."`
}

func changeResult() engine.Shape {
	names := engine.ListOf(engine.Of(engine.TypeText))
	return engine.RecordOf(
		engine.Field{Name: "changed", Shape: names, Doc: "The containers that the step has changed."},
		engine.Field{Name: "already", Shape: names, Doc: "Those that were as wanted before."},
		engine.Field{Name: "containers", Shape: engine.ListOf(containerShape()), Doc: "All of them as they are afterwards, in the order in which they were named."},
	)
}

func defineChanges() []engine.Operation {
	return []engine.Operation{
		defineChange(verbStart, engine.RiskChanges, steps.Params[startParams](),
			"Starts containers that do not run.",
			"{id: up, docker: {start: [db-1, api-1], healthy: 60s}}"),
		defineChange(verbStop, engine.RiskChanges, steps.Params[stopParams](),
			"Stops containers that run.",
			"{id: down, docker: {stop: [api-1, api-2], grace: 30s}}"),
		defineChange(verbRestart, engine.RiskChanges, steps.Params[restartParams](),
			"Restarts containers one after the other; one that does not run is started.",
			"{id: fresh, docker: {restart: [api-1, api-2], healthy: 60s}}"),
		defineChange(verbKill, engine.RiskDestroys, steps.Params[killParams](),
			"Ends containers by a signal.",
			"{id: end, docker: {kill: api-1, signal: TERM}}"),
		defineChange(verbRemove, engine.RiskIrreversible, steps.Params[removeParams](),
			"Removes containers with what is in them.",
			"{id: away, docker: {remove: [old-api], force: true}}"),
		defineChange(verbConnect, engine.RiskChanges, steps.Params[connectParams](),
			"Lets containers join a network, beside those that they are in.",
			"{id: join, docker: {connect: [api-1, api-2], to: app}}"),
		defineChange(verbDisconnect, engine.RiskChanges, steps.Params[disconnectParams](),
			"Lets containers leave a network.",
			"{id: leave, docker: {disconnect: [api-1], from: old-app}}"),
	}
}

func defineChange(v verb, risk engine.Risk, params engine.Shape, doc, example string) engine.Operation {
	return engine.Operation{
		Name: v.String(), Key: v.String(), Doc: doc, Params: params, Result: changeResult(),
		Class: engine.ClassIdempotent, Risk: risk, Prepares: true, Example: example,
		Judge: judge(func(p engine.Record) []engine.Problem { return checkChange(v, p) }, risk),
	}
}

func checkChange(v verb, params engine.Record) []engine.Problem {
	out := checkNames(v.String(), params[v.String()])
	for _, name := range []string{"grace", "healthy"} {
		d, known := durationOf(params[name])
		switch {
		case known && d < 0:
			out = append(out, engine.Problem{Path: name, Message: "cannot be negative"})
		case known && d == 0 && name == "healthy":
			out = append(out, engine.Problem{Path: name, Message: "must be longer than 0s; leave it out to not wait"})
		}
	}
	out = append(append(out, checkName("to", "network", params["to"])...), checkName("from", "network", params["from"])...)
	if several, ok := params["connect"].(engine.List); ok && len(several) > 1 && params["aliases"] != nil {
		out = append(out, engine.Problem{Path: "aliases", Message: "belong to one container, and there are several"})
	}
	return out
}

// durationOf reads a parameter as a loader or a template leaves it.
func durationOf(v engine.Value) (time.Duration, bool) {
	switch x := v.(type) {
	case time.Duration:
		return x, true
	case string:
		d, err := time.ParseDuration(x)
		return d, err == nil
	}
	return 0, false
}

func decodeChange(v verb, params engine.Record) (steps.Operation, error) {
	op := change{verb: v, missing: missingError}
	var err error
	switch v {
	case verbStart:
		var p startParams
		err = steps.Bind(params, &p)
		op.names, op.healthy = p.Start, p.Healthy
	case verbStop:
		var p stopParams
		err = steps.Bind(params, &p)
		op.names, op.grace, op.missing = p.Stop, p.Grace, p.Missing
	case verbRestart:
		var p restartParams
		err = steps.Bind(params, &p)
		op.names, op.grace, op.healthy = p.Restart, p.Grace, p.Healthy
	case verbKill:
		p := killParams{Signal: "KILL"}
		err = steps.Bind(params, &p)
		op.names, op.signal, op.missing = p.Kill, p.Signal, p.Missing
	case verbRemove:
		var p removeParams
		err = steps.Bind(params, &p)
		op.names, op.force, op.volumes, op.missing = p.Remove, p.Force, p.Volumes, missingOK
	case verbConnect:
		var p connectParams
		err = steps.Bind(params, &p)
		op.names, op.network, op.aliases = p.Connect, p.To, p.Aliases
	case verbDisconnect:
		var p disconnectParams
		err = steps.Bind(params, &p)
		op.names, op.network, op.missing = p.Disconnect, p.From, missingOK
	default:
		err = fmt.Errorf("unknown change %d", v)
	}
	if err != nil {
		return nil, err
	}
	return op, first(checkChange(v, params))
}
