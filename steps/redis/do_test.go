package redis_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/redis"
	"github.com/handrail-dev/handrail/steps/steptest"
)

func do(w ...engine.Value) engine.Record { return engine.Record{"do": engine.List(w)} }

func TestClassOfACommand(t *testing.T) {
	op, _ := redis.New().Define().Operation("do")
	unknown := engine.Unknown{}
	for _, c := range []struct {
		words engine.List
		class engine.Class
		risk  engine.Risk
	}{
		{words("PING"), engine.ClassRead, engine.RiskReads},
		{words("config", "get", "maxmemory"), engine.ClassRead, engine.RiskReads},
		{words("CONFIG", "SET", "maxmemory", unknown), engine.ClassIdempotent, engine.RiskChanges},
		{words("SCRIPT", "EXISTS", "x"), engine.ClassRead, engine.RiskReads},
		{words("MEMORY", "USAGE", unknown), engine.ClassRead, engine.RiskReads},
		{words("MEMORY", "PURGE"), engine.ClassIdempotent, engine.RiskChanges},
		{words("CLIENT", "LIST"), engine.ClassRead, engine.RiskReads},
		{words("CLIENT", "KILL", "ID", "7"), engine.ClassUnrepeatable, engine.RiskChanges},
		{words("SET", "k", "v", "EX", "10"), engine.ClassIdempotent, engine.RiskChanges},
		{words("SET", "k", unknown), engine.ClassIdempotent, engine.RiskChanges},
		{words("SET", "k", "NX"), engine.ClassIdempotent, engine.RiskChanges},
		{words("SET", "k", "v", "nx"), engine.ClassUnrepeatable, engine.RiskChanges},
		{words("SET", "k", "v", unknown), engine.ClassUnrepeatable, engine.RiskChanges},
		{words("DEL", "k"), engine.ClassIdempotent, engine.RiskDestroys},
		{words("EXPIRE", "k", "10"), engine.ClassIdempotent, engine.RiskChanges},
		{words("INCR", "k"), engine.ClassUnrepeatable, engine.RiskChanges},
		{words("ZADD", "k", "1", "m"), engine.ClassIdempotent, engine.RiskChanges},
		{words("ZADD", "k", "INCR", "1", "m"), engine.ClassUnrepeatable, engine.RiskChanges},
		{words("SORT", "k"), engine.ClassRead, engine.RiskReads},
		{words("SORT", "k", "STORE", "d"), engine.ClassIdempotent, engine.RiskChanges},
		{words("SORT", "k", unknown), engine.ClassIdempotent, engine.RiskChanges},
		{words("SUNIONSTORE", "d", "a", "b"), engine.ClassIdempotent, engine.RiskChanges},
		{words("ZUNIONSTORE", "d", "2", "d", "b"), engine.ClassUnrepeatable, engine.RiskChanges},
		{words("BITOP", "NOT", "a", "a"), engine.ClassUnrepeatable, engine.RiskChanges},
		{words("BITOP", "NOT", "a", "b"), engine.ClassIdempotent, engine.RiskChanges},
		{words("REPLICAOF", "NO", "ONE"), engine.ClassIdempotent, engine.RiskChanges},
		{words("REPLICAOF", "host", "6379"), engine.ClassIdempotent, engine.RiskIrreversible},
		{words("FLUSHALL"), engine.ClassUnrepeatable, engine.RiskIrreversible},
		{words("EVAL", "return 1", "0"), engine.ClassUnrepeatable, engine.RiskDestroys},
		{words("JSON.SET", "a", "$", "1"), engine.ClassUnrepeatable, engine.RiskDestroys},
	} {
		j := op.Judge(engine.Proposal{Params: engine.Record{"do": c.words}})
		if len(j.Problems) > 0 || j.Class != c.class || j.Risk != c.risk {
			t.Errorf("%v: %s, %s, %v; want %s, %s", c.words, j.Class, j.Risk, j.Problems, c.class, c.risk)
		}
	}
	for text, want := range map[string]string{"GTE": "did you mean GET?", "CONFG GET": "did you mean CONFIG", "FLUSHAL": "FLUSHALL",
		"CONFIG STE": "CONFIG SET", "HGETAL": "HGETALL"} {
		var w engine.List
		for _, f := range strings.Fields(text) {
			w = append(w, f)
		}
		j := op.Judge(engine.Proposal{Params: engine.Record{"do": w}})
		if len(j.Problems) != 1 || !strings.Contains(j.Problems[0].Message, want) {
			t.Errorf("%s: %v", text, j.Problems)
		}
	}
	for _, w := range []engine.Value{unknown, words(unknown, "a"), words("CONFIG", unknown), words("XREAD", "BLOCK", "0", "STREAMS", "s", "$"), words("GET key")} {
		if j := op.Judge(engine.Proposal{Params: engine.Record{"do": w}}); len(j.Problems) != 1 {
			t.Errorf("%v: %v", w, j.Problems)
		}
	}
}

