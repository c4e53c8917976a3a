package witness

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"
)

// PostgresStill are the options of a PostgreSQL of the test's own whose write-ahead log moves by what it is told alone.
func PostgresStill() []string {
	return []string{"-c", "autovacuum=off", "-c", "wal_level=minimal", "-c", "max_wal_senders=0", "-c", "checkpoint_timeout=1d"}
}

// PostgresWAL is the place in the write-ahead log of a PostgreSQL that was started with [PostgresStill].
func PostgresWAL(db *sql.DB) Watch {
	return func(t testing.TB) func() []string {
		t.Helper()
		// What others have left behind is tidied now: a read may do that as well, and writes then.
		must(t, db, "VACUUM", "CHECKPOINT")
		position := func() string { return one(t, db, "SELECT pg_current_wal_insert_lsn()::text")[0] }
		before := position()
		return func() []string {
			t.Helper()
			if after := position(); after != before {
				return []string{fmt.Sprintf("the write-ahead log went from %s to %s", before, after)}
			}
			return nil
		}
	}
}

// PostgresStat are the counters of a database: rows, and the tables, columns and rights in its catalogues. What a connection
// has counted is there when it has ended, so the end waits until nobody but the witness is connected.
func PostgresStat(db *sql.DB) Watch {
	const counters = `SELECT (SELECT tup_inserted || ' rows inserted, ' || tup_updated || ' updated, ' || tup_deleted || ' deleted, ' || temp_files || ' temporary files'
			FROM pg_stat_database WHERE datname = current_database()),
		(SELECT COALESCE(SUM(n_tup_ins), 0) || ' inserted, ' || COALESCE(SUM(n_tup_upd), 0) || ' updated, ' || COALESCE(SUM(n_tup_del), 0) || ' deleted in user tables' FROM pg_stat_user_tables),
		(SELECT COUNT(*) || ' relations' FROM pg_class), (SELECT COUNT(*) || ' advisory locks' FROM pg_locks WHERE locktype = 'advisory')`
	return func(t testing.TB) func() []string {
		t.Helper()
		alone(t, db)
		before := fmt.Sprint(one(t, db, counters))
		return func() []string {
			t.Helper()
			alone(t, db)
			if after := fmt.Sprint(one(t, db, counters)); after != before {
				return []string{fmt.Sprintf("pg_stat went from %s to %s", before, after)}
			}
			return nil
		}
	}
}

// alone waits until the other connections to the database have ended, and asks for what they have counted.
func alone(t testing.TB, db *sql.DB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	db.SetMaxOpenConns(1)
	for one(t, db, "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")[0] != "0" {
		select {
		case <-ctx.Done():
			t.Fatal("others are connected to this database and do not go")
		case <-time.After(10 * time.Millisecond):
		}
	}
	one(t, db, "SELECT pg_stat_force_next_flush()::text")
	one(t, db, "SELECT pg_stat_clear_snapshot()::text")
}
