package sql

import (
	"context"
	"strconv"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// walker is the part of a dialect that walking over a table by a key needs.
type walker interface {
	// columnsOf are the columns of a table, in their order.
	columnsOf(ctx context.Context, q queryer, t statement.Name) ([]column, error)
	// keysOf are the keys of a table under which no two rows are alike, the primary key first, by the
	// name primaryKey.
	keysOf(ctx context.Context, q queryer, t statement.Name) ([]uniqueKey, error)
	// keyForm says how a key's column is read so that it can be sent back and means the same: read has
	// the column for its %s, put stands for the value. False: columns of its type cannot.
	keyForm(c column) (read, put string, ok bool)
	// walkBy stands behind a table's name and makes the server read it by that key; empty: it cannot be told.
	walkBy(k uniqueKey) string
	// removeByKey begins a DELETE that finds its rows by that key; a condition follows WHERE.
	removeByKey(table string, k uniqueKey) string
	// insertAs stands behind the columns of an INSERT that gives all values itself, also those that the
	// server would choose.
	insertAs() string
	// inOrder is a statement put together of pieces, of which each takes its arguments from the first on,
	// with one argument after the other.
	inOrder(text string) string
	// gentle prepares a session for moving rows: READ COMMITTED, nothing cut off or renumbered in silence,
	// short waits for locks.
	gentle() []string
	// running asks how many statements are running on the server; empty: nobody can say.
	running() string
}

// primaryKey is what a primary key is called, whatever the server calls it.
const primaryKey = "PRIMARY"

// column is what the catalogue says of one.
type column struct {
	name      string
	typ       string // in small letters, without brackets
	digits    int64  // of a decimal
	scale     int64
	nullable  bool
	generated bool // the server computes it
	filled    bool // it may be left out of an INSERT
}

// uniqueKey is a key under which no two rows are alike.
type uniqueKey struct {
	name    string // primaryKey, or as the catalogue has it
	index   string // what the server calls it; empty: it has no name
	columns []string
	why     string // why a table cannot be walked by it; empty: it can
}

func (k uniqueKey) String() string { return k.name + " (" + strings.Join(k.columns, ", ") + ")" }

// columnNamed finds a column in any case of letters.
func columnNamed(list []column, name string) (column, bool) {
	for _, c := range list {
		if strings.EqualFold(c.name, name) {
			return c, true
		}
	}
	return column{}, false
}

// keyColumn is a column of the key by which a table is walked.
type keyColumn struct {
	name string // quoted
	read string // how its value is asked for
	put  string // what stands for its value in a condition
}

// place is the key of one row.
type place engine.List

// fragment is a piece of a statement with its arguments.
type fragment struct {
	text strings.Builder
	args []any
}

func (f *fragment) add(text string) *fragment { f.text.WriteString(text); return f }

func (f *fragment) rendered(r rendered) *fragment {
	f.text.WriteString(r.text)
	f.args = append(f.args, r.args...)
	return f
}

// value puts the value of a key's column. Integers are written out: they are no text of anybody's, and a
// statement with nothing but them needs no preparation by the server.
func (f *fragment) value(c keyColumn, v engine.Value) {
	switch x := v.(type) {
	case int64:
		f.add(strconv.FormatInt(x, 10))
	case uint64:
		f.add(strconv.FormatUint(x, 10))
	default:
		f.add(c.put)
		f.args = append(f.args, x)
	}
}

// beyond is the condition that a row lies behind a place, or, with "<=", not behind it.
func (f *fragment) beyond(columns []keyColumn, sign string, p place) {
	strict := sign[:1]
	if len(columns) > 1 { // alone it lets the server find the beginning
		f.add(columns[0].name + " " + strict + "= ")
		f.value(columns[0], p[0])
		f.add(" AND ")
	}
	for i, c := range columns {
		last := i == len(columns)-1
		f.add("(" + c.name + " ")
		if last {
			f.add(sign + " ")
			f.value(c, p[i])
			break
		}
		f.add(strict + " ")
		f.value(c, p[i])
		f.add(" OR " + c.name + " = ")
		f.value(c, p[i])
		f.add(" AND ")
	}
	f.add(strings.Repeat(")", len(columns)))
}

// among is the condition that a row is at one of these places, which are in order and not none. Runs of
// integers are written as what they are: BETWEEN two integers there is nothing else.
func (f *fragment) among(columns []keyColumn, places []place) {
	f.add("(")
	if len(columns) == 1 {
		f.amongOne(columns[0], places)
	} else {
		f.amongMany(columns, places)
	}
	f.add(")")
}

func (f *fragment) amongOne(c keyColumn, places []place) {
	var alone []place
	written := false
	or := func() {
		if written {
			f.add(" OR ")
		}
		written = true
	}
	for i := 0; i < len(places); {
		j := i + 1
		for j < len(places) && follows(places[j-1][0], places[j][0]) {
			j++
		}
		if j-i < 3 {
			alone = append(alone, places[i:j]...)
		} else {
			or()
			f.add(c.name + " BETWEEN ")
			f.value(c, places[i][0])
			f.add(" AND ")
			f.value(c, places[j-1][0])
		}
		i = j
	}
	if len(alone) == 0 {
		return
	}
	or()
	f.add(c.name + " IN (")
	for i, p := range alone {
		if i > 0 {
			f.add(", ")
		}
		f.value(c, p[0])
	}
	f.add(")")
}

// follows: b is the integer behind a.
func follows(a, b engine.Value) bool {
	x, ok := a.(int64)
	y, ok2 := b.(int64)
	return ok && ok2 && y == x+1
}

// amongMany groups the places by all columns but the last: each group is one condition, so a key whose
// last column tells most rows apart stays short.
func (f *fragment) amongMany(columns []keyColumn, places []place) {
	last := len(columns) - 1
	for i := 0; i < len(places); {
		j := i + 1
		for j < len(places) && samePlace(places[i][:last], places[j][:last]) {
			j++
		}
		if i > 0 {
			f.add(" OR ")
		}
		f.add("(")
		for n, c := range columns[:last] {
			f.add(c.name + " = ")
			f.value(c, places[i][n])
			f.add(" AND ")
		}
		rest := make([]place, j-i)
		for n := range rest {
			rest[n] = places[i+n][last:]
		}
		f.add("(")
		f.amongOne(columns[last], rest)
		f.add("))")
		i = j
	}
}

func samePlace(a, b place) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
