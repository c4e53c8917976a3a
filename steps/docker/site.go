package docker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/docker/docker/client"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// defaultHost is where the engine listens when nothing says otherwise.
const defaultHost = "unix:///var/run/docker.sock"

type tlsSettings struct {
	CA         steps.Path `param:"ca" doc:"The file with the certificates of those who may vouch for the engine; without it those that the machine trusts."`
	Cert       steps.Path `param:"cert" doc:"The file with the certificate by which the engine knows us."`
	Key        steps.Path `param:"key" doc:"The file with its key."`
	ServerName string     `param:"server_name" doc:"The name in the engine's certificate, when it is not that of host."`
}

type settings struct {
	Host      string       `param:"host" doc:"Where the engine listens: unix:///path, tcp://address:port, or ssh://user@machine. Without it DOCKER_HOST holds, with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, else unix:///var/run/docker.sock."`
	TLS       *tlsSettings `param:"tls" doc:"For tcp://: the engine is spoken to by TLS."`
	SSHConfig steps.Path   `param:"ssh_config" doc:"For ssh://: a configuration file of ssh in place of the user's own."`
}

// site is where an engine is, and how it is reached.
type site struct {
	host      string
	tls       *tlsSettings
	sshConfig string
}

// siteOf is the address of the engine: the target's, else DOCKER_HOST, else the usual socket.
func siteOf(r engine.Record) (site, error) {
	var p site
	p.host, _ = engine.Reveal(r["host"])
	config, _ := engine.Reveal(r["ssh_config"])
	p.sshConfig = config
	if t, given := r["tls"].(engine.Record); given {
		p.tls = &tlsSettings{}
		if err := steps.Bind(t, p.tls); err != nil {
			return p, fmt.Errorf("tls.%w", err)
		}
	}
	if p.host == "" {
		p.host = os.Getenv("DOCKER_HOST")
		if p.tls == nil && strings.HasPrefix(p.host, "tcp://") && os.Getenv("DOCKER_TLS_VERIFY") != "" {
			p.tls = tlsOfEnvironment()
		}
	}
	if p.host == "" {
		p.host = defaultHost
	}
	return p, p.check()
}

// tlsOfEnvironment are the files that Docker's own commands take.
func tlsOfEnvironment() *tlsSettings {
	folder := os.Getenv("DOCKER_CERT_PATH")
	if folder == "" {
		folder = filepath.Join(os.Getenv("HOME"), ".docker")
	}
	in := func(name string) steps.Path { return steps.Path(filepath.Join(folder, name)) }
	return &tlsSettings{CA: in("ca.pem"), Cert: in("cert.pem"), Key: in("key.pem")}
}

func (p site) check() error {
	scheme, address, ok := strings.Cut(p.host, "://")
	switch {
	case !ok || address == "":
		return fmt.Errorf("host %q is not an address such as %s, tcp://127.0.0.1:2375 or ssh://user@machine", p.host, defaultHost)
	case scheme != "unix" && scheme != "tcp" && scheme != "ssh":
		return fmt.Errorf("host %s: a docker target is reached by unix://, tcp:// or ssh://, not %s://", p.host, scheme)
	case p.tls != nil && scheme != "tcp":
		return fmt.Errorf("host %s: tls goes with tcp://, not with %s://", p.host, scheme)
	case p.sshConfig != "" && scheme != "ssh":
		return fmt.Errorf("host %s: ssh_config goes with ssh://, not with %s://", p.host, scheme)
	}
	return nil
}

// clientHost is what the client is told of the address: it opens no connection by itself, so for ssh any will do.
func (p site) clientHost() string {
	if strings.HasPrefix(p.host, "ssh://") {
		return "tcp://" + client.DummyHost
	}
	return p.host
}

// dialer opens connections to the engine. The address is the engine's own, whatever the request says: over a
// socket it says a dummy host. Over TLS the client still speaks plain HTTP, and it is wrapped here, so that
// its hijacked connections, too, go through the same dialer and the same guard.
func (p site) dialer() (dial, error) {
	if strings.HasPrefix(p.host, "ssh://") {
		return p.sshDialer()
	}
	u, err := client.ParseHostURL(p.host)
	if err != nil {
		return nil, err
	}
	var plain net.Dialer
	raw := dial(func(ctx context.Context, _, _ string) (net.Conn, error) {
		return plain.DialContext(ctx, u.Scheme, u.Host)
	})
	if p.tls == nil {
		return raw, nil
	}
	config, err := p.tls.config(u.Hostname())
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := raw(ctx, network, address)
		if err != nil {
			return nil, err
		}
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, err
		}
		return secure, nil
	}, nil
}

func (t tlsSettings) config(host string) (*tls.Config, error) {
	c := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if t.ServerName != "" {
		c.ServerName = t.ServerName
	}
	if t.CA != "" {
		pem, err := os.ReadFile(string(t.CA))
		if err != nil {
			return nil, fmt.Errorf("tls.ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.ca: there is no certificate in %s", t.CA)
		}
	}
	if t.Cert == "" && t.Key == "" {
		return c, nil
	}
	pair, err := tls.LoadX509KeyPair(string(t.Cert), string(t.Key))
	if err != nil {
		return nil, fmt.Errorf("tls.cert and tls.key: %w", err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

// cliFlags are what a Docker command needs beside DOCKER_HOST to reach the same engine.
func (p site) cliFlags() []string {
	if p.tls == nil {
		return nil
	}
	// docker-compose 1.29 looks at these only when it is told the host beside them.
	out := []string{"--host", p.host, "--tlsverify"}
	for _, f := range []struct{ flag, file string }{
		{"--tlscacert", string(p.tls.CA)}, {"--tlscert", string(p.tls.Cert)}, {"--tlskey", string(p.tls.Key)}} {
		if f.file != "" {
			out = append(out, f.flag, f.file)
		}
	}
	return out
}

// cliRefused says why a Docker command could not reach the engine as Handrail does.
func (p site) cliRefused() error {
	if p.sshConfig != "" {
		return errors.New("ssh_config of the target does not reach the Compose command, which asks ssh with the user's own configuration; put what it says into ~/.ssh/config, and leave it out")
	}
	return nil
}

// explainDial asks once more for the reason, which the client drops.
func (c *connection) explainDial(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	// The probe opens a connection and sends nothing, so it may pass the guard of a dry-run.
	if reason := c.probe(context.WithValue(ctx, passed{}, true)); reason != nil {
		err = reason
	}
	if said := explainTLS(c.site, err); said != "" {
		return fmt.Errorf("the Docker engine at %s: %s: %w", c.host, said, err)
	}
	var ssh *sshError
	if errors.As(err, &ssh) {
		return ssh.explain(c.host)
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

// explainTLS says what is wrong with the certificates, and empty if they are not to blame.
func explainTLS(p site, err error) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var notTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown):
		return "its certificate was made by none of those that tls.ca trusts; give the file of the authority that made it"
	case errors.As(err, &name):
		return "its certificate is for another name; see host, or say the certificate's name by tls.server_name"
	case errors.As(err, &invalid):
		return "its certificate does not hold (any more); have it made anew"
	case errors.As(err, &notTLS):
		return "it does not speak TLS; leave out tls, or name the port where it does"
	case strings.Contains(err.Error(), "remote error: tls: "):
		return "it does not take our certificate; tls.cert must be made by the authority that the engine trusts (its --tlscacert)"
	case p.tls == nil && strings.Contains(err.Error(), "malformed HTTP response"):
		return "it speaks TLS; say tls: {ca, cert, key}"
	}
	return ""
}
