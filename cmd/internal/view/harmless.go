package view

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// workflowCommands are texts that a runner of a forge obeys when they stand in the log of a job: at the beginning of a line
// (GitHub), or anywhere in it (GitHub's older form, Azure, TeamCity).
var (
	leadingCommand = regexp.MustCompile(`(?m)^([ \t]*:):`)
	innerCommand   = regexp.MustCompile(`(?i)#(#\[|#vso\[|#teamcity\[)`)
)

// Harmless takes out of what is written what a stranger could do with it: move the cursor, turn the direction of
// writing, hide letters, command the runner that keeps the log. It leaves lines, and the forms of JSON, SARIF and Markdown, as they are.
func Harmless(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t', r == '\u200b': // the last is what prose breaks mentions with
			return r
		case r < ' ', r >= 0x7f && r < 0xa0, r >= '\u200c' && r <= '\u200f', r >= '\u2028' && r <= '\u202e',
			r >= '\u2060' && r <= '\u206f', r == '\ufeff', r >= '\U000e0000' && r <= '\U000e007f', r == utf8.RuneError:
			return '\uFFFD'
		}
		return r
	}, s)
	s = leadingCommand.ReplaceAllString(s, "${1}\u200b:")
	return innerCommand.ReplaceAllString(s, "#\u200b$1")
}
