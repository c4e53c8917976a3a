package playbook

import (
	"sort"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// source is the text of a file with the places of its lines.
type source struct {
	file  string
	text  string
	lines []int // where each line begins, in bytes
	// The place that was looked for last. Places are mostly looked for in the order of the file, and a
	// file may be one long line.
	line0, column0, at0 int
}

func newSource(file, text string) *source {
	s := &source{file: file, text: strings.TrimPrefix(text, "\ufeff"), lines: []int{0}}
	for i := 0; i < len(s.text); i++ {
		switch {
		case s.text[i] == '\n', s.text[i] == '\r' && (i+1 == len(s.text) || s.text[i+1] != '\n'):
			s.lines = append(s.lines, i+1)
		}
	}
	return s
}

// line is the text of a line, counted from 1, without its end.
func (s *source) line(n int) string {
	if n < 1 || n > len(s.lines) {
		return ""
	}
	end := len(s.text)
	if n < len(s.lines) {
		end = s.lines[n]
	}
	return strings.TrimRight(s.text[s.lines[n-1]:end], "\r\n")
}

// place is the line and column of a byte, counted from 1; columns count characters.
func (s *source) place(offset int) (line, column int) {
	offset = max(0, min(offset, len(s.text)))
	n := sort.SearchInts(s.lines, offset+1)
	return n, utf8.RuneCountInString(s.text[s.lines[n-1]:offset]) + 1
}

// offset is the byte at a line and column.
func (s *source) offset(line, column int) int {
	if line < 1 {
		return 0
	}
	if line > len(s.lines) {
		return len(s.text)
	}
	at, from := s.lines[line-1], 1
	if line == s.line0 && column >= s.column0 {
		at, from = s.at0, s.column0
	}
	for ; from < column && at < len(s.text); from++ {
		_, size := utf8.DecodeRuneInString(s.text[at:])
		at += size
	}
	s.line0, s.column0, s.at0 = line, from, at
	return at
}

// start is where a node begins.
func (s *source) start(n *yaml.Node) int { return s.offset(n.Line, n.Column) }

// scalarMap tells for each byte of a scalar's value, and for its end, where in the file it was
// written. It is nil when the way back is not certain.
func (s *source) scalarMap(n *yaml.Node) []int {
	if n.Kind != yaml.ScalarNode {
		return nil
	}
	w := walk{text: s.text, at: s.start(n), value: n.Value, back: make([]int, 0, len(n.Value)+1)}
	ok := false
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		w.at++
		ok = w.doubleQuoted()
	case n.Style&yaml.SingleQuotedStyle != 0:
		w.at++
		ok = w.flow(func() bool { return w.at+1 < len(w.text) && w.text[w.at] == '\'' && w.text[w.at+1] == '\'' })
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		ok = w.block(n.Style&yaml.FoldedStyle != 0)
	default:
		ok = w.flow(func() bool { return false })
	}
	if !ok || len(w.back) != len(n.Value) {
		return nil
	}
	return append(w.back, w.at)
}

// walk follows a scalar's value through the text that it was read from. Each step checks that text
// and value agree, so that a way of writing that it does not know ends it.
type walk struct {
	text  string
	at    int
	value string
	back  []int
}

func (w *walk) rest() string { return w.value[len(w.back):] }

// take says that n bytes of the value were written at the current place.
func (w *walk) take(n int) {
	for range n {
		w.back = append(w.back, w.at)
	}
}

// space is the length of the blanks and line breaks from the current place on, and the breaks in it.
func (w *walk) space() (length, breaks int) {
	for i := w.at; i < len(w.text); i++ {
		switch w.text[i] {
		case ' ', '\t', '\r':
		case '\n':
			breaks++
		default:
			return i - w.at, breaks
		}
	}
	return len(w.text) - w.at, breaks
}

// fold steps over a line break inside a flow scalar: one break reads as a blank, more as one less.
func (w *walk) fold() bool {
	length, breaks := w.space()
	if breaks == 0 {
		return false
	}
	want := " "
	if breaks > 1 {
		want = strings.Repeat("\n", breaks-1)
	}
	if !strings.HasPrefix(w.rest(), want) {
		return false
	}
	w.take(len(want))
	w.at += length
	return true
}

