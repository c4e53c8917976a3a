package preview

import (
	"fmt"

	"github.com/handrail-dev/handrail/engine"
)

// Differences says in what a plan that is made now is another one than a plan of before, in sentences for the person
// who agreed to that; none: it still holds. A number may have changed by so many hundredths of what it was.
//
// Texts and facts are not compared: they tell of times and states that always change.
func Differences(before, now *Plan, tolerance int) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if before.Error != now.Error {
		say("the run would fail now: %s; in the plan: %s", orNothing(now.Error), orNothing(before.Error))
	}
	later := map[string]Step{}
	for _, s := range now.Steps {
		later[s.Path] = s
	}
	known := map[string]bool{}
	for _, s := range before.Steps {
		known[s.Path] = true
		n, ok := later[s.Path]
		if !ok {
			say("step %s: there is no such step any more", s.Path)
			continue
		}
		for _, d := range stepDifferences(s, n, tolerance) {
			say("step %s: %s", s.Path, d)
		}
	}
	for _, s := range now.Steps {
		if !known[s.Path] {
			say("step %s: it is not in the plan", s.Path)
		}
	}
	return out
}

func orNothing(s string) string {
	if s == "" {
		return "it would not"
	}
	return s
}

func stepDifferences(before, now Step, tolerance int) []string {
	var out []string
	was := func(what string, before, now any) {
		if before != now {
			out = append(out, fmt.Sprintf("%s was %v and is %v", what, before, now))
		}
	}
	was("what it would do", standingOf(before), standingOf(now))
	was("its class", before.Class, now.Class)
	was("its risk", before.Risk, now.Risk)
	if before.Parameters != now.Parameters {
		out = append(out, "its parameters are not those of the plan")
	}
	out = append(out, sightDifferences(before.Seen, now.Seen)...)
	return append(out, figureDifferences(before.Figures, now.Figures, tolerance)...)
}

func standingOf(s Step) string {
	if s.Maybe {
		return "may be run"
	}
	return s.Standing.String()
}

func sightDifferences(before, now []engine.Sight) []string {
	var out []string
	is := map[string]string{}
	for _, s := range now {
		is[s.Name] = s.Value
	}
	for _, s := range before {
		v, ok := is[s.Name]
		switch {
		case !ok:
			out = append(out, fmt.Sprintf("%s was seen (%s) and is not looked at any more", s.Name, s.Value))
		case v != s.Value:
			out = append(out, fmt.Sprintf("%s was %s and is %s", s.Name, s.Value, v))
		}
		delete(is, s.Name)
	}
	for _, s := range now {
		if v, left := is[s.Name]; left {
			out = append(out, fmt.Sprintf("%s was not seen and is %s", s.Name, v))
		}
	}
	return out
}

// figureDifferences takes a number that was unknown for any, because nobody has agreed to one.
func figureDifferences(before, now []engine.Figure, tolerance int) []string {
	var out []string
	is := map[string]engine.Figure{}
	for _, f := range now {
		is[f.Name] = f
	}
	for _, f := range before {
		n, ok := is[f.Name]
		switch {
		case f.Certainty == engine.FigureUnknown, f.Now:
		case !ok, n.Certainty == engine.FigureUnknown:
			out = append(out, fmt.Sprintf("%s: were %d (%s) and are not known now", f.Name, f.Value, f.Certainty))
		case distance(f.Value, n.Value)*100 > distance(f.Value, 0)*float64(tolerance):
			out = append(out, fmt.Sprintf("%s: were %d (%s) and are %d (%s), which is more than %d %% away", f.Name, f.Value, f.Certainty, n.Value, n.Certainty, tolerance))
		}
	}
	return out
}

func distance(a, b int64) float64 {
	d := float64(a) - float64(b)
	return max(d, -d)
}
