package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// Locks keeps runs apart that must not be alive at the same time. A lock is a file that belongs to a
// run, not to a process: a killed process does not free it, the final state of its run does.
//
// Each lock is written into every folder. One is host-wide, so that it holds whatever user or state
// folder a run has; another may stand in the state folder, so that it outlives a reboot that empties
// the first.
//
// A host-wide folder is writable by everybody and sticky, as /tmp is. Nothing in it is trusted: names
// are opened below the folder only, without following links, and what is not a small regular file is
// refused. Somebody who means harm can lock what is not his, but cannot have anything written or removed
// elsewhere.
type Locks struct {
	folders  []LockFolder
	standing func(Holder) Standing
	sync     func(File) error // of a folder; tests break it
}

// LockFolder is one place for locks.
type LockFolder struct {
	Path string
	// Shared: every user of the machine may put locks there.
	Shared bool
}

// Holder is what a lock says of the run that has it.
type Holder struct {
	Lock     string    `json:"lock"`
	Run      string    `json:"run"`
	Playbook string    `json:"playbook"`
	User     string    `json:"user"`
	Host     string    `json:"host"`
	PID      int       `json:"pid"`
	State    string    `json:"state"` // the state folder
	Since    time.Time `json:"since"`
}

// Standing is how it stands with the run that has a lock.
type Standing int

// The standings.
const (
	// StandingUnknown: its state folder cannot be looked into; it may be another user's.
	StandingUnknown Standing = iota
	// StandingAlive: a process drives it.
	StandingAlive
	// StandingIdle: nobody drives it, and it has not come to its end.
	StandingIdle
	// StandingOver: it has come to its end, or never began. Its lock is only left over.
	StandingOver
	// StandingGone: its state folder, or its journal, is not there any more.
	StandingGone
)

// LockedError says that another run has the lock.
type LockedError struct {
	Holder
	Standing Standing
	File     string
}

func (e *LockedError) Error() string {
	at := ""
	if e.State != "" {
		at = fmt.Sprintf(" (state folder %s)", e.State)
	}
	s := fmt.Sprintf("the lock %s belongs to run %s of %s%s; ", e.Lock, e.Run, e.Playbook, at)
	owner := fmt.Sprintf("process %d of %s@%s", e.PID, e.User, e.Host)
	switch e.Standing {
	case StandingAlive:
		return s + fmt.Sprintf("%s has it in hand since %s: watch it with: handrail show %s --follow, or end it: handrail cancel %s",
			owner, e.Since.Format(time.RFC3339), e.Run, e.Run)
	case StandingIdle:
		return s + fmt.Sprintf("%s had it in hand from %s, and nobody has now: go on with it: handrail resume %s, or end it: handrail cancel %s",
			owner, e.Since.Format(time.RFC3339), e.Run, e.Run)
	case StandingGone:
		return s + fmt.Sprintf("%s took it at %s, and that run is not there any more; see that nothing of it is still at work, then type: handrail unlock %s",
			owner, e.Since.Format(time.RFC3339), e.Run)
	case StandingUnknown, StandingOver:
	}
	return s + fmt.Sprintf("%s took it at %s; how that run stands only its user can tell: handrail show %s", owner, e.Since.Format(time.RFC3339), e.Run)
}

// NewLocks makes a set of locks over folders, which are made when the first lock is taken. standing tells
// how it stands with the run of a holder; it may be nil.
func NewLocks(folders []LockFolder, standing func(Holder) Standing) *Locks {
	return &Locks{folders: folders, standing: standing, sync: File.Sync}
}

// maxLock bounds what is read of a lock.
const maxLock = 1 << 16

// Take takes all of these locks for a run, or none. Those that the run has already stay its own. The
// error about one that another run has is a [LockedError].
func (l *Locks) Take(ctx context.Context, names []string, h Holder) error {
	if len(names) == 0 {
		return nil
	}
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	made := make([][]string, len(l.folders))
	for i, f := range l.folders {
		var err error
		if made[i], err = l.takeIn(ctx, f, names, h); err == nil {
			continue
		}
		// What the run had before stays its own.
		for k, f := range l.folders[:i] {
			err = errors.Join(err, f.guarded(ctx, func(root *os.Root, _ File) error { return removeLocks(root, made[k]) }))
		}
		return err
	}
	return nil
}

