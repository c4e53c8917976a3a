package redis_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/redis"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// authority is a certificate authority of a test's own.
type authority struct {
	t    *testing.T
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	file := filepath.Join(a.dir, name)
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return file
}

func (a *authority) ca() string { return filepath.Join(a.dir, "ca.pem") }

// issue makes a certificate for a name and an address, and gives the files of it and its key.
func (a *authority) issue(file, name, ip string) (cert, key string) {
	a.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	if ip != "" {
		template.IPAddresses = []net.IP{net.ParseIP(ip)}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &k.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.write(file+".pem", "CERTIFICATE", der), a.write(file+".key", "EC PRIVATE KEY", raw)
}

// secured starts a server that speaks TLS on a second port, and gives that address.
func secured(t *testing.T, a *authority, cert, key string, args ...string) (*servers.RedisServer, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(addr)
	s := servers.Redis(t, append([]string{"--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", a.ca()}, args...)...)
	return s, addr
}

func refusedBy(t *testing.T, target steps.Target, contains ...string) {
	t.Helper()
	conn, err := redis.New().Connect(t.Context(), target, steps.Full)
	if err == nil {
		_ = conn.Close()
		t.Fatalf("%v was accepted", target.Settings)
	}
	has(t, err.Error(), contains...)
}

func TestTLSWithTheRightAndTheWrongCertificate(t *testing.T) {
	ca, other := newAuthority(t, "ours"), newAuthority(t, "another")
	cert, key := ca.issue("server", "redis.test", "127.0.0.1")
	_, addr := secured(t, ca, cert, key)
	client, clientKey := ca.issue("client", "handrail", "")
	tls := func(r engine.Record) steps.Target { return targetOf(engine.Record{"address": addr, "tls": r}) }

	w := &world{t: t, target: tls(engine.Record{"ca": ca.ca(), "cert": client, "key": clientKey})}
	same(t, succeeded(t, w.execute(call("do", do("PING"))))["value"], "PONG")
	w.target = tls(engine.Record{"ca": ca.ca(), "cert": client, "key": clientKey, "server_name": "redis.test"})
	same(t, succeeded(t, w.execute(call("do", do("PING"))))["value"], "PONG")

	refusedBy(t, tls(engine.Record{"ca": other.ca(), "cert": client, "key": clientKey}), addr, "certificate signed by unknown authority")
	refusedBy(t, tls(engine.Record{"ca": ca.ca(), "cert": client, "key": clientKey, "server_name": "elsewhere.test"}), "elsewhere.test")
	refusedBy(t, tls(engine.Record{"ca": ca.ca()}), addr) // the server asks for a certificate
	stranger, strangerKey := other.issue("stranger", "handrail", "")
	refusedBy(t, tls(engine.Record{"ca": ca.ca(), "cert": stranger, "key": strangerKey}), addr)
	refusedBy(t, tls(engine.Record{"ca": key}), "no certificate in PEM form")
	refusedBy(t, targetOf(engine.Record{"address": addr}), addr) // without TLS
}

func TestClusterAndSentinelsWithPasswordsAndRights(t *testing.T) {
	c := servers.RedisNodes(t, 3)
	for _, s := range c.Nodes {
		n := s.Client()
		if err := n.Do(t.Context(), "ACL", "SETUSER", "ops", "on", ">geheim-geheim", "~*", "&*", "+@all").Err(); err != nil {
			t.Fatal(err)
		}
		if err := n.Do(t.Context(), "ACL", "SETUSER", "reader", "on", ">lesen-lesen", "~*", "+@read", "+@connection", "+cluster", "+info").Err(); err != nil {
			t.Fatal(err)
		}
	}
	as := func(user, password string) steps.Target {
		s := c.Settings()
		s["user"], s["password"] = user, engine.NewSecret("p", password)
		return clusterTarget(s)
	}
	w := &world{t: t, target: as("ops", "geheim-geheim")}
	succeeded(t, w.execute(creating(0)))
	succeeded(t, w.execute(call("do", do("SET", "a", "1"))))
	refusedBy(t, as("ops", "wrong"), "does not accept the user and password")
	w.target = as("reader", "lesen-lesen")
	same(t, succeeded(t, w.execute(call("do", do("GET", "a"))))["value"], "1")
	failed(t, w.execute(call("do", do("SET", "a", "2"))), "may not do this", "ACL SETUSER")

	behind := servers.RedisWatched(t, 0)
	for _, s := range behind.Sentinels {
		if err := s.Client().Do(t.Context(), "ACL", "SETUSER", "default", ">waechter").Err(); err != nil {
			t.Fatal(err)
		}
	}
	settings := behind.Settings()
	target := steps.Target{Name: "cache", Type: "sentinel", Settings: settings}
	refusedBy(t, target, "asks for a password")
	settings["sentinel_password"] = engine.NewSecret("s", "waechter")
	w.target = target
	same(t, succeeded(t, w.execute(call("do", do("PING"))))["value"], "PONG")
}

// Nodes that announce another address than the one at which they are reached, as those in containers do.
func TestAnnouncedAddressesAreMapped(t *testing.T) {
	c := servers.RedisClusterOf(t, 3, 0, "--bind", "127.0.0.1", "127.0.0.2", "--cluster-announce-ip", "127.0.0.2")
	reach := engine.Record{}
	for _, s := range c.Nodes {
		reach[strings.Replace(s.Addr, "127.0.0.1", "127.0.0.2", 1)] = s.Addr
	}
	settings := c.Settings()
	settings["map"] = reach
	w := &world{t: t, target: clusterTarget(settings)}
	for i := range 20 {
		succeeded(t, w.execute(call("do", do("SET", fmt.Sprintf("k:%d", i), "x"))))
	}
	nodes := nodesOf(t, w.execute(call("do", on("masters", do("DBSIZE")))))
	if total(nodes, "value") != 20 {
		t.Errorf("%v", nodes)
	}
	for _, s := range c.Nodes {
		if nodes[s.Addr] == nil {
			t.Errorf("%s is not among %v", s.Addr, nodes)
		}
	}
}

func TestRenamedCommandsOfACluster(t *testing.T) {
	w, _, _ := clusterWorld(t, 3, 0, "--rename-command", "CONFIG", "CONFIG_abc")
	w.target.Settings["rename"] = engine.Record{"CONFIG": "CONFIG_abc"}
	nodes := nodesOf(t, w.execute(call("do", on("masters", do("CONFIG", "SET", "maxmemory", "100mb")))))
	if len(nodes) != 3 {
		t.Errorf("%v", nodes)
	}
}
