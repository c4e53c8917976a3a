package playbook

import (
	"fmt"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/playbook/expression"
)

// sight is which names an expression may use, beside those of its place.
type sight int

const (
	seeInputs sight = 1 << iota
	seeVars
	seeSteps
	seeTargets
	seeRun
	seeSecrets

	seeForParams = seeInputs | seeVars | seeSteps | seeTargets | seeRun | seeSecrets
	seeForTests  = seeForParams &^ seeSecrets
)

// roots are the names at the bottom of every scope, in the order of messages.
var roots = []struct {
	name      string
	sight     sight
	namespace bool
}{
	{"inputs", seeInputs, true}, {"vars", seeVars, true}, {"steps", seeSteps, true}, {"targets", seeTargets, true},
	{"run", seeRun, false}, {"secrets", seeSecrets, true},
}

// scope is what has been declared before a place in the list of steps: one level for each loop and
// each branch.
type scope struct {
	parent *scope
	steps  map[string]stepInfo
	item   string // of a loop; empty otherwise
	shape  engine.Shape
}

// stepInfo is a step that expressions may refer to.
type stepInfo struct {
	step   *engine.Step
	result engine.Shape
}

func (s *scope) child() *scope { return &scope{parent: s} }

// loop is the level of an iteration.
func (s *scope) loop(item string, shape engine.Shape) *scope {
	return &scope{parent: s, item: item, shape: shape}
}

func (s *scope) declare(step *engine.Step, result engine.Shape) {
	if s.steps == nil {
		s.steps = map[string]stepInfo{}
	}
	s.steps[step.ID] = stepInfo{step, result}
}

// merge makes the steps of a branch visible AFTER the branches have ended.
func (s *scope) merge(branch *scope) {
	for id, info := range branch.steps {
		if s.steps == nil {
			s.steps = map[string]stepInfo{}
		}
		s.steps[id] = info
	}
}

func (s *scope) find(id string) (stepInfo, bool) {
	for at := s; at != nil; at = at.parent {
		if info, ok := at.steps[id]; ok {
			return info, true
		}
	}
	return stepInfo{}, false
}

// names is what one expression sees. It is the loader's half of what engine.Scope is at run time.
type names struct {
	l      *loader
	sight  sight
	scope  *scope
	self   string // the step that the expression stands in
	result *engine.Shape
	locals []local // what entries of a sequence have bound
	where  string  // for messages: "when", "a parameter"
	// withheld, where it is not nil, is set when the result of a sensitive step is used.
	withheld *bool
}

type local struct {
	name  string
	shape engine.Shape
}

// with adds the result that is under judgement.
func (n *names) with(result engine.Shape) *names {
	c := *n
	c.result = &result
	return &c
}

// bind adds a name that an entry of a sequence has bound.
func (n *names) bind(name string, shape engine.Shape) *names {
	c := *n
	c.locals = append(append([]local(nil), n.locals...), local{name, shape})
	return &c
}

// narrowed takes kinds of names away.
func (n *names) narrowed(to sight) *names {
	c := *n
	c.sight &= to
	return &c
}

// Name implements [expression.Names].
func (n *names) Name(name string) (engine.Shape, bool, *expression.Mistake) {
	if n.result != nil {
		if f, ok := n.result.FieldNamed(name); ok {
			return f.Shape, false, nil
		}
	}
	for i := len(n.locals) - 1; i >= 0; i-- {
		if n.locals[i].name == name {
			return n.locals[i].shape, false, nil
		}
	}
	for s := n.scope; s != nil; s = s.parent {
		if s.item == name && name != "" {
			return s.shape, false, nil
		}
	}
	for _, r := range roots {
		if r.name != name {
			continue
		}
		if n.sight&r.sight == 0 {
			return engine.Shape{}, false, &expression.Mistake{Message: fmt.Sprintf("%s cannot be used in %s", name, n.where), Remedy: outOfSight(name)}
		}
		return runShape(), r.namespace, nil
	}
	if n.result != nil && n.result.Open {
		return engine.Shape{}, false, nil
	}
	m := &expression.Mistake{Message: "there is no " + name + " here"}
	m.Remedy = nearestOf(name, n.visible(), "what can be used")
	if name == "item" && strings.HasPrefix(n.where, "when") {
		m.Remedy = "`when` of a loop is asked once, BEFORE its items are listed; filter the list, or put the step into a block"
	}
	return engine.Shape{}, false, m
}

func outOfSight(name string) string {
	if name == "secrets" {
		return "secrets can be used in the parameters of steps, and in environment files"
	}
	return ""
}

func runShape() engine.Shape {
	return engine.RecordOf(
		engine.Field{Name: "id", Shape: engine.Of(engine.TypeText)},
		engine.Field{Name: "started", Shape: engine.Of(engine.TypeTime)},
		engine.Field{Name: "playbook", Shape: engine.Of(engine.TypeText)},
	)
}

