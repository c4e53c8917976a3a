package sql

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/handrail-dev/handrail/engine"
)

const (
	maxDecimalDigits = 65
	maxDecimalScale  = 30
	maxMySQLTime     = 839 * time.Hour // TIME ends at 838:59:59
)

// bind hands values to the driver in a form that loses nothing. A decimal would be compared as a float
// if it came as text, so its placeholder says what it is.
func (*mysqlDialect) bind(_ int, v engine.Value) (string, any, error) {
	switch x := v.(type) {
	case nil, bool, int64, uint64, string, time.Time:
		return "?", x, nil
	case engine.Secret:
		return "?", x.Reveal(), nil
	case engine.Bytes:
		return "?", []byte(x), nil
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return "", nil, fmt.Errorf("%v is no number that a database holds", x)
		}
		return "?", x, nil
	case engine.Decimal:
		text := x.String()
		digits := len(strings.TrimLeft(strings.NewReplacer("-", "", ".", "").Replace(text), ""))
		_, fraction, _ := strings.Cut(text, ".")
		if digits > maxDecimalDigits || len(fraction) > maxDecimalScale {
			return "", nil, fmt.Errorf("the decimal %s has more digits than the server holds (%d, %d behind the point)", text, maxDecimalDigits, maxDecimalScale)
		}
		return fmt.Sprintf("CAST(? AS DECIMAL(%d,%d))", digits, len(fraction)), text, nil
	case time.Duration:
		if x >= maxMySQLTime || x <= -maxMySQLTime {
			return "", nil, fmt.Errorf("the duration %v is longer than TIME holds", x)
		}
		return "?", clock(x), nil
	}
	return "", nil, fmt.Errorf("a %s cannot be an argument of a statement; give a single value, or a list for IN (…)", engine.TypeName(v))
}

// clock writes a duration as TIME reads it.
func clock(d time.Duration) string {
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	text := fmt.Sprintf("%s%02d:%02d:%02d", sign, d/time.Hour, d/time.Minute%60, d/time.Second%60)
	if micro := d / time.Microsecond % 1e6; micro != 0 {
		text += fmt.Sprintf(".%06d", micro)
	}
	return text
}

// parseClock reads TIME: [-]hours:minutes:seconds[.fraction].
func parseClock(s string) (time.Duration, error) {
	body, negative := strings.CutPrefix(s, "-")
	parts := strings.Split(body, ":")
	if len(parts) != 3 {
		return 0, fmt.Errorf("%q is not a TIME", s)
	}
	d, err := time.ParseDuration(parts[0] + "h" + parts[1] + "m" + parts[2] + "s")
	if err != nil {
		return 0, fmt.Errorf("%q is not a TIME", s)
	}
	if negative {
		d = -d
	}
	return d, nil
}

func (*mysqlDialect) value(typ string, v any) (engine.Value, error) {
	switch x := v.(type) {
	case nil, int64, uint64, float64, bool, time.Time:
		return engine.Normalize(x)
	case float32: // 0.1 in a FLOAT column is 0.1, not 0.10000000149011612
		return strconv.ParseFloat(strconv.FormatFloat(float64(x), 'g', -1, 32), 64)
	case string:
		return mysqlText(typ, []byte(x))
	case []byte:
		return mysqlText(typ, x)
	}
	return nil, fmt.Errorf("the driver brought a %T for a column of type %s", v, typ)
}

// mysqlText reads what the server sends as text or bytes.
func mysqlText(typ string, b []byte) (engine.Value, error) {
	switch typ {
	case "DECIMAL":
		return engine.ParseDecimal(string(b))
	case "UNSIGNED BIGINT":
		n, err := strconv.ParseUint(string(b), 10, 64)
		if err != nil {
			return nil, err
		}
		return engine.Normalize(n)
	case "TIME":
		return parseClock(string(b))
	case "BIT":
		var n uint64
		for _, c := range b {
			n = n<<8 | uint64(c)
		}
		return engine.Normalize(n)
	case "BLOB", "TINYBLOB", "MEDIUMBLOB", "LONGBLOB", "BINARY", "VARBINARY", "GEOMETRY", "VECTOR":
		return engine.Bytes(b), nil
	}
	if !utf8.Valid(b) {
		return engine.Bytes(b), nil
	}
	return string(b), nil
}

func (*mysqlDialect) csv(typ string, v engine.Value) string {
	switch x := v.(type) {
	case time.Time:
		if typ == "DATE" {
			return x.Format(time.DateOnly)
		}
		return x.Format("2006-01-02 15:04:05.999999")
	case time.Duration:
		return clock(x)
	case bool:
		return strconv.FormatBool(x)
	}
	return engine.Text(v)
}
