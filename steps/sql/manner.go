package sql

import (
	"context"
	"fmt"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// way is how a server carries out a definition.
type way int

// The ways, the worst last: what does several things does all of them in the worst way.
const (
	wayInstant way = iota // only what is known of the table changes
	wayInPlace            // rows are read, or an index is built; rows stay where they are
	wayRebuild            // in place: the rows are written anew beside the old ones, which others go on to use
	wayCopy               // each row is written anew, and writers wait
	wayUnknown
)

var wayNames = [...]string{"instant", "in place", "in place", "copy", "unknown"}

func (w way) String() string { return wayNames[w] }

// manner is how a definition is carried out, and whom that keeps waiting.
type manner struct {
	way   way
	waits string // who waits, and for what: the locks
	why   string // what makes it so; with wayUnknown why it cannot be told
}

// said is the way in a sentence.
func (m manner) said() string {
	text := m.way.String()
	switch {
	case m.why != "":
		return text + ": " + m.why
	case m.way == wayInstant:
		return text + ": no row is touched"
	case m.way == wayInPlace:
		return text + ": the rows stay where they are"
	case m.way == wayRebuild:
		return text + ": every row is written anew into a table beside it, which takes about as much room as the table"
	case m.way == wayCopy:
		return text + ": every row is written anew, which takes about as much room as the table"
	}
	return text
}

// worst is the manner of several actions together.
func worst(all []manner) manner {
	var out manner
	for i, m := range all {
		if i == 0 || m.way > out.way {
			out = m
		}
	}
	for _, m := range all {
		if m.way == out.way && len(m.waits) > len(out.waits) {
			out.waits = m.waits
		}
	}
	return out
}

// undefined is what a server does of which nothing is known.
func undefined(why string) manner { return manner{way: wayUnknown, why: why} }

// means says by what locks a statement acts, and how a definition is carried out. A line that was said before is not
// said again.
func (n *counter) means(ctx context.Context, e entry, v values, impact *engine.Impact) error {
	st, known := n.c.filled(e.st, v)
	if !known {
		return nil
	}
	class := st.Class
	switch class.Sort {
	case statement.Writes:
		for _, t := range class.Tables {
			f, err := n.c.facts(ctx, n.c, n.c.within(t))
			if err != nil {
				return err
			}
			addHow(impact, "locks, "+t.String(), n.c.d.grip(class, f))
		}
	case statement.Reads:
		if class.Locks {
			addHow(impact, "locks", "the rows that it reads, until the end of the step")
		}
	case statement.Defines, statement.Commits:
		return n.defined(ctx, st, impact)
	case statement.Session, statement.Calls, statement.Control, statement.Other:
	}
	return nil
}

// defined says how DDL is carried out.
func (n *counter) defined(ctx context.Context, st *statement.Statement, impact *engine.Impact) error {
	d := st.Definition(n.c.d.grammar())
	if d.Table.Table == "" {
		return nil
	}
	t := n.c.within(d.Table)
	f, err := n.c.facts(ctx, n.c, t)
	if err != nil || !f.there || f.view {
		return err
	}
	n.size(t, f)
	m, err := n.c.d.manner(ctx, n.c, t, d, f)
	if err != nil {
		return err
	}
	addHow(impact, "algorithm, "+d.Table.String(), m.said())
	addHow(impact, "locks, "+d.Table.String(), m.waits)
	return nil
}

func addHow(impact *engine.Impact, name, value string) {
	h := engine.Fact{Name: name, Value: value}
	if value == "" {
		return
	}
	for _, had := range impact.How {
		if had == h {
			return
		}
	}
	impact.How = append(impact.How, h)
}

// size keeps how large a table is, to be told once.
func (n *counter) size(t statement.Name, f tableFacts) {
	if !f.there || f.view || f.size.Certainty == engine.FigureUnknown {
		return
	}
	figure := f.size
	figure.Now = true
	if figure.Name == "" {
		figure.Name = "bytes, table " + t.String()
	}
	for _, had := range n.sizes {
		if had.Name == figure.Name {
			return
		}
	}
	n.sizes = append(n.sizes, figure)
}

// within is a table's name with the database where it has none.
func (c *Conn) within(t statement.Name) statement.Name {
	if t.Schema == "" {
		t.Schema = c.database
	}
	return t
}

// rightsOf are those that a statement needs on the table that it names first.
func rightsOf(st *statement.Statement, g statement.Grammar) (statement.Name, []string) {
	class := st.Class
	var table statement.Name
	if len(class.Tables) > 0 {
		table = class.Tables[0]
	}
	reads := class.Change != nil && !class.Change.Where.Empty()
	var need []string
	switch class.Verb {
	case "INSERT", "UPDATE", "DELETE":
		need = []string{class.Verb}
	case "REPLACE":
		need = []string{"INSERT", "DELETE"}
	case "CREATE TABLE":
		need = []string{"CREATE"}
	case "DROP TABLE":
		need = []string{"DROP"}
	case "ALTER TABLE":
		need = []string{"ALTER"}
	case "CREATE INDEX", "DROP INDEX":
		need, table = []string{"INDEX"}, st.Definition(g).Table
	default:
		if strings.HasPrefix(class.Verb, "TRUNCATE") {
			need = []string{"TRUNCATE"}
		}
	}
	if reads && len(need) > 0 {
		need = append(need, "SELECT")
	}
	return table, need
}

// privileges says when the server would refuse a statement because the user may not do it.
func (n *counter) privileges(ctx context.Context, e entry, v values, impact *engine.Impact) error {
	st, known := n.c.filled(e.st, v)
	if !known {
		return nil
	}
	table, need := rightsOf(st, n.c.d.grammar())
	if len(need) == 0 || table.Table == "" {
		return nil
	}
	table = n.c.within(table)
	f, err := n.c.facts(ctx, n.c, table)
	if err != nil || f.there == (st.Class.Verb == "CREATE TABLE") {
		return err
	}
	key := table.String() + " " + strings.Join(need, " ")
	why, asked := n.lacking[key]
	if !asked {
		if why, err = n.c.d.forbids(ctx, n.c, table, need); err != nil {
			return err
		}
		n.lacking[key] = why
	}
	if why != "" {
		unlikely(impact, fmt.Errorf("%s: %s", n.c.where, why))
	}
	return nil
}
