package view

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/preview"
)

// CommentLimit is what GitHub takes of a comment. It counts characters, this counts bytes, of which there are never fewer.
const CommentLimit = 65536

// PlanMarkdown writes a plan for a pull request, in at most so many bytes. What is too long is folded first, then
// shortened, then counted; the summary, the warnings and what destroys stay longest.
func PlanMarkdown(w io.Writer, p *preview.Plan, most int) error {
	text := fitting(most, func(r room) string { return planMarkdown(p, r) })
	_, err := io.WriteString(w, text)
	return err
}

// room says how much of a plan is written.
type room struct {
	text    int // the most bytes of a single text
	details int // the most bytes of the details of a step; 0: none
	reads   bool
	rows    int // the most rows
	warn    int // the most warnings
	most    int // the most bytes of the whole
}

// fitting gives the fullest form that fits.
func fitting(most int, form func(room) string) string {
	text := ""
	for _, r := range []room{
		{400, 8000, true, 2000, 200, 0}, {400, 2000, true, 2000, 200, 0}, {300, 600, true, 1000, 100, 0}, {200, 0, true, 400, 50, 0},
		{160, 0, false, 200, 40, 0}, {120, 0, false, 60, 20, 0}, {80, 0, false, 20, 10, 0}, {60, 0, false, 5, 3, 0},
	} {
		r.most = most
		if text = form(r); len(text) <= most {
			return text
		}
	}
	return form(room{40, 0, false, 0, 0, most})
}

func planMarkdown(p *preview.Plan, r room) string {
	var b strings.Builder
	b.WriteString("### Plan of " + code(p.Playbook))
	if p.Environment != "" {
		b.WriteString(" in environment " + code(p.Environment))
	}
	fmt.Fprintf(&b, "\n\n**%s**%s\n", planCounts(p), planMoment(p))
	if p.Error != "" {
		b.WriteString("\n**The run would fail:** " + prose(shortened(p.Error, r.text)) + "\n")
	}
	planWarnings(&b, p, r)
	b.WriteString(planTable(p, r))
	if r.details > 0 {
		planDetails(&b, p, r)
	}
	planContacts(&b, p, r)
	planLocks(&b, p, r)
	if len(p.LastRuns) > 0 {
		l := p.LastRuns[0]
		fmt.Fprintf(&b, "\nLast run: %s, %s", l.Started.UTC().Format("2006-01-02 15:04 UTC"), l.State)
		if l.Took > 0 {
			fmt.Fprintf(&b, " after %s", Duration(l.Took))
		}
		b.WriteString(".\n")
	}
	if p.Expected != nil {
		for line := range strings.Lines(expectedLines(p.Expected, p.RTO)) {
			b.WriteString("\n" + prose(shortened(strings.TrimSpace(line), r.text)) + "\n")
		}
	}
	if p.Data != nil {
		b.WriteString("\n" + prose(shortened(strings.TrimSpace(dataLine(p.Data)), r.text)) + "\n")
	}
	b.WriteString("\nNothing was changed.\n")
	return b.String()
}

// planCounts is the line that a reviewer reads first: 7 steps: 4 read / 2 change / 1 destroys / 1 needs approval.
func planCounts(p *preview.Plan) string {
	s := p.Summary
	parts := []string{fmt.Sprintf("%d read", s.Reads), fmt.Sprintf("%d change", s.Changes), fmt.Sprintf("%d destroy", s.Destroys)}
	for _, c := range []struct {
		n    int
		word string
	}{
		{s.Irreversible, "cannot be taken back"}, {s.Approvals, "need approval"}, {s.Already, "done already"},
		{s.Skipped, "left out"}, {s.Unknown, "could not be judged"},
	} {
		if c.n > 0 || c.word == "need approval" {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.word))
		}
	}
	return plural(s.Steps, "step") + ": " + strings.Join(parts, " / ")
}

func planMoment(p *preview.Plan) string {
	if p.Untrusted {
		return ", untrusted: judged by its files alone, without secrets and inputs. Nothing of it was sent anywhere"
	}
	if p.Offline {
		return ", judged by the file alone: no target was asked"
	}
	return ", as the targets were at " + p.Made.UTC().Format(time.RFC3339)
}

func planWarnings(b *strings.Builder, p *preview.Plan, r room) {
	var lines []string
	count := 0
	add := func(step, text string) {
		if count++; count > r.warn {
			return
		}
		if step != "" {
			step = code(shortened(step, r.text)) + ": "
		}
		lines = append(lines, "- "+step+prose(shortened(text, r.text))+"\n")
	}
	for _, s := range p.Steps {
		if s.Standing == engine.StandingUnknown {
			add(s.Path, "could not be judged: "+s.Why)
		}
		for _, warning := range s.Warnings {
			add(s.Path, warning)
		}
	}
	for _, l := range p.Locks {
		if text, warning := lockSays(l); warning {
			add("", text)
		}
	}
	for _, warning := range p.Warnings {
		add("", warning)
	}
	if count == 0 {
		return
	}
	fmt.Fprintf(b, "\n#### %s\n\n%s", plural(count, "warning"), strings.Join(lines, ""))
	if count > r.warn {
		fmt.Fprintf(b, "- … and %d more\n", count-r.warn)
	}
}

