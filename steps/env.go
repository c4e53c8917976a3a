package steps

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// Env is what an operation acts through.
type Env struct {
	// Call is the command: token, attempt, epoch, what was seen and noted, expect.
	Call engine.Call
	// Again: an attempt with the same token was cut off; go on where Call.Note says it was.
	Again  bool
	Target Target
	Access Access
	Run    string // the run's id
	// Dir is the folder against which relative paths are taken.
	Dir string
	// Scratch is a folder of this run alone that outlives the process: for the lock that a child
	// inherits, and files that are published later. Empty in a dry-run.
	Scratch string
	// Now is the clock.
	Now func() time.Time

	attendant engine.Attendant
	connect   func(context.Context, Target) (io.Closer, error)
	ask       func(context.Context, engine.Question) engine.Answer
}

// Conn is the connection to the step's target; it is opened at the first call and kept for the run.
func (e *Env) Conn(ctx context.Context) (io.Closer, error) {
	if e.connect == nil {
		return nil, fmt.Errorf("step %s has no target", e.Call.Step)
	}
	return e.connect(ctx, e.Target)
}

// Ask asks a probe of any kind.
func (e *Env) Ask(ctx context.Context, q engine.Question) engine.Answer { return e.ask(ctx, q) }

// Note records what the operation must know of itself after a crash. See [engine.Attendant].
func (e *Env) Note(v engine.Value) error {
	e.Call.Note = v
	return e.attendant.Note(v)
}

// Progress shows how far the operation has come.
func (e *Env) Progress(done, total int64, unit string) { e.attendant.Progress(done, total, unit) }

// Drainer is an attendant that tells a long effect made of parts when it should stop between two of them:
// the process ends, or the run was cancelled. A context that ends would cut a part short.
type Drainer interface{ Draining() <-chan struct{} }

// Draining is closed when an effect made of parts should stop between two of them; nil, which is never
// closed, where nobody says so.
func (e *Env) Draining() <-chan struct{} {
	if d, ok := e.attendant.(Drainer); ok {
		return d.Draining()
	}
	return nil
}

// Output takes what the operation writes, for the step's log.
func (e *Env) Output() io.Writer { return e.attendant }

// NewEnv makes an Env as an executor would, for the contract suite and the tests of a kind.
func NewEnv(call engine.Call, target Target, access Access, attendant engine.Attendant,
	connect func(context.Context, Target) (io.Closer, error),
	ask func(context.Context, engine.Question) engine.Answer) *Env {
	return &Env{Call: call, Target: target, Access: access, Now: time.Now,
		attendant: attendant, connect: connect, ask: ask}
}
