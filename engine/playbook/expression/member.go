package expression

import (
	"fmt"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/handrail-dev/handrail/engine"
)

// broken is what a chain has become AFTER a `?.` that found nothing; the end of the chain makes it null.
type broken struct{}

// chain ends a row of members with ?. in it.
func (k *compilation) chain(n *ast.ChainNode) operand {
	inner := k.node(n.Node)
	inner.literal = nil
	return operand{shape: inner.shape, run: func(m *machine) (engine.Value, error) {
		v, err := inner.run(m)
		if _, ended := v.(broken); ended {
			return nil, nil
		}
		return v, err
	}}
}

// member is base.name, base[index] and base?.name.
func (k *compilation) member(n *ast.MemberNode) operand {
	name, named := n.Property.(*ast.StringNode)
	if id, ok := n.Node.(*ast.IdentifierNode); ok && named && !k.isLocal(id.Value) {
		_, namespace, wrong := k.names.Name(id.Value)
		if wrong == nil && namespace {
			return k.part(n, id.Value, name.Value)
		}
	}
	_, chained := n.Node.(*ast.ChainNode)
	base := k.node(n.Node)
	if !k.noSecret(n, base, "an expression") {
		return operand{run: constant(nil)}
	}
	if named {
		return k.field(n, base, name.Value, n.Optional || chained)
	}
	return k.index(n, base, n.Optional || chained)
}

func (k *compilation) isLocal(name string) bool {
	for _, l := range k.locals {
		if l.name == name {
			return true
		}
	}
	return false
}

// part is namespace.name: inputs.factor, steps.usage.
func (k *compilation) part(n *ast.MemberNode, namespace, name string) operand {
	shape, wrong := k.names.Part(namespace, name)
	if wrong != nil {
		return k.reject(n.Property, wrong)
	}
	if namespace == "steps" {
		return operand{shape: shape, run: func(m *machine) (engine.Value, error) {
			r, err := m.scope.Step(name)
			if err != nil {
				return nil, err
			}
			return r, nil
		}}
	}
	what := namespace + "." + name
	return operand{shape: shape, run: func(m *machine) (engine.Value, error) {
		v, err := m.name(namespace)
		if err != nil {
			return nil, err
		}
		r, ok := v.(engine.Record)
		if !ok {
			return nil, fmt.Errorf("%s is not known here", what)
		}
		found, ok := r[name]
		if !ok {
			if namespace == "inputs" { // one that is not required and was not given
				return nil, nil
			}
			return nil, fmt.Errorf("%s is not known here", what)
		}
		return known(found)
	}}
}

// field is base.name of a record.
func (k *compilation) field(n *ast.MemberNode, base operand, name string, optional bool) operand {
	shape, ok := k.fieldShape(n, base.shape, name)
	if !ok {
		return operand{run: constant(nil)}
	}
	what := k.text(n.Node)
	return operand{shape: shape, run: func(m *machine) (engine.Value, error) {
		v, err := base.run(m)
		if err != nil {
			return nil, err
		}
		return fieldOf(v, name, what, optional)
	}}
}

func (k *compilation) fieldShape(n *ast.MemberNode, s engine.Shape, name string) (engine.Shape, bool) {
	g := groupOf(s)
	switch {
	case g&gRecord == 0 && g&gList != 0:
		k.wrong(n.Property, fmt.Sprintf("take an entry of it: %s[0].%s", k.text(n.Node), name), "a list has no field %s", name)
		return engine.Shape{}, false
	case g&gRecord == 0:
		k.wrong(n.Property, "", "%s has no field %s", article(Describe(s)), name)
		return engine.Shape{}, false
	case s.Type != engine.TypeRecord || s.Or != nil:
		return engine.Shape{}, true
	}
	if f, ok := s.FieldNamed(name); ok {
		return f.Shape, true
	}
	if s.Open {
		if s.Elem != nil {
			return *s.Elem, true
		}
		return engine.Shape{}, true
	}
	names := fieldNames(s)
	k.wrong(n.Property, suggest(name, names, k.text(n.Node)), "%s has no field %s", k.text(n.Node), name)
	return engine.Shape{}, false
}

func fieldNames(s engine.Shape) []string {
	names := make([]string, len(s.Fields))
	for i, f := range s.Fields {
		names[i] = f.Name
	}
	return names
}

// suggest names the nearest field, or all of them if none is near.
func suggest(name string, names []string, what string) string {
	if near, ok := Nearest(name, names); ok {
		return "did you mean " + near + "?"
	}
	if len(names) == 0 {
		return what + " has no fields"
	}
	if len(names) > 12 {
		names = append(append([]string(nil), names[:12]...), "…")
	}
	return what + " has: " + strings.Join(names, ", ")
}

// fieldOf finds a field at run time. Column names ignore case; an exact name goes before others.
func fieldOf(base engine.Value, name, what string, optional bool) (engine.Value, error) {
	var r engine.Record
	switch x := base.(type) {
	case broken:
		return x, nil
	case engine.Record:
		r = x
	case nil:
		if optional {
			return broken{}, nil
		}
		return nil, fmt.Errorf("%s is null; it has no %s", what, name)
	default:
		return nil, fmt.Errorf("%s is %s; it has no field %s", what, quote(base), name)
	}
	if v, ok := r[name]; ok {
		return known(v)
	}
	same := ""
	for key := range r {
		if strings.EqualFold(key, name) {
			if same != "" {
				return nil, fmt.Errorf("%s has several names that differ from %s by case alone; write one exactly", what, name)
			}
			same = key
		}
	}
	if same != "" {
		return known(r[same])
	}
	if optional {
		return broken{}, nil
	}
	return nil, fmt.Errorf("there is no %s in %s; %s", name, what, suggest(name, engine.Keys(r), "it"))
}

