package steptest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest"
)

// A kind that breaks the contract must be found out. The test binary runs itself, once for each way to
// break it, and looks for what is said.
const faultVariable = "HANDRAIL_TEST_FAULT"

func TestEveryBreachOfTheContractIsFoundOut(t *testing.T) {
	for fault, want := range map[string]string{
		"":                 "",
		"no doc":           `field "n" has no doc`,
		"no class":         "has no class",
		"no example":       "example is missing",
		"bad example":      "there is no parameter m",
		"bad default":      "default \"soon\"",
		"changing":         "Define does not always give the same",
		"hidden prepare":   "Prepares is not declared",
		"judges by files":  "are judged by what is on the machine",
		"decodes by files": "are judged by what is on the machine",
		"takes anything":   "is not refused with its place",
		"takes bad":        `wanted a problem at "n"`,
		"preview writes":   "AFTER a preview the target is not as it was",
		"preview silent":   "does not say what would be done",
		"writes in a plan": "an operation that writes is not refused",
		"ignores cancel":   "succeeded although it was cancelled before",
		"says secret":      "a secret stands in",
		"undeclared":       "the result has extra, which is not declared",
		"twice":            "the effect is seen 2 times, not 1",
		"forgets result":   "the same token again has the result",
		"settles done":     "says done of what never began",
		"settles not done": "says not done of what is done",
		"read writes":      "AFTER a read the target is not as it was",
		"no case":          "shelf.look has no case",
		"person executes":  "it was executed",
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestShelf$", "-test.v")
		cmd.Env = append(os.Environ(), faultVariable+"="+fault)
		out, err := cmd.CombinedOutput()
		if fault == "" {
			if err != nil {
				t.Errorf("a kind that keeps the contract is found guilty:\n%s", out)
			}
			continue
		}
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: wanted %q, got %v\n%s", fault, want, err, out)
		}
	}
}

// shelf is a kind whose target is a number in memory.
type shelf struct {
	fault   string
	defined int
	stand   *stand
}

// stand is its target.
type stand struct {
	n       int64
	effects int
	done    map[string]engine.Record
}

type params struct {
	N      int64          `param:"n" doc:"How many." need:"yes"`
	Secret *engine.Secret `param:"secret" doc:"A secret."`
	Note   string         `param:"note" doc:"A note."`
}

func TestShelf(t *testing.T) {
	k := &shelf{fault: os.Getenv(faultVariable), stand: &stand{}}
	secret := engine.NewSecret("S", "hunter22")
	c := steptest.Case{
		Operation: "put", Params: engine.Record{"n": int64(3), "secret": secret},
		Setup:       func(testing.TB) { *k.stand = stand{done: map[string]engine.Record{}} },
		Fingerprint: func() string { return fmt.Sprint(k.stand.n) },
		Effect:      func() int { return k.stand.effects },
		Bad:         []steptest.Bad{{Params: engine.Record{"n": int64(-1)}, Path: "n"}},
	}
	set, look, ask := c, c, c
	set.Operation, look.Operation, ask.Operation = "set", "look", "ask"
	look.Effect = nil
	cases := []steptest.Case{c, set, look, ask}
	if k.fault == "no case" {
		cases = []steptest.Case{c, set, ask}
	}
	steptest.Run(t, steptest.Suite{Kind: k, Target: steps.Target{Name: "s", Type: "stand"}, Cases: cases})
}

func (k *shelf) Define() engine.Kind {
	k.defined++
	p := steps.Params[params]()
	result := engine.RecordOf(engine.Field{Name: "n", Doc: "How many there are.", Shape: engine.Of(engine.TypeInteger)})
	op := func(name string, class engine.Class, risk engine.Risk) engine.Operation {
		return engine.Operation{Name: name, Key: name, Doc: "An operation.", Class: class, Risk: risk, Params: p, Result: result,
			Example: "{id: a, shelf: {" + name + ": 1, n: 3}}"}
	}
	p.Fields = append(p.Fields[:len(p.Fields):len(p.Fields)], engine.Field{Name: "wait", Doc: "A time.", Shape: engine.Of(engine.TypeDuration)})
	for _, key := range []string{"put", "set", "look", "ask"} {
		p.Fields = append(p.Fields, engine.Field{Name: key, Doc: "The operation.", Shape: engine.Of(engine.TypeInteger)})
	}
	def := engine.Kind{Name: "shelf", Doc: "A shelf.",
		Targets: []engine.TargetType{{Name: "stand", Doc: "Where it stands.", Settings: engine.RecordOf(), Example: "{}"}},
		Operations: []engine.Operation{
			op("put", engine.ClassTransactional, engine.RiskChanges), op("set", engine.ClassIdempotent, engine.RiskChanges),
			op("look", engine.ClassRead, engine.RiskReads), op("ask", engine.ClassPerson, engine.RiskReads)}}
	first := &def.Operations[0]
	switch k.fault {
	case "no doc":
		first.Params.Fields[0].Doc = ""
	case "no class":
		first.Class = engine.ClassUnset
	case "no example":
		first.Example = ""
	case "bad example":
		first.Example = "{id: a, shelf: {put: 1, n: 3, m: 4}}"
	case "judges by files":
		first.Judge = engine.ByParams(func(r engine.Record) (j engine.Judgement) {
			if _, err := os.Stat(engine.Text(r["note"])); err == nil {
				j.Remarks = []engine.Remark{{Message: "the note is there"}}
			}
			return j
		})
	case "bad default":
		first.Params.Fields[3].Default = "soon"
	case "changing":
		def.Doc += fmt.Sprint(k.defined)
	}
	return def
}

