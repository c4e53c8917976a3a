package main

import (
	stdsql "database/sql"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// several gives a target of two addresses, at the first of which nobody answers.
func several(settings engine.Record) engine.Record {
	out := engine.Record{}
	for name, v := range settings {
		out[name] = v
	}
	out["addresses"] = engine.List{"127.0.0.1:1", settings["address"]}
	delete(out, "address")
	return out
}

// ordersGround has a table of three old orders and one new one, and a playbook that removes the old.
func ordersGround(t *testing.T, kind string, target engine.Record, db *stdsql.DB) *ground {
	t.Helper()
	g := newGround(t)
	g.target("db", kind, target)
	for _, s := range []string{"CREATE TABLE orders (id INT PRIMARY KEY, state VARCHAR(9))", "INSERT INTO orders VALUES (1, 'old'), (2, 'old'), (3, 'old'), (4, 'new')"} {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	look := "{id: seen, sql: {query: SELECT COUNT(*) AS n FROM orders}}"
	if _, ok := target["addresses"]; ok {
		look = "{id: seen, sql: {query: SELECT COUNT(*) AS n FROM orders, nodes: any}}"
	}
	g.playbook("clean", "targets: {db: "+kind+"}\nsteps:\n  - "+look+"\n  - {id: purge, sql: {exec: \"DELETE FROM orders WHERE state = 'old'\"}}\n")
	return g
}

// TestASavedPlanOfEachWayToADatabase: by one address and by several, on MariaDB and on PostgreSQL.
func TestASavedPlanOfEachWayToADatabase(t *testing.T) {
	my, pg := servers.MySQL(t), servers.Postgres(t)
	for _, c := range []struct {
		name, kind, alter string
		target            engine.Record
		open              func(testing.TB, engine.Record) *stdsql.DB
		one               engine.Record
	}{
		{"MariaDB by several addresses", "mysql", "ALTER TABLE orders MODIFY state VARCHAR(99)", several(my), servers.Open, my},
		{"PostgreSQL", "postgres", "ALTER TABLE orders ALTER state TYPE VARCHAR(99)", pg, servers.OpenPostgres, pg},
		{"PostgreSQL by several addresses", "postgres", "ALTER TABLE orders ALTER state TYPE VARCHAR(99)", several(pg), servers.OpenPostgres, pg},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := c.open(t, c.one)
			do := func(statement string) {
				t.Helper()
				if _, err := db.ExecContext(t.Context(), statement); err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
			}
			do("DROP TABLE IF EXISTS orders")
			g := ordersGround(t, c.kind, c.target, db)
			run := func() said { return g.handrail("run", "--plan", "clean.plan", "--yes") }
			g.handrail("plan", "clean", "--out", "clean.plan").is(0)
			if seen := mustJSON(t, g.saved().Plan.Steps[1].Seen); !strings.Contains(seen, c.kind) || !strings.Contains(seen, "made as ") {
				t.Errorf("seen was %s", seen)
			}
			g.handrail("run", "--plan", "clean.plan", "--dry-run").is(0, "still holds")
			do("INSERT INTO orders VALUES (5, 'old')")
			run().refused("step purge: rows: were 3 (exact) and are 4 (exact)")
			do("DELETE FROM orders WHERE id = 5")
			do(c.alter)
			run().refused("orders was made as ")
			g.handrail("plan", "clean", "--out", "clean.plan").is(0)
			run().is(0, "still holds")
			var left int
			if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM orders").Scan(&left); err != nil || left != 1 {
				t.Errorf("%d orders are left, %v", left, err)
			}
		})
	}
}

// TestASavedPlanThatFailsOverIsRefused: it was agreed to for the server that took writes then.
func TestASavedPlanThatFailsOverIsRefused(t *testing.T) {
	primary := servers.PrivatePostgres(t)
	standby := primary.Standby()
	one := primary.Settings()
	target := several(one)
	target["addresses"] = engine.List{standby.Address(), primary.Address()}
	g := ordersGround(t, "postgres", target, servers.OpenPostgres(t, one))
	there := several(one)
	delete(there, "addresses")
	there["address"] = standby.Address()
	servers.Arrives(t, servers.OpenPostgres(t, there), "SELECT COUNT(*) FROM orders")
	g.handrail("plan", "clean", "--out", "clean.plan").is(0)
	g.handrail("run", "--plan", "clean.plan", "--dry-run").is(0, "still holds")
	primary.Kill()
	standby.Promote()
	g.handrail("run", "--plan", "clean.plan", "--yes").refused("step purge: server was postgres")
}

// TestASavedPlanOfAClusterKnowsItsNodes: a sweep on every master was agreed to for these nodes.
func TestASavedPlanOfAClusterKnowsItsNodes(t *testing.T) {
	cluster := servers.RedisClusterOf(t, 3, 0)
	g := newGround(t)
	g.target("cache", "cluster", cluster.Settings())
	g.playbook("clean", "targets: {cache: cluster}\nsteps:\n  - {id: sweep, redis: {sweep: {match: \"stale:*\", action: unlink}, nodes: masters}}\n")
	c := cluster.Client()
	for _, key := range []string{"stale:1", "stale:2", "stale:3", "fresh"} {
		if err := c.Set(t.Context(), key, "x", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	g.handrail("plan", "clean", "--out", "clean.plan").is(0)
	seen := mustJSON(t, g.saved().Plan.Steps[0].Seen)
	for _, n := range cluster.Nodes {
		if !strings.Contains(seen, `"node `+n.Addr+`","value":"master`) {
			t.Errorf("%s was not seen as a master: %s", n.Addr, seen)
		}
	}
	run := func() said { return g.handrail("run", "--plan", "clean.plan", "--yes") }
	if err := c.Set(t.Context(), "stale:4", "x", 0).Err(); err != nil {
		t.Fatal(err)
	}
	run().refused("step sweep: keys: were 3 (exact) and are 4 (exact)")
	if err := c.Del(t.Context(), "stale:4").Err(); err != nil {
		t.Fatal(err)
	}
	run().is(0, "still holds")
	if n := c.DBSize(t.Context()).Val(); n != 1 {
		t.Errorf("%d keys are left", n)
	}
}
