package statement

import "strings"

// Sort is what a statement does, as far as it matters to a crash, a transaction and a dry-run.
type Sort int

// The sorts.
const (
	Other   Sort = iota // it may do anything, and a rollback need not take it back
	Reads               // it is known to change nothing
	Writes              // it changes rows of tables
	Calls               // it runs code that is not seen here: CALL, DO, a function that is not on the list
	Session             // it changes the connection only: SET @x, USE, temporary tables
	Defines             // DDL: tables, users, rights
	Commits             // no DDL, but it commits what came before it: FLUSH, ANALYZE TABLE
	Control             // it begins or ends a transaction, or locks tables
)

var sortNames = [...]string{"other", "reads", "writes", "calls", "session", "defines", "commits", "control"}

func (s Sort) String() string { return sortNames[s] }

// Name is a table's name. Schema is empty for the current database.
type Name struct{ Schema, Table string }

func (n Name) String() string {
	if n.Schema == "" {
		return n.Table
	}
	return n.Schema + "." + n.Table
}

// Class is what is known of a statement.
type Class struct {
	Sort Sort
	Verb string // its first word, in capitals: UPDATE, CREATE TABLE
	// Tables are those that a statement of sort Writes or Defines names as written. An ident(:name) in
	// one is the empty name.
	Tables []Name
	// Why a statement that begins like a read is not known to read.
	Why string
	// Code are the functions that it calls and that are not on the list.
	Code []string
	// Locks: it reads, and locks what it reads.
	Locks bool
	// Returns: it writes, and brings rows back.
	Returns bool
	// Destroys: it takes away more than chosen rows: DROP, TRUNCATE, a DELETE or UPDATE without WHERE.
	Destroys bool
	// NoWhere: an UPDATE or DELETE of all rows.
	NoWhere bool
	// Change is the anatomy of an INSERT, UPDATE or DELETE.
	Change *Change

	// Alone: of sort Commits, because the server refuses it inside of a transaction.
	Alone bool
	// Never is why it cannot be carried out here at all; empty: it can.
	Never string

	unsafe string // why not even an EXPLAIN of it is known to read
}

// Change tells the parts of an INSERT, UPDATE or DELETE, for counting what it would change.
type Change struct {
	Target Span // an UPDATE's or DELETE's table with its alias
	Where  Span // with the word WHERE
	From   Span // the tables that PostgreSQL and SQLite join to it, behind FROM or USING
	Limit  Span // ORDER BY … LIMIT …
	Select Span // of INSERT … SELECT
	Rows   int  // of INSERT … VALUES
	Single bool // one table is named, and no other is joined to it
	Plain  bool // nothing else that makes a count uncertain: IGNORE, ON DUPLICATE KEY, LIMIT
}

// classify says what sort a statement is.
func classify(g Grammar, tokens []Token) Class {
	r := &reader{g: g, t: tokens}
	c := r.statement()
	c.Tables = r.tables
	if c.Verb == "" {
		c.Verb = r.verb()
	}
	return c
}

// reader walks over the tokens of one statement.
type reader struct {
	g      Grammar
	t      []Token
	i      int
	tables []Name
}

func (r *reader) more() bool { return r.i < len(r.t) }

func (r *reader) at(n int) Token {
	if r.i+n < len(r.t) && r.i+n >= 0 {
		return r.t[r.i+n]
	}
	return Token{Kind: Symbol}
}

func (r *reader) verb() string {
	for _, t := range r.t {
		if t.Kind == Word {
			return t.Upper
		}
	}
	return ""
}

// skip passes over words that are among these.
func (r *reader) skip(words ...string) {
	for r.more() {
		found := false
		for _, w := range words {
			found = found || r.at(0).is(w)
		}
		if !found {
			return
		}
		r.i++
	}
}

