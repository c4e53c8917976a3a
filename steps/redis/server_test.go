package redis_test

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

func shell(t testing.TB, line string) ([]byte, error) {
	t.Helper()
	return exec.CommandContext(t.Context(), "sh", "-c", line).CombinedOutput()
}

var (
	snapshot = engine.Record{"snapshot": engine.Record{}}
	rewrite  = engine.Record{"rewrite_aof": engine.Record{}}
)

func saves(w *world) int64 {
	w.t.Helper()
	r := succeeded(w.t, w.execute(call("info", engine.Record{"info": "persistence"})))
	n, _ := r["persistence"].(engine.Record)["rdb_saves"].(int64)
	return n
}

func TestSnapshotIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.fill("k:", 50_000, 0)
	// Two within one second: LASTSAVE does not move, and each must be seen to end.
	for want := int64(1); want <= 2; want++ {
		c := call("snapshot", snapshot)
		w.prepare(&c)
		r := succeeded(t, w.execute(c))
		if at, ok := r["last_save"].(time.Time); !ok || time.Since(at) > time.Minute || r["already"] != false {
			t.Errorf("%v", r)
		}
		if saves(w) != want {
			t.Errorf("%d snapshots, want %d", saves(w), want)
		}
	}
}

func TestSnapshotThatWasFinishedBeforeTheCrashIsNotTakenAgain(t *testing.T) {
	w := newWorld(t)
	c := call("snapshot", snapshot)
	w.prepare(&c)
	if r := succeeded(t, w.executeIn(t.Context(), c, true)); r["already"] != false || saves(w) != 1 {
		t.Errorf("the attempt had not begun: %v, %d snapshots", r, saves(w))
	}
	if r := succeeded(t, w.executeIn(t.Context(), c, true)); r["already"] != true || saves(w) != 1 {
		t.Errorf("the attempt had ended: %v, %d snapshots", r, saves(w))
	}
	w.server.Restart()
	if r := succeeded(t, w.executeIn(t.Context(), c, true)); r["already"] != false || saves(w) != 1 {
		t.Errorf("another server: %v, %d snapshots", r, saves(w))
	}
}

func TestSnapshotUnderWayBeforeTheStepIsWaitedForAndAnotherTaken(t *testing.T) {
	w := newWorld(t, "--rdb-key-save-delay", "200")
	w.fill("k:", 5_000, 0)
	w.do("BGSAVE")
	c := call("snapshot", snapshot)
	im := w.preview(c)
	has(t, strings.Join(im.Warnings, "\n"), "under way")
	w.prepare(&c)
	if r := c.Seen.(engine.Record); r["in_progress"] != true {
		t.Fatalf("the snapshot before was over too early: %v", r)
	}
	succeeded(t, w.execute(c))
	if len(w.rec.Reports()) == 0 {
		t.Error("no progress was shown")
	}
	if saves(w) != 2 {
		t.Errorf("%d snapshots", saves(w))
	}
	// After a crash, one that began after the intent is enough, and is waited for.
	c = call("snapshot", snapshot)
	w.prepare(&c)
	w.do("BGSAVE")
	if r := succeeded(t, w.executeIn(t.Context(), c, true)); r["already"] != true || saves(w) != 3 || saving(w) {
		t.Errorf("%v, %d snapshots", r, saves(w))
	}
}

func saving(w *world) bool {
	w.t.Helper()
	return strings.Contains(w.c.Info(w.t.Context(), "persistence").Val(), "rdb_bgsave_in_progress:1")
}

func TestSnapshotThatBeganBeforeTheIntentDoesNotCount(t *testing.T) {
	w := newWorld(t, "--rdb-key-save-delay", "200")
	w.fill("k:", 5_000, 0)
	w.do("BGSAVE")
	c := call("snapshot", snapshot)
	w.prepare(&c)
	if !saving(w) {
		t.Fatal("it was over too early")
	}
	eventually(t, "it has ended", func() bool { return !saving(w) })
	if r := succeeded(t, w.executeIn(t.Context(), c, true)); r["already"] != false || saves(w) != 2 {
		t.Errorf("%v, %d snapshots", r, saves(w))
	}
}

func TestServerThatDiesDuringASnapshot(t *testing.T) {
	w := newWorld(t, "--rdb-key-save-delay", "2000")
	w.fill("k:", 5_000, 0)
	c := call("snapshot", snapshot)
	w.prepare(&c)
	done := make(chan engine.Outcome, 1)
	go func() { done <- w.execute(c) }()
	eventually(t, "it saves", func() bool { return saving(w) })
	w.server.Kill()
	if o := <-done; o.Err == "" || o.InDoubt || o.Effect != engine.EffectUnknown {
		t.Errorf("%+v", o)
	}
}

