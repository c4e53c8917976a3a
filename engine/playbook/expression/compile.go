package expression

import (
	"fmt"

	"github.com/expr-lang/expr/ast"

	"github.com/handrail-dev/handrail/engine"
)

// compilation is the work on one expression: the check of its types and the making of its code are
// one walk over the tree.
type compilation struct {
	source   string
	ascii    bool
	names    Names
	mistakes []Mistake
	locals   []local
	points   []point
	depth    int // slots in use
	slots    int // the most that were in use
}

// local is a name that `let` binds.
type local struct {
	name  string
	shape engine.Shape
	slot  int
}

// point is what # means inside a predicate. A slot of -1 is not there.
type point struct {
	elem             engine.Shape
	item, index, acc int
	accShape         engine.Shape
}

// operand is a compiled part with the shape of its value.
type operand struct {
	shape   engine.Shape
	run     code
	literal engine.Value // of a literal
}

func (k *compilation) slot() int {
	s := k.depth
	k.depth++
	k.slots = max(k.slots, k.depth)
	return s
}

// wrong notes a mistake at a node and stands in for it with a value of any shape, so that one mistake
// does not lead to others.
func (k *compilation) wrong(at ast.Node, remedy, format string, args ...any) operand {
	loc := at.Location()
	from, to := loc.From, loc.To
	if !k.ascii {
		from, to = byteOffset(k.source, from), byteOffset(k.source, to)
	}
	k.mistakes = append(k.mistakes, Mistake{
		Offset: min(from, len(k.source)), Width: max(0, min(to, len(k.source))-from),
		Message: fmt.Sprintf(format, args...), Remedy: remedy,
	})
	return operand{run: constant(nil)}
}

func (k *compilation) reject(at ast.Node, m *Mistake) operand {
	return k.wrong(at, m.Remedy, "%s", m.Message)
}

func (k *compilation) node(n ast.Node) operand {
	switch x := n.(type) {
	case *ast.NilNode:
		return operand{shape: engine.Shape{Type: typeNull}, run: constant(nil)}
	case *ast.BoolNode:
		return literal(boolShape(), x.Value)
	case *ast.IntegerNode:
		return literal(intShape(), int64(x.Value))
	case *ast.FloatNode:
		return literal(engine.Of(engine.TypeNumber), x.Value)
	case *ast.StringNode:
		return literal(textShape(), x.Value)
	case *ast.BytesNode:
		return literal(engine.Of(engine.TypeBytes), engine.Bytes(x.Value))
	case *ast.IdentifierNode:
		return k.identifier(x)
	case *ast.UnaryNode:
		return k.unary(x)
	case *ast.BinaryNode:
		return k.binary(x)
	case *ast.ConditionalNode:
		return k.conditional(x)
	case *ast.ChainNode:
		return k.chain(x)
	case *ast.MemberNode:
		return k.member(x)
	case *ast.SliceNode:
		return k.slice(x)
	case *ast.CallNode:
		return k.call(x)
	case *ast.BuiltinNode:
		return k.predicated(x)
	case *ast.PointerNode:
		return k.pointer(x)
	case *ast.VariableDeclaratorNode:
		return k.let(x)
	case *ast.SequenceNode:
		return k.wrong(x, "keep the last part only", "parts before the last one, divided by ;, have no effect")
	case *ast.ArrayNode:
		return k.array(x)
	case *ast.MapNode:
		return k.record(x)
	}
	return k.wrong(n, "", "this cannot stand in an expression")
}

func literal(s engine.Shape, v engine.Value) operand {
	return operand{shape: s, run: constant(v), literal: v}
}

// identifier is a name at the head of an expression: of `let`, else of the scope.
func (k *compilation) identifier(n *ast.IdentifierNode) operand {
	for i := len(k.locals) - 1; i >= 0; i-- {
		if l := k.locals[i]; l.name == n.Value {
			return operand{shape: l.shape, run: func(m *machine) (engine.Value, error) { return m.slots[l.slot], nil }}
		}
	}
	name := n.Value
	if name == "null" {
		return operand{shape: engine.Shape{Type: typeNull}, run: constant(nil)}
	}
	shape, namespace, wrong := k.names.Name(name)
	if wrong != nil && IsFunction(name) { // a field of a result may have the name of a function
		return k.wrong(n, "write "+name+"(…)", "%s is a function", name)
	}
	if wrong != nil {
		return k.reject(n, wrong)
	}
	if namespace {
		return k.wrong(n, "name a part of it: "+name+".…", "%s as a whole is not a value", name)
	}
	return operand{shape: shape, run: func(m *machine) (engine.Value, error) { return m.name(name) }}
}

func (m *machine) name(name string) (engine.Value, error) {
	v, err := m.scope.Name(name)
	if err != nil {
		return nil, err
	}
	return known(v)
}

// known turns a value that is not known yet into the error that says so, and drivers' types into ours.
func known(v engine.Value) (engine.Value, error) {
	switch x := v.(type) {
	case nil, bool, int64, float64, string, engine.List, engine.Record, engine.Decimal:
		return v, nil
	case engine.Unknown:
		return nil, x
	}
	return engine.Normalize(v)
}

