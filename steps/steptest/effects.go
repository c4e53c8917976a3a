package steptest

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// same fails the test if the target is not as it was.
func (b *bench) same(t testing.TB, before, what string) {
	t.Helper()
	if now := b.fingerprint(); now != before {
		t.Errorf("AFTER %s the target is not as it was:\n%s\nbefore:\n%s", what, now, before)
	}
}

func succeeded(t testing.TB, o engine.Outcome) {
	t.Helper()
	if o.Err != "" || o.InDoubt {
		t.Fatalf("did not succeed: %q, in doubt: %v, evidence %v", o.Err, o.InDoubt, o.Evidence)
	}
}

func (b *bench) checkPreview(t *testing.T) {
	p := b.place(t)
	before := b.fingerprint()
	env, _ := p.env(t, b.call(t), steps.ReadOnly)
	impact, err := b.decode(t).Preview(t.Context(), env)
	if err != nil {
		t.Fatalf("preview: %v", err)
	}
	b.same(t, before, "a preview")
	if impact.Would == "" {
		t.Error("the preview does not say what would be done")
	}
	if impact.Standing == engine.StandingUnknown && impact.Why == "" {
		t.Error("the preview says unknown, and not why")
	}
	b.noSecrets(t, fmt.Sprintf("%+v", impact))
}

// checkCheck: where the operation would succeed, it lacks nothing; to find that out changes nothing.
func (b *bench) checkCheck(t *testing.T) {
	p := b.place(t)
	before := b.fingerprint()
	env, _ := p.env(t, b.call(t), steps.ReadOnly)
	k, _ := b.decode(t).(steps.Checker)
	lacks, err := k.Check(t.Context(), env)
	if err != nil {
		t.Fatalf("check: %v", err)
	}
	b.same(t, before, "a check")
	for _, l := range lacks {
		t.Errorf("it is said to lack something: %s; %s", l.What, l.Remedy)
	}
	b.noSecrets(t, fmt.Sprintf("%+v", lacks))
}

func (b *bench) checkRefused(t *testing.T) {
	p := b.place(t)
	before, effects := b.fingerprint(), b.effects()
	env, _ := p.env(t, b.call(t), steps.ReadOnly)
	o := b.decode(t).Execute(t.Context(), env)
	if o.Err == "" {
		t.Error("an operation that writes is not refused")
	}
	if o.Effect != engine.EffectNone || o.InDoubt {
		t.Errorf("a refused operation has effect %s, in doubt: %v", o.Effect, o.InDoubt)
	}
	b.same(t, before, "a refused execution")
	if now := b.effects(); now != effects {
		t.Errorf("the effect is seen %d times, was %d", now, effects)
	}
}

func (b *bench) checkCancelled(t *testing.T) {
	p := b.place(t)
	before, effects := b.fingerprint(), b.effects()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	call := b.call(t)
	o, _ := p.attempt(ctx, t, &call, false)
	if b.class() != engine.ClassRead {
		if o.Err == "" {
			t.Error("succeeded although it was cancelled before")
		}
		if o.InDoubt || o.Effect != engine.EffectNone {
			t.Errorf("effect %s, in doubt: %v, although it never began: %s", o.Effect, o.InDoubt, o.Err)
		}
	}
	b.same(t, before, "a cancelled execution")
	if now := b.effects(); now != effects {
		t.Errorf("the effect is seen %d times, was %d", now, effects)
	}
	b.noSecrets(t, outcomeText(t, o))
}

func (b *bench) checkRead(t *testing.T) {
	for name, access := range map[string]steps.Access{"with full access": steps.Full, "read-only": steps.ReadOnly} {
		t.Run(name, func(t *testing.T) {
			p := b.place(t)
			before := b.fingerprint()
			env, _ := p.env(t, b.call(t), access)
			o := b.decode(t).Execute(t.Context(), env)
			succeeded(t, o)
			b.same(t, before, "a read")
			b.fitsResult(t, o)
		})
	}
}

