package secrets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// runCommand runs a secret's command in the environment of whoever runs Handrail, because it is that
// person's tool and needs that person's rights.
func (r *resolver) runCommand(ctx context.Context, s Source) (string, error) {
	argv := s.Command
	if s.Shell != "" {
		argv = []string{"/bin/sh", "-e", "-c", s.Shell}
	}
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	var stdout, stderr limited
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.Dir, &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	switch {
	case err == nil:
		return stdout.String(), nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "", fmt.Errorf("the command %s did not end within %s; it was ended", argv[0], commandTime)
	case ctx.Err() != nil:
		return "", fmt.Errorf("the command %s was cancelled", argv[0])
	}
	if said := r.lastLine(stderr.String(), stdout.String()); said != "" {
		return "", fmt.Errorf("the command %s failed: %w: %s", argv[0], err, said)
	}
	return "", fmt.Errorf("the command %s failed: %w", argv[0], err)
}

// lastLine is the last line of what a failed command said, without what it may have printed of the
// secret before it failed.
func (r *resolver) lastLine(said, printed string) string {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	var m Masker
	if printed = strings.TrimSpace(printed); printed != "" {
		m.Add("", printed)
	}
	last := m.Text(strings.TrimSpace(lines[len(lines)-1]))
	if r.Masker != nil {
		last = r.Masker.Text(last)
	}
	return last
}

// readAge opens a file that was encrypted with age.
func (r *resolver) readAge(s Source) (string, error) {
	keys, err := r.readFile(s.Name, s.Identity)
	if err != nil {
		return "", fmt.Errorf("identity: %w", err)
	}
	identities, err := age.ParseIdentities(strings.NewReader(keys))
	if err != nil {
		// The error of the parser may quote the line, which is a key.
		return "", fmt.Errorf("%s holds no age identity (a line that begins with AGE-SECRET-KEY-1); keys with a passphrase and ssh keys are not supported", s.Identity)
	}
	sealed, err := (&resolver{Options: r.Options}).readFile(s.Name, s.Age)
	if err != nil {
		return "", err
	}
	var from io.Reader = strings.NewReader(sealed)
	if strings.HasPrefix(strings.TrimSpace(sealed), armor.Header) {
		from = armor.NewReader(from)
	}
	opened, err := age.Decrypt(from, identities...)
	var noMatch *age.NoIdentityMatchError
	switch {
	case errors.As(err, &noMatch):
		return "", fmt.Errorf("the identity in %s does not open %s: it was encrypted for somebody else", s.Identity, s.Age)
	case err != nil:
		// The error of the parser may quote what it found in place of a header.
		return "", fmt.Errorf("open %s: it is not encrypted with age, or it is damaged", s.Age)
	}
	b, err := readAtMost(opened)
	if err != nil {
		return "", fmt.Errorf("open %s: %w", s.Age, err)
	}
	return string(b), nil
}

func readAtMost(r io.Reader) ([]byte, error) { return io.ReadAll(io.LimitReader(r, maxBytes+1)) }

// limited keeps the first part of what is written to it, so that a command that prints without end
// does not fill the memory.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if room := maxBytes + 1 - l.Len(); room > 0 {
		l.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
