package docker

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apicontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/volume"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/internal/torture"
	"github.com/handrail-dev/handrail/steps/internal/host"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// composeFile writes a Compose file into a folder of its own.
func (w *world) composeFile(text string) string {
	w.t.Helper()
	servers.Compose(w.t)
	file := filepath.Join(w.t.TempDir(), "compose.yaml")
	w.must(os.WriteFile(file, []byte(text), 0o600))
	return file
}

// twoServices has one that is checked and one that is not.
const twoServices = `
services:
  web:
    image: ` + servers.Image + `
    command: [sleep, "600"]
    stop_signal: KILL
    environment: {NAME: "${NAME:-none}"}
    volumes: ["data:/data"]
    depends_on: [db]
  db:
    image: ` + servers.Image + `
    command: [sleep, "600"]
    stop_signal: KILL
    healthcheck: {test: ["CMD", "true"], interval: 300ms}
  extra:
    image: ` + servers.Image + `
    command: [sleep, "600"]
    stop_signal: KILL
    profiles: [more]
volumes:
  data: {}
`

func (w *world) compose(verb, file string, more engine.Record) *act {
	w.t.Helper()
	params := engine.Record{"compose": verb, "file": engine.List{file}, "project": w.name("p")}
	for k, v := range more {
		params[k] = v
	}
	return w.step("compose", params)
}

// project is how the containers of the project are, by service.
func (w *world) project() map[string]apicontainer.InspectResponse {
	w.t.Helper()
	all, err := w.plain.ContainerList(context.Background(), apicontainer.ListOptions{All: true})
	w.must(err)
	out := map[string]apicontainer.InspectResponse{}
	for _, c := range all {
		if c.Labels[labelProject] == w.name("p") {
			out[c.Labels[labelService]] = w.inspect(c.ID)
		}
	}
	return out
}

func TestComposeUpStopStartRestartDown(t *testing.T) {
	w := newWorld(t)
	file := w.composeFile(twoServices)
	up := w.compose("up", file, engine.Record{"healthy": 2 * time.Minute})
	if i := up.preview(); i.Standing != engine.StandingWould || !strings.Contains(i.Would, "create 2") || i.Figures[0].Value != 2 || i.Figures[0].Certainty != engine.FigureExact {
		t.Errorf("plan: %+v", i)
	}
	if len(w.project()) != 0 {
		t.Fatal("the plan brought it up")
	}
	r := up.prepared().ok()
	if len(r["changed"].(engine.List)) != 2 || len(r["containers"].(engine.List)) != 2 || r["project"] != w.name("p") {
		t.Errorf("up: %v", r)
	}
	if p := w.project(); !p["web"].State.Running || p["db"].State.Health.Status != "healthy" || p["extra"].ContainerJSONBase != nil {
		t.Errorf("the project is %v", p)
	}
	// Whether the hash of the configuration is the one that our reading makes depends on the command's version.
	if i := w.compose("up", file, nil).preview(); i.Standing != engine.StandingAlready &&
		(i.Standing != engine.StandingWould || i.Figures[0].Value != 0 || i.Figures[0].Certainty != engine.FigureEstimate || i.Figures[0].Why == "") {
		t.Errorf("plan of what is up: %+v", i)
	} else {
		t.Logf("what is up is %s", i.Standing)
	}
	before := w.project()
	if r := w.compose("up", file, nil).prepared().ok(); len(r["changed"].(engine.List)) != 0 || w.project()["web"].ID != before["web"].ID {
		t.Errorf("up again: %v", r)
	}
	if r := w.compose("stop", file, engine.Record{"services": engine.List{"web"}}).prepared().ok(); len(r["changed"].(engine.List)) != 1 || w.project()["web"].State.Running || !w.project()["db"].State.Running {
		t.Errorf("stop: %v", r)
	}
	start := w.compose("start", file, engine.Record{"services": "web"})
	if i := start.preview(); i.Standing != engine.StandingWould || i.Figures[0].Value != 1 {
		t.Errorf("plan of start: %+v", i)
	}
	if start.prepared().ok(); !w.project()["web"].State.Running {
		t.Error("start did not start it")
	}
	if i := start.preview(); i.Standing != engine.StandingAlready {
		t.Errorf("plan of what is done: %+v", i)
	}
	if r := w.compose("restart", file, engine.Record{"grace": time.Second}).prepared().ok(); len(r["changed"].(engine.List)) != 2 {
		t.Errorf("restart: %v", r)
	}
	down := w.compose("down", file, engine.Record{"volumes": true})
	i := down.preview()
	if i.Risk != engine.RiskIrreversible || i.Figures[0].Value != 2 || i.Figures[1].Value != 1 || !strings.Contains(strings.Join(i.Warnings, " "), w.name("p")+"_data") {
		t.Errorf("plan of down: %+v", i)
	}
	if r := down.prepared().ok(); len(r["changed"].(engine.List)) != 2 || len(w.project()) != 0 {
		t.Errorf("down: %v", r)
	}
	left, err := w.plain.VolumeList(context.Background(), volume.ListOptions{})
	w.must(err)
	if strings.Contains(fmt.Sprint(left.Volumes), w.prefix) {
		t.Error("the volume is still there")
	}
	if i := w.compose("down", file, nil).preview(); i.Standing != engine.StandingAlready {
		t.Errorf("plan of what is down: %+v", i)
	}
}

