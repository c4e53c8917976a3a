package view

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// Progress is told what happens in a run. One goroutine calls it at a time.
type Progress interface {
	// Event was recorded.
	Event(engine.Stamped)
	// Begun is a command that has started.
	Begun(c engine.Command, at time.Time)
	// Done says how far a step has come; total is 0 when it is not known.
	Done(step string, done, total int64, unit string)
	// Warn says something about the run as a whole.
	Warn(text string)
	// Expect says when the run will be done by half of the runs before, and by nineteen of twenty.
	Expect(half, most time.Time)
	// Hold gives the screen to somebody else until Release: a question is asked.
	Hold()
	Release()
	// Close ends the showing.
	Close()
}

// JSON writes every event as one line.
type JSON struct {
	W io.Writer
	// Err is the first failure to write. The run goes on all the same.
	Err error
}

// Event writes it.
func (j *JSON) Event(s engine.Stamped) {
	b, err := engine.MarshalEvent(s)
	if err == nil {
		_, err = j.W.Write(append(b, '\n'))
	}
	if err != nil && j.Err == nil {
		j.Err = err
	}
}

// Begun, Done, Warn, Expect, Hold, Release and Close have nothing to show: only events are written.
func (*JSON) Begun(engine.Command, time.Time)   {}
func (*JSON) Done(string, int64, int64, string) {}
func (*JSON) Warn(string)                       {}
func (*JSON) Expect(time.Time, time.Time)       {}
func (*JSON) Hold()                             {}
func (*JSON) Release()                          {}
func (*JSON) Close()                            {}

// Plain writes a line for each thing that a person would want to know of, and no line twice.
type Plain struct {
	w     io.Writer
	style Style
	begun map[string]time.Time
	width int // of the column of steps
}

// NewPlain writes to w. steps are the ids that will appear, for the width of a column.
func NewPlain(w io.Writer, style Style, pb *engine.Playbook) *Plain {
	p := &Plain{w: w, style: style, begun: map[string]time.Time{}}
	if pb != nil {
		pb.EachPath(func(path string, _ *engine.Step) { p.width = max(p.width, min(len(path), 24)) })
	}
	return p
}

// say writes one line. A screen that is gone does not stop a run.
func (p *Plain) say(line string) { _, _ = io.WriteString(p.w, line+"\n") }

// Begun shows what has an effect when it starts, because it may take long.
func (p *Plain) Begun(c engine.Command, at time.Time) {
	switch c := c.(type) {
	case engine.Execute:
		p.begun[c.Step] = at
		if c.Class.Writes() {
			p.say(p.line("", c.Step, describe(c.Call)))
		}
	case engine.Settle:
		p.say(p.line("asking", c.Step, "what became of the attempt that was cut off"))
	case engine.CheckMemory:
		p.say("asking the targets whether they remember " + plural(len(c.Calls), "finished step"))
	}
}

// Done shows nothing: plain lines are for files.
func (p *Plain) Done(string, int64, int64, string) {}

// Warn writes it as a line.
func (p *Plain) Warn(text string) { p.say(p.warning(text)) }

func (p *Plain) warning(text string) string {
	return p.style.mark(yellow, "warning:") + " " + oneLine(text)
}

// Expect shows nothing: what is late is a warning.
func (p *Plain) Expect(time.Time, time.Time) {}

// Hold and Release are of no matter to lines.
func (p *Plain) Hold()    {}
func (p *Plain) Release() {}

// Close has nothing to end.
func (p *Plain) Close() {}

// Event shows what it says.
func (p *Plain) Event(s engine.Stamped) {
	for _, line := range p.lines(s) {
		p.say(line)
	}
}

func (p *Plain) line(word, step, text string) string {
	padded := fmt.Sprintf("%-9s", word)
	return strings.TrimRight(fmt.Sprintf("%s %-*s  %s", p.style.word(padded, word), p.width, printable(step), oneLine(text)), " ")
}

// word colours the first column.
func (s Style) word(padded, word string) string {
	switch word {
	case "ok", "already", "resolved", "approved":
		return s.mark(green, padded)
	case "degraded", "in doubt", "approval", "again":
		return s.mark(yellow, padded)
	case "failed", "declined":
		return s.mark(red, padded)
	case "skipped":
		return s.mark(dim, padded)
	}
	return padded
}

