package view

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/objective"
)

// Shown is what show needs to know beside the run itself.
type Shown struct {
	Run *engine.Run
	// State is what the run is, its process considered: one that was killed is interrupted.
	State  engine.RunState
	Reason string
	// Owner has the run in hand; zero: nobody has.
	Owner engine.Person
	Now   time.Time
	// All shows every step; otherwise items of loops that went well are only counted.
	All bool
	// Folder is where the run's files are.
	Folder string
}

// Show writes where a run stands.
func Show(w io.Writer, style Style, s Shown) error {
	var b strings.Builder
	v := s.Run.View()
	fmt.Fprintf(&b, "run %s of %s: %s\n", style.mark(bold, v.ID), v.Playbook, style.runState(s.State))
	if s.Reason != "" && (s.State != engine.Waiting || waits(s.Run)) {
		fmt.Fprintf(&b, "  %s\n", printable(s.Reason))
	}
	fmt.Fprintf(&b, "  started %s by %s", v.Started.Format("2006-01-02 15:04:05 MST"), v.By)
	switch {
	case !v.Finished.IsZero() && s.State.Final():
		fmt.Fprintf(&b, ", took %s", Duration(v.Finished.Sub(v.Started)))
	case s.State == engine.Running:
		fmt.Fprintf(&b, ", %s ago, in the hands of process %d of %s", Duration(s.Now.Sub(v.Started)), s.Owner.PID, s.Owner)
	}
	b.WriteString("\n")
	writeKept(&b, style, s)
	if len(v.Inputs) > 0 {
		fmt.Fprintf(&b, "  inputs: %s\n", oneLine(strings.Trim(engine.Text(v.Inputs), "{}")))
	}
	b.WriteString("\n")
	writeSteps(&b, style, s)
	if len(v.Outputs) > 0 {
		b.WriteString("\n")
		WriteOutputs(&b, v.Outputs)
	}
	for _, d := range Doubts(s.Run) {
		writeDoubt(&b, style, s.Run.ID(), d)
	}
	writeNext(&b, style, s)
	_, err := io.WriteString(w, b.String())
	return err
}

func writeSteps(b *strings.Builder, style Style, s Shown) {
	width, hidden := 8, 0
	views := []engine.StepView{}
	s.Run.EachStep(func(v engine.StepView) {
		if !s.All && strings.HasSuffix(v.Path, "]") && !v.Group && v.State != engine.Failed && v.State != engine.InDoubt &&
			v.State != engine.Intended && v.State != engine.Degraded && !v.Waiting {
			hidden++
			return
		}
		views = append(views, v)
		width = max(width, min(2*v.Depth+len(v.Path), 40))
	})
	for _, v := range views {
		name := strings.Repeat("  ", v.Depth) + printable(v.Path)
		word := fmt.Sprintf("%-9s", v.State)
		line := fmt.Sprintf("  %s %-*s  %-24s  %s", style.state(v.State, word), width, name, whatOf(v), oneLine(remark(v)))
		b.WriteString(strings.TrimRight(line, " ") + "\n")
		if v.Tail != "" && v.State == engine.Failed {
			b.WriteString(indent("            | ", printable(v.Tail)) + "\n")
		}
	}
	if hidden > 0 {
		fmt.Fprintf(b, "  (%d items of loops that need no attention are left out; --all shows them)\n", hidden)
	}
}

// whatOf says what a step does; of a block or parallel there is nothing to say.
func whatOf(v engine.StepView) string {
	switch {
	case v.Playbook != "":
		return "playbook " + v.Playbook
	case v.Kind == "":
		return ""
	case v.Target != "":
		return v.Kind + "." + v.Operation + " on " + v.Target
	}
	return v.Kind + "." + v.Operation
}

// remark is what there is to say of a step beside its state.
func remark(v engine.StepView) string {
	switch {
	case v.Resolved != nil:
		return fmt.Sprintf("%s, says %s: %s", v.Resolved.As, v.Resolved.By, v.Resolved.Because)
	case v.Error != "" && v.State == engine.Failed:
		return v.Error + effectNote(v.Effect)
	case v.Error != "":
		return v.Error
	case v.Ask != "" && v.Waiting:
		return "waits for approval: " + v.Ask
	case v.Message != "":
		return v.Message
	}
	return v.Title
}

// WriteOutputs writes the outputs of a run, one a line.
func WriteOutputs(w io.Writer, outputs engine.Record) {
	for _, k := range engine.Keys(outputs) {
		_, _ = fmt.Fprintf(w, "%s: %s\n", k, printable(engine.Text(outputs[k])))
	}
}

