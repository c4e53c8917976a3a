// Package steptest holds every step kind to the contract of package steps. A kind adopts it with a
// test of a few lines:
//
//	func TestContract(t *testing.T) {
//		target := steps.Target{Name: "db", Type: "mysql", Settings: servers.MySQL(t)}
//		steptest.Run(t, steptest.Suite{Kind: sql.New(), Target: target, Cases: []steptest.Case{{
//			Operation: "exec", Params: engine.Record{"exec": "UPDATE …"},
//			Setup: func(t testing.TB) { … }, Fingerprint: …, Effect: …,
//		}}})
//	}
//
// The suite checks that the declarations are whole and stable; that good parameters decode and bad ones
// are refused with their place; that a preview and a refused execution change nothing; that a read
// reads; that what may be done twice is the same as done once; that a transaction happens once for its
// token; that an attempt can be asked about before and AFTER it; and that no secret gets out.
//
// It never starts a server and never replaces a kind's own tests of what its operations are for.
package steptest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// Suite is what a kind hands in.
type Suite struct {
	Kind steps.Kind
	// Target is where the cases act, unless a case says otherwise. A kind without targets has none.
	Target steps.Target
	// Cases has at least one case for each operation that the kind declares.
	Cases []Case
	// Ask answers the probes of operations that ask others. Without it, probes of the kind itself are
	// carried out and all others cannot be asked.
	Ask func(context.Context, engine.Question) engine.Answer
}

// Case is one operation with good parameters, on a target that the test can look at.
type Case struct {
	Name      string // the operation's name, unless there are several cases for it
	Operation string
	Params    engine.Record
	Target    *steps.Target
	// Setup brings the target into the state from which the operation succeeds. It is called BEFORE
	// each check, many times.
	Setup func(t testing.TB)
	// Fingerprint is equal for equal states of the target, markers and logs of access left out. Without
	// it nothing can be said of what changes: only operations that act on nothing may leave it out.
	Fingerprint func() string
	// Effect says how often the effect is seen, counted from Setup.
	Effect func() int
	// Class is the class of these parameters on this target, when that is less than is declared.
	Class engine.Class
	// Wipes: the step says `wipes: true`.
	Wipes bool
	// Bad are parameters that must be refused.
	Bad []Bad
	// Dir is the folder of the playbook; an empty one for each check if it is not given.
	Dir string
}

// Bad is a record of parameters that must be refused BEFORE anything is done, by Judge or by Decode.
type Bad struct {
	Params engine.Record
	Path   string // where the problem must be said to be
}

// Run holds the kind to the contract.
func Run(t *testing.T, s Suite) {
	t.Helper()
	def := s.Kind.Define()
	t.Run("definition", func(t *testing.T) { checkDefinition(t, s.Kind) })
	covered := map[string]bool{}
	names := map[string]int{}
	for _, c := range s.Cases {
		op, ok := def.Operation(c.Operation)
		if !ok {
			t.Errorf("a case is for operation %q, which %s does not have", c.Operation, def.Name)
			continue
		}
		covered[c.Operation] = true
		if c.Name == "" {
			c.Name = c.Operation
		}
		if names[c.Name]++; names[c.Name] > 1 {
			c.Name = fmt.Sprintf("%s %d", c.Name, names[c.Name])
		}
		if c.Target == nil {
			c.Target = &s.Target
		}
		t.Run(c.Name, func(t *testing.T) { (&bench{suite: s, kind: def, op: op, c: c}).check(t) })
	}
	for _, op := range def.Operations {
		if !covered[op.Name] {
			t.Errorf("%s.%s has no case", def.Name, op.Name)
		}
	}
}

// bench is one case under test.
type bench struct {
	suite Suite
	kind  engine.Kind
	op    engine.Operation
	c     Case
}

func (b *bench) check(t *testing.T) {
	t.Run("parameters", b.checkParameters)
	t.Run("judged without a look", b.checkPure)
	t.Run("preview changes nothing", b.checkPreview)
	if _, ok := b.decode(t).(steps.Checker); ok {
		t.Run("a check changes nothing", b.checkCheck)
	}
	class := b.class()
	if class == engine.ClassPerson || b.op.Nests {
		t.Run("is never executed", b.checkNotExecuted)
		return
	}
	t.Run("cancelled before it began", b.checkCancelled)
	t.Run("secrets stay inside", b.checkSecrets)
	if _, ok := b.decode(t).(steps.Preparer); ok {
		t.Run("what it has seen survives", b.checkSeen)
	}
	if class == engine.ClassRead {
		t.Run("reads", b.checkRead)
		return
	}
	t.Run("refused in a dry-run", b.checkRefused)
	switch class {
	case engine.ClassIdempotent:
		t.Run("twice is the same as once", b.checkIdempotent)
	case engine.ClassTransactional:
		t.Run("once for its token", b.checkTransactional)
	case engine.ClassUnrepeatable:
		t.Run("happens", b.checkHappens)
	case engine.ClassUnset, engine.ClassRead, engine.ClassAdvisory, engine.ClassPerson:
	}
	if _, ok := b.decode(t).(steps.Settler); ok {
		t.Run("can be asked about", b.checkSettle)
	} else if class == engine.ClassTransactional {
		t.Errorf("%s.%s is transactional and must be a Settler", b.kind.Name, b.op.Name)
	}
}

