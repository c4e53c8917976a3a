package engine

// State is where a step stands.
type State int

// The states of a step.
const (
	Pending  State = iota
	Skipped        // `when` was false, or the group was left
	Already        // `done_if` said yes before anything was done
	Intended       // the intent is recorded; the effect may be under way
	OK
	Degraded
	Failed
	InDoubt  // cannot be known whether the effect happened
	Resolved // a person has said what is true
)

var stateNames = [...]string{"pending", "skipped", "already", "intended", "ok", "degraded", "failed", "in doubt", "resolved"}

func (s State) String() string { return stateNames[s] }

// MarshalText writes the name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the name.
func (s *State) UnmarshalText(b []byte) error { return parseName(stateNames[:], b, (*int)(s), "state") }

// Effect is what is known of the effect of a step that did not end well.
type Effect int

// The effects.
const (
	EffectNone    Effect = iota // the target is as it was
	EffectStands                // it happened, and the step failed all the same
	EffectUnknown               // it failed on the way; some of it may have happened
)

var effectNames = [...]string{"none", "stands", "unknown"}

func (e Effect) String() string { return effectNames[e] }

// MarshalText writes the name.
func (e Effect) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads the name.
func (e *Effect) UnmarshalText(b []byte) error {
	return parseName(effectNames[:], b, (*int)(e), "effect")
}

// Resolution is what a person says of a step.
type Resolution int

// The resolutions.
const (
	ResolvedDone    Resolution = iota // the effect is there; go on
	ResolvedNotDone                   // the effect is not there; run the step again
	ResolvedSkip                      // leave the step out; go on
)

var resolutionNames = [...]string{"done", "not done", "skipped"}

func (r Resolution) String() string { return resolutionNames[r] }

// MarshalText writes the name.
func (r Resolution) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the name.
func (r *Resolution) UnmarshalText(b []byte) error {
	return parseName(resolutionNames[:], b, (*int)(r), "resolution")
}

// RunState is where a run stands.
type RunState int

// The states of a run. Those from RunOK on are final until somebody resumes the run.
const (
	Running     RunState = iota
	Waiting              // for a person: an approval, or a step in doubt
	Interrupted          // stopped in order; can be resumed
	RunOK
	RunDegraded
	RunFailed
	RunCancelled
	RunUndone
)

var runStateNames = [...]string{"running", "waiting", "interrupted", "ok", "degraded", "failed", "cancelled", "undone"}

func (s RunState) String() string { return runStateNames[s] }

// MarshalText writes the name.
func (s RunState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the name.
func (s *RunState) UnmarshalText(b []byte) error {
	return parseName(runStateNames[:], b, (*int)(s), "run state")
}

// Final: the run has come to its end and holds no lock any more.
func (s RunState) Final() bool { return s >= RunOK }
