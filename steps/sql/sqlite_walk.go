package sql

import (
	"context"
	"fmt"
	"strings"

	"github.com/handrail-dev/handrail/steps/sql/statement"
)

func (sqliteDialect) columnsOf(ctx context.Context, q queryer, t statement.Name) ([]column, error) {
	rows, err := q.rows(ctx, "look at the columns of "+t.String(), `SELECT name, type, "notnull", dflt_value, hidden, pk FROM pragma_table_xinfo(?)`, t.Table)
	var out []column
	for _, r := range rows {
		typ, _, _ := strings.Cut(strings.ToLower(word(r[1])), "(")
		c := column{name: word(r[0]), typ: strings.TrimSpace(typ), nullable: number(r[2]) == 0, generated: number(r[4]) > 1}
		c.filled = c.nullable || c.generated || r[3] != nil
		if number(r[4]) != 1 { // 1 is a column of a virtual table that nobody sees
			out = append(out, c)
		}
	}
	return out, err
}

func (d sqliteDialect) keysOf(ctx context.Context, q queryer, t statement.Name) ([]uniqueKey, error) {
	doing := "look at the keys of " + t.String()
	columns, err := d.columnsOf(ctx, q, t)
	if err != nil {
		return nil, err
	}
	var out []uniqueKey
	rows, err := q.rows(ctx, doing, "SELECT name FROM pragma_table_xinfo(?) WHERE pk > 0 ORDER BY pk", t.Table)
	if err != nil {
		return nil, err
	}
	indexes, err := q.rows(ctx, doing, `SELECT name, origin, partial FROM pragma_index_list(?) WHERE "unique" = 1 ORDER BY origin <> 'pk', name`, t.Table)
	if err != nil {
		return nil, err
	}
	if len(rows) > 0 && (len(indexes) == 0 || word(indexes[0][1]) != "pk") { // it is the table's own order
		k := uniqueKey{name: primaryKey}
		for _, r := range rows {
			k.columns = append(k.columns, word(r[0]))
		}
		out = append(out, k)
	}
	for _, ix := range indexes {
		parts, err := q.rows(ctx, doing, "SELECT name FROM pragma_index_info(?) ORDER BY seqno", word(ix[0]))
		if err != nil {
			return nil, err
		}
		k := uniqueKey{name: word(ix[0]), index: word(ix[0])}
		if word(ix[1]) == "pk" {
			k.name = primaryKey
		}
		if number(ix[2]) != 0 {
			k.why = "it is on a part of the rows"
		}
		for _, p := range parts {
			k.columns = append(k.columns, word(p[0]))
			switch c, ok := columnNamed(columns, word(p[0])); {
			case !ok:
				k.why = "it is on an expression, not on columns"
			case c.nullable:
				k.why = fmt.Sprintf("%s takes NULL; SQLite lets even a PRIMARY KEY take it, unless it says NOT NULL", c.name)
			}
		}
		out = append(out, k)
	}
	return out, nil
}

// keyForm: a plus before a column takes its declared type away, which the driver would read into it.
func (sqliteDialect) keyForm(c column) (read, put string, ok bool) {
	switch {
	case strings.Contains(c.typ, "int"), strings.Contains(c.typ, "char"), strings.Contains(c.typ, "text"), strings.Contains(c.typ, "clob"),
		c.typ == "date", c.typ == "datetime", c.typ == "uuid":
		return "+%s", "?", true
	}
	return "", "", false
}

func (d sqliteDialect) walkBy(k uniqueKey) string {
	if k.index == "" {
		return " NOT INDEXED"
	}
	return " INDEXED BY " + d.quote(k.index)
}

func (d sqliteDialect) removeByKey(table string, k uniqueKey) string {
	return "DELETE FROM " + table + d.walkBy(k)
}

func (sqliteDialect) gentle() []string { return nil }

func (sqliteDialect) running() string { return "" }

func (sqliteDialect) insertAs() string           { return "" }
func (sqliteDialect) inOrder(text string) string { return text }
