package redis

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/handrail-dev/handrail/engine"
)

// maxWords bounds one command inside a script, because Lua cannot unpack more.
const maxWords = 7000

// wire is a value as Redis gets it. Redis knows texts only, so what has no one text form is a mistake.
func wire(path string, v engine.Value) ([]byte, error) {
	bad := func(why string) ([]byte, error) { return nil, engine.Problem{Path: path, Message: why} }
	switch x := v.(type) {
	case string:
		return []byte(x), nil
	case engine.Bytes:
		return x, nil
	case engine.Secret:
		return []byte(x.Reveal()), nil
	case int64, uint64:
		return []byte(engine.Text(x)), nil
	case float64:
		return strconv.AppendFloat(nil, x, 'f', -1, 64), nil
	case engine.Decimal:
		return []byte(x.String()), nil
	case nil:
		return bad("null is not a word that Redis knows; write \"\" for the empty text, or delete the key")
	case bool:
		return bad(fmt.Sprintf("%t is not a word that Redis knows; write it in quotes as the text that is meant (yes, 1, \"true\")", x))
	}
	return bad(fmt.Sprintf("a %s has no one form that Redis knows; write it as text", engine.TypeName(v)))
}

// expand writes the words of a command in wire form. A list among them, which a template gave, becomes as
// many words as it has entries.
func expand(path string, words engine.List) (engine.List, error) {
	out := make(engine.List, 0, len(words))
	for i, w := range words {
		if list, ok := w.(engine.List); ok && i > 0 {
			for j, e := range list {
				if _, err := wire(fmt.Sprintf("%s[%d][%d]", path, i, j), e); err != nil {
					return nil, err
				}
				out = append(out, e)
			}
			continue
		}
		if _, open := w.(engine.Unknown); !open {
			if _, err := wire(wordPath(path, i), w); err != nil {
				return nil, err
			}
		}
		out = append(out, w)
	}
	return out, nil
}

// wired is the words as arguments of the client. They have passed expand.
func wired(words engine.List) []any {
	out := make([]any, len(words))
	for i, w := range words {
		b, _ := wire("", w)
		out[i] = b
	}
	// The connection reads the command's name as text.
	if len(out) > 0 {
		out[0] = string(out[0].([]byte))
	}
	return out
}

// show is a command as it reads in a plan: secrets masked, long words cut, quoted where that is needed.
func show(words engine.List) string {
	parts := make([]string, len(words))
	for i, w := range words {
		switch x := w.(type) {
		case engine.Unknown:
			parts[i] = "…"
		case engine.Secret:
			parts[i] = engine.Masked
		default:
			parts[i] = showText(engine.Text(x))
		}
	}
	const most = 24
	if len(parts) > most {
		parts = append(parts[:most], fmt.Sprintf("… (%d words)", len(words)))
	}
	return strings.Join(parts, " ")
}

func showText(s string) string {
	const most = 60
	cut := s
	for n := range s {
		if n > most {
			cut = s[:n] + "…"
			break
		}
	}
	if cut == "" || strings.ContainsAny(cut, " \"'") || strconv.Quote(cut) != `"`+cut+`"` {
		return strconv.Quote(cut)
	}
	return cut
}

// secretsIn are the revealed secrets among parameters.
func secretsIn(v engine.Value) []string {
	var out []string
	switch x := v.(type) {
	case engine.Secret:
		if s := x.Reveal(); s != "" {
			out = append(out, s)
		}
	case engine.List:
		for _, e := range x {
			out = append(out, secretsIn(e)...)
		}
	case engine.Record:
		for _, e := range x {
			out = append(out, secretsIn(e)...)
		}
	}
	return out
}

// masked replaces secrets in what a server says: error messages repeat the words of a command, and a
// result may be what was just written.
func masked(v engine.Value, secrets []string) engine.Value {
	if len(secrets) == 0 {
		return v
	}
	switch x := v.(type) {
	case string:
		for _, s := range secrets {
			x = strings.ReplaceAll(x, s, engine.Masked)
		}
		return x
	case engine.Bytes:
		for _, s := range secrets {
			if strings.Contains(string(x), s) {
				return engine.Masked
			}
		}
	case engine.List:
		for i, e := range x {
			x[i] = masked(e, secrets)
		}
	case engine.Record:
		out := make(engine.Record, len(x))
		for k, e := range x {
			out[masked(k, secrets).(string)] = masked(e, secrets)
		}
		return out
	}
	return v
}

// text is a reply as text, or as bytes if it is none.
func text(s string) engine.Value {
	if utf8.ValidString(s) {
		return s
	}
	return engine.Bytes(s)
}
