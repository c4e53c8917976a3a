package playbooks_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/journal"
	"github.com/handrail-dev/handrail/engine/preview"
	"github.com/handrail-dev/handrail/playbooks"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/mysqlgroup"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
	"github.com/handrail-dev/handrail/steps/steptest/truth"
	"github.com/handrail-dev/handrail/steps/steptest/witness"
)

// Every run of these tests is planned first, by a user who may write everything. What the servers, the Docker engine and the file
// system tell of the planning is looked at; and then the plan is held against what the run did.

// planned makes the plan of a run that is about to begin.
func (w *world) planned(start engine.RunStarted) *preview.Plan {
	w.t.Helper()
	var p *preview.Plan
	found := witness.While(w.t, w.watches(start), func() {
		x := w.executor(steps.ReadOnly)
		var err error
		p, err = preview.Make(context.Background(), w.pb, start, w.known(), x)
		if err := errors.Join(err, x.Close()); err != nil {
			w.t.Fatal(err)
		}
	})
	for who, said := range found {
		w.t.Errorf("the plan of %s has written something. %s says:\n%s", w.pb.Name, who, strings.Join(said, "\n"))
	}
	if w.afterPlan != nil {
		w.afterPlan()
	}
	return p
}

// compared holds the plan against the run.
func (w *world) compared(p *preview.Plan, r *engine.Run, l *truth.Ledger) {
	w.t.Helper()
	tallies, lies := truth.Compare(p, r, l)
	for _, lie := range lies {
		w.t.Errorf("the plan of %s has lied: %s", w.pb.Name, lie)
	}
	held.Add(w.t.Name(), r, tallies)
}

// watches are the witnesses of everything that the playbook could reach.
func (w *world) watches(start engine.RunStarted) map[string]witness.Watch {
	w.t.Helper()
	all := map[string]witness.Watch{"file system": witness.Files([]string{filepath.Dir(filepath.Dir(w.store.Path()))}, w.written...)}
	for _, target := range w.targets {
		switch target.Type {
		case "mysql":
			if g, ok := standIns[engine.Text(target.Settings["addresses"])]; ok {
				all[target.Name+", what it was sent"] = func(testing.TB) func() []string { g.Sent(); return g.Sent }
				continue
			}
			db := servers.Open(w.t, target.Settings)
			all[target.Name+", general log"], all[target.Name+", binary log"] = witness.MySQLGeneralLog(db), witness.MySQLBinaryLog(db)
		case "docker":
			if own := marks(start); len(own) > 0 { // otherwise there is nothing on the engine that the playbook could name
				all[target.Name+", events"] = witness.DockerEvents(engine.Text(target.Settings["host"]), own...)
			}
		case "redis", "cluster", "sentinel":
			for _, address := range w.nodes(target) {
				if w.crowded == nil || !*w.crowded {
					all[address+", MONITOR"], all[address+", INFO"] = witness.RedisMonitor(address), witness.RedisChanges(address)
					all[address+", commandstats"] = witness.RedisCommands(address)
				}
			}
		default:
			w.t.Fatalf("nobody watches a target of type %s", target.Type)
		}
	}
	return all
}

// standIns are servers that are none, by their addresses: they write down what they were sent.
var standIns = map[string]*mysqlgroup.Group{}

// nodes are the servers of a target that answer. One that is down cannot be written to.
func (w *world) nodes(target steps.Target) []string {
	w.t.Helper()
	var all []string
	addresses, _ := target.Settings["addresses"].(engine.List)
	switch target.Type {
	case "sentinel":
		s := goredis.NewSentinelClient(&goredis.Options{Addr: engine.Text(addresses[0])})
		defer s.Close()
		master, err := s.GetMasterAddrByName(w.t.Context(), engine.Text(target.Settings["master"])).Result()
		if err != nil {
			w.t.Fatal(err)
		}
		all = []string{net.JoinHostPort(master[0], master[1])}
	case "cluster":
		for _, a := range addresses {
			all = append(all, engine.Text(a))
		}
	default:
		all = []string{engine.Text(target.Settings["address"])}
	}
	return slices.DeleteFunc(all, func(address string) bool {
		c := goredis.NewClient(&goredis.Options{Addr: address, MaxRetries: -1})
		defer c.Close()
		return c.Ping(w.t.Context()).Err() != nil
	})
}

// own is a name that a test has for itself alone.
var own = regexp.MustCompile(`hr-[a-z]+-[0-9a-z]{8,10}`)

// marks are the names on the Docker engine that nobody but this test has. The id of a run is none: its time is given.
func marks(start engine.RunStarted) []string {
	all := own.FindAllString(engine.Text(start.Inputs.V), -1)
	slices.Sort(all)
	return slices.Compact(all)
}

// elsewhere are the playbooks that act on the whole stack of examples/numbering, and are planned and run there.
var elsewhere = []string{"backends-start", "disaster-recovery", "mariadb-start"}

// held is what was compared in all tests.
var held = &holding{}

type holding struct{ truth.Table }

// missing says which playbooks were not run.
func (h *holding) missing() (said []string) {
	files, err := playbooks.Files.ReadDir(".")
	if err != nil {
		return []string{err.Error()}
	}
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), ".yaml")
		if there := h.Has(name); there == slices.Contains(elsewhere, name) {
			said = append(said, fmt.Sprintf("playbook %s: it was planned and run here: %v", name, there))
		}
	}
	return said
}

// TestEachWitnessSeesAPlanThatWrites: what a preview may never do is done in the middle of a planning, once for each witness. All
// rights are there, as they are for the plans.
func TestEachWitnessSeesAPlanThatWrites(t *testing.T) {
	target, db := numbering(t)
	cache := servers.Redis(t)
	engineTarget, c, name := engineTarget(t)
	w := open(t, "stack-health", target, steps.Target{Name: "cache", Type: "redis", Settings: cache.Settings()}, engineTarget)
	start := engine.RunStarted{Run: journal.NewID(w.now, [4]byte{7}), Inputs: engine.Typed{V: engine.Record{"name": name}}}
	unlogged := session(t, db)
	unlogged("SET SESSION sql_log_off = 1")
	unbinned := session(t, db)
	unbinned("SET SESSION sql_log_bin = 0")
	for _, m := range mutants(t, w, c, name, cache, unlogged, unbinned) {
		found := witness.While(t, w.watches(start), m.write)
		for _, who := range m.seenBy {
			if len(found[who]) == 0 {
				t.Errorf("%s: %s has not seen it", m.what, who)
			}
			delete(found, who)
		}
		if len(found) > 0 {
			t.Errorf("%s: it was seen as well by %v", m.what, found)
		}
	}
	if found := witness.While(t, w.watches(start), func() {}); len(found) > 0 {
		t.Errorf("nothing was done, and seen was %v", found)
	}
}
