package playbooks_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/journal"
	"github.com/handrail-dev/handrail/engine/local"
	"github.com/handrail-dev/handrail/engine/playbook"
	"github.com/handrail-dev/handrail/engine/preview"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/all"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
	"github.com/handrail-dev/handrail/steps/steptest/truth"
)

// world is one playbook and the servers that it acts on.
type world struct {
	t       *testing.T
	pb      *engine.Playbook
	targets []steps.Target
	now     time.Time // when the runs begin
	store   *journal.Store
	runs    byte
	yes     bool   // whoever is asked for approval says yes
	asked   func() // what happens while a person is asked
	// afterPlan puts back what the questions of a plan have counted.
	afterPlan func()
	written   []string // files that others write to all the time
	crowded   *bool    // others write into Redis
}

// january is New Year's Day in Bangkok, and still the old year where most servers' clocks are.
var january = time.Date(2025, 12, 31, 17, 5, 0, 0, time.UTC)

func open(t *testing.T, name string, targets ...steps.Target) *world {
	t.Helper()
	src, err := os.ReadFile(name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	var defs []engine.Kind
	for _, k := range all.Kinds() {
		defs = append(defs, k.Define())
	}
	beside := func(_, name string) (playbook.File, error) {
		src, err := os.ReadFile(name + ".yaml")
		return playbook.File{Name: name + ".yaml", Text: src}, err
	}
	pb, err := playbook.LoadTree(name+".yaml", src, playbook.NewCatalogue(defs), nil, beside)
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, pb: pb, targets: targets, now: january, store: journal.OpenStore(filepath.Join(t.TempDir(), "state"))}
}

func (w *world) started(given map[string]any) engine.RunStarted {
	w.t.Helper()
	inputs, err := playbook.ParseInputs(w.pb, given)
	if err != nil {
		w.t.Fatal(err)
	}
	w.runs++
	return engine.RunStarted{Run: journal.NewID(w.now, [4]byte{w.runs}), Playbook: w.pb.Name, PlaybookDigest: w.pb.Digest,
		Inputs: engine.Typed{V: inputs}, Started: w.now, By: engine.Person{User: "test"}}
}

func (w *world) executor(access steps.Access) *steps.Executor {
	return steps.NewExecutor(all.Kinds(), w.targets, access)
}

// run runs the playbook for real and gives back the run.
func (w *world) run(given map[string]any) *engine.Run {
	w.t.Helper()
	start := w.started(given)
	p := w.planned(start)
	ledger := &truth.Ledger{}
	begun := time.Now()
	r, err := w.drive(start, ledger)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Logf("%s took %v, and is %s", w.pb.Name, time.Since(begun).Round(time.Millisecond), r.State())
	w.compared(p, r, ledger)
	return r
}

func (w *world) drive(start engine.RunStarted, ledger *truth.Ledger) (*engine.Run, error) {
	j, err := w.store.Create(start.Run, start.By, journal.Pinned{Playbook: []byte("playbook: " + w.pb.Name + "\n")})
	if err != nil {
		return nil, err
	}
	x := w.executor(steps.Full)
	x.Run, x.Scratch = start.Run, w.store.Folder(start.Run, "scratch")
	d := local.Driver{Run: engine.NewRun(w.pb, w.known()), Journal: j, Executor: ledger.Behind(x),
		Clock: local.SystemClock(), Random: func() float64 { return 0.5 }}
	if w.yes {
		d.Person = func(_ context.Context, c engine.AskPerson) engine.Event {
			if w.asked != nil {
				w.asked()
			}
			return engine.ApprovalGiven{Step: c.Step, Digest: c.Digest, By: engine.Person{User: "test"}}
		}
	}
	first := engine.Stamped{At: start.Started, Event: start}
	if err := errors.Join(d.Run.Apply(first), j.Append([]engine.Stamped{first}, true)); err != nil {
		return nil, err
	}
	_, err = d.Drive(context.Background())
	return d.Run, errors.Join(err, x.Close(), j.Close())
}

// known is what expressions know of the targets.
func (w *world) known() engine.Given {
	g := engine.Given{Targets: engine.Record{}}
	for _, t := range w.targets {
		settings := engine.Record{}
		for name, v := range t.Settings {
			if name != "password" {
				settings[name] = v
			}
		}
		g.Targets[t.Name] = settings
	}
	return g
}

// ends checks how a run ended, and shows its steps if it ended otherwise.
func (w *world) ends(r *engine.Run, want engine.RunState) {
	w.t.Helper()
	if r.State() == want {
		return
	}
	w.t.Errorf("the run ended %s, want %s", r.State(), want)
	w.pb.EveryStep(func(s *engine.Step) {
		v, _ := r.StepAt(s.ID)
		w.t.Logf("  %s: %s %s %s", s.ID, v.State, v.Message, v.Error)
	})
}

func (w *world) state(r *engine.Run, step string) engine.State {
	w.t.Helper()
	v, ok := r.StepAt(step)
	if !ok {
		w.t.Fatalf("no step %s", step)
	}
	return v.State
}

// plan makes the dry-run.
func (w *world) plan(given map[string]any) *preview.Plan {
	w.t.Helper()
	x := w.executor(steps.ReadOnly)
	p, err := preview.Make(context.Background(), w.pb, w.started(given), w.known(), x)
	if err := errors.Join(err, x.Close()); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// numbering is a database with the tables and the data of examples/numbering.
func numbering(t *testing.T) (steps.Target, *sql.DB) {
	t.Helper()
	settings := servers.MySQL(t)
	db := servers.Open(t, settings)
	schema, err := os.ReadFile("../examples/numbering/schema.sql")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(string(schema)); err != nil {
		t.Fatal(err)
	}
	return steps.Target{Name: "db", Type: "mysql", Settings: settings}, db
}

// ask gives the one value that a query brings back.
func ask[T any](t *testing.T, db *sql.DB, query string) T {
	t.Helper()
	var v T
	if err := db.QueryRow(query).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}
