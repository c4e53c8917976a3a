package sql

import (
	"context"
	"fmt"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// What package sql calls a database is a schema to PostgreSQL: a session sees the schemas of one database
// only, and one transaction takes in all of them.

func (*postgresDialect) current(ctx context.Context, q queryer) (string, error) {
	rows, err := q.rows(ctx, "ask for the current schema", "SELECT pg_catalog.current_schema()")
	if err != nil || len(rows) == 0 {
		return "", err
	}
	return word(rows[0][0]), nil
}

// found is the table of a name: in its schema, or, where a statement would look for it when it names none.
// A name that is not qualified comes here with the current schema.
const postgresFound = ` c.relname = $2 AND (n.nspname = $1 OR $1 = pg_catalog.current_schema() AND pg_catalog.pg_table_is_visible(c.oid)) `

func (d *postgresDialect) look(ctx context.Context, q queryer, t statement.Name) (tableFacts, error) {
	f := tableFacts{rows: -1}
	doing := "look at table " + t.String()
	rows, err := q.rows(ctx, doing, `SELECT c.relkind::text, c.relpersistence::text, c.reltuples::bigint, COALESCE(a.amname, ''), COALESCE(s.srvname, ''), c.oid::bigint, n.nspname,
		CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_total_relation_size(c.oid) END
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam
		LEFT JOIN pg_catalog.pg_foreign_table f ON f.ftrelid = c.oid LEFT JOIN pg_catalog.pg_foreign_server s ON s.oid = f.ftserver
		WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND`+postgresFound+`ORDER BY n.nspname <> $1 LIMIT 1`, t.Schema, t.Table)
	if err != nil || len(rows) == 0 {
		return f, err
	}
	kind := word(rows[0][0])
	f.there, f.view, f.volatile, f.engine = true, kind == "v" || kind == "m", word(rows[0][1]) == "u", word(rows[0][3])
	if home := word(rows[0][6]); home != t.Schema {
		f.schema = home
	}
	switch {
	case kind == "f":
		f.leaky, f.engine = true, "foreign table of server "+word(rows[0][4])
	case f.engine == "":
		f.engine = "partitioned"
	}
	if rows[0][7] != nil {
		f.size = engine.Figure{Value: number(rows[0][7]), Certainty: engine.FigureExact}
	}
	if n := number(rows[0][2]); n >= 0 && kind == "r" {
		f.rows = n
	}
	// The numbers are the bits of INSERT, DELETE, UPDATE and TRUNCATE in a trigger, and a rule's events.
	rows, err = q.rows(ctx, doing, `SELECT e.event, t.tgname FROM pg_catalog.pg_trigger t
		JOIN (VALUES ('INSERT', 4), ('DELETE', 8), ('UPDATE', 16), ('TRUNCATE', 32)) AS e (event, bit) ON (t.tgtype & e.bit) <> 0
		WHERE t.tgrelid = $1::oid AND NOT t.tgisinternal AND t.tgenabled <> 'D'
		UNION ALL SELECT e.event, 'rule ' || r.rulename FROM pg_catalog.pg_rewrite r
		JOIN (VALUES ('UPDATE', '2'), ('INSERT', '3'), ('DELETE', '4')) AS e (event, kind) ON r.ev_type::text = e.kind
		WHERE r.ev_class = $1::oid ORDER BY 2, 1`, rows[0][5])
	for _, r := range rows {
		f.triggers = append(f.triggers, word(r[0])+" "+word(r[1]))
	}
	return f, err
}

// cascades sees all schemas.
func (*postgresDialect) cascades(ctx context.Context, q queryer, t statement.Name) ([]string, error) {
	rows, err := q.rows(ctx, "look at the foreign keys on "+t.String(), `SELECT DISTINCT k.conrelid::regclass::text,
		CASE k.confupdtype WHEN 'a' THEN 'NO ACTION' WHEN 'r' THEN 'RESTRICT' ELSE 'CASCADE' END,
		CASE k.confdeltype WHEN 'a' THEN 'NO ACTION' WHEN 'r' THEN 'RESTRICT' ELSE 'CASCADE' END
		FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.confrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE k.contype = 'f' AND`+postgresFound+`ORDER BY 1`, t.Schema, t.Table)
	return cascadesOf(rows), err
}

// leaky: code that is not seen may write a table of another server, or go to one by dblink.
func (*postgresDialect) leaky(ctx context.Context, q queryer, _ string) ([]string, error) {
	rows, err := q.rows(ctx, "look for tables without transactions", `SELECT 'the foreign table ' || c.oid::regclass::text FROM pg_catalog.pg_class c WHERE c.relkind = 'f'
		UNION ALL SELECT 'the extension dblink' FROM pg_catalog.pg_extension WHERE extname = 'dblink' LIMIT 3`)
	var out []string
	for _, r := range rows {
		out = append(out, word(r[0]))
	}
	return out, err
}

// strangers: names are as they stand, since they are put into quotes.
func (d *postgresDialect) strangers(ctx context.Context, q queryer, names []string) ([]string, error) {
	known := map[string]bool{}
	list, args := "", make([]any, len(names))
	for i, n := range names {
		if i > 0 {
			list += ", "
		}
		list += fmt.Sprintf("$%d", i+1)
		args[i] = n
	}
	rows, err := q.rows(ctx, "look the names up in the catalogue", `WITH near AS (
			SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname IN (`+list+`) OR n.nspname = ANY (pg_catalog.current_schemas(true)))
		SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname IN (`+list+`)
		UNION SELECT relname FROM pg_catalog.pg_class WHERE relnamespace IN (SELECT oid FROM near) AND relname IN (`+list+`)
		UNION SELECT a.attname FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
			WHERE c.relnamespace IN (SELECT oid FROM near) AND NOT a.attisdropped AND a.attname IN (`+list+`)`, args...)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		known[word(r[0])] = true
	}
	var strange []string
	for _, n := range names {
		if !known[n] {
			strange = append(strange, n)
		}
	}
	return strange, nil
}

