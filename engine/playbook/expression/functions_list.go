package expression

import (
	"fmt"
	"sort"
	"unicode/utf8"

	"github.com/handrail-dev/handrail/engine"
)

func listFunctions() map[string]function {
	return map[string]function{
		"len":     {usage: "len(list, record, text or bytes)", params: []group{gList | gRecord | gText | gBytes}, need: 1, result: intShape(), run: length},
		"first":   {usage: "first(list)", params: []group{gList}, need: 1, shape: entryShape, run: end(func(int) int { return 0 })},
		"last":    {usage: "last(list)", params: []group{gList}, need: 1, shape: entryShape, run: end(func(n int) int { return n - 1 })},
		"take":    {usage: "take(list, n)", params: []group{gList, gNumber}, need: 2, shape: likeFirst, run: take},
		"reverse": {usage: "reverse(list)", params: []group{gList}, need: 1, shape: likeFirst, run: reverse},
		"sort":    {usage: `sort(list[, "desc"])`, params: []group{gList, gText}, need: 1, shape: likeFirst, run: sorted},
		"uniq":    {usage: "uniq(list)", params: []group{gList}, need: 1, shape: likeFirst, run: uniq},
		"concat":  {usage: "concat(list, list, …)", params: []group{gList}, need: 1, spread: true, shape: joined, run: concat},
		"flatten": {usage: "flatten(list)", params: []group{gList}, need: 1, result: listShape(), run: func(m *machine, a []engine.Value) (engine.Value, error) {
			out, err := flatten(m, nil, a[0].(engine.List))
			return out, err
		}},
		"keys":      {usage: "keys(record)", params: []group{gRecord}, need: 1, result: engine.ListOf(textShape()), run: keys},
		"values":    {usage: "values(record)", params: []group{gRecord}, need: 1, result: listShape(), run: values},
		"toPairs":   {usage: "toPairs(record)", params: []group{gRecord}, need: 1, result: engine.ListOf(listShape()), run: toPairs},
		"fromPairs": {usage: "fromPairs(list)", params: []group{gList}, need: 1, result: engine.Shape{Type: engine.TypeRecord, Open: true}, run: fromPairs},
		"get":       {usage: "get(list or record, index or name)", params: []group{gList | gRecord | gNull, gNumber | gText}, need: 2, run: get},
	}
}

func entryShape(args []operand) engine.Shape { return elemOf(args[0].shape) }

func joined(args []operand) engine.Shape {
	s := args[0].shape
	for _, a := range args[1:] {
		s = engine.ListOf(Unified(elemOf(s), elemOf(a.shape)))
	}
	return s
}

func length(_ *machine, a []engine.Value) (engine.Value, error) {
	switch x := a[0].(type) {
	case string:
		return int64(utf8.RuneCountInString(x)), nil
	case engine.Bytes:
		return int64(len(x)), nil
	case engine.Record:
		return int64(len(x)), nil
	case engine.List:
		return int64(len(x)), nil
	}
	return nil, fmt.Errorf("%s has no length", quote(a[0]))
}

// end is first and last; null of an empty list, as in expr.
func end(at func(n int) int) func(*machine, []engine.Value) (engine.Value, error) {
	return func(_ *machine, a []engine.Value) (engine.Value, error) {
		list := a[0].(engine.List)
		if len(list) == 0 {
			return nil, nil
		}
		return known(list[at(len(list))])
	}
}

func take(_ *machine, a []engine.Value) (engine.Value, error) {
	list := a[0].(engine.List)
	n, err := asInt(a[1])
	if err != nil {
		return nil, err
	}
	if n < 0 {
		return nil, fmt.Errorf("%d entries cannot be taken", n)
	}
	end := int(min(n, int64(len(list))))
	return list[:end:end], nil
}

func reverse(m *machine, a []engine.Value) (engine.Value, error) {
	list := a[0].(engine.List)
	if err := m.allocList(len(list)); err != nil {
		return nil, err
	}
	out := make(engine.List, len(list))
	for i, e := range list {
		out[len(list)-1-i] = e
	}
	return out, nil
}

func sorted(m *machine, a []engine.Value) (engine.Value, error) {
	sign, err := direction(a[1:])
	if err != nil {
		return nil, err
	}
	list := a[0].(engine.List)
	out, err := sortList(m, list, list, sign)
	return out, err
}

