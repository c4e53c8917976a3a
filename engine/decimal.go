package engine

import (
	"fmt"
	"math/big"
	"strings"
)

// Decimal is an exact decimal number, as NUMERIC and DECIMAL columns hold it. The zero Decimal is 0.
type Decimal struct {
	unscaled *big.Int
	scale    int // digits after the point; never negative
}

// MaxDecimalDigits bounds a Decimal; the widest column type of the supported servers has 131,072 digits
// before the point, but nothing that a playbook compares is near that.
const MaxDecimalDigits = 1000

// ParseDecimal reads [+-]digits[.digits][e[+-]digits].
func ParseDecimal(s string) (Decimal, error) {
	bad := func() (Decimal, error) { return Decimal{}, fmt.Errorf("%q is not a decimal number", s) }
	mantissa, exponent := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		mantissa = s[:i]
		if _, err := fmt.Sscanf(s[i+1:], "%d", &exponent); err != nil {
			return bad()
		}
	}
	if len(mantissa) > MaxDecimalDigits || exponent > MaxDecimalDigits || exponent < -MaxDecimalDigits {
		return Decimal{}, fmt.Errorf("the decimal %.20s… has more than %d digits", s, MaxDecimalDigits)
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole, "+-") + fraction
	if digits == "" || strings.Trim(digits, "0123456789") != "" || len(whole)-len(strings.TrimLeft(whole, "+-")) > 1 {
		return bad()
	}
	u, ok := new(big.Int).SetString(digits, 10)
	if !ok {
		return bad()
	}
	if strings.HasPrefix(whole, "-") {
		u.Neg(u)
	}
	scale := len(fraction) - exponent
	if scale < 0 {
		u.Mul(u, pow10(-scale))
		scale = 0
	}
	return Decimal{u, scale}, nil
}

// DecimalFromInt is the Decimal of an integer.
func DecimalFromInt(i *big.Int) Decimal { return Decimal{unscaled: new(big.Int).Set(i)} }

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

func (d Decimal) int() *big.Int {
	if d.unscaled == nil {
		return new(big.Int)
	}
	return d.unscaled
}

// align brings two decimals to one scale.
func align(a, b Decimal) (x, y *big.Int, scale int) {
	x, y = a.int(), b.int()
	switch {
	case a.scale < b.scale:
		return new(big.Int).Mul(x, pow10(b.scale-a.scale)), y, b.scale
	case a.scale > b.scale:
		return x, new(big.Int).Mul(y, pow10(a.scale-b.scale)), a.scale
	}
	return x, y, a.scale
}

// Cmp is -1, 0 or 1; 1.0 and 1.00 are equal.
func (d Decimal) Cmp(e Decimal) int { x, y, _ := align(d, e); return x.Cmp(y) }

// Add is exact.
func (d Decimal) Add(e Decimal) Decimal {
	x, y, s := align(d, e)
	return Decimal{new(big.Int).Add(x, y), s}
}

// Sub is exact.
func (d Decimal) Sub(e Decimal) Decimal {
	x, y, s := align(d, e)
	return Decimal{new(big.Int).Sub(x, y), s}
}

// Mul is exact.
func (d Decimal) Mul(e Decimal) Decimal {
	return Decimal{new(big.Int).Mul(d.int(), e.int()), d.scale + e.scale}
}

// quoDigits is how many digits a quotient has after the point beyond those of its operands.
const quoDigits = 12

// Quo divides; the result is cut off twelve digits beyond the wider scale.
func (d Decimal) Quo(e Decimal) (Decimal, error) {
	if e.int().Sign() == 0 {
		return Decimal{}, fmt.Errorf("division by zero")
	}
	x, y, s := align(d, e)
	s += quoDigits
	return Decimal{new(big.Int).Quo(new(big.Int).Mul(x, pow10(s)), y), s}, nil
}

// Float is the nearest float64.
func (d Decimal) Float() float64 {
	f, _ := new(big.Rat).SetFrac(d.int(), pow10(d.scale)).Float64()
	return f
}

func (d Decimal) String() string {
	s := d.int().String()
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	if d.scale == 0 {
		return sign + s
	}
	if len(s) <= d.scale {
		s = strings.Repeat("0", d.scale-len(s)+1) + s
	}
	return sign + s[:len(s)-d.scale] + "." + s[len(s)-d.scale:]
}