func (*postgresDialect) markers(ctx context.Context, q queryer) ([]string, error) {
	rows, err := q.rows(ctx, "look for the tables of markers", `SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relname = $1 AND c.relkind IN ('r', 'p') AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
		AND (SELECT COUNT(*) FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped AND a.attname IN (`+markerColumns+`)) = 4`, markerTableName)
	var out []string
	for _, r := range rows {
		out = append(out, word(r[0]))
	}
	return out, err
}

func (d *postgresDialect) mayKeep(ctx context.Context, q queryer, database, table string) (string, error) {
	rows, err := q.rows(ctx, "look at the rights of the user", `SELECT CURRENT_USER::text, pg_catalog.pg_is_in_recovery()::int,
		pg_catalog.has_schema_privilege(n.oid, 'CREATE')::int, COALESCE(c.oid, 0)::bigint,
		COALESCE(pg_catalog.has_table_privilege(c.oid, 'SELECT') AND pg_catalog.has_table_privilege(c.oid, 'INSERT') AND pg_catalog.has_table_privilege(c.oid, 'UPDATE'), false)::int
		FROM pg_catalog.pg_namespace n LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = $2 WHERE n.nspname = $1`, database, table)
	if err != nil || len(rows) == 0 {
		return "", err
	}
	r := rows[0]
	switch {
	case number(r[1]) == 1:
		return "the server is a standby, which takes no writes", nil
	case number(r[3]) == 0 && number(r[2]) == 0:
		return fmt.Sprintf("the user %s has no right to CREATE the table %s.%s", word(r[0]), database, table), nil
	case number(r[3]) != 0 && number(r[4]) == 0:
		return fmt.Sprintf("the user %s has no right to SELECT, INSERT and UPDATE the table %s.%s", word(r[0]), database, table), nil
	}
	return "", nil
}

// server is the cluster's own number, which its physical replicas share: they have its markers.
func (*postgresDialect) clock() string {
	return "SELECT EXTRACT(epoch FROM pg_catalog.clock_timestamp())::float8"
}

func (*postgresDialect) follows(ctx context.Context, q queryer) (string, error) {
	rows, err := q.rows(ctx, "ask whether it takes writes", "SELECT pg_catalog.pg_is_in_recovery()::int")
	if err != nil || len(rows) == 0 || number(rows[0][0]) == 0 {
		return "", err
	}
	return "is a standby (in recovery)", nil
}

func (*postgresDialect) server(ctx context.Context, q queryer) (string, error) {
	rows, err := q.rows(ctx, "ask which server it is", "SELECT system_identifier::text FROM pg_catalog.pg_control_system()")
	if is(err, rightsFault) {
		return "postgres", nil // the table of markers tells it alone
	}
	if err != nil || len(rows) == 0 {
		return "", err
	}
	return "postgres " + word(rows[0][0]), nil
}
