package playbook

import (
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/playbook/expression"
)

// idInfo is where a step stands, for messages about references to it.
type idInfo struct {
	line  int
	order int
	loops []string // the loops that it is inside of
}

// loopOutside is the innermost loop that this step is inside of and the other one is not.
func (i idInfo) loopOutside(other idInfo) string {
	for n := len(i.loops) - 1; n >= 0; n-- {
		if !contains(other.loops, i.loops[n]) {
			return i.loops[n]
		}
	}
	return ""
}

// collectIDs looks through all steps before any expression is compiled, so that a reference to a step
// that comes later is told from one to a step that does not exist.
func (l *loader) collectIDs(n *yaml.Node, loops []string, order *int) {
	if n == nil || n.Kind != yaml.SequenceNode {
		return
	}
	for _, e := range n.Content {
		if e.Kind != yaml.MappingNode {
			continue
		}
		f, _ := l.entries(e, "")
		*order++
		inside := loops
		if id := f.get("id"); id != nil && id.Kind == yaml.ScalarNode {
			if first, twice := l.ids[id.Value]; twice {
				l.node(id, "an id names one step in the whole playbook", "the id %s is given in line %d already", id.Value, first.line)
			} else {
				l.ids[id.Value] = idInfo{line: id.Line, order: *order, loops: loops}
			}
			if f.get("for_each") != nil {
				inside = append(append([]string(nil), loops...), id.Value)
			}
		}
		for _, list := range []string{"block", "parallel", "undo", "always"} {
			l.collectIDs(f.get(list), inside, order)
		}
	}
}

// steps reads a list of steps that come one after the other, and declares each for those after it.
func (l *loader) steps(n *yaml.Node, what string, sc *scope) []*engine.Step {
	list, ok := l.sequence(n, what)
	if !ok {
		return nil
	}
	out := make([]*engine.Step, 0, len(list))
	for _, e := range list {
		if s := l.step(e, sc); s != nil {
			out = append(out, s)
		}
	}
	return out
}

// step reads one entry and declares it in the scope.
func (l *loader) step(n *yaml.Node, sc *scope) *engine.Step {
	f, ok := l.entries(n, "a step")
	if !ok {
		return nil
	}
	s := &engine.Step{Pos: l.posOf(n), AtOnce: 1, Digest: digestOf(n)}
	l.identity(f, s)
	act, group := l.whatItDoes(f, s)
	if act == nil && group == nil {
		l.skipped = true
		sc.declare(s, engine.Shape{Type: engine.TypeRecord, Open: true}) // so that what refers to it is not blamed
		return nil
	}
	form := formOf(act, group, l.cat)
	l.stepKeys(f, s, form)
	outer := &names{l: l, sight: seeForTests, scope: sc, self: s.ID, where: "when"}
	if w := f.get("when"); w != nil {
		s.When = l.condition(w, "when", outer)
	}
	inner := l.loop(f, s, sc, outer)
	result := engine.RecordOf()
	switch form {
	case formGroup:
		l.group(group, s, inner)
	case formNested:
		result = l.nested(act, f, s, inner)
	case formAct:
		result = l.act(act, f, s, inner)
	}
	l.onError(f, s)
	if s.ID != "" {
		sc.declare(s, result)
	}
	// What cleans up sees what the step saw, the step itself, and the steps inside of it.
	if a := f.get("always"); a != nil && group != nil {
		s.Always = l.steps(a, "always", inner.child())
	}
	if u := f.get("undo"); u != nil {
		s.Undo = l.steps(u, "undo", inner.child())
	}
	return s
}

// seenResult is what steps.<id> is to later steps. It is made where it is asked for: kept for every step it
// would be a third of the memory that loading takes.
func seenResult(s *engine.Step, result engine.Shape) engine.Shape {
	state := engine.Field{Name: "state", Shape: engine.Shape{Type: engine.TypeEnum, Enum: stateNames()}}
	if s.ForEach == nil {
		result.Fields = append(append([]engine.Field(nil), result.Fields...), state)
		return result
	}
	item := result
	item.Fields = append(append([]engine.Field(nil), result.Fields...), state, engine.Field{Name: "key", Shape: engine.Of(engine.TypeText)})
	return engine.RecordOf(state, engine.Field{Name: "items", Shape: engine.ListOf(item)})
}

func stateNames() []string {
	var names []string
	for s := engine.Pending; s <= engine.Resolved; s++ {
		names = append(names, s.String())
	}
	return names
}

func digestOf(n *yaml.Node) string {
	return engine.Digest(string(canonical(nil, n, "block", "parallel", "undo", "always")))
}

