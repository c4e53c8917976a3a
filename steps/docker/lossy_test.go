package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types"
	apicontainer "github.com/docker/docker/api/types/container"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/internal/torture"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// way is a direction through the proxy.
type way int

const (
	toEngine way = iota
	fromEngine
)

func (d way) String() string { return [...]string{"to the engine", "from the engine"}[d] }

// lossy stands before the test engine and cuts every connection when so many bytes have gone one way.
type lossy struct {
	w       *world
	address string

	mu     sync.Mutex
	open   map[net.Conn]bool
	counts bool
	sizes  [2][]int64 // of the pieces that have gone through since it counts
	cutIn  way
	left   int64 // bytes until the cut; negative: none
}

// lossy starts a proxy that cuts nothing yet.
func (w *world) lossy() *lossy {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	p := &lossy{w: w, address: l.Addr().String(), open: map[net.Conn]bool{}, left: -1}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { p.serve(conn) })
		}
	})
	w.t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		all.Wait()
	})
	return p
}

func (p *lossy) serve(conn net.Conn) {
	behind, err := p.w.plain.Dialer()(context.Background())
	if err != nil {
		_ = conn.Close()
		return
	}
	p.mu.Lock()
	p.open[conn], p.open[behind] = true, true
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.pass(behind, conn, toEngine) })
	both.Go(func() { p.pass(conn, behind, fromEngine) })
	both.Wait()
	p.mu.Lock()
	delete(p.open, conn)
	delete(p.open, behind)
	p.mu.Unlock()
	_ = conn.Close()
	_ = behind.Close()
}

// pass hands on what comes, up to the cut. The end of one direction is passed on as such.
func (p *lossy) pass(to, from net.Conn, d way) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			allowed, cut := p.take(d, int64(n))
			_, writeErr := to.Write(buf[:allowed])
			if cut {
				p.cut()
				return
			}
			if writeErr != nil {
				return
			}
		}
		if err != nil {
			if half, ok := to.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite()
			}
			return
		}
	}
}

// take says how many of n bytes may still go, and whether that is the end.
func (p *lossy) take(d way, n int64) (int64, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.counts {
		p.sizes[d] = append(p.sizes[d], n)
	}
	if p.left < 0 || d != p.cutIn {
		return n, false
	}
	if n < p.left {
		p.left -= n
		return n, false
	}
	n, p.left = p.left, -1
	return n, true
}

// cut resets every connection that there is, as a broken network does. Those to the client go first: the end
// of one behind them would be passed on to the client as a polite one.
func (p *lossy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
			_ = c.Close()
		}
	}
	for c := range p.open {
		_ = c.Close() // again, where it was closed
	}
}

// arm cuts AFTER so many more bytes in one direction.
func (p *lossy) arm(d way, after int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutIn, p.left = d, after
}

func (p *lossy) fired() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left < 0
}

// trial is an operation whose effect can be counted.
type trial struct {
	name      string
	operation string
	up        bool // it is about a container that is up
	params    func(*stage, *world) engine.Record
	count     func(s *stage, w *world, since time.Time) int
}

func trials() []trial {
	starts := func(name string) func(*stage, *world, time.Time) int {
		return func(_ *stage, w *world, since time.Time) int { return w.events(w.name(name), "start", since) }
	}
	lines := func(s *stage, w *world, _ time.Time) int { return strings.Count(s.read(w, "effect"), "\n") }
	return []trial{
		{"restart", "restart", true, func(s *stage, _ *world) engine.Record { return engine.Record{"restart": s.box} },
			func(s *stage, w *world, since time.Time) int { return w.events(s.box, "restart", since) }},
		{"run", "run", false, func(_ *stage, w *world) engine.Record {
			return engine.Record{"run": engine.Record{"name": w.name("svc"), "image": servers.Image, "network": "host", "command": engine.List{"sleep", "600"}}}
		}, starts("svc")},
		{"run a job", "run", false, func(_ *stage, w *world) engine.Record {
			return engine.Record{"run": engine.Record{"name": w.name("job"), "image": servers.Image, "network": "host", "command": engine.List{"sh", "-c", "echo done"}, "wait": "exit"}}
		}, starts("job")},
		{"exec", "exec", true, func(s *stage, w *world) engine.Record {
			return engine.Record{"exec": engine.Record{"container": s.box, "argv": engine.List{"sh", "-c", "echo x >>/ledger/" + w.name("effect") + "; echo done"}}}
		}, lines},
		{"exec with input", "exec", true, func(s *stage, w *world) engine.Record {
			return engine.Record{"exec": engine.Record{"container": s.box, "stdin": "one\ntwo\nthree\n",
				"argv": engine.List{"sh", "-c", "cat >/ledger/" + w.name("in") + "; echo x >>/ledger/" + w.name("effect")}}}
		}, lines},
	}
}

