package playbook

import (
	"gopkg.in/yaml.v3"

	"github.com/handrail-dev/handrail/engine"
)

// act reads a step that acts, and gives the shape of its result.
func (l *loader) act(e *field, f fields, s *engine.Step, sc *scope) engine.Shape {
	k := l.cat.byName[e.key.Value]
	s.Kind, l.acting = k.Name, s
	tests := &names{l: l, sight: seeForTests, scope: sc, self: s.ID, where: "expect"}
	params := &names{l: l, sight: seeForParams, scope: sc, self: s.ID, where: "a parameter"}
	target := l.targetOf(f.get("on"), k, e.key)
	s.Target = l.targets[target].run
	l.wipes(f.get("wipes"), s)
	op := l.operation(k, e, target, s.Wipes, params)
	if op == nil {
		return engine.Shape{Type: engine.TypeRecord, Open: true}
	}
	s.Operation, s.Params, s.Class, s.Risk, s.Each = op.op, op.params, op.class, op.risk, op.each
	if n := f.get("effect"); n != nil {
		s.Class = l.effect(n, op)
	}
	l.judgeWhole(f, s)
	if n := f.get("expect"); n != nil {
		s.Expect = l.condition(n, "expect", tests.with(op.tested()))
	}
	if n := f.get("tolerate"); n != nil {
		in := tests.with(op.tested())
		in.where = "tolerate"
		s.Tolerate = l.condition(n, "tolerate", in)
		switch {
		case f.get("expect") == nil:
			l.node(n, "", "tolerate goes with expect only")
		case op.op.ExpectInside:
			l.node(n, "", "%s asks expect BEFORE it commits: it takes no tolerate", fullName(k.Name, op.op))
		}
	}
	if n := f.get("done_if"); n != nil {
		s.DoneIf = l.doneIf(n, params)
	}
	if s.Fails = l.fails(f, op, tests, "expect", "tolerate", "done_if", "undo", "wipes"); s.Fails != nil {
		return engine.FailureShape()
	}
	return op.op.ResultShape(op.each)
}

func (l *loader) doneIf(n *yaml.Node, names *names) []*engine.Probe {
	list := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		list = n.Content
	}
	var out []*engine.Probe
	for _, e := range list {
		if p := l.probe(e, "done_if", names); p != nil {
			out = append(out, p)
		}
	}
	if len(list) == 0 {
		l.node(n, "", "done_if has no probes")
	}
	return out
}

// wipes reads the targets on which the step erases what Handrail has left: true is its own, and others are named, because a
// container that is made anew takes a database along.
func (l *loader) wipes(n *yaml.Node, s *engine.Step) {
	switch {
	case n == nil:
		return
	case n.Kind != yaml.SequenceNode && n.Tag == "!!bool":
		s.Wipes = l.boolean(n, "wipes")
		return
	}
	list := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		list = n.Content
	}
	for _, e := range list {
		name := l.plainText(e, "wipes")
		t, known := l.targets[name]
		switch {
		case name == "":
		case !known:
			l.node(e, nearestOf(name, keysOf(l.targets), "the targets are"), "there is no target %s", name)
		case t.run == s.Target:
			s.Wipes = true
		case contains(s.WipesToo, t.run):
			l.node(e, "", "%s is named twice", name)
		default:
			s.WipesToo = append(s.WipesToo, t.run)
		}
	}
	if len(list) == 0 {
		l.node(n, "write wipes: true, or the names of targets", "wipes names no target")
	}
}

// judgeWhole holds the keys of a step against the class of its effect.
func (l *loader) judgeWhole(f fields, s *engine.Step) {
	if n := f.get("retry"); n != nil {
		switch s.Class {
		case engine.ClassUnrepeatable:
			l.node(n, "if repeating it does no harm, say so: effect: idempotent", "%s may not be repeated: its effect would happen twice", fullName(s.Kind, s.Operation))
		case engine.ClassAdvisory:
			l.node(n, "", "%s is never sent twice; it takes no retry", s.Kind)
		case engine.ClassPerson:
			l.node(n, "", "a person is asked once; %s takes no retry", s.Kind)
		case engine.ClassUnset, engine.ClassRead, engine.ClassIdempotent, engine.ClassTransactional:
		}
	}
	if n := f.get("wipes"); n != nil && (s.Wipes || len(s.WipesToo) > 0) {
		switch {
		case !s.Class.Writes():
			l.node(n, "", "%s changes nothing, so it wipes nothing", fullName(s.Kind, s.Operation))
		case s.Wipes && s.Target == "":
			l.node(n, "name the targets, as in wipes: [db]", "%s has no target of its own to wipe", fullName(s.Kind, s.Operation))
		}
	}
	if n := f.get("undo"); n != nil && s.Class == engine.ClassRead {
		l.node(n, "", "%s changes nothing; there is nothing to undo", fullName(s.Kind, s.Operation))
	}
}

// effect is the class as the author knows it. A class that rests on proof cannot be claimed, and what
// is known to destroy cannot be called reading.
func (l *loader) effect(n *yaml.Node, c *chosen) engine.Class {
	allowed := []string{engine.ClassRead.String(), engine.ClassIdempotent.String(), engine.ClassUnrepeatable.String()}
	name, ok := l.value(n, engine.Shape{Type: engine.TypeEnum, Enum: allowed}, "effect", place{}).Literal.(string)
	if !ok {
		return c.class
	}
	var want engine.Class
	if err := want.UnmarshalText([]byte(name)); err != nil {
		l.node(n, "", "%s", err)
		return c.class
	}
	switch {
	case want == c.class:
	case want == engine.ClassRead && c.judged && c.risk >= engine.RiskDestroys:
		l.node(n, "", "this is known to be %s; the effect cannot be called read", riskWord(c.risk))
		return c.class
	case c.class == engine.ClassUnrepeatable:
	case want == engine.ClassUnrepeatable && c.class.Writes() && c.class != engine.ClassAdvisory:
	default:
		l.node(n, "", "the effect is %s, which is known; it cannot be called %s", c.class, want)
		return c.class
	}
	return want
}

// riskWord says what a risk is of an effect.
func riskWord(r engine.Risk) string {
	if r == engine.RiskDestroys {
		return "destructive"
	}
	return r.String()
}
