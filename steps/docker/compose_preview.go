package docker

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/docker/compose"
)

// forecast is what would become of the containers.
type forecast struct {
	create, recreate, start, stop, remove int
	perhaps                               []string // whose configuration may have changed
	facts                                 []engine.Fact
}

func (f forecast) sure() int { return f.create + f.recreate + f.start + f.stop + f.remove }

// Preview reads the files and the containers, and says what the command would do.
func (op composing) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	c, err := connect(ctx, env)
	if err != nil {
		return engine.Impact{}, err
	}
	i := engine.Impact{Standing: engine.StandingWould, Risk: judgeCompose(env.Call.Params).Risk, Would: op.Compose + " a Compose project"}
	s, mistake, err := op.load(ctx, c, env)
	switch {
	case err != nil:
		return i, err
	case mistake != nil:
		previewRefused(&i, mistake)
		return i, nil
	}
	i.Would = fmt.Sprintf("%s project %s (%s)", op.Compose, s.project.Name, s.names())
	f, err := op.forecast(ctx, c, env, s)
	if err != nil {
		return i, err
	}
	i.Facts = f.facts
	if len(s.project.Unset) > 0 {
		i.Warnings = append(i.Warnings, "variables without a value, which stand for nothing: "+strings.Join(s.project.Unset, ", "))
	}
	if err := op.previewVolumes(ctx, c, s, &i); err != nil {
		return i, err
	}
	if op.Compose == composeStop || op.Compose == composeRestart {
		for _, d := range s.project.Dependents(s.services) {
			i.Facts = append(i.Facts, engine.Fact{Name: "depends on it in the file", Value: d})
			i.Warnings = append(i.Warnings, "service "+d+", which the step leaves alone")
		}
	}
	op.figures(&i, f)
	refused, err := op.refused(ctx, c, s)
	if err != nil {
		return i, err
	}
	if refused != nil {
		previewRefused(&i, refused)
	} else if f.sure() == 0 && len(f.perhaps) == 0 && op.Healthy == 0 && len(i.Figures) == 1 {
		previewAlready(&i, fmt.Sprintf("project %s (%s) is as wanted", s.project.Name, s.names()))
	}
	return i, nil
}

func (op composing) figures(i *engine.Impact, f forecast) {
	var parts []string
	for _, p := range []struct {
		n    int
		word string
	}{{f.create, "create"}, {f.recreate, "recreate"}, {f.start, "start"}, {f.stop, op.stopWord()}, {f.remove, "remove"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", p.word, p.n))
		}
	}
	if len(parts) > 0 {
		i.Would += ": " + strings.Join(parts, ", ")
	}
	if op.Healthy > 0 {
		i.Would += fmt.Sprintf(", healthy within %s", op.Healthy)
	}
	figure := engine.Figure{Name: "containers", Value: int64(f.sure()), Certainty: engine.FigureExact}
	if len(f.perhaps) > 0 {
		figure.Certainty, figure.Bounds = engine.FigureEstimate, &engine.Bounds{Least: int64(f.sure()), Most: int64(f.sure() + len(f.perhaps))}
		figure.Why = "only the Compose command can tell whether the configuration of " + strings.Join(f.perhaps, ", ") + " has changed; if so it is made anew"
	}
	i.Figures = append([]engine.Figure{figure}, i.Figures...)
}

func (op composing) stopWord() string {
	if op.Compose == composeRestart {
		return "restart"
	}
	return "stop"
}

// previewVolumes tells the volumes that down would remove.
func (op composing) previewVolumes(ctx context.Context, c *connection, s stack, i *engine.Impact) error {
	if op.Compose != composeDown || !op.Volumes {
		return nil
	}
	var there []string
	for _, name := range s.project.Volumes() {
		_, found, err := c.findVolume(ctx, name)
		if err != nil {
			return err
		}
		if found {
			there = append(there, name)
		}
	}
	if len(there) > 0 {
		i.Figures = append(i.Figures, engine.Figure{Name: "volumes", Value: int64(len(there)), Certainty: engine.FigureExact})
		i.Warnings = append(i.Warnings, "what is in these volumes is lost: "+strings.Join(there, ", "))
	}
	return nil
}

func (op composing) forecast(ctx context.Context, c *connection, env *steps.Env, s stack) (forecast, error) {
	var f forecast
	if op.Compose == composeUp {
		for _, v := range s.services {
			if err := op.forecastUp(ctx, c, s.of(v.Name), v, &f); err != nil {
				return f, err
			}
		}
	}
	for _, one := range s.containers {
		f.facts = append(f.facts, engine.Fact{Name: one.name, Value: one.says(env.Now())})
		switch op.Compose {
		case composeDown:
			if op.Orphans == "remove" || s.project.Has(one.labels[labelService]) {
				f.remove++
			}
		case composeStart:
			if !one.up() {
				f.start++
			}
		case composeStop:
			if one.up() {
				f.stop++
			}
		case composeRestart:
			f.stop++
		}
	}
	for _, one := range s.orphans {
		what := "belongs to no service of the file, and stays"
		if op.Orphans == "remove" {
			f.remove++
			what = "belongs to no service of the file, and would be removed"
		}
		f.facts = append(f.facts, engine.Fact{Name: one.name, Value: what})
	}
	return f, nil
}

// forecastUp says what would become of the containers of one service.
func (op composing) forecastUp(ctx context.Context, c *connection, have []shown, v compose.Service, f *forecast) error {
	if missing := v.Scale - len(have); missing > 0 {
		f.create += missing
		f.facts = append(f.facts, engine.Fact{Name: v.Name, Value: fmt.Sprintf("%d of %d containers are there", len(have), v.Scale)})
	} else {
		f.remove -= missing
	}
	image, there := "", false
	if v.Image != "" {
		var err error
		if image, there, err = c.image(ctx, v.Image); err != nil {
			return err
		}
	}
	if v.Image != "" && !there && !(v.Builds && op.Build) {
		f.facts = append(f.facts, engine.Fact{Name: "image " + v.Image, Value: "not on the engine; it would be pulled"})
	}
	for _, one := range have {
		switch {
		case op.Recreate == "always":
			f.recreate++
		case op.Recreate == "never", v.Hash != "" && v.Hash == one.labels[labelHash] && (image == "" || one.imageID == image):
			if !one.up() {
				f.start++
			}
		case there && one.imageID != image:
			f.recreate++
			f.facts = append(f.facts, engine.Fact{Name: one.name, Value: "runs another image than " + v.Image + " is now"})
		default:
			f.perhaps = append(f.perhaps, one.name)
			if !one.up() {
				f.start++
			}
		}
	}
	slices.Sort(f.perhaps)
	return nil
}
