package engine

// begin makes the instance of a step below a parent. A group without a condition opens at once;
// everything else has to be decided by Next.
func (r *Run) begin(parent *node, def *Step, f *frame, path string, item bool) *node {
	n := &node{def: def, path: path, parent: parent, frame: f, role: roleOf(def, item), round: parent.round}
	r.nodes[path] = n
	parent.group.children = append(parent.group.children, n)
	if parent.role == roleEach && parent.def.Kept {
		parent.group.all = append(parent.group.all, n)
	}
	if said, ok := r.spoken[path]; ok && said.As != ResolvedNotDone {
		n.words().resolved = &said
		r.finish(n, Resolved)
		return n
	}
	// The `when` of a loop is asked once, before its items are listed.
	if def.When == nil || item {
		r.proceed(n)
		return n
	}
	r.enqueue(n)
	return n
}

func roleOf(def *Step, item bool) role {
	switch {
	case def.ForEach != nil && !item:
		return roleEach
	case def.Group == BlockGroup, def.Group == PlaybookGroup:
		return roleBlock
	case def.Group == ParallelGroup:
		return roleAll
	}
	return roleLeaf
}

// open lets the children of a group begin.
func (r *Run) open(n *node) {
	n.phase = phaseOpen
	if n.role == roleEach { // its items are still to be listed
		n.group = &groupState{}
		return
	}
	n.group = &groupState{steps: n.def.Steps}
	r.fill(n)
}

// fill begins as many children as may be under way, and ends the group when there are none left.
func (r *Run) fill(n *node) {
	for r.beginNext(n) {
	}
	if n.phase == phaseOpen && r.exhausted(n) {
		r.leave(n)
	}
}

// beginNext begins one more child, if one is left and the group has room for it.
func (r *Run) beginNext(n *node) bool {
	g := n.group
	if n.phase != phaseOpen || g.halted || g.cleanup != nil || g.next >= g.total() || r.stopping(n) {
		return false
	}
	switch n.role {
	case roleEach:
		if g.active() >= max(1, n.def.AtOnce) {
			return false
		}
	case roleBlock:
		if g.active() > 0 {
			return false
		}
	case roleAll, roleLeaf:
	}
	i := g.next
	g.next++
	if n.role == roleEach {
		r.beginItem(n, g.keys[i], g.item(i))
		return true
	}
	def := g.steps[i]
	if g.frames != nil {
		r.begin(n, def, g.frames[i], def.ID, false)
		return true
	}
	f := n.inside()
	r.begin(n, def, f, f.prefix+def.ID, false)
	return true
}

func (g *groupState) total() int { return max(len(g.steps), len(g.keys)) }

func (r *Run) beginItem(n *node, key string, item Value) {
	path := n.path + "[" + key + "]"
	f := &frame{parent: n.frame, prefix: path + "/", locals: Record{n.def.As: item}}
	r.begin(n, n.def, f, path, true)
}

// exhausted: no child is under way, and none is to begin.
func (r *Run) exhausted(n *node) bool {
	g := n.group
	return g.active() == 0 && (g.halted || g.next >= g.total() || r.stopping(n))
}

// stopping: the node, or something above it, has met a failure that stops it. What cleans up behind a
// failure is not stopped by it.
func (r *Run) stopping(n *node) bool {
	for at := n; at != nil; at = at.parent {
		if at.group != nil && at.group.failed && at.group.cleanup == nil {
			return true
		}
		if at.clean {
			return false
		}
		if at == r.main && r.cancel != nil {
			return true
		}
	}
	return false
}

