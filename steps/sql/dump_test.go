package sql_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/proof"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// dumpGround acts as a user who may dump everything, and restore it with whoever has defined it.
func dumpGround(t testing.TB) ground {
	return userGround(t, servers.MySQL(t), "ALL PRIVILEGES ON %s.*", "SELECT ON mysql.proc", "RELOAD, SET USER ON *.*")
}

// library is a database with what a dump can hold: types of every sort, text that looks like SQL, a view, a
// trigger, a procedure, an empty table, names that need quotes.
func library(t testing.TB, g ground) {
	t.Helper()
	g.must(t, "CREATE TABLE shelf (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(200), raw BLOB, bits BIT(7), price DECIMAL(30,10), at DATETIME(6), stamp TIMESTAMP NULL, doc LONGTEXT)",
		"CREATE TABLE `odd ``(name);` (`a,b` INT, `VALUES` TEXT, twice INT AS (`a,b` * 2) STORED)",
		"CREATE TABLE nothing (id INT)",
		"CREATE TABLE book (id INT PRIMARY KEY, shelf INT, CONSTRAINT stands FOREIGN KEY (shelf) REFERENCES shelf (id))",
		"CREATE VIEW names AS SELECT name FROM shelf",
		"CREATE TRIGGER upper_name BEFORE INSERT ON book FOR EACH ROW BEGIN SET new.shelf = COALESCE(new.shelf, 1); END",
		"CREATE PROCEDURE fill() BEGIN INSERT INTO nothing VALUES (1); INSERT INTO nothing VALUES (2); END",
		"INSERT INTO `odd ``(name);` (`a,b`, `VALUES`) VALUES (1, 'it''s\\n-- Dump completed'), (-2, NULL), (3, '),(')")
	raw := make([]byte, 256)
	for i := range raw {
		raw[i] = byte(i)
	}
	for i, name := range []string{"plain", "it's \"quoted\"", `back\slash\`, "line\nend\r\n-- Dump completed on x\n", "INSERT INTO nothing VALUES (1);", "ümläut 漢字 😀", "", "),(1,'"} {
		g.exec(t, "INSERT INTO shelf (name, raw, bits, price, at, stamp, doc) VALUES (?, ?, ?, ?, '2026-02-28 23:59:59.123456', '2026-03-29 00:30:00', ?)",
			name, raw, i, fmt.Sprintf("-%d.0000000001", i), strings.Repeat(name+"'", 50))
	}
	g.must(t, "INSERT INTO book VALUES (1, 1), (2, 2)")
}

func (g ground) exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	if _, err := g.db.Exec(statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// dumping is a step that dumps into a folder.
func (g ground) dumping(t testing.TB, dir string, params engine.Record) *step {
	t.Helper()
	s := g.step(t, "dump", params)
	s.env.Dir = dir
	return s
}

func dumpTo(file string, more ...any) engine.Record {
	r := engine.Record{"dump": file}
	for i := 0; i < len(more); i += 2 {
		r[more[i].(string)] = more[i+1]
	}
	return r
}

func texts(names ...string) engine.List {
	l := make(engine.List, len(names))
	for i, n := range names {
		l[i] = n
	}
	return l
}

func counts(r engine.Record) string {
	var parts []string
	for _, e := range r["tables"].(engine.List) {
		t := e.(engine.Record)
		parts = append(parts, fmt.Sprintf("%v %v", t["name"], t["rows"]))
	}
	return strings.Join(parts, ", ")
}

// folder names what is in a folder, hidden files too.
func folder(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestADumpIsCountedAndProven(t *testing.T) {
	g := dumpGround(t)
	library(t, g)
	for _, name := range []string{"all.sql.zst", "all.sql.gz", "all.sql"} {
		dir := t.TempDir()
		s := g.dumping(t, dir, dumpTo(name))
		r := ok(t, s.do())
		if want := "book 2, nothing 0, odd `(name); 3, shelf 8"; counts(r) != want || r["rows"] != int64(13) {
			t.Errorf("%s: counted %s, rows %v", name, counts(r), r["rows"])
		}
		if got := folder(t, dir); len(got) != 2 || got[0] != name || got[1] != name+".manifest.json" {
			t.Errorf("in the folder is %q", got)
		}
		var m proof.Manifest
		b, err := os.ReadFile(filepath.Join(dir, name+".manifest.json"))
		if err != nil || json.Unmarshal(b, &m) != nil {
			t.Fatalf("the manifest: %v\n%s", err, b)
		}
		out, err := osexec.Command("sha256sum", filepath.Join(dir, name)).Output()
		if err != nil || !strings.HasPrefix(string(out), m.SHA256+" ") || m.SHA256 != r["sha256"] {
			t.Errorf("the sum is %s, sha256sum says %s, %v", m.SHA256, out, err)
		}
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Size() != m.Size || info.Mode() != 0o600 {
			t.Errorf("the file: %v, %v", info, err)
		}
		if m.Dump.System != "mysql" || m.Dump.Rows != 13 || m.Dump.Database != g.target.Settings["database"] || !strings.HasPrefix(m.Dump.Server, "MariaDB 1") {
			t.Errorf("the manifest says %s", b)
		}
		if strings.Contains(s.rec.Output(), password) || strings.Contains(string(b), password) {
			t.Error("the password is told")
		}
		// The same step again knows its own work; another one is refused.
		again := s.again(g, true)
		again.env.Dir = dir
		if r2 := ok(t, again.do()); r2["sha256"] != r["sha256"] {
			t.Errorf("done again it is another file: %v", r2)
		}
		failed(t, g.dumping(t, dir, dumpTo(name)).do(), engine.EffectNone, "is there already", "another name")
	}
}

