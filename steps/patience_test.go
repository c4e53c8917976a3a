package steps_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// deaf is a kind whose target takes connections and does not answer. It notes for how long it could have been waited for.
type deaf struct{ waits []time.Duration }

func (*deaf) Define() engine.Kind { return engine.Kind{Name: "deaf"} }

func (d *deaf) Decode(string, engine.Record) (steps.Operation, error) { return d, nil }

func (*deaf) Connect(context.Context, steps.Target, steps.Access) (io.Closer, error) {
	return io.NopCloser(nil), nil
}

func (d *deaf) wait(ctx context.Context) error {
	end, ok := ctx.Deadline()
	if !ok {
		d.waits = append(d.waits, 0)
		return nil
	}
	left := time.Until(end)
	d.waits = append(d.waits, left)
	if left > time.Second { // nobody waits for that in a test
		return nil
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

func (d *deaf) Preview(ctx context.Context, _ *steps.Env) (engine.Impact, error) {
	return engine.Impact{}, d.wait(ctx)
}

func (d *deaf) Execute(ctx context.Context, _ *steps.Env) engine.Outcome {
	if err := d.wait(ctx); err != nil {
		return engine.Failure(err)
	}
	return engine.Outcome{}
}

// bounded holds the waits against what they may have been at most, and the long ones against being cut short.
func (d *deaf) bounded(t *testing.T, most ...time.Duration) {
	t.Helper()
	if len(d.waits) != len(most) {
		t.Fatalf("it was asked %d times, not %d", len(d.waits), len(most))
	}
	for i, w := range d.waits {
		if w > most[i] || most[i] > time.Second && w < most[i]/2 {
			t.Errorf("wait %d had %s of %s", i, w, most[i])
		}
	}
}

// TestADryRunDoesNotWaitForEver: a step may take as long as the run lets it, or five minutes. A target that has kept
// the plan waiting once is given ten seconds.
func TestADryRunDoesNotWaitForEver(t *testing.T) {
	look := func(x *steps.Executor, target string, timeout time.Duration) error {
		_, err := x.Preview(t.Context(), engine.Call{Step: "a", Kind: "deaf", Operation: "x", Target: target, Timeout: timeout})
		return err
	}
	d := &deaf{}
	x := steps.NewExecutor([]steps.Kind{d}, []steps.Target{{Name: "db"}, {Name: "other"}}, steps.ReadOnly)
	if err := look(x, "db", 0); err != nil {
		t.Error(err)
	}
	if err := look(x, "db", time.Minute); err != nil {
		t.Error(err)
	}
	if err := look(x, "db", time.Millisecond); err == nil || !strings.Contains(err.Error(), "not known within 1ms: a dry-run waits no longer") {
		t.Errorf("it says %v", err)
	}
	if err := look(x, "db", time.Minute); err != nil {
		t.Error(err)
	}
	o := x.Execute(t.Context(), engine.Execute{Call: engine.Call{Step: "a", Kind: "deaf", Operation: "x", Target: "db", Timeout: time.Millisecond}}, nil)
	if !strings.Contains(o.Err, "not known within 1ms") {
		t.Errorf("it says %q", o.Err)
	}
	if err := look(x, "other", 0); err != nil {
		t.Error(err)
	}
	d.bounded(t, 5*time.Minute, time.Minute, time.Millisecond, 10*time.Second, time.Millisecond, 5*time.Minute)

	// In a run the timeouts of its steps are all there is, and the engine keeps them.
	d = &deaf{}
	x = steps.NewExecutor([]steps.Kind{d}, []steps.Target{{Name: "db"}}, steps.Full)
	x.Execute(t.Context(), engine.Execute{Call: engine.Call{Step: "a", Kind: "deaf", Operation: "x", Target: "db", Timeout: time.Minute}}, nil)
	d.bounded(t, 0)
}
