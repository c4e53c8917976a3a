package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/journal"
	"github.com/handrail-dev/handrail/engine/local"
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
	state   *journal.Store
	runs    byte
}

func newWorld(tb testing.TB, more ...steps.Kind) *world {
	tb.Helper()
	return &world{kinds: append(all.Kinds(), more...), state: journal.OpenStore(filepath.Join(tb.TempDir(), "state"))}
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
	x.Run, x.Scratch = start.Run, w.state.Folder(start.Run, "scratch")
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

// define finds the declaration of an operation.
func (w *world) define(kind, operation string) *engine.Operation {
	for _, k := range w.kinds {
		if def := k.Define(); def.Name == kind {
			if op, ok := def.Operation(operation); ok {
				return &op
			}
		}
	}
	panic("no operation " + kind + "." + operation)
}

// step makes a step that acts.
func (w *world) step(id, kind, operation, target string, class engine.Class, params engine.Record) *engine.Step {
	return &engine.Step{
		ID: id, Kind: kind, Operation: w.define(kind, operation), Target: target, Class: class, AtOnce: 1,
		Params: engine.Template{Literal: params}, As: "item",
	}
}

// repeated is a playbook of n like steps.
func (w *world) repeated(n int, kind, operation, target string, class engine.Class, params engine.Record) *engine.Playbook {
	pb := &engine.Playbook{Name: "bench", Digest: engine.Digest("bench")}
	for i := range n {
		pb.Steps = append(pb.Steps, w.step("s"+strconv.Itoa(i), kind, operation, target, class, params))
	}
	return pb
}

// loop is a playbook of one step over n items.
func (w *world) loop(n int) *engine.Playbook {
	items := make(engine.List, n)
	for i := range items {
		items[i] = "item-" + strconv.Itoa(i)
	}
	s := w.step("each", "nothing", "do", "", engine.ClassUnrepeatable, engine.Record{})
	s.ForEach = &engine.Template{Literal: items}
	return &engine.Playbook{Name: "bench", Digest: engine.Digest("bench"), Steps: []*engine.Step{s}}
}
