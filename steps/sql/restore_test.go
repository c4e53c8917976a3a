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

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/proof"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// restoring is a step that restores from a folder.
func (g ground) restoring(t testing.TB, dir string, params engine.Record) *step {
	t.Helper()
	s := g.step(t, "restore", params)
	s.env.Dir, s.env.Call.Wipes = dir, true
	return s
}

func restoreFrom(file string, more ...any) engine.Record {
	r := engine.Record{"restore": file}
	for i := 0; i < len(more); i += 2 {
		r[more[i].(string)] = more[i+1]
	}
	return r
}

// picture is everything in the database: rows, definitions, routines.
func (g ground) picture(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	for _, name := range g.tables(t) {
		quoted := "`" + strings.ReplaceAll(name, "`", "``") + "`"
		var what, made string
		row := g.db.QueryRow("SHOW CREATE TABLE " + quoted)
		if err := row.Scan(&what, &made); err != nil && row.Scan(&what, &made, new(string), new(string)) == nil {
			t.Fatal(err)
		}
		var sum string
		if err := g.db.QueryRow("CHECKSUM TABLE "+quoted+" EXTENDED").Scan(&what, &sum); err != nil {
			sum = ""
		}
		fmt.Fprintln(&b, name, made, sum)
	}
	fmt.Fprintln(&b, g.one(t, "SELECT GROUP_CONCAT(TRIGGER_NAME, ACTION_STATEMENT ORDER BY 1) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()"))
	fmt.Fprintln(&b, g.one(t, "SELECT GROUP_CONCAT(ROUTINE_NAME, ROUTINE_DEFINITION ORDER BY 1) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE()"))
	return b.String()
}

// spoil changes what the dump would bring back.
func spoil(t testing.TB, g ground) {
	t.Helper()
	g.must(t, "DELETE FROM book", "DELETE FROM shelf WHERE id > 2", "UPDATE shelf SET name = 'spoilt'", "INSERT INTO nothing VALUES (7)",
		"DROP TABLE `odd ``(name);`", "DROP PROCEDURE fill", "DROP TRIGGER upper_name")
}

// TestWhatIsRestoredIsWhatWasDumped: rows, types, definitions, triggers, routines, and a safety dump that
// brings back what was there before.
func TestWhatIsRestoredIsWhatWasDumped(t *testing.T) {
	for _, name := range []string{"a.sql.zst", "a.sql.gz", "a.sql"} {
		t.Run(name, func(t *testing.T) {
			g := dumpGround(t)
			library(t, g)
			dir := t.TempDir()
			whole := g.picture(t)
			dumped := ok(t, g.dumping(t, dir, dumpTo(name)).do())
			spoil(t, g)
			spoilt := g.contents(t)
			if err := os.Symlink(name, filepath.Join(dir, "latest")); err != nil {
				t.Fatal(err)
			}
			r := ok(t, g.restoring(t, dir, restoreFrom("latest", "safety", "before.sql.zst")).do())
			if got := g.picture(t); got != whole {
				t.Errorf("restored is\n%s\nwas\n%s", got, whole)
			}
			if counts(r) != counts(dumped) || r["file"] != filepath.Join(dir, name) || r["safety"] != filepath.Join(dir, "before.sql.zst") || r["made"] != dumped["made"] {
				t.Errorf("the result says %v", r)
			}
			ok(t, g.restoring(t, dir, restoreFrom("before.sql.zst")).do())
			// The table that was dropped was not there to be saved.
			g.must(t, "DROP TABLE `odd ``(name);`")
			if got := g.contents(t); got != spoilt {
				t.Errorf("the safety dump brings back\n%s\nbefore it was\n%s", got, spoilt)
			}
		})
	}
}

func TestDatabasesAreRestoredUnderTheirNames(t *testing.T) {
	g := dumpGround(t)
	library(t, g)
	db, other := g.target.Settings["database"].(string), userlessDatabase(t, g)
	dir := t.TempDir()
	whole := g.picture(t)
	ok(t, g.dumping(t, dir, dumpTo("a.sql.zst", "databases", texts(db, other))).do())
	spoil(t, g)
	g.must(t, "DROP TABLE "+other+".a")
	g.target.Settings["database"] = other
	r := ok(t, g.restoring(t, dir, restoreFrom("a.sql.zst", "safety", "before.sql")).do())
	if got := g.picture(t); got != whole || g.one(t, "SELECT x FROM "+other+".a") != "1" {
		t.Errorf("restored is\n%s\nwas\n%s", got, whole)
	}
	if r["rows"] != int64(14) {
		t.Errorf("the result says %v", r)
	}
}