func TestComposeVariablesAndProfiles(t *testing.T) {
	w := newWorld(t)
	file := w.composeFile(twoServices)
	hush := engine.NewSecret("name", "very-secret-value")
	s := w.compose("up", file, engine.Record{"env": engine.Record{"NAME": hush}, "profiles": engine.List{"more"}, "services": engine.List{"extra", "web"}}).prepared()
	s.ok()
	p := w.project()
	if p["extra"].ContainerJSONBase == nil || !strings.Contains(strings.Join(p["web"].Config.Env, " "), "NAME=very-secret-value") {
		t.Errorf("the project is %v", p)
	}
	if strings.Contains(s.seat.text(), "very-secret-value") {
		t.Error("the secret is in the log")
	}
}

func TestComposeMistakesAreToldWithTheirPlace(t *testing.T) {
	w := newWorld(t)
	good := w.composeFile(twoServices)
	none := filepath.Join(t.TempDir(), "none.yaml")
	for _, c := range []struct {
		name string
		step *act
		says []string
	}{
		{"missing file", w.compose("up", none, nil), []string{"there is no Compose file " + none}},
		{"unknown service", w.compose("up", good, engine.Record{"services": engine.List{"wbe"}}), []string{good + ":2: there is no service wbe; there are db, extra, web"}},
		{"unknown key", w.compose("up", w.composeFile("services:\n  web:\n    image: a\n    imagee: b\n"), nil), []string{"compose.yaml:4: ", "imagee"}},
		{"not YAML", w.compose("up", w.composeFile("services:\n  web: {\n"), nil), []string{"compose.yaml:2: "}},
		{"unknown dependency", w.compose("up", w.composeFile("services:\n  db: {image: a}\n  web:\n    image: a\n    depends_on: [dbb]\n"), nil), []string{"compose.yaml:3: ", "dbb"}},
		{"no external network", w.compose("up", w.composeFile("services: {web: {image: a}}\nnetworks: {"+w.name("ext")+": {external: true}}\n"), nil), []string{w.name("ext") + " external: there is no network"}},
		{"not up", w.compose("restart", good, nil), []string{"has no containers of db, web"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := c.step.failed(engine.EffectNone, c.says...)
			i := c.step.preview()
			if i.Standing != engine.StandingUnknown || !strings.Contains(i.Why, o.Err) {
				t.Errorf("the plan says %s: %s\nthe run %s", i.Standing, i.Why, o.Err)
			}
		})
	}
}

func TestComposeThatFailsSaysWhy(t *testing.T) {
	w := newWorld(t)
	bad := w.composeFile("services: {web: {image: " + servers.Image + ", command: [no-such-command]}}\n")
	w.compose("up", bad, nil).prepared().failed(engine.EffectStands, "compose", "ended with exit code", "no-such-command")
	w.compose("down", bad, nil).prepared().ok()
	ends := w.composeFile("services: {web: {image: " + servers.Image + ", command: [sh, -c, 'echo no license; exit 5']}}\n")
	o := w.compose("up", ends, engine.Record{"healthy": time.Minute}).prepared().failed(engine.EffectStands, "exit code 5", "no license")
	w.says(o.Tail, "no license")
}

