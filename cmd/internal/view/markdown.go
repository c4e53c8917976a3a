package view

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// In Markdown that a forge shows, a text from a playbook or a target must stay a text. It could otherwise end a table
// or a fold, show a picture that tells who has looked, mention people, refer to other issues, or be taken for a command of
// the forge (GitLab obeys lines that begin with a slash). So such texts go only through [prose], [code] and [fenced].

// prose makes a text harmless in running text and in the cell of a table. Mentions, references and addresses are
// looked for when entities have been read; a space without width breaks them.
func prose(s string) string {
	var b strings.Builder
	text := plainly(s)
	for i, r := range text {
		if r < utf8.RuneSelf && strings.ContainsRune(marks, r) {
			fmt.Fprintf(&b, "&#%d;", r)
		} else {
			b.WriteRune(r)
		}
		end := i + utf8.RuneLen(r)
		before, after := strings.ToLower(text[max(0, end-len("www.")):end]), text[end:]
		if r == '@' || r == '#' || strings.HasSuffix(before, "www.") || strings.HasSuffix(before, "gh-") ||
			r == ':' && after != "" && after[0] != ' ' {
			b.WriteRune('\u200b')
		}
	}
	return b.String()
}

// marks are the letters that mean something to Markdown, HTML or a forge.
const marks = "\\`*_{}[]()<>+!|~&\"'$^=#@"

// code is a short text in the type of code. No forge looks for mentions there.
func code(s string) string {
	if s == "" {
		return ""
	}
	var b strings.Builder
	for _, r := range plainly(s) {
		if r < utf8.RuneSelf && strings.ContainsRune(marks, r) {
			fmt.Fprintf(&b, "&#%d;", r)
			continue
		}
		b.WriteRune(r)
	}
	return "<code>" + b.String() + "</code>"
}

// fenced is a longer text, line by line. Only an end of the element could end it, and there is no `<` left to write one.
func fenced(s string) string {
	var b strings.Builder
	b.WriteString("<pre>\n")
	for line := range strings.SplitSeq(strings.TrimRight(s, "\n"), "\n") {
		b.WriteString("  " + inFence.Replace(plainly(line)) + "\n")
	}
	return b.String() + "</pre>\n"
}

var inFence = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// plainly makes one line of a text, without what moves the cursor, turns the direction of writing or cannot be seen.
func plainly(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r' || r == '\u2028' || r == '\u2029':
			return ' '
		case r < ' ', r >= 0x7f && r < 0xa0, r >= '\u200b' && r <= '\u200f', r >= '\u202a' && r <= '\u202e',
			r >= '\u2060' && r <= '\u206f', r == '\ufeff', r == utf8.RuneError:
			return '\uFFFD'
		}
		return r
	}, s)
}

// shortened keeps the beginning of a text, in whole characters, and says that there is more.
func shortened(s string, most int) string {
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
