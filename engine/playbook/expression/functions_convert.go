package expression

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/handrail-dev/handrail/engine"
)

func conversionFunctions() map[string]function {
	const anything = gAll &^ gSecret
	return map[string]function{
		"int":     {usage: "int(number or text)", params: []group{gNumber | gText}, need: 1, result: intShape(), run: integerOf},
		"float":   {usage: "float(number or text)", params: []group{gNumber | gText}, need: 1, result: engine.Of(engine.TypeNumber), run: floatOf},
		"decimal": {usage: "decimal(number or text)", params: []group{gNumber | gText}, need: 1, result: engine.Of(engine.TypeNumber), run: exactDecimal},
		"string":  {usage: "string(value)", params: []group{anything}, need: 1, result: textShape(), run: stringOf},
		"type": {usage: "type(value)", params: []group{anything}, need: 1, result: textShape(),
			run: func(_ *machine, a []engine.Value) (engine.Value, error) { return engine.TypeName(a[0]), nil }},
		"toJSON":     {usage: "toJSON(value)", params: []group{anything}, need: 1, result: textShape(), run: toJSON},
		"fromJSON":   {usage: "fromJSON(text)", params: []group{gText | gBytes}, need: 1, run: fromJSON},
		"toBase64":   {usage: "toBase64(text or bytes)", params: []group{gText | gBytes}, need: 1, result: textShape(), run: toBase64},
		"fromBase64": {usage: "fromBase64(text)", params: []group{gText}, need: 1, result: engine.Shape{Type: engine.TypeText, Or: &engine.Shape{Type: engine.TypeBytes}}, run: fromBase64},
	}
}

func floatOf(_ *machine, a []engine.Value) (engine.Value, error) {
	if s, ok := a[0].(string); ok {
		f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		if err != nil {
			return nil, fmt.Errorf("%s is not a number", quote(s))
		}
		return finite(f)
	}
	f, err := asFloat(a[0])
	if err != nil {
		return nil, err
	}
	return finite(f)
}

func exactDecimal(_ *machine, a []engine.Value) (engine.Value, error) {
	if s, ok := a[0].(string); ok {
		d, err := engine.ParseDecimal(strings.TrimSpace(s))
		return d, err
	}
	d, err := decimalOf(a[0])
	return d, err
}

func stringOf(m *machine, a []engine.Value) (engine.Value, error) {
	if b, ok := a[0].(engine.Bytes); ok {
		if !utf8.Valid(b) {
			return nil, errors.New("these bytes are not text in UTF-8; toBase64(…) writes any bytes")
		}
		return string(b), m.alloc(len(b))
	}
	v, err := normalize(a[0])
	if err != nil {
		return nil, err
	}
	text := engine.Text(v)
	return text, m.alloc(len(text))
}

func toJSON(m *machine, a []engine.Value) (engine.Value, error) {
	v, err := normalize(a[0])
	if err != nil {
		return nil, err
	}
	plain, err := plainJSON(v)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(plain); err != nil {
		return nil, err
	}
	return strings.TrimSuffix(b.String(), "\n"), m.alloc(b.Len())
}

// plainJSON brings a value into what encoding/json writes as another program expects it: a decimal as a
// number, a time in RFC 3339, a duration as 1h30m0s, bytes in Base64.
func plainJSON(v engine.Value) (any, error) {
	switch x := v.(type) {
	case engine.Decimal:
		return json.Number(x.String()), nil
	case time.Duration:
		return x.String(), nil
	case engine.Bytes:
		return []byte(x), nil
	case engine.List:
		out := make([]any, len(x))
		for i, e := range x {
			var err error
			if out[i], err = plainJSON(e); err != nil {
				return nil, err
			}
		}
		return out, nil
	case engine.Record:
		out := make(map[string]any, len(x))
		for k, e := range x {
			var err error
			if out[k], err = plainJSON(e); err != nil {
				return nil, err
			}
		}
		return out, nil
	case engine.Secret:
		return nil, errors.New("a secret cannot be written as JSON")
	}
	return v, nil
}

func fromJSON(m *machine, a []engine.Value) (engine.Value, error) {
	var data []byte
	switch x := a[0].(type) {
	case string:
		data = []byte(x)
	case engine.Bytes:
		data = x
	}
	if err := m.alloc(8 * len(data)); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var raw any
	if err := dec.Decode(&raw); err != nil {
		return nil, fmt.Errorf("this is not JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("this is not JSON: something follows the first value")
	}
	return engine.ValueOfJSON(raw)
}

func toBase64(m *machine, a []engine.Value) (engine.Value, error) {
	data, ok := a[0].(engine.Bytes)
	if !ok {
		data = engine.Bytes(a[0].(string))
	}
	return base64.StdEncoding.EncodeToString(data), m.alloc(2 * len(data))
}

// fromBase64 gives text where the bytes are text, else bytes.
func fromBase64(m *machine, a []engine.Value) (engine.Value, error) {
	data, err := base64.StdEncoding.DecodeString(a[0].(string))
	if err != nil {
		return nil, fmt.Errorf("this is not Base64: %w", err)
	}
	if err := m.alloc(len(data)); err != nil {
		return nil, err
	}
	if utf8.Valid(data) {
		return string(data), nil
	}
	return engine.Bytes(data), nil
}
