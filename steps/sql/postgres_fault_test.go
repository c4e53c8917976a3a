package sql_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/sql"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// TestMistakesWithPostgresAreSaidInOneSentence: each says where, what is wrong and what to do, and never a
// password.
func TestMistakesWithPostgresAreSaidInOneSentence(t *testing.T) {
	g := postgresGround(t)
	g.stock(t)
	// What the environment says is for psql, not for a step.
	for name, value := range map[string]string{"PGHOST": "elsewhere", "PGUSER": "somebody", "PGPASSWORD": "other-secret-77", "PGSSLMODE": "verify-full",
		"PGOPTIONS": "-c work_mem=77kB", "PGTARGETSESSIONATTRS": "standby"} {
		t.Setenv(name, value)
	}
	change := func(name string, v engine.Value) ground {
		settings := engine.Record{}
		for k, x := range g.target.Settings {
			settings[k] = x
		}
		settings[name] = v
		return ground{target: steps.Target{Name: "db", Type: "postgres", Settings: settings}, db: g.db}
	}
	for _, c := range []struct {
		name string
		g    ground
		text string
		says []string
	}{
		{"refused", change("address", "127.0.0.1:1"), "SELECT 1", []string{"postgres 127.0.0.1:1", "cannot be reached", "check the address"}},
		{"no such host", change("address", "no-such-host.invalid"), "SELECT 1", []string{"cannot be reached"}},
		{"no socket", change("address", "/nowhere/.s.PGSQL.5433"), "SELECT 1", []string{"cannot be reached", "no such file"}},
		{"no port", change("address", "127.0.0.1:many"), "SELECT 1", []string{"settings of target db", "address", "no such port"}},
		{"TLS on a socket", ground{target: steps.Target{Name: "db", Type: "postgres", Settings: engine.Record{"address": "/nowhere", "user": "u", "tls": engine.Record{}}}}, "SELECT 1", []string{"settings of target db", "no TLS on a Unix socket"}},
		{"wrong password", change("password", engine.NewSecret("P", "other-secret-77")), "SELECT 1", []string{"does not accept the user and password", "check `user` and `password`", "28P01"}},
		{"unknown user", change("user", "nobody_here"), "SELECT 1", []string{"does not accept the user and password"}},
		{"unknown database", change("database", "nowhere"), "SELECT 1", []string{"no such database", "check `database`"}},
		{"no TLS there", change("tls", engine.Record{}), "SELECT 1", []string{"offers no TLS"}},
		{"bad zone", change("timezone", "Nowhere/Else"), "SELECT 1", []string{"settings of target db", "timezone", "is not a time zone"}},
		{"syntax", g, "SELECT FROM WHERE", []string{"not correct for this server", "42601", "WHERE"}},
		{"no table", g, "SELECT * FROM stocks", []string{"no such table", "stocks"}},
		{"no column", g, "SELECT m FROM stock", []string{"no such column", "m"}},
		{"no function", g, "SELECT abs(n, n) FROM stock", []string{"no such function", "abs(integer, integer)"}},
		{"no rights", g, "SELECT * FROM pg_authid", []string{"the user may not do this", "GRANT"}},
		{"types", g, "SELECT 1 FROM stock WHERE note = 1", []string{"no such function or operator for these types", ":name::text"}},
	} {
		o := c.g.step(t, "query", query(c.text)).do()
		failed(t, o, engine.EffectNone, c.says...)
		if strings.Contains(o.Err, "\n") || strings.Contains(o.Err, "other-secret-77") || strings.Contains(o.Err, password) {
			t.Errorf("%s: %q", c.name, o.Err)
		}
	}
	if got := first(t, ok(t, g.step(t, "query", query("SHOW work_mem")).do()))["work_mem"]; got == "77kB" {
		t.Error("the environment changed the session")
	}
	failed(t, (ground{target: steps.Target{Name: "db", Type: "postgres", Settings: engine.Record{"address": talker(t, ""), "user": "u"}}}).
		step(t, "query", query("SELECT 1")).do(), engine.EffectNone, "did not greet", "is it a database")
}