func (l *loader) identity(f fields, s *engine.Step) {
	id := f.get("id")
	if id == nil {
		l.node(f.node, "give it a name in snake_case: `id: …`", "the step has no id")
	} else if s.ID = l.plainText(id, "id"); s.ID != "" && !snake.MatchString(s.ID) {
		l.node(id, "use small letters, digits and _", "%q cannot be the id of a step", s.ID)
	}
	if t := f.get("title"); t != nil {
		s.Title = l.plainText(t, "title")
	}
}

// whatItDoes finds the one key that says what the step does: a kind, or block or parallel.
func (l *loader) whatItDoes(f fields, s *engine.Step) (act, group *field) {
	var found []field
	keys := stepKeys()
	kinds := l.cat.kindNames()
	for _, e := range f.list {
		switch name := e.key.Value; {
		case name == "block" || name == "parallel" || contains(kinds, name):
			found = append(found, e)
		case !contains(keys, name):
			l.unknownStepKey(e.key, append(append([]string(nil), kinds...), keys...))
		}
	}
	switch len(found) {
	case 0:
		if unknown := len(f.list) - l.knownKeys(f); unknown == 0 {
			l.node(f.node, "give it one of: "+strings.Join(append(kinds, "block", "parallel"), ", "), "the step does nothing")
		}
		return nil, nil
	case 1:
	default:
		l.at(l.src.start(found[1].key), width(found[1].key), "make two steps of it", "a step does one thing; this one has %s and %s", found[0].key.Value, found[1].key.Value)
		return nil, nil
	}
	switch e := &found[0]; e.key.Value {
	case "block":
		s.Group = engine.BlockGroup
		return nil, e
	case "parallel":
		s.Group = engine.ParallelGroup
		return nil, e
	default:
		return e, nil
	}
}

func (l *loader) knownKeys(f fields) int {
	n := 0
	for _, e := range f.list {
		if contains(stepKeys(), e.key.Value) || contains(l.cat.kindNames(), e.key.Value) {
			n++
		}
	}
	return n
}

func (l *loader) unknownStepKey(key *yaml.Node, words []string) {
	l.node(key, nearestOf(key.Value, words, "a step has"), "there is no kind and no key %s", key.Value)
}

// loop reads for_each and what goes with it, and gives the scope inside of an iteration.
func (l *loader) loop(f fields, s *engine.Step, sc *scope, outer *names) *scope {
	n := f.get("for_each")
	if n == nil {
		return sc
	}
	in := *outer
	in.where = "for_each"
	t, shape := l.shaped(n, "for_each", place{names: &in})
	s.ForEach = &t
	elem := engine.Shape{}
	switch {
	case shape.Type == engine.TypeList && shape.Elem != nil:
		elem = *shape.Elem
	case shape.Type != engine.TypeAny && shape.Type != engine.TypeList:
		l.node(n, "write ${{ … }} around an expression that gives a list, or write the list", "for_each must be a list, not %s", a(expression.Describe(shape)))
	}
	s.As = "item"
	if as := f.get("as"); as != nil && l.freeName(as, "as") {
		s.As = as.Value
	}
	inner := sc.loop(s.As, elem)
	if k := f.get("key"); k != nil {
		kn := *outer
		kn.scope, kn.where = inner, "key"
		var ks engine.Shape
		s.Key, ks = l.bare(k, "key", &kn)
		if isOneOf(ks.Type, engine.TypeList, engine.TypeRecord, engine.TypeTime, engine.TypeDuration, engine.TypeBytes) && ks.Or == nil {
			l.node(k, "a key stands in the names of steps", "key must be a text or an integer, not %s", a(expression.Describe(ks)))
		}
	} else if elem.Type == engine.TypeRecord || elem.Type == engine.TypeList {
		l.node(n, "say with key what identifies an entry: `key: "+s.As+".id`", "the entries are not texts or integers")
	}
	if c := f.get("at_once"); c != nil {
		s.AtOnce = l.count(c, "at_once", 1, maxAtOnce)
	}
	return inner
}

// group reads the steps of a block or parallel.
func (l *loader) group(e *field, s *engine.Step, inner *scope) {
	if s.Group == engine.BlockGroup {
		s.Steps = l.steps(e.value, "block", inner)
	} else if list, ok := l.sequence(e.value, "parallel"); ok {
		branches := make([]*scope, 0, len(list))
		for _, n := range list {
			branch := inner.child()
			if b := l.step(n, branch); b != nil {
				s.Steps = append(s.Steps, b)
			}
			branches = append(branches, branch)
		}
		for _, b := range branches {
			inner.merge(b)
		}
	}
	if len(s.Steps) == 0 && e.value.Kind == yaml.SequenceNode && len(e.value.Content) == 0 {
		l.node(e.value, "", "%s has no steps", e.key.Value)
	}
}
