package engine

import "time"

// applyToStep takes note of an event about one step.
func (r *Run) applyToStep(path string, s Stamped) error {
	if e, ok := s.Event.(StepResolved); ok {
		return r.applyResolved(e)
	}
	n := r.nodes[path]
	if n == nil {
		return impossible("%s is about step %s, which the run has not reached", s.eventName(), path)
	}
	if n.closed() && !n.loose {
		return r.applyLate(n, s.Event)
	}
	switch e := s.Event.(type) {
	case Entered:
		r.proceed(n)
	case StepSkipped:
		n.words().message = e.Why
		r.finish(n, Skipped)
	case ItemsListed:
		return r.applyItems(n, e)
	case PlaybookBegun:
		return r.applyBegun(n, e)
	case DoneIfAsked:
		return r.applyDoneIf(n, e)
	case Prepared:
		return r.applyPrepared(n, e)
	case StepIntended:
		return r.applyIntended(n, e, s.At)
	case Noted:
		n.attemptState().note = e.Note.V
	case StepFinished:
		return r.applyFinished(n, e, s.At)
	case RetryScheduled:
		n.attemptState().pause = e.Pause
		n.ended(e.Effect, e.CutOff)
		n.words().err = e.Error
		r.advance(n, phaseRetrying)
	case RetryDue:
		a := n.attemptState()
		if a.again = false; !a.cutOff {
			a.note = nil
		}
		r.beginAttempt(n)
	case Settled:
		return r.applySettled(n, e)
	case ApprovalAsked:
		a := n.attemptState()
		a.ask, a.askedAt = &e, r.lived
		if !e.Expires.IsZero() {
			a.life = e.Expires.Sub(s.At)
		}
		r.advance(n, phasePerson)
	case ApprovalGiven:
		return r.applyApproval(n, e)
	case ApprovalRefused:
		n.words().err = refusal(e)
		r.fail(n, EffectNone)
	case AskedAgain:
		return r.applyAskedAgain(n, e)
	case Assumed:
		n.words().known = e.After
		r.finish(n, e.State)
	case Undecided:
		n.words().known = e.Why
		n.undecided = true
		r.proceed(n)
	default:
		return impossible("unknown event %T", s.Event)
	}
	return nil
}

// applyLate lets go of an answer that came AFTER its step was closed by a failure elsewhere. A step
// that ended by itself cannot end again.
func (r *Run) applyLate(n *node, e Event) error {
	if n.cut {
		return nil
	}
	return impossible("%s is about step %s, which is %s already", e.eventName(), n.path, n.state)
}

// advance brings a node to its next phase, unless a failure elsewhere has stopped it.
func (r *Run) advance(n *node, to nodePhase) {
	n.phase, n.issued = to, false
	if n.parent != nil && !n.loose && !to.begun() && r.stopping(n.parent) {
		r.halt(n)
		return
	}
	r.enqueue(n)
}

// beginAttempt leads to the next attempt: a look at the target first, where the operation wants one. One that goes
// on from an attempt that was cut off has what was seen before that.
func (r *Run) beginAttempt(n *node) {
	if n.att != nil && n.att.cutOff {
		n.att.again = true
		r.advance(n, phaseReady)
		return
	}
	if op := n.leafOp(); op != nil && op.Prepares && n.def.Class.Writes() {
		r.advance(n, phasePreparing)
		return
	}
	r.advance(n, phaseReady)
}

// proceed goes on with a node whose `when` has been dealt with.
func (r *Run) proceed(n *node) {
	n.admitted = true
	switch {
	case n.role == roleEach || n.def.Class == ClassPerson || n.def.Nested != nil:
		r.advance(n, phaseEntering)
	case n.role == roleBlock || n.role == roleAll:
		r.open(n)
	case len(n.def.DoneIf) > 0:
		r.advance(n, phaseAsking)
	default:
		r.beginAttempt(n)
	}
}

// anew leads a node back to its start. A `when` that was true stays true, and so does that an attempt
// may have left an effect: maybe.
func (r *Run) anew(n *node, maybe bool) {
	before := n.att
	n.state, n.att, n.stop, n.cut, n.effect = Pending, nil, false, false, EffectNone
	if maybe {
		n.attemptState().maybe = true
		if before != nil && before.cutOff {
			n.att.cutOff, n.att.seen, n.att.note, n.att.class = true, before.seen, before.note, before.class
		}
	}
	if n.def.When == nil || n.admitted {
		r.proceed(n)
		return
	}
	r.advance(n, phaseEntering)
}

