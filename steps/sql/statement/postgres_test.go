package statement_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// TestPostgresSorts: what is known to read, and what is not, in PostgreSQL's own words.
func TestPostgresSorts(t *testing.T) {
	for sort, texts := range map[statement.Sort][]string{
		statement.Reads: {
			"SELECT data ->> 'a', n::numeric(10,2) FROM t WHERE data @> '{\"x\": 1}' AND data ? :key",
			"SELECT * FROM t WHERE data ?| ARRAY['a', 'b'] AND a = ANY(ARRAY[1, 2])",
			"SELECT $$ it's; pg_sleep(1) $$, $a$ $$ $a$",
			"SELECT E'it\\'s', 'C:\\', B'01', X'ff' FROM t /* one /* two */ pg_sleep(9) */",
			"SELECT 'a'\n'b', \"q\"\"q\", a # b, @ c FROM t -- pg_sleep(1)",
			"SELECT sum(a) FILTER (WHERE b) OVER (PARTITION BY (c) ORDER BY (d)), count(*) FROM t GROUP BY GROUPING SETS ((a), (b))",
			"WITH RECURSIVE x (a) AS MATERIALIZED (SELECT 1 UNION ALL SELECT a + 1 FROM x) SELECT * FROM x JOIN (SELECT 1 AS a) y USING (a)",
			"SELECT make_interval(hours := 1), pg_catalog.lower('A'), extract(epoch FROM now()), CAST(a AS character varying(3)) FROM t",
			"TABLE t", "VALUES (1), (2)", "SHOW TimeZone", "SELECT a[1:2], b[:lo] FROM t",
			"EXPLAIN (VERBOSE, FORMAT json) UPDATE t SET a = 1", "EXPLAIN SELECT 1", "EXPLAIN VERBOSE (SELECT 1)", "EXPLAIN (SELECT 1)",
			"SELECT * FROM generate_series(1, 3) AS g(i) WHERE i NOT IN (SELECT 1) AND 'a' LIKE ('b')",
		},
		statement.Calls: {
			"SELECT nextval('s')", "SELECT setval('s', 1)", "SELECT pg_sleep(10)", "SELECT pg_terminate_backend(1)", "SELECT pg_cancel_backend(1)",
			"SELECT set_config('a.b', 'c', false)", "SELECT lo_unlink(1)", "SELECT lo_import('/x')", "SELECT * FROM dblink('x', 'y') AS t(a int)",
			"SELECT pg_advisory_lock(1)", "SELECT pg_try_advisory_lock(1)", "SELECT pg_read_file('x')", "SELECT pg_ls_dir('.')", "SELECT pg_notify('a', 'b')",
			"SELECT pg_reload_conf()", "SELECT pg_switch_wal()", "SELECT pg_promote()", "SELECT query_to_xml('DELETE FROM t', true, true, '')",
			"SELECT ts_stat('DELETE FROM t')", "SELECT own()", "SELECT s.lower('A')", "SELECT \"lower\"('A')", "SELECT join(1)", "SELECT by (1)",
			"SELECT * INTO copy FROM t", "WITH d AS (DELETE FROM t RETURNING a) SELECT * FROM d", "WITH i AS (INSERT INTO t VALUES (1) RETURNING a) SELECT * FROM i",
			"CALL p()", "DO $$ BEGIN DELETE FROM t; END $$", "EXECUTE q", "NOTIFY c", "FETCH c",
			"SELECT E'a'\n'\\'', own()  --'", "SELECT 1 -- x\r, own()", "EXPLAIN SELECT own()", "EXPLAIN DELETE FROM t WHERE own()",
		},
		statement.Writes: {
			"INSERT INTO t AS x (a) OVERRIDING SYSTEM VALUE VALUES (1) ON CONFLICT (a) DO UPDATE SET a = excluded.a RETURNING a",
			"UPDATE ONLY t AS x SET a = u.a FROM u WHERE x.id = u.id", "DELETE FROM t USING u WHERE t.id = u.id", "WITH x AS (SELECT 1) DELETE FROM t",
			"MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE", "COPY t (a) FROM '/tmp/x'",
		},
		statement.Defines: {
			"CREATE TABLE t (a int)", "CREATE UNIQUE INDEX i ON t (a)", "ALTER TABLE t ADD COLUMN b int", "DROP TABLE t", "TRUNCATE a, b", "GRANT SELECT ON t TO u",
			"COMMENT ON TABLE t IS 'x'", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1; SELECT 2 $$", "REINDEX TABLE t", "ANALYZE t",
			"REFRESH MATERIALIZED VIEW CONCURRENTLY v", "CREATE USER u PASSWORD :pw", "ALTER DATABASE d SET work_mem = '1MB'", "CLUSTER t", "COMMENT ON TABLESPACE x IS 'y'",
		},
		statement.Commits: {
			"CREATE INDEX CONCURRENTLY i ON t (a)", "DROP INDEX CONCURRENTLY i", "REINDEX (CONCURRENTLY) TABLE t", "REINDEX DATABASE d", "VACUUM t", "VACUUM (FULL) t",
			"CREATE DATABASE d", "DROP DATABASE d", "ALTER SYSTEM SET work_mem = '1MB'", "CREATE TABLESPACE x LOCATION '/y'", "CLUSTER",
			"ALTER TABLE p DETACH PARTITION c CONCURRENTLY", "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p",
		},
		statement.Session: {"SET work_mem = '1MB'", "SET LOCAL x.y = 'z'", "SET CONSTRAINTS ALL DEFERRED", "LISTEN c", "LOCK TABLE t IN EXCLUSIVE MODE", "CREATE TEMP TABLE x (a int)", "PREPARE q AS SELECT 1"},
		statement.Control: {"BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT a", "ABORT", "START TRANSACTION", "PREPARE TRANSACTION 'x'", "COMMIT PREPARED 'x'",
			"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"},
		statement.Other: {"EXPLAIN ANALYZE DELETE FROM t", "EXPLAIN (ANALYZE) SELECT 1", "EXPLAIN (\"analyze\") SELECT 1", "EXPLAIN (costs off, analyze true) SELECT 1",
			"COPY t TO '/tmp/x'", "COPY t FROM PROGRAM 'x'", "COPY (SELECT 1) TO PROGRAM 'x'", "CHECKPOINT", "DISCARD ALL", "COPY t FROM STDIN"},
	} {
		for _, text := range texts {
			s, err := statement.Parse(statement.Postgres, text)
			if err != nil {
				t.Errorf("%s: %v", text, err)
				continue
			}
			if s.Class.Sort != sort {
				t.Errorf("%s: %s (%s), want %s", text, s.Class.Sort, s.Class.Why, sort)
			}
		}
	}
}

