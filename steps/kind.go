// Package steps is the contract of a step kind: what it declares, and what it does when it is
// previewed, prepared, executed and asked about after a crash.
//
// A kind is one folder below this package and one line in steps/all. It declares itself as data
// ([engine.Kind]), decodes the parameters of each operation into a struct of its own with [Bind],
// and acts through what an [Env] hands to it. It never sees YAML, a journal or another kind; to ask
// another kind a question it uses [Env.Ask].
//
// The contract guarantees to a kind that Execute is called only AFTER the intent is durable, that
// the same token is never executed by two live engines where the target can tell, and that in a
// dry-run the connection itself refuses what could write. The contract suite in steps/steptest
// holds every kind to its side of it.
package steps

import (
	"context"
	"io"

	"github.com/handrail-dev/handrail/engine"
)

// Kind is one step kind.
type Kind interface {
	// Define declares the kind. It must always return the same.
	Define() engine.Kind
	// Decode turns the parameters of an operation, which have passed its declared shape, into the
	// operation. It must be pure. An error may be an [engine.Problem].
	Decode(operation string, params engine.Record) (Operation, error)
}

// Operation is one operation with its parameters, ready to act.
type Operation interface {
	// Preview says what Execute would do now. It may only read; the connection that env hands out
	// refuses everything else.
	Preview(ctx context.Context, env *Env) (engine.Impact, error)
	// Execute does it. Under a read-only env (a probe or a read in a dry-run) it is called only for
	// operations of class read.
	Execute(ctx context.Context, env *Env) engine.Outcome
}

// Preparer is an operation that looks at its target BEFORE the intent is recorded. Its definition
// says Prepares. What it returns as Seen is there as Env.Call.Seen, also after a crash. An error ends the
// step with no effect.
type Preparer interface {
	Prepare(ctx context.Context, env *Env) (engine.Preparation, error)
}

// Settler is an operation that can find out what became of an attempt that was cut off. It must wait
// for, or end, whatever of the attempt is still alive before it says Dead or a verdict.
type Settler interface {
	Settle(ctx context.Context, env *Env) engine.Settlement
}

// Checker is an operation that can say, long before a run, what it would miss. Its parameters may have the zero
// value where they are not known (see [engine.FirstUnknown] on Env.Call.Params). Like Preview it may only read. An
// operation that is no Checker is previewed instead, when all of its parameters are known; what could then not be
// judged is what it lacks.
type Checker interface {
	Check(ctx context.Context, env *Env) ([]engine.Lack, error)
}

// Maker is an operation that knows whether it makes something that a later step could miss: a table, a container. One
// that is no Maker is taken to make whatever is missing on its target.
type Maker interface {
	Makes(env *Env) bool
}

// Connector is a kind whose steps act on targets.
type Connector interface {
	// Connect opens a target. Under [ReadOnly] the connection must refuse, below the code of the
	// operations, whatever is not known to read.
	Connect(ctx context.Context, target Target, access Access) (io.Closer, error)
}

// Rememberer is a kind whose targets hold markers of finished effects.
type Rememberer interface {
	// Remembers says of which of the calls, by token, the marker is on the target.
	Remembers(ctx context.Context, conn io.Closer, calls []engine.Call) (map[string]bool, error)
}

// Forgetter is a kind whose targets keep the markers of a run until they are told that nobody will ask for them.
type Forgetter interface {
	// Marked says how many markers of a run there are on the target.
	Marked(ctx context.Context, conn io.Closer, run string) (int64, error)
	// Forget removes the markers of a run that has ended and will not go on, and says how many there were.
	Forget(ctx context.Context, conn io.Closer, run string) (int64, error)
}

// Access says what a connection lets through.
type Access int

// The kinds of access.
const (
	ReadOnly Access = iota
	Full
)

// Target is a named connection, as the environment file says where it is.
type Target struct {
	Name     string
	Type     string // mysql, sqlite, redis, docker
	Settings engine.Record
}
