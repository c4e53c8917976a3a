package expression

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"

	"github.com/handrail-dev/handrail/engine"
)

// combination is one pair of sorts that an operator takes, and what it makes of them.
type combination struct {
	left, right group
	result      engine.Type
}

// binaryOperators are the operators that compute both sides first.
var binaryOperators = map[string]struct {
	takes []combination
	apply func(*machine, engine.Value, engine.Value) (engine.Value, error)
}{
	"+": {[]combination{
		{gNumber, gNumber, engine.TypeNumber}, {gText, gText, engine.TypeText}, {gTime, gDuration, engine.TypeTime},
		{gDuration, gTime, engine.TypeTime}, {gDuration, gDuration, engine.TypeDuration},
	}, plus},
	"-": {[]combination{
		{gNumber, gNumber, engine.TypeNumber}, {gTime, gTime, engine.TypeDuration}, {gTime, gDuration, engine.TypeTime},
		{gDuration, gDuration, engine.TypeDuration},
	}, minus},
	"*": {[]combination{
		{gNumber, gNumber, engine.TypeNumber}, {gDuration, gNumber, engine.TypeDuration}, {gNumber, gDuration, engine.TypeDuration},
	}, times},
	"/": {[]combination{
		{gNumber, gNumber, engine.TypeNumber}, {gDuration, gNumber, engine.TypeDuration}, {gDuration, gDuration, engine.TypeNumber},
	}, divide},
	"%":  {[]combination{{gNumber, gNumber, engine.TypeInteger}}, remainder},
	"**": {[]combination{{gNumber, gNumber, engine.TypeNumber}}, power},
	"^":  {[]combination{{gNumber, gNumber, engine.TypeNumber}}, power},
	"<":  {ordered, ordering(func(c int) bool { return c < 0 })},
	"<=": {ordered, ordering(func(c int) bool { return c <= 0 })},
	">":  {ordered, ordering(func(c int) bool { return c > 0 })},
	">=": {ordered, ordering(func(c int) bool { return c >= 0 })},
	"in": {[]combination{{gAll, gList, engine.TypeBool}, {gText, gRecord, engine.TypeBool}}, contained},
	"..": {[]combination{{gNumber, gNumber, engine.TypeList}}, span},

	"contains":   {onTexts, textTest(strings.Contains)},
	"startsWith": {onTexts, textTest(strings.HasPrefix)},
	"endsWith":   {onTexts, textTest(strings.HasSuffix)},
	"matches":    {onTexts, matches},
}

var ordered = []combination{
	{gNumber, gNumber, engine.TypeBool}, {gText, gText, engine.TypeBool}, {gTime, gTime, engine.TypeBool},
	{gDuration, gDuration, engine.TypeBool},
}

var onTexts = []combination{{gText, gText, engine.TypeBool}}

func (k *compilation) unary(n *ast.UnaryNode) operand {
	o := k.node(n.Node)
	switch n.Operator {
	case "!", "not":
		test := k.condition(n.Node, o)
		return operand{shape: boolShape(), run: func(m *machine) (engine.Value, error) {
			b, err := test(m)
			return !b, err
		}}
	case "+", "-":
		if groupOf(o.shape)&(gNumber|gDuration) == 0 {
			return k.wrong(n, "", "%s cannot stand before %s", n.Operator, article(Describe(o.shape)))
		}
		if n.Operator == "+" {
			return operand{shape: o.shape, run: o.run}
		}
		if i, ok := o.literal.(int64); ok {
			return literal(o.shape, -i)
		}
		if f, ok := o.literal.(float64); ok {
			return literal(o.shape, -f)
		}
		return operand{shape: o.shape, run: func(m *machine) (engine.Value, error) {
			v, err := o.run(m)
			if err != nil {
				return nil, err
			}
			if d, ok := v.(time.Duration); ok {
				return -d, nil
			}
			return minus(m, int64(0), v)
		}}
	}
	return k.wrong(n, "", "unknown operator %s", n.Operator)
}

