package sql

import (
	"context"
	"fmt"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// child is a foreign key of one column that carries a DELETE on to another table.
type child struct {
	table  statement.Name
	column string
	parent string // the column that it refers to
	clears bool   // it sets its column to NULL or its default; else the rows go
}

// mostChildren bounds how many tables are counted to which a foreign key carries a DELETE.
const mostChildren = 5

// carried counts the rows that foreign keys carry a DELETE on to, in the tables that refer to this one. What is carried on from there is
// not counted: so it is an estimate at best.
func (n *counter) carried(ctx context.Context, e entry, v values, name statement.Name, label string, impact *engine.Impact) error {
	change := e.st.Class.Change
	if change == nil || e.st.Class.Verb != "DELETE" || !change.Single || !change.Limit.Empty() || change.Target.Empty() || len(e.st.Class.Code) > 0 {
		return nil
	}
	own, err := lateRecord(e.args, n.locals, v.path)
	if err != nil {
		return nil //nolint:nilerr // the figure of the rows themselves says what is not known yet
	}
	v.own = own
	children, err := n.c.d.children(ctx, n.c, name)
	if err != nil {
		return err
	}
	if len(children) > mostChildren {
		impact.Warnings = append(impact.Warnings, fmt.Sprintf("%s%d foreign keys carry the change on; the rows of %d of them were counted", label, len(children), mostChildren))
		children = children[:mostChildren]
	}
	for _, k := range children {
		var found rendered
		for _, piece := range []statement.Span{change.Target, change.Where} {
			if piece.Empty() {
				continue
			}
			r, err := n.c.render(ctx, n.c, e.st, piece, v)
			if _, unknown := unknownOfArgs(err); unknown {
				return nil
			}
			if err != nil {
				return err
			}
			found.text += " " + r.text
			found.args = append(found.args, r.args...)
		}
		where := " FROM " + n.c.d.quote(k.table.Schema) + "." + n.c.d.quote(k.table.Table) + " WHERE " + n.c.d.quote(k.column) + " IN (SELECT " + n.c.d.quote(k.parent) + " FROM" + found.text + ")"
		f, err := n.ask(ctx, n.numbered(rendered{text: "SELECT COUNT(*)" + where, args: found.args}), n.numbered(rendered{text: "SELECT 1" + where, args: found.args}))
		if err != nil {
			return err
		}
		what := "rows gone by foreign key, "
		if k.clears {
			what = "rows cleared by foreign key, "
		}
		f.Name = label + what + k.table.String()
		if f.Certainty == engine.FigureExact {
			f.Certainty, f.Why = engine.FigureEstimate, "what is carried on from there is not counted"
		}
		impact.Figures = append(impact.Figures, f)
	}
	return nil
}

// numbered is a statement that was put together of pieces.
func (n *counter) numbered(r rendered) rendered {
	r.text = n.c.d.inOrder(r.text)
	return r
}

// childrenOf reads rows of schema, table, column, column of the parent, rule on delete.
func childrenOf(rows [][]any) []child {
	var out []child
	for _, r := range rows {
		rule := word(r[4])
		if rule == "RESTRICT" || rule == "NO ACTION" {
			continue
		}
		out = append(out, child{table: statement.Name{Schema: word(r[0]), Table: word(r[1])}, column: word(r[2]), parent: word(r[3]), clears: rule != "CASCADE"})
	}
	return out
}

const childrenDoing = "look at the columns of the foreign keys on "

func (*mysqlDialect) children(ctx context.Context, q queryer, t statement.Name) ([]child, error) {
	rows, err := q.rows(ctx, childrenDoing+t.String(), `SELECT MIN(k.TABLE_SCHEMA), MIN(k.TABLE_NAME), MIN(k.COLUMN_NAME), MIN(k.REFERENCED_COLUMN_NAME), MIN(c.DELETE_RULE)
		FROM information_schema.REFERENTIAL_CONSTRAINTS c JOIN information_schema.KEY_COLUMN_USAGE k
		ON k.CONSTRAINT_SCHEMA = c.CONSTRAINT_SCHEMA AND k.CONSTRAINT_NAME = c.CONSTRAINT_NAME AND k.TABLE_NAME = c.TABLE_NAME
		WHERE c.CONSTRAINT_SCHEMA = ? AND c.UNIQUE_CONSTRAINT_SCHEMA = ? AND c.REFERENCED_TABLE_NAME = ? AND k.TABLE_SCHEMA = ?
		GROUP BY c.TABLE_NAME, c.CONSTRAINT_NAME HAVING COUNT(*) = 1 ORDER BY 2, 3`, t.Schema, t.Schema, t.Table, t.Schema)
	return childrenOf(rows), err
}

func (*postgresDialect) children(ctx context.Context, q queryer, t statement.Name) ([]child, error) {
	rows, err := q.rows(ctx, childrenDoing+t.String(), `SELECT m.nspname, b.relname, x.attname, y.attname,
		CASE k.confdeltype WHEN 'a' THEN 'NO ACTION' WHEN 'r' THEN 'RESTRICT' WHEN 'c' THEN 'CASCADE' ELSE 'SET NULL' END
		FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.confrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_catalog.pg_class b ON b.oid = k.conrelid JOIN pg_catalog.pg_namespace m ON m.oid = b.relnamespace
		JOIN pg_catalog.pg_attribute x ON x.attrelid = b.oid AND x.attnum = k.conkey[1] JOIN pg_catalog.pg_attribute y ON y.attrelid = c.oid AND y.attnum = k.confkey[1]
		WHERE k.contype = 'f' AND array_length(k.conkey, 1) = 1 AND`+postgresFound+`ORDER BY 1, 2, 3`, t.Schema, t.Table)
	return childrenOf(rows), err
}

// children: a key that names no column of its parent means the primary key.
func (sqliteDialect) children(ctx context.Context, q queryer, t statement.Name) ([]child, error) {
	rows, err := q.rows(ctx, childrenDoing+t.String(), `SELECT 'main', m.name, k."from", COALESCE(k."to", (SELECT name FROM pragma_table_info(k."table") WHERE pk = 1)), k.on_delete
		FROM sqlite_master m, pragma_foreign_key_list(m.name) k
		WHERE m.type = 'table' AND k."table" = ? COLLATE NOCASE
		AND NOT EXISTS (SELECT 1 FROM pragma_foreign_key_list(m.name) o WHERE o.id = k.id AND o.seq > 0) ORDER BY 2, 3`, t.Table)
	return childrenOf(rows), err
}