// TestComposeCommandOfADeadEngineIsWaitedFor leaves a Compose command behind as a kill does, and resumes.
func TestComposeCommandOfADeadEngineIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	file := w.composeFile(twoServices)
	w.compose("up", file, nil).prepared().ok()
	dead := w.compose("restart", file, engine.Record{"services": engine.List{"web"}}).prepared()
	op := dead.op.(composing)
	c, err := connect(context.Background(), dead.env)
	w.must(err)
	s, mistake, err := op.load(context.Background(), c, dead.env)
	w.must(err)
	w.must(mistake)
	tool, err := findCompose()
	w.must(err)
	argv := (&composed{composing: op, stack: s, c: c, env: dead.env}).argv(tool.Argv, nil)
	folder, err := (&host.Yard{}).Folder(dead.env.Scratch)
	w.must(err)
	lease, err := folder.Claim(dead.env.Call.Token, 1)
	w.must(err)
	// The command sleeps first, so that it is surely at work when the next engine looks.
	path, err := host.LookPath("sh", os.Getenv("PATH"), "")
	w.must(err)
	done := make(chan error, 1)
	go func() {
		_, err := host.Run(context.Background(), host.Command{Path: path, Argv: append([]string{"sh", "-c", `sleep 2; exec "$@"`, "sh"}, argv...),
			Dir: s.project.Dir, Env: append(op.variables(), "DOCKER_HOST="+c.host, host.TokenVariable+"="+dead.env.Call.Token),
			Stdout: os.Stderr, Stderr: os.Stderr, Lease: lease})
		done <- err
	}()
	since := w.engineTime()
	before := w.project()["web"]
	dead.env.Again, dead.env.Call.Attempt = true, 2
	w.eventually("the command is at work", func() bool {
		past, err := folder.Look(dead.env.Call.Token, 2)
		return err == nil && past.Process != nil
	})
	r := dead.ok()
	w.must(<-done)
	if len(r["changed"].(engine.List)) != 1 || !strings.Contains(dead.seat.text(), "waiting for the Compose command") {
		t.Errorf("result %v, log %s", r, dead.seat.text())
	}
	if n := w.events(before.ID, "restart", since); n != 1 {
		t.Errorf("it was restarted %d times", n)
	}
}

func TestComposeRestartThatHappenedIsNotDoneAgain(t *testing.T) {
	w := newWorld(t)
	file := w.composeFile(twoServices)
	w.compose("up", file, nil).prepared().ok()
	dead := w.compose("restart", file, engine.Record{"grace": time.Second}).prepared()
	since := w.engineTime()
	// Of two services one was restarted when everything died.
	web, db := w.project()["web"], w.project()["db"]
	w.must(w.plain.ContainerRestart(context.Background(), web.ID, apicontainer.StopOptions{}))
	dead.env.Again, dead.env.Call.Attempt = true, 2
	if r := dead.ok(); len(r["changed"].(engine.List)) != 2 {
		t.Errorf("result %v", r)
	}
	if a, b := w.events(web.ID, "restart", since), w.events(db.ID, "restart", since); a != 1 || b != 1 {
		t.Errorf("restarted %d and %d times", a, b)
	}
}

// TestComposeRestartWhoseEngineStaysAwayIsInDoubt: the command has failed, and nobody can be asked what it did before. The next attempt goes
// by what was seen before this one, and restarts nothing twice.
func TestComposeRestartWhoseEngineStaysAwayIsInDoubt(t *testing.T) {
	w := newWorld(t)
	file := w.composeFile("services: {web: {image: " + servers.Image + ", command: [sh, -c, \"trap '' TERM; while true; do sleep 1; done\"]}}\n")
	w.compose("up", file, nil).prepared().ok()
	web := w.project()["web"]
	way := torture.NewCutter(t, torture.DockerHost(engine.Text(servers.Docker(t)["host"])))
	behind := w.at(engine.Record{"host": "tcp://" + way.Addr})
	since := w.engineTime()
	s := behind.compose("restart", file, engine.Record{"grace": 3 * time.Second}).prepared()
	ended := make(chan engine.Outcome, 1)
	go func() { ended <- s.execute() }()
	w.eventually("the engine is at it", func() bool { return w.events(web.ID, "kill", since) > 0 })
	way.Away()
	if o := <-ended; !o.InDoubt || o.Effect != engine.EffectUnknown || o.Err == "" {
		t.Errorf("nobody can be asked, and it is told %+v", o)
	}
	w.eventually("the engine has done it", func() bool { return w.events(web.ID, "restart", since) == 1 })
	way.Heal()
	again := behind.compose("restart", file, engine.Record{"grace": 3 * time.Second})
	again.env.Call.Seen, again.env.Call.Attempt, again.env.Again = s.env.Call.Seen, 2, true
	if r := again.ok(); len(r["changed"].(engine.List)) != 1 {
		t.Errorf("result %v", r)
	}
	if n := w.events(web.ID, "restart", since); n != 1 {
		t.Errorf("it was restarted %d times", n)
	}
}
