package sql

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// route is from where to where rows are moved, and by which key, as the catalogue has it.
type route struct {
	c        *Conn
	from, to statement.Name
	facts    tableFacts // of from
	key      uniqueKey
	columns  []keyColumn // of the key
	carried  []string    // the columns that are copied, in the names of from
	dropped  []string    // those whose content is gone with the rows
	where    *statement.Condition
	all      engine.Record // its arguments
	digest   string        // of everything that decides which rows are moved where
	absent   bool          // the other table is not there, which only a plan bears
	said     []string      // what a person should know of it
}

// routeOf looks the tables up. In a plan the table that takes the rows may not be there yet.
func (m *move) routeOf(ctx context.Context, c *Conn, q queryer, planned bool) (*route, error) {
	r := &route{c: c, all: m.all}
	var err error
	if r.where, err = statement.ParseCondition(c.d.grammar(), m.where); err != nil {
		return nil, fmt.Errorf("%s: where: %w", c.where, err)
	}
	if r.from, r.facts, err = m.table(ctx, c, q, "move", m.from); err != nil {
		return nil, err
	}
	if !r.facts.there {
		return nil, fmt.Errorf("%s: there is no table %s to move rows from", c.where, r.from)
	}
	var to tableFacts
	if r.to, to, err = m.table(ctx, c, q, "to", m.to); err != nil {
		return nil, err
	}
	if strings.EqualFold(r.from.String(), r.to.String()) {
		return nil, engine.Problem{Path: "to", Message: "is the table that the rows are in"}
	}
	if r.absent = !to.there; r.absent && !planned {
		return nil, fmt.Errorf("%s: there is no table %s to move rows to; make it first, in a step of its own, such as CREATE TABLE %s LIKE %s", c.where, r.to, r.to.Table, r.from.Table)
	}
	if err := r.chooseKey(ctx, q, m.index); err != nil {
		return nil, err
	}
	if err := r.chooseColumns(ctx, q, m.columns); err != nil {
		return nil, err
	}
	if err := r.consequences(ctx, q, to, m.cascade); err != nil {
		return nil, err
	}
	r.digest, err = engine.DigestValue(engine.Record{"from": r.from.String(), "to": r.to.String(), "where": m.where, "args": m.all, "key": r.key.String()})
	return r, err
}

// table looks one up by the name that the parameters give.
func (m *move) table(ctx context.Context, c *Conn, q queryer, path, given string) (statement.Name, tableFacts, error) {
	n, err := statement.ParseName(c.d.grammar(), given)
	if err != nil {
		return n, tableFacts{}, engine.Problem{Path: path, Message: fmt.Sprintf("%q %v", given, err)}
	}
	if n.Schema == "" {
		n.Schema = c.database
	}
	f, err := c.facts(ctx, q, n)
	if f.schema != "" {
		n.Schema = f.schema
	}
	switch {
	case err != nil:
		return n, f, err
	case f.view:
		return n, f, fmt.Errorf("%s: %s is a view; rows are moved between tables", c.where, n)
	case f.leaky:
		return n, f, fmt.Errorf("%s: table %s is of engine %s, which keeps no transactions: a crash could leave rows in both tables or in none; convert it first", c.where, n, f.engine)
	}
	return n, f, nil
}

func (r *route) quoted(n statement.Name) string {
	return r.c.d.quote(n.Schema) + "." + r.c.d.quote(n.Table)
}

// chooseKey finds the key that the table is walked by.
func (r *route) chooseKey(ctx context.Context, q queryer, wanted string) error {
	keys, err := r.c.d.keysOf(ctx, q, r.from)
	if err != nil {
		return err
	}
	columns, err := r.c.d.columnsOf(ctx, q, r.from)
	if err != nil {
		return err
	}
	var usable []string
	for _, k := range keys {
		forms, why := r.forms(k, columns)
		if strings.EqualFold(k.name, wanted) {
			if why != "" {
				return fmt.Errorf("%s: table %s cannot be walked by %s: %s", r.c.where, r.from, k, why)
			}
			r.key, r.columns = k, forms
			return nil
		}
		if why == "" {
			usable = append(usable, k.name)
		}
	}
	has := "it has no unique key without NULLs, so no batch could be told from the next"
	if len(usable) > 0 {
		has = "it could be walked by " + strings.Join(usable, ", ") + "; name it under `index`"
	}
	if wanted == primaryKey {
		return fmt.Errorf("%s: table %s has no primary key; %s", r.c.where, r.from, has)
	}
	return fmt.Errorf("%s: table %s has no unique key called %s; %s", r.c.where, r.from, wanted, has)
}

// forms say how the columns of a key are asked for and sent back, or why that cannot be.
func (r *route) forms(k uniqueKey, columns []column) ([]keyColumn, string) {
	if k.why != "" {
		return nil, k.why
	}
	var out []keyColumn
	for _, name := range k.columns {
		c, _ := columnNamed(columns, name)
		read, put, ok := r.c.d.keyForm(c)
		if !ok {
			return nil, fmt.Sprintf("%s is of type %s, whose values cannot be told apart exactly", name, strings.ToUpper(c.typ))
		}
		quoted := r.c.d.quote(c.name)
		out = append(out, keyColumn{name: quoted, read: fmt.Sprintf(read, quoted), put: put})
	}
	return out, ""
}

