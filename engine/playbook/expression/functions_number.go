package expression

import (
	"fmt"
	"math"
	"math/big"
	"strings"

	"github.com/handrail-dev/handrail/engine"
)

func numberFunctions() map[string]function {
	bits := func(usage string, f func(a, b int64) (int64, error)) function {
		return function{usage: usage, params: []group{gNumber, gNumber}, need: 2, result: intShape(),
			run: func(_ *machine, a []engine.Value) (engine.Value, error) {
				x, err := asInt(a[0])
				if err != nil {
					return nil, err
				}
				y, err := asInt(a[1])
				if err != nil {
					return nil, err
				}
				z, err := f(x, y)
				return z, err
			}}
	}
	shift := func(f func(a int64, by uint) int64) func(a, b int64) (int64, error) {
		return func(a, b int64) (int64, error) {
			if b < 0 || b > 63 {
				return 0, fmt.Errorf("a shift by %d bits is not possible", b)
			}
			return f(a, uint(b)), nil
		}
	}
	return map[string]function{
		"abs":   {usage: "abs(number)", params: []group{gNumber}, need: 1, shape: likeFirst, run: abs},
		"ceil":  {usage: "ceil(number)", params: []group{gNumber}, need: 1, shape: likeFirst, run: rounding(math.Ceil, up)},
		"floor": {usage: "floor(number)", params: []group{gNumber}, need: 1, shape: likeFirst, run: rounding(math.Floor, down)},
		"round": {usage: "round(number)", params: []group{gNumber}, need: 1, shape: likeFirst, run: rounding(math.Round, nearest)},
		"min":   {usage: "min(a, b, …) or min(list)", params: []group{gNumber | gDuration | gTime | gList}, need: 1, spread: true, shape: oneOf, run: extreme(-1)},
		"max":   {usage: "max(a, b, …) or max(list)", params: []group{gNumber | gDuration | gTime | gList}, need: 1, spread: true, shape: oneOf, run: extreme(1)},
		"mean":  {usage: "mean(list)", params: []group{gList}, need: 1, result: engine.Of(engine.TypeNumber), run: mean},
		"median": {usage: "median(list)", params: []group{gList}, need: 1, result: engine.Of(engine.TypeNumber),
			run: median},
		"bitand":  bits("bitand(a, b)", func(a, b int64) (int64, error) { return a & b, nil }),
		"bitor":   bits("bitor(a, b)", func(a, b int64) (int64, error) { return a | b, nil }),
		"bitxor":  bits("bitxor(a, b)", func(a, b int64) (int64, error) { return a ^ b, nil }),
		"bitnand": bits("bitnand(a, b)", func(a, b int64) (int64, error) { return a &^ b, nil }),
		"bitshl":  bits("bitshl(a, n)", shift(func(a int64, by uint) int64 { return a << by })),
		"bitshr":  bits("bitshr(a, n)", shift(func(a int64, by uint) int64 { return a >> by })),
		"bitushr": bits("bitushr(a, n)", shift(func(a int64, by uint) int64 { return int64(uint64(a) >> by) })),
		"bitnot": {usage: "bitnot(a)", params: []group{gNumber}, need: 1, result: intShape(),
			run: func(_ *machine, a []engine.Value) (engine.Value, error) {
				x, err := asInt(a[0])
				return ^x, err
			}},
	}
}

func likeFirst(args []operand) engine.Shape { return args[0].shape }

// oneOf is the shape of the result of a function that picks one of its arguments.
func oneOf(args []operand) engine.Shape {
	s := args[0].shape
	if groupOf(s) == gList {
		s = elemOf(s)
	}
	for _, a := range args[1:] {
		s = Unified(s, a.shape)
	}
	return s
}

func abs(m *machine, a []engine.Value) (engine.Value, error) {
	c, err := compare(a[0], int64(0))
	if err != nil || c >= 0 {
		return a[0], err
	}
	return minus(m, int64(0), a[0])
}

// Ways to round a decimal, told by its whole part, the sign of what was cut off, and half of one.
func up(whole *big.Int, cut, _ int) *big.Int { return step(whole, cut > 0, 1) }
func down(whole *big.Int, cut, _ int) *big.Int {
	return step(whole, cut < 0, -1)
}
func nearest(whole *big.Int, cut, half int) *big.Int { return step(whole, half >= 0, int64(cut)) }

