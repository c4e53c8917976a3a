package view

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/objective"
	"github.com/handrail-dev/handrail/engine/preview"
)

// PlanJSON writes a plan as one JSON document.
func PlanJSON(w io.Writer, p *preview.Plan) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(p)
}

// PlanText writes a plan for a terminal. Warnings stand with their step; the last line counts.
func PlanText(w io.Writer, p *preview.Plan) error {
	var b strings.Builder
	b.WriteString("Plan of " + p.Playbook)
	if p.Environment != "" {
		b.WriteString(" in environment " + p.Environment)
	}
	switch {
	case p.Untrusted:
		b.WriteString(", untrusted: judged by its files alone, without secrets and inputs")
	case p.Offline:
		b.WriteString(", offline: no target was asked")
	default:
		b.WriteString(", as the targets were at " + p.Made.Format(time.RFC3339))
	}
	b.WriteString("\n\n")
	section := ""
	for _, s := range p.Steps {
		if s.Section != section {
			section = s.Section
			fmt.Fprintf(&b, "\n%s:\n", section)
		}
		planStep(&b, s)
	}
	for _, c := range p.Contacts {
		b.WriteString(printable(contactSays(c)) + "\n")
	}
	for _, l := range p.Locks {
		text, warning := lockSays(l)
		if warning {
			text = "warning: " + text
		}
		b.WriteString(printable(text) + "\n")
	}
	for _, warning := range p.Warnings {
		b.WriteString("warning: " + printable(warning) + "\n")
	}
	if p.Error != "" {
		b.WriteString("\nThe run would fail: " + indented(p.Error, "  ") + "\n")
	}
	if len(p.LastRuns) > 0 {
		r := p.LastRuns[0]
		fmt.Fprintf(&b, "\nlast run: %s, %s", r.Started.Format("2006-01-02 15:04"), r.State)
		if r.Took > 0 {
			fmt.Fprintf(&b, " after %s", Duration(r.Took))
		}
		b.WriteString("\n")
	}
	if e := p.Expected; e != nil {
		b.WriteString(expectedLines(e, p.RTO))
	}
	if p.Data != nil {
		b.WriteString(dataLine(p.Data))
	}
	b.WriteString("\n" + summaryLine(p) + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// contactSays whether a target of an untrusted plan was reached.
func contactSays(c preview.Contact) string {
	s := "target " + c.Target
	if c.Type != "" {
		s += " (" + c.Type + ")"
	}
	if c.Reached {
		return s + ": reached; nothing that the playbook says was sent there"
	}
	return s + ": " + c.Why
}

// lockSays who has a lock that the run would take; it is a warning unless nobody has.
func lockSays(l preview.Lock) (text string, warning bool) {
	place := "in target " + l.In
	if l.In == preview.ThisHost {
		place = "on this host"
	}
	switch {
	case l.Why != "":
		return fmt.Sprintf("who has the lock %s %s could not be asked: %s", l.Name, place, l.Why), true
	case l.Held != "":
		return "a run would have to wait: " + l.Held, true
	}
	return fmt.Sprintf("lock %s: free %s", l.Name, place), false
}

// expectedLines hold the times of the runs before against the RTO.
func expectedLines(e *objective.Ahead, rto time.Duration) string {
	s := fmt.Sprintf("expected: %s by half of the runs before (%d), up to %s by 95 %%", Duration(e.P50), e.Runs, Duration(e.P95))
	if e.Unknown > 0 {
		s += fmt.Sprintf("; of %d steps no time is known", e.Unknown)
	}
	switch {
	case rto == 0:
	case e.Late50 != "":
		s += fmt.Sprintf("\nwarning: the RTO of %s will be missed, in step %s", Duration(rto), e.Late50)
	case e.Late95 != "":
		s += fmt.Sprintf("\nwarning: the RTO of %s may be missed, in step %s", Duration(rto), e.Late95)
	default:
		s += ", within the RTO of " + Duration(rto)
	}
	return s + "\n"
}

// dataLine holds the age of data against the RPO.
func dataLine(a *preview.Age) string {
	name := "RPO " + Duration(a.RPO) + ": "
	what := "the data that would be brought back"
	if a.Saved {
		what = "what was saved last"
	}
	switch {
	case a.Of.IsZero() && a.KnownAfter != "":
		return name + "how old " + what + " is, is known after step " + printable(a.KnownAfter) + "\n"
	case a.Of.IsZero() && a.Saved:
		return "warning: " + name + "no run is known that ended well, so nothing is known to be saved\n"
	case a.Of.IsZero():
		return name + "how old " + what + " is, cannot be told (the output " + objective.DataOutput + " says it, if there is one)\n"
	}
	text := fmt.Sprintf("%s%s is of %s, %s old", name, what, a.Of.UTC().Format("2006-01-02 15:04:05 UTC"), Duration(a.Age))
	if a.Verdict == objective.Missed {
		return "warning: " + text + ", which is older than was promised\n"
	}
	return text + ", as was promised\n"
}

func planStep(b *strings.Builder, s preview.Step) {
	indent := strings.Repeat("  ", s.Depth+1)
	name := oneLine(s.Path)
	if s.Title != "" {
		name += "  " + oneLine(s.Title)
	}
	words := []string{s.Standing.String()}
	if s.Maybe {
		words[0] = "may be run"
	}
	if s.Group != "" {
		words = append(words, s.Group)
	} else {
		words = append(words, s.Risk.String())
		if s.Class != engine.ClassUnset && s.Class != engine.ClassRead {
			words = append(words, s.Class.String())
		}
	}
	fmt.Fprintf(b, "%s%s  [%s]\n", indent, name, strings.Join(words, ", "))
	inner := indent + "    "
	for _, warning := range s.Warnings {
		fmt.Fprintf(b, "%swarning: %s\n", inner, indented(warning, inner))
	}
	if s.Would != "" && s.Standing != engine.StandingSkip {
		fmt.Fprintf(b, "%s%s\n", inner, indented(s.Would, inner))
	}
	if s.Why != "" {
		fmt.Fprintf(b, "%s%s\n", inner, indented(s.Why, inner))
	}
	for _, f := range s.Figures {
		b.WriteString(inner + figure(f) + "\n")
	}
	if f := s.Time; f != nil && (f.P95 >= time.Second || s.Class == engine.ClassPerson) {
		fmt.Fprintf(b, "%stime: %s in half of the runs before (%d), up to %s in 95 %%\n", inner, Duration(f.P50), f.Runs, Duration(f.P95))
	}
	for _, f := range s.Facts {
		fmt.Fprintf(b, "%snow: %s: %s\n", inner, oneLine(f.Name), indented(f.Value, inner))
	}
	for _, h := range s.How {
		fmt.Fprintf(b, "%s%s: %s\n", inner, printable(h.Name), indented(h.Value, inner))
	}
	for _, d := range s.Details {
		fmt.Fprintf(b, "%s| %s\n", inner, indented(d, inner+"| "))
	}
}

// indented keeps a text of several lines in its column. What a target says cannot move the cursor.
func indented(s, prefix string) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	return strings.Join(lines, "\n"+prefix)
}

func figure(f engine.Figure) string {
	s := fmt.Sprintf("%s: %d (%s)", f.Name, f.Value, f.Label())
	if f.Certainty == engine.FigureUnknown {
		s = f.Name + ": unknown"
	}
	if f.Now {
		s = "now: " + s
	}
	if f.Why != "" {
		s += ": " + f.Why
	}
	return s
}

func summaryLine(p *preview.Plan) string {
	s := p.Summary
	parts := []string{}
	for _, c := range []struct {
		n    int
		word string
	}{
		{s.Reads, "read"}, {s.Changes, "change"}, {s.Destroys, "destroy"}, {s.Irreversible, "cannot be taken back"},
		{s.Approvals, "ask for approval"}, {s.Already, "done already"}, {s.Skipped, "left out"}, {s.Unknown, "unknown"},
	} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.word))
		}
	}
	steps := "steps"
	if s.Steps == 1 {
		steps = "step"
	}
	return fmt.Sprintf("%d %s: %s. Nothing was changed.", s.Steps, steps, strings.Join(parts, ", "))
}
