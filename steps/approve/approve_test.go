package approve_test

import (
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/approve"
	"github.com/handrail-dev/handrail/steps/steptest"
)

func TestContract(t *testing.T) {
	good := engine.Record{"message": "This overwrites numbering", "expires": 30 * time.Minute}
	steptest.Run(t, steptest.Suite{Kind: approve.New(), Cases: []steptest.Case{{
		Operation: "approve", Params: good, Bad: []steptest.Bad{
			{Params: engine.Record{"message": ""}, Path: "message"},
			{Params: engine.Record{"message": "x", "expires": time.Duration(0)}, Path: "expires"},
		},
	}}})
}

func TestAPreviewSaysWhoIsAskedWhat(t *testing.T) {
	op, err := approve.New().Decode("approve", engine.Record{"message": engine.Unknown{After: "count"}, "expires": time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	env, _ := steptest.Env(t, approve.New(), engine.Call{}, steps.Target{}, steps.ReadOnly)
	impact, err := op.Preview(t.Context(), env)
	if err != nil || impact.Would != "ask a person: a message that is known after step count (within 1h0m0s)" ||
		!strings.Contains(impact.Warnings[0], "--yes does not") {
		t.Errorf("%+v %v", impact, err)
	}
}
