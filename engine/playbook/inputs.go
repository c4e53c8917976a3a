package playbook

import (
	"fmt"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/playbook/expression"
)

// inputKeys are the keys of an input's declaration.
func inputKeys() []string {
	return []string{"type", "description", "default", "required", "min", "max", "pattern", "values", "items", "fields"}
}

// inputTypes are the types that an input may have, in the order of the documents.
var inputTypes = []struct {
	name string
	typ  engine.Type
}{
	{"string", engine.TypeText}, {"integer", engine.TypeInteger}, {"number", engine.TypeNumber}, {"boolean", engine.TypeBool},
	{"duration", engine.TypeDuration}, {"size", engine.TypeSize}, {"path", engine.TypePath}, {"enum", engine.TypeEnum},
	{"list", engine.TypeList}, {"record", engine.TypeRecord}, {"secret", engine.TypeSecret},
}

func inputTypeNames() []string {
	names := make([]string, len(inputTypes))
	for i, t := range inputTypes {
		names[i] = t.name
	}
	return names
}

func (l *loader) inputDeclarations(n *yaml.Node) []engine.Input {
	f, ok := l.entries(n, "inputs")
	if !ok {
		return nil
	}
	out := make([]engine.Input, len(f.list)) // its entries are pointed to; it does not grow
	for i, e := range f.list {
		if !snake.MatchString(e.key.Value) {
			l.node(e.key, "", "%q is not a name in snake_case", e.key.Value)
		}
		out[i] = engine.Input{Name: e.key.Value, Pos: l.posOf(e.key)}
		l.inputDeclaration(e.value, &out[i])
		l.inputs[e.key.Value] = &inputInfo{decl: &out[i], key: e.key}
	}
	return out
}

func (l *loader) inputDeclaration(n *yaml.Node, in *engine.Input) {
	f, ok := l.mapping(n, "the input "+in.Name, inputKeys())
	if !ok {
		return
	}
	if d := f.get("description"); d != nil {
		in.Description = l.plainText(d, "description")
	}
	if f.get("type") == nil {
		l.node(n, "it is one of: "+strings.Join(inputTypeNames(), ", "), "the input %s needs a type", in.Name)
		return
	}
	in.Shape, ok = l.inputShape(f, in.Name)
	if !ok {
		return
	}
	l.inputBounds(f, in)
	if p := f.get("pattern"); p != nil {
		l.inputPattern(p, in)
	}
	def, req := f.get("default"), f.get("required")
	in.Required = def == nil
	if req != nil {
		in.Required = l.boolean(req, "required")
		if in.Required && def != nil {
			l.node(req, "take one of the two away", "an input with a default need not be given")
		}
	}
	if def != nil && !isNull(def) {
		in.Default = l.value(def, in.Shape, "default", place{}).Literal
		if in.Shape.Type == engine.TypeSecret {
			l.node(def, "secrets of the playbook come from the environment file", "a secret cannot stand in a playbook")
		} else if problem := checkInput(in, in.Default); problem != "" && in.Default != nil {
			l.node(def, "", "the default %s", problem)
		}
	} else if def != nil {
		l.node(def, "write `required: false` for an input that may be left out", "default is empty")
	}
}

// inputShape reads type, values, items and fields.
func (l *loader) inputShape(f fields, what string) (engine.Shape, bool) {
	t := f.get("type")
	name := l.plainText(t, "type")
	shape := engine.Shape{Type: -1}
	for _, known := range inputTypes {
		if known.name == name {
			shape.Type = known.typ
		}
	}
	if shape.Type < 0 {
		if name != "" {
			l.node(t, nearestOf(name, inputTypeNames(), "the types are"), "there is no type %s", name)
		}
		return engine.Shape{}, false
	}
	for _, only := range []struct {
		key string
		typ engine.Type
	}{{"values", engine.TypeEnum}, {"items", engine.TypeList}, {"fields", engine.TypeRecord}} {
		if n := f.get(only.key); n != nil && shape.Type != only.typ {
			l.node(n, "", "%s goes with type %s only", only.key, inputTypeName(only.typ))
		}
	}
	switch shape.Type {
	case engine.TypeEnum:
		n := f.get("values")
		if n == nil {
			l.node(f.node, "write values: [a, b]", "%s needs values", what)
			return shape, false
		}
		list, ok := l.sequence(n, "values")
		for _, e := range list {
			shape.Enum = append(shape.Enum, l.plainText(e, "values"))
		}
		return shape, ok && len(list) > 0
	case engine.TypeList:
		if n := f.get("items"); n != nil {
			elem, ok := l.innerShape(n, "items")
			shape.Elem = &elem
			return shape, ok
		}
	case engine.TypeRecord:
		n := f.get("fields")
		if n == nil {
			shape.Open = true
			return shape, true
		}
		inner, ok := l.entries(n, "fields")
		for _, e := range inner.list {
			s, good := l.innerShape(e.value, e.key.Value)
			shape.Fields = append(shape.Fields, engine.Field{Name: e.key.Value, Shape: s, Required: true})
			ok = ok && good
		}
		return shape, ok
	default: // the name of the type says all
	}
	return shape, true
}

