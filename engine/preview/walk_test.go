package preview_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/preview"
)

// result is an expression that reads steps.<id>.<name>, or a literal.
type result struct {
	id, name string
	value    engine.Value
}

func (e result) String() string {
	if e.id == "" {
		return engine.Text(e.value)
	}
	return "steps." + e.id + "." + e.name
}

func (e result) Eval(s engine.Scope) (engine.Value, error) {
	if e.id == "" {
		return e.value, nil
	}
	r, err := s.Step(e.id)
	if err != nil {
		return nil, err
	}
	return r[e.name], nil
}

// looker is a live system of which every read says {n: 1}. It writes down what it was asked.
type looker struct {
	asked  []string
	impact map[string]engine.Impact
	fail   map[string]string
	doneIf engine.Asked
}

func (l *looker) Preview(_ context.Context, c engine.Call) (engine.Impact, error) {
	l.asked = append(l.asked, "preview "+c.Step)
	if i, ok := l.impact[c.Step]; ok {
		return i, nil
	}
	if c.Class == engine.ClassPerson {
		return engine.Impact{}, errors.New("a person is not previewed")
	}
	return engine.Impact{Standing: engine.StandingWould, Would: "do " + c.Step, Risk: engine.RiskReads}, nil
}

func (l *looker) Execute(_ context.Context, c engine.Execute, _ engine.Attendant) engine.Outcome {
	l.asked = append(l.asked, "execute "+c.Step)
	if why := l.fail[c.Step]; why != "" {
		return engine.Outcome{Err: why}
	}
	return engine.Outcome{Result: engine.Record{"n": int64(1), "yes": true}}
}

func (l *looker) Ask(_ context.Context, step string, _ []engine.Question) engine.Answer {
	l.asked = append(l.asked, "ask "+step)
	return engine.Answer{Asked: l.doneIf, Message: "it says so"}
}

func leaf(id string, class engine.Class, target string) *engine.Step {
	risk := engine.RiskChanges
	if class == engine.ClassRead {
		risk = engine.RiskReads
	}
	return &engine.Step{ID: id, Kind: "test", Operation: &engine.Operation{Name: "do", Class: class}, Class: class, Risk: risk,
		Target: target, AtOnce: 1, As: "item", Kept: true}
}

