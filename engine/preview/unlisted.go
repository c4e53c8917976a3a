package preview

import "github.com/handrail-dev/handrail/engine"

// unlisted adds the steps of a loop whose items nobody knows yet: a reviewer is to see what it may do, and what it may
// change is not known to anything behind it.
func (w *walk) unlisted(loop, after string) {
	depth := w.line(loop).Depth
	for _, v := range w.run.InLoop(loop) {
		if s := w.maybe(v, depth+1, after); s != nil {
			s.Would += ", for each item"
			s.Why = "the items are " + knownAfter(after)
		}
		if v.Class.Writes() {
			w.changes(v.Path, v.Kind, v.Target, v.Changes, v.Class)
			w.wipes(v.Path, v.Wipes)
		}
	}
}

// undo adds the steps that would take back what others did. Only the plan of a stranger's playbook shows them: something could be
// hidden there.
func (w *walk) undo() {
	w.section = engine.PhaseUndo.String()
	for _, v := range w.run.InUndo() {
		if s := w.maybe(v, 0, engine.TrustedRun); s != nil {
			s.Why = "whether it runs is " + knownAfter(engine.TrustedRun)
		}
	}
}

// maybe adds a step of which only the playbook tells; nil: there is no room for it.
func (w *walk) maybe(v engine.StepView, depth int, after string) *Step {
	if w.exceeded() != "" {
		return nil
	}
	s := w.add(v, depth, "")
	s.Maybe, s.KnownAfter = true, stepOf(after)
	s.Would = describe(engine.Call{Kind: v.Kind, Operation: v.Operation, Target: v.Target})
	return s
}

// changes remembers what an effect would change. kind is one whose steps find something else AFTER it; empty: those on
// its own target do.
func (w *walk) changes(step, of, target, kind string, class engine.Class) {
	if kind != "" {
		target = ofKind + kind
	} else if target == "" || of == "exec" { // a program can reach anything, wherever it runs
		target = "*"
	}
	if _, ok := w.changed[target]; !ok && class != engine.ClassAdvisory {
		w.changed[target] = step
	}
	if _, ok := w.changed[containers]; !ok && of == "docker" {
		w.changed[containers] = step
	}
}

// wipes remembers the targets beside its own that a step wipes.
func (w *walk) wipes(step string, targets []string) {
	for _, target := range targets {
		if _, ok := w.changed[target]; !ok {
			w.changed[target] = step
		}
	}
}

// containers stands for all that runs in containers: a service that is stopped later than now has written until then.
const containers = "all containers"