func TestPostgresByItsSocket(t *testing.T) {
	server := servers.PrivatePostgres(t)
	settings := server.Settings()
	_, port, _ := strings.Cut(server.Address(), ":")
	settings["address"] = filepath.Join(server.Socket(), ".s.PGSQL."+port)
	g := ground{target: steps.Target{Name: "db", Type: "postgres", Settings: settings}}
	if got := first(t, ok(t, g.step(t, "query", query("SELECT inet_client_addr() IS NULL AS here")).do()))["here"]; got != true {
		t.Error("the connection is not by the socket")
	}
	standby := server.Standby()
	settings["address"] = standby.Address()
	ok(t, g.step(t, "query", query("SELECT 1")).do())
	o := g.step(t, "exec", exec("CREATE TABLE x (a int)"))
	if _, err := o.op.(steps.Preparer).Prepare(t.Context(), o.env); err == nil || !strings.Contains(err.Error(), "standby") {
		t.Errorf("it is prepared on a standby: %v", err)
	}
	o.env.Call.Class = engine.ClassUnrepeatable
	failed(t, o.execute(t.Context()), engine.EffectNone, "takes no writes", "primary", "25006")
}

// TestADryRunOnPostgresSendsOnlyReads: as a user who may do everything.
func TestADryRunOnPostgresSendsOnlyReads(t *testing.T) {
	server := servers.PrivatePostgres(t, "-c", "log_statement=all", "-c", "log_min_duration_statement=-1", "-c", "log_line_prefix=%a|")
	settings := server.Settings()
	g := ground{target: steps.Target{Name: "db", Type: "postgres", Settings: settings}, db: servers.OpenPostgres(t, settings)}
	g.stock(t)
	g.must(t, "CREATE PROCEDURE p() LANGUAGE sql AS $$ UPDATE stock SET n = 0 $$", "CREATE SEQUENCE s", "CREATE EXTENSION dblink",
		"CREATE FUNCTION writes() RETURNS int LANGUAGE sql AS $$ UPDATE stock SET n = 0 RETURNING 1 $$",
		"CREATE FUNCTION abs(text) RETURNS int LANGUAGE sql AS $$ SELECT 1 FROM pg_sleep(20) $$",
		"CREATE FUNCTION field(stock) RETURNS int LANGUAGE sql AS $$ SELECT 1 FROM pg_sleep(20) $$")
	before := g.contents(t)
	bad := []string{"pg_sleep", "nextval(", "pg_terminate", "set_config", "lo_create", "dblink(", "pg_advisory", "pg_read_file", "writes()", "abs('x')", ".field", "DELETE", "UPDATE", "DROP", "CREATE", "VACUUM", "COPY", "INTO", "DO $$", "CALL", "ANALYZE", "LISTEN"}
	for name, params := range map[string]engine.Record{
		"update": exec("UPDATE stock SET n = 0"), "ddl": exec("CREATE TABLE made (a int)"), "call": exec("CALL p()"), "do": exec("DO $$ BEGIN DELETE FROM stock; END $$"),
		"vacuum": exec("VACUUM stock"), "system": exec("ALTER SYSTEM SET work_mem = '77kB'"), "copy": exec("COPY stock TO '/tmp/handrail-out'"), "listen": exec("LISTEN c"),
		"transaction": transaction(exec("UPDATE stock SET n = 0")), "script": script("UPDATE stock SET n = 0; DROP TABLE stock"),
		"lock": query("SELECT pg_advisory_lock(1)"), "sleep": query("SELECT pg_sleep(20)"), "sequence": query("SELECT nextval('s')"), "function": query("SELECT writes()"),
		"kill": query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"), "config": query("SELECT set_config('work_mem', '77kB', false)"), "blob": query("SELECT lo_create(1)"),
		"link": query("SELECT * FROM dblink('dbname=postgres', 'DROP TABLE stock') AS t (a text)"), "file": query("SELECT pg_read_file('PG_VERSION')"),
		"into": query("SELECT * INTO made FROM stock"), "cte": query("WITH d AS (DELETE FROM stock RETURNING n) SELECT * FROM d"),
		"analyze": query("EXPLAIN ANALYZE DELETE FROM stock"), "overload": query("SELECT abs('x')"), "row": query("SELECT s.field FROM stock s"),
	} {
		for _, class := range []engine.Class{engine.ClassUnset, engine.ClassRead, engine.ClassIdempotent} {
			s := g.stepUnder(t, steps.ReadOnly, operationOf(params), params)
			if class != engine.ClassUnset { // as an author may have said
				s.env.Call.Class = class
			}
			s.env.Call.Seen = engine.Record{"markers": "public"}
			o := s.execute(t.Context())
			if o.Err == "" || o.Effect != engine.EffectNone || o.InDoubt || !strings.Contains(o.Err, "dry-run only reads") {
				t.Errorf("%s as %s: error %q, effect %s, in doubt %v", name, class, o.Err, o.Effect, o.InDoubt)
			}
			i, err := s.op.Preview(t.Context(), s.env)
			if err != nil {
				t.Errorf("preview of %s: %v", name, err)
			}
			if params["query"] != nil && i.Standing != engine.StandingUnknown {
				t.Errorf("preview of %s: standing %s", name, i.Standing)
			}
		}
	}
	if g.contents(t) != before {
		t.Error("the database was changed")
	}
	seen := 0
	for _, line := range strings.Split(server.Log(), "\n") {
		text, ours := strings.CutPrefix(line, "handrail|")
		_, text, statement := strings.Cut(text, ": ")
		if !ours || !statement || strings.Contains(line, "SET standard_conforming_strings") {
			continue
		}
		seen++
		for _, w := range bad {
			if strings.Contains(text, w) && !strings.Contains(text, "pg_catalog.pg_trigger") && !strings.Contains(text, "k.confupdtype") && !strings.Contains(text, "_privilege(") {
				t.Errorf("the server was sent %s", text)
			}
		}
	}
	if seen < 20 {
		t.Errorf("the log holds %d statements; the test looked at nothing", seen)
	}
}

