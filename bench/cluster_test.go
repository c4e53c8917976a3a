package bench

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// clusters: what is done on three nodes of a Redis cluster side by side.
func clusters(b *testing.B) []row {
	return append(clusterSnapshot(b), clusterSweep(b)...)
}

// clusterKeys are how many keys each node has. The slowest has more than the others together, so that two
// cores are enough to write all three side by side.
func clusterKeys() []int { return []int{2_000_000, 700_000, 700_000} }

const clusterPortion = 100_000

// clusterSnapshot: three nodes write their snapshots, beside the slowest alone, and beside one after another.
func clusterSnapshot(b *testing.B) []row {
	c := servers.RedisClusterOf(b, 3, 0, "--enable-debug-command", "yes")
	var nodes []*redis.Client
	for i, n := range clusterKeys() {
		client := c.Nodes[i].Client()
		nodes = append(nodes, client)
		// What slot a key is of is of no matter to a snapshot. A node that was busy for long would be taken for dead.
		for portion := 0; portion < n; portion += clusterPortion {
			if err := client.Do(b.Context(), "DEBUG", "POPULATE", clusterPortion, fmt.Sprint("key", portion), 100).Err(); err != nil {
				b.Fatal(err)
			}
		}
	}
	w := newWorld(b)
	w.targets = []steps.Target{{Name: "cache", Type: "cluster", Settings: c.Settings()}}
	pb := w.mustLoad(b, `  - {id: snapshot, redis: {snapshot: {}, nodes: masters}}`)
	ours := func() time.Duration { return w.must(b, pb) }
	slowest := inTurn(ours, func() time.Duration { return bareSnapshots(b, nodes[:1]) })
	all := inTurn(ours, func() time.Duration { return bareSnapshots(b, nodes) })
	return []row{
		snapshotRow("a bare BGSAVE of the largest alone", slowest, 1.2),
		snapshotRow("bare BGSAVEs of the three, one after another", all, 0.8),
	}
}

func snapshotRow(beside string, c compared, bar float64) row {
	return row{
		work: "`redis.snapshot` of three nodes with 2.0, 0.7 and 0.7 million keys", bar: fmt.Sprintf("at most %.1f x", bar),
		handrail: ms(c.ours), beside: beside + ": " + ms(c.theirs), figure: number(c.ratio), met: c.ratio <= bar,
	}
}

// bareSnapshots has nodes write their snapshots, one after another, and asks often whether they have.
func bareSnapshots(b *testing.B, nodes []*redis.Client) time.Duration {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for _, n := range nodes {
		if err := n.BgSave(b.Context()).Err(); err != nil {
			b.Fatal(err)
		}
		for saving := true; saving; <-tick.C {
			info, err := n.Info(b.Context(), "persistence").Result()
			if err != nil {
				b.Fatal(err)
			}
			saving = !strings.Contains(info, "rdb_bgsave_in_progress:0")
		}
	}
	return time.Since(began)
}

// clusterSweep: 200,000 of 1,000,000 keys on three masters, beside a loop that checks nothing and goes over the
// masters side by side, and beside one that goes over one after another.
func clusterSweep(b *testing.B) []row {
	c := servers.RedisClusterOf(b, 3, 0)
	client := c.Client()
	fillCluster(b, client, "other", sweepAll-sweepStale)
	w := newWorld(b)
	w.targets = []steps.Target{{Name: "cache", Type: "cluster", Settings: c.Settings()}}
	pb := w.mustLoad(b, `  - {id: sweep, redis: {sweep: {match: "reservation:*", where: ttl == -1, action: unlink}, nodes: masters}}`)
	masters := make([]*redis.Client, len(c.Nodes))
	for i, s := range c.Nodes {
		masters[i] = s.Client()
	}
	filled := func(sweep func() time.Duration) func() time.Duration {
		return func() time.Duration {
			fillCluster(b, client, "reservation", sweepStale)
			took := sweep()
			if n, err := client.DBSize(b.Context()).Result(); err != nil || n != sweepAll-sweepStale {
				b.Fatalf("%d keys are left, %v", n, err)
			}
			return took
		}
	}
	ours := filled(func() time.Duration { return w.must(b, pb) })
	beside := inTurn(ours, filled(func() time.Duration {
		began := time.Now()
		var all sync.WaitGroup
		for _, m := range masters {
			all.Go(func() { scanAndUnlink(b, m) })
		}
		all.Wait()
		return time.Since(began)
	}))
	behind := inTurn(ours, filled(func() time.Duration {
		began := time.Now()
		for _, m := range masters {
			scanAndUnlink(b, m)
		}
		return time.Since(began)
	}))
	const work = "`reservation-sweep`, 200,000 of 1,000,000 keys on three masters"
	return []row{
		rateRow(work, "bare pipelined SCAN and UNLINK on the masters side by side, which checks nothing", beside, 0.8),
		rateRow(work, "the same, one master after another", behind, 1.2),
	}
}

// fillCluster writes keys <prefix>:0 to <prefix>:n-1, each on its node.
func fillCluster(b *testing.B, c *redis.ClusterClient, prefix string, n int) {
	b.Helper()
	const portion = 20_000
	for from := 0; from < n; from += portion {
		_, err := c.Pipelined(b.Context(), func(p redis.Pipeliner) error {
			for i := from; i < min(from+portion, n); i++ {
				p.Set(b.Context(), prefix+":"+strconv.Itoa(i), "value:"+strconv.Itoa(i), 0)
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// scanAndUnlink removes the reservations of one server.
func scanAndUnlink(b *testing.B, c *redis.Client) {
	ctx := context.Background()
	for cursor := uint64(0); ; {
		keys, next, err := c.Scan(ctx, cursor, "reservation:*", 1000).Result()
		if err == nil && len(keys) > 0 {
			_, err = c.Pipelined(ctx, func(p redis.Pipeliner) error {
				for _, k := range keys {
					p.Unlink(ctx, k)
				}
				return nil
			})
		}
		if err != nil {
			b.Error(err)
			return
		}
		if cursor = next; cursor == 0 {
			return
		}
	}
}
