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
	sentinelPort    = "26379"
)

// settings say where a single server is.
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

// clusterSettings say where a cluster is.
type clusterSettings struct {
	Addresses steps.Texts       `param:"addresses" need:"yes" doc:"host:port of some of the nodes, through which the others are found; for cluster_create, of all that it is to have"`
	User      string            `param:"user" doc:"the ACL user; the servers' default user when left out"`
	Password  engine.Secret     `param:"password" doc:"the password"`
	TLS       *tlsSettings      `param:"tls" doc:"connect by TLS; {} trusts the authorities of this machine"`
	Timeout   time.Duration     `param:"timeout" default:"30s" doc:"how long one answer may take, and how long a node that is down, loading or being replaced is waited for"`
	Rename    map[string]string `param:"rename" doc:"commands that the servers have under another name"`
	Remember  time.Duration     `param:"remember" default:"720h" doc:"how long the cluster keeps the marker of a finished transaction or script"`
	Map       map[string]string `param:"map" doc:"where nodes are reached that announce an address that cannot be reached from here (containers, NAT), such as {\"172.20.0.2:6379\": \"10.0.0.5:7001\"}"`
}

// sentinelSettings say where the sentinels are that know the master.
type sentinelSettings struct {
	Addresses        steps.Texts       `param:"addresses" need:"yes" doc:"host:port of the sentinels; the port may be left out when it is 26379"`
	Master           string            `param:"master" need:"yes" doc:"the name by which the sentinels know the master"`
	SentinelUser     string            `param:"sentinel_user" doc:"the ACL user for the sentinels"`
	SentinelPassword engine.Secret     `param:"sentinel_password" doc:"the password for the sentinels"`
	User             string            `param:"user" doc:"the ACL user; the servers' default user when left out"`
	Password         engine.Secret     `param:"password" doc:"the password"`
	DB               int64             `param:"db" default:"0" doc:"the number of the database"`
	TLS              *tlsSettings      `param:"tls" doc:"connect by TLS, to the sentinels as well; {} trusts the authorities of this machine"`
	Timeout          time.Duration     `param:"timeout" default:"30s" doc:"how long one answer may take, and how long a failover is waited for"`
	Rename           map[string]string `param:"rename" doc:"commands that the servers have under another name"`
	Remember         time.Duration     `param:"remember" default:"720h" doc:"how long the servers keep the marker of a finished transaction or script"`
	Map              map[string]string `param:"map" doc:"where servers are reached that announce an address that cannot be reached from here"`
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

// form is what leads to the servers of a target.
type form int

const (
	single form = iota
	clustered
	watched // by sentinels
)

// Conn is the connection to one target. Its nodes are opened when they are first needed.
type Conn struct {
	form     form
	line     line
	seeds    []string // addresses from the settings
	watch    watch
	remember time.Duration

	mu    sync.Mutex
	nodes map[string]*node // by the address at which they are reached
	last  memory           // what was done there
	kept  []*lockbook      // of runs that have locks here
}

// line is how the servers of a target are spoken to, whichever they are.
type line struct {
	user     string
	password engine.Secret
	db       int64
	tls      *tlsSettings
	timeout  time.Duration
	reach    map[string]string // an announced address to the one at which it is reached
	port     string            // the usual one
	guard    *guard            // of all connections, with the same rename
}

// Close ends the connections and waits for what was still under way on them.
func (c *Conn) Close() error {
	for _, b := range c.lockbooks() {
		b.close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, n := range c.nodes {
		errs = append(errs, n.close())
	}
	return errors.Join(append(errs, c.watch.close())...)
}

// node is the server of an address, as it announces itself or as the settings name it.
func (c *Conn) node(address string) (*node, error) {
	if to, ok := c.line.reach[address]; ok {
		address = to
	}
	address = withPort(address, c.line.port)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n, ok := c.nodes[address]; ok {
		return n, nil
	}
	n, err := c.line.open(address, c.form == clustered)
	if err == nil {
		c.nodes[address] = n
	}
	return n, err
}

// Connect opens a target. Under [steps.ReadOnly] every connection refuses what is not known to read.
func (*Kind) Connect(ctx context.Context, target steps.Target, access steps.Access) (io.Closer, error) {
	c, err := newConn(target, access)
	if err != nil {
		return nil, fmt.Errorf("settings of target %s: %w", target.Name, err)
	}
	silence()
	if err := c.hello(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func newConn(target steps.Target, access steps.Access) (*Conn, error) {
	c := &Conn{nodes: map[string]*node{}}
	rename, err := c.configure(target)
	if err != nil {
		return nil, err
	}
	if c.line.timeout <= 0 || c.remember <= 0 {
		return nil, engine.Problem{Path: "timeout", Message: "timeout and remember must be longer than nothing"}
	}
	if len(c.seeds) == 0 {
		return nil, engine.Problem{Path: "addresses", Message: "there is no address"}
	}
	c.line.guard = &guard{readOnly: access != steps.Full, rename: map[string]string{}, asked: map[string]bool{}}
	for from, to := range rename {
		c.line.guard.rename[strings.ToUpper(from)] = to
	}
	if c.form == watched {
		// Renames are the servers'; the sentinels know none of them.
		c.watch.line.guard = &guard{readOnly: access != steps.Full, asked: map[string]bool{}}
	}
	return c, nil
}

// configure takes the settings of whichever type of target it is, and gives the renamed commands.
func (c *Conn) configure(target steps.Target) (map[string]string, error) {
	switch target.Type {
	case "cluster":
		s := clusterSettings{Timeout: defaultTimeout, Remember: defaultRemember}
		if err := steps.Bind(target.Settings, &s); err != nil {
			return nil, err
		}
		c.form, c.remember, c.seeds = clustered, s.Remember, s.Addresses
		c.line = line{user: s.User, password: s.Password, tls: s.TLS, timeout: s.Timeout, reach: s.Map, port: defaultPort}
		return s.Rename, nil
	case "sentinel":
		s := sentinelSettings{Timeout: defaultTimeout, Remember: defaultRemember}
		if err := steps.Bind(target.Settings, &s); err != nil {
			return nil, err
		}
		c.form, c.remember, c.seeds = watched, s.Remember, s.Addresses
		c.line = line{user: s.User, password: s.Password, db: s.DB, tls: s.TLS, timeout: s.Timeout, reach: s.Map, port: defaultPort}
		c.watch = watch{name: s.Master, line: line{user: s.SentinelUser, password: s.SentinelPassword, tls: s.TLS,
			timeout: min(s.Timeout, dialTimeout), port: sentinelPort}}
		return s.Rename, nil
	}
	s := settings{Timeout: defaultTimeout, Remember: defaultRemember}
	if err := steps.Bind(target.Settings, &s); err != nil {
		return nil, err
	}
	c.remember, c.seeds = s.Remember, []string{s.Address}
	c.line = line{user: s.User, password: s.Password, db: s.DB, tls: s.TLS, timeout: s.Timeout, port: defaultPort}
	return s.Rename, nil
}

// hello proves that somebody answers.
func (c *Conn) hello(ctx context.Context) error {
	switch c.form {
	case clustered:
		_, err := c.look(ctx)
		return err
	case watched:
		if err := c.watch.open(c.seeds); err != nil {
			return err
		}
		_, err := c.watch.ask(ctx)
		return err
	case single:
	}
	n, err := c.node(c.seeds[0])
	if err != nil {
		return err
	}
	if _, err := n.ask(ctx, "connect", "PING"); err != nil && !answered(err) {
		return err
	}
	return nil
}

// withPort adds the usual port to an address that has none. The path of a socket stays as it is.
func withPort(address, port string) string {
	if strings.HasPrefix(address, "/") {
		return address
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return net.JoinHostPort(strings.Trim(address, "[]"), port)
	}
	return address
}

// open makes the client of one server; nothing is sent yet. replicas: what is read may be read from one.
func (l line) open(address string, replicas bool) (*node, error) {
	o := &goredis.Options{
		Network: "tcp", Addr: address, Username: l.user, Password: l.password.Reveal(), DB: int(l.db), Protocol: 3,
		// A command that was sent must not be sent again by the client; reads are repeated in node.ask.
		MaxRetries: -1, DialerRetries: 1,
		// Without this the client ignores the deadline of a step.
		ContextTimeoutEnabled: true,
		DialTimeout:           min(dialTimeout, l.timeout), ReadTimeout: l.timeout, WriteTimeout: l.timeout,
		PoolTimeout:      l.timeout,
		PipelinePoolSize: -1,
		DisableIdentity:  true,
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled,
		},
		OnConnect: func(ctx context.Context, c *goredis.Conn) error { return introduce(ctx, c, replicas) },
	}
	if strings.HasPrefix(address, "/") {
		o.Network = "unix"
	}
	if l.tls != nil {
		config, err := l.tls.config(address)
		if err != nil {
			return nil, err
		}
		o.TLSConfig = config
	}
	n := &node{client: goredis.NewClient(o), address: address, timeout: l.timeout, db: l.db}
	n.client.AddHook(l.guard)
	return n, nil
}

// real is the name that the servers have for a command.
func (l line) real(name string) string {
	if to, ok := l.guard.rename[strings.ToUpper(name)]; ok && to != "" {
		return to
	}
	return name
}

// introduce sets a new connection up.
func introduce(ctx context.Context, c *goredis.Conn, replicas bool) error {
	// The name is a courtesy to whoever looks at CLIENT LIST; a user may lack the right to it.
	err := c.ClientSetName(ctx, "handrail").Err()
	if err != nil && !errors.As(err, new(goredis.Error)) {
		return err
	}
	if !replicas {
		return nil
	}
	// A replica sends readers to its master unless it is told that they mean it; a master does not mind.
	err = c.ReadOnly(ctx).Err()
	if err != nil && !errors.As(err, new(goredis.Error)) {
		return err
	}
	return nil
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
	if env.Call.Wiped {
		conn.wiped()
	}
	return conn, nil
}
