package servers

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-dev/handrail/engine"
)

// RedisCluster is a set of redis-servers that are, or can become, a cluster.
type RedisCluster struct {
	Nodes []*RedisServer

	t testing.TB
}

// RedisNodes starts servers that may form a cluster and know nothing of each other yet.
func RedisNodes(t testing.TB, n int, args ...string) *RedisCluster {
	t.Helper()
	c := &RedisCluster{t: t}
	for range n {
		c.Nodes = append(c.Nodes, RedisNode(t, args...))
	}
	return c
}

// RedisNode starts one more of them.
func RedisNode(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	return startRedis(t, func(int) []string {
		// The usual port of the bus, 10000 more, may not exist or be taken.
		return append([]string{"--cluster-enabled", "yes", "--cluster-node-timeout", "5000", "--cluster-port", strconv.Itoa(freePort(t)),
			"--repl-diskless-sync-delay", "0"}, args...)
	})
}

// RedisClusterOf starts a cluster: the slots in equal parts on the masters, each with replicas behind it.
func RedisClusterOf(t testing.TB, masters, replicas int, args ...string) *RedisCluster {
	t.Helper()
	c := RedisNodes(t, masters*(replicas+1), args...)
	ctx := t.Context()
	first := c.Nodes[0].ask()
	for i, s := range c.Nodes[:masters] {
		must(t, s.ask().Do(ctx, "CLUSTER", "ADDSLOTSRANGE", i*16384/masters, (i+1)*16384/masters-1))
		must(t, s.ask().Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1))
	}
	for _, s := range c.Nodes[1:] {
		c.meet(first, s)
	}
	c.Until("the nodes know each other", func() bool {
		for _, s := range c.Nodes {
			text := s.ask().Do(ctx, "CLUSTER", "NODES").String()
			if strings.Count(text, " connected") != len(c.Nodes) || strings.Contains(text, "handshake") {
				return false
			}
		}
		return true
	})
	for i, s := range c.Nodes[masters:] {
		must(t, s.ask().Do(ctx, "CLUSTER", "REPLICATE", c.ID(i%masters)))
	}
	c.Until("the cluster is whole", c.Whole)
	c.Until("every node sees the replicas as such", func() bool {
		for _, s := range c.Nodes {
			text := fmt.Sprint(s.ask().Do(ctx, "CLUSTER", "NODES").Val())
			if strings.Count(text, "slave ") != masters*replicas {
				return false
			}
		}
		return true
	})
	c.Until("the replicas follow", func() bool {
		for _, s := range c.Nodes[masters:] {
			if !strings.Contains(s.ask().Info(ctx, "replication").Val(), "master_link_status:up") {
				return false
			}
		}
		return true
	})
	return c
}

func must(t testing.TB, cmd *redis.Cmd) {
	t.Helper()
	if err := cmd.Err(); err != nil {
		t.Fatal(cmd.Args(), err)
	}
}

func (c *RedisCluster) meet(from *redis.Client, s *RedisServer) {
	c.t.Helper()
	host, port, _ := net.SplitHostPort(s.Addr)
	// The port of the bus stands in what a node says of itself: :7001@17001.
	_, rest, _ := strings.Cut(fmt.Sprint(s.ask().Do(c.t.Context(), "CLUSTER", "NODES").Val()), "@")
	bus, _, _ := strings.Cut(rest, " ")
	bus, _, _ = strings.Cut(bus, ",")
	must(c.t, from.Do(c.t.Context(), "CLUSTER", "MEET", host, port, bus))
}

// ID is the id of a node.
func (c *RedisCluster) ID(i int) string {
	c.t.Helper()
	id, err := c.Nodes[i].ask().Do(c.t.Context(), "CLUSTER", "MYID").Text()
	if err != nil {
		c.t.Fatal(err)
	}
	return id
}

// Whole: every node that lives says so.
func (c *RedisCluster) Whole() bool {
	for _, s := range c.Nodes {
		text, err := s.ask().ClusterInfo(c.t.Context()).Result()
		if err == nil && (!strings.Contains(text, "cluster_state:ok") || !strings.Contains(text, "cluster_slots_ok:16384")) {
			return false
		}
	}
	return true
}

// Until waits, as long as a start may take.
func (c *RedisCluster) Until(what string, holds func() bool) {
	c.t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), 2*startLimit)
	defer stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			for i, s := range c.Nodes {
				c.t.Logf("%d %s: %v", i, s.Addr, s.ask().Do(context.Background(), "CLUSTER", "NODES"))
			}
			c.t.Fatalf("%s: did not come about", what)
		case <-tick.C:
		}
	}
}

// Addresses of the nodes.
func (c *RedisCluster) Addresses() engine.List {
	var out engine.List
	for _, s := range c.Nodes {
		out = append(out, s.Addr)
	}
	return out
}

// Settings are those of a `cluster` target.
func (c *RedisCluster) Settings() engine.Record { return engine.Record{"addresses": c.Addresses()} }

// Client is a plain connection to the cluster.
func (c *RedisCluster) Client() *redis.ClusterClient {
	var addrs []string
	for _, s := range c.Nodes {
		addrs = append(addrs, s.Addr)
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	c.t.Cleanup(func() { _ = client.Close() })
	return client
}

// RedisSentinels is a master with replicas, and sentinels that watch it under the name mymaster.
type RedisSentinels struct {
	Master    *RedisServer
	Replicas  []*RedisServer
	Sentinels []*RedisServer
}

// RedisWatched starts a master, replicas, and three sentinels of which two must agree that it is down.
func RedisWatched(t testing.TB, replicas int, args ...string) *RedisSentinels {
	t.Helper()
	s := &RedisSentinels{Master: Redis(t, args...)}
	host, port, _ := net.SplitHostPort(s.Master.Addr)
	for range replicas {
		s.Replicas = append(s.Replicas, Redis(t, append([]string{"--replicaof", host + " " + port, "--repl-diskless-sync-delay", "0"}, args...)...))
	}
	dir := folder(t, "hrs")
	for i := range 3 {
		file := filepath.Join(dir, fmt.Sprintf("sentinel-%d.conf", i))
		config := fmt.Sprintf("dir %s\nsentinel monitor mymaster %s %s 2\nsentinel down-after-milliseconds mymaster 3000\nsentinel failover-timeout mymaster 10000\n", dir, host, port)
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		s.Sentinels = append(s.Sentinels, startRedis(t, func(int) []string { return []string{file, "--sentinel"} }))
	}
	nodes := &RedisCluster{t: t, Nodes: s.Sentinels}
	nodes.Until("the sentinels know each other and the replicas", func() bool {
		for _, n := range s.Sentinels {
			text := n.ask().Info(t.Context(), "sentinel").Val()
			if !strings.Contains(text, fmt.Sprintf("status=ok,address=%s,slaves=%d,sentinels=3", s.Master.Addr, replicas)) {
				return false
			}
		}
		return true
	})
	return s
}

// Settings are those of a `sentinel` target.
func (s *RedisSentinels) Settings() engine.Record {
	var addresses engine.List
	for _, n := range s.Sentinels {
		addresses = append(addresses, n.Addr)
	}
	return engine.Record{"addresses": addresses, "master": "mymaster"}
}
