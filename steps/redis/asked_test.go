package redis_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/redis"
	"github.com/handrail-dev/handrail/steps/steptest"
)

// asked previews a step by an executor of a dry-run, and counts the commands that the server was sent for it. What sets a
// connection up is left out.
func (w *world) asked(c engine.Call) (engine.Impact, int, string) {
	w.t.Helper()
	x := steps.NewExecutor([]steps.Kind{redis.New()}, []steps.Target{w.target}, steps.ReadOnly)
	now := time.Now()
	x.Now = func() time.Time { return now } // so that the cap is that of the keys, however slow the machine is
	w.t.Cleanup(func() {
		if err := x.Close(); err != nil {
			w.t.Error(err)
		}
	})
	if _, err := x.Reach(w.t.Context(), "redis", w.target.Name); err != nil {
		w.t.Fatal(err)
	}
	w.do("CONFIG", "RESETSTAT")
	c.Target = w.target.Name
	im, err := x.Preview(w.t.Context(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	said := w.c.Info(w.t.Context(), "commandstats").Val()
	total := 0
	for line := range strings.Lines(said) {
		name, counts, ok := strings.Cut(strings.TrimSpace(line), ":calls=")
		if !ok {
			continue
		}
		switch name = strings.TrimPrefix(name, "cmdstat_"); name {
		case "hello", "auth", "select", "client|setname", "client|setinfo", "config|resetstat":
			continue
		}
		var n int
		if _, err := fmt.Sscan(strings.Split(counts, ",")[0], &n); err != nil {
			w.t.Fatal(err)
		}
		total += n
	}
	return im, total, said
}

// TestAPlanAsksNoMoreThanItsPageSays: the server itself counts.
func TestAPlanAsksNoMoreThanItsPageSays(t *testing.T) {
	w := newWorld(t)
	w.fill("r:", 3000, 0)
	w.fill("many:", 250_000, 0)
	for _, x := range []struct {
		operation string
		counted   int
		params    engine.Record
	}{
		{"do", 2, do("DEL", "r:1", "r:2")},
		{"do", 1, do("CONFIG", "SET", "maxmemory", "2gb")},
		{"do", 0, do("FLUSHALL")},
		{"do", 0, do("GET", "r:1")},
		{"info", 0, engine.Record{"info": "memory"}},
		{"count", 0, countOf("r:*", "").Params},
		{"sweep", 0, sweepOf("*", "", nil).Params}, // ends at its cap
		{"sweep", 3000, sweepOf("r:*", "ttl == -1", nil).Params},
		{"transaction", 1, transaction(words("INCR", "n"))},
		{"snapshot", 0, snapshot},
		{"rewrite_aof", 0, rewrite},
	} {
		im, n, said := w.asked(call(x.operation, x.params))
		if most := steptest.Bound(t, "redis."+x.operation, x.counted); n > most {
			t.Errorf("redis.%s %v: %d commands, and docs/plan.md says %d at most:\n%s", x.operation, x.params, n, most, said)
		}
		if x.operation == "sweep" && x.counted == 0 {
			if f := im.Figures[0]; f.Certainty != engine.FigureEstimate || n < 200 {
				t.Errorf("the sweep of 253000 keys did not stop at its cap: %+v, %d commands", f, n)
			}
		}
	}
}

// TestThePlanTellsTheMemoryThatGoes: keys that are alike take as much as the few that were asked about.
func TestThePlanTellsTheMemoryThatGoes(t *testing.T) {
	w := newWorld(t, "--maxmemory", "1gb", "--maxmemory-policy", "volatile-lru")
	for i := range 400 {
		w.do("SET", fmt.Sprintf("big:%04d", i), strings.Repeat("x", 10_000))
	}
	w.do("SET", "other", "1")
	var want int64
	for i := range 400 {
		n, ok := w.do("MEMORY", "USAGE", fmt.Sprintf("big:%04d", i)).(int64)
		if !ok {
			t.Fatal("the server does not say how much a key takes")
		}
		want += n
	}
	weight := func(im engine.Impact) engine.Figure {
		t.Helper()
		for _, f := range im.Figures {
			if strings.HasPrefix(f.Name, "bytes of memory") {
				return f
			}
		}
		t.Fatalf("no figure of memory in %+v", im.Figures)
		return engine.Figure{}
	}
	im := w.preview(sweepOf("big:*", "", nil))
	if f := weight(im); f.Value != want || f.Certainty != engine.FigureEstimate || !f.Now {
		t.Errorf("%+v, and the keys take %d", f, want)
	}
	has(t, fmt.Sprint(im.Facts), " % of maxmemory 1073741824 bytes used; policy volatile-lru: when it is full, keys are evicted")
	if f := weight(w.preview(call("do", do("DEL", "big:0001", "none", "big:0002")))); f.Value != want/200 {
		t.Errorf("%+v, and two keys take %d", f, want/200)
	}
	if f := weight(w.preview(call("do", do("FLUSHALL")))); f.Certainty != engine.FigureEstimate || f.Value < want/2 {
		t.Errorf("%+v, and the keys take %d", f, want)
	}
	before := used(w)
	succeeded(t, w.execute(sweepOf("big:*", "", engine.Record{"action": "delete"})))
	if freed := before - used(w); freed < want*8/10 || freed > want*12/10 {
		t.Errorf("%d bytes were freed, and the plan said %d", freed, want)
	}
	if f := weight(w.preview(sweepOf("big:*", "", nil))); f.Value != 0 || f.Certainty != engine.FigureExact {
		t.Errorf("with no keys: %+v", f)
	}
	for _, f := range w.preview(sweepOf("big:*", "", engine.Record{"action": "expire", "expire": "10m"})).Figures {
		if strings.HasPrefix(f.Name, "bytes") {
			t.Errorf("a sweep that frees nothing now says %+v", f)
		}
	}
}

func used(w *world) int64 {
	w.t.Helper()
	r := succeeded(w.t, w.execute(call("info", engine.Record{"info": "memory"})))
	n, _ := r["memory"].(engine.Record)["used_memory_dataset"].(int64)
	return n
}
