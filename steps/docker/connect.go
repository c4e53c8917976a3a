package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// defaultHost is where the engine listens when nothing says otherwise.
const defaultHost = "unix:///var/run/docker.sock"

// connectTime bounds the first answer of an engine.
const connectTime = 15 * time.Second

// connection is an open target. It is safe for use by several goroutines.
type connection struct {
	daemon
	client *client.Client
	http   *http.Client
	base   *http.Transport
	host   string
	probe  func(context.Context) error // dials and hangs up, for the reason of a failure
}

// Connect opens the engine that the target's settings name, and waits for its first answer.
func (*Kind) Connect(ctx context.Context, target steps.Target, access steps.Access) (io.Closer, error) {
	host, err := hostOf(target.Settings)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", target.Name, err)
	}
	c, err := open(host, access)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", target.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	if _, err := c.client.Ping(ctx); err != nil {
		_ = c.Close()
		return nil, c.explain(ctx, err)
	}
	c.client.NegotiateAPIVersion(ctx)
	return c, nil
}

// hostOf is the address of the engine: the target's, else DOCKER_HOST, else the usual socket.
func hostOf(settings engine.Record) (string, error) {
	host, _ := engine.Reveal(settings["host"])
	if host == "" {
		host = os.Getenv("DOCKER_HOST")
	}
	if host == "" {
		host = defaultHost
	}
	scheme, address, ok := strings.Cut(host, "://")
	switch {
	case !ok || address == "":
		return "", fmt.Errorf("host %q is not an address such as %s or tcp://127.0.0.1:2375", host, defaultHost)
	case scheme == "tcp" && os.Getenv("DOCKER_TLS_VERIFY") != "":
		return "", errors.New("DOCKER_TLS_VERIFY asks for TLS, which docker targets do not speak; name the engine's socket, or a tunnel to it")
	case scheme != "unix" && scheme != "tcp":
		return "", fmt.Errorf("host %s: a docker target is reached by unix:// or tcp://, not %s://", host, scheme)
	}
	return host, nil
}

func open(host string, access steps.Access) (*connection, error) {
	u, err := client.ParseHostURL(host)
	if err != nil {
		return nil, err
	}
	var plain net.Dialer
	// The address is the engine's own, whatever the request says: over a socket it says a dummy host.
	toEngine := dial(func(ctx context.Context, _, _ string) (net.Conn, error) {
		return plain.DialContext(ctx, u.Scheme, u.Host)
	})
	c := &connection{host: host}
	c.probe = func(ctx context.Context) error {
		conn, err := toEngine(ctx, "", "")
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	if access != steps.Full {
		toEngine = guarded(toEngine)
	}
	c.base = &http.Transport{MaxIdleConns: 8, IdleConnTimeout: 30 * time.Second, DialContext: toEngine, DisableCompression: true}
	c.http = &http.Client{Transport: c.base, CheckRedirect: client.CheckRedirect}
	// The host is applied first, because it configures the transport of the client that it finds.
	c.client, err = client.NewClientWithOpts(client.WithHost(host), client.WithHTTPClient(c.http),
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
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		if cause := context.Cause(ctx); cause != nil {
			return fmt.Errorf("waiting for the Docker engine at %s was ended: %w", c.host, cause)
		}
		return fmt.Errorf("the Docker engine at %s did not answer in time: %w", c.host, err)
	case client.IsErrConnectionFailed(err):
		return c.explainDial(ctx, err)
	}
	return said{err}
}

// explainDial asks once more for the reason, which the client drops.
func (c *connection) explainDial(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	// The probe opens a connection and sends nothing, so it may pass the guard of a dry-run.
	if reason := c.probe(context.WithValue(ctx, passed{}, true)); reason != nil {
		err = reason
	}
	path := strings.TrimPrefix(c.host, "unix://")
	elsewhere := "or say where the engine is by `host` of the target or by DOCKER_HOST"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("no Docker engine at %s: there is no such socket; start the engine (systemctl start docker), %s: %w", path, elsewhere, transient{err})
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("no access to the Docker engine's socket %s; run as root or as a member of the group that owns it (docker), %s: %w", path, elsewhere, transient{err})
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no Docker engine answers at %s; start it (systemctl start docker), %s: %w", c.host, elsewhere, transient{err})
	}
	return fmt.Errorf("the Docker engine at %s cannot be reached; see whether it runs (systemctl status docker), %s: %w", c.host, elsewhere, transient{err})
}

// errUnreachable marks what may well be better a moment later.
var errUnreachable = errors.New("unreachable")

// transient is an error that a moment may mend.
type transient struct{ error }

func (t transient) Unwrap() error      { return t.error }
func (transient) Is(target error) bool { return target == errUnreachable }

// said is an error that the engine answered, without the client's preface.
type said struct{ error }

func (s said) Error() string {
	return strings.TrimSpace(strings.TrimPrefix(s.error.Error(), "Error response from daemon: "))
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

// failure is an outcome that left no effect; one that a moment may mend is transient.
func failure(err error) engine.Outcome {
	return engine.Outcome{Err: err.Error(), Transient: errors.Is(err, errUnreachable)}
}
