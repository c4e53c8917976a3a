package engine

import (
	"strings"
	"time"
)

// StepView is what a person may see of a step.
type StepView struct {
	Path       string        `json:"path"`
	ID         string        `json:"id"`
	Title      string        `json:"title,omitempty"`
	Kind       string        `json:"kind,omitempty"`
	Operation  string        `json:"operation,omitempty"`
	Target     string        `json:"target,omitempty"`
	Group      bool          `json:"group,omitempty"`
	Playbook   string        `json:"playbook,omitempty"` // that the step runs
	Depth      int           `json:"depth"`
	State      State         `json:"state"`
	Effect     Effect        `json:"effect,omitempty"`
	Class      Class         `json:"class,omitempty"`
	Risk       Risk          `json:"risk,omitempty"`
	Attempt    int           `json:"attempt,omitempty"`
	Waiting    bool          `json:"waiting,omitempty"` // for a person
	Lost       bool          `json:"lost,omitempty"`    // it was done, and its target does not remember
	Started    time.Time     `json:"started_at,omitzero"`
	Intended   time.Time     `json:"intended_at,omitzero"`
	Finished   time.Time     `json:"finished_at,omitzero"`
	Error      string        `json:"error,omitempty"`
	Message    string        `json:"message,omitempty"`
	Tail       string        `json:"tail,omitempty"`
	Evidence   []string      `json:"evidence,omitempty"`
	Resolved   *StepResolved `json:"resolved,omitempty"`
	Token      string        `json:"token,omitempty"`
	Ask        string        `json:"ask,omitempty"` // what a person is asked to approve
	Expires    time.Time     `json:"expires_at,omitzero"`
	Note       Value         `json:"-"`
	DoneIf     []string      `json:"done_if,omitempty"`
	Statements string        `json:"-"`              // what is sent, as the playbook writes it
	Changes    string        `json:"-"`              // the kind whose steps find something else AFTER it; empty: those on its own target do
	Wipes      []string      `json:"-"`              // the targets beside its own that it wipes
	Home       string        `json:"-"`              // of [Run.InLoop] and [Run.InUndo]: see [Run.HomeOf]
	File       string        `json:"file,omitempty"` // of a step of a nested playbook, where Line is
	Line       int           `json:"line,omitempty"`
}

// RunView is what a person may see of a run.
type RunView struct {
	ID       string    `json:"id"`
	Playbook string    `json:"playbook"`
	State    RunState  `json:"state"`
	Phase    Phase     `json:"phase"`
	Reason   string    `json:"reason,omitempty"`
	Error    string    `json:"error,omitempty"`
	Started  time.Time `json:"started_at"`
	Finished time.Time `json:"finished_at,omitzero"`
	By       Person    `json:"by"`
	Epoch    int       `json:"epoch"`
	Outputs  Record    `json:"-"`
	Inputs   Record    `json:"-"`
	Digest   string    `json:"playbook_digest"`
	Plan     string    `json:"plan,omitempty"` // the hash of the saved plan that it carries out
}

// View tells where the run stands.
func (r *Run) View() RunView {
	if r.start == nil {
		return RunView{}
	}
	inputs, _ := r.start.Inputs.V.(Record)
	return RunView{
		ID: r.start.Run, Playbook: r.start.Playbook, State: r.state, Phase: r.phase, Reason: r.reason, Error: r.err,
		Started: r.start.Started, Finished: r.finished, By: r.start.By, Epoch: r.epoch, Outputs: r.outputs,
		Inputs: inputs, Digest: r.start.PlaybookDigest, Plan: r.plan,
	}
}

// EachStep calls f for every step in the order of the playbook, with every instance that the run has
// reached; steps that it has not reached are shown pending.
func (r *Run) EachStep(f func(StepView)) {
	w := walker{r: r, f: f, seen: map[string]bool{}}
	w.steps(r.pb.Steps, "", 0)
	if r.phase == PhaseUndo || r.phase == PhaseAlways {
		for _, n := range r.done {
			w.steps(n.def.Undo, framePrefix(n.frame), 1)
		}
	}
	w.steps(r.pb.Always, "", 0)
}

func framePrefix(f *frame) string {
	if f == nil {
		return ""
	}
	return f.prefix
}

type walker struct {
	r    *Run
	f    func(StepView)
	seen map[string]bool
}

func (w walker) steps(list []*Step, prefix string, depth int) {
	for _, s := range list {
		path := prefix + s.ID
		if w.seen[path] {
			continue
		}
		w.seen[path] = true
		n := w.r.nodes[path]
		w.f(w.r.stepView(s, n, path, depth))
		switch {
		case n != nil && n.role == roleEach && n.group != nil:
			for _, key := range n.group.keys {
				w.item(s, path+"["+key+"]", depth+1)
			}
		case s.Group != NoGroup && (s.ForEach == nil):
			inner := prefix
			if s.Nested != nil {
				inner = path + "/"
			}
			w.steps(s.Steps, inner, depth+1)
			w.steps(s.Always, inner, depth+1)
		}
	}
}

func (w walker) item(s *Step, path string, depth int) {
	n := w.r.nodes[path]
	if n == nil {
		return
	}
	w.f(w.r.stepView(s, n, path, depth))
	if s.Group != NoGroup {
		w.steps(s.Steps, path+"/", depth+1)
		w.steps(s.Always, path+"/", depth+1)
	}
}

// StepAt is the view of one step by its path.
func (r *Run) StepAt(path string) (StepView, bool) {
	n := r.nodes[path]
	if n == nil {
		return StepView{}, false
	}
	return r.stepView(n.def, n, path, 0), true
}

