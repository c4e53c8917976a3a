package sql

import (
	"context"
	"fmt"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

func (*mysqlDialect) current(ctx context.Context, q queryer) (string, error) {
	rows, err := q.rows(ctx, "ask for the current database", "SELECT DATABASE()")
	if err != nil || len(rows) == 0 {
		return "", err
	}
	return word(rows[0][0]), nil
}

func (d *mysqlDialect) look(ctx context.Context, q queryer, t statement.Name) (tableFacts, error) {
	f := tableFacts{rows: -1}
	doing := "look at table " + t.String()
	rows, err := q.rows(ctx, doing, `SELECT t.ENGINE, t.TABLE_TYPE, t.TABLE_ROWS, e.TRANSACTIONS, t.DATA_LENGTH + t.INDEX_LENGTH
		FROM information_schema.TABLES t LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE
		WHERE t.TABLE_SCHEMA = ? AND t.TABLE_NAME = ?`, t.Schema, t.Table)
	if err != nil || len(rows) == 0 {
		return f, err
	}
	f.there, f.engine, f.view = true, word(rows[0][0]), word(rows[0][1]) == "VIEW"
	f.leaky = !f.view && word(rows[0][3]) != "YES"
	if rows[0][2] != nil {
		f.rows = number(rows[0][2])
	}
	if rows[0][4] != nil {
		f.size = engine.Figure{Value: number(rows[0][4]), Certainty: engine.FigureEstimate, Why: "by the server's statistics"}
	}
	if rows, err = q.rows(ctx, doing, `SELECT EVENT_MANIPULATION, TRIGGER_NAME FROM information_schema.TRIGGERS
		WHERE EVENT_OBJECT_SCHEMA = ? AND EVENT_OBJECT_TABLE = ? ORDER BY TRIGGER_NAME`, t.Schema, t.Table); err != nil {
		return f, err
	}
	for _, r := range rows {
		f.triggers = append(f.triggers, word(r[0])+" "+word(r[1]))
	}
	return f, nil
}

// cascades looks at the tables of the same database only: MariaDB opens every table that it looks at.
func (*mysqlDialect) cascades(ctx context.Context, q queryer, t statement.Name) ([]string, error) {
	rows, err := q.rows(ctx, "look at the foreign keys on "+t.String(), `SELECT DISTINCT TABLE_NAME, UPDATE_RULE, DELETE_RULE
		FROM information_schema.REFERENTIAL_CONSTRAINTS
		WHERE CONSTRAINT_SCHEMA = ? AND UNIQUE_CONSTRAINT_SCHEMA = ? AND REFERENCED_TABLE_NAME = ? ORDER BY TABLE_NAME`, t.Schema, t.Schema, t.Table)
	return cascadesOf(rows), err
}

// cascadesOf reads rows of table, rule on update, rule on delete.
func cascadesOf(rows [][]any) []string {
	var out []string
	for _, r := range rows {
		for i, event := range []string{"UPDATE", "DELETE"} {
			if rule := word(r[1+i]); rule != "RESTRICT" && rule != "NO ACTION" {
				out = append(out, event+" "+word(r[0]))
			}
		}
	}
	return out
}

func (*mysqlDialect) leaky(ctx context.Context, q queryer, database string) ([]string, error) {
	rows, err := q.rows(ctx, "look for tables without transactions", `SELECT t.TABLE_NAME, t.ENGINE
		FROM information_schema.TABLES t LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE
		WHERE t.TABLE_SCHEMA = ? AND t.TABLE_TYPE <> 'VIEW' AND COALESCE(e.TRANSACTIONS, 'NO') <> 'YES'
		ORDER BY t.TABLE_NAME LIMIT 3`, database)
	var out []string
	for _, r := range rows {
		out = append(out, fmt.Sprintf("%s (%s)", word(r[0]), word(r[1])))
	}
	return out, err
}

// strangers asks database by database and stops when everything is known: for a condition that is no
// equality MariaDB opens every table of every database.
func (d *mysqlDialect) strangers(ctx context.Context, q queryer, names []string) ([]string, error) {
	const doing = "look the names up in the catalogue"
	list, args := holes(names)
	rows, err := q.rows(ctx, doing, "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN ("+list+")", args...)
	if err != nil {
		return nil, err
	}
	here, err := d.current(ctx, q)
	if err != nil {
		return nil, err
	}
	databases, known := []string{here}, map[string]bool{}
	for _, r := range rows {
		databases = append(databases, word(r[0]))
		known[strings.ToLower(word(r[0]))] = true
	}
	strange := unknownOf(names, known)
	for _, from := range []string{"TABLE_NAME FROM information_schema.TABLES", "COLUMN_NAME FROM information_schema.COLUMNS",
		"INDEX_NAME FROM information_schema.STATISTICS"} {
		column, _, _ := strings.Cut(from, " ")
		for _, db := range databases {
			if len(strange) == 0 || db == "" {
				continue
			}
			list, args := holes(strange)
			rows, err := q.rows(ctx, doing, "SELECT DISTINCT "+from+" WHERE TABLE_SCHEMA = ? AND "+column+" IN ("+list+")", append([]any{db}, args...)...)
			if err != nil {
				return nil, err
			}
			known := map[string]bool{}
			for _, r := range rows {
				known[strings.ToLower(word(r[0]))] = true
			}
			strange = unknownOf(strange, known)
		}
	}
	return strange, nil
}

// unknownOf are the names that are not among the known ones, in any case of letters.
func unknownOf(names []string, known map[string]bool) []string {
	var out []string
	for _, n := range names {
		if !known[strings.ToLower(n)] {
			out = append(out, n)
		}
	}
	return out
}

// holes are as many placeholders as there are values.
func holes(values []string) (string, []any) {
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	return strings.TrimSuffix(strings.Repeat("?,", len(values)), ","), args
}

func (*mysqlDialect) markers(ctx context.Context, q queryer) ([]string, error) {
	rows, err := q.rows(ctx, "look for the tables of markers",
		"SELECT TABLE_SCHEMA FROM information_schema.COLUMNS WHERE TABLE_NAME = ? AND COLUMN_NAME IN ("+markerColumns+") GROUP BY TABLE_SCHEMA HAVING COUNT(*) = 4", markerTableName)
	var out []string
	for _, r := range rows {
		out = append(out, word(r[0]))
	}
	return out, err
}

// server: MariaDB has no name for itself but the number that tells the servers of a replication apart.
func (*mysqlDialect) server(ctx context.Context, q queryer) (string, error) {
	rows, err := q.rows(ctx, "ask which server it is", "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('server_id', 'server_uuid')")
	id := "mysql"
	for _, r := range rows {
		id += " " + word(r[0]) + " " + word(r[1])
	}
	return id, err
}

func (*mysqlDialect) clock() string { return "SELECT UNIX_TIMESTAMP(NOW(6))" }

// follows: read_only does not stop a user with the rights of an administrator, so it is asked for. Newer servers
// have words for it.
func (*mysqlDialect) follows(ctx context.Context, q queryer) (string, error) {
	rows, err := q.rows(ctx, "ask whether it takes writes", "SELECT @@global.read_only")
	if err != nil || len(rows) == 0 {
		return "", err
	}
	if on := strings.ToUpper(word(rows[0][0])); on == "0" || on == "OFF" {
		return "", nil
	}
	return "is a replica, or was made read-only (read_only is on)", nil
}

// mayKeep looks at the rights of the user.
func (d *mysqlDialect) mayKeep(ctx context.Context, q queryer, database, table string) (string, error) {
	there, err := q.rows(ctx, rightsDoing, "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?", database, table)
	if err != nil {
		return "", err
	}
	need := []string{"SELECT", "INSERT", "UPDATE"}
	if len(there) == 0 {
		need = append([]string{"CREATE"}, need...)
	}
	user, right, err := d.lacks(ctx, q, database, table, need)
	if right == "" {
		return "", err
	}
	return fmt.Sprintf("the user %s has no right to %s the table %s.%s", user, right, database, table), nil
}

const rightsDoing = "look at the rights of the user"

// lacks says which of the rights in a database, or in a table of it, the user has not. Those that come by a
// role are not looked through: then it says nothing.
func (*mysqlDialect) lacks(ctx context.Context, q queryer, database, table string, need []string) (user, right string, err error) {
	rows, err := q.rows(ctx, rightsDoing, "SELECT COUNT(*), CURRENT_USER() FROM information_schema.APPLICABLE_ROLES")
	if err != nil || len(rows) == 0 || number(rows[0][0]) > 0 {
		return "", "", nil //nolint:nilerr // a server without this table is not asked further: nothing is said of the rights
	}
	name, host, _ := cutLast(word(rows[0][1]), "@")
	grantee := "'" + name + "'@'" + host + "'"
	got, err := q.rows(ctx, rightsDoing, `SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = ?
		UNION SELECT PRIVILEGE_TYPE FROM information_schema.SCHEMA_PRIVILEGES WHERE GRANTEE = ? AND ? LIKE TABLE_SCHEMA
		UNION SELECT PRIVILEGE_TYPE FROM information_schema.TABLE_PRIVILEGES WHERE GRANTEE = ? AND TABLE_SCHEMA = ? AND TABLE_NAME = ?
		UNION SELECT PRIVILEGE_TYPE FROM information_schema.COLUMN_PRIVILEGES WHERE GRANTEE = ? AND TABLE_SCHEMA = ? AND TABLE_NAME = ?`,
		grantee, grantee, database, grantee, database, table, grantee, database, table)
	if err != nil {
		return "", "", err
	}
	has := map[string]bool{}
	for _, r := range got {
		has[word(r[0])] = true
	}
	for _, right := range need {
		if !has[right] {
			return word(rows[0][1]), right, nil
		}
	}
	return "", "", nil
}

// mayRestore asks for what every dump does to its tables.
func (d *mysqlDialect) mayRestore(ctx context.Context, q queryer, database string) (string, error) {
	user, right, err := d.lacks(ctx, q, database, "", []string{"DROP", "CREATE", "ALTER", "INSERT", "SELECT", "LOCK TABLES"})
	if right == "" {
		return "", err
	}
	return fmt.Sprintf("the user %s has no right to %s in database %s, and a restore needs DROP, CREATE, ALTER, INSERT, SELECT and LOCK TABLES", user, right, database), nil
}

func (*mysqlDialect) longest(ctx context.Context, q queryer) (int64, error) {
	rows, err := q.rows(ctx, "ask how long a statement may be", "SELECT @@max_allowed_packet")
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return number(rows[0][0]), nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
