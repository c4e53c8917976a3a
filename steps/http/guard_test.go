package http_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	nethttp "net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

func TestCredentialsAreCarriedToNoOtherHost(t *testing.T) {
	other := newSite(t, nil)
	elsewhere := strings.Replace(other.URL, "127.0.0.1", "localhost", 1)
	for _, to := range []string{other.URL + "/taken", elsewhere + "/taken", strings.TrimPrefix(other.URL, "http:")} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			s := newSite(t, redirect(status, to))
			for _, operation := range []string{"get", "post"} {
				o := newStep(t, operation, engine.Record{
					operation: s.URL, "follow": "same_host", "headers": engine.Record{"Authorization": engine.NewSecret("T", "Bearer abcdefgh")},
				}, steps.Full).execute(t.Context())
				if operation == "get" && (o.Err != "" || o.Result["status"] != int64(status) || !strings.Contains(o.Message, "another host")) {
					t.Errorf("%d to %s: %+v", status, to, o)
				}
				if operation == "post" && !strings.Contains(o.Err, "another host") {
					t.Errorf("%d to %s: %+v", status, to, o)
				}
			}
		}
	}
	if n := len(other.requests()); n != 0 {
		t.Errorf("the other host was asked %d times", n)
	}
}

func TestARedirectOnTheSameHostIsFollowedByReadsOnly(t *testing.T) {
	for operation, want := range map[string]int{"get": 2, "post": 1} {
		s := newSite(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
			if r.URL.Path == "/" {
				redirect(303, "/there?page=2")(w, r)
			}
		})
		o := newStep(t, operation, engine.Record{operation: s.URL + "/", "headers": engine.Record{"Authorization": "x"}}, steps.Full).execute(t.Context())
		seen := s.requests()
		if len(seen) != want || seen[len(seen)-1].Header.Get("Authorization") != "x" {
			t.Errorf("%s: %d requests", operation, len(seen))
		}
		if operation == "get" && o.Result["url"] != s.URL+"/there?page=2" {
			t.Errorf("%v", o.Result["url"])
		}
	}
}

func TestAWriteThatMayFollowIsNotRepeatedUnlessTheServerAsksForIt(t *testing.T) {
	for status, want := range map[int]string{303: "GET", 302: "GET", 307: "POST", 308: "POST"} {
		s := newSite(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
			if r.URL.Path == "/" {
				redirect(status, "/there")(w, r)
			}
		})
		o := newStep(t, "post", engine.Record{"post": s.URL + "/", "json": "x", "follow": "same_host"}, steps.Full).execute(t.Context())
		seen := s.requests()
		if o.Err != "" || len(seen) != 2 || seen[1].Method != want || (want == "GET") != (seen[1].Header.Get("Idempotency-Key") == "") {
			t.Errorf("%d: %q, %d requests", status, o.Err, len(seen))
		}
	}
}

func TestRedirectsWithoutEndAreGivenUp(t *testing.T) {
	s := newSite(t, redirect(302, "/again"))
	if o := get(t, engine.Record{"get": s.URL}); !strings.Contains(o.Err, "more than 10 redirects") {
		t.Errorf("%+v", o)
	}
	if n := len(s.requests()); n != 10 {
		t.Errorf("%d requests", n)
	}
}

func TestADryRunSendsOnlyGetAndHead(t *testing.T) {
	s := newSite(t, nil)
	for _, operation := range []string{"post", "put", "delete", "patch"} {
		step := newStep(t, operation, engine.Record{operation: s.URL}, steps.ReadOnly)
		step.env.Call.Class = engine.ClassRead // by the author's word
		if o := step.execute(t.Context()); !strings.Contains(o.Err, "a dry-run sends only GET and HEAD") {
			t.Errorf("%s: %+v", operation, o)
		}
		impact, err := step.op.Preview(t.Context(), step.env)
		if err != nil || impact.Standing != engine.StandingUnknown || impact.Why == "" {
			t.Errorf("%s: %+v, %v", operation, impact, err)
		}
	}
	if n := len(s.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
	// A redirect cannot make a write of a read either.
	if o := newStep(t, "head", engine.Record{"head": s.URL}, steps.ReadOnly).execute(t.Context()); o.Err != "" {
		t.Error(o.Err)
	}
}

func TestThePlanShowsTheRequestWithoutItsSecrets(t *testing.T) {
	step := newStep(t, "post", engine.Record{
		"post": "http://api.example.com/v1?api_key=plain&page=2", "query": engine.Record{"t": engine.NewSecret("T", "secret-in-query")},
		"headers": engine.Record{"Authorization": "Basic plain", "Accept": "text/plain"},
		"json":    engine.Record{"user": "ops", "password": engine.NewSecret("P", "hunter22")},
	}, steps.ReadOnly)
	impact, err := step.op.Preview(t.Context(), step.env)
	if err != nil {
		t.Fatal(err)
	}
	want := "POST http://api.example.com/v1?api_key=•••&page=2&t=••• with 36 bytes of JSON"
	if impact.Would != want {
		t.Errorf("%q", impact.Would)
	}
	details := strings.Join(impact.Details, "\n")
	if details != "Accept: text/plain\nAuthorization: •••\n{\n  \"password\": \"•••\",\n  \"user\": \"ops\"\n}" {
		t.Errorf("%s", details)
	}
	if w := strings.Join(impact.Warnings, "; "); !strings.Contains(w, "without TLS") || !strings.Contains(w, "in the query") || !strings.Contains(w, "no timeout") {
		t.Errorf("%q", w)
	}
}

func TestAProxyThatThePlaybookNamesIsUsed(t *testing.T) {
	proxy := newSite(t, always(200, "text/plain", "from the proxy"))
	if o := get(t, engine.Record{"get": "http://nobody.invalid/", "proxy": proxy.URL}); o.Result["body"] != "from the proxy" {
		t.Errorf("%+v", o)
	}
}

// The environment is read once in the life of a process, so this needs one of its own.
func TestTheProxyOfTheEnvironmentIsNotObeyed(t *testing.T) {
	const inner = "HANDRAIL_TEST_INNER"
	if os.Getenv(inner) != "" {
		if o := get(t, engine.Record{"get": "http://nobody.invalid/"}); !strings.Contains(o.Err, "the name nobody.invalid") {
			t.Errorf("%+v", o)
		}
		return
	}
	proxy := newSite(t, nil)
	self := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	self.Env = append(os.Environ(), inner+"=yes", "HTTP_PROXY="+proxy.URL, "http_proxy="+proxy.URL, "NO_PROXY=", "no_proxy=")
	if out, err := self.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
		t.Errorf("%v\n%s", err, out)
	}
	if n := len(proxy.requests()); n != 0 {
		t.Errorf("the proxy was asked %d times", n)
	}
}

