package mysqlgroup

import (
	"context"
	stdsql "database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/dolthub/vitess/go/mysql"
	"github.com/dolthub/vitess/go/sqltypes"
	querypb "github.com/dolthub/vitess/go/vt/proto/query"
	"github.com/dolthub/vitess/go/vt/sqlparser"
	"modernc.org/sqlite"
)

// version is one in which the settings that the guides use are gone already.
const version = "8.0.36"

// A query is parsed by a parser of MySQL's grammar, and then evaluated by SQLite over tables that are made of the model: so the tests
// may ask what they want, and a query with a mistake in it fails.
const tables = `
ATTACH ':memory:' AS performance_schema;
ATTACH ':memory:' AS information_schema;
CREATE TABLE performance_schema.replication_group_members (CHANNEL_NAME TEXT, MEMBER_ID TEXT, MEMBER_HOST TEXT, MEMBER_PORT INTEGER,
	MEMBER_STATE TEXT COLLATE NOCASE, MEMBER_ROLE TEXT COLLATE NOCASE, MEMBER_VERSION TEXT);
CREATE TABLE performance_schema.replication_connection_status (CHANNEL_NAME TEXT, RECEIVED_TRANSACTION_SET TEXT);
CREATE TABLE information_schema.PROCESSLIST (ID INTEGER, TIME INTEGER, STATE TEXT, INFO TEXT);
CREATE TABLE variables (Variable_name TEXT, Value TEXT);`

var (
	variable = regexp.MustCompile(`(?i)@@(?:global\.|session\.)?(\w+)`)
	shown    = regexp.MustCompile(`(?i)^SHOW GLOBAL VARIABLES WHERE `)
	// What Handrail asks of every server by itself, and SQLite does not have.
	elsewhere = strings.NewReplacer("TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), NOW())", "0", "UNIX_TIMESTAMP(NOW(6))", "unixepoch('subsec')",
		"VERSION()", "'"+version+"'", "DATABASE()", "NULL", "LEFT(INFO, 100)", "INFO")
	register = sync.OnceValue(func() error {
		return errors.Join(sqlite.RegisterDeterministicScalarFunction("gtid_subtract", 2, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
			a, b, err := two(args)
			return a.without(b).String(), err
		}), sqlite.RegisterDeterministicScalarFunction("gtid_subset", 2, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
			a, b, err := two(args)
			if len(a.without(b)) == 0 {
				return int64(1), err
			}
			return int64(0), err
		}))
	})
)

func two(args []driver.Value) (a, b gtids, err error) {
	if a, err = parse(fmt.Sprint(args[0])); err == nil {
		b, err = parse(fmt.Sprint(args[1]))
	}
	return a, b, err
}

// read answers a query.
func (s *server) read(c *mysql.Conn, text string, args []any) (*sqltypes.Result, error) {
	if _, err := sqlparser.Parse(text); err != nil {
		return nil, failure(1064, "You have an error in your SQL syntax: %v", err)
	}
	values, db, err := s.made()
	if err != nil {
		return nil, failure(1105, "%v", err)
	}
	defer db.Close()
	text = shown.ReplaceAllString(text, "SELECT * FROM variables WHERE ")
	text = strings.ReplaceAll(elsewhere.Replace(text), "CONNECTION_ID()", fmt.Sprint(c.ConnectionID))
	var unknown string
	text = variable.ReplaceAllStringFunc(text, func(v string) string {
		value, there := values[strings.ToLower(variable.FindStringSubmatch(v)[1])]
		if !there {
			unknown = v
		}
		return value
	})
	if unknown != "" {
		return nil, failure(1193, "Unknown system variable '%s'", unknown)
	}
	rows, err := db.QueryContext(context.Background(), text, args...)
	if err != nil {
		return nil, failure(1105, "%v", err)
	}
	r, err := result(rows)
	if err != nil {
		return nil, failure(1105, "%v", err)
	}
	return r, nil
}

