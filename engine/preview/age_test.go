package preview_test

import (
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/objective"
	"github.com/handrail-dev/handrail/engine/preview"
)

func TestTheAgeOfTheDataIsHeldAgainstTheRPO(t *testing.T) {
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	of := func(o engine.Objectives, output engine.Expr, steps ...*engine.Step) *preview.Plan {
		t.Helper()
		pb := &engine.Playbook{Name: "p", Steps: steps, Objectives: o}
		if output != nil {
			pb.Outputs = []engine.Output{{Name: objective.DataOutput, Expr: output}}
		}
		p, err := preview.Make(t.Context(), pb, engine.RunStarted{Run: "plan", Playbook: "p", Started: at}, engine.Given{}, &looker{})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	both := engine.Objectives{RTO: time.Hour, RPO: 15 * time.Minute}
	write := leaf("write", engine.ClassTransactional, "db")
	if d := of(both, result{value: at.Add(-10 * time.Minute)}, write).Data; d.Verdict != objective.Held || d.Age != 10*time.Minute {
		t.Errorf("ten minutes: %+v", d)
	}
	if d := of(both, result{value: at.Add(-16 * time.Minute)}, write).Data; d.Verdict != objective.Missed || d.Age != 16*time.Minute {
		t.Errorf("sixteen minutes: %+v", d)
	}
	if d := of(both, result{id: "write", name: "n"}, write).Data; d.Verdict != objective.Unknown || d.KnownAfter != "write" || !d.Of.IsZero() {
		t.Errorf("what a step brings: %+v", d)
	}
	if d := of(both, nil, write).Data; d.Verdict != objective.Unknown || d.KnownAfter != "" {
		t.Errorf("without the output: %+v", d)
	}
	if d := of(engine.Objectives{RTO: time.Hour}, nil, write).Data; d != nil {
		t.Errorf("nothing is promised: %+v", d)
	}
	p := of(engine.Objectives{RPO: time.Hour}, nil, write)
	if d := p.Data; !d.Saved || d.Verdict != objective.Unknown {
		t.Errorf("a backup that never ran: %+v", d)
	}
	p.Saved([]objective.Times{{State: engine.RunFailed, Started: at.Add(-time.Minute)}, {State: engine.RunOK, Started: at.Add(-30 * time.Minute)}})
	if d := p.Data; d.Verdict != objective.Held || d.Age != 30*time.Minute {
		t.Errorf("a backup of half an hour ago: %+v", d)
	}
}

// TestASavedPlanIsNotHeldAgainstHowLargeThingsAre: a table grows, and the plan is as good as before.
func TestASavedPlanIsNotHeldAgainstHowLargeThingsAre(t *testing.T) {
	of := func(rows, bytes int64) *preview.Plan {
		return plan(t, &looker{impact: map[string]engine.Impact{"w": {Standing: engine.StandingWould, Figures: []engine.Figure{
			{Name: "rows", Value: rows, Certainty: engine.FigureExact}, {Name: "bytes, table t", Value: bytes, Certainty: engine.FigureExact, Now: true}}}}},
			leaf("w", engine.ClassTransactional, "db"))
	}
	if d := preview.Differences(of(10, 1000), of(10, 9000), 10); len(d) != 0 {
		t.Errorf("a larger table: %q", d)
	}
	if d := preview.Differences(of(10, 1000), of(90, 1000), 10); len(d) != 1 {
		t.Errorf("more rows: %q", d)
	}
}
