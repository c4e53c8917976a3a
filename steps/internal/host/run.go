package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
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
	Stdout    io.Writer // written to from one goroutine; its errors are ignored
	Stderr    io.Writer // the same, from another goroutine
	KillAfter time.Duration
	// Lease is the lock that the command inherits. It is used up. nil: it has none.
	Lease *Lease
	// Noted, if set, is called once when the command has lived for a while. If it fails the command is
	// ended.
	Noted func(Process) error
}

// Ended is how a command came to its end.
type Ended struct {
	Code   int            // as a shell says it: 128 + the signal, if that ended it
	Signal syscall.Signal // 0: it exited
	// Ended by us, and why.
	Cut error
	// Left: something that it left behind still held its output open.
	Left bool
	// Held: something of it still holds the lock AFTER a bad end.
	Held bool
}

// Run runs a command to its end. An error means that nothing was started, or, if it is a [*LostError],
// that how it ended is not known. When ctx ends the command gets SIGTERM, and SIGKILL when it has not
// ended within KillAfter; each goes to its whole group.
func Run(ctx context.Context, c Command) (Ended, error) {
	if err := ctx.Err(); err != nil {
		c.abandon()
		return Ended{}, fmt.Errorf("cancelled before it was started: %w", err)
	}
	pid, files, err := start(c)
	if err != nil {
		c.abandon()
		return Ended{}, err
	}
	out := startPumps(files, []io.Writer{c.Stdout, c.Stderr})
	exited := make(chan struct{})
	go func() { awaitExit(pid); close(exited) }()

	// Without its identity the command is still found by its lock and by its token: that is no reason
	// to end what has begun.
	process, err := identify(pid)
	if c.Lease != nil {
		c.Lease.started(process)
	}
	if err != nil {
		c.Noted = nil
	}
	cut := supervise(ctx, c, process, exited)
	if cut != nil {
		kill(pid, c.KillAfter, exited)
	}
	var status syscall.WaitStatus
	if err := reap(pid, &status); err != nil {
		out.stop(0)
		return Ended{}, &LostError{err}
	}
	e := Ended{Cut: cut, Code: status.ExitStatus()}
	if status.Signaled() {
		e.Signal = status.Signal()
		e.Code = 128 + int(e.Signal)
	}
	e.Left = out.stop(patience)
	if c.Lease != nil {
		e.Held = c.Lease.ended(e.Code, e.Code == 0 && cut == nil)
	}
	return e, nil
}

// LostError says that a command was started and that its end could not be seen.
type LostError struct{ Err error }

func (e *LostError) Error() string { return "its end could not be seen: " + e.Err.Error() }
func (e *LostError) Unwrap() error { return e.Err }

func (c Command) abandon() {
	if c.Lease != nil {
		c.Lease.abandon()
	}
}

