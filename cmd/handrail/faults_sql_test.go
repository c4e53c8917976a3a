package main

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// sqlGround is a table with two rows and a playbook that adds 1 to both of them at once.
type sqlGround struct {
	*ground
	db       *sql.DB
	settings engine.Record
}

const addPlaybook = `targets: {db: mysql}
steps:
  - id: add
    sql:
      transaction:
        - {exec: "UPDATE counts SET n = n + 1 WHERE id = 1", expect: affected == 1}
        - {exec: "UPDATE counts SET n = n + 1 WHERE id = 2", expect: affected == 1}
`

func newSQLGround(t *testing.T, settings engine.Record) *sqlGround {
	t.Helper()
	g := &sqlGround{newGround(t), servers.Open(t, settings), settings}
	g.target("db", "mysql", settings)
	g.playbook("add", addPlaybook)
	g.sql("CREATE TABLE counts (id INT PRIMARY KEY, n INT NOT NULL) ENGINE=InnoDB", "INSERT INTO counts VALUES (1, 0), (2, 0)")
	return g
}

func (g *sqlGround) sql(statements ...string) {
	g.t.Helper()
	for _, q := range statements {
		if _, err := g.db.ExecContext(g.t.Context(), q); err != nil {
			g.t.Fatalf("%s: %v", q, err)
		}
	}
}

// counted asks the server how often the effect happened.
func (g *sqlGround) counted(want int) {
	g.t.Helper()
	for id := 1; id <= 2; id++ {
		var n int
		if err := g.db.QueryRowContext(g.t.Context(), fmt.Sprintf("SELECT n FROM counts WHERE id = %d", id)).Scan(&n); err != nil {
			g.t.Fatal(err)
		}
		if n != want {
			g.t.Errorf("row %d was counted %d times, not %d", id, n, want)
		}
	}
}

// other is a transaction of somebody else.
func (g *sqlGround) other(statements ...string) *sql.Tx {
	g.t.Helper()
	tx, err := g.db.BeginTx(g.t.Context(), nil)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = tx.Rollback() }) // it is over already, if all went well
	for _, q := range statements {
		if _, err := tx.ExecContext(g.t.Context(), q); err != nil {
			g.t.Fatal(err)
		}
	}
	return tx
}

// running waits until a statement is running in the test's database, and gives its connection.
func (g *sqlGround) running(like string) (id int64) {
	g.t.Helper()
	eventually(g.t, like+" is running", func() bool {
		return g.db.QueryRowContext(g.t.Context(), "SELECT id FROM information_schema.processlist WHERE db = ? AND command = 'Query' AND info LIKE ? AND id <> CONNECTION_ID() LIMIT 1",
			g.settings["database"], like).Scan(&id) == nil
	})
	return id
}

func (g *sqlGround) with(changes engine.Record) engine.Record {
	s := engine.Record{}
	for _, from := range []engine.Record{g.settings, changes} {
		for k, v := range from {
			s[k] = v
		}
	}
	return s
}

func TestDatabaseThatCannotBeReached(t *testing.T) {
	private := servers.PrivateMySQL(t)
	g := newSQLGround(t, private.Settings())
	private.Kill()
	g.handrail("run", "--yes", "add").is(1, "step add: mysql "+engine.Text(g.settings["address"]), "cannot be reached; nothing was sent; check the address", "nothing was changed")
	private.Restart()
	g.handrail("resume", g.last()).is(0)
	g.counted(1)
}

func TestDatabaseThatDoesNotKnowThePassword(t *testing.T) {
	g := newSQLGround(t, servers.MySQL(t))
	g.target("db", "mysql", g.with(engine.Record{"password": "not-the-password-0815"}))
	g.handrail("run", "--yes", "add").is(1, "it does not accept the user and password; check `user` and `password`", "nothing was changed").never("not-the-password-0815")
	g.counted(0)
}

func TestDatabaseUserWithoutTheRight(t *testing.T) {
	g := newSQLGround(t, servers.MySQL(t))
	user := "u" + strings.ToLower(engine.Text(g.settings["database"]))
	g.sql("CREATE USER "+user+"@'%' IDENTIFIED BY 'the-password-4711'",
		"GRANT SELECT, CREATE, INSERT ON "+engine.Text(g.settings["database"])+".* TO "+user+"@'%'")
	t.Cleanup(func() { g.dropUser(user) })
	g.target("db", "mysql", g.with(engine.Record{"user": user, "password": "the-password-4711"}))
	g.handrail("run", "--yes", "add").is(1, "the user may not do this; give it the right with GRANT", "nothing was changed").never("the-password-4711")
	g.counted(0)
	g.sql("GRANT ALL ON " + engine.Text(g.settings["database"]) + ".* TO " + user + "@'%'")
	g.handrail("resume", g.last()).is(0)
	g.counted(1)
}

func TestStatementThatIsNotCorrect(t *testing.T) {
	g := newSQLGround(t, servers.MySQL(t))
	g.playbook("wrong", "targets: {db: mysql}\nsteps:\n  - {id: add, sql: {exec: \"UPDATE counts SETT n = n + 1\"}}\n")
	g.handrail("run", "--yes", "wrong").is(1, "step add: mysql", "the statement is not correct for this server; look at what stands after `near`", "1064", "nothing was changed",
		"handrail resume "+g.last()+" --playbook FILE")
	// The remedy that is offered works.
	g.write("wrong.yaml", "playbook: wrong\ntargets: {db: mysql}\nsteps:\n  - {id: add, sql: {exec: \"UPDATE counts SET n = n + 1\"}}\n")
	g.handrail("resume", g.last(), "--playbook", "wrong.yaml").is(0)
	g.counted(1)
}

