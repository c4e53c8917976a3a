package preview

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// Make walks a playbook. start is what a real run would begin with; its time is the plan's now. A nil
// looker makes an offline plan, which touches nothing.
func Make(ctx context.Context, pb *engine.Playbook, start engine.RunStarted, given engine.Given, looker Looker) (*Plan, error) {
	return newWalk(pb, start, given, looker).make(ctx, start)
}

func newWalk(pb *engine.Playbook, start engine.RunStarted, given engine.Given, looker Looker) *walk {
	given.Preview = true
	return &walk{
		run: engine.NewRun(pb, given), looker: looker, at: start.Started, index: map[string]int{},
		changed: map[string]string{}, doubt: map[string]string{}, unasked: map[string]bool{}, depth: map[string]int{},
		plan: &Plan{
			Version: Version, Playbook: pb.Name, Digest: pb.Digest, Environment: start.Environment,
			Offline: looker == nil, Made: start.Started, RTO: pb.Objectives.RTO,
		},
	}
}

func (w *walk) make(ctx context.Context, start engine.RunStarted) (*Plan, error) {
	if err := w.apply(start); err != nil {
		return nil, err
	}
	if err := w.walk(ctx); err != nil {
		return nil, err
	}
	if w.bounds != nil {
		w.undo()
		w.shorten()
	} else { // of a stranger's playbook nothing is held against runs of before
		w.age(w.run.Playbook().Objectives, w.run.Outputs())
	}
	w.plan.summarize()
	return w.plan, nil
}

// walk is the state of one plan.
type walk struct {
	run    *engine.Run
	looker Looker
	plan   *Plan
	at     time.Time
	index  map[string]int // of a step's line
	depth  map[string]int
	// changed names, for each target, the first step that would change it; "*" is every target.
	changed map[string]string
	doubt   map[string]string // why a step's done_if does not decide
	unasked map[string]bool   // steps whose done_if could not be asked: the run would stop there
	section string
	bounds  *bounds // nil: whoever wrote the playbook is trusted
	paths   int     // bytes of the paths so far
}

func (w *walk) apply(e engine.Event) error {
	if err := w.run.Apply(engine.Stamped{At: w.at, Event: e}); err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	w.run.Synced()
	return nil
}

func (w *walk) walk(ctx context.Context) error {
	for ctx.Err() == nil {
		if why := w.exceeded(); why != "" {
			w.plan.Error = why
			return nil
		}
		ready := w.run.Next()
		for _, e := range ready.Events {
			if err := w.event(e); err != nil {
				return err
			}
		}
		for _, c := range ready.Commands {
			w.run.Ended(c)
			if err := w.command(ctx, c); err != nil {
				return err
			}
		}
		if ready.Finished {
			return nil
		}
		if len(ready.Events)+len(ready.Commands) == 0 {
			return fmt.Errorf("plan: %s", ready.Waiting)
		}
	}
	return context.Cause(ctx)
}

// event takes in what the core decided by itself.
func (w *walk) event(e engine.Event) error {
	switch e := e.(type) {
	case engine.Entered:
		w.line(e.Step)
	case engine.StepSkipped:
		s := w.line(e.Step)
		s.Standing, s.Why = engine.StandingSkip, e.Why
	case engine.Undecided:
		s := w.line(e.Step)
		s.Maybe, s.KnownAfter = true, stepOf(e.Why)
		s.Why = "whether it runs is " + knownAfter(e.Why)
	case engine.ItemsListed:
		s := w.line(e.Step)
		s.Standing = engine.StandingWould
		s.Would = fmt.Sprintf("for each of %d items", len(e.Keys))
	case engine.Assumed:
		s := w.line(e.Step)
		s.KnownAfter, s.Why = stepOf(e.After), knownAfter(e.After)
		w.unlisted(e.Step, e.After)
	case engine.PlaybookBegun:
		s := w.line(e.Step)
		s.Would = "run the playbook " + e.Playbook + given(e.Inputs)
	case engine.StepFinished:
		if e.State == engine.Failed { // otherwise a nested playbook has come to its outputs
			return w.stopped(e.Step, e.Error)
		}
	case engine.PhaseEntered:
		w.section = e.Phase.String()
	case engine.RunFinished:
		w.plan.Error = e.Error
	}
	return w.apply(e)
}

// given tells with what a nested playbook is run.
func given(inputs engine.Typed) string {
	r, _ := inputs.V.(engine.Record)
	parts := make([]string, 0, len(r))
	for _, name := range engine.Keys(r) {
		text := engine.Text(r[name])
		if after := unknownIn(r[name]); after != "" {
			text = knownAfter(after)
		}
		parts = append(parts, name+": "+text)
	}
	if len(parts) == 0 {
		return ""
	}
	return " with " + strings.Join(parts, ", ")
}

