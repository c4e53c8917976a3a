package view

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// ExaminedVersion is the version of the JSON form of what doctor says.
const ExaminedVersion = 1

// Examined is what doctor has found.
type Examined struct {
	Version     int                `json:"version" jsonschema:"description=the number of this form"`
	Environment string             `json:"environment,omitempty" jsonschema:"description=the environment that was checked against"`
	At          time.Time          `json:"checked_at" jsonschema:"description=when"`
	Machine     []ExaminedFinding  `json:"machine,omitempty" jsonschema:"description=what is wrong with this machine itself"` // about this machine, for all playbooks
	Playbooks   []ExaminedPlaybook `json:"playbooks" jsonschema:"description=each playbook that was looked at"`
}

// ExaminedPlaybook is one playbook, and what it would miss tonight.
type ExaminedPlaybook struct {
	Name     string            `json:"playbook" jsonschema:"description=its name"`
	File     string            `json:"file" jsonschema:"description=its file"`
	LeftOut  string            `json:"left_out,omitempty" jsonschema:"description=why it was not checked"` // why it was not checked
	Findings []ExaminedFinding `json:"findings" jsonschema:"description=what it would miss; empty: nothing that can be seen by reading"`
}

// ExaminedFinding is one thing that is missing. Fails: the run would fail; otherwise it may.
type ExaminedFinding struct {
	Step   string `json:"step,omitempty" jsonschema:"description=the step or target or secret that it is about"`
	Fails  bool   `json:"fails" jsonschema:"description=true: the run would fail; false: it may"`
	What   string `json:"what" jsonschema:"description=what is missing or wrong"`
	Remedy string `json:"remedy,omitempty" jsonschema:"description=what to do"`
	File   string `json:"file,omitempty" jsonschema:"description=where that is said"`
	Line   int    `json:"line,omitempty" jsonschema:"description=its line"`
	Column int    `json:"column,omitempty" jsonschema:"description=its column"`
}

// Add keeps a finding, once.
func (p *ExaminedPlaybook) Add(f ExaminedFinding) {
	for _, x := range p.Findings {
		if x.Step == f.Step && x.What == f.What {
			return
		}
	}
	p.Findings = append(p.Findings, f)
}

// verdict is what would become of the playbook.
func (p ExaminedPlaybook) verdict() string {
	word := "ok"
	for _, f := range p.Findings {
		if f.Fails {
			return "fails"
		}
		word = "may fail"
	}
	return word
}

// Fails: something would fail.
func (e Examined) Fails() bool {
	for _, f := range e.Machine {
		if f.Fails {
			return true
		}
	}
	for _, p := range e.Playbooks {
		if p.verdict() == "fails" {
			return true
		}
	}
	return false
}

// ExaminedJSON writes it for programs.
func ExaminedJSON(w io.Writer, e Examined) error { return WriteJSON(w, e) }

// ExaminedText writes a table of what would fail tonight, and counts.
func ExaminedText(w io.Writer, style Style, e Examined) error {
	var b strings.Builder
	width := len("this machine")
	for _, p := range e.Playbooks {
		if p.LeftOut == "" {
			width = max(width, len(p.Name))
		}
	}
	line := func(name, word string) {
		b.WriteString(strings.TrimRight(fmt.Sprintf("%-*s  %s", width, name, style.verdict(word)), " ") + "\n")
	}
	if len(e.Machine) > 0 {
		line("this machine", "fails")
		findings(&b, style, e.Machine)
	}
	counts := map[string]int{}
	left := 0
	for _, p := range e.Playbooks {
		if p.LeftOut != "" {
			left++
			continue
		}
		counts[p.verdict()]++
		line(p.Name, p.verdict())
		findings(&b, style, p.Findings)
	}
	on := ""
	if e.Environment != "" {
		on = " on " + e.Environment
	}
	fmt.Fprintf(&b, "\n%d checked%s: %d would fail tonight, %d may fail, %d lack nothing that can be seen by reading. Nothing was changed.\n",
		counts["fails"]+counts["may fail"]+counts["ok"], on, counts["fails"], counts["may fail"], counts["ok"])
	if left > 0 {
		fmt.Fprintf(&b, "%d shipped playbooks need targets that the environment does not have, and were left out.\n", left)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// together puts steps that lack the same thing into one finding, which keeps the place of the first.
func together(list []ExaminedFinding) []ExaminedFinding {
	var out []ExaminedFinding
	for _, f := range list {
		known := false
		for i := range out {
			if out[i].What == f.What && out[i].Fails == f.Fails && f.Step != "" {
				out[i].Step += ", " + f.Step
				known = true
			}
		}
		if !known {
			out = append(out, f)
		}
	}
	return out
}

func findings(b *strings.Builder, style Style, list []ExaminedFinding) {
	for _, f := range together(list) {
		word := "may fail"
		if f.Fails {
			word = "fails"
		}
		step := f.Step
		if step != "" {
			step += ": "
		}
		fmt.Fprintf(b, "    %s  %s%s\n", style.verdict(fmt.Sprintf("%-8s", word)), printable(step), indented(f.What, "              "))
		if f.Remedy != "" {
			fmt.Fprintf(b, "              %s\n", indented(f.Remedy, "              "))
		}
		if f.File != "" {
			place := f.File
			if f.Line > 0 {
				place = fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Column)
			}
			fmt.Fprintf(b, "              %s\n", place)
		}
	}
}

func (s Style) verdict(word string) string {
	switch strings.TrimSpace(word) {
	case "fails":
		return s.mark(red, word)
	case "may fail":
		return s.mark(yellow, word)
	}
	return s.mark(green, word)
}
