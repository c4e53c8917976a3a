package sql

import (
	"context"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// postgresConnector makes the connections to one server.
type postgresConnector struct {
	cfg    *pgconn.Config
	pooler throughPooler
}

func (c *postgresConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := pgconn.ConnectConfig(ctx, c.cfg)
	if err != nil {
		return nil, err
	}
	pooled, err := c.pooler.judge(ctx, c.cfg, conn)
	l := &postgresLink{PgConn: conn, pooled: pooled}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (*postgresConnector) Driver() driver.Driver { return postgresDriver{} }

// postgresDriver stands where database/sql wants one; nobody opens a connection by a name.
type postgresDriver struct{}

func (postgresDriver) Open(string) (driver.Conn, error) {
	return nil, errors.New("connections are made by a connector")
}

// postgresLink is one connection. Nothing is prepared and kept: a statement is read, bound and carried
// out in one turn, so that nothing depends on what an earlier turn has left in the session.
type postgresLink struct {
	*pgconn.PgConn
	foreign map[string]bool // on a read-only target: functions that are somebody's own
	pooled  bool            // a pooler stands between
}

// goodbye is how long an end may take.
const goodbye = 5 * time.Second

// texts writes arguments as PostgreSQL reads them.
func texts(args []driver.NamedValue) ([][]byte, error) {
	out := make([][]byte, len(args))
	for i, a := range args {
		switch x := a.Value.(type) {
		case nil:
		case string:
			out[i] = []byte(x)
		case []byte:
			out[i] = []byte(`\x` + hex.EncodeToString(x))
		case int64:
			out[i] = strconv.AppendInt(nil, x, 10)
		case bool:
			out[i] = strconv.AppendBool(nil, x)
		case float64:
			out[i] = strconv.AppendFloat(nil, x, 'g', -1, 64)
		default:
			return nil, fmt.Errorf("argument %d is a %T", i+1, x)
		}
	}
	return out, nil
}

// unsent tells database/sql of a connection that was gone BEFORE anything was sent.
func unsent(err error) error {
	if err != nil && pgconn.SafeToRetry(err) {
		return driver.ErrBadConn
	}
	return err
}

// QueryContext sends a statement and reads up to its first row: its error comes in place of that.
func (l *postgresLink) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	params, err := texts(args)
	if err != nil {
		return nil, err
	}
	r := &postgresRows{from: l.ExecParams(ctx, text, params, nil, nil, nil)}
	if r.ahead = r.from.NextRow(); !r.ahead {
		if _, err := r.from.Close(); err != nil {
			return nil, unsent(err)
		}
	}
	r.fields = r.from.FieldDescriptions()
	return r, nil
}

// ExecContext sends a statement whose rows nobody wants.
func (l *postgresLink) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	params, err := texts(args)
	if err != nil {
		return nil, err
	}
	tag, err := l.ExecParams(ctx, text, params, nil, nil, nil).Close()
	if err != nil {
		return nil, unsent(err)
	}
	return postgresResult(tag.RowsAffected()), nil
}

// postgresResult is the number of rows. PostgreSQL gives new numbers by RETURNING only.
type postgresResult int64

func (postgresResult) LastInsertId() (int64, error)   { return 0, nil }
func (r postgresResult) RowsAffected() (int64, error) { return int64(r), nil }

// Prepare is not used: database/sql asks for it only when a statement cannot be sent otherwise.
func (*postgresLink) Prepare(string) (driver.Stmt, error) {
	return nil, errors.New("statements are not prepared")
}

// Begin is not used here: a transaction is begun by a statement.
func (*postgresLink) Begin() (driver.Tx, error) {
	return nil, errors.New("transactions are begun by a statement")
}

// Close ends the connection, and waits until what is left of a statement that was given up is gone.
func (l *postgresLink) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	err := l.PgConn.Close(ctx)
	select {
	case <-l.CleanupDone():
	case <-ctx.Done():
	}
	return err
}

// ResetSession finds out BEFORE a connection is used again whether the server has ended it meanwhile.
func (l *postgresLink) ResetSession(ctx context.Context) error {
	if l.IsClosed() || l.Ping(ctx) != nil {
		return driver.ErrBadConn
	}
	return nil
}

// IsValid says whether a connection may be kept.
func (l *postgresLink) IsValid() bool { return !l.IsClosed() && l.TxStatus() == 'I' }

// postgresRows are rows as the server writes them.
type postgresRows struct {
	from   *pgconn.ResultReader
	fields []pgconn.FieldDescription
	ahead  bool // the first row was read, and not yet given
}

// Columns are their names.
func (r *postgresRows) Columns() []string {
	out := make([]string, len(r.fields))
	for i, f := range r.fields {
		out[i] = f.Name
	}
	return out
}

// ColumnTypeDatabaseTypeName is empty for types that the server's users have made.
func (r *postgresRows) ColumnTypeDatabaseTypeName(i int) string {
	return postgresTypes[r.fields[i].DataTypeOID]
}

// Next gives the next row.
func (r *postgresRows) Next(dest []driver.Value) error {
	if !r.ahead && !r.from.NextRow() {
		if _, err := r.from.Close(); err != nil {
			return err
		}
		return io.EOF
	}
	r.ahead = false
	for i, b := range r.from.Values() {
		dest[i] = nil
		if b == nil {
			continue
		}
		switch text := string(b); postgresTypes[r.fields[i].DataTypeOID] {
		case "INT2", "INT4", "INT8":
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return err
			}
			dest[i] = n
		default:
			dest[i] = text
		}
	}
	return nil
}

// Close reads what is left, unless its context has ended.
func (r *postgresRows) Close() error {
	_, err := r.from.Close()
	return err
}

// foreignFunctions are the functions of a database that are not PostgreSQL's own. One of them may have
// the name of one that only reads, or be called like a column of its argument.
func foreignFunctions(ctx context.Context, l *postgresLink) (map[string]bool, error) {
	rows := l.ExecParams(ctx, `SELECT DISTINCT p.proname, p.pronargs = 1 AND t.typtype = 'c'
		FROM pg_catalog.pg_proc p LEFT JOIN pg_catalog.pg_type t ON t.oid = p.proargtypes[0]
		WHERE p.pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)`, nil, nil, nil, nil)
	out := map[string]bool{}
	for rows.NextRow() {
		v := rows.Values()
		name := string(v[0])
		out[name] = out[name] || string(v[1]) == "t"
	}
	_, err := rows.Close()
	return out, err
}

// admit refuses what only the server's own catalogue tells to be more than a read.
func (l *postgresLink) admit(s *statement.Statement) error {
	bracketed, pointed := s.Calls()
	for _, name := range bracketed {
		if _, own := l.foreign[name]; own {
			return refusal{fmt.Sprintf("a dry-run only reads, and the database has a function of its own called %s, which may do more", name)}
		}
	}
	for _, name := range pointed {
		if l.foreign[name] {
			return refusal{fmt.Sprintf("a dry-run only reads, and the database has a function of its own called %s, which .%s may call", name, name)}
		}
	}
	return nil
}
