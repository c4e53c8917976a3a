package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	osexec "os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/handrail-dev/handrail/steps/internal/host"
)

// sshDialer reaches an engine as Docker's own commands do: by the machine's ssh, with its configuration, and
// `docker system dial-stdio` on the other side. Nothing is asked for: neither a password nor whether an
// unknown host is to be trusted.
func (p site) sshDialer() (dial, error) {
	u, err := url.Parse(p.host)
	if err != nil || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("host %q is not an address such as ssh://user@machine:22", p.host)
	}
	if _, secret := u.User.Password(); secret {
		return nil, errors.New("host has a password in it; ssh takes keys only")
	}
	argv := []string{"ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"}
	if p.sshConfig != "" {
		argv = append(argv, "-F", p.sshConfig)
	}
	if name := u.User.Username(); name != "" {
		argv = append(argv, "-l", name)
	}
	if port := u.Port(); port != "" {
		argv = append(argv, "-p", port)
	}
	argv = append(argv, "--", u.Hostname(), "docker")
	if socket := strings.TrimSuffix(u.Path, "/"); socket != "" {
		if strings.ContainsFunc(socket, func(r rune) bool {
			return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-", r)
		}) {
			return nil, fmt.Errorf("host %q names a socket that a shell on the other side would not read as it is", p.host)
		}
		argv = append(argv, "--host", "unix://"+socket)
	}
	argv = append(argv, "system", "dial-stdio")
	return func(ctx context.Context, _, _ string) (net.Conn, error) { return dialSSH(ctx, argv) }, nil
}

// sshConn is a connection through an ssh process of its own, which ends with it. The process is reaped by a
// goroutine that Close waits for.
type sshConn struct {
	stdin  io.WriteCloser
	stdout *os.File
	kill   func() error
	last   *lastSaid
	ended  chan struct{}
	err    error // how it ended; to be read AFTER ended

	once sync.Once
}

// lastSaid keeps the end of what ssh says on its stderr.
type lastSaid struct {
	mu   sync.Mutex
	tail *host.Tail
}

func (l *lastSaid) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tail.Write(p)
}

func (l *lastSaid) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tail.String()
}

func dialSSH(ctx context.Context, argv []string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	path, err := host.LookPath(argv[0], os.Getenv("PATH"), "")
	if err != nil {
		return nil, &sshError{said: err.Error() + "; install it (openssh-client)"}
	}
	reading, writing, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe for ssh: %w", err)
	}
	c := &sshConn{stdout: reading, last: &lastSaid{tail: host.NewTail(2 << 10)}, ended: make(chan struct{})}
	// It is not bound to ctx: the connection outlives the request that has opened it.
	cmd := osexec.Command(path, argv[1:]...) //nolint:gosec,noctx // the arguments are ours, and no shell reads them here
	cmd.Stdout, cmd.Stderr = writing, c.last
	cmd.WaitDelay = time.Second
	if c.stdin, err = cmd.StdinPipe(); err == nil {
		err = cmd.Start()
	}
	_ = writing.Close()
	if err != nil {
		_ = reading.Close()
		return nil, fmt.Errorf("start ssh: %w", err)
	}
	c.kill = cmd.Process.Kill
	go func() {
		defer close(c.ended)
		c.err = cmd.Wait()
	}()
	return c, nil
}

// Read reads from the engine. When ssh has failed, it says why.
func (c *sshConn) Read(p []byte) (int, error) {
	n, err := c.stdout.Read(p)
	if n > 0 || !errors.Is(err, io.EOF) {
		return n, err
	}
	return 0, c.why(io.EOF)
}

// why is the reason for which ssh has ended, if it has failed.
func (c *sshConn) why(otherwise error) error {
	select {
	case <-c.ended:
	case <-time.After(2 * time.Second): // a pipe of its is shut, so it is about to
		return otherwise
	}
	if c.err != nil {
		return &sshError{said: lastLine(c.last.String()), cause: c.err}
	}
	return otherwise
}

// failure waits for ssh to say why it has failed. One that works says nothing.
func (c *sshConn) failure(wait time.Duration) error {
	if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	_, err := c.Read(make([]byte, 1))
	var failed *sshError
	if errors.As(err, &failed) {
		return failed
	}
	return nil
}

func (c *sshConn) Write(p []byte) (int, error) {
	n, err := c.stdin.Write(p)
	if errors.Is(err, syscall.EPIPE) {
		err = c.why(err)
	}
	return n, err
}

// CloseWrite tells the other side that nothing more comes.
func (c *sshConn) CloseWrite() error { return c.stdin.Close() }

// Close ends the ssh process.
func (c *sshConn) Close() error {
	c.once.Do(func() {
		_ = c.stdin.Close()
		_ = c.kill() // it may have ended by itself
		_ = c.stdout.Close()
		<-c.ended
	})
	return nil
}

func (c *sshConn) LocalAddr() net.Addr                { return sshAddr{} }
func (c *sshConn) RemoteAddr() net.Addr               { return sshAddr{} }
func (c *sshConn) SetDeadline(t time.Time) error      { return c.stdout.SetReadDeadline(t) }
func (c *sshConn) SetReadDeadline(t time.Time) error  { return c.stdout.SetReadDeadline(t) }
func (c *sshConn) SetWriteDeadline(_ time.Time) error { return nil }

type sshAddr struct{}

func (sshAddr) Network() string { return "ssh" }
func (sshAddr) String() string  { return "ssh" }

// sshError is why ssh could not reach the engine.
type sshError struct {
	said  string // the last line of its stderr
	cause error
}

func (e *sshError) Error() string {
	if e.said == "" {
		return fmt.Sprintf("ssh ended: %v", e.cause)
	}
	return "ssh says: " + e.said
}

func (e *sshError) Unwrap() error { return e.cause }

// explain says what to do about it.
func (e *sshError) explain(address string) error {
	hint := "try it by hand: ssh, to that machine, and there docker system dial-stdio"
	for _, h := range []struct{ word, hint string }{
		{"Host key verification failed", "the machine's host key is not known, or not the one that is known; check it, and add it to known_hosts (ssh-keyscan, or log in once by hand)"},
		{"Permission denied", "the machine does not take the key; add it to authorized_keys there, or name the right one in ssh's configuration (IdentityFile)"},
		{"Could not resolve hostname", "there is no machine of that name; see host of the target, and ssh's configuration"},
		{"Connection refused", "no ssh server answers there; see address and port"},
		{"failed to open the raw stream connection", "the engine does not run on the other side, or not at that socket"},
		{"not found", "the other side has no docker command, which ssh:// needs there"},
		{"Cannot connect to the Docker daemon", "the engine does not run on the other side, or the user may not reach it"},
		{"permission denied while trying to connect", "the user on the other side may not reach the engine; make it a member of the group docker"},
	} {
		if strings.Contains(e.said, h.word) {
			hint = h.hint
			break
		}
	}
	return fmt.Errorf("the Docker engine at %s cannot be reached: %s: %w", address, hint, transient{e})
}
