package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

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
	folders []LockFolder
	// Over tells whether the run of a holder has come to its end, so that its lock is only left over.
	over func(Holder) bool
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

// LockedError says that another run has the lock.
type LockedError struct {
	Holder
	File string
}

func (e *LockedError) Error() string {
	at := ""
	if e.State != "" {
		at = fmt.Sprintf(" (state folder %s)", e.State)
	}
	return fmt.Sprintf("the lock %s belongs to run %s of %s, started by %s@%s at %s%s; go on with it: handrail resume %s, or end it: handrail cancel %s. If that run is gone for good, remove %s",
		e.Lock, e.Run, e.Playbook, e.User, e.Host, e.Since.Format(time.RFC3339), at, e.Run, e.Run, e.File)
}

// NewLocks makes a set of locks over folders, which are made when the first lock is taken. over may be
// nil.
func NewLocks(folders []LockFolder, over func(Holder) bool) *Locks {
	return &Locks{folders: folders, over: over}
}

// maxLock bounds what is read of a lock.
const maxLock = 1 << 16

// Take takes all of these locks for a run, or none. Those that the run has already stay its own. The
// error about one that another run has is a [LockedError].
func (l *Locks) Take(ctx context.Context, names []string, h Holder) error {
	if len(names) == 0 {
		return nil
	}
	names = append([]string(nil), names...)
	sort.Strings(names)
	var taken []LockFolder
	for _, f := range l.folders {
		if err := l.takeIn(ctx, f, names, h); err != nil {
			for _, t := range taken {
				err = errors.Join(err, releaseIn(ctx, t, h.Run, h.State))
			}
			return err
		}
		taken = append(taken, f)
	}
	return nil
}

func (l *Locks) takeIn(ctx context.Context, f LockFolder, names []string, h Holder) error {
	if err := f.make(); err != nil {
		return fmt.Errorf("make the folder for locks %s: %w; name another with HANDRAIL_LOCKS", f.Path, err)
	}
	return f.guarded(ctx, func(root *os.Root) error {
		var free []string
		for _, name := range names {
			mine, err := l.lookAt(root, f, name, h)
			if err != nil {
				return err
			}
			if !mine {
				free = append(free, name)
			}
		}
		for i, name := range free {
			h.Lock = name
			if err := putLock(root, h); err != nil {
				for _, made := range free[:i] {
					err = errors.Join(err, root.Remove(lockName(made)))
				}
				return fmt.Errorf("take the lock %s in %s: %w", name, f.Path, err)
			}
		}
		return nil
	})
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
	if l.over != nil && l.over(held) && root.Remove(lockName(name)) == nil {
		return false, nil
	}
	return false, &LockedError{Holder: held, File: file}
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
	err := f.guarded(ctx, func(root *os.Root) error {
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

// make makes the folder. A shared one is like /tmp: everybody may write, and only the owner of a file
// may remove it.
func (f LockFolder) make() error {
	info, err := os.Lstat(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !info.IsDir():
		return errors.New("it is not a folder")
	case f.Shared && info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0:
		return errors.New("everybody may remove the files of others there (no sticky bit)")
	default:
		return nil
	}
	if !f.Shared {
		return makeFolder(f.Path)
	}
	err = os.Mkdir(f.Path, 0o700)
	if errors.Is(err, fs.ErrExist) { // another process has made it in the same moment
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(f.Path, 0o777|fs.ModeSticky)
}

// same makes sure that what was opened is a folder that stands at the path itself, not where a link led.
func (f LockFolder) same(root *os.Root) error {
	opened, err := root.Stat(".")
	if err != nil {
		return err
	}
	there, err := os.Lstat(f.Path)
	if err != nil {
		return err
	}
	if !os.SameFile(opened, there) {
		return errors.New("it is not a folder but a link")
	}
	return nil
}

// guardPatience is how long one process waits for another that is taking or freeing locks.
const guardPatience = 5 * time.Second

// guarded calls do while nobody else takes or frees locks in the folder. The guard is a flock on the
// folder itself, so a process that dies lets go of it.
func (f LockFolder) guarded(ctx context.Context, do func(*os.Root) error) error {
	root, err := os.OpenRoot(f.Path)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // nothing is written through it
	if err := f.same(root); err != nil {
		return err
	}
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }() // ends the flock
	ctx, cancel := context.WithTimeoutCause(ctx, guardPatience, errors.New("another process does not let go of the folder"))
	defer cancel()
	for {
		had, err := osFile{dir}.Lock(true)
		if err != nil {
			return err
		}
		if had {
			return do(root)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// lockName is the name of a lock's file.
func lockName(name string) string {
	return strings.TrimSuffix(logName(name), ".log") + ".lock"
}

// putLock makes the file of a lock. It appears whole or not at all.
func putLock(root *os.Root, h Holder) error {
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	name := lockName(h.Lock)
	temp := fmt.Sprintf(".%s.%d", name, h.PID)
	if err := root.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	err = errors.Join(err, f.Chmod(0o644), osFile{f}.Sync(), f.Close())
	if err == nil {
		err = root.Link(temp, name) // fails when the name is there, whatever it is
	}
	return errors.Join(err, root.Remove(temp))
}

func readLock(root *os.Root, name string) (Holder, error) {
	var h Holder
	if !strings.HasSuffix(name, ".lock") || strings.HasPrefix(name, ".") {
		return h, fs.ErrNotExist
	}
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return h, errors.New("it is a symbolic link")
	}
	if err != nil {
		return h, err
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return h, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxLock {
		return h, errors.New("it is not the file of a lock")
	}
	b, err := io.ReadAll(io.LimitReader(f, maxLock))
	if err != nil {
		return h, err
	}
	if err := json.Unmarshal(b, &h); err != nil {
		return h, fmt.Errorf("it is not the file of a lock: %w", err)
	}
	return h, nil
}

// RunOver is what [NewLocks] asks of a holder whose journal this user can read: the run came to its end,
// or its process died BEFORE it began.
func RunOver(h Holder) bool {
	if h.State == "" || !filepath.IsAbs(h.State) || !ValidID(h.Run) {
		return false
	}
	s := OpenStore(h.State)
	if alive, err := s.Alive(h.Run); alive || err != nil {
		return false
	}
	// A process opens the journal BEFORE it takes locks, so nobody is between the two now.
	sum, err := s.Summary(h.Run)
	return errors.Is(err, ErrNotBegun) || err == nil && sum.State.Final()
}

// HolderOf is what a lock of this run says.
func HolderOf(run, playbook, state string, by engine.Person, since time.Time) Holder {
	return Holder{Run: run, Playbook: playbook, User: by.User, Host: by.Host, PID: by.PID, State: state, Since: since}
}
