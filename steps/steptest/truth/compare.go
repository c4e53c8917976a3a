package truth

import (
	"fmt"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/preview"
)

// Tally counts what was compared.
type Tally struct {
	Steps     int // that act, in the plan
	Effects   int // that the plan says would, or may, be had
	Done      int // that the run had, each of them in the plan
	Exact     int // figures said to be exact and found equal
	Estimates int // figures said to be estimates and found within the bounds that they state
	Rough     int // figures said to be estimates that state no bounds, and so are held against nothing
	Later     int // steps of which the plan says that it is known after another what they do
}

// Add adds another.
func (t *Tally) Add(o Tally) {
	t.Steps += o.Steps
	t.Effects += o.Effects
	t.Done += o.Done
	t.Exact += o.Exact
	t.Estimates += o.Estimates
	t.Rough += o.Rough
	t.Later += o.Later
}

// Compare holds a plan against the run that was begun right after it. The sentences say where the plan was wrong.
func Compare(p *preview.Plan, run *engine.Run, l *Ledger) (tallies map[string]Tally, lies []string) {
	c := comparison{plan: p, run: run, ledger: l, lines: map[string]preview.Step{}, tallies: map[string]Tally{}, home: homes(run)}
	for _, s := range p.Steps {
		c.lines[s.Path] = s
	}
	for _, s := range p.Steps {
		if s.Group == "" {
			c.line(s)
		}
	}
	for _, d := range l.all() {
		c.deed(d)
	}
	return c.tallies, c.lies
}

type comparison struct {
	plan    *preview.Plan
	run     *engine.Run
	ledger  *Ledger
	lines   map[string]preview.Step
	tallies map[string]Tally // by the playbook that the step stands in
	home    func(path string) string
	lies    []string
}

func (c *comparison) lie(step, format string, args ...any) {
	c.lies = append(c.lies, "step "+step+": "+fmt.Sprintf(format, args...))
}

// homes tells in which playbook a step stands.
func homes(run *engine.Run) func(path string) string {
	nested := map[string]string{}
	run.EachStep(func(v engine.StepView) {
		if v.Playbook != "" {
			nested[v.Path] = v.Playbook
		}
	})
	top := run.View().Playbook
	return func(path string) string {
		for i := len(path) - 1; i > 0; i-- {
			if name, ok := nested[path[:i]]; ok && path[i] == '/' {
				return name
			}
		}
		return top
	}
}

// line is about what the plan says of one step.
func (c *comparison) line(s preview.Step) {
	home := c.home(s.Path)
	t := c.tallies[home]
	defer func() { c.tallies[home] = t }()
	t.Steps++
	later := s.KnownAfter != "" || s.Maybe
	if later {
		t.Later++
	}
	pending := s.Standing == engine.StandingWould || s.Standing == engine.StandingUnknown
	if s.Class.Writes() && pending {
		t.Effects++
	}
	d, done := c.ledger.at(s.Path)
	if !done {
		if v, ok := c.run.StepAt(s.Path); ok && v.State == engine.Skipped && pending && !later {
			c.lie(s.Path, "the plan said %s (%s), and the run left it out", s.Standing, s.Would)
		}
		return
	}
	if d.Err != "" || d.Untold || later && !d.Class.Writes() {
		return // what failed has come to no figure; a read that is known after another step shows what is there now
	}
	for _, f := range together(s) {
		t.Add(c.figure(s, d, f))
	}
}

// together are the figures of a step. Of several statements the result tells the sum alone, so theirs are added up; the sum is as certain
// as its least certain part.
func together(s preview.Step) []engine.Figure {
	var out []engine.Figure
	sum := engine.Figure{Name: "rows", Certainty: engine.FigureExact}
	several := false
	for _, f := range s.Figures {
		if !strings.HasPrefix(f.Name, "rows, ") {
			out = append(out, f)
			continue
		}
		several = true
		sum.Value, sum.Certainty = sum.Value+f.Value, min(sum.Certainty, f.Certainty)
	}
	if several {
		out = append(out, sum)
	}
	return out
}

func (c *comparison) figure(s preview.Step, d Deed, f engine.Figure) Tally {
	if f.Certainty == engine.FigureUnknown || f.Now {
		return Tally{}
	}
	n, err := measure(d, f.Name)
	switch {
	case err != nil:
		c.lie(s.Path, "%v", err)
	case f.Certainty == engine.FigureExact && n == f.Value:
		return Tally{Exact: 1}
	case f.Certainty == engine.FigureExact:
		c.lie(s.Path, "the plan said %d %s, exact, and it was %d", f.Value, f.Name, n)
	case f.Bounds == nil:
		return Tally{Rough: 1}
	case n >= f.Bounds.Least && n <= f.Bounds.Most:
		return Tally{Estimates: 1}
	default:
		c.lie(s.Path, "the plan said %d %s (%s), and it was %d", f.Value, f.Name, f.Label(), n)
	}
	return Tally{}
}

// lineOf is the line of a step, or that of the loop of which the plan did not know the items.
func (c *comparison) lineOf(step string) (preview.Step, bool) {
	if s, ok := c.lines[step]; ok {
		return s, true
	}
	for i := strings.LastIndexByte(step, '['); i > 0; i = strings.LastIndexByte(step[:i], '[') {
		end := i + strings.IndexByte(step[i:], ']') + 1
		if end <= i || step[i:end] == engine.EachItem {
			continue
		}
		if s, ok := c.lineOf(step[:i] + engine.EachItem + step[end:]); ok {
			return s, true
		}
	}
	return preview.Step{}, false
}

// deed is about what the run did.
func (c *comparison) deed(d Deed) {
	if !d.Class.Writes() {
		return
	}
	s, ok := c.lineOf(d.Step)
	switch {
	case !ok:
		c.lie(d.Step, "the run did %s.%s, which the plan had not listed", d.Kind, d.Operation)
		return
	case s.Standing == engine.StandingSkip:
		c.lie(d.Step, "the plan said that it would be left out (%s), and the run did %s.%s", s.Why, d.Kind, d.Operation)
	case s.Standing == engine.StandingAlready && !d.Untold && !idle(d):
		c.lie(d.Step, "the plan said that it is done already (%s), and the run did something: %s", s.Would, engine.Text(d.Result))
	case s.Class != d.Class:
		c.lie(d.Step, "the plan said that it is %s, and it was %s", s.Class, d.Class)
	}
	home := c.home(d.Step)
	t := c.tallies[home]
	t.Done++
	c.tallies[home] = t
}