func (k *compilation) binary(n *ast.BinaryNode) operand {
	left, right := k.node(n.Left), k.node(n.Right)
	switch n.Operator {
	case "and", "&&", "or", "||":
		return k.logical(n, left, right)
	case "??":
		return k.coalesce(left, right)
	}
	if !k.noSecret(n.Left, left, "an expression") || !k.noSecret(n.Right, right, "an expression") {
		return operand{run: constant(nil)}
	}
	if n.Operator == "==" || n.Operator == "!=" {
		return k.equality(n, left, right)
	}
	op, ok := binaryOperators[n.Operator]
	if !ok {
		return k.wrong(n, "", "unknown operator %s", n.Operator)
	}
	shape, fits := resultOf(op.takes, left.shape, right.shape)
	if fits && isInteger(left.shape) && isInteger(right.shape) && strings.Contains("+-*", n.Operator) {
		shape = intShape()
	}
	if !fits {
		return k.wrong(n, mismatchRemedy(left.shape, right.shape), "%s does not go with %s and %s", n.Operator,
			article(Describe(left.shape)), article(Describe(right.shape)))
	}
	if n.Operator == "in" {
		k.enumerated(n.Left, left, elemOf(right.shape))
	}
	if n.Operator == "matches" {
		if o, done := k.matchesLiteral(n, left, right); done {
			return o
		}
	}
	apply := op.apply
	return operand{shape: shape, run: func(m *machine) (engine.Value, error) {
		a, err := left.run(m)
		if err != nil {
			return nil, err
		}
		b, err := right.run(m)
		if err != nil {
			return nil, err
		}
		return apply(m, a, b)
	}}
}

// resultOf is the shape that an operator makes of two shapes; any, if that depends on the values.
func resultOf(takes []combination, l, r engine.Shape) (engine.Shape, bool) {
	found, n := engine.Type(0), 0
	for _, c := range takes {
		if c.left&groupOf(l) == 0 || c.right&groupOf(r) == 0 {
			continue
		}
		if n > 0 && c.result != found {
			return engine.Shape{}, true
		}
		found, n = c.result, n+1
	}
	switch {
	case n == 0:
		return engine.Shape{}, false
	case found == engine.TypeList:
		return engine.ListOf(intShape()), true
	}
	return engine.Of(found), true
}

func isInteger(s engine.Shape) bool {
	return s.Or == nil && (s.Type == engine.TypeInteger || s.Type == engine.TypeSize)
}

// mismatchRemedy says how two values that do not go together can be brought together.
func mismatchRemedy(l, r engine.Shape) string {
	a, b := groupOf(l), groupOf(r)
	if b == gText {
		a, b = b, a
	}
	if a != gText {
		return ""
	}
	switch b {
	case gNumber:
		return "int(…) and float(…) read a number from a string, string(…) writes one"
	case gTime:
		return "date(…) reads a time from a string"
	case gDuration:
		return `duration("30s") reads a duration from a string`
	default:
		return ""
	}
}

func (k *compilation) logical(n *ast.BinaryNode, left, right operand) operand {
	l, r := k.condition(n.Left, left), k.condition(n.Right, right)
	decides := n.Operator == "or" || n.Operator == "||" // the left value that makes the right one needless
	return operand{shape: boolShape(), run: func(m *machine) (engine.Value, error) {
		b, err := l(m)
		if err != nil {
			return nil, err
		}
		if b == decides {
			return b, nil
		}
		b, err = r(m)
		if err != nil {
			return nil, err
		}
		return b, nil
	}}
}

func (k *compilation) coalesce(left, right operand) operand {
	return operand{shape: Unified(left.shape, right.shape), run: func(m *machine) (engine.Value, error) {
		v, err := left.run(m)
		if v != nil || err != nil {
			return v, err
		}
		return right.run(m)
	}}
}

func (k *compilation) equality(n *ast.BinaryNode, left, right operand) operand {
	l, r := groupOf(left.shape), groupOf(right.shape)
	if l != gNull && r != gNull && l&r == 0 {
		return k.wrong(n, mismatchRemedy(left.shape, right.shape), "%s is never equal to %s",
			article(Describe(left.shape)), article(Describe(right.shape)))
	}
	k.enumerated(n.Left, left, right.shape)
	k.enumerated(n.Right, right, left.shape)
	negate := n.Operator == "!="
	return operand{shape: boolShape(), run: func(m *machine) (engine.Value, error) {
		a, err := left.run(m)
		if err != nil {
			return nil, err
		}
		b, err := right.run(m)
		if err != nil {
			return nil, err
		}
		same, err := m.equal(a, b)
		return same != negate, err
	}}
}

