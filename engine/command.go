package engine

import "time"

// Command is something that the driver has to do for a run. Each is handed out once in the life of a
// driver; its answer comes back as the event named beside it.
type Command interface{ commandStep() string }

// Call is what every command about an operation has in common.
type Call struct {
	Step      string // the path
	ID        string // the step's id
	Title     string
	Kind      string
	Operation string
	Target    string
	Params    Record // rendered; may hold Secrets, Questions, Conditions and Lates
	Class     Class
	Token     string
	Attempt   int
	Epoch     int // how often the run was taken over; a marker refuses an older one
	Timeout   time.Duration
	Seen      Value // what Prepared recorded
	Note      Value // the last Noted
	Wipes     bool
	Wiped     bool // a step has erased, or this one does, what the ones before it have left on the target
	Sensitive bool
	// Expect is set where the operation itself has to ask BEFORE its effect is committed.
	Expect *Condition
}

// The commands.
type (
	// AskDoneIf asks a step's done_if; answered by DoneIfAsked.
	AskDoneIf struct {
		Step      string
		Questions []Question
		Timeout   time.Duration
	}
	// Prepare looks at the target before the intent; answered by Prepared.
	Prepare struct{ Call }
	// Execute carries out an operation. Its Outcome goes through [Run.Judge], which makes the event.
	Execute struct {
		Call
		// Again: the attempt before this one was cut off by a crash, or nothing could say how it ended, and the class
		// allows to go on. It may be under way still.
		Again bool
		// Refresh: the step is finished, and asked again on resume; answered by AskedAgain.
		Refresh bool
	}
	// Settle finds out what became of an attempt that was cut off; answered by Settled.
	Settle struct {
		Call
		Questions []Question // the step's done_if, to be asked when the operation has no proof of its own
	}
	// Pause waits before an attempt; answered by RetryDue.
	Pause struct {
		Step string
		For  time.Duration
	}
	// AskPerson waits for a person; answered by ApprovalGiven or ApprovalRefused.
	AskPerson struct {
		Step    string
		Message string
		Digest  string
		Plan    string // the hash of the saved plan of which it is a part
		Expires time.Time
		// LeftThen is how much of its time the approval had left then, when the last event was; see [AskPerson.Left].
		LeftThen time.Duration
		Then     time.Time
	}
	// CheckMemory asks the targets whether they still remember the effects of these finished steps;
	// answered by MemoryChecked.
	CheckMemory struct{ Calls []Call }
)

func (c AskDoneIf) commandStep() string { return c.Step }
func (c Call) commandStep() string      { return c.Step }
func (c Pause) commandStep() string     { return c.Step }
func (c AskPerson) commandStep() string { return c.Step }
func (CheckMemory) commandStep() string { return "" }

// CommandStep is the path of the step that a command is about.
func CommandStep(c Command) string { return c.commandStep() }

// Outcome is what came of executing an operation.
type Outcome struct {
	Result Record
	// Err says, in words for a person, why the operation did not succeed. Empty: it succeeded.
	Err    string
	Effect Effect // of a failure
	// InDoubt: it could not be found out whether the effect happened. Evidence says what is known. Of what is idempotent the attempt
	// has failed then, and the next one is told to go on from it: Execute.Again.
	InDoubt  bool
	Evidence []string
	// Transient: the same attempt may well succeed a moment later (a deadlock, a refused connection).
	Transient bool
	// Stopped: it was asked to stop, because the process ends or the run was cancelled, and did so at a
	// place behind which another attempt goes on. A process that ends records nothing of it: to the next one the attempt was cut off.
	Stopped bool
	// Grade and Message are for operations that grade.
	Grade   Grade
	Message string
	Tail    string
}

// Failure is an outcome that left no effect.
func Failure(err error) Outcome { return Outcome{Err: err.Error()} }

// Settlement is what an operation found out about an attempt that was cut off.
type Settlement struct {
	Verdict  Verdict
	Dead     bool // the attempt is shown to have ended, so a No of done_if permits another
	Evidence []string
	Result   Record // of an effect that is proved done
	Err      string // the attempt is known to have ended in this failure
}

// Preparation is what an operation saw of its target before its intent.
type Preparation struct {
	Seen Value
	// Class, if set, is the class that the target allows, when that is less than was declared.
	Class Class
	Why   string
}

// Attendant is what a driver hands to whoever carries out a command for it.
type Attendant interface {
	// Note records what the operation must know of itself after a crash. It is durable when Note
	// returns; after an error the operation must not go on.
	Note(Value) error
	// Progress shows how far the operation has come; total is 0 when it is not known. Nothing of it
	// is recorded.
	Progress(done, total int64, unit string)
	// Write takes the output of the operation, for its log. Secrets are masked behind it.
	Write(p []byte) (int, error)
}
