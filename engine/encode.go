package engine

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Typed carries a Value through JSON without loss: what a journal holds is, after a resume, exactly
// what it was before. Plain JSON is used where it is exact (null, booleans, text, integers, floats,
// lists, records); the rest is an object with one key that starts with "$".
type Typed struct{ V Value }

// MarshalJSON writes the typed form.
func (t Typed) MarshalJSON() ([]byte, error) { return AppendValue(nil, t.V) }

// UnmarshalJSON reads the typed form.
func (t *Typed) UnmarshalJSON(data []byte) error {
	v, err := DecodeValue(data)
	t.V = v
	return err
}

// AppendValue appends the typed JSON form of v to b. Records are written with sorted keys, so equal
// values have equal bytes. A [Secret] is written as {"$secret":"name"}, never its value.
func AppendValue(b []byte, v Value) ([]byte, error) {
	switch x := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, x), nil
	case int64:
		return strconv.AppendInt(b, x, 10), nil
	case uint64:
		return strconv.AppendUint(b, x, 10), nil
	case float64:
		return appendFloat(b, x), nil
	case string:
		return appendString(b, x), nil
	case Decimal:
		return appendTagged(b, "$decimal", x.String()), nil
	case Bytes:
		return appendTagged(b, "$bytes", base64.StdEncoding.EncodeToString(x)), nil
	case time.Time:
		return appendTime(b, x), nil
	case time.Duration:
		return appendTagged(b, "$duration", x.String()), nil
	case Secret:
		return appendTagged(b, "$secret", x.Name), nil
	case Unknown:
		return appendTagged(b, "$unknown", x.After), nil
	case List:
		return appendList(b, x)
	case Record:
		return appendRecord(b, x)
	case digester:
		return appendTagged(b, "$digest", x.digest()), nil
	}
	return nil, fmt.Errorf("a value of Go type %T cannot be written", v)
}

// digester is what the values that only parameters hold have in common: they enter a digest by the
// digest of their definition.
type digester interface{ digest() string }

func appendList(b []byte, x List) ([]byte, error) {
	b = append(b, '[')
	for i, e := range x {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = AppendValue(b, e); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func appendRecord(b []byte, x Record) ([]byte, error) {
	keys := Keys(x)
	wrap := len(keys) > 0 && strings.HasPrefix(keys[0], "$")
	if wrap {
		b = append(b, `{"$record":`...)
	}
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, k), ':')
		var err error
		if b, err = AppendValue(b, x[k]); err != nil {
			return nil, err
		}
	}
	b = append(b, '}')
	if wrap {
		b = append(b, '}')
	}
	return b, nil
}

func appendTagged(b []byte, tag, s string) []byte {
	b = append(append(append(b, `{"`...), tag...), `":`...)
	return append(appendString(b, s), '}')
}

// appendTime keeps the zone's name as well as its offset: "2026-01-01T00:00:00+07:00 Asia/Bangkok".
func appendTime(b []byte, t time.Time) []byte {
	s := t.Format(time.RFC3339Nano)
	if name := t.Location().String(); name != "" && name != "UTC" && name != "Local" {
		s += " " + name
	}
	return appendTagged(b, "$time", s)
}

// appendFloat writes a float so that it is read as a float again: 1 becomes 1.0.
func appendFloat(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return appendTagged(b, "$float", strconv.FormatFloat(f, 'g', -1, 64))
	}
	n := len(b)
	b = strconv.AppendFloat(b, f, 'g', -1, 64)
	if !bytes.ContainsAny(b[n:], ".eE") {
		b = append(b, ".0"...)
	}
	return b
}

// appendString writes valid UTF-8 as it is; other bytes must be [Bytes], and are replaced here.
func appendString(b []byte, s string) []byte {
	simple := true
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			simple = false
			break
		}
	}
	if simple {
		return append(append(append(b, '"'), s...), '"')
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	// Encoding a string into a buffer cannot fail.
	_ = enc.Encode(s)
	return append(b, bytes.TrimRight(buf.Bytes(), "\n")...)
}

// DecodeValue reads what AppendValue wrote.
func DecodeValue(data []byte) (Value, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var raw any
	if err := dec.Decode(&raw); err != nil {
		return nil, err
	}
	return fromJSON(raw)
}

func fromJSON(raw any) (Value, error) {
	switch x := raw.(type) {
	case json.Number:
		return numberFromJSON(string(x))
	case []any:
		for i, e := range x {
			v, err := fromJSON(e)
			if err != nil {
				return nil, err
			}
			x[i] = v
		}
		return x, nil
	case map[string]any:
		return objectFromJSON(x)
	}
	return raw, nil
}

func numberFromJSON(s string) (Value, error) {
	if strings.ContainsAny(s, ".eE") {
		return strconv.ParseFloat(s, 64)
	}
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return i, nil
	}
	return strconv.ParseUint(s, 10, 64)
}

func objectFromJSON(x map[string]any) (Value, error) {
	if len(x) == 1 {
		for tag, inner := range x {
			if strings.HasPrefix(tag, "$") {
				return taggedFromJSON(tag, inner)
			}
		}
	}
	return fieldsFromJSON(x)
}

func fieldsFromJSON(x map[string]any) (Value, error) {
	for k, e := range x {
		v, err := fromJSON(e)
		if err != nil {
			return nil, err
		}
		x[k] = v
	}
	return x, nil
}

func taggedFromJSON(tag string, inner any) (Value, error) {
	if tag == "$record" {
		m, ok := inner.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("$record holds %T", inner)
		}
		return fieldsFromJSON(m)
	}
	s, ok := inner.(string)
	if !ok {
		return nil, fmt.Errorf("%s holds %T", tag, inner)
	}
	switch tag {
	case "$decimal":
		return ParseDecimal(s)
	case "$bytes":
		b, err := base64.StdEncoding.DecodeString(s)
		return Bytes(b), err
	case "$duration":
		return time.ParseDuration(s)
	case "$float":
		return strconv.ParseFloat(s, 64)
	case "$time":
		return timeFromJSON(s)
	case "$secret":
		return Secret{Name: s}, nil
	case "$unknown":
		return Unknown{After: s}, nil
	}
	return nil, fmt.Errorf("unknown kind of value %s", tag)
}

// timeFromJSON restores the offset always and the zone's rules where this machine knows the zone.
func timeFromJSON(s string) (Value, error) {
	stamp, zone, named := strings.Cut(s, " ")
	t, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil || !named {
		return t, err
	}
	_, offset := t.Zone()
	return t.In(time.FixedZone(zone, offset)), nil
}
