package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

var postgresPlaybook = strings.Replace(addPlaybook, "mysql", "postgres", 1)

// newPostgresGround is the same two rows on PostgreSQL.
func newPostgresGround(t *testing.T, settings engine.Record) *sqlGround {
	t.Helper()
	g := &sqlGround{newGround(t), servers.OpenPostgres(t, settings), settings}
	g.target("db", "postgres", settings)
	g.playbook("add", postgresPlaybook)
	g.sql("CREATE TABLE counts (id int PRIMARY KEY, n int NOT NULL)", "INSERT INTO counts VALUES (1, 0), (2, 0)")
	return g
}

// active waits until a statement is running in the test's database, and gives its connection.
func (g *sqlGround) active(like, state string) (pid int64) {
	g.t.Helper()
	eventually(g.t, like+" is running", func() bool {
		return g.db.QueryRowContext(g.t.Context(), "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE $1 AND wait_event_type = $2 AND pid <> pg_backend_pid() LIMIT 1",
			like, state).Scan(&pid) == nil
	})
	return pid
}

func TestPostgresThatCannotBeReached(t *testing.T) {
	private := servers.PrivatePostgres(t)
	g := newPostgresGround(t, private.Settings())
	private.Kill()
	g.handrail("run", "--yes", "add").is(1, "step add: postgres "+engine.Text(g.settings["address"]), "cannot be reached; nothing was sent; check the address", "nothing was changed")
	private.Restart()
	g.db = servers.OpenPostgres(t, g.settings)
	g.handrail("resume", g.last()).is(0)
	g.counted(1)
}

func TestPostgresThatDoesNotKnowThePassword(t *testing.T) {
	g := newPostgresGround(t, servers.Postgres(t))
	g.target("db", "postgres", g.with(engine.Record{"password": "not-the-password-0815"}))
	g.handrail("run", "--yes", "add").is(1, "it does not accept the user and password; check `user` and `password`", "nothing was changed").never("not-the-password-0815")
	g.counted(0)
}

func TestPostgresUserWithoutTheRight(t *testing.T) {
	g := newPostgresGround(t, servers.Postgres(t))
	user := "u" + strings.ToLower(engine.Text(g.settings["database"]))
	g.sql("CREATE USER "+user+" PASSWORD 'the-password-4711'", "GRANT CREATE, USAGE ON SCHEMA public TO "+user, "GRANT SELECT ON counts TO "+user)
	t.Cleanup(func() {
		if _, err := g.db.Exec("DROP OWNED BY " + user + "; DROP USER " + user); err != nil {
			t.Error(err)
		}
	})
	g.target("db", "postgres", g.with(engine.Record{"user": user, "password": "the-password-4711"}))
	g.handrail("run", "--yes", "add").is(1, "the user may not do this; give it the right with GRANT", "nothing was changed").never("the-password-4711")
	g.counted(0)
	g.sql("GRANT UPDATE ON counts TO " + user)
	g.handrail("resume", g.last()).is(0)
	g.counted(1)
}

func TestPostgresStatementThatIsNotCorrect(t *testing.T) {
	g := newPostgresGround(t, servers.Postgres(t))
	g.playbook("wrong", "targets: {db: postgres}\nsteps:\n  - {id: add, sql: {transaction: [{exec: \"CREATE TABLE made (a int)\"}, {exec: \"UPDATE counts SET n = n +\"}]}}\n")
	g.handrail("run", "--yes", "wrong").is(1, "step add: postgres", "transaction[1]", "the statement is not correct for this server", "42601", "nothing was changed")
	g.write("wrong.yaml", "playbook: wrong\ntargets: {db: postgres}\nsteps:\n  - {id: add, sql: {transaction: [{exec: \"CREATE TABLE made (a int)\"}, {exec: \"UPDATE counts SET n = n + 1\"}]}}\n")
	g.handrail("resume", g.last(), "--playbook", "wrong.yaml").is(0)
	g.counted(1)
}