func (r *Run) applyItems(n *node, e ItemsListed) error {
	r.open(n)
	n.group.keys = e.Keys
	if e.Items.V != nil {
		items, ok := e.Items.V.(List)
		if !ok || len(items) != len(e.Keys) {
			return impossible("the items of step %s do not match their keys", n.path)
		}
		n.group.items = items
	}
	r.fill(n)
	return nil
}

func (r *Run) applyDoneIf(n *node, e DoneIfAsked) error {
	n.attemptState().asked = true
	if n.said != nil && n.said.resolved != nil && n.phase == phaseAsking {
		return r.applyProofOfWord(n, e)
	}
	if n.phase != phaseAsking {
		return impossible("step %s was not asking", n.path)
	}
	switch e.Asked {
	case Yes:
		n.words().message = e.Message
		n.result, _ = e.Result.V.(Record)
		r.finish(n, Already)
	case No:
		r.beginAttempt(n)
	case CouldNotAsk:
		n.words().err = "done_if could not be asked: " + e.Message
		r.fail(n, EffectNone)
	}
	return nil
}

func (r *Run) applyPrepared(n *node, e Prepared) error {
	if n.phase != phasePreparing {
		return impossible("step %s was not preparing", n.path)
	}
	if e.Error != "" {
		n.words().err = e.Error
		r.fail(n, EffectNone)
		return nil
	}
	a := n.attemptState()
	a.seen, a.class = e.Seen.V, e.Class
	r.advance(n, phaseReady)
	return nil
}

func (r *Run) applyIntended(n *node, e StepIntended, at time.Time) error {
	if n.phase != phaseReady && n.phase != phaseAgain {
		return impossible("step %s was not ready", n.path)
	}
	a := n.attemptState()
	a.class, a.settled, a.clean = e.Class, false, !n.touched
	n.attempt, n.state, n.touched = e.Attempt, Intended, true
	n.def.wipes(r.wiped)
	w := n.words()
	w.intended = at
	if w.started.IsZero() {
		w.started = at
	}
	n.phase, n.issued = phaseIntended, false
	r.enqueue(n)
	return nil
}

func (r *Run) applyFinished(n *node, e StepFinished, at time.Time) error {
	if n.phase == phaseOpen {
		return impossible("step %s is a group under way", n.path)
	}
	r.remember(e)
	if e.Attempt > 0 {
		n.attempt = e.Attempt
	}
	r.take(n, e, at)
	switch e.State {
	case OK, Degraded:
		n.effect = EffectNone
		n.marked = n.class() == ClassTransactional && n.def.Fails == nil // what was refused has left no marker
		if n.marked {
			delete(r.wiped, n.def.Target)
		}
		r.calm(n)
		r.finish(n, e.State)
	case Failed:
		n.ended(e.Effect, e.CutOff)
		r.fail(n, e.Effect)
	case InDoubt:
		r.doubt(n)
	case Pending, Skipped, Already, Intended, Resolved:
		return impossible("an attempt cannot end %s", e.State)
	}
	return nil
}

// take keeps what an attempt left: its result, if it is read later, and its words.
func (r *Run) take(n *node, e StepFinished, at time.Time) {
	n.result, _ = e.Result.V.(Record)
	if e.Withheld {
		n.result = e.withheld
		n.words().withheld = true
	} else if n.said != nil {
		n.said.withheld = false
	}
	if n.said != nil || e.Error != "" || e.Message != "" || e.Tail != "" || len(e.Evidence) > 0 {
		w := n.words()
		w.err, w.message, w.tail, w.evidence = e.Error, e.Message, e.Tail, e.Evidence
		w.finished = at
	}
}

// doubt: it is not known whether the effect happened. Once per process it is asked; then a person is.
func (r *Run) doubt(n *node) {
	if n.state != InDoubt {
		n.state = InDoubt
		r.doubts++
	}
	if n.attemptState().settled {
		n.phase = phaseDoubt
		return
	}
	n.phase, n.issued = phaseSettling, false
	r.enqueue(n)
}

// calm takes a step out of doubt.
func (r *Run) calm(n *node) {
	if n.state == InDoubt {
		n.state = Intended
		r.doubts--
		r.wake()
	}
}

// ended keeps what a failed attempt may have left. One that left nothing says nothing of those before it.
func (n *node) ended(effect Effect, cutOff bool) {
	a := n.attemptState()
	if effect == EffectNone {
		n.leftAll(a)
		return
	}
	a.maybe, a.cutOff = true, cutOff
}

// leftAll: the attempt has left everything as it was.
func (n *node) leftAll(a *attempt) {
	if a.clean && !a.maybe {
		n.touched = false
	}
}

