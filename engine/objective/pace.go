package objective

import (
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// Ahead is what is still to come of a run, by the times of the runs before.
type Ahead struct {
	Runs int           `json:"runs"` // that the figures are of; 0: nothing can be said
	P50  time.Duration `json:"p50_ns"`
	P95  time.Duration `json:"p95_ns"`
	// Late50 and Late95 are the steps in which the time will run out; empty: it will do.
	Late50 string `json:"late_p50,omitempty"`
	Late95 string `json:"late_p95,omitempty"`
	// Unknown counts the steps that no run before has a time of. They are taken for nothing.
	Unknown int `json:"unknown,omitempty"`
}

// Expect adds up what the steps of a playbook take when none has been run, with so much time for them; 0: as much as it takes.
func Expect(pb *engine.Playbook, past Figures, left time.Duration) Ahead {
	return (&Pace{pb: pb, past: past, watch: NewStopwatch()}).ahead(left, time.Time{})
}

// Pace is how a run under way does against its RTO.
type Pace struct {
	pb    *engine.Playbook
	past  Figures
	watch *Stopwatch
	told  struct {
		half, most, over bool
		p50, p95         bool
	}
}

// NewPace begins before the first event of a run.
func NewPace(pb *engine.Playbook, past Figures) *Pace {
	return &Pace{pb: pb, past: past, watch: NewStopwatch()}
}

// Hear takes note of an event.
func (p *Pace) Hear(s engine.Stamped) { p.watch.Hear(s) }

// Times are what was measured so far.
func (p *Pace) Times() Times { return p.watch.Times() }

// RTO is how long the run may take; 0: nothing is promised.
func (p *Pace) RTO() time.Duration { return p.pb.Objectives.RTO }

// Left is what is left of the RTO; negative: it is over.
func (p *Pace) Left(now time.Time) time.Duration {
	return p.RTO() - now.Sub(p.watch.times.Started)
}

// Ahead is what is still to come.
func (p *Pace) Ahead(now time.Time) Ahead { return p.ahead(p.Left(now), now) }

func (p *Pace) ahead(left time.Duration, now time.Time) Ahead {
	a := Ahead{Runs: p.past[""].Runs}
	if a.Runs == 0 {
		return a
	}
	w := walk{p: p, now: now.Add(-p.watch.down)}
	end := w.steps(p.pb.Steps, "", [2]time.Duration{})
	end = w.steps(p.pb.Always, "", end)
	a.P50, a.P95, a.Unknown = end[0], end[1], w.unknown
	if p.RTO() == 0 {
		return a
	}
	for _, x := range w.ends {
		if a.Late50 == "" && x.end[0] > left {
			a.Late50 = x.path
		}
		if a.Late95 == "" && x.end[1] > left {
			a.Late95 = x.path
		}
	}
	return a
}

// walk goes over the steps in the order of a run and adds up what each may still take: by P50, and by P95.
type walk struct {
	p       *Pace
	now     time.Time
	ends    []stepEnd
	unknown int
}

type stepEnd struct {
	path string
	end  [2]time.Duration
}

func (w *walk) steps(list []*engine.Step, prefix string, at [2]time.Duration) [2]time.Duration {
	for _, s := range list {
		at = w.step(s, prefix, at)
	}
	return at
}

func (w *walk) step(s *engine.Step, prefix string, at [2]time.Duration) [2]time.Duration {
	path := prefix + s.ID
	if x := w.p.watch.steps[path]; x != nil && x.skipped {
		return at
	}
	if s.Group == engine.NoGroup || s.ForEach != nil {
		at = w.leaf(path, at)
		w.ends = append(w.ends, stepEnd{path, at})
		return at
	}
	if s.Nested != nil {
		prefix = path + "/"
	}
	if s.Group == engine.ParallelGroup {
		end := at
		for _, branch := range s.Steps {
			e := w.step(branch, prefix, at)
			end = [2]time.Duration{max(end[0], e[0]), max(end[1], e[1])}
		}
		at = end
	} else {
		at = w.steps(s.Steps, prefix, at)
	}
	return w.steps(s.Always, prefix, at)
}

// leaf is when a step ends that begins at a time, or has begun already.
func (w *walk) leaf(path string, at [2]time.Duration) [2]time.Duration {
	x := w.p.watch.steps[path]
	if x != nil && !x.open {
		return at
	}
	f, ok := w.p.past[path]
	if !ok {
		w.unknown++
		return at
	}
	var spent time.Duration
	if x != nil {
		spent = w.now.Sub(x.begin)
	}
	return [2]time.Duration{at[0] + max(0, f.P50-spent), at[1] + max(0, f.P95-spent)}
}
