package playbooks_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/handrail-dev/handrail/engine"
)

// newReplicatedRing is a cluster of three masters, each with a replica.
func newReplicatedRing(t *testing.T) *ring {
	t.Helper()
	r := &ring{ground: newGround(t, 6), t: t, folder: t.TempDir()}
	r.target = r.cluster(6)
	for i := 1; i <= 6; i++ {
		r.containers = append(r.containers, fmt.Sprintf("%s-%d", r.name, i))
	}
	w := open(t, "redis-cluster-create", r.engine, r.target)
	inputs := r.inputs()
	inputs["count"], inputs["replicas"] = 6, 1
	w.ends(w.run(inputs), engine.RunOK)
	return r
}

// followed waits until every master's replica has all that the master has: what it has not got yet is lost with the master.
func (r *ring) followed(c *goredis.ClusterClient) {
	r.t.Helper()
	err := c.ForEachMaster(r.t.Context(), func(ctx context.Context, n *goredis.Client) error {
		if got, err := n.Wait(ctx, 1, time.Minute).Result(); err != nil || got != 1 {
			return fmt.Errorf("%d replicas have it: %w", got, err)
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// replication is the part of INFO that a node gives of its replication, line by line.
func (r *ring) replication(i int) []string {
	r.t.Helper()
	return strings.Split(strings.ReplaceAll(r.docker("exec", r.node(i), "redis-cli", "-p", fmt.Sprint(r.port+i-1), "INFO", "replication"), "\r", ""), "\n")
}

// TestRedisClusterWithReplicas: an archive holds the masters alone, and the replicas get its data by replication. Where one takes over, all
// of it is there; and the node that has failed is replaced by a new replica.
func TestRedisClusterWithReplicas(t *testing.T) {
	t.Parallel()
	r := newReplicatedRing(t)
	c := r.client()
	r.fill(c, "reservation", 300)
	r.followed(c)
	backup := r.backup()
	if n := backup.Outputs()["keys"]; n != int64(300) {
		t.Errorf("the archive has %v keys", n)
	}
	// All of it is lost, on the replicas as well, and there is something else.
	if err := c.ForEachMaster(t.Context(), func(ctx context.Context, n *goredis.Client) error { return n.FlushAll(ctx).Err() }); err != nil {
		t.Fatal(err)
	}
	r.fill(c, "wrong", 60)
	r.followed(c)
	masters, replicas := r.containers[:3], r.containers[3:]

	w, run := r.restore(map[string]any{"containers": masters})
	w.ends(run, engine.RunFailed)
	if w.state(run, "same") != engine.Failed || r.keys(c) != 60 {
		t.Errorf("with replicas that nobody has named: same is %s, %d keys", w.state(run, "same"), r.keys(c))
	}
	w, run = r.restore(map[string]any{"containers": masters, "replicas": replicas})
	w.ends(run, engine.RunOK)
	if w.state(run, "in_sync") != engine.OK {
		t.Errorf("in_sync is %s", w.state(run, "in_sync"))
	}
	all := 0
	for i := 1; i <= 3; i++ {
		if !slices.Contains(r.replication(i), "role:master") {
			t.Errorf("%s is no master any more", r.node(i))
		}
		all += r.keysOf(r.node(i))
	}
	copied := 0
	for i := 4; i <= 6; i++ {
		if lines := r.replication(i); !slices.Contains(lines, "role:slave") || !slices.Contains(lines, "master_link_status:up") {
			t.Errorf("%s says %q", r.node(i), lines)
		}
		copied += r.keysOf(r.node(i))
	}
	if all != 300 || copied != 300 {
		t.Errorf("the masters have %d keys, their replicas %d", all, copied)
	}
	r.replaced()
}

// replaced: a master fails for good, its replica takes over with what was restored, and a new node becomes a replica.
func (r *ring) replaced() {
	t := r.t
	c := r.client()
	address := r.lose(2)
	r.until("a replica has taken over", func() bool { n, err := c.DBSize(context.Background()).Result(); return err == nil && n == 300 })
	w, run := r.replace(2, address, nil)
	w.ends(run, engine.RunOK)
	if w.state(run, "taken") != engine.Skipped || w.state(run, "follows") != engine.OK {
		t.Errorf("taken is %s, follows %s", w.state(run, "taken"), w.state(run, "follows"))
	}
	health := open(t, "redis-cluster-health", r.target)
	health.ends(health.run(map[string]any{"replicas": 1}), engine.RunOK)
	if n := r.keys(r.client()); n != 300 {
		t.Errorf("%d keys", n)
	}
}
