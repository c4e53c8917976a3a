package lint

import (
	"regexp"
	"strings"

	"github.com/handrail-dev/handrail/engine"
)

// note is a comment by which an author says that a finding is known:
//
//	# lint: no-where because the table is a scratch table
//
// It stands behind what it is about, or on a line of its own before it. Before the first line of a step it
// is about the whole step, and before the first line of the playbook about the playbook.
type note struct {
	rule    engine.Rule
	because string
	pos     engine.Pos
	line    int // that it is about
	used    bool
}

var (
	noteForm    = regexp.MustCompile(`#\s*lint:\s*([a-z-]+)\s*(.*)$`)
	becauseForm = regexp.MustCompile(`^,?\s*because\s+(\S.*)$`)
)

func comments(file, src string) []*note {
	lines := strings.Split(src, "\n")
	var out []*note
	for i, line := range lines {
		m := noteForm.FindStringSubmatchIndex(line)
		if m == nil {
			continue
		}
		n := &note{rule: engine.Rule(line[m[2]:m[3]]), line: i + 1,
			pos: engine.Pos{File: file, Line: i + 1, Column: len([]rune(line[:m[0]])) + 1}}
		if b := becauseForm.FindStringSubmatch(line[m[4]:m[5]]); b != nil {
			n.because = strings.TrimSpace(b[1])
		}
		if strings.TrimSpace(line[:m[0]]) == "" {
			n.line = nextLine(lines, i)
		}
		out = append(out, n)
	}
	return out
}

// nextLine is the number of the next line that says something.
func nextLine(lines []string, i int) int {
	for i++; i < len(lines); i++ {
		if text := strings.TrimSpace(lines[i]); text != "" && !strings.HasPrefix(text, "#") {
			return i + 1
		}
	}
	return len(lines)
}

// covering is the note that knows of a finding.
func covering(notes []*note, f engine.Finding) *note {
	for _, n := range notes {
		if n.rule != f.Rule || n.because == "" {
			continue
		}
		if n.line == f.Pos.Line || f.Step != nil && n.line == f.Step.Pos.Line {
			return n
		}
	}
	return nil
}
