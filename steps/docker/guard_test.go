package docker

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	apicontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// events counts what the engine tells about a container since a time of its own clock.
func (w *world) events(name, action string, since time.Time) int {
	w.t.Helper()
	n := 0
	for _, a := range w.allEvents(since, filters.Arg("container", name)) {
		if a == action {
			n++
		}
	}
	return n
}

// allEvents are what the engine tells up to now.
func (w *world) allEvents(since time.Time, only ...filters.KeyValuePair) []string {
	w.t.Helper()
	until := w.engineTime()
	messages, errs := w.plain.Events(context.Background(), events.ListOptions{
		Since: stamp(since), Until: stamp(until), Filters: filters.NewArgs(only...)})
	var out []string
	for {
		select {
		case m := <-messages:
			out = append(out, string(m.Action))
		case err := <-errs:
			if !errors.Is(err, io.EOF) {
				w.t.Errorf("events: %v", err)
			}
			return out
		}
	}
}

func (w *world) engineTime() time.Time {
	w.t.Helper()
	info, err := w.plain.Info(context.Background())
	w.must(err)
	return parseTime(info.SystemTime)
}

func TestReadOnlyRefusesWhateverIsNotKnownToRead(t *testing.T) {
	for _, c := range []struct {
		method, path string
		reads        bool
	}{
		{"GET", "/v1.41/containers/json", true},
		{"GET", "/containers/a/json", true},
		{"GET", "/v1.41/containers/a/logs", true},
		{"GET", "/v1.41/containers/a/top", true},
		{"GET", "/v1.41/images/registry.example/team/app:1/json", true},
		{"GET", "/v1.41/exec/0123/json", true},
		{"GET", "/v1.41/networks/n", true},
		{"HEAD", "/_ping", true},
		{"HEAD", "/v1.41/containers/a/archive", false},
		{"GET", "/v1.41/containers/a/archive", false},
		{"GET", "/v1.41/containers/a/attach/ws", false},
		{"GET", "/v1.41/containers/a/b/json", false},
		{"GET", "/v1.41/images/a/../../containers/x/attach/ws/json", false},
		{"GET", "/v1.41/images//json", false},
		{"POST", "/v1.41/containers/a/json", false},
		{"POST", "/v1.41/containers/a/restart", false},
		{"PUT", "/v1.41/containers/a/archive", false},
		{"DELETE", "/v1.41/containers/a", false},
		{"GET", "/v1.41/swarm", false},
	} {
		if got := reads(httptest.NewRequest(c.method, "http://d"+c.path, nil)); got != c.reads {
			t.Errorf("%s %s reads: %v", c.method, c.path, got)
		}
	}
	upgrade := httptest.NewRequest("GET", "http://d/containers/a/json", nil)
	upgrade.Header.Set("Upgrade", "tcp")
	body := httptest.NewRequest("GET", "http://d/containers/a/json", strings.NewReader("x"))
	if reads(upgrade) || reads(body) {
		t.Error("an upgrade or a body went through")
	}
	_, err := guard{http.DefaultTransport}.RoundTrip(httptest.NewRequest("POST", "http://d/x", nil))
	if !errors.Is(err, errRefused) {
		t.Errorf("the guard says %v", err)
	}
}

// writers are operations that would all change something.
func writers(w *world) map[string]engine.Record {
	up, down := w.up("up"), w.create("down", nil, apicontainer.Config{})
	file := filepath.Join(w.t.TempDir(), "file")
	w.must(os.WriteFile(file, []byte("x"), 0o600))
	compose := w.composeFile("services: {web: {image: " + servers.Image + ", command: sleep 600}}\n")
	return map[string]engine.Record{
		"compose":    {"compose": "up", "file": engine.List{compose}, "project": w.name("p")},
		"connect":    {"connect": up, "to": w.network("net")},
		"disconnect": {"disconnect": up, "from": "bridge"},
		"network":    {"network": w.name("made"), "subnet": w.subnet()},
		"volume":     {"volume": w.name("vol")},
		"start":      {"start": down, "healthy": time.Second},
		"stop":       {"stop": up},
		"restart":    {"restart": up},
		"kill":       {"kill": up},
		"remove":     {"remove": down},
		"pull":       {"pull": servers.Image},
		"run":        {"run": engine.Record{"name": w.name("new"), "image": servers.Image}},
		"copy":       {"copy": engine.Record{"from": file, "to": up + ":/tmp/file"}},
		"exec":       {"exec": engine.Record{"container": up, "argv": engine.List{"touch", "/tmp/x"}}},
	}
}

