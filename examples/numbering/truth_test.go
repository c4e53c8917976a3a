package numbering_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/journal"
	"github.com/handrail-dev/handrail/engine/playbook"
	"github.com/handrail-dev/handrail/engine/preview"
	"github.com/handrail-dev/handrail/steps/all"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
	"github.com/handrail-dev/handrail/steps/steptest/truth"
	"github.com/handrail-dev/handrail/steps/steptest/witness"
)

// plan makes the plan of disaster-recovery. Neither the Docker engine nor a file may know of it: the state folder, the locks and the
// backups are among these.
func (s *stand) plan(when string) *preview.Plan {
	s.t.Helper()
	host, _ := servers.Docker(s.t)["host"].(string)
	p := &preview.Plan{}
	found := witness.While(s.t, map[string]witness.Watch{"file system": witness.Files([]string{s.dir}), "events": witness.DockerEvents(host, s.name)}, func() {
		begun := time.Now()
		got := s.handrail("plan", "disaster-recovery", "--env", s.environment, "--inputs", s.input, "-o", "json", "--fail-on", "never")
		s.t.Logf("the plan, %s, took %v", when, time.Since(begun).Round(10*time.Millisecond))
		if err := json.Unmarshal([]byte(s.is(got, 0).out), p); err != nil {
			s.t.Fatal(err)
		}
	})
	for who, said := range found {
		s.t.Errorf("the plan, %s, has written something. The %s says:\n%s", when, who, strings.Join(said, "\n"))
	}
	if len(p.Steps) < 50 || p.Error != "" {
		s.t.Errorf("the plan, %s, has %d steps; %s", when, len(p.Steps), p.Error)
	}
	return p
}

// held holds a plan against the journal of a run, and what came of that against the page about plans.
func (s *stand) held(p *preview.Plan, id string) {
	s.t.Helper()
	read, err := journal.OpenStore(filepath.Join(s.dir, "state")).Read(id)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = read.Close() }()
	run := engine.NewRun(loaded(s.t, p.Playbook), engine.Given{})
	ledger := &truth.Ledger{}
	err = read.Replay(func(e engine.Stamped) error {
		if err := run.Apply(e); err != nil {
			return err
		}
		ledger.Heard(e.Event)
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	ledger.Close(run)
	tallies, lies := truth.Compare(p, run, ledger)
	for _, lie := range lies {
		s.t.Errorf("the plan of %s has lied: %s", p.Playbook, lie)
	}
	table := &truth.Table{}
	table.Add(s.t.Name(), run, tallies)
	own := []string{"backends-start", "disaster-recovery", "mariadb-start"}
	if os.Getenv("HANDRAIL_UPDATE") != "" {
		if err := table.Write("../../docs/plan.md", "stack", own...); err != nil {
			s.t.Error(err)
		}
	}
	if err := table.Check("../../docs/plan.md", "stack", own...); err != nil {
		s.t.Error(err)
	}
}

func loaded(t *testing.T, name string) *engine.Playbook {
	t.Helper()
	var defs []engine.Kind
	for _, k := range all.Kinds() {
		defs = append(defs, k.Define())
	}
	file := func(_, name string) (playbook.File, error) {
		src, err := os.ReadFile(filepath.Join("..", "..", "playbooks", name+".yaml"))
		return playbook.File{Name: name + ".yaml", Text: src}, err
	}
	own, err := file("", name)
	if err != nil {
		t.Fatal(err)
	}
	pb, err := playbook.LoadTree(own.Name, own.Text, playbook.NewCatalogue(defs), nil, file)
	if err != nil {
		t.Fatal(err)
	}
	return pb
}
