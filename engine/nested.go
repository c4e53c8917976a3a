package engine

import (
	"errors"
	"fmt"
	"sort"
)

// Nested is a playbook that a step runs. Its steps are steps of the same run, below the path of the step:
// journalled, undone and resolved like all others. Its expressions see its own inputs, vars, targets and
// steps, and nothing of the playbook around it.
type Nested struct {
	Playbook *Playbook
	Inputs   []FieldTemplate   // as they are seen from where the step stands
	Targets  map[string]string // what the playbook calls a target, and what the run calls it
	// Accept brings given inputs into the form that the playbook declares, with its defaults, or says what
	// is wrong with them. What is [Unknown] stays so. It must be pure.
	Accept func(Record) (Record, error)
}

// PlaybookBegun records with what a nested playbook is run. Secrets stand in it by name only; of a
// sensitive step nothing is recorded.
type PlaybookBegun struct {
	Step         string `json:"step"`
	Playbook     string `json:"playbook"`
	Inputs       Typed  `json:"inputs"`
	Vars         Typed  `json:"vars"`
	Withheld     bool   `json:"withheld,omitempty"`
	inputs, vars Record
}

func (PlaybookBegun) eventName() string  { return "playbook_begun" }
func (e PlaybookBegun) stepPath() string { return e.Step }

// play is a playbook under way: the run's own, or one that a step runs.
type play struct {
	pb   *Playbook
	home string // what stands before the ids of its steps, loops left out; see [Playbook.EachPath]
	step *node  // the step that runs it; nil: it is the run's own
	vars Record // nil of a nested one whose vars were withheld; then they are made anew where they are read

	// Of a nested one. What was recorded of its inputs, and, once somebody has asked, all of them: secrets
	// are in no journal and are rendered anew from what they were rendered from.
	recorded Record
	inputs   Record
}

// playAt is the playbook that a frame belongs to.
func (r *Run) playAt(f *frame) *play {
	for at := f; at != nil; at = at.parent {
		if at.play != nil {
			return at.play
		}
	}
	return r.own
}

// inside is the level of names that the children of a group stand in.
func (n *node) inside() *frame {
	if n.group != nil && n.group.inner != nil {
		return n.group.inner
	}
	return n.frame
}

// beginNested decides with what a nested playbook is run.
func (r *Run) beginNested(n *node) []Event {
	inputs, err := r.nestedInputs(n)
	if err != nil {
		return r.failed(n, err)
	}
	p := r.newPlay(n)
	p.inputs = inputs
	vars, err := r.evalVars(p)
	if err != nil {
		return r.failed(n, err)
	}
	e := PlaybookBegun{Step: n.path, Playbook: p.pb.Name, inputs: inputs, vars: vars, Withheld: n.def.Sensitive}
	if !e.Withheld {
		e.Inputs, e.Vars = Typed{inputs}, Typed{vars}
	}
	return []Event{e}
}

// nestedInputs renders what a step gives to the playbook that it runs. In a plan, what is not known stays an
// [Unknown].
func (r *Run) nestedInputs(n *node) (Record, error) {
	scope := r.scopeAt(n.frame)
	given := make(Record, len(n.def.Nested.Inputs))
	for _, f := range n.def.Nested.Inputs {
		render := f.Value.Render
		if r.preview {
			render = f.Value.renderKnown
		}
		v, err := render(scope)
		if err != nil {
			return nil, fmt.Errorf("inputs.%s: %w", f.Name, err)
		}
		given[f.Name] = v
	}
	return n.def.Nested.Accept(given)
}

func (r *Run) newPlay(n *node) *play {
	return &play{pb: n.def.Nested.Playbook, step: n, home: r.playAt(n.frame).home + n.def.ID + "/"}
}

// evalVars evaluates the vars of a playbook, each seeing those before it. In a plan, one that is not known
// stays an [Unknown].
func (r *Run) evalVars(p *play) (Record, error) {
	before := p.vars
	defer func() { p.vars = before }()
	p.vars = Record{}
	scope := r.scopeAt(&frame{play: p})
	for _, f := range p.pb.Vars {
		v, err := f.Value.Render(scope)
		var unknown Unknown
		switch {
		case r.preview && errors.As(err, &unknown):
			v = unknown
		case err != nil:
			return nil, fmt.Errorf("vars.%s: %w", f.Name, err)
		}
		p.vars[f.Name] = v
	}
	return p.vars, nil
}

// applyBegun opens the steps of a nested playbook.
func (r *Run) applyBegun(n *node, e PlaybookBegun) error {
	if n.def.Nested == nil || n.phase != phaseEntering {
		return impossible("step %s was not about to run a playbook", n.path)
	}
	p := r.newPlay(n)
	p.inputs, p.vars = e.inputs, e.vars
	if p.inputs == nil && !e.Withheld { // read from a journal
		p.recorded, _ = e.Inputs.V.(Record)
		p.vars, _ = e.Vars.V.(Record)
		if p.vars == nil {
			p.vars = Record{}
		}
	}
	n.phase, n.issued = phaseOpen, false
	n.group = &groupState{steps: n.def.Steps, inner: &frame{prefix: n.path + "/", play: p}}
	r.fill(n)
	return nil
}

