package sql

import (
	"fmt"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

type moveParams struct {
	Move    string                  `param:"move" need:"yes" doc:"the table whose rows are moved: table, or database.table"`
	To      string                  `param:"to" need:"yes" doc:"the table that takes them; it is there already, on the same server"`
	Where   string                  `param:"where" need:"yes" literal:"yes" doc:"which rows: what would stand behind WHERE, with arguments as :name. It must not ask a clock, which would tell each batch another time: give the time as an argument"`
	Args    map[string]engine.Value `param:"args" doc:"the condition's arguments by name; a list stands for the values of IN (…)"`
	Columns []string                `param:"columns" doc:"the columns that are copied, when it is not all of them; what stands in the others is gone with the rows"`
	Index   string                  `param:"index" doc:"the key by whose order the table is walked: PRIMARY, or the name of a unique key without NULLs" default:"PRIMARY"`
	Batch   int64                   `param:"batch" default:"400" doc:"rows that are moved by one transaction, from 1 to 10,000"`
	Limit   int64                   `param:"limit" doc:"no more rows than these; 0: all"`
	Pause   time.Duration           `param:"pause" doc:"rest after each batch"`
	Nice    float64                 `param:"nice" doc:"rest after each batch for this times what it took, so that a slower server gets more rest; 0.5: a third of the time"`
	Running *int64                  `param:"max_threads_running" default:"25" doc:"rest as long as more statements than these are running on the server; 0: it is not asked"`
	Hold    []engine.Question       `param:"go_while" doc:"probes, such as one of a replica's lag; asked between batches, at most once a second. It rests until all of them say yes"`
	Cascade bool                    `param:"cascade" default:"false" doc:"foreign keys may carry the removal on to rows of other tables, which are not moved"`
}

const (
	defaultMoveBatch = 400
	mostMoveBatch    = 10_000
	defaultRunning   = 25
)

// moveOperation declares it.
func moveOperation() engine.Operation {
	return engine.Operation{
		Name: "move", Key: "move", Class: engine.ClassTransactional, Risk: engine.RiskDestroys, Prepares: true, Resumes: true,
		Doc: "Moves rows to another table of the same server, in batches that walk a key in its order. Each batch is one transaction at READ COMMITTED: it locks exactly its rows, " +
			"copies them, removes them, and notes in its marker how far it came. So every row is in one of the two tables at any time, never in both, and what was cut off goes on " +
			"behind its last batch. A row that is changed meanwhile and does not match any more stays. Rows whose key lies behind the last one that was there at the start are left alone. " +
			"A batch that meets a deadlock or a lock is tried again; a row whose key the other table has already ends the move, with nothing lost.",
		Params: steps.Params[moveParams](), Judge: engine.ByParams(judgeMove),
		Result: engine.RecordOf(
			result("moved", engine.TypeInteger, "rows that were moved, those of attempts that were cut off included"),
			result("batches", engine.TypeInteger, "transactions that moved some"),
			result("left", engine.TypeInteger, "rows that match the condition at the end, counted")),
		Example: `{id: archive, sql: {move: audit, to: audit_archive, where: "at < :before", args: {before: "2024-01-01"}}, expect: "left == 0", timeout: 4h}`,
	}
}

func judgeMove(params engine.Record) engine.Judgement {
	var j engine.Judgement
	bad := func(path, format string, args ...any) {
		j.Problems = append(j.Problems, engine.Problem{Path: path, Message: fmt.Sprintf(format, args...)})
	}
	for _, key := range []string{"move", "to"} {
		if text, ok := params[key].(string); ok {
			if _, err := statement.ParseName(statement.Any, text); err != nil {
				bad(key, "%q %v", text, err)
			}
		}
	}
	if text, ok := params["where"].(string); ok {
		j.Problems = append(j.Problems, judgeWhere(text, params["args"])...)
	}
	if n, ok := params["batch"].(int64); ok && (n < 1 || n > mostMoveBatch) {
		bad("batch", "must be from 1 to 10,000")
	}
	for _, key := range []string{"limit", "max_threads_running"} {
		if n, ok := params[key].(int64); ok && n < 0 {
			bad(key, "must not be negative")
		}
	}
	if d, ok := params["pause"].(time.Duration); ok && d < 0 {
		bad("pause", "must not be negative")
	}
	switch n := params["nice"].(type) {
	case int64:
		if n < 0 {
			bad("nice", "must not be negative")
		}
	case float64:
		if n < 0 {
			bad("nice", "must not be negative")
		}
	}
	if list, ok := params["columns"].(engine.List); ok && len(list) == 0 {
		bad("columns", "names no column; leave it out to copy all of them")
	}
	return j
}

func judgeWhere(text string, args engine.Value) []engine.Problem {
	c, err := statement.ParseCondition(statement.Any, text)
	if err != nil {
		return []engine.Problem{problemOf("where", err)}
	}
	var out []engine.Problem
	st := c.Statement
	switch {
	case st.Class.Sort != statement.Reads || len(st.Class.Code) > 0:
		out = append(out, engine.Problem{Path: "where", Message: "the condition is not known to read only: " + st.Class.Why})
	case st.Class.Locks:
		out = append(out, engine.Problem{Path: "where", Message: "the condition locks what it reads; the rows are locked by the move itself"})
	case c.Clock != "":
		out = append(out, engine.Problem{Path: "where", Message: fmt.Sprintf("%s tells each batch another time or value; work it out once and give it as an argument, such as at < :before with `args: {before: \"${{ … }}\"}`", c.Clock)})
	}
	return append(out, checkArgs(args, use{st: st, path: "where", offset: -statement.ConditionOffset})...)
}
