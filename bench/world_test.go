package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/journal"
	"github.com/handrail-dev/handrail/engine/local"
	"github.com/handrail-dev/handrail/engine/playbook"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/all"
)

// nothing is a kind whose effect is nothing and whose every intent and result must be durable: what is
// left is the cost of the engine itself.
type nothing struct {
	began []time.Time // when each effect began, if that is wanted
	watch bool
}

type none struct{}

func (*nothing) Define() engine.Kind {
	return engine.Kind{Name: "nothing", Doc: "Does nothing.", Operations: []engine.Operation{{
		Name: "do", Doc: "Does nothing.", Params: steps.Params[none](), Result: engine.RecordOf(),
		Class: engine.ClassUnrepeatable, Risk: engine.RiskChanges,
	}}}
}

func (n *nothing) Decode(string, engine.Record) (steps.Operation, error) { return n, nil }

func (*nothing) Preview(context.Context, *steps.Env) (engine.Impact, error) {
	return engine.Impact{Standing: engine.StandingWould, Would: "do nothing"}, nil
}

func (n *nothing) Execute(context.Context, *steps.Env) engine.Outcome {
	if n.watch {
		n.began = append(n.began, time.Now())
	}
	return engine.Outcome{Result: engine.Record{}}
}

// world is where a playbook runs: real kinds, a real journal on the disk, the real driver.
type world struct {
	kinds   []steps.Kind
	targets []steps.Target
	dir     string // the folder of the playbook, absolute, as the command hands it over
	state   *journal.Store
	runs    byte
}

func newWorld(tb testing.TB, more ...steps.Kind) *world {
	tb.Helper()
	return &world{kinds: append(all.Kinds(), more...), dir: tb.TempDir(), state: journal.OpenStore(filepath.Join(tb.TempDir(), "state"))}
}

// run runs a playbook and says how long it took from the first event to the last.
func (w *world) run(pb *engine.Playbook) (took time.Duration, journalFile string, err error) {
	ctx := context.Background()
	start := engine.RunStarted{Playbook: pb.Name, PlaybookDigest: pb.Digest, Started: time.Now(), By: engine.Person{User: "bench"}}
	w.runs++
	start.Run = journal.NewID(start.Started, [4]byte{w.runs, byte(rand.IntN(256)), byte(rand.IntN(256)), byte(rand.IntN(256))})
	j, err := w.state.Create(start.Run, start.By, journal.Pinned{Playbook: []byte("playbook: " + pb.Name + "\n")})
	if err != nil {
		return 0, "", err
	}
	x := steps.NewExecutor(w.kinds, w.targets, steps.Full)
	x.Run, x.Dir, x.Scratch = start.Run, w.dir, w.state.Folder(start.Run, "scratch")
	d := local.Driver{Run: engine.NewRun(pb, engine.Given{}), Journal: j, Executor: x, Clock: local.SystemClock(), Random: rand.Float64}
	first := engine.Stamped{At: start.Started, Event: start}
	began := time.Now()
	if err := errors.Join(d.Run.Apply(first), j.Append([]engine.Stamped{first}, true)); err != nil {
		return 0, "", err
	}
	state, err := d.Drive(ctx)
	took = time.Since(began)
	if err == nil && state != engine.RunOK {
		err = fmt.Errorf("the run ended %s", state)
	}
	return took, w.state.Folder(start.Run, "journal.jsonl"), errors.Join(err, x.Close(), j.Close())
}

// must is run for a benchmark.
func (w *world) must(tb testing.TB, pb *engine.Playbook) time.Duration {
	tb.Helper()
	took, _, err := w.run(pb)
	if err != nil {
		tb.Fatal(err)
	}
	return took
}

// load makes a playbook of the text of its steps.
func (w *world) load(text string) (*engine.Playbook, error) {
	var defs []engine.Kind
	for _, k := range w.kinds {
		defs = append(defs, k.Define())
	}
	src := []byte("playbook: bench\ntargets: {" + w.uses() + "}\nsteps:\n" + text)
	return playbook.Load("bench.yaml", src, playbook.NewCatalogue(defs), nil)
}

func (w *world) uses() string {
	var names []string
	for _, t := range w.targets {
		names = append(names, t.Name+": "+t.Type)
	}
	return strings.Join(names, ", ")
}

// mustLoad is load for a benchmark.
func (w *world) mustLoad(tb testing.TB, text string) *engine.Playbook {
	tb.Helper()
	pb, err := w.load(text)
	if err != nil {
		tb.Fatal(err)
	}
	return pb
}

// repeated is n times the same step under different ids.
func repeated(n int, body string) string {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, "  - {id: s%d, %s}\n", i, body)
	}
	return s.String()
}

// What the memory of the engine is measured with.
const (
	nothingStep = "nothing: {}"
	manyItems   = "  - {id: each, for_each: \"${{ 1..100000 }}\", nothing: {}}\n"
)
