package engine

import "time"

// node is one instance of a step in a run: the step itself, or the step for one item of its loop.
//
// Invariants:
//   - path is unique in the run and never changes; it is built from ids and item keys, never from
//     positions.
//   - children holds the children that are started and not done: the open ones, and those that
//     failed or were stopped and will be tried again on resume. A done child is dropped from it.
//   - a node in phaseIntended has its StepIntended applied; nothing else may be executing an effect.
//   - closed nodes have phaseClosed; only a resume opens them again.
type node struct {
	def    *Step
	path   string
	parent *node
	frame  *frame
	role   role
	phase  nodePhase
	state  State
	effect Effect

	queued    bool // in the run's queue; volatile
	issued    bool // its command is out; volatile
	loose     bool // being asked or run again outside its place; holds up everything else
	cut       bool // closed by a failure elsewhere, or by a cancel
	stop      bool // failed for good: what is above it comes to an end
	marked    bool // done in a transaction, with a marker
	touched   bool // an attempt was begun, and it is not sure that it has left everything as it was
	lost      bool // its marker is gone from the target
	disproved bool // it had ended well, and failed when it was asked again
	admitted  bool // its `when` was true
	undecided bool // in a plan: its `when` is not known
	clean     bool // holds the `always` of its parent, and runs whatever has failed

	attempt int
	round   int // how often it was begun anew after a failure or in a later `always`
	result  Record
	group   *groupState
	att     *attempt
	said    *said
}

// role tells how a node's children come about.
type role int

const (
	roleLeaf  role = iota
	roleBlock      // def.Steps one after the other
	roleAll        // def.Steps side by side
	roleEach       // one instance of def for each item
)

// nodePhase is what a node is waiting for.
type nodePhase int

const (
	phaseEntering  nodePhase = iota // to be decided whether and how it runs
	phaseAsking                     // its done_if
	phasePreparing                  // a look at the target
	phaseReady                      // to be intended, or, a read, to be executed
	phaseIntended                   // the effect
	phaseAgain                      // a repetition of an idempotent effect that a crash cut off
	phaseRetrying                   // the pause before the next attempt
	phaseSettling                   // what became of an attempt
	phasePerson                     // an approval
	phaseDoubt                      // a person's word on what is true
	phaseOpen                       // its children
	phaseYielding                   // the outputs of a nested playbook
	phaseClosed
)

// begun: an effect is, or may be, under way.
func (p nodePhase) begun() bool {
	return p == phaseIntended || p == phaseAgain || p == phaseSettling || p == phaseDoubt
}

// groupState is the progress of a group or loop.
type groupState struct {
	children []*node
	steps    []*Step  // of a block or parallel
	next     int      // the next of steps or items to begin
	frames   []*frame // of an undo: the names that each list of steps sees
	inner    *frame   // of a nested playbook: the names that its steps see
	keys     []string
	items    List    // nil where each key is its own item
	all      []*node // of a kept loop: every instance, for steps.<id>.items
	failed   bool    // a child failed, and stops the group
	halted   bool    // a child came to a stop, by its own failure or one elsewhere
	degraded bool
	cleanup  *node // the group's `always`, once it has begun
	rounds   int   // how often `always` has begun
}

// attempt is what is known of a node only while it is under way.
type attempt struct {
	params  Record // rendered; volatile
	seen    Value
	note    Value
	class   Class // narrowed by Prepared; ClassUnset: as declared
	again   bool
	cutOff  bool // how the attempt before this one ended is not known: the next goes on from it
	settled bool // this epoch has asked what became of it
	asked   bool // done_if was asked
	maybe   bool // an attempt before this one may have left an effect
	clean   bool // it was begun when nothing had been touched
	pause   time.Duration
	ask     *ApprovalAsked
	askedAt time.Duration // what Run.lived was then
	life    time.Duration // how long the approval may be waited for
}

// said is what a node leaves for people to read. Most successful steps leave nothing.
type said struct {
	err, message, tail string
	evidence           []string
	resolved           *StepResolved
	started, finished  time.Time
	intended           time.Time
	known              string // in a plan: why the result is not known
	withheld           bool
}

// frame is one level of names: a playbook, or one iteration of a loop. That of a playbook has no parent, so
// nothing is seen through it.
type frame struct {
	parent *frame
	prefix string // of the paths of the nodes in it
	locals Record // the item, under its name
	play   *play  // of a playbook
}

func (n *node) attemptState() *attempt {
	if n.att == nil {
		n.att = &attempt{}
	}
	return n.att
}

func (n *node) words() *said {
	if n.said == nil {
		n.said = &said{}
	}
	return n.said
}

// class is what a crash may do to the node's effect, as known by now.
func (n *node) class() Class {
	if n.att != nil && n.att.class != ClassUnset {
		return n.att.class
	}
	return n.def.Class
}

// leafOp is the operation of a leaf; nil for groups.
func (n *node) leafOp() *Operation { return n.def.Operation }

func (n *node) closed() bool { return n.phase == phaseClosed }

// well: the node is closed, and the run may go on behind it.
func (n *node) well() bool {
	if !n.closed() {
		return false
	}
	switch n.state {
	case OK, Degraded, Already, Skipped, Resolved:
		return true
	case Failed:
		return !n.stop
	case Pending, Intended, InDoubt:
		return false
	}
	return false
}

// dropChild takes a child that is done out of the open ones.
func (g *groupState) dropChild(c *node) {
	for i, x := range g.children {
		if x == c {
			g.children = append(g.children[:i], g.children[i+1:]...)
			return
		}
	}
}

func (g *groupState) holds(c *node) bool {
	for _, x := range g.children {
		if x == c {
			return true
		}
	}
	return false
}

// active counts the children that are under way.
func (g *groupState) active() int {
	n := 0
	for _, c := range g.children {
		if !c.closed() {
			n++
		}
	}
	return n
}

// item is the i-th item; items that are texts and their own keys are kept only once.
func (g *groupState) item(i int) Value {
	if g.items == nil {
		return g.keys[i]
	}
	return g.items[i]
}
