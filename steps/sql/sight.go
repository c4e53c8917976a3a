package sql

import (
	"context"
	"fmt"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// saw notes for a saved plan which server it is, and whether it takes writes.
func (c *Conn) saw(ctx context.Context) error {
	if !steps.Watched(ctx) {
		return nil
	}
	server, err := c.d.server(ctx, c)
	if err != nil {
		return err
	}
	why, err := c.d.follows(ctx, c)
	if err != nil {
		return err
	}
	if why == "" {
		why = "takes writes"
	}
	if c.group != nil { // those that follow each other may call themselves alike, as PostgreSQL's do
		server += " at " + c.address
	}
	steps.Saw(ctx, "server", server+", "+why)
	return nil
}

// sawTable notes how a table is made: its columns, its engine, its triggers.
func (c *Conn) sawTable(ctx context.Context, q queryer, n statement.Name, f *tableFacts) error {
	if !steps.Watched(ctx) {
		return nil
	}
	if !f.there {
		steps.Saw(ctx, "table "+n.String(), "not there")
		return nil
	}
	if f.made == "" {
		var err error
		if f.made, err = c.madeAs(ctx, q, n, *f); err != nil {
			return err
		}
	}
	steps.Saw(ctx, "table "+n.String(), "made as "+f.made)
	return nil
}

// madeAs is a digest of how a table is made.
func (c *Conn) madeAs(ctx context.Context, q queryer, n statement.Name, f tableFacts) (string, error) {
	rows, err := c.d.columns(ctx, q, n)
	if err != nil {
		return "", err
	}
	var made strings.Builder
	for _, r := range rows {
		for _, v := range r {
			fmt.Fprintf(&made, "%q ", word(v))
		}
		made.WriteByte('\n')
	}
	return engine.Digest(made.String() + f.engine + "\n" + strings.Join(f.triggers, "\n"))[:16], nil
}

func (*mysqlDialect) columns(ctx context.Context, q queryer, t statement.Name) ([][]any, error) {
	return q.rows(ctx, "look at the columns of "+t.String(), `SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, EXTRA
		FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION`, t.Schema, t.Table)
}

func (*postgresDialect) columns(ctx context.Context, q queryer, t statement.Name) ([][]any, error) {
	return q.rows(ctx, "look at the columns of "+t.String(), `SELECT a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull::int
		FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE a.attnum > 0 AND NOT a.attisdropped AND`+postgresFound+`ORDER BY a.attnum`, t.Schema, t.Table)
}

func (sqliteDialect) columns(ctx context.Context, q queryer, t statement.Name) ([][]any, error) {
	return q.rows(ctx, "look at the columns of "+t.String(), "SELECT sql FROM sqlite_master WHERE tbl_name = ? COLLATE NOCASE ORDER BY type, name", t.Table)
}
