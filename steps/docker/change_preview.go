package docker

import (
	"context"
	"fmt"
	"strings"

	apicontainer "github.com/docker/docker/api/types/container"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// Preview says how each container is and what would become of it.
func (op change) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	c, all, err := lookAll(ctx, env, op.names)
	if err != nil {
		return engine.Impact{}, err
	}
	i := engine.Impact{Risk: op.riskNow(all), Would: op.verb.String() + " " + strings.Join(op.names, ", ")}
	var would, gone []string
	var touched []shown
	for n, s := range all {
		i.Facts = append(i.Facts, s.fact(env.Now()))
		switch {
		case s.state == stateAbsent && op.missing != missingOK:
			gone = append(gone, op.names[n])
		case !op.there(s):
			would, touched = append(would, op.names[n]), append(touched, s)
			i.Warnings = append(i.Warnings, op.warnings(s)...)
		}
	}
	i.Figures = []engine.Figure{{Name: "containers", Value: int64(len(would)), Certainty: engine.FigureExact}}
	switch {
	case len(gone) > 0:
		i.Standing = engine.StandingUnknown
		i.Why = noContainer(gone).Error() + ": unless a step before makes it, this step fails and changes nothing"
		i.Warnings = append(i.Warnings, noContainer(gone).Error())
	case len(would) == 0 && op.healthy > 0:
		i.Standing, i.Would = engine.StandingWould, "wait until "+strings.Join(op.names, ", ")+" is healthy; nothing to "+op.verb.String()
		i.Risk = engine.RiskReads
	case len(would) == 0:
		i.Standing, i.Would = engine.StandingAlready, strings.Join(op.names, ", ")+" already "+op.verb.did()
	default:
		i.Standing, i.Would = engine.StandingWould, op.verb.String()+" "+strings.Join(would, ", ")
		if op.healthy > 0 {
			i.Would += fmt.Sprintf(", each healthy within %s", op.healthy)
		}
	}
	if op.verb != verbStart && op.verb != verbConnect && len(would) > 0 {
		if err := c.depending(ctx, touched, &i); err != nil {
			return engine.Impact{}, err
		}
	}
	if err := op.networkThere(ctx, c); err != nil {
		previewRefused(&i, err)
	}
	return i, nil
}

// riskNow is the risk for the containers as they are.
func (op change) riskNow(all []shown) engine.Risk {
	switch op.verb {
	case verbStart, verbStop, verbRestart, verbConnect, verbDisconnect:
		return engine.RiskChanges
	case verbKill:
		return engine.RiskDestroys
	case verbRemove:
		if len(absent(all)) == len(all) {
			return engine.RiskReads
		}
		return engine.RiskIrreversible
	}
	return engine.RiskIrreversible
}

func (op change) warnings(s shown) []string {
	var out []string
	if err := op.refuse(s); err != nil {
		out = append(out, err.Error())
	}
	policy := s.restartPolicy
	willReturn := policy == string(apicontainer.RestartPolicyAlways) || policy == string(apicontainer.RestartPolicyUnlessStopped)
	switch {
	case op.verb == verbStop && policy == string(apicontainer.RestartPolicyAlways):
		out = append(out, s.name+" has the restart policy always: it comes back when the engine is restarted")
	case op.verb == verbKill && op.signal != "KILL" && willReturn:
		out = append(out, fmt.Sprintf("%s has the restart policy %s, which may start it again after the signal %s", s.name, policy, op.signal))
	case op.verb == verbRestart && !s.up():
		out = append(out, s.name+" is "+s.state+": it would be started")
	}
	return out
}
