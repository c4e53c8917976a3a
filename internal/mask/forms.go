package mask

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
)

// shortestPart is the length in bytes from which on a part of a secret (a line of it, the middle of its
// base64) is masked by itself.
const shortestPart = 8

// forms are the ways in which a secret is looked for.
func forms(secret string) []string {
	out := []string{secret}
	for _, text := range texts(secret) {
		out = append(out, text, url.QueryEscape(text), url.PathEscape(text),
			lowerEscapes(url.QueryEscape(text)), lowerEscapes(url.PathEscape(text)))
		out = append(out, jsonForms(text)...)
		out = append(out, hexForms(text)...)
		out = append(out, base64Forms(text)...)
	}
	for _, line := range strings.Split(secret, "\n") {
		if line = strings.TrimSpace(line); len(line) >= shortestPart {
			out = append(out, line)
		}
	}
	return out
}

// texts are the secret as it is, and without the white space around it, which programs cut off.
func texts(secret string) []string {
	trimmed := strings.TrimSpace(secret)
	if trimmed == secret || trimmed == "" {
		return []string{secret}
	}
	return []string{secret, trimmed}
}

// lowerEscapes writes %2F as %2f.
func lowerEscapes(escaped string) string {
	b := []byte(escaped)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], bytes.ToLower(b[i+1:i+3]))
		}
	}
	return string(b)
}

// jsonForms are the secret as it stands in JSON, and in JSON that stands as a text in JSON, twice: a program's
// answer is often such a text, and is shown in another.
func jsonForms(text string) []string {
	var out []string
	for range 3 {
		forms := jsonForm(text)
		out = append(out, forms...)
		if text == forms[len(forms)-2] { // nothing has to be escaped in it, however deep
			break
		}
		text = forms[len(forms)-2]
	}
	return out
}

func jsonForm(text string) []string {
	var out []string
	for _, html := range []bool{true, false} {
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		enc.SetEscapeHTML(html)
		// Encoding a string into a buffer cannot fail.
		_ = enc.Encode(text)
		quoted := strings.TrimSuffix(buf.String(), "\n")
		inner := quoted[1 : len(quoted)-1]
		out = append(out, inner, strings.ReplaceAll(inner, "/", `\/`))
	}
	return out
}

func hexForms(text string) []string {
	h := hex.EncodeToString([]byte(text))
	return []string{h, strings.ToUpper(h)}
}

// base64Forms are the secret encoded by itself, and what of it stands still wherever it begins inside a
// longer text that is encoded as a whole, such as the user:password of an HTTP header.
func base64Forms(text string) []string {
	var out []string
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		padded := enc.EncodeToString([]byte(text))
		out = append(out, padded, strings.TrimRight(padded, "="))
		for before := range 3 {
			whole := enc.EncodeToString([]byte(strings.Repeat("\x00", before) + text))
			// Of each group of four characters only those count that the neighbours do not enter.
			from := (before*8 + 5) / 6
			to := (before + len(text)) * 8 / 6
			if to-from >= shortestPart {
				out = append(out, whole[from:to])
			}
		}
	}
	return out
}
