package docker

import (
	"context"
	"slices"
	"strings"
	"testing"

	apicontainer "github.com/docker/docker/api/types/container"

	"github.com/handrail-dev/handrail/engine"
)

// gone removes a container, and its anonymous volumes if it is said so.
func (w *world) gone(name string, volumes bool) {
	w.t.Helper()
	w.must(w.plain.ContainerRemove(context.Background(), name, apicontainer.RemoveOptions{Force: true, RemoveVolumes: volumes}))
}

// TestRunLikeOneThatIsGoneIsMadeByWhatWasRecorded: it was prepared, and its container was not made yet.
func TestRunLikeOneThatIsGoneIsMadeByWhatWasRecorded(t *testing.T) {
	w := newWorld(t)
	source, net, other := w.pattern("one")
	s := w.like("two", source, engine.Record{"env": engine.Record{"A": "5", "B": "6"}, "ports": engine.List{}}).prepared()
	whole := w.like("three", source, engine.Record{"env": engine.Record{"A": "5", "B": "6"}, "ports": engine.List{}}).preview()
	if whole.Standing != engine.StandingWould {
		t.Errorf("preview %+v", whole)
	}
	w.gone(source, false)
	for _, again := range []bool{false, true} { // a second attempt, and one AFTER a crash
		s.env.Again = again
		if r := s.ok(); r["changed"] != true {
			t.Errorf("result %v", r)
		}
		two := w.inspect(w.name("two"))
		if !slices.Contains(two.Config.Env, "A=5") || !slices.Contains(two.Config.Env, "B=6") || two.Config.Labels["tier"] != "data" || two.Config.StopSignal != "KILL" ||
			two.HostConfig.RestartPolicy.Name != "unless-stopped" || len(two.HostConfig.PortBindings) != 0 || two.Config.User != "0:0" {
			t.Errorf("made as %+v, %+v", two.Config, two.HostConfig)
		}
		if got := w.sh(w.name("two"), "cat /data/f /anonymous/f; touch /host/x 2>&1 | grep -ci read-only"); got != "kept\nkept\n1" {
			t.Errorf("mounts: %s", got)
		}
		for name, alias := range map[string]string{net: "cache", other: "beside"} {
			if e := two.NetworkSettings.Networks[name]; e == nil || !slices.Contains(e.Aliases, alias) {
				t.Errorf("network %s: %+v", name, e)
			}
		}
		w.gone(w.name("two"), false)
	}
}

// TestRunLikeOneThatIsGoneIsRefusedWhereNotAllIsKnown: nothing secret is recorded, and nothing is left out in silence.
func TestRunLikeOneThatIsGoneIsRefusedWhereNotAllIsKnown(t *testing.T) {
	w := newWorld(t)
	source, _, _ := w.pattern("one")
	all := engine.Record{"A": "5", "B": "6"}
	like := func(env engine.Record) *act {
		return w.like("two", source, engine.Record{"env": env, "ports": engine.List{}})
	}
	part := like(engine.Record{"A": "5"}).prepared()
	recorded, err := engine.AppendValue(nil, part.env.Call.Seen)
	w.must(err)
	for _, e := range []string{"A=1", "B=2"} {
		if strings.Contains(string(recorded), e) {
			t.Errorf("the value in %s is recorded", e)
		}
	}
	masked, sensitive, whole := like(all).prepared(), like(all), like(all).prepared()
	seen := masked.env.Call.Seen.(engine.Record)["like"].(engine.Record)
	seen["text"] = strings.Replace(engine.Text(seen["text"]), "sleep", engine.Masked, 1)
	sensitive.env.Call.Sensitive = true
	sensitive.prepared()
	w.gone(source, true)
	is := "like: there is no container " + source
	part.failed(engine.EffectNone, is, "the values of B in its environment may be secret", "under `env`", "nothing was made")
	masked.failed(engine.EffectNone, is, "a secret stands in it")
	sensitive.failed(engine.EffectNone, is)
	whole.failed(engine.EffectNone, is, "its volume", "would be empty")
	if _, err := w.plain.ContainerInspect(context.Background(), w.name("two")); err == nil {
		t.Error("it was made")
	}
}

// TestRunLikeOneThatIsGoneTakesTheOneThatWasMadeOfIt: a playbook that is run again AFTER it has removed the old one.
func TestRunLikeOneThatIsGoneTakesTheOneThatWasMadeOfIt(t *testing.T) {
	w := newWorld(t)
	source, _, _ := w.pattern("one")
	spec := engine.Record{"ports": engine.List{}, "env": engine.Record{"C": "3"}}
	made := w.like("two", source, spec).prepared().ok()
	w.gone(source, false)
	later := func(spec engine.Record) *act {
		s := w.like("two", source, spec)
		s.env.Call.Token = "r-" + w.prefix + "-later/it"
		return s
	}
	if i := later(spec).preview(); i.Standing != engine.StandingAlready {
		t.Errorf("preview %+v", i)
	}
	if r := later(spec).prepared().ok(); r["changed"] != false || r["id"] != made["id"] {
		t.Errorf("run again: %v", r)
	}
	other := engine.Record{"ports": engine.List{}, "env": engine.Record{"C": "4"}}
	later(other).failed(engine.EffectNone, "like: there is no container "+source)
	if i := later(other).preview(); i.Standing != engine.StandingUnknown {
		t.Errorf("preview of another %+v", i)
	}
	w.gone(w.name("two"), false)
	later(spec).failed(engine.EffectNone, "like: there is no container "+source)
}

// TestRunLikeOneThatHasChangedSinceTheCrash: what this very step has made is its own, whatever the pattern is by now.
func TestRunLikeOneThatHasChangedSinceTheCrash(t *testing.T) {
	w := newWorld(t)
	source, _, _ := w.pattern("one")
	s := w.like("two", source, engine.Record{"ports": engine.List{}}).prepared()
	made := s.ok()
	w.gone(source, false)
	w.create("one", &apicontainer.HostConfig{}, apicontainer.Config{Env: []string{"A=9"}})
	s.env.Again = true
	if r := s.ok(); r["id"] != made["id"] {
		t.Errorf("taken over as %v", r)
	}
	w.like("two", source, engine.Record{"ports": engine.List{}}).failed(engine.EffectNone, "another configuration")
}
