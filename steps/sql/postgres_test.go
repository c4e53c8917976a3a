package sql_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// TestPostgresValuesComeBackAsTheyWent writes each value as an argument and reads it.
func TestPostgresValuesComeBackAsTheyWent(t *testing.T) {
	g := postgresGround(t)
	at := time.Date(2026, 2, 28, 23, 59, 58, 123456000, time.UTC)
	g.target.Settings["timezone"] = "UTC"
	g.must(t, "CREATE TYPE mood AS ENUM ('sad', 'happy')")
	for _, c := range []struct {
		column string
		value  engine.Value
	}{
		{"numeric", decimal(t, "12345678901234567890123456789012345.123456789012345678901234567891")},
		{"numeric(10,2)", decimal(t, "-0.10")},
		{"numeric(20)", decimal(t, "18446744073709551615")},
		{"bigint", int64(math.MinInt64)},
		{"smallint", int64(-1)},
		{"double precision", 0.1},
		{"real", 0.1},
		{"double precision", math.Inf(-1)},
		{"timestamp", at},
		{"timestamptz", at},
		{"timestamptz", time.Date(1890, 1, 1, 0, 0, 0, 0, time.UTC)},
		{"date", time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)},
		{"time", 27*time.Minute + 3*time.Second + 5*time.Microsecond},
		{"interval", -(27*time.Hour + 3*time.Second + 5*time.Microsecond)},
		{"bytea", engine.Bytes{0, 255, '\'', '\\'}},
		{"varchar(50)", "ก'\"\\ \U0001F6E0 :x $1 ?"},
		{"text", ""},
		{"jsonb", `{"a": 1}`},
		{"uuid", "0f8fad5b-d9cb-469f-a165-70867728950e"},
		{"inet", "10.0.0.1"},
		{"mood", "happy"},
		{"integer", nil},
		{"boolean", true},
	} {
		g.must(t, "DROP TABLE IF EXISTS v", "CREATE TABLE v (c "+c.column+")")
		ok(t, g.step(t, "exec", exec("INSERT INTO v (c) VALUES (:c)", "c", c.value)).do())
		got := first(t, ok(t, g.step(t, "query", query("SELECT c FROM v WHERE :one = 1", "one", int64(1))).do()))["c"]
		if typed(t, got) != typed(t, c.value) {
			t.Errorf("%s: %s became %s", c.column, typed(t, c.value), typed(t, got))
		}
		if c.value == nil || c.column == "real" {
			continue
		}
		if n := len(rows(t, ok(t, g.step(t, "query", query("SELECT 1 FROM v WHERE c = :c", "c", c.value)).do()))); n != 1 {
			t.Errorf("%s: the value is not found again by itself", c.column)
		}
	}
	o := g.step(t, "query", query("SELECT :c", "c", "a\x00b")).do()
	failed(t, o, engine.EffectNone, "args.c", "zero byte")
}

// TestPostgresWritesWhatItHas: values that come from the server alone, lists among them.
func TestPostgresWritesWhatItHas(t *testing.T) {
	g := postgresGround(t)
	g.target.Settings["timezone"] = "Asia/Bangkok"
	for text, want := range map[string]string{
		"ARRAY[1, NULL, 3]":                     `[1,null,3]`,
		"ARRAY[[1, 2], [3, 4]]":                 `[[1,2],[3,4]]`,
		"'[0:1]={5,6}'::int[]":                  `[5,6]`,
		`ARRAY['a,b', 'q"\', 'NULL', '', '{}']`: `["a,b","q\"\\","NULL","","{}"]`,
		"ARRAY[1.50, 2]::numeric[]":             typed(t, engine.List{decimal(t, "1.50"), decimal(t, "2")}),
		"ARRAY['x'::bytea]":                     typed(t, engine.List{engine.Bytes("x")}),
		"ARRAY[true, false]":                    `[true,false]`,
		"'{}'::text[]":                          `[]`,
		"'NaN'::numeric":                        typed(t, math.NaN()),
		"'infinity'::timestamptz":               `"infinity"`,
		"'0044-03-15 BC'::date":                 `"0044-03-15 BC"`,
		"interval '1 month 2 days'":             `"1 mon 2 days"`,
		"interval '-1 day +02:03:04.5'":         typed(t, -22*time.Hour+3*time.Minute+4500*time.Millisecond),
		"timestamptz '2025-12-31 17:00:00+00'":  typed(t, time.Date(2026, 1, 1, 0, 0, 0, 0, bangkok(t))),
		"timestamp '2026-01-01 00:00:00'":       typed(t, time.Date(2026, 1, 1, 0, 0, 0, 0, bangkok(t))),
		"1":                                     `1`,
		"count(*)":                              `1`,
		"(1, 'a')":                              `"(1,a)"`,
		"'{\"a\": [1, 2]}'::json":               `"{\"a\": [1, 2]}"`,
		"B'0101'":                               `"0101"`,
		"current_setting('standard_conforming_strings')": `"on"`,
	} {
		got := first(t, ok(t, g.step(t, "query", query("SELECT "+text+" AS c")).do()))["c"]
		if typed(t, got) != want {
			t.Errorf("%s became %s, want %s", text, typed(t, got), want)
		}
	}
}

