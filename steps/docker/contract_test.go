package docker

import (
	"context"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	apicontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// fingerprint is how the world's containers are, and what commands have left in them.
func (w *world) fingerprint() string {
	w.t.Helper()
	all, err := w.plain.ContainerList(context.Background(), apicontainer.ListOptions{All: true})
	w.must(err)
	var out []string
	for _, c := range all {
		if len(c.Names) == 0 || !strings.HasPrefix(c.Names[0], "/"+w.prefix) {
			continue
		}
		r := w.inspect(c.ID)
		files := ""
		if r.State.Running {
			files = w.sh(c.ID, "cd /tmp; ls; cat * 2>/dev/null")
		}
		out = append(out, strings.Join([]string{c.Names[0], c.ID, r.State.Status, r.State.StartedAt, joined(r), files}, " "))
	}
	networks, err := w.plain.NetworkList(context.Background(), network.ListOptions{})
	w.must(err)
	for _, n := range networks {
		if strings.HasPrefix(n.Name, w.prefix) {
			out = append(out, "network "+n.ID)
		}
	}
	volumes, err := w.plain.VolumeList(context.Background(), volume.ListOptions{})
	w.must(err)
	for _, v := range volumes.Volumes {
		if strings.HasPrefix(v.Name, w.prefix) {
			out = append(out, "volume "+v.Name+" "+v.CreatedAt)
		}
	}
	sort.Strings(out)
	return strings.Join(out, "\n")
}

func joined(r apicontainer.InspectResponse) string {
	var out []string
	for n := range r.NetworkSettings.Networks {
		out = append(out, n)
	}
	return sorted(out)
}

// lines counts the lines that commands have left in a container.
func (w *world) lines(name string) func() int {
	return func() int {
		n, err := strconv.Atoi(w.sh(w.name(name), "cat /tmp/effect 2>/dev/null | wc -l"))
		w.must(err)
		return n
	}
}

func TestContract(t *testing.T) {
	w := newWorld(t)
	names := func(operation string) []steptest.Bad {
		return []steptest.Bad{
			{Params: engine.Record{operation: engine.List{}}, Path: operation},
			{Params: engine.Record{operation: engine.List{"a", "a/b"}}, Path: operation + "[1]"},
		}
	}
	setup := func(testing.TB) {
		w.removeAll()
		w.removeOthers()
		w.network("there")
		w.up("up")
		w.create("down", nil, apicontainer.Config{})
	}
	up, down := w.name("up"), w.name("down")
	dir := t.TempDir()
	w.must(os.WriteFile(filepath.Join(dir, "file"), []byte("content"), 0o600))
	hush := engine.NewSecret("hush", "very-secret-value")
	cases := []steptest.Case{
		{Operation: "inspect", Params: engine.Record{"inspect": engine.List{up, down}}, Bad: names("inspect")},
		{Operation: "logs", Params: engine.Record{"logs": up, "tail": int64(5), "since": time.Hour},
			Bad: []steptest.Bad{{Params: engine.Record{"logs": up, "tail": int64(0)}, Path: "tail"}}},
		{Operation: "start", Params: engine.Record{"start": engine.List{down}, "healthy": 20 * time.Second}, Bad: names("start")},
		{Operation: "stop", Params: engine.Record{"stop": engine.List{up}, "grace": time.Second}, Bad: names("stop")},
		{Operation: "restart", Params: engine.Record{"restart": engine.List{up, down}}, Bad: names("restart")},
		{Operation: "kill", Params: engine.Record{"kill": engine.List{up}, "signal": "KILL"}, Bad: names("kill")},
		{Operation: "remove", Params: engine.Record{"remove": engine.List{up, down}, "force": true}, Bad: names("remove")},
		{Operation: "pull", Params: engine.Record{"pull": servers.Image, "policy": "missing", "auth": engine.Record{"user": "u", "password": hush}},
			Bad: []steptest.Bad{{Params: engine.Record{"pull": "UPPER"}, Path: "pull"}}},
		{Operation: "run", Params: engine.Record{"run": engine.Record{"name": w.name("new"), "image": servers.Image,
			"command": engine.List{"sleep", "600"}, "env": engine.Record{"PASSWORD": hush}}},
			Bad: []steptest.Bad{{Params: engine.Record{"run": engine.Record{"name": "a b", "image": "c"}}, Path: "run.name"}}},
		{Name: "run a job", Operation: "run", Params: engine.Record{"run": engine.Record{"name": w.name("job"), "image": servers.Image,
			"command": engine.List{"sh", "-c", "true"}, "wait": "exit"}}},
		{Operation: "copy", Params: engine.Record{"copy": engine.Record{"from": "file", "to": up + ":/tmp/"}}, Dir: dir,
			Bad: []steptest.Bad{{Params: engine.Record{"copy": engine.Record{"from": "a", "to": "b"}}, Path: "copy.to"}}},
		{Operation: "exec", Params: engine.Record{"exec": engine.Record{"container": up,
			"argv": engine.List{"sh", "-c", "read x; test ${#x} = 17 && echo >>/tmp/effect"}, "stdin": hush}}, Effect: w.lines("up"),
			Bad: []steptest.Bad{{Params: engine.Record{"exec": engine.Record{"container": up, "argv": engine.List{""}}}, Path: "exec.argv"}}},
	}
	net, vol := w.name("net"), w.name("vol")
	cases = append(cases,
		steptest.Case{Operation: "connect", Params: engine.Record{"connect": engine.List{up, down}, "to": w.name("there")}, Bad: names("connect")},
		steptest.Case{Operation: "disconnect", Params: engine.Record{"disconnect": engine.List{up}, "from": "bridge"}, Bad: names("disconnect")},
		steptest.Case{Operation: "network", Params: engine.Record{"network": net, "subnet": w.subnet()},
			Bad: []steptest.Bad{{Params: engine.Record{"network": net, "subnet": "10.1.2.3/8"}, Path: "subnet"}}},
		steptest.Case{Operation: "networks", Params: engine.Record{"networks": engine.List{w.name("there"), "bridge"}},
			Bad: []steptest.Bad{{Params: engine.Record{"networks": engine.List{}}, Path: "networks"}}},
		steptest.Case{Operation: "volumes", Params: engine.Record{"volumes": vol, "missing": "ok"},
			Bad: []steptest.Bad{{Params: engine.Record{"volumes": engine.List{"a/b"}}, Path: "volumes[0]"}}},
		steptest.Case{Name: "remove a network", Operation: "network", Params: engine.Record{"network": w.name("there"), "state": "absent"}},
		steptest.Case{Operation: "volume", Params: engine.Record{"volume": vol, "labels": engine.Record{"a": "b"}},
			Bad: []steptest.Bad{{Params: engine.Record{"volume": "a/b"}, Path: "volume"}}},
		steptest.Case{Name: "remove a volume", Operation: "volume", Params: engine.Record{"volume": vol, "state": "absent"}})
	file := w.composeFile("services: {web: {image: " + servers.Image + ", command: [sleep, '600'], stop_signal: KILL, environment: {X: $X}}}\n")
	for _, verb := range []string{"up", "down", "restart"} {
		c := steptest.Case{Name: "compose " + verb, Operation: "compose", Params: engine.Record{"compose": verb, "file": engine.List{file}, "project": w.name("p"),
			"env": engine.Record{"X": hush}}, Bad: []steptest.Bad{{Params: engine.Record{"compose": verb, "services": engine.List{"a/b"}}, Path: "services[0]"}}}
		if verb == "down" {
			c.Bad = []steptest.Bad{{Params: engine.Record{"compose": verb, "healthy": time.Second}, Path: "healthy"}}
		}
		cases = append(cases, c)
	}
	for i := range cases {
		cases[i].Setup, cases[i].Fingerprint = setup, w.fingerprint
		if verb := cases[i].Params["compose"]; verb != nil && verb != "up" {
			cases[i].Setup = func(t testing.TB) {
				setup(t)
				w.compose("up", file, engine.Record{"env": engine.Record{"X": hush}}).prepared().ok()
			}
		}
	}
	steptest.Run(t, steptest.Suite{Kind: New(), Target: w.target, Cases: cases})
}
