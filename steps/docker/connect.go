package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// connectTime bounds the first answer of an engine.
const connectTime = 15 * time.Second

// probeTime is how long a connection through ssh that says nothing is listened to for an error.
const probeTime = 5 * time.Second

// connection is an open target. It is safe for use by several goroutines.
type connection struct {
	daemon
	client *client.Client
	http   *http.Client
	base   *http.Transport
	site   site
	access steps.Access
	host   string
	probe  func(context.Context) error // dials and hangs up, for the reason of a failure
}

// Connect opens the engine that the target's settings name, and waits for its first answer.
func (*Kind) Connect(ctx context.Context, target steps.Target, access steps.Access) (io.Closer, error) {
	p, err := siteOf(target.Settings)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", target.Name, err)
	}
	c, err := open(p, access)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", target.Name, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, connectTime, errSilent)
	defer cancel()
	if _, err := c.client.Ping(ctx); err != nil {
		_ = c.Close()
		if errors.Is(context.Cause(ctx), errSilent) && !answered(err) {
			return nil, c.explainSilence(ctx)
		}
		return nil, c.explain(ctx, err)
	}
	c.client.NegotiateAPIVersion(ctx)
	return c, nil
}

func open(p site, access steps.Access) (*connection, error) {
	toEngine, err := p.dialer()
	if err != nil {
		return nil, err
	}
	c := &connection{host: p.host, site: p, access: access}
	c.probe = func(ctx context.Context) error {
		conn, err := toEngine(ctx, "", "")
		if err != nil {
			return err
		}
		defer conn.Close()
		if s, ok := conn.(*sshConn); ok {
			return s.failure(probeTime)
		}
		return nil
	}
	if access != steps.Full {
		toEngine = guarded(toEngine)
	}
	c.base = &http.Transport{MaxIdleConns: 8, IdleConnTimeout: 30 * time.Second, DialContext: toEngine, DisableCompression: true}
	c.http = &http.Client{Transport: c.base, CheckRedirect: client.CheckRedirect}
	// The host is applied first, because it configures the transport of the client that it finds.
	c.client, err = client.NewClientWithOpts(client.WithHost(p.clientHost()), client.WithHTTPClient(c.http),
		client.WithAPIVersionNegotiation())
	if err != nil {
		return nil, err
	}
	if access != steps.Full {
		// The client keeps the *http.Client that it was given: from here on it goes through the guard.
		c.http.Transport = guard{c.http.Transport}
	}
	c.daemon = c.client
	return c, nil
}

// Close ends the connection.
func (c *connection) Close() error {
	c.base.CloseIdleConnections()
	return nil
}

// forCommand is what a Docker command is told so that it reaches the same engine: flags and a variable. A
// command goes around the guard of the transport, so a read-only connection tells it nothing.
func (c *connection) forCommand() (flags []string, variable string, err error) {
	if c.access != steps.Full {
		return nil, "", refusedError{"a Docker command was not started"}
	}
	return c.site.cliFlags(), "DOCKER_HOST=" + c.host, nil
}

// connect is the connection of a step.
func connect(ctx context.Context, env *steps.Env) (*connection, error) {
	conn, err := env.Conn(ctx)
	if err != nil {
		return nil, err
	}
	c, ok := conn.(*connection)
	if !ok {
		return nil, fmt.Errorf("target %s is not a Docker engine", env.Target.Name)
	}
	return c, nil
}

// getJSON asks for a document whose absent fields matter, which the client's own structs lose.
func (c *connection) getJSON(ctx context.Context, path string, into any) error {
	u := url.URL{Scheme: "http", Host: client.DummyHost, Path: "/v" + c.client.ClientVersion() + path}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body := io.LimitReader(resp.Body, 1<<20)
	if resp.StatusCode == http.StatusOK {
		return json.NewDecoder(body).Decode(into)
	}
	var said struct{ Message string }
	_ = json.NewDecoder(body).Decode(&said) // an answer without a message still has a status
	if resp.StatusCode == http.StatusNotFound {
		return fmt.Errorf("%s: %w", said.Message, cerrdefs.ErrNotFound)
	}
	return fmt.Errorf("the engine answered %s to GET %s: %s", resp.Status, path, said.Message)
}

// explain turns an error of the client into a sentence for a person: where, why, what to do next.
func (c *connection) explain(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errRefused):
		return refusal(err)
	case ctx.Err() != nil && !answered(err):
		ended := fmt.Errorf("waiting for the Docker engine at %s was ended: %w", c.host, context.Cause(ctx))
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return transient{ended}
		}
		return ended
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fmt.Errorf("the Docker engine at %s did not answer in time: %w", c.host, err)
	case client.IsErrConnectionFailed(err):
		return c.explainDial(ctx, err)
	case strings.Contains(err.Error(), "HTTP request to an HTTPS server"):
		return fmt.Errorf("the Docker engine at %s: it speaks TLS; say tls: {ca, cert, key}: %w", c.host, err)
	case !answered(err):
		return fmt.Errorf("the answer of the Docker engine at %s was cut off; see its log (journalctl -u docker), and what lies between: %w", c.host, transient{err})
	}
	return said{err}
}

// errSilent ends the wait for the first answer of an engine.
var errSilent = errors.New("there was no answer")

// explainSilence tells an engine that takes connections and says nothing from one that cannot be reached.
func (c *connection) explainSilence(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTime)
	defer cancel()
	if err := c.probe(context.WithValue(ctx, passed{}, true)); err != nil {
		return c.explainDial(ctx, err)
	}
	return transient{fmt.Errorf("the Docker engine at %s takes connections and has not answered for %s; see its log (journalctl -u docker), or start it anew (systemctl restart docker)",
		c.host, connectTime)}
}

// answered: the engine has read the request and answered with a status that says no.
func answered(err error) bool {
	for _, is := range []func(error) bool{cerrdefs.IsNotFound, cerrdefs.IsConflict, cerrdefs.IsInvalidArgument, cerrdefs.IsUnauthorized,
		cerrdefs.IsPermissionDenied, cerrdefs.IsUnavailable, cerrdefs.IsNotImplemented, cerrdefs.IsNotModified, cerrdefs.IsInternal} {
		if is(err) {
			return true
		}
	}
	return strings.Contains(err.Error(), saidPrefix)
}

// saidPrefix is how the client begins what the engine has answered.
const saidPrefix = "Error response from daemon"

// errUnreachable marks what may well be better a moment later.
var errUnreachable = errors.New("unreachable")

// transient is an error that a moment may mend.
type transient struct{ error }

func (t transient) Unwrap() error      { return t.error }
func (transient) Is(target error) bool { return target == errUnreachable }

// said is an error that the engine answered, without the client's preface.
type said struct{ error }

func (s said) Error() string {
	return strings.TrimSpace(strings.TrimPrefix(s.error.Error(), saidPrefix+": "))
}
func (s said) Unwrap() error { return s.error }

// refusal is the guard's own error, without what the client wraps around it.
func refusal(err error) error {
	var r refusedError
	if errors.As(err, &r) {
		return r
	}
	return err
}

func notFound(err error) bool { return cerrdefs.IsNotFound(err) }

// failure is an outcome that left no effect, unless the error says that this is not known; one that a moment
// may mend is transient.
func failure(err error) engine.Outcome {
	o := engine.Outcome{Err: err.Error(), Transient: errors.Is(err, errUnreachable)}
	if errors.Is(err, errLost) {
		o.Effect, o.InDoubt = engine.EffectUnknown, true
	}
	return o
}
