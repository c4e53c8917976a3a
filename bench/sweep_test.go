package bench

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

const (
	sweepAll   = 1_000_000
	sweepStale = 200_000
)

// sweep: 200,000 of 1,000,000 keys, each time to live checked in the script that removes it, beside
// two programs that check nothing.
func sweep(b *testing.B) []row {
	server := servers.Redis(b, "--enable-debug-command", "yes")
	c := server.Client()
	w := newWorld(b)
	w.targets = []steps.Target{{Name: "cache", Type: "redis", Settings: server.Settings()}}
	pb := w.mustLoad(b, `  - {id: sweep, redis: {sweep: {match: "reservation:*", where: ttl == -1, action: unlink}}, expect: swept == found}`)
	ours := func() time.Duration { fill(b, c); return w.must(b, pb) }
	shell := inTurn(ours, func() time.Duration { fill(b, c); return shellSweep(b, server.Addr) })
	loop := inTurn(ours, func() time.Duration { fill(b, c); return bareSweep(b, c) })
	const work = "`reservation-sweep`, 200,000 of 1,000,000 keys"
	return []row{
		rateRow(work, "`redis-cli --scan \\| xargs redis-cli UNLINK`, which checks nothing", shell, 5),
		rateRow(work, "bare pipelined SCAN and UNLINK, which checks nothing", loop, 0.8),
	}
}

func rateRow(work, beside string, c compared, bar float64) row {
	return row{
		work: work, bar: fmt.Sprintf("at least %.1f x as fast", bar),
		handrail: rate(c.ours), beside: beside + ": " + rate(c.theirs), figure: number(1 / c.ratio), met: 1/c.ratio >= bar,
	}
}

func rate(d time.Duration) string {
	return fmt.Sprintf("%.0f keys/s", sweepStale/d.Seconds())
}

// fill makes a million keys: 200,000 reservations and 800,000 others.
func fill(b *testing.B, c *redis.Client) {
	ctx := b.Context()
	for _, argv := range [][]any{
		{"FLUSHALL"},
		{"DEBUG", "POPULATE", sweepAll - sweepStale, "other"},
		{"DEBUG", "POPULATE", sweepStale, "reservation"},
	} {
		if err := c.Do(ctx, argv...).Err(); err != nil {
			b.Fatal(err)
		}
	}
}

func left(b *testing.B, c *redis.Client) {
	if n := c.DBSize(b.Context()).Val(); n != sweepAll-sweepStale {
		b.Fatalf("%d keys are left", n)
	}
}

func shellSweep(b *testing.B, addr string) time.Duration {
	port := addr[strings.LastIndex(addr, ":")+1:]
	began := time.Now()
	cmd := exec.Command("sh", "-c", fmt.Sprintf("redis-cli -p %s --scan --pattern 'reservation:*' | xargs redis-cli -p %s UNLINK >/dev/null", port, port))
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return time.Since(began)
}

func bareSweep(b *testing.B, c *redis.Client) time.Duration {
	began := time.Now()
	scanAndUnlink(b, c)
	took := time.Since(began)
	left(b, c)
	return took
}
