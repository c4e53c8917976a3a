package expression

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// Numbers of different Go types are computed as follows, so that nothing is lost on the way:
//
//	integer with integer   exact; an overflow is an error
//	float with float       as IEEE 754 says
//	integer with float     as floats while the integer fits one exactly, else as decimals
//	decimal with any       as decimals; a float enters by its shortest text, so 0.1 is 0.1

// plus is a + b.
func plus(m *machine, a, b engine.Value) (engine.Value, error) {
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok {
			return x + y, m.alloc(len(x) + len(y))
		}
	case time.Time:
		if d, ok := b.(time.Duration); ok {
			return x.Add(d), nil
		}
	case time.Duration:
		switch y := b.(type) {
		case time.Time:
			return y.Add(x), nil
		case time.Duration:
			return durationFrom(big.NewInt(int64(x)), big.NewInt(int64(y)), (*big.Int).Add)
		}
	}
	if groupOfValue(a) != gNumber || groupOfValue(b) != gNumber {
		return nil, mismatch("+", a, b)
	}
	return arithmetic(a, b, addition)
}

// minus is a - b.
func minus(_ *machine, a, b engine.Value) (engine.Value, error) {
	switch x := a.(type) {
	case time.Time:
		switch y := b.(type) {
		case time.Time:
			return x.Sub(y), nil
		case time.Duration:
			return x.Add(-y), nil
		}
	case time.Duration:
		if y, ok := b.(time.Duration); ok {
			return durationFrom(big.NewInt(int64(x)), big.NewInt(int64(y)), (*big.Int).Sub)
		}
	}
	if groupOfValue(a) != gNumber || groupOfValue(b) != gNumber {
		return nil, mismatch("-", a, b)
	}
	return arithmetic(a, b, subtraction)
}

// times is a * b.
func times(_ *machine, a, b engine.Value) (engine.Value, error) {
	if d, ok := b.(time.Duration); ok {
		a, b = d, a
	}
	if d, ok := a.(time.Duration); ok && groupOfValue(b) == gNumber {
		product, err := arithmetic(decimalOfInt(int64(d)), b, multiplication)
		if err != nil {
			return nil, err
		}
		return durationOf(product)
	}
	if groupOfValue(a) != gNumber || groupOfValue(b) != gNumber {
		return nil, mismatch("*", a, b)
	}
	return arithmetic(a, b, multiplication)
}

// divide is a / b. Integers that do not divide give a float.
func divide(_ *machine, a, b engine.Value) (engine.Value, error) {
	if x, ok := a.(time.Duration); ok {
		if y, ok := b.(time.Duration); ok {
			return quotient(int64(x), int64(y))
		}
		if groupOfValue(b) == gNumber {
			q, err := quotient(decimalOfInt(int64(x)), b)
			if err != nil {
				return nil, err
			}
			return durationOf(q)
		}
	}
	if groupOfValue(a) != gNumber || groupOfValue(b) != gNumber {
		return nil, mismatch("/", a, b)
	}
	return quotient(a, b)
}

func mismatch(operator string, a, b engine.Value) error {
	return fmt.Errorf("%s does not go with %s and %s", operator, quote(a), quote(b))
}

// operation is one way to compute, for each form of number.
type operation struct {
	ints     func(z, x, y *big.Int) *big.Int
	floats   func(x, y float64) float64
	decimals func(x, y engine.Decimal) engine.Decimal
}

var (
	addition       = operation{(*big.Int).Add, func(x, y float64) float64 { return x + y }, engine.Decimal.Add}
	subtraction    = operation{(*big.Int).Sub, func(x, y float64) float64 { return x - y }, engine.Decimal.Sub}
	multiplication = operation{(*big.Int).Mul, func(x, y float64) float64 { return x * y }, engine.Decimal.Mul}
)

func arithmetic(a, b engine.Value, op operation) (engine.Value, error) {
	x, xInt := bigOf(a)
	y, yInt := bigOf(b)
	if xInt && yInt {
		return intOf(op.ints(new(big.Int), x, y))
	}
	if f, g, ok := floats(a, b); ok {
		return finite(op.floats(f, g))
	}
	d, e, err := decimals(a, b)
	if err != nil {
		return nil, err
	}
	return bounded(op.decimals(d, e))
}

// floats gives both numbers as floats if at least one is a float and nothing is lost.
func floats(a, b engine.Value) (float64, float64, bool) {
	_, aFloat := a.(float64)
	_, bFloat := b.(float64)
	if !aFloat && !bFloat {
		return 0, 0, false
	}
	x, okX := exactFloat(a)
	y, okY := exactFloat(b)
	return x, y, okX && okY
}

func exactFloat(v engine.Value) (float64, bool) {
	const limit = 1 << 53
	switch x := v.(type) {
	case float64:
		return x, true
	case int64:
		return float64(x), x >= -limit && x <= limit
	}
	return 0, false
}

func decimals(a, b engine.Value) (x, y engine.Decimal, err error) {
	if x, err = decimalOf(a); err != nil {
		return x, y, err
	}
	y, err = decimalOf(b)
	return x, y, err
}

// decimalOf is the exact decimal of an integer or decimal, and the shortest one of a float.
func decimalOf(v engine.Value) (engine.Decimal, error) {
	switch x := v.(type) {
	case engine.Decimal:
		return x, nil
	case int64:
		return decimalOfInt(x), nil
	case uint64:
		return engine.DecimalFromInt(new(big.Int).SetUint64(x)), nil
	case float64:
		return engine.ParseDecimal(strconv.FormatFloat(x, 'g', -1, 64))
	}
	return engine.Decimal{}, fmt.Errorf("%s is not a number", quote(v))
}

