package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	apicontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/container"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

func (w *world) run(name string, more engine.Record) *act {
	w.t.Helper()
	spec := engine.Record{"name": w.name(name), "image": servers.Image, "command": engine.List{"sleep", "600"}}
	for k, v := range more {
		spec[k] = v
	}
	return w.step("run", engine.Record{"run": spec})
}

func TestRunMakesOneContainerHoweverOftenItIsAsked(t *testing.T) {
	w := newWorld(t)
	more := engine.Record{"env": engine.Record{"PORT": int64(80), "PASSWORD": engine.NewSecret("p", "hush")}, "labels": engine.Record{"team": "ops"},
		"restart": "unless-stopped", "network": "none", "memory": int64(64 << 20), "volumes": engine.List{"./here:/there:ro"}}
	s := w.run("svc", more)
	s.prepared()
	s.env.Dir = t.TempDir()
	r := s.ok()
	made := w.inspect(w.name("svc"))
	if r["changed"] != true || r["id"] != made.ID || r["code"] != nil {
		t.Errorf("result %v", r)
	}
	l := made.Config.Labels
	if l["handrail.run"] != s.env.Run || l["handrail.step"] != "it" || len(l["handrail.config"]) != 64 || l["team"] != "ops" {
		t.Errorf("labels %v", l)
	}
	if h := made.HostConfig; h.Memory != 64<<20 || h.RestartPolicy.Name != "unless-stopped" || h.Binds[0] != s.env.Dir+"/here:/there:ro" {
		t.Errorf("host %+v", h)
	}
	if env := strings.Join(made.Config.Env, " "); !strings.Contains(env, "PORT=80") || !strings.Contains(env, "PASSWORD=hush") {
		t.Errorf("env %s", env)
	}

	next := w.run("svc", more)
	next.env.Dir = s.env.Dir
	if r := next.prepared().ok(); r["changed"] != false || r["id"] != made.ID {
		t.Errorf("again: %v", r)
	}
	w.must(w.plain.ContainerKill(context.Background(), made.ID, "KILL"))
	if r := next.prepared().ok(); r["changed"] != true || r["id"] != made.ID || !w.inspect(made.ID).State.Running {
		t.Errorf("a stopped one: %v", r)
	}
	next.env.Again = true
	if r := next.ok(); r["changed"] != true {
		t.Errorf("started by the attempt that was cut off: %v", r["changed"])
	}
	other := w.run("svc", engine.Record{"env": engine.Record{"PORT": int64(80), "PASSWORD": engine.NewSecret("p", "other")}})
	other.failed(engine.EffectNone, "env PASSWORD differs", "another configuration")
	if o := other.execute(); strings.Contains(o.Err, "hush") || strings.Contains(o.Err, "other;") {
		t.Errorf("it tells a secret: %s", o.Err)
	}
}

func TestForeignContainerStopsTheStep(t *testing.T) {
	w := newWorld(t)
	n := w.up("svc")
	s := w.run("svc", nil)
	if _, err := s.op.(steps.Preparer).Prepare(context.Background(), s.env); err == nil {
		t.Error("Prepare lets it pass")
	}
	before := w.inspect(n).State.StartedAt
	s.failed(engine.EffectNone, "there is another container "+n, "not made by Handrail", "remove")
	if w.inspect(n).State.StartedAt != before {
		t.Error("it was touched")
	}
}

func TestMissingImageIsNamed(t *testing.T) {
	w := newWorld(t)
	s := w.run("svc", engine.Record{"image": "handrail-test/none:1"})
	if _, err := s.op.(steps.Preparer).Prepare(context.Background(), s.env); err == nil || !strings.Contains(err.Error(), "pull: missing") {
		t.Errorf("Prepare says %v", err)
	}
	s.failed(engine.EffectNone, "handrail-test/none:1 is not on the engine", "docker: {pull:")
	if i := s.preview(); i.Standing != engine.StandingUnknown || len(i.Warnings) == 0 {
		t.Errorf("preview %+v", i)
	}
}

func TestRunThatCannotBeStartedLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.run("bad", engine.Record{"command": engine.List{"no-such-command"}}).failed(engine.EffectNone, "start container", "not found")
	if w.exists(w.name("bad")) {
		t.Error("the container was left behind")
	}
}

func TestRunThatExitsAtOnceFailsAndStands(t *testing.T) {
	w := newWorld(t)
	o := w.run("bad", engine.Record{"command": engine.List{"sh", "-c", "echo no license; exit 5"}, "healthy": 20 * time.Second}).
		failed(engine.EffectStands, "exit code 5", "no license")
	w.says(o.Tail, "no license")
}

func TestRunBecomesHealthyByItsOwnCheck(t *testing.T) {
	w := newWorld(t)
	r := w.run("svc", engine.Record{"healthy": 30 * time.Second, "healthcheck": engine.Record{"test": "true", "interval": 200 * time.Millisecond}}).ok()
	if c := r["container"].(engine.Record); c["health"] != "healthy" {
		t.Errorf("health %v", c["health"])
	}
}

func TestContainerMadeByAnAttemptThatWasCutOffIsTakenOver(t *testing.T) {
	w := newWorld(t)
	dead := w.run("svc", nil).prepared()
	c, err := connect(context.Background(), dead.env)
	w.must(err)
	op := dead.op.(run)
	wanted, err := op.configure(context.Background(), c, dead.env)
	w.must(err)
	s, _, err := (&making{run: op, c: c, env: dead.env, wanted: wanted}).provide(context.Background())
	w.must(err)
	dead.env.Again = true
	if r := dead.ok(); r["id"] != s.id || r["changed"] != true || !w.inspect(s.id).State.Running {
		t.Errorf("taken over as %v", r)
	}
}

// slow is an engine that is at work for a client that is gone: it has taken the name of a container that it shows
// only later.
type slow struct {
	daemon
	w    *world
	made chan struct{}
}

func (d slow) ContainerCreate(ctx context.Context, config *apicontainer.Config, host *apicontainer.HostConfig, net *network.NetworkingConfig,
	platform *ocispec.Platform, name string) (apicontainer.CreateResponse, error) {
	go func() {
		defer close(d.made)
		<-time.After(2 * container.PollEvery) // it is looked for at least once before
		_, err := d.daemon.ContainerCreate(context.WithoutCancel(ctx), config, host, net, platform, name)
		if err != nil {
			d.w.t.Error(err)
		}
	}()
	return apicontainer.CreateResponse{}, fmt.Errorf("the name %s is already in use: %w", name, cerrdefs.ErrConflict)
}

func TestContainerThatIsBeingMadeForAnAttemptThatWasCutOffIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	next := w.run("svc", nil).prepared()
	next.env.Again = true
	c, err := connect(context.Background(), next.env)
	w.must(err)
	d := slow{c.daemon, w, make(chan struct{})}
	c.daemon = d
	r := next.ok()
	<-d.made
	if r["changed"] != true || !w.inspect(w.name("svc")).State.Running {
		t.Errorf("taken over as %v", r)
	}
}

func TestJobGivesItsOutputAndCode(t *testing.T) {
	w := newWorld(t)
	r := w.run("job", engine.Record{"command": engine.List{"sh", "-c", "echo out; echo err >&2"}, "wait": "exit"}).ok()
	if r["code"] != int64(0) || r["stdout"] != "out\n" || r["stderr"] != "err\n" {
		t.Errorf("result %q", r)
	}
	bad := w.run("bad", engine.Record{"command": engine.List{"sh", "-c", "echo full >&2; exit 9"}, "detach": false})
	bad.failed(engine.EffectUnknown, "exit code 9", "full")
	// A retry is another attempt; a crash goes on where it was.
	id := w.inspect(w.name("bad")).ID
	bad.failed(engine.EffectUnknown, "exit code 9")
	if w.inspect(w.name("bad")).ID == id {
		t.Error("the retry took the end of the attempt before for its own")
	}
	later := w.run("job", engine.Record{"command": engine.List{"sh", "-c", "echo out; echo err >&2"}, "wait": "exit"})
	later.env.Call.Token += "-later"
	later.failed(engine.EffectNone, "a job begins in a container of its own")
}

