package main

import (
	"net"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
)

// TestAPlanDoesNotWaitForEver: servers take connections and answer nothing. Each step says how long it was waited for.
func TestAPlanDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // the kernel takes the connections; nobody reads them
	g := newGround(t)
	g.target("engine", "docker", engine.Record{"host": "tcp://" + l.Addr().String()})
	g.target("db", "mysql", engine.Record{"address": l.Addr().String(), "user": "u", "password": "p", "database": "d"})
	g.playbook("silent", `targets: {engine: docker, db: mysql}
steps:
  - {id: again, docker: {restart: web}, timeout: 201ms}
  - {id: read, sql: {query: SELECT 1 AS n}, timeout: 202ms}
  - id: proven
    timeout: 203ms
    verify:
      - sql: {query: SELECT 1 AS n}
        expect: rows[0].n == 1
  - id: unless
    exec: {argv: ["true"]}
    timeout: 204ms
    done_if:
      - sql: {query: SELECT 1 AS n}
        expect: rows[0].n == 1
`)
	said := g.handrail("plan", "silent")
	if said.code != 1 {
		t.Errorf("exit code %d: %s", said.code, said.errors)
	}
	for limit, times := range map[string]int{"201ms": 1, "202ms": 1, "203ms": 2, "204ms": 2} { // the last two: what stops a run, and what is there now or warned of
		if n := strings.Count(said.out, "not known within "+limit+": "); n != times {
			t.Errorf("%s is said %d times:\n%s%s", limit, n, said.out, said.errors)
		}
	}
	if n := strings.Count(said.out, "not known within"); n != 6 {
		t.Errorf("a wait is told of %d times:\n%s%s", n, said.out, said.errors)
	}
}
