package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// Preview says whether the container is there, and if another one is, in what it differs.
func (op run) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	c, err := connect(ctx, env)
	if err != nil {
		return engine.Impact{}, err
	}
	w, err := op.want(ctx, c, env)
	if notFound(err) || errors.Is(err, errNoContainer) {
		i := engine.Impact{Would: "run " + op.Name + " like " + op.Like, Risk: engine.RiskChanges}
		previewRefused(&i, err)
		return i, nil
	}
	if err != nil {
		return engine.Impact{}, err
	}
	s, found, err := c.look(ctx, op.Name)
	if err != nil {
		return engine.Impact{}, err
	}
	image, there, err := c.image(ctx, w.image)
	if err != nil {
		return engine.Impact{}, err
	}
	i := engine.Impact{
		Standing: engine.StandingWould, Would: "run " + op.Name + " from " + w.image, Risk: engine.RiskChanges, Facts: []engine.Fact{s.fact(env.Now())},
		Figures: []engine.Figure{{Name: "containers", Value: 1, Certainty: engine.FigureExact}},
		Details: []string{w.plain()},
	}
	onEngine := "not on the engine"
	if there {
		onEngine = "on the engine, " + brief(image)
	}
	i.Facts = append(i.Facts, engine.Fact{Name: "image " + w.image, Value: onEngine})
	if found {
		op.previewFound(&i, s, w, env, image)
		return i, nil
	}
	if op.job() {
		i.Would += " until it ends"
	} else if op.Healthy > 0 {
		i.Would += fmt.Sprintf(", healthy within %s", op.Healthy)
	}
	if op.Like != "" {
		i.Would += " like " + op.Like
		if op.Ports == nil && len(w.host.PortBindings) > 0 {
			i.Warnings = append(i.Warnings, op.Like+" publishes ports ("+ports(w.host.PortBindings)+"), and so would "+op.Name+"; while one runs the other cannot be started. Say ports to have others, or none")
		}
	}
	if err := op.volumesThere(ctx, c); err != nil {
		previewRefused(&i, err)
		return i, nil
	}
	switch {
	case !there && op.pulls() == pullNever:
		i.Standing = engine.StandingUnknown
		i.Why = noImage(w.image).Error() + ": unless a step before pulls it, this step fails and changes nothing"
		i.Warnings = append(i.Warnings, noImage(w.image).Error())
	case !there:
		i.Warnings = append(i.Warnings, "image "+w.image+" is not on the engine and would be pulled; whether the registry has it is not asked in a dry-run")
	}
	return i, nil
}

func (op run) previewFound(i *engine.Impact, s shown, w wanted, env *steps.Env, image string) {
	ours, why := op.ours(s, w, env)
	switch {
	case !ours:
		i.Standing = engine.StandingUnknown
		i.Why = foreign(op.Name, why).Error()
		i.Warnings = append(i.Warnings, "foreign container "+op.Name+": "+why)
		if d := w.differences(s); len(d) > 0 {
			i.Details = append(i.Details, strings.Join(d, "\n"))
		}
		i.Figures[0].Value = 0
	case s.running():
		i.Standing, i.Would, i.Risk = engine.StandingAlready, op.Name+" runs already with this configuration", engine.RiskReads
		i.Figures[0].Value = 0
		if op.Healthy > 0 && s.health != "healthy" {
			i.Standing, i.Would = engine.StandingWould, "wait until "+op.Name+" is healthy"
		}
	default:
		i.Would = "start " + op.Name + ", which is there with this configuration"
	}
	if ours && image != "" && s.imageID != image {
		i.Warnings = append(i.Warnings, fmt.Sprintf("%s runs an older image than the one that %s names now; remove it in a step before to have the new one", op.Name, w.image))
	}
}
