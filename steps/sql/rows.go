package sql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// What a result that later steps read may hold at most.
const (
	maxRows  = 1000
	maxBytes = 1 << 20
)

// table is the result of a query on its way in.
type table struct {
	d     dialect
	names []string
	types []string
	row   []any
	to    []any
}

func tableOf(d dialect, rows *sql.Rows) (*table, error) {
	columns, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	t := &table{d: d, row: make([]any, len(columns)), to: make([]any, len(columns))}
	for i, c := range columns {
		t.names = append(t.names, c.Name())
		t.types = append(t.types, c.DatabaseTypeName())
		t.to[i] = &t.row[i]
	}
	return t, nil
}

// scan reads one row.
func (t *table) scan(rows *sql.Rows) ([]engine.Value, error) {
	if err := rows.Scan(t.to...); err != nil {
		return nil, err
	}
	out := make([]engine.Value, len(t.row))
	for i, v := range t.row {
		var err error
		if out[i], err = t.d.value(t.types[i], v); err != nil {
			return nil, badValue{fmt.Errorf("column %s: %w", t.names[i], err)}
		}
	}
	return out, nil
}

// badValue is an error of this side: the connection stands.
type badValue struct{ error }

// distinct: a row is a record, so no two columns may have one name.
func (t *table) distinct() error {
	seen := map[string]bool{}
	for _, n := range t.names {
		key := strings.ToLower(n)
		if seen[key] {
			return badValue{fmt.Errorf("two columns are called %s; give one of them another name with AS", n)}
		}
		seen[key] = true
	}
	return nil
}

// query sends a statement and reads its rows, up to the limits.
func (s *session) query(ctx context.Context, doing string, r rendered) (result engine.Record, err error) {
	var own error
	err = s.do(ctx, doing, func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		rows, err := s.conn.QueryContext(ctx, r.text, r.args...)
		if err != nil {
			return err
		}
		result, err = s.collect(rows)
		var bad badValue
		if errors.As(err, &bad) {
			// What is left of the result is not read: it ends with its connection.
			own, s.lost = bad.error, true
			cancel()
			_ = rows.Close()
			return nil
		}
		return errors.Join(err, rows.Close())
	})
	if err == nil && own != nil {
		err = &fault{where: s.c.where, doing: doing, reach: refused, said: own.Error(), cause: own}
	}
	return result, err
}

func (s *session) collect(rows *sql.Rows) (engine.Record, error) {
	t, err := tableOf(s.c.d, rows)
	if err != nil {
		return nil, err
	}
	if err := t.distinct(); err != nil {
		return nil, err
	}
	out, size := engine.List{}, 0
	for rows.Next() {
		if len(out) == maxRows {
			return nil, badValue{fmt.Errorf("it brings more than %d rows, which is more than a step keeps; narrow the statement, or write the rows to a file with `export:`", maxRows)}
		}
		row, err := t.scan(rows)
		if err != nil {
			return nil, err
		}
		rec := make(engine.Record, len(row))
		for i, v := range row {
			rec[t.names[i]] = v
			size += len(t.names[i]) + 4 + sizeOf(v)
		}
		if size > maxBytes {
			return nil, badValue{errors.New("it brings more than 1 MiB, which is more than a step keeps; narrow the statement, or write the rows to a file with `export:`")}
		}
		out = append(out, rec)
	}
	columns := make(engine.List, len(t.names))
	for i, n := range t.names {
		columns[i] = n
	}
	return engine.Record{"rows": out, "columns": columns}, rows.Err()
}

// sizeOf is about how long a value is in a journal.
func sizeOf(v engine.Value) int {
	switch x := v.(type) {
	case string:
		return len(x) + 2
	case engine.Bytes:
		return len(x)*4/3 + 14
	case engine.Decimal:
		return len(x.String()) + 16
	case time.Time:
		return 48
	}
	return 12
}
