package engine

import "sort"

// applyResumed hands the run to another process. What was under way is asked about; what failed is
// tried again; what was proved is proved again.
func (r *Run) applyResumed(e RunResumed) error {
	if e.Epoch <= r.epoch {
		return impossible("the run was resumed with epoch %d AFTER epoch %d", e.Epoch, r.epoch)
	}
	if r.state == RunUndone || r.state == RunCancelled || r.state == RunOK || r.state == RunDegraded {
		return impossible("the run is %s; it cannot be resumed", r.state)
	}
	r.epoch = e.Epoch
	failed := r.state == RunFailed
	r.state, r.reason, r.err = Running, "", ""
	r.parked, r.queue = nil, nil
	for _, n := range r.nodes {
		n.queued, n.issued = false, false
	}
	if r.loose > 0 {
		for _, path := range sortedPaths(r.nodes) {
			if n := r.nodes[path]; n.loose && n.phase != phaseDoubt {
				r.enqueue(n)
			}
		}
	}
	if failed {
		r.reopenPhase()
	}
	r.requeue(r.main)
	if r.top != r.main {
		r.requeue(r.top)
	}
	unsettled := r.unsettled()
	for _, n := range r.done {
		if unsettled == nil || n.disproved || n.below(unsettled) {
			r.askAgain(n)
		}
	}
	r.recheck, r.checked, r.checking = true, false, false
	return nil
}

// reopenPhase goes back to where the run failed: to its steps, unless those had ended well.
func (r *Run) reopenPhase() {
	r.undo = false
	if r.phase == PhaseAlways && !r.main.well() && r.final != RunUndone {
		r.phase, r.top = PhaseSteps, r.main
	}
	if r.top == nil || r.top.well() {
		return
	}
	// All groups are open again BEFORE any step is looked at: one that ends at once must not find its
	// neighbours closed.
	for _, leaf := range r.reopen(r.top, nil) {
		r.reopenLeaf(leaf)
	}
}

// reopen opens the groups that came to a stop, and lists the steps in them that are to go on.
func (r *Run) reopen(n *node, leaves []*node) []*node {
	n.stop = false
	if n.role == roleLeaf || n.group == nil { // a group without children failed before it opened
		n.phase = phaseEntering
		return append(leaves, n)
	}
	n.phase, n.state = phaseOpen, Pending
	g := n.group
	g.failed, g.halted = false, false
	if g.cleanup != nil {
		g.dropChild(g.cleanup)
		g.cleanup = nil
	}
	for _, c := range g.children {
		if c.closed() {
			leaves = r.reopen(c, leaves)
		}
	}
	return leaves
}

// reopenLeaf tries a failed step again; unless its effect stands and must not be repeated: then a
// person has to say what is true.
func (r *Run) reopenLeaf(n *node) {
	if said, ok := r.spoken[n.path]; ok {
		delete(r.spoken, n.path)
		n.state = Pending
		n.words().resolved = &said
		r.obey(n)
		return
	}
	class := n.class()
	resumes := n.def.Operation != nil && n.def.Operation.Resumes
	if n.state == Failed && n.effect == EffectStands && !class.Repeatable() && class != ClassPerson && !resumes {
		n.phase, n.state = phaseDoubt, InDoubt
		r.doubts++
		n.words().evidence = append(n.words().evidence, "the effect stands: "+n.words().err)
		return
	}
	r.anew(n, n.state == Failed && n.effect != EffectNone)
}

// requeue looks at everything that is open below a node.
func (r *Run) requeue(n *node) {
	if n == nil || n.closed() {
		return
	}
	switch n.phase {
	case phaseOpen:
		for _, c := range append([]*node(nil), n.group.children...) {
			r.requeue(c)
		}
		if n.phase == phaseOpen {
			r.fill(n)
		}
		return
	case phaseIntended:
		n.attemptState().settled = false
		if n.class() == ClassIdempotent {
			n.attemptState().again = true
			n.phase = phaseAgain
		} else {
			n.phase = phaseSettling
		}
	case phaseDoubt:
		if n.effect != EffectStands {
			n.attemptState().settled = false
			n.phase = phaseSettling
		}
	case phaseEntering, phaseAsking, phasePreparing, phaseReady, phaseAgain, phaseRetrying, phaseSettling, phasePerson, phaseYielding, phaseClosed:
	}
	r.enqueue(n)
}

