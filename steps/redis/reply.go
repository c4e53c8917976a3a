package redis

import (
	"fmt"
	"math/big"
	"strings"
	"unicode/utf8"

	"github.com/handrail-dev/handrail/engine"
)

// maxKept bounds a result that is kept for later steps, in bytes.
const maxKept = 1 << 20

// valueOf turns a reply of the client into a Value.
func valueOf(v any) engine.Value {
	switch x := v.(type) {
	case nil, bool, int64, float64:
		return x
	case string:
		return text(x)
	case []byte:
		return text(string(x))
	case *big.Int:
		return engine.DecimalFromInt(x)
	case []any:
		out := make(engine.List, len(x))
		for i, e := range x {
			out[i] = valueOf(e)
		}
		return out
	case map[any]any:
		return recordOf(x)
	case error:
		return x.Error()
	}
	return fmt.Sprint(v)
}

// recordOf makes a record of a map, or a list of pairs if a name in it is not text.
func recordOf(m map[any]any) engine.Value {
	out := make(engine.Record, len(m))
	for k, v := range m {
		name := fmt.Sprint(k)
		if !utf8.ValidString(name) {
			var list engine.List
			for k, v := range m {
				list = append(list, engine.List{valueOf(k), valueOf(v)})
			}
			return list
		}
		out[name] = valueOf(v)
	}
	return out
}

// mapped are the commands whose reply is a map. A server that only speaks the older protocol sends it as
// a flat list.
func mapped(name string) bool {
	switch name {
	case "HGETALL", "CONFIG|GET", "ACL|GETUSER", "MEMORY|STATS", "XINFO|STREAM", "PUBSUB|NUMSUB":
		return true
	}
	return false
}

// pairUp makes a record of a flat list.
func pairUp(v engine.Value) engine.Value {
	list, ok := v.(engine.List)
	if !ok || len(list)%2 != 0 {
		return v
	}
	out := make(engine.Record, len(list)/2)
	for i := 0; i < len(list); i += 2 {
		name, ok := list[i].(string)
		if !ok {
			return v
		}
		out[name] = list[i+1]
	}
	return out
}

// sizeOf is about how much room a result takes.
func sizeOf(v engine.Value) int {
	switch x := v.(type) {
	case string:
		return len(x) + 2
	case engine.Bytes:
		return len(x)*4/3 + 12
	case engine.List:
		n := 2
		for _, e := range x {
			n += sizeOf(e) + 1
		}
		return n
	case engine.Record:
		n := 2
		for k, e := range x {
			n += len(k) + sizeOf(e) + 4
		}
		return n
	}
	return 8
}

func tooLarge(n int) string {
	return fmt.Sprintf("the result has %d bytes, more than the %d that can be kept for later steps; ask for less of it (a range, a count)", n, maxKept)
}

// indent sets a text off, for the details of a plan.
func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n  ")
}