func TestEveryWritingOperationIsRefusedUnderReadOnly(t *testing.T) {
	w := newWorld(t)
	all := writers(w)
	for _, o := range New().Define().Operations {
		if _, tried := all[o.Name]; o.Class != engine.ClassRead && !tried {
			t.Errorf("%s is not tried here", o.Name)
		}
	}
	since := w.engineTime()
	for name, params := range all {
		// Once as the dry-run does it, and once with an operation that has forgotten where it is: the
		// connection alone must hold.
		for _, believes := range []steps.Access{steps.ReadOnly, steps.Full} {
			s := w.stepAs(believes, steps.ReadOnly, name, params)
			o := s.execute()
			w.failure(o, engine.EffectNone, "read-only")
			if _, err := s.op.Preview(context.Background(), s.env); err != nil {
				t.Errorf("preview %s: %v", name, err)
			}
		}
	}
	if seen := w.allEvents(since, filters.Arg("container", w.name("up")), filters.Arg("container", w.name("down"))); len(seen) > 0 {
		t.Errorf("the engine saw %v", seen)
	}
	if w.exists(w.name("new")) {
		t.Error("a container was made")
	}
}

func TestHijackedConnectionsDoNotGoAroundTheGuard(t *testing.T) {
	w := newWorld(t)
	up := w.up("up")
	made, err := w.plain.ContainerExecCreate(context.Background(), up, apicontainer.ExecOptions{Cmd: []string{"touch", "/tmp/x"}})
	w.must(err)
	s := w.stepAs(steps.Full, steps.ReadOnly, "inspect", engine.Record{"inspect": up})
	c, err := connect(context.Background(), s.env)
	w.must(err)
	if stream, err := c.ContainerExecAttach(context.Background(), made.ID, apicontainer.ExecAttachOptions{}); err == nil {
		stream.Close()
		t.Error("an exec was started through a read-only connection")
	} else if !errors.Is(err, errRefused) {
		t.Errorf("refused with %v", err)
	}
	state, err := c.ExecState(context.Background(), made.ID)
	w.must(err)
	if !state.NotStarted() {
		t.Errorf("the exec is %+v", state)
	}
}

func TestEngineThatCannotBeReachedIsExplained(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "dead.sock")
	w := newWorld(t)
	_ = os.WriteFile(file, nil, 0o600)
	for host, words := range map[string][]string{
		"unix://" + dir + "/absent.sock":     {"there is no such socket", "systemctl start docker", "DOCKER_HOST"},
		"unix://" + file:                     {"no Docker engine answers", "systemctl start docker"},
		"tcp://127.0.0.1:" + strconv.Itoa(1): {"no Docker engine answers"},
		"npipe://somewhere":                  {"unix://, tcp:// or ssh://"},
		"/var/run/docker.sock":               {"is not an address"},
	} {
		w.target.Settings = engine.Record{"host": host}
		o := w.step("inspect", engine.Record{"inspect": "a"}).failed(engine.EffectNone, words...)
		if strings.Count(o.Err, "docker.sock") > 2 || strings.Contains(o.Err, "Get \"http") {
			t.Errorf("not readable aloud: %s", o.Err)
		}
	}
	locked := &connection{host: "unix:///run/docker.sock", probe: func(context.Context) error {
		return &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}
	}}
	w.says(locked.explainDial(context.Background(), errors.New("failed")).Error(), "no access to", "/run/docker.sock", "as root", "(docker)")
}