// planContacts are the targets of an untrusted plan.
func planContacts(b *strings.Builder, p *preview.Plan, r room) {
	for i, c := range p.Contacts {
		if i == r.warn {
			fmt.Fprintf(b, "- … and %s more\n", plural(len(p.Contacts)-i, "target"))
			return
		}
		if i == 0 {
			b.WriteString("\n")
		}
		b.WriteString("- " + prose(shortened(contactSays(c), r.text)) + "\n")
	}
}

// planLocks are those that nobody has; of the others it was warned.
func planLocks(b *strings.Builder, p *preview.Plan, r room) {
	var free []string
	for _, l := range p.Locks {
		if text, warning := lockSays(l); !warning {
			free = append(free, text)
		}
	}
	if len(free) > 0 && r.details > 0 {
		b.WriteString("\n" + prose(shortened(strings.Join(free, ", "), r.text)) + "\n")
	}
}

// planTable is a row for each step. Steps that only read are left out first where there is no room.
func planTable(p *preview.Plan, r room) string {
	var b strings.Builder
	rows, reads, more := 0, 0, 0
	for _, s := range p.Steps {
		switch {
		case b.Len() > r.most: // it does not fit, whatever follows
			return b.String()
		case !r.reads && s.Risk == engine.RiskReads && s.Standing == engine.StandingWould && s.Group == "":
			reads++
			continue
		case !r.reads && s.Group != "":
			continue
		case rows == r.rows:
			more++
			continue
		}
		rows++
		planRow(&b, s, r)
	}
	if rows == 0 && reads+more == 0 {
		return ""
	}
	head := ""
	if rows > 0 {
		head = "\n| step | would | risk | impact |\n|---|---|---|---|\n"
	}
	if reads > 0 {
		fmt.Fprintf(&b, "\n… and %s that only read\n", plural(reads, "step"))
	}
	if more > 0 {
		fmt.Fprintf(&b, "\n… and %s for which there is no room here; see them with `handrail plan`\n", plural(more, "step"))
	}
	return head + b.String()
}

func planRow(b *strings.Builder, s preview.Step, r room) {
	name := strings.Repeat("&emsp;", min(s.Depth, 6)) + code(shortened(s.Path, r.text))
	if s.Section != "" {
		name += " (" + s.Section + ")"
	}
	if s.Title != "" {
		name += "<br>" + prose(shortened(s.Title, r.text))
	}
	fmt.Fprintf(b, "| %s | %s | %s | %s |\n", name, planWould(s, r), planRisk(s), planImpact(s, r))
}

func planWould(s preview.Step, r room) string {
	text := s.Would
	switch s.Standing {
	case engine.StandingSkip:
		return "left out: " + prose(shortened(s.Why, r.text))
	case engine.StandingUnknown:
		return "**could not be judged**: " + prose(shortened(s.Why, r.text))
	case engine.StandingAlready:
		return "nothing: " + prose(shortened(text, r.text))
	case engine.StandingWould:
	}
	out := prose(shortened(text, r.text))
	if s.Maybe {
		out = "perhaps: " + out
	}
	if s.Why != "" {
		out = strings.TrimPrefix(out+"<br>", "<br>") + prose(shortened(s.Why, r.text))
	}
	return out
}

func planRisk(s preview.Step) string {
	switch {
	case s.Group != "":
		return s.Group
	case s.Class == engine.ClassPerson:
		return "needs approval"
	case s.Risk >= engine.RiskDestroys:
		return "**" + s.Risk.String() + "**, " + s.Class.String()
	case s.Risk == engine.RiskReads:
		return s.Risk.String()
	}
	return s.Risk.String() + ", " + s.Class.String()
}

func planImpact(s preview.Step, r room) string {
	var parts []string
	for _, f := range s.Figures {
		if f.Now { // it stands in the fold
			continue
		}
		name := prose(shortened(f.Name, r.text))
		if f.Certainty == engine.FigureUnknown {
			parts = append(parts, name+": unknown")
			continue
		}
		parts = append(parts, fmt.Sprintf("%s: %d (%s)", name, f.Value, f.Label()))
		if len(parts) == 12 {
			parts = append(parts, "…")
			break
		}
	}
	return strings.Join(parts, "<br>")
}

// planDetails folds what the live system says and what would be sent, for each step by itself.
func planDetails(b *strings.Builder, p *preview.Plan, r room) {
	for _, s := range p.Steps {
		if b.Len() > r.most {
			return
		}
		var text strings.Builder
		for _, f := range s.Figures {
			if f.Why != "" || f.Now {
				text.WriteString(figure(f) + "\n")
			}
		}
		for _, f := range s.Facts {
			fmt.Fprintf(&text, "now: %s: %s\n", f.Name, indented(f.Value, "     "))
		}
		for _, h := range s.How {
			fmt.Fprintf(&text, "%s: %s\n", printable(h.Name), indented(h.Value, "     "))
		}
		for _, d := range s.Details {
			text.WriteString("| " + indented(d, "| ") + "\n")
		}
		if text.Len() > 0 {
			fmt.Fprintf(b, "\n<details><summary>%s</summary>\n\n%s\n</details>\n", code(shortened(s.Path, r.text)), fenced(shortened(text.String(), r.details)))
		}
	}
}
