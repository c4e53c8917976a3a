package witness

import (
	"database/sql"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// harmless are the statements that a dry-run may send; touching is what none of them may have in it.
var (
	harmless = regexp.MustCompile(`(?is)^\s*(SELECT|SHOW|EXPLAIN|SET SESSION|SET NAMES|START TRANSACTION READ ONLY|START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY|COMMIT|ROLLBACK)\b|` +
		`^SET @sys\.statement_truncate_len = sys_get_config\(`) // the views of sys do that for the session, in a function of theirs
	touching = regexp.MustCompile(`(?i)\b(GET_LOCK|RELEASE_LOCK|RELEASE_ALL_LOCKS|NEXTVAL|SETVAL|NEXT\s+VALUE|SLEEP\s*\(|BENCHMARK\s*\(|OUTFILE|DUMPFILE|INTO\s+@|FOR\s+UPDATE|LOCK\s+IN\s+SHARE)`)
)

// MySQLGeneralLog is what a MariaDB was sent, by its general log. It is to be a server of the test's own: nothing but what
// the connection of the witness itself says is left out.
func MySQLGeneralLog(db *sql.DB) Watch {
	return func(t testing.TB) func() []string {
		t.Helper()
		must(t, db, "SET GLOBAL log_output = 'TABLE'", "SET GLOBAL general_log = ON")
		from := one(t, db, "SELECT CONCAT(NOW(6))")[0] // to empty the log would be written into the binary log
		return func() []string {
			t.Helper()
			must(t, db, "SET GLOBAL general_log = OFF")
			rows, err := db.Query("SELECT command_type, argument FROM mysql.general_log WHERE event_time > ? AND command_type NOT IN ('Connect', 'Quit', 'Ping', 'Close stmt', 'Reset connection')", from)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = rows.Close() }()
			var found []string
			for rows.Next() {
				var kind, text string
				if err := rows.Scan(&kind, &text); err != nil {
					t.Fatal(err)
				}
				switch {
				case text == "SET GLOBAL general_log = OFF": // that is the witness
				case kind != "Query" && kind != "Prepare" && kind != "Execute", !harmless.MatchString(text), touching.MatchString(text):
					found = append(found, fmt.Sprintf("%s %s", kind, text))
				}
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
			return found
		}
	}
}

// MySQLBinaryLog is what a MariaDB of the test's own has written for its replicas.
func MySQLBinaryLog(db *sql.DB) Watch {
	return func(t testing.TB) func() []string {
		t.Helper()
		position := func() string { return strings.Join(one(t, db, "SHOW MASTER STATUS"), " ") }
		before := position()
		if !strings.Contains(before, ".0") {
			t.Fatalf("this server keeps no binary log; start it with --log-bin: %q", before)
		}
		return func() []string {
			t.Helper()
			if after := position(); after != before {
				return []string{fmt.Sprintf("the binary log went from %s to %s", before, after)}
			}
			return nil
		}
	}
}
