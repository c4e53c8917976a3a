package playbook

import (
	"fmt"
	"math"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/playbook/expression"
)

// place says where a value stands, and so what it may hold.
type place struct {
	names *names // nil: no expressions
	// late: the value is inside an entry of a sequence; what has expressions is rendered by the
	// operation itself, because it may need the results of the entries before.
	late bool
}

// value reads a value of a declared shape. What is literal is converted and checked here; what is not
// is checked as far as the shapes of expressions are known. what names the value in messages.
func (l *loader) value(n *yaml.Node, s engine.Shape, what string, p place) engine.Template {
	if n.Tag == "!tagged" || n.Kind == yaml.AliasNode { // reported already
		return engine.Template{}
	}
	if s.Or != nil && !hasExpression(n) && !fitsNode(n, s) && fitsNode(n, *s.Or) {
		or := *s.Or
		or.Literal = or.Literal || s.Literal
		return l.value(n, or, what, p)
	}
	switch s.Type {
	case engine.TypeLate:
		return l.late(n, engine.Shape{}, what, p)
	case engine.TypeProbe:
		return engine.Template{Probe: l.probe(n, what, p.names)}
	case engine.TypeCondition:
		return l.conditionValue(n, s, what, p)
	default: // a value that can be written down
	}
	if hasExpression(n) {
		return l.templated(n, s, what, p)
	}
	switch {
	case s.Type == engine.TypeAny:
		return l.free(n, s, what, p)
	case isNull(n):
		l.node(n, "", "%s is empty; it must be %s", what, wanted(s))
		return engine.Template{}
	case s.Type == engine.TypeList:
		return l.list(n, s, what, p)
	case s.Type == engine.TypeRecord:
		return l.record(n, s, what, p)
	case n.Kind != yaml.ScalarNode:
		l.node(n, "", "%s must be %s, not %s", what, wanted(s), wordFor(n))
		return engine.Template{}
	}
	v, remedy, ok := scalar(n, s)
	if !ok {
		l.node(n, remedy, "%s must be %s, not %s", what, wanted(s), shown(n))
		return engine.Template{}
	}
	return engine.Template{Literal: v}
}

// hasExpression says whether a scalar has a ${{ in it.
func hasExpression(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!str" && strings.Contains(n.Value, opening)
}

// fitsNode says whether the outer form of a node is that of a shape, to choose between two shapes.
func fitsNode(n *yaml.Node, s engine.Shape) bool {
	switch s.Type {
	case engine.TypeAny, engine.TypeLate:
		return true
	case engine.TypeList:
		return n.Kind == yaml.SequenceNode
	case engine.TypeRecord, engine.TypeProbe:
		return n.Kind == yaml.MappingNode
	default:
		if n.Kind != yaml.ScalarNode {
			return false
		}
		_, _, ok := scalar(n, s)
		return ok
	}
}

// wanted says in words what a shape takes.
func wanted(s engine.Shape) string {
	word := ""
	switch s.Type {
	case engine.TypeDuration:
		word = "a duration such as 30s or 5m"
	case engine.TypeSize:
		word = "a size such as 512, 64k or 2MiB"
	case engine.TypePath:
		word = "a path"
	case engine.TypeEnum:
		word = "one of " + strings.Join(s.Enum, ", ")
	case engine.TypeTime:
		word = "a time such as 2026-01-31 or 2026-01-31T12:00:00Z"
	case engine.TypeRecord:
		word = "a mapping"
	case engine.TypeBool:
		word = "true or false"
	case engine.TypeSecret:
		word = "a string or a secret"
	case engine.TypeProbe:
		word = "a probe"
	default:
		word = a(s.Type.String())
	}
	if s.Or != nil {
		word += " or " + wanted(*s.Or)
	}
	return word
}

// shown is a node as it stands, or the word for it.
func shown(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.Value == "" || len(n.Value) > 40 || strings.Contains(n.Value, "\n") {
		return wordFor(n)
	}
	if n.Tag == "!!str" {
		return fmt.Sprintf("%q", n.Value)
	}
	return n.Value
}

