package playbooks_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// docker runs the command line tool on the test engine.
func docker(ctx context.Context, host string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "docker", append([]string{"-H", host}, args...)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// rows has the ports that tests have been given: a node that is replaced leaves its port free for a while.
var rows struct {
	sync.Mutex
	given map[int]bool
}

// portsFor finds a row of free ports, each with the one of the cluster's bus. All are below 32768, where Linux begins to
// take ports for outgoing connections, of which one could come between a node and the one that takes its place.
func portsFor(t *testing.T, host string, count int) int {
	t.Helper()
	rows.Lock()
	defer rows.Unlock()
	for range 1000 {
		first := 10000 + rand.IntN(32768-20000-count)
		var row []int
		for i := range count {
			row = append(row, first+i, first+i+10000)
		}
		if slices.ContainsFunc(row, func(port int) bool { return rows.given[port] || !isFree(host, port) }) {
			continue
		}
		if rows.given == nil {
			rows.given = map[int]bool{}
		}
		for _, port := range row {
			rows.given[port] = true
		}
		return first
	}
	t.Fatal("no row of free ports")
	return 0
}

func isFree(host string, port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return false
	}
	_ = l.Close()
	return true
}

// ground is a network of a test's own on the Docker engine, and what stands on it.
type ground struct {
	engine               steps.Target
	host, name, announce string
	port                 int
}

func newGround(t *testing.T, nodes int) *ground {
	t.Helper()
	settings := servers.Docker(t)
	g := &ground{engine: steps.Target{Name: "engine", Type: "docker", Settings: settings}, host: settings["host"].(string),
		name: fmt.Sprintf("hr-redis-%08x", rand.Uint32())}
	if out, err := docker(t.Context(), g.host, "network", "create", g.name); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), time.Minute)
		defer stop()
		for i := 1; i <= nodes; i++ {
			_, _ = docker(ctx, g.host, "rm", "-f", fmt.Sprintf("%s-%d", g.name, i))
			_, _ = docker(ctx, g.host, "volume", "rm", fmt.Sprintf("%s-%d-data", g.name, i))
		}
		_, _ = docker(ctx, g.host, "network", "rm", g.name)
	})
	var err error
	if g.announce, err = docker(t.Context(), g.host, "network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", g.name); err != nil {
		t.Fatalf("%v: %s", err, g.announce)
	}
	g.port = portsFor(t, g.announce, nodes)
	return g
}

func (g *ground) cluster(nodes int) steps.Target {
	var addresses engine.List
	for i := range nodes {
		addresses = append(addresses, net.JoinHostPort(g.announce, strconv.Itoa(g.port+i)))
	}
	return steps.Target{Name: "cache", Type: "cluster", Settings: engine.Record{"addresses": addresses}}
}

func (g *ground) inputs() map[string]any {
	return map[string]any{"name": g.name, "image": servers.RedisImage, "pull": "never", "network": g.name, "announce": g.announce, "port": g.port}
}

