package redis

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// condition is what must hold of a key. It is a small language of its own, because it is asked inside the
// server, once per key, by a fixed script that gets only numbers:
//
//	ttl == -1            does not expire
//	ttl != -1            expires
//	ttl < 10m            expires, and within ten minutes
//	idle >= 30d          was not touched for thirty days
//	size > 1048576       takes more memory than that, in bytes
//
// Several are joined by `and`; all must hold. A key that does not expire never satisfies a comparison of
// ttl with a time, however small its "-1" looks.
type condition []comparison

// comparison is one of them. Times are in milliseconds for ttl and in seconds for idle.
type comparison struct {
	field, op string
	limit     int64
}

// never is the limit that stands for "does not expire".
const never = -1

// operators, longest first.
var operators = []string{"==", "!=", "<=", ">=", "<", ">"}

func parseCondition(text string) (condition, *engine.Problem) {
	var out condition
	at := 0
	for _, part := range splitAnd(text) {
		c, why := parseComparison(part)
		if why != "" {
			return nil, &engine.Problem{Message: why, Offset: at + len(part) - len(strings.TrimLeft(part, " "))}
		}
		out = append(out, c)
		at += len(part) + len("and")
	}
	return out, nil
}

// splitAnd cuts at the word "and"; the parts keep their spaces, so that offsets add up.
func splitAnd(text string) []string {
	var out []string
	start := 0
	for i := 0; i+5 <= len(text); i++ {
		if strings.EqualFold(text[i:i+5], " and ") {
			out = append(out, text[start:i+1])
			start = i + 4
			i += 3
		}
	}
	return append(out, text[start:])
}

const conditionHelp = "a condition is such as `ttl == -1` (does not expire), `ttl < 10m`, `idle >= 30d`, `size > 1024`, joined by `and`"

func parseComparison(part string) (comparison, string) {
	part = strings.TrimSpace(part)
	for i := range part {
		for _, op := range operators {
			if !strings.HasPrefix(part[i:], op) {
				continue
			}
			c := comparison{field: strings.TrimSpace(part[:i]), op: op}
			return c.withLimit(strings.TrimSpace(part[i+len(op):]))
		}
	}
	return comparison{}, fmt.Sprintf("%q compares nothing; %s", part, conditionHelp)
}

func (c comparison) withLimit(text string) (comparison, string) {
	switch c.field {
	case "ttl":
		if text == "-1" {
			c.limit = never
			if c.op != "==" && c.op != "!=" {
				return c, "-1 stands for a key that does not expire: write `ttl == -1` or `ttl != -1`"
			}
			return c, ""
		}
		if c.op == "==" || c.op == "!=" {
			return c, "a time to live runs on while it is asked; compare it with <, <=, > or >="
		}
		d, why := spanOf(text)
		c.limit = d.Milliseconds()
		return c, why
	case "idle":
		d, why := spanOf(text)
		c.limit = int64(d / time.Second)
		return c, why
	case "size":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return c, fmt.Sprintf("%q is not a number of bytes", text)
		}
		c.limit = n
		return c, ""
	}
	return c, fmt.Sprintf("a key has no %q here; it has ttl, idle and size; %s", c.field, conditionHelp)
}

// spanOf reads a number of seconds, or a duration that may have days.
func spanOf(text string) (time.Duration, string) {
	unit := time.Second
	number := text
	if days, ok := strings.CutSuffix(text, "d"); ok {
		number, unit = days, 24*time.Hour
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil && n >= 0 && n <= math.MaxInt64/int64(unit) {
		return time.Duration(n) * unit, ""
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return d, ""
	}
	return 0, fmt.Sprintf("%q is not a time; write seconds, or such as 10m, 12h, 30d", text)
}

// args is the condition as the sweeping script reads it: three words for each comparison.
func (c condition) args() []any {
	var out []any
	for _, x := range c {
		out = append(out, x.field, x.op, x.limit)
	}
	return out
}

// questions are the reads that answer the condition for one key.
func (c condition) questions(key string) [][]any {
	out := make([][]any, len(c))
	for i, x := range c {
		switch x.field {
		case "ttl":
			out[i] = []any{"PTTL", key}
		case "idle":
			out[i] = []any{"OBJECT", "IDLETIME", key}
		default:
			out[i] = []any{"MEMORY", "USAGE", key}
		}
	}
	return out
}

// holds judges the answers to questions. A key that is gone satisfies nothing.
func (c condition) holds(answers []engine.Value) bool {
	for i, x := range c {
		v, ok := answers[i].(int64)
		if !ok || !x.holds(v) {
			return false
		}
	}
	return true
}

// gone is what PTTL says of a key that does not exist.
const gone = -2

func (x comparison) holds(v int64) bool {
	if x.field == "ttl" {
		switch {
		case v == gone:
			return false
		case x.limit == never:
			return (v == never) == (x.op == "==")
		case v == never:
			return false
		}
	}
	switch x.op {
	case "==":
		return v == x.limit
	case "!=":
		return v != x.limit
	case "<":
		return v < x.limit
	case "<=":
		return v <= x.limit
	case ">":
		return v > x.limit
	}
	return v >= x.limit
}
