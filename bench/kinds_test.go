package bench

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sys/unix"

	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// reads: 1,000 steps that read, beside a bare loop over the same driver.
func reads(b *testing.B) []row {
	const n = 1000
	database, cache := servers.MySQL(b), servers.Redis(b)
	w := newWorld(b)
	w.targets = []steps.Target{
		{Name: "db", Type: "mysql", Settings: database},
		{Name: "cache", Type: "redis", Settings: cache.Settings()},
	}
	selects := w.mustLoad(b, repeated(n, `sql: {query: SELECT 1}`))
	pings := w.mustLoad(b, repeated(n, `redis: {do: [PING]}`))
	db, client := servers.Open(b, database), cache.Client()
	return []row{
		ratioRow("1,000 times `SELECT 1`", n, inTurn(
			func() time.Duration { return w.must(b, selects) },
			func() time.Duration { return bareSelects(b, db, n) }), 3, "bare loop over the same driver"),
		ratioRow("1,000 times `PING`", n, inTurn(
			func() time.Duration { return w.must(b, pings) },
			func() time.Duration { return barePings(b, client, n) }), 3, "bare loop over the same driver"),
	}
}

func bareSelects(b *testing.B, db *sql.DB, n int) time.Duration {
	conn, err := db.Conn(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	began := time.Now()
	for range n {
		var one int
		if err := conn.QueryRowContext(b.Context(), "SELECT 1").Scan(&one); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(began)
}

func barePings(b *testing.B, c *redis.Client, n int) time.Duration {
	if err := c.Ping(b.Context()).Err(); err != nil { // the connection is open
		b.Fatal(err)
	}
	began := time.Now()
	for range n {
		if err := c.Ping(b.Context()).Err(); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(began)
}

// execs: 1,000 times /bin/true, beside a bare exec and one sync.
func execs(b *testing.B) []row {
	const n = 1000
	w := newWorld(b)
	pb := w.mustLoad(b, repeated(n, `exec: {argv: [/bin/true]}`))
	return []row{ratioRow("1,000 times `/bin/true`", n, inTurn(
		func() time.Duration { return w.must(b, pb) },
		func() time.Duration { return bareExecs(b, n) }), 1.2, "bare Go exec + one sync")}
}

func bareExecs(b *testing.B, n int) time.Duration {
	f, err := os.OpenFile(filepath.Join(b.TempDir(), "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	began := time.Now()
	for i := range n {
		if err := exec.Command("/bin/true").Run(); err != nil {
			b.Fatal(err)
		}
		if _, err := fmt.Fprintf(f, "step %d has ended well\n", i); err != nil {
			b.Fatal(err)
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(began)
}

func number(ratio float64) string { return fmt.Sprintf("%.2f x", ratio) }
