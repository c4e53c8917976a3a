package engine

import (
	"errors"
	"fmt"
	"time"
)

// Run is one execution of one playbook: what has happened in it, and what is due. It is changed by
// Apply alone. A Run belongs to one goroutine.
type Run struct {
	pb       *Playbook
	secrets  Record // given from outside; never recorded
	targets  Record
	preview  bool
	timeless bool

	start    *RunStarted
	own      *play // of the run's own playbook
	varsSet  bool
	epoch    int
	state    RunState
	phase    Phase
	final    RunState // what the run will be AFTER this phase
	entered  int      // how often `always` was entered
	cancel   *CancelAsked
	outputs  Record
	err      string
	finished time.Time
	reason   string
	heard    time.Time     // when the last event was
	lived    time.Duration // the time between the events so far; where the clock was set back, none

	nodes    map[string]*node
	ids      map[*Playbook]map[string]bool // of the steps of each playbook; made where it is asked for
	top      *node                         // the block of the phase that is under way
	main     *node
	done     []*node                 // in the order in which they came to an end
	spoken   map[string]StepResolved // a person's word on steps that are not reached yet
	memory   string                  // the results so far, as a digest
	recorded bool                    // whether memory is kept: the playbook asks for approvals
	plan     string                  // the hash of the saved plan that is carried out
	doubts   int
	loose    int
	recheck  bool            // the targets are still to be asked whether they remember
	wiped    map[string]bool // the targets on which nothing has left a marker since a step wiped them
	undo     bool            // a failed step wants the run undone

	// Volatile: what this process has handed out. It is not part of the state that a journal gives.
	queue    []*node
	parked   []*node
	live     int
	checked  bool // this process has asked the targets what they remember
	checking bool // and waits for the answer
	unsynced durability
}

// durability is what the events applied since the last sync ask for.
type durability int

const (
	nothingUnsynced durability = iota
	readsUnsynced              // must be durable BEFORE the next effect
	effectUnsynced             // must be durable BEFORE anything is asked or done
)

// Given is what a run needs and no journal holds.
type Given struct {
	Secrets Record // secrets.<name>, each a Secret
	Inputs  Record // the inputs of type secret, each a Secret
	Targets Record // targets.<name>.<setting>, secrets left out
	// Preview: unknown values are met and passed on instead of being an error.
	Preview bool
	// Timeless: in a plan, when the run starts is known only to a trusted run.
	Timeless bool
}

// NewRun makes a run to which nothing has happened yet. Its first event is [RunStarted].
func NewRun(pb *Playbook, given Given) *Run {
	r := &Run{
		pb: pb, secrets: Record{}, targets: given.Targets, preview: given.Preview, timeless: given.Timeless,
		nodes: map[string]*node{}, ids: map[*Playbook]map[string]bool{}, spoken: map[string]StepResolved{}, wiped: map[string]bool{},
		own: &play{pb: pb},
	}
	for k, v := range given.Secrets {
		r.secrets[k] = v
	}
	for k, v := range given.Inputs {
		r.secrets["input:"+k] = v
	}
	pb.EveryStep(func(s *Step) { r.recorded = r.recorded || s.Class == ClassPerson })
	return r
}

// ErrNotPossible is wrapped by an error that says why an event cannot follow what has happened.
var ErrNotPossible = errors.New("this cannot follow what has happened in the run")

func impossible(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrNotPossible, fmt.Sprintf(format, args...))
}

// Apply takes note of an event. It evaluates nothing: what had to be decided is in the event. An
// error means that the event cannot follow the ones before it; the run must not go on then.
func (r *Run) Apply(s Stamped) error {
	r.hearTime(s.At)
	r.unsynced = max(r.unsynced, weightOf(s.Event, r))
	if r.start == nil {
		e, ok := s.Event.(RunStarted)
		if !ok {
			return impossible("%s comes before run_started", s.eventName())
		}
		return r.applyStarted(e)
	}
	if path := EventStep(s.Event); path != "" {
		return r.applyToStep(path, s)
	}
	return r.applyToRun(s)
}

