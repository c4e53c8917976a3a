package sql_test

import (
	"os"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/sql"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// attempts are executions that a dry-run must not let through, whatever the class says.
func attempts() map[string]engine.Record {
	return map[string]engine.Record{
		"update":      exec("UPDATE stock SET n = 0"),
		"ddl":         exec("CREATE TABLE made (a INT)"),
		"call":        exec("CALL p()"),
		"set":         exec("SET GLOBAL max_connections = 77"),
		"kill":        exec("KILL 1"),
		"transaction": transaction(exec("UPDATE stock SET n = 0")),
		"script":      script("UPDATE stock SET n = 0; DROP TABLE stock"),
		"lock":        query("SELECT GET_LOCK('x', 0)"),
		"sleep":       query("SELECT SLEEP(20)"),
		"sequence":    query("SELECT NEXT VALUE FOR s"),
		"function":    query("SELECT writes()"),
		"file":        query("SELECT 1 INTO OUTFILE '/tmp/handrail-out'"),
		"hidden":      query("SELECT 1 /*! INTO @x */"),
	}
}

func operationOf(r engine.Record) string {
	for _, name := range []string{"query", "exec", "transaction", "script", "export"} {
		if _, ok := r[name]; ok {
			return name
		}
	}
	return ""
}

func TestADryRunSendsOnlyReads(t *testing.T) {
	settings := servers.PrivateMySQL(t, "--general-log=1", "--log-output=TABLE").Settings()
	g := ground{target: targetOf(settings), db: servers.Open(t, settings)}
	g.stock(t)
	g.must(t, "CREATE PROCEDURE p() UPDATE stock SET n = 0", "CREATE SEQUENCE s",
		"CREATE FUNCTION writes() RETURNS INT BEGIN UPDATE stock SET n = 0; RETURN 1; END")
	before := g.contents(t)
	g.must(t, "TRUNCATE mysql.general_log")
	for name, params := range attempts() {
		for _, class := range []engine.Class{engine.ClassUnset, engine.ClassRead, engine.ClassIdempotent} {
			s := g.stepUnder(t, steps.ReadOnly, operationOf(params), params)
			if class != engine.ClassUnset { // as an author may have said
				s.env.Call.Class = class
			}
			o := s.execute(t.Context())
			if o.Err == "" || o.Effect != engine.EffectNone || o.InDoubt {
				t.Errorf("%s as %s: error %q, effect %s, in doubt %v", name, class, o.Err, o.Effect, o.InDoubt)
			}
			if !strings.Contains(o.Err, "dry-run only reads") {
				t.Errorf("%s: %s", name, o.Err)
			}
			if _, err := s.op.Preview(t.Context(), s.env); err != nil && name != "call" {
				t.Errorf("preview of %s: %v", name, err)
			}
		}
	}
	if g.contents(t) != before {
		t.Error("the database was changed")
	}
	list, err := g.db.Query("SELECT command_type, argument FROM mysql.general_log WHERE thread_id <> CONNECTION_ID() AND command_type IN ('Query', 'Execute', 'Prepare')")
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	seen := 0
	for list.Next() {
		var kind, text string
		if err := list.Scan(&kind, &text); err != nil {
			t.Fatal(err)
		}
		seen++
		head := strings.ToUpper(strings.Fields(text)[0])
		if head != "SELECT" && !strings.HasPrefix(text, "SET SESSION ") && !strings.HasPrefix(text, "SET NAMES") {
			t.Errorf("the server was sent %s", text)
		}
		for _, w := range []string{"SLEEP", "GET_LOCK", "writes()", "NEXT VALUE", "OUTFILE"} {
			if strings.Contains(text, w) {
				t.Errorf("the server was sent %s", text)
			}
		}
	}
	if seen < 20 {
		t.Errorf("the log holds %d statements; the test looked at nothing", seen)
	}
}

func TestTheServerItselfHoldsADryRunBack(t *testing.T) {
	g := mysqlGround(t)
	g.stock(t)
	conn, err := g.stepUnder(t, steps.ReadOnly, "query", query("SELECT 1")).env.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := sql.BelowTheGuard(t.Context(), conn, "UPDATE stock SET n = 0"); err == nil || !strings.Contains(err.Error(), "READ ONLY") {
		t.Errorf("an update below the guard: %v", err)
	}
	limit := first(t, ok(t, g.stepUnder(t, steps.ReadOnly, "query", query("SELECT @@max_statement_time AS s")).do()))["s"]
	if engine.Text(limit) != "10" {
		t.Errorf("the limit of time is %s", engine.Text(limit))
	}
}

func TestADryRunLeavesAnSQLiteFileAsItIs(t *testing.T) {
	g := sqliteGround(t)
	g.stock(t)
	file := g.target.Settings["file"].(string)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, params := range map[string]engine.Record{
		"update": exec("UPDATE stock SET n = 0"), "ddl": exec("CREATE TABLE made (a INT)"), "pragma": exec("PRAGMA user_version = 5"),
		"vacuum": exec("VACUUM"), "attach": exec("ATTACH 'elsewhere.db' AS e"), "script": script("DELETE FROM stock"),
		"transaction": transaction(exec("DELETE FROM stock")), "extension": query("SELECT load_extension('x')"),
	} {
		s := g.stepUnder(t, steps.ReadOnly, operationOf(params), params)
		for _, class := range []engine.Class{s.env.Call.Class, engine.ClassRead, engine.ClassIdempotent} {
			s.env.Call.Class, s.env.Call.Seen = class, engine.Record{"markers": "main"}
			failed(t, s.execute(t.Context()), engine.EffectNone, "dry-run only reads")
		}
		if _, err := s.op.Preview(t.Context(), s.env); err != nil {
			t.Errorf("preview of %s: %v", name, err)
		}
	}
	conn, err := g.stepUnder(t, steps.ReadOnly, "query", query("SELECT 1")).env.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"UPDATE stock SET n = 0", "PRAGMA query_only = 0; UPDATE stock SET n = 0"} {
		if err := sql.BelowTheGuard(t.Context(), conn, text); err == nil || !strings.Contains(err.Error(), "readonly") {
			t.Errorf("%s below the guard: %v", text, err)
		}
	}
	if after, _ := os.ReadFile(file); string(after) != string(before) {
		t.Error("the file was changed")
	}
}
