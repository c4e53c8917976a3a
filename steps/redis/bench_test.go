package redis_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/redis"
	"github.com/handrail-dev/handrail/steps/steptest"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// world is one server and the steps that act on it.
type world struct {
	t      testing.TB
	server *servers.RedisServer
	c      *goredis.Client
	target steps.Target
	rec    *steptest.Recorder // of the last env
}

func newWorld(t testing.TB, args ...string) *world {
	t.Helper()
	s := servers.Redis(t, args...)
	return &world{t: t, server: s, c: s.Client(), target: targetOf(s.Settings())}
}

func targetOf(settings engine.Record) steps.Target {
	return steps.Target{Name: "cache", Type: "redis", Settings: settings}
}

// with is the same world seen with other settings of the target.
func (w world) with(settings engine.Record) *world {
	all := w.server.Settings()
	for k, v := range settings {
		all[k] = v
	}
	w.target = targetOf(all)
	return &w
}

// do prepares the server, by the test itself.
func (w *world) do(args ...any) any {
	w.t.Helper()
	v, err := w.c.Do(context.Background(), args...).Result()
	if err != nil && !errors.Is(err, goredis.Nil) {
		w.t.Fatalf("%v: %v", args, err)
	}
	return v
}

func call(operation string, params engine.Record) engine.Call {
	return engine.Call{Step: "s", ID: "s", Kind: "redis", Operation: operation, Target: "cache", Params: params,
		Token: "run/s", Attempt: 1, Epoch: 1}
}

func (w *world) decode(c engine.Call) steps.Operation {
	w.t.Helper()
	op, err := redis.New().Decode(c.Operation, c.Params)
	if err != nil {
		w.t.Fatal(err)
	}
	return op
}

func (w *world) env(c engine.Call, access steps.Access) *steps.Env {
	w.t.Helper()
	env, rec := steptest.Env(w.t, redis.New(), c, w.target, access)
	w.rec = rec
	return env
}

// prepare leaves in the call what was seen.
func (w *world) prepare(c *engine.Call) engine.Preparation {
	w.t.Helper()
	p, err := w.decode(*c).(steps.Preparer).Prepare(w.t.Context(), w.env(*c, steps.Full))
	if err != nil {
		w.t.Fatal(err)
	}
	c.Seen = p.Seen
	if p.Class != engine.ClassUnset {
		c.Class = p.Class
	}
	return p
}

func (w *world) execute(c engine.Call) engine.Outcome {
	w.t.Helper()
	return w.executeIn(w.t.Context(), c, false)
}

func (w *world) executeIn(ctx context.Context, c engine.Call, again bool) engine.Outcome {
	w.t.Helper()
	env := w.env(c, steps.Full)
	env.Again = again
	return w.decode(c).Execute(ctx, env)
}

func (w *world) settle(c engine.Call) engine.Settlement {
	w.t.Helper()
	env := w.env(c, steps.Full)
	env.Again = true
	return w.decode(c).(steps.Settler).Settle(w.t.Context(), env)
}

func (w *world) preview(c engine.Call) engine.Impact {
	w.t.Helper()
	im, err := w.decode(c).Preview(w.t.Context(), w.env(c, steps.ReadOnly))
	if err != nil {
		w.t.Fatal(err)
	}
	return im
}

func succeeded(t testing.TB, o engine.Outcome) engine.Record {
	t.Helper()
	if o.Err != "" || o.InDoubt {
		t.Fatalf("did not succeed: %+v", o)
	}
	return o.Result
}

// failed: with these words, and with nothing changed.
func failed(t testing.TB, o engine.Outcome, contains ...string) {
	t.Helper()
	if o.Err == "" || o.InDoubt || o.Effect != engine.EffectNone {
		t.Fatalf("wanted a failure without effect, got %+v", o)
	}
	has(t, o.Err, contains...)
}

func inDoubt(t testing.TB, o engine.Outcome, evidence ...string) {
	t.Helper()
	if !o.InDoubt {
		t.Fatalf("wanted a doubt, got %+v", o)
	}
	has(t, strings.Join(o.Evidence, "\n"), evidence...)
}

func has(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is missing in %q", p, text)
		}
	}
}

func same(t testing.TB, got, want engine.Value) {
	t.Helper()
	a, err := engine.AppendValue(nil, got)
	if err != nil {
		t.Fatal(err)
	}
	b, err := engine.AppendValue(nil, want)
	if err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) {
		t.Errorf("got %s\nwant %s", a, b)
	}
}

// eventually waits for something that another goroutine or process brings about.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	limit := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-limit:
			t.Fatalf("%s: did not come about", what)
		case <-tick.C:
		}
	}
}

// stuck: the server does not answer, or says that it is busy, because it is in the middle of a script.
func stuck(t testing.TB, addr string) bool {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 16)
	n, err := conn.Read(said)
	return err != nil || strings.HasPrefix(string(said[:n]), "-BUSY") // AFTER a while it says so at once
}

// cut is what a wiretap does to a request.
type cut int

const (
	noCut     cut = iota
	onAnswer      // the request goes through; its answer does not
	whileBusy     // the request goes through; the client is cut off while the server works on it
	holdBack      // the client is cut off; the request goes through when it is released
)

// wiretap stands between a client and a server, and cuts one request.
type wiretap struct {
	addr, to string
	t        testing.TB

	mu      sync.Mutex
	trigger string // the request that ends in this word
	how     cut
	held    []held
	hits    int
}

type held struct {
	to   net.Conn
	data []byte
}

func newWiretap(t testing.TB, to string) *wiretap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wiretap{addr: l.Addr().String(), to: to, t: t}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				_ = client.Close()
				continue
			}
			go w.pass(client, server)
		}
	}()
	return w
}

// pass carries one connection.
func (w *wiretap) pass(client, server net.Conn) {
	var deaf atomic.Bool
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			if err != nil || deaf.Load() {
				_ = client.Close()
				return
			}
			_, _ = client.Write(buf[:n])
		}
	}()
	var request []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			_ = server.Close()
			return
		}
		request = append(request[max(0, len(request)-4096):], buf[:n]...)
		how := w.judge(string(request))
		if how == holdBack {
			w.mu.Lock()
			w.held = append(w.held, held{server, append([]byte(nil), buf[:n]...)})
			w.mu.Unlock()
			_ = client.Close()
			return
		}
		deaf.Store(how != noCut)
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
		if how == whileBusy {
			eventually(w.t, "the server is busy", func() bool { return stuck(w.t, w.to) })
			_ = client.Close()
		}
		if how != noCut {
			return
		}
	}
}

func (w *wiretap) judge(request string) cut {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.trigger == "" || !strings.HasSuffix(request, "\r\n"+w.trigger+"\r\n") {
		return noCut
	}
	w.hits++
	w.trigger = ""
	return w.how
}

func (w *wiretap) cutAt(trigger string, how cut) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trigger, w.how = trigger, how
}

// release delivers what was held back.
func (w *wiretap) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range w.held {
		_, _ = h.to.Write(h.data)
	}
}

func (w *wiretap) settings() engine.Record { return engine.Record{"address": w.addr} }