// flow follows a plain or single-quoted scalar. doubled tells of a byte that stands for the next.
func (w *walk) flow(doubled func() bool) bool {
	for len(w.back) < len(w.value) {
		if w.at >= len(w.text) {
			return false
		}
		if c := w.text[w.at]; c == ' ' || c == '\t' || c == '\r' || c == '\n' {
			if _, breaks := w.space(); breaks > 0 {
				if !w.fold() {
					return false
				}
				continue
			}
		}
		if doubled() {
			w.at++
		}
		if w.text[w.at] != w.rest()[0] {
			return false
		}
		w.take(1)
		w.at++
	}
	return true
}

// escapes are the lengths of what a backslash and a letter stand for, in the text; 2 for the rest.
var escapes = map[byte]int{'x': 4, 'u': 6, 'U': 10}

func (w *walk) doubleQuoted() bool {
	for len(w.back) < len(w.value) {
		if w.at >= len(w.text) {
			return false
		}
		switch c := w.text[w.at]; {
		case c == '\\' && w.at+1 < len(w.text):
			if next := w.text[w.at+1]; next == '\n' || next == '\r' {
				w.at++
				length, _ := w.space()
				w.at += length
				continue
			}
			_, size := utf8.DecodeRuneInString(w.rest())
			w.take(size)
			length := escapes[w.text[w.at+1]]
			w.at += max(2, length)
			continue
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			if _, breaks := w.space(); breaks > 0 {
				if !w.fold() {
					return false
				}
				continue
			}
		}
		if w.text[w.at] != w.rest()[0] {
			return false
		}
		w.take(1)
		w.at++
	}
	return true
}

// block follows a literal (|) or folded (>) scalar.
func (w *walk) block(folded bool) bool {
	end := strings.IndexByte(w.text[w.at:], '\n')
	if end < 0 {
		return len(w.value) == 0
	}
	header := w.text[w.at : w.at+end]
	w.at += end + 1
	indent := w.indent(header)
	for len(w.back) < len(w.value) {
		if w.at >= len(w.text) {
			return false
		}
		for i := 0; i < indent && w.at < len(w.text) && w.text[w.at] == ' '; i++ {
			w.at++
		}
		for w.at < len(w.text) && w.text[w.at] != '\n' && w.text[w.at] != '\r' {
			if len(w.back) == len(w.value) || w.text[w.at] != w.rest()[0] {
				return false
			}
			w.take(1)
			w.at++
		}
		w.lineEnd(folded)
	}
	return true
}

// lineEnd steps over the end of a line of a block scalar, and, of a folded one, over the blank lines
// after it.
func (w *walk) lineEnd(folded bool) {
	rest := w.rest()
	switch {
	case rest == "":
		return
	case folded && rest[0] == ' ':
		w.take(1)
	case folded:
		w.take(len(rest) - len(strings.TrimLeft(rest, "\n")))
		for next := w.at; ; {
			end := strings.IndexByte(w.text[next:], '\n')
			if end < 0 {
				break
			}
			next += end + 1
			w.at = next - 1
			line, _, _ := strings.Cut(w.text[next:], "\n")
			if strings.TrimSpace(line) != "" {
				break
			}
		}
	case rest[0] == '\n':
		w.take(1)
	}
	if end := strings.IndexByte(w.text[w.at:], '\n'); end >= 0 {
		w.at += end + 1
	} else {
		w.at = len(w.text)
	}
}

// indent is how far the lines of a block scalar stand in: as its header says relative to what is
// around it, which yaml.v3 has checked, or as the first line that is not blank.
func (w *walk) indent(header string) int {
	for i := w.at; i < len(w.text); {
		line, _, more := strings.Cut(w.text[i:], "\n")
		if trimmed := strings.TrimLeft(line, " "); strings.TrimSpace(trimmed) != "" {
			indent := len(line) - len(trimmed)
			if strings.ContainsAny(header, "123456789") {
				first, _, _ := strings.Cut(strings.TrimLeft(w.value, "\n"), "\n")
				indent -= len(first) - len(strings.TrimLeft(first, " "))
			}
			return indent
		}
		if !more {
			break
		}
		i += len(line) + 1
	}
	return 0
}