// The server itself says which commands read and which write; the table must never call a writing one a
// reading one, and must know every command that the server has.
func TestTableAgreesWithTheServer(t *testing.T) {
	w := newWorld(t)
	op, _ := redis.New().Define().Operation("do")
	judge := func(name string) engine.Judgement {
		var words engine.List
		for _, part := range strings.Split(strings.ToUpper(name), "|") {
			words = append(words, part)
		}
		return op.Judge(engine.Proposal{Params: engine.Record{"do": words}})
	}
	// Known to read although the server calls them writing, and the other way round, each for its reason.
	exceptions := map[string]bool{
		"sort":  true, // reads without STORE
		"touch": true, // changes the time of the last access
	}
	check := func(entry []any) {
		name := fmt.Sprint(entry[0])
		flags := fmt.Sprint(entry[2])
		j := judge(name)
		if len(j.Problems) > 0 && strings.Contains(j.Problems[0].Message, "there is no command") {
			t.Errorf("%s is not in the table", name)
		}
		if len(j.Problems) > 0 || exceptions[name] {
			return
		}
		if strings.Contains(flags, "write") && j.Class == engine.ClassRead {
			t.Errorf("%s writes, and the table says that it reads", name)
		}
		if strings.Contains(flags, "readonly") && j.Class != engine.ClassRead {
			t.Errorf("%s reads, and the table says that it is %s", name, j.Class)
		}
	}
	for _, e := range w.do("COMMAND").([]any) {
		entry := e.([]any)
		subs, _ := entry[9].([]any)
		if len(subs) == 0 {
			check(entry)
		}
		for _, s := range subs {
			check(s.([]any))
		}
	}
}

func TestRepliesKeepTheirTypes(t *testing.T) {
	w := newWorld(t)
	w.do("HSET", "h", "a", "1", "b", "\xff")
	w.do("ZADD", "z", "1.5", "m")
	for _, c := range []struct{ words, want engine.Value }{
		{words("GET", "none"), nil},
		{words("PING"), "PONG"},
		{words("HGETALL", "h"), engine.Record{"a": "1", "b": engine.Bytes("\xff")}},
		{words("ZSCORE", "z", "m"), 1.5},
		{words("HLEN", "h"), int64(2)},
		{words("HMGET", "h", "a", "none"), words("1", nil)},
		{words("CONFIG", "GET", "maxmemory"), engine.Record{"maxmemory": "0"}},
		{words("ECHO", engine.Bytes("\x00")), "\x00"},
		{words("EXISTS", words("h", "z", "none")), int64(2)},
	} {
		same(t, succeeded(t, w.execute(call("do", engine.Record{"do": c.words})))["value"], c.want)
	}
}