func TestPostgresDeadlock(t *testing.T) {
	g := newPostgresGround(t, servers.Postgres(t))
	// The other looks for deadlocks much later, so it is the step that must give way.
	other := g.other("SET LOCAL deadlock_timeout = '1h'", "UPDATE counts SET n = n WHERE id = 2")
	done := g.inBackground("run", "--yes", "add")
	g.active("UPDATE counts%id = 2", "Lock")
	if _, err := other.ExecContext(t.Context(), "UPDATE counts SET n = n WHERE id = 1"); err != nil {
		t.Fatal(err)
	}
	(<-done).is(1, "step add: postgres", "it met a deadlock and was chosen to give way; nothing of it was kept; try again", "nothing was changed")
	g.commit(other)
	g.counted(0)
	g.handrail("resume", g.last()).is(0)
	g.counted(1)
}

func TestPostgresLockTimeout(t *testing.T) {
	g := newPostgresGround(t, servers.Postgres(t))
	g.sql(fmt.Sprintf("ALTER DATABASE %s SET lock_timeout = '200ms'", g.settings["database"]))
	other := g.other("UPDATE counts SET n = n WHERE id = 2")
	g.handrail("run", "--yes", "add").is(1, "it waited too long for a lock that another transaction holds", "see who holds it in pg_locks", "nothing was changed")
	g.commit(other)
	g.counted(0)
	g.handrail("resume", g.last()).is(0)
	g.counted(1)
}

// slowPostgres has time to be cut off in its second statement.
var slowPostgres = strings.Replace(postgresPlaybook, "WHERE id = 2", "WHERE id = 2 AND pg_sleep(5) IS NOT NULL", 1)

func TestPostgresConnectionThatIsLost(t *testing.T) {
	g := newPostgresGround(t, servers.Postgres(t))
	g.playbook("slow", slowPostgres)
	done := g.inBackground("run", "--yes", "slow")
	g.sql(fmt.Sprintf("SELECT pg_terminate_backend(%d)", g.active("UPDATE counts%pg_sleep%", "Timeout")))
	(<-done).is(1, "step add: postgres", "the connection was lost before the answer was there", "nothing was changed")
	g.counted(0)
	g.handrail("resume", g.last()).is(0)
	g.counted(1)
}

func TestPostgresThatDiesUnderAStep(t *testing.T) {
	private := servers.PrivatePostgres(t)
	g := newPostgresGround(t, private.Settings())
	g.playbook("slow", slowPostgres)
	done := g.inBackground("run", "--yes", "slow")
	g.active("UPDATE counts%pg_sleep%", "Timeout")
	private.Kill()
	// COMMIT was not sent, and a server that dies has committed nothing unasked.
	(<-done).is(1, "step add: postgres", "the connection was lost before the answer was there", "nothing was changed")
	private.Restart()
	g.db = servers.OpenPostgres(t, g.settings)
	g.handrail("resume", g.last()).is(0)
	g.counted(1)
}

func TestDatabasesWithAnotherCertificate(t *testing.T) {
	right, wrong := servers.NewCertificates(t, "127.0.0.1"), servers.NewCertificates(t, "127.0.0.1")
	postgres := newPostgresGround(t, servers.PrivatePostgres(t, right.Postgres(t)...).Settings())
	mysql := newSQLGround(t, servers.PrivateMySQL(t, right.MySQL()...).Settings())
	for kind, g := range map[string]*sqlGround{"postgres": postgres, "mysql": mysql} {
		g.target("db", kind, g.with(engine.Record{"tls": engine.Record{"ca": wrong.CA}}))
		g.handrail("run", "--yes", "add").is(1, "its TLS certificate is not to be trusted; check `tls` in the target's settings", "nothing was changed")
		g.target("db", kind, g.with(engine.Record{"tls": engine.Record{"ca": right.CA}}))
		g.counted(0)
		g.handrail("run", "--yes", "add").is(0)
		g.counted(1)
	}
}
