package docker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	apicontainer "github.com/docker/docker/api/types/container"

	"github.com/handrail-dev/handrail/engine"
)

func TestInspectTellsTheState(t *testing.T) {
	w := newWorld(t)
	a := w.up("a")
	gone := w.name("gone")
	r := w.step("inspect", engine.Record{"inspect": engine.List{a, gone}, "missing": "ok"}).ok()
	all := r["containers"].(engine.List)
	first, second := all[0].(engine.Record), all[1].(engine.Record)
	if first["state"] != "running" || first["health"] != "none" || first["name"] != a || first["id"] != w.inspect(a).ID {
		t.Errorf("running container: %v", first)
	}
	if at, ok := first["started_at"].(time.Time); !ok || time.Since(at) > time.Hour {
		t.Errorf("started_at %v", first["started_at"])
	}
	if second["state"] != "absent" || second["id"] != nil {
		t.Errorf("absent container: %v", second)
	}
	shape := containerShape()
	for _, k := range engine.Keys(first) {
		if _, declared := shape.FieldNamed(k); !declared {
			t.Errorf("%s is not declared", k)
		}
	}
	w.step("inspect", engine.Record{"inspect": gone}).failed(engine.EffectNone, "there is no container "+gone)
}

func TestLogsGiveTheLastLinesOfBothStreams(t *testing.T) {
	w := newWorld(t)
	a := w.up("a", "sh", "-c", "for i in 1 2 3; do echo out $i; done; echo bad >&2; exec sleep 600")
	w.eventually("all is printed", func() bool {
		return strings.Contains(engine.Text(w.step("logs", engine.Record{"logs": a}).ok()["text"]), "bad")
	})
	r := w.step("logs", engine.Record{"logs": a}).ok()
	for _, e := range r["lines"].(engine.List) {
		l := e.(engine.Record)
		if want := map[bool]string{true: "stderr", false: "stdout"}[l["text"] == "bad"]; l["stream"] != want {
			t.Errorf("line %v, want stream %s", l, want)
		}
		if _, ok := l["at"].(time.Time); !ok {
			t.Errorf("line %v has no time", l)
		}
	}
	if n := len(w.step("logs", engine.Record{"logs": a, "tail": int64(2)}).ok()["lines"].(engine.List)); n != 2 {
		t.Errorf("tail: 2 gives %d lines", n)
	}
	w.step("logs", engine.Record{"logs": w.name("gone")}).failed(engine.EffectNone, "there is no container")
}

func TestChangesMoveToTheStatedConditionAndSayWhatChanged(t *testing.T) {
	w := newWorld(t)
	up, down := w.up("up"), w.create("down", nil, apicontainer.Config{})
	both := engine.List{up, down}
	for _, c := range []struct {
		operation      string
		params         engine.Record
		changed, state string
	}{
		{"start", engine.Record{"start": both}, down, "running"},
		{"stop", engine.Record{"stop": engine.List{down}, "grace": time.Duration(0)}, down, "exited"},
		{"stop", engine.Record{"stop": both}, up, "exited"},
		{"restart", engine.Record{"restart": both}, up + " " + down, "running"},
		{"kill", engine.Record{"kill": both}, up + " " + down, "exited"},
		{"kill", engine.Record{"kill": both}, "", "exited"},
		{"remove", engine.Record{"remove": both}, up + " " + down, "absent"},
		{"remove", engine.Record{"remove": both}, "", "absent"},
		{"stop", engine.Record{"stop": both, "missing": "ok"}, "", "absent"},
	} {
		t.Run(c.operation+" "+c.changed, func(t *testing.T) {
			s := w.step(c.operation, c.params).prepared()
			r := s.ok()
			var changed []string
			for _, n := range r["changed"].(engine.List) {
				changed = append(changed, n.(string))
			}
			if got := strings.Join(changed, " "); got != c.changed {
				t.Errorf("changed %q, want %q", got, c.changed)
			}
			for _, e := range r["containers"].(engine.List) {
				if got := e.(engine.Record); got["state"] != c.state {
					t.Errorf("%s is %s, want %s", got["name"], got["state"], c.state)
				}
			}
			n := len(r["containers"].(engine.List))
			if want := fmt.Sprintf("%d/%d containers", n, n); !slices.Contains(s.seat.progress, want) {
				t.Errorf("progress %v lacks %s", s.seat.progress, want)
			}
		})
	}
}

