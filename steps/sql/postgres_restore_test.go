package sql_test

import (
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// TestKilledInTheMiddleOfARestoreOfPostgreSQL: it was one transaction, so nothing of it stays, and that is proven
// by the marker that is not there; done again it is whole.
func TestKilledInTheMiddleOfARestoreOfPostgreSQL(t *testing.T) {
	g := postgresGround(t)
	archive(t, g)
	g.must(t, "CREATE TABLE zz (x int PRIMARY KEY, filler text)", "INSERT INTO zz SELECT n, repeat('x', 250) FROM generate_series(1, 20000) n")
	dir := t.TempDir()
	whole := g.sketch(t)
	ok(t, g.dumping(t, dir, dumpTo("a.sql.zst")).do())
	spoilPostgres(t, g)
	g.must(t, "DELETE FROM zz")
	spoilt := g.sketch(t)
	r := role{Operation: "restore", Params: map[string]string{"restore": "a.sql.zst", "safety": "before.sql.zst"}, Dir: dir, Token: "run-1/restore", Far: 6000}
	note := g.killed(t, r)
	s := g.restoring(t, dir, restoreFrom("a.sql.zst", "safety", "before.sql.zst"))
	s.env.Call = r.call()
	s.env.Call.Note = note
	settled := s.settle()
	if settled.Verdict != engine.VerdictNotDone || !settled.Dead {
		t.Fatalf("of a restore that was cut off it is said: %+v", settled)
	}
	contains(t, strings.Join(settled.Evidence, "\n"), "was under way on connection", "its session lock is free", "nothing of it was committed")
	if got := g.sketch(t); got != spoilt {
		t.Errorf("something of it was kept:\n%s\nbefore:\n%s", got, spoilt)
	}
	next := s.again(g, false)
	next.env.Dir, next.env.Call.Attempt = dir, 2
	ok(t, next.execute(t.Context()))
	if got := g.sketch(t); got != whole {
		t.Errorf("restored is\n%s\nwas\n%s", got, whole)
	}
	contains(t, next.rec.Output(), "of an earlier attempt is kept")
}

// TestTheLineIsLostInARestoreOfPostgreSQL: in its middle nothing is committed; at COMMIT the marker tells.
func TestTheLineIsLostInARestoreOfPostgreSQL(t *testing.T) {
	for _, c := range []struct {
		word     string
		deliver  bool
		inDoubt  bool
		verdict  engine.Verdict
		restored bool
	}{
		{"CREATE TABLE public.shelf", true, false, engine.VerdictNotDone, false},
		{"COPY public.shelf", true, false, engine.VerdictNotDone, false},
		{"COMMIT", true, true, engine.VerdictDone, true},
		{"COMMIT", false, true, engine.VerdictNotDone, false},
	} {
		t.Run(fmt.Sprint(strings.ToLower(c.word), c.deliver), func(t *testing.T) {
			g := postgresGround(t)
			archive(t, g)
			g.must(t, "SELECT lo_unlink(oid) FROM pg_largeobject_metadata") // they are within BEGIN and COMMIT
			dir := t.TempDir()
			whole := g.sketch(t)
			ok(t, g.dumping(t, dir, dumpTo("a.sql")).do())
			spoilPostgres(t, g)
			spoilt := g.sketch(t)
			far, cut := g.through(t)
			s := far.restoring(t, dir, restoreFrom("a.sql"))
			cut.cutAt(c.word, c.deliver, false)
			o := s.do()
			if o.Err == "" || o.InDoubt != c.inDoubt || (o.Effect == engine.EffectUnknown) != c.inDoubt {
				t.Fatalf("%+v", o)
			}
			if !c.inDoubt {
				contains(t, o.Err, "not committed: what was there before is as it was")
			}
			eventually(t, func() bool {
				return g.one(t, "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'handrail' AND state <> 'idle'") == "0"
			})
			settling := s.again(g, true)
			settling.env.Dir, settling.env.Call.Note = dir, s.rec.Notes()[len(s.rec.Notes())-1]
			if v := settling.settle(); v.Verdict != c.verdict {
				t.Errorf("it is said: %+v", v)
			}
			if got := g.sketch(t); got != map[bool]string{true: whole, false: spoilt}[c.restored] {
				t.Errorf("there is\n%s", got)
			}
		})
	}
}

// TestARestoreOfPostgreSQLIsSettled: what never began is not done, what its marker calls done is done; a marker
// that was taken away since proves nothing.
func TestARestoreOfPostgreSQLIsSettled(t *testing.T) {
	g := postgresGround(t)
	archive(t, g)
	dir := t.TempDir()
	ok(t, g.dumping(t, dir, dumpTo("a.sql")).do())
	s := g.restoring(t, dir, restoreFrom("a.sql", "safety", "before.sql"))
	if v := s.settle(); v.Verdict != engine.VerdictNotDone || !v.Dead {
		t.Errorf("of what never began it is said: %+v", v)
	}
	s.env.Again = false
	r := ok(t, s.do())
	if v := s.settle(); v.Verdict != engine.VerdictDone || v.Result["statements"] != r["statements"] {
		t.Errorf("of what is done it is said: %+v", v)
	}
	g.must(t, "DROP TABLE handrail_markers", "DELETE FROM book", "DROP TABLE nothing CASCADE")
	v := s.settle()
	if v.Verdict != engine.VerdictUnknown || !v.Dead {
		t.Errorf("without the marker it is said: %+v", v)
	}
	contains(t, strings.Join(v.Evidence, "\n"), "its markers were taken away since", "table public.shelf has 8 rows; the dump has 8", "table public.book has 0 rows; the dump has 2",
		"table public.nothing is not there", "what was there before stands in "+filepath.Join(dir, "before.sql"))
}

// TestARestoreOfPostgreSQLThatBreaksOffTouchesNothing: whatever stops it on its way.
func TestARestoreOfPostgreSQLThatBreaksOffTouchesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, g ground)
		edit  [2]string
		says  []string
	}{
		"somebody's view stands on a table": {func(t *testing.T, g ground) { g.must(t, "CREATE VIEW mine AS SELECT id FROM shelf") }, [2]string{}, []string{"cannot drop table", "mine"}},
		"a row that the table does not take": {func(*testing.T, ground) {}, [2]string{"\n1\t1\n2\t2\n\\.", "\n1\t1\n1\t2\n\\."},
			[]string{"book_pkey", "broke off at table"}},
		"a row that cannot be read": {func(*testing.T, ground) {}, [2]string{"\n1\t1\n2\t2\n\\.", "\n1\t1\nx\t2\n\\."}, []string{"COPY public.book", "x", "broke off at table public.book"}},
		"somebody writes":           {func(*testing.T, ground) {}, [2]string{"--\n-- PostgreSQL database dump complete", "INSERT INTO public.nothing SELECT 1;\n--\n-- PostgreSQL database dump complete"}, []string{"table public.nothing has 1 rows, and the dump 0"}},
		"it ends the transaction":   {func(*testing.T, ground) {}, [2]string{"--\n-- PostgreSQL database dump complete", "CALL public.twofold();\n--\n-- PostgreSQL database dump complete"}, []string{"table public.nothing has 2 rows, and the dump 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := postgresGround(t)
			archive(t, g)
			dir := t.TempDir()
			ok(t, g.dumping(t, dir, dumpTo("a.sql")).do())
			file := filepath.Join(dir, "a.sql")
			b, err := os.ReadFile(file)
			if err != nil || !strings.Contains(string(b), c.edit[0]) {
				t.Fatalf("%q is not in it, %v", c.edit[0], err)
			}
			if err := os.WriteFile(file, []byte(strings.Replace(string(b), c.edit[0], c.edit[1], 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			spoilPostgres(t, g)
			c.spoil(t, g)
			before := g.sketch(t)
			o := g.restoring(t, dir, restoreFrom("a.sql", "proven", false)).do()
			failed(t, o, engine.EffectNone, append(c.says, "what was there before is as it was")...)
			if got := g.sketch(t); got != before {
				t.Errorf("it was touched:\n%s\nbefore:\n%s", got, before)
			}
			eventually(t, func() bool { // no transaction is left open
				return g.one(t, "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'handrail' AND state LIKE 'idle in%'") == "0"
			})
		})
	}
}

// TestABadDumpOfPostgreSQLIsRefusedBeforeAnythingIsTouched: and what only psql or pg_restore can read.
func TestABadDumpOfPostgreSQLIsRefusedBeforeAnythingIsTouched(t *testing.T) {
	g := postgresGround(t)
	archive(t, g)
	kept := t.TempDir()
	ok(t, g.dumping(t, kept, dumpTo("a.sql")).do())
	ok(t, g.dumping(t, kept, dumpTo("a.sql.zst")).do())
	host, port, _ := strings.Cut(g.target.Settings["address"].(string), ":")
	byHand := func(file string, args ...string) {
		t.Helper()
		cmd := osexec.Command("pg_dump", append(args, "-f", filepath.Join(kept, file))...)
		cmd.Env = append(os.Environ(), "PGHOST="+host, "PGPORT="+port, "PGUSER="+g.target.Settings["user"].(string), "PGPASSWORD="+password, "PGDATABASE="+g.target.Settings["database"].(string))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
	}
	byHand("custom", "-Fc")
	byHand("create.sql", "--create", "--clean")
	byHand("hand.sql", "--clean", "--if-exists")
	byHand("bare.sql")
	whole := g.sketch(t)
	for name, c := range map[string]struct {
		file   string
		do     func(f string) error
		proven bool
		says   string
	}{
		"cut short":                    {"a.sql.zst", func(f string) error { return os.Truncate(f, 900) }, true, "it was cut short, or is another file"},
		"one byte changed":             {"a.sql.zst", func(f string) error { flip(t, f, 500); return nil }, true, "changed or damaged since it was made"},
		"text cut short":               {"hand.sql", func(f string) error { return os.Truncate(f, 3000) }, false, "the dump is cut short"},
		"in the custom format":         {"custom", func(string) error { return nil }, false, "custom format"},
		"that makes a database":        {"create.sql", func(string) error { return nil }, false, "without --create"},
		"without a manifest":           {"hand.sql", func(string) error { return nil }, true, "there is no manifest beside it"},
		"that holds a command of psql": {"hand.sql", func(f string) error { return prepend(f, "\\! touch /tmp/x\n") }, false, `\! touch /tmp/x`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(kept)); err != nil {
				t.Fatal(err)
			}
			if err := c.do(filepath.Join(dir, c.file)); err != nil {
				t.Fatal(err)
			}
			failed(t, g.restoring(t, dir, restoreFrom(c.file, "safety", "before.sql", "proven", c.proven)).do(), engine.EffectNone, c.says, "nothing was touched")
			if g.sketch(t) != whole {
				t.Error("it was touched")
			}
		})
	}
	// What is there is not taken away by a dump without --clean: then its first statement stops all of it.
	failed(t, g.restoring(t, kept, restoreFrom("bare.sql", "proven", false)).do(), engine.EffectNone, "already exists", "what was there before is as it was")
	spoilPostgres(t, g)
	ok(t, g.restoring(t, kept, restoreFrom("hand.sql", "proven", false)).do())
	if got := g.sketch(t); got != whole {
		t.Errorf("restored is\n%s\nwas\n%s", got, whole)
	}
	// A dump of MySQL is none for PostgreSQL.
	my := mysqlGround(t)
	my.must(t, "CREATE TABLE a (x INT)")
	ok(t, my.dumping(t, kept, dumpTo("mysql.sql")).do())
	failed(t, g.restoring(t, kept, restoreFrom("mysql.sql")).do(), engine.EffectNone, "is a dump of mysql, and this server is another system")
}

