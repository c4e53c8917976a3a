package sql

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/handrail-dev/handrail/steps/internal/proof"
	"github.com/handrail-dev/handrail/steps/sql/stream"
)

func (*postgresDialect) longest(context.Context, queryer) (int64, error) { return 1<<30 - 1, nil }

// counting leaves out what is in partitions and in tables that inherit: a dump counts those by themselves.
func (d *postgresDialect) counting(_ *proof.Dump, name string) string {
	return "ONLY " + d.quoted(name)
}

func (*postgresDialect) markersOf(schema string) string {
	return stream.PostgresName(schema, markerTableName)
}

// shownRights bounds how many tables are named that somebody else owns.
const shownRights = 3

// unable: who takes a table away must own it, and who makes one must be let into its schema.
func (d *postgresDialect) unable(ctx context.Context, q queryer, _ string, dump *proof.Dump) (string, error) {
	rows, err := q.rows(ctx, "look at the rights of the user", `SELECT CURRENT_USER::text, pg_catalog.pg_is_in_recovery()::int, pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')::int`)
	if err != nil || len(rows) == 0 {
		return "", err
	}
	user, mayAdd := word(rows[0][0]), number(rows[0][2]) == 1
	if number(rows[0][1]) == 1 {
		return "the server is a standby, which takes no writes; let the target point to the primary", nil
	}
	owned, err := q.rows(ctx, "look at the owners of the tables", `SELECT n.nspname, c.relname, pg_catalog.pg_has_role(c.relowner, 'USAGE')::int FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')`)
	if err != nil {
		return "", err
	}
	theirs := map[string]bool{}
	for _, r := range owned {
		theirs[stream.PostgresName(word(r[0]), word(r[1]))] = true
	}
	schemas, err := q.rows(ctx, "look at the rights in the schemas", `SELECT n.nspname, pg_catalog.has_schema_privilege(n.oid, 'CREATE')::int FROM pg_catalog.pg_namespace n`)
	if err != nil {
		return "", err
	}
	may := map[string]bool{}
	for _, r := range schemas {
		may[word(r[0])] = number(r[1]) == 1
	}
	var others []string
	for _, t := range dump.Tables {
		schema, _, err := stream.ParsePostgresName(t.Name)
		if err != nil {
			return "", err
		}
		there, known := may[schema]
		switch {
		case theirs[t.Name]:
			if others = append(others, t.Name); len(others) == shownRights {
				others = append(others, "…")
			}
		case known && !there:
			return fmt.Sprintf("the user %s has no right to CREATE in schema %s; give it with GRANT", user, schema), nil
		case !known && !mayAdd:
			return fmt.Sprintf("there is no schema %s, and the user %s has no right to CREATE one in this database; give it with GRANT", schema, user), nil
		}
	}
	if len(others) > 0 {
		return fmt.Sprintf("the user %s is not the owner of %s, and who is not cannot restore over it; let the target use the owner, or GRANT its role to this user",
			user, strings.Join(others[:min(len(others), shownRights+1)], ", ")), nil
	}
	return "", nil
}

var timeoutSet = regexp.MustCompile(`^SET (\w+_timeout) = `)

// skips: BEGIN and COMMIT, which pg_dump puts around large objects, mean nothing inside of the one transaction;
// and a limit of time which a newer pg_dump switches off is not known to an older server.
func (*postgresDialect) skips(ctx context.Context, q queryer, text string) (bool, error) {
	switch strings.ToUpper(strings.Join(strings.Fields(text), " ")) {
	case "BEGIN", "BEGIN TRANSACTION", "START TRANSACTION", "COMMIT", "COMMIT TRANSACTION", "END":
		return true, nil
	}
	set := timeoutSet.FindStringSubmatch(text)
	if set == nil {
		return false, nil
	}
	rows, err := q.rows(ctx, "ask whether it knows "+set[1], "SELECT pg_catalog.current_setting($1, true) IS NULL", set[1])
	return err == nil && len(rows) == 1 && (word(rows[0][0]) == "t" || word(rows[0][0]) == "true"), err
}

// plainly hands a statement over as psql does, by the simple protocol.
func (s *session) plainly(ctx context.Context, doing, text string) error {
	return s.do(ctx, doing, func(ctx context.Context) error {
		return s.link(func(l *postgresLink) error {
			_, err := l.Exec(ctx, text).ReadAll()
			return err
		})
	})
}

// link hands over the connection below.
func (s *session) link(f func(*postgresLink) error) error {
	return s.conn.Raw(func(raw any) error {
		w, ok := raw.(*wire)
		if !ok || w.readOnly {
			return refusal{"a dry-run only reads"}
		}
		l, ok := w.Conn.(*postgresLink)
		if !ok {
			return fmt.Errorf("a connection of type %T", w.Conn)
		}
		if err := f(l); err != nil {
			return unsent(err)
		}
		return nil
	})
}

// errCutOff ends a COPY whose rows do not go on.
var errCutOff = errors.New("the rows of the dump do not go on")

// feed is one COPY under way. What is written to it goes to the server in a goroutine, which has ended AFTER
// Close or cut.
type feed struct {
	to   *io.PipeWriter
	done chan error
	tag  int64
}

// copyIn begins a COPY. Its rows go to the server as they stand in the dump.
func (s *session) copyIn(ctx context.Context, doing, text string) *feed {
	from, to := io.Pipe()
	f := &feed{to: to, done: make(chan error, 1)}
	go func() {
		err := s.do(ctx, doing, func(ctx context.Context) error {
			return s.link(func(l *postgresLink) error {
				tag, err := l.CopyFrom(ctx, from, text)
				f.tag = tag.RowsAffected()
				return err
			})
		})
		_ = from.CloseWithError(errors.Join(io.ErrClosedPipe, err))
		f.done <- err
	}()
	return f
}

func (f *feed) Write(p []byte) (int, error) {
	n, err := f.to.Write(p)
	if err == nil {
		return n, nil
	}
	// The reason is what the server says.
	if told := f.end(nil); told != nil {
		err = told
	}
	return n, err
}

// Close ends the rows, and says what came of them.
func (f *feed) Close() error { return f.end(nil) }

// cut ends the rows without their end: the server keeps nothing of them.
func (f *feed) cut() { _ = f.end(errCutOff) }

func (f *feed) end(with error) error {
	_ = f.to.CloseWithError(with) // nil is the end of the rows
	err := <-f.done
	f.done <- err // it may be asked again
	return err
}

var _ driver.Validator = (*postgresLink)(nil)
