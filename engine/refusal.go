package engine

import "fmt"

// ErrorField is what `fails` is asked of, and what a step that failed as expected brings back: the words of the failure.
const ErrorField = "error"

// FailureShape is the shape of what a step brings back that is expected to fail.
func FailureShape() Shape {
	return RecordOf(Field{Name: ErrorField, Doc: "the words of the failure", Shape: Of(TypeText), Required: true})
}

// asExpected says whether a failure is the one that `fails` describes.
func asExpected(fails Expr, s Scope, failure string) (bool, error) {
	holds, err := Test(fails, s.with(Record{ErrorField: failure}))
	if err != nil {
		return false, fmt.Errorf("fails %s: %w", fails, err)
	}
	return holds, nil
}

// judgeFailure grades an attempt that is expected to fail. Only a failure that has surely left no effect is the expected one: what
// cannot be known is no refusal.
func (r *Run) judgeFailure(n *node, o Outcome, e *StepFinished) {
	failure := e.Error
	if failure == "" && o.Grade == GradeFailed {
		if failure = o.Message; failure == "" {
			failure = "the check failed"
		}
	}
	e.State, e.Message = Failed, ""
	if failure == "" {
		if n.class() != ClassRead {
			e.Effect = EffectStands
		}
		e.Error = fmt.Sprintf("it succeeded, and was expected to fail (%s)", n.def.Fails)
		return
	}
	e.Error = failure
	if e.Effect != EffectNone {
		return
	}
	holds, err := asExpected(n.def.Fails, r.scopeAt(n.frame), failure)
	switch {
	case err != nil:
		e.Error = err.Error()
	case !holds:
		e.Error = fmt.Sprintf("it failed otherwise than expected (%s): %s", n.def.Fails, failure)
	default:
		e.State, e.Error, e.Message = OK, "", "fails as expected: "+failure
		e.Result = Typed{Record{ErrorField: failure}}
	}
}

// JudgePrepared takes note of a look at the target before an intent. One that ended in the failure that the step expects has ended the step: nothing was
// done, and nothing has to be.
func (r *Run) JudgePrepared(e Prepared) Event {
	n := r.nodes[e.Step]
	if n == nil || n.def.Fails == nil || e.Error == "" {
		return e
	}
	end := StepFinished{Step: e.Step, State: Failed, Error: e.Error}
	r.judgeFailure(n, Outcome{}, &end)
	if end.State != OK {
		e.Error = end.Error
		return e
	}
	withhold(n, &end)
	return end
}

// FailsOf is the failure that a step is expected to end in; nil: none.
func (r *Run) FailsOf(path string) Expr {
	if n := r.nodes[path]; n != nil && n.def != nil {
		return n.def.Fails
	}
	return nil
}

// judgeFailure makes an answer of a question that is expected to fail. Another failure than that is none: the question could not be asked.
func (q Question) judgeFailure(o Outcome) Answer {
	failure := o.Err
	if failure == "" && o.Grade == GradeFailed {
		failure = o.Message
	}
	if failure == "" {
		return Answer{Asked: No, Grade: GradeFailed, Message: q.String() + " does not hold: it succeeds", Result: o.Result}
	}
	holds, err := asExpected(q.probe.Fails, q.scope, failure)
	switch {
	case err != nil:
		return Answer{Asked: CouldNotAsk, Message: err.Error()}
	case !holds:
		return Answer{Asked: CouldNotAsk, Message: failure}
	}
	return Answer{Asked: Yes, Message: "fails as expected: " + failure, Result: Record{ErrorField: failure}}
}
