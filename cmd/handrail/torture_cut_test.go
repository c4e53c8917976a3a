package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"maps"
	"net"
	"strconv"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/internal/torture"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// cutting is a playbook with one effect on one server, with a proxy in front of that server.
type cutting struct {
	g      *ground
	cutter *torture.Cutter
	// awayEvery: how often the server stays out of reach AFTER the cut; otherwise it can be reached again at once.
	awayEvery int
	// count asks the server itself how often the effect of a run happened.
	count func(key string) int
}

// TestConnectionsCutAfterEveryByte cuts the connection to a database after byte N, one way and the other, then
// lets it be, resumes the run until it is done, and asks the database how often the effect happened.
func TestConnectionsCutAfterEveryByte(t *testing.T) {
	t.Parallel()
	t.Run("mysql", func(t *testing.T) { mysqlCutting(t).everyByte(t) })
	t.Run("postgres", func(t *testing.T) { postgresCutting(t).everyByte(t) })
	t.Run("redis", func(t *testing.T) { redisCutting(t).everyByte(t) })
	t.Run("redis behind sentinels", func(t *testing.T) { watchedCutting(t, false).everyByte(t) })
	t.Run("a sentinel", func(t *testing.T) { watchedCutting(t, true).everyByte(t) })
}

func mysqlCutting(t *testing.T) *cutting {
	settings := servers.MySQL(t)
	return sqlCutting(t, "mysql", settings, servers.Open(t, settings))
}

func postgresCutting(t *testing.T) *cutting {
	settings := servers.Postgres(t)
	c := sqlCutting(t, "postgres", settings, servers.OpenPostgres(t, settings))
	// A COMMIT takes many bytes here, and each time that one is cut in two and the server stays away, the engine
	// goes on asking it for half a minute.
	c.awayEvery = torture.Times(t, 10, 10, 2)
	return c
}

// sqlCutting is a transaction on a database; db goes around the proxy.
func sqlCutting(t *testing.T, kind string, settings engine.Record, db *sql.DB) *cutting {
	t.Helper()
	g := newGround(t)
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE ledger (k VARCHAR(64))"); err != nil {
		t.Fatal(err)
	}
	c := &cutting{g: g, cutter: torture.NewCutter(t, engine.Text(settings["address"])), awayEvery: 2}
	behind := maps.Clone(settings)
	behind["address"] = c.cutter.Addr
	g.target("db", kind, behind)
	g.playbook("once", `inputs: {key: {type: string, description: the effect}}
targets: {db: `+kind+`}
steps:
  - id: put
    sql: {args: {k: "${{ inputs.key }}"}, transaction: [{exec: "INSERT INTO ledger (k) VALUES (:k)", expect: affected == 1}]}
`)
	c.count = func(key string) (n int) {
		if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM ledger WHERE k = '"+key+"'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	return c
}

func redisCutting(t *testing.T) *cutting {
	s := servers.Redis(t)
	cutter := torture.NewCutter(t, s.Addr)
	return keysCutting(t, cutter, s, "redis", engine.Record{"address": cutter.Addr, "timeout": "2s"})
}

// keysCutting is a transaction on a Redis server; the test goes around the proxy.
func keysCutting(t *testing.T, cutter *torture.Cutter, s *servers.RedisServer, kind string, settings engine.Record) *cutting {
	t.Helper()
	g := newGround(t)
	g.target("db", kind, settings)
	g.playbook("once", `inputs: {key: {type: string, description: the effect}}
targets: {db: `+kind+`}
steps:
  - {id: put, redis: {transaction: [[RPUSH, "${{ inputs.key }}", x]]}}
`)
	return &cutting{g: g, cutter: cutter, awayEvery: 20,
		count: func(key string) int { return int(s.Client().LLen(t.Context(), key).Val()) }}
}

