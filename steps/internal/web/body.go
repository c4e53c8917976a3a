package web

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// EncodeJSON writes a value as JSON. Numbers are exact; bytes are base64, times RFC 3339, durations as
// in 1m30s. With reveal the secrets in it are written, else they are masked.
func EncodeJSON(v engine.Value, reveal bool) ([]byte, error) {
	plain, err := jsonable(v, reveal)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(plain); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// PrettyJSON is what would be sent, for people: indented, secrets masked.
func PrettyJSON(v engine.Value) string {
	b, err := EncodeJSON(v, false)
	if err != nil {
		return err.Error()
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		return string(b)
	}
	return out.String()
}

func jsonable(v engine.Value, reveal bool) (any, error) {
	switch x := v.(type) {
	case nil, bool, int64, uint64, string:
		return x, nil
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, errors.New("JSON has no infinite number, and none that is not a number")
		}
		return x, nil
	case engine.Decimal:
		return json.Number(x.String()), nil
	case engine.Bytes:
		return base64.StdEncoding.EncodeToString(x), nil
	case time.Time:
		return x.Format(time.RFC3339Nano), nil
	case time.Duration:
		return x.String(), nil
	case engine.Secret:
		if reveal {
			return x.Reveal(), nil
		}
		return engine.Masked, nil
	case engine.Unknown:
		return "(" + x.Error() + ")", nil
	case engine.List:
		out := make([]any, len(x))
		for i, e := range x {
			p, err := jsonable(e, reveal)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			out[i] = p
		}
		return out, nil
	case engine.Record:
		out := make(map[string]any, len(x))
		for _, k := range engine.Keys(x) {
			p, err := jsonable(x[k], reveal)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", k, err)
			}
			out[k] = p
		}
		return out, nil
	}
	return nil, fmt.Errorf("%s cannot be written as JSON", engine.TypeName(v))
}

// DecodeJSON reads a value, with numbers as [engine.ValueOfJSON] has them.
func DecodeJSON(b []byte) (engine.Value, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, jsonError(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something stands behind its end")
	}
	return engine.ValueOfJSON(v)
}

func jsonError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return errors.New("it ends in the middle")
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("%w at byte %d", err, syntax.Offset)
	}
	return err
}

// JudgePairs finds what is wrong with the values of a form or a query.
func JudgePairs(path string, v engine.Value) []engine.Problem {
	pairs, _ := v.(engine.Record)
	var out []engine.Problem
	for _, name := range engine.Keys(pairs) {
		list, many := pairs[name].(engine.List)
		if !many {
			list = engine.List{pairs[name]}
		}
		for _, e := range list {
			switch e.(type) {
			case nil, engine.List, engine.Record:
				out = append(out, engine.Problem{Path: path + "." + name, Message: "it must be a text or a number, or a list of them, not " + engine.TypeName(e)})
			}
		}
	}
	return out
}

// EncodePairs writes a form or a query. With reveal the secrets in it are written, else they are masked.
func EncodePairs(pairs map[string]engine.Value, reveal bool) string {
	var b strings.Builder
	for _, name := range engine.Keys(pairs) {
		list, many := pairs[name].(engine.List)
		if !many {
			list = engine.List{pairs[name]}
		}
		for _, e := range list {
			text := url.QueryEscape(engine.Text(e))
			if _, secret := e.(engine.Secret); secret || LooksSecret(name) {
				text = engine.Masked
			}
			if reveal {
				text = url.QueryEscape(plain(e))
			}
			if b.Len() > 0 {
				b.WriteByte('&')
			}
			b.WriteString(url.QueryEscape(name) + "=" + text)
		}
	}
	return b.String()
}
