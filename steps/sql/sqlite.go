package sql

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// sqliteSettings say where a database file is.
type sqliteSettings struct {
	File steps.Path `param:"file" need:"yes" doc:"the database's file; it must be there"`
}

// busyTimeout is how long SQLite itself waits for another process's lock, in milliseconds.
const busyTimeout = 5000

// sqliteDialect is SQLite. Its statements run in this process: they end with it, and BEGIN IMMEDIATE
// stands in for the session lock.
type sqliteDialect struct{ file string }

func (c *Conn) openSQLite(given engine.Record) (driver.Connector, error) {
	var s sqliteSettings
	if err := steps.Bind(given, &s); err != nil {
		return nil, err
	}
	file, err := filepath.Abs(string(s.File))
	if err != nil {
		return nil, engine.Problem{Path: "file", Message: err.Error()}
	}
	c.d, c.where = sqliteDialect{file}, "sqlite "+string(s.File)
	q := url.Values{"mode": {"rw"}, "_pragma": {fmt.Sprintf("busy_timeout(%d)", busyTimeout), "foreign_keys(1)"}}
	if c.access != steps.Full {
		q.Set("mode", "ro")
		q.Add("_pragma", "query_only(1)")
	}
	return sqlite.NewConnector("file:" + (&url.URL{Path: filepath.ToSlash(file)}).EscapedPath() + "?" + q.Encode())
}

// follow closes what is open when another file has come to stand at the path, or none: an open one would be read and written on, although
// nobody else sees it any more.
func (c *Conn) follow(path string) {
	now, err := os.Stat(path)
	if err != nil {
		now = nil // opening it says why
	}
	c.mu.Lock()
	was := c.file
	c.file = now
	c.mu.Unlock()
	if was == nil || now != nil && os.SameFile(was, now) {
		return
	}
	c.db.SetMaxIdleConns(0)
	c.db.SetMaxIdleConns(idleConns)
	c.forget()
}

// greet looks whether the file is a database at all.
func (sqliteDialect) greet(ctx context.Context, raw driver.Conn, _ bool) (int64, error) {
	_, err := rawRow(ctx, raw, "PRAGMA schema_version")
	return 0, err
}

func (sqliteDialect) grammar() statement.Grammar { return statement.SQLite }
func (sqliteDialect) keeper() keeper             { return nil }
func (sqliteDialect) own(text string) string     { return text }
func (sqliteDialect) token(t string) any         { return t }
func (sqliteDialect) keepFirst() string          { return "" }
func (sqliteDialect) ddlRollsBack() bool         { return true }
func (sqliteDialect) begin() string              { return "BEGIN IMMEDIATE" }
func (sqliteDialect) forUpdate() string          { return "" }

func (sqliteDialect) estimate(engine.Record) (int64, bool) { return 0, false }

func (sqliteDialect) quote(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// A file on one machine keeps no locks between machines.
func (sqliteDialect) lockTable(string) string { return "" }
func (sqliteDialect) shared() string          { return "" }

func (sqliteDialect) markerTable(name string) string {
	return "CREATE TABLE IF NOT EXISTS " + name +
		" (token TEXT NOT NULL PRIMARY KEY, epoch INTEGER NOT NULL, state TEXT NOT NULL, result TEXT, at TEXT NOT NULL) WITHOUT ROWID"
}

func (sqliteDialect) answer(err error, f *fault) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	f.said = e.Error()
	switch code := e.Code(); code & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		f.sort = busyFault
		f.said = "another process has the database locked; nothing of it was kept; try again (" + e.Error() + ")"
	case sqlite3.SQLITE_CANTOPEN:
		f.sort = earlyFault
		f.said = "the file cannot be opened; check `file` in the target's settings, and that it is there (" + e.Error() + ")"
	case sqlite3.SQLITE_NOTADB:
		f.sort = earlyFault
		f.said = "the file is not an SQLite database; check `file` in the target's settings"
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		f.sort = rightsFault
		f.said = "the database cannot be written; check the rights of the file and its folder (" + e.Error() + ")"
	case sqlite3.SQLITE_FULL:
		f.said = "its disk is full; free some space there"
	case sqlite3.SQLITE_INTERRUPT:
		f.sort, f.said = stopped, "the statement was interrupted"
	case sqlite3.SQLITE_CONSTRAINT:
		if code == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY || code == sqlite3.SQLITE_CONSTRAINT_UNIQUE {
			f.sort = doubleFault
		}
	case sqlite3.SQLITE_ERROR:
		f.sort = sqliteSort(e.Error())
	}
	return true
}

// sqliteSort reads the message: SQLite has one number for all of these.
func sqliteSort(said string) faultSort {
	switch {
	case strings.Contains(said, "no such savepoint"):
		return gonePoint
	case strings.Contains(said, "no such table"):
		return absentFault
	case strings.Contains(said, "syntax error"), strings.Contains(said, "no such"), strings.Contains(said, "incomplete input"),
		strings.Contains(said, "has no column"), strings.Contains(said, "already exists"):
		return earlyFault
	}
	return plainFault
}