func (b *bench) checkIdempotent(t *testing.T) {
	p := b.place(t)
	call := b.call(t)
	o, _ := p.attempt(t.Context(), t, &call, false)
	succeeded(t, o)
	b.fitsResult(t, o)
	once := b.fingerprint()
	b.wantEffects(t, 1)
	o, _ = p.attempt(t.Context(), t, &call, true)
	succeeded(t, o)
	b.same(t, once, "doing it again")
	b.wantEffects(t, 1)
}

func (b *bench) checkTransactional(t *testing.T) {
	p := b.place(t)
	call := b.call(t)
	call.Epoch = 2
	o, _ := p.attempt(t.Context(), t, &call, false)
	succeeded(t, o)
	b.fitsResult(t, o)
	b.wantEffects(t, 1)
	once := b.fingerprint()
	again, _ := p.attempt(t.Context(), t, &call, true)
	succeeded(t, again)
	if x, y := typed(t, o.Result), typed(t, again.Result); x != y {
		t.Errorf("the same token again has the result %s, was %s", y, x)
	}
	b.same(t, once, "the same token again")
	b.wantEffects(t, 1)
	call.Epoch = 1
	older, _ := p.attempt(t.Context(), t, &call, true)
	if older.Err == "" && typed(t, older.Result) != typed(t, o.Result) {
		t.Errorf("an older epoch has the result %s", typed(t, older.Result))
	}
	b.same(t, once, "an older epoch")
	b.wantEffects(t, 1)
}

func (b *bench) checkHappens(t *testing.T) {
	p := b.place(t)
	call := b.call(t)
	o, _ := p.attempt(t.Context(), t, &call, false)
	succeeded(t, o)
	b.fitsResult(t, o)
	b.wantEffects(t, 1)
}

// checkSettle asks about an attempt that never began, and about one that ended.
func (b *bench) checkSettle(t *testing.T) {
	p := b.place(t)
	call := b.call(t)
	settle := func() engine.Settlement {
		env, _ := p.env(t, call, steps.Full)
		env.Again = true
		s := b.decode(t).(steps.Settler).Settle(t.Context(), env)
		b.noSecrets(t, fmt.Sprint(s.Err, s.Evidence)+typed(t, s.Result))
		return s
	}
	before := b.fingerprint()
	env, _ := p.env(t, call, steps.Full)
	if err := prepare(t.Context(), t, b.decode(t), env, &call); err != nil {
		t.Fatalf("prepare: %v", err)
	}
	s := settle()
	b.same(t, before, "being asked about what never began")
	if s.Verdict == engine.VerdictDone {
		t.Errorf("says done of what never began: %v", s.Evidence)
	}
	if b.class() == engine.ClassTransactional && s.Verdict != engine.VerdictNotDone {
		t.Errorf("says %s of a transaction that never began: %v", s.Verdict, s.Evidence)
	}
	o, _ := p.attempt(t.Context(), t, &call, false)
	succeeded(t, o)
	done := b.fingerprint()
	s = settle()
	b.same(t, done, "being asked about what is done")
	if s.Verdict == engine.VerdictNotDone {
		t.Errorf("says not done of what is done: %v", s.Evidence)
	}
	if b.class() == engine.ClassTransactional {
		if s.Verdict != engine.VerdictDone {
			t.Errorf("says %s of a transaction that is done: %v", s.Verdict, s.Evidence)
		}
		if x, y := typed(t, o.Result), typed(t, s.Result); x != y {
			t.Errorf("the result found again is %s, was %s", y, x)
		}
	}
}

