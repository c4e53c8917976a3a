package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/internal/mask"
	"github.com/handrail-dev/handrail/steps/internal/host"
)

// beganError is about a command of which nothing was started.
type beganError struct{ error }

func (b beganError) Unwrap() error { return b.error }

// argv is the command line. Names of services are from the file, so none begins with a dash.
func (w *composed) argv(begin, flags []string) []string {
	out := append([]string{}, begin[:1]...)
	out = append(append(out, flags...), begin[1:]...)
	out = append(out, "--ansi", "never")
	for _, f := range w.project.Files {
		out = append(out, "-f", f)
	}
	out = append(out, "-p", w.project.Name, "--project-directory", w.project.Dir)
	if w.project.VariablesFrom != "" {
		out = append(out, "--env-file", w.project.VariablesFrom)
	}
	for _, p := range w.Profiles {
		out = append(out, "--profile", p)
	}
	out = append(out, w.Compose)
	if w.Grace != nil {
		out = append(out, "-t", strconv.Itoa(int((*w.Grace+time.Second-1)/time.Second)))
	}
	if w.Compose == composeUp {
		out = append(out, "-d", map[bool]string{true: "--build", false: "--no-build"}[w.Build])
		switch w.Recreate {
		case "always":
			out = append(out, "--force-recreate")
		case "never":
			out = append(out, "--no-recreate")
		}
	}
	if w.Orphans == "remove" {
		out = append(out, "--remove-orphans")
	}
	if w.Volumes {
		out = append(out, "-v")
	}
	return append(out, w.Services...)
}

// command runs the command to its end.
func (w *composed) command(ctx context.Context) error {
	flags, engineAt, err := w.c.forCommand()
	if err != nil {
		return beganError{err}
	}
	tool, err := findCompose()
	if err != nil {
		return beganError{err}
	}
	folder, err := w.yard.Folder(w.env.Scratch)
	if err != nil {
		return beganError{err}
	}
	lease, err := folder.Claim(w.env.Call.Token, w.env.Call.Attempt)
	if err != nil {
		return beganError{err}
	}
	grace := 30 * time.Second
	if w.KillAfter != nil {
		grace = *w.KillAfter
	}
	token := host.TokenVariable + "=" + w.env.Call.Token
	last, flush, out := w.listen()
	argv := w.argv(tool.Argv, flags)
	e, err := host.Run(ctx, host.Command{Path: tool.Path, Argv: argv, Dir: w.project.Dir,
		Env:    append(w.variables(), engineAt, token),
		Stdout: out, Stderr: out, KillAfter: grace, Lease: lease})
	flush()
	w.tail = last.String()
	var ended *host.LostError
	switch name := tool.String() + " " + w.Compose; {
	case errors.As(err, &ended):
		return fmt.Errorf("%s: %w", name, err)
	case err != nil:
		return beganError{err}
	case e.Cut != nil:
		return fmt.Errorf("%s was cut short: %w", name, context.Cause(ctx))
	case e.Code != 0:
		return fmt.Errorf("%s ended with exit code %d: %s", name, e.Code, reason(last.String()))
	}
	return nil
}

// reason is the line in which the command says why it failed; its last line may be about something else.
func reason(text string) string {
	lines := strings.Split(text, "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		lower := strings.ToLower(lines[i])
		if strings.HasPrefix(lower, "error") || strings.Contains(lower, "error response from daemon") {
			return lastLine(lines[i])
		}
	}
	return lastLine(text)
}

// listen takes in what the command writes, with the secrets of the step masked.
func (w *composed) listen() (last *host.Tail, flush func(), out io.Writer) {
	var secrets mask.Set
	for name, v := range w.Env {
		if secret, ok := v.(engine.Secret); ok {
			secrets.Add(name, secret.Reveal())
		}
	}
	last = host.NewTail(4 << 10)
	masked := secrets.Writer(io.MultiWriter(last, w.env.Output()))
	return last, func() { _ = masked.Flush() }, masked // a log that cannot be written ends no command
}

// awaitEarlier waits for the command of the attempt that was cut off.
func (w *composed) awaitEarlier(ctx context.Context) error {
	traces, err := host.TracesIn(w.env.Scratch)
	if err != nil {
		return err
	}
	past, err := traces.Look(w.env.Call.Token, w.env.Call.Attempt)
	if err != nil || past.Rebooted {
		return err
	}
	_, flush, out := w.listen()
	defer flush()
	alive, err := traces.Await(ctx, w.env.Call.Token, past, out, out, func(who string) {
		_, _ = fmt.Fprintf(w.env.Output(), "waiting for the Compose command of the attempt that was cut off: %s\n", who)
	})
	if len(alive) > 0 {
		return fmt.Errorf("the Compose command of the attempt that was cut off is still at work (%s), and nothing is started beside it: %w", alive[0], err)
	}
	return err
}