// templated reads a scalar with expressions in it.
func (l *loader) templated(n *yaml.Node, s engine.Shape, what string, p place) engine.Template {
	switch {
	case s.Literal:
		l.within(n, strings.Index(n.Value, opening), len(opening), "hand the value over beside it, as the kind's page in docs/kinds.md says: args of sql and redis, env of a shell",
			"no ${{ }} can stand in %s: it is sent as it is", what)
		return engine.Template{}
	case p.names == nil:
		l.within(n, strings.Index(n.Value, opening), len(opening), "", "no ${{ }} can stand in %s: it must be known before a run", what)
		return engine.Template{}
	}
	t, shape := l.text(n, p)
	if t.Expr != nil && !fits(shape, s) || t.Parts != nil && !takesText(s, shape) {
		remedy := ""
		if shape.Type == engine.TypeSecret {
			remedy = "secrets go where docs/kinds.md says secret or any"
		}
		l.node(n, remedy, "%s must be %s, not %s", what, wanted(s), a(expression.Describe(shape)))
	}
	if p.late && (t.Expr != nil || t.Parts != nil) {
		return engine.Template{Late: &t}
	}
	return t
}

// fits says whether a value of one shape may be one of another, as far as shapes tell.
func fits(have, want engine.Shape) bool {
	if want.Or != nil && fits(have, *want.Or) {
		return true
	}
	if want.Type == engine.TypeAny || want.Type == engine.TypeLate || have.Or != nil {
		return true
	}
	switch have.Type {
	case engine.TypeAny:
		return true
	case engine.TypeSecret:
		return want.Type == engine.TypeSecret
	case engine.TypeText, engine.TypePath, engine.TypeEnum:
		return takesText(want, have)
	case engine.TypeInteger, engine.TypeSize:
		return isOneOf(want.Type, engine.TypeInteger, engine.TypeSize, engine.TypeNumber, engine.TypeText)
	case engine.TypeNumber:
		return isOneOf(want.Type, engine.TypeInteger, engine.TypeSize, engine.TypeNumber, engine.TypeText)
	case engine.TypeTime:
		return isOneOf(want.Type, engine.TypeTime, engine.TypeText)
	case engine.TypeDuration:
		return isOneOf(want.Type, engine.TypeDuration, engine.TypeText)
	case engine.TypeList:
		return want.Type == engine.TypeList && (have.Elem == nil || want.Elem == nil || fits(*have.Elem, *want.Elem))
	default:
		return have.Type == want.Type
	}
}

// takesText says whether an interpolated text may stand for a shape.
func takesText(want, have engine.Shape) bool {
	if want.Or != nil && takesText(*want.Or, have) {
		return true
	}
	if have.Type == engine.TypeSecret {
		return isOneOf(want.Type, engine.TypeSecret, engine.TypeAny)
	}
	return isOneOf(want.Type, engine.TypeAny, engine.TypeText, engine.TypePath, engine.TypeEnum, engine.TypeSecret, engine.TypeBytes, engine.TypeDuration)
}

func isOneOf(t engine.Type, types ...engine.Type) bool {
	for _, x := range types {
		if x == t {
			return true
		}
	}
	return false
}

// free reads a value whose shape is any, or whatever is rendered late.
func (l *loader) free(n *yaml.Node, s engine.Shape, what string, p place) engine.Template {
	if n.Kind == yaml.SequenceNode {
		return l.list(n, engine.Shape{Type: engine.TypeList, Literal: s.Literal}, what, p)
	}
	if n.Kind == yaml.MappingNode {
		return l.record(n, engine.Shape{Type: engine.TypeRecord, Open: true, Literal: s.Literal}, what, p)
	}
	v, remedy, ok := plainScalar(n)
	if !ok {
		l.node(n, remedy, "%s cannot be %s", what, shown(n))
	}
	return engine.Template{Literal: v}
}

// late reads a value that the operation renders itself.
func (l *loader) late(n *yaml.Node, s engine.Shape, what string, p place) engine.Template {
	p.late = false
	t := l.value(n, s, what, p)
	return engine.Template{Late: &t}
}