// group is the index behind the bracket that closes the one at i.
func (r *reader) group(i int) int {
	depth := 0
	for ; i < len(r.t); i++ {
		switch {
		case r.t[i].sign("("):
			depth++
		case r.t[i].sign(")"):
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(r.t)
}

// find is the index of the first of these words outside all brackets, from i on; -1: there is none.
func (r *reader) find(i int, words ...string) int {
	for ; i < len(r.t); i++ {
		if r.t[i].sign("(") {
			i = r.group(i) - 1
			continue
		}
		for _, w := range words {
			if r.t[i].is(w) && (i == 0 || !r.t[i-1].sign(".")) {
				return i
			}
		}
	}
	return -1
}

// name reads a table's name at the cursor.
func (r *reader) name() (Name, bool) {
	if !r.at(0).names() {
		return Name{}, false
	}
	n := Name{Table: r.nameOf(r.at(0))}
	r.i++
	if r.at(0).sign(".") && r.at(1).names() {
		n.Schema, n.Table = n.Table, r.nameOf(r.at(1))
		r.i += 2
	}
	return n, true
}

// nameOf is a name as the server keeps it.
func (r *reader) nameOf(t Token) string {
	switch {
	case t.Kind == Ident:
		return ""
	case t.Kind == Word && r.g == Postgres:
		return strings.ToLower(t.Text)
	}
	return t.Text
}

func (r *reader) statement() Class {
	for r.at(0).sign("(") { // (SELECT …) UNION (SELECT …)
		r.i++
	}
	head := r.at(0)
	if head.Kind != Word {
		return Class{Sort: Other, Why: "it does not begin with a word"}
	}
	if r.i > 0 && head.Upper != "SELECT" && head.Upper != "WITH" && head.Upper != "VALUES" && head.Upper != "TABLE" {
		return Class{Sort: Other, Why: "it begins with a bracket"}
	}
	if r.g == Postgres {
		if c, ok := r.postgres(head); ok {
			return c
		}
	}
	switch head.Upper {
	case "SELECT", "VALUES":
		return r.reading()
	case "TABLE":
		if r.g == SQLite {
			return Class{Sort: Other}
		}
		return r.reading()
	case "WITH":
		return r.with()
	case "SHOW":
		if r.g == SQLite {
			return Class{Sort: Other}
		}
		return r.reading()
	case "EXPLAIN", "DESCRIBE", "DESC":
		return r.explain()
	case "INSERT", "REPLACE":
		return r.insert()
	case "UPDATE":
		return r.update()
	case "DELETE":
		return r.delete()
	case "LOAD":
		return r.load()
	}
	return r.effect(head)
}

// with finds the statement behind the common table expressions.
func (r *reader) with() Class {
	r.i++
	r.skip("RECURSIVE")
	for r.at(0).names() {
		r.i++
		if r.at(0).sign("(") {
			r.i = r.group(r.i)
		}
		r.skip("AS", "NOT", "MATERIALIZED")
		if !r.at(0).sign("(") {
			return Class{Sort: Other, Why: "its WITH is not understood"}
		}
		r.i = r.group(r.i)
		if !r.at(0).sign(",") {
			break
		}
		r.i++
	}
	switch head := r.at(0); {
	case head.is("SELECT"), head.is("VALUES"), head.is("TABLE"), head.sign("("):
		return r.reading()
	case head.is("UPDATE"):
		return r.update()
	case head.is("DELETE"):
		return r.delete()
	case head.is("INSERT"), head.is("REPLACE"):
		return r.insert()
	case head.is("MERGE") && r.g == Postgres:
		return r.merge()
	}
	return Class{Sort: Other, Why: "its WITH is not understood"}
}

// reading is the class of a statement that begins as one that reads.
func (r *reader) reading() Class {
	found := scan(r.g, r.t)
	c := Class{Sort: Reads, Locks: found.locks, Code: found.code, Why: found.why}
	switch {
	case found.outfile:
		c.Sort = Other
	case found.why != "":
		c.Sort = Calls
	}
	return c
}

// explain: it reads if the server does not execute what is explained.
func (r *reader) explain() Class {
	described := Class{Sort: Reads}
	for r.i++; r.more(); r.i++ {
		t := r.at(0)
		switch {
		case t.is("ANALYZE"):
			return Class{Sort: Other, Why: "EXPLAIN ANALYZE executes the statement"}
		case t.is("FORMAT") && r.at(1).sign("="):
			r.i += 2
		case t.is("EXTENDED"), t.is("PARTITIONS"), t.is("QUERY"), t.is("PLAN"), t.is("ALL"):
		case t.is("SELECT"), t.is("WITH"), t.is("VALUES"), t.is("TABLE"), t.sign("("),
			t.is("UPDATE"), t.is("DELETE"), t.is("INSERT"), t.is("REPLACE"):
			inner := (&reader{g: r.g, t: r.t[r.i:]}).statement()
			if inner.Sort != Writes {
				return inner
			}
			if unsafe := inner.unsafe; unsafe != "" {
				return Class{Sort: Calls, Code: inner.Code, Why: unsafe}
			}
			return described
		case t.is("FOR"):
			if r.at(1).is("CONNECTION") {
				return described
			}
			return Class{Sort: Other, Why: "this EXPLAIN is not understood"}
		case t.names() && r.g != SQLite:
			return r.reading() // DESCRIBE table [column]
		default:
			return Class{Sort: Other, Why: "this EXPLAIN is not understood"}
		}
	}
	return Class{Sort: Other, Why: "this EXPLAIN is not understood"}
}
