package main

import (
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// keptIn has the environment keep locks in a target that no playbook of the ground names.
func (g *ground) keptIn(typ string, settings engine.Record) {
	g.t.Helper()
	g.write("environments/default.yaml", "targets:\n  keeper: {"+typ+": "+flow(g.t, settings)+"}\nlocks: keeper\n")
	g.playbook("guarded", "locks: [numbering]\nsteps:\n  - {id: a, exec: {argv: [\"true\"]}}\n")
	g.playbook("free", "steps:\n  - {id: a, exec: {argv: [\"true\"]}}\n")
}

// TestDoctorLooksAtWhereTheLocksAreKept: a run could not begin tonight, and it is said why. A playbook without locks needs none of it.
func TestDoctorLooksAtWhereTheLocksAreKept(t *testing.T) {
	g := newSQLGround(t, servers.MySQL(t))
	database := engine.Text(g.settings["database"])
	user := "l" + strings.ToLower(database)
	g.sql("CREATE USER "+user+"@'%' IDENTIFIED BY 'the-password-4711'", "GRANT SELECT ON "+database+".* TO "+user+"@'%'")
	t.Cleanup(func() { g.dropUser(user) })
	g.keptIn("mysql", g.with(engine.Record{"user": user, "password": "the-password-4711"}))
	g.handrail("doctor", "guarded").tells(1, "fails     locks: mysql ", user+"@% has no right to CREATE the table "+database+".handrail_locks",
		"let somebody who may create it: CREATE TABLE", "environments/default.yaml:2:").silentOn("the-password-4711")
	g.handrail("doctor", "free").tells(0)
	g.sql("CREATE TABLE handrail_locks (name VARCHAR(255) PRIMARY KEY, fence BIGINT NOT NULL, run VARCHAR(255) NOT NULL, owner TEXT NOT NULL)")
	g.handrail("doctor", "guarded").tells(1, user+"@% has no right to INSERT the table "+database+".handrail_locks")
	g.sql("GRANT INSERT, UPDATE ON " + database + ".handrail_locks TO " + user + "@'%'")
	g.handrail("doctor", "guarded").tells(0)
	g.handrail("run", "--yes", "guarded").tells(0)
	g.keptIn("mysql", g.with(engine.Record{"address": "127.0.0.1:1"}))
	g.handrail("doctor", "guarded").tells(1, "fails     target keeper: mysql ", "cannot be reached").silentOn("fails     locks")
	g.keptIn("mysql", g.settings)
	g.sql("DROP TABLE handrail_locks")
	g.handrail("doctor", "guarded").tells(0)
	var n int
	if err := g.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = 'handrail_locks'", database).Scan(&n); err != nil || n != 0 {
		t.Errorf("the doctor has made %d tables, %v", n, err)
	}
}

func TestDoctorLooksAtARedisThatKeepsLocks(t *testing.T) {
	g := newGround(t)
	s := servers.Redis(t)
	admin := s.Client()
	do := func(words ...any) {
		t.Helper()
		if err := admin.Do(t.Context(), words...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	g.keptIn("redis", s.Settings())
	g.handrail("doctor", "guarded").tells(0)
	do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	g.handrail("doctor", "guarded").tells(1, "fails     locks: ", "maxmemory-policy allkeys-lru", "noeviction", "environments/default.yaml:2:")
	do("CONFIG", "SET", "maxmemory-policy", "noeviction")
	do("REPLICAOF", "127.0.0.1", "1")
	g.handrail("doctor", "guarded").tells(1, "fails     locks: the server is a replica", "of type sentinel")
	do("REPLICAOF", "NO", "ONE")
	do("ACL", "SETUSER", "ops", "on", ">the-password-4711", "~handrail:*", "+@all", "-hincrby")
	g.keptIn("redis", engine.Record{"address": s.Addr, "user": "ops", "password": "the-password-4711"})
	g.handrail("doctor", "guarded").tells(1, "fails     locks: ", "hincrby").silentOn("the-password-4711")
	do("ACL", "SETUSER", "ops", "+hincrby")
	g.handrail("doctor", "guarded").tells(0)
	if n, err := admin.DBSize(t.Context()).Result(); err != nil || n != 0 {
		t.Errorf("the doctor has left %d keys, %v", n, err)
	}
	g.handrail("run", "--yes", "guarded").tells(0)
}
