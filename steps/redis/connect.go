package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

const (
	defaultTimeout  = 30 * time.Second
	defaultRemember = 30 * 24 * time.Hour
	dialTimeout     = 5 * time.Second
	defaultPort     = "6379"
)

// settings say where a server is.
type settings struct {
	Address  string            `param:"address" need:"yes" doc:"host:port, or the path of a Unix socket; the port may be left out when it is 6379"`
	User     string            `param:"user" doc:"the ACL user; the server's default user when left out"`
	Password engine.Secret     `param:"password" doc:"the password"`
	DB       int64             `param:"db" default:"0" doc:"the number of the database"`
	TLS      *tlsSettings      `param:"tls" doc:"connect by TLS; {} trusts the authorities of this machine"`
	Timeout  time.Duration     `param:"timeout" default:"30s" doc:"how long one answer may take; a command that takes longer counts as lost"`
	Rename   map[string]string `param:"rename" doc:"commands that the server has under another name, such as {CONFIG: CONFIG_abc123}; \"\" for one that is disabled"`
	Remember time.Duration     `param:"remember" default:"720h" doc:"how long the server keeps the marker of a finished transaction or script; a run that is resumed later than this asks a person"`
}

type tlsSettings struct {
	CA         steps.Path `param:"ca" doc:"file with the authorities to trust, PEM"`
	Cert       steps.Path `param:"cert" doc:"file with the client's certificate, PEM"`
	Key        steps.Path `param:"key" doc:"file with the client's key, PEM"`
	ServerName string     `param:"server_name" doc:"the name in the server's certificate, when it is not that of the address"`
}

// silence: the client prints to standard error when it cannot reach a server, and lets nobody choose but
// for the whole process. Its errors come back all the same, and only the command line prints.
var silence = sync.OnceFunc(func() { goredis.SetLogger(silent{}) })

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// Conn is the connection to one target: its nodes, of which a single server has one.
type Conn struct {
	nodes    []*node
	remember time.Duration
}

// Close ends the connections and waits for what was still under way on them.
func (c *Conn) Close() error {
	var errs []error
	for _, n := range c.nodes {
		errs = append(errs, n.close())
	}
	return errors.Join(errs...)
}

// Connect opens a target. Under [steps.ReadOnly] the connection refuses what is not known to read.
func (*Kind) Connect(ctx context.Context, target steps.Target, access steps.Access) (io.Closer, error) {
	s := settings{Timeout: defaultTimeout, Remember: defaultRemember}
	if err := steps.Bind(target.Settings, &s); err != nil {
		return nil, fmt.Errorf("settings of target %s: %w", target.Name, err)
	}
	opts, err := s.options()
	if err != nil {
		return nil, fmt.Errorf("settings of target %s: %w", target.Name, err)
	}
	silence()
	g := &guard{readOnly: access != steps.Full, rename: map[string]string{}, asked: map[string]bool{}}
	for from, to := range s.Rename {
		g.rename[strings.ToUpper(from)] = to
	}
	n := &node{client: goredis.NewClient(opts), address: opts.Addr, timeout: s.Timeout, db: s.DB, rename: g.rename}
	n.client.AddHook(g)
	if _, err := n.ask(ctx, "connect", "PING"); err != nil && !answered(err) {
		return nil, errors.Join(err, n.close())
	}
	return &Conn{nodes: []*node{n}, remember: s.Remember}, nil
}

func (s settings) options() (*goredis.Options, error) {
	if s.Timeout <= 0 || s.Remember <= 0 {
		return nil, engine.Problem{Path: "timeout", Message: "timeout and remember must be longer than nothing"}
	}
	o := &goredis.Options{
		Network: "tcp", Addr: s.Address, Username: s.User, Password: s.Password.Reveal(), DB: int(s.DB), Protocol: 3,
		// A command that was sent must not be sent again by the client; reads are repeated in node.ask.
		MaxRetries: -1, DialerRetries: 1,
		// Without this the client ignores the deadline of a step.
		ContextTimeoutEnabled: true,
		DialTimeout:           min(dialTimeout, s.Timeout), ReadTimeout: s.Timeout, WriteTimeout: s.Timeout,
		PoolTimeout:      s.Timeout,
		PipelinePoolSize: -1,
		DisableIdentity:  true,
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled,
		},
		// The name is a courtesy to whoever looks at CLIENT LIST; a user may lack the right to it.
		OnConnect: func(ctx context.Context, c *goredis.Conn) error {
			err := c.ClientSetName(ctx, "handrail").Err()
			if errors.As(err, new(goredis.Error)) {
				return nil
			}
			return err
		},
	}
	switch {
	case strings.HasPrefix(s.Address, "/"):
		o.Network = "unix"
	default:
		if _, _, err := net.SplitHostPort(s.Address); err != nil {
			o.Addr = net.JoinHostPort(strings.Trim(s.Address, "[]"), defaultPort)
		}
	}
	if s.TLS != nil {
		config, err := s.TLS.config(o.Addr)
		if err != nil {
			return nil, err
		}
		o.TLSConfig = config
	}
	return o, nil
}

func (s tlsSettings) config(address string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.ServerName}
	if host, _, err := net.SplitHostPort(address); err == nil && c.ServerName == "" {
		c.ServerName = host
	}
	if s.CA != "" {
		pem, err := os.ReadFile(string(s.CA))
		if err != nil {
			return nil, fmt.Errorf("tls.ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, engine.Problem{Path: "tls.ca", Message: fmt.Sprintf("%s holds no certificate in PEM form", s.CA)}
		}
	}
	if s.Cert != "" || s.Key != "" {
		pair, err := tls.LoadX509KeyPair(string(s.Cert), string(s.Key))
		if err != nil {
			return nil, fmt.Errorf("tls.cert and tls.key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// pause waits, or ends with ctx.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// connOf is the connection of a step.
func connOf(ctx context.Context, env *steps.Env) (*Conn, error) {
	c, err := env.Conn(ctx)
	if err != nil {
		return nil, err
	}
	conn, ok := c.(*Conn)
	if !ok {
		return nil, fmt.Errorf("target %s is not a redis target", env.Target.Name)
	}
	return conn, nil
}

// nodeOf is the server that a step acts on.
func nodeOf(ctx context.Context, env *steps.Env) (*node, error) {
	c, err := connOf(ctx, env)
	if err != nil {
		return nil, err
	}
	return c.nodes[0], nil
}