// chooseColumns finds the columns that are copied, and refuses what would lose something unsaid.
func (r *route) chooseColumns(ctx context.Context, q queryer, wanted []string) error {
	from, err := r.c.d.columnsOf(ctx, q, r.from)
	if err != nil {
		return err
	}
	to := from
	if !r.absent {
		if to, err = r.c.d.columnsOf(ctx, q, r.to); err != nil {
			return err
		}
	}
	named := map[string]bool{}
	for _, name := range wanted {
		c, ok := columnNamed(from, name)
		if !ok {
			return engine.Problem{Path: "columns", Message: fmt.Sprintf("table %s has no column %s", r.from, name)}
		}
		named[c.name] = true
	}
	var missing []string
	for _, c := range from {
		other, there := columnNamed(to, c.name)
		computed := c.generated && (!there || other.generated)
		switch {
		case len(wanted) > 0 && !named[c.name]:
			if !computed {
				r.dropped = append(r.dropped, c.name)
			}
		case computed:
		case !there:
			missing = append(missing, c.name)
		case other.generated:
			return fmt.Errorf("%s: column %s of %s is computed by the server, so the value that it has in %s cannot be kept", r.c.where, c.name, r.to, r.from)
		default:
			r.carried = append(r.carried, c.name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s: table %s has no column %s, so what %s has there would be lost; add it, or say under `columns` which are copied", r.c.where, r.to, strings.Join(missing, ", "), r.from)
	}
	for _, c := range to {
		if !c.filled && !r.carries(c.name) {
			return fmt.Errorf("%s: column %s of %s takes no NULL and has no default, and is not among the columns that are copied", r.c.where, c.name, r.to)
		}
	}
	if len(r.carried) == 0 {
		return errors.New("no column is left to be copied")
	}
	return nil
}

func (r *route) carries(name string) bool {
	for _, c := range r.carried {
		if strings.EqualFold(c, name) {
			return true
		}
	}
	return false
}

// consequences finds what else happens when rows go.
func (r *route) consequences(ctx context.Context, q queryer, to tableFacts, cascade bool) error {
	cascades, err := r.c.d.cascades(ctx, q, r.from)
	if err != nil {
		return err
	}
	for _, k := range cascades {
		on, table, _ := strings.Cut(k, " ")
		switch {
		case on != "DELETE":
		case !cascade:
			return fmt.Errorf("%s: a foreign key carries the removal from %s on to rows of %s, which would be changed or gone and not moved; move those first and say `cascade: true`, or change the key", r.c.where, r.from, table)
		default:
			r.said = append(r.said, "a foreign key carries the removal on to "+table+", whose rows are not moved")
		}
	}
	for _, g := range r.facts.triggersOn("DELETE") {
		r.said = append(r.said, fmt.Sprintf("the trigger %s on %s is fired", g, r.from))
	}
	for _, g := range to.triggersOn("INSERT") {
		r.said = append(r.said, fmt.Sprintf("the trigger %s on %s is fired, and may change what is copied", g, r.to))
	}
	if len(r.dropped) > 0 {
		r.said = append(r.said, "not copied, and gone with the rows: "+strings.Join(r.dropped, ", "))
	}
	return nil
}

// written are the two changes, for the look at where their marker can be.
func (r *route) written() ([]written, error) {
	var out []written
	texts := []string{"DELETE FROM " + r.quoted(r.from) + " WHERE 1 = 0"}
	if !r.absent {
		texts = append(texts, "INSERT INTO "+r.quoted(r.to)+" SELECT * FROM "+r.quoted(r.from))
	}
	for _, text := range texts {
		st, err := statement.Parse(r.c.d.grammar(), text)
		if err != nil {
			return nil, err
		}
		out = append(out, written{st: st})
	}
	return out, nil
}

// condition is the condition with its arguments.
func (r *route) condition(ctx context.Context, q queryer) (rendered, error) {
	out, err := r.c.render(ctx, q, r.where.Statement, r.where.Piece, values{path: "args", all: r.all})
	out.text = "(" + out.text + "\n)"
	return out, err
}

func (r *route) keyList() string {
	list := make([]string, len(r.columns))
	for i, c := range r.columns {
		list[i] = c.read
	}
	return strings.Join(list, ", ")
}

func (r *route) order(direction string) string {
	list := make([]string, len(r.columns))
	for i, c := range r.columns {
		list[i] = c.name + direction
	}
	return " ORDER BY " + strings.Join(list, ", ")
}

func (r *route) carriedList() string {
	list := make([]string, len(r.carried))
	for i, c := range r.carried {
		list[i] = r.c.d.quote(c)
	}
	return strings.Join(list, ", ")
}
