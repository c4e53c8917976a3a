package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Job is a command for any machine, with its input and output as streams.
//
// It lives with the engine: when that dies, or the connection to where it runs, the job reads the end of
// its input and is ended by a broken pipe when it writes. What must outlive the engine is a [Command].
type Job struct {
	Argv []string
	Dir  string   // empty: where commands begin on that machine
	Env  []string // name=value, beside what the machine gives to every command. Secrets may stand here
	// Stdin is read to its end; nil: there is nothing to read. Run waits for a Read under way, so that
	// of a Reader that may block for ever must end with the context.
	Stdin io.Reader
	// Stdout and Stderr are never written to at the same time, so that they may lead to the same place;
	// nil: it is thrown away. An error of theirs ends the job.
	Stdout, Stderr io.Writer
	// KillAfter is how long the job may take to end after SIGTERM when ctx has ended; then SIGKILL.
	KillAfter time.Duration
	// Token goes along as HANDRAIL_TOKEN; by it what is left of a job is found. Empty: none.
	Token string
}

// Runner runs jobs on one machine: this one ([Local]), one reached over ssh, or a container.
type Runner interface {
	// Run runs a job to its end. An error means that nothing was started, or, if it is a [*LostError],
	// that how it ended is not known. Whatever code it ended with is no error.
	Run(ctx context.Context, j Job) (Ended, error)
	// Survivors are the processes that carry a token. It only reads.
	Survivors(ctx context.Context, token string) ([]Alive, error)
}

// AwaitGone waits until nothing carries the token any more. say is told who is waited for, whenever that
// changes. What is still alive when ctx ends is returned with its error.
func AwaitGone(ctx context.Context, r Runner, token string, say func(string)) ([]Alive, error) {
	said := ""
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		alive, err := r.Survivors(ctx, token)
		if err != nil || len(alive) == 0 {
			return nil, err
		}
		if now := names(alive); now != said {
			say(now)
			said = now
		}
		select {
		case <-ctx.Done():
			return alive, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// Local runs jobs on this machine.
type Local struct{}

// Survivors looks into the process table.
func (Local) Survivors(_ context.Context, token string) ([]Alive, error) {
	if token == "" {
		return nil, errors.New("there is no token to look for")
	}
	return survivors(token, nil)
}

// passedOn are the variables of the engine's environment that a job gets. Whatever else is there, secrets
// above all, stays.
func passedOn() []string { return []string{"PATH", "HOME", "LANG", "TZ", "USER", "TMPDIR"} }

// Run runs a job to its end.
func (Local) Run(ctx context.Context, j Job) (Ended, error) {
	env, path := j.environment()
	file, err := LookPath(j.Argv[0], path, j.Dir)
	if err != nil {
		return Ended{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c := Command{Path: file, Argv: j.Argv, Dir: j.Dir, Env: env, KillAfter: j.KillAfter, attached: true,
		Stdout: EndingOn(j.Stdout, cancel), Stderr: EndingOn(j.Stderr, cancel)}
	if j.Stdin == nil {
		return withCause(ctx, c)
	}
	reading, writing, err := inputPipe()
	if err != nil {
		return Ended{}, err
	}
	c.input = reading
	fed := Feed(writing, j.Stdin, cancel)
	e, err := withCause(ctx, c)
	_ = writing.Close() // a write that waits for something that the command has left behind ends with it
	<-fed
	return e, err
}

// withCause is Run, with the reason for which a job was ended.
func withCause(ctx context.Context, c Command) (Ended, error) {
	e, err := Run(ctx, c)
	switch cause := context.Cause(ctx); {
	case cause == nil:
	case e.Cut != nil:
		e.Cut = cause
	case errors.Is(err, context.Canceled) && !errors.Is(err, cause): // it came BEFORE the start
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return e, err
}

// environment is all that a job sees of the world through its environment.
func (j Job) environment() (env []string, path string) {
	path = os.Getenv("PATH")
	for _, name := range passedOn() {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	for _, v := range j.Env {
		env = append(env, v)
		if p, ok := strings.CutPrefix(v, "PATH="); ok {
			path = p
		}
	}
	if j.Token != "" {
		env = append(env, TokenVariable+"="+j.Token)
	}
	return env, path
}

// inputPipe makes a pipe. The reading end is the command's, and is used up by it.
func inputPipe() (reading int, writing *os.File, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return -1, nil, fmt.Errorf("make a pipe: %w", err)
	}
	// Not blocking, so that closing it ends a write under way.
	if err := unix.SetNonblock(p[1], true); err != nil {
		_, _ = unix.Close(p[0]), unix.Close(p[1])
		return -1, nil, fmt.Errorf("make a pipe: %w", err)
	}
	return p[0], os.NewFile(uintptr(p[1]), "stdin"), nil
}

// Feed writes what a job reads, in a goroutine that has ended when the channel is closed. That the job
// does not read to the end is its own affair. An error of the reader ends the job: it never sees an end of
// its input that is not the true one.
func Feed(to io.WriteCloser, from io.Reader, cancel context.CancelCauseFunc) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		r := &remembering{Reader: from}
		_, _ = io.CopyBuffer(struct{ io.Writer }{to}, r, make([]byte, 128<<10))
		if r.err != nil {
			cancel(fmt.Errorf("read what the command is to read: %w", r.err))
			return
		}
		_ = to.Close()
	}()
	return done
}

// remembering keeps the error of a reader apart from that of the writer beside it.
type remembering struct {
	io.Reader
	err error
}

func (r *remembering) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// EndingOn is a writer whose first error ends the job. What comes after that is thrown away, so that the
// job is not blocked until it has ended. nil throws everything away.
func EndingOn(w io.Writer, cancel context.CancelCauseFunc) io.Writer {
	if w == nil {
		return io.Discard
	}
	return &ending{to: w, cancel: cancel}
}

type ending struct {
	to     io.Writer
	cancel context.CancelCauseFunc
	failed bool
}

func (e *ending) Write(p []byte) (int, error) {
	if e.failed {
		return len(p), nil
	}
	if _, err := e.to.Write(p); err != nil {
		e.failed = true
		e.cancel(fmt.Errorf("take in what the command writes: %w", err))
	}
	return len(p), nil
}
