package playbooks_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// backend says as the guide's back ends do whether it has to do without Redis.
func (r *ring) backend() (url string) {
	c := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{r.target.Settings["addresses"].(engine.List)[0].(string)},
		MaxRetries: -1, DialTimeout: time.Second, ReadTimeout: time.Second})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		info, err := c.ClusterInfo(q.Context()).Result()
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"fallback_mode": %t}`, err != nil || !strings.Contains(info, "cluster_state:ok"))
	}))
	r.t.Cleanup(func() { server.Close(); _ = c.Close() })
	return server.URL + "/health/numbering"
}

func (r *ring) down(given map[string]any) (*world, *engine.Run) {
	r.t.Helper()
	w := open(r.t, "redis-cluster-down", r.engine, r.target)
	w.now, w.yes = time.Now(), true
	return w, w.run(given)
}

func TestRedisClusterThatIsDownComesBack(t *testing.T) {
	t.Parallel()
	r := newRing(t)
	c := r.client()
	r.fill(c, "reservation", 300)
	r.backup()
	r.fill(c, "later", 60)
	inputs := map[string]any{"containers": r.containers, "health": []any{r.backend()}, "folder": r.folder}

	// A cluster that is well is left alone.
	w, run := r.down(inputs)
	w.ends(run, engine.RunOK)
	if w.state(run, "restart") != engine.Skipped || run.Outputs()["was_down"] != false {
		t.Errorf("restart is %s, outputs %v", w.state(run, "restart"), run.Outputs())
	}

	// All nodes down: a restart is enough, and nothing is lost.
	for i := 1; i <= 3; i++ {
		r.docker("kill", r.node(i))
	}
	w, run = r.down(inputs)
	w.ends(run, engine.RunDegraded)
	if w.state(run, "fallback") != engine.OK || w.state(run, "restore") != engine.Skipped {
		t.Errorf("fallback is %s, restore %s", w.state(run, "fallback"), w.state(run, "restore"))
	}
	if n := r.keys(r.client()); n != 360 {
		t.Errorf("%d keys after the restart", n)
	}

	// A node whose file is spoiled does not come up, and comes from the archive; the others keep what they have.
	two := r.keysOf(r.node(2))
	r.docker("exec", r.node(2), "sh", "-c", "cd /data/appendonlydir && for f in *.incr.aof; do echo spoiled >> $f; done; echo spoiled > $(ls *.base.rdb)")
	r.docker("kill", r.node(2))
	r.until("the cluster is down", func() bool {
		out, _ := docker(context.Background(), r.host, "exec", r.node(1), "redis-cli", "-p", fmt.Sprint(r.port), "CLUSTER", "INFO")
		return strings.Contains(out, "cluster_state:fail")
	})
	w, run = r.down(inputs)
	w.ends(run, engine.RunDegraded)
	if w.state(run, "restore") != engine.Degraded {
		t.Errorf("restore is %s", w.state(run, "restore"))
	}
	if one, all := r.keysOf(r.node(2)), r.keys(r.client()); one >= two || all <= 300 || all >= 360 {
		t.Errorf("%d keys, %d of the node that was spoiled, which had %d", all, one, two)
	}
	if _, ok := run.Outputs()["data_at"].(time.Time); !ok {
		t.Errorf("outputs: %v", run.Outputs())
	}
}

func (r *ring) keysOf(node string) int {
	r.t.Helper()
	var n, port int
	if _, err := fmt.Sscanf(strings.TrimPrefix(node, r.name+"-"), "%d", &port); err != nil {
		r.t.Fatal(err)
	}
	if _, err := fmt.Sscanf(r.docker("exec", node, "redis-cli", "-p", fmt.Sprint(r.port+port-1), "DBSIZE"), "%d", &n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// lose makes a node fail for good, and waits until the cluster knows.
func (r *ring) lose(i int) (address string) {
	r.t.Helper()
	r.docker("rm", "-f", r.node(i))
	address = r.target.Settings["addresses"].(engine.List)[i-1].(string)
	r.until("the cluster knows", func() bool {
		out, _ := docker(context.Background(), r.host, "exec", r.node(i-1), "redis-cli", "-p", fmt.Sprint(r.port+i-2), "CLUSTER", "NODES")
		for line := range strings.Lines(out) {
			if f := strings.Fields(line); len(f) > 7 && strings.HasPrefix(f[1], address+"@") {
				return strings.Contains(f[2], "fail") && !strings.Contains(f[2], "fail?")
			}
		}
		return false
	})
	return address
}

func (r *ring) replace(i int, address string, more map[string]any) (*world, *engine.Run) {
	r.t.Helper()
	w := open(r.t, "redis-node-replace", r.engine, r.target)
	w.now, w.yes = time.Now(), true
	given := map[string]any{"failed": address, "name": r.node(i), "old": r.node(i), "volume": r.name + "-new", "image": servers.RedisImage,
		"network": r.name, "announce": r.announce, "port": r.port + i - 1}
	for k, v := range more {
		given[k] = v
	}
	r.t.Cleanup(func() {
		_, _ = docker(context.Background(), r.host, "rm", "-f", r.node(i))
		_, _ = docker(context.Background(), r.host, "volume", "rm", r.name+"-new")
	})
	return w, w.run(given)
}

// TestRedisNodeWithoutReplicaIsReplaced: its slots are gone with it, and the written procedure does not say so.
func TestRedisNodeWithoutReplicaIsReplaced(t *testing.T) {
	t.Parallel()
	r := newRing(t)
	c := r.client()
	r.fill(c, "reservation", 300)
	r.backup()
	third := r.keysOf(r.node(3))
	r.fill(c, "later", 60)
	others := r.keysOf(r.node(1)) + r.keysOf(r.node(2))
	// A node that lives is not replaced.
	w, run := r.replace(3, r.target.Settings["addresses"].(engine.List)[2].(string), map[string]any{"folder": r.folder})
	w.ends(run, engine.RunFailed)
	if w.state(run, "dead") != engine.Failed {
		t.Errorf("dead is %s", w.state(run, "dead"))
	}
	address := r.lose(3)
	w, run = r.replace(3, address, nil)
	w.ends(run, engine.RunFailed)
	if v, _ := run.StepAt("told"); v.State != engine.Failed || !strings.Contains(v.Message+v.Error, "gone with it") {
		t.Errorf("told is %s: %s %s", v.State, v.Message, v.Error)
	}
	w, run = r.replace(3, address, map[string]any{"folder": r.folder})
	w.ends(run, engine.RunOK)
	if n := r.keysOf(r.node(3)); n != third {
		t.Errorf("%d keys came back of %d", n, third)
	}
	if n := r.keys(r.client()); n != int64(others+third) {
		t.Errorf("%d keys, want %d", n, others+third)
	}
}

func TestRedisMemoryIsBounded(t *testing.T) {
	s := servers.Redis(t)
	c := s.Client()
	c.Set(t.Context(), "big", strings.Repeat("x", 2<<20), 0)
	c.Set(t.Context(), "small", "x", 0)
	target := steps.Target{Name: "cache", Type: "redis", Settings: s.Settings()}
	w := open(t, "redis-memory", target)
	w.plan(nil)
	r := w.run(map[string]any{"maxmemory": "64MiB"})
	w.ends(r, engine.RunOK)
	if got := c.ConfigGet(t.Context(), "maxmemory*").Val(); got["maxmemory"] != "67108864" || got["maxmemory-policy"] != "volatile-ttl" {
		t.Errorf("%v", got)
	}
	if r.Outputs()["big"] != int64(1) || w.state(r, "sure") != engine.Skipped {
		t.Errorf("outputs %v, sure is %s", r.Outputs(), w.state(r, "sure"))
	}
	// Below what is used: writes would fail at once, or keys be dropped.
	low := w.run(map[string]any{"maxmemory": "1MiB"})
	w.ends(low, engine.RunFailed)
	if got := c.ConfigGet(t.Context(), "maxmemory").Val(); got["maxmemory"] != "67108864" || w.state(low, "room") != engine.Failed {
		t.Errorf("%v, room is %s", got, w.state(low, "room"))
	}
	// The guide's policy drops live reservations: a person is asked.
	lru := w.run(map[string]any{"maxmemory": "64MiB", "policy": "allkeys-lru"})
	w.ends(lru, engine.Waiting)
	if got := c.ConfigGet(t.Context(), "maxmemory-policy").Val(); got["maxmemory-policy"] != "volatile-ttl" {
		t.Errorf("%v", got)
	}
}

// TestAllkeysPolicyDropsLiveReservations is the trap of the written procedure.
func TestAllkeysPolicyDropsLiveReservations(t *testing.T) {
	fill := func(policy string) (kept int64) {
		s := servers.Redis(t)
		c := s.Client()
		for i := range 200 {
			c.Set(t.Context(), fmt.Sprint("reservation:", i), "x", 0)
		}
		w := open(t, "redis-memory", steps.Target{Name: "cache", Type: "redis", Settings: s.Settings()})
		w.yes = true
		w.ends(w.run(map[string]any{"maxmemory": "4MiB", "policy": policy}), engine.RunOK)
		for i := range 2000 {
			c.Set(t.Context(), fmt.Sprint("cached:", i), strings.Repeat("x", 4096), time.Hour)
		}
		for i := range 200 {
			kept += c.Exists(t.Context(), fmt.Sprint("reservation:", i)).Val()
		}
		return kept
	}
	if n := fill("allkeys-lru"); n == 200 {
		t.Errorf("allkeys-lru kept all: the trap is none any more")
	}
	if n := fill("volatile-ttl"); n != 200 {
		t.Errorf("volatile-ttl kept %d of 200", n)
	}
}
