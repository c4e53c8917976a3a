package sql

import (
	"context"
	"database/sql/driver"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// dialect is what differs from server to server.
type dialect interface {
	walker
	grammar() statement.Grammar
	// quote makes a name safe to stand in a statement.
	quote(name string) string
	// bind says how the n-th argument of a statement stands in it, and what the driver is handed.
	bind(n int, v engine.Value) (text string, arg any, err error)
	// unbound: the server takes no parameters in such a statement, so its arguments are put in as literals.
	unbound(c statement.Class) bool
	// literal is a value as it stands in a statement.
	literal(v engine.Value) (string, error)
	// value turns what the driver brought for a column of that type into a Value.
	value(typ string, v any) (engine.Value, error)
	// csv is a value as it stands in an exported file.
	csv(typ string, v engine.Value) string
	// answer says whether err is the server's own answer, and if so fills in what it means. An answer with
	// which the server ended the connection is none: it has a sentence, and what was sent stays unknown.
	answer(err error, f *fault) bool

	// greet prepares a new connection, and gives the server's number for it.
	greet(ctx context.Context, raw driver.Conn, readOnly bool) (id int64, err error)
	// keeper is what a server is asked at which a statement goes on when its client is gone, so that it has
	// to be killed, and waited for by a session lock; nil: it ends with its client.
	keeper() keeper
	// ddlRollsBack: a rollback takes back CREATE TABLE and its like, which is therefore transactional, and
	// nothing commits by itself.
	ddlRollsBack() bool
	// begin starts a transaction that is going to write.
	begin() string
	forUpdate() string

	// own is a statement of this package, whose arguments are written "?", as the server wants them.
	own(text string) string
	// token is a token as the table of markers holds it.
	token(t string) any
	// keepFirst stands behind an INSERT that is to change nothing where the row is there; empty: the server
	// answers with an error then, and goes on with the transaction.
	keepFirst() string
	// estimate is how many rows a row of EXPLAIN expects.
	estimate(plan engine.Record) (int64, bool)
	// markerTable is the statement that creates the table of markers under a quoted name.
	markerTable(name string) string
	// lockTable is the statement that creates the table of the locks of runs under a quoted name; empty: there can
	// be none.
	lockTable(name string) string
	// shared stands behind a SELECT that keeps others from changing the row until the transaction ends.
	shared() string
	// current is the database that names without one belong to.
	current(ctx context.Context, q queryer) (string, error)
	// look finds out about tables.
	look(ctx context.Context, q queryer, t statement.Name) (tableFacts, error)
	// cascades are "UPDATE parts", "DELETE parts": what a change of the table does to others by foreign
	// keys, as far as they are in the same database.
	cascades(ctx context.Context, q queryer, t statement.Name) ([]string, error)
	// children are the foreign keys of one column that carry a DELETE from the table on to others.
	children(ctx context.Context, q queryer, t statement.Name) ([]child, error)
	// manner is how a definition of a table is carried out.
	manner(ctx context.Context, q queryer, t statement.Name, d statement.Definition, f tableFacts) (manner, error)
	// grip is what a change of its rows locks, in plain words.
	grip(class statement.Class, f tableFacts) string
	// forbids says which of the rights on a table the user has not; empty: all are there, or it cannot be told.
	forbids(ctx context.Context, q queryer, t statement.Name, need []string) (string, error)
	// leaky are tables of a database that keep no transactions, some of them.
	leaky(ctx context.Context, q queryer, database string) ([]string, error)
	// strangers are those of the names that the catalogue does not have for a database, or for a table,
	// column or index of the current database and of the databases that are among the names.
	strangers(ctx context.Context, q queryer, names []string) ([]string, error)
	// markers are the databases that have a table of markers.
	markers(ctx context.Context, q queryer) ([]string, error)
	// server is the server's own name for itself, that another one does not have.
	server(ctx context.Context, q queryer) (string, error)
	// clock is a statement for the server's time, in seconds since 1970; empty: it has none of its own.
	clock() string
	// follows says why the server takes no writes of anybody; empty: it does.
	follows(ctx context.Context, q queryer) (why string, err error)
	// columns are rows that say how the table is made.
	columns(ctx context.Context, q queryer, t statement.Name) ([][]any, error)
	// mayKeep says whether the user can have a table of this package in a database, such as that of markers, found by reading
	// only; no is why not.
	mayKeep(ctx context.Context, q queryer, database, table string) (no string, err error)
}

// keeper are the statements by which sessions are told apart, waited for and ended.
type keeper interface {
	// lock takes the session lock of a token: 1 when it is had, -1 when another session than the one of that
	// number was asked for it. waits: the server waits for it itself, for a moment.
	lock(token string, id int64) (text string, waits bool)
	unlock(token string) string
	// holder is the connection that has the lock.
	holder(token string) string
	// running tells of a connection for how many seconds it has been doing what.
	running(id int64) string
	// stop ends what a connection is doing, or the connection itself.
	stop(id int64, connection bool) string
}

// queryer reads rows. Conn and session are ones.
type queryer interface {
	rows(ctx context.Context, doing, text string, args ...any) ([][]any, error)
}

// tableFacts are what the catalogue says of a table.
type tableFacts struct {
	there    bool
	made     string // a digest of how it is made; empty: nobody has asked
	view     bool
	schema   string // where it is, if not where it was looked for
	engine   string
	leaky    bool          // it keeps no transactions
	volatile bool          // a crash of the server empties it
	rows     int64         // an estimate; -1: not known
	size     engine.Figure // bytes with its indexes
	triggers []string      // event and name: "UPDATE audit_t"
}

// triggersOn are the triggers of an event; MERGE may be any.
func (t tableFacts) triggersOn(event string) []string {
	var out []string
	for _, g := range t.triggers {
		if on, name, _ := strings.Cut(g, " "); on == event || event == "MERGE" {
			out = append(out, name)
		}
	}
	return out
}