// supervise waits until the command has exited or must be ended, and says why.
func supervise(ctx context.Context, c Command, p Process, exited <-chan struct{}) error {
	note := time.NewTimer(noteAfter)
	defer note.Stop()
	for {
		select {
		case <-exited:
			return nil
		case <-note.C:
			if c.Noted == nil {
				continue
			}
			if err := c.Noted(p); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// kill ends the group of a command. The command itself is not reaped before: as long as it is a zombie,
// the number of its group belongs to nobody else.
func kill(pid int, after time.Duration, exited <-chan struct{}) {
	_ = syscall.Kill(-pid, syscall.SIGTERM) // it may have exited already
	grace := time.NewTimer(after)
	defer grace.Stop()
	select {
	case <-exited:
	case <-grace.C:
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL) // what of the group has not ended; perhaps nothing
	<-exited
}

// start starts the command. It uses the system call itself, because package os would turn the pipes to
// blocking, and then nothing could stop reading from one that is held open.
func start(c Command) (pid int, out []*os.File, err error) {
	var opened []int
	defer func() {
		for _, fd := range opened {
			_ = unix.Close(fd) // our copies; the command has its own
		}
		if err != nil {
			for _, f := range out {
				_ = f.Close()
			}
			out = nil
		}
	}()
	stdin, err := openStdin(c.Stdin)
	if err != nil {
		return 0, nil, err
	}
	opened = append(opened, stdin)
	files := make([]uintptr, lockFD, stderrFD+1)
	for i := range files {
		files[i] = ^uintptr(0)
	}
	files[0] = uintptr(stdin)
	lock := ^uintptr(0)
	if c.Lease != nil {
		lock = uintptr(c.Lease.fd)
	}
	files = append(files, lock)
	for i := 1; i <= 2; i++ {
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			return 0, out, fmt.Errorf("make a pipe: %w", err)
		}
		opened = append(opened, p[1])
		// The reading end must not block: then a deadline can end a read.
		if err := unix.SetNonblock(p[0], true); err != nil {
			_ = unix.Close(p[0])
			return 0, out, fmt.Errorf("make a pipe: %w", err)
		}
		out = append(out, os.NewFile(uintptr(p[0]), "output"))
		files[i] = uintptr(p[1])
		files = append(files, uintptr(p[0]))
	}
	if c.Lease != nil {
		if err := c.Lease.starting(out); err != nil {
			return 0, out, err
		}
	}
	pid, _, err = syscall.StartProcess(c.Path, c.Argv, &syscall.ProcAttr{
		Dir: c.Dir, Env: c.Env, Files: files, Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return 0, out, startError(c, err)
	}
	return pid, out, nil
}

// openStdin gives the input as a file in memory: the command gets all of it, even when the engine dies
// meanwhile, and it is on no disk.
func openStdin(text string) (int, error) {
	if text == "" {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return 0, fmt.Errorf("open /dev/null: %w", err)
		}
		return fd, nil
	}
	fd, err := unix.MemfdCreate("stdin", unix.MFD_CLOEXEC)
	if err != nil {
		return 0, fmt.Errorf("make room for stdin: %w", err)
	}
	for rest := []byte(text); len(rest) > 0; {
		n, err := unix.Write(fd, rest)
		if err != nil && !errors.Is(err, unix.EINTR) {
			_ = unix.Close(fd)
			return 0, fmt.Errorf("write stdin: %w", err)
		}
		rest = rest[max(n, 0):]
	}
	if _, err := unix.Seek(fd, 0, io.SeekStart); err != nil {
		_ = unix.Close(fd)
		return 0, fmt.Errorf("write stdin: %w", err)
	}
	return fd, nil
}

func startError(c Command, err error) error {
	name := c.Argv[0]
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("%s is neither a program nor a script that begins with #!; run it with a shell: [sh, %s]", name, name)
	case errors.Is(err, syscall.ENOENT):
		return fmt.Errorf("start %s: the interpreter that it names does not exist", name)
	case errors.Is(err, syscall.E2BIG):
		return fmt.Errorf("start %s: its arguments and environment are too long; hand them over with stdin", name)
	}
	return fmt.Errorf("start %s: %w", name, err)
}

// awaitExit waits until the command has exited, and leaves it to be reaped. Whatever else goes wrong
// is met again there.
func awaitExit(pid int) {
	for errors.Is(unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
}

func reap(pid int, status *syscall.WaitStatus) error {
	for {
		_, err := syscall.Wait4(pid, status, 0, nil)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// LookPath finds the file that a command's name stands for: with a slash in it, from dir on; without
// one, in the folders of path, of which only absolute ones count.
func LookPath(name, path, dir string) (string, error) {
	if strings.Contains(name, "/") {
		file := name
		if !strings.HasPrefix(name, "/") {
			file = strings.TrimSuffix(dir, "/") + "/" + name
			if dir == "" {
				file = name
			}
		}
		return file, executable(file)
	}
	for _, folder := range strings.Split(path, ":") {
		if !strings.HasPrefix(folder, "/") {
			continue
		}
		if file := folder + "/" + name; executable(file) == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("there is no command %s in PATH (%s)", name, path)
}

func executable(file string) error {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("there is no file %s", file)
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a folder, not a program", file)
	}
	if err := unix.Access(file, unix.X_OK); err != nil {
		return fmt.Errorf("%s may not be executed by this user; `chmod +x` it, or run it with a shell", file)
	}
	return nil
}
