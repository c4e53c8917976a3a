package docker

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	apicontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/container"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// world is one test's part of the engine: names of its own, gone at its end.
type world struct {
	t      testing.TB
	target steps.Target
	plain  *client.Client // what the test itself asks and does
	prefix string
}

// newWorld makes the world of a test that runs beside others.
func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	return newLoneWorld(t)
}

func newLoneWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, target: steps.Target{Name: "engine", Type: "docker", Settings: servers.Docker(t)}}
	w.prefix = "hr-test-" + strings.ToLower(rand.Text()[:10])
	host, _ := engine.Reveal(w.target.Settings["host"])
	var err error
	if w.plain, err = client.NewClientWithOpts(client.WithHost(host), client.WithAPIVersionNegotiation()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.clean)
	return w
}

func (w *world) clean() {
	w.removeAll()
	w.removeOthers()
	_ = w.plain.Close()
}

func (w *world) removeAll() {
	w.t.Helper()
	ctx := context.Background()
	all, err := w.plain.ContainerList(ctx, apicontainer.ListOptions{All: true})
	if err != nil {
		w.t.Errorf("list containers: %v", err)
	}
	for _, c := range all {
		if len(c.Names) > 0 && strings.HasPrefix(c.Names[0], "/"+w.prefix) {
			if err := w.plain.ContainerRemove(ctx, c.ID, apicontainer.RemoveOptions{Force: true, RemoveVolumes: true}); err != nil && !notFound(err) {
				w.t.Errorf("remove %s: %v", c.Names[0], err)
			}
		}
	}
}

// removeOthers removes what has outlived the containers: the world's networks and volumes.
func (w *world) removeOthers() {
	w.t.Helper()
	ctx := context.Background()
	networks, err := w.plain.NetworkList(ctx, network.ListOptions{})
	if err != nil {
		w.t.Errorf("list networks: %v", err)
	}
	for _, n := range networks {
		if strings.HasPrefix(n.Name, w.prefix) {
			if err := w.plain.NetworkRemove(ctx, n.ID); err != nil && !notFound(err) {
				w.t.Errorf("remove network %s: %v", n.Name, err)
			}
		}
	}
	volumes, err := w.plain.VolumeList(ctx, volume.ListOptions{})
	if err != nil {
		w.t.Errorf("list volumes: %v", err)
	}
	for _, v := range volumes.Volumes {
		if strings.HasPrefix(v.Name, w.prefix) {
			if err := w.plain.VolumeRemove(ctx, v.Name, true); err != nil && !notFound(err) {
				w.t.Errorf("remove volume %s: %v", v.Name, err)
			}
		}
	}
}

func (w *world) name(s string) string { return w.prefix + "-" + s }

// create makes a container without Handrail.
func (w *world) create(name string, host *apicontainer.HostConfig, config apicontainer.Config) string {
	w.t.Helper()
	if config.Image == "" {
		config.Image = servers.Image
	}
	if config.Cmd == nil {
		config.Cmd = []string{"sleep", "600"}
	}
	if config.StopSignal == "" {
		config.StopSignal = "KILL" // pid 1 ignores SIGTERM: the tests need not wait for that
	}
	if _, err := w.plain.ContainerCreate(context.Background(), &config, host, nil, nil, w.name(name)); err != nil {
		w.t.Fatal(err)
	}
	return w.name(name)
}

// up makes a container and starts it.
func (w *world) up(name string, argv ...string) string {
	w.t.Helper()
	n := w.create(name, nil, apicontainer.Config{Cmd: argv})
	w.must(w.plain.ContainerStart(context.Background(), n, apicontainer.StartOptions{}))
	return n
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) inspect(name string) apicontainer.InspectResponse {
	w.t.Helper()
	r, err := w.plain.ContainerInspect(context.Background(), name)
	w.must(err)
	return r
}

func (w *world) exists(name string) bool {
	w.t.Helper()
	_, err := w.plain.ContainerInspect(context.Background(), name)
	if err != nil && !notFound(err) {
		w.t.Fatal(err)
	}
	return err == nil
}

// sh runs a command in a container without Handrail, and gives what it printed.
func (w *world) sh(name, script string) string {
	w.t.Helper()
	ctx := context.Background()
	made, err := w.plain.ContainerExecCreate(ctx, name, apicontainer.ExecOptions{Cmd: []string{"sh", "-c", script}, AttachStdout: true, AttachStderr: true, Tty: true})
	w.must(err)
	stream, err := w.plain.ContainerExecAttach(ctx, made.ID, apicontainer.ExecAttachOptions{Tty: true})
	w.must(err)
	defer stream.Close()
	out, err := io.ReadAll(stream.Reader)
	w.must(err)
	return strings.TrimSpace(strings.ReplaceAll(string(out), "\r", ""))
}

