package revision

import (
	"fmt"
	"slices"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/preview"
)

// look is what a plan says of a step: of one in a loop, of all its items together.
type look struct {
	standing   engine.Standing
	risk       engine.Risk
	class      engine.Class
	would, why string
	figures    []engine.Figure
	warnings   []string
	parameters string
	items      int
}

func (c *comparison) looked(before, after *preview.Plan) {
	c.earlier, c.later = looks(before), looks(after)
}

func looks(p *preview.Plan) map[string]look {
	out := map[string]look{}
	if p == nil {
		return out
	}
	for _, s := range p.Steps {
		if s.Group != "" {
			continue
		}
		l, ok := out[s.Home]
		if !ok {
			l = look{standing: s.Standing, class: s.Class, would: s.Would, why: s.Why, parameters: s.Parameters}
		}
		out[s.Home] = l.with(s, ok)
	}
	return out
}

// with adds a line of the plan.
func (l look) with(s preview.Step, more bool) look {
	l.items++
	l.risk = max(l.risk, s.Risk)
	for _, f := range s.Figures {
		if !f.Now { // how large something is, which no revision has changed
			l.figures = counted(l.figures, f)
		}
	}
	for _, w := range s.Warnings {
		if !slices.Contains(l.warnings, w) {
			l.warnings = append(l.warnings, w)
		}
	}
	if !more {
		return l
	}
	l.parameters = "" // they are not the same for each item
	if urgent(s.Standing) > urgent(l.standing) {
		l.standing, l.why = s.Standing, s.Why
	}
	if s.Class != l.class {
		l.class = engine.ClassUnset
	}
	return l
}

// does is what the step would do, with its first item for all.
func (l look) does() string {
	if l.items > 1 {
		return fmt.Sprintf("%d items, the first: %s", l.items, l.would)
	}
	return l.would
}

// urgent orders the standings: one item that cannot be judged makes the whole so.
func urgent(s engine.Standing) int {
	switch s {
	case engine.StandingUnknown:
		return 3
	case engine.StandingWould:
		return 2
	case engine.StandingAlready:
		return 1
	case engine.StandingSkip:
	}
	return 0
}

// counted adds a number to those of the same name. The sum is no more certain than each of its parts.
func counted(figures []engine.Figure, f engine.Figure) []engine.Figure {
	for i := range figures {
		if figures[i].Name == f.Name {
			figures[i].Value += f.Value
			if f.Certainty < figures[i].Certainty {
				figures[i].Certainty, figures[i].Why = f.Certainty, f.Why
			}
			return figures
		}
	}
	return append(figures, f)
}

// impact says what is different in what a step would do. Where both would send the same, a number that differs tells of the
// system, which has gone on between the two plans, and not of the change. What it would do in words is told where the step
// itself does not say it otherwise.
func impact(before, after look, sameTarget, saidOtherwise bool) []Setting {
	var out []Setting
	say := func(name, b, a string) {
		if b != a {
			out = append(out, Setting{Name: name, Before: b, After: a})
		}
	}
	if before.items == 0 && after.items == 0 {
		return nil
	}
	say("standing", standing(before), standing(after))
	same := sameTarget && before.parameters != "" && before.parameters == after.parameters
	if !same && !saidOtherwise {
		say("would", before.does(), after.does())
	}
	was := map[string]engine.Figure{}
	for _, f := range before.figures {
		was[f.Name] = f
	}
	known := map[string]bool{}
	for _, f := range after.figures {
		known[f.Name] = true
		b, ok := was[f.Name]
		switch {
		case !ok:
			say(f.Name, "", Figure(f))
		case !same || b.Certainty != f.Certainty:
			say(f.Name, Figure(b), Figure(f))
		}
	}
	for _, f := range before.figures {
		if !known[f.Name] {
			say(f.Name, Figure(f), "")
		}
	}
	return out
}

func standing(l look) string {
	if l.items == 0 {
		return ""
	}
	return l.standing.String()
}

// Figure is a number with how far it can be relied on.
func Figure(f engine.Figure) string {
	if f.Certainty == engine.FigureUnknown {
		return "unknown"
	}
	return fmt.Sprintf("%d (%s)", f.Value, f.Certainty)
}