func (b *bench) proposal(params engine.Record) engine.Proposal {
	return engine.Proposal{Params: params, Target: b.c.Target.Type, On: b.c.Target.Name, Wipes: b.c.Wipes}
}

// class is what a crash may do to the effect of these parameters.
func (b *bench) class() engine.Class {
	if b.c.Class != engine.ClassUnset {
		return b.c.Class
	}
	if j := b.judge(); j.Class != engine.ClassUnset {
		return j.Class
	}
	return b.op.Class
}

// each: the parameters make it act on several nodes.
func (b *bench) each() bool { return b.judge().Each }

func (b *bench) judge() engine.Judgement {
	if b.op.Judge == nil {
		return engine.Judgement{}
	}
	return b.op.Judge(b.proposal(b.c.Params))
}

func (b *bench) decode(t testing.TB) steps.Operation {
	t.Helper()
	op, err := b.suite.Kind.Decode(b.op.Name, b.c.Params)
	if err != nil {
		t.Fatalf("good parameters are refused: %v", err)
	}
	return op
}

// call is a command about the case with a token of its own.
func (b *bench) call(t testing.TB) engine.Call {
	return engine.Call{
		Step: b.c.Operation, ID: b.c.Operation, Kind: b.kind.Name, Operation: b.op.Name, Target: b.c.Target.Name,
		Params: b.c.Params, Class: b.class(), Wipes: b.c.Wipes, Attempt: 1, Epoch: 1,
		Token: fmt.Sprintf("run-%d/%s", time.Now().UnixNano(), b.c.Operation),
	}
}

// place is where the envs of one check act: they share folders and an attempt.
type place struct {
	b       *bench
	dir     string
	scratch string
}

func (b *bench) place(t testing.TB) *place {
	t.Helper()
	if b.c.Setup != nil {
		b.c.Setup(t)
	}
	p := &place{b: b, dir: b.c.Dir, scratch: t.TempDir()}
	if p.dir == "" {
		p.dir = t.TempDir()
	}
	return p
}

func (p *place) env(t testing.TB, call engine.Call, access steps.Access) (*steps.Env, *Recorder) {
	t.Helper()
	rec := &Recorder{}
	env := EnvAsking(t, p.b.suite.Kind, call, *p.b.c.Target, access, rec, p.b.suite.Ask)
	env.Dir, env.Scratch = p.dir, p.scratch
	if access == steps.ReadOnly {
		env.Scratch = ""
	}
	return env, rec
}

// attempt prepares and executes, as an executor would. Seen and Note are left in the call.
func (p *place) attempt(ctx context.Context, t testing.TB, call *engine.Call, again bool) (engine.Outcome, *Recorder) {
	t.Helper()
	op := p.b.decode(t)
	env, rec := p.env(t, *call, steps.Full)
	if !again {
		if err := prepare(ctx, t, op, env, call); err != nil {
			return engine.Failure(err), rec
		}
	}
	env.Again = again
	o := op.Execute(ctx, env)
	call.Note = env.Call.Note
	return o, rec
}

// prepare leaves in the call what was seen, as the core does BEFORE an intent.
func prepare(ctx context.Context, t testing.TB, op steps.Operation, env *steps.Env, call *engine.Call) error {
	t.Helper()
	prep, ok := op.(steps.Preparer)
	if !ok {
		return nil
	}
	seen, err := prep.Prepare(ctx, env)
	if err != nil {
		return err
	}
	if call.Seen, err = engine.Normalize(seen.Seen); err != nil {
		t.Fatalf("what Prepare has seen cannot be kept: %v", err)
	}
	if seen.Class != engine.ClassUnset {
		call.Class = seen.Class
	}
	env.Call = *call
	return nil
}

func (b *bench) fingerprint() string {
	if b.c.Fingerprint == nil {
		return ""
	}
	return b.c.Fingerprint()
}

func (b *bench) effects() int {
	if b.c.Effect == nil {
		return -1
	}
	return b.c.Effect()
}
