package view

import (
	"fmt"
	"io"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/revision"
)

// DiffText writes what two revisions differ in for a terminal. The first line counts.
func DiffText(w io.Writer, d *revision.Diff) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nsince %s, %s\n", diffCounts(d), printable(oneLine(revisionName(d.Before))), diffMoment(d))
	for _, warning := range d.Warnings {
		b.WriteString("warning: " + printable(oneLine(warning)) + "\n")
	}
	for _, p := range d.Playbooks {
		fmt.Fprintf(&b, "\n%s  [%s]  %s\n", p.Name, playbookChange(p), p.File)
		for _, x := range p.Problems {
			fmt.Fprintf(&b, "  cannot be read %s: %s\n", x.Side, printable(oneLine(problemPlace(x))))
		}
		for _, x := range p.Warnings {
			b.WriteString("  warning: " + printable(oneLine(warningText(x))) + "\n")
		}
		for _, line := range settingLines(p.Settings) {
			b.WriteString("  " + printable(line) + "\n")
		}
		for _, s := range p.Steps {
			diffStep(&b, s)
		}
		if p.Unchanged > 0 {
			fmt.Fprintf(&b, "  %s the same\n", isOrAre(p.Unchanged, "step"))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func isOrAre(n int, what string) string {
	if n == 1 {
		return "1 " + what + " is"
	}
	return fmt.Sprintf("%d %ss are", n, what)
}

func diffStep(b *strings.Builder, s revision.Step) {
	f := diffFace(s)
	indent := strings.Repeat("  ", f.Depth+1)
	fmt.Fprintf(b, "%s%s %s", indent, diffSign(s), printable(oneLine(s.Path)))
	if f.Title != "" {
		b.WriteString("  " + printable(oneLine(f.Title)))
	}
	fmt.Fprintf(b, "  [%s]\n", strings.Join(append([]string{s.Change.String()}, diffRisk(s)...), ", "))
	inner := indent + "    "
	for _, line := range append([]string{diffDoes(f)}, diffWhy(s)...) {
		if line != "" {
			b.WriteString(inner + printable(oneLine(line)) + "\n")
		}
	}
	for _, line := range diffImpact(s) {
		b.WriteString(inner + "impact: " + printable(oneLine(line)) + "\n")
	}
	for _, line := range stepLines(s) {
		b.WriteString(inner + printable(line) + "\n")
	}
}

// stepLines are the settings of a step; of one that was not compared, as they stand.
func stepLines(s revision.Step) []string {
	lines := settingLines(s.Settings)
	if s.Change == revision.Uncompared {
		for i := range lines {
			lines[i] = " " + lines[i][1:]
		}
	}
	return lines
}

// diffCounts is the line that a reviewer reads first.
func diffCounts(d *revision.Diff) string {
	s := d.Summary
	if s.Playbooks == 0 {
		return "No playbook differs"
	}
	parts := []string{fmt.Sprintf("%s added", plural(s.Added, "step")), fmt.Sprintf("%d removed", s.Removed), fmt.Sprintf("%d changed", s.Changed)}
	parts = append(parts, counted([]counting{{s.Renamed, "renamed"}, {s.Moved, "moved"}, {s.Reached, "reached by a change elsewhere"}, {s.Uncompared, "not compared"}})...)
	line := plural(s.Playbooks, "playbook")
	if s.Unreadable > 0 {
		line += fmt.Sprintf(" (%d cannot be read)", s.Unreadable)
	}
	line += ": " + strings.Join(parts, " / ")
	risks := counted([]counting{{s.Changes, "change"}, {s.Destroys, "destroy"}, {s.Irreversible, "cannot be taken back"}, {s.Approvals, "need approval"},
		{s.Raised, "raised in risk"}, {s.Lowered, "lowered in risk"}})
	if len(risks) > 0 {
		line += "; of them " + strings.Join(risks, " / ")
	}
	return line
}

type counting struct {
	n    int
	word string
}

func counted(all []counting) []string {
	var out []string
	for _, c := range all {
		if c.n > 0 {
			out = append(out, fmt.Sprintf("%d %s", c.n, c.word))
		}
	}
	return out
}

// diffMoment says by what the revisions were compared.
func diffMoment(d *revision.Diff) string {
	planned, there := 0, 0
	for _, p := range d.Playbooks {
		if p.Change != revision.Removed { // of what is gone no plan is made
			there++
		}
		if p.Planned {
			planned++
		}
	}
	switch {
	case planned == 0:
		return "by the files alone"
	case planned < there:
		return fmt.Sprintf("%d of them held against environment %s", planned, d.Environment)
	}
	return "held against environment " + d.Environment
}

func revisionName(s revision.Side) string {
	if s.Commit == "" || strings.HasPrefix(s.Commit, s.Name) {
		return s.Name
	}
	return s.Name + " (" + s.Commit[:min(len(s.Commit), 12)] + ")"
}

func playbookChange(p revision.Playbook) string {
	switch p.Change {
	case revision.Same:
		return "what it does is the same"
	case revision.Uncompared:
		return "cannot be compared"
	case revision.Added, revision.Removed, revision.Changed, revision.Renamed, revision.Moved, revision.Reached:
	}
	return p.Change.String()
}

func problemPlace(x revision.Problem) string {
	if x.Line == 0 {
		return x.File + ": " + x.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", x.File, x.Line, x.Column, x.Message)
}

func warningText(x revision.Warning) string {
	if x.Step == "" {
		return x.Text
	}
	return "step " + x.Step + ": " + x.Text
}

func diffFace(s revision.Step) *revision.Face {
	if s.After != nil {
		return s.After
	}
	return s.Before
}

func diffSign(s revision.Step) string {
	switch s.Change {
	case revision.Added:
		return "+"
	case revision.Removed:
		return "-"
	case revision.Moved:
		return ">"
	case revision.Same, revision.Uncompared:
		return " "
	case revision.Changed, revision.Renamed, revision.Reached:
	}
	return "~"
}

func diffDoes(f *revision.Face) string {
	switch {
	case f.Group == "playbook":
		return "run the playbook " + f.Operation
	case f.Group != "":
		return f.Group
	}
	does := f.Kind
	if f.Operation != f.Kind {
		does += "." + f.Operation
	}
	if f.Target != "" {
		does += " on " + f.Target
	}
	return does
}

// diffRisk is risk and class, with what they were.
func diffRisk(s revision.Step) []string {
	if diffFace(s).Group != "" {
		return nil
	}
	var out []string
	words := []func(*revision.Face) string{faceRisk, func(f *revision.Face) string {
		if f.Class == engine.ClassUnset || f.Class == engine.ClassRead || f.Approval {
			return ""
		}
		return f.Class.String()
	}}
	for _, word := range words {
		now := word(diffFace(s))
		if s.Before != nil && s.After != nil && s.Before.Group == "" && word(s.Before) != now {
			now = orNone(word(s.Before)) + " → " + orNone(now)
		}
		if now != "" {
			out = append(out, now)
		}
	}
	return out
}

func faceRisk(f *revision.Face) string {
	if f.Approval {
		return "needs approval"
	}
	return f.Risk.String()
}

func orNone(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// diffWhy says what became of a step beside its settings.
func diffWhy(s revision.Step) []string {
	var out []string
	if s.Was != "" {
		out = append(out, "was called "+s.Was)
	}
	if s.Move != nil {
		out = append(out, "stood "+s.Move.From+", stands "+s.Move.To)
	}
	if len(s.Through) > 0 {
		out = append(out, "uses what was changed: "+strings.Join(s.Through, ", "))
	}
	return out
}

// diffImpact is what a step would do, as it was and as it is.
func diffImpact(s revision.Step) []string {
	var out []string
	switch {
	case s.Before != nil && s.After != nil:
		for _, x := range s.Impact {
			out = append(out, fmt.Sprintf("%s: %s → %s", x.Name, orNone(x.Before), orNone(x.After)))
		}
	case diffFace(s).Standing != nil:
		for _, f := range diffFace(s).Figures {
			out = append(out, f.Name+": "+revision.Figure(f))
		}
	}
	return out
}

// settingLines are settings as they were and as they are, like the lines of a patch.
func settingLines(all []revision.Setting) []string {
	var out []string
	for _, s := range all {
		name := s.Name
		if s.Playbook != "" {
			name = s.Playbook + ": " + name
		}
		if !strings.Contains(s.Before+s.After, "\n") {
			out = append(out, patchLine("- ", name, s.Before)...)
			out = append(out, patchLine("+ ", name, s.After)...)
			if s.Before == s.After && s.Before != "" { // what differs is hidden
				out[len(out)-1] += " (another one)"
			}
			continue
		}
		out = append(out, "  "+name+":")
		out = append(out, patch(s.Before, s.After)...)
	}
	return out
}

func patchLine(sign, name, text string) []string {
	if text == "" {
		return nil
	}
	return []string{sign + name + ": " + text}
}

// patch is the difference of two longer texts, with some lines around it.
func patch(before, after string) []string {
	ended := func(s string) []byte {
		if s == "" {
			return nil
		}
		return []byte(s + "\n")
	}
	var out []string
	for line := range strings.Lines(string(diff.Diff("before", ended(before), "after", ended(after)))) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "diff before after"), strings.HasPrefix(line, "--- before"), strings.HasPrefix(line, "+++ after"):
		case strings.HasPrefix(line, "@@"):
			if len(out) > 0 {
				out = append(out, "  …")
			}
		default:
			out = append(out, line[:1]+"   "+line[1:])
		}
	}
	return out
}
