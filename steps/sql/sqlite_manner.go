package sql

import (
	"context"
	"path/filepath"
	"syscall"

	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// sqliteLock is what every change locks: SQLite knows no other locks than those of the file (sqlite.org/lockingv3.html, and
// sqlite.org/wal.html for files with a write-ahead log).
const sqliteLock = "the database's file, against every other writer, until the end of the step; others read, but for a moment at the commit where there is no write-ahead log"

// sqliteRules are taken from sqlite.org/lang_altertable.html. What is not here is unknown. It is never changed.
var sqliteRules = map[string]manner{
	"RENAME":        {wayInstant, sqliteLock, "only the text of the definition changes"},
	"RENAME COLUMN": {wayInstant, sqliteLock, "only the text of the definition changes"},
	"DROP COLUMN":   {wayCopy, sqliteLock, "every row is written anew"},
	"CREATE INDEX":  {wayInPlace, sqliteLock, "every row is read, and the index is built"},
}

func (sqliteDialect) manner(_ context.Context, _ queryer, _ statement.Name, d statement.Definition, _ tableFacts) (manner, error) {
	var all []manner
	for _, a := range d.Actions {
		m, ok := sqliteRules[a.Does]
		switch {
		case a.Does == "ADD COLUMN" && a.Says("CHECK", "GENERATED", "AS", "NOT"):
			m = manner{wayInPlace, sqliteLock, "every row is read, to see whether it keeps to the constraint"}
		case a.Does == "ADD COLUMN":
			m = manner{wayInstant, sqliteLock, "only the text of the definition changes"}
		case !ok:
			m = manner{wayUnknown, sqliteLock, "there is no rule for it here"}
		}
		all = append(all, m)
	}
	return worst(all), nil
}

func (sqliteDialect) grip(_ statement.Class, f tableFacts) string {
	if !f.there {
		return ""
	}
	return sqliteLock
}

// forbids asks whether the file and its folder, where the journal is kept, may be written to. The file is not opened: to close it
// would let go of the locks that this process has on it.
func (d sqliteDialect) forbids(context.Context, queryer, statement.Name, []string) (string, error) {
	const write = 2 // W_OK
	for _, path := range []string{d.file, filepath.Dir(d.file)} {
		if err := syscall.Access(path, write); err != nil {
			return path + " may not be written to: " + err.Error(), nil //nolint:nilerr // this is the answer
		}
	}
	return "", nil
}
