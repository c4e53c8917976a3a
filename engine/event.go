package engine

import (
	"slices"
	"time"
)

// Event is something that happened in a run. Events are what a journal holds, what a screen shows and
// what a test asserts. [Run.Apply] is the only thing that changes a run.
type Event interface{ eventName() string }

// Stamped is an event with the time at which the driver took note of it.
type Stamped struct {
	At time.Time
	Event
}

// The events of a run as a whole.
type (
	// RunStarted is the first event of every run.
	RunStarted struct {
		Run            string `json:"run"`
		Playbook       string `json:"playbook"`
		PlaybookDigest string `json:"playbook_digest"`
		// Nested are the digests of the playbooks that it runs, by name.
		Nested map[string]string `json:"nested,omitempty"`
		// Plan is the hash of the saved plan that the run carries out; empty: none.
		Plan        string    `json:"plan,omitempty"`
		Environment string    `json:"environment,omitempty"` // its name
		EnvDigest   string    `json:"environment_digest,omitempty"`
		Inputs      Typed     `json:"inputs"` // a Record; secrets by name only
		Started     time.Time `json:"started"`
		By          Person    `json:"by"`
		Version     string    `json:"version"`
	}
	// VarsSet records the values of vars, evaluated once.
	VarsSet struct {
		Vars Typed `json:"vars"`
	}
	// RunResumed says that another process has taken the run over. Epoch counts these, from 1; what
	// the process before had in flight is settled before anything else is done.
	RunResumed struct {
		By    Person `json:"by"`
		Epoch int    `json:"epoch"`
	}
	// RunPaused says that the process ends before the run does: Waiting or Interrupted.
	RunPaused struct {
		State  RunState `json:"state"`
		Reason string   `json:"reason"`
	}
	// CancelAsked says that a person wants the run ended, and perhaps undone.
	CancelAsked struct {
		By   Person `json:"by"`
		Undo bool   `json:"undo,omitempty"`
		// Request is the name of the request that the event comes from; empty: it was not laid into the inbox.
		Request string `json:"request,omitempty"`
	}
	// PhaseEntered says that the run goes from its steps to undoing them, or to its `always`.
	PhaseEntered struct {
		Phase Phase `json:"phase"`
		// Steps are the paths of the steps to undo, in that order.
		Steps []string `json:"steps,omitempty"`
		// Final is the state that the run will have AFTER its `always`.
		Final RunState `json:"final"`
		// Round counts how often the run has come here, from 0: a resumed run may come again.
		Round int `json:"round,omitempty"`
	}
	// RunFinished is the last event of a run, unless somebody resumes it.
	RunFinished struct {
		State   RunState `json:"state"`
		Outputs Typed    `json:"outputs"`
		Error   string   `json:"error,omitempty"`
	}
	// PlaybookAdopted says that the run goes on under a corrected playbook. Approvals are void.
	PlaybookAdopted struct {
		Digest string            `json:"digest"`
		Nested map[string]string `json:"nested,omitempty"` // as in RunStarted
		Diff   string            `json:"diff"`
		By     Person            `json:"by"`
	}
	// Repaired says that the journal ended in a torn line, which was cut off and kept aside.
	Repaired struct {
		Bytes int    `json:"bytes"`
		Kept  string `json:"kept"` // the file that has them
	}
)

