package statement_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/steps/sql/statement"
)

func TestSorts(t *testing.T) {
	for _, c := range []struct {
		grammar statement.Grammar
		want    statement.Sort
		src     string
	}{
		{statement.MySQL, statement.Reads, "SELECT 1"},
		{statement.MySQL, statement.Reads, "select a, `b` from t where c = 'INTO x' -- INTO OUTFILE\n and d = 1"},
		{statement.MySQL, statement.Reads, "SELECT COUNT(*), MAX(a), COALESCE(b, 'x') FROM t GROUP BY (a) HAVING (COUNT(*)) > 1"},
		{statement.MySQL, statement.Reads, "(SELECT 1) UNION ALL (SELECT 2) ORDER BY 1"},
		{statement.MySQL, statement.Reads, "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 5) SELECT * FROM n"},
		{statement.MySQL, statement.Reads, "SELECT CAST(a AS DECIMAL(10,2)), CONVERT(b, CHAR(3)) FROM t WHERE a IN (1,2) AND MATCH (b) AGAINST ('x')"},
		{statement.MySQL, statement.Reads, "SELECT * FROM t WHERE a = ANY (SELECT b FROM u)"},
		{statement.MySQL, statement.Reads, "SELECT ROW_NUMBER() OVER (PARTITION BY a ORDER BY b) FROM t"},
		{statement.MySQL, statement.Reads, "SHOW CREATE PROCEDURE p"},
		{statement.MySQL, statement.Reads, "SHOW GRANTS FOR 'a'@'%'"},
		{statement.MySQL, statement.Reads, "EXPLAIN UPDATE t SET a = 1 WHERE b = 2"},
		{statement.MySQL, statement.Reads, "EXPLAIN FORMAT=JSON SELECT 1"},
		{statement.MySQL, statement.Reads, "DESCRIBE t"},
		{statement.MySQL, statement.Reads, "SELECT @x, @@version, @@global.read_only"},
		{statement.MySQL, statement.Reads, "SELECT REPLACE(a, 'x', 'y'), INSERT(a, 1, 2, 'z') FROM t"},
		{statement.SQLite, statement.Reads, "SELECT strftime('%Y', d), count (*) FROM t"},
		{statement.SQLite, statement.Reads, "PRAGMA table_info(t)"},
		{statement.SQLite, statement.Reads, "EXPLAIN QUERY PLAN SELECT 1"},
		{statement.SQLite, statement.Reads, "SELECT [a b], \"c\" FROM t"},

		{statement.MySQL, statement.Calls, "SELECT GET_LOCK('a', 1)"},
		{statement.MySQL, statement.Calls, "SELECT SLEEP(1)"},
		{statement.MySQL, statement.Calls, "SELECT 1 FROM t WHERE id = BENCHMARK(10, MD5('a'))"},
		{statement.MySQL, statement.Calls, "SELECT LOAD_FILE('/etc/passwd')"},
		{statement.MySQL, statement.Calls, "SELECT NEXT VALUE FOR s"},
		{statement.MySQL, statement.Calls, "SELECT NEXTVAL(s)"},
		{statement.MySQL, statement.Calls, "SELECT s.nextval"},
		{statement.MySQL, statement.Calls, "SELECT my_function(1)"},
		{statement.MySQL, statement.Calls, "SELECT `count`(1)"},
		{statement.MySQL, statement.Calls, "SELECT count (1)"},
		{statement.MySQL, statement.Calls, "SELECT db.abs(1)"},
		{statement.MySQL, statement.Calls, "SELECT path(1), filter(2)"},
		{statement.MySQL, statement.Calls, "SELECT a FROM t INTO @x"},
		{statement.MySQL, statement.Calls, "SELECT @x := 1"},
		{statement.MySQL, statement.Calls, "SELECT 1 /*! + SLEEP(5) */"},
		{statement.MySQL, statement.Calls, "SELECT /*+ SET_VAR(max_execution_time=0) */ 1"},
		{statement.MySQL, statement.Calls, "EXPLAIN SELECT SLEEP(1)"},
		{statement.MySQL, statement.Calls, "EXPLAIN DELETE FROM t WHERE a = my_function()"},
		{statement.MySQL, statement.Calls, "SHOW TABLES WHERE sleep(1)"},
		{statement.MySQL, statement.Calls, "CALL p()"},
		{statement.MySQL, statement.Calls, "DO SLEEP(1)"},
		{statement.MySQL, statement.Calls, "EXECUTE IMMEDIATE 'DROP TABLE t'"},
		{statement.MySQL, statement.Calls, "SET @x = my_function()"},
		{statement.SQLite, statement.Calls, "SELECT load_extension('x')"},

		{statement.MySQL, statement.Other, "SELECT a FROM t INTO OUTFILE '/tmp/x'"},
		{statement.MySQL, statement.Other, "EXPLAIN ANALYZE SELECT 1"},
		{statement.MySQL, statement.Other, "ANALYZE UPDATE t SET a = 1"},
		{statement.MySQL, statement.Other, "SET STATEMENT max_statement_time=0 FOR SELECT 1"},
		{statement.MySQL, statement.Other, "HANDLER t OPEN"},
		{statement.MySQL, statement.Other, "KILL 5"},
		{statement.MySQL, statement.Other, "SET GLOBAL max_connections = 5"},
		{statement.MySQL, statement.Other, "SET @@GLOBAL.max_connections = 5"},
		{statement.MySQL, statement.Other, "PRAGMA table_info(t)"},
		{statement.SQLite, statement.Other, "PRAGMA journal_mode = WAL"},
		{statement.SQLite, statement.Other, "PRAGMA journal_mode(WAL)"},
		{statement.SQLite, statement.Other, "ATTACH 'x' AS y"},
		{statement.SQLite, statement.Other, "VACUUM"},
		{statement.SQLite, statement.Other, "SHOW TABLES"},

		{statement.MySQL, statement.Writes, "INSERT INTO t (a, b) VALUES (1, 2)"},
		{statement.MySQL, statement.Writes, "WITH x AS (SELECT 1 AS a) DELETE FROM t WHERE a IN (SELECT a FROM x)"},
		{statement.MySQL, statement.Writes, "LOAD DATA INFILE 'x' INTO TABLE t"},
		{statement.MySQL, statement.Writes, "REPLACE t VALUES (1)"},
		{statement.SQLite, statement.Writes, "INSERT OR IGNORE INTO t VALUES (1)"},

		{statement.MySQL, statement.Defines, "CREATE TABLE t (a INT)"},
		{statement.MySQL, statement.Defines, "/*!40101 DROP TABLE IF EXISTS t */"},
		{statement.MySQL, statement.Defines, "TRUNCATE t"},
		{statement.MySQL, statement.Defines, "GRANT ALL ON *.* TO x"},
		{statement.MySQL, statement.Defines, "SET PASSWORD = PASSWORD('x')"},
		{statement.MySQL, statement.Session, "CREATE TEMPORARY TABLE t (a INT)"},
		{statement.MySQL, statement.Session, "SET @x = 1"},
		{statement.MySQL, statement.Session, "USE other"},
		{statement.MySQL, statement.Commits, "ANALYZE TABLE t"},
		{statement.MySQL, statement.Commits, "FLUSH TABLES"},
		{statement.MySQL, statement.Commits, "OPTIMIZE TABLE t"},
		{statement.MySQL, statement.Control, "START TRANSACTION"},
		{statement.MySQL, statement.Control, "LOCK TABLES t WRITE"},
		{statement.MySQL, statement.Control, "SET autocommit = 1"},
		{statement.MySQL, statement.Control, "SET @@session.autocommit = 0"},
		{statement.MySQL, statement.Control, "ROLLBACK TO x"},
	} {
		s, err := statement.Parse(c.grammar, c.src)
		if err != nil {
			t.Errorf("%s: %v", c.src, err)
			continue
		}
		if s.Class.Sort != c.want {
			t.Errorf("%s: %s (%s), want %s", c.src, s.Class.Sort, s.Class.Why, c.want)
		}
		if s.Class.Sort == statement.Calls && s.Class.Why == "" {
			t.Errorf("%s: it does not say why", c.src)
		}
	}
}

