package steps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// LockOwner is a run that has, or wants, locks in a target.
type LockOwner struct {
	Run      string
	Playbook string
	User     string
	Host     string
	PID      int
	State    string // the state folder
	Since    time.Time
}

// HeldLock is a lock as its target tells of it.
type HeldLock struct {
	Lock string
	LockOwner
	// Fence grows with each time that the lock changes hands, and never falls.
	Fence int64
	// Alive is what shows that a process has the run in hand; empty: nothing does.
	Alive string
}

// Locker is a kind whose targets can keep locks that hold between hosts.
type Locker interface {
	// Locks are those of the target behind a connection, in the eyes of one run. Closing the connection ends what shows
	// that its process lives, and frees nothing.
	Locks(conn io.Closer, owner LockOwner) (Locks, error)
}

// Locks are the locks in a target. A lock belongs to a run, from Take until Release or until a person unlocks it, and no
// process, connection or time that ends frees it.
type Locks interface {
	// Look says which of the locks are held, and by whom. It only reads.
	Look(ctx context.Context, names []string) ([]HeldLock, error)
	// Take takes all of the locks, or none. The error about one that another run has, or that a process elsewhere has for
	// the same run, is a [LockTakenError]. over says of a holder that its run is known to be over.
	Take(ctx context.Context, names []string, over func(HeldLock) bool) error
	// Held makes sure that the run has what it took. The error is a [LockLostError] if it has not; any other means that
	// it cannot be told.
	Held(ctx context.Context) error
	// Release frees what was taken.
	Release(ctx context.Context) error
	// Unlock frees the locks of a run, and says which. may is asked about each first; an error ends it. While a process
	// has the run in hand the error is a [LockTakenError].
	Unlock(ctx context.Context, run string, may func(HeldLock) error) ([]HeldLock, error)
}

// LockExaminer are Locks that can say what would keep a run from having them. Like Preview it may only read.
type LockExaminer interface {
	Examine(ctx context.Context) ([]engine.Lack, error)
}

// LockTakenError says who has a lock.
type LockTakenError struct{ HeldLock }

func (e *LockTakenError) Error() string {
	return fmt.Sprintf("the lock %s belongs to run %s of %s", e.Lock, e.Run, e.Playbook)
}

// LockLostError says that a run does not have a lock any more.
type LockLostError struct {
	Lock string
	Now  *HeldLock // who has it; nil: nobody
}

func (e *LockLostError) Error() string {
	if e.Now == nil || e.Now.Run == "" {
		return fmt.Sprintf("the lock %s is not this run's any more: somebody has unlocked it, or it was erased", e.Lock)
	}
	return fmt.Sprintf("the lock %s is not this run's any more: run %s of %s has it (process %d of %s@%s, since %s)",
		e.Lock, e.Now.Run, e.Now.Playbook, e.Now.PID, e.Now.User, e.Now.Host, e.Now.Since.Format(time.RFC3339))
}

// ExamineLocks says what would keep runs from having their locks in a target.
func (x *Executor) ExamineLocks(ctx context.Context, target string) ([]engine.Lack, error) {
	open, err := x.Locks(ctx, target, LockOwner{})
	if err != nil {
		return nil, err
	}
	if e, ok := open.(LockExaminer); ok {
		return e.Examine(ctx)
	}
	return nil, nil
}

// Locks opens the locks of a target, and says where they are.
func (x *Executor) Locks(ctx context.Context, target string, owner LockOwner) (Locks, error) {
	t, ok := x.targets[target]
	if !ok {
		return nil, errors.New("nothing says where the target " + target + " is")
	}
	for name, def := range x.defs {
		k, ok := x.kinds[name].(Locker)
		if !ok {
			continue
		}
		for _, typ := range def.Targets {
			if typ.Name != t.Type || !typ.KeepsLocks {
				continue
			}
			conn, err := x.connect(ctx, name, t)
			if err != nil {
				return nil, err
			}
			return k.Locks(conn, owner)
		}
	}
	return nil, fmt.Errorf("a target of type %s keeps no locks", t.Type)
}
