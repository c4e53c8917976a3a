package local_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/local"
)

// memory is a journal that only encodes, and an executor whose effects are nothing.
type memory struct {
	diary
	bytes int
}

func (m *memory) Append(events []engine.Stamped, _ bool) error {
	for _, e := range events {
		b, err := engine.MarshalEvent(e)
		if err != nil {
			return err
		}
		m.bytes += len(b)
	}
	return nil
}

func (m *memory) Execute(context.Context, engine.Execute, engine.Attendant) engine.Outcome {
	return engine.Outcome{}
}

// BenchmarkSteps measures what a step costs without its disk and its effect. The time of the last
// hundred steps against that of the first hundred tells whether a long run becomes slower.
func BenchmarkSteps(b *testing.B) {
	const n = 10_000
	for b.Loop() {
		steps := make([]*engine.Step, n)
		for i := range steps {
			steps[i] = step(fmt.Sprintf("s%d", i), engine.ClassIdempotent)
		}
		var marks []time.Time
		m := &memory{}
		d := driveSteps(steps, m)
		d.Observe = func(x local.Notice) {
			if x.Started != nil {
				marks = append(marks, time.Now())
			}
		}
		if _, err := d.Drive(b.Context()); err != nil {
			b.Fatal(err)
		}
		first, last := marks[1100].Sub(marks[100]), marks[n-1].Sub(marks[n-1001])
		b.ReportMetric(float64(last)/float64(first), "last/first")
		b.ReportMetric(float64(marks[n-1].Sub(marks[0]).Nanoseconds())/n, "ns/step")
	}
}

// BenchmarkItems measures a loop over very many items.
func BenchmarkItems(b *testing.B) {
	const n = 100_000
	for b.Loop() {
		items := make(engine.List, n)
		for i := range items {
			items[i] = fmt.Sprintf("item-%d", i)
		}
		s := step("each", engine.ClassIdempotent)
		s.ForEach = &engine.Template{Literal: items}
		m := &memory{}
		d := driveSteps([]*engine.Step{s}, m)
		began := time.Now()
		if _, err := d.Drive(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(began).Nanoseconds())/n, "ns/item")
		runtime.GC()
		var stat runtime.MemStats
		runtime.ReadMemStats(&stat)
		b.ReportMetric(float64(stat.HeapAlloc)/(1<<20), "MiB-held")
		runtime.KeepAlive(d)
	}
}

func driveSteps(steps []*engine.Step, m *memory) *local.Driver {
	run := engine.NewRun(&engine.Playbook{Name: "p", Steps: steps}, engine.Given{})
	start := engine.Stamped{At: time.Now(), Event: engine.RunStarted{Run: "r", Playbook: "p", Started: time.Now()}}
	if err := run.Apply(start); err != nil {
		panic(err)
	}
	return &local.Driver{Run: run, Journal: m, Executor: m, Clock: local.SystemClock(), Random: func() float64 { return 0 }}
}
