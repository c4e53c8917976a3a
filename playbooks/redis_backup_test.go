package playbooks_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// ring is a Redis cluster of three nodes in containers, with their append-only files on.
type ring struct {
	*ground
	t          *testing.T
	target     steps.Target
	containers []any
	folder     string // of the backups
	crowded    bool   // others write
}

func newRing(t *testing.T) *ring {
	t.Helper()
	r := &ring{ground: newGround(t, 3), t: t, folder: t.TempDir()}
	r.target = r.cluster(3)
	for i := 1; i <= 3; i++ {
		r.containers = append(r.containers, fmt.Sprintf("%s-%d", r.name, i))
	}
	w := open(t, "redis-cluster-create", r.engine, r.target)
	w.ends(w.run(r.inputs()), engine.RunOK)
	return r
}

func (r *ring) client() *goredis.ClusterClient {
	c := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{r.target.Settings["addresses"].(engine.List)[0].(string)}})
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}

// fill writes keys, every tenth with an expiry.
func (r *ring) fill(c *goredis.ClusterClient, prefix string, count int) {
	r.t.Helper()
	p := c.Pipeline()
	for i := range count {
		expiry := time.Duration(0)
		if i%10 == 0 {
			expiry = time.Hour
		}
		p.Set(r.t.Context(), fmt.Sprintf("%s:%d", prefix, i), "v", expiry)
	}
	if _, err := p.Exec(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// keys counts the keys of all nodes.
func (r *ring) keys(c *goredis.ClusterClient) int64 {
	r.t.Helper()
	n, err := c.DBSize(r.t.Context()).Result()
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

func (r *ring) docker(args ...string) string {
	r.t.Helper()
	out, err := docker(r.t.Context(), r.host, args...)
	if err != nil {
		r.t.Fatalf("docker %v: %v: %s", args, err, out)
	}
	return out
}

func (r *ring) node(i int) string { return r.containers[i-1].(string) }

func (r *ring) backup() *engine.Run {
	r.t.Helper()
	w := open(r.t, "redis-backup", r.engine, r.target)
	w.now, w.crowded = time.Now(), &r.crowded
	run := w.run(map[string]any{"containers": r.containers, "folder": r.folder})
	w.ends(run, engine.RunOK)
	return run
}

func (r *ring) restore(given map[string]any) (*world, *engine.Run) {
	r.t.Helper()
	w := open(r.t, "redis-restore", r.engine, r.target)
	w.now, w.yes = time.Now(), true
	inputs := map[string]any{"folder": r.folder, "containers": r.containers}
	for k, v := range given {
		inputs[k] = v
	}
	return w, w.run(inputs)
}

func TestRedisIsBackedUpAndComesBackFromNothing(t *testing.T) {
	t.Parallel()
	r := newRing(t)
	c := r.client()
	r.fill(c, "reservation", 3000)
	for _, m := range []string{"auto-aof-rewrite-percentage", "save"} {
		before := r.docker("exec", r.node(1), "redis-cli", "-p", fmt.Sprint(r.port), "CONFIG", "GET", m)
		defer func() {
			if after := r.docker("exec", r.node(1), "redis-cli", "-p", fmt.Sprint(r.port), "CONFIG", "GET", m); after != before {
				t.Errorf("%s is now %s, was %s", m, after, before)
			}
		}()
	}
	// Others write on meanwhile, and the append-only files are rewritten again and again.
	stop := r.busy()
	run := r.backup()
	stop()
	want, _ := run.Outputs()["keys"].(int64)
	if want < 3000 {
		t.Errorf("%d keys are in the archive", want)
	}
	file := run.Outputs()["file"].(string)
	listing, err := exec.Command("tar", "-tzf", file).CombinedOutput()
	for _, want := range []string{"redis/manifest.json", "redis/" + r.node(1) + ".tar", "redis/" + r.node(3) + ".tar"} {
		if err != nil || !strings.Contains(string(listing), want) {
			t.Fatalf("%v: no %s in\n%s", err, want, listing)
		}
	}
	if left := r.docker("exec", r.node(1), "ls", "/data"); strings.Contains(left, "handrail") {
		t.Errorf("left in the container: %s", left)
	}
	if entries, _ := os.ReadDir(r.folder); len(entries) != 3 { // archive, checksum, latest
		t.Errorf("left in the folder: %v", entries)
	}
	// What comes after the backup is not to come back.
	r.fill(c, "later", 500)
	// Everything is lost: containers, volumes, data.
	for i := 1; i <= 3; i++ {
		r.docker("rm", "-f", r.node(i))
		r.docker("volume", "rm", r.node(i)+"-data")
	}
	create := open(t, "redis-cluster-create", r.engine, r.target)
	create.now = time.Now()
	create.ends(create.run(r.inputs()), engine.RunOK)
	w, back := r.restore(nil)
	w.ends(back, engine.RunOK)
	if w.state(back, "approved") != engine.Skipped {
		t.Error("a person was asked although there was nothing to be overwritten")
	}
	fresh := r.client()
	if n := r.keys(fresh); n != want {
		t.Errorf("%d keys came back", n)
	}
	// They are in the append-only file: a start from what is on disk has them, too.
	for i := 1; i <= 3; i++ {
		r.docker("kill", r.node(i))
		r.docker("start", r.node(i))
	}
	r.until("the keys are there after a restart", func() bool {
		n, err := fresh.DBSize(context.Background()).Result()
		return err == nil && n == want
	})
	r.until("the expiry came back", func() bool { // the nodes have yet to find each other
		ttl, err := fresh.TTL(context.Background(), "reservation:10").Result()
		return err == nil && ttl > 0 && ttl <= time.Hour
	})
	if out := r.docker("ps", "-a", "--format", "{{.Names}}", "--filter", "name="+r.name); strings.Contains(out, "handrail") {
		t.Errorf("left running: %s", out)
	}
}

// busy writes keys and has the append-only files rewritten, until stop is called.
func (r *ring) busy() (stop func()) {
	c, done := r.client(), make(chan struct{})
	ctx, cancel := context.WithCancel(r.t.Context())
	r.crowded = true
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			c.Set(ctx, fmt.Sprintf("busy:%d", i), "v", 0)
			if i%50 == 0 {
				_ = c.ForEachMaster(ctx, func(ctx context.Context, n *goredis.Client) error { return n.BgRewriteAOF(ctx).Err() })
			}
		}
	}()
	return func() { cancel(); <-done; r.crowded = false }
}

func (r *ring) until(what string, holds func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !holds() {
		if time.Now().After(deadline) {
			r.t.Fatalf("never: %s", what)
		}
		tick(r.t)
	}
}

// TestSnapshotBesideAnAppendOnlyFileIsIgnored is the trap of the written procedure, and the playbook in its place.
func TestSnapshotBesideAnAppendOnlyFileIsIgnored(t *testing.T) {
	t.Parallel()
	r := newRing(t)
	c := r.client()
	r.fill(c, "reservation", 900)
	run := r.backup()
	for i := range 900 {
		c.Del(t.Context(), fmt.Sprintf("reservation:%d", i))
	}
	r.fill(c, "wrong", 30)
	// As it is written: the snapshot put back while the node is down, and the node started.
	parts := t.TempDir()
	if out, err := exec.Command("tar", "-xzf", run.Outputs()["file"].(string), "-C", parts).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for i := 1; i <= 3; i++ {
		if out, err := exec.Command("tar", "-xf", filepath.Join(parts, "redis", r.node(i)+".tar"), "-C", parts).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		r.docker("stop", r.node(i))
		r.docker("cp", filepath.Join(parts, "handrail-copy", "dump.rdb"), r.node(i)+":/data/dump.rdb")
		r.docker("start", r.node(i))
	}
	r.until("the cluster answers", func() bool { n, err := c.DBSize(context.Background()).Result(); return err == nil && n > 0 })
	if n := r.keys(c); n != 30 {
		t.Fatalf("%d keys: the trap is none any more", n)
	}
	w, back := r.restore(nil)
	w.ends(back, engine.RunOK)
	if w.state(back, "approved") != engine.OK {
		t.Error("nobody was asked")
	}
	if n := r.keys(r.client()); n != 900 {
		t.Errorf("%d keys came back", n)
	}
	// What was there before is kept.
	if kept := r.docker("exec", r.node(1), "ls", "/data/handrail-before"); !strings.Contains(kept, "appendonlydir") || !strings.Contains(kept, "dump.rdb") {
		t.Errorf("kept: %s", kept)
	}
}
