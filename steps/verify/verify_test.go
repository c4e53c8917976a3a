package verify_test

import (
	"context"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest"
	"github.com/handrail-dev/handrail/steps/verify"
)

// answers are what the probes of the tests say, by operation.
var answers = map[string]engine.Answer{
	"good":     {Asked: engine.Yes, Message: "all is well", Result: engine.Record{"rows": engine.List{int64(1)}}},
	"silent":   {Asked: engine.Yes, Result: engine.Record{"checks": "mine"}},
	"fair":     {Asked: engine.Yes, Grade: engine.GradeDegraded, Message: "one of two is up"},
	"bad":      {Asked: engine.No, Grade: engine.GradeFailed, Message: "nothing is up"},
	"wordless": {Asked: engine.No, Grade: engine.GradeFailed},
	"lost":     {Message: "connection refused"},
}

func ask(_ context.Context, q engine.Question) engine.Answer {
	_, op, _ := q.Operation()
	return answers[op]
}

func probes(ops ...string) engine.Record {
	list := engine.List{}
	for _, op := range ops {
		list = append(list, steptest.Question(engine.Probe{Kind: "demo", Op: op}, engine.Record{}))
	}
	return engine.Record{"probes": list}
}

func TestContract(t *testing.T) {
	steptest.Run(t, steptest.Suite{Kind: verify.New(), Ask: ask, Cases: []steptest.Case{{
		Operation: "verify", Params: probes("good", "silent"),
		Bad: []steptest.Bad{{Params: probes(), Path: "probes"}, {Params: engine.Record{"probes": engine.List{int64(1)}}, Path: "probes[0]"}},
	}}})
}

func run(t *testing.T, ops ...string) engine.Outcome {
	t.Helper()
	op, err := verify.New().Decode("verify", probes(ops...))
	if err != nil {
		t.Fatal(err)
	}
	env := steptest.EnvAsking(t, verify.New(), engine.Call{Kind: "verify"}, steps.Target{}, steps.ReadOnly, &steptest.Recorder{}, ask)
	return op.Execute(t.Context(), env)
}

func TestTheStepHasTheWorstGradeAndSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		ops     []string
		grade   engine.Grade
		message string
	}{
		{[]string{"good"}, engine.GradeOK, "all is well"},
		{[]string{"good", "silent"}, engine.GradeOK, "all is well"},
		{[]string{"fair"}, engine.GradeDegraded, "one of two is up"},
		{[]string{"good", "fair"}, engine.GradeDegraded, "1 of 2 checks hold; one of two is up"},
		{[]string{"fair", "bad", "good"}, engine.GradeFailed, "1 of 3 checks hold; one of two is up; nothing is up"},
		{[]string{"wordless"}, engine.GradeFailed, "demo.wordless is failed"},
		{[]string{"lost"}, engine.GradeFailed, "could not ask demo.lost: connection refused"},
	} {
		o := run(t, c.ops...)
		if o.Err != "" || o.Grade != c.grade || o.Message != c.message {
			t.Errorf("%v: %s %q %q", c.ops, o.Grade, o.Message, o.Err)
		}
	}
}

func TestTheResultOfTheOnlyProbeStandsBesideItsCheck(t *testing.T) {
	one := run(t, "good").Result
	if rows, ok := one["rows"].(engine.List); !ok || len(rows) != 1 {
		t.Errorf("%v", one)
	}
	if checks, ok := run(t, "silent").Result["checks"].(engine.List); !ok || len(checks) != 1 {
		t.Error("a field of the probe hides the checks")
	}
	several := run(t, "good", "lost").Result
	if _, there := several["rows"]; there || len(several) != 1 {
		t.Errorf("%v", several)
	}
	checks := several["checks"].(engine.List)
	first, second := checks[0].(engine.Record), checks[1].(engine.Record)
	if first["grade"] != "ok" || first["asked"] != "yes" || first["result"].(engine.Record)["rows"] == nil {
		t.Errorf("%v", first)
	}
	if second["grade"] != "failed" || second["asked"] != "could not ask" || second["result"] != nil {
		t.Errorf("%v", second)
	}
}

func TestAPreviewSaysWhatIsTrueNow(t *testing.T) {
	op, err := verify.New().Decode("verify", probes("good", "lost"))
	if err != nil {
		t.Fatal(err)
	}
	env := steptest.EnvAsking(t, verify.New(), engine.Call{Kind: "verify"}, steps.Target{}, steps.ReadOnly, &steptest.Recorder{}, ask)
	impact, err := op.Preview(t.Context(), env)
	if err != nil || impact.Standing != engine.StandingWould || len(impact.Facts) != 2 ||
		!strings.Contains(impact.Facts[1].Value, "could not ask: connection refused") {
		t.Errorf("%+v %v", impact, err)
	}
}
