package sql

import (
	"context"
	"fmt"
	"strings"

	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// What others feel of a lock on a PostgreSQL table, by its name in the manual's chapter "Explicit Locking".
const (
	accessExclusive      = "ACCESS EXCLUSIVE: nobody else reads or writes the table until the step has ended; it waits for everybody who does, and whoever comes after waits behind it"
	shareRowExclusive    = "SHARE ROW EXCLUSIVE: writers wait until the step has ended; others read"
	shareLocked          = "SHARE: writers wait until the step has ended; others read"
	shareUpdateExclusive = "SHARE UPDATE EXCLUSIVE: others read and write; VACUUM and other changes of the definition wait"
)

// postgresRules are those of PostgreSQL 11 and later, by the manual's pages ALTER TABLE, CREATE INDEX, VACUUM and "Explicit Locking"
// (postgresql.org/docs/current/sql-altertable.html). What is not here is unknown, and takes ACCESS EXCLUSIVE, as an ALTER TABLE does of
// which the manual says nothing else. A test holds them against the server. It is never changed.
var postgresRules = map[string]manner{
	"DROP COLUMN":         {wayInstant, accessExclusive, "the column is hidden, and its values stay in the rows until those are written anew"},
	"RENAME":              {wayInstant, accessExclusive, ""},
	"RENAME COLUMN":       {wayInstant, accessExclusive, ""},
	"RENAME CONSTRAINT":   {wayInstant, accessExclusive, ""},
	"SET DEFAULT":         {wayInstant, accessExclusive, ""},
	"DROP DEFAULT":        {wayInstant, accessExclusive, ""},
	"SET NOT NULL":        {wayInPlace, accessExclusive, "every row is read, unless a CHECK shows that none is NULL"},
	"DROP NOT NULL":       {wayInstant, accessExclusive, ""},
	"SET STATISTICS":      {wayInstant, shareUpdateExclusive, ""},
	"SET PARAMETERS":      {wayInstant, shareUpdateExclusive, ""},
	"ADD PRIMARY KEY":     {wayInPlace, accessExclusive, "every row is read, and an index is built"},
	"ADD UNIQUE":          {wayInPlace, accessExclusive, "every row is read, and an index is built"},
	"ADD CHECK":           {wayInPlace, accessExclusive, "every row is read"},
	"ADD FOREIGN KEY":     {wayInPlace, shareRowExclusive, "every row is read, and looked up in the other table, which is locked like this one"},
	"VALIDATE CONSTRAINT": {wayInPlace, shareUpdateExclusive, "every row is read"},
	"DROP CONSTRAINT":     {wayInstant, accessExclusive, ""},
	"SET LOGGED":          {wayCopy, accessExclusive, ""},
	"SET UNLOGGED":        {wayCopy, accessExclusive, ""},
	"SET TABLESPACE":      {wayCopy, accessExclusive, ""},
	"ATTACH PARTITION":    {wayInPlace, shareUpdateExclusive, "every row of the partition is read, unless a CHECK shows that all belong there"},
	"ENABLE TRIGGER":      {wayInstant, shareRowExclusive, ""},
	"DISABLE TRIGGER":     {wayInstant, shareRowExclusive, ""},
	"CREATE TRIGGER":      {wayInstant, shareRowExclusive, ""},
	"CREATE INDEX":        {wayInPlace, shareLocked, "every row is read, and the index is built"},
	"REINDEX TABLE":       {wayInPlace, shareLocked, "every row is read, and its indexes are built anew; who reads by one of them waits"},
	"CLUSTER":             {wayCopy, accessExclusive, ""},
	"ANALYZE":             {wayInPlace, shareUpdateExclusive, "a sample of the rows is read"},
	"VACUUM":              {wayInPlace, shareUpdateExclusive, "room of rows that are gone is made free"},
	"TRUNCATE":            {wayInstant, accessExclusive, "the table's file is removed"},
	"DROP TABLE":          {wayInstant, accessExclusive, "the table's file is removed"},
}

// unchanging are functions that give the same in every row of a statement: a DEFAULT of them is worked out once.
const unchanging = " constant NOW CURRENT_TIMESTAMP CURRENT_DATE CURRENT_USER TRANSACTION_TIMESTAMP STATEMENT_TIMESTAMP "

// changing are functions that give another value each time.
const changing = " RANDOM GEN_RANDOM_UUID UUID_GENERATE_V4 CLOCK_TIMESTAMP NEXTVAL TIMEOFDAY "

func (*postgresDialect) manner(_ context.Context, _ queryer, _ statement.Name, d statement.Definition, f tableFacts) (manner, error) {
	var all []manner
	for _, a := range d.Actions {
		all = append(all, postgresOne(a, f))
	}
	m := worst(all)
	for _, other := range all {
		if other.waits == accessExclusive { // the strictest lock that one of them needs is held for all
			m.waits = accessExclusive
		}
	}
	return m, nil
}

func postgresOne(a statement.Action, f tableFacts) manner {
	switch {
	case f.engine != "heap":
		return manner{way: wayUnknown, waits: accessExclusive, why: "the table is no plain one (" + f.engine + ")"}
	case a.Does == "ADD COLUMN":
		return postgresAdded(a)
	case a.Does == "SET TYPE":
		return manner{wayUnknown, accessExclusive, "every row is written anew, unless the new type keeps its values as the old one did, as a longer varchar does"}
	case strings.HasPrefix(a.Does, "ADD ") && a.Says("VALID") && a.Says("NOT"), strings.HasPrefix(a.Does, "ADD ") && a.Says("USING") && a.Says("INDEX"):
		m := postgresRules[a.Does]
		m.way, m.why = wayInstant, "the rows that are there are not looked at"
		return m
	case a.Does == "VACUUM" && a.Says("FULL"):
		return manner{way: wayCopy, waits: accessExclusive}
	case a.Says("CONCURRENTLY"):
		return manner{wayInPlace, shareUpdateExclusive, "it waits for every transaction that is older"}
	}
	if m, ok := postgresRules[a.Does]; ok {
		return m
	}
	return manner{wayUnknown, accessExclusive, "there is no rule for it here"}
}

func postgresAdded(a statement.Action) manner {
	value := a.Default()
	if v := strings.LastIndexByte(value, '.'); v >= 0 {
		value = value[v+1:]
	}
	switch {
	case a.Says("GENERATED", "IDENTITY", "SERIAL", "BIGSERIAL", "SMALLSERIAL"):
		return manner{way: wayCopy, waits: accessExclusive, why: "each row's value is computed and written"}
	case a.Says("UNIQUE", "PRIMARY", "REFERENCES", "CHECK"):
		return manner{wayUnknown, accessExclusive, "the column brings an index or a constraint along"}
	case value != "" && strings.Contains(changing, " "+value+" "):
		return manner{way: wayCopy, waits: accessExclusive, why: "its DEFAULT gives each row another value"}
	case value != "" && !strings.Contains(unchanging, " "+value+" "):
		return manner{wayUnknown, accessExclusive, "its DEFAULT is computed: every row is written anew if that gives each row another value"}
	}
	return manner{way: wayInstant, waits: accessExclusive}
}

// grip is what a change of rows locks.
func (*postgresDialect) grip(class statement.Class, f tableFacts) string {
	switch {
	case !f.there:
		return ""
	case f.view:
		return "those of the tables behind the view"
	case event(class.Verb) == "INSERT":
		return "ROW EXCLUSIVE, and the new rows, until the end of the step; others read and write"
	}
	return "ROW EXCLUSIVE, and each row that it changes, until the end of the step; others read, and write other rows"
}

// forbids asks the server itself, which knows the roles. A right on some columns is taken for enough.
func (*postgresDialect) forbids(ctx context.Context, q queryer, t statement.Name, need []string) (string, error) {
	if need[0] == "CREATE" {
		rows, err := q.rows(ctx, rightsDoing, "SELECT CURRENT_USER::text FROM pg_catalog.pg_namespace n WHERE n.nspname = $1 AND NOT pg_catalog.has_schema_privilege(n.oid, 'CREATE')", t.Schema)
		if err != nil || len(rows) == 0 {
			return "", err
		}
		return fmt.Sprintf("the user %s has no right to CREATE in schema %s", word(rows[0][0]), t.Schema), nil
	}
	var missing []string // the columns of the answer
	for _, n := range need {
		switch n {
		case "INSERT", "UPDATE", "SELECT":
			missing = append(missing, "pg_catalog.has_any_column_privilege(c.oid, '"+n+"')::int")
		case "DELETE", "TRUNCATE":
			missing = append(missing, "pg_catalog.has_table_privilege(c.oid, '"+n+"')::int")
		default: // the table's owner alone may
			missing = append(missing, "pg_catalog.pg_has_role(c.relowner, 'USAGE')::int")
		}
	}
	rows, err := q.rows(ctx, rightsDoing, "SELECT CURRENT_USER::text, "+strings.Join(missing, ", ")+
		" FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND"+postgresFound+"LIMIT 1", t.Schema, t.Table)
	if err != nil || len(rows) == 0 {
		return "", err
	}
	for i, n := range need {
		if number(rows[0][1+i]) == 1 {
			continue
		}
		if n == "ALTER" || n == "DROP" || n == "INDEX" {
			return fmt.Sprintf("the user %s is not the owner of %s", word(rows[0][0]), t), nil
		}
		return fmt.Sprintf("the user %s has no right to %s on %s", word(rows[0][0]), n, t), nil
	}
	return "", nil
}