func TestTheHostHeaderChoosesTheSite(t *testing.T) {
	s := newSite(t, func(w nethttp.ResponseWriter, r *nethttp.Request) { w.Header().Set("X-Site", r.Host) })
	o := get(t, engine.Record{"get": s.URL, "headers": engine.Record{"Host": "api.example.com"}})
	if h, _ := o.Result["headers"].(engine.Record); h["x-site"] != "api.example.com" {
		t.Errorf("%+v", o)
	}
}

// authority is a certificate authority of the test's own.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, dir, name string) *authority {
	t.Helper()
	a := &authority{dir: dir}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert, a.key = template, newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.write(t, name+".pem", "CERTIFICATE", der)
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) write(t testing.TB, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, file), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// sign makes name.pem and name.key, and gives both.
func (a *authority) sign(t testing.TB, name string, until time.Time) tls.Certificate {
	t.Helper()
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	a.write(t, name+".pem", "CERTIFICATE", der)
	a.write(t, name+".key", "PRIVATE KEY", private)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestACertificateThatDoesNotHoldIsNotAccepted(t *testing.T) {
	dir := t.TempDir()
	ours, theirs := newAuthority(t, dir, "ours"), newAuthority(t, dir, "theirs")
	serve := func(c tls.Certificate) *site {
		s := quietSite(nil)
		s.Server = httptest.NewUnstartedServer(s)
		s.TLS = &tls.Config{Certificates: []tls.Certificate{c}, ClientAuth: tls.RequireAnyClientCert}
		s.Config.ErrorLog = nil
		s.StartTLS()
		t.Cleanup(s.Close)
		return s
	}
	later := time.Now().Add(time.Hour)
	ours.sign(t, "client", later)
	good, old := serve(ours.sign(t, "api.test", later)), serve(ours.sign(t, "old.test", time.Now().Add(-time.Hour)))
	foreign := serve(theirs.sign(t, "foreign.test", later))
	me := func(ca, name string) engine.Record {
		return engine.Record{"ca": ca, "server_name": name, "cert": "client.pem", "key": "client.key"}
	}
	for _, c := range []struct {
		name string
		site *site
		tls  engine.Record
		err  string
	}{
		{"good", good, me("ours.pem", "api.test"), ""},
		{"not trusted", foreign, me("ours.pem", "foreign.test"), "an authority that is not trusted"},
		{"not trusted by the machine", good, engine.Record{"server_name": "api.test"}, "an authority that is not trusted"},
		{"another host", good, me("ours.pem", "other.test"), "for another host"},
		{"expired", old, me("ours.pem", "old.test"), "does not hold"},
		{"no certificate of ours", good, engine.Record{"ca": "ours.pem", "server_name": "api.test"}, "refuses the TLS connection"},
		{"no such file", good, me("none.pem", "api.test"), "tls.ca"},
		{"no certificate in the file", good, me("client.key", "api.test"), "holds no certificate"},
	} {
		step := newStep(t, "post", engine.Record{"post": c.site.URL, "tls": c.tls, "body": "x"}, steps.Full)
		step.env.Dir = dir
		o := step.execute(t.Context())
		if c.err == "" && o.Err != "" || !strings.Contains(o.Err, c.err) {
			t.Errorf("%s: %q", c.name, o.Err)
		}
		// Under TLS 1.3 a client is refused only AFTER it has sent: then it cannot know.
		if c.name != "no certificate of ours" && o.InDoubt {
			t.Errorf("%s: in doubt", c.name)
		}
	}
	if n := good.writes() + old.writes() + foreign.writes(); n != 1 {
		t.Errorf("%d requests", n)
	}
}
