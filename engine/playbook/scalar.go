package playbook

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/playbook/expression"
)

// scalar converts a literal to the type of a shape. The remedy says what to write instead.
func scalar(n *yaml.Node, s engine.Shape) (v engine.Value, remedy string, ok bool) {
	text := n.Tag == "!!str" || n.Tag == "!!timestamp"
	number := n.Tag == "!!int" || n.Tag == "!!float"
	switch s.Type {
	case engine.TypeBool:
		if n.Tag != "!!bool" {
			return nil, "", false
		}
		return n.Value == "true" || n.Value == "True" || n.Value == "TRUE", "", true
	case engine.TypeInteger, engine.TypeNumber:
		if !number {
			if text && numeric.MatchString(n.Value) {
				remedy = "leave out the quotes"
			}
			return nil, remedy, false
		}
		v, _, ok = plainScalar(n)
		if _, isInt := v.(int64); s.Type == engine.TypeInteger && ok && !isInt {
			_, ok = v.(uint64)
		}
		return v, "", ok
	case engine.TypeText, engine.TypePath, engine.TypeSecret:
		if text || number {
			return n.Value, "", true
		}
		return nil, fmt.Sprintf("put it into quotes: %q", n.Value), false
	case engine.TypeBytes:
		return engine.Bytes(n.Value), "", text
	case engine.TypeEnum:
		if contains(s.Enum, n.Value) {
			return n.Value, "", true
		}
		near, found := expression.Nearest(n.Value, s.Enum)
		if found {
			remedy = "did you mean " + near + "?"
		}
		return nil, remedy, false
	case engine.TypeDuration:
		d, err := parseDuration(n.Value)
		if err != nil && number {
			remedy = "say the unit: " + n.Value + "s, " + n.Value + "m"
		}
		return d, remedy, err == nil
	case engine.TypeSize:
		size, err := parseSize(n.Value)
		return size, "", err == nil
	case engine.TypeTime:
		t, found := expression.ParseTime(n.Value, time.UTC)
		return t, "", found
	default: // no scalar
		return nil, "", false
	}
}

var numeric = regexp.MustCompile(`^[-+]?[0-9][0-9_.eE+-]*$`)

// plainScalar is the value of a scalar by the way it is written. What YAML takes for a date stays
// text: it is a time only where a time is wanted.
func plainScalar(n *yaml.Node) (engine.Value, string, bool) {
	switch n.Tag {
	case "!!null":
		return nil, "", true
	case "!!bool":
		var b bool
		err := n.Decode(&b)
		return b, "", err == nil
	case "!!int":
		return plainInteger(n)
	case "!!float":
		return plainFloat(n.Value)
	}
	return n.Value, "", true
}

func plainInteger(n *yaml.Node) (engine.Value, string, bool) {
	var i int64
	if n.Decode(&i) == nil {
		return i, "", true
	}
	var u uint64
	if n.Decode(&u) == nil {
		return u, "", true
	}
	return nil, "integers have at most 64 bits; write it as text", false
}

// plainFloat is a float where that is exact, else a decimal: 0.1 is a float, 0.12345678901234567890
// a decimal.
func plainFloat(text string) (engine.Value, string, bool) {
	text = strings.ReplaceAll(text, "_", "")
	d, err := engine.ParseDecimal(text)
	if err != nil {
		return nil, "write a number that is finite", false
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !finite(f) {
		return d, "", true
	}
	if short, err := engine.ParseDecimal(strconv.FormatFloat(f, 'g', -1, 64)); err != nil || short.Cmp(d) != 0 {
		return d, "", true
	}
	return f, "", true
}

var durationForm = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`)

// parseDuration reads 30s, 5m, 1h30m; days and weeks have no fixed length in every zone, so there are
// none. It is never negative.
func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || !durationForm.MatchString(text) {
		return 0, fmt.Errorf("%q is not a duration such as 30s or 5m", text)
	}
	return d, nil
}

var sizeForm = regexp.MustCompile(`^([0-9]+)\s*([A-Za-z]*)$`)

// sizeUnits are the units of sizes, in small letters. All are powers of 1024; kb and its like are not
// there, because they are 1000 to some and 1024 to others.
var sizeUnits = map[string]int64{
	"": 1, "b": 1, "k": 1 << 10, "kib": 1 << 10, "m": 1 << 20, "mib": 1 << 20,
	"g": 1 << 30, "gib": 1 << 30, "t": 1 << 40, "tib": 1 << 40,
}

func parseSize(text string) (int64, error) {
	found := sizeForm.FindStringSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("%q is not a size such as 512, 64k or 2MiB", text)
	}
	unit, ok := sizeUnits[strings.ToLower(found[2])]
	n, err := strconv.ParseInt(found[1], 10, 64)
	if !ok || err != nil || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is not a size such as 512, 64k or 2MiB", text)
	}
	return n * unit, nil
}