func TestTablesAndDatabasesThatAreDumped(t *testing.T) {
	g := dumpGround(t)
	library(t, g)
	other := userlessDatabase(t, g)
	dir := t.TempDir()
	if r := ok(t, g.dumping(t, dir, dumpTo("two.sql.zst", "tables", texts("shelf", "nothing"))).do()); counts(r) != "shelf 8, nothing 0" {
		t.Errorf("two tables: %s", counts(r))
	}
	db := g.target.Settings["database"].(string)
	r := ok(t, g.dumping(t, dir, dumpTo("dbs.sql.gz", "databases", texts(db, other), "snapshot", "lock", "extra", texts("--hex-blob", "--skip-extended-insert"))).do())
	if want := fmt.Sprintf("%s.book 2, %s.nothing 0, %s.odd `(name); 3, %s.shelf 8, %s.a 1", db, db, db, db, other); counts(r) != want {
		t.Errorf("two databases: %s", counts(r))
	}
	failed(t, g.dumping(t, dir, dumpTo("x.sql", "tables", texts("shelf", "nix"))).do(), engine.EffectNone, "there is no table nix")
	failed(t, g.dumping(t, dir, dumpTo("x.sql", "databases", texts("nix_nowhere"))).do(), engine.EffectNone, "there is no table in nix_nowhere")
	failed(t, g.dumping(t, dir, dumpTo("sub/x.sql")).do(), engine.EffectNone, "sub is not there; is its disk mounted")
	g.must(t, "CREATE TABLE old (a INT) ENGINE=MyISAM")
	failed(t, g.dumping(t, dir, dumpTo("x.sql")).do(), engine.EffectNone, "old is of engine MyISAM", "snapshot: lock")
	ok(t, g.dumping(t, dir, dumpTo("locked.sql", "snapshot", "lock")).do())
	ok(t, g.dumping(t, dir, dumpTo("loose.sql", "snapshot", "none")).do())
	if got := folder(t, dir); len(got) != 8 {
		t.Errorf("in the folder is %q", got)
	}
}

// userlessDatabase is a second database that the ground's user may read.
func userlessDatabase(t testing.TB, g ground) string {
	t.Helper()
	name := g.target.Settings["database"].(string) + "_b"
	g.must(t, "CREATE DATABASE "+name, "CREATE TABLE "+name+".a (x INT)", "INSERT INTO "+name+".a VALUES (1)",
		"GRANT ALL ON "+name+".* TO "+g.target.Settings["user"].(string)+"@'%'")
	t.Cleanup(func() { g.must(t, "DROP DATABASE "+name) })
	return name
}