// The events of one step. Step is its path.
type (
	// Entered records that `when` was true of a group or loop.
	Entered struct {
		Step string `json:"step"`
	}
	// StepSkipped says that the step will not be run.
	StepSkipped struct {
		Step string `json:"step"`
		Why  string `json:"why"`
	}
	// ItemsListed records what a for_each goes over. Keys are unique.
	ItemsListed struct {
		Step  string   `json:"step"`
		Keys  []string `json:"keys"`
		Items Typed    `json:"items"` // a List; null where each item is its own key
	}
	// DoneIfAsked records the answer of a step's `done_if`.
	DoneIfAsked struct {
		Step    string `json:"step"`
		Asked   Asked  `json:"answer"`
		Message string `json:"message,omitempty"`
		Result  Typed  `json:"result"`
	}
	// Prepared records what an operation saw of its target BEFORE its intent.
	Prepared struct {
		Step  string `json:"step"`
		Seen  Typed  `json:"seen"`
		Class Class  `json:"class,omitempty"` // when the target allows less than the operation declares
		Why   string `json:"why,omitempty"`
		Error string `json:"error,omitempty"` // nothing was done, and nothing will be
	}
	// StepIntended is durable BEFORE the effect begins.
	StepIntended struct {
		Step    string `json:"step"`
		Attempt int    `json:"attempt"`
		Token   string `json:"token"`
		Class   Class  `json:"class"`
		Digest  string `json:"digest"` // of the rendered parameters
	}
	// Noted records what an operation wants to know of itself after a crash: an exec id, a pid, how
	// far a batched operation has come. It replaces the note before it.
	Noted struct {
		Step string `json:"step"`
		Note Typed  `json:"note"`
	}
	// StepFinished ends an attempt.
	StepFinished struct {
		Step    string `json:"step"`
		Attempt int    `json:"attempt,omitempty"`
		State   State  `json:"state"` // OK, Degraded, Failed or InDoubt
		Effect  Effect `json:"effect,omitempty"`
		// CutOff: how the attempt ended is not known, and it may be made again. The next one goes on from it, as
		// after a crash: with what was seen and noted before, so that it finds what is still under way.
		CutOff  bool   `json:"cut_off,omitempty"`
		Result  Typed  `json:"result"`
		Error   string `json:"error,omitempty"`
		Message string `json:"message,omitempty"`
		// Tail is the end of what the step wrote; the whole is in its log.
		Tail string `json:"tail,omitempty"`
		// Evidence is what is known of a step in doubt.
		Evidence []string `json:"evidence,omitempty"`
		// Withheld: the step is sensitive, and its result is not here.
		Withheld bool `json:"withheld,omitempty"`
		withheld Record
	}
	// RetryScheduled says that a failed attempt will be made again.
	RetryScheduled struct {
		Step   string        `json:"step"`
		Pause  time.Duration `json:"pause"`
		Error  string        `json:"error"`
		Effect Effect        `json:"effect,omitempty"` // of the failed attempt
		CutOff bool          `json:"cut_off,omitempty"`
	}
	// RetryDue ends the pause before an attempt.
	RetryDue struct {
		Step string `json:"step"`
	}
	// Settled records what was found out, AFTER a crash or a lost answer, about an attempt.
	Settled struct {
		Step     string   `json:"step"`
		Verdict  Verdict  `json:"verdict"`
		Dead     bool     `json:"dead,omitempty"` // the first attempt is shown to have ended
		Evidence []string `json:"evidence,omitempty"`
		Result   Typed    `json:"result"`
		Error    string   `json:"error,omitempty"` // the attempt is known to have failed so
	}
	// StepResolved is a person's word on a step.
	StepResolved struct {
		Step    string     `json:"step"`
		As      Resolution `json:"as"`
		By      Person     `json:"by"`
		Because string     `json:"because"`
		Request string     `json:"request,omitempty"` // see CancelAsked
	}
	// ApprovalAsked says that a person is waited for.
	ApprovalAsked struct {
		Step    string    `json:"step"`
		Message string    `json:"message"`
		Digest  string    `json:"digest"`         // of what is approved
		Plan    string    `json:"plan,omitempty"` // the hash of the saved plan of which it is a part
		Expires time.Time `json:"expires"`        // zero: never; the driver sets it from For
		// For is how long the approval may be waited for.
		For time.Duration `json:"-"`
	}
	// ApprovalGiven is a yes to the digest that was asked about.
	ApprovalGiven struct {
		Step    string `json:"step"`
		Digest  string `json:"digest"`
		Plan    string `json:"plan,omitempty"` // as it was asked
		By      Person `json:"by"`
		Request string `json:"request,omitempty"` // see CancelAsked
	}
	// ApprovalRefused is a no, or the end of the time to answer.
	ApprovalRefused struct {
		Step    string `json:"step"`
		By      Person `json:"by"`
		Because string `json:"because"`
		Expired bool   `json:"expired,omitempty"`
		Request string `json:"request,omitempty"` // see CancelAsked
	}
	// AskedAgain records that a finished reading step was asked again on resume: a verify, whose proof
	// may no longer hold, or a sensitive step, whose result is not stored.
	AskedAgain struct {
		Step     string `json:"step"`
		State    State  `json:"state"`
		Error    string `json:"error,omitempty"`
		Message  string `json:"message,omitempty"`
		Result   Typed  `json:"result"`
		Withheld bool   `json:"withheld,omitempty"`
		withheld Record
	}
	// Assumed is an event of a plan, never of a journal: the step was not run, and what it would bring
	// back is known only AFTER it.
	Assumed struct {
		Step  string
		After string // the step whose run would make it known
		State State  // OK, or Already or Skipped when that is certain
	}
	// Undecided is an event of a plan: `when` needs what is not known yet, so both branches are shown.
	Undecided struct {
		Step string
		Why  string
	}
	// MemoryChecked records whether the target still remembers the effects of finished steps. Lost
	// are the steps whose markers are gone: the target was restored or failed over.
	MemoryChecked struct {
		Lost     []string `json:"lost,omitempty"`
		Evidence []string `json:"evidence,omitempty"`
	}
)

