package docker

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/client"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// authority makes certificates.
type authority struct {
	w    *world
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	n    int64
}

func (w *world) authority(name string) *authority {
	w.t.Helper()
	a := &authority{w: w, dir: w.t.TempDir()}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.must(err)
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	w.must(err)
	a.cert, err = x509.ParseCertificate(der)
	w.must(err)
	a.write("ca", "CERTIFICATE", der)
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name+".pem") }

func (a *authority) write(name, kind string, der []byte) {
	a.w.t.Helper()
	a.w.must(os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

// make makes a certificate with its key: name.pem and name-key.pem.
func (a *authority) make(name string, until time.Time, sans ...string) tls.Certificate {
	a.w.t.Helper()
	a.n++
	template := &x509.Certificate{SerialNumber: big.NewInt(a.n + 1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature}
	for _, s := range sans {
		if ip := net.ParseIP(s); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, s)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	a.w.must(err)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	a.w.must(err)
	a.write(name, "CERTIFICATE", der)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	a.w.must(err)
	a.write(name+"-key", "PRIVATE KEY", raw)
	pair, err := tls.LoadX509KeyPair(a.file(name), a.file(name+"-key"))
	a.w.must(err)
	return pair
}

// settings are those of a target whose engine the authority vouches for.
func (a *authority) settings(client string) engine.Record {
	return engine.Record{"ca": a.file("ca"), "cert": a.file(client), "key": a.file(client + "-key")}
}

// front stands before the test engine: over TLS if config is given.
func (w *world) front(config *tls.Config) string {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	address := l.Addr().String()
	if config != nil {
		l = tls.NewListener(l, config)
	}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() { w.pass(conn) })
		}
	})
	w.t.Cleanup(func() { _ = l.Close() }) // connections that idle are closed by their clients
	return "tcp://" + address
}

// pass hands a connection through to the test engine.
func (w *world) pass(conn net.Conn) {
	defer conn.Close()
	if secure, ok := conn.(*tls.Conn); ok {
		var plain tls.RecordHeaderError
		if err := secure.HandshakeContext(context.Background()); errors.As(err, &plain) && plain.Conn != nil {
			// As net/http does, which the engine is made of.
			_, _ = io.WriteString(plain.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
			return
		}
	}
	behind, err := w.plain.Dialer()(context.Background())
	if err != nil {
		return
	}
	defer behind.Close()
	var both sync.WaitGroup
	one := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		if half, ok := to.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}
	both.Go(func() { one(behind, conn) })
	both.Go(func() { one(conn, behind) })
	both.Wait()
}

// at is the world seen through another way to the same engine.
func (w *world) at(settings engine.Record) *world {
	other := *w
	other.target = steps.Target{Name: "engine", Type: "docker", Settings: settings}
	return &other
}

// unreachable expects that the engine cannot be reached, and why.
func (w *world) unreachable(says ...string) {
	w.t.Helper()
	c, err := New().Connect(context.Background(), w.target, steps.Full)
	if err == nil {
		_ = c.Close()
		w.t.Fatal("it was reached")
	}
	w.says(err.Error(), says...)
}

// works acts through the connection in every way that there is: asks, changes, attaches.
func (w *world) works() {
	w.t.Helper()
	up := w.up("up")
	w.step("restart", engine.Record{"restart": up}).ok()
	long := strings.Repeat("0123456789\n", 30_000)
	r := w.step("exec", engine.Record{"exec": engine.Record{"container": up, "argv": engine.List{"sh", "-c", "wc -c; echo done >&2"}, "stdin": long}}).ok()
	if r["stdout"] != fmt.Sprintf("%d\n", len(long)) || r["stderr"] != "done\n" {
		w.t.Errorf("exec: %q", r)
	}
	for name, s := range map[string]*act{
		"restart": w.stepAs(steps.Full, steps.ReadOnly, "restart", engine.Record{"restart": up}),
		"exec":    w.stepAs(steps.Full, steps.ReadOnly, "exec", engine.Record{"exec": engine.Record{"container": up, "argv": engine.List{"true"}}}),
	} {
		w.says(s.failed(engine.EffectNone).Err, "read-only")
		if i := s.preview(); i.Standing != engine.StandingWould {
			w.t.Errorf("preview of %s: %+v", name, i)
		}
	}
}