func TestLockingReadIsKnown(t *testing.T) {
	for src, want := range map[string]bool{
		"SELECT 1": false, "SELECT a FROM t FOR UPDATE": true, "SELECT a FROM t LOCK IN SHARE MODE": true,
		"SELECT a FROM t FOR SHARE SKIP LOCKED": true, "SELECT SUBSTRING(a FROM 1 FOR 2) FROM t": false,
	} {
		s, err := statement.Parse(statement.MySQL, src)
		if err != nil || s.Class.Locks != want || s.Class.Sort != statement.Reads {
			t.Errorf("%s: locks %v, %s, %v", src, s.Class.Locks, s.Class.Sort, err)
		}
	}
}

func TestWrittenTables(t *testing.T) {
	for src, want := range map[string]string{
		"INSERT INTO a.b (x) SELECT y FROM c":                     "[a.b] single",
		"INSERT LOW_PRIORITY IGNORE t SET a = 1":                  "[t] single",
		"UPDATE t AS x SET x.a = 1 WHERE b = 2":                   "[t] single",
		"UPDATE t JOIN u ON t.id = u.id SET t.a = u.a":            "[t u] all",
		"UPDATE t, u SET t.a = 1 WHERE t.id = u.id":               "[t u]",
		"UPDATE `t` PARTITION (p0) SET a = 1":                     "[t] single all",
		"UPDATE t JOIN (SELECT id FROM v) x USING (id) SET a = 1": "[t] all",
		"DELETE FROM t":         "[t] single all",
		"DELETE FROM t LIMIT 5": "[t] single",
		"DELETE a FROM t AS a JOIN u ON 1 WHERE u.x = 1":    "[t u]",
		"DELETE FROM a, b USING a JOIN b WHERE a.id = b.id": "[a b a b]",
		"DELETE FROM ident(:table) WHERE id = :id":          "[] single",
		"DROP TABLE IF EXISTS a, b.c":                       "[a b.c] destroys",
		"CREATE TABLE IF NOT EXISTS t (a INT)":              "[t]",
		"ALTER TABLE t DROP COLUMN a":                       "[t] destroys",
		"TRUNCATE TABLE t":                                  "[t] destroys",
		"LOAD DATA INFILE 'x' INTO TABLE a.b FIELDS":        "[a.b] single",
	} {
		s, err := statement.Parse(statement.MySQL, src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		c := s.Class
		got := fmt.Sprint(c.Tables)
		if c.Change != nil && c.Change.Single {
			got += " single"
		}
		if c.NoWhere {
			got += " all"
		}
		if c.Destroys && c.Change == nil {
			got += " destroys"
		}
		if got != want {
			t.Errorf("%s: %s, want %s", src, got, want)
		}
	}
}

func TestAnatomyOfAChange(t *testing.T) {
	for src, want := range map[string]string{
		"UPDATE t x SET a = :a WHERE b = :b":                          "t x|WHERE b = :b||",
		"DELETE FROM t WHERE a IN (SELECT b FROM u WHERE c) LIMIT 3":  "t|WHERE a IN (SELECT b FROM u WHERE c)|LIMIT 3|",
		"DELETE FROM t WHERE a ORDER BY b LIMIT 3":                    "t|WHERE a|ORDER BY b LIMIT 3|",
		"INSERT INTO t (a) VALUES (1), ((2)), (3)":                    "|||",
		"INSERT INTO t (a) SELECT b FROM u ON DUPLICATE KEY UPDATE a": "|||SELECT b FROM u",
		"DELETE FROM t WHERE a = 1 RETURNING b":                       "t|WHERE a = 1||",
	} {
		s, err := statement.Parse(statement.MySQL, src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		c := s.Class.Change
		piece := func(p statement.Span) string { return src[p.Start:p.End] }
		got := strings.Join([]string{piece(c.Target), piece(c.Where), piece(c.Limit), piece(c.Select)}, "|")
		if got != want {
			t.Errorf("%s:\n%s, want\n%s", src, got, want)
		}
	}
	s, _ := statement.Parse(statement.MySQL, "INSERT INTO t (a) VALUES (1), ((2)), (f(3, 4))")
	if n := s.Class.Change.Rows; n != 3 {
		t.Errorf("rows: %d", n)
	}
}

func TestArgumentsAreFoundOnlyInCode(t *testing.T) {
	src := "SELECT ':a', \":b\", `:c`, x::int, @v := 1, '10:30', 'it''s :d', 'q\\' :e', :f -- :g\n # :h\n /* :i */, :j, lbl:LOOP, ident(:k) /*! , :l */"
	s, err := statement.Parse(statement.MySQL, src)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range s.Arguments() {
		name := a.Name
		if a.Ident {
			name = "ident " + name
		}
		got = append(got, name)
	}
	if want := "f j ident k l"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	text, err := s.Render(s.Whole(), func(a statement.Argument) (string, error) { return "<" + a.Name + ">", nil })
	if err != nil || !strings.HasSuffix(text, "/* :i */, <j>, lbl:LOOP, <k> /*! , <l> */") {
		t.Errorf("rendered %q, %v", text, err)
	}
}

func TestUnreadable(t *testing.T) {
	for src, want := range map[string]string{
		"":                        "no statement",
		" -- only this":           "no statement",
		"SELECT 'a":               "is not closed",
		"SELECT /* a":             "is not closed",
		"SELECT 1; SELECT 2":      "one statement at a time",
		"SELECT * FROM t WHERE ?": "write :name",
		"SELECT /*! 1":            "is not closed",
	} {
		_, err := statement.Parse(statement.MySQL, src)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", src, err, want)
		}
	}
}

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		name, src string
		grammar   statement.Grammar
		want      []string
	}{
		{"plain", "SELECT ';'; -- a;b\nUPDATE t SET a = 1;;\n /* ; */ DELETE FROM t", statement.MySQL,
			[]string{"SELECT ';'", "UPDATE t SET a = 1", "DELETE FROM t"}},
		{"delimiter", "DELIMITER //\nCREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END//\ndelimiter ;\nCALL p();", statement.MySQL,
			[]string{"CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END", "CALL p()"}},
		{"delimiter of letters", "DELIMITER $$\nSELECT 1$$ SELECT a$$\nDELIMITER ;\nSELECT 2", statement.MySQL,
			[]string{"SELECT 1", "SELECT a", "SELECT 2"}},
		{"dump", "/*!40101 SET NAMES utf8 */;\nDELIMITER ;;\n/*!50003 CREATE*/ /*!50003 TRIGGER x BEFORE INSERT ON t FOR EACH ROW BEGIN SET @a = 1; END */;;\nDELIMITER ;\n", statement.MySQL,
			[]string{"/*!40101 SET NAMES utf8 */", "/*!50003 CREATE*/ /*!50003 TRIGGER x BEFORE INSERT ON t FOR EACH ROW BEGIN SET @a = 1; END */"}},
		{"a body without delimiter", "CREATE TRIGGER x AFTER INSERT ON t BEGIN UPDATE t SET a = CASE WHEN b THEN 1 ELSE 2 END; DELETE FROM u; END; SELECT 1", statement.SQLite,
			[]string{"CREATE TRIGGER x AFTER INSERT ON t BEGIN UPDATE t SET a = CASE WHEN b THEN 1 ELSE 2 END; DELETE FROM u; END", "SELECT 1"}},
		{"blocks in a body", "CREATE PROCEDURE p() BEGIN IF a THEN SELECT 1; END IF; WHILE b DO SELECT 2; END WHILE; CASE c WHEN 1 THEN SELECT 3; END CASE; END; SELECT 4", statement.MySQL,
			[]string{"CREATE PROCEDURE p() BEGIN IF a THEN SELECT 1; END IF; WHILE b DO SELECT 2; END WHILE; CASE c WHEN 1 THEN SELECT 3; END CASE; END", "SELECT 4"}},
		{"backslash", `INSERT INTO t VALUES ('a\'; b'); SELECT 1`, statement.MySQL, []string{`INSERT INTO t VALUES ('a\'; b')`, "SELECT 1"}},
		{"no backslash", `INSERT INTO t VALUES ('C:\'); SELECT 1`, statement.SQLite, []string{`INSERT INTO t VALUES ('C:\')`, "SELECT 1"}},
		{"either", `INSERT INTO t VALUES ('C:\'); SELECT 1`, statement.Any, []string{`INSERT INTO t VALUES ('C:\')`, "SELECT 1"}},
		{"nothing", " ; -- x\n;", statement.MySQL, nil},
	} {
		parts, err := statement.Split(c.grammar, c.src)
		var got []string
		for _, p := range parts {
			got = append(got, p.Text)
			if !strings.HasPrefix(c.src[p.Start:], p.Text) {
				t.Errorf("%s: %q does not stand at %d", c.name, p.Text, p.Start)
			}
		}
		if err != nil || strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s: %v\n%s\nwant\n%s", c.name, err, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
	for _, src := range []string{"DELIMITER\nSELECT 1", "CREATE TRIGGER x BEGIN SELECT 1;", "SELECT 'a;"} {
		if parts, err := statement.Split(statement.MySQL, src); err == nil {
			t.Errorf("%q was split into %v", src, parts)
		}
	}
}

