// Package witness asks those who must know whether anything was written: the servers' own logs and counters, the events of
// the Docker engine, the files themselves. None of them asks Handrail, nor anybody who uses it.
//
// A witness is for a time in which nothing may be written by the user who is looked at, who may write everything. Where
// others write meanwhile, it says what it leaves out; and it never leaves out what it does not know.
package witness

import (
	"context"
	"database/sql"
	"testing"
	"time"
)

// Watch begins to look. The function that it gives ends that, and has a sentence for each thing that was written meanwhile.
type Watch func(t testing.TB) (found func() []string)

// While has several look while something is done, and gives what they have found, each with the name of who found it.
func While(t testing.TB, watches map[string]Watch, do func()) map[string][]string {
	t.Helper()
	ends := map[string]func() []string{}
	for name, w := range watches {
		ends[name] = w(t)
	}
	do()
	all := map[string][]string{}
	for name, end := range ends {
		if found := end(); len(found) > 0 {
			all[name] = found
		}
	}
	return all
}

// patience is for what must come.
const patience = time.Minute

// one asks a database for one row of texts.
func one(t testing.TB, db *sql.DB, question string, args ...any) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	rows, err := db.QueryContext(ctx, question, args...)
	if err != nil {
		t.Fatalf("%s: %v", question, err)
	}
	defer func() { _ = rows.Close() }()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	values := make([]sql.NullString, len(names))
	into := make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	if rows.Next() {
		err = rows.Scan(into...)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", question, err)
	}
	if err != nil {
		t.Fatalf("%s: %v", question, err)
	}
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = v.String
	}
	return out
}

func must(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, s := range statements {
		if _, err := db.ExecContext(ctx, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}
