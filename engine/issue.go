package engine

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// token identifies one effect for ever: the run, the path of the step, and the round where an `always`
// is run once more.
func (r *Run) token(n *node) string {
	t := r.start.Run + "/" + n.path
	if n.round > 0 {
		t += "#" + strconv.Itoa(n.round)
	}
	return t
}

// callFor makes what every command about an operation has in common. Parameters are rendered once per
// attempt; what they are rendered from is recorded, so a later process renders the same.
func (r *Run) callFor(n *node) (Call, error) {
	a := n.attemptState()
	if a.params == nil {
		v, err := r.render(n)
		if err != nil {
			return Call{}, err
		}
		a.params, _ = v.(Record)
		if a.params == nil {
			a.params = Record{}
		}
	}
	c := Call{
		Step: n.path, ID: n.def.ID, Title: n.def.Title, Kind: n.def.Kind, Operation: n.def.Operation.Name,
		Target: n.def.Target, Params: a.params, Class: n.class(), Token: r.token(n), Attempt: n.attempt,
		Epoch: r.epoch, Timeout: n.def.Timeout, Seen: a.seen, Note: a.note, Wipes: n.def.Wipes,
		Wiped: n.def.Wipes || r.wiped[n.def.Target], Sensitive: n.def.Sensitive,
	}
	if n.def.Expect != nil && n.def.Operation.ExpectInside {
		c.Expect = &Condition{expr: n.def.Expect, scope: r.scopeAt(n.frame)}
	}
	return c, nil
}

// render fills in the parameters. In a plan, what is not known stays an [Unknown].
func (r *Run) render(n *node) (Value, error) {
	scope := r.scopeAt(n.frame)
	if !r.preview {
		return n.def.Params.Render(scope)
	}
	return n.def.Params.renderKnown(scope)
}

// renderKnown renders like Render, but puts the [Unknown] where a value is not known yet.
func (t Template) renderKnown(s Scope) (Value, error) {
	switch {
	case t.List != nil:
		out := make(List, len(t.List))
		for i, e := range t.List {
			v, err := e.renderKnown(s)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			out[i] = v
		}
		return out, nil
	case t.Fields != nil:
		out := make(Record, len(t.Fields))
		for _, f := range t.Fields {
			v, err := f.Value.renderKnown(s)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.Name, err)
			}
			out[f.Name] = v
		}
		return out, nil
	}
	v, err := t.Render(s)
	var unknown Unknown
	if errors.As(err, &unknown) {
		return unknown, nil
	}
	return v, err
}

// call makes a command, or, when the parameters cannot be rendered, ends the step with no effect.
func (r *Run) call(n *node, make func(Call) Command) ([]Event, Command) {
	c, err := r.callFor(n)
	if err != nil {
		return r.failed(n, err), nil
	}
	return nil, make(c)
}

func (r *Run) ask(n *node) ([]Event, Command) {
	questions, err := r.questions(n)
	if err != nil {
		return r.failed(n, err), nil
	}
	return nil, AskDoneIf{Step: n.path, Questions: questions, Timeout: n.def.Timeout}
}

func (r *Run) questions(n *node) ([]Question, error) {
	out := make([]Question, len(n.def.DoneIf))
	for i, p := range n.def.DoneIf {
		v, err := p.bind(r.scopeAt(n.frame))
		if err != nil {
			return nil, fmt.Errorf("done_if: %w", err)
		}
		out[i], _ = v.(Question)
		out[i].Timeout = n.def.Timeout
	}
	return out, nil
}

// intend states what is about to be done. It is durable BEFORE it is done.
func (r *Run) intend(n *node) []Event {
	c, err := r.callFor(n)
	if err != nil {
		return r.failed(n, err)
	}
	digest, err := DigestValue(c.Params)
	if err != nil {
		return r.failed(n, fmt.Errorf("parameters: %w", err))
	}
	return []Event{StepIntended{
		Step: n.path, Attempt: n.attempt + 1, Token: c.Token, Class: c.Class, Digest: digest,
	}}
}

// intendAgain states that a cut-off effect is about to be repeated. If that is not possible, it stays
// unknown how far the effect came.
func (r *Run) intendAgain(n *node) []Event {
	_, err := r.callFor(n)
	switch {
	case err == nil:
		return r.intend(n)
	case r.loose > 0: // a result that it needs is still being asked for again
		r.parked = append(r.parked, n)
		return nil
	}
	return []Event{StepFinished{Step: n.path, Attempt: n.attempt, State: Failed, Effect: EffectUnknown, CutOff: true, Error: err.Error()}}
}

func (r *Run) execute(n *node, refresh bool) ([]Event, Command) {
	return r.call(n, func(c Call) Command {
		if c.Class == ClassRead {
			c.Attempt = n.attempt + 1
		}
		return Execute{Call: c, Again: n.attemptState().again, Refresh: refresh}
	})
}

// refresh asks a finished step again. One that needs a result which is itself being asked for again waits for it.
func (r *Run) refresh(n *node) ([]Event, Command) {
	_, err := r.callFor(n)
	if err == nil {
		return r.execute(n, true)
	}
	others := r.loose - 1
	for _, p := range r.parked {
		if p.loose {
			others--
		}
	}
	if others > 0 {
		r.parked = append(r.parked, n)
		return nil, nil
	}
	return []Event{AskedAgain{Step: n.path, State: Failed, Error: err.Error()}}, nil
}

