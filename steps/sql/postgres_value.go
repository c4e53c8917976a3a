package sql

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// postgresTypes are the names of the types whose values are read as more than text. A type behind "_" is
// a list of the other.
var postgresTypes = map[uint32]string{
	16: "BOOL", 17: "BYTEA", 20: "INT8", 21: "INT2", 23: "INT4", 26: "OID", 28: "XID", 29: "CID", 700: "FLOAT4", 701: "FLOAT8", 1700: "NUMERIC",
	1082: "DATE", 1083: "TIME", 1114: "TIMESTAMP", 1184: "TIMESTAMPTZ", 1186: "INTERVAL", 2278: "VOID",
	18: "CHAR", 19: "NAME", 25: "TEXT", 1042: "BPCHAR", 1043: "VARCHAR", 114: "JSON", 3802: "JSONB", 2950: "UUID", 869: "INET", 650: "CIDR", 142: "XML",
	1000: "_BOOL", 1001: "_BYTEA", 1016: "_INT8", 1005: "_INT2", 1007: "_INT4", 1028: "_OID", 1021: "_FLOAT4", 1022: "_FLOAT8", 1231: "_NUMERIC",
	1182: "_DATE", 1183: "_TIME", 1115: "_TIMESTAMP", 1185: "_TIMESTAMPTZ", 1187: "_INTERVAL",
	1002: "_CHAR", 1003: "_NAME", 1009: "_TEXT", 1014: "_BPCHAR", 1015: "_VARCHAR", 199: "_JSON", 3807: "_JSONB", 2951: "_UUID", 1041: "_INET", 651: "_CIDR", 143: "_XML",
}

const (
	postgresTime  = "2006-01-02 15:04:05.999999"
	postgresZoned = "2006-01-02 15:04:05.999999Z07:00"
	// postgresDigits are those of a numeric before its point, and behind it.
	postgresDigits, postgresScale = 131072, 16383
)

// bind gives an argument the type that the same value has when it is written into a statement: a whole
// number is an integer, or a bigint if it is large, a text takes the type that is wanted where it stands.
func (d *postgresDialect) bind(n int, v engine.Value) (string, any, error) {
	hole := "$" + strconv.Itoa(n)
	text, typ, err := d.written(v)
	if err != nil || text == nil || typ == "" {
		return hole, text, err
	}
	return hole + "::" + typ, text, nil
}

// written is a value as PostgreSQL reads it, and its type; none: whatever is wanted.
func (d *postgresDialect) written(v engine.Value) (text any, typ string, err error) {
	switch x := v.(type) {
	case nil:
		return nil, "", nil
	case bool:
		return strconv.FormatBool(x), "boolean", nil
	case int64:
		typ = "bigint"
		if x >= math.MinInt32 && x <= math.MaxInt32 {
			typ = "integer"
		}
		return strconv.FormatInt(x, 10), typ, nil
	case uint64:
		return strconv.FormatUint(x, 10), "numeric", nil
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64), "double precision", nil
	case engine.Decimal:
		whole, fraction, _ := strings.Cut(x.String(), ".")
		if len(whole) > postgresDigits || len(fraction) > postgresScale {
			return nil, "", fmt.Errorf("the decimal has more digits than the server holds (%d, %d behind the point)", postgresDigits, postgresScale)
		}
		return x.String(), "numeric", nil
	case engine.Secret:
		return d.written(x.Reveal())
	case string:
		if strings.ContainsRune(x, 0) {
			return nil, "", fmt.Errorf("a text with a zero byte cannot be held by the server")
		}
		return x, "", nil
	case engine.Bytes:
		return `\x` + hex.EncodeToString(x), "bytea", nil
	case time.Time:
		return x.Format("2006-01-02 15:04:05.999999999Z07:00"), "timestamptz", nil
	case time.Duration:
		return clock(x), "interval", nil
	}
	return nil, "", fmt.Errorf("a %s cannot be an argument of a statement; give a single value, or a list for IN (…)", engine.TypeName(v))
}

func (d *postgresDialect) value(typ string, v any) (engine.Value, error) {
	text, ok := v.(string)
	if !ok {
		return v, nil // NULL
	}
	if elem, list := strings.CutPrefix(typ, "_"); list {
		r := listReader{d: d, elem: elem, text: text}
		return r.read()
	}
	return d.scalar(typ, text)
}

func (d *postgresDialect) scalar(typ, text string) (engine.Value, error) {
	switch typ {
	case "BOOL":
		return text == "t", nil
	case "INT2", "INT4", "INT8", "OID", "XID", "CID":
		return strconv.ParseInt(text, 10, 64)
	case "FLOAT4", "FLOAT8":
		return strconv.ParseFloat(text, 64)
	case "NUMERIC":
		switch text {
		case "NaN", "Infinity", "-Infinity":
			return strconv.ParseFloat(text, 64) // no decimal can say it
		}
		return engine.ParseDecimal(text)
	case "BYTEA":
		b, err := hex.DecodeString(strings.TrimPrefix(text, `\x`))
		return engine.Bytes(b), err
	case "DATE":
		return d.moment(time.DateOnly, text), nil
	case "TIMESTAMP":
		return d.moment(postgresTime, text), nil
	case "TIMESTAMPTZ":
		return d.zoned(text), nil
	case "TIME":
		return parseClock(text)
	case "INTERVAL":
		return interval(text), nil
	case "VOID":
		return nil, nil
	}
	return text, nil
}

// moment is a time in the zone of the session. What no time can say, such as infinity or a year before
// Christ, stays text.
func (d *postgresDialect) moment(layout, text string) engine.Value {
	t, err := time.ParseInLocation(layout, text, d.zone.Load())
	if err != nil {
		return text
	}
	return t
}

// zoned reads a time with the distance of its zone, which may have minutes and, long ago, seconds.
func (d *postgresDialect) zoned(text string) engine.Value {
	for _, layout := range []string{"2006-01-02 15:04:05.999999Z07", "2006-01-02 15:04:05.999999Z07:00", "2006-01-02 15:04:05.999999Z07:00:00"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.In(d.zone.Load())
		}
	}
	return text
}

// interval is a duration, in which a day has 24 hours. One with months is none, and stays text: no number
// of hours is a month.
func interval(text string) engine.Value {
	var sum time.Duration
	words := strings.Fields(text)
	for i := 0; i < len(words); i++ {
		if strings.Contains(words[i], ":") {
			d, err := parseClock(strings.TrimPrefix(words[i], "+"))
			if err != nil {
				return text
			}
			sum += d
			continue
		}
		n, err := strconv.ParseInt(words[i], 10, 64)
		if err != nil || i+1 == len(words) || words[i+1] != "day" && words[i+1] != "days" || n > 100000 || n < -100000 {
			return text
		}
		sum += time.Duration(n) * 24 * time.Hour
		i++
	}
	return sum
}

func (d *postgresDialect) csv(typ string, v engine.Value) string {
	switch x := v.(type) {
	case time.Time:
		switch strings.TrimPrefix(typ, "_") {
		case "DATE":
			return x.Format(time.DateOnly)
		case "TIMESTAMP":
			return x.Format(postgresTime)
		}
		return x.Format(postgresZoned)
	case time.Duration:
		return clock(x)
	case bool:
		return strconv.FormatBool(x)
	case engine.List:
		return d.listText(typ, x)
	}
	return engine.Text(v)
}
