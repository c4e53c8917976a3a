package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

type inspectParams struct {
	Inspect steps.Texts `param:"inspect" need:"yes" doc:"The containers, by name or id."`
	Missing string      `param:"missing" enum:"error,ok" default:"error" doc:"ok: a container that is not there has the state absent, instead of being an error."`
}

func defineInspect() engine.Operation {
	return engine.Operation{
		Name: "inspect", Key: "inspect", Class: engine.ClassRead, Risk: engine.RiskReads,
		Doc:    "Says how containers are.",
		Params: steps.Params[inspectParams](),
		Result: engine.RecordOf(
			engine.Field{Name: "containers", Shape: engine.ListOf(containerShape()), Doc: "The containers, in the order in which they were named."}),
		Example: "{id: look, docker: {inspect: [api-1, api-2]}, expect: \"containers[0].state == 'running'\"}",
		Judge:   judge(checkInspect, engine.RiskReads),
	}
}

func checkInspect(params engine.Record) []engine.Problem {
	return checkNames("inspect", params["inspect"])
}

type inspect struct{ inspectParams }

func decodeInspect(params engine.Record) (steps.Operation, error) {
	var op inspect
	if err := steps.Bind(params, &op.inspectParams); err != nil {
		return nil, err
	}
	return op, first(checkInspect(params))
}

// lookAll looks at containers in order.
func lookAll(ctx context.Context, env *steps.Env, names []string) (*connection, []shown, error) {
	c, err := connect(ctx, env)
	if err != nil {
		return nil, nil, err
	}
	all := make([]shown, 0, len(names))
	for _, name := range names {
		s, _, err := c.look(ctx, name)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, s)
	}
	return c, all, nil
}

// absent are the names of those that are not there.
func absent(all []shown) []string {
	var names []string
	for _, s := range all {
		if s.state == stateAbsent {
			names = append(names, s.name)
		}
	}
	return names
}

// errNoContainer marks the error about containers that are not there.
var errNoContainer = errors.New("no container")

type noContainerError []string

func (noContainerError) Is(target error) bool { return target == errNoContainer }
func (n noContainerError) Error() string {
	if len(n) == 1 {
		return fmt.Sprintf("there is no container %s; docker ps -a lists those that there are", n[0])
	}
	return fmt.Sprintf("there are no containers %s; docker ps -a lists those that there are", strings.Join(n, ", "))
}

// noContainer is the error about containers that are not there.
func noContainer(names []string) error { return noContainerError(names) }

func records(all []shown) engine.List {
	out := make(engine.List, len(all))
	for i, s := range all {
		out[i] = s.record()
	}
	return out
}

func (op inspect) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	_, all, err := lookAll(ctx, env, op.Inspect)
	if err != nil {
		return failure(err)
	}
	if gone := absent(all); len(gone) > 0 && op.Missing != missingOK {
		return engine.Failure(noContainer(gone))
	}
	return engine.Outcome{Result: engine.Record{"containers": records(all)}}
}

func (op inspect) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	_, all, err := lookAll(ctx, env, op.Inspect)
	if err != nil {
		return engine.Impact{}, err
	}
	i := engine.Impact{Standing: engine.StandingWould, Would: "look at " + strings.Join(op.Inspect, ", "), Risk: engine.RiskReads}
	for _, s := range all {
		i.Facts = append(i.Facts, s.fact(env.Now()))
	}
	if gone := absent(all); len(gone) > 0 && op.Missing != missingOK {
		i.Warnings = append(i.Warnings, noContainer(gone).Error())
	}
	return i, nil
}
