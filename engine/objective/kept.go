package objective

import (
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// Verdict is what came of a promise.
type Verdict string

// The verdicts.
const (
	Held    Verdict = "held"
	Missed  Verdict = "missed"
	Running Verdict = "running" // it is still to be seen
	Unknown Verdict = "unknown" // the run does not say what would show it
)

// Kept is one promise of a playbook and what came of it.
type Kept struct {
	Objective string        `json:"objective"` // rto or rpo
	Promised  time.Duration `json:"promised_ns"`
	Verdict   Verdict       `json:"verdict"`
	// Measured is how long it took; or how old the data was when the run began, which is at the time of the disaster or later; or
	// how old by now is what was saved.
	Measured time.Duration `json:"measured_ns,omitempty"`
	DataAt   time.Time     `json:"data_at,omitzero"`
	// Saved: the playbook makes what another one brings back, and its RPO is how old that may become.
	Saved bool `json:"saved,omitempty"`
}

// Judge holds what a playbook promises against a run. An RTO is held by a run that ended well in time; one that failed, or has
// not ended, holds it no longer once the time is over. An RPO without an RTO is that of a backup: it is held for as long as there is one
// that is not too old.
func Judge(o engine.Objectives, t Times, now time.Time) []Kept {
	var out []Kept
	if o.RTO > 0 {
		k := Kept{Objective: "rto", Promised: o.RTO, Measured: now.Sub(t.Started), Verdict: Running}
		if t.Succeeded() && !t.Finished.IsZero() {
			k.Measured, k.Verdict = t.Took(), Held
		}
		if k.Measured > o.RTO {
			k.Verdict = Missed
		}
		out = append(out, k)
	}
	if o.RPO > 0 {
		k := Kept{Objective: "rpo", Promised: o.RPO, Verdict: Unknown, Saved: o.RTO == 0}
		switch {
		case k.Saved && t.Succeeded():
			k.DataAt, k.Measured, k.Verdict = t.Started, now.Sub(t.Started), Held
			if k.Measured > o.RPO {
				k.Verdict = Missed
			}
		case !t.DataAt.IsZero():
			k.DataAt, k.Measured, k.Verdict = t.DataAt, max(0, t.Started.Sub(t.DataAt)), Held
			if k.Measured > o.RPO {
				k.Verdict = Missed
			}
		case !t.Succeeded():
			k.Verdict = Running
		}
		out = append(out, k)
	}
	return out
}
