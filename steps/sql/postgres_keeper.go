package sql

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

func (*postgresDialect) keeper() keeper { return postgresKeeper{} }

// postgresKeeper tells sessions apart by an advisory lock, which is a number and belongs to the session.
type postgresKeeper struct{}

// postgresLock is the number of a token's lock.
func postgresLock(token string) int64 {
	sum := sha256.Sum256([]byte("handrail:" + token))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// lock does not wait at the server: a wait there would hold up DROP DATABASE and what else waits for
// every session.
func (postgresKeeper) lock(token string, id int64) (string, bool) {
	return fmt.Sprintf("SELECT CASE WHEN pg_catalog.pg_backend_pid() = %d THEN pg_catalog.pg_try_advisory_lock(%d)::int ELSE -1 END", id, postgresLock(token)), false
}

func (postgresKeeper) unlock(token string) string {
	return fmt.Sprintf("SELECT pg_catalog.pg_advisory_unlock(%d)::int", postgresLock(token))
}

func (postgresKeeper) holder(token string) string {
	n := uint64(postgresLock(token))
	return fmt.Sprintf(`SELECT pid FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
		AND classid = %d::bigint::oid AND objid = %d::bigint::oid
		AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())`, n>>32, n&0xffffffff)
}

func (postgresKeeper) running(id int64) string {
	return fmt.Sprintf(`SELECT EXTRACT(epoch FROM clock_timestamp() - COALESCE(query_start, backend_start))::bigint,
		state || COALESCE(', waiting for ' || wait_event_type || ' ' || wait_event, ''), left(query, 100)
		FROM pg_catalog.pg_stat_activity WHERE pid = %d`, id)
}

func (postgresKeeper) stop(id int64, connection bool) string {
	if connection {
		return fmt.Sprintf("SELECT pg_terminate_backend(%d)", id)
	}
	return fmt.Sprintf("SELECT pg_cancel_backend(%d)", id)
}
