package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrHeld says that something of an earlier attempt is alive.
var ErrHeld = errors.New("a process of an earlier attempt is still alive")

// Lease is the lock of one attempt, held by the engine until the command has it.
type Lease struct {
	traces Traces
	token  string
	path   string
	fd     int
	holder holder
}

// holder is what is written into a lock about who holds it.
type holder struct {
	attempt int
	pipes   [2]uint64 // the inodes of the command's stdout and stderr
	process Process   // zero: it was about to be started
}

const holderFormat = "attempt %d pipes %d %d pid %d start %d boot %s\n"

func (h holder) String() string {
	boot := h.process.Boot
	if boot == "" {
		boot = "-"
	}
	return fmt.Sprintf(holderFormat, h.attempt, h.pipes[0], h.pipes[1], h.process.PID, h.process.Start, boot)
}

// known is the process, if it was written.
func (h holder) known() *Process {
	if h.process.PID == 0 {
		return nil
	}
	return &h.process
}

// holderOf reads a lock. That there is none, or an empty one, is the zero holder.
func (t Traces) holderOf(token string) (holder, error) {
	text, err := os.ReadFile(t.lockFile(token))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return holder{}, err
	}
	return parseHolder(string(text))
}

// parseHolder reads what String wrote. An empty text is the zero holder.
func parseHolder(text string) (holder, error) {
	var h holder
	if text == "" {
		return h, nil
	}
	_, err := fmt.Sscanf(text, holderFormat, &h.attempt, &h.pipes[0], &h.pipes[1], &h.process.PID, &h.process.Start, &h.process.Boot)
	if err != nil {
		return holder{}, fmt.Errorf("the lock of a command holds %q: %w", text, err)
	}
	return h, nil
}

// Claim takes the lock of a token for an attempt. An error that wraps [ErrHeld] says that something of
// an earlier attempt is alive; nothing may be started beside it.
func (t Traces) Claim(token string, attempt int) (*Lease, error) {
	path := t.lockFile(token)
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return t.claimAgain(token, attempt)
	}
	if err != nil {
		return nil, fmt.Errorf("open lock %s: %w", path, err)
	}
	if err := flock(fd); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return &Lease{traces: t, token: token, path: path, fd: fd, holder: holder{attempt: attempt}}, nil
}

// claimAgain takes a lock that an earlier attempt has left.
func (t Traces) claimAgain(token string, attempt int) (*Lease, error) {
	path := t.lockFile(token)
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open lock %s: %w", path, err)
	}
	if err := t.vacate(fd, token); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return &Lease{traces: t, token: token, path: path, fd: fd, holder: holder{attempt: attempt}}, nil
}

// vacate locks a file that was locked before, makes sure that nothing of then is alive, and empties it:
// empty, it says that nothing was started yet.
func (t Traces) vacate(fd int, token string) error {
	if err := flock(fd); err != nil {
		return err
	}
	h, err := t.holderOf(token)
	if err != nil {
		return err
	}
	alive, err := survivors(token, h.known())
	if err != nil {
		return err
	}
	if len(alive) > 0 {
		return fmt.Errorf("%w: %s", ErrHeld, names(alive))
	}
	if err := unix.Ftruncate(fd, 0); err != nil {
		return fmt.Errorf("empty lock %s: %w", t.lockFile(token), err)
	}
	return nil
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

func (l *Lease) write() error {
	if _, err := unix.Pwrite(l.fd, []byte(l.holder.String()), 0); err != nil {
		return fmt.Errorf("write lock %s: %w", l.path, err)
	}
	return nil
}

// starting writes, BEFORE the start, that there may be one from now on, and what its output goes to.
func (l *Lease) starting(out []*os.File) error {
	for i, f := range out {
		info, err := f.Stat()
		if err != nil {
			return fmt.Errorf("look at a pipe: %w", err)
		}
		l.holder.pipes[i] = inode(info)
	}
	return l.write()
}

func inode(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}

// started writes which process has the lock now, and lets go of the engine's own hold on it.
func (l *Lease) started(p Process) {
	l.holder.process = p
	_ = l.write() // that it was about to be started is written
	l.release()
}

func (l *Lease) release() {
	if l.fd >= 0 {
		_ = unix.Close(l.fd) // closing a file whose bytes nobody has to sync cannot lose anything
		l.fd = -1
	}
}

// abandon takes back a claim of which nothing was started.
func (l *Lease) abandon() {
	_ = os.Remove(l.path)
	l.release()
}

// ended records the end of the attempt, AFTER which its lock is not needed. If the end was not a good
// one and something of the attempt still holds the lock, it stays: nothing is started beside that.
//
// That the end cannot be written is no error here. The outcome goes to the journal all the same; if it
// does not get there either, the lock that stays behind leaves the attempt in doubt.
func (l *Lease) ended(code int, good bool) (held bool) {
	f, err := os.OpenFile(l.traces.endedFile(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return false
	}
	_, err = fmt.Fprintf(f, "%s %d %d\n", digest(l.token), l.holder.attempt, code)
	if err := errors.Join(err, f.Close()); err != nil {
		return false
	}
	if !good {
		if held, err := l.traces.held(l.token); held || err != nil {
			return true
		}
	}
	_ = os.Remove(l.path) // it is free; the next attempt can have it
	return false
}
