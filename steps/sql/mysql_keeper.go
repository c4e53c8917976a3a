package sql

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

func (d *mysqlDialect) keeper() keeper { return mysqlKeeper{tidb: d.tidb.Load()} }

// mysqlKeeper tells sessions apart by GET_LOCK, and ends them with KILL.
type mysqlKeeper struct{ tidb bool }

// mysqlLock is the name of the session lock of a token; it may have 64 characters.
func mysqlLock(token string) string {
	sum := sha256.Sum256([]byte(token))
	return "handrail:" + hex.EncodeToString(sum[:])[:40]
}

func (mysqlKeeper) lock(token string, _ int64) (string, bool) {
	return fmt.Sprintf("SELECT GET_LOCK('%s', %d)", mysqlLock(token), lockTurn), true
}

func (mysqlKeeper) unlock(token string) string {
	return "SELECT RELEASE_LOCK('" + mysqlLock(token) + "')"
}

func (mysqlKeeper) holder(token string) string {
	return "SELECT IS_USED_LOCK('" + mysqlLock(token) + "')"
}

func (mysqlKeeper) running(id int64) string {
	return fmt.Sprintf("SELECT TIME, STATE, LEFT(INFO, 100) FROM information_schema.PROCESSLIST WHERE ID = %d", id)
}

// stop: a TiDB that is one of several takes a plain KILL for one of its own connections, which it may not be.
func (k mysqlKeeper) stop(id int64, connection bool) string {
	word := "KILL"
	if k.tidb {
		word = "KILL TIDB"
	}
	if connection {
		return fmt.Sprintf("%s CONNECTION %d", word, id)
	}
	return fmt.Sprintf("%s QUERY %d", word, id)
}