// takeIn takes all of the locks in one folder, or none, and says which of them the run had not had before.
func (l *Locks) takeIn(ctx context.Context, f LockFolder, names []string, h Holder) (made []string, err error) {
	if err := f.make(); err != nil {
		return nil, fmt.Errorf("make the folder for locks %s: %w; name another with HANDRAIL_LOCKS", f.Path, err)
	}
	err = f.guarded(ctx, func(root *os.Root, dir File) error {
		mine := map[string]bool{}
		for _, name := range names {
			var err error
			if mine[name], err = l.lookAt(root, f, name, h); err != nil {
				return err
			}
		}
		for _, name := range names {
			h.Lock = name
			switch err := putLock(root, h, mine[name]); {
			case mine[name]: // it stays the run's; if that failed, only the word of who drives the run is old
			case err != nil:
				return errors.Join(fmt.Errorf("take the lock %s in %s: %w", name, f.Path, err), removeLocks(root, made))
			default:
				made = append(made, name)
			}
		}
		// A lock outlives a power failure, as the run does that has it.
		if err := l.sync(dir); err != nil {
			return errors.Join(fmt.Errorf("take locks in %s: %w", f.Path, err), removeLocks(root, made))
		}
		return nil
	})
	return made, err
}

func removeLocks(root *os.Root, names []string) error {
	var errs []error
	for _, name := range names {
		errs = append(errs, root.Remove(lockName(name)))
	}
	return errors.Join(errs...)
}

// lookAt tells whether the lock is this run's already; a lock whose run is over is removed.
func (l *Locks) lookAt(root *os.Root, f LockFolder, name string, h Holder) (mine bool, err error) {
	file := filepath.Join(f.Path, lockName(name))
	held, err := readLock(root, lockName(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the lock %s: %w; if no run has it, remove it", file, err)
	}
	held.Lock = name
	if held.Run == h.Run && held.State == h.State {
		return true, nil
	}
	standing := StandingUnknown
	if l.standing != nil {
		standing = l.standing(held)
	}
	if standing == StandingOver && root.Remove(lockName(name)) == nil {
		return false, nil
	}
	return false, &LockedError{Holder: held, Standing: standing, File: file}
}

// Look says who has a lock: a [LockedError], or nil when no run has it. It takes nothing, not even the guard, and removes
// nothing.
func (l *Locks) Look(name string) error {
	for _, f := range l.folders {
		root, err := os.OpenRoot(f.Path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		held, err := readLock(root, lockName(name))
		err = errors.Join(err, root.Close())
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read the lock %s in %s: %w", name, f.Path, err)
		}
		held.Lock = name
		standing := StandingUnknown
		if l.standing != nil {
			standing = l.standing(held)
		}
		if standing != StandingOver {
			return &LockedError{Holder: held, Standing: standing, File: filepath.Join(f.Path, lockName(name))}
		}
	}
	return nil
}

// Release frees every lock of a run, whatever its playbook says by now.
func (l *Locks) Release(ctx context.Context, run, state string) error {
	var errs []error
	for _, f := range l.folders {
		errs = append(errs, releaseIn(ctx, f, run, state))
	}
	return errors.Join(errs...)
}

func releaseIn(ctx context.Context, f LockFolder, run, state string) error {
	err := f.guarded(ctx, func(root *os.Root, _ File) error {
		all, err := fs.ReadDir(root.FS(), ".")
		if err != nil {
			return err
		}
		for _, e := range all {
			held, err := readLock(root, e.Name())
			if err != nil || held.Run != run || held.State != state {
				continue
			}
			if err := root.Remove(e.Name()); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("free the locks of run %s in %s: %w", run, f.Path, err)
	}
	return nil
}

// RunStanding is what [NewLocks] asks about a holder: whether its journal is in somebody's hands, and what it
// says last. It trusts what lies in the shared folder with nothing but names.
func RunStanding(h Holder) Standing {
	if h.State == "" || !filepath.IsAbs(h.State) || !ValidID(h.Run) {
		return StandingUnknown
	}
	s := OpenStore(h.State)
	alive, err := s.Alive(h.Run)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return StandingGone
	case err != nil:
		return StandingUnknown
	case alive:
		return StandingAlive
	}
	// A process opens the journal BEFORE it takes locks, so nobody is between the two now.
	sum, err := s.Summary(h.Run)
	switch {
	case errors.Is(err, ErrNotBegun), err == nil && sum.State.Final():
		return StandingOver
	case errors.Is(err, ErrNoRun):
		return StandingGone
	}
	return StandingIdle
}

// HolderOf is what a lock of this run says.
func HolderOf(run, playbook, state string, by engine.Person, since time.Time) Holder {
	return Holder{Run: run, Playbook: playbook, User: by.User, Host: by.Host, PID: by.PID, State: state, Since: since}
}