// Doubts are the steps of which it is not known whether their effect happened.
func Doubts(r *engine.Run) []engine.StepView {
	var out []engine.StepView
	r.EachStep(func(v engine.StepView) {
		if v.State == engine.InDoubt {
			out = append(out, v)
		}
	})
	return out
}

// writeDoubt says what a person must know to decide about a step in doubt, and what to type.
func writeDoubt(b *strings.Builder, style Style, run string, v engine.StepView) {
	fmt.Fprintf(b, "\n%s: it cannot be known whether the effect of step %s happened.\n", style.mark(yellow, "In doubt"), style.mark(bold, v.Path))
	fmt.Fprintf(b, "  what        %s (%s)\n", whatOf(v), v.Class)
	if v.Title != "" {
		fmt.Fprintf(b, "              %s\n", v.Title)
	}
	if v.Statements != "" {
		fmt.Fprintf(b, "  sent        %s\n", strings.TrimSpace(indent("              ", printable(v.Statements))))
	}
	if !v.Intended.IsZero() {
		fmt.Fprintf(b, "  when        intended at %s, attempt %d\n", v.Intended.Format("2006-01-02 15:04:05.000 MST"), v.Attempt)
	}
	if v.Token != "" {
		fmt.Fprintf(b, "  token       %s\n", v.Token)
	}
	if v.Note != nil {
		fmt.Fprintf(b, "  noted       %s\n", oneLine(engine.Text(v.Note)))
	}
	for i, e := range v.Evidence {
		label := "  evidence    "
		if i > 0 {
			label = "              "
		}
		b.WriteString(label + strings.TrimSpace(indent("              ", printable(e))) + "\n")
	}
	if v.Tail != "" {
		b.WriteString("  it wrote\n" + indent("              | ", printable(v.Tail)) + "\n")
	}
	b.WriteString("  Look at the target, then say what is true:\n")
	done := "it happened: the next resume goes on behind the step; nothing of it is run"
	if len(v.DoneIf) > 0 {
		done = "it happened: the next resume asks the step's done_if all the same, and goes on if it agrees"
	}
	path := Quote(v.Path)
	fmt.Fprintf(b, "    handrail resolve %s %s done     --because \"…\"   %s\n", run, path, done)
	skip := "it does not matter: the next resume leaves the step out; its result is missing"
	if v.Lost {
		skip = "it is not there any more: this run goes on without it; to have it done again, run the playbook anew"
	} else {
		fmt.Fprintf(b, "    handrail resolve %s %s not-done --because \"…\"   it did not, and nothing of it is still under way: the next resume runs the step again\n", run, path)
	}
	fmt.Fprintf(b, "    handrail resolve %s %s skip     --because \"…\"   %s\n", run, path, skip)
}

// Quote makes a word safe to be pasted into a shell.
func Quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:@%+=", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func writeNext(b *strings.Builder, style Style, s Shown) {
	next := Next(s)
	if len(next) == 0 {
		return
	}
	width := 0
	for _, n := range next {
		width = max(width, len([]rune(n.Command)))
	}
	b.WriteString("\nNext:\n")
	for _, n := range next {
		fmt.Fprintf(b, "  %s  %s\n", style.mark(bold, fmt.Sprintf("%-*s", width, n.Command)), n.Why)
	}
}

// waits: a person is still waited for. A run that waited is not resumed by the answer.
func waits(r *engine.Run) bool {
	found := false
	r.EachStep(func(v engine.StepView) {
		found = found || v.State == engine.InDoubt || v.Waiting && v.Ask != ""
	})
	return found
}

// NextStep is a command that a person may type now.
type NextStep struct {
	Command string `json:"command"`
	Why     string `json:"why"`
}

// Next says what a person may type now.
func Next(s Shown) []NextStep {
	id := s.Run.ID()
	resume := "handrail resume " + id
	switch s.State {
	case engine.Running:
		return []NextStep{{"handrail show " + id + " --follow", "watch it"}, {"handrail cancel " + id, "end it"}}
	case engine.Interrupted:
		return []NextStep{{resume, "go on where it stood"}, {"handrail cancel " + id, "end it"}}
	case engine.RunFailed:
		return []NextStep{{resume, "when the cause is mended: try the failed step again"},
			{resume + " --playbook FILE", "go on with a corrected playbook"},
			{"handrail logs " + id, "what the steps wrote"}}
	case engine.Waiting:
		return nextOfWaiting(s.Run, resume)
	case engine.RunOK, engine.RunDegraded, engine.RunCancelled, engine.RunUndone:
	}
	return nil
}