// inputsOf are the inputs of a playbook, as its expressions see them.
func (r *Run) inputsOf(p *play) (Record, error) {
	switch {
	case p.step == nil:
		in, _ := r.start.Inputs.V.(Record)
		return in, nil
	case p.inputs != nil:
		return p.inputs, nil
	}
	complete := p.recorded != nil
	for _, v := range p.recorded {
		if _, secret := v.(Secret); secret {
			complete = false
		}
	}
	if complete {
		p.inputs = p.recorded
		return p.inputs, nil
	}
	again, err := r.nestedInputs(p.step)
	if err != nil {
		return nil, fmt.Errorf("the inputs of step %s were not stored, and cannot be had again: %w", p.step.path, err)
	}
	for name, v := range p.recorded {
		if _, secret := v.(Secret); !secret {
			again[name] = v
		}
	}
	p.inputs = again
	return again, nil
}

func (r *Run) varsOf(p *play) (Record, error) {
	if p.vars == nil && p.step != nil {
		return r.evalVars(p)
	}
	return p.vars, nil
}

// targetsOf are the targets as a playbook calls them.
func (r *Run) targetsOf(p *play) Record {
	if p.step == nil {
		return r.targets
	}
	own := Record{}
	for name, of := range p.step.def.Nested.Targets {
		if t, ok := r.targets[of]; ok {
			own[name] = t
		}
	}
	return own
}

// idsOf are the ids of a playbook's own steps.
func (r *Run) idsOf(pb *Playbook) map[string]bool {
	ids, ok := r.ids[pb]
	if !ok {
		ids = map[string]bool{}
		pb.EachPath(func(path string, s *Step) { ids[path] = true })
		r.ids[pb] = ids
	}
	return ids
}

// outputsOf evaluates what a playbook has come to. In a plan, what is not known stays an [Unknown].
func (r *Run) outputsOf(f *frame) (Record, error) {
	outputs := Record{}
	for _, o := range r.playAt(f).pb.Outputs {
		v, err := o.Expr.Eval(r.scopeAt(f))
		var unknown Unknown
		switch {
		case r.preview && errors.As(err, &unknown):
			v = unknown
		case err != nil:
			return nil, fmt.Errorf("outputs.%s: %w", o.Name, err)
		}
		outputs[o.Name] = v
	}
	return outputs, nil
}

// yields: the playbook that the step runs has outputs, which are evaluated when all else of it has ended well.
func (n *node) yields() bool { return n.def.Nested != nil && len(n.def.Nested.Playbook.Outputs) > 0 }

// yield ends a nested playbook with its outputs as the result of the step.
func (r *Run) yield(n *node) []Event {
	outputs, err := r.outputsOf(n.inside())
	if err != nil {
		return r.failed(n, err)
	}
	e := StepFinished{Step: n.path, State: OK, Result: Typed{outputs}}
	if n.group.degraded {
		e.State = Degraded
	}
	withhold(n, &e)
	return []Event{e}
}

// EachPath calls f for each step of the playbook, undo and always included, with its path as it is without
// loops: its id, behind the ids of the steps that run the playbooks it is in.
func (p *Playbook) EachPath(f func(path string, s *Step)) {
	eachPath("", p.Steps, f)
	eachPath("", p.Always, f)
}

func eachPath(prefix string, steps []*Step, f func(string, *Step)) {
	for _, s := range steps {
		f(prefix+s.ID, s)
		inner := prefix
		if s.Nested != nil {
			inner += s.ID + "/"
		}
		eachPath(inner, s.Steps, f)
		eachPath(inner, s.Always, f)
		eachPath(prefix, s.Undo, f)
	}
}

// EachNested calls f once for each playbook that the steps of this one run, directly or not, sorted by name. A
// name stands for one playbook in the whole tree; the loader sees to that.
func (p *Playbook) EachNested(f func(*Playbook)) {
	found := map[string]*Playbook{}
	p.EveryStep(func(s *Step) {
		if s.Nested != nil {
			found[s.Nested.Playbook.Name] = s.Nested.Playbook
		}
	})
	names := make([]string, 0, len(found))
	for name := range found {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		f(found[name])
	}
}

// NestedDigests are the digests of the files of nested playbooks by name; nil when there are none.
func (p *Playbook) NestedDigests() map[string]string {
	var out map[string]string
	p.EachNested(func(n *Playbook) {
		if out == nil {
			out = map[string]string{}
		}
		out[n.Name] = n.Digest
	})
	return out
}

// WholeDigest is the digest of the playbook with all that it runs; that of its file when it runs no other.
func (p *Playbook) WholeDigest() string {
	whole := p.Digest
	p.EachNested(func(n *Playbook) { whole = Digest(whole + n.Name + "=" + n.Digest) })
	return whole
}

// EveryLock lists the locks of the playbook and of those that it runs, sorted, each once.
func (p *Playbook) EveryLock() []string {
	seen := map[string]bool{}
	var out []string
	add := func(locks []string) {
		for _, l := range locks {
			if !seen[l] {
				seen[l] = true
				out = append(out, l)
			}
		}
	}
	add(p.Locks)
	p.EachNested(func(n *Playbook) { add(n.Locks) })
	sort.Strings(out)
	return out
}
