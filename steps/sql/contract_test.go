package sql_test

import (
	"crypto/rand"
	stdsql "database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"modernc.org/sqlite"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// ground is a database that a test can look at.
type ground struct {
	target steps.Target
	db     *stdsql.DB
}

// mysql, postgres: the ground is one.
func (g ground) mysql() bool    { return g.target.Type == "mysql" }
func (g ground) postgres() bool { return g.target.Type == "postgres" }

func mysqlGround(t testing.TB) ground {
	return userGround(t, servers.MySQL(t), "ALL PRIVILEGES ON %s.*")
}

// userGround acts as a user of the test's own, who has these rights; %s stands for the database.
func userGround(t testing.TB, settings engine.Record, rights ...string) ground {
	g := ground{db: servers.Open(t, settings)}
	user := "u_" + strings.ToLower(rand.Text()[:10])
	g.must(t, "CREATE USER "+user+"@'%' IDENTIFIED BY '"+password+"'")
	t.Cleanup(func() { g.must(t, "DROP USER "+user+"@'%'") })
	for _, r := range rights {
		g.must(t, "GRANT "+strings.ReplaceAll(r, "%s", settings["database"].(string))+" TO "+user+"@'%'")
	}
	g.target = steps.Target{Name: "db", Type: "mysql", Settings: engine.Record{
		"address": settings["address"], "database": settings["database"], "user": user, "password": engine.NewSecret("DB_PASSWORD", password)}}
	return g
}

// postgresGround acts as a user of the test's own, to whom the database belongs.
func postgresGround(t testing.TB) ground {
	g, user := postgresUserGround(t, servers.Postgres(t))
	g.must(t, "ALTER DATABASE "+g.target.Settings["database"].(string)+" OWNER TO "+user, "ALTER SCHEMA public OWNER TO "+user)
	g.mine(t, user)
	return g
}

// mine has the test's own connections act as the user as well, so that what they make is the user's.
func (g ground) mine(t testing.TB, user string) {
	g.must(t, "ALTER ROLE CURRENT_USER IN DATABASE "+g.target.Settings["database"].(string)+" SET ROLE "+user)
	g.db.SetMaxIdleConns(0)
	g.db.SetMaxIdleConns(2)
}

// postgresUserGround acts as a user of the test's own, who has these rights.
func postgresUserGround(t testing.TB, settings engine.Record, rights ...string) (ground, string) {
	g := ground{db: servers.OpenPostgres(t, settings)}
	user := "u_" + strings.ToLower(rand.Text()[:10])
	g.must(t, "CREATE USER "+user+" PASSWORD '"+password+"'")
	admin := servers.OpenPostgres(t, engine.Record{"address": settings["address"], "user": settings["user"], "password": settings["password"]})
	name := settings["database"].(string)
	t.Cleanup(func() {
		for _, s := range []string{"DROP DATABASE IF EXISTS " + name + " WITH (FORCE)", "DROP USER " + user} {
			if _, err := admin.Exec(s); err != nil {
				t.Errorf("%s: %v", s, err)
			}
		}
	})
	for _, r := range rights {
		g.must(t, "GRANT "+r+" TO "+user)
	}
	g.target = steps.Target{Name: "db", Type: "postgres", Settings: engine.Record{
		"address": settings["address"], "database": name, "user": user, "password": engine.NewSecret("DB_PASSWORD", password)}}
	return g, user
}

// password must not be seen anywhere.
const password = "quite-secret-9"

func sqliteGround(t testing.TB) ground {
	file := filepath.Join(t.TempDir(), "my data.db")
	made, err := sqlite.NewConnector("file:" + strings.ReplaceAll(file, " ", "%20") + "?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	db := stdsql.OpenDB(made)
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.Exec("CREATE TABLE first (a INT)"); err != nil {
		t.Fatal(err)
	}
	return ground{steps.Target{Name: "local", Type: "sqlite", Settings: engine.Record{"file": file}}, db}
}

// must carries out statements of the test itself.
func (g ground) must(t testing.TB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := g.db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// one reads a single value.
func (g ground) one(t testing.TB, query string, args ...any) string {
	t.Helper()
	var v stdsql.NullString
	if err := g.db.QueryRow(query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v.String
}

// tables are the names of the tables, the markers left out.
func (g ground) tables(t testing.TB) []string {
	return slices.DeleteFunc(g.everyTable(t), func(n string) bool { return n == "handrail_markers" })
}

func (g ground) everyTable(t testing.TB) []string {
	query := "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1"
	switch {
	case g.mysql():
		query = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1"
	case g.postgres():
		query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
	}
	rows, err := g.db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var n string
		if err := rows.Scan(&n); err != nil {
			t.Fatal(err)
		}
		out = append(out, n)
	}
	return out
}

// contents is everything in the database, the markers left out.
func (g ground) contents(t testing.TB) string {
	var b strings.Builder
	for _, table := range g.tables(t) {
		fmt.Fprintf(&b, "%s:\n", table)
		rows, err := g.db.Query("SELECT * FROM " + table + " ORDER BY 1")
		if err != nil {
			t.Fatal(err)
		}
		columns, _ := rows.Columns()
		for rows.Next() {
			row, to := make([]stdsql.NullString, len(columns)), make([]any, len(columns))
			for i := range row {
				to[i] = &row[i]
			}
			if err := rows.Scan(to...); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(&b, row)
		}
		_ = rows.Close()
	}
	return b.String()
}

func grounds(t *testing.T, f func(t *testing.T, g ground)) {
	t.Run("mysql", func(t *testing.T) { f(t, mysqlGround(t)) })
	t.Run("postgres", func(t *testing.T) { f(t, postgresGround(t)) })
	t.Run("sqlite", func(t *testing.T) { f(t, sqliteGround(t)) })
	t.Run("sqlite in WAL mode", func(t *testing.T) {
		g := sqliteGround(t)
		g.must(t, "PRAGMA journal_mode = WAL")
		f(t, g)
	})
}

// moving is a move with one parameter that is another.
func moving(key string, v engine.Value) engine.Record {
	r := engine.Record{"move": "stock", "to": "sold", "where": "n <= 10"}
	r[key] = v
	return r
}

func TestContract(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		setup := func(t testing.TB) {
			for _, name := range g.tables(t) {
				g.must(t, "DROP TABLE "+name)
			}
			g.must(t, "CREATE TABLE stock (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, note VARCHAR(100))",
				"INSERT INTO stock VALUES (1, 10, 'a'), (2, 20, NULL)")
		}
		look := func() string { return g.contents(t) }
		added := func() int {
			n, err := strconv.Atoi(g.one(t, "SELECT COALESCE(SUM(n), 0) - 30 FROM stock"))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		begins, alone := "SET autocommit = 0", "TRUNCATE TABLE stock" // what begins a transaction, and what ends one
		switch {
		case g.postgres():
			begins, alone = "SET TRANSACTION READ ONLY", "VACUUM stock"
		case !g.mysql():
			begins, alone = "SAVEPOINT a", "VACUUM"
		}
		secret := engine.NewSecret("token", "very-secret-value")
		set := func(key, text string, args engine.Record) engine.Record {
			r := engine.Record{key: text}
			if args != nil {
				r["args"] = args
			}
			return r
		}
		update := "UPDATE stock SET n = n + :by, note = :note WHERE id = :id"
		args := func() engine.Record { return engine.Record{"by": int64(1), "id": int64(1), "note": secret} }
		dir := t.TempDir()
		var dumps []steptest.Case
		if g.postgres() {
			dumps = dumpCases(t, postgresGround(t), "--no-comments")
		} else { // SQLite has no dumps of its own
			dumps = dumpCases(t, dumpGround(t), "--hex-blob")
		}
		file := func() string {
			b, _ := os.ReadFile(filepath.Join(dir, "out.csv"))
			return string(b)
		}
		steptest.Run(t, steptest.Suite{Kind: newKind(), Target: g.target, Cases: append(dumps, []steptest.Case{
			{Operation: "query", Params: set("query", "SELECT id, n FROM stock WHERE id IN (:ids)", engine.Record{"ids": engine.List{int64(1), int64(2)}}),
				Setup: setup, Fingerprint: look, Bad: []steptest.Bad{
					{Params: set("query", "UPDATE stock SET n = 1", nil), Path: "query"},
					{Params: set("query", "DROP TABLE stock", nil), Path: "query"},
					{Params: set("query", "COMMIT", nil), Path: "query"},
					{Params: set("query", "SELECT 1; SELECT 2", nil), Path: "query"},
					{Params: set("query", "SELECT 'a", nil), Path: "query"},
					{Params: set("query", "SELECT ?", nil), Path: "query"},
					{Params: set("query", "", nil), Path: "query"},
					{Params: set("query", "SELECT n FROM stock FOR UPDATE", nil), Path: "query"},
					{Params: set("query", "SELECT :a", nil), Path: "query"},
					{Params: set("query", "SELECT 1", engine.Record{"a": int64(1)}), Path: "args.a"},
					{Params: set("query", "SELECT 1 WHERE 1 IN (:a)", engine.Record{"a": engine.List{}}), Path: "args.a"},
				}},
			{Operation: "exec", Params: set("exec", update, args()), Setup: setup, Fingerprint: look, Effect: added, Bad: []steptest.Bad{
				{Params: set("exec", "SELECT 1", nil), Path: "exec"},
				{Params: set("exec", "BEGIN", nil), Path: "exec"},
				{Params: set("exec", begins, nil), Path: "exec"},
			}},
			{Operation: "exec", Name: "exec of DDL", Params: set("exec", "CREATE TABLE other (a INT)", nil), Setup: setup, Fingerprint: look,
				Effect: func() int { return len(g.tables(t)) - 1 }},
			{Operation: "transaction", Setup: setup, Fingerprint: look, Effect: added,
				Params: engine.Record{"args": engine.Record{"by": int64(1)}, "transaction": engine.List{
					engine.Record{"query": "SELECT n FROM stock WHERE id = 1", "as": "old"},
					engine.Record{"exec": "UPDATE stock SET n = n + :by, note = :old WHERE id = 1", "args": engine.Record{"old": steptest.Late("10")}},
				}},
				Bad: []steptest.Bad{
					{Params: engine.Record{"transaction": engine.List{}}, Path: "transaction"},
					{Params: engine.Record{"transaction": engine.List{engine.Record{"exec": alone}}}, Path: "transaction[0].exec"},
					{Params: engine.Record{"transaction": engine.List{engine.Record{"exec": "COMMIT"}}}, Path: "transaction[0].exec"},
					{Params: engine.Record{"transaction": engine.List{engine.Record{"exec": "KILL 5"}}}, Path: "transaction[0].exec"},
					{Params: engine.Record{"transaction": engine.List{engine.Record{"exec": "SELECT 1"}}}, Path: "transaction[0].exec"},
					{Params: engine.Record{"transaction": engine.List{engine.Record{"query": "DELETE FROM stock"}}}, Path: "transaction[0].query"},
					{Params: engine.Record{"transaction": engine.List{engine.Record{"as": "a"}}}, Path: "transaction[0]"},
					{Params: engine.Record{"transaction": engine.List{engine.Record{"query": "SELECT 1", "as": "affected"}}}, Path: "transaction[0].as"},
					{Params: engine.Record{"transaction": engine.List{engine.Record{"query": "SELECT 1", "args": int64(1)}}}, Path: "transaction[0].args"},
				}},
			{Operation: "script", Params: set("script", "UPDATE stock SET n = n + 1 WHERE id = 1; -- done\n SELECT 1;", nil), Setup: setup, Fingerprint: look, Effect: added,
				Bad: []steptest.Bad{
					{Params: set("script", " ; ", nil), Path: "script"},
					{Params: set("script", "UPDATE stock SET n = 1; COMMIT", nil), Path: "script"},
					{Params: set("script", "DELIMITER\n", nil), Path: "script"},
				}},
			{Operation: "script", Name: "script of DDL", Params: set("script", "CREATE TABLE other (a INT); INSERT INTO other VALUES (1)", nil), Setup: setup, Fingerprint: look,
				Effect: func() int { return len(g.tables(t)) - 1 }},
			{Operation: "move", Params: engine.Record{"move": "stock", "to": "sold", "where": "n <= :most AND (note IS NULL OR note <> :token)", "args": engine.Record{"most": int64(10), "token": secret}},
				Setup: func(t testing.TB) {
					setup(t)
					g.must(t, "CREATE TABLE sold (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, note VARCHAR(100))")
				},
				Fingerprint: look, Effect: func() int { return len(strings.Split(look(), "sold:\n[{1 true} {10 true} {a true}]")) - 1 },
				Bad: []steptest.Bad{
					{Params: moving("where", ""), Path: "where"},
					{Params: moving("where", "n < 10) OR (1 = 1"), Path: "where"},
					{Params: moving("where", "n < 10; DELETE FROM stock"), Path: "where"},
					{Params: moving("where", "n < :x"), Path: "where"},
					{Params: moving("where", "note < NOW()"), Path: "where"},
					{Params: moving("where", "note < current_date"), Path: "where"},
					{Params: moving("where", "SLEEP(1) = 0"), Path: "where"},
					{Params: moving("args", engine.Record{"x": int64(1)}), Path: "args.x"},
					{Params: moving("move", "stock; DROP TABLE stock"), Path: "move"},
					{Params: moving("to", "a.b.c"), Path: "to"},
					{Params: moving("batch", int64(0)), Path: "batch"},
					{Params: moving("batch", int64(10_001)), Path: "batch"},
					{Params: moving("limit", int64(-1)), Path: "limit"},
					{Params: moving("max_threads_running", int64(-1)), Path: "max_threads_running"},
					{Params: moving("pause", -time.Second), Path: "pause"},
					{Params: moving("nice", -0.5), Path: "nice"},
					{Params: moving("columns", engine.List{}), Path: "columns"},
				}},
			{Operation: "export", Params: engine.Record{"export": "SELECT * FROM stock ORDER BY id", "to": "out.csv"}, Dir: dir,
				Setup:       func(t testing.TB) { setup(t); _ = os.Remove(filepath.Join(dir, "out.csv")) },
				Fingerprint: func() string { return look() + file() }, Effect: func() int { return strings.Count(file(), "id,n,note") },
				Bad: []steptest.Bad{
					{Params: engine.Record{"export": "DELETE FROM stock", "to": "x"}, Path: "export"},
					{Params: engine.Record{"export": "SELECT 1", "to": "x", "comma": ";;"}, Path: "comma"},
				}},
		}...)})
	})
}

// dumpCases are those of a server that can be dumped.
func dumpCases(t *testing.T, g ground, option string) []steptest.Case {
	dir := t.TempDir()
	state := func(n string) func(t testing.TB) {
		return func(t testing.TB) {
			g.must(t, "DROP TABLE IF EXISTS stock", "CREATE TABLE stock (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)", "INSERT INTO stock VALUES (1, 10), (2, "+n+")")
			for _, name := range folder(t, dir) {
				if !strings.HasPrefix(name, "kept.") {
					_ = os.Remove(filepath.Join(dir, name))
				}
			}
		}
	}
	state("20")(t)
	ok(t, g.dumping(t, dir, dumpTo("kept.sql.zst", "tables", texts("stock"))).do())
	look := func() string {
		text := g.contents(t)
		for _, name := range folder(t, dir) {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			text += name + string(b)
		}
		return text
	}
	there := func() int {
		if _, err := os.Stat(filepath.Join(dir, "out.sql.zst")); err != nil {
			return 0
		}
		return 1
	}
	restored := func() int {
		if g.one(t, "SELECT SUM(n) FROM stock") == "30" {
			return 1
		}
		return 0
	}
	secret := engine.NewSecret("token", "very-secret-value")
	return []steptest.Case{
		{Operation: "dump", Params: dumpTo("out.sql.zst", "tables", texts("stock"), "extra", texts(option)), Target: &g.target, Dir: dir,
			Setup: state("20"), Fingerprint: look, Effect: there, Bad: []steptest.Bad{
				{Params: dumpTo(""), Path: "dump"},
				{Params: dumpTo("x", "tables", texts("a"), "databases", texts("b")), Path: "databases"},
				{Params: dumpTo("x", "tables", engine.List{}), Path: "tables"},
				{Params: dumpTo("x", "tables", texts("a", "")), Path: "tables[1]"},
				{Params: dumpTo("x", "extra", texts("--no-data")), Path: "extra[0]"},
				{Params: dumpTo("x", "extra", texts(option, "--password=x")), Path: "extra[1]"},
				{Params: dumpTo("x", "extra", engine.List{secret}), Path: "extra[0]"},
			}},
		{Operation: "restore", Params: restoreFrom("kept.sql.zst", "safety", "before.sql.zst"), Wipes: true, Target: &g.target, Dir: dir,
			Setup: state("7"), Fingerprint: look, Effect: restored, Bad: []steptest.Bad{
				{Params: restoreFrom(""), Path: "restore"},
				{Params: restoreFrom("a", "safety", ""), Path: "safety"},
				{Params: restoreFrom("a", "safety", "a"), Path: "safety"},
			}},
	}
}

// TestARestoreMustSayThatItWipes: it may take the markers of finished steps along.
func TestARestoreMustSayThatItWipes(t *testing.T) {
	op, _ := newKind().Define().Operation("restore")
	j := op.Judge(engine.Proposal{Params: restoreFrom("a.sql"), Target: "mysql"})
	if len(j.Problems) != 1 || !strings.Contains(j.Problems[0].Message, "wipes: true") || j.Class != engine.ClassUnrepeatable || j.Risk != engine.RiskIrreversible {
		t.Errorf("%+v", j)
	}
	if j = op.Judge(engine.Proposal{Params: restoreFrom("a.sql", "safety", "b.sql"), Target: "mysql", Wipes: true}); len(j.Problems) > 0 || j.Risk != engine.RiskDestroys {
		t.Errorf("%+v", j)
	}
	for _, name := range []string{"dump", "restore"} {
		op, _ := newKind().Define().Operation(name)
		j := op.Judge(engine.Proposal{Params: engine.Record{name: "a"}, Target: "sqlite", Wipes: true})
		if len(j.Problems) != 1 || !strings.Contains(j.Problems[0].Message, "SQLite has no program") {
			t.Errorf("%s of sqlite: %+v", name, j)
		}
		if j := op.Judge(engine.Proposal{Params: engine.Record{name: "a"}, Target: "postgres", Wipes: true}); len(j.Problems) > 0 {
			t.Errorf("%s of postgres: %+v", name, j)
		}
	}
}
