package sql

import (
	"encoding/hex"
	"errors"
	"strings"

	"github.com/handrail-dev/handrail/engine"
)

// listReader reads an array as PostgreSQL writes it: {1,NULL,"a \"b\"",{2}}.
type listReader struct {
	d    *postgresDialect
	elem string
	text string
	at   int
}

var errList = errors.New("the server's array cannot be read")

func (r *listReader) read() (engine.Value, error) {
	// Bounds that do not begin at 1 stand before it: [0:1]={1,2}.
	if strings.HasPrefix(r.text, "[") {
		if eq := strings.Index(r.text, "={"); eq >= 0 {
			r.at = eq + 1
		}
	}
	v, err := r.list()
	if err == nil && r.at != len(r.text) {
		err = errList
	}
	return v, err
}

func (r *listReader) peek() byte {
	if r.at < len(r.text) {
		return r.text[r.at]
	}
	return 0
}

func (r *listReader) list() (engine.List, error) {
	if r.peek() != '{' {
		return nil, errList
	}
	r.at++
	out := engine.List{}
	for r.peek() != '}' {
		v, err := r.one()
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		switch r.peek() {
		case ',':
			r.at++
		case '}':
		default:
			return nil, errList
		}
	}
	r.at++
	return out, nil
}

func (r *listReader) one() (engine.Value, error) {
	switch r.peek() {
	case '{':
		return r.list()
	case '"':
		text, err := r.quoted()
		if err != nil {
			return nil, err
		}
		return r.d.scalar(r.elem, text)
	}
	end := strings.IndexAny(r.text[r.at:], ",}")
	if end <= 0 {
		return nil, errList
	}
	text := r.text[r.at : r.at+end]
	r.at += end
	if text == "NULL" {
		return nil, nil
	}
	return r.d.scalar(r.elem, text)
}

func (r *listReader) quoted() (string, error) {
	var b strings.Builder
	for r.at++; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; {
		case c == '"':
			r.at++
			return b.String(), nil
		case c == '\\' && r.at+1 < len(r.text):
			r.at++
			b.WriteByte(r.text[r.at])
		default:
			b.WriteByte(c)
		}
	}
	return "", errList
}

// listText writes a list as PostgreSQL reads it.
func (d *postgresDialect) listText(typ string, list engine.List) string {
	parts := make([]string, len(list))
	for i, v := range list {
		switch x := v.(type) {
		case nil:
			parts[i] = "NULL"
		case engine.List:
			parts[i] = d.listText(typ, x)
		case engine.Bytes:
			parts[i] = `"\\x` + hex.EncodeToString(x) + `"`
		default:
			parts[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(d.csv(typ, v)) + `"`
			switch v.(type) {
			case int64, float64, bool, engine.Decimal:
				parts[i] = d.csv(typ, v)
			}
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}