// outline is a plan as one line a step.
func outline(p *preview.Plan) string {
	var b strings.Builder
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "%s%s %s", strings.Repeat(". ", s.Depth), s.Path, s.Standing)
		if s.Maybe {
			b.WriteString(" maybe")
		}
		if s.KnownAfter != "" {
			b.WriteString(" after " + s.KnownAfter)
		}
		if s.Why != "" {
			b.WriteString(": " + s.Why)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func plan(t *testing.T, l *looker, steps ...*engine.Step) *preview.Plan {
	t.Helper()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var look preview.Looker
	if l != nil {
		look = l
	}
	p, err := preview.Make(t.Context(), &engine.Playbook{Name: "p", Steps: steps}, engine.RunStarted{Run: "plan", Playbook: "p", Started: at}, engine.Given{}, look)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func expect(t *testing.T, p *preview.Plan, want string) {
	t.Helper()
	if got := outline(p); got != want {
		t.Errorf("the plan is\n%swant\n%s", got, want)
	}
}

func with(s *engine.Step, e engine.Expr) *engine.Step {
	s.Params = engine.Template{Fields: []engine.FieldTemplate{{Name: "x", Value: engine.Template{Expr: e}}}}
	return s
}

func TestAnEffectIsPreviewedAndNeverExecuted(t *testing.T) {
	l := &looker{}
	plan(t, l, leaf("r", engine.ClassRead, "db"), leaf("w", engine.ClassTransactional, "db"), leaf("o", engine.ClassUnrepeatable, ""))
	if got := strings.Join(l.asked, ", "); got != "preview r, execute r, preview w, preview o" {
		t.Errorf("it asked: %s", got)
	}
}

// TestWhatIsChangedElsewhereIsKnownAfterIt: a dump reads its target and writes a file.
func TestWhatIsChangedElsewhereIsKnownAfterIt(t *testing.T) {
	dump := leaf("dump", engine.ClassIdempotent, "db")
	dump.Operation.Changes = "file"
	look := leaf("look", engine.ClassRead, "")
	look.Kind = "file"
	other := leaf("other", engine.ClassRead, "")
	l := &looker{}
	expect(t, plan(t, l, dump, leaf("read", engine.ClassRead, "db"), look, other),
		"dump would\nread would\nlook would after dump: known after step dump\nother would\n")
}

// TestWhatIsWipedIsKnownAfterIt: a container that is made anew takes a database along, which is another target.
func TestWhatIsWipedIsKnownAfterIt(t *testing.T) {
	anew := leaf("anew", engine.ClassIdempotent, "engine")
	anew.Kind, anew.WipesToo = "docker", []string{"db"}
	p := plan(t, &looker{}, leaf("before", engine.ClassRead, "db"), anew, leaf("after", engine.ClassRead, "db"), leaf("other", engine.ClassRead, "cache"))
	expect(t, p, "before would\nanew would\nafter would after anew: known after step anew\nother would\n")
	if got := strings.Join(p.Steps[1].Warnings, ""); got != "it wipes db: nothing that was done there before is asked for any more" {
		t.Errorf("a reviewer is told %q", got)
	}
	each := leaf("each", engine.ClassIdempotent, "engine")
	each.ForEach, each.WipesToo = &engine.Template{Expr: result{id: "after", name: "n"}}, []string{"cache"}
	p = plan(t, &looker{}, anew, leaf("after", engine.ClassRead, "db"), each, leaf("behind", engine.ClassRead, "cache"))
	if s := p.Steps[len(p.Steps)-1]; s.KnownAfter != "each[*]" {
		t.Errorf("behind a loop that wipes it: %+v", s)
	}
}

func TestWhatAnEffectWouldChangeIsKnownAfterIt(t *testing.T) {
	l := &looker{}
	p := plan(t, l,
		leaf("before", engine.ClassRead, "db"),
		leaf("w", engine.ClassTransactional, "db"),
		leaf("after", engine.ClassRead, "db"),
		leaf("other", engine.ClassRead, "cache"),
		with(leaf("uses", engine.ClassIdempotent, "cache"), result{id: "after", name: "n"}),
		leaf("cmd", engine.ClassUnrepeatable, ""),
		leaf("last", engine.ClassRead, "files"),
	)
	expect(t, p, `before would
w would
after would after w: known after step w
other would
uses would after w: what it does exactly is known after step w
cmd would
last would after cmd: known after step cmd
`)
	if strings.Contains(strings.Join(l.asked, ","), "execute after") {
		t.Error("a read that an earlier step would change decided something")
	}
}

// TestAProbeOfWhatIsNotKnownYetIsKnownAfterIt: a probe without an operation is not taken for one that failed.
func TestAProbeOfWhatIsNotKnownYetIsKnownAfterIt(t *testing.T) {
	verify := leaf("proven", engine.ClassRead, "")
	about := &engine.Probe{Expect: result{id: "change", name: "yes"}}
	verify.Params = engine.Template{Fields: []engine.FieldTemplate{{Name: "probes", Value: engine.Template{List: []engine.Template{{Probe: about}}}}}}
	l := &looker{}
	got := outline(plan(t, l, leaf("change", engine.ClassIdempotent, "a"), verify))
	if want := "change would\nproven would after change: known after step change\n"; got != want {
		t.Errorf("%s", got)
	}
	known := outline(plan(t, l, leaf("change", engine.ClassRead, "a"), verify))
	if want := "change would\nproven would\n"; known != want {
		t.Errorf("%s", known)
	}
}

func TestAnUndecidableWhenShowsBothBranches(t *testing.T) {
	yes, no := leaf("yes", engine.ClassIdempotent, "db"), leaf("no", engine.ClassIdempotent, "db")
	yes.When = result{id: "after", name: "yes"}
	no.When = result{value: false}
	group := &engine.Step{ID: "g", Group: engine.BlockGroup, AtOnce: 1, When: result{id: "after", name: "yes"}, Steps: []*engine.Step{leaf("in", engine.ClassRead, "x")}}
	p := plan(t, &looker{}, leaf("w", engine.ClassTransactional, "db"), leaf("after", engine.ClassRead, "db"), yes, no, group)
	expect(t, p, `w would
after would after w: known after step w
yes would maybe after w: whether it runs is known after step w
no skip: when false is false
g would maybe after w: whether it runs is known after step w
. in would
`)
}

func TestDoneIfDecidesOnlyWhileWhatItAsksIsAsItIs(t *testing.T) {
	a, b := leaf("a", engine.ClassIdempotent, "db"), leaf("b", engine.ClassIdempotent, "db")
	a.DoneIf = []*engine.Probe{{Kind: "test", Op: "do", Target: "db"}}
	b.DoneIf = a.DoneIf
	l := &looker{doneIf: engine.Yes}
	p := plan(t, l, a, leaf("w", engine.ClassTransactional, "db"), b)
	expect(t, p, "a already\nw would\nb would\n")
	if w := p.Steps[2].Warnings; len(w) != 1 || w[0] != "done_if is known after step w" {
		t.Errorf("warnings of b: %q", w)
	}
	p = plan(t, &looker{doneIf: engine.CouldNotAsk}, a)
	expect(t, p, "a unknown: the run would stop here: done_if could not be asked: it says so\n")
}

func TestAReadThatFailsIsUnknownAndTheRestIsStillShown(t *testing.T) {
	p := plan(t, &looker{fail: map[string]string{"r": "no such table"}}, leaf("r", engine.ClassRead, "db"), leaf("w", engine.ClassIdempotent, "db"))
	expect(t, p, "r unknown: the run would stop here: no such table\nw would\n")
	if p.Judged() {
		t.Error("the plan says that every step could be judged")
	}
}

func TestAnExactFigureBehindAChangeOfTheSameTargetIsAnEstimate(t *testing.T) {
	exact := engine.Impact{Standing: engine.StandingWould, Figures: []engine.Figure{{Name: "rows", Value: 3, Certainty: engine.FigureExact}}}
	l := &looker{impact: map[string]engine.Impact{"a": exact, "b": exact}}
	p := plan(t, l, leaf("a", engine.ClassTransactional, "db"), leaf("b", engine.ClassTransactional, "db"))
	if a, b := p.Steps[0].Figures[0].Certainty, p.Steps[1].Figures[0].Certainty; a != engine.FigureExact || b != engine.FigureEstimate {
		t.Errorf("the figures are %s and %s", a, b)
	}
}

func TestAnOfflinePlanAsksNothing(t *testing.T) {
	p := plan(t, nil, leaf("r", engine.ClassRead, "db"), with(leaf("w", engine.ClassIdempotent, "db"), result{id: "r", name: "n"}))
	expect(t, p, "r would\nw would after r: what it does exactly is known after step r\n")
}

// TestALoopOverWhatIsNotKnownSaysWhatItMayDo: each step in it once. What is behind it is not known, either.
func TestALoopOverWhatIsNotKnownSaysWhatItMayDo(t *testing.T) {
	each := leaf("each", engine.ClassIdempotent, "db")
	each.ForEach = &engine.Template{Expr: result{id: "after", name: "n"}}
	several := &engine.Step{ID: "several", Group: engine.BlockGroup, AtOnce: 1, As: "item", Kept: true, ForEach: each.ForEach,
		Steps: []*engine.Step{leaf("one", engine.ClassRead, "db"), leaf("two", engine.ClassUnrepeatable, "cache")}}
	p := plan(t, &looker{}, leaf("w", engine.ClassTransactional, "db"), leaf("after", engine.ClassRead, "db"), each, several, leaf("behind", engine.ClassRead, "cache"))
	expect(t, p, `w would
after would after w: known after step w
each would after w: known after step w
. each[*] would maybe after w: the items are known after step w
several would after w: known after step w
. several[*]/one would maybe after w: the items are known after step w
. several[*]/two would maybe after w: the items are known after step w
behind would after several[*]/two: known after step several[*]/two
`)
	if p.Summary.Changes != 3 {
		t.Errorf("%d changes", p.Summary.Changes)
	}
}

// TestWhatIsDoneAlreadyMayBeUndoneBefore: a container runs now, and a step before stops it.
func TestWhatIsDoneAlreadyMayBeUndoneBefore(t *testing.T) {
	l := &looker{impact: map[string]engine.Impact{"stop": {Standing: engine.StandingWould}, "start": {Standing: engine.StandingAlready}}}
	expect(t, plan(t, l, leaf("start", engine.ClassIdempotent, "engine")), "start already\n")
	p := plan(t, l, leaf("stop", engine.ClassIdempotent, "engine"), leaf("start", engine.ClassIdempotent, "engine"))
	expect(t, p, "stop would\nstart would after stop: known after step stop: now it would find nothing to do\n")
	if got := p.Steps[1].Risk; got != engine.RiskChanges {
		t.Errorf("its risk is %s", got)
	}
}

// TestFilesOfAServiceThatIsStoppedLater are written to until then.
func TestFilesOfAServiceThatIsStoppedLater(t *testing.T) {
	stop, pack := leaf("stop", engine.ClassIdempotent, "engine"), leaf("pack", engine.ClassIdempotent, "")
	stop.Kind, pack.Kind = "docker", "file"
	l := &looker{impact: map[string]engine.Impact{"pack": {Standing: engine.StandingWould, Figures: []engine.Figure{{Name: "bytes", Value: 7, Certainty: engine.FigureExact}}}}}
	if f := plan(t, l, pack).Steps[0].Figures[0]; f.Certainty != engine.FigureExact {
		t.Errorf("alone: %+v", f)
	}
	if f := plan(t, l, stop, pack).Steps[1].Figures[0]; f.Certainty != engine.FigureEstimate || f.Why != "step stop changes containers before, which may write to files until then" {
		t.Errorf("behind a stop: %+v", f)
	}
}

// broken is an expression that holds of the failure "denied".
type broken struct{}

func (broken) String() string { return `error contains "denied"` }

func (broken) Eval(s engine.Scope) (engine.Value, error) {
	v, err := s.Name(engine.ErrorField)
	return strings.Contains(engine.Text(v), "denied"), err
}

// TestPlanSaysWhichFailureIsExpected: what is refused is no obstacle, and changes nothing for what comes behind it; another failure is one.
func TestPlanSaysWhichFailureIsExpected(t *testing.T) {
	ask, drop, other, after := leaf("ask", engine.ClassRead, "db"), leaf("drop", engine.ClassUnrepeatable, "db"), leaf("other", engine.ClassRead, "db"), leaf("after", engine.ClassRead, "db")
	for _, s := range []*engine.Step{ask, drop, other} {
		s.Fails = broken{}
	}
	l := &looker{fail: map[string]string{"ask": "denied to you", "other": "no route to it"}}
	p, err := preview.Make(t.Context(), &engine.Playbook{Name: "p", Steps: []*engine.Step{ask, drop, other, after}}, engine.RunStarted{Run: "r", Started: time.Unix(1e9, 0)}, engine.Given{}, l)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]preview.Step{}
	for _, s := range p.Steps {
		got[s.Path] = s
	}
	for _, step := range []string{"ask", "drop", "other"} {
		if !strings.HasSuffix(got[step].Would, `; it is expected to fail: error contains "denied"`) {
			t.Errorf("%s would %s", step, got[step].Would)
		}
	}
	if s := got["ask"]; s.Standing != engine.StandingWould || s.Why != "fails as expected: denied to you" {
		t.Errorf("ask: %s, %s", s.Standing, s.Why)
	}
	if s := got["other"]; s.Standing != engine.StandingUnknown || !strings.Contains(s.Why, "otherwise than expected") {
		t.Errorf("other: %s, %s", s.Standing, s.Why)
	}
	if s := got["after"]; s.KnownAfter != "" {
		t.Errorf("after is known after %s, which is refused", s.KnownAfter)
	}
}
