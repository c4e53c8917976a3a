package docker

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	apicontainer "github.com/docker/docker/api/types/container"

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
		out = append(out, strings.Join([]string{c.Names[0], c.ID, r.State.Status, r.State.StartedAt, files}, " "))
	}
	return strings.Join(out, "\n")
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
	for i := range cases {
		cases[i].Setup, cases[i].Fingerprint = setup, w.fingerprint
	}
	steptest.Run(t, steptest.Suite{Kind: New(), Target: w.target, Cases: cases})
}
