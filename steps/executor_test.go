package steps_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// gone is a kind whose target does not answer. It counts how often that was tried.
type gone struct{ tried int }

func (*gone) Define() engine.Kind { return engine.Kind{Name: "gone"} }

func (*gone) Decode(string, engine.Record) (steps.Operation, error) {
	return nil, errors.New("there are no operations")
}

func (g *gone) Connect(context.Context, steps.Target, steps.Access) (io.Closer, error) {
	g.tried++
	return nil, errors.New("nobody answers")
}

// TestADryRunDoesNotWaitTwiceForWhatIsGone: a plan is about one moment. A run tries again, since the target may have come up.
func TestADryRunDoesNotWaitTwiceForWhatIsGone(t *testing.T) {
	for access, want := range map[steps.Access]int{steps.ReadOnly: 1, steps.Full: 3} {
		g := &gone{}
		x := steps.NewExecutor([]steps.Kind{g}, []steps.Target{{Name: "db"}}, access)
		for range 3 {
			if _, err := x.Reach(t.Context(), "gone", "db"); err == nil || err.Error() != "nobody answers" {
				t.Errorf("it says %v", err)
			}
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
		if g.tried != want {
			t.Errorf("tried %d times, wanted %d", g.tried, want)
		}
	}
	// What ended by the step's own time says nothing of the target.
	g := &gone{}
	x := steps.NewExecutor([]steps.Kind{g}, []steps.Target{{Name: "db"}}, steps.ReadOnly)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, _ = x.Reach(over, "gone", "db") // either answer is right
	if _, err := x.Reach(t.Context(), "gone", "db"); err == nil || g.tried != 2 {
		t.Errorf("tried %d times, %v", g.tried, err)
	}
}