// lines are what an event says to a person.
func (p *Plain) lines(s engine.Stamped) []string {
	if step := engine.EventStep(s.Event); step != "" {
		return p.stepLines(step, s)
	}
	switch e := s.Event.(type) {
	case engine.RunStarted:
		line := "run " + p.style.mark(bold, e.Run) + " of " + e.Playbook
		if e.Environment != "" {
			line += " on " + e.Environment
		}
		return []string{line + ", by " + e.By.String()}
	case engine.RunResumed:
		return []string{fmt.Sprintf("resumed by %s", e.By)}
	case engine.CancelAsked:
		if e.Undo {
			return []string{fmt.Sprintf("%s wants the run cancelled and undone", e.By)}
		}
		return []string{fmt.Sprintf("%s wants the run cancelled", e.By)}
	case engine.PhaseEntered:
		switch e.Phase {
		case engine.PhaseUndo:
			switch len(e.Steps) {
			case 0:
				return []string{"there is nothing to undo"}
			case 1:
				return []string{"undoing 1 step"}
			}
			return []string{fmt.Sprintf("undoing %d steps", len(e.Steps))}
		case engine.PhaseAlways:
			return []string{"always:"}
		case engine.PhaseSteps:
		}
	case engine.PlaybookAdopted:
		return []string{fmt.Sprintf("%s has corrected the playbook; approvals are void", e.By)}
	case engine.Repaired:
		return []string{fmt.Sprintf("the journal ended in a torn line, which no crash can have acknowledged: %d bytes are kept in %s", e.Bytes, e.Kept)}
	case engine.MemoryChecked:
		if len(e.Lost) > 0 {
			return []string{p.line("in doubt", strings.Join(e.Lost, ", "), strings.Join(e.Evidence, "; "))}
		}
	}
	return nil
}

func (p *Plain) stepLines(step string, s engine.Stamped) []string {
	one := func(word, text string) []string { return []string{p.line(word, step, text)} }
	switch e := s.Event.(type) {
	case engine.StepSkipped:
		return one("skipped", e.Why)
	case engine.PlaybookBegun:
		return one("", "playbook "+e.Playbook+given(e.Inputs))
	case engine.ItemsListed:
		return one("", fmt.Sprintf("for each of %d items", len(e.Keys)))
	case engine.DoneIfAsked:
		switch e.Asked {
		case engine.Yes:
			return one("already", e.Message)
		case engine.CouldNotAsk:
			return one(engine.Failed.String(), "done_if could not be asked: "+e.Message)
		case engine.No:
		}
	case engine.Prepared:
		if e.Error != "" { // the attempt ends here: no StepFinished follows
			return one(engine.Failed.String(), e.Error+effectNote(engine.EffectNone))
		}
		if e.Why != "" {
			return one("", e.Why)
		}
	case engine.StepFinished:
		return p.finished(e, s.At)
	case engine.RetryScheduled:
		return one("again", fmt.Sprintf("in %s, after: %s", Duration(e.Pause), e.Error))
	case engine.Settled:
		return one("", strings.TrimSuffix(fmt.Sprintf("the attempt that was cut off is %s; %s", e.Verdict, strings.Join(e.Evidence, "; ")), "; "))
	case engine.StepResolved:
		return one("resolved", fmt.Sprintf("%s, says %s: %s", e.As, e.By, e.Because))
	case engine.ApprovalAsked:
		text := e.Message
		if !e.Expires.IsZero() {
			text += " (until " + e.Expires.Format("15:04:05") + ")"
		}
		return one("approval", text)
	case engine.ApprovalGiven:
		return one("approved", "by "+e.By.String())
	case engine.ApprovalRefused:
		if e.Expired {
			return one("declined", "nobody answered in time")
		}
		return one("declined", strings.TrimSuffix(fmt.Sprintf("by %s: %s", e.By, e.Because), ": "))
	case engine.AskedAgain:
		return one(e.State.String(), strings.TrimSpace("asked again "+e.Message+" "+e.Error))
	}
	return nil
}

// given are the inputs of a nested playbook.
func given(inputs engine.Typed) string {
	if r, ok := inputs.V.(engine.Record); ok && len(r) > 0 {
		return " with " + strings.Trim(engine.Text(r), "{}")
	}
	return ""
}

func (p *Plain) finished(e engine.StepFinished, at time.Time) []string {
	text := e.Message
	switch {
	case e.Error == "":
	case strings.HasPrefix(e.Error, text): // the error says it all
		text = e.Error
	default:
		text += ": " + e.Error
	}
	if began, ok := p.begun[e.Step]; ok {
		delete(p.begun, e.Step)
		text = strings.TrimSuffix(Duration(at.Sub(began))+"  "+text, "  ")
	}
	if e.State == engine.Failed {
		text += effectNote(e.Effect)
	}
	lines := []string{p.line(e.State.String(), e.Step, text)}
	for _, x := range e.Evidence {
		lines = append(lines, indent("            ", printable(x)))
	}
	if e.Tail != "" && e.State != engine.OK {
		lines = append(lines, indent("          | ", printable(e.Tail)))
	}
	return lines
}

func effectNote(e engine.Effect) string {
	switch e {
	case engine.EffectNone:
		return " (nothing was changed)"
	case engine.EffectStands:
		return " (its effect stands)"
	case engine.EffectUnknown:
		return " (some of its effect may have happened)"
	}
	return ""
}

func describe(c engine.Call) string {
	s := c.Kind + "." + c.Operation
	if c.Target != "" {
		s += " on " + c.Target
	}
	if c.Title != "" {
		s = c.Title + " (" + s + ")"
	}
	return s
}
