package sql

import (
	"context"
	"fmt"
	"strings"

	"github.com/handrail-dev/handrail/steps/sql/statement"
)

func (*mysqlDialect) columnsOf(ctx context.Context, q queryer, t statement.Name) ([]column, error) {
	rows, err := q.rows(ctx, "look at the columns of "+t.String(), `SELECT COLUMN_NAME, DATA_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE, IS_NULLABLE, COLUMN_DEFAULT, EXTRA
		FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION`, t.Schema, t.Table)
	var out []column
	for _, r := range rows {
		extra := strings.ToUpper(word(r[6]))
		c := column{name: word(r[0]), typ: strings.ToLower(word(r[1])), digits: number(r[2]), scale: number(r[3]), nullable: word(r[4]) == "YES"}
		c.generated = strings.Contains(extra, "VIRTUAL GENERATED") || strings.Contains(extra, "STORED GENERATED")
		c.filled = c.nullable || c.generated || r[5] != nil || strings.Contains(extra, "AUTO_INCREMENT")
		out = append(out, c)
	}
	return out, err
}

func (*mysqlDialect) keysOf(ctx context.Context, q queryer, t statement.Name) ([]uniqueKey, error) {
	rows, err := q.rows(ctx, "look at the keys of "+t.String(), `SELECT INDEX_NAME, COLUMN_NAME, SUB_PART, NULLABLE
		FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND NON_UNIQUE = 0
		ORDER BY INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX`, t.Schema, t.Table)
	var out []uniqueKey
	for _, r := range rows {
		name := word(r[0])
		if len(out) == 0 || out[len(out)-1].index != name {
			out = append(out, uniqueKey{name: name, index: name})
		}
		k := &out[len(out)-1]
		k.columns = append(k.columns, word(r[1]))
		switch {
		case r[1] == nil:
			k.why = "it is on an expression, not on columns"
		case r[2] != nil:
			k.why = fmt.Sprintf("it has only the beginning of %s", word(r[1]))
		case word(r[3]) == "YES":
			k.why = fmt.Sprintf("%s takes NULL", word(r[1]))
		}
	}
	return out, err
}

func (*mysqlDialect) keyForm(c column) (read, put string, ok bool) {
	switch c.typ {
	case "tinyint", "smallint", "mediumint", "int", "bigint", "year", "char", "varchar", "uuid", "inet4", "inet6":
		return "%s", "?", true
	case "decimal":
		return "%s", fmt.Sprintf("CAST(? AS DECIMAL(%d,%d))", c.digits, c.scale), true
	case "binary", "varbinary":
		return "HEX(%s)", "UNHEX(?)", true
	case "date", "datetime", "time":
		// As text: a time that the driver makes of it may not be there on the clocks of its zone.
		return "CAST(%s AS CHAR)", "?", true
	}
	return "", "", false
}

func (d *mysqlDialect) walkBy(k uniqueKey) string { return " FORCE INDEX (" + d.quote(k.index) + ")" }

// removeByKey has the form for several tables, which is the one that takes an index.
func (d *mysqlDialect) removeByKey(table string, k uniqueKey) string {
	return "DELETE handrail_from FROM " + table + " AS handrail_from" + d.walkBy(k)
}

// moveLockWait is how many seconds a batch waits for somebody else's lock, while others wait for its own.
const moveLockWait = 3

func (*mysqlDialect) gentle() []string {
	return []string{
		"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
		// A value that does not fit is an error; an id of 0 stays 0.
		"SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO')",
		fmt.Sprintf("SET SESSION innodb_lock_wait_timeout = %d", moveLockWait),
	}
}

func (*mysqlDialect) running() string { return "SHOW GLOBAL STATUS LIKE 'Threads_running'" }

func (*mysqlDialect) insertAs() string           { return "" }
func (*mysqlDialect) inOrder(text string) string { return text }
