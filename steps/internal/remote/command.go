package remote

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/steps/internal/host"
)

// Command is a command that outlives its connection and the engine.
type Command struct {
	Argv      []string
	Dir       string   // empty: the user's home there
	Env       []string // name=value
	Stdin     string
	Stdout    io.Writer // both are written to from one goroutine; their errors are ignored
	Stderr    io.Writer
	KillAfter time.Duration
	Token     string
	// Noted records where the traces of the attempt are. It is called BEFORE the command is started, and
	// must make it durable; an error of it leaves the command unstarted.
	Noted func(Trace) error
	// Waiting is told when the connection was lost while the command ran, and is made again.
	Waiting func(string)
}

// Trace is where the traces of an attempt are. It is what has to be known AFTER a crash.
type Trace struct {
	Folder string
	Token  string
}

// HeldError says that something of an earlier attempt is alive there; nothing was started beside it.
type HeldError struct{ Who []string }

func (e *HeldError) Error() string {
	return "still alive of an earlier attempt: " + strings.Join(e.Who, ", ")
}

// Run runs a command to its end. An error means that it was not started, or, if it is a
// [*host.LostError], that how it ended is not known. When ctx ends the command gets SIGTERM, and SIGKILL
// when it has not ended within KillAfter.
func (c *Conn) Run(ctx context.Context, cmd Command) (host.Ended, error) {
	text, err := body(cmd.Argv, cmd.Dir, append(cmd.Env[:len(cmd.Env):len(cmd.Env)], host.TokenVariable+"="+cmd.Token))
	if err != nil {
		return host.Ended{}, err
	}
	t, err := c.prepare(ctx, cmd)
	if err != nil {
		return host.Ended{}, err
	}
	if cmd.Noted != nil {
		if err := cmd.Noted(t); err != nil {
			c.forget(t)
			return host.Ended{}, fmt.Errorf("record where the command is, before it is started: %w", err)
		}
	}
	f := &following{c: c, trace: t, stdout: cmd.Stdout, stderr: cmd.Stderr, waiting: cmd.Waiting}
	if err := c.start(ctx, t, text); err != nil {
		if !errors.Is(err, errLost) && ctx.Err() == nil {
			c.forget(t)
			return host.Ended{}, err
		}
		// It may have been started. Whoever claims the start knows.
		f.claim = true
	}
	return f.run(ctx, cmd.KillAfter)
}

// prepare makes the folder of the attempt there.
func (c *Conn) prepare(ctx context.Context, cmd Command) (Trace, error) {
	sum := sha256.Sum256([]byte(cmd.Token))
	base := c.settings.Folder
	if base == "" {
		base = ".handrail"
	}
	path := ""
	for _, v := range cmd.Env {
		if p, ok := strings.CutPrefix(v, "PATH="); ok {
			path = p
		}
	}
	text := script(prepareText, given{
		{"base", base}, {"key", hex.EncodeToString(sum[:16])},
		{"token", cmd.Token}, {"dir", cmd.Dir}, {"path", path}, {"program", cmd.Argv[0]}})
	a, err := c.ask(ctx, streaming(text), io.MultiReader(strings.NewReader(text), strings.NewReader(cmd.Stdin)))
	if err != nil {
		return Trace{}, err
	}
	switch a.code {
	case 0:
	case codeHeld:
		return Trace{}, &HeldError{Who: strings.Split(a.errs, "\n")}
	case codeNoDir:
		return Trace{}, fmt.Errorf("the folder %s cannot be entered on %s; `dir` says where the program runs", cmd.Dir, c.Address())
	case codeNoProgram:
		return Trace{}, fmt.Errorf("there is no command %s on %s in the PATH of user %s", cmd.Argv[0], c.Address(), c.way[len(c.way)-1].user)
	default:
		return Trace{}, fmt.Errorf("make the folder %s on %s, in which a command leaves its traces (code %d): %s; see whether it can be written, or say where by `folder` in the target's settings",
			base, c.Address(), a.code, a.errs)
	}
	lines := strings.Split(strings.TrimSpace(a.out), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "/") {
		return Trace{}, fmt.Errorf("%s answers %q; does its login shell print something for every session?", c.Address(), a.out)
	}
	t := Trace{Folder: lines[0], Token: cmd.Token}
	if strings.TrimSpace(lines[2]) != strconv.Itoa(len(cmd.Stdin)) {
		c.forget(t)
		return Trace{}, fmt.Errorf("%s has taken %s bytes of stdin, of %d; nothing was started", c.Address(), strings.TrimSpace(lines[2]), len(cmd.Stdin))
	}
	return t, nil
}

// start starts the command of an attempt. An error that wraps errLost says that it may have been started.
func (c *Conn) start(ctx context.Context, t Trace, command string) error {
	text := script(startText, given{{"folder", t.Folder}, {"token", t.Token},
		{"command", "exec 8<&-\n" + command}, {"keeper", libText + keeperText}})
	a, err := c.ask(ctx, shell, strings.NewReader(text))
	if err != nil {
		return err
	}
	switch a.code {
	case 0:
		return nil
	case codeNoKeeper:
		// It was claimed, and something may have begun: what there is to know is in the folder.
		return fmt.Errorf("%w: the shell that keeps the command has ended at once: %s", errLost, a.errs)
	case codeClaimed, codeGone, codeRebootedStart:
		return fmt.Errorf("the traces of the command on %s were changed before it was started (code %d); nothing was started", c.Address(), a.code)
	}
	return fmt.Errorf("%w: start the command on %s: code %d: %s", errLost, c.Address(), a.code, a.errs)
}

// forget has the traces of an attempt taken away when the connection is closed.
func (c *Conn) forget(t Trace) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cleanup = append(c.cleanup, t)
}

// tidy takes away the traces of attempts whose end is known. Until the connection is closed they stay: by
// then whoever ran them has recorded it. What cannot be taken away now goes when it is a month old.
func (c *Conn) tidy() {
	c.mu.Lock()
	traces := c.cleanup
	c.cleanup = nil
	c.mu.Unlock()
	if len(traces) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	// The folders are of our own making: digits, letters and what the user's home is called.
	var all []string
	for _, t := range traces {
		all = append(all, quote(t.Folder))
	}
	_, _ = c.ask(ctx, shell, strings.NewReader("main() {\nset -- "+strings.Join(all, " ")+"\n"+tidyText+"}\nmain\n"))
}