// visible are the names that could have been meant.
func (n *names) visible() []string {
	var out []string
	if n.result != nil {
		for _, f := range n.result.Fields {
			out = append(out, f.Name)
		}
	}
	for _, x := range n.locals {
		out = append(out, x.name)
	}
	for s := n.scope; s != nil; s = s.parent {
		if s.item != "" {
			out = append(out, s.item)
		}
	}
	for _, r := range roots {
		if n.sight&r.sight != 0 {
			out = append(out, r.name)
		}
	}
	return out
}

// Part implements [expression.Names].
func (n *names) Part(namespace, part string) (engine.Shape, *expression.Mistake) {
	switch namespace {
	case "inputs":
		return n.input(part)
	case "vars":
		if s, ok := n.l.vars[part]; ok {
			return s, nil
		}
		if contains(n.l.varNames, part) {
			return engine.Shape{}, &expression.Mistake{Message: "vars." + part + " comes later", Remedy: "a var may use the ones before it"}
		}
		return engine.Shape{}, absent("vars."+part, part, keysOf(n.l.vars), "the vars are")
	case "steps":
		return n.step(part)
	case "targets":
		return n.target(part)
	case "secrets":
		return n.secret(part)
	}
	return engine.Shape{}, &expression.Mistake{Message: "there is no " + namespace + " here"}
}

func absent(what, part string, words []string, lead string) *expression.Mistake {
	return &expression.Mistake{Message: "there is no " + what, Remedy: nearestOf(part, words, lead)}
}

func (n *names) input(name string) (engine.Shape, *expression.Mistake) {
	in, ok := n.l.inputs[name]
	if !ok {
		return engine.Shape{}, absent("inputs."+name, name, keysOf(n.l.inputs), "the inputs are")
	}
	in.used = true
	if in.decl.Shape.Type == engine.TypeSecret && n.sight&seeSecrets == 0 {
		return engine.Shape{}, &expression.Mistake{
			Message: fmt.Sprintf("inputs.%s is a secret; it cannot be used in %s", name, n.where), Remedy: outOfSight("secrets"),
		}
	}
	return in.decl.Shape, nil
}

func (n *names) step(id string) (engine.Shape, *expression.Mistake) {
	if info, ok := n.scope.find(id); ok {
		info.step.Kept = true
		if n.withheld != nil && info.step.Sensitive {
			*n.withheld = true
		}
		return seenResult(info.step, info.result), nil
	}
	at, known := n.l.ids[id]
	if !known {
		return engine.Shape{}, absent("step "+id, id, keysOf(n.l.ids), "the steps are")
	}
	m := &expression.Mistake{}
	switch loop := at.loopOutside(n.l.ids[n.self]); {
	case id == n.self:
		m.Message = "step " + id + " cannot refer to itself"
		m.Remedy = "in expect and tolerate the fields of the result stand by themselves: rows, affected"
	case n.self != "" && at.order > n.l.ids[n.self].order:
		m.Message = fmt.Sprintf("step %s comes later, in line %d", id, at.line)
		m.Remedy = "a step may refer only to steps before it"
	case loop != "":
		m.Message = fmt.Sprintf("step %s is inside the loop %s", id, loop)
		m.Remedy = fmt.Sprintf("outside of an iteration use steps.%s.items", loop)
	case n.sight&seeSteps == 0:
		m.Message = "steps cannot be used in " + n.where
	default:
		m.Message = fmt.Sprintf("step %s, in line %d, is not surely done before this", id, at.line)
		m.Remedy = "steps in other branches of a parallel, and in undo and always of other steps, cannot be seen"
	}
	return engine.Shape{}, m
}

func (n *names) target(name string) (engine.Shape, *expression.Mistake) {
	t, ok := n.l.targets[name]
	if !ok {
		return engine.Shape{}, absent("target "+name, name, keysOf(n.l.targets), "the targets are")
	}
	decl := n.l.cat.targets[t.typ]
	if decl == nil {
		return engine.Shape{Type: engine.TypeRecord, Open: true}, nil
	}
	return withoutSecrets(decl.Settings), nil
}

// withoutSecrets is a record's shape as expressions see it.
func withoutSecrets(s engine.Shape) engine.Shape {
	if s.Type != engine.TypeRecord {
		return s
	}
	var kept []engine.Field
	for _, f := range s.Fields {
		if f.Shape.Type == engine.TypeSecret {
			continue
		}
		f.Shape = withoutSecrets(f.Shape)
		kept = append(kept, f)
	}
	s.Fields = kept
	return s
}

func (n *names) secret(name string) (engine.Shape, *expression.Mistake) {
	if n.l.declared != nil {
		if _, ok := n.l.declared[name]; !ok {
			m := absent("secret "+name, name, keysOf(n.l.declared), "the secrets of the environment are")
			if m.Remedy == "" {
				m.Remedy = "declare it in the environment file, under secrets"
			}
			return engine.Shape{}, m
		}
	}
	if n.l.usedSecrets != nil {
		if _, ok := n.l.usedSecrets[name]; !ok {
			n.l.usedSecrets[name] = n.l.posOf(n.l.current)
		}
	}
	return engine.Of(engine.TypeSecret), nil
}

func keysOf[T any](m map[string]T) []string {
	r := make(engine.Record, len(m))
	for k := range m {
		r[k] = nil
	}
	return engine.Keys(r)
}
