// Package revision says in what two revisions of a playbook differ, for the person who reviews the later one.
//
// It compares what was loaded, not texts: comments and layout are no change, and a step that only stands elsewhere is
// moved, not removed and added. It follows a change to where it matters: a step whose own words are the same, but which uses
// an input, a variable, a target or another step that is not, is *reached* by the change.
//
// Two plans, one of each revision, add what the change does to the system as it is now. Without them the comparison is by the
// files alone, and complete in itself. The same playbooks and plans always give the same result. Nothing is ever
// read, asked or changed here.
package revision

import (
	"fmt"

	"github.com/handrail-dev/handrail/engine"
)

// Version is the version of the JSON form.
const Version = 1

// Change says what became of a playbook or a step.
type Change int

// The changes. The one that says most is the one that is named: a step that was moved and says something else is changed.
const (
	Same       Change = iota // of a playbook: only its comments, its layout or its description
	Added                    // it is new
	Removed                  // it is gone
	Changed                  // it says something else
	Renamed                  // the same under another id
	Moved                    // the same in another place
	Reached                  // it says the same, and uses what was changed
	Uncompared               // the other revision cannot be read; it is shown as it stands
)

var changeNames = [...]string{"same", "added", "removed", "changed", "renamed", "moved", "reached", "uncompared"}

func (c Change) String() string { return changeNames[c] }

// MarshalText writes the name.
func (c Change) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the name.
func (c *Change) UnmarshalText(b []byte) error {
	for i, n := range changeNames {
		if n == string(b) {
			*c = Change(i)
			return nil
		}
	}
	return fmt.Errorf("unknown change %q", b)
}

// Diff is what two revisions differ in.
type Diff struct {
	Version     int        `json:"version"`
	Before      Side       `json:"before"`
	After       Side       `json:"after"`
	Environment string     `json:"environment,omitempty"`
	Playbooks   []Playbook `json:"playbooks"`
	Summary     Summary    `json:"summary"`
	Warnings    []string   `json:"warnings,omitempty"`
}

// Side is one of the two revisions.
type Side struct {
	Name   string `json:"name"`
	Commit string `json:"commit,omitempty"`
}

// Playbook is what the revisions of one playbook differ in.
type Playbook struct {
	Name   string `json:"playbook"`
	File   string `json:"file"`
	Change Change `json:"change"`
	// Planned: both revisions, or that of a new playbook, were held against the system as it is now.
	Planned  bool      `json:"planned"`
	Problems []Problem `json:"problems,omitempty"`
	Settings []Setting `json:"settings,omitempty"`
	Steps    []Step    `json:"steps,omitempty"`
	// Unchanged counts the steps that are the same, and not among Steps.
	Unchanged int `json:"unchanged"`
	// Risk is the highest of all steps of the later revision.
	Risk     engine.Risk `json:"risk"`
	Warnings []Warning   `json:"warnings,omitempty"`
}

// Problem is why a revision of a playbook cannot be read.
type Problem struct {
	Side    string `json:"side"` // before, after
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
}

// Warning is what a reviewer must not miss.
type Warning struct {
	Step string `json:"step,omitempty"`
	Text string `json:"text"`
}

// Setting is one thing that is said otherwise. An empty text: it is not said at all.
type Setting struct {
	Playbook string `json:"in,omitempty"` // of a playbook that this one runs
	Name     string `json:"name"`
	Before   string `json:"before,omitempty"`
	After    string `json:"after,omitempty"`
}

// Step is one step that the revisions differ in.
type Step struct {
	Path   string `json:"step"` // in the later revision, if it is there
	Was    string `json:"was,omitempty"`
	Change Change `json:"change"`
	Move   *Move  `json:"moved,omitempty"`
	Before *Face  `json:"before,omitempty"`
	After  *Face  `json:"after,omitempty"`
	// Settings are those that are said otherwise; of a step that is new, gone or not compared, all of them.
	Settings []Setting `json:"settings,omitempty"`
	// Through are the names by which a change elsewhere reaches the step: inputs.state, steps.count.
	Through []string `json:"through,omitempty"`
	// Impact is what is different in what it would do to the system as it is now.
	Impact []Setting `json:"impact,omitempty"`
}

// Move says where a step stood and where it stands.
type Move struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Face is what one revision makes of a step.
type Face struct {
	Title     string       `json:"title,omitempty"`
	Kind      string       `json:"kind,omitempty"`
	Operation string       `json:"operation,omitempty"`
	Target    string       `json:"target,omitempty"`
	Group     string       `json:"group,omitempty"` // block, parallel or playbook
	Depth     int          `json:"depth"`
	Class     engine.Class `json:"class,omitempty"`
	Risk      engine.Risk  `json:"risk"`
	Approval  bool         `json:"approval,omitempty"` // a person is asked
	File      string       `json:"file"`
	Line      int          `json:"line"`
	// Standing and what follows are of a plan; absent: there is none, or the run would not come there.
	Standing *engine.Standing `json:"standing,omitempty"`
	Would    string           `json:"would,omitempty"`
	Why      string           `json:"why,omitempty"`
	Figures  []engine.Figure  `json:"figures,omitempty"`
}

// Summary counts.
type Summary struct {
	Playbooks  int `json:"playbooks"`
	Added      int `json:"added"`
	Removed    int `json:"removed"`
	Changed    int `json:"changed"`
	Renamed    int `json:"renamed"`
	Moved      int `json:"moved"`
	Reached    int `json:"reached"`
	Uncompared int `json:"uncompared"`
	// Of the steps that are in the later revision, those that would do that.
	Reads        int `json:"reads"`
	Changes      int `json:"changes"`
	Destroys     int `json:"destroys"`
	Irreversible int `json:"irreversible"`
	Approvals    int `json:"approvals"`
	// Raised and Lowered count the steps whose risk is another one.
	Raised     int `json:"raised"`
	Lowered    int `json:"lowered"`
	Unreadable int `json:"unreadable"` // playbooks of which a revision cannot be read
	Warnings   int `json:"warnings"`
}

// Summarize counts what the differences hold.
func (d *Diff) Summarize() {
	s := Summary{Playbooks: len(d.Playbooks), Warnings: len(d.Warnings)}
	for _, p := range d.Playbooks {
		s.Warnings += len(p.Warnings)
		if len(p.Problems) > 0 {
			s.Unreadable++
		}
		for _, x := range p.Steps {
			s.count(x)
		}
	}
	d.Summary = s
}

func (s *Summary) count(x Step) {
	if n := map[Change]*int{Added: &s.Added, Removed: &s.Removed, Changed: &s.Changed, Renamed: &s.Renamed, Moved: &s.Moved,
		Reached: &s.Reached, Uncompared: &s.Uncompared}[x.Change]; n != nil {
		*n++
	}
	if x.After == nil || x.After.Group != "" {
		return
	}
	if x.Before != nil && x.Before.Group == "" {
		switch {
		case x.After.Risk > x.Before.Risk:
			s.Raised++
		case x.After.Risk < x.Before.Risk:
			s.Lowered++
		}
	}
	if x.After.Approval {
		s.Approvals++
		return
	}
	switch x.After.Risk {
	case engine.RiskReads:
		s.Reads++
	case engine.RiskChanges:
		s.Changes++
	case engine.RiskDestroys:
		s.Destroys++
	case engine.RiskIrreversible:
		s.Irreversible++
	}
}

// Worded: nothing but its title is another one.
func (s Step) Worded() bool {
	return s.Change == Changed && s.Move == nil && len(s.Through) == 0 && len(s.Impact) == 0 && len(s.Settings) == 1 && s.Settings[0].Name == "title"
}