func bangkok(t testing.TB) *time.Location {
	zone, err := time.LoadLocation("Asia/Bangkok")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// TestAnArgumentHasTheTypeOfItsValue, as the same value has when it stands in the statement.
func TestAnArgumentHasTheTypeOfItsValue(t *testing.T) {
	g := postgresGround(t)
	for _, c := range []struct {
		text string
		arg  engine.Value
		want string
	}{
		{"SELECT :a AS c", int64(5), `5`},
		{"SELECT :a AS c", int64(1) << 40, `1099511627776`},
		{"SELECT :a + 1 AS c", decimal(t, "0.10"), typed(t, decimal(t, "1.10"))},
		{"SELECT pg_typeof(:a)::text AS c", 0.5, `"double precision"`},
		{"SELECT make_date(:a, 1, 2)::text AS c", int64(2026), `"2026-01-02"`},
		{"SELECT lower(:a) AS c", "ABC", `"abc"`},
		{"SELECT :a::int + 1 AS c", "41", `42`},
		{"SELECT '{\"k\": 1}'::jsonb ? :a AS c", "k", `true`},
		{"SELECT 'x' || :a AS c", "y", `"xy"`},
		{"SELECT date '2026-03-01' > :a AS c", "2026-02-01", `true`},
		{"SELECT now() - :a < now() AS c", time.Hour, `true`},
		{"SELECT octet_length(:a) AS c", engine.Bytes{1, 2, 3}, `3`},
		{"SELECT (CASE WHEN :a THEN 1 ELSE 2 END) AS c", true, `1`},
		{"SELECT COALESCE(:a, 7) AS c", nil, `7`},
	} {
		got := first(t, ok(t, g.step(t, "query", query(c.text, "a", c.arg)).do()))["c"]
		if typed(t, got) != c.want {
			t.Errorf("%s with %v is %s, want %s", c.text, c.arg, typed(t, got), c.want)
		}
	}
	failed(t, g.step(t, "query", query("SELECT concat_ws(:a)", "a", nil)).do(), engine.EffectNone, "say")
}

func TestPostgresNamesAndSearchPath(t *testing.T) {
	g := postgresGround(t)
	g.must(t, `CREATE SCHEMA far`, `CREATE TABLE far."Stock" (n int)`, `INSERT INTO far."Stock" VALUES (1)`, "CREATE TABLE near (n int)")
	ok(t, g.step(t, "exec", exec("UPDATE ident(:s).ident(:t) SET ident(:c) = 2", "s", "far", "t", "Stock", "c", "n")).do())
	if g.one(t, `SELECT n FROM far."Stock"`) != "2" || g.one(t, `SELECT COUNT(*) FROM far.handrail_markers WHERE state = 'done'`) != "1" {
		t.Error("the table was not written, or its marker is elsewhere")
	}
	failed(t, g.step(t, "query", query("SELECT * FROM ident(:t)", "t", "Near")).do(), engine.EffectNone, "called \"Near\"")
	failed(t, g.step(t, "query", query("SELECT * FROM ident(:t)", "t", "Stock")).do(), engine.EffectNone, "called \"Stock\"")
	// A table in a later schema of the search_path is found, and its marker lies where the session makes tables.
	g.must(t, "CREATE SCHEMA last", "CREATE TABLE last.deep (n int)", "ALTER DATABASE "+g.target.Settings["database"].(string)+" SET search_path = public, last")
	if i := g.preview(t, exec("DELETE FROM deep")); len(i.Figures) != 2 || i.Figures[0].Certainty != engine.FigureExact {
		t.Errorf("figures %s", figures(i))
	}
	ok(t, g.step(t, "exec", exec("INSERT INTO deep VALUES (1)")).do())
}

func TestPostgresDDLIsCommittedWithItsMarker(t *testing.T) {
	g := postgresGround(t)
	g.stock(t)
	s := g.step(t, "exec", exec("ALTER TABLE stock ADD COLUMN more int"))
	if s.env.Call.Class != engine.ClassTransactional {
		t.Fatalf("class %s", s.env.Call.Class)
	}
	ok(t, s.do())
	ok(t, s.again(g, true).execute(t.Context())) // it is not done again, which would fail
	if settled := s.settle(); settled.Verdict != engine.VerdictDone {
		t.Errorf("settled as %s: %v", settled.Verdict, settled.Evidence)
	}
	bad := transaction(exec("CREATE TABLE made (a int)"), exec("TRUNCATE stock"), exec("INSERT INTO made VALUES ('x')"))
	failed(t, g.step(t, "transaction", bad).do(), engine.EffectNone, "transaction[2]", "22P02")
	if got := g.tables(t); len(got) != 1 || g.n(t, 1) != "10" {
		t.Errorf("tables %v: DDL was not taken back", got)
	}
	ok(t, g.step(t, "transaction", transaction(exec("CREATE TABLE made (a int)"), exec("INSERT INTO made VALUES (1)"))).do())
	if g.one(t, "SELECT COUNT(*) FROM made") != "1" {
		t.Error("the table was not made")
	}
}

func TestWhatPostgresRefusesInATransactionIsAStepOfItsOwn(t *testing.T) {
	g := postgresGround(t)
	g.stock(t)
	j := judge(t, "transaction", transaction(exec("VACUUM stock")), "postgres")
	if len(j.Problems) != 1 || !strings.Contains(j.Problems[0].Message, "refused inside of a transaction") {
		t.Errorf("problems %v", j.Problems)
	}
	for _, text := range []string{"VACUUM stock", "CREATE INDEX CONCURRENTLY stock_n ON stock (n)", "REINDEX (CONCURRENTLY) TABLE stock", "DROP INDEX CONCURRENTLY stock_n"} {
		s := g.step(t, "exec", exec(text))
		if s.env.Call.Class != engine.ClassUnrepeatable {
			t.Errorf("%s: class %s", text, s.env.Call.Class)
		}
		ok(t, s.do())
		if len(s.rec.Notes()) != 1 {
			t.Errorf("%s: %d notes", text, len(s.rec.Notes()))
		}
	}
	for _, text := range []string{"COPY stock FROM STDIN", "DISCARD ALL"} {
		if j := judge(t, "exec", exec(text), "postgres"); len(j.Problems) != 1 {
			t.Errorf("%s: problems %v", text, j.Problems)
		}
	}
}

func judge(t testing.TB, operation string, params engine.Record, target string) engine.Judgement {
	t.Helper()
	def, ok := newKind().Define().Operation(operation)
	if !ok {
		t.Fatalf("no operation %s", operation)
	}
	return def.Judge(engine.Proposal{Params: params, Target: target})
}

func TestDDLOfSQLiteIsCommittedWithItsMarker(t *testing.T) {
	g := sqliteGround(t)
	g.stock(t)
	s := g.step(t, "exec", exec("ALTER TABLE stock ADD COLUMN more INT"))
	if s.env.Call.Class != engine.ClassTransactional {
		t.Fatalf("class %s", s.env.Call.Class)
	}
	ok(t, s.do())
	ok(t, s.again(g, true).execute(t.Context()))
	ok(t, g.step(t, "transaction", transaction(exec("CREATE TABLE made (a INT)"), exec("INSERT INTO made VALUES (1)"))).do())
	failed(t, g.step(t, "transaction", transaction(exec("DROP TABLE made"), exec("INSERT INTO nowhere VALUES (1)"))).do(), engine.EffectNone)
	if g.one(t, "SELECT COUNT(*) FROM made") != "1" {
		t.Error("the table is gone")
	}
}

func TestAConstraintThatIsCheckedAtTheCommitIsAFailureAndNotInDoubt(t *testing.T) {
	g := postgresGround(t)
	g.must(t, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (a int REFERENCES a DEFERRABLE INITIALLY DEFERRED)")
	for _, class := range []engine.Class{engine.ClassTransactional, engine.ClassIdempotent} {
		s := g.step(t, "exec", exec("INSERT INTO b VALUES (7)"))
		s.env.Call.Class = class
		failed(t, s.do(), engine.EffectNone, "commit", "a foreign key does not allow it", "23503")
	}
	if g.one(t, "SELECT COUNT(*) FROM b") != "0" {
		t.Error("the row was kept")
	}
}

func TestAProcedureThatCommitsIsRefusedByPostgres(t *testing.T) {
	g := postgresGround(t)
	g.stock(t)
	g.must(t, "CREATE PROCEDURE plain() LANGUAGE sql AS $$ UPDATE stock SET n = n + 1 WHERE id = 1 $$",
		"CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN UPDATE stock SET n = n + 1; COMMIT; END $$")
	ok(t, g.step(t, "exec", exec("CALL plain()")).do())
	failed(t, g.step(t, "exec", exec("CALL commits()")).do(), engine.EffectNone, "ends transactions itself", "2D000")
	failed(t, g.step(t, "exec", exec("DO $$ BEGIN UPDATE stock SET n = 0; COMMIT; END $$")).do(), engine.EffectNone, "2D000")
	ok(t, g.step(t, "exec", exec("DO $$ BEGIN UPDATE stock SET n = n + 1 WHERE id = 1; END $$")).do())
	if g.n(t, 1) != "12" || g.n(t, 2) != "20" {
		t.Errorf("n is %s and %s", g.n(t, 1), g.n(t, 2))
	}
}

func TestWhatARollbackOfPostgresDoesNotCover(t *testing.T) {
	admin := servers.Postgres(t)
	g := ground{target: steps.Target{Name: "db", Type: "postgres", Settings: admin}, db: servers.OpenPostgres(t, admin)}
	g.stock(t)
	g.must(t, "CREATE UNLOGGED TABLE fast (n int)", "CREATE PROCEDURE p() LANGUAGE sql AS $$ UPDATE stock SET n = 0 $$")
	if p := g.step(t, "exec", exec("CALL p()")).prepare().prep; p.Class != engine.ClassUnset {
		t.Errorf("a procedure where nothing leaks: class %s, %s", p.Class, p.Why)
	}
	if i := g.preview(t, exec("UPDATE fast SET n = 1 WHERE n = 2")); i.Class != engine.ClassUnset || !strings.Contains(strings.Join(i.Warnings, "\n"), "fast is unlogged") {
		t.Errorf("class %s, warnings %v", i.Class, i.Warnings)
	}
	g.must(t, "CREATE EXTENSION dblink")
	if p := g.step(t, "exec", exec("CALL p()")).prepare().prep; p.Class != engine.ClassUnrepeatable || !strings.Contains(p.Why, "dblink") {
		t.Errorf("a procedure beside dblink: class %s, %s", p.Class, p.Why)
	}
	if p := g.step(t, "exec", exec("UPDATE stock SET n = 1 WHERE id = 1")).prepare().prep; p.Class != engine.ClassUnset {
		t.Errorf("a plain update: %s", p.Why)
	}
	g.must(t, "CREATE EXTENSION file_fdw", "CREATE SERVER files FOREIGN DATA WRAPPER file_fdw", "CREATE FOREIGN TABLE away (a text) SERVER files OPTIONS (filename '/dev/null')",
		"CREATE VIEW seen AS SELECT * FROM stock")
	if p := g.step(t, "exec", exec("INSERT INTO away VALUES ('x')")).prepare().prep; p.Class != engine.ClassUnrepeatable || !strings.Contains(p.Why, "foreign table of server files") {
		t.Errorf("a foreign table: class %s, %s", p.Class, p.Why)
	}
	if p := g.step(t, "exec", exec("UPDATE seen SET n = 1")).prepare().prep; p.Class != engine.ClassUnrepeatable || !strings.Contains(p.Why, "view") {
		t.Errorf("a view: class %s, %s", p.Class, p.Why)
	}
}

func TestAPostgresUserWithoutRightsHasNoMarkers(t *testing.T) {
	g, user := postgresUserGround(t, servers.Postgres(t))
	g.stock(t)
	g.must(t, "GRANT SELECT, INSERT, UPDATE, DELETE ON stock TO "+user, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
	s := g.step(t, "exec", exec("UPDATE stock SET n = 0")).expect(steptest.Equals("affected", int64(1))).prepare()
	if s.prep.Class != engine.ClassUnrepeatable {
		t.Fatalf("class %s", s.prep.Class)
	}
	contains(t, s.prep.Why, "no markers", "create", "42501")
	failed(t, s.execute(t.Context()), engine.EffectNone, "rolled back")
	if i := g.preview(t, exec("UPDATE stock SET n = 0 WHERE id = 1")); i.Class != engine.ClassUnrepeatable || !strings.Contains(strings.Join(i.Warnings, ""), "no right to CREATE") {
		t.Errorf("class %s, warnings %q", i.Class, i.Warnings)
	}
	g.must(t, `CREATE TABLE handrail_markers (token text COLLATE "C" PRIMARY KEY, epoch bigint NOT NULL, state text NOT NULL, result text, at timestamp NOT NULL)`,
		"GRANT SELECT, INSERT, UPDATE ON handrail_markers TO "+user)
	ok(t, g.step(t, "exec", exec("UPDATE stock SET n = 5 WHERE id = 1")).do())
	if g.one(t, "SELECT COUNT(*) FROM handrail_markers WHERE state = 'done'") != "1" {
		t.Error("the markers that somebody else made are not used")
	}
	g.must(t, "REVOKE UPDATE ON stock FROM "+user)
	failed(t, g.step(t, "exec", exec("UPDATE stock SET n = 0 WHERE id = 1")).do(), engine.EffectNone, "the user may not do this", "GRANT")
}

func TestAPostgresScript(t *testing.T) {
	g := postgresGround(t)
	g.stock(t)
	s := g.step(t, "script", script(`
CREATE FUNCTION raise(by_n int) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN -- a ; here
  UPDATE stock SET n = n + by_n WHERE id = 1;
END;
$body$;
DO $$ BEGIN PERFORM raise(1); END $$;
SET work_mem = '8MB';
VACUUM stock;
UPDATE stock SET note = E'it\'s; done', n = n + :by WHERE id = 1;
`, "by", int64(5)))
	if s.env.Call.Class != engine.ClassUnrepeatable {
		t.Errorf("class %s", s.env.Call.Class)
	}
	r := ok(t, s.do())
	if r["statements"] != int64(5) || g.n(t, 1) != "16" || g.one(t, "SELECT note FROM stock WHERE id = 1") != "it's; done" {
		t.Errorf("result %v, n %s", r, g.n(t, 1))
	}
	plain := g.step(t, "script", script("CREATE TABLE made (a int); CREATE INDEX ON made (a); INSERT INTO made VALUES (1)"))
	if plain.env.Call.Class != engine.ClassTransactional {
		t.Errorf("class %s: every statement can have its marker", plain.env.Call.Class)
	}
	ok(t, plain.do())
}

func TestAPostgresExport(t *testing.T) {
	g := postgresGround(t)
	g.target.Settings["timezone"] = "UTC"
	g.must(t, "CREATE TABLE v (id int, d numeric(5,2), t text, at timestamp, z timestamptz, day date, took interval, raw bytea, ok boolean, list text[], j jsonb)",
		`INSERT INTO v VALUES (1, 1.50, 'a "b", c', '2026-01-02 03:04:05', '2026-01-02 03:04:05.5+00', '2026-01-02', '27:00:01', '\x00ff', true, ARRAY['x y', NULL, 'q"'], '{"a": 1}')`, "INSERT INTO v VALUES (2)")
	s := g.step(t, "export", engine.Record{"export": "SELECT * FROM v ORDER BY id", "to": "out.csv"})
	ok(t, s.do())
	text, err := os.ReadFile(filepath.Join(s.env.Dir, "out.csv"))
	if err != nil {
		t.Fatal(err)
	}
	want := "id,d,t,at,z,day,took,raw,ok,list,j\n" +
		`1,1.50,"a ""b"", c",2026-01-02 03:04:05,2026-01-02 03:04:05.5Z,2026-01-02,27:00:01,00ff,true,"{""x y"",NULL,""q\""""}","{""a"": 1}"` + "\n" +
		`2,\N,\N,\N,\N,\N,\N,\N,\N,\N,\N` + "\n"
	if string(text) != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}
