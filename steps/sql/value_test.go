package sql_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

func decimal(t testing.TB, s string) engine.Decimal {
	d, err := engine.ParseDecimal(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func typed(t testing.TB, v engine.Value) string {
	t.Helper()
	n, err := engine.Normalize(v)
	if err != nil {
		t.Fatal(err)
	}
	b, err := engine.AppendValue(nil, n)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestMySQLValuesComeBackAsTheyWent writes each value as an argument and reads it, with and without
// arguments in the query, which are two protocols to the server.
func TestMySQLValuesComeBackAsTheyWent(t *testing.T) {
	g := mysqlGround(t)
	at := time.Date(2026, 2, 28, 23, 59, 58, 123456000, time.UTC)
	for _, c := range []struct {
		column string
		value  engine.Value
	}{
		{"DECIMAL(65,30)", decimal(t, "12345678901234567890123456789012345.123456789012345678901234567891")},
		{"DECIMAL(10,2)", decimal(t, "-0.10")},
		{"BIGINT UNSIGNED", uint64(math.MaxUint64)},
		{"BIGINT UNSIGNED", int64(7)},
		{"BIGINT", int64(math.MinInt64)},
		{"TINYINT", int64(-1)},
		{"DOUBLE", 0.1},
		{"FLOAT", 0.1},
		{"DATETIME(6)", at},
		{"TIMESTAMP(6) NULL", at},
		{"DATE", time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)},
		{"TIME(6)", -(27*time.Hour + 3*time.Second + 5*time.Microsecond)},
		{"YEAR", int64(2026)},
		{"BIT(40)", int64(1) << 39},
		{"VARBINARY(10)", engine.Bytes{0, 255, '\'', '\\'}},
		{"BLOB", engine.Bytes("plain")},
		{"VARCHAR(50)", "ก'\"\\ \U0001F6E0 :x"},
		{"LONGTEXT", ""},
		{"JSON", `{"a": 1}`},
		{"ENUM('x','y')", "y"},
		{"INT", nil},
		{"BOOLEAN", int64(1)},
	} {
		g.must(t, "DROP TABLE IF EXISTS v", "CREATE TABLE v (c "+c.column+")")
		ok(t, g.step(t, "exec", exec("INSERT INTO v (c) VALUES (:c)", "c", c.value)).do())
		for _, params := range []engine.Record{query("SELECT c FROM v"), query("SELECT c FROM v WHERE :one = 1", "one", int64(1))} {
			got := first(t, ok(t, g.step(t, "query", params).do()))["c"]
			if typed(t, got) != typed(t, c.value) {
				t.Errorf("%s: %s became %s", c.column, typed(t, c.value), typed(t, got))
			}
		}
		if c.value == nil || c.column == "FLOAT" || c.column == "JSON" {
			continue
		}
		if n := len(rows(t, ok(t, g.step(t, "query", query("SELECT 1 FROM v WHERE c = :c", "c", c.value)).do()))); n != 1 {
			t.Errorf("%s: the value is not found again by itself", c.column)
		}
	}
}

func TestADecimalIsComparedExactly(t *testing.T) {
	g := mysqlGround(t)
	g.must(t, "CREATE TABLE v (c DECIMAL(40,20))", "INSERT INTO v VALUES (1.00000000000000000001), (1.00000000000000000002)")
	for _, text := range []string{"SELECT c FROM v WHERE c = :c", "SELECT c FROM v WHERE c + 0 = :c", "SELECT c FROM v WHERE c + 1 = :c + 1"} {
		got := rows(t, ok(t, g.step(t, "query", query(text, "c", decimal(t, "1.00000000000000000001"))).do()))
		if len(got) != 1 {
			t.Errorf("%s: %d rows equal it", text, len(got))
		}
	}
}

func TestSQLiteValuesComeBackAsTheyWent(t *testing.T) {
	g := sqliteGround(t)
	for _, c := range []struct {
		column string
		value  engine.Value
	}{
		{"DECIMAL(10,2)", decimal(t, "12.5")}, {"DECIMAL(10,2)", decimal(t, "-3")}, {"INTEGER", int64(math.MinInt64)}, {"REAL", 0.1},
		{"DATETIME", time.Date(2026, 2, 28, 23, 59, 58, 123456789, time.UTC)}, {"TEXT", "ก' :x"}, {"BLOB", engine.Bytes{0, 255}}, {"INTEGER", nil},
	} {
		g.must(t, "DROP TABLE IF EXISTS v", "CREATE TABLE v (c "+c.column+")")
		ok(t, g.step(t, "exec", exec("INSERT INTO v (c) VALUES (:c)", "c", c.value)).do())
		if got := first(t, ok(t, g.step(t, "query", query("SELECT c FROM v")).do()))["c"]; typed(t, got) != typed(t, c.value) {
			t.Errorf("%s: %s became %s", c.column, typed(t, c.value), typed(t, got))
		}
	}
	o := g.step(t, "exec", exec("INSERT INTO v (c) VALUES (:c)", "c", uint64(math.MaxUint64))).do()
	failed(t, o, engine.EffectNone, "args.c", "beyond the integers of SQLite")
}

func TestTimesAreInTheZoneOfTheTarget(t *testing.T) {
	server := servers.PrivateMySQL(t, "--default-time-zone=+07:00")
	settings := server.Settings()
	db := servers.Open(t, settings)
	if _, err := db.Exec("CREATE TABLE v (c DATETIME, s TIMESTAMP NULL)"); err != nil {
		t.Fatal(err)
	}
	g := ground{target: targetOf(settings), db: db}
	at := time.Date(2025, 12, 31, 17, 0, 0, 0, time.UTC)
	ok(t, g.step(t, "exec", exec("INSERT INTO v VALUES (:at, :at)", "at", at)).do())
	if got := g.one(t, "SELECT DATE_FORMAT(c, '%Y-%m-%d %H:%i') FROM v"); got != "2026-01-01 00:00" {
		t.Errorf("the server holds %s", got)
	}
	row := first(t, ok(t, g.step(t, "query", query("SELECT c, s FROM v")).do()))
	for _, name := range []string{"c", "s"} {
		got := row[name].(time.Time)
		if _, offset := got.Zone(); !got.Equal(at) || offset != 7*3600 {
			t.Errorf("%s came back as %v", name, got)
		}
	}
	settings["timezone"] = "UTC"
	g.target.Settings = settings
	row = first(t, ok(t, g.step(t, "query", query("SELECT c, s FROM v")).do()))
	if got := row["s"].(time.Time); !got.Equal(at) {
		t.Errorf("AFTER a change of zone the TIMESTAMP is %v", got)
	}
	if got := row["c"].(time.Time).Format("15:04 MST"); got != "00:00 UTC" {
		t.Errorf("AFTER a change of zone the DATETIME is %v", got)
	}
}

func TestAListStandsForIn(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.must(t, "CREATE TABLE v (c INT)", "INSERT INTO v VALUES (1), (2), (3)")
		read := func(list engine.List) engine.Outcome {
			return g.step(t, "query", engine.Record{"query": "SELECT c FROM v WHERE c IN (:c) AND c NOT IN (:d, :c)", "args": engine.Record{"c": list, "d": int64(9)}}).do()
		}
		ok(t, read(engine.List{int64(1), int64(3)}))
		got := rows(t, ok(t, g.step(t, "query", query("SELECT c FROM v WHERE c IN (:c) ORDER BY c", "c", engine.List{int64(1), int64(3)})).do()))
		if engine.Text(got) != "[{c: 1}, {c: 3}]" {
			t.Errorf("got %s", engine.Text(got))
		}
		// It is empty only when the step is rendered, so loading could not see it.
		op, err := newKind().Decode("query", query("SELECT c FROM v WHERE c IN (:c)", "c", engine.List{}))
		if err != nil {
			t.Fatal(err)
		}
		s := g.step(t, "query", query("SELECT 1"))
		failed(t, op.Execute(t.Context(), s.env), engine.EffectNone, "args.c", "empty list", "when:")
	})
}

