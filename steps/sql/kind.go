package sql

import (
	"fmt"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// The types of target.
const (
	typeMySQL    = "mysql"
	typeSQLite   = "sqlite"
	typePostgres = "postgres"
)

// Kind is the step kind `sql`.
type Kind struct {
	containers Containers
	heard      func(text string) // is told each statement that is sent to a target; nil: nobody listens
	limit      time.Duration     // how long a server works on one statement of a dry-run
}

// New makes the kind. Containers in which programs that dump run are reached by the kind that it is given.
func New(containers Containers) *Kind { return &Kind{containers: containers, limit: previewLimit} }

// Define declares the kind.
func (k *Kind) Define() engine.Kind {
	return engine.Kind{
		Name: "sql",
		Doc: "Reads and changes databases. Values reach a statement as named arguments (`:name`, given under `args:`; a list " +
			"stands for IN), names of tables and columns as `ident(:name)`, which takes only names that the server's catalogue has. " +
			"What changes rows is carried out exactly once: its marker is committed with it, in the table handrail_markers of the " +
			"database that is written. Rows of tables come back with their types: decimals are exact, times are times, TIME is a duration, BIT an integer.",
		Targets: []engine.TargetType{
			{
				Name:       typeMySQL,
				Doc:        "A MySQL, MariaDB or TiDB server.",
				KeepsLocks: true,
				Settings:   oneOrSeveral(programsShape(steps.Params[mysqlSettings](), k.containers)),
				Example:    `{mysql: {address: "127.0.0.1:3306", user: ops, password: "${{ secrets.DB_PASSWORD }}", database: numbering}}`,
			},
			{
				Name: typePostgres,
				Doc: "A PostgreSQL server. A step holds on to its session, so the address must not be one of a pooler that gives each transaction " +
					"another session (pgbouncer with pool_mode = transaction), which is refused: take its session pool, or the server itself.",
				KeepsLocks: true,
				Settings:   oneOrSeveral(programsShape(steps.Params[postgresSettings](), k.containers)),
				Example:    `{postgres: {address: "127.0.0.1:5432", user: ops, password: "${{ secrets.DB_PASSWORD }}", database: ledger}}`,
			},
			{
				Name:     typeSQLite,
				Doc:      "An SQLite database file. Foreign keys are enforced.",
				Settings: steps.Params[sqliteSettings](),
				Example:  `{sqlite: {file: ./numbering.db}}`,
			},
		},
		Operations: operations(),
	}
}

// oneOrSeveral: a target is one server, or several with the same data.
func oneOrSeveral(s engine.Shape) engine.Shape {
	s.Either = []string{"address", "addresses"}
	return s
}

func result(name string, t engine.Type, doc string) engine.Field {
	return engine.Field{Name: name, Shape: engine.Of(t), Doc: doc, Required: true}
}

func rowsResult() engine.Shape {
	return engine.RecordOf(
		engine.Field{Name: "rows", Shape: engine.RowsShape(), Required: true, Doc: "the rows, each a record by the names of the columns; at most 1,000 rows and 1 MiB"},
		engine.Field{Name: "columns", Shape: engine.ListOf(engine.Of(engine.TypeText)), Required: true, Doc: "the names of the columns, in their order"},
	)
}

// queryResult is that of a step, which may ask one of several servers.
func queryResult() engine.Shape {
	s := rowsResult()
	s.Fields = append(s.Fields, engine.Field{Name: engine.NodeField, Shape: engine.Of(engine.TypeText), Doc: "with `nodes: any`: the address of the server that answered"})
	return s
}

func execResult() engine.Shape {
	return engine.RecordOf(
		result("affected", engine.TypeInteger, "rows that the statement found to change, also those that were as wanted already; as the server counts them (MySQL counts a row that ON DUPLICATE KEY updates as 2)"),
		result("last_insert_id", engine.TypeInteger, "the number that the server gave to the first row inserted; 0: none"),
	)
}

func transactionResult() engine.Shape {
	s := engine.RecordOf(result("affected", engine.TypeInteger, "the sum over the entries with `exec`; the result of an entry with `as` stands beside it under that name"))
	s.Open = true
	return s
}

func transactionShape() engine.Shape {
	s := steps.Params[transactionParams]()
	for i, f := range s.Fields {
		if f.Name != "transaction" {
			continue
		}
		s.Fields[i].Shape.Entries = []engine.Variant{{Key: "query", Result: rowsResult()}, {Key: "exec", Result: execResult()}}
		for j, e := range f.Shape.Elem.Fields {
			if e.Name == "args" {
				f.Shape.Elem.Fields[j].Shape = engine.MapOf(engine.Of(engine.TypeAny))
			}
		}
	}
	return s
}

func tablesResult() engine.Field {
	return engine.Field{Name: "tables", Required: true, Doc: "the tables of the dump, in its order", Shape: engine.ListOf(engine.RecordOf(
		result("name", engine.TypeText, "the table; with its database when the dump holds whole databases"),
		result("rows", engine.TypeInteger, "how many rows of it there are")))}
}

func dumpResult() engine.Shape {
	return engine.RecordOf(result("file", engine.TypePath, "the file"), result("manifest", engine.TypePath, "the manifest beside it"),
		result("size", engine.TypeInteger, "the file's length"), result("sha256", engine.TypeText, "the file's SHA-256, in hexadecimal"),
		result("content", engine.TypeInteger, "bytes of SQL before they were packed"), result("rows", engine.TypeInteger, "rows of all tables"),
		tablesResult(), result("made", engine.TypeTime, "when it was made"))
}

func restoreResult() engine.Shape {
	return engine.RecordOf(result("file", engine.TypePath, "the file, symbolic links followed"), result("made", engine.TypeTime, "when the dump was made; null without a manifest"),
		result("statements", engine.TypeInteger, "statements that were carried out"), result("rows", engine.TypeInteger, "rows of all tables of the dump"),
		tablesResult(), result("safety", engine.TypePath, "the safety dump; null if none was wanted, or there was nothing to save"))
}

func operations() []engine.Operation {
	return []engine.Operation{
		{
			Name: "query", Key: "query", Class: engine.ClassUnrepeatable, Risk: engine.RiskDestroys,
			Doc:    "Reads rows. A statement that is known to read is of class read; one that calls functions that are not known to read is unrepeatable, unless the author says `effect: read`.",
			Params: steps.Params[queryParams](), Result: queryResult(), Judge: judgeQuery,
			Example: `{id: usage, sql: {query: "SELECT max_value FROM configs WHERE type = :type", args: {type: COR}}, expect: "len(rows) == 1"}`,
		},
		{
			Name: "exec", Key: "exec", Class: engine.ClassUnrepeatable, Risk: engine.RiskDestroys, ExpectInside: true, Prepares: true,
			Doc:    "Carries out one statement. INSERT, UPDATE, DELETE and CALL are transactional, and `expect` is asked BEFORE they are committed; what commits by itself, such as DDL, is unrepeatable.",
			Params: steps.Params[execParams](), Result: execResult(), Judge: judgeExec,
			Example: `{id: raise, sql: {exec: "UPDATE configs SET max_value = :max WHERE type = :type", args: {max: 100, type: COR}}, expect: "affected == 1"}`,
		},
		{
			Name: "transaction", Key: "transaction", Class: engine.ClassTransactional, Risk: engine.RiskDestroys, ExpectInside: true, Prepares: true,
			Doc: "Carries out several statements that are committed together or not at all. Each entry has `query` or `exec`, and may have `args`, " +
				"`expect`, which is asked BEFORE anything is committed, and `as`: the name under which later entries see its result.",
			Params: transactionShape(), Result: transactionResult(), Judge: judgeTransaction,
			Example: `{id: raise, sql: {transaction: [{query: "SELECT max_value FROM configs WHERE id = 1 FOR UPDATE", as: old}, {exec: "UPDATE configs SET max_value = max_value * 10 WHERE id = 1", expect: "affected == 1"}]}}`,
		},
		{
			Name: "script", Key: "script", Class: engine.ClassUnrepeatable, Risk: engine.RiskDestroys, Prepares: true,
			Doc: "Carries out the statements of a script, one after the other on one connection, each committed by itself. DELIMITER works as in the mysql " +
				"client. Each statement leaves a marker, so a script that was cut off goes on where it stopped, and one that failed is not done again from its beginning.",
			Params: steps.Params[scriptParams](), Judge: judgeScript,
			Result: engine.RecordOf(result("statements", engine.TypeInteger, "statements of the script, those that were done before included"),
				result("affected", engine.TypeInteger, "the sum over the statements")),
			Example: `{id: schema, sql: {script: "CREATE TABLE IF NOT EXISTS a (id INT); INSERT INTO a VALUES (1);"}}`,
		},
		{
			Name: "export", Key: "export", Class: engine.ClassUnrepeatable, Risk: engine.RiskDestroys, Changes: "file",
			Doc: "Writes the rows of a query to a CSV file, however many. The file appears under its name only when it is complete and on disk; " +
				"a file that was there before is replaced. NULL is written without quotes as `null` says, bytes in hexadecimal; text that reads like NULL is in quotes.",
			Params: steps.Params[exportParams](), Judge: judgeExport,
			Result: engine.RecordOf(result("file", engine.TypePath, "the file"), result("count", engine.TypeInteger, "rows, the line with the names not counted"),
				result("bytes", engine.TypeInteger, "the file's length"), result("sha256", engine.TypeText, "the file's SHA-256, in hexadecimal")),
			Example: `{id: audit, sql: {export: "SELECT * FROM audit WHERE at >= :from", args: {from: "2025-01-01"}, to: audit-2025.csv}}`,
		},
		{
			Name: "dump", Key: "dump", Role: engine.RoleBackup, Class: engine.ClassIdempotent, Risk: engine.RiskChanges, Changes: "file",
			Doc: "Dumps tables, a database or, on MySQL, several into a file of SQL, by the server's own program (mariadb-dump, mysqldump, pg_dump), which must be there. The rows of each table are counted in what the program writes. " +
				"The file appears under its name only when the program has ended well, its mark of the end was seen, and all is on disk; beside it stands a manifest (NAME.manifest.json) with size, SHA-256 and counts. A file that is there is never overwritten.",
			Params: steps.Params[dumpParams](), Judge: judgeDump, Result: dumpResult(),
			Example: `{id: saved, sql: {dump: "/backups/numbering-${{ run.id }}.sql.zst", tables: [configs, sequences]}, timeout: 1h}`,
		},
		{
			Name: "restore", Key: "restore", Role: engine.RoleRestore, Class: engine.ClassUnrepeatable, Risk: engine.RiskIrreversible,
			Doc: "Restores a dump, statement by statement through the step's own connection; no program is needed. BEFORE anything is touched the whole file is read: its size, its SHA-256, the mark of its end and the rows of each table must be as the manifest says. " +
				"AFTER it each table must have as many rows as the dump. On PostgreSQL all of it is one transaction, which is committed only then. The step must say `wipes: true`.",
			Params: steps.Params[restoreParams](), Judge: judgeRestore, Result: restoreResult(),
			Example: `{id: restored, sql: {restore: /backups/latest.sql.zst, safety: "/backups/before-${{ run.id }}.sql.zst"}, wipes: true, timeout: 1h}`,
		},
		moveOperation(),
	}
}

// Decode makes an operation of its parameters.
func (*Kind) Decode(operation string, params engine.Record) (steps.Operation, error) {
	switch operation {
	case "query":
		return decodeQuery(params)
	case "exec":
		return decodeExec(params)
	case "transaction":
		return decodeTransaction(params)
	case "script":
		return decodeScript(params)
	case "export":
		return decodeExport(params)
	case "dump":
		return decodeDump(params)
	case "restore":
		return decodeRestore(params)
	case "move":
		return decodeMove(params)
	}
	return nil, fmt.Errorf("sql has no operation %s", operation)
}
