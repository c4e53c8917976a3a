package view

import (
	"fmt"
	"io"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/revision"
)

// DiffMarkdown writes what two revisions differ in for a pull request, in at most so many bytes. What is too long is folded
// first, then shortened, then counted; the counts, the warnings and what destroys stay longest.
func DiffMarkdown(w io.Writer, d *revision.Diff, most int) error {
	text := fitting(most, func(r room) string { return diffMarkdown(d, r) })
	_, err := io.WriteString(w, text)
	return err
}

func diffMarkdown(d *revision.Diff, r room) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### Changes of playbooks since %s\n\n", code(shortened(revisionName(d.Before), 100)))
	fmt.Fprintf(&b, "**%s**, %s\n", diffCounts(d), prose(shortened(diffMoment(d), 100)))
	diffWarnings(&b, d, r)
	rows, left := r.rows, leftOut{}
	for _, p := range d.Playbooks {
		if b.Len() > r.most {
			return b.String()
		}
		if rows == 0 {
			left.playbooks++
			left.steps += len(p.Steps)
			continue
		}
		rows = diffPlaybook(&b, p, r, rows, &left)
	}
	b.WriteString(left.String())
	b.WriteString("\nNothing was run.\n")
	return b.String()
}

// leftOut counts what there was no room for.
type leftOut struct{ playbooks, steps, reads, details int }

func (l leftOut) String() string {
	var parts []string
	for _, c := range []counting{{l.playbooks, "playbook"}, {l.steps, "step"}, {l.reads, "step for reading only"}, {l.details, "line of details"}} {
		first, rest, _ := strings.Cut(c.word, " ")
		if c.n > 0 {
			parts = append(parts, strings.TrimSpace(plural(c.n, first)+" "+rest))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "\nThere was no room here for " + strings.Join(parts, ", ") + "; see them with `handrail diff`.\n"
}

func diffWarnings(b *strings.Builder, d *revision.Diff, r room) {
	var lines []string
	count := 0
	add := func(where []string, text string) {
		if count++; count > r.warn {
			return
		}
		line := "- "
		for _, w := range where {
			if w != "" {
				line += code(shortened(w, r.text)) + " "
			}
		}
		lines = append(lines, strings.TrimSuffix(line, " ")+map[bool]string{true: ": ", false: " "}[len(where) > 0]+prose(shortened(text, r.text))+"\n")
	}
	for _, p := range d.Playbooks {
		for _, x := range p.Problems {
			add([]string{p.Name}, "cannot be read "+x.Side+": "+problemPlace(x))
		}
	}
	for _, p := range d.Playbooks {
		for _, x := range p.Warnings {
			add([]string{p.Name, x.Step}, x.Text)
		}
	}
	for _, warning := range d.Warnings {
		add(nil, warning)
	}
	if count == 0 {
		return
	}
	fmt.Fprintf(b, "\n#### %s\n\n%s", plural(count, "warning"), strings.Join(lines, ""))
	if count > r.warn {
		fmt.Fprintf(b, "- … and %d more\n", count-r.warn)
	}
}

// diffPlaybook writes one playbook in at most so many rows, and gives how many are left.
func diffPlaybook(b *strings.Builder, p revision.Playbook, r room, rows int, left *leftOut) int {
	fmt.Fprintf(b, "\n#### %s: %s\n", code(shortened(p.Name, r.text)), playbookChange(p))
	rows-- // a heading takes room as well
	var table strings.Builder
	for _, s := range p.Steps {
		switch {
		case table.Len() > r.most: // it does not fit, whatever follows
			b.WriteString(table.String())
			return 0
		case !r.reads && onlyReads(s):
			left.reads++
		case rows <= 0:
			left.steps++
		default:
			rows--
			diffRow(&table, s, r)
		}
	}
	if table.Len() > 0 {
		b.WriteString("\n| | step | does | risk | impact |\n|---|---|---|---|---|\n" + table.String())
	}
	if p.Unchanged > 0 {
		fmt.Fprintf(b, "\n%s the same.\n", isOrAre(p.Unchanged, "step"))
	}
	diffDetails(b, p, r, left)
	return max(rows, 0)
}

// onlyReads: nobody has to look at it for what it does, and it proves and asks nothing.
func onlyReads(s revision.Step) bool {
	for _, f := range []*revision.Face{s.Before, s.After} {
		if f != nil && (f.Risk > engine.RiskReads || f.Approval || f.Kind == "verify") {
			return false
		}
	}
	return true
}

func diffRow(b *strings.Builder, s revision.Step, r room) {
	f := diffFace(s)
	name := strings.Repeat("&emsp;", min(f.Depth, 6)) + code(shortened(s.Path, r.text))
	if f.Title != "" {
		name += "<br>" + prose(shortened(f.Title, r.text))
	}
	does := prose(shortened(diffDoes(f), r.text))
	for _, line := range diffWhy(s) {
		does += "<br>" + prose(shortened(line, r.text))
	}
	if s.Before != nil && s.After != nil && len(s.Settings) > 0 {
		names := make([]string, len(s.Settings))
		for i, x := range s.Settings {
			names[i] = x.Name
		}
		does += "<br>says otherwise: " + prose(shortened(strings.Join(names, ", "), r.text))
	}
	risk := strings.Join(diffRisk(s), ", ")
	if f.Risk >= engine.RiskDestroys && f.Group == "" {
		risk = "**" + risk + "**"
	}
	var impact []string
	for _, line := range diffImpact(s) {
		if len(impact) == 12 {
			impact = append(impact, "…")
			break
		}
		impact = append(impact, prose(shortened(line, r.text)))
	}
	fmt.Fprintf(b, "| %s %s | %s | %s | %s | %s |\n", signs[diffSign(s)], s.Change, name, does, risk, strings.Join(impact, "<br>"))
}

// signs are those that Markdown takes for nothing else. It is never changed.
var signs = map[string]string{"+": "➕", "-": "➖", "~": "✏️", ">": "↕️", " ": "❔"}

// diffDetails folds what is said otherwise: what stands beside the steps, then step by step.
func diffDetails(b *strings.Builder, p revision.Playbook, r room, left *leftOut) {
	var text strings.Builder
	add := func(head string, lines []string) {
		if len(lines) == 0 {
			return
		}
		text.WriteString(head + "\n")
		room := r.details
		for i, line := range lines {
			if room -= len(line) + 3; room < 0 && i > 0 {
				fmt.Fprintf(&text, "  … and %d more lines\n", len(lines)-i)
				left.details += len(lines) - i
				return
			}
			text.WriteString("  " + shortened(line, max(r.details, 1)) + "\n")
		}
	}
	if r.details == 0 {
		left.details += len(settingLines(p.Settings))
		for _, s := range p.Steps {
			left.details += len(stepLines(s))
		}
		return
	}
	add("playbook "+p.Name, settingLines(p.Settings))
	for _, s := range p.Steps {
		add("step "+s.Path, stepLines(s))
	}
	if text.Len() > 0 {
		fmt.Fprintf(b, "\n<details><summary>What it says, and said before</summary>\n\n%s\n</details>\n", fenced(text.String()))
	}
}