// conditionValue reads an expression that the operation asks itself. Declared fields are what it sees;
// without any, what it sees is known only to the operation.
func (l *loader) conditionValue(n *yaml.Node, s engine.Shape, what string, p place) engine.Template {
	if p.names == nil {
		l.node(n, "", "no expression can stand in %s", what)
		return engine.Template{}
	}
	names := p.names.narrowed(seeForTests)
	if names.result == nil || len(s.Fields) > 0 {
		names = names.with(engine.Shape{Type: engine.TypeRecord, Fields: s.Fields, Open: s.Open || len(s.Fields) == 0})
	}
	names.where = what
	e := l.condition(n, what, names)
	if e == nil {
		return engine.Template{}
	}
	return engine.Template{Condition: e}
}

func (l *loader) list(n *yaml.Node, s engine.Shape, what string, p place) engine.Template {
	entries, ok := l.sequence(n, what)
	if !ok {
		return engine.Template{}
	}
	elem := engine.Shape{Literal: s.Literal}
	if s.Elem != nil {
		elem = *s.Elem
		elem.Literal = elem.Literal || s.Literal
	}
	if len(s.Entries) > 0 {
		return l.entriesOf(entries, s, elem, what, p)
	}
	out := make([]engine.Template, len(entries))
	for i, e := range entries {
		out[i] = l.value(e, elem, fmt.Sprintf("%s[%d]", what, i), p)
	}
	return listTemplate(out)
}

// listTemplate is the list of these; a literal if all of them are.
func listTemplate(entries []engine.Template) engine.Template {
	values := make(engine.List, len(entries))
	for i, e := range entries {
		if !isLiteral(e) {
			return engine.Template{List: entries}
		}
		values[i] = e.Literal
	}
	return engine.Template{Literal: values}
}

func isLiteral(t engine.Template) bool {
	return t.Expr == nil && t.Parts == nil && t.List == nil && t.Fields == nil && t.Probe == nil && t.Condition == nil && t.Late == nil
}

func (l *loader) record(n *yaml.Node, s engine.Shape, what string, p place) engine.Template {
	list, ok := l.recordFields(n, s, what, p)
	if !ok {
		return engine.Template{}
	}
	values := make(engine.Record, len(list))
	for _, f := range list {
		if !isLiteral(f.Value) {
			return engine.Template{Fields: list}
		}
		values[f.Name] = f.Value.Literal
	}
	return engine.Template{Literal: values}
}

func (l *loader) recordFields(n *yaml.Node, s engine.Shape, what string, p place) ([]engine.FieldTemplate, bool) {
	entries, ok := l.entries(n, what)
	if !ok {
		return nil, false
	}
	out := make([]engine.FieldTemplate, 0, len(entries.list))
	for _, e := range entries.list {
		name := e.key.Value
		shape := engine.Shape{}
		if f, declared := s.FieldNamed(name); declared {
			shape = f.Shape
		} else if !s.Open {
			l.unknownField(e.key, s, what)
			continue
		} else if s.Elem != nil {
			shape = *s.Elem
		}
		shape.Literal = shape.Literal || s.Literal
		out = append(out, engine.FieldTemplate{Name: name, Value: l.value(e.value, shape, name, p)})
	}
	for _, f := range s.Fields {
		if f.Required && entries.get(f.Name) == nil {
			l.node(n, "", "%s needs %s", what, f.Name)
		}
	}
	l.exactlyOne(n, entries, s.Either, what)
	return out, true
}

// exactlyOne finds fields that exclude each other, and that none of them is there.
func (l *loader) exactlyOne(n *yaml.Node, given fields, names []string, what string) {
	var there []*yaml.Node
	for _, e := range given.list {
		if contains(names, e.key.Value) {
			there = append(there, e.key)
		}
	}
	switch {
	case len(names) == 0 || len(there) == 1:
	case len(there) == 0:
		l.node(n, "", "%s needs %s", what, strings.Join(names, " or "))
	default:
		l.node(there[1], "", "%s has %s and %s, of which it takes one only", what, there[0].Value, there[1].Value)
	}
}

func (l *loader) unknownField(key *yaml.Node, s engine.Shape, what string) {
	names := make([]string, len(s.Fields))
	for i, f := range s.Fields {
		names[i] = f.Name
	}
	if contains(stepKeys(), key.Value) && !contains(names, key.Value) {
		l.node(key, key.Value+" belongs to the step: write it one level further out", "%s has no key %s", what, key.Value)
		return
	}
	l.unknownKey(key, what, names)
}

// finite says whether a float may be a value.
func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }
