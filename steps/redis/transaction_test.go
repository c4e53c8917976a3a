package redis_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/redis"
)

func transaction(commands ...engine.Value) engine.Record {
	return engine.Record{"transaction": engine.List(commands)}
}

const marker = "handrail:{handrail}:run/s"

func TestTransactionKeepsTheTypesOfItsReplies(t *testing.T) {
	w := newWorld(t)
	w.do("RPUSH", "l", "a", "\x00\xff")
	c := call("transaction", transaction(
		words("SET", "k", 1.5), words("GET", "none"), words("INCRBY", "n", int64(41)), words("LRANGE", "l", int64(0), int64(-1)),
		words("EXISTS", "none"), words("SET", "big", "9007199254740993"), words("INCR", "big")))
	want := words("OK", nil, int64(41), words("a", engine.Bytes("\x00\xff")), int64(0), "OK", float64(9007199254740994))
	same(t, succeeded(t, w.execute(c))["values"], want)
	// What the marker kept is the same.
	same(t, w.settle(c).Result["values"], want)
}

func TestHostileValuesArriveAsData(t *testing.T) {
	w := newWorld(t)
	w.do("SET", "witness", "here")
	for i, v := range []string{"'; FLUSHALL", "'); redis.call('FLUSHALL') --", "]]", "line\nline\r\n*1\r\n$8\r\nFLUSHALL\r\n", "nul\x00nul",
		"${{ inputs.x }}", "\xff\xfe", ""} {
		c := call("transaction", transaction(words("SET", v, v), words("HSET", "h", v, v)))
		c.Token = fmt.Sprintf("run/%d", i)
		succeeded(t, w.execute(c))
		c = call("script", engine.Record{"script": "redis.call('SET', KEYS[1], ARGV[1]) return ARGV[1]", "keys": words("s:" + v), "args": words(v)})
		c.Token = fmt.Sprintf("run/%d/script", i)
		succeeded(t, w.execute(c))
		succeeded(t, w.execute(call("do", engine.Record{"do": words("SET", "d:"+v, v)})))
		for _, key := range []string{v, "s:" + v, "d:" + v} {
			if got := w.do("GET", key); got != v {
				t.Errorf("%q holds %q, not %q", key, got, v)
			}
		}
	}
	if w.do("GET", "witness") != "here" {
		t.Error("a value was carried out as a command")
	}
}

func TestErrorInTheMiddleIsInDoubtWithTheNumberOfCommandsApplied(t *testing.T) {
	w := newWorld(t)
	w.do("SET", "text", "x")
	c := call("transaction", transaction(words("INCR", "n"), words("INCR", "n"), words("LPUSH", "text", "y"), words("INCR", "n")))
	o := w.execute(c)
	inDoubt(t, o, "2 commands were applied and stand, of 4", "WRONGTYPE")
	has(t, o.Err, "command 3 of 4", "WRONGTYPE")
	if w.do("GET", "n") != "2" {
		t.Errorf("n is %v", w.do("GET", "n"))
	}
	s := w.settle(c)
	if s.Verdict != engine.VerdictUnknown || !s.Dead {
		t.Errorf("settled as %+v", s)
	}
	has(t, strings.Join(s.Evidence, "\n"), "2 commands were applied", "WRONGTYPE")
	// The same attempt changes nothing more, whoever sends it.
	inDoubt(t, w.executeIn(t.Context(), c, true), "2 commands were applied")
	if w.do("GET", "n") != "2" {
		t.Errorf("n is %v", w.do("GET", "n"))
	}
	// A person has mended it and said "not done": the core makes another attempt.
	w.do("DEL", "text")
	c.Attempt = 2
	succeeded(t, w.execute(c))
	if w.do("GET", "n") != "5" {
		t.Errorf("n is %v", w.do("GET", "n"))
	}
}

func TestErrorBeforeTheFirstWriteLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.do("SET", "text", "x")
	for name, c := range map[string]engine.Call{
		"transaction":                       call("transaction", transaction(words("GET", "n"), words("LPUSH", "text", "y"), words("INCR", "n"))),
		"script":                            call("script", engine.Record{"script": "if redis.call('GET', KEYS[1]) then return redis.error_reply('NOT yet') end redis.call('INCR', 'n')", "keys": words("text")}),
		"script, raising":                   call("script", engine.Record{"script": "redis.call('TTL', 'x') error('no')"}),
		"script, wrong":                     call("script", engine.Record{"script": "return return"}),
		"script, a way out of its function": call("script", engine.Record{"script": "end redis.call('SET', 'n', 1) do"}),
	} {
		t.Run(name, func(t *testing.T) {
			failed(t, w.execute(c), "nothing was changed")
			if n := w.do("EXISTS", "n", marker); n != int64(0) {
				t.Errorf("%v keys are left", n)
			}
		})
	}
}

func TestScriptThatFailsAfterAWriteIsInDoubt(t *testing.T) {
	w := newWorld(t)
	for name, text := range map[string]string{
		"raises":            "redis.call('SET', 'a', 1) error('too late')",
		"returns an error":  "redis.pcall('set', 'a', 1) return redis.error_reply('TOO late')",
		"wrong command":     "redis.call('SET', 'a', 1) redis.call('SET', 'a')",
		"erases its marker": "redis.call('FLUSHALL') error('too late')",
	} {
		t.Run(name, func(t *testing.T) {
			w.do("FLUSHALL")
			c := call("script", engine.Record{"script": text})
			inDoubt(t, w.execute(c), "1 command was applied")
			if s := w.settle(c); s.Verdict != engine.VerdictUnknown {
				t.Errorf("settled as %+v", s)
			}
		})
	}
}

func TestMarkerStandsInTheHashTagOfTheData(t *testing.T) {
	w := newWorld(t)
	c := call("transaction", transaction(words("SET", "plain", int64(1)), words("INCR", "{q}:n")))
	succeeded(t, w.execute(c))
	if w.do("HGET", "handrail:{q}:run/s", "state") != "done" {
		t.Errorf("keys: %v", w.do("KEYS", "*"))
	}
	other := call("transaction", transaction(words("INCR", "plain")))
	other.Token = "run/other"
	succeeded(t, w.execute(other))
	fenced := call("transaction", transaction(words("INCR", "plain")))
	fenced.Token = "run/fenced"
	w.settle(fenced)
	ttl := w.c.TTL(t.Context(), "handrail:{q}:run/s").Val()
	if ttl < 29*24*time.Hour || ttl > 30*24*time.Hour {
		t.Errorf("the marker is kept for %s", ttl)
	}

	conn, err := redis.New().Connect(t.Context(), w.target, steps.Full)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	got, err := redis.New().Remembers(t.Context(), conn, []engine.Call{{Token: "run/s"}, {Token: "run/other"}, {Token: "run/fenced"}, {Token: "run/never"}})
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != "map[run/fenced:false run/never:false run/other:true run/s:true]" {
		t.Errorf("remembers %v", got)
	}
}

func TestOlderEpochChangesNothingAndFails(t *testing.T) {
	w := newWorld(t)
	c := call("transaction", transaction(words("INCR", "n")))
	c.Epoch = 3
	if s := w.settle(c); s.Verdict != engine.VerdictNotDone {
		t.Fatalf("settled as %+v", s)
	}
	c.Epoch = 2
	failed(t, w.execute(c), "another process has taken the run over", "epoch 3")
	if s := w.settle(c); s.Verdict != engine.VerdictUnknown || s.Dead {
		t.Errorf("settled as %+v", s)
	}
	c.Epoch = 3
	succeeded(t, w.execute(c))
	c.Epoch = 2
	failed(t, w.execute(c), "another process has taken the run over")
	if w.do("GET", "n") != "1" {
		t.Errorf("n is %v", w.do("GET", "n"))
	}
}

func TestLostAnswerIsFoundInTheMarker(t *testing.T) {
	w := newWorld(t)
	tap := newWiretap(t, w.server.Addr)
	through := w.with(tap.settings())
	tap.cutAt("n", onAnswer)
	c := call("transaction", transaction(words("INCR", "n"), words("GET", "n")))
	same(t, succeeded(t, through.execute(c))["values"], words(int64(1), "1"))
	if tap.hits != 1 || w.do("GET", "n") != "1" {
		t.Errorf("cut %d times, n is %v", tap.hits, w.do("GET", "n"))
	}
}

func TestRequestThatComesAfterItWasGivenUpIsRefused(t *testing.T) {
	w := newWorld(t)
	tap := newWiretap(t, w.server.Addr)
	through := w.with(tap.settings())
	tap.cutAt("n", holdBack)
	c := call("transaction", transaction(words("INCR", "n")))
	o := through.execute(c)
	failed(t, o, "its marker shows that nothing was changed")
	if !o.Transient {
		t.Error("it could be tried again")
	}
	seen := commandsProcessed(t, w, "eval")
	tap.release()
	eventually(t, "the late request", func() bool { return commandsProcessed(t, w, "eval") > seen })
	if w.do("EXISTS", "n") != int64(0) {
		t.Error("the late request was carried out")
	}
	c.Attempt = 2
	succeeded(t, w.execute(c))
}

func TestRequestOfADeadProcessIsRefusedAfterItWasSettled(t *testing.T) {
	w := newWorld(t)
	c := call("transaction", transaction(words("INCR", "n")))
	tap := newWiretap(t, w.server.Addr)
	tap.cutAt("n", holdBack)
	failed(t, w.with(tap.settings()).execute(c))
	// A process that dies has not asked its marker; the next one does, and does not know the sender.
	w.do("DEL", marker)
	c.Epoch = 2
	if s := w.settle(c); s.Verdict != engine.VerdictNotDone || !s.Dead {
		t.Fatalf("settled as %+v", s)
	}
	seen := commandsProcessed(t, w, "eval")
	tap.release()
	eventually(t, "the late request", func() bool { return commandsProcessed(t, w, "eval") > seen })
	if w.do("EXISTS", "n") != int64(0) {
		t.Error("the late request was carried out")
	}
	c.Attempt = 2
	succeeded(t, w.execute(c))
	if w.do("GET", "n") != "1" {
		t.Errorf("n is %v", w.do("GET", "n"))
	}
}

func commandsProcessed(t testing.TB, w *world, name string) int {
	t.Helper()
	text := w.c.Info(t.Context(), "commandstats").Val()
	_, rest, ok := strings.Cut(text, "cmdstat_"+name+":calls=")
	if !ok {
		return 0
	}
	n := 0
	_, _ = fmt.Sscanf(rest, "%d", &n)
	return n
}

// busy is a script that holds the server for about that many milliseconds, and then counts.
func busy(ms int) engine.Record {
	return engine.Record{"script": `redis.call('INCR', 'begun')
		local function now() local t = redis.call('TIME') return t[1] * 1000 + t[2] / 1000 end
		local to = now() + ARGV[1] while now() < to do end
		return redis.call('INCR', 'n')`, "args": words(int64(ms))}
}

func TestTimeoutDuringAScriptIsAnsweredByTheMarker(t *testing.T) {
	w := newWorld(t)
	ctx, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stop()
	same(t, succeeded(t, w.executeIn(ctx, call("script", busy(1500)), false))["value"], int64(1))
}

func TestBusyServerIsWaitedFor(t *testing.T) {
	w := newWorld(t, "--busy-reply-threshold", "100")
	tap := newWiretap(t, w.server.Addr)
	tap.cutAt("1500", whileBusy)
	same(t, succeeded(t, w.with(tap.settings()).execute(call("script", busy(1500))))["value"], int64(1))
	if tap.hits != 1 {
		t.Error("the connection was not cut")
	}
}

func TestClientKilledInTheMiddleOfAScript(t *testing.T) {
	w := newWorld(t)
	killer := w.server.Client()
	if err := killer.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	done := make(chan engine.Outcome, 1)
	go func() { done <- w.execute(call("script", busy(5000))) }()
	eventually(t, "the script runs", func() bool { return stuck(t, w.server.Addr) })
	_ = killer.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err()
	same(t, succeeded(t, <-done)["value"], int64(1))
	if got := w.server.Client().Get(t.Context(), "n").Val(); got != "1" {
		t.Errorf("n is %s", got)
	}
}

func TestServerKilledInTheMiddleOfAScriptHasDoneNothing(t *testing.T) {
	w := newWorld(t, "--appendonly", "yes", "--appendfsync", "always")
	w.do("SET", "before", "1")
	c := call("script", busy(60_000))
	w.prepare(&c)
	done := make(chan engine.Outcome, 1)
	impatient := w.with(engine.Record{"timeout": time.Second})
	go func() { done <- impatient.execute(c) }()
	eventually(t, "the script runs", func() bool { return stuck(t, w.server.Addr) })
	w.server.Kill()
	inDoubt(t, <-done, "could not be asked")
	w.server.Restart()
	if w.server.Client().Get(t.Context(), "before").Val() != "1" {
		t.Fatal("the server has lost what was on disk")
	}
	c.Epoch = 2
	s := w.settle(c)
	if s.Verdict != engine.VerdictNotDone || !s.Dead {
		t.Errorf("settled as %+v", s)
	}
	c.Params = busy(1)
	c.Attempt = 2
	same(t, succeeded(t, w.execute(c))["value"], int64(1))
}

func TestServerKilledAfterATransactionRemembersIt(t *testing.T) {
	w := newWorld(t, "--appendonly", "yes", "--appendfsync", "always")
	c := call("transaction", transaction(words("INCR", "{q}:n")))
	w.prepare(&c)
	succeeded(t, w.execute(c))
	w.server.Kill()
	w.server.Restart()
	c.Epoch = 2
	if s := w.settle(c); s.Verdict != engine.VerdictDone {
		t.Errorf("settled as %+v", s)
	}
	same(t, succeeded(t, w.executeIn(t.Context(), c, true))["values"], words(int64(1)))
}

func TestMissingMarkerProvesNothingWhereItMayHaveBeenEvicted(t *testing.T) {
	w := newWorld(t, "--maxmemory", "3mb", "--maxmemory-policy", "volatile-lru")
	c := call("transaction", transaction(words("INCR", "n")))
	w.prepare(&c)
	if s := w.settle(c); s.Verdict != engine.VerdictNotDone {
		t.Fatalf("nothing was evicted, and it is settled as %+v", s)
	}
	c.Token = "run/two"
	for i := 0; w.c.Info(t.Context(), "stats").Val() != "" && evicted(w) == 0; i++ {
		w.do("SET", fmt.Sprint("fill:", i), strings.Repeat("x", 10_000), "EX", "1000")
	}
	s := w.settle(c)
	if s.Verdict != engine.VerdictUnknown {
		t.Errorf("settled as %+v", s)
	}
	has(t, strings.Join(s.Evidence, "\n"), "evicted")
	// Now the fence stands, and a person's word is enough.
	c.Attempt = 2
	succeeded(t, w.execute(c))
}

func evicted(w *world) int {
	_, rest, _ := strings.Cut(w.c.Info(context.Background(), "stats").Val(), "evicted_keys:")
	n := 0
	_, _ = fmt.Sscanf(rest, "%d", &n)
	return n
}

func TestMissingMarkerProvesNothingWhenItMayHaveExpired(t *testing.T) {
	w := newWorld(t)
	c := call("transaction", transaction(words("INCR", "n")))
	w.prepare(&c)
	c.Seen.(engine.Record)["at"] = time.Now().Add(-31 * 24 * time.Hour)
	s := w.settle(c)
	if s.Verdict != engine.VerdictUnknown {
		t.Errorf("settled as %+v", s)
	}
	has(t, strings.Join(s.Evidence, "\n"), "720h")
	c.Token = "run/again"
	inDoubt(t, w.executeIn(t.Context(), c, true), "no marker", "720h")
}

func TestSensitiveResultIsNotKeptInTheMarker(t *testing.T) {
	w := newWorld(t)
	w.do("SET", "a", "a-secret-thing")
	c := call("transaction", transaction(words("INCR", "n"), words("GET", "a")))
	c.Sensitive = true
	same(t, succeeded(t, w.execute(c))["values"], words(int64(1), "a-secret-thing"))
	if strings.Contains(fmt.Sprint(w.do("HGETALL", marker)), "secret") {
		t.Error("it stands in the marker")
	}
	o := w.executeIn(t.Context(), c, true)
	if o.Effect != engine.EffectStands {
		t.Errorf("again: %+v", o)
	}
	has(t, o.Err, "was carried out", "sensitive")
}

func TestResultThatIsTooLargeSaysThatTheEffectStands(t *testing.T) {
	w := newWorld(t)
	w.do("SET", "a", strings.Repeat("x", 2<<20))
	for _, c := range []engine.Call{
		call("transaction", transaction(words("INCR", "n"), words("GET", "a"))),
		call("do", engine.Record{"do": words("GETSET", "a", "b")}),
	} {
		o := w.execute(c)
		if o.Effect != engine.EffectStands || o.InDoubt {
			t.Errorf("%+v", o)
		}
		has(t, o.Err, "more than the 1048576 that can be kept")
	}
	w.do("SET", "a", strings.Repeat("x", 2<<20))
	failed(t, w.execute(call("do", engine.Record{"do": words("GET", "a")})), "more than the 1048576")
}

func TestScriptSeesItsKeysAndArguments(t *testing.T) {
	w := newWorld(t)
	w.do("SELECT", "0")
	c := call("script", engine.Record{"keys": words("{a}:1", words("{a}:2")), "args": words(int64(7), "x"),
		"script": `-- a comment at the end must not swallow anything
		local all = {#KEYS, #ARGV, KEYS[2], ARGV[1] + 1, 2.5, true, false, 'after'}
		redis.call('SELECT', 1)
		redis.call('SET', KEYS[1], ARGV[2])
		return {#KEYS, #ARGV, KEYS[2], ARGV[1] + 1, 2.5, true, {ok = 'FINE'}, {'deep', {}}} -- end`})
	same(t, succeeded(t, w.execute(c))["value"],
		words(int64(2), int64(2), "{a}:2", int64(8), 2.5, int64(1), "FINE", words("deep", engine.List{})))
	if w.do("HGET", "handrail:{a}:run/s", "state") != "done" {
		t.Error("a script that went to another database took its marker along")
	}
}

func TestUserWithoutScriptsGetsATransactionThatIsNeverRepeated(t *testing.T) {
	w := newWorld(t)
	w.do("ACL", "SETUSER", "plain", "on", ">pw-of-plain", "~*", "+@all", "-eval", "-evalsha")
	w.do("ACL", "SETUSER", "narrow", "on", ">pw-of-narrow", "~app:*", "+@all")
	for user, password := range map[string]string{"plain": "pw-of-plain", "narrow": "pw-of-narrow"} {
		t.Run(user, func(t *testing.T) {
			w.do("DEL", "app:n", "app:text")
			as := w.with(engine.Record{"user": user, "password": engine.NewSecret("pw", password)})
			c := call("transaction", transaction(words("INCR", "app:n"), words("GET", "app:none")))
			if im := as.preview(c); im.Class != engine.ClassUnrepeatable || len(im.Warnings) == 0 {
				t.Errorf("the plan says %+v", im)
			}
			if p := as.prepare(&c); p.Class != engine.ClassUnrepeatable || p.Why == "" {
				t.Errorf("prepared: %+v", p)
			}
			same(t, succeeded(t, as.execute(c))["values"], words(int64(1), nil))
			if len(as.rec.Notes()) != 1 {
				t.Errorf("notes: %v", as.rec.Notes())
			}
			w.do("SET", "app:text", "x")
			c.Params = transaction(words("LPUSH", "app:text", "x"), words("INCR", "app:n"))
			inDoubt(t, as.execute(c), "1 of 2 commands were applied")
			c.Params = transaction(words("GET", "app:text"))
			script := call("script", engine.Record{"script": "return redis.call('INCR', KEYS[1])", "keys": words("app:n")})
			script.Class = engine.ClassUnrepeatable
			if o := as.execute(script); (user == "narrow") != (o.Err == "") || o.InDoubt {
				t.Errorf("script: %+v", o)
			}
		})
	}
}

func TestUserWhoMayNotAskTheServerAboutItself(t *testing.T) {
	w := newWorld(t)
	w.do("ACL", "SETUSER", "app", "on", ">pw-of-app", "~*", "+@all", "-@dangerous", "-@admin")
	as := w.with(engine.Record{"user": "app", "password": engine.NewSecret("pw", "pw-of-app")})
	c := call("transaction", transaction(words("INCR", "n")))
	if p := as.prepare(&c); p.Class != engine.ClassUnset {
		t.Errorf("prepared: %+v", p)
	}
	if im := as.preview(c); len(im.Warnings) == 0 {
		t.Errorf("the plan does not say what it could not see: %+v", im)
	}
	if s := as.settle(c); s.Verdict != engine.VerdictUnknown || !s.Dead {
		t.Errorf("settled as %+v", s)
	}
	c.Attempt = 2
	succeeded(t, as.execute(c))
	if s := as.settle(c); s.Verdict != engine.VerdictDone {
		t.Errorf("settled as %+v", s)
	}
	succeeded(t, as.execute(call("do", do("SET", "a", "b"))))
	as.preview(call("do", do("SET", "a", "b")))
	w.fill("r:", 100, 0)
	as.preview(sweepOf("r:*", "ttl == -1", nil))
	succeeded(t, as.execute(sweepOf("r:*", "ttl == -1", nil)))
	failed(t, as.execute(call("snapshot", snapshot)), "NOPERM")
}
