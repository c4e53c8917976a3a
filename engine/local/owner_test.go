package local_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/local"
)

// TestOneAtATimeOwnsTheRun: commands end, note and report side by side while requests come in, and whatever
// is done with run, journal and screen is done by one goroutine at a time, and once.
func TestOneAtATimeOwnsTheRun(t *testing.T) {
	const n, notes = 8, 20
	d := &diary{do: map[string]func(context.Context, engine.Execute, engine.Attendant) engine.Outcome{}}
	group := &engine.Step{ID: "g", Group: engine.ParallelGroup, AtOnce: n}
	for i := range n {
		lane := &engine.Step{ID: fmt.Sprintf("lane%d", i), Group: engine.BlockGroup, AtOnce: 1}
		for k := range 5 {
			id := fmt.Sprintf("s%d_%d", i, k)
			lane.Steps = append(lane.Steps, step(id, engine.ClassIdempotent))
			d.do[id] = func(_ context.Context, _ engine.Execute, a engine.Attendant) engine.Outcome {
				for x := range int64(notes) {
					a.Progress(x, notes, "parts")
					if err := a.Note(x); err != nil {
						return engine.Failure(err)
					}
				}
				return engine.Outcome{}
			}
		}
		group.Steps = append(group.Steps, lane)
	}
	drv := driverOf(t, d, group)
	var inside, seen atomic.Int32
	alone := func() func() {
		if inside.Add(1) != 1 {
			t.Error("two are inside at once")
		}
		runtime.Gosched()
		return func() { inside.Add(-1) }
	}
	drv.Observe = func(n local.Notice) {
		defer alone()()
		if n.Event != nil {
			seen.Add(1)
		}
	}
	requests := make(chan local.Request)
	drv.Requests = requests
	answered, answer := context.WithCancel(t.Context())
	first := d.do["s0_0"]
	d.do["s0_0"] = func(ctx context.Context, c engine.Execute, a engine.Attendant) engine.Outcome {
		<-answered.Done()
		return first(ctx, c, a)
	}
	ctx, over := context.WithCancel(t.Context())
	asking := make(chan struct{})
	go func() {
		defer close(asking)
		for {
			refused := local.Request{Done: func(error) { answer() }, Event: func(*engine.Run, time.Time) (engine.Event, error) {
				defer alone()()
				return nil, engine.ErrNotPossible
			}}
			select {
			case requests <- refused:
			case <-ctx.Done():
				return
			}
		}
	}()
	state, err := drv.Drive(t.Context())
	over()
	<-asking
	if err != nil || state != engine.RunOK {
		t.Fatal(state, err)
	}
	// Each step is intended, noted and finished; the group and its lanes are entered by nobody's word.
	if want := n * 5 * (notes + 2); len(d.events) < want || int(seen.Load()) != len(d.events) {
		t.Errorf("%d events were recorded and %d were shown; at least %d have happened", len(d.events), seen.Load(), want)
	}
	once := map[string]bool{}
	for _, e := range d.events {
		if f, ok := e.Event.(engine.StepFinished); ok {
			if once[f.Step] {
				t.Errorf("%s has finished twice", f.Step)
			}
			once[f.Step] = true
		}
	}
}