func (r *Run) applyToRun(s Stamped) error {
	switch e := s.Event.(type) {
	case RunStarted:
		return impossible("the run has started already")
	case VarsSet:
		r.own.vars, _ = e.Vars.V.(Record)
		r.varsSet = true
		r.openSteps()
	case RunResumed:
		return r.applyResumed(e)
	case RunPaused:
		r.state, r.reason = e.State, e.Reason
	case CancelAsked:
		return r.applyCancel(e)
	case PhaseEntered:
		return r.applyPhase(e)
	case RunFinished:
		r.state, r.err, r.finished = e.State, e.Error, s.At
		r.outputs, _ = e.Outputs.V.(Record)
	case PlaybookAdopted:
		r.applyAdopted()
	case MemoryChecked:
		r.applyMemory(e)
	case Repaired:
	default:
		return impossible("unknown event %T", s.Event)
	}
	return nil
}

func (r *Run) applyStarted(e RunStarted) error {
	inputs, ok := e.Inputs.V.(Record)
	if !ok && e.Inputs.V != nil {
		return impossible("the inputs are %s", TypeName(e.Inputs.V))
	}
	for name, v := range inputs {
		if s, secret := v.(Secret); secret && s.Reveal() == "" {
			if given, ok := r.secrets["input:"+name]; ok {
				inputs[name] = given
			}
		}
	}
	e.Inputs.V = inputs
	r.start, r.plan = &e, e.Plan
	r.state = Running
	if len(r.pb.Vars) == 0 {
		r.varsSet = true
		r.openSteps()
	}
	return nil
}

func (r *Run) openSteps() {
	if r.main != nil {
		return
	}
	r.main = r.newBlock(r.pb.Steps, r.ownFrame())
	r.top = r.main
	r.fill(r.main)
}

// ownFrame is the level of names of the run's own playbook.
func (r *Run) ownFrame() *frame { return &frame{play: r.own} }

// newBlock is a node that only holds a list of steps.
func (r *Run) newBlock(steps []*Step, f *frame) *node {
	return &node{
		def: &Step{Group: BlockGroup, Steps: steps, AtOnce: 1}, frame: f,
		role: roleBlock, phase: phaseOpen, group: &groupState{steps: steps},
	}
}

// weightOf says how soon an event must be durable.
func weightOf(e Event, r *Run) durability {
	switch x := e.(type) {
	case Entered, StepSkipped, ItemsListed, PlaybookBegun, DoneIfAsked, Prepared, RetryDue, VarsSet, AskedAgain, MemoryChecked:
		return readsUnsynced
	case StepFinished:
		if n := r.nodes[x.Step]; n != nil && (n.class() == ClassRead || n.def.Nested != nil) {
			return readsUnsynced
		}
	}
	return effectUnsynced
}

// Synced tells the run that everything applied so far is durable.
func (r *Run) Synced() { r.unsynced = nothingUnsynced }

// Unsynced: something was applied that is not known to be durable.
func (r *Run) Unsynced() bool { return r.unsynced != nothingUnsynced }

// Ended tells the run that the driver has nothing under way for a command any more. The driver says
// so for each command, BEFORE it applies the event that answers it; a command that was cut short has
// no such event, and is handed out again by the next process.
func (r *Run) Ended(Command) { r.live-- }

// ID is the run's id.
func (r *Run) ID() string {
	if r.start == nil {
		return ""
	}
	return r.start.Run
}

// State is where the run stands.
func (r *Run) State() RunState { return r.state }

// Playbook is what the run runs.
func (r *Run) Playbook() *Playbook { return r.pb }

// Epoch counts how often the run was taken over.
func (r *Run) Epoch() int { return r.epoch }

// Outputs are the results of a finished run.
func (r *Run) Outputs() Record { return r.outputs }
