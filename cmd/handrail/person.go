package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/handrail-dev/handrail/engine"
)

// pollEvery is how often waiting for a person looks whether it is still wanted.
const pollEvery = 200 // milliseconds

// readLine reads what a person types, until ctx ends. Only when a line is there is it read, so nothing
// is left behind that would take the next one.
func (a *app) readLine(ctx context.Context) (string, error) {
	f, ok := a.stdin.(*os.File)
	if !ok {
		return "", errors.New("nobody can be asked: stdin is not a terminal")
	}
	for ctx.Err() == nil {
		fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, pollEvery)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return "", fmt.Errorf("read the answer: %w", err)
		}
		if n > 0 {
			line, err := bufio.NewReader(f).ReadString('\n')
			if err != nil && (line == "" || !errors.Is(err, io.EOF)) {
				return "", fmt.Errorf("read the answer: %w", err)
			}
			return strings.TrimSpace(line), nil
		}
	}
	return "", context.Cause(ctx)
}

// confirm asks a question that yes or no answers.
func (a *app) confirm(ctx context.Context, question string) (bool, error) {
	_, _ = fmt.Fprintf(a.stderr, "%s [y/N] ", question)
	line, err := a.readLine(ctx)
	if err != nil {
		return false, err
	}
	return strings.EqualFold(line, "y") || strings.EqualFold(line, "yes"), nil
}

// askPerson asks whoever sits at the terminal for an approval. Nothing but a written-out yes is one.
func (a *app) askPerson(ctx context.Context, c engine.AskPerson, by engine.Person) engine.Event {
	until := ""
	if !c.Expires.IsZero() {
		until = " until " + c.Expires.Format("15:04:05")
	}
	a.say("\nStep %s asks for an approval%s:\n\n  %s\n", c.Step, until, strings.ReplaceAll(c.Message, "\n", "\n  "))
	if c.Plan != "" {
		a.say("It is a part of the saved plan %s.\n", briefly(c.Plan))
	}
	a.forgetTyped()
	for {
		_, _ = fmt.Fprint(a.stderr, "Type yes to approve, no to decline: ")
		line, err := a.readLine(ctx)
		if err != nil {
			a.say("")
			return nil
		}
		switch strings.ToLower(line) {
		case "yes":
			return engine.ApprovalGiven{Step: c.Step, Digest: c.Digest, Plan: c.Plan, By: by}
		case "no":
			return engine.ApprovalRefused{Step: c.Step, By: by, Because: "declined at the prompt"}
		}
	}
}

// forgetTyped drops what was typed before a question was seen: it cannot be the answer to it.
func (a *app) forgetTyped() {
	if fd, tty := terminal(a.stdin); tty {
		_ = unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIFLUSH) // nothing was typed then
	}
}

// askSecret asks for a value that is not shown while it is typed.
func (a *app) askSecret(name string) (string, error) {
	fd, tty := terminal(a.stdin)
	if !tty {
		return "", fmt.Errorf("the input %s is secret and was not stored; give it again with -i %s=…", name, name)
	}
	_, _ = fmt.Fprintf(a.stderr, "%s (secret): ", name)
	b, err := term.ReadPassword(fd)
	a.say("")
	if err != nil {
		return "", fmt.Errorf("read input %s: %w", name, err)
	}
	return string(b), nil
}