func TestLostCommandIsInDoubtAndItsConnectionIsEnded(t *testing.T) {
	w := newWorld(t)
	tap := newWiretap(t, w.server.Addr)
	through := w.with(tap.settings())
	tap.cutAt("n", holdBack)
	c := call("do", do("INCR", "n"))
	c.Class = engine.ClassUnrepeatable
	inDoubt(t, through.execute(c), "INCR was sent", "no answer came")
	notes := through.rec.Notes()
	if len(notes) != 1 {
		t.Fatalf("notes: %v", notes)
	}
	c.Note = notes[0]
	s := w.settle(c)
	if s.Verdict != engine.VerdictUnknown || !s.Dead {
		t.Errorf("settled as %+v", s)
	}
	tap.release()
	if got := w.do("EXISTS", "n"); got != int64(0) {
		t.Error("the late command arrived after its connection was said to be dead")
	}
	// An idempotent command may simply be sent again.
	tap.cutAt("n", onAnswer)
	o := through.execute(call("do", do("SET", "m", "n")))
	if o.InDoubt || o.Effect != engine.EffectUnknown || !o.Transient {
		t.Errorf("%+v", o)
	}
}

func TestNothingNotedMeansNothingSent(t *testing.T) {
	w := newWorld(t)
	c := call("do", do("INCR", "n"))
	c.Class = engine.ClassUnrepeatable
	if s := w.settle(c); s.Verdict != engine.VerdictNotDone || !s.Dead {
		t.Errorf("settled as %+v", s)
	}
	env := w.env(c, steps.Full)
	w.rec.OnNote = func(engine.Value) error { return context.Canceled }
	failed(t, w.decode(c).Execute(t.Context(), env))
	if w.do("EXISTS", "n") != int64(0) {
		t.Error("the command was sent although its note was not durable")
	}
	succeeded(t, w.execute(c))
	c.Note = w.rec.Notes()[0]
	w.server.Kill()
	w.server.Restart()
	if s := w.settle(c); s.Verdict != engine.VerdictUnknown || !s.Dead {
		t.Errorf("settled as %+v", s)
	}
}

func TestEachErrorHasItsRemedy(t *testing.T) {
	w := newWorld(t, "--requirepass", "the-password")
	password := engine.NewSecret("p", "the-password")
	in := w.with(engine.Record{"password": password})
	w.c = goredis.NewClient(&goredis.Options{Addr: w.server.Addr, Password: "the-password"})
	t.Cleanup(func() { _ = w.c.Close() })
	in.c = w.c
	write := call("do", do("SET", "k", strings.Repeat("x", 100)))
	atomic := call("transaction", transaction(words("SET", "k", "v")))

	t.Run("no password", func(t *testing.T) { failed(t, w.execute(write), "NOAUTH", "`password`") })
	t.Run("wrong password", func(t *testing.T) {
		o := w.with(engine.Record{"password": engine.NewSecret("p", "not-the-password")}).execute(write)
		failed(t, o, "WRONGPASS", "`user` and `password`")
		if strings.Contains(o.Err, "not-the-password") {
			t.Error("the password is in the message")
		}
	})
	t.Run("no right", func(t *testing.T) {
		w.do("ACL", "SETUSER", "reader", "on", ">pw-of-reader", "~*", "+@read")
		as := w.with(engine.Record{"user": "reader", "password": engine.NewSecret("p", "pw-of-reader")})
		failed(t, as.execute(write), "NOPERM", "ACL SETUSER")
		succeeded(t, as.execute(call("do", do("GET", "k"))))
	})
	t.Run("out of memory", func(t *testing.T) {
		w.do("CONFIG", "SET", "maxmemory", "1mb", "maxmemory-policy", "noeviction")
		defer w.do("CONFIG", "SET", "maxmemory", "0")
		failed(t, in.execute(write), "OOM", "nothing was changed", "maxmemory")
		failed(t, in.execute(atomic), "OOM", "nothing was changed")
		if im := in.preview(write); len(im.Warnings) == 0 || !strings.Contains(im.Warnings[0], "nearly used up") {
			t.Errorf("the plan says %+v", im)
		}
	})
	t.Run("unknown command", func(t *testing.T) {
		failed(t, in.execute(call("do", do("JSON.GET", "k"))), "does not know this command", "`rename`")
	})
	t.Run("wrong type", func(t *testing.T) {
		w.do("RPUSH", "list", "a")
		failed(t, in.execute(call("do", do("INCR", "list"))), "WRONGTYPE")
	})
	t.Run("busy", func(t *testing.T) {
		w.do("CONFIG", "SET", "busy-reply-threshold", "50")
		running := make(chan engine.Outcome, 1)
		other := *in
		go func() { running <- other.execute(call("script", busy(1500))) }()
		eventually(t, "busy", func() bool {
			err := w.c.Do(context.Background(), "GET", "k").Err()
			return err != nil && strings.HasPrefix(err.Error(), "BUSY")
		})
		o := in.execute(write)
		failed(t, o, "BUSY", "SCRIPT KILL")
		if !o.Transient {
			t.Error("a busy server may be tried again")
		}
		succeeded(t, <-running)
	})
}

