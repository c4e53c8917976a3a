package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// dialTime bounds the way to one machine, login included.
const dialTime = 20 * time.Second

// ErrUnreachable marks what may well be better a moment later.
var ErrUnreachable = errors.New("unreachable")

// unreachable is an error that a moment may mend.
type unreachable struct{ error }

func (u unreachable) Unwrap() error      { return u.error }
func (unreachable) Is(target error) bool { return target == ErrUnreachable }

// dial logs in to each machine of a way through the one before.
func dial(ctx context.Context, way []login) (*link, error) {
	k := &link{}
	for _, l := range way {
		next, err := l.dial(ctx, k.last())
		if err != nil {
			k.close()
			return nil, err
		}
		k.clients = append(k.clients, next)
	}
	return k, nil
}

func (l login) dial(ctx context.Context, through *ssh.Client) (*ssh.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	auth, done, err := l.auth()
	if err != nil {
		return nil, err
	}
	defer done()
	keys, err := l.hostKeys()
	if err != nil {
		return nil, err
	}
	conn, err := l.connect(ctx, through)
	if err != nil {
		return nil, l.explainConnect(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	c, chans, reqs, err := ssh.NewClientConn(conn, l.address, &ssh.ClientConfig{
		User: l.user, Auth: []ssh.AuthMethod{auth},
		HostKeyCallback: keys.check, HostKeyAlgorithms: keys.algorithms(),
	})
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, l.explainLogin(ctx, err)
	}
	return ssh.NewClient(c, chans, reqs), nil
}

func (l login) connect(ctx context.Context, through *ssh.Client) (net.Conn, error) {
	if through != nil {
		return through.DialContext(ctx, "tcp", l.address)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", l.address)
}

// auth is the key of the file, or those of the agent. done ends what was needed for it.
func (l login) auth() (method ssh.AuthMethod, done func(), err error) {
	if l.key != "" {
		signer, err := l.signer()
		if err != nil {
			return nil, nil, err
		}
		return ssh.PublicKeys(signer), func() {}, nil
	}
	socket := os.Getenv("SSH_AUTH_SOCK")
	if socket == "" {
		return nil, nil, fmt.Errorf("there is nothing to log in to %s with: give `key` in the target's settings, or start an ssh agent (SSH_AUTH_SOCK)", l.address)
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, nil, fmt.Errorf("the ssh agent does not answer; start it, or give `key` in the target's settings: %w", err)
	}
	return ssh.PublicKeysCallback(agent.NewClient(conn).Signers), func() { _ = conn.Close() }, nil
}

func (l login) signer() (ssh.Signer, error) {
	pem, err := os.ReadFile(l.key)
	if err != nil {
		return nil, fmt.Errorf("read the private key for %s: %w", l.address, err)
	}
	if p := l.passphrase.Reveal(); p != "" {
		signer, err := ssh.ParsePrivateKeyWithPassphrase(pem, []byte(p))
		if err != nil {
			return nil, fmt.Errorf("the private key %s cannot be read with this passphrase; check `passphrase` in the target's settings: %w", l.key, err)
		}
		return signer, nil
	}
	signer, err := ssh.ParsePrivateKey(pem)
	var missing *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &missing):
		return nil, fmt.Errorf("the private key %s is encrypted; give `passphrase` in the target's settings, or use an ssh agent", l.key)
	case err != nil:
		return nil, fmt.Errorf("%s is not a private key that can be read: %w", l.key, err)
	}
	return signer, nil
}

func (l login) explainConnect(err error) error {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Errorf("there is no machine named %s; check `address` in the target's settings: %w", dns.Name, unreachable{err})
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no ssh server answers at %s; nothing was sent; see whether sshd runs there, and on this port: %w", l.address, unreachable{err})
	}
	return fmt.Errorf("%s cannot be reached over ssh; nothing was sent; check address and network: %w", l.address, unreachable{err})
}

func (l login) explainLogin(ctx context.Context, err error) error {
	var unknown *hostKeyError
	switch {
	case errors.As(err, &unknown):
		return unknown
	case ctx.Err() != nil:
		return fmt.Errorf("the ssh server at %s does not answer: %w", l.address, unreachable{context.Cause(ctx)})
	case strings.Contains(err.Error(), "unable to authenticate"):
		with := "the keys of the ssh agent"
		if l.key != "" {
			with = "the key " + l.key
		}
		return fmt.Errorf("%s does not let %s in with %s; check user and key, and that the public key stands in authorized_keys there: %w", l.address, l.user, with, err)
	case strings.Contains(err.Error(), "no common algorithm for host key"):
		return fmt.Errorf("%s shows no host key of a type that is known of it: it is another machine, or its keys have changed; find out which before you go on: %w", l.address, err)
	}
	return fmt.Errorf("log in to %s over ssh: %w", l.address, unreachable{err})
}
