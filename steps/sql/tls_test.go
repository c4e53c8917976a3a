package sql_test

import (
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// TestTLSIsVerified: the right authority and name let in, all others do not, and what is said of them says
// what to look at.
func TestTLSIsVerified(t *testing.T) {
	right, elsewhere := servers.NewCertificates(t, "127.0.0.1", "db.example"), servers.NewCertificates(t, "127.0.0.1")
	other := servers.NewCertificates(t, "db.example")
	mysql := func(c servers.Certificates) engine.Record { return servers.PrivateMySQL(t, c.MySQL()...).Settings() }
	postgres := func(c servers.Certificates) engine.Record {
		return servers.PrivatePostgres(t, c.Postgres(t)...).Settings()
	}
	for typ, c := range map[string]struct {
		start   func(servers.Certificates) engine.Record
		secured string
		plain   engine.Record
	}{
		"mysql":    {mysql, "SHOW SESSION STATUS LIKE 'Ssl_cipher'", servers.MySQL(t)},
		"postgres": {postgres, "SELECT cipher AS \"Value\" FROM pg_stat_ssl WHERE pid = pg_backend_pid()", servers.Postgres(t)},
	} {
		t.Run(typ, func(t *testing.T) {
			ask := func(settings, tls engine.Record) engine.Outcome {
				mine := engine.Record{}
				for k, v := range settings {
					mine[k] = v
				}
				mine["password"] = engine.NewSecret("P", engine.Text(mine["password"]))
				if tls != nil {
					mine["tls"] = tls
				}
				g := ground{target: steps.Target{Name: "db", Type: typ, Settings: mine}}
				return g.step(t, "query", query(c.secured)).do()
			}
			named, misnamed := c.start(right), c.start(other)
			if got := first(t, ok(t, ask(named, engine.Record{"ca": right.CA})))["Value"]; got == nil || engine.Text(got) == "" {
				t.Error("the connection is not secured")
			}
			ok(t, ask(misnamed, engine.Record{"ca": other.CA, "server_name": "db.example"}))
			ok(t, ask(named, engine.Record{"ca": right.CA, "cert": right.Cert, "key": right.Key}))
			for name, o := range map[string]engine.Outcome{
				"another authority":          ask(named, engine.Record{"ca": elsewhere.CA}),
				"the machine's authorities":  ask(named, engine.Record{}),
				"another name":               ask(misnamed, engine.Record{"ca": other.CA}),
				"another name, as it is set": ask(named, engine.Record{"ca": right.CA, "server_name": "elsewhere.example"}),
			} {
				failed(t, o, engine.EffectNone, typ+" 127.0.0.1:", "certificate is not to be trusted", "check `tls`", "x509")
				if o.Transient || strings.Contains(o.Err, "\n") {
					t.Errorf("%s: transient %v: %s", name, o.Transient, o.Err)
				}
			}
			failed(t, ask(c.plain, engine.Record{}), engine.EffectNone, "offers no TLS", "take `tls` out")
			failed(t, ask(named, engine.Record{"ca": "/nowhere/ca.pem"}), engine.EffectNone, "settings of target db", "tls.ca", "no such file")
		})
	}
}