// made makes the tables, as this member sees the group, and gives its variables as they are written in a statement.
func (s *server) made() (values map[string]string, db *stdsql.DB, err error) {
	if err := register(); err != nil {
		return nil, nil, err
	}
	if db, err = stdsql.Open("sqlite", ":memory:"); err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(1) // each connection has a memory of its own
	var put strings.Builder
	put.WriteString(tables)
	s.m.g.mu.Lock()
	s.m.recover()
	values = s.m.variables()
	s.m.view(&put)
	s.m.g.mu.Unlock()
	for name, value := range values {
		fmt.Fprintf(&put, "INSERT INTO variables VALUES ('%s', %s);", name, value)
	}
	s.mu.Lock()
	for id, at := range s.conns {
		fmt.Fprintf(&put, "INSERT INTO information_schema.PROCESSLIST VALUES (%d, %d, '', %s);", id, int(time.Since(at.since).Seconds()), quoted(at.doing))
	}
	s.mu.Unlock()
	if _, err := db.ExecContext(context.Background(), put.String()); err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return values, db, nil
}

// variables are the settings that are asked for here.
func (m *Member) variables() map[string]string {
	onOff := func(b bool) string {
		if b {
			return "1"
		}
		return "0"
	}
	return map[string]string{
		"time_zone": "'SYSTEM'", "system_time_zone": "'UTC'", "sql_mode": "''", "autocommit": "1", "version": "'" + version + "'",
		"server_id": fmt.Sprint(m.id), "server_uuid": quoted(m.uuid), "gtid_executed": quoted(m.executed.String()),
		"read_only": onOff(m.readOnly), "super_read_only": onOff(m.readOnly),
		"group_replication_bootstrap_group": onOff(m.bootstrap), "group_replication_group_name": quoted(m.groupName),
		"group_replication_single_primary_mode": "1",
	}
}

// view writes the rows of the group's tables.
func (m *Member) view(put *strings.Builder) {
	row := func(o *Member, state, role string) {
		fmt.Fprintf(put, "INSERT INTO performance_schema.replication_group_members VALUES ('group_replication_applier', %s, '127.0.0.1', %s, '%s', '%s', '%s');",
			quoted(o.uuid), o.Address[strings.LastIndex(o.Address, ":")+1:], state, role, version)
	}
	if m.team == nil {
		row(m, string(m.state), "")
	} else {
		for _, o := range m.team.members {
			state, role := string(o.state), "SECONDARY"
			if !m.sees(o) {
				state = unreachable
			}
			if m.team.primary == o {
				role = "PRIMARY"
			}
			row(o, state, role)
		}
	}
	fmt.Fprintf(put, "INSERT INTO performance_schema.replication_connection_status VALUES ('group_replication_applier', %s);", quoted(m.received.String()))
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// result is the rows as they go over the wire.
func result(rows *stdsql.Rows) (r *sqltypes.Result, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	r = &sqltypes.Result{}
	for _, name := range names {
		r.Fields = append(r.Fields, field(name, sqltypes.VarChar))
	}
	for rows.Next() {
		row, to := make([]any, len(names)), make([]any, len(names))
		for i := range row {
			to[i] = &row[i]
		}
		if err := rows.Scan(to...); err != nil {
			return nil, err
		}
		out := make([]sqltypes.Value, len(row))
		for i, v := range row {
			out[i] = value(v)
			if v != nil {
				r.Fields[i] = field(names[i], out[i].Type())
			}
		}
		r.Rows = append(r.Rows, out)
	}
	return r, rows.Err()
}

func one(name string, v any) *sqltypes.Result {
	x := value(v)
	kind := x.Type()
	if v == nil {
		kind = sqltypes.Int64
	}
	return &sqltypes.Result{Fields: []*querypb.Field{field(name, kind)}, Rows: [][]sqltypes.Value{{x}}}
}

func field(name string, kind querypb.Type) *querypb.Field {
	return &querypb.Field{Name: name, Type: kind, Charset: mysql.CharacterSetUtf8, ColumnLength: 1024}
}

func value(v any) sqltypes.Value {
	switch x := v.(type) {
	case nil:
		return sqltypes.NULL
	case int64:
		return sqltypes.NewInt64(x)
	case float64:
		return sqltypes.NewFloat64(x)
	case []byte:
		return sqltypes.NewVarChar(string(x))
	}
	return sqltypes.NewVarChar(fmt.Sprint(v))
}