func TestMissingContainerIsRefusedBeforeAnythingIsDone(t *testing.T) {
	w := newWorld(t)
	a, gone := w.up("a"), w.name("gone")
	before := w.inspect(a).State.StartedAt
	s := w.step("restart", engine.Record{"restart": engine.List{a, gone}})
	if _, err := s.op.(change).Prepare(context.Background(), s.env); err == nil || !strings.Contains(err.Error(), "there is no container "+gone) {
		t.Errorf("Prepare says %v", err)
	}
	s.failed(engine.EffectNone, "there is no container "+gone)
	if w.inspect(a).State.StartedAt != before {
		t.Error("the container before the missing one was restarted")
	}
}

func TestRestartIsNotDoneTwiceAfterACrash(t *testing.T) {
	w := newWorld(t)
	a, b := w.up("a"), w.up("b")
	params := engine.Record{"restart": engine.List{a, b}}
	s := w.step("restart", params).prepared()
	// The attempt that is cut off has restarted the first container only.
	w.must(w.plain.ContainerRestart(context.Background(), a, apicontainer.StopOptions{}))
	first, second := w.inspect(a).State.StartedAt, w.inspect(b).State.StartedAt

	again := w.step("restart", params)
	again.env.Call.Seen, again.env.Again = s.env.Call.Seen, true
	// The engine has forgotten its events: what was seen must do.
	again.env.Call.Seen.(engine.Record)["at"] = nil
	r := again.ok()
	if w.inspect(a).State.StartedAt != first {
		t.Error("the first container was restarted twice")
	}
	if w.inspect(b).State.StartedAt == second {
		t.Error("the second container was not restarted")
	}
	if n := len(r["changed"].(engine.List)); n != 2 {
		t.Errorf("changed %v", r["changed"])
	}
	third := w.inspect(b).State.StartedAt
	again.ok()
	if w.inspect(a).State.StartedAt != first || w.inspect(b).State.StartedAt != third {
		t.Error("a third execution restarted something")
	}
	// Not AFTER a crash, a restart is a restart.
	w.step("restart", params).prepared().ok()
	if w.inspect(a).State.StartedAt == first {
		t.Error("a new restart did nothing")
	}
}

func TestRestartThatTheEngineIsBusyWithIsWaitedForAfterACrash(t *testing.T) {
	w := newWorld(t)
	// It ignores SIGTERM, so the restart that is cut off takes its whole grace.
	n := w.create("slow", nil, apicontainer.Config{Cmd: []string{"sh", "-c", "trap '' TERM; while true; do sleep 1; done"}, StopSignal: "TERM"})
	w.must(w.plain.ContainerStart(context.Background(), n, apicontainer.StartOptions{}))
	params := engine.Record{"restart": n, "grace": 4 * time.Second}
	s := w.step("restart", params).prepared()
	dying, crash := context.WithCancel(context.Background())
	grace := 4
	sent := make(chan error, 1)
	go func() { sent <- w.plain.ContainerRestart(dying, n, apicontainer.StopOptions{Timeout: &grace}) }()
	probe := &changing{change: s.op.(change), env: s.env}
	c, err := connect(context.Background(), s.env)
	w.must(err)
	probe.c = c
	probe.prior, _ = readPrior(s.env.Call.Seen)
	w.eventually("the engine has begun", func() bool {
		begun, err := probe.stopBegun(context.Background(), probe.prior.was[n].id)
		return err == nil && begun
	})
	crash()
	if err := <-sent; err == nil {
		t.Fatal("the engine was done before the crash")
	}

	again := w.step("restart", params)
	again.env.Call.Seen, again.env.Again = s.env.Call.Seen, true
	again.ok()
	w.says(again.seat.text(), "waiting for it", "was restarted before the run was cut off")
	first := w.inspect(n).State.StartedAt
	if kills := w.events(n, "start", probe.prior.at); kills != 1 {
		t.Errorf("it was started %d times", kills)
	}
	if w.inspect(n).State.StartedAt != first {
		t.Error("it was restarted once more")
	}
}

