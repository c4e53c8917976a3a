package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

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
func (f LockFolder) guarded(ctx context.Context, do func(root *os.Root, dir File) error) error {
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
	defer func() { _ = osFile{dir}.Close() }() // ends the flock
	ctx, cancel := context.WithTimeoutCause(ctx, guardPatience, errors.New("another process does not let go of the folder"))
	defer cancel()
	for {
		had, err := osFile{dir}.Lock(true)
		if err != nil {
			return err
		}
		if had {
			return do(root, osFile{dir})
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

// putLock makes the file of a lock, or puts another in the place of a run's own. It appears whole or not at
// all. It is on the medium AFTER its folder was synced.
func putLock(root *os.Root, h Holder, again bool) error {
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
	if err != nil {
		return errors.Join(err, root.Remove(temp))
	}
	if again { // it is this run's already: only who drives the run has changed
		return root.Rename(temp, name)
	}
	return errors.Join(root.Link(temp, name), root.Remove(temp)) // fails when the name is there, whatever it is
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
