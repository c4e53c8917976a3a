package sql_test

import (
	"maps"
	"os"
	"path/filepath"
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

// TestADumpGoesOverTLSWhereverItsProgramRuns: the user is let in with a certificate only, so a dumping program that does not get the
// target's TLS settings gets nothing; and one that is told of another authority does not believe the server.
func TestADumpGoesOverTLSWhereverItsProgramRuns(t *testing.T) {
	right, elsewhere := servers.NewCertificates(t, "127.0.0.1"), servers.NewCertificates(t, "127.0.0.1")
	grounds := map[string]func(t *testing.T) ground{
		"mysql": func(t *testing.T) ground {
			g := userGround(t, servers.PrivateMySQL(t, right.MySQL()...).Settings(), "ALL PRIVILEGES ON %s.*", "RELOAD ON *.*")
			g.must(t, "ALTER USER "+engine.Text(g.target.Settings["user"])+"@'%' REQUIRE X509")
			return g
		},
		"postgres": func(t *testing.T) ground {
			rules := filepath.Join(right.Dir, "hba.conf")
			err := os.WriteFile(rules, []byte("host all handrail all scram-sha-256\nhostssl all all all scram-sha-256 clientcert=verify-ca\n"), 0o644)
			if err != nil {
				t.Fatal(err)
			}
			g, user := postgresUserGround(t, servers.PrivatePostgres(t, append(right.Postgres(t), "-c", "hba_file="+rules)...).Settings())
			g.must(t, "ALTER DATABASE "+engine.Text(g.target.Settings["database"])+" OWNER TO "+user, "ALTER SCHEMA public OWNER TO "+user)
			g.mine(t, user)
			return g
		},
	}
	for _, s := range shops(t) {
		t.Run(s.name, func(t *testing.T) {
			dir := t.TempDir()
			files := func(name string, c servers.Certificates) engine.Record { // its own, since libpq wants a key that is the user's
				r := engine.Record{}
				for as, from := range map[string]string{"ca": c.CA, "cert": right.Cert, "key": right.Key} {
					b, err := os.ReadFile(from)
					if err == nil {
						err = os.WriteFile(filepath.Join(dir, name+"-"+as), b, 0o600)
					}
					if err != nil {
						t.Fatal(err)
					}
					r[as] = filepath.Join(dir, name+"-"+as)
				}
				return r
			}
			g := grounds[s.name](t)
			g.must(t, "CREATE TABLE a (x int PRIMARY KEY)", "INSERT INTO a VALUES (1), (2), (3)")
			dumped := func(out, file string) engine.Outcome {
				return g.dumping(t, out, dumpTo(file, "program", s.program)).do()
			}
			want := strings.Replace(s.counts, "60000", "3", 1)

			failed(t, dumped(t.TempDir(), "a.sql"), engine.EffectNone) // the server wants TLS
			g.target.Settings["tls"] = files("here", right)
			out := t.TempDir()
			if r := ok(t, dumped(out, "a.sql")); counts(r) != want {
				t.Errorf("here: counted %s", counts(r))
			}
			g.must(t, "DELETE FROM a WHERE x > 1")
			if r := ok(t, g.restoring(t, out, restoreFrom("a.sql", "safety", "before.sql", "program", s.program)).do()); counts(r) != want {
				t.Errorf("restored %v", r)
			}
			for _, w := range workshops(t, dir) {
				out := t.TempDir()
				g.target.Settings["programs"] = having(w.settings, "tls", files("there", right))
				if r := ok(t, dumped(out, "a.sql")); !strings.HasPrefix(counts(r), want+", ") { // and the marker of the restore
					t.Errorf("%s: counted %s", w.name, counts(r))
				}
				g.target.Settings["programs"] = having(w.settings, "tls", files("misled", elsewhere))
				failed(t, dumped(out, "b.sql"), engine.EffectNone, "nothing of the dump is kept")
				if left := folder(t, out); len(left) != 2 {
					t.Errorf("%s: there is %q", w.name, left)
				}
			}
		})
	}
}

func having(r engine.Record, name string, v engine.Value) engine.Record {
	r = maps.Clone(r)
	r[name] = v
	return r
}
