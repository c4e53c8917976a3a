package steptest

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// Recorder is an attendant that keeps what it is told. The zero Recorder is ready.
type Recorder struct {
	// OnNote, if set, is called with each note BEFORE it is kept; its error is Note's.
	OnNote func(engine.Value) error
	// OnProgress, if set, is called with each report AFTER it is kept.
	OnProgress func(Progress)
	// Drain is closed by a test that asks the operation to stop between two parts of its effect.
	Drain chan struct{}

	mu       sync.Mutex
	notes    []engine.Value
	progress []Progress
	output   []byte
	written  int64
}

// Progress is one call of it.
type Progress struct {
	Done, Total int64
	Unit        string
}

// keptOutput bounds what a Recorder keeps of the output.
const keptOutput = 1 << 20

// Note keeps a note.
func (r *Recorder) Note(v engine.Value) error {
	if r.OnNote != nil {
		if err := r.OnNote(v); err != nil {
			return err
		}
	}
	if _, err := engine.AppendValue(nil, v); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, v)
	return nil
}

// Draining gives Drain.
func (r *Recorder) Draining() <-chan struct{} { return r.Drain }

// Progress keeps a report.
func (r *Recorder) Progress(done, total int64, unit string) {
	r.mu.Lock()
	r.progress = append(r.progress, Progress{done, total, unit})
	r.mu.Unlock()
	if r.OnProgress != nil {
		r.OnProgress(Progress{done, total, unit})
	}
}

// Write keeps the first mebibyte of the output and counts the rest.
func (r *Recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written += int64(len(p))
	if room := keptOutput - len(r.output); room > 0 {
		r.output = append(r.output, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

// Notes are the notes, in order.
func (r *Recorder) Notes() []engine.Value {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]engine.Value(nil), r.notes...)
}

// Reports are the reports of progress, in order.
func (r *Recorder) Reports() []Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Progress(nil), r.progress...)
}

// Output is what was written, as far as it was kept.
func (r *Recorder) Output() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.output)
}

// Written is how many bytes were written.
func (r *Recorder) Written() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.written
}

// Env makes an Env as an executor would, with folders of its own and a connection that is opened at
// its first use and closed with the test. Probes of the kind itself are carried out.
func Env(t testing.TB, k steps.Kind, call engine.Call, target steps.Target, access steps.Access) (*steps.Env, *Recorder) {
	t.Helper()
	rec := &Recorder{}
	return EnvAsking(t, k, call, target, access, rec, nil), rec
}

// EnvAsking is Env with an attendant and with somebody who answers probes; nil answers those of the
// kind itself.
func EnvAsking(t testing.TB, k steps.Kind, call engine.Call, target steps.Target, access steps.Access,
	attendant engine.Attendant, ask func(context.Context, engine.Question) engine.Answer) *steps.Env {
	t.Helper()
	o := &opener{kind: k, access: access}
	t.Cleanup(func() {
		if err := o.close(); err != nil {
			t.Errorf("close the target: %v", err)
		}
	})
	if ask == nil {
		ask = func(ctx context.Context, q engine.Question) engine.Answer {
			return askKind(ctx, k, o, target, access, q)
		}
	}
	env := steps.NewEnv(call, target, access, attendant, o.connect, ask)
	env.Run = "run"
	env.Dir, env.Scratch = t.TempDir(), t.TempDir()
	return env
}

// opener opens a target once.
type opener struct {
	kind   steps.Kind
	access steps.Access
	mu     sync.Mutex
	conn   io.Closer
}

func (o *opener) connect(ctx context.Context, target steps.Target) (io.Closer, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.conn != nil {
		return o.conn, nil
	}
	c, ok := o.kind.(steps.Connector)
	if !ok {
		return nil, errors.New("steps of this kind have no target")
	}
	var err error
	o.conn, err = c.Connect(ctx, target, o.access)
	return o.conn, err
}

func (o *opener) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.conn == nil {
		return nil
	}
	return o.conn.Close()
}

// askKind carries out a probe of the kind under test.
func askKind(ctx context.Context, k steps.Kind, o *opener, target steps.Target, access steps.Access, q engine.Question) engine.Answer {
	kind, operation, _ := q.Operation()
	if kind != k.Define().Name {
		return engine.Answer{Message: "there is nobody here to ask " + q.String()}
	}
	op, err := k.Decode(operation, q.Params)
	if err != nil {
		return engine.Answer{Message: err.Error()}
	}
	call := engine.Call{Kind: kind, Operation: operation, Target: target.Name, Params: q.Params, Class: engine.ClassRead}
	env := steps.NewEnv(call, target, access, &Recorder{}, o.connect, nil)
	return q.Judge(op.Execute(ctx, env))
}

// Expr is an expression written in Go, for tests that have no loader.
type Expr struct {
	Source string
	Do     func(engine.Scope) (engine.Value, error)
}

// Eval evaluates it.
func (e Expr) Eval(s engine.Scope) (engine.Value, error) { return e.Do(s) }

func (e Expr) String() string { return e.Source }

// Always is an expression that has one value.
func Always(v engine.Value) Expr {
	return Expr{Source: engine.Text(v), Do: func(engine.Scope) (engine.Value, error) { return v, nil }}
}

// Equals is the expression name == v.
func Equals(name string, v engine.Value) Expr {
	return Expr{Source: name + " == " + engine.Text(v), Do: func(s engine.Scope) (engine.Value, error) {
		got, err := s.Name(name)
		return got == v, err
	}}
}

// Question makes a question of a probe.
func Question(p engine.Probe, params engine.Record) engine.Question {
	p.Params = engine.Template{Literal: params}
	v, err := engine.Template{Probe: &p}.Render(engine.FixedScope(nil))
	if err != nil {
		panic(err) // a literal always renders
	}
	return v.(engine.Question)
}

// Condition makes a condition of an expression.
func Condition(e engine.Expr) engine.Condition {
	v, err := engine.Template{Condition: e}.Render(engine.FixedScope(nil))
	if err != nil {
		panic(err) // a condition is not evaluated when it is rendered
	}
	return v.(engine.Condition)
}

// Late makes a template that has one value.
func Late(v engine.Value) engine.Late {
	late, err := engine.Template{Late: &engine.Template{Literal: v}}.Render(engine.FixedScope(nil))
	if err != nil {
		panic(err) // a late template is not evaluated when it is rendered
	}
	return late.(engine.Late)
}
