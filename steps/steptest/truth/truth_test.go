package truth_test

import (
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/preview"
	"github.com/handrail-dev/handrail/steps/steptest/truth"
)

// copied is what came of copying a file.
func copied(step string, bytes int64, changed bool) truth.Deed {
	return truth.Deed{Call: engine.Call{Step: step, Kind: "file", Operation: "copy", Class: engine.ClassIdempotent},
		Outcome: engine.Outcome{Result: engine.Record{"size": bytes, "changed": changed}}}
}

// planned is the line of a plan about it.
func planned(step string, f ...engine.Figure) preview.Step {
	return preview.Step{Path: step, Kind: "file", Operation: "copy",
		Impact: engine.Impact{Standing: engine.StandingWould, Class: engine.ClassIdempotent, Risk: engine.RiskChanges, Figures: f}}
}

func bytes(n int64, c engine.Certainty, bounds ...int64) engine.Figure {
	f := engine.Figure{Name: "bytes", Value: n, Certainty: c}
	if len(bounds) == 2 {
		f.Bounds = &engine.Bounds{Least: bounds[0], Most: bounds[1]}
	}
	return f
}

// run is one of a playbook with the step a. skipped: it leaves a out.
func run(t *testing.T, skipped bool) *engine.Run {
	t.Helper()
	a := &engine.Step{ID: "a", Kind: "file", Operation: &engine.Operation{Name: "copy"}, Class: engine.ClassIdempotent, AtOnce: 1, Kept: true, When: never{}}
	r := engine.NewRun(&engine.Playbook{Name: "p", Steps: []*engine.Step{a}}, engine.Given{})
	events := []engine.Event{engine.RunStarted{Run: "r", Playbook: "p", Started: time.Unix(1, 0)}, engine.VarsSet{}}
	if skipped {
		events = append(events, engine.StepSkipped{Step: "a", Why: "when false is false"})
	}
	for _, e := range events {
		if err := r.Apply(engine.Stamped{At: time.Unix(1, 0), Event: e}); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

type never struct{}

func (never) String() string                          { return "false" }
func (never) Eval(engine.Scope) (engine.Value, error) { return false, nil }

// TestAPlanThatLiesIsFound: each plan is wrong in one thing, or in none.
func TestAPlanThatLiesIsFound(t *testing.T) {
	exact, estimate := engine.FigureExact, engine.FigureEstimate
	standing := func(s engine.Standing) preview.Step {
		p := planned("a")
		p.Standing, p.Would = s, "it says so"
		return p
	}
	other, later, reads := planned("a"), planned("a"), planned("a")
	other.Figures = []engine.Figure{{Name: "colour", Value: 1, Certainty: exact}}
	later.KnownAfter, reads.Class = "b", engine.ClassRead
	now := planned("a", bytes(9, exact))
	now.Figures[0].Now = true
	loop := planned("a" + engine.EachItem)
	for _, c := range []struct {
		what    string
		line    preview.Step
		deed    truth.Deed
		skipped bool
		lie     string // empty: none
	}{
		{"all as it was said", planned("a", bytes(7, exact)), copied("a", 7, true), false, ""},
		{"an effect that is not in it", planned("b"), copied("a", 7, true), false, "step a: the run did file.copy, which the plan had not listed"},
		{"an exact figure", planned("a", bytes(7, exact)), copied("a", 8, true), false, "the plan said 7 bytes, exact, and it was 8"},
		{"an estimate in its bounds", planned("a", bytes(7, estimate, 5, 8)), copied("a", 8, true), false, ""},
		{"an estimate above them", planned("a", bytes(7, estimate, 5, 8)), copied("a", 9, true), false, "the plan said 7 bytes (estimate, 5 to 8), and it was 9"},
		{"an estimate below them", planned("a", bytes(7, estimate, 5, 8)), copied("a", 4, true), false, "and it was 4"},
		{"an estimate without any", planned("a", bytes(7, estimate)), copied("a", 900, true), false, ""},
		{"how large something is now", now, copied("a", 7, true), false, ""},
		{"a figure that nothing tells", other, copied("a", 7, true), false, `nothing tells what "colour" of file.copy came to`},
		{"left out, it said", standing(engine.StandingSkip), copied("a", 7, true), false, "the plan said that it would be left out"},
		{"done already, it said", standing(engine.StandingAlready), copied("a", 7, true), false, "the plan said that it is done already (it says so), and the run did something"},
		{"done already, and nothing was to be done", standing(engine.StandingAlready), copied("a", 7, false), false, ""},
		{"another class", reads, copied("a", 7, true), false, "the plan said that it is read, and it was idempotent"},
		{"it was left out", planned("a"), truth.Deed{}, true, "the plan said would (), and the run left it out"},
		{"it was left out, and that was known later", later, truth.Deed{}, true, ""},
		{"an item of a loop of which nobody knew the items", loop, copied("a[x]", 7, true), false, ""},
		{"an item of another loop", loop, copied("b[x]", 7, true), false, "step b[x]: the run did"},
	} {
		l := &truth.Ledger{}
		if c.deed.Step != "" {
			l.Take(c.deed)
		}
		_, lies := truth.Compare(&preview.Plan{Steps: []preview.Step{c.line}}, run(t, c.skipped), l)
		switch said := strings.Join(lies, "; "); {
		case c.lie == "" && said != "":
			t.Errorf("%s: %s", c.what, said)
		case !strings.Contains(said, c.lie):
			t.Errorf("%s: found was %q, wanted %q", c.what, said, c.lie)
		}
	}
}

// TestStatementsAreAddedUp, since the result of a transaction tells the sum alone.
func TestStatementsAreAddedUp(t *testing.T) {
	line := planned("a")
	line.Figures = []engine.Figure{{Name: "rows, transaction[0], UPDATE x", Value: 2, Certainty: engine.FigureExact}, {Name: "rows, transaction[1], INSERT y", Value: 1, Certainty: engine.FigureExact}}
	for affected, lies := range map[int64]int{3: 0, 4: 1} {
		l := &truth.Ledger{}
		l.Take(truth.Deed{Call: engine.Call{Step: "a", Kind: "sql", Operation: "transaction", Class: engine.ClassIdempotent}, Outcome: engine.Outcome{Result: engine.Record{"affected": affected}}})
		tallies, got := truth.Compare(&preview.Plan{Steps: []preview.Step{line}}, run(t, false), l)
		if len(got) != lies || tallies["p"].Exact != 1-lies || tallies["p"].Done != 1 {
			t.Errorf("%d rows: %v, %+v", affected, got, tallies)
		}
	}
}
