package engine

import (
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Value is what inputs, parameters and results are made of. It holds exactly one of
//
//	nil  bool  int64  uint64  float64  Decimal  string  Bytes  time.Time  time.Duration  List  Record
//
// and, in the parameters of operations only, [Secret], [Question], [Condition], [Late] and [Unknown].
// uint64 is used only above the range of int64. [Normalize] brings other Go types into this form.
type Value = any

// List is a Value that holds other values in order.
type List = []any

// Record is a Value that holds other values by name.
type Record = map[string]any

// Bytes is a Value that is not text.
type Bytes []byte

// Unknown stands for a value that is not known yet: a template at load time, or, in a plan, the
// result of a step that has not run. After names that step; it is empty at load time, and [TrustedRun] where this process
// must not know the value.
type Unknown struct{ After string }

// TrustedRun stands in the place of a step in [Unknown] for what a plan of a stranger's playbook must not know: secrets,
// inputs that were given, where targets are. It is the path of no step.
const TrustedRun = "a trusted run"

func (u Unknown) Error() string {
	switch u.After {
	case "":
		return "not known before the run"
	case TrustedRun:
		return "known only to a trusted run"
	}
	return "known after step " + u.After
}

// FirstUnknown finds a value that is not known yet in a value, whichever comes first.
func FirstUnknown(v Value) (Unknown, bool) {
	switch x := v.(type) {
	case Unknown:
		return x, true
	case List:
		for _, e := range x {
			if u, ok := FirstUnknown(e); ok {
				return u, true
			}
		}
	case Record:
		for _, k := range Keys(x) {
			if u, ok := FirstUnknown(x[k]); ok {
				return u, true
			}
		}
	}
	return Unknown{}, false
}

// Normalize turns the plain Go types of drivers and decoders into a Value.
func Normalize(v any) (Value, error) {
	switch x := v.(type) {
	case nil, bool, int64, float64, Decimal, string, Bytes, time.Time, time.Duration, Secret:
		return x, nil
	case int:
		return int64(x), nil
	case int32:
		return int64(x), nil
	case int16:
		return int64(x), nil
	case int8:
		return int64(x), nil
	case uint8:
		return int64(x), nil
	case uint16:
		return int64(x), nil
	case uint32:
		return int64(x), nil
	case uint:
		return normalUnsigned(uint64(x)), nil
	case uint64:
		return normalUnsigned(x), nil
	case float32:
		return float64(x), nil
	case []byte:
		return Bytes(x), nil
	case []any:
		return normalizeList(x)
	case []string:
		out := make(List, len(x))
		for i, s := range x {
			out[i] = s
		}
		return out, nil
	case map[string]any:
		return normalizeRecord(x)
	}
	return nil, fmt.Errorf("a value of Go type %T cannot be kept", v)
}

func normalUnsigned(x uint64) Value {
	if x <= math.MaxInt64 {
		return int64(x)
	}
	return x
}

func normalizeList(x []any) (Value, error) {
	out := make(List, len(x))
	for i, e := range x {
		n, err := Normalize(e)
		if err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
		out[i] = n
	}
	return out, nil
}

func normalizeRecord(x map[string]any) (Value, error) {
	out := make(Record, len(x))
	for k, e := range x {
		n, err := Normalize(e)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
		out[k] = n
	}
	return out, nil
}

// Text is how a Value reads inside a sentence, a key or an interpolated string.
func Text(v Value) string {
	switch x := v.(type) {
	case nil:
		return "null"
	case string:
		return x
	case bool:
		return strconv.FormatBool(x)
	case int64:
		return strconv.FormatInt(x, 10)
	case uint64:
		return strconv.FormatUint(x, 10)
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	case Bytes:
		return fmt.Sprintf("%x", []byte(x))
	case time.Time:
		return x.Format(time.RFC3339Nano)
	case List:
		parts := make([]string, len(x))
		for i, e := range x {
			parts[i] = Text(e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case Record:
		parts := make([]string, 0, len(x))
		for _, k := range Keys(x) {
			parts = append(parts, k+": "+Text(x[k]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case fmt.Stringer:
		return x.String()
	}
	return fmt.Sprint(v)
}

// MapTexts replaces every text in a value, names in records included. Bytes stay bytes where f leaves
// them as they are, and become a text otherwise. Lists and records are copied.
func MapTexts(v Value, f func(string) string) Value {
	switch x := v.(type) {
	case string:
		return f(x)
	case Bytes:
		if other := f(string(x)); other != string(x) {
			return other
		}
		return x
	case List:
		out := make(List, len(x))
		for i, e := range x {
			out[i] = MapTexts(e, f)
		}
		return out
	case Record:
		out := make(Record, len(x))
		for _, k := range Keys(x) {
			out[f(k)] = MapTexts(x[k], f)
		}
		return out
	}
	return v
}

// Keys are the names in a record, sorted.
func Keys(r Record) []string {
	keys := make([]string, 0, len(r))
	for k := range r {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// TypeName is the word for the type of a value in messages to people.
func TypeName(v Value) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case int64, uint64:
		return "integer"
	case float64:
		return "number"
	case Decimal:
		return "decimal"
	case string:
		return "string"
	case Bytes:
		return "bytes"
	case time.Time:
		return "time"
	case time.Duration:
		return "duration"
	case List:
		return "list"
	case Record:
		return "record"
	case Secret:
		return "secret"
	case Unknown:
		return "unknown"
	}
	return fmt.Sprintf("%T", v)
}
