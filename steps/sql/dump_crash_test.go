package sql_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest"
)

const roleVariable = "HANDRAIL_TEST_SQL_ENGINE"

// role is what an engine of its own is to do.
type role struct {
	Type      string // of the target
	Settings  map[string]string
	Programs  map[string]any // where the programs run, if not here
	Operation string
	Params    map[string]string
	Dir       string
	Token     string
	Note      string // the file for what it notes
	Far       int64  // where its progress stops
}

// The test binary is also an engine that can be killed.
func TestMain(m *testing.M) {
	if text := os.Getenv(roleVariable); text != "" {
		playEngine(text)
		os.Exit(1) // it was to be killed
	}
	os.Exit(m.Run())
}

// halting says when it has come far, and stays there: Progress is called by the operation itself.
type halting struct {
	steptest.Recorder
	role
}

func (h *halting) Progress(done, _ int64, _ string) {
	if h.Far > 0 && done >= h.Far {
		fmt.Println("far")
		select {}
	}
}

func (h *halting) Note(v engine.Value) error {
	b, err := engine.AppendValue(nil, v)
	if err != nil {
		return err
	}
	return os.WriteFile(h.role.Note, b, 0o600)
}

type testFailure struct{ testing.TB }

func (testFailure) Helper()        {}
func (testFailure) Cleanup(func()) {}
func (testFailure) TempDir() string {
	return os.TempDir()
}
func (testFailure) Fatal(args ...any) { fmt.Println(args...); os.Exit(1) }
func (testFailure) Fatalf(format string, args ...any) {
	fmt.Printf(format+"\n", args...)
	os.Exit(1)
}

func playEngine(text string) {
	h := &halting{}
	if err := json.Unmarshal([]byte(text), &h.role); err != nil {
		testFailure{}.Fatal(err)
	}
	settings, params := engine.Record{}, engine.Record{}
	for k, v := range h.Settings {
		settings[k] = v
	}
	settings["password"] = engine.NewSecret("DB_PASSWORD", h.Settings["password"])
	if h.Programs != nil {
		settings["programs"] = recordOf(h.Programs)
	}
	for k, v := range h.Params {
		params[k] = v
	}
	k := newKind()
	op, err := k.Decode(h.Operation, params)
	if err != nil {
		testFailure{}.Fatal(err)
	}
	env := steptest.EnvAsking(testFailure{}, k, h.call(), steps.Target{Name: "db", Type: h.Type, Settings: settings}, steps.Full, h, nil)
	env.Dir = h.Dir
	o := op.Execute(context.Background(), env)
	fmt.Println("ended:", o.Err)
}

func (r role) call() engine.Call {
	class := engine.ClassIdempotent
	if r.Operation == "restore" {
		class = engine.ClassUnrepeatable
	}
	return engine.Call{Step: r.Operation, ID: r.Operation, Kind: "sql", Operation: r.Operation, Target: "db", Class: class, Attempt: 1, Epoch: 1, Token: r.Token, Wipes: class == engine.ClassUnrepeatable}
}

