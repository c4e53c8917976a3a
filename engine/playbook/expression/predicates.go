package expression

import (
	"fmt"

	"github.com/expr-lang/expr/ast"

	"github.com/handrail-dev/handrail/engine"
)

// loop is what a function with a predicate does with each entry: it takes the predicate's value and
// says whether to go on.
type loop struct {
	boolean bool // the predicate is a condition
	result  func(elem, predicate engine.Shape) engine.Shape
	run     func(m *machine, list engine.List, each func(i int) (engine.Value, error)) (engine.Value, error)
}

// predicates are the functions that ask something of each entry of a list, but reduce, which has a
// shape of its own. The table is never changed.
var predicates = map[string]loop{
	"all":           {true, fixed(boolShape()), quantifier(false, func(hits, n int) bool { return hits == n })},
	"none":          {true, fixed(boolShape()), quantifier(true, func(hits, _ int) bool { return hits == 0 })},
	"any":           {true, fixed(boolShape()), quantifier(true, func(hits, _ int) bool { return hits > 0 })},
	"one":           {true, fixed(boolShape()), one},
	"filter":        {true, func(elem, _ engine.Shape) engine.Shape { return engine.ListOf(elem) }, filter},
	"count":         {true, fixed(intShape()), count},
	"find":          {true, func(elem, _ engine.Shape) engine.Shape { return elem }, search(false, pick)},
	"findLast":      {true, func(elem, _ engine.Shape) engine.Shape { return elem }, search(true, pick)},
	"findIndex":     {true, fixed(intShape()), search(false, place)},
	"findLastIndex": {true, fixed(intShape()), search(true, place)},
	"map":           {false, func(_, p engine.Shape) engine.Shape { return engine.ListOf(p) }, mapped},
	"sum":           {false, sumShape, summed},
	"groupBy":       {false, groupShape, groupBy},
	"sortBy":        {false, nil, nil},
	"reduce":        {false, nil, nil},
}

func fixed(s engine.Shape) func(_, _ engine.Shape) engine.Shape {
	return func(_, _ engine.Shape) engine.Shape { return s }
}

func sumShape(_, p engine.Shape) engine.Shape {
	if groupOf(p) == gDuration || isInteger(p) {
		return p
	}
	return engine.Of(engine.TypeNumber)
}

func groupShape(elem, _ engine.Shape) engine.Shape {
	inner := engine.ListOf(elem)
	return engine.Shape{Type: engine.TypeRecord, Open: true, Elem: &inner}
}

// predicated compiles a call of a function with a predicate.
func (k *compilation) predicated(n *ast.BuiltinNode) operand {
	l, ok := predicates[n.Name]
	if !ok || len(n.Arguments) == 0 {
		return k.wrong(n, "", "there is no function %s", n.Name)
	}
	list := k.node(n.Arguments[0])
	if !k.noSecret(n.Arguments[0], list, "a function") {
		return operand{run: constant(nil)}
	}
	if groupOf(list.shape)&gList == 0 {
		return k.wrong(n.Arguments[0], "", "%s takes a list here, not %s", n.Name, article(Describe(list.shape)))
	}
	switch n.Name {
	case "reduce":
		return k.reduce(n, list)
	case "sortBy":
		return k.sortBy(n, list)
	}
	elem := elemOf(list.shape)
	slots, predicate := k.predicate(n, elem)
	if l.boolean && groupOf(predicate.shape)&gBool == 0 {
		return k.wrong(n.Arguments[1], "", "%s asks for true or false of each entry; this is %s", n.Name, article(Describe(predicate.shape)))
	}
	name := n.Name
	return operand{shape: l.result(elem, predicate.shape), run: func(m *machine) (engine.Value, error) {
		entries, err := m.list(list, name)
		if err != nil {
			return nil, err
		}
		return l.run(m, entries, m.each(entries, slots, predicate.run, name))
	}}
}

// list evaluates the list that a function goes over.
func (m *machine) list(o operand, name string) (engine.List, error) {
	v, err := o.run(m)
	if err != nil {
		return nil, err
	}
	list, ok := v.(engine.List)
	if !ok {
		return nil, fmt.Errorf("%s takes a list, not %s", name, quote(v))
	}
	return list, nil
}

