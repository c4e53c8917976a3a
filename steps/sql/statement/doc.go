// Package statement reads SQL text as far as Handrail has to understand it: where its statements end,
// which named arguments it takes, and what sort of statement it is.
//
// It guarantees that a colon inside a string, a comment or a quoted name is never taken for an
// argument, and that a statement is said to read only when it is known to: every function that it
// calls is on a list of built-in ones without effect. What it does not understand is [Other] or
// [Calls], never [Reads].
//
// It never changes a statement but to put something in place of an argument, and it never checks that
// a statement is correct: the server does that.
package statement

// Grammar is the dialect that a text is read in.
type Grammar int

// The grammars.
const (
	// Any is for a text whose server is not known yet: the first of the others that can read it.
	Any Grammar = iota
	MySQL
	SQLite
	Postgres
)

// each are the grammars that a text of a grammar may be in.
func (g Grammar) each() []Grammar {
	if g == Any {
		return []Grammar{MySQL, SQLite, Postgres}
	}
	return []Grammar{g}
}