func decimalOfInt(i int64) engine.Decimal { return engine.DecimalFromInt(big.NewInt(i)) }

func bigOf(v engine.Value) (*big.Int, bool) {
	switch x := v.(type) {
	case int64:
		return big.NewInt(x), true
	case uint64:
		return new(big.Int).SetUint64(x), true
	}
	return nil, false
}

// intOf brings an integer back into the range of values.
func intOf(i *big.Int) (engine.Value, error) {
	switch {
	case i.IsInt64():
		return i.Int64(), nil
	case i.IsUint64():
		return i.Uint64(), nil
	}
	return nil, fmt.Errorf("the result does not fit an integer of 64 bits; decimal(…) makes exact numbers of any size")
}

func finite(f float64) (engine.Value, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, fmt.Errorf("the result is too large for a float; decimal(…) makes exact numbers of any size")
	}
	return f, nil
}

// bounded keeps decimals to a length that can be written down again.
func bounded(d engine.Decimal) (engine.Value, error) {
	if len(d.String()) > engine.MaxDecimalDigits {
		return nil, fmt.Errorf("the result has more than %d digits", engine.MaxDecimalDigits)
	}
	return d, nil
}

func quotient(a, b engine.Value) (engine.Value, error) {
	x, xInt := bigOf(a)
	y, yInt := bigOf(b)
	if xInt && yInt {
		if y.Sign() == 0 {
			return nil, errZero()
		}
		q, r := new(big.Int).QuoRem(x, y, new(big.Int))
		if r.Sign() == 0 {
			return intOf(q)
		}
		f, _ := new(big.Rat).SetFrac(x, y).Float64()
		return f, nil
	}
	if f, g, ok := floats(a, b); ok {
		if g == 0 {
			return nil, errZero()
		}
		return finite(f / g)
	}
	d, e, err := decimals(a, b)
	if err != nil {
		return nil, err
	}
	q, err := d.Quo(e)
	if err != nil {
		return nil, err
	}
	return bounded(q)
}

func errZero() error { return fmt.Errorf("division by zero") }

// remainder is a % b of integers, with the sign of a.
func remainder(_ *machine, a, b engine.Value) (engine.Value, error) {
	x, okX := bigOf(a)
	y, okY := bigOf(b)
	if !okX || !okY {
		return nil, fmt.Errorf("%% takes integers, not %s and %s", quote(a), quote(b))
	}
	if y.Sign() == 0 {
		return nil, errZero()
	}
	return intOf(new(big.Int).Rem(x, y))
}

// maxExponent bounds the powers that are computed exactly; no base but 0, 1 and -1 stays within
// [engine.MaxDecimalDigits] for long.
const maxExponent = 4096

// power is a ** b: exact for integers and decimals with a whole exponent that is not negative.
func power(_ *machine, a, b engine.Value) (engine.Value, error) {
	n, whole := b.(int64)
	_, isFloat := a.(float64)
	if !whole || n < 0 || isFloat {
		x, err := asFloat(a)
		if err != nil {
			return nil, err
		}
		y, err := asFloat(b)
		if err != nil {
			return nil, err
		}
		return finite(math.Pow(x, y))
	}
	if n > maxExponent {
		return nil, fmt.Errorf("the exponent %d is larger than %d", n, maxExponent)
	}
	var out engine.Value = int64(1)
	for range n {
		var err error
		if out, err = arithmetic(out, a, multiplication); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// asInt reads an integer that can count and index; a float or decimal without a fraction is one too.
func asInt(v engine.Value) (int64, error) {
	switch x := v.(type) {
	case int64:
		return x, nil
	case float64:
		if x == math.Trunc(x) && math.Abs(x) <= 1<<53 {
			return int64(x), nil
		}
	case engine.Decimal:
		if i, ok := wholePart(x); ok && i.IsInt64() && x.Cmp(engine.DecimalFromInt(i)) == 0 {
			return i.Int64(), nil
		}
	}
	return 0, fmt.Errorf("%s is not an integer", quote(v))
}

// wholePart cuts the fraction off a decimal.
func wholePart(d engine.Decimal) (*big.Int, bool) {
	text := d.String()
	for i := range text {
		if text[i] == '.' {
			text = text[:i]
			break
		}
	}
	return new(big.Int).SetString(text, 10)
}

func asFloat(v engine.Value) (float64, error) {
	switch x := v.(type) {
	case float64:
		return x, nil
	case int64:
		return float64(x), nil
	case uint64:
		return float64(x), nil
	case engine.Decimal:
		return x.Float(), nil
	}
	return 0, fmt.Errorf("%s is not a number", quote(v))
}

func durationFrom(x, y *big.Int, op func(z, x, y *big.Int) *big.Int) (engine.Value, error) {
	z := op(new(big.Int), x, y)
	if !z.IsInt64() {
		return nil, errTooLong()
	}
	return time.Duration(z.Int64()), nil
}

func errTooLong() error { return fmt.Errorf("the duration is longer than 292 years") }

// durationOf is the duration of a number of nanoseconds; parts of one are cut off.
func durationOf(v engine.Value) (engine.Value, error) {
	d, err := decimalOf(v)
	if err != nil {
		return nil, err
	}
	i, ok := wholePart(d)
	if !ok || !i.IsInt64() {
		return nil, errTooLong()
	}
	return time.Duration(i.Int64()), nil
}
