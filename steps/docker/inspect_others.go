package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

type networksParams struct {
	Networks steps.Texts `param:"networks" need:"yes" doc:"The networks, by name."`
	Missing  string      `param:"missing" enum:"error,ok" default:"error" doc:"ok: a network that is not there has the state absent, instead of being an error."`
}

type volumesParams struct {
	Volumes steps.Texts `param:"volumes" need:"yes" doc:"The volumes, by name."`
	Missing string      `param:"missing" enum:"error,ok" default:"error" doc:"ok: a volume that is not there has the state absent, instead of being an error."`
}

func defineNetworks() engine.Operation {
	text, truth := engine.Of(engine.TypeText), engine.Of(engine.TypeBool)
	return engine.Operation{
		Name: "networks", Key: "networks", Class: engine.ClassRead, Risk: engine.RiskReads,
		Doc: "Says how networks are.", Params: steps.Params[networksParams](),
		Result: engine.RecordOf(engine.Field{Name: "networks", Doc: "The networks, in the order in which they were named.", Shape: engine.ListOf(engine.RecordOf(
			engine.Field{Name: "name", Shape: text, Doc: "Its name."},
			engine.Field{Name: "id", Shape: text, Doc: "Its id; null when it is absent."},
			engine.Field{Name: "state", Shape: text, Doc: "present or absent."},
			engine.Field{Name: "driver", Shape: text, Doc: "Its driver; null when it is absent."},
			engine.Field{Name: "subnets", Shape: engine.ListOf(text), Doc: "Its subnets."},
			engine.Field{Name: "gateways", Shape: engine.ListOf(text), Doc: "The engine's own addresses in it."},
			engine.Field{Name: "internal", Shape: truth, Doc: "Nothing leads out of it."},
			engine.Field{Name: "attachable", Shape: truth, Doc: "Containers of their own may join a network of a swarm."},
			engine.Field{Name: "labels", Shape: engine.MapOf(text), Doc: "Its labels."},
			engine.Field{Name: "containers", Shape: engine.ListOf(text), Doc: "The containers that are in it, whether they run or not."}))}),
		Example: "{id: net, docker: {networks: app}, expect: \"'172.20.0.0/16' in networks[0].subnets\"}",
		Judge:   judge(func(p engine.Record) []engine.Problem { return checkNamed("networks", "network", p) }, engine.RiskReads),
	}
}

func defineVolumes() engine.Operation {
	text := engine.Of(engine.TypeText)
	return engine.Operation{
		Name: "volumes", Key: "volumes", Class: engine.ClassRead, Risk: engine.RiskReads,
		Doc: "Says how volumes are.", Params: steps.Params[volumesParams](),
		Result: engine.RecordOf(engine.Field{Name: "volumes", Doc: "The volumes, in the order in which they were named.", Shape: engine.ListOf(engine.RecordOf(
			engine.Field{Name: "name", Shape: text, Doc: "Its name."},
			engine.Field{Name: "state", Shape: text, Doc: "present or absent."},
			engine.Field{Name: "driver", Shape: text, Doc: "Its driver; null when it is absent."},
			engine.Field{Name: "mountpoint", Shape: text, Doc: "Where it is on the engine's host; null when it is absent."},
			engine.Field{Name: "created_at", Shape: engine.Of(engine.TypeTime), Doc: "When it was made; null when it is absent."},
			engine.Field{Name: "labels", Shape: engine.MapOf(text), Doc: "Its labels."},
			engine.Field{Name: "containers", Shape: engine.ListOf(text), Doc: "The containers that have it, whether they run or not."}))}),
		Example: "{id: data, docker: {volumes: cache-data}, expect: \"len(volumes[0].containers) == 0\"}",
		Judge:   judge(func(p engine.Record) []engine.Problem { return checkNamed("volumes", "volume", p) }, engine.RiskReads),
	}
}

