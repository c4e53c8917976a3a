package numbering_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/internal/torture"
)

// Redis loses its data on the stack that stands, and a playbook brings it back, its engine killed in several places and resumed: two in
// `make test`, ten in `make torture`.

// cluster is the Redis part of a stand.
type cluster struct {
	*stand
	w *writers
}

func (c cluster) node(i int) string { return fmt.Sprintf("%s-redis-%d", c.name, i) }

func (c cluster) folder() string { return filepath.Join(c.dir, "stack", "backups", "redis") }

// archive makes the archive that is brought back: the keys before:, and none of later:.
func (c cluster) archive(later string) {
	c.t.Helper()
	keep(c.t, c.stand, "before")
	c.backup()
	keep(c.t, c.stand, later)
}

// fallsBack: every back end says that it does without Redis, and numbers on.
func (c cluster) fallsBack() {
	c.t.Helper()
	for _, port := range []int{3001, 3002} {
		c.health(port, `"fallback_mode":true`)
		if _, err := c.write(c.w, port); err != nil {
			c.t.Errorf("without Redis no number is given out on %d: %v", port, err)
		}
	}
}

// isBack: every slot has its node, every key of the archive is there, and every back end has Redis and gives out new numbers.
func (c cluster) isBack(gone string) {
	c.t.Helper()
	for i := 1; i <= 3; i++ {
		info := c.docker("exec", c.node(i), "redis-cli", "-p", fmt.Sprint(6378+i), "CLUSTER", "INFO")
		if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_slots_ok:16384") {
			c.t.Errorf("%s says %s", c.node(i), info)
		}
	}
	c.has("before")
	if gone != "" {
		lost := 0
		for i := range 100 {
			n, err := c.cache.Exists(c.t.Context(), fmt.Sprintf("%s:%d", gone, i)).Result()
			if err != nil {
				c.t.Fatal(err)
			}
			lost += 1 - int(n)
		}
		if lost == 0 {
			c.t.Errorf("no key of %s is lost, so nothing was destroyed", gone)
		}
	}
	for _, port := range []int{3001, 3002} {
		c.health(port, `"fallback_mode":false`, `"status":"up"`)
		if _, err := c.write(c.w, port); err != nil {
			c.t.Errorf("no number on %d: %v", port, err)
		}
	}
	if len(c.w.twice) > 0 {
		c.t.Errorf("given out twice: %v", c.w.twice)
	}
	if left := c.docker("ps", "-a", "--format", "{{.Names}}", "--filter", "name=^"+c.name+"-.*-handrail$"); left != "" {
		c.t.Errorf("left running: %s", left)
	}
}

// has: every key that was kept under the prefix.
func (s *stand) has(prefix string) {
	s.t.Helper()
	for i := range 100 {
		if v, err := s.cache.Get(s.t.Context(), fmt.Sprintf("%s:%d", prefix, i)).Result(); err != nil || v != fmt.Sprint(i) {
			s.t.Errorf("key %s:%d is %q, %v", prefix, i, v, err)
		}
	}
}

// down runs redis-cluster-down, killed in each of the places.
func (c cluster) down(places ...string) said {
	c.t.Helper()
	var nodes []string
	for i := 1; i <= 3; i++ {
		nodes = append(nodes, c.node(i))
	}
	health := fmt.Sprintf("http://%[1]s.1:3001/health/numbering,http://%[1]s.1:3002/health/numbering", c.net)
	got := c.through(places, "redis-cluster-down", "-i", "containers="+strings.Join(nodes, ","), "-i", "health="+health, "-i", "folder="+c.folder())
	return c.is(got, 0, "degraded")
}

// killed: all nodes are killed. A restart brings them back with all that they had.
func (c cluster) killed() {
	c.t.Helper()
	c.docker("kill", c.node(1), c.node(2), c.node(3))
	c.fallsBack()
	c.down()
	c.isBack("")
}

// emptied: the data of all nodes is gone, their own knowledge of the cluster with it.
func (c cluster) emptied() {
	c.t.Helper()
	c.archive("late")
	for i := 1; i <= 3; i++ {
		c.docker("exec", c.node(i), "sh", "-c", "rm -rf /data/*")
	}
	c.docker("kill", c.node(1), c.node(2), c.node(3))
	c.fallsBack()
	places := []string{"formed", "restore/swap[%s-redis-2]"}
	if torture.How(c.t) != torture.Light {
		places = []string{
			"restart[%s-redis-1]", "formed", "restore/unpack", "restore/helper[%s-redis-2]", "restore/beside[%s-redis-1]/load",
			"restore/beside[%s-redis-3]/append", "restore/stop", "restore/swap[%s-redis-2]", "restore/start", "restore/helpers_gone",
		}
	}
	c.down(places...)
	c.isBack("late")
}

// replaced: one node is gone with container and volume. Its slots have no other, and what was in them comes from the archive.
func (c cluster) replaced() {
	c.t.Helper()
	c.archive("after")
	address := c.net + ".1:6381"
	c.docker("rm", "-f", c.node(3))
	c.docker("volume", "rm", c.node(3)+"-data")
	c.fallsBack()
	c.knowsThatFailed(address)
	places := []string{"taken", "restored/swap[%s-redis-3]"}
	if torture.How(c.t) != torture.Light {
		places = []string{
			"node", "joined", "taken", "restored/unpack", "restored/helper[%s-redis-3]", "restored/beside[%s-redis-3]/send",
			"restored/stop", "restored/swap[%s-redis-3]", "restored/start", "restored/swept",
		}
	}
	got := c.through(places, "redis-node-replace", "-i", "failed="+address, "-i", "name="+c.node(3), "-i", "old="+c.node(3), "-i", "volume="+c.node(3)+"-data",
		"-i", "image=handrail-test/redis:1", "-i", "network="+c.name+"-network", "-i", "announce="+c.net+".1", "-i", "port=6381", "-i", "folder="+c.folder())
	c.is(got, 0)
	c.isBack("after")
}

// knowsThatFailed waits until the cluster has noticed that a node is gone: the playbook replaces none before.
func (c cluster) knowsThatFailed(address string) {
	c.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		nodes := c.docker("exec", c.node(1), "redis-cli", "-p", "6379", "CLUSTER", "NODES")
		for line := range strings.Lines(nodes) {
			if f := strings.Fields(line); len(f) > 2 && strings.HasPrefix(f[1], address+"@") && strings.Contains(f[2]+",", "fail,") {
				return
			}
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("the cluster does not notice that %s has failed:\n%s", address, nodes)
		}
		pause(c.t.Context(), 50*time.Millisecond)
	}
}

// redis: one after the other, on the stack that the disaster has left.
func (s *stand) redis(t *testing.T, w *writers) {
	c := cluster{s, w}
	for _, x := range []struct {
		name string
		try  func()
	}{{"killed", c.killed}, {"emptied", c.emptied}, {"one node destroyed", c.replaced}} {
		began := time.Now()
		x.try()
		t.Logf("Redis, %s: %s", x.name, time.Since(began).Round(time.Second))
	}
}