// stopped: the real run would stop at this step. The plan goes on, so that a reviewer sees the rest.
func (w *walk) stopped(step, why string) error {
	s := w.line(step)
	s.Standing, s.Why = engine.StandingUnknown, "the run would stop here: "+why
	return w.apply(engine.Assumed{Step: step, After: step, State: engine.OK})
}

func (w *walk) command(ctx context.Context, c engine.Command) error {
	switch c := c.(type) {
	case engine.AskDoneIf:
		return w.askDoneIf(ctx, c)
	case engine.Prepare:
		return w.apply(engine.Prepared{Step: c.Step})
	case engine.AskPerson:
		s := w.line(c.Step)
		s.Standing, s.Class, s.Would = engine.StandingWould, engine.ClassPerson, "ask a person: "+c.Message
		return w.apply(engine.ApprovalGiven{Step: c.Step, Digest: c.Digest})
	case engine.Execute:
		if c.Class == engine.ClassRead {
			return w.read(ctx, c)
		}
		return w.effect(ctx, c)
	}
	return fmt.Errorf("plan: unexpected command %T", c)
}

// askDoneIf asks whether the effect is there already, if what it asks is still as it is now.
func (w *walk) askDoneIf(ctx context.Context, c engine.AskDoneIf) error {
	after := ""
	for _, q := range c.Questions {
		if kind, _, target := q.Operation(); after == "" {
			after = w.changedBy(kind, target)
		}
	}
	e := engine.DoneIfAsked{Step: c.Step, Asked: engine.No}
	switch {
	case w.looker == nil:
		w.doubt[c.Step] = "done_if was not asked: " + w.aloof()
	case after != "":
		w.doubt[c.Step] = "done_if is known after step " + after
	default:
		a := w.looker.Ask(ctx, c.Step, c.Questions)
		switch a.Asked {
		case engine.Yes:
			s := w.line(c.Step)
			s.Standing, s.Would = engine.StandingAlready, "done already"
			if a.Message != "" {
				s.Would += ": " + a.Message
			}
			e.Asked, e.Result = engine.Yes, engine.Typed{V: a.Result}
		case engine.CouldNotAsk:
			w.doubt[c.Step] = "done_if could not be asked: " + a.Message
			w.unasked[c.Step] = !a.Withheld
		case engine.No:
		}
	}
	return w.apply(e)
}

// changedBy names the step that would change a target, or what a kind without one looks at, before the step at
// hand; empty: none.
func (w *walk) changedBy(kind, target string) string {
	if by, ok := w.changed["*"]; ok {
		return by
	}
	if target == "" {
		return w.changed[ofKind+kind]
	}
	return w.changed[target]
}

// ofKind comes before the names of kinds among those of targets.
const ofKind = "kind "

// read executes what reads, unless what it would read is going to be changed: then it is shown as it
// is now, and its result is known after the change.
func (w *walk) read(ctx context.Context, c engine.Execute) error {
	s := w.line(c.Step)
	s.Standing, s.Risk, s.Class = engine.StandingWould, engine.RiskReads, engine.ClassRead
	s.Would, s.Parameters = describe(c.Call), parametersOf(c.Call)
	fails := w.run.FailsOf(c.Step)
	defer expectsFailure(s, fails)
	after := w.readAfter(c.Call)
	switch {
	case w.looker == nil:
		return w.apply(engine.Assumed{Step: c.Step, After: c.Step, State: engine.OK})
	case after != "":
		s.KnownAfter, s.Why = stepOf(after), knownAfter(after)
		if unknownIn(c.Params) == "" {
			_ = w.look(ctx, s, c.Call) // it is in the line
		}
		return w.apply(engine.Assumed{Step: c.Step, After: after, State: engine.OK})
	case w.run.Waits(c.Step):
		_ = w.look(ctx, s, c.Call) // it is in the line
		return w.apply(engine.Assumed{Step: c.Step, After: c.Step, State: engine.OK})
	}
	var o engine.Outcome
	switch err := w.look(ctx, s, c.Call); {
	case err != nil && fails != nil:
		o = engine.Failure(err)
	case s.Standing == engine.StandingUnknown:
		return w.apply(engine.Assumed{Step: c.Step, After: c.Step, State: engine.OK})
	default:
		o = w.looker.Execute(ctx, c, quiet{})
	}
	switch e := w.run.Judge(c, o, 0).(type) {
	case engine.StepFinished:
		if fails != nil && e.State == engine.OK {
			s.Standing, s.Why = engine.StandingWould, e.Message
		}
		if e.State == engine.Failed {
			return w.stopped(c.Step, e.Error)
		}
		return w.apply(e)
	case engine.RetryScheduled:
		return w.stopped(c.Step, e.Error)
	default:
		return fmt.Errorf("plan: unexpected event %T", e)
	}
}

