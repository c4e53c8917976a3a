package sql

import (
	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

type queryParams struct {
	Query string                  `param:"query" need:"yes" literal:"yes" doc:"the statement; it reads. Arguments are written :name, names of tables and columns that come as arguments ident(:name)"`
	Args  map[string]engine.Value `param:"args" doc:"the statement's arguments by name; a list stands for the values of IN (…)"`
	Nodes string                  `param:"nodes" enum:"writer,any,each" literal:"yes" doc:"which servers of a target with several are asked: writer (the default) is the one that takes writes, any the first that answers, in the order of the addresses; each asks all, and then the result is a list and expect is asked of every one"`
	Node  *string                 `param:"node" doc:"the one server that is asked, by its address as the target has it, whatever it says of itself"`
}

type execParams struct {
	Exec string                  `param:"exec" need:"yes" literal:"yes" doc:"the statement. Arguments are written :name, names of tables and columns that come as arguments ident(:name)"`
	Args map[string]engine.Value `param:"args" doc:"the statement's arguments by name; a list stands for the values of IN (…)"`
	Node *string                 `param:"node" doc:"of a target with several servers the one that the statement is for, by its address as the target has it, whatever it says of itself. For what concerns that server alone, such as its settings and its part in a replication, and not for rows or tables"`
}

type entryParams struct {
	Query  string            `param:"query" literal:"yes" doc:"a statement that reads; FOR UPDATE keeps what it read from changing until the commit"`
	Exec   string            `param:"exec" literal:"yes" doc:"a statement that writes"`
	Args   engine.Value      `param:"args" doc:"arguments of this statement alone; they may refer to results of earlier entries, as in \"${{ old.rows[0].id }}\""`
	As     string            `param:"as" doc:"the name under which later entries, and later steps, see its result"`
	Expect *engine.Condition `param:"expect" doc:"asked of its result BEFORE anything is committed; false rolls everything back"`
}

type transactionParams struct {
	Transaction []entryParams           `param:"transaction" need:"yes" doc:"the statements, in their order"`
	Args        map[string]engine.Value `param:"args" doc:"arguments of all the statements by name"`
}

type scriptParams struct {
	Script string                  `param:"script" need:"yes" literal:"yes" doc:"the statements, with ; or another DELIMITER between them"`
	Args   map[string]engine.Value `param:"args" doc:"arguments of all the statements by name"`
}

type exportParams struct {
	Export string                  `param:"export" need:"yes" literal:"yes" doc:"the statement; it reads"`
	Args   map[string]engine.Value `param:"args" doc:"the statement's arguments by name; a list stands for the values of IN (…)"`
	To     steps.Path              `param:"to" need:"yes" doc:"the file; its folder must be there"`
	Header *bool                   `param:"header" default:"true" doc:"the first line has the names of the columns"`
	Null   *string                 `param:"null" default:"\\N" doc:"how NULL is written"`
	Sum    bool                    `param:"checksum" default:"false" doc:"NAME.sha256 is written beside it, as sha256sum does, so that the file can be proved later"`
	Comma  string                  `param:"comma" default:"," doc:"the one character between two fields"`
}