func checkNamed(path, what string, params engine.Record) []engine.Problem {
	v := params[path]
	items, ok := v.(engine.List)
	if !ok {
		return checkName(path, what, v)
	}
	if len(items) == 0 {
		return []engine.Problem{{Path: path, Message: "names no " + what}}
	}
	return checkEach(params, path, func(s string) error {
		if message := badName(what, s); message != "" {
			return errors.New(message)
		}
		return nil
	})
}

// looking looks at networks or volumes.
type looking struct {
	what    string // network or volume
	names   []string
	missing string
	one     func(ctx context.Context, c *connection, name string) (engine.Record, engine.Fact, error)
}

func decodeNetworks(params engine.Record) (steps.Operation, error) {
	var p networksParams
	if err := steps.Bind(params, &p); err != nil {
		return nil, err
	}
	return looking{"network", p.Networks, p.Missing, lookAtNetwork}, first(checkNamed("networks", "network", params))
}

func decodeVolumes(params engine.Record) (steps.Operation, error) {
	var p volumesParams
	if err := steps.Bind(params, &p); err != nil {
		return nil, err
	}
	return looking{"volume", p.Volumes, p.Missing, lookAtVolume}, first(checkNamed("volumes", "volume", params))
}

func present(found bool) string {
	if found {
		return statePresent
	}
	return wantedAbsent
}

func lookAtNetwork(ctx context.Context, c *connection, name string) (engine.Record, engine.Fact, error) {
	n, found, err := c.findNetwork(ctx, name)
	var in []string
	if err == nil && found {
		in, err = c.having(ctx, "network", n.Name, n.ID)
	}
	gateways := engine.List{}
	for _, g := range n.IPAM.Config {
		gateways = append(gateways, g.Gateway)
	}
	return engine.Record{"name": name, "id": textOrNull(n.ID), "state": present(found), "driver": textOrNull(n.Driver),
		"subnets": list(subnets(n)), "gateways": gateways, "internal": n.Internal, "attachable": n.Attachable,
		"labels": texts(n.Labels), "containers": list(in)}, engine.Fact{Name: name, Value: networkNow(n, found)}, err
}

func lookAtVolume(ctx context.Context, c *connection, name string) (engine.Record, engine.Fact, error) {
	v, found, err := c.findVolume(ctx, name)
	var by []string
	if err == nil && found {
		by, err = c.having(ctx, "volume", name)
	}
	return engine.Record{"name": name, "state": present(found), "driver": textOrNull(v.Driver), "mountpoint": textOrNull(v.Mountpoint),
			"created_at": timeOrNull(parseTime(v.CreatedAt)), "labels": texts(v.Labels), "containers": list(by)},
		engine.Fact{Name: name, Value: volumeNow(v, found)}, err
}

// all looks at them in order. gone are those that are not there.
func (op looking) all(ctx context.Context, env *steps.Env) (found engine.List, facts []engine.Fact, gone []string, err error) {
	c, err := connect(ctx, env)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, name := range op.names {
		r, fact, err := op.one(ctx, c, name)
		if err != nil {
			return nil, nil, nil, err
		}
		if r["state"] == wantedAbsent {
			gone = append(gone, name)
		}
		found, facts = append(found, r), append(facts, fact)
	}
	return found, facts, gone, nil
}

func (op looking) absent(gone []string) error {
	if len(gone) == 0 || op.missing == missingOK {
		return nil
	}
	return fmt.Errorf("there is no %s %s; docker %s ls lists those that there are", op.what, strings.Join(gone, ", "), op.what)
}

func (op looking) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	found, _, gone, err := op.all(ctx, env)
	if err := errors.Join(err, op.absent(gone)); err != nil {
		return failure(err)
	}
	return engine.Outcome{Result: engine.Record{op.what + "s": found}}
}

func (op looking) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	_, facts, gone, err := op.all(ctx, env)
	if err != nil {
		return engine.Impact{}, err
	}
	i := engine.Impact{Standing: engine.StandingWould, Risk: engine.RiskReads, Facts: facts,
		Would: "look at " + op.what + " " + strings.Join(op.names, ", ")}
	if err := op.absent(gone); err != nil {
		i.Warnings = append(i.Warnings, err.Error())
	}
	return i, nil
}