// program is a stand-in that does something else than dump well.
func program(t testing.TB, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mariadb-dump")
	text := "#!/bin/sh\nif [ \"$1\" = --version ]; then exec mariadb-dump --version; fi\n" + script + "\n"
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestADumpThatFailsLeavesNothingThatLooksLikeABackup: whatever goes wrong on the way.
// TestLocksAreNoPartOfADump: a restore leaves those that are held then as they are.
func TestLocksAreNoPartOfADump(t *testing.T) {
	for name, open := range map[string]func(testing.TB) ground{"mysql": dumpGround, "postgres": postgresGround} {
		t.Run(name, func(t *testing.T) {
			g := open(t)
			g.must(t, "CREATE TABLE kept (id INT)", "INSERT INTO kept VALUES (1)",
				"CREATE TABLE handrail_locks (name VARCHAR(64))", "INSERT INTO handrail_locks VALUES ('then')")
			dir := t.TempDir()
			r := ok(t, g.dumping(t, dir, dumpTo("a.sql")).do())
			if got := counts(r); strings.Contains(got, "handrail_locks") || !strings.Contains(got, "kept 1") {
				t.Errorf("dumped: %s", got)
			}
			g.must(t, "UPDATE handrail_locks SET name = 'now'", "DELETE FROM kept")
			ok(t, g.restoring(t, dir, restoreFrom("a.sql", "safety", "before.sql")).do())
			if lock, kept := g.one(t, "SELECT name FROM handrail_locks"), g.one(t, "SELECT COUNT(*) FROM kept"); lock != "now" || kept != "1" {
				t.Errorf("AFTER the restore the lock is of %s, and %s rows are kept", lock, kept)
			}
		})
	}
}

func TestADumpThatFailsLeavesNothingThatLooksLikeABackup(t *testing.T) {
	g := dumpGround(t)
	library(t, g)
	for name, c := range map[string]struct {
		script string
		says   []string
	}{
		"cut in the middle, and calls it a success": {`mariadb-dump "$@" | head -c 3000`, []string{"has not the mark that it writes at its end", "cut short"}},
		"nothing at all, and calls it a success":    {`cat >/dev/null`, []string{"has not the mark"}},
		"dies in the middle":                        {`mariadb-dump "$@" | head -c 3000; echo "Got error: 2013: Lost connection to server during query" >&2; exit 3`, []string{"ended with code 3", "2013"}},
		"is killed":                                 {`kill -9 $$`, []string{"signal 9"}},
		"whole, and says that it failed":            {`mariadb-dump "$@"; exit 2`, []string{"ended with code 2"}},
		"something behind the end":                  {`mariadb-dump "$@"; echo "INSERT INTO x VALUES (1);"`, []string{"has not the mark"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			o := g.dumping(t, dir, dumpTo("x.sql.zst", "program", program(t, c.script))).do()
			failed(t, o, engine.EffectNone, append(c.says, "nothing of")...)
			if got := folder(t, dir); len(got) != 0 {
				t.Errorf("left behind: %q", got)
			}
		})
	}
	dir := t.TempDir()
	failed(t, g.dumping(t, dir, dumpTo("x.sql", "program", "no-such-dump")).do(), engine.EffectNone, "no command no-such-dump", "install it")
	missing := program(t, `sed 's/shelf/other/g' | mariadb-dump "$@"`)
	if err := os.WriteFile(missing, []byte(`#!/bin/sh
if [ "$1" = --version ]; then exec mariadb-dump --version; fi
mariadb-dump "$@" | sed 's/`+"`shelf`"+`/`+"`other`"+`/g'
`), 0o755); err != nil {
		t.Fatal(err)
	}
	failed(t, g.dumping(t, dir, dumpTo("x.sql", "program", missing, "tables", texts("shelf"))).do(), engine.EffectNone, "table shelf is not in its output")
	if got := folder(t, dir); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}

// TestThePasswordIsInNoArgumentAndNoVariable: the program itself looks.
func TestThePasswordIsInNoArgumentAndNoVariable(t *testing.T) {
	g := mysqlGround(t)
	awkward := `p#a"s's\w=; d` + password
	g.must(t, "ALTER USER "+g.target.Settings["user"].(string)+"@'%' IDENTIFIED BY '"+strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(awkward)+"'")
	g.target.Settings["password"] = engine.NewSecret("DB_PASSWORD", awkward)
	g.must(t, "CREATE TABLE a (x INT)", "INSERT INTO a VALUES (1)")
	dir := t.TempDir()
	spy := program(t, `tr '\0' '\n' < /proc/$$/cmdline > `+dir+`/argv; tr '\0' '\n' < /proc/$$/environ > `+dir+`/environ; ls -l /proc/$$/fd > `+dir+`/fds; exec mariadb-dump "$@"`)
	ok(t, g.dumping(t, dir, dumpTo("x.sql", "program", spy)).do())
	for _, name := range []string{"argv", "environ", "fds", "x.sql", "x.sql.manifest.json"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), password) || len(b) == 0 {
			t.Errorf("%s: %s", name, b)
		}
	}
}

// TestSomebodyElsesOptionsDoNotReachTheProgram: no-data in a file of the user's would make an empty backup.
func TestSomebodyElsesOptionsDoNotReachTheProgram(t *testing.T) {
	g := mysqlGround(t)
	g.must(t, "CREATE TABLE a (x INT)", "INSERT INTO a VALUES (1)")
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".my.cnf"), []byte("[mysqldump]\nno-data\nskip-comments\n[client]\nhost=nowhere.invalid\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	if r := ok(t, g.dumping(t, t.TempDir(), dumpTo("x.sql")).do()); counts(r) != "a 1" {
		t.Errorf("dumped %s", counts(r))
	}
}

func TestADumpWithoutTheRight(t *testing.T) {
	weak := userGround(t, servers.MySQL(t), "SELECT ON %s.*")
	weak.must(t, "CREATE TABLE a (x INT)", "CREATE VIEW v AS SELECT x FROM a")
	dir := t.TempDir()
	failed(t, weak.dumping(t, dir, dumpTo("x.sql.zst")).do(), engine.EffectNone, "denied", "give the user SELECT, SHOW VIEW")
	if got := folder(t, dir); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}