// watchedCutting has the conversation with the master that sentinels name cut, or that with the only sentinel that the target knows.
func watchedCutting(t *testing.T, sentinel bool) *cutting {
	s := servers.RedisWatched(t, 0)
	master := torture.NewCutter(t, s.Master.Addr)
	cutter, addresses := master, engine.List{}
	for _, n := range s.Sentinels {
		way := torture.NewCutter(t, n.Addr)
		way.Watch(renamed(t, s.Master.Addr, master.Addr))
		addresses = append(addresses, way.Addr)
		if sentinel {
			cutter = way
			break
		}
	}
	return keysCutting(t, cutter, s.Master, "sentinel", engine.Record{"addresses": addresses, "master": "mymaster", "timeout": "2s"})
}

// renamed has a sentinel say the address of a proxy where it says that of the master.
func renamed(t *testing.T, master, proxy string) func(torture.Direction, []byte) bool {
	t.Helper()
	port := func(address string) []byte {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Appendf(nil, "$%d\r\n%s\r\n", len(port), port)
	}
	from, to := port(master), port(proxy)
	if len(from) != len(to) {
		t.Fatalf("%s is not as long as %s", proxy, master)
	}
	return func(_ torture.Direction, piece []byte) bool {
		copy(piece, bytes.ReplaceAll(piece, from, to))
		return true
	}
}

// everyByte tries every N, or as many as this way of testing has time for.
func (c *cutting) everyByte(t *testing.T) {
	c.once(t, "whole", torture.ToServer, 0)
	tried, lost := 0, 0
	for _, way := range []torture.Direction{torture.ToServer, torture.ToClient} {
		c.cutter.Heal()
		c.g.handrail("run", "--yes", "once", "-i", "key=measure-"+strconv.Itoa(int(way))).is(0)
		all, chunks := c.cutter.Passed(way)
		t.Logf("%d bytes go %s in %d pieces", all, way, len(chunks))
		for _, n := range where(t, all, chunks) {
			if !torture.Mine(t, n) {
				continue
			}
			tried++
			if c.once(t, fmt.Sprintf("%d-%d", way, n), way, n) {
				lost++
			}
		}
	}
	torture.Figure(t, 4, "%d cuts, %d of them before the run had ended, every effect once", tried, lost)
}

// where are the bytes after which is cut: all of them, or those about packets' ends, and all of the last.
func where(t *testing.T, all int, chunks []int) []int {
	light, last := 40, 0
	switch torture.How(t) {
	case torture.Light:
	case torture.CI:
		light, last = 0, 600
	case torture.Full:
		last = all
	}
	ends := map[int]bool{}
	for _, end := range chunks {
		ends[end], ends[end-1], ends[end+1] = true, true, true
	}
	var out []int
	for n := 1; n <= all; n++ {
		if all-n < last || light == 0 && ends[n] || light > 0 && (n*light/all != (n-1)*light/all || n == all) {
			out = append(out, n)
		}
	}
	return out
}

// once runs with a cut, and goes on without; it tells whether the cut was felt.
func (c *cutting) once(t *testing.T, key string, way torture.Direction, n int) bool {
	t.Helper()
	c.cutter.CutAfter(way, n, n%c.awayEvery == 0)
	first := c.g.handrail("run", "--yes", "once", "-i", "key="+key)
	run := c.g.last()
	felt := first.code != 0
	c.cutter.Heal()
	code := first.code
	for try := 0; code != 0; try++ {
		if try == 5 {
			t.Fatalf("%d bytes %s: the run does not come to an end", n, way)
		}
		if code == 3 { // in doubt: a person looks at the target
			word := "not-done"
			if c.count(key) > 0 {
				word = "done"
			}
			c.g.handrail("resolve", run, "put", word, "--because", "I looked").is(0)
		}
		code = c.g.handrail("resume", run).code
	}
	if got := c.count(key); got != 1 {
		t.Errorf("%d bytes %s: the effect happened %d times", n, way, got)
	}
	return felt
}