func TestJobIsSettledByItsContainer(t *testing.T) {
	w := newWorld(t)
	job := engine.Record{"command": engine.List{"sh", "-c", "sleep 1; echo done; exit 0"}, "wait": "exit"}
	dead := w.run("job", job)
	if x := dead.settle(); x.Verdict != engine.VerdictNotDone {
		t.Errorf("nothing recorded: %+v", x)
	}
	dead.seat.onNote = func(engine.Value) error { return errors.New("died here") }
	dead.failed(engine.EffectNone, "died here")
	if w.inspect(w.name("job")).State.Status != "created" {
		t.Error("it was started BEFORE it was recorded")
	}
	next := w.run("job", job)
	next.env.Call.Note = w.journalled(engine.Record{"container": w.inspect(w.name("job")).ID})
	if x := next.settle(); x.Verdict != engine.VerdictNotDone {
		t.Errorf("never started: %+v", x)
	}
	w.must(w.plain.ContainerStart(context.Background(), w.name("job"), apicontainer.StartOptions{}))
	x := next.settle()
	if x.Verdict != engine.VerdictDone || x.Result["code"] != int64(0) || x.Result["stdout"] != "done\n" {
		t.Errorf("still running: %+v", x)
	}
	w.must(w.plain.ContainerRemove(context.Background(), w.name("job"), apicontainer.RemoveOptions{}))
	if x := next.settle(); x.Verdict != engine.VerdictUnknown || !x.Dead || x.Err != "" {
		t.Errorf("gone: %+v", x)
	}
}

func TestJobCutShortIsStopped(t *testing.T) {
	w := newWorld(t)
	s := w.run("job", engine.Record{"command": engine.List{"sh", "-c", "echo begun; sleep 600"}, "wait": "exit", "kill_after": time.Second})
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		w.eventually("it has begun", func() bool { return strings.Contains(s.seat.text(), "begun") })
		cancel(errors.New("timeout of 2s"))
	}()
	w.failure(s.op.Execute(ctx, s.env), engine.EffectUnknown, "timeout of 2s", "was stopped with exit code 137")
	if w.inspect(w.name("job")).State.Running {
		t.Error("it runs on")
	}
}

func TestClassOfRunIsNarrowedByItsParameters(t *testing.T) {
	for _, c := range []struct {
		spec engine.Record
		want engine.Class
	}{
		{engine.Record{}, engine.ClassIdempotent},
		{engine.Record{"wait": "start", "detach": true}, engine.ClassIdempotent},
		{engine.Record{"wait": "exit"}, engine.ClassUnrepeatable},
		{engine.Record{"detach": false}, engine.ClassUnrepeatable},
		{engine.Record{"wait": engine.Unknown{}}, engine.ClassUnrepeatable},
	} {
		if got := judgeRun(engine.Record{"run": c.spec}).Class; got != c.want {
			t.Errorf("%v is %s", c.spec, got)
		}
	}
}

func TestPullWithoutARegistryIsExplained(t *testing.T) {
	w := newWorld(t)
	s := w.step("pull", engine.Record{"pull": "127.0.0.1:1/none:1", "auth": engine.Record{"user": "u", "password": engine.NewSecret("p", "hush")}})
	o := s.failed(engine.EffectNone, "pull image 127.0.0.1:1/none:1", "cannot reach the registry", "docker load")
	if !o.Transient || strings.Contains(o.Err, "hush") {
		t.Errorf("%+v", o)
	}
	r := w.step("pull", engine.Record{"pull": servers.Image, "policy": "missing"}).ok()
	if len(r["already"].(engine.List)) != 1 || len(r["images"].(engine.List)) != 1 {
		t.Errorf("result %v", r)
	}
}