func prepend(file, text string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(file, append([]byte(text), b...), 0o600)
}

func TestARestoreOfPostgreSQLWithoutTheRight(t *testing.T) {
	g := postgresGround(t)
	g.must(t, "CREATE TABLE a (x int)", "INSERT INTO a VALUES (1)")
	dir := t.TempDir()
	ok(t, g.dumping(t, dir, dumpTo("a.sql", "extra", texts("--no-owner"))).do())
	weak, user := postgresUserGround(t, servers.Postgres(t))
	failed(t, weak.restoring(t, dir, restoreFrom("a.sql")).do(), engine.EffectNone, "has no right to CREATE in schema public", "nothing was touched")
	weak.must(t, "GRANT CREATE ON SCHEMA public TO "+user, "CREATE TABLE a (x int)")
	failed(t, weak.restoring(t, dir, restoreFrom("a.sql")).do(), engine.EffectNone, user+" is not the owner of public.a", "nothing was touched")
	weak.must(t, "DROP TABLE a")
	ok(t, weak.restoring(t, dir, restoreFrom("a.sql")).do())
}

// TestTheMarkersOutliveARestoreThatTakesTheirSchemaAway: a dump from before there were any.
func TestTheMarkersOutliveARestoreThatTakesTheirSchemaAway(t *testing.T) {
	g := postgresGround(t)
	user := g.target.Settings["user"].(string)
	g.must(t, "CREATE SCHEMA app", "CREATE TABLE app.a (x int)", "INSERT INTO app.a VALUES (1)", "RESET ROLE", "ALTER ROLE "+user+" SET search_path = app")
	dir := t.TempDir()
	ok(t, g.dumping(t, dir, dumpTo("a.sql.zst")).do())
	other := g.step(t, "exec", engine.Record{"exec": "UPDATE a SET x = 2"})
	ok(t, other.do())
	s := g.restoring(t, dir, restoreFrom("a.sql.zst"))
	ok(t, s.do())
	if got := g.one(t, "SELECT x FROM app.a"); got != "1" {
		t.Errorf("restored is %s", got)
	}
	if got := g.one(t, "SELECT COUNT(*) FROM app.handrail_markers WHERE state = 'done'"); got != "2" {
		t.Errorf("%s markers say done", got)
	}
	if v := s.settle(); v.Verdict != engine.VerdictDone {
		t.Errorf("%+v", v)
	}
}

// TestANewerPgDumpSetsWhatTheServerDoesNotKnow: a limit of time that it only switches off.
func TestANewerPgDumpSetsWhatTheServerDoesNotKnow(t *testing.T) {
	g := postgresGround(t)
	g.must(t, "CREATE TABLE a (x int)", "INSERT INTO a VALUES (1)")
	dir := t.TempDir()
	newer := pgProgram(t, "echo 'pg_dump (PostgreSQL) 19.1'", `pg_dump "$@" | sed 's/^SET lock_timeout = 0;/SET nobodys_timeout = 0;\n&/'`)
	ok(t, g.dumping(t, dir, dumpTo("a.sql", "program", newer)).do())
	g.must(t, "DELETE FROM a")
	ok(t, g.restoring(t, dir, restoreFrom("a.sql")).do())
	if got := g.one(t, "SELECT COUNT(*) FROM a"); got != "1" {
		t.Errorf("restored are %s rows", got)
	}
}
