package sql_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// how is what a preview says of the means, by its name.
func how(i engine.Impact, name string) string {
	for _, h := range i.How {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}

// TestTheAlgorithmOfAChangeIsTheOneThatTheServerTakes asks the server to do each change in the way that the plan says, and
// to do it in a better one, which it must refuse.
func TestTheAlgorithmOfAChangeIsTheOneThatTheServerTakes(t *testing.T) {
	g := mysqlGround(t)
	const plain, full, packed, computed = "", ", FULLTEXT f (v)", ") ROW_FORMAT=COMPRESSED -- ", ", g INT AS (n + 1) VIRTUAL"
	for _, c := range []struct{ table, change, way string }{
		{plain, "ADD COLUMN c INT NOT NULL DEFAULT -5 AFTER id", "instant"},
		{plain, "ADD c DATETIME DEFAULT (NOW()) FIRST", "instant"},
		{plain, "ADD COLUMN c INT AS (n + 1) STORED", "copy"},
		{plain, "ADD COLUMN c INT AUTO_INCREMENT, ADD KEY (c)", "in place"},
		{plain, "ADD COLUMN c CHAR(36) DEFAULT UUID()", "unknown"},
		{full, "ADD COLUMN c INT", "in place"},
		{packed, "ADD COLUMN c INT", "in place"},
		{computed, "ADD COLUMN c INT FIRST", "unknown"},
		{plain, "DROP COLUMN n", "in place"},
		{plain, "DROP m", "in place"},
		{full, "DROP COLUMN note", "in place"},
		{plain, "RENAME COLUMN v TO w", "instant"},
		{plain, "ALTER COLUMN n SET DEFAULT 7", "instant"},
		{plain, "ADD CONSTRAINT u UNIQUE (v)", "in place"},
		{plain, "ADD FULLTEXT INDEX f (v)", "in place"},
		{plain, "ADD COLUMN c INT, ADD INDEX i (v)", "in place"},
		{plain, "RENAME INDEX many TO more", "instant"},
		{plain, "DROP PRIMARY KEY", "copy"},
		{plain, "DROP PRIMARY KEY, ADD PRIMARY KEY (m)", "in place"},
		{plain, "ADD CONSTRAINT k FOREIGN KEY (n) REFERENCES other (id)", "copy"},
		{plain, "ADD CONSTRAINT k CHECK (n < 100)", "copy"},
		{plain, "FORCE", "in place"},
		{plain, "AUTO_INCREMENT = 100", "instant"},
		{plain, "RENAME TO renamed", "instant"},
		{plain, "MODIFY n BIGINT", "unknown"},
		{plain, "CONVERT TO CHARACTER SET latin1", "unknown"},
	} {
		made := "CREATE TABLE t (id INT PRIMARY KEY, n INT, m INT NOT NULL, v VARCHAR(20), note VARCHAR(9), KEY (n), KEY many (m, n)" + c.table + ")"
		g.must(t, "DROP TABLE IF EXISTS t, other, renamed", "CREATE TABLE other (id INT PRIMARY KEY)", made, "INSERT INTO t (id, m) VALUES (1, 1), (2, 2)")
		i := g.preview(t, exec("ALTER TABLE t "+c.change))
		said, why, _ := strings.Cut(how(i, "algorithm, t"), ":")
		if said != c.way || why == "" {
			t.Errorf("%s on %q: %s:%s, want %s", c.change, c.table, said, why, c.way)
		}
		if c.way != "unknown" && how(i, "locks, t") == "" {
			t.Errorf("%s: nothing is said of locks", c.change)
		}
		better := map[string]string{"in place": "INSTANT", "copy": "INPLACE"}[c.way]
		if better != "" {
			if _, err := g.db.Exec("ALTER TABLE t " + c.change + ", ALGORITHM=" + better); err == nil {
				t.Errorf("%s on %q: the plan says %s, and the server can do it by %s", c.change, c.table, c.way, better)
			}
		}
		if as := map[string]string{"instant": "INSTANT", "in place": "INPLACE", "copy": "COPY"}[c.way]; as != "" {
			if _, err := g.db.Exec("ALTER TABLE t " + c.change + ", ALGORITHM=" + as); err != nil {
				t.Errorf("%s on %q: the plan says %s: %v", c.change, c.table, c.way, err)
			}
		}
	}
	g.must(t, "CREATE TABLE old (n INT) ENGINE=MyISAM")
	if got := how(g.preview(t, exec("ALTER TABLE old ADD COLUMN c INT")), "algorithm, old"); !strings.HasPrefix(got, "unknown: the table is of engine MyISAM") {
		t.Errorf("another engine: %s", got)
	}
}

// TestOnPostgresAChangeRewritesAndLocksAsThePlanSays makes each change in a transaction, in which the server tells what it has locked and
// whether the table has another file.
func TestOnPostgresAChangeRewritesAndLocksAsThePlanSays(t *testing.T) {
	g := postgresGround(t)
	g.must(t, "CREATE TABLE other (id int PRIMARY KEY)", "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL, v varchar(20))", "INSERT INTO t VALUES (1, 1, 'a')",
		"CREATE INDEX by_v ON t (v)", "ALTER TABLE t ADD CONSTRAINT later CHECK (n > 0) NOT VALID",
		"CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$")
	for _, c := range []struct{ text, way, lock string }{
		{"ALTER TABLE t ADD COLUMN c int", "instant", "ACCESS EXCLUSIVE"},
		{"ALTER TABLE t ADD COLUMN c timestamptz NOT NULL DEFAULT now()", "instant", "ACCESS EXCLUSIVE"},
		{"ALTER TABLE t ADD COLUMN c float DEFAULT random()", "copy", "ACCESS EXCLUSIVE"},
		{"ALTER TABLE t ADD c int GENERATED ALWAYS AS IDENTITY", "copy", "ACCESS EXCLUSIVE"},
		{"ALTER TABLE t DROP COLUMN v", "instant", "ACCESS EXCLUSIVE"},
		{"ALTER TABLE t RENAME v TO w", "instant", "ACCESS EXCLUSIVE"},
		{"ALTER TABLE t ALTER COLUMN v SET DEFAULT 'x'", "instant", "ACCESS EXCLUSIVE"},
		{"ALTER TABLE t ALTER v SET NOT NULL", "in place", "ACCESS EXCLUSIVE"},
		{"ALTER TABLE t ALTER n DROP NOT NULL", "instant", "ACCESS EXCLUSIVE"},
		{"ALTER TABLE t ALTER v SET STATISTICS 50", "instant", "SHARE UPDATE EXCLUSIVE"},
		{"ALTER TABLE t SET (fillfactor = 70)", "instant", "SHARE UPDATE EXCLUSIVE"},
		{"ALTER TABLE t ADD CONSTRAINT u UNIQUE (n)", "in place", "ACCESS EXCLUSIVE"},
		{"ALTER TABLE t ADD CHECK (n > 0)", "in place", "ACCESS EXCLUSIVE"},
		{"ALTER TABLE t ADD CONSTRAINT k FOREIGN KEY (n) REFERENCES other (id) NOT VALID", "instant", "SHARE ROW EXCLUSIVE"},
		{"ALTER TABLE t VALIDATE CONSTRAINT later", "in place", "SHARE UPDATE EXCLUSIVE"},
		{"ALTER TABLE t DROP CONSTRAINT later, ADD COLUMN c int", "instant", "ACCESS EXCLUSIVE"},
		{"ALTER TABLE t ALTER v SET STATISTICS 50, ADD CHECK (n > 0)", "in place", "ACCESS EXCLUSIVE"},
		{"ALTER TABLE t SET UNLOGGED", "copy", "ACCESS EXCLUSIVE"},
		{"ALTER TABLE t DISABLE TRIGGER ALL", "instant", "SHARE ROW EXCLUSIVE"},
		{"CREATE TRIGGER notes AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION noted()", "instant", "SHARE ROW EXCLUSIVE"},
		{"CREATE INDEX i ON t (n)", "in place", "SHARE"},
		{"CLUSTER t USING t_pkey", "copy", "ACCESS EXCLUSIVE"},
		{"ANALYZE t", "in place", "SHARE UPDATE EXCLUSIVE"},
		{"TRUNCATE t", "instant", "ACCESS EXCLUSIVE"},
		{"UPDATE t SET n = 2 WHERE id = 1", "", "ROW EXCLUSIVE"},
		{"INSERT INTO t VALUES (2, 2, 'b')", "", "ROW EXCLUSIVE"},
		{"DELETE FROM t WHERE id = 1", "", "ROW EXCLUSIVE"},
	} {
		i := g.preview(t, exec(c.text))
		way, _, _ := strings.Cut(how(i, "algorithm, t"), ":")
		lock, _, _ := strings.Cut(strings.ReplaceAll(how(i, "locks, t"), ", and", ":"), ":")
		if way != c.way || lock != c.lock {
			t.Errorf("%s: %s, %s; want %s, %s", c.text, way, lock, c.way, c.lock)
		}
		rewritten, locked := g.inTransaction(t, c.text)
		if want := strings.ReplaceAll(strings.ToLower(lock), " ", ""); locked != want+"lock" {
			t.Errorf("%s: the plan says %s, and the server took %s", c.text, lock, locked)
		}
		if truncates := strings.HasPrefix(c.text, "TRUNCATE"); rewritten != (way == "copy" || truncates) && way != "" {
			t.Errorf("%s: the plan says %s, and the table was rewritten: %v", c.text, way, rewritten)
		}
	}
	if got := how(g.preview(t, exec("ALTER TABLE t ALTER n TYPE bigint")), "algorithm, t"); !strings.HasPrefix(got, "unknown: every row is written anew, unless") {
		t.Errorf("another type: %s", got)
	}
	if got := how(g.preview(t, exec("CREATE INDEX CONCURRENTLY i ON t (n)")), "locks, t"); !strings.HasPrefix(got, "SHARE UPDATE EXCLUSIVE") {
		t.Errorf("an index made concurrently: %s", got)
	}
}

// inTransaction carries a statement out, looks whether its table has another file and how it is locked, and takes it back.
func (g ground) inTransaction(t *testing.T, text string) (rewritten bool, locked string) {
	t.Helper()
	tx, err := g.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	var before, after int64
	if err := tx.QueryRow("SELECT pg_relation_filenode('t')").Scan(&before); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if err := tx.QueryRow("SELECT pg_relation_filenode('t')").Scan(&after); err != nil {
		t.Fatal(err)
	}
	// Of the locks that it has, the strictest; AccessShareLock is of the question above.
	order := []string{"AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"}
	rows, err := tx.Query("SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 't'::regclass")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	strictest := -1
	for rows.Next() {
		var mode string
		if err := rows.Scan(&mode); err != nil {
			t.Fatal(err)
		}
		for n, name := range order {
			if name == mode {
				strictest = max(strictest, n)
			}
		}
	}
	if strictest < 0 {
		t.Fatalf("%s: the table is not locked", text)
	}
	return before != after, strings.ToLower(order[strictest])
}

func TestAPreviewTellsTheSizeOfTables(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.stock(t)
		g.must(t, "CREATE TABLE parts (id INTEGER PRIMARY KEY)")
		i := g.preview(t, transaction(exec("UPDATE stock SET n = 0 WHERE id = 1"), exec("DELETE FROM parts WHERE id = 1"), exec("UPDATE stock SET n = 1 WHERE id = 2")))
		sizes := map[string]engine.Figure{}
		for _, f := range i.Figures {
			if f.Now {
				sizes[f.Name] = f
			}
		}
		switch {
		case g.postgres():
			f := sizes["bytes, table public.stock"]
			if want := g.one(t, "SELECT pg_total_relation_size('stock')"); fmt.Sprint(f.Value) != want || f.Certainty != engine.FigureExact || len(sizes) != 2 {
				t.Errorf("sizes %v, the table has %s", sizes, want)
			}
		case g.mysql():
			f := sizes["bytes, table "+g.target.Settings["database"].(string)+".stock"]
			if f.Value < 16384 || f.Certainty != engine.FigureEstimate || len(sizes) != 2 {
				t.Errorf("sizes %v", sizes)
			}
		default:
			if f := sizes["bytes, the database's file"]; f.Value < 4096 || f.Certainty != engine.FigureExact || len(sizes) != 1 {
				t.Errorf("sizes %v", sizes)
			}
		}
		if how(i, "locks, stock") == "" || how(i, "locks, parts") == "" || len(i.How) != 2 {
			t.Errorf("how %v", i.How)
		}
	})
}

