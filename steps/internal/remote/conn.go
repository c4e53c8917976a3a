package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/handrail-dev/handrail/steps"
)

const (
	// maxSessions is how many sessions are open on one connection at once; OpenSSH allows ten.
	maxSessions = 8
	// aliveEvery is how often a silent server is asked whether it is there, and how long it may take to
	// answer.
	aliveEvery = 15 * time.Second
	// unreachableFor is the patience with a machine that is away.
	unreachableFor = time.Minute
)

// Conn is a machine that is reached over ssh. When its connection has broken, the next use makes another.
// It is safe for use by several goroutines.
type Conn struct {
	settings Settings
	way      []login
	access   steps.Access
	slots    chan struct{}
	patience time.Duration // for how long a machine that is away is called again while a command runs there

	mu      sync.Mutex
	link    *link
	closed  bool
	cleanup []Trace // of attempts whose end is known
}

// Open logs in. Under a read-only access that is all that the connection ever does.
func Open(ctx context.Context, s Settings, access steps.Access) (*Conn, error) {
	way, err := s.way()
	if err != nil {
		return nil, err
	}
	c := &Conn{settings: s, way: way, access: access, slots: make(chan struct{}, maxSessions), patience: unreachableFor}
	if _, err := c.connected(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Address is where the machine is, as host:port.
func (c *Conn) Address() string { return c.way[len(c.way)-1].address }

// connected is a connection that has not been found broken.
func (c *Conn) connected(ctx context.Context) (*link, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errors.New("the connection was closed")
	}
	if c.link != nil {
		return c.link, nil
	}
	k, err := dial(ctx, c.way)
	if err != nil {
		return nil, err
	}
	k.watch()
	c.link = k
	return k, nil
}

// broken gives up a connection, if it is still the one that is in use.
func (c *Conn) broken(k *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == k {
		c.link = nil
	}
	k.close()
}

// Close takes away the traces of what has ended, and hangs up.
func (c *Conn) Close() error {
	c.tidy()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.link != nil {
		c.link.close()
		c.link = nil
	}
	return nil
}

// link is one connection, with those that lead to it.
type link struct {
	clients []*ssh.Client
	stop    chan struct{}
	watched sync.WaitGroup
	once    sync.Once
}

func (k *link) last() *ssh.Client {
	if len(k.clients) == 0 {
		return nil
	}
	return k.clients[len(k.clients)-1]
}

// watch asks a server again and again whether it is there: a network that swallows everything breaks no
// connection by itself.
func (k *link) watch() {
	k.stop = make(chan struct{})
	k.watched.Go(func() {
		tick := time.NewTicker(aliveEvery)
		defer tick.Stop()
		for {
			select {
			case <-k.stop:
				return
			case <-tick.C:
			}
			late := time.AfterFunc(aliveEvery, func() { _ = k.last().Close() })
			_, _, err := k.last().SendRequest("keepalive@openssh.com", true, nil)
			late.Stop()
			if err != nil {
				return // whoever uses the connection finds it broken
			}
		}
	})
}

func (k *link) close() {
	k.once.Do(func() {
		if k.stop != nil {
			close(k.stop)
		}
		for i := len(k.clients) - 1; i >= 0; i-- {
			_ = k.clients[i].Close() // it may be broken
		}
	})
	k.watched.Wait()
}

// errLost says that the connection broke while a script ran: what became of that is not known.
var errLost = errors.New("the connection was lost")

// errReadOnly is what a dry-run gets for everything but a look whether the machine is there.
var errReadOnly = errors.New("the connection is read-only: nothing is started on another machine in a dry-run")

// shell is the command of every session. It holds nothing that any login shell reads otherwise than
// another: the script comes through the input. Half of a script does nothing, because all of it stands in
// functions, and the call of the first is its last line.
const shell = `/bin/sh -c 'eval "$(cat)"'`

// streaming is shell for a script of so many bytes, behind which comes the input of what it starts.
func streaming(script string) string {
	return fmt.Sprintf(`/bin/sh -c 'eval "$(dd bs=1 count=%d 2>/dev/null)"'`, len(script))
}

// answer is what a script says in a few words.
type answer struct {
	code      int
	out, errs string
}

func (c *Conn) ask(ctx context.Context, command string, stdin io.Reader) (answer, error) {
	var out, errs bytes.Buffer
	code, err := c.session(ctx, command, stdin, &out, &errs)
	return answer{code, out.String(), strings.TrimSpace(errs.String())}, err
}

// session runs a command of ours to its end and gives the code with which it ended. An error that wraps
// errLost says that it may have run.
func (c *Conn) session(ctx context.Context, command string, stdin io.Reader, stdout, stderr io.Writer) (code int, err error) {
	if c.access != steps.Full {
		return 0, errReadOnly
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	s, k, err := c.open(ctx)
	if err != nil {
		return 0, err
	}
	// Neither reading nor writing knows contexts; only closing ends them.
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	defer s.Close()
	s.Stdin, s.Stdout, s.Stderr = stdin, stdout, stderr
	if err := s.Start(command); err != nil {
		return 0, c.lost(ctx, k, err)
	}
	err = s.Wait()
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit):
		return exit.ExitStatus(), nil
	}
	return 0, c.lost(ctx, k, err)
}

// open opens a session; on a connection that turns out to be broken, once more on a new one.
func (c *Conn) open(ctx context.Context) (*ssh.Session, *link, error) {
	for again := true; ; again = false {
		k, err := c.connected(ctx)
		if err != nil {
			return nil, nil, err
		}
		s, err := k.last().NewSession()
		var refused *ssh.OpenChannelError
		switch {
		case err == nil:
			return s, k, nil
		case errors.As(err, &refused):
			return nil, nil, fmt.Errorf("%s opens no session: %w", c.Address(), unreachable{err})
		case !again || ctx.Err() != nil:
			return nil, nil, fmt.Errorf("open a session on %s: %w", c.Address(), unreachable{err})
		}
		c.broken(k)
	}
}

// lost says why a session has not told how it ended.
func (c *Conn) lost(ctx context.Context, k *link, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c.broken(k)
	return fmt.Errorf("%w: %s: %w", errLost, c.Address(), unreachable{err})
}