func direction(order []engine.Value) (int, error) {
	if len(order) == 0 || order[0] == "asc" {
		return 1, nil
	}
	if order[0] == "desc" {
		return -1, nil
	}
	return 0, fmt.Errorf(`the order is "asc" or "desc", not %s`, quote(order[0]))
}

// sortList gives the entries of list in the order of by, which has one value for each of them. Null
// sorts before everything else. Entries that are equal keep their order.
func sortList(m *machine, list, by engine.List, sign int) (engine.List, error) {
	if err := m.allocList(2 * len(list)); err != nil {
		return nil, err
	}
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	var failed error
	sort.SliceStable(order, func(i, j int) bool {
		if failed != nil {
			return false
		}
		if failed = m.spend(1); failed != nil {
			return false
		}
		a, b := by[order[i]], by[order[j]]
		if a == nil || b == nil {
			return sign > 0 && a == nil && b != nil || sign < 0 && a != nil && b == nil
		}
		c, err := compare(a, b)
		failed = err
		return c*sign < 0
	})
	if failed != nil {
		return nil, failed
	}
	out := make(engine.List, len(list))
	for i, at := range order {
		out[i] = list[at]
	}
	return out, nil
}

func uniq(m *machine, a []engine.Value) (engine.Value, error) {
	list := a[0].(engine.List)
	if err := m.allocList(4 * len(list)); err != nil {
		return nil, err
	}
	seen := make(map[string]bool, len(list))
	out := make(engine.List, 0, len(list))
	for _, e := range list {
		id, err := identity(e)
		if err != nil {
			return nil, err
		}
		if !seen[id] {
			seen[id] = true
			out = append(out, e)
		}
	}
	return out, nil
}

func concat(m *machine, a []engine.Value) (engine.Value, error) {
	out := engine.List{}
	for _, v := range a {
		list := v.(engine.List)
		if err := m.allocList(len(list)); err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	return out, nil
}

func flatten(m *machine, out engine.List, list engine.List) (engine.List, error) {
	if out == nil {
		out = engine.List{}
	}
	if err := m.allocList(len(list)); err != nil {
		return nil, err
	}
	for _, e := range list {
		inner, ok := e.(engine.List)
		if !ok {
			out = append(out, e)
			continue
		}
		var err error
		if out, err = flatten(m, out, inner); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func keys(m *machine, a []engine.Value) (engine.Value, error) {
	names := engine.Keys(a[0].(engine.Record))
	out := make(engine.List, len(names))
	for i, n := range names {
		out[i] = n
	}
	return out, m.allocList(len(out))
}

// values are in the order of the names, so that they are always the same.
func values(m *machine, a []engine.Value) (engine.Value, error) {
	r := a[0].(engine.Record)
	out := make(engine.List, 0, len(r))
	for _, n := range engine.Keys(r) {
		v, err := known(r[n])
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, m.allocList(len(out))
}

func toPairs(m *machine, a []engine.Value) (engine.Value, error) {
	r := a[0].(engine.Record)
	out := make(engine.List, 0, len(r))
	for _, n := range engine.Keys(r) {
		v, err := known(r[n])
		if err != nil {
			return nil, err
		}
		out = append(out, engine.List{n, v})
	}
	return out, m.allocList(4 * len(out))
}

func fromPairs(m *machine, a []engine.Value) (engine.Value, error) {
	list := a[0].(engine.List)
	out := make(engine.Record, len(list))
	for i, e := range list {
		pair, ok := e.(engine.List)
		if !ok || len(pair) != 2 {
			return nil, fmt.Errorf("entry %d is not a list of a name and a value", i)
		}
		name, ok := pair[0].(string)
		if !ok {
			return nil, fmt.Errorf("entry %d: a name is a string, not %s", i, quote(pair[0]))
		}
		out[name] = pair[1]
	}
	return out, m.allocList(2 * len(out))
}

// get is the one way to ask for what may not be there: it gives null then.
func get(_ *machine, a []engine.Value) (engine.Value, error) {
	var v engine.Value
	var err error
	if name, ok := a[1].(string); ok {
		if _, isList := a[0].(engine.List); isList {
			return nil, fmt.Errorf("an entry of a list is taken by its number, not by %s", quote(name))
		}
		v, err = fieldOf(a[0], name, "the record", true)
	} else {
		v, err = entryOf(a[0], a[1], "the list", true)
	}
	if _, missing := v.(broken); missing {
		return nil, nil
	}
	return v, err
}
