package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// Yard hands out the folders in which attempts are made. It is safe for use by several goroutines.
type Yard struct {
	mu      sync.Mutex
	folders map[string]*Folder
}

// Folder is a folder in which attempts are made.
type Folder struct {
	Traces
	ended *os.File
	root  *os.File // the folder itself: a name in it is found sooner than a long path

	mu   sync.Mutex
	free []string // lock files of this engine whose last attempt is recorded as ended
	made int
}

// keptFolders bounds how many folders stay ready: a process that does run AFTER run needs the last few.
const keptFolders = 16

// Folder makes a folder ready for attempts. Only the first call for it costs something.
func (y *Yard) Folder(dir string) (*Folder, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if f := y.folders[dir]; f != nil {
		return f, nil
	}
	t, err := TracesIn(dir)
	if err != nil {
		return nil, err
	}
	f := &Folder{Traces: t}
	if err := f.prepare(); err != nil {
		return nil, fmt.Errorf("prepare %s for the locks of commands: %w", dir, err)
	}
	if len(y.folders) >= keptFolders {
		y.folders = nil // the files of those that are in use close when nothing uses them any more
	}
	if y.folders == nil {
		y.folders = map[string]*Folder{}
	}
	y.folders[dir] = f
	return f, nil
}

func (f *Folder) prepare() error {
	boot, err := bootID()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return err
	}
	if f.root, err = os.Open(f.dir); err != nil {
		return err
	}
	if f.ended, err = os.OpenFile(f.endedFile(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	boots, err := f.boots()
	if err != nil || slices.Contains(boots, boot) {
		return err
	}
	b, err := os.OpenFile(f.bootsFile(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(b, boot)
	if err := errors.Join(err, b.Sync(), b.Close()); err != nil {
		return err
	}
	return errors.Join(syncDir(f.dir), syncDir(filepath.Dir(f.dir)))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// ErrHeld says that something of an earlier attempt is alive.
var ErrHeld = errors.New("a process of an earlier attempt is still alive")

// Lease is the lock of one attempt, held by the engine until the command has it.
type Lease struct {
	folder *Folder
	path   string
	fd     int
	holder holder
}

// Claim takes a lock for an attempt. An error that wraps [ErrHeld] says that something of an earlier
// attempt of the token is alive; nothing may be started beside it.
func (f *Folder) Claim(token string, attempt int) (*Lease, error) {
	if attempt > 1 {
		if err := f.vacant(token); err != nil {
			return nil, err
		}
	}
	path, fd, err := f.openLock()
	if err != nil {
		return nil, err
	}
	return &Lease{folder: f, path: path, fd: fd, holder: holder{token: digest(token), attempt: attempt}}, nil
}

// vacant: nothing of an earlier attempt is alive, as far as its lock is still there to tell.
func (t Traces) vacant(token string) error {
	h, lock, err := t.lockOf(token)
	if err != nil || lock == "" {
		return err
	}
	still, err := heldOn(lock)
	if err != nil {
		return err
	}
	alive, err := survivors(token, h.known())
	if err != nil {
		return err
	}
	if still || len(alive) > 0 {
		return fmt.Errorf("%w: %s", ErrHeld, names(alive))
	}
	return nil
}

// openLock locks a file of this engine that is free, or a new one. One that something left behind by
// an ended attempt still holds is not used any more.
func (f *Folder) openLock() (path string, fd int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.free) > 0 {
		path = f.free[len(f.free)-1]
		f.free = f.free[:len(f.free)-1]
		if fd, err = f.lock(path, 0); err == nil {
			return path, fd, nil
		}
		if !errors.Is(err, ErrHeld) {
			return "", -1, err
		}
	}
	for {
		f.made++
		path = filepath.Join(f.dir, fmt.Sprintf("%d-%d.lock", os.Getpid(), f.made))
		fd, err = f.lock(path, unix.O_CREAT|unix.O_EXCL)
		if !errors.Is(err, fs.ErrExist) {
			return path, fd, err
		}
	}
}

func (f *Folder) lock(path string, flags int) (int, error) {
	fd, err := unix.Openat(int(f.root.Fd()), filepath.Base(path), unix.O_RDWR|unix.O_CLOEXEC|flags, 0o600)
	if err != nil {
		return -1, fmt.Errorf("open lock %s: %w", path, err)
	}
	if err := flock(fd); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func flock(fd int) error {
	for {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return ErrHeld
		case !errors.Is(err, unix.EINTR):
			return fmt.Errorf("lock: %w", err)
		}
	}
}

// starting writes, BEFORE the start, that there may be one from now on, and what its output goes to.
func (l *Lease) starting(pipes [2]int) error {
	for i, fd := range pipes {
		var s unix.Stat_t
		if err := unix.Fstat(fd, &s); err != nil {
			return fmt.Errorf("look at a pipe: %w", err)
		}
		l.holder.pipes[i] = s.Ino
	}
	return l.write()
}

// write writes who holds the lock.
func (l *Lease) write() error {
	if _, err := unix.Pwrite(l.fd, l.holder.text(), 0); err != nil {
		return fmt.Errorf("write lock %s: %w", l.path, err)
	}
	return nil
}

// started writes which process has the lock now, and lets go of the engine's own hold on it.
func (l *Lease) started(p Process) {
	l.holder.process = p
	_ = l.write() // that it was about to be started is written
	_ = unix.Close(l.fd)
}

// abandon takes back a claim of which nothing was started.
func (l *Lease) abandon() {
	if unix.Ftruncate(l.fd, 0) == nil {
		l.folder.release(l.path)
	}
	_ = unix.Close(l.fd)
}

func (f *Folder) release(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.free = append(f.free, path)
}

// ended records the end of the attempt; AFTER that its lock is free for others. If the end was not a
// good one and something of the attempt still holds the lock, it stays: nothing is started beside that.
//
// That the end cannot be written is no error here. The outcome goes to the journal all the same; if it
// does not get there either, the lock that stays behind leaves the attempt in doubt.
func (l *Lease) ended(code int, good bool) (stillHeld bool) {
	line := l.holder.token + " " + strconv.Itoa(l.holder.attempt) + " " + strconv.Itoa(code) + "\n"
	if _, err := l.folder.ended.WriteString(line); err != nil {
		return false
	}
	if !good {
		if still, err := heldOn(l.path); still || err != nil {
			return true
		}
	}
	l.folder.release(l.path)
	return false
}
