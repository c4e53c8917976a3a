package preview

import (
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// fact is an expression that reads a field of a name at the head.
type fact struct{ head, name string }

func (f fact) String() string { return f.head + "." + f.name }

func (f fact) Eval(s engine.Scope) (engine.Value, error) {
	v, err := s.Name(f.head)
	if err != nil {
		return nil, err
	}
	r, _ := v.(engine.Record)
	if u, unknown := r[f.name].(engine.Unknown); unknown {
		return nil, u
	}
	return r[f.name], nil
}

func acting(id string) *engine.Step {
	return &engine.Step{ID: id, Kind: "test", Operation: &engine.Operation{Name: "do", Class: engine.ClassIdempotent}, AtOnce: 1, As: "item",
		Class: engine.ClassIdempotent, Risk: engine.RiskDestroys, Target: "db",
		Params: engine.Template{Fields: []engine.FieldTemplate{{Name: "x", Value: engine.Template{Expr: fact{"secrets", "S"}}}}}}
}

func outlineOf(t *testing.T, b bounds, steps ...*engine.Step) *Plan {
	t.Helper()
	unknown := engine.Record{"S": engine.Unknown{After: engine.TrustedRun}, "n": engine.Unknown{After: engine.TrustedRun}}
	start := engine.RunStarted{Run: "plan", Playbook: "p", Started: time.Unix(1e9, 0), Inputs: engine.Typed{V: unknown}}
	p, err := outline(t.Context(), &engine.Playbook{Name: "p", Steps: steps}, start, engine.Given{Secrets: unknown}, b)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Whatever a step hangs on that the playbook must not know, the step is shown as one that may be run.
func TestAnOutlineHidesNoStep(t *testing.T) {
	onInput, onTime, each := acting("on_input"), acting("on_time"), acting("each")
	onInput.When, onTime.When = fact{"inputs", "n"}, fact{"run", "started"}
	each.ForEach = &engine.Template{Expr: fact{"inputs", "n"}}
	inner := acting("inner")
	inner.ForEach = each.ForEach
	inner.Undo = []*engine.Step{acting("back")}
	loop := &engine.Step{ID: "loop", Group: engine.BlockGroup, AtOnce: 1, As: "item", ForEach: each.ForEach, Steps: []*engine.Step{inner}}
	p := outlineOf(t, outlineBounds, onInput, onTime, each, loop)
	var got []string
	for _, s := range p.Steps {
		if s.Group == "" {
			got = append(got, s.Path)
			if !s.Maybe || s.Risk != engine.RiskDestroys || s.KnownAfter != "" || !strings.Contains(s.Why, "known only to a trusted run") {
				t.Errorf("%s is shown as %+v", s.Path, s)
			}
			if len(s.Details) != 1 || s.Details[0] != "x: ${{ secrets.S }}" {
				t.Errorf("%s says that it would send %q", s.Path, s.Details)
			}
		}
	}
	if home := p.Steps[len(p.Steps)-2].Home; home != "inner" {
		t.Errorf("a step in two loops is at home in %q", home)
	}
	if want := "on_input on_time each[*] loop[*]/inner[*] back"; strings.Join(got, " ") != want {
		t.Errorf("the steps are %q", got)
	}
	if !p.Untrusted || p.Offline || p.Summary.Destroys != 5 || !p.Judged() {
		t.Errorf("the plan is %+v", p)
	}
}

func TestAnOutlineIsBounded(t *testing.T) {
	var list engine.List
	for i := range int64(50) {
		list = append(list, i)
	}
	each := acting("each")
	each.Title = strings.Repeat("é", 100)
	each.ForEach = &engine.Template{Literal: list}
	p := outlineOf(t, bounds{steps: 10, paths: 1000, text: 61}, each)
	if len(p.Steps) > 12 || !strings.Contains(p.Error, "more than 10 steps") || p.Judged() {
		t.Errorf("%d steps, %q", len(p.Steps), p.Error)
	}
	if p.Steps[1].Title != strings.Repeat("é", 30)+"…" {
		t.Errorf("the title is %q", p.Steps[1].Title)
	}
	if p = outlineOf(t, bounds{steps: 1000, paths: 100, text: 61}, each); len(p.Steps) > 20 || !strings.Contains(p.Error, "names") {
		t.Errorf("%d steps, %q", len(p.Steps), p.Error)
	}
}
