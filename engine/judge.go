package engine

import (
	"fmt"
	"time"
)

// Judge turns the outcome of an Execute into the event that ends the attempt, or that schedules the
// next one. It asks `expect`, `tolerate` and `fails`, so that a journal holds verdicts and a replay evaluates
// nothing. jitter is between 0 and 1.
func (r *Run) Judge(c Execute, o Outcome, jitter float64) Event {
	n := r.nodes[c.Step]
	e := StepFinished{
		Step: c.Step, Attempt: c.Attempt, State: OK, Effect: o.Effect, Error: o.Err, Message: o.Message,
		Tail: o.Tail, Evidence: o.Evidence, Result: Typed{o.Result},
	}
	if c.Class == ClassRead {
		e.Effect = EffectNone
	}
	if o.InDoubt && o.Err == "" {
		e.Error = "it is not known whether the effect happened"
	}
	switch {
	case o.InDoubt && !c.Class.Repeatable() && c.Class != ClassAdvisory:
		e.State = InDoubt
	case o.InDoubt && c.Class == ClassIdempotent:
		e.State, e.Effect, e.CutOff = Failed, EffectUnknown, true
	case n.def.Fails != nil:
		r.judgeFailure(n, o, &e)
	case e.Error != "":
		e.State = Failed
	default:
		r.judgeResult(n, o, &e)
	}
	if c.Class == ClassAdvisory && e.State == Failed {
		e.State, e.Message, e.Error = Degraded, "could not be sent: "+e.Error, ""
	}
	if e.State == Failed && e.Effect == EffectNone && c.Again && c.Class.Writes() {
		e.Effect, e.CutOff = EffectUnknown, true // this attempt left none; the one that was cut off may have
	}
	withhold(n, &e)
	if c.Refresh {
		return AskedAgain{Step: e.Step, State: e.State, Error: e.Error, Message: e.Message, Result: e.Result,
			Withheld: e.Withheld, withheld: e.withheld}
	}
	if pause, ok := r.again(n, c, e, jitter); ok {
		return RetryScheduled{Step: c.Step, Pause: pause, Error: e.Error, Effect: e.Effect, CutOff: e.CutOff}
	}
	return e
}

// judgeResult grades an attempt that succeeded by what it brought back.
func (r *Run) judgeResult(n *node, o Outcome, e *StepFinished) {
	switch o.Grade {
	case GradeOK:
	case GradeDegraded:
		e.State = Degraded
	case GradeFailed:
		e.State = Failed
		e.Error = o.Message
		if e.Error == "" {
			e.Error = "the check failed"
		}
		return
	}
	if n.def.Expect == nil || n.def.Operation.ExpectInside {
		return
	}
	grade, where, err := n.def.expectation().ask(r.scopeAt(n.frame), o.Result)
	switch grade {
	case GradeOK:
		return
	case GradeDegraded:
		e.State, e.Message = Degraded, fmt.Sprintf("%sexpect %s does not hold, but is tolerated", where, n.def.Expect)
		return
	case GradeFailed:
	}
	e.State = Failed
	if n.class() != ClassRead {
		e.Effect = EffectStands
	}
	e.Error = fmt.Sprintf("%sexpect %s does not hold", where, n.def.Expect)
	if err != nil {
		e.Error = where + err.Error()
	}
}

func (s *Step) expectation() expectation { return expectation{s.Expect, s.Tolerate, s.Each} }

// withhold keeps the result of a sensitive step, and what it wrote, out of what is recorded.
func withhold(n *node, e *StepFinished) {
	if !n.def.Sensitive {
		return
	}
	e.withheld, _ = e.Result.V.(Record)
	e.Withheld = e.withheld != nil
	e.Result, e.Tail = Typed{}, ""
}

// again says whether and when a failed attempt is made again: only what left no effect, or may be
// repeated by its class.
func (r *Run) again(n *node, c Execute, e StepFinished, jitter float64) (time.Duration, bool) {
	if e.State != Failed || c.Attempt >= n.def.Retry.Attempts || r.cancel != nil {
		return 0, false
	}
	if e.Effect != EffectNone && !c.Class.Repeatable() && !n.def.Operation.Resumes {
		return 0, false
	}
	pause := n.def.Retry.Min
	for range c.Attempt - 1 {
		pause = min(2*pause, n.def.Retry.Max)
	}
	return pause/2 + time.Duration(jitter*float64(pause/2)), true
}

// JudgeSettled turns what was found out about an attempt into events. asked is the answer of the
// step's done_if, or nil if it has none or was not needed.
func (r *Run) JudgeSettled(c Settle, s Settlement, asked *Answer) []Event {
	n := r.nodes[c.Step]
	e := Settled{Step: c.Step, Verdict: s.Verdict, Dead: s.Dead, Evidence: s.Evidence, Error: s.Err}
	end := StepFinished{Step: c.Step, Attempt: c.Attempt, State: InDoubt, Effect: EffectUnknown, Evidence: s.Evidence}
	if s.Verdict == VerdictUnknown && s.Err == "" && asked != nil {
		e.Evidence = append(e.Evidence, "done_if: "+asked.Asked.String()+" "+asked.Message)
		switch {
		case asked.Asked == Yes:
			s.Verdict, s.Result = VerdictDone, asked.Result
			end.Message = "done_if says that it is done"
		case asked.Asked == No && s.Dead:
			s.Verdict = VerdictNotDone
		}
		e.Verdict, end.Evidence = s.Verdict, e.Evidence
	}
	switch {
	case s.Verdict == VerdictNotDone:
		return []Event{e}
	case s.Err != "":
		end.State, end.Error = Failed, s.Err
	case s.Verdict == VerdictDone:
		end.State, end.Effect, end.Result = OK, EffectNone, Typed{s.Result}
		switch {
		case n.def.Fails != nil:
			r.judgeFailure(n, Outcome{Result: s.Result}, &end)
		case end.Message == "":
			r.judgeResult(n, Outcome{Result: s.Result}, &end)
		}
	default:
		end.Error = "it is not known whether the effect happened"
	}
	withhold(n, &end)
	return []Event{e, end}
}

// remember adds a result to the digest that an approval is bound to.
func (r *Run) remember(e StepFinished) {
	if !r.recorded {
		return
	}
	b, err := AppendValue(nil, e.Result.V)
	if err != nil {
		b = []byte(err.Error())
	}
	r.memory = Digest(r.memory + e.Step + e.State.String() + string(b))
}

// approvalDigest is what an approval of a step is bound to: the playbook and those that it runs, the
// environment, the inputs, the saved plan and everything that the steps before it have brought back.
func (r *Run) approvalDigest(path string) string {
	inputs, err := AppendValue(nil, r.start.Inputs.V)
	if err != nil {
		inputs = []byte(err.Error())
	}
	return Digest(r.pb.WholeDigest() + r.start.EnvDigest + string(inputs) + r.memory + path + r.plan)
}
