package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// agreed makes a saved plan of the playbook clean, whose steps a person must have agreed to.
func agreed(t *testing.T, more ...string) *ground {
	t.Helper()
	g := reviewGround(t)
	g.handrail(append([]string{"plan", "clean", "-i", "token=hunter2-hunter2", "--out", "clean.plan"}, more...)...).
		is(0, "carry it out with: handrail run --plan clean.plan").never("hunter2")
	return g
}

func (g *ground) runPlan(more ...string) said {
	g.t.Helper()
	return g.handrail(append([]string{"run", "--plan", "clean.plan", "-i", "token=hunter2-hunter2", "--yes"}, more...)...)
}

func (g *ground) saved() *savedPlan {
	g.t.Helper()
	s := &savedPlan{}
	b, err := os.ReadFile(filepath.Join(g.dir, "clean.plan"))
	if err == nil {
		err = json.Unmarshal(b, s)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	return s
}

// refused asks that nothing was begun, and that the reason is said.
func (s said) refused(why string) {
	s.g.t.Helper()
	s.is(2, why, "nothing was begun")
	if _, err := os.Stat(s.g.state()); err == nil {
		s.g.t.Error("there is a run")
	}
}

// TestASavedPlanIsCarriedOut, and approvals are of it, also when the run is taken up by another process.
func TestASavedPlanIsCarriedOut(t *testing.T) {
	g := agreed(t)
	info, err := os.Stat(filepath.Join(g.dir, "clean.plan"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
	if b, err := os.ReadFile(filepath.Join(g.dir, "clean.plan")); err != nil || strings.Contains(string(b), "hunter2") {
		t.Fatalf("the plan holds a secret, or cannot be read: %v", err)
	}
	g.handrail("run", "--plan", "clean.plan", "-i", "token=hunter2-hunter2", "--dry-run").is(0, "still holds")
	if _, err := os.Stat(g.state()); err == nil {
		t.Fatal("--dry-run has begun a run")
	}
	hash := g.saved().Hash
	g.runPlan().is(3, "still holds").never("hunter2")
	id := g.last()
	asked := g.handrail("show", id, "-o", "json").is(0)
	if !strings.Contains(asked.out, hash) {
		t.Errorf("the run does not say which plan it carries out:\n%s", asked.out)
	}
	// What the run itself has changed, and what others change now, is no reason to stop it.
	g.sqlite("INSERT INTO orders VALUES (9, 'old')")
	g.handrail("approve", id).is(0)
	g.handrail("resume", id, "-i", "token=hunter2-hunter2").is(0)
	journal, err := os.ReadFile(filepath.Join(g.state(), "runs", id, "journal.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range []string{"run_started", "approval_asked", "approval_given"} {
		found := false
		for line := range strings.Lines(string(journal)) {
			found = found || strings.Contains(line, `"event":"`+event+`"`) && strings.Contains(line, `"plan":"`+hash+`"`)
		}
		if !found {
			t.Errorf("%s does not name the plan:\n%s", event, journal)
		}
	}
	g.handrail("audit", id).is(0)
}

// TestASavedPlanThatNoLongerHoldsIsRefused, and it is said what has changed.
func TestASavedPlanThatNoLongerHoldsIsRefused(t *testing.T) {
	read := func(g *ground, name string) string {
		b, err := os.ReadFile(filepath.Join(g.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, c := range []struct {
		name, why string
		change    func(*ground)
	}{
		{"playbook", "the playbook clean was changed", func(g *ground) {
			g.write("playbooks/clean.yaml", strings.Replace(read(g, "playbooks/clean.yaml"), "purge", "purge_", 1))
		}},
		{"nested playbook", "the playbook inner, which it runs, was changed", func(g *ground) {
			g.playbook("inner", "steps: [{id: note, exec: {argv: [echo, outside]}}]\n")
		}},
		{"environment", "the environment default was changed", func(g *ground) {
			g.write("environments/default.yaml", read(g, "environments/default.yaml")+" ")
		}},
		{"rows", "step purge: rows: were 2 (exact) and are 3 (exact), which is more than 10 % away", func(g *ground) {
			g.sqlite("INSERT INTO orders VALUES (4, 'old')")
		}},
		{"columns", "step purge: table main.orders was made as ", func(g *ground) { g.sqlite("ALTER TABLE orders ADD COLUMN note TEXT") }},
		{"server", "step purge: server was file ", func(g *ground) {
			file := filepath.Join(g.dir, "shop.db")
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file+".new", b, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(file+".new", file); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := agreed(t)
			g.t = t
			c.change(g)
			g.runPlan().refused(c.why)
		})
	}
}

func TestASavedPlanTakesWhatItSaysItDoes(t *testing.T) {
	g := agreed(t, "--tolerance", "60")
	g.sqlite("INSERT INTO orders VALUES (4, 'old')")
	g.runPlan().is(3, "still holds") // 3 rows are half as many again as 2, and no more than 60 % away
}

func TestASavedPlanIsNotTamperedWith(t *testing.T) {
	g := agreed(t)
	file := filepath.Join(g.dir, "clean.plan")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, swap := range [][2]string{{`"tolerance_percent": 10`, `"tolerance_percent": 99`}, {`"value": 2`, `"value": 3`}, {`"old"`, `"new"`}} {
		changed := strings.Replace(string(b), swap[0], swap[1], 1)
		if changed == string(b) {
			t.Fatalf("%s is not there", swap[0])
		}
		g.write("clean.plan", changed)
		g.runPlan().is(2, "was changed after it had been saved")
	}
	for _, text := range []string{"", "{}", "steps: []", `{"handrail_plan": 1, "plan": null}`, strings.Replace(string(b), `"hash"`, `"extra": 1, "hash"`, 1)} {
		g.write("clean.plan", text)
		g.runPlan().is(2, "clean.plan is no saved plan")
	}
	g.write("clean.plan", strings.Replace(string(b), `"handrail_plan": 1`, `"handrail_plan": 7`, 1))
	g.runPlan().is(2, "by another version of handrail")
}

// TestASavedPlanSaysWithWhatItRuns: nothing but its secret inputs is given again.
func TestASavedPlanSaysWithWhatItRuns(t *testing.T) {
	g := agreed(t)
	g.runPlan("-i", "state=new").is(2, "only secret inputs are given again")
	g.runPlan("--env", "other").is(2, "the plan says in which environment")
	g.handrail("run", "other", "--plan", "clean.plan").is(2, "clean.plan is a plan of clean, not of other")
	g.handrail("run", "--plan", "clean.plan", "--yes").is(2, "the input token is secret and was not stored")
	g.handrail("run", "--plan", "clean.plan", "-i", "token=hunter2-hunter2").is(2, "nobody is here to confirm that")
	g.handrail("plan", "clean", "-i", "token=x", "--offline", "--out", "other.plan").is(2, "has seen nothing")
	g.handrail("plan", "clean", "-i", "token=hunter2-hunter2", "-i", "state=hunter2-hunter2", "--out", "other.plan").is(2, "declare it as `type: secret`")
	if _, err := os.Stat(filepath.Join(g.dir, "other.plan")); err == nil {
		t.Error("there is a plan that holds a secret")
	}
}

// TestASavedPlanKnowsItsServers: what a plan has seen of each kind of server is what tells it from another.
func TestASavedPlanKnowsItsServers(t *testing.T) {
	g := newGround(t)
	settings := servers.MySQL(t)
	db, cache := servers.Open(t, settings), servers.Redis(t)
	g.target("db", "mysql", settings)
	g.target("cache", "redis", engine.Record{"address": cache.Addr})
	g.target("engine", "docker", servers.Docker(t))
	box := g.container()
	g.docker("create", "--name", box, servers.Image, "sleep", "600")
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE orders (id INT PRIMARY KEY, state VARCHAR(9)) ENGINE=InnoDB"); err != nil {
		t.Fatal(err)
	}
	g.playbook("clean", `targets: {db: mysql, cache: redis, engine: docker}
steps:
  - {id: purge, sql: {exec: "DELETE FROM orders WHERE state = 'old'"}}
  - {id: forget, redis: {do: [DEL, hint]}}
  - {id: up, docker: {start: [`+box+`]}}
`)
	plan := func() *savedPlan {
		g.handrail("plan", "clean", "--out", "clean.plan").is(0)
		return g.saved()
	}
	seen := mustJSON(t, plan().Plan.Steps)
	for _, want := range []string{`"server","value":"mysql`, `orders","value":"made as `, `"node ` + cache.Addr + `","value":"master"`, `"container ` + box} {
		if !strings.Contains(seen, want) {
			t.Errorf("%s was not seen:\n%s", want, seen)
		}
	}
	if again := plan(); mustJSON(t, again.Plan.Steps) != seen {
		t.Error("two plans of the same are not the same")
	}
	run := func() said { return g.handrail("run", "--plan", "clean.plan", "--yes") }
	g.docker("rm", box)
	g.docker("create", "--name", box, servers.Image, "sleep", "600")
	run().refused("step up: container " + box + " was container ")
	plan()
	if err := cache.Client().Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err(); err != nil {
		t.Fatal(err)
	}
	run().refused("step forget: ")
	if err := cache.Client().Do(t.Context(), "REPLICAOF", "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "ALTER TABLE orders MODIFY state VARCHAR(99)"); err != nil {
		t.Fatal(err)
	}
	run().refused("orders was made as ")
	plan()
	run().is(0, "still holds")
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestASecretThatIsANumberBreaksNoPlan: it is masked in texts, and a count that happens to be the same stays one.
func TestASecretThatIsANumberBreaksNoPlan(t *testing.T) {
	g := newGround(t)
	g.target("db", "sqlite", engine.Record{"file": filepath.Join(g.dir, "shop.db")})
	g.sqlite("CREATE TABLE old (n INT); INSERT INTO old WITH RECURSIVE seq(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM seq WHERE n < 4711) SELECT n FROM seq")
	g.playbook("clean", `inputs: {pin: {type: secret, description: a number}}
targets: {db: sqlite}
steps:
  - {id: drop, sql: {exec: "DELETE FROM old WHERE n > 0 AND :pin <> ''", args: {pin: "${{ inputs.pin }}"}}}
`)
	g.handrail("plan", "clean", "-i", "pin=4711", "--out", "clean.plan").is(0)
	figures := g.saved().Plan.Steps[0].Figures
	if len(figures) != 2 || figures[0].Value != 4711 {
		t.Errorf("the plan has %+v", figures)
	}
	g.handrail("run", "--plan", "clean.plan", "-i", "pin=4711", "--yes").is(0, "still holds")
}