// TestATableThatChangesWhileItIsDumped: what is counted is what is in the dump, of one moment.
func TestATableThatChangesWhileItIsDumped(t *testing.T) {
	g := mysqlGround(t)
	g.must(t, "CREATE TABLE a (x INT PRIMARY KEY)", "CREATE TABLE z (x INT PRIMARY KEY)", "INSERT INTO a SELECT seq FROM seq_1_to_5000")
	dir := t.TempDir()
	// The program stops in the middle of its output; meanwhile rows come and go.
	paused := program(t, `mariadb-dump "$@" | { head -c 20000; touch `+dir+`/half; while [ ! -e `+dir+`/go ]; do sleep 0.05; done; cat; }`)
	s := g.dumping(t, dir, dumpTo("x.sql", "program", paused)).prepare()
	done := make(chan engine.Outcome, 1)
	go func() { done <- s.execute(t.Context()) }()
	eventually(t, func() bool { _, err := os.Stat(filepath.Join(dir, "half")); return err == nil })
	g.must(t, "DELETE FROM a WHERE x > 100", "INSERT INTO z SELECT seq FROM seq_1_to_50")
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := ok(t, <-done)
	if counts(r) != "a 5000, z 0" {
		t.Errorf("dumped %s, which was never so", counts(r))
	}
	b, err := os.ReadFile(filepath.Join(dir, "x.sql"))
	if err != nil || strings.Count(string(b), "\n(") != 5000 {
		t.Errorf("%d rows are in the dump, %v", strings.Count(string(b), "\n("), err)
	}
}

func TestADumpIsCancelled(t *testing.T) {
	g := mysqlGround(t)
	g.must(t, "CREATE TABLE a (x INT)")
	dir := t.TempDir()
	slow := program(t, `touch `+dir+`/begun; exec sleep 1000`)
	s := g.dumping(t, dir, dumpTo("x.sql", "program", slow)).prepare()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan engine.Outcome, 1)
	go func() { done <- s.execute(ctx) }()
	eventually(t, func() bool { _, err := os.Stat(filepath.Join(dir, "begun")); return err == nil })
	cancel()
	failed(t, <-done, engine.EffectNone, "was cancelled", "nothing of the dump is kept")
	if got := folder(t, dir); len(got) != 1 {
		t.Errorf("left behind: %q", got)
	}
}

func TestAPlanOfADump(t *testing.T) {
	g := dumpGround(t)
	library(t, g)
	dir := t.TempDir()
	preview := func(params engine.Record) engine.Impact {
		t.Helper()
		s := g.stepUnder(t, steps.ReadOnly, "dump", params)
		s.env.Dir = dir
		i, err := s.op.Preview(t.Context(), s.env)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	i := preview(dumpTo("a.sql.zst"))
	facts := fmt.Sprintf("%+v", i)
	if i.Standing != engine.StandingWould || i.Figures[0].Value != 4 || i.Figures[0].Certainty != engine.FigureExact {
		t.Errorf("the plan says %s", facts)
	}
	contains(t, facts, "mariadb-dump", "Distrib", "server Value:MariaDB", "free in "+dir, "by the server's statistics")
	if got := folder(t, dir); len(got) != 0 {
		t.Errorf("a plan left %q", got)
	}
	ok(t, g.dumping(t, dir, dumpTo("a.sql.zst")).do())
	contains(t, fmt.Sprintf("%+v", preview(dumpTo("b.sql.zst"))), "last dump Value:a.sql.zst", "13 rows")
	for want, params := range map[string]engine.Record{
		"is there already":          dumpTo("a.sql.zst"),
		"there is no table nix":     dumpTo("b.sql.zst", "tables", texts("nix")),
		"no command no-such-dump":   dumpTo("b.sql.zst", "program", "no-such-dump"),
		"is its disk mounted":       dumpTo("mnt/b.sql.zst"),
		"older than the server":     dumpTo("b.sql.zst", "program", oldProgram(t)),
		"--version ended with code": dumpTo("b.sql.zst", "program", "/bin/false"),
	} {
		i := preview(params)
		contains(t, strings.Join(i.Warnings, "\n"), want)
		if old := want == "older than the server"; old == (i.Standing == engine.StandingUnknown) {
			t.Errorf("%s: %+v", want, i)
		}
	}
}

func oldProgram(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mysqldump")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho 'mysqldump  Ver 10.16 Distrib 10.1.48-MariaDB, for debian-linux-gnu (i686)'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// eventually waits for something that somebody else brings about.
func eventually(t testing.TB, is func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-tick.C {
		if is() {
			return
		}
	}
	t.Fatal("this did not come about")
}