func (k *compilation) conditional(n *ast.ConditionalNode) operand {
	cond, yes, no := k.node(n.Cond), k.node(n.Exp1), k.node(n.Exp2)
	test := k.condition(n.Cond, cond)
	return operand{shape: Unified(yes.shape, no.shape), run: func(m *machine) (engine.Value, error) {
		holds, err := test(m)
		if err != nil {
			return nil, err
		}
		if holds {
			return yes.run(m)
		}
		return no.run(m)
	}}
}

// condition checks that an operand is true or false.
func (k *compilation) condition(at ast.Node, o operand) func(*machine) (bool, error) {
	if groupOf(o.shape)&gBool == 0 {
		k.wrong(at, "", "this is %s, not true or false", article(Describe(o.shape)))
	}
	return func(m *machine) (bool, error) {
		v, err := o.run(m)
		if err != nil {
			return false, err
		}
		b, ok := v.(bool)
		if !ok {
			return false, fmt.Errorf("%s is neither true nor false", quote(v))
		}
		return b, nil
	}
}

// quote shows a value in a message, cut short.
func quote(v engine.Value) string {
	text := engine.Text(v)
	if r := []rune(text); len(r) > 40 {
		text = string(r[:40]) + "…"
	}
	if _, ok := v.(string); ok {
		return fmt.Sprintf("the string %q", text)
	}
	if v == nil {
		return "null"
	}
	return "the " + engine.TypeName(v) + " " + text
}

func (k *compilation) let(n *ast.VariableDeclaratorNode) operand {
	value := k.node(n.Value)
	name := n.Name
	if _, function := functions[name]; function {
		return k.wrong(n, "choose another name", "%s is the name of a function", name)
	}
	for _, l := range k.locals {
		if l.name == name {
			return k.wrong(n, "choose another name", "%s is bound already", name)
		}
	}
	slot := k.slot()
	k.locals = append(k.locals, local{name, value.shape, slot})
	body := k.node(n.Expr)
	k.locals = k.locals[:len(k.locals)-1]
	k.depth--
	return operand{shape: body.shape, run: func(m *machine) (engine.Value, error) {
		v, err := value.run(m)
		if err != nil {
			return nil, err
		}
		m.slots[slot] = v
		return body.run(m)
	}}
}

func (k *compilation) array(n *ast.ArrayNode) operand {
	parts := make([]code, len(n.Nodes))
	elem := engine.Shape{Type: typeNull}
	for i, e := range n.Nodes {
		o := k.node(e)
		k.noSecret(e, o, "a list")
		parts[i] = o.run
		if i == 0 {
			elem = o.shape
		} else {
			elem = Unified(elem, o.shape)
		}
	}
	if elem.Type == typeNull {
		elem = engine.Shape{}
	}
	return operand{shape: engine.ListOf(elem), run: func(m *machine) (engine.Value, error) {
		out := make(engine.List, len(parts))
		for i, p := range parts {
			var err error
			if out[i], err = p(m); err != nil {
				return nil, err
			}
		}
		return out, m.allocList(len(out))
	}}
}

func (k *compilation) record(n *ast.MapNode) operand {
	type pair struct{ key, value code }
	pairs := make([]pair, 0, len(n.Pairs))
	shape := engine.Shape{Type: engine.TypeRecord}
	for _, p := range n.Pairs {
		pn, ok := p.(*ast.PairNode)
		if !ok {
			return k.wrong(p, "", "this cannot stand in a record")
		}
		key, value := k.node(pn.Key), k.node(pn.Value)
		k.noSecret(pn.Value, value, "a record")
		if groupOf(key.shape)&gText == 0 {
			k.wrong(pn.Key, "", "a name in a record is a string, not %s", article(Describe(key.shape)))
		}
		if name, ok := key.literal.(string); ok {
			shape.Fields = append(shape.Fields, engine.Field{Name: name, Shape: value.shape})
		} else {
			shape.Open = true
		}
		pairs = append(pairs, pair{key.run, value.run})
	}
	return operand{shape: shape, run: func(m *machine) (engine.Value, error) {
		out := make(engine.Record, len(pairs))
		for _, p := range pairs {
			key, err := p.key(m)
			if err != nil {
				return nil, err
			}
			name, ok := key.(string)
			if !ok {
				return nil, fmt.Errorf("a name in a record is a string, not %s", quote(key))
			}
			if out[name], err = p.value(m); err != nil {
				return nil, err
			}
		}
		return out, m.allocList(2 * len(out))
	}}
}

// noSecret: a secret is passed on whole or not at all, so that nothing derived from it can be seen.
func (k *compilation) noSecret(at ast.Node, o operand, where string) bool {
	if groupOf(o.shape) != gSecret {
		return true
	}
	k.wrong(at, "pass it on as it is, or write it into a text: prefix-${{ secrets.NAME }}",
		"a secret cannot be used in %s", where)
	return false
}
