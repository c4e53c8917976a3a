// Package local drives a run on this machine: it records events, carries out commands and tells a
// screen what happens.
//
// It guarantees the order of durability that the core asks for: what a Ready says must be durable is
// durable BEFORE its commands start, and every event is written BEFORE it is applied by anyone else.
// A write or sync that fails ends the run; nothing is started AFTER it.
//
// It never decides: what follows what is the core's. It never knows what an operation does, nor
// where a journal is kept.
package local

import (
	"context"
	"io"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// Journal is where events go.
type Journal interface {
	// Append writes events as one line. With sync they are durable when it returns. After an error
	// nothing more may be appended.
	Append(events []engine.Stamped, sync bool) error
}

// Executor carries out what a command asks.
type Executor interface {
	Ask(ctx context.Context, step string, questions []engine.Question) engine.Answer
	Prepare(ctx context.Context, c engine.Prepare) (engine.Preparation, error)
	Execute(ctx context.Context, c engine.Execute, a engine.Attendant) engine.Outcome
	Settle(ctx context.Context, c engine.Settle, a engine.Attendant) engine.Settlement
	// Remembers says which of these finished effects the targets have no marker of any more.
	Remembers(ctx context.Context, calls []engine.Call) (lost []string, evidence []string, err error)
}

// Clock is time, for drivers and tests.
type Clock interface {
	Now() time.Time
	// After sends once when d has passed, or never if ctx ends first.
	After(ctx context.Context, d time.Duration) <-chan time.Time
}

// Request is something that another hand wants of the run. Event makes the event, or says why it
// cannot be; Done is called once the event is durable, or with the reason why it was refused. It is not called
// when the driver comes to its end first: then the request was not seen.
type Request struct {
	Event func(*engine.Run, time.Time) (engine.Event, error)
	Done  func(error)
}

// Signal is what a person at the terminal, or the machine, asks of the process.
type Signal int

// The signals.
const (
	// Drain ends reads and waits at once, lets effects end, records them and stops.
	Drain Signal = iota
	// Abort cancels effects as well, and records what is then true.
	Abort
)

// Notice is something for a screen. Exactly one of the fields is set.
type Notice struct {
	// Event was recorded and applied.
	Event *engine.Stamped
	// Started is a command that has begun.
	Started engine.Command
	// Progress of a step under way.
	Progress *Progress
}

// Progress is how far a step has come; Total is 0 when it is not known.
type Progress struct {
	Step        string
	Done, Total int64
	Unit        string
}

// Driver drives one run. Run, Journal, Executor, Clock and Random must be set.
type Driver struct {
	Run      *engine.Run
	Journal  Journal
	Executor Executor
	Clock    Clock
	// Random gives numbers from 0 to 1, for the pauses between attempts.
	Random func() float64
	// Requests from other hands; nil: none come.
	Requests <-chan Request
	Signals  <-chan Signal
	// Person asks whoever sits at the terminal, and returns the event of the answer; nil: nobody sits
	// there, and the run waits with exit 3. It returns nil when nobody answered before ctx ended.
	Person func(ctx context.Context, c engine.AskPerson) engine.Event
	// Holds makes sure, BEFORE each effect, that the run may still have one: that its locks are its own. After an error
	// the effect is not begun, and the process stops; the run can be resumed. nil: nothing has to be asked.
	Holds func(ctx context.Context) error
	// Observe is told what happens. It is called by one goroutine at a time.
	Observe func(Notice)
	// Mask replaces the secrets in a text; nil: there are none. It is applied to whatever an executor
	// says BEFORE that is recorded or shown.
	Mask func(string) string
	// MaskEnd does so in a text of which only the end was kept, and which may begin within a secret; nil: as Mask.
	MaskEnd func(string) string
	// Logs opens the log of a step; nil: output is dropped.
	Logs func(step string) (io.WriteCloser, error)
}