// TestAPreviewSaysWhatTheUserMayNotDo: and the server refuses exactly that.
func TestAPreviewSaysWhatTheUserMayNotDo(t *testing.T) {
	my := userGround(t, servers.MySQL(t), "SELECT, INSERT, CREATE, CREATE TEMPORARY TABLES ON %s.*")
	my.stock(t)
	my.must(t, "CREATE TABLE part (id INT PRIMARY KEY, n INT)")
	user, _, _ := strings.Cut(my.target.Settings["user"].(string), "@")
	my.must(t, "GRANT UPDATE (n) ON part TO "+user+"@'%'")
	pg, name := postgresUserGround(t, servers.Postgres(t))
	pg.stock(t)
	pg.must(t, "CREATE TABLE part (id int PRIMARY KEY, n int)", "GRANT SELECT, INSERT ON stock, part TO "+name, "GRANT UPDATE (n) ON part TO "+name)
	for _, g := range []ground{my, pg} {
		for _, c := range []struct {
			text, lacks string
		}{
			{"INSERT INTO stock VALUES (7, 7, 'x')", ""},
			{"UPDATE part SET n = 0 WHERE id = 1", ""},
			{"UPDATE stock SET n = 0 WHERE id = 1", "no right to UPDATE"},
			{"DELETE FROM stock WHERE id = 1", "no right to DELETE"},
			{"TRUNCATE TABLE stock", map[bool]string{true: "no right to DROP", false: "no right to TRUNCATE"}[g.mysql()]},
			{"ALTER TABLE stock ADD COLUMN c INT", map[bool]string{true: "no right to ALTER", false: "is not the owner"}[g.mysql()]},
			{"CREATE INDEX i ON stock (n)", map[bool]string{true: "no right to INDEX", false: "is not the owner"}[g.mysql()]},
			{"DROP TABLE stock", map[bool]string{true: "no right to DROP", false: "is not the owner"}[g.mysql()]},
			{"CREATE TABLE made (a INT)", map[bool]string{true: "", false: "no right to CREATE in schema public"}[g.mysql()]},
		} {
			i := g.preview(t, exec(c.text))
			if (i.Standing == engine.StandingUnknown) != (c.lacks != "") || !strings.Contains(i.Why, c.lacks) {
				t.Errorf("%s on %s: standing %s, %q; want %q", c.text, g.target.Type, i.Standing, i.Why, c.lacks)
			}
			s := g.step(t, "exec", exec(c.text))
			s.env.Call.Class = engine.ClassIdempotent // no marker is needed, which could be refused in its place
			if o := s.execute(t.Context()); (o.Err != "") != (c.lacks != "") {
				t.Errorf("%s on %s: the plan says %q, and the run %q", c.text, g.target.Type, c.lacks, o.Err)
			}
		}
	}
}