func TestServerThatCannotBeReached(t *testing.T) {
	w := newWorld(t)
	w.server.Kill()
	for _, c := range []engine.Call{call("do", do("PING")), call("do", do("INCR", "n")), call("transaction", transaction(words("INCR", "n")))} {
		o := w.execute(c)
		failed(t, o, "cannot be reached", "nothing was sent")
		if !o.Transient {
			t.Error("it may be tried again")
		}
	}
}

func TestServerThatIsStillLoading(t *testing.T) {
	// miniredis as a server that answers whatever the test wants.
	m := miniredis.RunT(t)
	w := &world{t: t, target: targetOf(engine.Record{"address": m.Addr()})}
	m.SetError("LOADING Redis is loading the dataset in memory")
	for _, c := range []engine.Call{call("do", do("PING")), call("do", do("INCR", "n")), call("transaction", transaction(words("INCR", "n"))),
		call("sweep", engine.Record{"sweep": engine.Record{"match": "a"}})} {
		o := w.execute(c)
		failed(t, o, "still loading", "nothing was changed")
		if !o.Transient {
			t.Errorf("%s: it may be tried again", c.Operation)
		}
	}
}

func TestServerThatCannotSaveRefusesWrites(t *testing.T) {
	w := newWorld(t)
	w.do("CONFIG", "SET", "save", "3600 1")
	if err := os.RemoveAll(w.server.Dir); err != nil {
		t.Fatal(err)
	}
	o := w.execute(call("snapshot", engine.Record{"snapshot": engine.Record{}}))
	if o.Err == "" {
		t.Fatal("a snapshot without a folder succeeded")
	}
	has(t, o.Err, "snapshot failed", "server's log", "folder")
	failed(t, w.execute(call("do", do("SET", "a", "b"))), "MISCONF", "nothing was changed")
	failed(t, w.execute(call("transaction", transaction(words("SET", "a", "b")))), "MISCONF", "nothing was changed")
	if im := w.preview(call("snapshot", engine.Record{"snapshot": engine.Record{}})); len(im.Warnings) == 0 {
		t.Errorf("the plan does not warn: %+v", im)
	}
}