// eventually asks until it is so.
func (w *world) eventually(what string, so func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := container.Poll(ctx, func(context.Context) (bool, error) { return so(), nil }); err != nil {
		w.t.Fatalf("it never came to be that %s", what)
	}
}

// attendant records what an operation tells its driver.
type attendant struct {
	mu       sync.Mutex
	notes    []engine.Value
	onNote   func(engine.Value) error
	output   bytes.Buffer
	written  int64
	discard  bool
	progress []string
}

func (a *attendant) Note(v engine.Value) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.onNote != nil {
		if err := a.onNote(v); err != nil {
			return err
		}
	}
	a.notes = append(a.notes, v)
	return nil
}

func (a *attendant) Progress(done, total int64, unit string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.discard {
		a.progress = append(a.progress, fmt.Sprintf("%d/%d %s", done, total, unit))
	}
}

func (a *attendant) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.written += int64(len(p))
	if a.discard {
		return len(p), nil
	}
	return a.output.Write(p)
}

func (a *attendant) lastNote() engine.Value {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.notes) == 0 {
		return nil
	}
	return a.notes[len(a.notes)-1]
}

func (a *attendant) text() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.output.String()
}

// act is one step under test.
type act struct {
	w    *world
	op   steps.Operation
	env  *steps.Env
	seat *attendant
}

// step decodes an operation and makes an Env for it.
func (w *world) step(operation string, params engine.Record) *act {
	w.t.Helper()
	return w.stepAs(steps.Full, steps.Full, operation, params)
}

// stepAs makes a step that believes in one access and has a connection of another.
func (w *world) stepAs(believes, has steps.Access, operation string, params engine.Record) *act {
	w.t.Helper()
	op, err := New().Decode(operation, params)
	if err != nil {
		w.t.Fatalf("decode %s: %v", operation, err)
	}
	a := &act{w: w, op: op, seat: &attendant{}}
	var conn io.Closer
	a.env = steps.NewEnv(engine.Call{Step: "it", Kind: "docker", Operation: operation, Target: "engine", Params: params,
		Token: "r-" + w.prefix + "/it", Attempt: 1, Epoch: 1}, w.target, believes, a.seat,
		func(ctx context.Context, t steps.Target) (io.Closer, error) {
			if conn != nil {
				return conn, nil
			}
			c, err := New().Connect(ctx, t, has)
			if err == nil {
				conn = c
				w.t.Cleanup(func() { _ = c.Close() })
			}
			return c, err
		},
		func(context.Context, engine.Question) engine.Answer { return engine.Answer{} })
	a.env.Run, a.env.Dir, a.env.Scratch = "r-"+w.prefix, w.t.TempDir(), w.t.TempDir()
	return a
}

// prepared runs Prepare, and takes what it has seen through the journal's form.
func (a *act) prepared() *act {
	a.w.t.Helper()
	p, err := a.op.(steps.Preparer).Prepare(context.Background(), a.env)
	a.w.must(err)
	a.env.Call.Seen = a.w.journalled(p.Seen)
	return a
}

// journalled is a value as it comes back from a journal.
func (w *world) journalled(v engine.Value) engine.Value {
	w.t.Helper()
	b, err := engine.AppendValue(nil, v)
	w.must(err)
	back, err := engine.DecodeValue(b)
	w.must(err)
	return back
}

func (a *act) execute() engine.Outcome { return a.op.Execute(context.Background(), a.env) }

func (a *act) ok() engine.Record {
	a.w.t.Helper()
	o := a.execute()
	if o.Err != "" || o.InDoubt {
		a.w.t.Fatalf("failed: %s %v\n%s", o.Err, o.Evidence, a.seat.text())
	}
	return o.Result
}

// failed expects a failure with an effect, whose message has these words in it.
func (a *act) failed(effect engine.Effect, words ...string) engine.Outcome {
	a.w.t.Helper()
	return a.w.failure(a.execute(), effect, words...)
}

func (w *world) failure(o engine.Outcome, effect engine.Effect, words ...string) engine.Outcome {
	w.t.Helper()
	if o.Err == "" || o.InDoubt {
		w.t.Fatalf("it did not fail: %+v", o)
	}
	if o.Effect != effect {
		w.t.Errorf("effect %s, want %s: %s", o.Effect, effect, o.Err)
	}
	w.says(o.Err, words...)
	return o
}

func (w *world) says(text string, words ...string) {
	w.t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			w.t.Errorf("%q does not say %q", text, word)
		}
	}
}

func (a *act) preview() engine.Impact {
	a.w.t.Helper()
	b := a.w.stepAs(steps.ReadOnly, steps.ReadOnly, a.env.Call.Operation, a.env.Call.Params)
	b.env.Dir = a.env.Dir
	i, err := b.op.Preview(context.Background(), b.env)
	a.w.must(err)
	return i
}
