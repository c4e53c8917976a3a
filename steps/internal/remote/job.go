package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/host"
)

// Jobs runs jobs that end with their connection.
type Jobs struct{ *Conn }

var _ host.Runner = Jobs{}

// Run runs a job to its end.
func (c Jobs) Run(ctx context.Context, j host.Job) (host.Ended, error) {
	if c.access != steps.Full {
		return host.Ended{}, errReadOnly
	}
	env := j.Env
	if j.Token != "" {
		env = append(env[:len(env):len(env)], host.TokenVariable+"="+j.Token)
	}
	text, err := body(j.Argv, j.Dir, env)
	if err != nil {
		return host.Ended{}, err
	}
	if err := c.look(ctx, j); err != nil {
		return host.Ended{}, err
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return host.Ended{}, context.Cause(ctx)
	}
	s, k, err := c.open(ctx)
	if err != nil {
		return host.Ended{}, err
	}
	defer s.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	s.Stdout, s.Stderr = oneAtATime{host.EndingOn(j.Stdout, cancel), &mu}, oneAtATime{host.EndingOn(j.Stderr, cancel), &mu}
	to, err := s.StdinPipe()
	if err != nil {
		return host.Ended{}, err
	}
	if err := s.Start(streaming(text)); err != nil {
		return host.Ended{}, c.lost(ctx, k, err)
	}
	waited := make(chan error, 1)
	go func() { waited <- s.Wait() }()
	if _, err := to.Write([]byte(text)); err != nil {
		_ = s.Close()
		return host.Ended{}, c.lost(ctx, k, errors.Join(err, <-waited)) // half of it does nothing
	}
	if j.Stdin != nil {
		fed := host.Feed(to, j.Stdin, cancel)
		defer func() {
			_ = s.Close() // a write under way ends with it
			<-fed
		}()
	} else {
		_ = to.Close()
	}
	return c.await(ctx, k, s, waited, j.KillAfter)
}

// oneAtATime keeps those who share a lock from writing at the same time.
type oneAtATime struct {
	to io.Writer
	mu *sync.Mutex
}

func (w oneAtATime) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(p)
}

// look says whether the program is there, BEFORE anything is started: a code of 127 from a job could be
// the program's own.
func (c Jobs) look(ctx context.Context, j host.Job) error {
	cd, path := "", ""
	if j.Dir != "" {
		cd = "cd " + quote(j.Dir) + " 2>/dev/null || exit 13\n"
	}
	for _, v := range j.Env {
		if p, ok := strings.CutPrefix(v, "PATH="); ok {
			path = "PATH=" + quote(p) + "\n"
		}
	}
	text := "main() {\n" + cd + path + "command -v " + quote(j.Argv[0]) + " >/dev/null 2>&1 || exit 14\nexit 0\n}\nmain\n"
	a, err := c.ask(ctx, shell, strings.NewReader(text))
	switch {
	case err != nil:
		return err
	case a.code == codeNoDir:
		return fmt.Errorf("the folder %s cannot be entered on %s", j.Dir, c.Address())
	case a.code == codeNoProgram:
		return fmt.Errorf("there is no command %s on %s in the PATH of user %s", j.Argv[0], c.Address(), c.way[len(c.way)-1].user)
	case a.code != 0:
		return fmt.Errorf("look for %s on %s: code %d: %s", j.Argv[0], c.Address(), a.code, a.errs)
	}
	return nil
}

// await waits for the end of a job, and ends it when ctx ends.
func (c Jobs) await(ctx context.Context, k *link, s *ssh.Session, waited <-chan error, killAfter time.Duration) (host.Ended, error) {
	var err, cut error
	done := false
	select {
	case err = <-waited:
		done = true
	case <-ctx.Done():
		cut = context.Cause(ctx)
	}
	for _, try := range []struct {
		signal ssh.Signal
		wait   time.Duration
	}{{ssh.SIGTERM, killAfter}, {ssh.SIGKILL, 5 * time.Second}} {
		if done {
			break
		}
		_ = s.Signal(try.signal) // it may have ended meanwhile
		select {
		case err = <-waited:
			done = true
		case <-time.After(try.wait):
		}
	}
	if !done {
		_ = s.Close()
		return host.Ended{}, &host.LostError{Err: fmt.Errorf("it was to be ended (%w), and %s does not tell that it has", cut, c.Address())}
	}
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return host.Ended{Cut: cut}, nil
	case errors.As(err, &exit):
		return host.Ended{Code: exit.ExitStatus(), Signal: signalNamed(exit.Signal()), Cut: cut}, nil
	}
	c.broken(k)
	return host.Ended{}, &host.LostError{Err: fmt.Errorf("%w: %s: %w", errLost, c.Address(), unreachable{err})}
}

func signalNamed(name string) syscall.Signal {
	return map[string]syscall.Signal{"HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT, "ILL": syscall.SIGILL,
		"ABRT": syscall.SIGABRT, "FPE": syscall.SIGFPE, "KILL": syscall.SIGKILL, "SEGV": syscall.SIGSEGV, "PIPE": syscall.SIGPIPE,
		"ALRM": syscall.SIGALRM, "TERM": syscall.SIGTERM, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2}[name]
}

// Survivors looks into the process table of the machine, as far as the user may.
func (c Jobs) Survivors(ctx context.Context, token string) ([]host.Alive, error) {
	if token == "" {
		return nil, errors.New("there is no token to look for")
	}
	lines, err := c.carriers(ctx, token)
	if err != nil {
		return nil, err
	}
	var all []host.Alive
	for _, line := range lines {
		number, name, _ := strings.Cut(line, " ")
		pid, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("look for processes on %s: it said %q", c.Address(), line)
		}
		all = append(all, host.Alive{PID: pid, Name: name})
	}
	return all, nil
}
