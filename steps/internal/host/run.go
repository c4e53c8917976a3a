package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The descriptors that a command inherits beside the usual three. They are high, because shell scripts
// use the low ones for themselves.
const (
	lockFD   = 13
	stdoutFD = 14 // the reading end of its own stdout
	stderrFD = 15
)

const (
	// noteAfter is how long a command lives before it is worth a note in the journal.
	noteAfter = 500 * time.Millisecond
	// patience is how long the output of a command that has ended is waited for, when something that
	// it left behind holds it open.
	patience = time.Second
)

// Command is what to run, and how.
type Command struct {
	Path      string   // the file to run; see [LookPath]
	Argv      []string // its name and arguments
	Dir       string   // must exist; empty: that of the engine
	Env       []string // the whole environment: name=value
	Stdin     string
	Stdout    io.Writer // both are written to from one goroutine; their errors are ignored
	Stderr    io.Writer
	KillAfter time.Duration
	// Lease is the lock that the command inherits. It is used up. nil: it has none.
	Lease *Lease
	// Noted, if set, is called once when the command has lived for a while. If it fails the command is
	// ended.
	Noted func(Process) error

	// input, if it is not zero, is what the command reads. It is used up.
	input int
	// attached: the command gets no reading ends of its own output, so it ends by a broken pipe when the
	// engine has died.
	attached bool
}

// Ended is how a command came to its end.
type Ended struct {
	Code   int            // as a shell says it: 128 + the signal, if that ended it
	Signal syscall.Signal // 0: it exited
	// Cut says why it was ended by us; nil: it ended by itself.
	Cut error
	// Left: something that it left behind still held its output open.
	Left bool
	// Held: something of it still holds the lock AFTER a bad end.
	Held bool
}

// LostError says that a command was started and that its end could not be seen.
type LostError struct{ Err error }

func (e *LostError) Error() string { return "its end could not be seen: " + e.Err.Error() }
func (e *LostError) Unwrap() error { return e.Err }

// Run runs a command to its end. An error means that nothing was started, or, if it is a [*LostError],
// that how it ended is not known. When ctx ends the command gets SIGTERM, and SIGKILL when it has not
// ended within KillAfter; each goes to its whole group.
func Run(ctx context.Context, c Command) (Ended, error) {
	r, err := c.begin(ctx)
	if err != nil {
		if c.Lease != nil {
			c.Lease.abandon()
		}
		return Ended{}, err
	}
	defer r.watch.close()
	if c.Lease != nil {
		c.Lease.started(r.process)
	}
	if c.Noted != nil {
		r.noted = func() error { return c.Noted(r.identity()) }
	}
	e, err := r.toEnd(ctx)
	if err != nil {
		return Ended{}, &LostError{err}
	}
	if c.Lease != nil {
		e.Held = c.Lease.ended(e.Code, e.Code == 0 && e.Cut == nil)
	}
	return e, nil
}

// running is a command that was started.
type running struct {
	pid       int
	process   Process
	watch     *watch
	killAfter time.Duration
	noted     func() error // nil: there is nothing to note, or no more

	cut    error
	killAt time.Time // zero: it was not asked to end, or was killed
}

// identity is which process it is, exactly: it has lived for a while.
func (r *running) identity() Process {
	if exact, err := identify(r.pid); err == nil {
		return exact
	}
	return r.process
}