// stage is where the cuts of a trial happen: a container that is up, with a folder of this machine in it. Containers of trials have the
// machine's own network, which an engine has not to make: they start in less than half of the time.
type stage struct {
	trial

	w      *world
	box    string // the container
	ledger string
	told   map[string]bool // the failures that another attempt has followed
}

// ready has the container as it was in the run without a cut. Where a command has been made in it, started or not, the engine tells more of
// it, and every byte that comes after that would be another.
func (s *stage) ready() {
	s.w.t.Helper()
	if !s.up || s.box != "" && len(s.w.inspect(s.box).ExecIDs) == 0 {
		return
	}
	s.w.removeAll()
	s.box = s.w.create("up", &apicontainer.HostConfig{Binds: []string{s.ledger + ":/ledger"}, NetworkMode: "host"}, apicontainer.Config{})
	s.w.must(s.w.plain.ContainerStart(context.Background(), s.box, apicontainer.StartOptions{}))
}

// read is what the trial of a world has written to the ledger.
func (s *stage) read(w *world, name string) string {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.ledger, w.name(name)))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	return string(b)
}

// cuts are where to cut: in front of each piece that went through in a run without a cut, and inside of it; in
// the full column every byte. The last pieces are where the effect is, so the light one begins there.
func (p *lossy) cuts(d way) []int64 {
	var out []int64
	at := int64(0)
	for _, n := range p.sizes[d] {
		out = append(out, at, at+n/2)
		at += n
	}
	switch torture.How(p.w.t) {
	case torture.Full:
		out = out[:0]
		for i := range at {
			out = append(out, i)
		}
	case torture.Light:
		out = out[max(0, len(out)-8):]
	case torture.CI:
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TestConnectionsThatAreCutLoseAndRepeatNothing cuts the connection to the engine at every place, once, and
// asks the containers how often the effect happened: never twice, never lost, and told truly.
func TestConnectionsThatAreCutLoseAndRepeatNothing(t *testing.T) {
	for _, tr := range trials() {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			st := &stage{trial: tr, w: newLoneWorld(t), ledger: t.TempDir(), told: map[string]bool{}}
			st.ready()
			clean := newLoneWorld(t)
			p := clean.lossy()
			since := clean.engineTime()
			s := clean.at(engine.Record{"host": "tcp://" + p.address}).step(tr.operation, tr.params(st, clean))
			_, err := connect(context.Background(), s.env)
			clean.must(err)
			p.mu.Lock()
			p.counts = true
			p.mu.Unlock()
			s.prepared().ok()
			if n := tr.count(st, clean, since); n != 1 {
				t.Fatalf("without a cut the effect happened %d times", n)
			}
			places, cuts := 0, 0
			for _, d := range []way{toEngine, fromEngine} {
				all := p.cuts(d)
				t.Logf("%d places %s", len(all), d)
				for _, at := range all {
					if !torture.Mine(t, int(at)) {
						continue
					}
					places++
					st.ready()
					t.Run(fmt.Sprintf("%s at %d", d, at), func(t *testing.T) {
						if st.cutAt(t, d, at) {
							cuts++
						}
					})
				}
			}
			torture.Figure(t, 4, "cut at %d of %d places", cuts, places)
			// What goes through is not the same each time: on a busy machine the engine is asked once more or less how
			// things stand. So the last places may not be reached, and the light column has only those.
			least := places * 3 / 4
			if torture.How(t) == torture.Light {
				least = places / 2
			}
			if cuts < least {
				t.Errorf("the connection was cut at %d of %d places only", cuts, places)
			}
		})
	}
}