// TestABadDumpIsRefusedBeforeAnythingIsTouched: cut short, changed, another's, without its counts.
func TestABadDumpIsRefusedBeforeAnythingIsTouched(t *testing.T) {
	g := dumpGround(t)
	library(t, g)
	kept := t.TempDir()
	ok(t, g.dumping(t, kept, dumpTo("a.sql.zst")).do())
	ok(t, g.dumping(t, kept, dumpTo("a.sql")).do())
	before := g.picture(t)
	manifest := func(t *testing.T, file string, change func(*proof.Manifest)) {
		t.Helper()
		b, err := os.ReadFile(file + ".manifest.json")
		if err != nil {
			t.Fatal(err)
		}
		var m proof.Manifest
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		change(&m)
		if b, err = m.Encode(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file+".manifest.json", b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// proven makes the manifest say what the file is now.
	proven := func(t *testing.T, file string) {
		out, err := osexec.Command("sha256sum", file).Output()
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		manifest(t, file, func(m *proof.Manifest) { m.SHA256, m.Size = string(out[:64]), info.Size() })
	}
	cut := func(t *testing.T, file string, to int64) {
		t.Helper()
		if err := os.Truncate(file, to); err != nil {
			t.Fatal(err)
		}
	}
	edit := func(t *testing.T, file, old, new string) {
		t.Helper()
		b, err := os.ReadFile(file)
		at := strings.LastIndex(string(b), old)
		if err != nil || at < 0 {
			t.Fatalf("%q is not in %s, %v", old, file, err)
		}
		if err := os.WriteFile(file, []byte(string(b[:at])+new+string(b[at+len(old):])), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		file string
		do   func(t *testing.T, file string)
		says string
	}{
		"cut short":                          {"a.sql.zst", func(t *testing.T, f string) { cut(t, f, 900) }, "it was cut short, or is another file"},
		"cut short, and proven so":           {"a.sql.zst", func(t *testing.T, f string) { cut(t, f, 900); proven(t, f) }, "cannot be read to its end"},
		"text cut short, and proven so":      {"a.sql", func(t *testing.T, f string) { cut(t, f, 3000); proven(t, f) }, "the dump is cut short"},
		"without its last line":              {"a.sql", func(t *testing.T, f string) { edit(t, f, "-- Dump completed", "-- Dump"); proven(t, f) }, "the dump is cut short"},
		"one byte changed":                   {"a.sql", func(t *testing.T, f string) { edit(t, f, "ümläut", "ümlüut") }, "changed or damaged since it was made"},
		"one byte of what is packed changed": {"a.sql.zst", func(t *testing.T, f string) { flip(t, f, 700) }, "changed or damaged since it was made"},
		"without a manifest":                 {"a.sql.zst", func(t *testing.T, f string) { _ = os.Remove(f + ".manifest.json") }, "there is no manifest beside it"},
		"a manifest without counts":          {"a.sql", func(t *testing.T, f string) { manifest(t, f, func(m *proof.Manifest) { m.Dump.Tables = nil }) }, "counts no tables"},
		"a manifest of an archive":           {"a.sql", func(t *testing.T, f string) { manifest(t, f, func(m *proof.Manifest) { m.Dump = nil }) }, "is not one of a dump"},
		"a manifest that counts otherwise":   {"a.sql", func(t *testing.T, f string) { manifest(t, f, func(m *proof.Manifest) { m.Dump.Tables[0].Rows++ }) }, "table book has 2 rows in it"},
		"a manifest that counts less": {"a.sql", func(t *testing.T, f string) {
			manifest(t, f, func(m *proof.Manifest) { m.Dump.Tables = m.Dump.Tables[1:] })
		}, "4 tables are in it"},
		"of another system": {"a.sql", func(t *testing.T, f string) { manifest(t, f, func(m *proof.Manifest) { m.Dump.System = "oracle" }) }, "oracle"},
		"not there":         {"b.sql", func(*testing.T, string) {}, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(kept)); err != nil {
				t.Fatal(err)
			}
			c.do(t, filepath.Join(dir, c.file))
			s := g.restoring(t, dir, restoreFrom(c.file, "safety", "before.sql"))
			failed(t, s.do(), engine.EffectNone, c.says, "nothing was touched")
			if got := g.picture(t); got != before {
				t.Errorf("it was touched:\n%s\nbefore:\n%s", got, before)
			}
			if _, err := os.Stat(filepath.Join(dir, "before.sql")); err == nil {
				t.Error("a safety dump was made for it")
			}
			if len(s.rec.Notes()) > 0 {
				t.Error("it was recorded as begun")
			}
			p := g.stepUnder(t, steps.ReadOnly, "restore", restoreFrom(c.file))
			p.env.Dir = dir
			i, err := p.op.Preview(t.Context(), p.env)
			if err != nil || i.Standing != engine.StandingUnknown || !strings.Contains(i.Why, c.says) {
				t.Errorf("the plan says %+v, %v", i, err)
			}
		})
	}
}

func flip(t testing.TB, file string, at int) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 1
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestADumpOfOtherHandsIsRestoredWhenThatIsSaid: as in the guides, by shell and gzip.
func TestADumpOfOtherHandsIsRestoredWhenThatIsSaid(t *testing.T) {
	g := dumpGround(t)
	library(t, g)
	dir := t.TempDir()
	whole := g.picture(t)
	ok(t, g.dumping(t, dir, dumpTo("a.sql")).do())
	file := filepath.Join(dir, "a.sql")
	if out, err := osexec.Command("sh", "-c", "gzip -c "+file+" > "+dir+"/hand.sql.gz; head -c 3000 "+file+" | gzip -c > "+dir+"/half.sql.gz").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	spoil(t, g)
	failed(t, g.restoring(t, dir, restoreFrom("hand.sql.gz")).do(), engine.EffectNone, "no manifest", "proven: false")
	failed(t, g.restoring(t, dir, restoreFrom("half.sql.gz", "proven", false)).do(), engine.EffectNone, "cut short", "nothing was touched")
	r := ok(t, g.restoring(t, dir, restoreFrom("hand.sql.gz", "proven", false)).do())
	if got := g.picture(t); got != whole || r["made"] != nil {
		t.Errorf("restored is\n%s\n%v", got, r)
	}
}

func TestARestoreThatBreaksOff(t *testing.T) {
	g := dumpGround(t)
	library(t, g)
	dir := t.TempDir()
	ok(t, g.dumping(t, dir, dumpTo("a.sql")).do())
	// Somebody has made a view of a table's name since: DROP TABLE does not take it away, CREATE TABLE fails.
	g.must(t, "DROP TABLE nothing", "CREATE VIEW nothing AS SELECT 1 AS id")
	o := g.restoring(t, dir, restoreFrom("a.sql", "safety", "before.sql")).do()
	failed(t, o, engine.EffectStands, "of the dump (", "broke off at table nothing", "2 of 13 rows", "stands in "+filepath.Join(dir, "before.sql"))
	g.must(t, "DROP VIEW nothing")
	ok(t, g.restoring(t, dir, restoreFrom("before.sql")).do())
}

func TestARestoreWithoutTheRight(t *testing.T) {
	settings := servers.MySQL(t)
	g := userGround(t, settings, "ALL PRIVILEGES ON %s.*")
	g.must(t, "CREATE TABLE a (x INT)", "INSERT INTO a VALUES (1)")
	dir := t.TempDir()
	ok(t, g.dumping(t, dir, dumpTo("a.sql")).do())
	weak := userGround(t, settings, "SELECT, INSERT, CREATE, DROP, LOCK TABLES ON %s.*")
	failed(t, weak.restoring(t, dir, restoreFrom("a.sql")).do(), engine.EffectNone, "has no right to ALTER in database", "GRANT", "nothing was touched")
	if g.one(t, "SELECT COUNT(*) FROM a") != "1" {
		t.Error("the table was touched")
	}
}

// TestAStatementThatTheServerWouldNotTakeIsFoundBefore: not in the middle, with the old table gone.
func TestAStatementThatTheServerWouldNotTakeIsFoundBefore(t *testing.T) {
	server := servers.PrivateMySQL(t)
	settings := server.Settings()
	g := ground{target: targetOf(settings), db: servers.Open(t, settings)}
	g.must(t, "CREATE TABLE a (x LONGTEXT)", "INSERT INTO a VALUES (REPEAT('abcdefgh', 300000))")
	dir := t.TempDir()
	ok(t, g.dumping(t, dir, dumpTo("a.sql.zst")).do())
	g.must(t, "SET GLOBAL max_allowed_packet = 1048576")
	failed(t, g.restoring(t, dir, restoreFrom("a.sql.zst")).do(), engine.EffectNone, "the longest statement of the dump has 24000", "takes 1048576", "nothing was touched")
}

// TestSomebodyWritesWhileItIsRestored: then the counts are not those of the dump, and that is said.
func TestSomebodyWritesWhileItIsRestored(t *testing.T) {
	g := dumpGround(t)
	g.must(t, "CREATE TABLE a (x INT)", "INSERT INTO a VALUES (1), (2)")
	dir := t.TempDir()
	ok(t, g.dumping(t, dir, dumpTo("a.sql")).do())
	b, err := os.ReadFile(filepath.Join(dir, "a.sql"))
	if err != nil {
		t.Fatal(err)
	}
	// The writer is a part of the dump: so it comes at the right time.
	text := strings.Replace(string(b), "UNLOCK TABLES;", "UNLOCK TABLES;\nINSERT INTO a SELECT 3;", 1)
	if err := os.WriteFile(filepath.Join(dir, "b.sql"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o := g.restoring(t, dir, restoreFrom("b.sql", "proven", false)).do()
	failed(t, o, engine.EffectStands, "table a has 3 rows, and the dump 2", "does somebody write to it?")
}

func TestAPlanOfARestore(t *testing.T) {
	g := dumpGround(t)
	library(t, g)
	g.must(t, "CREATE TABLE handrail_markers (token VARBINARY(255) PRIMARY KEY)")
	dir := t.TempDir()
	ok(t, g.dumping(t, dir, dumpTo("a.sql.zst")).do())
	spoil(t, g)
	before := g.contents(t)
	s := g.stepUnder(t, steps.ReadOnly, "restore", restoreFrom("a.sql.zst", "safety", "before.sql"))
	s.env.Dir = dir
	i, err := s.op.Preview(t.Context(), s.env)
	if err != nil || i.Standing != engine.StandingWould || i.Risk != engine.RiskDestroys {
		t.Fatalf("%+v %v", i, err)
	}
	contains(t, fmt.Sprintf("%+v", i), "shelf Value:has 2 rows, and would have 8", "is not there, and would have 3 rows", "size, sum, end and counts are as they should be",
		"markers of finished steps come from the dump", "safety dump Value:"+filepath.Join(dir, "before.sql"))
	if now := g.contents(t); now != before || len(folder(t, dir)) != 2 {
		t.Errorf("a plan changed something: %q", folder(t, dir))
	}
	s = g.stepUnder(t, steps.ReadOnly, "restore", restoreFrom("a.sql.zst"))
	s.env.Dir = dir
	if i, err = s.op.Preview(t.Context(), s.env); err != nil || i.Risk != engine.RiskIrreversible {
		t.Errorf("%+v %v", i, err)
	}
	contains(t, strings.Join(i.Warnings, "\n"), "no safety dump is made")
}

// TestARestoreIsSettled: what never began is not done, what its marker calls done is done, and of the rest a
// person is asked, with the counts at hand.
func TestARestoreIsSettled(t *testing.T) {
	g := dumpGround(t)
	library(t, g)
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
	// The marker goes with the database: then nothing proves it, and the counts are shown.
	g.must(t, "DROP TABLE handrail_markers", "DELETE FROM book", "DROP TABLE nothing")
	v := s.settle()
	if v.Verdict != engine.VerdictUnknown || !v.Dead {
		t.Errorf("without the marker it is said: %+v", v)
	}
	contains(t, strings.Join(v.Evidence, "\n"), "was under way on connection", "its session lock is free", "table shelf has 8 rows; the dump has 8",
		"table book has 0 rows; the dump has 2", "table nothing is not there", "what was there before stands in "+filepath.Join(dir, "before.sql"))
}

// TestTheSafetyDumpOfTheFirstAttemptIsKept: the second would save what the first has left half done.
func TestTheSafetyDumpOfTheFirstAttemptIsKept(t *testing.T) {
	g := dumpGround(t)
	library(t, g)
	dir := t.TempDir()
	ok(t, g.dumping(t, dir, dumpTo("a.sql")).do())
	g.must(t, "DELETE FROM book")
	s := g.restoring(t, dir, restoreFrom("a.sql", "safety", "before.sql"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.rec.OnNote = func(engine.Value) error { cancel(); return nil } // it is stopped as it begins
	failed(t, s.execute(ctx), engine.EffectNone, "nothing was touched")
	saved, err := os.ReadFile(filepath.Join(dir, "before.sql"))
	if err != nil {
		t.Fatal(err)
	}
	g.must(t, "DELETE FROM shelf")
	next := s.again(g, false)
	next.env.Dir = dir
	ok(t, next.do())
	if now, err := os.ReadFile(filepath.Join(dir, "before.sql")); err != nil || string(now) != string(saved) {
		t.Errorf("the safety dump was made anew: %v", err)
	}
	contains(t, next.rec.Output(), "of an earlier attempt is kept")
	// That of another step is not taken for it.
	failed(t, g.restoring(t, dir, restoreFrom("a.sql", "safety", "before.sql")).do(), engine.EffectNone, "the safety dump was not made, so nothing was touched", "is there already")
}
