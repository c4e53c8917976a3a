package preview

import (
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/objective"
)

// Age holds how old the data is against what the playbook promises of it (RPO).
type Age struct {
	RPO     time.Duration     `json:"rpo_ns"`
	Verdict objective.Verdict `json:"verdict"` // held, missed, or unknown
	// Of is of when the data is that a run would bring back, or, with Saved, of when what was saved last is. Zero: it is not known.
	Of time.Time `json:"data_at,omitzero"`
	// Age is how old that is by the time of the plan.
	Age time.Duration `json:"age_ns,omitempty"`
	// Saved: the playbook makes what another one brings back.
	Saved bool `json:"saved,omitempty"`
	// KnownAfter is the step AFTER which it will be known.
	KnownAfter string `json:"known_after,omitempty"`
}

// age looks at the output in which a playbook says of when the data is that it brings back.
func (w *walk) age(o engine.Objectives, outputs engine.Value) {
	if o.RPO == 0 {
		return
	}
	a := Age{RPO: o.RPO, Verdict: objective.Unknown, Saved: o.RTO == 0}
	r, _ := outputs.(engine.Record)
	switch v := r[objective.DataOutput].(type) {
	case time.Time:
		if !a.Saved {
			a.judge(v, w.plan.Made)
		}
	case engine.Unknown:
		a.KnownAfter = v.After
	}
	w.plan.Data = &a
}

func (a *Age) judge(of, now time.Time) {
	a.Of, a.Age, a.Verdict = of, max(0, now.Sub(of)), objective.Held
	if a.Age > a.RPO {
		a.Verdict = objective.Missed
	}
}

// Saved adds of when the last good run is of a playbook that saves something: the newest first.
func (p *Plan) Saved(runs []objective.Times) {
	if p.Data == nil || !p.Data.Saved {
		return
	}
	for _, t := range runs {
		if t.Succeeded() && t.Environment == p.Environment {
			p.Data.judge(t.Started, p.Made)
			return
		}
	}
}
