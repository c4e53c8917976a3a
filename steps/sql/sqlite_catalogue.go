package sql

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// mainDatabase is what SQLite calls the file that was opened.
const mainDatabase = "main"

func (sqliteDialect) current(context.Context, queryer) (string, error) { return mainDatabase, nil }

func (d sqliteDialect) look(ctx context.Context, q queryer, t statement.Name) (tableFacts, error) {
	f := tableFacts{rows: -1, engine: "SQLite"}
	doing := "look at table " + t.String()
	rows, err := q.rows(ctx, doing, "SELECT type FROM sqlite_master WHERE type IN ('table', 'view') AND name = ? COLLATE NOCASE", t.Table)
	if err != nil || len(rows) == 0 {
		return f, err
	}
	f.there, f.view = true, word(rows[0][0]) == "view"
	if info, err := os.Stat(d.file); err == nil { // the size of one table can be told only by reading it
		f.size = engine.Figure{Name: "bytes, the database's file", Value: info.Size(), Certainty: engine.FigureExact}
	}
	rows, err = q.rows(ctx, doing, "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE ORDER BY name", t.Table)
	if err != nil {
		return f, err
	}
	for _, r := range rows {
		f.triggers = append(f.triggers, triggerEvent(word(r[1]))+" "+word(r[0]))
	}
	return f, nil
}

func (sqliteDialect) cascades(ctx context.Context, q queryer, t statement.Name) ([]string, error) {
	rows, err := q.rows(ctx, "look at the foreign keys on "+t.String(), `SELECT DISTINCT m.name, k.on_update, k.on_delete
		FROM sqlite_master m, pragma_foreign_key_list(m.name) k
		WHERE m.type = 'table' AND k."table" = ? COLLATE NOCASE ORDER BY m.name`, t.Table)
	return cascadesOf(rows), err
}

// triggerEvent reads the event out of a trigger's definition.
func triggerEvent(definition string) string {
	tokens, err := statement.Lex(statement.SQLite, definition)
	if err != nil {
		return "UPDATE"
	}
	for _, t := range tokens {
		if t.Kind == statement.Word && (t.Upper == "INSERT" || t.Upper == "UPDATE" || t.Upper == "DELETE") {
			return t.Upper
		}
	}
	return "UPDATE"
}

func (sqliteDialect) leaky(context.Context, queryer, string) ([]string, error) { return nil, nil }

func (sqliteDialect) strangers(ctx context.Context, q queryer, names []string) ([]string, error) {
	const doing = "look the names up in the catalogue"
	known := map[string]bool{mainDatabase: true, "temp": true}
	list, args := holes(names)
	for _, from := range []string{"name FROM sqlite_master WHERE name", "c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE c.name"} {
		rows, err := q.rows(ctx, doing, "SELECT DISTINCT "+from+" COLLATE NOCASE IN ("+list+")", args...)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			known[strings.ToLower(word(r[0]))] = true
		}
	}
	return unknownOf(names, known), nil
}

func (sqliteDialect) markers(ctx context.Context, q queryer) ([]string, error) {
	rows, err := q.rows(ctx, "look for the table of markers", "SELECT COUNT(*) FROM pragma_table_info(?) WHERE name IN ("+markerColumns+")", markerTableName)
	if err != nil || number(rows[0][0]) != 4 {
		return nil, err
	}
	return []string{mainDatabase}, nil
}

// server is the file. It is looked at by name: opening it would let go of the locks that this process has on it.
func (d sqliteDialect) server(context.Context, queryer) (string, error) {
	info, err := os.Stat(d.file)
	if err != nil {
		return "", fmt.Errorf("look at the database's file: %w", err)
	}
	if at, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("file %d on %d", at.Ino, at.Dev), nil
	}
	return "file " + d.file, nil
}

func (sqliteDialect) clock() string { return "" }

// follows: a file has no other that it follows.
func (sqliteDialect) follows(context.Context, queryer) (string, error) { return "", nil }

func (sqliteDialect) mayKeep(context.Context, queryer, string, string) (string, error) {
	return "", nil
}
