package sql_test

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/docker"
	"github.com/handrail-dev/handrail/steps/sql"
	"github.com/handrail-dev/handrail/steps/steptest"
)

// step is one step of a run, as an executor would carry it out.
type step struct {
	t    testing.TB
	op   steps.Operation
	env  *steps.Env
	rec  *steptest.Recorder
	prep engine.Preparation
}

// step makes one with a token of its own, and class and risk as judged.
func (g ground) step(t testing.TB, operation string, params engine.Record) *step {
	t.Helper()
	return g.stepUnder(t, steps.Full, operation, params)
}

func (g ground) stepUnder(t testing.TB, access steps.Access, operation string, params engine.Record) *step {
	t.Helper()
	k := newKind()
	def, ok := k.Define().Operation(operation)
	if !ok {
		t.Fatalf("no operation %s", operation)
	}
	j := def.Judge(engine.Proposal{Params: params, Target: g.target.Type, Wipes: operation == "restore"})
	for _, p := range j.Problems {
		t.Fatalf("%s: %v", operation, p)
	}
	op, err := k.Decode(operation, params)
	if err != nil {
		t.Fatal(err)
	}
	call := engine.Call{Step: operation, ID: operation, Kind: "sql", Operation: operation, Target: g.target.Name, Params: params,
		Class: j.Class, Attempt: 1, Epoch: 1, Token: "run-" + rand.Text() + "/" + operation}
	s := &step{t: t, op: op, rec: &steptest.Recorder{}}
	s.env = steptest.EnvAsking(t, k, call, g.target, access, s.rec, nil)
	return s
}

func (s *step) expect(e engine.Expr) *step {
	c := steptest.Condition(e)
	s.env.Call.Expect = &c
	return s
}

// patience shortens what the connection waits for.
func (s *step) patience(d time.Duration) *step {
	s.t.Helper()
	c, err := s.env.Conn(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	sql.SetPatience(c, d)
	return s
}

// prepare looks BEFORE the intent.
func (s *step) prepare() *step {
	s.t.Helper()
	p, ok := s.op.(steps.Preparer)
	if !ok {
		return s
	}
	var err error
	if s.prep, err = p.Prepare(s.t.Context(), s.env); err != nil {
		s.t.Fatalf("prepare: %v", err)
	}
	s.env.Call.Seen = s.prep.Seen
	if s.prep.Class != engine.ClassUnset {
		s.env.Call.Class = s.prep.Class
	}
	return s
}

func (s *step) preview() (engine.Impact, error) { return s.op.Preview(s.t.Context(), s.env) }

func (s *step) execute(ctx context.Context) engine.Outcome {
	o := s.op.Execute(ctx, s.env)
	if strings.Contains(o.Err+strings.Join(o.Evidence, " "), password) {
		s.t.Errorf("the password stands in %q %q", o.Err, o.Evidence)
	}
	return o
}

// do prepares and executes.
func (s *step) do() engine.Outcome {
	s.t.Helper()
	return s.prepare().execute(s.t.Context())
}

func (s *step) settle() engine.Settlement {
	s.t.Helper()
	s.env.Again = true
	return s.op.(steps.Settler).Settle(s.t.Context(), s.env)
}

// again is the same step in a later process, or a later attempt.
func (s *step) again(g ground, again bool) *step {
	s.t.Helper()
	next := &step{t: s.t, op: s.op, rec: &steptest.Recorder{}, prep: s.prep}
	call := s.env.Call
	call.Epoch++
	next.env = steptest.EnvAsking(s.t, newKind(), call, g.target, steps.Full, next.rec, nil)
	next.env.Again, next.env.Dir = again, s.env.Dir
	return next
}

// ok fails the test if an attempt did not succeed.
func ok(t testing.TB, o engine.Outcome) engine.Record {
	t.Helper()
	if o.Err != "" || o.InDoubt {
		t.Fatalf("did not succeed: %s (in doubt: %v, %v)", o.Err, o.InDoubt, o.Evidence)
	}
	return o.Result
}

// failed fails the test unless an attempt failed with that effect, not in doubt, and said so.
func failed(t testing.TB, o engine.Outcome, effect engine.Effect, says ...string) {
	t.Helper()
	if o.Err == "" || o.InDoubt || o.Effect != effect {
		t.Fatalf("error %q, effect %s, in doubt %v, evidence %v; want a failure with effect %s", o.Err, o.Effect, o.InDoubt, o.Evidence, effect)
	}
	contains(t, o.Err, says...)
}

func contains(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q does not say %q", text, p)
		}
	}
}

func rows(t testing.TB, r engine.Record) engine.List {
	t.Helper()
	list, isList := r["rows"].(engine.List)
	if !isList {
		t.Fatalf("no rows in %v", r)
	}
	return list
}

func first(t testing.TB, r engine.Record) engine.Record {
	t.Helper()
	list := rows(t, r)
	if len(list) == 0 {
		t.Fatal("no row")
	}
	return list[0].(engine.Record)
}

func query(text string, args ...any) engine.Record { return with("query", text, args...) }
func exec(text string, args ...any) engine.Record  { return with("exec", text, args...) }

// with makes parameters; args are names and values in turn.
func with(key, text string, args ...any) engine.Record {
	r := engine.Record{key: text}
	if len(args) > 0 {
		a := engine.Record{}
		for i := 0; i < len(args); i += 2 {
			a[args[i].(string)] = args[i+1]
		}
		r["args"] = a
	}
	return r
}

func transaction(entries ...engine.Record) engine.Record {
	list := make(engine.List, len(entries))
	for i, e := range entries {
		list[i] = e
	}
	return engine.Record{"transaction": list}
}

// lateExpr is a template that takes a cell of an earlier entry's first row.
type lateExpr struct{ entry, column string }

func (l lateExpr) String() string { return l.entry + ".rows[0]." + l.column }

func (l lateExpr) Eval(s engine.Scope) (engine.Value, error) {
	v, err := s.Name(l.entry)
	if err != nil {
		return nil, err
	}
	if u, unknown := v.(engine.Unknown); unknown {
		return nil, u
	}
	return v.(engine.Record)["rows"].(engine.List)[0].(engine.Record)[l.column], nil
}

func cell(entry, column string) engine.Value {
	v, err := engine.Template{Late: &engine.Template{Expr: lateExpr{entry, column}}}.Render(engine.FixedScope(nil))
	if err != nil {
		panic(err)
	}
	return v
}

func newKind() *sql.Kind { return sql.New(docker.New()) }

func targetOf(settings engine.Record) steps.Target {
	return steps.Target{Name: "db", Type: "mysql", Settings: settings}
}