func TestReplicaIsRefused(t *testing.T) {
	master := newWorld(t)
	w := newWorld(t)
	host, port, _ := strings.Cut(master.server.Addr, ":")
	w.do("REPLICAOF", host, port)
	eventually(t, "replication", func() bool {
		return strings.Contains(w.c.Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
	for _, writable := range []string{"yes", "no"} {
		w.do("CONFIG", "SET", "replica-read-only", writable)
		for _, c := range []engine.Call{call("do", do("SET", "a", "b")), call("transaction", transaction(words("SET", "a", "b"))),
			call("sweep", engine.Record{"sweep": engine.Record{"match": "a"}})} {
			failed(t, w.execute(c), "it is a replica of "+master.server.Addr, "nothing was sent")
			if im := w.preview(c); im.Standing != engine.StandingUnknown || !strings.Contains(im.Why, master.server.Addr) {
				t.Errorf("the plan says %+v", im)
			}
		}
		if _, err := w.decode(call("transaction", transaction(words("SET", "a", "b")))).(steps.Preparer).
			Prepare(t.Context(), w.env(call("transaction", nil), steps.Full)); err == nil {
			t.Error("a replica was taken for a transaction")
		}
	}
	// What is about the server and not its data is done there.
	succeeded(t, w.execute(call("do", do("CONFIG", "SET", "maxmemory", "0"))))
	succeeded(t, w.execute(call("snapshot", engine.Record{"snapshot": engine.Record{}})))
	r := succeeded(t, master.execute(call("info", engine.Record{"info": "replication"})))
	replicas := r["replication"].(engine.Record)["replicas"].(engine.List)
	if len(replicas) != 1 || replicas[0].(engine.Record)["state"] != "online" {
		t.Errorf("replicas: %v", replicas)
	}
}

func TestRenamedCommands(t *testing.T) {
	w := newWorld(t, "--rename-command", "CONFIG", "CONFIG_abc", "--rename-command", "FLUSHALL", "")
	o := w.execute(call("do", do("CONFIG", "GET", "maxmemory")))
	failed(t, o, "rename")
	as := w.with(engine.Record{"rename": engine.Record{"config": "CONFIG_abc", "FLUSHALL": ""}})
	same(t, succeeded(t, as.execute(call("do", do("CONFIG", "GET", "maxmemory"))))["value"], engine.Record{"maxmemory": "0"})
	succeeded(t, as.execute(call("do", do("CONFIG", "SET", "maxmemory", "100mb"))))
	if im := as.preview(call("do", do("CONFIG", "SET", "maxmemory", "200mb"))); len(im.Facts) != 1 || !strings.Contains(im.Facts[0].Value, "104857600 now") {
		t.Errorf("the plan says %+v", im)
	}
	failed(t, as.execute(call("do", do("FLUSHALL"))), "disabled")
}

func TestShutdownThatEndsTheServerSucceeds(t *testing.T) {
	w := newWorld(t)
	succeeded(t, w.execute(call("do", do("SHUTDOWN", "NOSAVE"))))
}

// The client itself would wait for the answer, which comes AFTER the sleep.
func TestCancelledCallDoesNotWaitForItsAnswer(t *testing.T) {
	w := newWorld(t, "--enable-debug-command", "yes")
	c := call("do", do("GET", "a"))
	env := w.env(c, steps.Full)
	succeeded(t, w.decode(c).Execute(t.Context(), env)) // the connection stands now
	go func() { _ = w.server.Client().Do(context.Background(), "DEBUG", "SLEEP", "2").Err() }()
	eventually(t, "asleep", func() bool { return stuck(t, w.server.Addr) })
	ctx, cancel := context.WithCancel(t.Context())
	timer := time.AfterFunc(100*time.Millisecond, cancel)
	defer timer.Stop()
	failed(t, w.decode(c).Execute(ctx, env), "stopped before the server's answer was there")
}

func TestPreviewSaysWhatTheServerHoldsNow(t *testing.T) {
	w := newWorld(t, "--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru")
	w.do("SET", "a", "1", "EX", "3600")
	w.do("SET", "b", "1")
	im := w.preview(call("do", do("DEL", "a", "b", "none")))
	text := fmt.Sprintf("%+v", im)
	has(t, text, "string, expires in 1h0m0s", "string, does not expire", "does not exist", "allkeys-lru")
	if len(im.Figures) != 2 || im.Figures[0].Value != 2 || im.Figures[0].Certainty != engine.FigureExact {
		t.Errorf("figures: %+v", im.Figures)
	}
	im = w.preview(call("do", do("FLUSHALL")))
	if im.Risk != engine.RiskIrreversible || im.Figures[0].Value != 2 {
		t.Errorf("%+v", im)
	}
	has(t, strings.Join(im.Warnings, "\n"), "cannot be taken back", "wipes: true")
	has(t, strings.Join(w.preview(call("do", do("SAVE"))).Warnings, "\n"), "stops the server")
	im = w.preview(call("do", do("SET", "a", engine.Unknown{After: "x"})))
	has(t, im.Would, "SET a …")
	im = w.preview(call("transaction", transaction(words("INCR", "b"), words("DEL", "a"))))
	has(t, fmt.Sprintf("%+v", im), "INCR b", "DEL a", "evict the marker")
	if im.Risk != engine.RiskDestroys {
		t.Errorf("risk %s", im.Risk)
	}
}

// Every operation under a read-only connection, even if its own code were wrong about the access: nothing
// but reads reaches the server.
func TestReadOnlyConnectionLetsNothingThatWritesReachTheServer(t *testing.T) {
	w := newWorld(t, "--appendonly", "yes")
	w.do("SET", "a", "1")
	lines := monitor(t, w.server.Addr)

	calls := []engine.Call{
		call("do", do("INCR", "a")), call("do", do("incr", "a")), call("do", do("EVAL", "return 1", "0")), call("do", do("FLUSHALL")),
		call("do", do("CONFIG", "SET", "maxmemory", "1gb")), call("do", do("NO.SUCH", "a")), call("do", do("SHUTDOWN")),
		call("do", do("SORT", "a", "STORE", "b")), call("do", do("KEYS", "*")), call("do", do("TOUCH", "a")),
		call("do", do("ACL", "LOG", "RESET")), call("do", do("GETEX", "a", "EX", "1")),
		call("transaction", transaction(words("INCR", "a"))), call("script", engine.Record{"script": "return redis.call('INCR', 'a')"}),
		call("snapshot", engine.Record{"snapshot": engine.Record{}}), call("rewrite_aof", engine.Record{"rewrite_aof": engine.Record{}}),
		call("sweep", engine.Record{"sweep": engine.Record{"match": "*"}}),
	}
	var conns []io.Closer
	for _, c := range calls {
		for _, access := range []steps.Access{steps.ReadOnly, steps.Full} {
			conn, err := redis.New().Connect(t.Context(), w.target, steps.ReadOnly)
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
			env := steps.NewEnv(c, w.target, access, &steptest.Recorder{}, open(conn), nil)
			o := w.decode(c).Execute(t.Context(), env)
			if o.Err == "" || o.InDoubt || o.Effect != engine.EffectNone {
				t.Errorf("%s %v: %+v", c.Operation, c.Params, o)
			}
		}
	}
	for _, conn := range conns {
		_ = conn.Close()
	}
	w.do("PING", "the end")
	for lines.Scan() {
		line := lines.Text()
		if strings.Contains(line, "the end") {
			break
		}
		_, rest, _ := strings.Cut(line, `"`)
		name := strings.ToLower(strings.SplitN(rest, `"`, 2)[0])
		switch name {
		case "hello", "client", "ping", "role", "info", "dbsize", "scan", "command", "":
		default:
			t.Errorf("this reached the server: %s", line)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if w.do("GET", "a") != "1" {
		t.Error("something was written")
	}
}

func open(conn io.Closer) func(context.Context, steps.Target) (io.Closer, error) {
	return func(context.Context, steps.Target) (io.Closer, error) { return conn, nil }
}

// monitor gives every command that reaches a server from now on, a line each.
func monitor(t testing.TB, addr string) *bufio.Scanner {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("MONITOR\r\n")); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(conn)
	if !lines.Scan() || lines.Text() != "+OK" {
		t.Fatalf("MONITOR: %q %v", lines.Text(), lines.Err())
	}
	return lines
}
