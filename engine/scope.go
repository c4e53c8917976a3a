package engine

import "fmt"

// Scope is what an expression can see. It is a chain: the result under judgement, the item of a
// loop, and at the bottom the run.
type Scope struct {
	parent *Scope
	locals Record
	roots  roots
}

// roots answers for the names at the bottom of a scope.
type roots interface {
	root(name string) (v Value, found bool, err error)
	step(id string) (Record, error)
}

// with adds names in front of those of s. A nil record adds nothing.
func (s Scope) with(locals Record) Scope {
	if len(locals) == 0 {
		return s
	}
	return Scope{parent: &s, locals: locals}
}

// Name looks up a name at the head of an expression: inputs, vars, targets, run, secrets, item, a field of
// the result under judgement. A value that is not known yet is an [Unknown].
func (s Scope) Name(name string) (Value, error) {
	for at := &s; at != nil; at = at.parent {
		if v, ok := at.locals[name]; ok {
			return v, nil
		}
		if at.roots != nil {
			if v, ok, err := at.roots.root(name); ok || err != nil {
				return v, err
			}
		}
	}
	return nil, fmt.Errorf("there is no %s here", name)
}

// Step gives what steps.<id> is: the result of the step, with its state as `state`.
func (s Scope) Step(id string) (Record, error) {
	for at := &s; at != nil; at = at.parent {
		if at.roots != nil {
			return at.roots.step(id)
		}
	}
	return nil, fmt.Errorf("there is no step %s here", id)
}

// FixedScope is a scope of given values, for a loader that folds constants and for tests. Under the
// name "steps" it may hold a record of step results.
func FixedScope(values Record) Scope { return Scope{roots: fixed(values)} }

type fixed Record

func (f fixed) root(name string) (Value, bool, error) { v, ok := f[name]; return v, ok, nil }

func (f fixed) step(id string) (Record, error) {
	steps, _ := f["steps"].(Record)
	if r, ok := steps[id].(Record); ok {
		return r, nil
	}
	return nil, fmt.Errorf("there is no step %s here", id)
}