// leave ends a group: its `always` first, then the group itself.
func (r *Run) leave(n *node) {
	g := n.group
	if len(n.def.Always) > 0 && n.role != roleEach && !n.clean && g.cleanup == nil {
		c := r.newBlock(n.def.Always, n.inside())
		c.parent, c.clean, c.round = n, true, g.rounds
		g.rounds++
		g.cleanup = c
		g.children = append(g.children, c)
		r.fill(c)
		return
	}
	switch {
	case g.failed:
		n.stop = true
		r.finish(n, Failed)
	case g.halted || r.stopping(n):
		n.stop = true
		r.finish(n, Pending)
	case n.yields() && n.role != roleEach:
		n.phase, n.issued = phaseYielding, false
		r.enqueue(n)
	case g.degraded:
		r.finish(n, Degraded)
	default:
		r.finish(n, OK)
	}
}

// finish closes a node and lets what is above it go on.
func (r *Run) finish(n *node, s State) {
	n.state, n.phase = s, phaseClosed
	if !n.def.Kept && n.role == roleLeaf {
		n.result = nil
	}
	if n.role == roleLeaf || len(n.def.Undo) > 0 {
		r.done = append(r.done, n)
	}
	if n.loose {
		r.tighten(n)
		return
	}
	r.childClosed(n)
}

func (r *Run) childClosed(n *node) {
	p := n.parent
	if p == nil || p.phase != phaseOpen || !p.group.holds(n) {
		return
	}
	g := p.group
	if n.state == Failed && n.def.OnError == ContinueOnError {
		n.stop = false
	}
	if n.well() {
		g.dropChild(n)
		g.degraded = g.degraded || n.state == Degraded || n.state == Failed
		r.dropSpent(n)
		r.fill(p)
		return
	}
	g.halted = true
	if n.state == Failed {
		g.failed = true
		r.undo = r.undo || n.def.OnError == UndoOnError
		r.haltBelow(p)
	}
	r.fill(p)
}

// haltBelow closes what has no effect under way below a group that came to a stop. An effect ends by
// itself; an answer that comes for a closed step is let go.
func (r *Run) haltBelow(n *node) {
	if n.phase != phaseOpen || n.clean {
		return
	}
	for _, c := range append([]*node(nil), n.group.children...) {
		switch {
		case c.closed():
		case c.role != roleLeaf && c.phase == phaseOpen:
			r.haltBelow(c)
			if c.phase == phaseOpen && r.exhausted(c) {
				r.leave(c)
			}
		case c.phase.begun(), c.phase == phaseYielding:
		default:
			r.halt(c)
		}
	}
}

// halt closes a step that has no effect under way. It is as if it had never begun, unless an attempt of
// it may have left an effect.
func (r *Run) halt(n *node) {
	n.stop, n.cut = true, true
	if n.att != nil && n.att.maybe {
		n.effect = EffectUnknown
		r.finish(n, Failed)
		return
	}
	r.finish(n, Pending)
}

// dropSpent forgets what nobody will read of an instance in a loop, so that a loop over very many
// items stays small. Its path stays known. A proof keeps what it sees: a resume asks it again.
func (r *Run) dropSpent(n *node) {
	if op := n.leafOp(); op != nil && op.Grades {
		return
	}
	if n.parent.role == roleEach && n.role == roleLeaf && len(n.def.Undo) == 0 && !n.def.Kept {
		n.frame = nil
		if n.marked && n.att != nil && n.att.seen != nil {
			n.att = &attempt{seen: n.att.seen} // its marker is asked for on resume
			return
		}
		n.att = nil
	}
}

func (r *Run) enqueue(n *node) {
	if n.queued {
		return
	}
	n.queued = true
	r.queue = append(r.queue, n)
}

// wake looks again at the nodes that could not go on.
func (r *Run) wake() {
	parked := r.parked
	r.parked = nil
	for _, n := range parked {
		r.enqueue(n)
	}
}

// loosen takes a node out of its place to ask or run it again; nothing else begins meanwhile.
func (r *Run) loosen(n *node) {
	if !n.loose {
		n.loose = true
		r.loose++
	}
	r.enqueue(n)
}

func (r *Run) tighten(n *node) {
	if n.loose {
		n.loose = false
		r.loose--
	}
	r.wake()
}
