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

	"github.com/handrail-dev/handrail/steps/internal/host"
)

// following stays with an attempt: it takes in what the command writes, over as many connections as that
// needs, and loses and repeats no byte of it.
type following struct {
	c              *Conn
	trace          Trace
	stdout, stderr io.Writer
	waiting        func(string)
	claim          bool     // what was not started is not to be started any more
	seen           [2]int64 // how much of stdout and stderr was taken in
}

// counted counts what it passes on.
type counted struct {
	to io.Writer
	n  *int64
	mu *sync.Mutex // shared by stdout and stderr, which come in two goroutines and may lead to one place
}

func (w counted) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*w.n += int64(len(p))
	if w.to != nil {
		_, _ = w.to.Write(p) // what the writer thinks of it is not the command's fault
	}
	return len(p), nil
}

// manyLooks is for how many looks, some two seconds, a session waits for something new.
const manyLooks = 20

// once looks so many times whether there is something new, and says how the attempt stands.
func (f *following) once(ctx context.Context, looks int) (code int, err error) {
	claim := "no"
	if f.claim {
		claim = "yes"
	}
	text := script(followText, given{{"folder", f.trace.Folder}, {"token", f.trace.Token}, {"claim", claim}, {"looks", strconv.Itoa(looks)},
		{"seen_out", strconv.FormatInt(f.seen[0], 10)}, {"seen_err", strconv.FormatInt(f.seen[1], 10)}})
	var mu sync.Mutex
	return f.c.session(ctx, shell, strings.NewReader(text), counted{f.stdout, &f.seen[0], &mu}, counted{f.stderr, &f.seen[1], &mu})
}

// toEnd follows until the attempt does not live any more, and says how it stands then. A machine that is
// away is called again for a while.
func (f *following) toEnd(ctx context.Context) (code int, err error) {
	var away time.Time // since when; zero: it answers
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		code, err = f.once(ctx, manyLooks)
		switch {
		case err == nil && code == codeAlive:
			away, pause = time.Time{}, 50*time.Millisecond
			continue
		case err == nil && code >= codeNoTraces && code <= codeRebooted:
			return code, nil
		case err == nil:
			return 0, fmt.Errorf("the shell on %s ends with code %d", f.c.Address(), code)
		case ctx.Err() != nil:
			return 0, context.Cause(ctx)
		case !errors.Is(err, ErrUnreachable) || !away.IsZero() && time.Since(away) > f.c.patience:
			return 0, err
		case away.IsZero():
			away = time.Now()
		}
		if f.waiting != nil {
			f.waiting(fmt.Sprintf("the connection to %s was lost; the command goes on there, and is looked for", f.c.Address()))
		}
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// run follows a command to its end, and ends it when ctx ends.
func (f *following) run(ctx context.Context, killAfter time.Duration) (host.Ended, error) {
	code, err := f.toEnd(ctx)
	if err != nil && ctx.Err() != nil {
		return f.cut(ctx, killAfter)
	}
	return f.ended(ctx, code, err, nil)
}

// cut ends the command, because ctx has ended: SIGTERM, and after a while SIGKILL.
func (f *following) cut(ctx context.Context, killAfter time.Duration) (host.Ended, error) {
	cause := context.Cause(ctx)
	after := context.WithoutCancel(ctx)
	var code int
	var err error
	for _, try := range []struct {
		signal string
		wait   time.Duration
	}{{"TERM", killAfter}, {"KILL", 10 * time.Second}} {
		limited, cancel := context.WithTimeout(after, try.wait+f.c.patience)
		err = f.signal(limited, try.signal)
		cancel()
		if err != nil {
			continue
		}
		limited, cancel = context.WithTimeout(after, try.wait)
		code, err = f.toEnd(limited)
		cancel()
		if err == nil {
			break
		}
	}
	if err != nil {
		err = fmt.Errorf("it was to be ended (%w): %w", cause, err)
	}
	limited, cancel := context.WithTimeout(after, f.c.patience)
	defer cancel()
	return f.ended(limited, code, err, cause)
}

func (f *following) signal(ctx context.Context, signal string) error {
	text := script(signalText, given{{"folder", f.trace.Folder}, {"token", f.trace.Token}, {"signal", signal}})
	a, err := f.c.ask(ctx, shell, strings.NewReader(text))
	if err == nil && a.code != 0 && a.code != codeDead {
		err = fmt.Errorf("send SIG%s: code %d: %s", signal, a.code, a.errs)
	}
	return err
}

// ended says how the command ended.
func (f *following) ended(ctx context.Context, code int, err, cut error) (host.Ended, error) {
	lost := func(format string, args ...any) (host.Ended, error) {
		return host.Ended{}, &host.LostError{Err: fmt.Errorf(format, args...)}
	}
	switch {
	case err != nil:
		return lost("%w; its traces are in %s on %s", err, f.trace.Folder, f.c.Address())
	case code == codeFresh:
		f.c.forget(f.trace)
		if cut == nil {
			cut = errors.New("the connection was lost before it was started")
		}
		return host.Ended{}, fmt.Errorf("nothing was started on %s: %w", f.c.Address(), cut)
	case code != codeEnded:
		return lost("%s", sayLost(code, f.c.Address(), f.trace))
	}
	end, err := f.c.end(ctx, f.trace)
	if err == nil && !end.known {
		err = errors.New("its exit code is gone")
	}
	if err != nil {
		return lost("%w; its traces are in %s on %s", err, f.trace.Folder, f.c.Address())
	}
	f.c.forget(f.trace)
	e := host.Ended{Code: end.code, Cut: cut, Held: len(end.alive) > 0}
	if cut != nil && e.Code > 128 {
		e.Signal = syscall.Signal(e.Code - 128) // it is ours
	}
	return e, nil
}

func sayLost(code int, address string, t Trace) string {
	switch code {
	case codeNoTraces:
		return fmt.Sprintf("its traces in %s on %s are gone: it had ended and they were taken away, or somebody has removed them", t.Folder, address)
	case codeRebooted:
		return address + " was started anew since; nothing of the command can be alive, and how far it came is not known"
	}
	return fmt.Sprintf("neither it nor its keeper is alive on %s, and no exit code was written down", address)
}

// finish is what the traces say of a command that does not live any more.
type finish struct {
	code  int
	known bool     // there is a code
	size  [2]int64 // of stdout and stderr
	alive []string // what is still alive of it
}

func (c *Conn) end(ctx context.Context, t Trace) (finish, error) {
	a, err := c.ask(ctx, shell, strings.NewReader(script(endText, given{{"folder", t.Folder}, {"token", t.Token}})))
	if err != nil {
		return finish{}, err
	}
	var f finish
	var code string
	if _, err := fmt.Sscan(a.out, &code, &f.size[0], &f.size[1]); a.code != 0 || err != nil {
		return finish{}, fmt.Errorf("%s does not tell how the command ended (code %d): %q %s", c.Address(), a.code, a.out, a.errs)
	}
	if code != "-" {
		if f.code, err = strconv.Atoi(code); err != nil {
			return finish{}, fmt.Errorf("%s says that the command ended with code %q", c.Address(), code)
		}
		f.known = true
	}
	if a.errs != "" {
		f.alive = strings.Split(a.errs, "\n")
	}
	return f, nil
}