// enumerated checks a literal that is compared with one of a list of words.
func (k *compilation) enumerated(at ast.Node, o operand, other engine.Shape) {
	word, ok := o.literal.(string)
	if !ok || other.Type != engine.TypeEnum || other.Or != nil {
		return
	}
	for _, e := range other.Enum {
		if e == word {
			return
		}
	}
	remedy := "it is one of: " + strings.Join(other.Enum, ", ")
	if near, ok := Nearest(word, other.Enum); ok {
		remedy = fmt.Sprintf("did you mean %q?", near)
	}
	k.wrong(at, remedy, "it is never %q", word)
}

func ordering(holds func(int) bool) func(*machine, engine.Value, engine.Value) (engine.Value, error) {
	return func(_ *machine, a, b engine.Value) (engine.Value, error) {
		c, err := compare(a, b)
		if err != nil {
			return nil, err
		}
		return holds(c), nil
	}
}

func textTest(test func(a, b string) bool) func(*machine, engine.Value, engine.Value) (engine.Value, error) {
	return func(_ *machine, a, b engine.Value) (engine.Value, error) {
		x, okX := a.(string)
		y, okY := b.(string)
		if !okX || !okY {
			return nil, fmt.Errorf("%s and %s are not both strings", quote(a), quote(b))
		}
		return test(x, y), nil
	}
}

func matches(_ *machine, a, b engine.Value) (engine.Value, error) {
	x, okX := a.(string)
	y, okY := b.(string)
	if !okX || !okY {
		return nil, fmt.Errorf("%s and %s are not both strings", quote(a), quote(b))
	}
	pattern, err := regexp.Compile(y)
	if err != nil {
		return nil, fmt.Errorf("the pattern cannot be read: %w", err)
	}
	return pattern.MatchString(x), nil
}

// matchesLiteral compiles a pattern that is written out, and finds at load what is wrong with it.
func (k *compilation) matchesLiteral(n *ast.BinaryNode, left, right operand) (operand, bool) {
	text, ok := right.literal.(string)
	if !ok {
		return operand{}, false
	}
	pattern, err := regexp.Compile(text)
	if err != nil {
		return k.wrong(n.Right, "", "the pattern cannot be read: %s", PatternFault(err)), true
	}
	return operand{shape: boolShape(), run: func(m *machine) (engine.Value, error) {
		v, err := left.run(m)
		if err != nil {
			return nil, err
		}
		s, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("%s is not a string", quote(v))
		}
		return pattern.MatchString(s), nil
	}}, true
}

// PatternFault is what is wrong with a regular expression, in a few words.
func PatternFault(err error) string {
	return strings.TrimPrefix(err.Error(), "error parsing regexp: ")
}

// contained is `a in list` and `"name" in record`.
func contained(m *machine, a, b engine.Value) (engine.Value, error) {
	switch x := b.(type) {
	case engine.List:
		for _, e := range x {
			if err := m.spend(1); err != nil {
				return nil, err
			}
			same, err := m.equal(a, e)
			if err != nil {
				return nil, err
			}
			if same {
				return true, nil
			}
		}
		return false, nil
	case engine.Record:
		name, ok := a.(string)
		if !ok {
			return nil, fmt.Errorf("a name in a record is a string, not %s", quote(a))
		}
		for key := range x {
			if strings.EqualFold(key, name) {
				return true, nil
			}
		}
		return false, nil
	}
	return nil, fmt.Errorf("%s is neither a list nor a record", quote(b))
}

// span is from..to, both included; empty if to lies before from.
func span(m *machine, a, b engine.Value) (engine.Value, error) {
	from, err := asInt(a)
	if err != nil {
		return nil, err
	}
	to, err := asInt(b)
	if err != nil {
		return nil, err
	}
	if to < from {
		return engine.List{}, nil
	}
	n := uint64(to) - uint64(from)
	if n >= maxMemory {
		return nil, m.allocList(maxMemory)
	}
	if err := m.allocList(int(n) + 1); err != nil {
		return nil, err
	}
	out := make(engine.List, 0, n+1)
	for i := uint64(0); i <= n; i++ {
		out = append(out, from+int64(i))
	}
	return out, nil
}
