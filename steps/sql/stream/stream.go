// Package stream reads the text of a dump as it flows by, and packs and unpacks it.
//
// A [Scanner] follows statements, strings, comments and changed delimiters byte by byte, in a bounded amount of
// memory. It guarantees that the rows it counts are those of statements that insert rows, never of text that
// looks like one inside of a string, a comment or a routine; and that a dump is called complete only if the
// mark that its program writes at the very end is the last thing in it. A [Splitter] cuts the same text into
// the statements that a server takes, with the same eyes: what was counted is what is sent.
//
// It never talks to a server and never judges what a statement does.
package stream

import "fmt"

// Table is a table of a dump and how many rows of it there are.
type Table struct {
	Name string // as the dump names it; with its database where the dump names databases
	Rows int64
}

// Scanner follows the text of a dump. Write never fails.
type Scanner interface {
	Write(p []byte) (int, error)
	// Tables are those that the dump creates or fills, in their order.
	Tables() []Table
	// At is the table that was last created or filled.
	At() string
	// Rows is how many there are in all tables so far.
	Rows() int64
	// Complete: the dump's own mark of its end is the last thing that was written.
	Complete() bool
	// Longest is the length of the longest statement in bytes, with the comments before it.
	Longest() int64
	// Databases are those that the dump names for what follows, in their order.
	Databases() []string
	// Refused says why the dump cannot be restored statement by statement; empty: nothing is known against it.
	Refused() string
	// watch has the scanner tell where statements end.
	watch(watcher)
	// open: a statement was begun and has not ended.
	open() bool
}

// watcher is told where in the bytes of the present Write something ends. The last tail bytes before that are
// no part of it.
type watcher interface {
	statement(end, tail int, blank bool)
	// copying: the statement reads the rows that follow.
	copying(end, tail int)
	// copied: up to here it was rows, each whole or going on in the next Write.
	copied(end int)
	// copyEnd: the rows have ended, and what came since they did was the mark of that.
	copyEnd(end int)
	// command: up to here it was for the client, not for the server.
	command(end int)
}

// New makes the scanner of a system's dumps.
func New(system string) (Scanner, error) {
	switch system {
	case "mysql":
		return newMySQL(), nil
	case "postgres":
		return newPostgres(), nil
	}
	return nil, fmt.Errorf("no dumps of %q are known", system)
}

// tables counts rows by name, in the order of the first mention.
type tables struct {
	list []Table
	at   map[string]int
	rows int64
	last int // that was found
}

func (t *tables) find(name string) int {
	i, ok := t.at[name]
	if !ok {
		if t.at == nil {
			t.at = map[string]int{}
		}
		i = len(t.list)
		t.at[name], t.list = i, append(t.list, Table{Name: name})
	}
	t.last = i
	return i
}

func (t *tables) Tables() []Table { return append([]Table(nil), t.list...) }
func (t *tables) Rows() int64     { return t.rows }

func (t *tables) At() string {
	if len(t.list) == 0 {
		return ""
	}
	return t.list[t.last].Name
}