// innerShape reads the shape of a part of an input: the name of a type, or a mapping with type.
func (l *loader) innerShape(n *yaml.Node, what string) (engine.Shape, bool) {
	f := fields{node: n}
	if n.Kind == yaml.ScalarNode {
		f.list = []field{{n, n}}
		f.list[0].key = &yaml.Node{Kind: yaml.ScalarNode, Value: "type"}
	} else {
		var ok bool
		if f, ok = l.mapping(n, what, []string{"type", "values", "items", "fields"}); !ok {
			return engine.Shape{}, false
		}
	}
	if f.get("type") == nil {
		l.node(n, "", "%s needs a type", what)
		return engine.Shape{}, false
	}
	s, ok := l.inputShape(f, what)
	if s.Type == engine.TypeSecret {
		l.node(n, "make it an input of its own", "a secret cannot be part of an input")
	}
	return s, ok
}

func inputTypeName(t engine.Type) string {
	for _, known := range inputTypes {
		if known.typ == t {
			return known.name
		}
	}
	return t.String()
}

func (l *loader) inputBounds(f fields, in *engine.Input) {
	for _, b := range []struct {
		key string
		to  *engine.Value
	}{{"min", &in.Min}, {"max", &in.Max}} {
		n := f.get(b.key)
		if n == nil {
			continue
		}
		if !isOneOf(in.Shape.Type, engine.TypeInteger, engine.TypeNumber, engine.TypeDuration, engine.TypeSize) {
			l.node(n, "", "%s goes with integer, number, duration and size only", b.key)
			continue
		}
		*b.to = l.value(n, in.Shape, b.key, place{}).Literal
	}
	if in.Min != nil && in.Max != nil {
		if c, err := expression.Compare(in.Min, in.Max); err == nil && c > 0 {
			l.node(f.get("min"), "", "min is more than max")
		}
	}
}

func (l *loader) inputPattern(n *yaml.Node, in *engine.Input) {
	text := l.plainText(n, "pattern")
	if !isOneOf(in.Shape.Type, engine.TypeText, engine.TypePath, engine.TypeSecret) {
		l.node(n, "", "pattern goes with string, path and secret only")
		return
	}
	if _, err := regexp.Compile(text); err != nil {
		l.node(n, "", "the pattern cannot be read: %s", expression.PatternFault(err))
		return
	}
	in.Pattern = text
}

// checkInput says in words what is wrong with a value of the right type: "is 101, more than the
// maximum 100". It is empty if nothing is.
func checkInput(in *engine.Input, v engine.Value) string {
	if in.Min != nil {
		if c, err := expression.Compare(v, in.Min); err == nil && c < 0 {
			return fmt.Sprintf("is %s, less than the minimum %s", engine.Text(v), engine.Text(in.Min))
		}
	}
	if in.Max != nil {
		if c, err := expression.Compare(v, in.Max); err == nil && c > 0 {
			return fmt.Sprintf("is %s, more than the maximum %s", engine.Text(v), engine.Text(in.Max))
		}
	}
	if in.Pattern == "" {
		return ""
	}
	text, ok := engine.Reveal(v)
	if pattern, err := regexp.Compile(in.Pattern); ok && err == nil && !pattern.MatchString(text) {
		if in.Shape.Type == engine.TypeSecret {
			return "does not match " + in.Pattern
		}
		return fmt.Sprintf("is %q, which does not match %s", text, in.Pattern)
	}
	return ""
}