// killed starts an engine, lets it come far, and kills it. It gives what that had noted last.
func (g ground) killed(t *testing.T, r role) engine.Value {
	t.Helper()
	r.Type, r.Settings = g.target.Type, map[string]string{}
	for k, v := range g.target.Settings {
		r.Settings[k], _ = v.(string)
	}
	r.Settings["password"] = password
	delete(r.Settings, "programs")
	r.Note = filepath.Join(t.TempDir(), "note")
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	cmd := osexec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "far" {
		t.Logf("the engine says %s", lines.Text())
	}
	if lines.Text() != "far" {
		t.Fatal("the engine did not come so far")
	}
	_ = cmd.Process.Signal(syscall.SIGKILL)
	_ = cmd.Wait() // killed
	b, err := os.ReadFile(r.Note)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	v, err := engine.DecodeValue(b)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestKilledInTheMiddleOfADump: nothing that looks like a backup is there, nothing goes on, and the next attempt
// makes one good dump.
func TestKilledInTheMiddleOfADump(t *testing.T) {
	t.Run("mysql", func(t *testing.T) {
		g := dumpGround(t)
		g.must(t, "CREATE TABLE a (x INT PRIMARY KEY, filler CHAR(200))", "INSERT INTO a SELECT seq, REPEAT('x', 200) FROM seq_1_to_60000")
		g.killedInADump(t, "a", "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND INFO LIKE '%`a`%' AND ID <> CONNECTION_ID()")
	})
	t.Run("postgres", func(t *testing.T) {
		g := postgresGround(t)
		g.must(t, "CREATE TABLE a (x int PRIMARY KEY, filler text)", "INSERT INTO a SELECT n, repeat('x', 200) FROM generate_series(1, 60000) n")
		g.killedInADump(t, "public.a", "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%COPY%' AND pid <> pg_backend_pid()")
	})
}

// killedInADump kills an engine that dumps a table of 60,000 rows; working counts the programs that read from it.
func (g ground) killedInADump(t *testing.T, table, working string) {
	t.Helper()
	dir := t.TempDir()
	r := role{Operation: "dump", Params: map[string]string{"dump": "a.sql.zst"}, Dir: dir, Token: "run-1/dump", Far: 1000}
	if note := g.killed(t, r); note != nil {
		t.Errorf("it noted %v", note)
	}
	for _, name := range folder(t, dir) {
		if !strings.HasPrefix(name, ".") || !strings.HasSuffix(name, ".part") {
			t.Errorf("%s was left, and looks like a backup", name)
		}
	}
	eventually(t, func() bool { return g.one(t, working) == "0" }) // what it had started ends with it
	s := g.dumping(t, dir, dumpTo("a.sql.zst"))
	s.env.Call, s.env.Again = r.call(), true
	if got := ok(t, s.execute(t.Context())); counts(got) != table+" 60000" {
		t.Errorf("then it counts %s", counts(got))
	}
	if got := folder(t, dir); len(got) != 2 {
		t.Errorf("in the folder is %q", got)
	}
	ok(t, g.restoring(t, dir, restoreFrom("a.sql.zst")).do())
}

// TestKilledInTheMiddleOfARestore: it is in doubt, with the evidence; the safety dump is there; and when a person
// has said that it is not done it is done again from its beginning.
func TestKilledInTheMiddleOfARestore(t *testing.T) {
	g := dumpGround(t)
	library(t, g)
	g.must(t, "CREATE TABLE zz (x INT PRIMARY KEY, filler CHAR(250))", "INSERT INTO zz SELECT seq, REPEAT('x', 250) FROM seq_1_to_20000")
	dir := t.TempDir()
	whole := g.picture(t)
	ok(t, g.dumping(t, dir, dumpTo("a.sql.zst")).do())
	g.must(t, "DELETE FROM zz", "DELETE FROM book")
	r := role{Operation: "restore", Params: map[string]string{"restore": "a.sql.zst", "safety": "before.sql.zst"}, Dir: dir, Token: "run-1/restore", Far: 6000}
	note := g.killed(t, r)
	s := g.restoring(t, dir, restoreFrom("a.sql.zst", "safety", "before.sql.zst"))
	s.env.Call = r.call()
	s.env.Call.Note = note
	settled := s.settle()
	if settled.Verdict != engine.VerdictUnknown || !settled.Dead {
		t.Fatalf("of a restore that was cut off it is said: %+v", settled)
	}
	contains(t, strings.Join(settled.Evidence, "\n"), "was under way on connection", "its session lock is free", "table shelf has 8 rows; the dump has 8", "table zz has", "the dump has 20000",
		"what was there before stands in "+filepath.Join(dir, "before.sql.zst"))
	next := s.again(g, false)
	next.env.Dir, next.env.Call.Attempt = dir, 2
	ok(t, next.execute(t.Context()))
	if got := g.picture(t); got != whole {
		t.Errorf("restored is\n%s\nwas\n%s", got, whole)
	}
	contains(t, next.rec.Output(), "of an earlier attempt is kept")
	ok(t, g.restoring(t, dir, restoreFrom("before.sql.zst")).do())
	if g.one(t, "SELECT COUNT(*) FROM zz") != "0" {
		t.Error("the safety dump does not hold what was there before the first attempt")
	}
}

// TestTheLineIsLostInTheMiddleOfARestore: whether the last statement was carried out is not known.
func TestTheLineIsLostInTheMiddleOfARestore(t *testing.T) {
	g := dumpGround(t)
	library(t, g)
	dir := t.TempDir()
	ok(t, g.dumping(t, dir, dumpTo("a.sql")).do())
	far, cut := g.through(t)
	s := far.restoring(t, dir, restoreFrom("a.sql"))
	cut.cutAt("INSERT INTO `shelf`", true, false)
	o := s.do()
	if o.Err == "" || !o.InDoubt || o.Effect != engine.EffectUnknown {
		t.Fatalf("%+v", o)
	}
	contains(t, o.Err, "broke off at table shelf", "the connection was lost")
	contains(t, strings.Join(o.Evidence, "\n"), "was sent and its answer was lost")
}

// TestTheDiskIsFullInTheMiddleOfADump: on a file system of a few pages.
func TestTheDiskIsFullInTheMiddleOfADump(t *testing.T) {
	g := dumpGround(t)
	g.must(t, "CREATE TABLE a (x INT PRIMARY KEY, y BLOB)", "INSERT INTO a SELECT seq, RANDOM_BYTES(1000) FROM seq_1_to_2000")
	small := smallDisk(t, 256<<10)
	for _, name := range []string{"a.sql.zst", "a.sql.gz", "a.sql"} {
		o := g.dumping(t, small, dumpTo(name)).do()
		failed(t, o, engine.EffectNone, "no space left", "nothing unfinished is left behind", "make room")
		if got := folder(t, small); len(got) != 0 {
			t.Errorf("left behind: %q", got)
		}
	}
	// The safety dump does not fit: nothing is touched.
	dir := t.TempDir()
	ok(t, g.dumping(t, dir, dumpTo("a.sql.zst")).do())
	g.must(t, "UPDATE a SET y = RANDOM_BYTES(1000)")
	before := g.picture(t)
	failed(t, g.restoring(t, dir, restoreFrom("a.sql.zst", "safety", filepath.Join(small, "before.sql"))).do(), engine.EffectNone, "nothing was touched", "no space left")
	if got := g.picture(t); got != before {
		t.Error("it was touched")
	}
}

// TestASecondRunBesideTheFirst: both dump, and none spoils the other's.
func TestASecondRunBesideTheFirst(t *testing.T) {
	g := dumpGround(t)
	library(t, g)
	dir := t.TempDir()
	done := make(chan engine.Outcome)
	for i := range 2 {
		s := g.dumping(t, dir, dumpTo(fmt.Sprintf("%d.sql.zst", i)))
		go func() { done <- s.execute(t.Context()) }()
	}
	for range 2 {
		ok(t, <-done)
	}
	if got := folder(t, dir); len(got) != 4 {
		t.Errorf("in the folder is %q", got)
	}
	for i := range 2 {
		ok(t, g.restoring(t, dir, restoreFrom(fmt.Sprintf("%d.sql.zst", i))).do())
	}
}

// smallDisk is a file system with little room.
func smallDisk(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		t.Fatalf("mount a small file system (the tests run as root): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}