func (r *running) toEnd(ctx context.Context) (Ended, error) {
	noteAt := time.Now().Add(noteAfter)
	for exited := false; !exited; {
		if err := ctx.Err(); err != nil && r.cut == nil {
			r.ask(err)
		}
		if !r.killAt.IsZero() && !time.Now().Before(r.killAt) {
			r.kill()
		}
		deadline := r.killAt
		if r.noted != nil && r.cut == nil {
			deadline = noteAt
			if !time.Now().Before(noteAt) {
				note := r.noted
				r.noted, deadline = nil, time.Time{}
				if err := note(); err != nil {
					r.ask(err)
					continue
				}
			}
		}
		var err error
		if exited, err = r.watch.wait(deadline); err != nil {
			return Ended{}, err
		}
	}
	if r.cut != nil {
		r.kill() // what of the group has not ended; perhaps nothing
	}
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(r.pid, &status, 0, nil)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EINTR) {
			return Ended{}, err
		}
	}
	e := Ended{Cut: r.cut, Code: status.ExitStatus()}
	if status.Signaled() {
		e.Signal = status.Signal()
		e.Code = 128 + int(e.Signal)
	}
	r.watch.drain()
	for until := time.Now().Add(patience); r.watch.reading() && time.Now().Before(until); {
		if _, err := r.watch.wait(until); err != nil {
			return Ended{}, err
		}
	}
	e.Left = r.watch.reading()
	return e, nil
}

// ask asks the whole group to end. The command is reaped only AFTER all signals: until then the number
// of its group belongs to nobody else.
func (r *running) ask(why error) {
	r.cut, r.killAt = why, time.Now().Add(r.killAfter)
	_ = syscall.Kill(-r.pid, syscall.SIGTERM) // it may have exited already
}

func (r *running) kill() {
	r.killAt = time.Time{}
	_ = syscall.Kill(-r.pid, syscall.SIGKILL)
}

// begin starts the command. It uses the system call itself: package os turns the pipes to blocking, and
// then nothing could stop reading from one that is held open.
func (c Command) begin(ctx context.Context) (*running, error) {
	var opened descriptors
	defer opened.close()
	stdin := c.input
	if stdin != 0 {
		opened.add(stdin)
	}
	err := ctx.Err()
	if err != nil {
		return nil, fmt.Errorf("cancelled before it was started: %w", err)
	}
	if stdin == 0 {
		if stdin, err = openStdin(c.Stdin); err != nil {
			return nil, err
		}
		opened.add(stdin)
	}
	var reading, writing [2]int
	for i := range reading {
		if reading[i], writing[i], err = pipe(); err != nil {
			return nil, err
		}
		opened.add(reading[i], writing[i])
	}
	roomy := c.attached && widen(reading[0])
	none := ^uintptr(0)
	lock := none
	if c.Lease != nil {
		lock = uintptr(c.Lease.fd)
		if err := c.Lease.starting(reading); err != nil {
			return nil, err
		}
	}
	files := []uintptr{uintptr(stdin), uintptr(writing[0]), uintptr(writing[1])}
	if !c.attached {
		for len(files) < lockFD {
			files = append(files, none)
		}
		files = append(files, lock, uintptr(reading[0]), uintptr(reading[1]))
	}

	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	// The kernel would tell when the process was started, in a file whose reading takes as long as half of
	// the start. The clock before and after it says it well enough.
	before, err := bootTicks()
	if err != nil {
		return nil, err
	}
	process := -1
	pid, _, err := syscall.StartProcess(c.Path, c.Argv, &syscall.ProcAttr{
		Dir: c.Dir, Env: c.Env, Files: files, Sys: &syscall.SysProcAttr{Setpgid: true, PidFD: &process},
	})
	if err != nil {
		return nil, startError(c, err)
	}
	r := &running{pid: pid, killAfter: c.KillAfter, process: Process{PID: pid, Start: before, Boot: boot}}
	r.process.Latest, err = bootTicks()
	if err == nil && process < 0 {
		process, err = unix.PidfdOpen(pid, 0)
	}
	if err == nil {
		r.watch, err = newWatch(ctx, reading[0], reading[1], process, [2]io.Writer{c.Stdout, c.Stderr})
	}
	if err != nil {
		r.undo(process)
		return nil, err
	}
	r.watch.roomy = roomy
	opened.keep(reading[0], reading[1])
	return r, nil
}

// undo ends a command that cannot be watched, in the moment in which it was started.
func (r *running) undo(process int) {
	r.kill()
	_, _ = syscall.Wait4(r.pid, nil, 0, nil)
	if process >= 0 {
		_ = unix.Close(process)
	}
}
