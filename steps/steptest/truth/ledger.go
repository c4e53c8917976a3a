// Package truth holds a plan against what the run then did.
//
// What the run did is told by a ledger that stands between the driver and the executor: it sees each operation that is
// carried out and what came of it, whatever the plan said. A plan tells the truth when every effect of the run is in it, when
// what it says would be done was done, when each exact figure is equal and each estimate within the bounds that it states.
//
// It never runs anything by itself, and knows of no target.
package truth

import (
	"context"
	"sync"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/local"
)

// Deed is an operation that was carried out, and what came of its last attempt.
type Deed struct {
	engine.Call
	engine.Outcome
	// Untold: the result was not kept, because no expression of the playbook reads it.
	Untold bool
}

// Ledger takes down what a run carries out.
type Ledger struct {
	mu    sync.Mutex
	deeds map[string]Deed // by path
	order []string
}

// Behind gives an executor that does what another does, and takes it down.
func (l *Ledger) Behind(x local.Executor) local.Executor { return taking{x, l} }

type taking struct {
	local.Executor
	l *Ledger
}

func (t taking) Execute(ctx context.Context, c engine.Execute, a engine.Attendant) engine.Outcome {
	o := t.Executor.Execute(ctx, c, a)
	if !c.Refresh {
		t.l.Take(Deed{Call: c.Call, Outcome: o})
	}
	return o
}

// Take takes one down.
func (l *Ledger) Take(d Deed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deeds == nil {
		l.deeds = map[string]Deed{}
	}
	if _, ok := l.deeds[d.Step]; !ok {
		l.order = append(l.order, d.Step)
	}
	l.deeds[d.Step] = d
}

// Heard takes down an event of a journal. [Ledger.Close] completes it.
func (l *Ledger) Heard(e engine.Event) {
	if e, ok := e.(engine.StepIntended); ok {
		l.Take(Deed{Call: engine.Call{Step: e.Step, Class: e.Class, Token: e.Token, Attempt: e.Attempt}})
	}
}

// Close adds to what was heard what the run knows of it.
func (l *Ledger) Close(r *engine.Run) {
	for _, d := range l.all() {
		v, _ := r.StepAt(d.Step)
		d.Kind, d.Operation, d.Target, d.Err, d.Result = v.Kind, v.Operation, v.Target, v.Error, r.Result(d.Step)
		d.Untold = d.Result == nil
		l.Take(d)
	}
}

// all are the deeds in the order in which they were begun first.
func (l *Ledger) all() []Deed {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Deed, len(l.order))
	for i, step := range l.order {
		out[i] = l.deeds[step]
	}
	return out
}

func (l *Ledger) at(step string) (Deed, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d, ok := l.deeds[step]
	return d, ok
}