func TestRewriteOfTheAppendOnlyFile(t *testing.T) {
	w := newWorld(t)
	c := call("rewrite_aof", rewrite)
	if im := w.preview(c); im.Standing != engine.StandingUnknown {
		t.Errorf("the plan says %+v", im)
	}
	failed(t, w.execute(c), "append-only file is off", "CONFIG SET appendonly yes")
	if _, err := w.decode(c).(steps.Preparer).Prepare(t.Context(), w.env(c, steps.Full)); err == nil {
		t.Error("prepared although the file is off")
	}
	w.do("CONFIG", "SET", "appendonly", "yes")
	// The first file may still be written, and that counts as one under way.
	w.prepare(&c)
	if r := succeeded(t, w.execute(c)); r["size"].(int64) < 0 || r["already"] != false {
		t.Errorf("%v", r)
	}
	c = call("rewrite_aof", rewrite)
	w.prepare(&c)
	w.do("SET", "a", "b")
	succeeded(t, w.execute(c))
	if r := succeeded(t, w.executeIn(t.Context(), c, true)); r["already"] != true {
		t.Errorf("the attempt had ended: %v", r)
	}
}

func TestInfoIsTyped(t *testing.T) {
	w := newWorld(t)
	r := succeeded(t, w.execute(call("info", engine.Record{"info": words("server", "memory", "keyspace", "commandstats", "replication")})))
	section := func(name string) engine.Record { s, _ := r[name].(engine.Record); return s }
	if v, ok := section("server")["redis_version"].(string); !ok || v == "" {
		t.Errorf("redis_version is %v", section("server")["redis_version"])
	}
	if v, ok := section("server")["redis_git_sha1"].(string); !ok || v != "00000000" {
		t.Errorf("redis_git_sha1 is %v", section("server")["redis_git_sha1"])
	}
	if v, ok := section("memory")["used_memory"].(int64); !ok || v <= 0 {
		t.Errorf("used_memory is %v", section("memory")["used_memory"])
	}
	if v, ok := section("memory")["mem_fragmentation_ratio"].(float64); !ok || v <= 0 {
		t.Errorf("mem_fragmentation_ratio is %v", section("memory")["mem_fragmentation_ratio"])
	}
	// An empty database is there all the same, so that an expression can ask for it.
	same(t, section("keyspace")["db0"], engine.Record{"keys": int64(0), "expires": int64(0), "avg_ttl": int64(0)})
	same(t, section("replication")["replicas"], engine.List{})
	if _, ok := section("commandstats")["cmdstat_ping"].(engine.Record)["calls"].(int64); !ok {
		t.Errorf("commandstats: %v", section("commandstats"))
	}
	if all := succeeded(t, w.execute(call("info", engine.Record{"info": "everything"}))); len(all) < 10 {
		t.Errorf("%d sections", len(all))
	}
}

// The embedded server of the demo knows no CONFIG, ROLE, ACL, and little of INFO.
func TestEmbeddedServer(t *testing.T) {
	m := miniredis.RunT(t)
	w := &world{t: t, target: targetOf(engine.Record{"address": m.Addr()})}
	same(t, succeeded(t, w.execute(call("do", do("SET", "a", "1"))))["value"], "OK")
	same(t, succeeded(t, w.execute(call("do", do("GET", "a"))))["value"], "1")
	same(t, succeeded(t, w.execute(call("do", do("HGETALL", "h"))))["value"], engine.Record{})
	c := call("transaction", transaction(words("RPUSH", "{q}", "v"), words("INCR", "{q}:n"), words("GET", "none")))
	w.prepare(&c)
	w.preview(c)
	want := words(int64(1), int64(1), nil)
	same(t, succeeded(t, w.execute(c))["values"], want)
	same(t, succeeded(t, w.executeIn(t.Context(), c, true))["values"], want)
	if s := w.settle(c); s.Verdict != engine.VerdictDone {
		t.Errorf("%+v", s)
	}
	bad := call("transaction", transaction(words("INCR", "a"), words("LPUSH", "a", "x")))
	bad.Token = "run/bad"
	inDoubt(t, w.execute(bad), "1 command was applied")
	script := call("script", engine.Record{"script": "return redis.call('INCRBY', KEYS[1], ARGV[1])", "keys": words("n"), "args": words(int64(3))})
	script.Token = "run/script"
	same(t, succeeded(t, w.execute(script))["value"], int64(3))
	never := call("transaction", transaction(words("INCR", "n")))
	never.Token = "run/never"
	if s := w.settle(never); s.Verdict != engine.VerdictNotDone {
		t.Errorf("%+v", s)
	}
	for _, k := range []string{"r:1", "r:2", "r:3"} {
		succeeded(t, w.execute(call("do", do("SET", k, "x"))))
	}
	succeeded(t, w.execute(call("do", do("EXPIRE", "r:2", int64(100)))))
	w.preview(sweepOf("r:*", "ttl == -1", nil))
	same(t, succeeded(t, w.execute(sweepOf("r:*", "ttl == -1", nil)))["swept"], int64(2))
	same(t, succeeded(t, w.execute(countOf("r:*", "")))["count"], int64(1))
	succeeded(t, w.execute(call("info", engine.Record{"info": "default"})))
}
