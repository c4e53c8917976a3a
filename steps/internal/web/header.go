package web

import (
	"fmt"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/handrail-dev/handrail/engine"
)

// KeyHeader is the header that carries the identity of an effect, by which a server that knows it can
// tell a repetition.
const KeyHeader = "Idempotency-Key"

// Key is a token as that header can carry it: what is not a visible ASCII character is escaped.
func Key(token string) string {
	var b strings.Builder
	for _, c := range []byte(token) {
		if c <= ' ' || c >= 0x7f || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// JudgeHeaders finds what is wrong with headers, at the path. No message holds a value.
func JudgeHeaders(path string, v engine.Value) []engine.Problem {
	headers, _ := v.(engine.Record)
	var out []engine.Problem
	seen := map[string]string{}
	for _, name := range engine.Keys(headers) {
		if why := judgeHeader(name, headers[name]); why != "" {
			out = append(out, engine.Problem{Path: path + "." + name, Message: why})
		}
		if other, twice := seen[lower(name)]; twice {
			out = append(out, engine.Problem{Path: path + "." + name, Message: fmt.Sprintf("%s and %s are the same header", other, name)})
		}
		seen[lower(name)] = name
	}
	return out
}

func judgeHeader(name string, v engine.Value) string {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !strings.ContainsRune(headerRunes, r) }) {
		return fmt.Sprintf("%q cannot be the name of a header", name)
	}
	switch lower(name) {
	case lower(KeyHeader):
		return KeyHeader + " is set by Handrail: it is the step's token"
	case "content-length", "transfer-encoding", "connection", "trailer", "upgrade", "te", "expect":
		return name + " is set by the connection itself"
	}
	switch v.(type) {
	case nil, engine.List, engine.Record:
		return "a header is a text, not " + engine.TypeName(v)
	case engine.Unknown:
		return ""
	}
	if strings.ContainsFunc(plain(v), func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return "a header cannot hold the end of a line or another control character"
	}
	return ""
}

const headerRunes = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// Header makes headers of what a playbook says.
func Header(headers map[string]engine.Value) http.Header {
	h := http.Header{}
	for name, v := range headers {
		h.Set(name, plain(v))
	}
	return h
}

// ShownHeaders are headers, one in a line, as they may be printed.
func ShownHeaders(headers map[string]engine.Value) []string {
	var out []string
	for _, name := range engine.Keys(headers) {
		v := engine.Text(headers[name])
		if LooksSecret(name) {
			v = engine.Masked
		}
		out = append(out, name+": "+v)
	}
	return out
}

// plain is a value as it is sent.
func plain(v engine.Value) string {
	if text, ok := engine.Reveal(v); ok {
		return text
	}
	return engine.Text(v)
}

func mediaType(contentType string) string {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		kind, _, _ = strings.Cut(contentType, ";")
	}
	return lower(strings.TrimSpace(kind))
}

func lower(s string) string { return strings.ToLower(s) }

func joined(values []string) string { return Readable([]byte(strings.Join(values, ", "))) }

// Readable is text; what is not UTF-8 in it is replaced by U+FFFD.
func Readable(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}