// effect previews what writes, and remembers what it would change.
func (w *walk) effect(ctx context.Context, c engine.Execute) error {
	s := w.line(c.Step)
	s.Standing, s.Class, s.Would, s.Parameters = engine.StandingWould, c.Class, describe(c.Call), parametersOf(c.Call)
	s.Risk = w.run.RiskOf(c.Step)
	fails := w.run.FailsOf(c.Step)
	defer expectsFailure(s, fails)
	switch after := unknownIn(c.Params); {
	case after != "":
		s.KnownAfter, s.Why = stepOf(after), "what it does exactly is "+knownAfter(after)
	case w.plan.Untrusted: // which is said once
	case w.looker == nil:
		s.Why = "offline: the target was not looked at"
	default:
		w.refused(s, c, w.look(ctx, s, c.Call))
	}
	if why := w.doubt[c.Step]; why != "" {
		s.Warnings = append(s.Warnings, why)
	}
	if w.unasked[c.Step] {
		s.Standing, s.Why = engine.StandingUnknown, "the run would stop here: "+w.doubt[c.Step]
	}
	by, why := w.changedBy(c.Kind, c.Target), "changes the target before"
	if by == "" && c.Kind == "file" {
		by, why = w.changed[containers], "changes containers before, which may write to files until then"
	}
	if by != "" {
		for i := range s.Figures {
			if s.Figures[i].Certainty == engine.FigureExact {
				s.Figures[i].Certainty = engine.FigureEstimate
				s.Figures[i].Why = "step " + by + " " + why
			}
			s.Figures[i].Bounds = nil // they are those of now
		}
		switch {
		// What is in the way now may be what that step is going to put right.
		case s.Standing == engine.StandingUnknown && !w.unasked[c.Step]:
			s.Standing, s.KnownAfter = engine.StandingWould, by
			s.Why = strings.TrimSuffix("known after step "+by+": "+s.Why, ": ")
		// And what is as wanted now may be what that step is going to change: a container that it stops.
		case s.Standing == engine.StandingAlready:
			s.Standing, s.KnownAfter, s.Risk = engine.StandingWould, by, w.run.RiskOf(c.Step)
			s.Why = "known after step " + by + ": now it would find nothing to do"
		}
	}
	if s.Standing == engine.StandingAlready {
		return w.apply(engine.Assumed{Step: c.Step, After: c.Step, State: engine.Already})
	}
	if fails == nil { // what is refused changes nothing
		w.changes(c.Step, c.Kind, c.Target, w.run.ChangesOf(c.Step), c.Class)
		if v, _ := w.run.StepAt(c.Step); len(v.Wipes) > 0 {
			w.wipes(c.Step, v.Wipes)
			s.Warnings = append(s.Warnings, "it wipes "+strings.Join(v.Wipes, ", ")+": nothing that was done there before is asked for any more")
		}
	}
	return w.apply(engine.Assumed{Step: c.Step, After: c.Step, State: engine.OK})
}

// line finds or makes the line of a step; the lines of the groups around it come before it.
func (w *walk) line(path string) *Step {
	if i, ok := w.index[path]; ok {
		return &w.plan.Steps[i]
	}
	depth := 0
	if parent := w.run.ParentOf(path); parent != "" {
		depth = w.line(parent).Depth + 1
	}
	v, _ := w.run.StepAt(path)
	return w.add(v, depth, w.run.GroupOf(path))
}

// add makes the line of a step.
func (w *walk) add(v engine.StepView, depth int, group string) *Step {
	s := Step{
		Path: v.Path, Title: v.Title, Kind: v.Kind, Operation: v.Operation, Target: v.Target,
		Depth: depth, Section: strings.TrimPrefix(w.section, "steps"), Group: group, Line: v.Line,
		Home: cmp.Or(v.Home, w.run.HomeOf(v.Path)),
	}
	s.Standing, s.Class, s.Risk = engine.StandingWould, v.Class, v.Risk
	if w.bounds != nil && v.Statements != "" && group == "" {
		s.Details = []string{cut(v.Statements, w.bounds.text)} // all that can be said of it, and it is the file's own
	}
	w.paths += len(v.Path)
	w.index[v.Path] = len(w.plan.Steps)
	w.plan.Steps = append(w.plan.Steps, s)
	return &w.plan.Steps[len(w.plan.Steps)-1]
}

// quiet attends a read in a plan.
type quiet struct{}

func (quiet) Note(engine.Value) error       { return errors.New("nothing may be noted in a dry-run") }
func (quiet) Progress(int64, int64, string) {}
func (quiet) Write(p []byte) (int, error)   { return len(p), nil }