func TestPostgresItselfHoldsADryRunBack(t *testing.T) {
	g := postgresGround(t)
	g.stock(t)
	g.must(t, "CREATE SEQUENCE s")
	conn, err := g.stepUnder(t, steps.ReadOnly, "query", query("SELECT 1")).env.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"UPDATE stock SET n = 0", "CREATE TABLE made (a int)", "SELECT nextval('s')", "DO $$ BEGIN UPDATE stock SET n = 0; END $$"} {
		if err := sql.BelowTheGuard(t.Context(), conn, text); err == nil || !strings.Contains(err.Error(), "read-only transaction") {
			t.Errorf("%s below the guard: %v", text, err)
		}
	}
	for name, want := range map[string]string{"statement_timeout": "10s", "lock_timeout": "5s"} {
		if got := first(t, ok(t, g.stepUnder(t, steps.ReadOnly, "query", query("SHOW "+name)).do()))[name]; got != want {
			t.Errorf("%s is %v", name, got)
		}
	}
	// A count that takes longer than the server may work ends with its estimate.
	g.must(t, "CREATE VIEW slow AS SELECT n FROM stock WHERE pg_sleep(30) IS NOT NULL", "ANALYZE stock")
	if got := figures(g.preview(t, exec("INSERT INTO stock (n) SELECT n FROM slow"))); !strings.Contains(got, "estimate") || !strings.Contains(got, "optimizer expects") {
		t.Errorf("figures %s", got)
	}
}

func TestAPreviewOnPostgresSaysWhatACountLeavesOut(t *testing.T) {
	g := postgresGround(t)
	g.stock(t)
	g.must(t, "CREATE TABLE parts (id int PRIMARY KEY, stock_id int REFERENCES stock ON DELETE CASCADE)", "INSERT INTO parts VALUES (1, 1), (2, 1), (3, 2)",
		"CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
		"CREATE TRIGGER notes AFTER INSERT ON parts FOR EACH ROW EXECUTE FUNCTION noted()",
		"CREATE TABLE ruled (a int)", "CREATE RULE also AS ON DELETE TO ruled DO ALSO DELETE FROM stock")
	for _, c := range []struct{ text, want, warning string }{
		{"DELETE FROM stock WHERE id = 1", "rows 1 estimate: a foreign key carries the change on to parts", "a foreign key carries the change on to parts"},
		{"UPDATE stock SET n = 0 WHERE id = 1", "rows 1 exact", ""},
		{"INSERT INTO parts VALUES (4, 1)", "rows 1 estimate: the trigger notes may change more", "the trigger notes on"},
		{"UPDATE stock SET n = 0 FROM parts WHERE parts.stock_id = stock.id", "rows 3 estimate: several tables", ""},
		{"DELETE FROM parts USING stock WHERE stock.id = stock_id AND stock.n > 15", "rows 1 estimate: several tables", ""},
		{"DELETE FROM ruled WHERE a = 1", "rows 0 estimate: the trigger rule also may change more", "rule also"},
		{"MERGE INTO stock USING parts ON stock.id = parts.id WHEN MATCHED THEN DELETE", "rows 0 unknown: it cannot be counted", ""},
		{"DELETE FROM parts WHERE id = own_function()", "rows 0 unknown: it calls own_function", ""},
		{"CALL p()", "rows 0 unknown: what it does cannot be told", ""},
		{"UPDATE stock SET n = 0", "rows 2 exact", "no WHERE"},
	} {
		i := g.preview(t, exec(c.text))
		if got := figures(i); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.text, got, c.want)
		}
		if all := strings.Join(i.Warnings, "\n"); !strings.Contains(all, c.warning) || c.warning == "" && all != "" && !strings.Contains(all, "unrepeatable") {
			t.Errorf("%s: warnings %q, want %q", c.text, all, c.warning)
		}
	}
}
