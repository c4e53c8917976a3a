package sql

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// postgresFaults say, for the SQLSTATE of a server's error, what it means and what to do next.
var postgresFaults = map[string]struct {
	sort faultSort
	said string
}{
	"40P01": {busyFault, "it met a deadlock and was chosen to give way; nothing of it was kept; try again"},
	"40001": {busyFault, "another transaction changed the same rows meanwhile; nothing of it was kept; try again"},
	"55P03": {busyFault, "it waited too long for a lock that another transaction holds, or may not wait for it; nothing of it was kept; see who holds it in pg_locks and pg_stat_activity, or try again"},
	"53300": {busyFault, "it has as many connections as it allows; try again, or raise max_connections"},
	"57P03": {busyFault, "it is starting or stopping, and takes no connections now; try again"},
	"28P01": {rightsFault, "it does not accept the user and password; check `user` and `password` in the target's settings"},
	"28000": {rightsFault, "it does not let this user in from here; check `user` and `tls` in the target's settings, and the server's pg_hba.conf"},
	"42501": {rightsFault, "the user may not do this; give it the right with GRANT, or let the target use another user"},
	"25006": {rightsFault, "the session or the server takes no writes; a dry-run's does not, and neither does a standby: let the target point to the primary"},
	"3D000": {earlyFault, "there is no such database; check `database` in the target's settings"},
	"3F000": {earlyFault, "there is no such schema; check its name, and the user's search_path"},
	"42601": {earlyFault, "the statement is not correct for this server"},
	"42P01": {absentFault, "there is no such table; check its name, its schema and the user's search_path"},
	"42703": {earlyFault, "there is no such column; check its name"},
	"42883": {earlyFault, "there is no such function or operator for these types; check its name, or say the type of an argument, as in :name::text"},
	"42P18": {earlyFault, "the server cannot tell the type of an argument; say it, as in :name::text"},
	"42804": {earlyFault, "the types do not fit; say the type of an argument, as in :name::text"},
	"42P07": {earlyFault, "there is a table of that name already"},
	"42710": {earlyFault, "there is a thing of that name already"},
	"25001": {earlyFault, "the server refuses it inside of a transaction; make it a step of its own, with `exec:`"},
	"0A000": {earlyFault, "the server cannot do this"},
	"2D000": {plainFault, "a procedure that ends transactions itself (COMMIT or ROLLBACK in it) cannot run inside of one; nothing of it was kept"},
	"3B001": {gonePoint, "there is no such savepoint"},
	"25P01": {gonePoint, "there is no transaction"},
	"25P02": {plainFault, "an earlier statement of the transaction has failed, and nothing of it is kept"},
	"23505": {doubleFault, "a row with that key is there already"},
	"23503": {plainFault, "a foreign key does not allow it: a row that is referred to is not there, or one that refers to it is"},
	"23502": {plainFault, "the column takes no NULL"},
	"23514": {plainFault, "the row breaks a CHECK of the table"},
	"22003": {plainFault, "the number is outside the range of the column"},
	"22001": {plainFault, "the text is longer than the column"},
	"22P02": {plainFault, "a text does not read as the type that is wanted there"},
	"57014": {stopped, "the statement was interrupted, or ran into the server's limit of time (statement_timeout)"},
	"53100": {plainFault, "its disk is full; free some space there"},
	"53200": {plainFault, "it has no memory left for this"},
}

func (*postgresDialect) answer(err error, f *fault) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		known, ok := postgresFaults[e.Code]
		f.terse = fmt.Sprintf("the server refuses it (%s)", e.Code)
		if ok {
			f.terse = fmt.Sprintf("%s (%s)", known.said, e.Code)
		}
		f.sort, f.said = known.sort, fmt.Sprintf("%s (%s: %s)", known.said, e.Code, postgresDetail(e))
		if !ok {
			f.said = fmt.Sprintf("%s (%s)", postgresDetail(e), e.Code)
		}
		var early *pgconn.ConnectError
		if ended := e.SeverityUnlocalized == "FATAL" || e.SeverityUnlocalized == "PANIC"; ended && !errors.As(err, &early) {
			f.sort = plainFault
			f.said = "the connection was lost before the answer was there: the server ended it: " + f.said
			return false
		}
		return true
	}
	if strings.Contains(err.Error(), "server refused TLS connection") {
		f.sort, f.said = earlyFault, "the server offers no TLS; take `tls` out of the target's settings, or switch it on there"
		return true
	}
	return untrusted(err, f)
}

func postgresDetail(e *pgconn.PgError) string {
	text := e.Message
	for _, more := range []string{e.Detail, e.Hint} {
		if more != "" {
			text += "; " + strings.TrimSuffix(strings.ReplaceAll(more, "\n", " "), ".")
		}
	}
	return text
}
