package expression

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/handrail-dev/handrail/engine"
)

func textFunctions() map[string]function {
	onText := func(usage string, f func(string) string) function {
		return function{usage: usage, params: []group{gText}, need: 1, result: textShape(),
			run: func(m *machine, a []engine.Value) (engine.Value, error) {
				out := f(a[0].(string))
				return out, m.alloc(len(out))
			}}
	}
	onTwo := func(usage string, result engine.Shape, f func(a, b string) engine.Value) function {
		return function{usage: usage, params: []group{gText, gText}, need: 2, result: result,
			run: func(_ *machine, a []engine.Value) (engine.Value, error) { return f(a[0].(string), a[1].(string)), nil }}
	}
	runes := func(s string, at int) engine.Value {
		if at < 0 {
			return int64(-1)
		}
		return int64(utf8.RuneCountInString(s[:at]))
	}
	return map[string]function{
		"upper": onText("upper(text)", strings.ToUpper),
		"lower": onText("lower(text)", strings.ToLower),
		"trim": {usage: "trim(text[, characters])", params: []group{gText, gText}, need: 1, result: textShape(),
			run: func(_ *machine, a []engine.Value) (engine.Value, error) {
				if len(a) == 2 {
					return strings.Trim(a[0].(string), a[1].(string)), nil
				}
				return strings.TrimSpace(a[0].(string)), nil
			}},
		"trimPrefix": onTwo("trimPrefix(text, prefix)", textShape(), func(a, b string) engine.Value { return strings.TrimPrefix(a, b) }),
		"trimSuffix": onTwo("trimSuffix(text, suffix)", textShape(), func(a, b string) engine.Value { return strings.TrimSuffix(a, b) }),
		"hasPrefix":  onTwo("hasPrefix(text, prefix)", boolShape(), func(a, b string) engine.Value { return strings.HasPrefix(a, b) }),
		"hasSuffix":  onTwo("hasSuffix(text, suffix)", boolShape(), func(a, b string) engine.Value { return strings.HasSuffix(a, b) }),
		"indexOf": onTwo("indexOf(text, part)", intShape(), func(a, b string) engine.Value {
			return runes(a, strings.Index(a, b))
		}),
		"lastIndexOf": onTwo("lastIndexOf(text, part)", intShape(), func(a, b string) engine.Value {
			return runes(a, strings.LastIndex(a, b))
		}),
		"split":      {usage: "split(text, delimiter[, n])", params: []group{gText, gText, gNumber}, need: 2, result: engine.ListOf(textShape()), run: splitWith(strings.SplitN)},
		"splitAfter": {usage: "splitAfter(text, delimiter[, n])", params: []group{gText, gText, gNumber}, need: 2, result: engine.ListOf(textShape()), run: splitWith(strings.SplitAfterN)},
		"lines":      {usage: "lines(text)", params: []group{gText}, need: 1, result: engine.ListOf(textShape()), run: piecesWith(lines)},
		"words":      {usage: "words(text)", params: []group{gText}, need: 1, result: engine.ListOf(textShape()), run: piecesWith(strings.Fields)},
		"replace":    {usage: "replace(text, old, new)", params: []group{gText, gText, gText}, need: 3, result: textShape(), run: replace},
		"repeat":     {usage: "repeat(text, n)", params: []group{gText, gNumber}, need: 2, result: textShape(), run: repeat},
		"join":       {usage: "join(list[, delimiter])", params: []group{gList, gText}, need: 1, result: textShape(), run: join},
	}
}

// lines are those of what a program has written: the line end at the end of the last begins no other.
func lines(text string) []string {
	text = strings.TrimSuffix(text, "\n")
	if text == "" {
		return nil
	}
	out := strings.Split(text, "\n")
	for i, line := range out {
		out[i] = strings.TrimSuffix(line, "\r")
	}
	return out
}

func piecesWith(cut func(string) []string) func(*machine, []engine.Value) (engine.Value, error) {
	return func(m *machine, a []engine.Value) (engine.Value, error) {
		text := a[0].(string)
		if err := m.alloc(32 * (len(text) + 1)); err != nil {
			return nil, err
		}
		out := engine.List{}
		for _, p := range cut(text) {
			out = append(out, p)
		}
		return out, nil
	}
}

func splitWith(split func(s, sep string, n int) []string) func(*machine, []engine.Value) (engine.Value, error) {
	return func(m *machine, a []engine.Value) (engine.Value, error) {
		text, n := a[0].(string), -1
		if len(a) == 3 {
			limit, err := asInt(a[2])
			if err != nil {
				return nil, err
			}
			n = int(max(-1, min(limit, int64(len(text)+1))))
		}
		if err := m.alloc(32 * (len(text) + 1)); err != nil {
			return nil, err
		}
		parts := split(text, a[1].(string), n)
		out := make(engine.List, len(parts))
		for i, p := range parts {
			out[i] = p
		}
		return out, nil
	}
}

func replace(m *machine, a []engine.Value) (engine.Value, error) {
	text, old, with := a[0].(string), a[1].(string), a[2].(string)
	n := len(text) + 1
	if old != "" {
		n = strings.Count(text, old)
	}
	if with != "" && n > maxMemory/len(with) {
		return nil, m.alloc(maxMemory + 1)
	}
	if err := m.alloc(len(text) + n*len(with)); err != nil {
		return nil, err
	}
	return strings.ReplaceAll(text, old, with), nil
}

func repeat(m *machine, a []engine.Value) (engine.Value, error) {
	text := a[0].(string)
	n, err := asInt(a[1])
	if err != nil {
		return nil, err
	}
	if n < 0 {
		return nil, fmt.Errorf("%d times is not possible", n)
	}
	if n > maxMemory || len(text) > 0 && int(n) > maxMemory/len(text) {
		return nil, m.alloc(maxMemory + 1)
	}
	if err := m.alloc(int(n) * len(text)); err != nil {
		return nil, err
	}
	return strings.Repeat(text, int(n)), nil
}

func join(m *machine, a []engine.Value) (engine.Value, error) {
	delimiter := ""
	if len(a) == 2 {
		delimiter = a[1].(string)
	}
	var b strings.Builder
	for i, e := range a[0].(engine.List) {
		if i > 0 {
			b.WriteString(delimiter)
		}
		switch groupOfValue(e) {
		case gText, gNumber, gBool, gTime, gDuration:
			text := engine.Text(e)
			if err := m.alloc(len(text) + len(delimiter)); err != nil {
				return nil, err
			}
			b.WriteString(text)
		default:
			return nil, fmt.Errorf("entry %d is %s; it cannot be part of a text", i, quote(e))
		}
	}
	return b.String(), nil
}
