package expression

import (
	"fmt"

	"github.com/expr-lang/expr/ast"

	"github.com/handrail-dev/handrail/engine"
)

// function is one function of the language. Calls are checked against params when they are compiled
// and again when they are made, so run can rely on the sorts of its arguments.
type function struct {
	usage  string // as in the documents: "split(text, delimiter[, n])"
	params []group
	need   int  // how many arguments must be given
	spread bool // the last parameter may be repeated
	result engine.Shape
	// shape, if set, finds the result from the arguments instead.
	shape func(args []operand) engine.Shape
	run   func(m *machine, args []engine.Value) (engine.Value, error)
}

// functions are all functions but those that take a predicate. The table is never changed.
var functions = joinTables(textFunctions(), numberFunctions(), listFunctions(), timeFunctions(), conversionFunctions())

func joinTables(tables ...map[string]function) map[string]function {
	all := map[string]function{}
	for _, t := range tables {
		for name, f := range t {
			all[name] = f
		}
	}
	return all
}

func functionNames() []string {
	names := make([]string, 0, len(functions)+len(predicates))
	for name := range functions {
		names = append(names, name)
	}
	for name := range predicates {
		names = append(names, name)
	}
	return names
}

// IsFunction says whether a name is taken by a function.
func IsFunction(name string) bool {
	_, f := functions[name]
	_, p := predicates[name]
	return f || p
}

func (k *compilation) call(n *ast.CallNode) operand {
	if callee, ok := n.Callee.(*ast.MemberNode); ok {
		return k.method(n, callee)
	}
	id, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		return k.wrong(n, "", "only functions can be called")
	}
	f, ok := functions[id.Value]
	if !ok {
		remedy := "docs/playbooks.md lists the functions"
		if near, found := Nearest(id.Value, functionNames()); found {
			remedy = "did you mean " + near + "?"
		}
		return k.wrong(id, remedy, "there is no function %s", id.Value)
	}
	return k.apply(n, id.Value, f, nil, n.Arguments)
}

// apply compiles a call; self, if set, is the value before the dot of a method.
func (k *compilation) apply(n ast.Node, name string, f function, self *operand, nodes []ast.Node) operand {
	var args []operand
	if self != nil {
		args = append(args, *self)
	}
	failed := len(k.mistakes)
	for i, a := range nodes {
		o := k.node(a)
		args = append(args, o)
		at := i
		if self != nil {
			at++
		}
		want, ok := f.param(at)
		if !ok {
			return k.wrong(a, "it is used as "+f.usage, "%s takes no more than %d arguments", name, len(f.params))
		}
		if k.noSecret(a, o, "a function") && groupOf(o.shape)&want == 0 {
			k.wrong(a, "it is used as "+f.usage, "%s takes %s here, not %s", name, article(want.String()), article(Describe(o.shape)))
		}
	}
	if len(args) < f.need {
		return k.wrong(n, "it is used as "+f.usage, "%s needs %d arguments, and has %d", name, f.need, len(args))
	}
	if len(k.mistakes) > failed {
		return operand{run: constant(nil)}
	}
	shape := f.result
	if f.shape != nil {
		shape = f.shape(args)
	}
	return operand{shape: shape, run: callCode(name, f, args)}
}

func callCode(name string, f function, args []operand) code {
	return func(m *machine) (engine.Value, error) {
		values := make([]engine.Value, len(args))
		for i, a := range args {
			v, err := a.run(m)
			if err != nil {
				return nil, err
			}
			if _, ended := v.(broken); ended {
				return v, nil
			}
			if want, _ := f.param(i); groupOfValue(v)&want == 0 {
				return nil, fmt.Errorf("%s takes %s, not %s", name, article(want.String()), quote(v))
			}
			values[i] = v
		}
		v, err := f.run(m, values)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return v, nil
	}
}

func (f function) param(i int) (group, bool) {
	if i < len(f.params) {
		return f.params[i], true
	}
	if f.spread {
		return f.params[len(f.params)-1], true
	}
	return 0, false
}

// method is value.Name(…) of a time or duration, or a function written behind its first argument.
func (k *compilation) method(n *ast.CallNode, callee *ast.MemberNode) operand {
	base := k.node(callee.Node)
	name, ok := callee.Property.(*ast.StringNode)
	if !ok {
		return k.wrong(n, "", "only functions can be called")
	}
	if !k.noSecret(callee.Node, base, "an expression") {
		return operand{run: constant(nil)}
	}
	f, ok := methods[name.Value]
	if !ok {
		names := make([]string, 0, len(methods))
		for m := range methods {
			names = append(names, m)
		}
		remedy := "functions are called as name(value)"
		if near, found := Nearest(name.Value, names); found {
			remedy = "did you mean " + near + "?"
		}
		return k.wrong(name, remedy, "there is no method %s", name.Value)
	}
	if groupOf(base.shape)&f.params[0] == 0 {
		return k.wrong(name, "", "%s has no method %s", article(Describe(base.shape)), name.Value)
	}
	if callee.Optional {
		run := base.run
		base.run = func(m *machine) (engine.Value, error) {
			v, err := run(m)
			if v == nil && err == nil {
				return broken{}, nil
			}
			return v, err
		}
	}
	return k.apply(n, name.Value, f, &base, n.Arguments)
}