func TestCopyGoesInAndOut(t *testing.T) {
	w := newWorld(t)
	up := w.up("up")
	data := bytes.Repeat([]byte("0123456789"), 300_000)
	in := w.step("copy", engine.Record{"copy": engine.Record{"from": "in.bin", "to": up + ":/tmp/x.bin", "owner": "12:34"}})
	w.must(os.WriteFile(filepath.Join(in.env.Dir, "in.bin"), data, 0o640))
	r := in.ok()
	sum := sha256.Sum256(data)
	if r["bytes"] != int64(len(data)) || r["sha256"] != hex.EncodeToString(sum[:]) {
		t.Errorf("in: %v", r)
	}
	if got := w.sh(up, "stat -c '%a %u:%g' /tmp/x.bin; sha256sum </tmp/x.bin"); got != "640 12:34\n"+hex.EncodeToString(sum[:])+"  -" {
		t.Errorf("in the container: %s", got)
	}
	out := w.step("copy", engine.Record{"copy": engine.Record{"from": up + ":/tmp/x.bin", "to": "./"}})
	if r := out.ok(); r["sha256"] != hex.EncodeToString(sum[:]) || r["to"] != filepath.Join(out.env.Dir, "x.bin") {
		t.Errorf("out: %v", r)
	}
	if back, _ := os.ReadFile(filepath.Join(out.env.Dir, "x.bin")); !bytes.Equal(back, data) {
		t.Error("the copy differs")
	}
	if left, _ := filepath.Glob(filepath.Join(out.env.Dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestCopyOfAFolderIsAnArchive(t *testing.T) {
	w := newWorld(t)
	up := w.up("up")
	w.sh(up, "mkdir -p /tmp/d/e; echo one >/tmp/d/e/f")
	w.step("copy", engine.Record{"copy": engine.Record{"from": up + ":/tmp/d", "to": "d"}}).failed(engine.EffectNone, "is a folder", "archive: true")
	out := w.step("copy", engine.Record{"copy": engine.Record{"from": up + ":/tmp/d", "to": "d.tar", "archive": true}})
	r := out.ok()
	raw, err := os.ReadFile(filepath.Join(out.env.Dir, "d.tar"))
	w.must(err)
	sum := sha256.Sum256(raw)
	if h, err := tar.NewReader(bytes.NewReader(raw)).Next(); err != nil || h.Name != "d/" || r["sha256"] != hex.EncodeToString(sum[:]) {
		t.Errorf("archive begins with %v, %v; result %v", h, err, r)
	}
	w.sh(up, "mkdir /tmp/back")
	back := w.step("copy", engine.Record{"copy": engine.Record{"from": "d.tar", "to": up + ":/tmp/back", "archive": true}})
	back.env.Dir = out.env.Dir
	if r := back.ok(); r["sha256"] != hex.EncodeToString(sum[:]) {
		t.Errorf("back: %v", r)
	}
	if got := w.sh(up, "cat /tmp/back/d/e/f"); got != "one" {
		t.Errorf("in the container: %s", got)
	}
}

func TestCopyThatFailsLeavesTheOldFile(t *testing.T) {
	w := newWorld(t)
	up := w.up("up")
	s := w.step("copy", engine.Record{"copy": engine.Record{"from": up + ":/tmp/none", "to": "keep"}})
	old := filepath.Join(s.env.Dir, "keep")
	w.must(os.WriteFile(old, []byte("old"), 0o600))
	s.failed(engine.EffectNone, "/tmp/none")
	if got, _ := os.ReadFile(old); string(got) != "old" {
		t.Errorf("the old file is %q", got)
	}
	if i := s.preview(); i.Risk != engine.RiskDestroys || len(i.Warnings) == 0 {
		t.Errorf("preview of a copy over a file: %+v", i)
	}
	w.step("copy", engine.Record{"copy": engine.Record{"from": old, "to": up + ":/none/x"}}).failed(engine.EffectNone, "there is no folder /none")
}