// Person is who did something, and from where.
type Person struct {
	User string `json:"user"`
	Host string `json:"host,omitempty"`
	PID  int    `json:"pid,omitempty"`
}

func (p Person) String() string {
	if p.Host == "" {
		return p.User
	}
	return p.User + "@" + p.Host
}

// Phase is the part of a run that is under way.
type Phase int

// The phases.
const (
	PhaseSteps Phase = iota
	PhaseUndo
	PhaseAlways
)

var phaseNames = [...]string{"steps", "undo", "always"}

func (p Phase) String() string { return phaseNames[p] }

// MarshalText writes the name.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the name.
func (p *Phase) UnmarshalText(b []byte) error { return parseName(phaseNames[:], b, (*int)(p), "phase") }

// Verdict is what is known of an effect after a crash.
type Verdict int

// The verdicts.
const (
	VerdictUnknown Verdict = iota
	VerdictDone
	VerdictNotDone
)

var verdictNames = [...]string{"unknown", "done", "not done"}

func (v Verdict) String() string { return verdictNames[v] }

// MarshalText writes the name.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads the name.
func (v *Verdict) UnmarshalText(b []byte) error {
	return parseName(verdictNames[:], b, (*int)(v), "verdict")
}

func (RunStarted) eventName() string      { return "run_started" }
func (VarsSet) eventName() string         { return "vars_set" }
func (RunResumed) eventName() string      { return "run_resumed" }
func (RunPaused) eventName() string       { return "run_paused" }
func (CancelAsked) eventName() string     { return "cancel_asked" }
func (PhaseEntered) eventName() string    { return "phase_entered" }
func (RunFinished) eventName() string     { return "run_finished" }
func (PlaybookAdopted) eventName() string { return "playbook_adopted" }
func (Repaired) eventName() string        { return "repaired" }
func (Entered) eventName() string         { return "entered" }
func (StepSkipped) eventName() string     { return "skipped" }
func (ItemsListed) eventName() string     { return "items_listed" }
func (DoneIfAsked) eventName() string     { return "done_if_asked" }
func (Prepared) eventName() string        { return "prepared" }
func (StepIntended) eventName() string    { return "intended" }
func (Noted) eventName() string           { return "noted" }
func (StepFinished) eventName() string    { return "finished" }
func (RetryScheduled) eventName() string  { return "retry_scheduled" }
func (RetryDue) eventName() string        { return "retry_due" }
func (Settled) eventName() string         { return "settled" }
func (StepResolved) eventName() string    { return "resolved" }
func (ApprovalAsked) eventName() string   { return "approval_asked" }
func (ApprovalGiven) eventName() string   { return "approval_given" }
func (ApprovalRefused) eventName() string { return "approval_refused" }
func (AskedAgain) eventName() string      { return "asked_again" }
func (MemoryChecked) eventName() string   { return "memory_checked" }
func (Assumed) eventName() string         { return "assumed" }
func (Undecided) eventName() string       { return "undecided" }

// EventNames are the names of all events that a journal may hold, sorted.
func EventNames() []string {
	names := make([]string, 0, len(eventReaders))
	for name := range eventReaders {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// EventName is the name under which an event is written.
func EventName(e Event) string { return e.eventName() }

// EventStep is the path of the step that an event is about; empty for one of the run as a whole.
func EventStep(e Event) string {
	if s, ok := e.(interface{ stepPath() string }); ok {
		return s.stepPath()
	}
	return ""
}

func (e Entered) stepPath() string         { return e.Step }
func (e StepSkipped) stepPath() string     { return e.Step }
func (e ItemsListed) stepPath() string     { return e.Step }
func (e DoneIfAsked) stepPath() string     { return e.Step }
func (e Prepared) stepPath() string        { return e.Step }
func (e StepIntended) stepPath() string    { return e.Step }
func (e Noted) stepPath() string           { return e.Step }
func (e StepFinished) stepPath() string    { return e.Step }
func (e RetryScheduled) stepPath() string  { return e.Step }
func (e RetryDue) stepPath() string        { return e.Step }
func (e Settled) stepPath() string         { return e.Step }
func (e StepResolved) stepPath() string    { return e.Step }
func (e ApprovalAsked) stepPath() string   { return e.Step }
func (e ApprovalGiven) stepPath() string   { return e.Step }
func (e ApprovalRefused) stepPath() string { return e.Step }
func (e AskedAgain) stepPath() string      { return e.Step }
func (e Assumed) stepPath() string         { return e.Step }
func (e Undecided) stepPath() string       { return e.Step }