// each gives the predicate's value for an entry.
func (m *machine) each(list engine.List, s point, predicate code, name string) func(int) (engine.Value, error) {
	return func(i int) (engine.Value, error) {
		if err := m.spend(1); err != nil {
			return nil, err
		}
		item, err := known(list[i])
		if err != nil {
			return nil, err
		}
		m.slots[s.item], m.slots[s.index] = item, int64(i)
		v, err := predicate(m)
		if err != nil {
			return nil, fmt.Errorf("%s, entry %d: %w", name, i, err)
		}
		return v, nil
	}
}

// predicate compiles the second argument; without one, an entry is taken as it is.
func (k *compilation) predicate(n *ast.BuiltinNode, elem engine.Shape) (point, operand) {
	depth := k.depth
	p := point{elem: elem, item: k.slot(), index: k.slot(), acc: -1}
	k.points = append(k.points, p)
	var body operand
	if len(n.Arguments) > 1 {
		body = k.body(n.Arguments[1])
	} else {
		body = operand{shape: elem, run: func(m *machine) (engine.Value, error) { return m.slots[p.item], nil }}
	}
	k.points = k.points[:len(k.points)-1]
	k.depth = depth
	return p, body
}

func (k *compilation) body(n ast.Node) operand {
	at := n
	if p, ok := n.(*ast.PredicateNode); ok {
		at = p.Node
	}
	o := k.node(at)
	k.noSecret(at, o, "a predicate")
	return o
}

// pointer is #, #index or #acc.
func (k *compilation) pointer(n *ast.PointerNode) operand {
	if len(k.points) == 0 {
		return k.wrong(n, "", "# stands for an entry, inside of filter(…) and its like only")
	}
	p := k.points[len(k.points)-1]
	slot, shape := p.item, p.elem
	switch n.Name {
	case "":
	case "index":
		slot, shape = p.index, intShape()
	case "acc":
		slot, shape = p.acc, p.accShape
		if slot < 0 {
			return k.wrong(n, "", "#acc is there inside of reduce(…) only")
		}
	default:
		return k.wrong(n, "there are #, #index and #acc", "there is no #%s", n.Name)
	}
	return operand{shape: shape, run: func(m *machine) (engine.Value, error) { return m.slots[slot], nil }}
}

func (k *compilation) reduce(n *ast.BuiltinNode, list operand) operand {
	if len(n.Arguments) < 2 {
		return k.wrong(n, "it is used as reduce(list, #acc + #, 0)", "reduce needs a predicate")
	}
	var start *operand
	if len(n.Arguments) == 3 {
		o := k.node(n.Arguments[2])
		k.noSecret(n.Arguments[2], o, "a function")
		start = &o
	}
	depth := k.depth
	p := point{elem: elemOf(list.shape), item: k.slot(), index: k.slot(), acc: k.slot()}
	k.points = append(k.points, p)
	body := k.body(n.Arguments[1])
	k.points = k.points[:len(k.points)-1]
	k.depth = depth
	return operand{run: func(m *machine) (engine.Value, error) {
		entries, err := m.list(list, "reduce")
		if err != nil {
			return nil, err
		}
		first := 0
		var acc engine.Value
		switch {
		case start != nil:
			if acc, err = start.run(m); err != nil {
				return nil, err
			}
		case len(entries) == 0:
			return nil, fmt.Errorf("reduce: the list is empty, and there is no value to start with")
		default:
			acc, first = entries[0], 1
		}
		next := m.each(entries, p, body.run, "reduce")
		for i := first; i < len(entries); i++ {
			m.slots[p.acc] = acc
			if acc, err = next(i); err != nil {
				return nil, err
			}
		}
		return acc, nil
	}}
}

func (k *compilation) sortBy(n *ast.BuiltinNode, list operand) operand {
	elem := elemOf(list.shape)
	slots, predicate := k.predicate(n, elem)
	order := literal(textShape(), "asc")
	if len(n.Arguments) == 3 {
		order = k.node(n.Arguments[2])
		if groupOf(order.shape)&gText == 0 {
			k.wrong(n.Arguments[2], "", `the order is "asc" or "desc", not %s`, article(Describe(order.shape)))
		}
	}
	return operand{shape: engine.ListOf(elem), run: func(m *machine) (engine.Value, error) {
		entries, err := m.list(list, "sortBy")
		if err != nil {
			return nil, err
		}
		by, err := mapped(m, entries, m.each(entries, slots, predicate.run, "sortBy"))
		if err != nil {
			return nil, err
		}
		way, err := order.run(m)
		if err != nil {
			return nil, err
		}
		sign, err := direction([]engine.Value{way})
		if err != nil {
			return nil, fmt.Errorf("sortBy: %w", err)
		}
		out, err := sortList(m, entries, by.(engine.List), sign)
		if err != nil {
			return nil, fmt.Errorf("sortBy: %w", err)
		}
		return out, nil
	}}
}