// cutAt makes one attempt whose connection is cut, goes on as the engine would, and counts.
// It says whether the place was reached.
func (s *stage) cutAt(t *testing.T, d way, at int64) bool {
	w := newLoneWorld(t)
	p := w.lossy()
	a := w.at(engine.Record{"host": "tcp://" + p.address}).step(s.operation, s.params(s, w))
	_, err := connect(context.Background(), a.env)
	w.must(err)
	since := w.engineTime()
	p.arm(d, at)
	var o engine.Outcome
	seen, err := a.op.(steps.Preparer).Prepare(context.Background(), a.env)
	if err != nil {
		o = failure(err) // nothing was intended
	} else {
		a.env.Call.Seen = w.journalled(seen.Seen)
		o = a.execute()
	}
	told := s.afterwards(w, a, o)
	if n := s.count(s, w, since); n != told {
		t.Errorf("it happened %d times, and %d were told: %+v", n, told, o)
	}
	if s.name == "exec with input" && o.Err == "" {
		if got := s.read(w, "in"); got != "one\ntwo\nthree\n" {
			t.Errorf("it is ok, and has read %q", got)
		}
	}
	return p.fired()
}

// goesOn: what may be made again goes on from an attempt of which nothing is known, and is not settled.
func (tr trial) goesOn() bool { return tr.operation != "exec" && !strings.HasSuffix(tr.name, "job") }

// afterwards does what a resume would do, and says how often the effect has happened by what was told.
func (s *stage) afterwards(w *world, a *act, o engine.Outcome) int {
	w.t.Helper()
	switch {
	case o.InDoubt:
		next := w.step(s.operation, a.env.Call.Params)
		next.env.Call.Note, next.env.Call.Seen, next.env.Again = a.env.Call.Note, a.env.Call.Seen, true
		if s.goesOn() {
			next.env.Call.Attempt = 2
			next.ok()
			return 1
		}
		x := next.op.(steps.Settler).Settle(context.Background(), next.env)
		if x.Verdict != engine.VerdictNotDone {
			return 1 // done, or a person decides and is shown that it ran
		}
	case o.Err == "", o.Effect == engine.EffectStands:
		return 1
	case torture.How(w.t) == torture.Full && o.Effect == engine.EffectNone:
		// What has failed without a trace is begun anew, and the cut is long over then. So that is tried once for each thing that can be told.
		what := volatile.ReplaceAllString(strings.NewReplacer(w.prefix, "", s.w.prefix, "").Replace(o.Err), "#")
		if s.told[what] {
			return 0
		}
		s.told[what] = true
	}
	return s.once(w, a)
}

// volatile is what differs in two messages that say the same: ids, ports, counts.
var volatile = regexp.MustCompile(`[0-9a-f]{12,}|[0-9]+`)

// once makes another attempt over a connection that holds, as the same step of the same run.
func (s *stage) once(w *world, a *act) int {
	w.t.Helper()
	next := w.step(s.operation, a.env.Call.Params)
	next.env.Call.Attempt = 2
	next.prepared().ok()
	return 1
}