func step(whole *big.Int, yes bool, by int64) *big.Int {
	if !yes {
		return whole
	}
	return new(big.Int).Add(whole, big.NewInt(by))
}

func rounding(float func(float64) float64, decimal func(whole *big.Int, cut, half int) *big.Int) func(*machine, []engine.Value) (engine.Value, error) {
	return func(_ *machine, a []engine.Value) (engine.Value, error) {
		switch x := a[0].(type) {
		case float64:
			return float(x), nil
		case engine.Decimal:
			whole, ok := wholePart(x)
			if !ok {
				return nil, fmt.Errorf("%s cannot be rounded", quote(x))
			}
			rest := x.Sub(engine.DecimalFromInt(whole))
			zero := engine.Decimal{}
			cut := rest.Cmp(zero)
			size := rest
			if cut < 0 {
				size = zero.Sub(rest)
			}
			half, err := engine.ParseDecimal("0.5")
			if err != nil {
				return nil, err
			}
			return engine.DecimalFromInt(decimal(whole, cut, size.Cmp(half))), nil
		}
		return a[0], nil
	}
}

// extreme picks the smallest (-1) or largest (1) of numbers, times or durations; lists are looked into.
func extreme(sign int) func(*machine, []engine.Value) (engine.Value, error) {
	return func(m *machine, a []engine.Value) (engine.Value, error) {
		var best engine.Value
		take := func(v engine.Value) error {
			if best == nil {
				best = v
				if groupOfValue(v)&(gNumber|gTime|gDuration) == 0 {
					return fmt.Errorf("%s is not a number, time or duration", quote(v))
				}
				return nil
			}
			c, err := compare(v, best)
			if err == nil && c == sign {
				best = v
			}
			return err
		}
		for _, v := range a {
			list, ok := v.(engine.List)
			if !ok {
				list = engine.List{v}
			}
			if err := m.spend(len(list)); err != nil {
				return nil, err
			}
			for _, e := range list {
				if err := take(e); err != nil {
					return nil, err
				}
			}
		}
		if best == nil {
			return nil, fmt.Errorf("the list is empty")
		}
		return best, nil
	}
}

// sumOf adds up the entries of a list; the sum of none is 0.
func sumOf(m *machine, list engine.List) (engine.Value, error) {
	if len(list) == 0 {
		return int64(0), nil
	}
	if err := m.spend(len(list)); err != nil {
		return nil, err
	}
	total := list[0]
	if groupOfValue(total)&(gNumber|gDuration) == 0 {
		return nil, fmt.Errorf("entry 0 is %s; it cannot be added up", quote(total))
	}
	for i, e := range list[1:] {
		var err error
		if total, err = plus(m, total, e); err != nil {
			return nil, fmt.Errorf("entry %d: %w", i+1, err)
		}
	}
	return total, nil
}

func mean(m *machine, a []engine.Value) (engine.Value, error) {
	list := a[0].(engine.List)
	if len(list) == 0 {
		return nil, fmt.Errorf("the list is empty")
	}
	total, err := sumOf(m, list)
	if err != nil {
		return nil, err
	}
	return divide(m, total, int64(len(list)))
}

func median(m *machine, a []engine.Value) (engine.Value, error) {
	sorted, err := sortList(m, a[0].(engine.List), a[0].(engine.List), 1)
	if err != nil {
		return nil, err
	}
	n := len(sorted)
	switch {
	case n == 0:
		return nil, fmt.Errorf("the list is empty")
	case n%2 == 1:
		return sorted[n/2], nil
	}
	total, err := plus(m, sorted[n/2-1], sorted[n/2])
	if err != nil {
		return nil, err
	}
	return divide(m, total, int64(2))
}

// integerOf is the function int.
func integerOf(_ *machine, a []engine.Value) (engine.Value, error) {
	v := a[0]
	if s, ok := v.(string); ok {
		d, err := engine.ParseDecimal(strings.TrimSpace(s))
		if err != nil {
			return nil, err
		}
		v = d
	}
	switch v.(type) {
	case int64, uint64:
		return v, nil
	}
	d, err := decimalOf(v)
	if err != nil {
		return nil, err
	}
	whole, ok := wholePart(d)
	if !ok {
		return nil, fmt.Errorf("%s is not a number", quote(v))
	}
	return intOf(whole)
}