func nextOfWaiting(r *engine.Run, resume string) []NextStep {
	var out []NextStep
	r.EachStep(func(v engine.StepView) {
		switch {
		case v.State == engine.InDoubt && len(out) < 4:
			words := "done|not-done|skip"
			if v.Lost {
				words = "done|skip"
			}
			out = append(out, NextStep{fmt.Sprintf("handrail resolve %s %s %s --because …", r.ID(), Quote(v.Path), words), "say what is true; see above"})
		case v.Waiting && v.Ask != "":
			out = append(out,
				NextStep{fmt.Sprintf("handrail approve %s %s", r.ID(), Quote(v.Path)), "yes"},
				NextStep{fmt.Sprintf("handrail reject %s %s --because …", r.ID(), Quote(v.Path)), "no"})
		}
	})
	why := "then go on"
	if !waits(r) {
		why = "go on: nothing is waited for any more"
	}
	return append(out, NextStep{resume, why})
}

// shownJSON is the JSON form of show.
type shownJSON struct {
	engine.RunView
	State   engine.RunState `json:"state"`
	Reason  string          `json:"reason,omitempty"`
	Owner   *engine.Person  `json:"owner,omitempty"`
	Folder  string          `json:"folder"`
	Inputs  engine.Typed    `json:"inputs"`
	Outputs engine.Typed    `json:"outputs"`
	// Objectives are what the playbook has promised, and what came of it; left out when it promises nothing.
	Objectives []objective.Kept  `json:"objectives,omitempty"`
	Steps      []engine.StepView `json:"steps"`
	Next       []NextStep        `json:"next"`
}

// ShowJSON writes where a run stands, for programs.
func ShowJSON(w io.Writer, s Shown) error {
	v := s.Run.View()
	out := shownJSON{RunView: v, State: s.State, Reason: s.Reason, Folder: s.Folder,
		Inputs: engine.Typed{V: v.Inputs}, Outputs: engine.Typed{V: v.Outputs}, Steps: []engine.StepView{}, Next: Next(s),
		Objectives: kept(s)}
	if s.Owner != (engine.Person{}) {
		out.Owner = &s.Owner
	}
	if out.Next == nil {
		out.Next = []NextStep{}
	}
	s.Run.EachStep(func(v engine.StepView) { out.Steps = append(out.Steps, v) })
	return WriteJSON(w, out)
}

// WriteJSON writes a value for programs, in a form that a person can read too.
func WriteJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// Ended writes what a process says when it leaves a run: how it stands, what went wrong, and the next
// command to type.
func Ended(w io.Writer, style Style, s Shown) error {
	var b strings.Builder
	v := s.Run.View()
	counts, order := map[engine.State]int{}, []engine.State{engine.OK, engine.Already, engine.Degraded, engine.Resolved,
		engine.Skipped, engine.Failed, engine.InDoubt, engine.Intended, engine.Pending}
	total := 0
	s.Run.EachStep(func(v engine.StepView) {
		if !v.Group {
			counts[v.State]++
			total++
		}
	})
	var parts []string
	for _, st := range order {
		if counts[st] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[st], st))
		}
	}
	steps := "steps"
	if total == 1 {
		steps = "step"
	}
	fmt.Fprintf(&b, "%s: %s after %s, %d %s (%s)\n", v.ID, style.runState(s.State), Duration(s.Now.Sub(v.Started)), total, steps, strings.Join(parts, ", "))
	writeKept(&b, style, s)
	switch {
	case v.Error != "":
		fmt.Fprintf(&b, "  %s\n", printable(v.Error))
	case s.Reason != "":
		fmt.Fprintf(&b, "  %s\n", printable(s.Reason))
	}
	if s.State == engine.RunFailed {
		writeFailures(&b, s.Run)
	}
	for _, d := range Doubts(s.Run) {
		writeDoubt(&b, style, v.ID, d)
	}
	writeNext(&b, style, s)
	_, err := io.WriteString(w, b.String())
	return err
}

// writeFailures repeats what went wrong, since it may have happened long before the end of a long run.
func writeFailures(b *strings.Builder, r *engine.Run) {
	const most = 5
	n := 0
	r.EachStep(func(v engine.StepView) {
		if v.State != engine.Failed || v.Error == "" {
			return
		}
		if n++; n <= most {
			fmt.Fprintf(b, "  step %s: %s%s\n", printable(v.Path), oneLine(v.Error), effectNote(v.Effect))
		}
	})
	if n > most {
		fmt.Fprintf(b, "  and %d more\n", n-most)
	}
}
