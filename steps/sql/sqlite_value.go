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

// sqliteTime is how SQLite's own functions write a time: UTC, without saying so.
const sqliteTime = "2006-01-02 15:04:05.999999999"

// bind: SQLite has neither decimals nor times. A decimal goes in as the number that is written the
// same, a time as SQLite's CURRENT_TIMESTAMP writes it.
func (sqliteDialect) bind(_ int, v engine.Value) (string, any, error) {
	switch x := v.(type) {
	case nil, int64, string:
		return "?", x, nil
	case bool:
		if x {
			return "?", int64(1), nil
		}
		return "?", int64(0), nil
	case uint64:
		return "", nil, fmt.Errorf("%d is beyond the integers of SQLite", x)
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return "", nil, fmt.Errorf("%v is no number that a database holds", x)
		}
		return "?", x, nil
	case engine.Secret:
		return "?", x.Reveal(), nil
	case engine.Bytes:
		return "?", []byte(x), nil
	case engine.Decimal:
		return "?", sqliteNumber(x), nil
	case time.Time:
		return "?", x.UTC().Format(sqliteTime), nil
	}
	return "", nil, fmt.Errorf("a %s cannot be an argument of a statement for SQLite; give a single value, or a list for IN (…)", engine.TypeName(v))
}

func sqliteNumber(d engine.Decimal) any {
	text := d.String()
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && strconv.FormatFloat(f, 'f', -1, 64) == strings.TrimRight(strings.TrimRight(text, "0"), ".") {
		return f
	}
	return text // a column of type DECIMAL keeps it as it is
}

func (sqliteDialect) value(typ string, v any) (engine.Value, error) {
	decimal := strings.HasPrefix(typ, "DECIMAL") || strings.HasPrefix(typ, "NUMERIC")
	switch x := v.(type) {
	case nil, bool, time.Time:
		return x, nil
	case int64:
		if decimal {
			return engine.ParseDecimal(strconv.FormatInt(x, 10))
		}
		return x, nil
	case float64:
		if decimal {
			return engine.ParseDecimal(strconv.FormatFloat(x, 'f', -1, 64))
		}
		return x, nil
	case string:
		if d, err := engine.ParseDecimal(x); decimal && err == nil {
			return d, nil
		}
		if !utf8.ValidString(x) {
			return engine.Bytes(x), nil
		}
		return x, nil
	case []byte:
		return engine.Bytes(x), nil
	}
	return nil, fmt.Errorf("the driver brought a %T for a column of type %s", v, typ)
}

func (sqliteDialect) csv(typ string, v engine.Value) string {
	if t, ok := v.(time.Time); ok {
		if typ == "DATE" {
			return t.Format(time.DateOnly)
		}
		return t.UTC().Format(sqliteTime)
	}
	return engine.Text(v)
}