// FuzzSplit: whatever the text, the parts stand in it in order, and none can be split further at ';'.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{"SELECT 1; SELECT ':a'", "DELIMITER //\nSELECT 1//", "/*!40101 SET x */;", "CREATE TRIGGER t BEGIN x; END; y", "`a``b`;[c]", "\x80;'\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		for _, g := range []statement.Grammar{statement.MySQL, statement.SQLite, statement.Postgres, statement.Any} {
			parts, err := statement.Split(g, src)
			if err != nil {
				continue
			}
			at := 0
			for _, p := range parts {
				if p.Start < at || p.Text == "" || src[p.Start:p.Start+len(p.Text)] != p.Text {
					t.Fatalf("part %q at %d of %q", p.Text, p.Start, src)
				}
				at = p.Start + len(p.Text)
			}
		}
	})
}

// FuzzParse: what is said to read has none of the words that write outside of strings and names.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"SELECT a FROM t", "SELECT f(1)", "WITH x AS (SELECT 1) SELECT * FROM x", "EXPLAIN DELETE FROM t", "SELECT 1 INTO @x",
		"UPDATE t SET a = :a WHERE b", "INSERT INTO t VALUES (:a)", "PRAGMA table_info(t)", "SHOW TABLES", "((SELECT 1", "DELETE FROM"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		for _, g := range []statement.Grammar{statement.MySQL, statement.SQLite, statement.Postgres, statement.Any} {
			s, err := statement.Parse(g, src)
			if err != nil {
				continue
			}
			if text, err := s.Render(s.Whole(), func(a statement.Argument) (string, error) { return ":" + a.Name, nil }); err != nil || len(text) > len(src) {
				t.Fatalf("%q renders as %q, %v", src, text, err)
			}
			if s.Class.Sort != statement.Reads {
				continue
			}
			for i, k := range s.Tokens {
				if i == 0 && strings.EqualFold(k.Text, "EXPLAIN") {
					break
				}
				if k.Kind == statement.Word && (k.Upper == "INTO" || k.Upper == "OUTFILE") && !(i > 0 && s.Tokens[i-1].Text == ".") {
					t.Fatalf("%q is said to read", src)
				}
				if k.Kind == statement.Assign || k.Conditional {
					t.Fatalf("%q is said to read", src)
				}
			}
		}
	})
}