// unsettled is a group under way that takes back for a while, on purpose, what was proved before it.
func (r *Run) unsettled() *node {
	for _, n := range r.nodes {
		if n.def != nil && n.def.Unsettles && n.phase == phaseOpen && !n.clean {
			return n
		}
	}
	return nil
}

func (n *node) below(group *node) bool {
	for at := n; at != nil; at = at.parent {
		if at == group {
			return true
		}
	}
	return false
}

// askAgain takes finished proofs, and sensitive results that somebody will read, back into question.
func (r *Run) askAgain(n *node) {
	op := n.leafOp()
	if op == nil || n.state != OK && n.state != Degraded && !n.disproved || n.def.Class != ClassRead {
		return
	}
	if op.Grades || n.said != nil && n.said.withheld && n.def.Kept {
		r.loosen(n)
	}
}

func (r *Run) applyAdopted() {
	r.plan = "" // it was of another playbook
	for _, n := range r.done {
		if n.def.Class == ClassPerson && n.state == OK {
			r.loosen(n)
			r.anew(n, false)
		}
	}
	for _, path := range sortedPaths(r.nodes) {
		if n := r.nodes[path]; n.phase == phasePerson {
			r.anew(n, false)
		}
	}
}

func sortedPaths(nodes map[string]*node) []string {
	paths := make([]string, 0, len(nodes))
	for p := range nodes {
		paths = append(paths, p)
	}
	sort.Strings(paths)
	return paths
}

func (r *Run) applyMemory(e MemoryChecked) {
	r.recheck, r.checking = false, false
	for _, path := range e.Lost {
		n := r.nodes[path]
		if n == nil || !n.closed() {
			continue
		}
		n.lost = true
		n.state, n.phase = InDoubt, phaseDoubt
		r.doubts++
		n.words().evidence = append(n.words().evidence, e.Evidence...)
		n.loose = true
		r.loose++
	}
	r.wake()
}

func (r *Run) applyPhase(e PhaseEntered) error {
	r.phase, r.final = e.Phase, e.Final
	switch e.Phase {
	case PhaseUndo:
		return r.beginUndo(e.Steps)
	case PhaseAlways:
		r.top = r.newBlock(r.pb.Always, r.ownFrame())
		r.top.clean = true
		r.top.round = e.Round
		r.entered = e.Round + 1
		r.fill(r.top)
	case PhaseSteps:
		return impossible("a run does not go back to its steps by itself")
	}
	return nil
}

// beginUndo runs the `undo` of each of these steps, in this order, with the names that the step saw.
func (r *Run) beginUndo(paths []string) error {
	top := r.newBlock(nil, r.ownFrame())
	top.clean = true
	for _, path := range paths {
		n := r.nodes[path]
		if n == nil {
			return impossible("step %s is to be undone, but the run has not reached it", path)
		}
		list := &Step{ID: "undo " + path, Title: "undo " + path, Group: BlockGroup, Steps: n.def.Undo, AtOnce: 1}
		top.group.steps = append(top.group.steps, list)
		top.group.frames = append(top.group.frames, n.frame)
	}
	r.top = top
	r.fill(top)
	return nil
}

// applyCancel brings the steps to an end; an effect that is under way ends by itself. A run that has
// failed already is taken up again only to be undone and cleaned up.
func (r *Run) applyCancel(e CancelAsked) error {
	if r.phase == PhaseUndo {
		return impossible("the run is being undone")
	}
	r.cancel = &e
	if r.state == RunFailed {
		r.state = Running
		if r.phase == PhaseAlways {
			r.phase, r.top = PhaseSteps, r.main
		}
	}
	if r.phase != PhaseSteps || r.main == nil {
		return nil
	}
	r.haltBelow(r.main)
	if r.main.phase == phaseOpen {
		r.fill(r.main)
	}
	return nil
}