// settle finds out what became of an attempt. A notification is not worth a question: it is not known
// whether it was sent, it is not sent again, and it stops nothing.
func (r *Run) settle(n *node) ([]Event, Command) {
	if n.class() == ClassAdvisory {
		return []Event{StepFinished{Step: n.path, Attempt: n.attempt, State: Degraded,
			Message: "it is not known whether it was sent; it is not sent again"}}, nil
	}
	c, err := r.callFor(n)
	if err != nil && r.loose > 0 { // a result that it needs is still being asked for again
		r.parked = append(r.parked, n)
		return nil, nil
	}
	if err != nil {
		return []Event{
			Settled{Step: n.path, Evidence: []string{"could not ask: " + err.Error()}},
			StepFinished{Step: n.path, Attempt: n.attempt, State: InDoubt, Effect: EffectUnknown, Error: err.Error()},
		}, nil
	}
	questions, err := r.questions(n)
	if err != nil {
		questions = nil
	}
	return nil, Settle{Call: c, Questions: questions}
}

func (r *Run) askApproval(n *node) []Event {
	c, err := r.callFor(n)
	if err != nil {
		return r.failed(n, err)
	}
	e := ApprovalAsked{Step: n.path, Digest: r.approvalDigest(n.path), Plan: r.plan}
	e.Message = Text(c.Params["message"])
	e.For = durationOf(c.Params["expires"])
	return []Event{e}
}

// checkMemory asks for the markers of what this run has done so far in transactions. What Prepared saw goes
// along, since a marker may stand where only that tells: in one of the slots of a cluster.
func (r *Run) checkMemory() CheckMemory {
	wiped, asked := map[string]bool{}, map[*node]bool{}
	for _, n := range r.nodes {
		if n.touched && !n.closed() {
			n.def.wipes(wiped)
		}
	}
	var calls []Call
	for i := len(r.done) - 1; i >= 0; i-- {
		n := r.done[i]
		if n.def.Operation == nil || n.attempt == 0 {
			continue
		}
		if n.touched {
			n.def.wipes(wiped)
		}
		if n.marked && n.well() && !wiped[n.def.Target] && !asked[n] {
			asked[n] = true
			c := Call{Step: n.path, Kind: n.def.Kind, Operation: n.def.Operation.Name,
				Target: n.def.Target, Class: ClassTransactional, Token: r.token(n), Epoch: r.epoch}
			if n.att != nil {
				c.Seen = n.att.seen
			}
			calls = append(calls, c)
		}
	}
	slices.Reverse(calls) // in the order in which they were done
	return CheckMemory{Calls: calls}
}

// nextPhase says what comes AFTER the steps that have just ended.
func (r *Run) nextPhase() Event {
	final := r.finalState()
	if r.phase == PhaseSteps && (r.undo || r.cancel != nil && r.cancel.Undo) {
		return PhaseEntered{Phase: PhaseUndo, Steps: r.toUndo(), Final: RunUndone}
	}
	if r.phase != PhaseAlways && len(r.pb.Always) > 0 {
		return PhaseEntered{Phase: PhaseAlways, Final: final, Round: r.entered}
	}
	return r.end(final)
}

// finalState is what the run has come to, as far as it has come.
func (r *Run) finalState() RunState {
	switch {
	case !r.top.well() && (r.phase != PhaseSteps || r.cancel == nil):
		return RunFailed
	case r.phase != PhaseSteps:
		return r.final
	case r.cancel != nil:
		return RunCancelled
	case r.top.state == Degraded:
		return RunDegraded
	}
	return RunOK
}

func (r *Run) end(final RunState) Event {
	e := RunFinished{State: final}
	if final != RunOK && final != RunDegraded || len(r.pb.Outputs) == 0 {
		return e
	}
	outputs, err := r.outputsOf(r.ownFrame())
	if err != nil && !r.preview {
		return RunFinished{State: RunFailed, Error: err.Error()}
	}
	e.Outputs = Typed{outputs}
	return e
}

// toUndo lists what has an effect to take back, in reverse order of completion. A group that ended well
// is undone as one.
func (r *Run) toUndo() []string {
	var paths []string
	taken := map[*node]bool{}
	for i := len(r.done) - 1; i >= 0; i-- {
		n := r.done[i]
		if taken[n] || len(n.def.Undo) == 0 || !n.effective() || n.role == roleEach {
			continue
		}
		taken[n] = true
		inside := false
		for p := n.parent; p != nil; p = p.parent {
			inside = inside || taken[p]
		}
		if !inside {
			paths = append(paths, n.path)
		}
	}
	return paths
}

// effective: there is an effect of the node to take back.
func (n *node) effective() bool {
	switch n.state {
	case OK, Degraded:
		return true
	case Failed:
		return n.effect != EffectNone
	case Resolved:
		return n.said != nil && n.said.resolved != nil && n.said.resolved.As == ResolvedDone
	case Pending, Skipped, Already, Intended, InDoubt:
	}
	return false
}