func (k *shelf) Decode(operation string, r engine.Record) (steps.Operation, error) {
	if operation != "put" && operation != "set" && operation != "look" && operation != "ask" {
		return nil, errors.New("there is no such operation")
	}
	var p params
	if err := steps.Bind(r, &p); err != nil {
		if k.fault == "takes anything" {
			return act{k, operation, p}, nil
		}
		return nil, err
	}
	if _, err := os.ReadFile(p.Note); err == nil && k.fault == "decodes by files" {
		return nil, engine.Problem{Path: "note", Message: "there is a file of that name"}
	}
	if p.N < 0 && k.fault != "takes bad" {
		return nil, engine.Problem{Path: "n", Message: "must not be negative"}
	}
	if k.fault == "hidden prepare" {
		return preparing{act{k, operation, p}}, nil
	}
	return act{k, operation, p}, nil
}

// Connect opens nothing.
func (*shelf) Connect(context.Context, steps.Target, steps.Access) (io.Closer, error) {
	return conn{}, nil
}

type preparing struct{ act }

func (preparing) Prepare(context.Context, *steps.Env) (engine.Preparation, error) {
	return engine.Preparation{}, nil
}

type act struct {
	k         *shelf
	operation string
	params
}

func (a act) Preview(context.Context, *steps.Env) (engine.Impact, error) {
	switch a.k.fault {
	case "preview writes":
		a.k.stand.n++
	case "preview silent":
		return engine.Impact{Standing: engine.StandingWould}, nil
	}
	return engine.Impact{Standing: engine.StandingWould, Would: "do it"}, nil
}

func (a act) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	s := a.k.stand
	switch {
	case a.operation == "ask" && a.k.fault != "person executes":
		return engine.Failure(errors.New("ask a person"))
	case a.operation == "look" && a.k.fault == "read writes":
		s.n++
	}
	if a.operation == "look" || a.operation == "ask" {
		return engine.Outcome{Result: engine.Record{"n": s.n}}
	}
	if env.Access == steps.ReadOnly && a.k.fault != "writes in a plan" {
		return engine.Failure(errors.New("this is a dry-run"))
	}
	if ctx.Err() != nil && a.k.fault != "ignores cancel" {
		return engine.Failure(ctx.Err())
	}
	if stored, ok := s.done[env.Call.Token]; ok && a.k.fault != "twice" {
		if a.k.fault == "forgets result" {
			return engine.Outcome{Result: engine.Record{}}
		}
		return engine.Outcome{Result: stored}
	}
	s.n = a.N
	s.effects++
	result := engine.Record{"n": s.n}
	if a.k.fault == "undeclared" {
		result["extra"] = "x"
	}
	o := engine.Outcome{Result: result}
	if a.k.fault == "says secret" && a.Secret != nil {
		o.Evidence = []string{"it was " + a.Secret.Reveal()}
	}
	s.done[env.Call.Token] = result
	return o
}

func (a act) Settle(_ context.Context, env *steps.Env) engine.Settlement {
	result, ok := a.k.stand.done[env.Call.Token]
	switch {
	case a.k.fault == "settles done":
		return engine.Settlement{Verdict: engine.VerdictDone}
	case a.k.fault == "settles not done" || !ok:
		return engine.Settlement{Verdict: engine.VerdictNotDone, Dead: true}
	}
	return engine.Settlement{Verdict: engine.VerdictDone, Result: result}
}

type conn struct{}

func (conn) Close() error { return nil }
