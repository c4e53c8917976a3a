package playbook

import (
	"strings"
	"testing"
	"unicode"

	"gopkg.in/yaml.v3"
)

func TestSplit(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "",
		"plain":                      "plain",
		"${{ a }}":                   "<a@4>",
		"x ${{a}} y":                 "x |<a@5>| y",
		"${{ a }}${{ b }}":           "<a@4>|<b@12>",
		`${{ "}}" }}`:                `<"}}"@4>`,
		`${{ '}}' + "\"}}" }}`:       `<'}}' + "\"}}"@4>`,
		"${{ `\\` + `}}` }}":         "<`\\` + `}}`@4>",
		"${{ {a: {b: 1}} }}":         "<{a: {b: 1}}@4>",
		"${{ {a: {b: 1}}}}":          "<{a: {b: 1}}@4>",
		"${{ filter(r, {.a > 1})}}x": "<filter(r, {.a > 1})@4>|x",
		"${{ a /* }} */ }}":          "<a /* }} */@4>",
		"${{ a // }}\n }}":           "<a // }}@4>",
		"$ {{ a }} {{ b }}":          "$ {{ a }} {{ b }}",
		"$${{ a }}":                  "$|<a@5>",
		"}} ${{ a }}":                "}} |<a@7>",
		"${{ a":                      "!0 the ${{ is not closed",
		"x ${{ 'a }}":                "!6 the string that begins here does not end",
		"${{ a /* }}":                "!6 the comment that begins here does not end",
		"${{ a ${{ b }} }}":          "!6 a ${{ stands inside of another",
		"${{ }}":                     "<@4>",
	} {
		if got := splitText(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func splitText(text string) string {
	segments, wrong := split(text)
	if wrong != nil {
		return "!" + itoa(wrong.offset) + " " + wrong.message
	}
	var parts []string
	for _, s := range segments {
		if s.expr {
			parts = append(parts, "<"+s.text+"@"+itoa(s.offset)+">")
		} else {
			parts = append(parts, s.text)
		}
	}
	return strings.Join(parts, "|")
}

func itoa(n int) string {
	if n < 0 {
		return "-" + itoa(-n)
	}
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

// FuzzSplit: the pieces are pieces of the text, in order, and nothing but ${{ }} and blanks is lost.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{"a ${{ b }} c", `${{ "}}" }}`, "${{ {a: {}} }}", "${{ `", "${{ a // }}\n}}", "}}${{"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		segments, wrong := split(text)
		if wrong != nil {
			if wrong.offset < 0 || wrong.offset >= len(text) {
				t.Fatalf("the fault %+v lies outside", wrong)
			}
			return
		}
		at := 0
		for _, s := range segments {
			if s.offset < at || !strings.HasPrefix(text[s.offset:], s.text) {
				t.Fatalf("%+v is not a piece of %q", s, text)
			}
			if between := text[at:s.offset]; strings.TrimFunc(strings.Trim(between, "${}"), unicode.IsSpace) != "" && !s.expr {
				t.Fatalf("%q is lost", between)
			}
			at = s.offset + len(s.text)
		}
		if !strings.Contains(text, opening) && (len(segments) > 1 || len(segments) == 1 && segments[0].text != text) {
			t.Fatalf("a text without expressions is changed: %+v", segments)
		}
	})
}

// TestScalarMap: the way back from a value to the file is right in every style of writing.
func TestScalarMap(t *testing.T) {
	for _, text := range []string{
		"plain words here", "'it''s ''X'' here'", `"tab\t \u0e01 X \x41 \U0001F600 end \" q"`, "plain\n  over X\n\n  lines", "'single\n  over X\n\n\n  lines'",
		"\"double\n  over X \\\n  joined\n\n  end\"", "|\n  literal X\n    deeper\n\n  end\n", "|-\n  literal X", ">\n  folded\n  X words\n\n  para\n    more\n    deep\n  end\n",
		">-\n\n  begins\n  blank X\n", "|2\n   kept X\n  less\n", ">+\n  keep X\n\n", "สวัสดี X", "\"สวัสดี X\"", "|\r\n  with X\r\n  returns\r\n",
	} {
		src := newSource("f", "key: "+text+"\n")
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(src.text), &doc); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		n := doc.Content[0].Content[1]
		back := src.scalarMap(n)
		if back == nil {
			t.Errorf("%q: no way back", text)
			continue
		}
		for i := range len(n.Value) {
			c := n.Value[i]
			if c >= 'A' && c <= 'z' && c != '\\' && src.text[back[i]] != c && src.text[back[i]] != '\\' {
				t.Errorf("%q: byte %d (%c) leads to %q", text, i, c, src.text[back[i]:])
				break
			}
		}
	}
}

func FuzzScalarMap(f *testing.F) {
	for _, s := range []string{"plain X", "'q''q'", "\"a\\tb\\\n c\"", "|\n a\n  b\n", ">\n a\n b\n\n c\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		src := newSource("f", "key: "+text+"\n")
		var doc yaml.Node
		if yaml.Unmarshal([]byte(src.text), &doc) != nil || len(doc.Content) == 0 || len(doc.Content[0].Content) < 2 {
			return
		}
		for _, n := range doc.Content[0].Content {
			back := src.scalarMap(n)
			for i, at := range back {
				if at < 0 || at > len(src.text) || i > 0 && at < back[i-1] {
					t.Fatalf("%q: byte %d leads to %d", text, i, at)
				}
			}
		}
	})
}
