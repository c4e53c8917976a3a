package redis_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

func creating(replicas int64) engine.Call {
	return call("cluster_create", engine.Record{"cluster_create": engine.Record{"replicas": replicas}})
}

func checking() engine.Call {
	return call("cluster_check", engine.Record{"cluster_check": engine.Record{}})
}

// nodesWorld is a target on nodes that are no cluster yet.
func nodesWorld(t *testing.T, n int) (*world, *servers.RedisCluster) {
	t.Helper()
	c := servers.RedisNodes(t, n)
	return &world{t: t, target: clusterTarget(c.Settings())}, c
}

func TestClusterIsFormedOnce(t *testing.T) {
	w, c := nodesWorld(t, 6)
	im := w.preview(creating(1))
	if im.Standing != engine.StandingWould || len(im.Facts) != 6 {
		t.Errorf("%+v", im)
	}
	has(t, fmt.Sprint(im.Facts), "slots 0-5460", "replica of "+c.Nodes[0].Addr)
	if o := w.execute(checking()); o.Grade != engine.GradeFailed {
		t.Errorf("before: %+v", o)
	}
	r := succeeded(t, w.execute(creating(1)))
	if r["created"] != true || r["masters"] != int64(3) || r["replicas"] != int64(3) {
		t.Errorf("%v", r)
	}
	// Every node says so itself, at once.
	for _, s := range c.Nodes {
		has(t, s.Client().ClusterInfo(t.Context()).Val(), "cluster_state:ok", "cluster_slots_ok:16384", "cluster_known_nodes:6", "cluster_size:3")
	}
	o := w.execute(call("cluster_check", engine.Record{"cluster_check": engine.Record{"replicas": int64(1)}}))
	if o.Err != "" || o.Grade != engine.GradeOK || o.Result["state"] != "ok" || o.Result["slots"] != int64(16384) {
		t.Errorf("%+v", o)
	}
	// A formed cluster with data in it is left alone.
	succeeded(t, w.execute(call("do", do("SET", "a", "1"))))
	before := layoutOf(t, c)
	if im := w.preview(creating(1)); im.Standing != engine.StandingAlready {
		t.Errorf("%+v", im)
	}
	if r := succeeded(t, w.execute(creating(1))); r["created"] != false {
		t.Errorf("%v", r)
	}
	if now := layoutOf(t, c); now != before {
		t.Errorf("changed from\n%s\nto\n%s", before, now)
	}
}

// layoutOf is who has what, as the first node says.
func layoutOf(t *testing.T, c *servers.RedisCluster) string {
	t.Helper()
	var lines []string
	for _, line := range strings.Split(fmt.Sprint(c.Nodes[0].Client().Do(t.Context(), "CLUSTER", "NODES").Val()), "\n") {
		if f := strings.Fields(line); len(f) > 7 {
			lines = append(lines, f[0]+" "+f[3]+" "+strings.Join(f[8:], " "))
		}
	}
	return strings.Join(lines, "\n")
}

// Wherever the one before was cut off, the next attempt goes on from there.
func TestHalfFormedClusterIsCompleted(t *testing.T) {
	for name, half := range map[string]func(*testing.T, *servers.RedisCluster){
		"some slots": func(t *testing.T, c *servers.RedisCluster) {
			c.Nodes[1].Client().Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 5461, 6000)
		},
		"all slots, nobody met": func(t *testing.T, c *servers.RedisCluster) {
			for i, r := range [][2]int{{0, 5460}, {5461, 10921}, {10922, 16383}} {
				c.Nodes[i].Client().Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", r[0], r[1])
			}
		},
		"two have met, no slots": func(t *testing.T, c *servers.RedisCluster) {
			introduced(t, c, 0, 1)
		},
		"cut off in the middle": func(t *testing.T, c *servers.RedisCluster) {
			ctx, stop := context.WithCancel(t.Context())
			w := &world{t: t, target: clusterTarget(c.Settings())}
			done := make(chan engine.Outcome, 1)
			go func() { done <- w.executeIn(ctx, creating(0), false) }()
			eventually(t, "it has begun", func() bool {
				return strings.Contains(c.Nodes[0].Client().ClusterInfo(t.Context()).Val(), "cluster_slots_assigned:5461")
			})
			stop()
			<-done
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, c := nodesWorld(t, 3)
			half(t, c)
			if r := succeeded(t, w.executeIn(t.Context(), creating(0), true)); r["masters"] != int64(3) {
				t.Errorf("%v", r)
			}
			if !c.Whole() {
				t.Error("the cluster is not whole")
			}
		})
	}
}

func introduced(t *testing.T, c *servers.RedisCluster, a, b int) {
	t.Helper()
	host, port, _ := net.SplitHostPort(c.Nodes[b].Addr)
	_, bus, _ := strings.Cut(strings.Fields(fmt.Sprint(c.Nodes[b].Client().Do(t.Context(), "CLUSTER", "NODES").Val()))[1], "@")
	if err := c.Nodes[a].Client().Do(t.Context(), "CLUSTER", "MEET", host, port, bus).Err(); err != nil {
		t.Fatal(err)
	}
	c.Until("they know each other", func() bool {
		for _, i := range []int{a, b} {
			if !strings.Contains(c.Nodes[i].Client().ClusterInfo(t.Context()).Val(), "cluster_known_nodes:2") {
				return false
			}
		}
		return true
	})
}

