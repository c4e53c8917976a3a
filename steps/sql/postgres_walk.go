package sql

import (
	"context"
	"fmt"
	"strings"

	"github.com/handrail-dev/handrail/steps/sql/statement"
)

func (*postgresDialect) columnsOf(ctx context.Context, q queryer, t statement.Name) ([]column, error) {
	rows, err := q.rows(ctx, "look at the columns of "+t.String(), `SELECT a.attname, y.typname, a.attnotnull::int, (a.attgenerated <> '')::int, (a.atthasdef OR a.attidentity <> '')::int
		FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type y ON y.oid = a.atttypid JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE a.attnum > 0 AND NOT a.attisdropped AND`+postgresFound+`ORDER BY a.attnum`, t.Schema, t.Table)
	var out []column
	for _, r := range rows {
		c := column{name: word(r[0]), typ: word(r[1]), nullable: number(r[2]) == 0, generated: number(r[3]) == 1}
		c.filled = c.nullable || c.generated || number(r[4]) == 1
		out = append(out, c)
	}
	return out, err
}

func (*postgresDialect) keysOf(ctx context.Context, q queryer, t statement.Name) ([]uniqueKey, error) {
	rows, err := q.rows(ctx, "look at the keys of "+t.String(), `SELECT i.relname, x.indisprimary::int, COALESCE(a.attname, ''), COALESCE(a.attnotnull, false)::int,
			(x.indpred IS NOT NULL)::int, x.indisvalid::int
		FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid JOIN pg_catalog.pg_am m ON m.oid = i.relam AND m.amname = 'btree'
		JOIN pg_catalog.pg_class c ON c.oid = x.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		JOIN LATERAL unnest(x.indkey::int[]) WITH ORDINALITY AS k (attnum, place) ON k.place <= x.indnkeyatts
		LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum AND k.attnum > 0
		WHERE x.indisunique AND`+postgresFound+`ORDER BY NOT x.indisprimary, i.relname, k.place`, t.Schema, t.Table)
	var out []uniqueKey
	for _, r := range rows {
		index := word(r[0])
		if len(out) == 0 || out[len(out)-1].index != index {
			out = append(out, uniqueKey{name: index, index: index})
		}
		k := &out[len(out)-1]
		if number(r[1]) == 1 {
			k.name = primaryKey
		}
		k.columns = append(k.columns, word(r[2]))
		switch {
		case word(r[2]) == "":
			k.why = "it is on an expression, not on columns"
		case number(r[4]) == 1:
			k.why = "it is on a part of the rows"
		case number(r[5]) == 0:
			k.why = "it was not built to its end"
		case number(r[3]) == 0:
			k.why = fmt.Sprintf("%s takes NULL", word(r[2]))
		}
	}
	return out, err
}

// keyForm: what is no number and no text is read as a text, which is sent back as it came. It must not have
// the column's own name, by which the rows would be put in the order of the texts.
func (*postgresDialect) keyForm(c column) (read, put string, ok bool) {
	switch c.typ {
	case "int2", "int4", "int8", "text", "varchar", "bpchar":
		return "%s", "$1", true
	case "numeric", "uuid", "date", "time", "timestamp", "timestamptz", "bytea", "inet":
		return "%s::text || ''", "$1", true
	}
	return "", "", false
}

// walkBy: PostgreSQL takes no hints; it reads by the key because the rows are wanted in its order.
func (*postgresDialect) walkBy(uniqueKey) string { return "" }

func (*postgresDialect) removeByKey(table string, _ uniqueKey) string { return "DELETE FROM " + table }

func (*postgresDialect) insertAs() string { return " OVERRIDING SYSTEM VALUE" }

// inOrder numbers the arguments anew.
func (*postgresDialect) inOrder(text string) string {
	tokens, err := statement.Lex(statement.Postgres, text)
	if err != nil {
		return text // the server says what is wrong with it
	}
	var b strings.Builder
	at, n := 0, 0
	for _, t := range tokens {
		if t.Kind == statement.Number && strings.HasPrefix(t.Text, "$") {
			n++
			fmt.Fprintf(&b, "%s$%d", text[at:t.Start], n)
			at = t.End
		}
	}
	b.WriteString(text[at:])
	return b.String()
}

func (*postgresDialect) gentle() []string {
	return []string{
		"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED",
		fmt.Sprintf("SET lock_timeout = '%ds'", moveLockWait),
	}
}

func (*postgresDialect) running() string {
	return "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE state = 'active' AND backend_type = 'client backend'"
}