func (b *bench) checkSeen(t *testing.T) {
	p := b.place(t)
	before := b.fingerprint()
	env, _ := p.env(t, b.call(t), steps.Full)
	seen, err := b.decode(t).(steps.Preparer).Prepare(t.Context(), env)
	if err != nil {
		t.Fatalf("prepare: %v", err)
	}
	v, err := engine.Normalize(seen.Seen)
	if err != nil {
		t.Fatal(err)
	}
	text := typed(t, v)
	back, err := engine.DecodeValue([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if now := typed(t, back); now != text {
		t.Errorf("what was seen is %s, and %s AFTER a resume", text, now)
	}
	b.noSecrets(t, text+seen.Why)
	b.same(t, before, "preparing")
}

// checkSecrets executes once and looks for the secrets of the parameters and the target in what comes
// out of it.
func (b *bench) checkSecrets(t *testing.T) {
	secrets := b.secrets()
	if len(secrets) == 0 {
		return
	}
	p := b.place(t)
	call := b.call(t)
	o, rec := p.attempt(t.Context(), t, &call, false)
	b.noSecrets(t, outcomeText(t, o))
	for _, note := range rec.Notes() {
		b.noSecrets(t, typed(t, note))
	}
}

func (b *bench) secrets() []string {
	return append(secretsIn(b.c.Params), secretsIn(b.c.Target.Settings)...)
}

func secretsIn(v engine.Value) []string {
	var out []string
	switch x := v.(type) {
	case engine.Secret:
		if len(x.Reveal()) >= 4 {
			out = append(out, x.Reveal())
		}
	case engine.List:
		for _, e := range x {
			out = append(out, secretsIn(e)...)
		}
	case engine.Record:
		for _, e := range x {
			out = append(out, secretsIn(e)...)
		}
	}
	return out
}

func (b *bench) noSecrets(t testing.TB, text string) {
	t.Helper()
	for _, s := range b.secrets() {
		if strings.Contains(text, s) {
			t.Errorf("a secret stands in %q", strings.ReplaceAll(text, s, "<the secret>"))
		}
	}
}

func (b *bench) wantEffects(t testing.TB, want int) {
	t.Helper()
	if n := b.effects(); n >= 0 && n != want {
		t.Fatalf("the effect is seen %d times, not %d", n, want)
	}
}

// fitsResult: the result has what is declared, and nothing else unless it is open.
func (b *bench) fitsResult(t testing.TB, o engine.Outcome) {
	t.Helper()
	if _, err := engine.Normalize(o.Result); err != nil {
		t.Errorf("the result cannot be kept: %v", err)
	}
	shape := b.op.ResultShape(b.each())
	fits(t, o.Result, shape)
	if !b.each() {
		return
	}
	nodes, _ := o.Result[engine.NodesField].(engine.List)
	if len(nodes) == 0 {
		t.Error("no node is in the result")
	}
	for _, v := range nodes {
		node, _ := v.(engine.Record)
		fits(t, node, b.op.NodeShape())
	}
}

func fits(t testing.TB, r engine.Record, shape engine.Shape) {
	t.Helper()
	for name := range r {
		if _, ok := shape.FieldNamed(name); !ok && !shape.Open {
			t.Errorf("the result has %s, which is not declared", name)
		}
	}
	for _, f := range shape.Fields {
		if _, ok := r[f.Name]; f.Required && !ok {
			t.Errorf("the result has no %s", f.Name)
		}
	}
}

// checkNotExecuted: what a person does, or the core, no code of the kind can do.
func (b *bench) checkNotExecuted(t *testing.T) {
	p := b.place(t)
	env, _ := p.env(t, b.call(t), steps.Full)
	if o := b.decode(t).Execute(t.Context(), env); o.Err == "" {
		t.Error("it was executed")
	}
}

func outcomeText(t testing.TB, o engine.Outcome) string {
	t.Helper()
	return strings.Join([]string{o.Err, o.Message, o.Tail, fmt.Sprint(o.Evidence), typed(t, o.Result)}, "\n")
}

// typed is a value as a journal holds it.
func typed(t testing.TB, v engine.Value) string {
	t.Helper()
	n, err := engine.Normalize(v)
	if err != nil {
		t.Fatalf("%v cannot be kept: %v", v, err)
	}
	b, err := engine.AppendValue(nil, n)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(b))
}