// index is base[i] of a list, or base[name] of a record with a name that is computed.
func (k *compilation) index(n *ast.MemberNode, base operand, optional bool) operand {
	index := k.node(n.Property)
	if !k.noSecret(n.Property, index, "an expression") {
		return operand{run: constant(nil)}
	}
	g, i := groupOf(base.shape), groupOf(index.shape)
	shape := engine.Shape{}
	switch {
	case g&(gList|gRecord) == 0:
		return k.wrong(n, "", "%s has no entries", article(Describe(base.shape)))
	case g&gRecord == 0 && i&gNumber == 0:
		return k.wrong(n.Property, "", "an entry of a list is taken by its number, not by %s", article(Describe(index.shape)))
	case g&gList == 0 && i&gText == 0:
		return k.wrong(n.Property, "", "a field of a record is taken by its name, not by %s", article(Describe(index.shape)))
	case g == gList:
		shape = elemOf(base.shape)
	case g == gRecord && len(base.shape.Fields) == 0 && base.shape.Elem != nil:
		shape = *base.shape.Elem
	}
	what := k.text(n.Node)
	return operand{shape: shape, run: func(m *machine) (engine.Value, error) {
		v, err := base.run(m)
		if err != nil {
			return nil, err
		}
		if _, ended := v.(broken); ended {
			return v, nil
		}
		at, err := index.run(m)
		if err != nil {
			return nil, err
		}
		if name, ok := at.(string); ok {
			return fieldOf(v, name, what, optional)
		}
		return entryOf(v, at, what, optional)
	}}
}

func entryOf(base, at engine.Value, what string, optional bool) (engine.Value, error) {
	list, ok := base.(engine.List)
	if !ok {
		if base == nil && optional {
			return broken{}, nil
		}
		return nil, fmt.Errorf("%s is %s, not a list", what, quote(base))
	}
	i, err := asInt(at)
	if err != nil {
		return nil, fmt.Errorf("entry of %s: %w", what, err)
	}
	n := int64(len(list))
	if i >= n || i < -n {
		if optional {
			return broken{}, nil
		}
		return nil, fmt.Errorf("%s has %s; there is no entry %d", what, entries(len(list)), i)
	}
	if i < 0 {
		i += n
	}
	return known(list[i])
}

func entries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

// slice is base[from:to] of a list or text. As in expr, it is cut to what there is.
func (k *compilation) slice(n *ast.SliceNode) operand {
	base := k.node(n.Node)
	if !k.noSecret(n.Node, base, "an expression") {
		return operand{run: constant(nil)}
	}
	if groupOf(base.shape)&(gList|gText) == 0 {
		k.wrong(n, "", "a slice is taken of a list or string, not of %s", article(Describe(base.shape)))
	}
	bound := func(at ast.Node) code {
		if at == nil {
			return nil
		}
		o := k.node(at)
		if groupOf(o.shape)&gNumber == 0 {
			k.wrong(at, "", "a bound of a slice is an integer, not %s", article(Describe(o.shape)))
		}
		return o.run
	}
	from, to := bound(n.From), bound(n.To)
	shape := base.shape
	if g := groupOf(shape); g != gList && g != gText {
		shape = engine.Shape{}
	}
	what := k.text(n.Node)
	return operand{shape: shape, run: func(m *machine) (engine.Value, error) {
		v, err := base.run(m)
		if err != nil {
			return nil, err
		}
		return m.cut(v, from, to, what)
	}}
}

func (m *machine) cut(v engine.Value, from, to code, what string) (engine.Value, error) {
	list, isList := v.(engine.List)
	runes := []rune(nil)
	n := len(list)
	if s, ok := v.(string); ok {
		runes = []rune(s)
		n = len(runes)
	} else if !isList {
		return nil, fmt.Errorf("%s is %s, not a list or string", what, quote(v))
	}
	bound := func(c code, fallback int) (int, error) {
		if c == nil {
			return fallback, nil
		}
		b, err := c(m)
		if err != nil {
			return 0, err
		}
		i, err := asInt(b)
		if err != nil {
			return 0, fmt.Errorf("slice of %s: %w", what, err)
		}
		if i < 0 {
			i += int64(n)
		}
		return int(max(0, min(i, int64(n)))), nil
	}
	a, err := bound(from, 0)
	if err != nil {
		return nil, err
	}
	b, err := bound(to, n)
	if err != nil {
		return nil, err
	}
	b = max(a, b)
	if isList {
		return list[a:b:b], nil
	}
	return string(runes[a:b]), m.alloc(b - a)
}

// text is the part of the source that a node was read from, for messages. It is exact for rows of
// names, fields and literal entries, and rough for the rest.
func (k *compilation) text(n ast.Node) string {
	switch x := n.(type) {
	case *ast.IdentifierNode:
		return x.Value
	case *ast.ChainNode:
		return k.text(x.Node)
	case *ast.PointerNode:
		return "#" + x.Name
	case *ast.MemberNode:
		if name, ok := x.Property.(*ast.StringNode); ok {
			return k.text(x.Node) + "." + name.Value
		}
		if i, ok := x.Property.(*ast.IntegerNode); ok {
			return fmt.Sprintf("%s[%d]", k.text(x.Node), i.Value)
		}
		return k.text(x.Node) + "[…]"
	}
	return "the value"
}