func TestRedisClusterIsCreatedInContainersOnce(t *testing.T) {
	t.Parallel()
	g := newGround(t, 3)
	target := g.cluster(3)
	w := open(t, "redis-cluster-create", g.engine, target)
	plan := w.plan(g.inputs())
	if s := line(t, plan, "formed"); s.Standing != engine.StandingUnknown && s.Standing != engine.StandingWould {
		t.Errorf("%+v", s)
	}
	if out, _ := docker(t.Context(), g.host, "ps", "-aq", "--filter", "name="+g.name); out != "" {
		t.Errorf("the plan started %s", out)
	}
	r := w.run(g.inputs())
	w.ends(r, engine.RunOK)
	if got := engine.Text(r.Outputs()); got != "{created: true, masters: 3, replicas: 0}" {
		t.Errorf("outputs: %s", got)
	}
	addresses := target.Settings["addresses"].(engine.List)
	c := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{addresses[0].(string)}})
	defer c.Close()
	for i := range 100 {
		if err := c.Set(t.Context(), fmt.Sprintf("reservation:%d", i), "x", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	before, err := c.ClusterNodes(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	// A second run leaves the cluster alone.
	again := w.run(g.inputs())
	w.ends(again, engine.RunOK)
	if got := engine.Text(again.Outputs()); got != "{created: false, masters: 3, replicas: 0}" {
		t.Errorf("outputs: %s", got)
	}
	after, err := c.ClusterNodes(t.Context()).Result()
	if err != nil || strings.Count(after, "connected") != strings.Count(before, "connected") {
		t.Errorf("%v\n%s\n%s", err, before, after)
	}
	if n := c.DBSize(t.Context()).Val(); n != 100 {
		t.Errorf("%d keys", n)
	}
	health := open(t, "redis-cluster-health", target)
	health.ends(health.run(nil), engine.RunOK)
	// The next playbook sweeps it: the same as on a single server.
	sweep := open(t, "reservation-sweep", target)
	swept := sweep.run(nil)
	sweep.ends(swept, engine.RunOK)
	if got := engine.Text(swept.Outputs()); got != "{swept: 100}" {
		t.Errorf("outputs: %s", got)
	}
}

func TestReservationSweepOnACluster(t *testing.T) {
	cluster := servers.RedisClusterOf(t, 3, 0)
	c := cluster.Client()
	p := c.Pipeline()
	for i := range 3000 {
		p.Set(t.Context(), "reservation:stale:"+strconv.Itoa(i), "x", 0)
	}
	for i := range 100 {
		p.Set(t.Context(), "reservation:live:"+strconv.Itoa(i), "x", time.Hour)
	}
	p.Set(t.Context(), "other", "x", 0)
	if _, err := p.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := open(t, "reservation-sweep", steps.Target{Name: "cache", Type: "cluster", Settings: cluster.Settings()})
	s := line(t, w.plan(nil), "sweep")
	if len(s.Figures) == 0 || s.Figures[0].Value != 3000 || s.Figures[0].Certainty != engine.FigureExact || len(s.Facts) < 3 {
		t.Errorf("the plan says %+v, %+v", s.Figures, s.Facts)
	}
	if n := c.DBSize(t.Context()).Val(); n != 3101 {
		t.Fatalf("the plan left %d keys", n)
	}
	r := w.run(nil)
	w.ends(r, engine.RunOK)
	if got := engine.Text(r.Outputs()); got != "{swept: 3000}" {
		t.Errorf("outputs: %s", got)
	}
	if n := c.DBSize(t.Context()).Val(); n != 101 {
		t.Errorf("%d keys are left", n)
	}
	w.ends(w.run(nil), engine.RunOK)
}

func TestRedisClusterHealthIsGraded(t *testing.T) {
	cluster := servers.RedisClusterOf(t, 3, 1)
	target := steps.Target{Name: "cache", Type: "cluster", Settings: cluster.Settings()}
	w := open(t, "redis-cluster-health", target)
	w.ends(w.run(map[string]any{"replicas": 1}), engine.RunOK)
	w.plan(nil)
	cluster.Nodes[3].Kill() // a replica
	w.ends(w.run(map[string]any{"replicas": 1}), engine.RunDegraded)
	for _, s := range cluster.Nodes[:3] {
		if err := s.Client().ConfigSet(t.Context(), "maxmemory", "3mb").Err(); err != nil {
			t.Fatal(err)
		}
	}
	w.ends(w.run(map[string]any{"warn": 0.01, "full": 1.0}), engine.RunDegraded)
	w.ends(w.run(map[string]any{"warn": 0.01, "full": 0.02}), engine.RunFailed)
	cluster.Nodes[0].Kill() // its master
	w.ends(w.run(nil), engine.RunFailed)
}

func TestRedisReplicationStatusIsGraded(t *testing.T) {
	s := servers.RedisWatched(t, 2)
	behind := steps.Target{Name: "cache", Type: "sentinel", Settings: s.Settings()}
	plain := steps.Target{Name: "cache", Type: "redis", Settings: s.Master.Settings()}
	graded := func(want engine.RunState) {
		t.Helper()
		for _, target := range []steps.Target{behind, plain} {
			w := open(t, "redis-replication-status", target)
			r := w.run(nil)
			w.ends(r, want)
			if want != engine.RunFailed && engine.Text(r.Outputs()) != "{masters: ["+s.Master.Addr+"]}" {
				t.Errorf("outputs: %s", engine.Text(r.Outputs()))
			}
		}
	}
	online := func(want int) {
		t.Helper()
		deadline := time.Now().Add(time.Minute)
		for strings.Count(s.Master.Client().Info(t.Context(), "replication").Val(), "state=online") != want {
			if time.Now().After(deadline) {
				t.Fatalf("never %d replicas", want)
			}
			tick(t)
		}
	}
	online(2)
	graded(engine.RunOK)
	s.Replicas[0].Kill()
	online(1)
	graded(engine.RunDegraded)
	s.Replicas[1].Kill()
	online(0)
	graded(engine.RunFailed)
	// A replica is no master.
	w := open(t, "redis-replication-status", steps.Target{Name: "cache", Type: "redis", Settings: servers.Redis(t, "--replicaof", "127.0.0.1 1").Settings()})
	w.ends(w.run(nil), engine.RunFailed)
}

// tick is a moment between two looks.
func tick(t *testing.T) {
	t.Helper()
	timer := time.NewTimer(50 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}