func TestPostgresArguments(t *testing.T) {
	src := "SELECT ':a', E'\\':b', $$ :c $$, $x$ :d $$ :e $x$, \":f\", n::int, x [1:2], :g::text, f(a := :h), /* /* :i */ :j */ ident(:k), 'l' -- :m\n"
	s, err := statement.Parse(statement.Postgres, src)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range s.Arguments() {
		got = append(got, a.Name)
	}
	if strings.Join(got, " ") != "g h k" {
		t.Errorf("got %v", got)
	}
}

func TestPostgresTables(t *testing.T) {
	for src, want := range map[string]string{
		"UPDATE Stock SET a = 1":                         "[stock] |||",
		`UPDATE "Stock" AS s SET a = 1 WHERE b`:          `[Stock] "Stock" AS s|WHERE b||`,
		"UPDATE a.t SET x = u.x FROM u, v WHERE t.i = 1": "[a.t] a.t|WHERE t.i = 1|u, v|",
		"DELETE FROM t USING u WHERE t.i = u.i":          "[t] t|WHERE t.i = u.i|u|",
		"DELETE FROM ONLY t WHERE a = 1 RETURNING b":     "[t] ONLY t|WHERE a = 1||",
		"INSERT INTO T (a) SELECT 1":                     "[t] |||SELECT 1",
	} {
		s, err := statement.Parse(statement.Postgres, src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		piece := func(p statement.Span) string { return src[p.Start:p.End] }
		c := s.Class.Change
		got := fmt.Sprint(s.Class.Tables, " ") + strings.Join([]string{piece(c.Target), piece(c.Where), piece(c.From), piece(c.Select)}, "|")
		if c.Where.Empty() && c.Select.Empty() {
			got = fmt.Sprint(s.Class.Tables) + " |||"
		}
		if got != want {
			t.Errorf("%s:\n%s, want\n%s", src, got, want)
		}
	}
}

func TestPostgresSplitAndUnreadable(t *testing.T) {
	src := "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $body$ BEGIN UPDATE t SET a = ';'; END; $body$; /* a; /* b; */ c; */ SELECT 'x;' E'\\';';\n" +
		"CREATE FUNCTION g() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; DO $$ BEGIN PERFORM 1; END $$"
	parts, err := statement.Split(statement.Postgres, src)
	if err != nil || len(parts) != 4 || !strings.HasSuffix(parts[0].Text, "$body$") || !strings.HasPrefix(parts[3].Text, "DO") {
		t.Errorf("%d parts, %v: %v", len(parts), err, parts)
	}
	for src, want := range map[string]string{
		"SELECT $a$ x $b$":                        "$a$ that opens here is not closed",
		"SELECT /* /* */ 1":                       "is not closed",
		"SELECT U&'\\0061'":                       "write the letters themselves",
		"SELECT ?":                                "write :name",
		"SELECT a FROM t LIMIT ?":                 "write :name",
		"SELECT a FROM t WHERE b BETWEEN ? AND ?": "write :name",
	} {
		if _, err := statement.Parse(statement.Postgres, src); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", src, err, want)
		}
	}
	if _, err := statement.Split(statement.Postgres, "\\copy t FROM x"); err == nil || !strings.Contains(err.Error(), "psql") {
		t.Errorf("a psql command: %v", err)
	}
}