func TestEngineOverTLS(t *testing.T) {
	w := newWorld(t)
	ca, other := w.authority("ours"), w.authority("another")
	ca.make("client", time.Now().Add(time.Hour))
	other.make("client", time.Now().Add(time.Hour))
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	serve := func(c tls.Certificate) string {
		return w.front(&tls.Config{Certificates: []tls.Certificate{c}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12})
	}
	good := serve(ca.make("server", time.Now().Add(time.Hour), "127.0.0.1"))
	named := serve(ca.make("named", time.Now().Add(time.Hour), "engine.example"))
	old := serve(ca.make("old", time.Now().Add(-time.Hour), "127.0.0.1"))
	t.Run("works", func(*testing.T) { w.at(engine.Record{"host": good, "tls": ca.settings("client")}).works() })
	t.Run("by another name", func(*testing.T) {
		settings := ca.settings("client")
		settings["server_name"] = "engine.example"
		w.at(engine.Record{"host": named, "tls": settings}).step("inspect", engine.Record{"inspect": w.name("up")}).ok()
	})
	wrong := ca.settings("client")
	wrong["ca"] = other.file("ca")
	stranded := ca.settings("client")
	stranded["ca"] = filepath.Join(t.TempDir(), "none.pem")
	for _, c := range []struct {
		name     string
		settings engine.Record
		says     []string
	}{
		{"an authority that is not trusted", engine.Record{"host": good, "tls": wrong}, []string{good, "made by none of those that tls.ca trusts"}},
		{"another name", engine.Record{"host": named, "tls": ca.settings("client")}, []string{"is for another name", "tls.server_name"}},
		{"too old", engine.Record{"host": old, "tls": ca.settings("client")}, []string{"does not hold"}},
		{"no certificate of ours", engine.Record{"host": good, "tls": engine.Record{"ca": ca.file("ca")}}, []string{"does not take our certificate"}},
		{"a certificate of a stranger", engine.Record{"host": good, "tls": engine.Record{"ca": ca.file("ca"), "cert": other.file("client"), "key": other.file("client-key")}}, []string{"does not take our certificate"}},
		{"without TLS", engine.Record{"host": good}, []string{"it speaks TLS"}},
		{"TLS where there is none", engine.Record{"host": w.front(nil), "tls": ca.settings("client")}, []string{"does not speak TLS"}},
		{"no such file", engine.Record{"host": good, "tls": stranded}, []string{"tls.ca: open ", "none.pem"}},
		{"a socket", engine.Record{"host": "unix:///x", "tls": ca.settings("client")}, []string{"tls goes with tcp://"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			there := w.at(c.settings)
			there.t = t
			there.unreachable(c.says...)
		})
	}
	t.Run("compose", func(*testing.T) {
		there := w.at(engine.Record{"host": good, "tls": ca.settings("client")})
		there.compose("up", w.composeFile(twoServices), nil).prepared().ok()
	})
}

func TestEngineOverTLSByTheEnvironment(t *testing.T) {
	w := newLoneWorld(t)
	ca := w.authority("ours")
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	host := w.front(&tls.Config{Certificates: []tls.Certificate{ca.make("server", time.Now().Add(time.Hour), "127.0.0.1")}, ClientCAs: pool,
		ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12})
	ca.make("cert", time.Now().Add(time.Hour))
	w.must(os.Rename(ca.file("cert-key"), ca.file("key")))
	t.Setenv("DOCKER_HOST", host)
	t.Setenv("DOCKER_TLS_VERIFY", "1")
	t.Setenv("DOCKER_CERT_PATH", ca.dir)
	up := w.up("up")
	w.at(engine.Record{}).step("inspect", engine.Record{"inspect": up}).ok()
}

func TestEngineOverSSH(t *testing.T) {
	w := newWorld(t)
	server := servers.SSH(t)
	of := server.Settings()
	host, port, err := net.SplitHostPort(of["address"].(string))
	w.must(err)
	socket, err := client.ParseHostURL(w.plain.DaemonHost())
	w.must(err)
	config := func(key, known string) string {
		file := filepath.Join(t.TempDir(), "config")
		text := fmt.Sprintf("Host engine\n HostName %s\n Port %s\n User %s\n IdentityFile %s\n IdentitiesOnly yes\n UserKnownHostsFile %s\n GlobalKnownHostsFile /dev/null\n StrictHostKeyChecking yes\n",
			host, port, of["user"], key, known)
		w.must(os.WriteFile(file, []byte(text), 0o600))
		return file
	}
	known, key := of["known_hosts"].(string), of["key"].(string)
	nobody := filepath.Join(t.TempDir(), "known")
	w.must(os.WriteFile(nobody, nil, 0o600))
	there := "ssh://engine" + socket.Host
	t.Run("works", func(*testing.T) { w.at(engine.Record{"host": there, "ssh_config": config(key, known)}).works() })
	for _, c := range []struct {
		name     string
		settings engine.Record
		says     []string
	}{
		{"a host whose key is not known", engine.Record{"host": there, "ssh_config": config(key, nobody)}, []string{"host key is not known", "Host key verification failed"}},
		{"a key that is not let in", engine.Record{"host": there, "ssh_config": config(server.NewKey("stranger"), known)}, []string{"does not take the key", "Permission denied"}},
		{"no such machine", engine.Record{"host": "ssh://no-such-machine.invalid"}, []string{"no machine of that name", "no-such-machine.invalid"}},
		{"no engine", engine.Record{"host": "ssh://engine/no/such.sock", "ssh_config": config(key, known)}, []string{"the engine does not run on the other side"}},
		{"a password", engine.Record{"host": "ssh://u:p@engine"}, []string{"ssh takes keys only"}},
		{"a socket for a shell", engine.Record{"host": "ssh://engine/a$(b)"}, []string{"a shell on the other side would not read"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			away := w.at(c.settings)
			away.t = t
			away.unreachable(c.says...)
		})
	}
	t.Run("compose", func(*testing.T) {
		s := w.at(engine.Record{"host": there, "ssh_config": config(key, known)}).compose("up", w.composeFile(twoServices), nil)
		s.failed(engine.EffectNone, "ssh_config of the target does not reach the Compose command")
	})
	t.Run("a connection that is lost while a command runs", func(*testing.T) {
		away := w.at(engine.Record{"host": there, "ssh_config": config(key, known)})
		s := away.exec(w.name("up"), "echo begun >>/tmp/effect; sleep 3; echo ended >>/tmp/effect")
		go func() {
			w.eventually("it has begun", func() bool { return w.sh(w.name("up"), "cat /tmp/effect 2>/dev/null") == "begun" })
			server.CutConnections()
		}()
		if o := s.execute(); o.Err != "" {
			t.Errorf("%+v", o)
		}
		if got := w.sh(w.name("up"), "cat /tmp/effect"); got != "begun\nended" {
			t.Errorf("the effect is %q", got)
		}
	})
}