// TestExecThatWritesToAClientThatIsGone: the engine calls it ended with code 126 when its output has nowhere to
// go, while its process goes on.
func TestExecThatWritesToAClientThatIsGone(t *testing.T) {
	w := newWorld(t)
	up := w.up("up")
	script := "echo begun >>/tmp/effect; until [ -e /tmp/go ]; do sleep 0.1; done; for i in 1 2 3; do echo out; sleep 1; done; echo ended >>/tmp/effect"
	p := w.lossy()
	s := w.at(engine.Record{"host": "tcp://" + p.address}).exec(up, script)
	got := make(chan engine.Outcome, 1)
	go func() { got <- s.execute() }()
	w.eventually("it has begun", func() bool { return w.sh(up, "cat /tmp/effect 2>/dev/null") == "begun" })
	p.cut()
	w.sh(up, "touch /tmp/go")
	o := <-got
	if effect := w.sh(up, "cat /tmp/effect"); effect != "begun\nended" {
		t.Errorf("it is judged while it runs: %+v, effect %q", o, effect)
	}
	if !o.InDoubt && o.Err != "" {
		t.Errorf("it is called failed: %+v", o)
	}
	next := w.exec(up, script)
	next.env.Call.Note, next.env.Again = w.journalled(s.seat.lastNote()), true
	if x := next.op.(steps.Settler).Settle(context.Background(), next.env); x.Err != "" || x.Verdict == engine.VerdictNotDone || !x.Dead {
		t.Errorf("settled as %+v", x)
	}
}

// resetting is an engine whose connections to commands are reset under the first write.
type resetting struct{ daemon }

func (d resetting) ContainerExecAttach(ctx context.Context, exec string, o apicontainer.ExecAttachOptions) (types.HijackedResponse, error) {
	stream, err := d.daemon.ContainerExecAttach(ctx, exec, o)
	if err != nil {
		return stream, err
	}
	return servers.ResetUnderWrite(stream), nil
}

// TestExecWhoseInputMetAReset: the reader is then told of an end, as by a command that has ended.
func TestExecWhoseInputMetAReset(t *testing.T) {
	w := newWorld(t)
	s := w.step("exec", engine.Record{"exec": engine.Record{"container": w.up("up"), "stdin": "one\ntwo\n", "argv": engine.List{"cat"}}})
	c, err := connect(t.Context(), s.env)
	w.must(err)
	c.daemon = resetting{c.daemon}
	if o := s.execute(); !o.InDoubt {
		t.Errorf("its input never came to it, and it is told %+v", o)
	}
}

// TestRestartWhoseEngineStaysAwayIsGoneOnFrom: nobody can say what became of it, so the next attempt goes by what was seen before this
// one, and restarts nothing twice. That the next one is told so is the core's part (engine/testdata/cut_off.story).
func TestRestartWhoseEngineStaysAwayIsGoneOnFrom(t *testing.T) {
	w := newWorld(t)
	a := w.up("a")
	b := w.create("b", nil, apicontainer.Config{Cmd: []string{"sh", "-c", "trap '' TERM; while true; do sleep 1; done"}, StopSignal: "TERM"})
	w.must(w.plain.ContainerStart(context.Background(), b, apicontainer.StartOptions{}))
	way := torture.NewCutter(t, torture.DockerHost(engine.Text(servers.Docker(t)["host"])))
	behind := engine.Record{"host": "tcp://" + way.Addr}
	params := engine.Record{"restart": engine.List{a, b}, "grace": 2 * time.Second}
	began := w.engineTime()
	s := w.at(behind).step("restart", params).prepared()
	ended := make(chan engine.Outcome, 1)
	go func() { ended <- s.execute() }()
	w.eventually("the engine is at the second one", func() bool { return w.events(b, "kill", began) > 0 })
	way.Away()
	o := <-ended
	if !o.InDoubt || o.Err == "" {
		t.Fatalf("%+v", o)
	}
	starts := func() [2]string { return [2]string{w.inspect(a).State.StartedAt, w.inspect(b).State.StartedAt} }
	before := starts()
	way.Heal()

	again := w.at(behind).step("restart", params)
	again.env.Call.Seen, again.env.Again = s.env.Call.Seen, true
	r := again.ok()
	if after := starts(); after != before {
		t.Errorf("restarted once more: started at %v, and again at %v", before, after)
	}
	if len(r["changed"].(engine.List)) != 2 {
		t.Errorf("changed %v", r["changed"])
	}
}