func TestUpdateThatAffectsAnotherNumberOfRows(t *testing.T) {
	g := newSQLGround(t, servers.MySQL(t))
	g.sql("DELETE FROM counts WHERE id = 2")
	g.handrail("run", "--yes", "add").is(1, "step add: ", "transaction[1]", "affected == 1", "rolled back", "nothing was changed")
	g.sql("INSERT INTO counts VALUES (2, 0)")
	g.counted(0)
	g.handrail("resume", g.last()).is(0)
	g.counted(1)
}

func TestDeadlock(t *testing.T) {
	g := newSQLGround(t, servers.MySQL(t))
	g.sql("CREATE TABLE heavy (n INT) ENGINE=InnoDB")
	// The other has changed more, so it is the step that must give way.
	other := g.other("INSERT INTO heavy SELECT seq FROM seq_1_to_500", "UPDATE counts SET n = n WHERE id = 2", "SELECT * FROM counts WHERE id = 2 FOR UPDATE")
	done := g.inBackground("run", "--yes", "add")
	g.running("UPDATE counts%id = 2")
	if _, err := other.ExecContext(t.Context(), "SELECT * FROM counts WHERE id = 1 FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	(<-done).is(1, "step add: mysql", "it met a deadlock and was chosen to give way; nothing of it was kept; try again", "nothing was changed")
	g.commit(other)
	g.counted(0)
	g.handrail("resume", g.last()).is(0)
	g.counted(1)
}

func TestLockWaitTimeout(t *testing.T) {
	g := newSQLGround(t, servers.PrivateMySQL(t, "--innodb-lock-wait-timeout=1").Settings())
	other := g.other("SELECT * FROM counts WHERE id = 2 FOR UPDATE")
	g.handrail("run", "--yes", "add").is(1, "it waited too long for a lock that another transaction holds; nothing of it was kept; see who holds it", "nothing was changed")
	g.commit(other)
	g.counted(0)
	g.handrail("resume", g.last()).is(0)
	g.counted(1)
}

// slowPlaybook has time to be cut off in its second statement.
var slowPlaybook = strings.Replace(addPlaybook, "WHERE id = 2", "WHERE id = 2 AND SLEEP(5) = 0", 1)

func TestConnectionThatIsLost(t *testing.T) {
	g := newSQLGround(t, servers.MySQL(t))
	g.playbook("slow", slowPlaybook)
	done := g.inBackground("run", "--yes", "slow")
	id := g.running("UPDATE counts%SLEEP%")
	if _, err := g.db.ExecContext(t.Context(), "KILL CONNECTION ?", id); err != nil {
		t.Fatal(err)
	}
	(<-done).is(1, "step add: mysql", "the connection was lost before the answer was there", "nothing was changed")
	g.counted(0)
	g.handrail("resume", g.last()).is(0)
	g.counted(1)
}

func TestDatabaseThatDiesUnderAStep(t *testing.T) {
	private := servers.PrivateMySQL(t)
	g := newSQLGround(t, private.Settings())
	g.playbook("slow", slowPlaybook)
	done := g.inBackground("run", "--yes", "slow")
	g.running("UPDATE counts%SLEEP%")
	private.Kill()
	// COMMIT was not sent, and a server that dies has committed nothing unasked.
	(<-done).is(1, "step add: mysql", "the connection was lost before the answer was there", "nothing was changed")
	private.Restart()
	g.handrail("resume", g.last()).is(0)
	g.counted(1)
}

func TestDefinitionHiddenInAProcedure(t *testing.T) {
	g := newSQLGround(t, servers.MySQL(t))
	g.sql("CREATE PROCEDURE tidy() BEGIN CREATE TABLE surprise (n INT); END")
	g.playbook("hidden", `targets: {db: mysql}
steps:
  - id: add
    sql:
      transaction:
        - {exec: "UPDATE counts SET n = n + 1", expect: affected == 2}
        - {exec: "CALL tidy()"}
        - {exec: "UPDATE counts SET n = n + 100"}
  - {id: after, exec: {shell: echo after >> ledger}}
`)
	// CREATE TABLE has committed the first statement; the third is never sent, and nothing is called undone.
	g.handrail("run", "--yes", "hidden").is(3, "In doubt", "transaction[1]", "committed by itself", "handrail resolve "+g.last()+" add").is(3)
	g.counted(1)
	g.ledger("")
	g.handrail("resume", g.last()).is(3, "In doubt")
	g.counted(1)
	g.handrail("resolve", g.last(), "add", "done", "--because", "the rows are counted").is(0)
	g.handrail("resume", g.last()).is(0)
	g.counted(1)
	g.ledger("after\n")
}

func (g *sqlGround) commit(tx *sql.Tx) {
	g.t.Helper()
	if err := tx.Commit(); err != nil {
		g.t.Fatal(err)
	}
}

func (g *sqlGround) dropUser(user string) {
	db := g.db
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		if _, err := db.Exec("DROP USER IF EXISTS " + user + "@'%'"); err == nil {
			return
		}
	}
	g.t.Errorf("user %s cannot be dropped", user)
}