func TestClusterIsNotFormedOfWhatIsInUse(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*testing.T, *servers.RedisCluster)
		says    string
	}{
		"keys": {func(t *testing.T, c *servers.RedisCluster) {
			n := c.Nodes[1].Client()
			n.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 0, 16383)
			c.Until("it takes keys", func() bool { return n.Set(t.Context(), "a", "1", 0).Err() == nil })
			n.Do(t.Context(), "CLUSTER", "DELSLOTSRANGE", 0, 16383)
		}, "holds 1 keys"},
		"slots of another": {func(t *testing.T, c *servers.RedisCluster) {
			c.Nodes[1].Client().Do(t.Context(), "CLUSTER", "ADDSLOTS", 5)
		}, "has the slots 5, and is to have 5461-10921"},
		"a stranger": {func(t *testing.T, c *servers.RedisCluster) {
			c.Nodes = append(c.Nodes, servers.RedisNode(t))
			introduced(t, c, 2, 3)
		}, "which is none of those named"},
	} {
		t.Run(name, func(t *testing.T) {
			w, cluster := nodesWorld(t, 3)
			c.prepare(t, cluster)
			failed(t, w.execute(creating(0)), "cannot be formed", c.says, "nothing was changed")
			if im := w.preview(creating(0)); im.Standing != engine.StandingUnknown {
				t.Errorf("%+v", im)
			}
			if text := cluster.Nodes[0].Client().ClusterInfo(t.Context()).Val(); !strings.Contains(text, "cluster_slots_assigned:0") {
				t.Error("something was changed")
			}
		})
	}
	w, c := nodesWorld(t, 3)
	failed(t, w.execute(creating(1)), "at least 3 masters")
	w.target = clusterTarget(engine.Record{"addresses": words(c.Nodes[0].Addr, c.Nodes[0].Addr, c.Nodes[1].Addr)})
	failed(t, w.execute(creating(0)), "are the same node")
	plain := servers.Redis(t)
	w.target = clusterTarget(engine.Record{"addresses": words(plain.Addr)})
	failed(t, w.execute(checking()), "no node of a cluster", "cluster-enabled")
	w.target = targetOf(plain.Settings())
	failed(t, w.execute(checking()), "no cluster")
}

func TestNodesJoinFollowAndLeave(t *testing.T) {
	w, c, _ := clusterWorld(t, 3, 0)
	spare := servers.RedisNode(t)
	meeting := call("cluster_meet", engine.Record{"cluster_meet": spare.Addr})
	following := call("cluster_replicate", engine.Record{"cluster_replicate": spare.Addr, "of": c.Nodes[0].Addr})
	forgetting := call("cluster_forget", engine.Record{"cluster_forget": spare.Addr})

	failed(t, w.execute(following), "has no node "+spare.Addr)
	if r := succeeded(t, w.execute(forgetting)); r["changed"] != false {
		t.Errorf("%v", r)
	}
	// Who is not empty does not join.
	other := servers.RedisClusterOf(t, 3, 0)
	failed(t, w.execute(call("cluster_meet", engine.Record{"cluster_meet": other.Nodes[0].Addr})), "has slots")

	for _, want := range []bool{true, false} {
		if r := succeeded(t, w.execute(meeting)); r["changed"] != want {
			t.Errorf("%v", r)
		}
	}
	for _, s := range c.Nodes {
		has(t, s.Client().ClusterInfo(t.Context()).Val(), "cluster_known_nodes:4")
	}
	for _, want := range []bool{true, false} {
		if r := succeeded(t, w.execute(following)); r["changed"] != want {
			t.Errorf("%v", r)
		}
	}
	has(t, spare.Client().Info(t.Context(), "replication").Val(), "role:slave", "master_link_status:up")
	failed(t, w.execute(call("cluster_replicate", engine.Record{"cluster_replicate": c.Nodes[1].Addr, "of": c.Nodes[0].Addr})), "has slots", "move them first")
	failed(t, w.execute(call("cluster_replicate", engine.Record{"cluster_replicate": c.Nodes[1].Addr, "of": spare.Addr})), "is a replica itself")
	failed(t, w.execute(call("cluster_forget", engine.Record{"cluster_forget": c.Nodes[0].Addr})), "has the slots 0-5460")

	// Killed when the node that is asked first had forgotten it, and the others had not.
	if err := c.Nodes[0].Client().ClusterForget(t.Context(), spare.Client().ClusterMyID(t.Context()).Val()).Err(); err != nil {
		t.Fatal(err)
	}
	if im := w.preview(forgetting); im.Standing != engine.StandingWould || !strings.Contains(fmt.Sprint(im.Facts), "alive") {
		t.Errorf("%+v", im)
	}
	for _, want := range []bool{true, false} {
		if r := succeeded(t, w.execute(forgetting)); r["changed"] != want {
			t.Errorf("%v", r)
		}
	}
	for _, s := range c.Nodes {
		has(t, s.Client().ClusterInfo(t.Context()).Val(), "cluster_known_nodes:3")
	}
	has(t, spare.Client().ClusterInfo(t.Context()).Val(), "cluster_known_nodes:1")
	// In a dry-run nothing of this is begun.
	for _, c := range []engine.Call{meeting, following, forgetting, creating(0)} {
		o := w.decode(c).Execute(t.Context(), w.env(c, steps.ReadOnly))
		failed(t, o, "dry-run")
	}
}
