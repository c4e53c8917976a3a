package servers

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// FollowedMySQL starts a MariaDB and a second one that follows it and is read-only, both of the test's own. The
// databases of the first that are made AFTER it are on the second as well, a moment later.
func FollowedMySQL(t testing.TB) (primary, replica *MySQLServer) {
	t.Helper()
	if setting(t, "HANDRAIL_TEST_MARIADBD") == "" {
		t.Fatal("a replica needs MariaDB's own program on this machine; run: make servers")
	}
	primary = PrivateMySQL(t, "--server-id=1", "--log-bin", "--log-slave-updates")
	replica = PrivateMySQL(t, "--server-id=2", "--log-bin", "--log-slave-updates", "--read-only")
	var at string
	if err := Open(t, primary.account()).QueryRow("SELECT @@gtid_binlog_pos").Scan(&at); err != nil {
		t.Fatalf("ask the private MariaDB for its place: %v", err)
	}
	host, port, _ := strings.Cut(primary.address, ":")
	replica.must("SET GLOBAL gtid_slave_pos = '"+at+"'",
		"CHANGE MASTER TO MASTER_HOST = '"+host+"', MASTER_PORT = "+port+", MASTER_USER = '"+mysqlUser+"', MASTER_PASSWORD = '"+mysqlPassword+
			"', MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1", "START SLAVE")
	return primary, replica
}

// account is how the user with all rights reaches it.
func (s *MySQLServer) account() engine.Record {
	return engine.Record{"address": s.address, "user": mysqlUser, "password": mysqlPassword}
}

// Address is host:port.
func (s *MySQLServer) Address() string { return s.address }

func (s *MySQLServer) must(statements ...string) {
	s.t.Helper()
	db := Open(s.t, s.account())
	for _, text := range statements {
		if _, err := db.Exec(text); err != nil {
			s.t.Fatalf("%s: %v", text, err)
		}
	}
}

// Promote makes a replica one that takes writes and follows nobody.
func (s *MySQLServer) Promote() {
	s.t.Helper()
	s.must("STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = OFF")
}

// CutOff has a replica receive nothing more from the server that it follows.
func (s *MySQLServer) CutOff() {
	s.t.Helper()
	s.must("STOP SLAVE")
}

// Arrives waits until a question has an answer other than none or 0.
func Arrives(t testing.TB, db *sql.DB, question string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	for {
		var v sql.NullString
		err := db.QueryRowContext(ctx, question).Scan(&v)
		if err == nil && v.Valid && v.String != "0" && v.String != "false" {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: still %q (%v)", question, v.String, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
