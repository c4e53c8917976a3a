package journal

import (
	"errors"
	"fmt"

	"github.com/handrail-dev/handrail/engine"
)

// Fault says that a journal cannot be written or cannot be trusted. The run must not go on.
type Fault struct {
	Doing  string // "write the journal"
	Path   string
	Line   int // of the journal; 0: none in particular
	Err    error
	Remedy string
}

func (f *Fault) Error() string {
	s := f.Doing + " " + f.Path
	if f.Line > 0 {
		s += fmt.Sprintf(", line %d", f.Line)
	}
	s += ": " + f.Err.Error()
	if f.Remedy != "" {
		s += "; " + f.Remedy
	}
	return s
}

func (f *Fault) Unwrap() error { return f.Err }

// OwnedError says that another live process has the run's journal open.
type OwnedError struct {
	Run   string
	Owner engine.Person // zero when it left no word
}

func (e *OwnedError) Error() string {
	who := "another process"
	if e.Owner.PID != 0 {
		who = fmt.Sprintf("process %d of %s", e.Owner.PID, e.Owner)
	}
	return fmt.Sprintf("run %s is in the hands of %s; watch it with: handrail show %s --follow", e.Run, who, e.Run)
}

// ErrNoRun is wrapped by the error about a run that is not there.
var ErrNoRun = errors.New("no such run")

// ErrNotBegun is wrapped by the error about a run whose process ended BEFORE its first event: nothing
// was done, and nothing can be resumed.
var ErrNotBegun = errors.New("the run never began, so there is nothing to go on with")
