package expression

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// compare orders two values of one sort: numbers by their exact value, texts by their bytes, times by
// the instant.
func compare(a, b engine.Value) (int, error) {
	switch x := a.(type) {
	case int64:
		if y, ok := b.(int64); ok {
			return cmp.Compare(x, y), nil
		}
	case string:
		if y, ok := b.(string); ok {
			return strings.Compare(x, y), nil
		}
	case time.Time:
		if y, ok := b.(time.Time); ok {
			return x.Compare(y), nil
		}
	case time.Duration:
		if y, ok := b.(time.Duration); ok {
			return cmp.Compare(x, y), nil
		}
	}
	if groupOfValue(a) != gNumber || groupOfValue(b) != gNumber {
		return 0, incomparable(a, b)
	}
	if x, y, ok := floats(a, b); ok {
		return cmp.Compare(x, y), nil
	}
	d, e, err := decimals(a, b)
	if err != nil {
		return 0, err
	}
	return d.Cmp(e), nil
}

func incomparable(a, b engine.Value) error {
	hint := ""
	if groupOfValue(a) == gText || groupOfValue(b) == gText {
		hint = "; int(…), float(…), date(…) and duration(…) read a string"
	}
	return fmt.Errorf("%s cannot be compared with %s%s", quote(a), quote(b), hint)
}

// equal says whether two values are the same. Only null can be compared with any other.
func (m *machine) equal(a, b engine.Value) (bool, error) {
	if a == nil || b == nil {
		return a == nil && b == nil, nil
	}
	switch x := a.(type) {
	case bool:
		if y, ok := b.(bool); ok {
			return x == y, nil
		}
	case engine.Bytes:
		if y, ok := b.(engine.Bytes); ok {
			return bytes.Equal(x, y), nil
		}
	case engine.List:
		if y, ok := b.(engine.List); ok {
			return m.equalLists(x, y)
		}
	case engine.Record:
		if y, ok := b.(engine.Record); ok {
			return m.equalRecords(x, y)
		}
	}
	c, err := compare(a, b)
	return err == nil && c == 0, err
}

func (m *machine) equalLists(x, y engine.List) (bool, error) {
	if len(x) != len(y) {
		return false, nil
	}
	if err := m.spend(len(x)); err != nil {
		return false, err
	}
	for i := range x {
		if same, err := m.equal(x[i], y[i]); !same || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (m *machine) equalRecords(x, y engine.Record) (bool, error) {
	if len(x) != len(y) {
		return false, nil
	}
	if err := m.spend(len(x)); err != nil {
		return false, err
	}
	for _, key := range engine.Keys(x) { // in order, so that an error is always the same one
		other, ok := y[key]
		if !ok {
			return false, nil
		}
		if same, err := m.equal(x[key], other); !same || err != nil {
			return false, err
		}
	}
	return true, nil
}

// identity is a text that equal values have in common, for grouping and for finding duplicates.
func identity(v engine.Value) (string, error) {
	switch groupOfValue(v) {
	case gNumber:
		d, err := decimalOf(v)
		if err != nil {
			return "", err
		}
		text := d.String()
		if strings.Contains(text, ".") {
			text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
		}
		if text == "-0" {
			text = "0"
		}
		return "n" + text, nil
	case gTime:
		t, _ := v.(time.Time)
		return "t" + t.UTC().Format(time.RFC3339Nano), nil
	default:
		b, err := engine.AppendValue(nil, v)
		return string(b), err
	}
}

// Compare orders two values of one sort, as < and > do in expressions.
func Compare(a, b engine.Value) (int, error) { return compare(a, b) }
