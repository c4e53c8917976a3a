// Package preview makes a plan: what a run of a playbook would do to the system as it is now.
//
// It walks the same state machine as a real run, with an executor that can only read. Reads are
// executed; effects are previewed, and what they would bring back is "known after" them. Nothing that
// an effect would change decides anything: it is shown as it is now, and no more.
//
// A plan changes nothing, neither on a target nor of Handrail's own state, and never says that
// something succeeded.
package preview

import (
	"context"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/objective"
)

// Version is the version of the plan's JSON form.
const Version = 1

// Looker is an executor whose connections refuse whatever is not known to read.
type Looker interface {
	Preview(ctx context.Context, c engine.Call) (engine.Impact, error)
	Execute(ctx context.Context, c engine.Execute, a engine.Attendant) engine.Outcome
	Ask(ctx context.Context, step string, questions []engine.Question) engine.Answer
}

// Plan is the result of a dry-run.
type Plan struct {
	Version     int    `json:"version"`
	Playbook    string `json:"playbook"`
	Digest      string `json:"playbook_digest"`
	Environment string `json:"environment,omitempty"`
	// Offline: nothing was asked; every step is judged by the file alone.
	Offline bool `json:"offline,omitempty"`
	// Untrusted: the playbook is a stranger's. Every step is judged by the files alone, without secrets and inputs.
	Untrusted bool `json:"untrusted,omitempty"`
	// Contacts are the targets, and which of them could be reached. An untrusted plan alone has them.
	Contacts []Contact     `json:"contacts,omitempty"`
	Made     time.Time     `json:"made_at"`
	RTO      time.Duration `json:"rto_ns,omitempty"`
	Steps    []Step        `json:"steps"`
	// Locks are those that the run would take, with who has them now.
	Locks    []Lock   `json:"locks,omitempty"`
	Error    string   `json:"error,omitempty"`
	Summary  Summary  `json:"summary"`
	Warnings []string `json:"warnings,omitempty"`
	// Expected is how long the steps take by the runs before, held against the RTO; null: there is nothing to go by.
	Expected *objective.Ahead `json:"expected,omitempty"`
	// Data is how old the data is that a run would bring back, or that was saved last, held against the RPO; null: nothing is promised of it.
	Data *Age `json:"data,omitempty"`
	// LastRuns are the runs of this playbook before, newest first, for how long it takes.
	LastRuns []LastRun `json:"last_runs,omitempty"`
}

// Lock is a lock that the run would take, in one of the places where it is kept.
type Lock struct {
	Name string `json:"name"`
	In   string `json:"in"` // ThisHost, or the target
	// Held says who has it; empty: nobody, or it could not be asked.
	Run  string `json:"run,omitempty"`
	Held string `json:"held,omitempty"`
	Why  string `json:"why,omitempty"` // why it could not be asked
}

// Contact is what an untrusted plan says of a target: nothing but whether it was reached.
type Contact struct {
	Target  string `json:"target"`
	Type    string `json:"type,omitempty"`
	Reached bool   `json:"reached"`
	Why     string `json:"why,omitempty"` // why it was not
}

// ThisHost is where a lock is that a target does not keep.
const ThisHost = "this host"

// LastRun is one run before.
type LastRun struct {
	ID      string          `json:"id"`
	State   engine.RunState `json:"state"`
	Started time.Time       `json:"started_at"`
	Took    time.Duration   `json:"took_ns,omitempty"` // zero: it has not ended
}

// Summary counts the steps that act.
type Summary struct {
	Steps        int `json:"steps"`
	Reads        int `json:"reads"`
	Changes      int `json:"changes"`
	Destroys     int `json:"destroys"`
	Irreversible int `json:"irreversible"`
	Approvals    int `json:"approvals"`
	Already      int `json:"already"`
	Skipped      int `json:"skipped"`
	Unknown      int `json:"unknown"`
}

// Step is one line of a plan.
type Step struct {
	Path      string `json:"step"`
	Title     string `json:"title,omitempty"`
	Kind      string `json:"kind,omitempty"`
	Operation string `json:"operation,omitempty"`
	Target    string `json:"target,omitempty"`
	Section   string `json:"section,omitempty"` // always; empty: the steps
	Group     string `json:"group,omitempty"`   // block, parallel or for_each
	Depth     int    `json:"depth"`
	// Maybe: whether the real run comes here is known only after another step.
	Maybe bool `json:"maybe,omitempty"`
	engine.Impact
	// Parameters is the digest of what would be sent; empty where it is not known, or is sensitive.
	Parameters string `json:"parameters,omitempty"`
	// Time is how long the step took in the runs before; null: nothing is known.
	Time *objective.Figure `json:"time,omitempty"`
	// KnownAfter is the step AFTER which what this one reads will be known.
	KnownAfter string `json:"known_after,omitempty"`
	// Line is where the step stands in its file.
	Line int `json:"line"`
	// Home is the path without the keys of the loops around the step, as in [engine.Playbook.EachPath].
	Home string `json:"-"`
}

// Past adds what is known of how long the steps take.
func (p *Plan) Past(pb *engine.Playbook, past objective.Figures) {
	if past[""].Runs == 0 {
		return
	}
	for i, s := range p.Steps {
		if f, ok := past[s.Path]; ok {
			p.Steps[i].Time = &f
		}
	}
	a := objective.Expect(pb, past, p.RTO)
	p.Expected = &a
}

// Judged: every step could be judged.
func (p *Plan) Judged() bool { return p.Summary.Unknown == 0 && p.Error == "" }

func (p *Plan) summarize() {
	for _, s := range p.Steps {
		if s.Group != "" {
			continue
		}
		p.Summary.Steps++
		switch s.Standing {
		case engine.StandingAlready:
			p.Summary.Already++
			continue
		case engine.StandingSkip:
			p.Summary.Skipped++
			continue
		case engine.StandingUnknown:
			p.Summary.Unknown++
		case engine.StandingWould:
		}
		if s.Class == engine.ClassPerson {
			p.Summary.Approvals++
			continue
		}
		switch s.Risk {
		case engine.RiskReads:
			p.Summary.Reads++
		case engine.RiskChanges:
			p.Summary.Changes++
		case engine.RiskDestroys:
			p.Summary.Destroys++
		case engine.RiskIrreversible:
			p.Summary.Irreversible++
		}
	}
}