func TestWhatAStepKeepsIsLimited(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.must(t, "CREATE TABLE numbers (i INT)", "INSERT INTO numbers VALUES (0)"+strings.Repeat(", (1)", 1000))
		if n := len(rows(t, ok(t, g.step(t, "query", query("SELECT i FROM numbers WHERE i = 1")).do()))); n != 1000 {
			t.Errorf("%d rows", n)
		}
		failed(t, g.step(t, "query", query("SELECT i FROM numbers")).do(), engine.EffectNone, "more than 1000 rows", "export:")
		g.must(t, "CREATE TABLE v (c TEXT)")
		for range 20 {
			g.must(t, "INSERT INTO v VALUES ('"+strings.Repeat("x", 60000)+"')")
		}
		failed(t, g.step(t, "query", query("SELECT c FROM v")).do(), engine.EffectNone, "more than 1 MiB", "export:")
		failed(t, g.step(t, "query", query("SELECT 1 AS a, 2 AS A")).do(), engine.EffectNone, "two columns are called", "AS")
	})
}

func TestNamesComeOnlyFromTheCatalogue(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.must(t, "CREATE TABLE plain (c INT)", "INSERT INTO plain VALUES (1)")
		text := "SELECT ident(:column) AS c FROM ident(:table)"
		if got := first(t, ok(t, g.step(t, "query", query(text, "column", "c", "table", "plain")).do())); got["c"] != int64(1) {
			t.Errorf("got %v", got)
		}
		for _, bad := range []string{"plain; DROP TABLE plain", "plain` WHERE 1=1 -- ", "plain\" --", "elsewhere"} {
			failed(t, g.step(t, "query", query(text, "column", "c", "table", bad)).do(), engine.EffectNone, "args.table", "no database, table, column or index")
		}
		failed(t, g.step(t, "query", query(text, "column", int64(1), "table", "plain")).do(), engine.EffectNone, "args.column", "ident()")
		ok(t, g.step(t, "exec", exec("UPDATE ident(:table) SET c = c + 1", "table", "plain")).do())
		if got := g.one(t, "SELECT c FROM plain"); got != "2" {
			t.Errorf("c is %s", got)
		}
	})
}

func TestAStatementMeansTheSameUnderAnySQLMode(t *testing.T) {
	server := servers.PrivateMySQL(t, "--sql-mode=ANSI,NO_BACKSLASH_ESCAPES")
	settings := server.Settings()
	g := ground{target: targetOf(settings), db: servers.Open(t, settings)}
	row := first(t, ok(t, g.step(t, "query", query(`SELECT "it's :x" AS a, 'q\'' AS b, :y AS c`, "y", `a\'b`)).do()))
	if row["a"] != "it's :x" || row["b"] != "q'" || row["c"] != `a\'b` {
		t.Errorf("got %v", row)
	}
}
