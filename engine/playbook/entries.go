package playbook

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/playbook/expression"
)

// entriesOf reads a sequence of statements: each entry is one variant, told by its key, and may bind
// its result to a name for the entries after it.
func (l *loader) entriesOf(entries []*yaml.Node, s, elem engine.Shape, what string, p place) engine.Template {
	out := make([]engine.Template, len(entries))
	keys := make([]string, len(s.Entries))
	for i, v := range s.Entries {
		keys[i] = v.Key
	}
	names := p.names
	for i, n := range entries {
		name := fmt.Sprintf("%s[%d]", what, i)
		if n.Kind != yaml.MappingNode {
			l.node(n, "write it as {"+keys[0]+": …}", "%s must be a mapping, not %s", name, wordFor(n))
			continue
		}
		variant, ok := l.variant(n, s.Entries, keys, name)
		if !ok {
			continue
		}
		here := place{names: names, late: true}
		if names != nil {
			here.names = names.with(variant.Result)
			here.names.result.Open = variant.Result.Open
		}
		out[i] = l.entry(n, elem, name, here, names)
		names = l.bound(n, variant, names)
	}
	return listTemplate(out)
}

// entry reads one entry. Conditions see its own result; everything else only what was there before.
func (l *loader) entry(n *yaml.Node, elem engine.Shape, what string, here place, before *names) engine.Template {
	list := make([]engine.FieldTemplate, 0, len(n.Content)/2)
	entries, _ := l.entries(n, what)
	for _, e := range entries.list {
		f, declared := elem.FieldNamed(e.key.Value)
		if !declared && !elem.Open {
			l.unknownKey(e.key, what, fieldNames(elem))
			continue
		}
		p := place{names: before, late: true}
		if f.Shape.Type == engine.TypeCondition {
			p = here
		}
		shape := f.Shape
		shape.Literal = shape.Literal || elem.Literal
		list = append(list, engine.FieldTemplate{Name: e.key.Value, Value: l.value(e.value, shape, e.key.Value, p)})
	}
	for _, f := range elem.Fields {
		if f.Required && entries.get(f.Name) == nil {
			l.node(n, "", "%s needs %s", what, f.Name)
		}
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

func fieldNames(s engine.Shape) []string {
	names := make([]string, len(s.Fields))
	for i, f := range s.Fields {
		names[i] = f.Name
	}
	return names
}

func (l *loader) variant(n *yaml.Node, variants []engine.Variant, keys []string, what string) (engine.Variant, bool) {
	var found []engine.Variant
	for _, v := range variants {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == v.Key {
				found = append(found, v)
				break
			}
		}
	}
	switch len(found) {
	case 1:
		return found[0], true
	case 0:
		l.node(n, "", "%s needs one of: %s", what, strings.Join(keys, ", "))
	default:
		l.node(n, "make two entries of it", "%s has both %s and %s", what, found[0].Key, found[1].Key)
	}
	return engine.Variant{}, false
}

// bound adds the name that an entry gives to its result.
func (l *loader) bound(n *yaml.Node, v engine.Variant, names *names) *names {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if as := n.Content[i+1]; n.Content[i].Value == "as" && as.Kind == yaml.ScalarNode && names != nil {
			if !l.freeName(as, "as") {
				return names
			}
			for _, x := range names.locals {
				if x.name == as.Value {
					l.node(as, "choose another name", "an earlier entry is called %s already", as.Value)
				}
			}
			return names.bind(as.Value, v.Result)
		}
	}
	return names
}

// freeName checks a name that the author gives to an item or result.
func (l *loader) freeName(n *yaml.Node, what string) bool {
	if n.Kind != yaml.ScalarNode || !snake.MatchString(n.Value) {
		l.node(n, "", "%s must be a name in snake_case, not %s", what, shown(n))
		return false
	}
	for _, r := range roots {
		if r.name == n.Value {
			l.node(n, "choose another name", "%s has a meaning of its own in expressions", n.Value)
			return false
		}
	}
	if expression.IsFunction(n.Value) || contains([]string{"true", "false", "nil", "null", "not", "in", "or", "and", "let", "if", "else", "matches", "contains"}, n.Value) {
		l.node(n, "choose another name", "%s has a meaning of its own in expressions", n.Value)
		return false
	}
	return true
}
