package sql

import (
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"
)

// mysqlFaults say, for the number of a server's error, what it means and what to do next.
var mysqlFaults = map[uint16]struct {
	sort faultSort
	said string
}{
	1040: {busyFault, "it has as many connections as it allows; try again, or raise max_connections"},
	1203: {busyFault, "the user has as many connections as it may; try again, or raise max_user_connections"},
	1226: {busyFault, "the user has used up what it may; try again later, or raise its limits"},
	1205: {busyFault, "it waited too long for a lock that another transaction holds; nothing of it was kept; see who holds it with SHOW ENGINE INNODB STATUS, or try again"},
	1213: {busyFault, "it met a deadlock and was chosen to give way; nothing of it was kept; try again"},
	1020: {busyFault, "another transaction changed the row meanwhile; nothing of it was kept; try again"},
	1045: {rightsFault, "it does not accept the user and password; check `user` and `password` in the target's settings, and from which hosts the user may connect"},
	1698: {rightsFault, "it does not accept the user and password; check `user` and `password` in the target's settings"},
	1044: {rightsFault, "the user may not use this database; give it the right with GRANT, or let the target use another user"},
	1049: {earlyFault, "there is no such database; check `database` in the target's settings"},
	1046: {earlyFault, "no database is chosen; give `database` in the target's settings, or write database.table"},
	1142: {rightsFault, "the user may not do this; give it the right with GRANT, or let the target use another user"},
	1143: {rightsFault, "the user may not do this with that column; give it the right with GRANT, or let the target use another user"},
	1227: {rightsFault, "the user may not do this; it needs a right of an administrator"},
	1370: {rightsFault, "the user may not run this routine; give it EXECUTE, or let the target use another user"},
	1290: {rightsFault, "the server takes no writes or has this disabled (read_only, or an option like it); is it a replica? Let the target point to the primary"},
	1792: {rightsFault, "the session is read-only, as it is in a dry-run"},
	1836: {rightsFault, "the server is in read-only mode; is it a replica? Let the target point to the primary"},
	1064: {earlyFault, "the statement is not correct for this server; look at what stands after `near`"},
	1149: {earlyFault, "the statement is not correct for this server"},
	1146: {absentFault, "there is no such table; check its name and the database"},
	1051: {absentFault, "there is no such table; check its name and the database"},
	1054: {earlyFault, "there is no such column; check its name"},
	1305: {gonePoint, "there is no such routine or savepoint"},
	1062: {doubleFault, "a row with that key is there already"},
	1317: {stopped, "the statement was interrupted"},
	1969: {stopped, "the statement ran into the server's limit of time (max_statement_time)"},
	3024: {stopped, "the statement ran into the server's limit of time (max_execution_time)"},
	1665: {plainFault, "it logs statements (binlog_format=STATEMENT), which cannot be told apart under READ COMMITTED; set binlog_format to MIXED or ROW"},
	1298: {earlyFault, "it does not know the time zone; load its zone tables with mysql_tzinfo_to_sql, or take `timezone` out of the target's settings"},
	1451: {plainFault, "other rows refer to this one by a foreign key"},
	1452: {plainFault, "the row that a foreign key refers to is not there"},
	1048: {plainFault, "the column takes no NULL"},
	1264: {plainFault, "the number is outside the range of the column"},
	1406: {plainFault, "the text is longer than the column"},
	1021: {plainFault, "its disk is full; free some space there"},
	1114: {plainFault, "the table is full; look at the server's disk and limits"},
	1153: {earlyFault, "the statement is larger than max_allowed_packet"},
}

func (*mysqlDialect) answer(err error, f *fault) bool {
	var e *mysql.MySQLError
	if !errors.As(err, &e) {
		if errors.Is(err, mysql.ErrNoTLS) {
			f.said = "the server offers no TLS; take `tls` out of the target's settings, or switch it on there"
			return true
		}
		return untrusted(err, f)
	}
	known, ok := mysqlFaults[e.Number]
	f.sort = known.sort
	if !ok {
		f.said, f.terse = fmt.Sprintf("%s (%d)", e.Message, e.Number), fmt.Sprintf("the server refuses it (%d)", e.Number)
		return true
	}
	f.said, f.terse = fmt.Sprintf("%s (%d: %s)", known.said, e.Number, e.Message), fmt.Sprintf("%s (%d)", known.said, e.Number)
	return true
}