func (r *Run) stepView(s *Step, n *node, path string, depth int) StepView {
	v := StepView{
		Path: path, ID: s.ID, Title: s.Title, Kind: s.Kind, Target: s.Target, Group: s.Group != NoGroup,
		Depth: depth, Class: s.Class, Risk: s.Risk, Line: s.Pos.Line,
	}
	if s.Nested != nil {
		v.Playbook = s.Nested.Playbook.Name
	}
	if s.Pos.File != r.pb.File {
		v.File = s.Pos.File
	}
	if s.Operation != nil {
		v.Operation, v.Changes, v.Wipes = s.Operation.Name, s.Operation.Changes, s.WipesToo
		v.Statements = strings.TrimSuffix(strings.TrimPrefix(s.Params.Written(), "{"), "}")
	}
	for _, p := range s.DoneIf {
		v.DoneIf = append(v.DoneIf, p.Source())
	}
	if n == nil {
		return v
	}
	v.State, v.Effect, v.Attempt = n.state, n.effect, n.attempt
	v.Lost = n.lost
	v.Waiting = n.phase == phasePerson || n.phase == phaseDoubt
	v.Class = n.class()
	if r.start != nil && n.role == roleLeaf && n.attempt > 0 {
		v.Token = r.token(n)
	}
	if n.att != nil {
		v.Note = n.att.note
		if n.att.ask != nil {
			v.Ask, v.Expires = n.att.ask.Message, n.att.ask.Expires
		}
	}
	if w := n.said; w != nil {
		v.Started, v.Intended, v.Finished = w.started, w.intended, w.finished
		v.Error, v.Message, v.Tail, v.Evidence, v.Resolved = w.err, w.message, w.tail, w.evidence, w.resolved
	}
	return v
}

// Result is what the journal holds of a finished step that some expression reads.
func (r *Run) Result(path string) Record {
	if n := r.nodes[path]; n != nil {
		return n.result
	}
	return nil
}

// Wants tells whether the answer to a command about that step is still of use. A failure elsewhere
// may have closed the step meanwhile.
func (r *Run) Wants(path string) bool {
	n := r.nodes[path]
	return n != nil && (!n.closed() || n.loose)
}

// ParentOf is the path of the group that a step stands in; empty at the top.
func (r *Run) ParentOf(path string) string {
	n := r.nodes[path]
	if n == nil {
		return ""
	}
	for p := n.parent; p != nil; p = p.parent {
		if p.path != "" {
			return p.path
		}
	}
	return ""
}

// HomeOf is the path of a step as it is without the loops around it; see [Playbook.EachPath].
func (r *Run) HomeOf(path string) string {
	n := r.nodes[path]
	if n == nil {
		return path
	}
	return r.playAt(n.frame).home + n.def.ID
}

// GroupOf says how a step holds others: block, parallel, playbook, for_each, or, of one that acts, nothing.
func (r *Run) GroupOf(path string) string {
	n := r.nodes[path]
	if n == nil {
		return ""
	}
	switch n.role {
	case roleEach:
		return "for_each"
	case roleBlock, roleAll, roleLeaf:
	}
	return n.def.Group.String()
}

// EachItem is what stands in a path for the key of an item that is not known.
const EachItem = "[*]"

// InLoop are the steps that act for each item of a loop, for a plan that does not know the items: each once, with [EachItem] in its path.
func (r *Run) InLoop(path string) []StepView {
	n := r.nodes[path]
	if n == nil || n.role != roleEach {
		return nil
	}
	var out []StepView
	r.inItem(n.def, path+EachItem, path+EachItem+"/", strings.TrimSuffix(r.HomeOf(path), n.def.ID), func(v StepView) { out = append(out, v) })
	return out
}

// InUndo are the steps that act in an `undo`, whether or not a run would come there: each once, as the playbook has it.
func (r *Run) InUndo() []StepView {
	var out []StepView
	r.pb.EachPath(func(path string, s *Step) {
		prefix := strings.TrimSuffix(path, s.ID)
		r.inItem(&Step{Group: BlockGroup, Steps: s.Undo}, "", prefix, prefix, func(v StepView) { out = append(out, v) })
	})
	return out
}

// inItem goes through what a step does. prefix stands before the ids of the steps in it; home, before its own where loops are left out.
func (r *Run) inItem(s *Step, path, prefix, home string, f func(StepView)) {
	if s.Group == NoGroup {
		v := r.stepView(s, nil, path, 0)
		v.Home = home + s.ID
		f(v)
		return
	}
	if s.Nested != nil {
		home += s.ID + "/"
	}
	for _, list := range [][]*Step{s.Steps, s.Always} {
		for _, inner := range list {
			at, below := prefix+inner.ID, prefix
			switch {
			case inner.ForEach != nil:
				at += EachItem
				below = at + "/"
			case inner.Nested != nil:
				below = at + "/"
			}
			r.inItem(inner, at, below, home, f)
		}
	}
}

// Waits: the step lasts until the world has changed.
func (r *Run) Waits(path string) bool {
	n := r.nodes[path]
	return n != nil && n.leafOp() != nil && n.leafOp().Waits
}

// ChangesOf is the kind whose steps find something else AFTER a step; empty: those on its own target do.
func (r *Run) ChangesOf(path string) string {
	if n := r.nodes[path]; n != nil && n.def.Operation != nil {
		return n.def.Operation.Changes
	}
	return ""
}

// RiskOf is the risk of a step as its parameters say.
func (r *Run) RiskOf(path string) Risk {
	if n := r.nodes[path]; n != nil {
		return n.def.Risk
	}
	return RiskReads
}
