package mask

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
)

const secret = `s3cr/et "p+ss&wörd"?`

func set(secrets ...string) *Set {
	var s Set
	for _, x := range secrets {
		s.Add("NAME", x)
	}
	return &s
}

func TestEveryFormOfASecretIsMasked(t *testing.T) {
	quoted, err := json.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	basic := base64.StdEncoding.EncodeToString([]byte("admin:" + secret))
	for name, form := range map[string]string{
		"raw":               secret,
		"base64":            base64.StdEncoding.EncodeToString([]byte(secret)),
		"base64 raw":        base64.RawStdEncoding.EncodeToString([]byte(secret)),
		"base64 url":        base64.URLEncoding.EncodeToString([]byte(secret)),
		"base64 raw url":    base64.RawURLEncoding.EncodeToString([]byte(secret)),
		"query":             url.QueryEscape(secret),
		"path":              url.PathEscape(secret),
		"lower query":       `s3cr%2fet+%22p%2bss%26w%c3%b6rd%22%3f`,
		"json":              strings.Trim(string(quoted), `"`),
		"hex":               hex.EncodeToString([]byte(secret)),
		"upper hex":         strings.ToUpper(hex.EncodeToString([]byte(secret))),
		"basic auth":        basic,
		"basic auth longer": base64.StdEncoding.EncodeToString([]byte("ad:" + secret + " and more")),
	} {
		got := set(secret).Text("before " + form + " after")
		if !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " after") || !strings.Contains(got, engine.Masked) {
			t.Errorf("%s: %q", name, got)
		}
		if strings.HasPrefix(name, "basic auth") {
			continue // what the neighbours enter remains
		}
		if want := "before " + engine.Masked + " after"; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestASecretSplitAnywhereIsMasked(t *testing.T) {
	text := "a" + secret + "b" + secret[:5] + "c" + secret + secret + "end"
	want := set(secret).Text(text)
	for i := range len(text) {
		for j := i; j <= len(text); j++ {
			var out bytes.Buffer
			w := set(secret).Writer(&out)
			for _, part := range []string{text[:i], text[i:j], text[j:]} {
				if _, err := io.WriteString(w, part); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			if out.String() != want {
				t.Fatalf("cut at %d and %d: %q, want %q", i, j, out.String(), want)
			}
		}
	}
}

func TestOverlappingSecretsLeaveNoEnd(t *testing.T) {
	for _, c := range []struct {
		secrets    []string
		text, want string
	}{
		{[]string{"abcdef", "defghi"}, "-abcdefghi-", "-•••-"},
		{[]string{"abcd", "abcdefgh"}, "-abcdefgh-abcdef-", "-•••-•••ef-"},
		{[]string{"aaaa"}, "-aaaaaaa-", "-•••-"},
		{[]string{"abcdefgh", "bc"}, "-abcdefgh-", "-•••-"},
		{[]string{"abcd", "bcde", "cdef"}, "abcdefg", "•••g"},
		{[]string{"x"}, "axxb", "a••••••b"},
		{[]string{"abcd"}, "abcdabcd", "••••••"},
		{[]string{"abcd"}, "abc", "abc"},
	} {
		for size := 1; size <= len(c.text); size++ {
			var out bytes.Buffer
			w := set(c.secrets...).Writer(&out)
			for rest := c.text; rest != ""; {
				n := min(size, len(rest))
				if _, err := io.WriteString(w, rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			if out.String() != c.want {
				t.Errorf("%v on %q in parts of %d: %q, want %q", c.secrets, c.text, size, out.String(), c.want)
			}
		}
	}
}

func TestOneSecretForEverDoesNotGrowMemory(t *testing.T) {
	w := set("aaaaaaaa").Writer(io.Discard)
	block := bytes.Repeat([]byte("a"), 1<<16)
	for range 64 {
		if _, err := w.Write(block); err != nil {
			t.Fatal(err)
		}
		if len(w.held) > 64 {
			t.Fatalf("holds back %d bytes", len(w.held))
		}
	}
}

func TestAShortSecretIsMaskedAndWarnedOf(t *testing.T) {
	var s Set
	warning := s.Add("PIN", "123")
	if !strings.Contains(warning, "PIN has only 3 characters") || strings.Contains(warning, "123") {
		t.Errorf("warning: %q", warning)
	}
	if got := s.Text("pin=123"); got != "pin=•••" {
		t.Error(got)
	}
	if w := s.Add("PASSWORD", "long enough"); w != "" {
		t.Error(w)
	}
	if w := s.Add("NONE", ""); !strings.Contains(w, "empty") {
		t.Error(w)
	}
	if got := s.Text("nothing"); got != "nothing" {
		t.Error(got)
	}
}

func TestTheLinesOfASecretAreMaskedOneByOne(t *testing.T) {
	s := set("-----BEGIN KEY-----\nMIIEvQIBADANBg\nshort\n-----END KEY-----\n")
	if got := s.Text("| MIIEvQIBADANBg |"); got != "| ••• |" {
		t.Error(got)
	}
}

func TestValuesAreMaskedWhereverTextIs(t *testing.T) {
	got := set("hunter22").Value(engine.Record{
		"a": engine.List{"x hunter22", int64(1), nil}, "hunter22": engine.Bytes("hunter22"),
	})
	want := engine.Record{"a": engine.List{"x •••", int64(1), nil}, "•••": "•••"}
	g, _ := engine.AppendValue(nil, got)
	w, _ := engine.AppendValue(nil, want)
	if !bytes.Equal(g, w) {
		t.Errorf("%s, want %s", g, w)
	}
}

func FuzzSplitsDoNotMatter(f *testing.F) {
	f.Add("abcabdabc", "abc", "bca", uint8(2))
	f.Fuzz(func(t *testing.T, text, one, two string, size uint8) {
		if one == "" || two == "" || size == 0 {
			return
		}
		s := set(one, two)
		var out bytes.Buffer
		w := s.Writer(&out)
		for rest := text; rest != ""; {
			n := min(int(size), len(rest))
			if _, err := io.WriteString(w, rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if want := s.Text(text); out.String() != want {
			t.Errorf("%q in parts, %q as a whole", out.String(), want)
		}
	})
}

func BenchmarkWriter(b *testing.B) {
	s := set("correct horse battery staple", "hunter22hunter22", secret)
	w := s.Writer(io.Discard)
	block := bytes.Repeat([]byte("2026-11-21T10:45:00Z INFO request served in 13 ms path=/api/v1/things\n"), 500)
	b.SetBytes(int64(len(block)))
	for b.Loop() {
		if _, err := w.Write(block); err != nil {
			b.Fatal(err)
		}
	}
}

// A text that was shortened may have a secret cut in two, which no longer looks like one.
func TestWhatACutLeavesOfASecret(t *testing.T) {
	var s Set
	s.Add("password", "hunter2-hunter3")
	for text, want := range map[string]string{
		"it wrote hunter2-hun… (more)":  "it wrote •••… (more)",
		"…r2-hunter3 is wrong":          "…••• is wrong",
		"nothing of it… and nothing":    "nothing of it… and nothing",
		"hun… is too little to be seen": "hun… is too little to be seen",
	} {
		if got := s.Text(text); got != want {
			t.Errorf("%q became %q", text, got)
		}
	}
	for text, want := range map[string]string{
		"er3 and hunter2-hunter3": "er3 and •••", "ter3 and more": "••• and more", "\uFFFDnter2-hunter3": "•••", "plain": "plain",
	} {
		if got := s.End(text); got != want {
			t.Errorf("the end %q became %q", text, got)
		}
	}
}

func TestJSONInJSONInJSON(t *testing.T) {
	var s Set
	const secret = `a"b\c d`
	s.Add("password", secret)
	text := secret
	for range 3 {
		b, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		text = string(b)
		if got := s.Text(text); strings.Contains(got, `\c d`) {
			t.Errorf("%s became %s", text, got)
		}
	}
}