func TestStopThatHappenedIsOkAfterACrash(t *testing.T) {
	w := newWorld(t)
	a := w.up("a")
	s := w.step("stop", engine.Record{"stop": a}).prepared()
	w.must(w.plain.ContainerStop(context.Background(), a, apicontainer.StopOptions{}))
	s.env.Again = true
	if r := s.ok(); len(r["changed"].(engine.List)) != 1 {
		t.Errorf("changed %v, already %v", r["changed"], r["already"])
	}
}

func TestRemoveLeavesAContainerThatCameAfterTheIntent(t *testing.T) {
	w := newWorld(t)
	a := w.up("a")
	s := w.step("remove", engine.Record{"remove": a, "force": true}).prepared()
	w.must(w.plain.ContainerRemove(context.Background(), a, apicontainer.RemoveOptions{Force: true}))
	w.up("a")
	s.env.Again = true
	s.failed(engine.EffectNone, "is not the one that was there when the step began")
	if !w.exists(a) {
		t.Error("the new container was removed")
	}
}

func TestRemoveOfARunningContainerNeedsForce(t *testing.T) {
	w := newWorld(t)
	a := w.up("a")
	w.step("remove", engine.Record{"remove": a}).failed(engine.EffectNone, "force: true")
	if !w.exists(a) {
		t.Error("it was removed")
	}
}

func TestContainerThatExitsAtOnceFailsAndItsEffectStands(t *testing.T) {
	w := newWorld(t)
	n := w.create("bad", nil, apicontainer.Config{Cmd: []string{"sh", "-c", "echo no configuration found; exit 3"}})
	for _, operation := range []string{"start", "restart"} {
		o := w.step(operation, engine.Record{operation: n, "healthy": 20 * time.Second}).prepared().
			failed(engine.EffectStands, "exit code 3", "no configuration found")
		w.says(o.Tail, "no configuration found")
	}
}

func TestContainerThatBecomesUnhealthyFails(t *testing.T) {
	w := newWorld(t)
	n := w.create("sick", nil, apicontainer.Config{
		Cmd: []string{"sh", "-c", "echo serving; exec sleep 600"},
		Healthcheck: &apicontainer.HealthConfig{Test: []string{"CMD-SHELL", "echo port is closed; false"},
			Interval: 200 * time.Millisecond, Retries: 1},
	})
	o := w.step("start", engine.Record{"start": n, "healthy": 30 * time.Second}).prepared().
		failed(engine.EffectStands, "is unhealthy", "port is closed")
	w.says(o.Tail, "serving")
}

func TestHealthyIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	n := w.create("slow", nil, apicontainer.Config{
		Cmd: []string{"sh", "-c", "rm -f /tmp/ready; sleep 2; touch /tmp/ready; exec sleep 600"},
		Healthcheck: &apicontainer.HealthConfig{Test: []string{"CMD-SHELL", "test -f /tmp/ready"},
			Interval: 300 * time.Millisecond, Retries: 50},
	})
	r := w.step("start", engine.Record{"start": n, "healthy": 30 * time.Second}).prepared().ok()
	if c := r["containers"].(engine.List)[0].(engine.Record); c["health"] != "healthy" {
		t.Errorf("health %v", c["health"])
	}
	// It stays sick now, and nobody says so: the limit ends the wait.
	w.step("restart", engine.Record{"restart": n, "healthy": 500 * time.Millisecond}).prepared().
		failed(engine.EffectStands, "was not healthy after 500ms", "starting")
}

func TestCutShortBeforeTheRequestLeavesNoEffect(t *testing.T) {
	w := newWorld(t)
	n := w.up("a")
	s := w.step("stop", engine.Record{"stop": n}).prepared()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	w.failure(s.op.Execute(ctx, s.env), engine.EffectNone)
	if !w.inspect(n).State.Running {
		t.Error("it was stopped")
	}
}