func holds(each func(int) (engine.Value, error), i int) (bool, error) {
	v, err := each(i)
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("entry %d: %s is neither true nor false", i, quote(v))
	}
	return b, nil
}

// quantifier goes over a list until an entry answers as stop says, and judges by the hits.
func quantifier(stop bool, verdict func(hits, n int) bool) func(*machine, engine.List, func(int) (engine.Value, error)) (engine.Value, error) {
	return func(_ *machine, list engine.List, each func(int) (engine.Value, error)) (engine.Value, error) {
		hits := 0
		for i := range list {
			yes, err := holds(each, i)
			if err != nil {
				return nil, err
			}
			if yes {
				hits++
			}
			if yes == stop {
				break
			}
		}
		return verdict(hits, len(list)), nil
	}
}

func one(m *machine, list engine.List, each func(int) (engine.Value, error)) (engine.Value, error) {
	n, err := count(m, list, each)
	return n == int64(1), err
}

func count(_ *machine, list engine.List, each func(int) (engine.Value, error)) (engine.Value, error) {
	n := int64(0)
	for i := range list {
		yes, err := holds(each, i)
		if err != nil {
			return nil, err
		}
		if yes {
			n++
		}
	}
	return n, nil
}

func filter(m *machine, list engine.List, each func(int) (engine.Value, error)) (engine.Value, error) {
	out := engine.List{}
	for i, e := range list {
		yes, err := holds(each, i)
		if err != nil {
			return nil, err
		}
		if yes {
			out = append(out, e)
		}
	}
	return out, m.allocList(len(out))
}

func pick(list engine.List, i int) engine.Value {
	if i < 0 {
		return nil
	}
	return list[i]
}

func place(_ engine.List, i int) engine.Value {
	if i < 0 {
		return nil
	}
	return int64(i)
}

// search finds the first or last entry for which the predicate holds; null, as in expr, if there is none.
func search(backwards bool, give func(engine.List, int) engine.Value) func(*machine, engine.List, func(int) (engine.Value, error)) (engine.Value, error) {
	return func(_ *machine, list engine.List, each func(int) (engine.Value, error)) (engine.Value, error) {
		for n := range list {
			i := n
			if backwards {
				i = len(list) - 1 - n
			}
			yes, err := holds(each, i)
			if err != nil {
				return nil, err
			}
			if yes {
				return give(list, i), nil
			}
		}
		return give(list, -1), nil
	}
}

func mapped(m *machine, list engine.List, each func(int) (engine.Value, error)) (engine.Value, error) {
	if err := m.allocList(len(list)); err != nil {
		return nil, err
	}
	out := make(engine.List, len(list))
	for i := range list {
		var err error
		if out[i], err = each(i); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func summed(m *machine, list engine.List, each func(int) (engine.Value, error)) (engine.Value, error) {
	parts, err := mapped(m, list, each)
	if err != nil {
		return nil, err
	}
	total, err := sumOf(m, parts.(engine.List))
	if err != nil {
		return nil, fmt.Errorf("sum: %w", err)
	}
	return total, nil
}

// groupBy gives a record; the names are the predicate's values as text.
func groupBy(m *machine, list engine.List, each func(int) (engine.Value, error)) (engine.Value, error) {
	out := engine.Record{}
	for i, e := range list {
		v, err := each(i)
		if err != nil {
			return nil, err
		}
		switch groupOfValue(v) {
		case gText, gNumber, gBool, gTime, gDuration, gNull:
		default:
			return nil, fmt.Errorf("groupBy, entry %d: %s cannot name a group", i, quote(v))
		}
		name := engine.Text(v)
		group, _ := out[name].(engine.List)
		out[name] = append(group, e)
	}
	return out, m.allocList(2 * len(list))
}
