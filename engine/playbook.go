package engine

import (
	"fmt"
	"time"
)

// Pos is a place in a file; lines and columns count from 1.
type Pos struct {
	File         string
	Line, Column int
}

func (p Pos) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// Playbook is a loaded and checked playbook. Nothing in it changes after loading.
type Playbook struct {
	Name        string
	Description string
	File        string
	Digest      string         // SHA-256 of the file's bytes
	Timezone    *time.Location // nil: UTC
	Objectives  Objectives
	Inputs      []Input
	Targets     []TargetUse
	Locks       []string
	Vars        []FieldTemplate // in order of the file; a later one may use an earlier one
	Steps       []*Step
	Always      []*Step
	Outputs     []Output
	// Remarks are the traps that the kinds see in the parameters of steps and probes.
	Remarks []Finding
	// Secrets are the names of the secrets that the playbook uses, with the place of the first use.
	Secrets map[string]Pos
}

// Objectives are what the procedure has promised. Zero: nothing promised.
type Objectives struct {
	RTO time.Duration // how long a recovery may take
	RPO time.Duration // how old the restored data may be
}

// Input declares one input.
type Input struct {
	Name        string
	Description string
	Shape       Shape
	Required    bool
	Default     Value // nil: none
	Min, Max    Value // nil: no bound; integer, number, duration, size
	Pattern     string
	Pos         Pos
}

// TargetUse is a target that the playbook names. Settings are set when the playbook says itself
// where the target is; otherwise the environment says it.
type TargetUse struct {
	Name     string
	Type     string // mysql, sqlite, redis, docker; empty: as the environment says
	Settings *Template
	Pos      Pos
}

// Output is one result of a playbook.
type Output struct {
	Name  string
	Expr  Expr
	Shape Shape
}

// GroupKind tells a step that acts from one that holds other steps.
type GroupKind int

// The group kinds.
const (
	NoGroup       GroupKind = iota
	BlockGroup              // one after the other
	ParallelGroup           // side by side
	PlaybookGroup           // the steps of another playbook, one after the other
)

// String is the word for it; empty: a step that acts.
func (g GroupKind) String() string {
	return [...]string{NoGroup: "", BlockGroup: "block", ParallelGroup: "parallel", PlaybookGroup: "playbook"}[g]
}

// OnError says what a failed step does to the run.
type OnError int

// The policies.
const (
	StopOnError     OnError = iota
	ContinueOnError         // the run goes on, and ends degraded at best
	UndoOnError             // the run is undone
)

// Step is one entry of a playbook: an operation of a kind, or a group.
type Step struct {
	ID    string
	Title string
	Pos   Pos
	// Digest of everything that the entry says, its groups' entries excepted: a corrected playbook is
	// adopted only if the digests of finished steps are the same.
	Digest string

	Group  GroupKind
	Steps  []*Step // of a group
	Nested *Nested // of a PlaybookGroup, whose Steps and Always are those of the playbook

	Kind      string // of a step that acts
	Operation *Operation
	Target    string // empty: the kind needs none
	Params    Template
	Class     Class // as the author and the parameters say
	Risk      Risk
	Expect    Expr
	Tolerate  Expr
	Fails     Expr // the failure that is expected, asked of its words; nil: none
	Each      bool // Expect is asked of every node; see [Judgement]
	DoneIf    []*Probe
	Retry     Retry
	Timeout   time.Duration // 0: none
	Wipes     bool          // erases what Handrail has left on its target
	WipesToo  []string      // and on these
	Sensitive bool

	When    Expr
	ForEach *Template // a list
	As      string    // the name of an item; "item" unless the author says otherwise
	Key     Expr      // identifies an item; nil: the item's text
	AtOnce  int       // items at the same time; at least 1

	OnError OnError
	Undo    []*Step
	Always  []*Step // of a group
	// Unsettles: while the group is under way, what was proved before it does not hold, and is not asked again.
	Unsettles bool
	// Kept: some expression reads the step's result, so the core keeps it.
	Kept bool
}

// wipes marks the targets on which the step erases what Handrail has left.
func (s *Step) wipes(marks map[string]bool) {
	if s.Wipes {
		marks[s.Target] = true
	}
	for _, target := range s.WipesToo {
		marks[target] = true
	}
}

// Retry says how often and how fast a failed attempt is repeated. Attempts counts the first one too;
// 0 and 1 mean no repetition.
type Retry struct {
	Attempts int
	Min, Max time.Duration // the pause doubles from Min to Max
}

// Walk calls f for each step of the list and everything below it, undo and always included.
func Walk(steps []*Step, f func(*Step)) {
	for _, s := range steps {
		f(s)
		Walk(s.Steps, f)
		Walk(s.Undo, f)
		Walk(s.Always, f)
	}
}

// EveryStep calls f for each step of the playbook.
func (p *Playbook) EveryStep(f func(*Step)) {
	Walk(p.Steps, f)
	Walk(p.Always, f)
}
