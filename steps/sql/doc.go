// Package sql is the step kind `sql`: reading and changing MySQL, MariaDB and SQLite databases.
//
// It guarantees that a transaction happens once for its token: the effect and a marker row are committed
// together, and AFTER a crash the marker decides. What commits by itself, such as DDL, is never said to
// be transactional; a commit that hides in a procedure is found out, and the step is then in doubt.
// Values are bound as parameters and come back with their types. On a read-only connection nothing is
// sent but what is known to read, in a session that is read-only to the server as well.
//
// It never puts a value's text into a statement, never guesses what became of a statement whose answer
// was lost, and never tells a password.
//
// What a server calls its things is behind the interface dialect; the rest of the package is the same
// for all of them. The text of statements is read in package statement.
package sql
