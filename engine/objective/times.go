package objective

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// DataOutput is the output in which a playbook says of when the data is that it has brought back. A playbook with an RPO has it.
const DataOutput = "data_at"

// Times are what one finished run took.
type Times struct {
	Run         string            `json:"run"`
	Playbook    string            `json:"playbook"`
	Digest      string            `json:"playbook_digest"`
	Nested      map[string]string `json:"nested,omitempty"` // digests of the playbooks that it runs
	Environment string            `json:"environment,omitempty"`
	State       engine.RunState   `json:"state"`
	Started     time.Time         `json:"started_at"`
	Finished    time.Time         `json:"finished_at"`
	// DataAt is of when the data is that was brought back; zero: the playbook does not say.
	DataAt time.Time     `json:"data_at,omitzero"`
	Steps  []StepSpent   `json:"steps"`
	Down   time.Duration `json:"down_ns,omitempty"` // nobody had the run in hand; part of Took and of no step
}

// StepSpent is the time of one step, or of a whole loop.
type StepSpent struct {
	Path  string        `json:"step"`
	Spent time.Duration `json:"spent_ns"`
}

// Took is what the run took by the clock on the wall. The RTO runs on through a crash, so the time before a resume counts.
func (t Times) Took() time.Duration { return t.Finished.Sub(t.Started) }

// Succeeded: the run came to a good end, so its times say how long the procedure takes.
func (t Times) Succeeded() bool { return t.State == engine.RunOK || t.State == engine.RunDegraded }

// SameAs tells whether the run was of these very files.
func (t Times) SameAs(pb *engine.Playbook) bool {
	return t.Digest == pb.Digest && maps.Equal(t.Nested, pb.NestedDigests())
}

// Stopwatch measures the steps of a run from its events, live or replayed.
type Stopwatch struct {
	times Times
	steps map[string]*span
	order []string
	last  time.Time
	down  time.Duration
}

// span is the time of a step on a clock that stands still while nobody has the run in hand.
type span struct {
	begin, end time.Time
	open       bool
	skipped    bool
}

// NewStopwatch begins before the first event.
func NewStopwatch() *Stopwatch { return &Stopwatch{steps: map[string]*span{}} }

// Hear takes note of an event.
func (w *Stopwatch) Hear(s engine.Stamped) {
	before := w.last
	w.last = s.At
	switch e := s.Event.(type) {
	case engine.RunStarted:
		w.times = Times{Run: e.Run, Playbook: e.Playbook, Digest: e.PlaybookDigest, Nested: e.Nested, Environment: e.Environment, Started: e.Started}
	case engine.PlaybookAdopted:
		w.times.Digest, w.times.Nested = e.Digest, e.Nested
	case engine.RunResumed:
		if s.At.After(before) {
			w.down += s.At.Sub(before)
		}
	case engine.RunFinished:
		w.times.State, w.times.Finished = e.State, s.At
		if outputs, ok := e.Outputs.V.(engine.Record); ok {
			w.times.DataAt, _ = outputs[DataOutput].(time.Time)
		}
	default:
		if path := line(engine.EventStep(s.Event)); path != "" {
			w.step(path, s, before)
		}
	}
}

// line is the line of the playbook that a path belongs to. A loop is one line, whatever it goes over.
func line(path string) string {
	if i := strings.IndexByte(path, '['); i >= 0 {
		return path[:i]
	}
	return path
}

// step places an event of a step. What reads has no event when it begins; it began when the run last moved.
func (w *Stopwatch) step(path string, s engine.Stamped, before time.Time) {
	x := w.steps[path]
	if x == nil {
		x = &span{begin: s.At.Add(-w.down)}
		w.steps[path], w.order = x, append(w.order, path)
		switch s.Event.(type) {
		case engine.StepFinished, engine.Prepared, engine.DoneIfAsked:
			x.begin = before.Add(-w.down)
		}
	}
	switch e := s.Event.(type) {
	case engine.StepSkipped:
		x.skipped = engine.EventStep(s.Event) == path // an item that is left out does not leave out its loop
	case engine.StepFinished, engine.Settled, engine.StepResolved, engine.ApprovalGiven, engine.ApprovalRefused:
		x.end, x.open = s.At.Add(-w.down), false
	case engine.DoneIfAsked:
		x.open = e.Asked != engine.Yes
		x.end = s.At.Add(-w.down)
	case engine.AskedAgain: // a proof that was asked for once more
	default:
		x.open = true
	}
}

// Times are what was measured so far. Steps that were left out have no time.
func (w *Stopwatch) Times() Times {
	t := w.times
	t.Down = w.down
	for _, path := range w.order {
		if x := w.steps[path]; !x.skipped && !x.open && !x.end.IsZero() {
			t.Steps = append(t.Steps, StepSpent{path, max(0, x.end.Sub(x.begin))})
		}
	}
	return t
}

// Figure is how long something took in so many runs, half of them and nineteen of twenty at most.
type Figure struct {
	P50  time.Duration `json:"p50_ns"`
	P95  time.Duration `json:"p95_ns"`
	Runs int           `json:"runs"`
}

// Figures are those of every step that some run has a time of, by its path; the whole run's is under "".
type Figures map[string]Figure

// Past makes figures of the runs before. Runs elsewhere say little of how long it takes here: as soon as there is a run in the same
// environment, only those count.
func Past(runs []Times, environment string) Figures {
	here := func(t Times) bool { return t.Environment == environment }
	only := slices.ContainsFunc(runs, func(t Times) bool { return t.Succeeded() && here(t) })
	spent := map[string][]time.Duration{}
	for _, t := range runs {
		if !t.Succeeded() || only && !here(t) {
			continue
		}
		spent[""] = append(spent[""], t.Took())
		for _, s := range t.Steps {
			spent[s.Path] = append(spent[s.Path], s.Spent)
		}
	}
	out := Figures{}
	for path, list := range spent {
		slices.Sort(list)
		out[path] = Figure{P50: rank(list, 50), P95: rank(list, 95), Runs: len(list)}
	}
	return out
}

// rank is the smallest of the sorted times that so many percent of them do not exceed.
func rank(sorted []time.Duration, percent int) time.Duration {
	return sorted[(len(sorted)*percent+99)/100-1]
}