// fail closes a step that has failed. Whether that stops the run is the author's choice.
func (r *Run) fail(n *node, effect Effect) {
	if effect == EffectNone && n.att != nil && n.att.maybe {
		effect = EffectUnknown
	}
	n.effect = effect
	n.stop = n.def.OnError != ContinueOnError
	r.calm(n)
	if n.said != nil && n.said.finished.IsZero() {
		n.said.finished = n.said.intended
	}
	r.finish(n, Failed)
}

func (r *Run) applySettled(n *node, e Settled) error {
	if n.phase != phaseSettling {
		return impossible("step %s was not being settled", n.path)
	}
	a := n.attemptState()
	a.settled = true
	n.words().evidence = e.Evidence
	if e.Verdict == VerdictNotDone {
		n.leftAll(a)
		r.calm(n)
		n.state = Pending
		n.phase, n.issued = phaseReady, false
		r.enqueue(n)
	}
	// Any other verdict is followed by the StepFinished that it leads to.
	return nil
}

func (r *Run) applyApproval(n *node, e ApprovalGiven) error {
	a := n.attemptState().ask
	if n.phase != phasePerson || a == nil {
		return impossible("step %s does not wait for an approval", n.path)
	}
	if a.Digest != e.Digest {
		return impossible("the approval of step %s is for something else than was asked", n.path)
	}
	n.words().message = "approved by " + e.By.String()
	r.finish(n, OK)
	return nil
}

func refusal(e ApprovalRefused) string {
	if e.Expired {
		return "the approval expired; nobody had answered"
	}
	s := "declined by " + e.By.String()
	if e.Because != "" {
		s += ": " + e.Because
	}
	return s
}

// applyResolved takes a person's word on a step, reached or not.
func (r *Run) applyResolved(e StepResolved) error {
	n := r.nodes[e.Step]
	if n == nil {
		r.spoken[e.Step] = e
		return nil
	}
	if n.role != roleLeaf {
		return impossible("step %s is a group; resolve the steps in it", e.Step)
	}
	if n.phase == phaseIntended {
		return impossible("step %s is under way", e.Step)
	}
	if n.closed() && n.state != Failed && n.state != Pending && !n.lost {
		return impossible("step %s is %s; there is nothing to resolve", e.Step, n.state)
	}
	n.words().resolved = &e
	if n.closed() {
		// Its word counts when the run is resumed: what is above it is closed as well.
		r.spoken[e.Step] = e
		return nil
	}
	r.obey(n)
	return nil
}

// obey does what a person has said of an open step.
func (r *Run) obey(n *node) {
	said := n.said.resolved
	r.calm(n)
	// A person's word stands in the place of the marker: the target is not asked for it again, or it would be missed
	// at each resume.
	n.lost, n.marked = false, false
	switch said.As {
	case ResolvedNotDone:
		n.said.resolved = nil
		r.anew(n, false)
	case ResolvedSkip:
		r.finish(n, Resolved)
	case ResolvedDone:
		if len(n.def.DoneIf) > 0 {
			n.state = Pending
			r.advance(n, phaseAsking)
			return
		}
		r.finish(n, Resolved)
	}
}

// applyProofOfWord holds a person's "done" against the step's own probe.
func (r *Run) applyProofOfWord(n *node, e DoneIfAsked) error {
	switch e.Asked {
	case Yes:
		n.words().message = e.Message
		r.finish(n, Resolved)
	case No:
		n.words().err = "resolved as done by " + n.said.resolved.By.String() + ", but done_if says it is not: " + e.Message
		r.fail(n, EffectUnknown)
	case CouldNotAsk:
		n.words().err = "resolved as done by " + n.said.resolved.By.String() + ", but done_if could not be asked: " + e.Message
		r.fail(n, EffectUnknown)
	}
	return nil
}

func (r *Run) applyAskedAgain(n *node, e AskedAgain) error {
	if !n.loose {
		return impossible("step %s was not being asked again", n.path)
	}
	if e.Message != "" || e.Error != "" {
		n.words().message, n.words().err = e.Message, e.Error
	}
	if res, ok := e.Result.V.(Record); ok {
		n.result = res
	}
	if e.withheld != nil {
		n.result = e.withheld
	}
	n.state, n.phase = e.State, phaseClosed
	n.disproved = e.State == Failed
	r.tighten(n)
	if n.disproved {
		n.stop = true
		r.main.group.failed = true
		r.haltBelow(r.main)
		r.fill(r.main)
	}
	return nil
}
