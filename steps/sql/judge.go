package sql

import (
	"errors"
	"fmt"
	"sort"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// Where a playbook does not say what its target is, its statements are read in the grammar Any. What the
// server's own grammar says is asked again when the step is prepared.

// grammarOf is the grammar of a type of target.
func grammarOf(target string) statement.Grammar {
	switch target {
	case typeMySQL:
		return statement.MySQL
	case typeSQLite:
		return statement.SQLite
	case typePostgres:
		return statement.Postgres
	}
	return statement.Any
}

// takesBackDDL: a rollback takes back CREATE TABLE and its like.
func takesBackDDL(target string) bool { return target == typeSQLite || target == typePostgres }

// readText reads a statement of the parameters.
func readText(g statement.Grammar, params engine.Record, key, path string) (*statement.Statement, []engine.Problem) {
	text, ok := params[key].(string)
	if !ok {
		return nil, nil // it is missing or of a wrong type, which the loader says
	}
	st, err := statement.Parse(g, text)
	if err == nil && st.Class.Never != "" {
		err = statement.Error{Message: st.Class.Never}
	}
	if err != nil {
		return nil, []engine.Problem{problemOf(path, err)}
	}
	return st, nil
}

func problemOf(path string, err error) engine.Problem {
	p := engine.Problem{Path: path, Message: err.Error()}
	var at statement.Error
	if errors.As(err, &at) {
		p.Offset = at.Offset
	}
	return p
}

// use is one statement and the place of its own arguments.
type use struct {
	st       *statement.Statement
	path     string // of its text
	argsPath string // of its own arguments; empty: it has none
	own      engine.Value
	offset   int // of the statement in the text at path
}

// checkArgs finds arguments that are missing and such that nothing takes. all are those of the whole
// step.
func checkArgs(all engine.Value, uses ...use) []engine.Problem {
	var out []engine.Problem
	shared, sharedKnown := recordOf(all)
	taken := map[string]bool{}
	for _, u := range uses {
		own, ownKnown := recordOf(u.own)
		takenHere := map[string]bool{}
		for _, a := range u.st.Arguments() {
			takenHere[a.Name] = true
			_, mine := own[a.Name]
			_, ours := shared[a.Name]
			if !mine {
				taken[a.Name] = true
			}
			if !mine && !ours && sharedKnown && ownKnown {
				out = append(out, engine.Problem{Path: u.path, Offset: u.offset + a.Offset,
					Message: fmt.Sprintf("the statement takes :%s, and it is not given; write it under `args:`", a.Name)})
			}
		}
		for _, name := range engine.Keys(own) {
			if !takenHere[name] {
				out = append(out, engine.Problem{Path: u.argsPath + "." + name, Message: fmt.Sprintf("the statement does not take :%s", name)})
			}
		}
	}
	for _, name := range engine.Keys(shared) {
		if !taken[name] {
			out = append(out, engine.Problem{Path: "args." + name, Message: fmt.Sprintf("no statement takes :%s", name)})
		}
	}
	return append(out, emptyLists(all)...)
}

// recordOf gives the arguments, if their names are known.
func recordOf(v engine.Value) (engine.Record, bool) {
	switch x := v.(type) {
	case nil:
		return nil, true
	case engine.Record:
		return x, true
	}
	return nil, false
}

// emptyLists finds lists that are written out and have nothing in them.
func emptyLists(v engine.Value) []engine.Problem {
	r, _ := v.(engine.Record)
	var out []engine.Problem
	for name, x := range r {
		if list, ok := x.(engine.List); ok && len(list) == 0 {
			out = append(out, engine.Problem{Path: "args." + name, Message: "an empty list cannot stand in a statement, because IN () is no SQL"})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Path < out[j].Path })
	return out
}

// riskOf is how bad a statement is that should not have been run.
func riskOf(c statement.Class) engine.Risk {
	switch {
	case c.Sort == statement.Reads:
		return engine.RiskReads
	case c.Destroys:
		return engine.RiskDestroys
	}
	switch c.Sort {
	case statement.Writes, statement.Session, statement.Defines, statement.Commits:
		return engine.RiskChanges
	case statement.Other, statement.Calls, statement.Reads, statement.Control:
	}
	return engine.RiskDestroys // it cannot be told
}

// reading judges a statement that stands where rows are read.
func reading(c statement.Class, path string) (engine.Judgement, bool) {
	bad := func(format string, args ...any) (engine.Judgement, bool) {
		return engine.Judgement{Class: engine.ClassRead, Problems: []engine.Problem{{Path: path, Message: fmt.Sprintf(format, args...)}}}, false
	}
	switch c.Sort {
	case statement.Reads:
		if c.Locks {
			return bad("FOR UPDATE lets go of its locks at once here; write it as an entry of `transaction:`")
		}
		return engine.Judgement{Class: engine.ClassRead, Risk: engine.RiskReads}, true
	case statement.Writes:
		return bad("%s writes; write it under `exec:`, or, if its rows are wanted, as `query:` in a `transaction:`", c.Verb)
	case statement.Defines, statement.Commits, statement.Session:
		return bad("%s does not read; write it under `exec:` or `script:`", c.Verb)
	case statement.Control:
		return bad("%s", controlSaid(c.Verb))
	case statement.Calls, statement.Other:
	}
	return engine.Judgement{Class: engine.ClassUnrepeatable, Risk: riskOf(c)}, true
}

func controlSaid(verb string) string {
	return verb + " has no place here: Handrail begins and ends transactions itself; write the statements under `transaction:`"
}

func judgeQuery(p engine.Proposal) engine.Judgement {
	j := judgeReading(p, "query")
	j.Each = p.Params["nodes"] == nodesEach
	_, one := p.Params["node"]
	if _, several := p.Params["nodes"]; one && several {
		j.Problems = append(j.Problems, engine.Problem{Path: "node", Message: nodeOrNodes})
	}
	return j
}

func judgeReading(p engine.Proposal, key string) engine.Judgement {
	st, problems := readText(grammarOf(p.Target), p.Params, key, key)
	if st == nil {
		return engine.Judgement{Problems: problems}
	}
	j, _ := reading(st.Class, key)
	asked := use{st: st, path: key}
	j.Remarks = asked.remarks()
	j.Problems = append(j.Problems, checkArgs(p.Params["args"], asked)...)
	return j
}

// judgeExport: the file is written anew, so only what the query may do besides reading matters.
func judgeExport(p engine.Proposal) engine.Judgement {
	j := judgeReading(p, "export")
	if j.Class == engine.ClassRead {
		j.Class, j.Risk = engine.ClassIdempotent, engine.RiskChanges
	}
	if text, ok := p.Params["comma"].(string); ok && !oneCharacter(text) {
		j.Problems = append(j.Problems, commaProblem())
	}
	return j
}

func judgeExec(p engine.Proposal) engine.Judgement {
	st, problems := readText(grammarOf(p.Target), p.Params, "exec", "exec")
	if st == nil {
		return engine.Judgement{Problems: problems}
	}
	j := engine.Judgement{Class: classOf(st.Class, takesBackDDL(p.Target)), Risk: riskOf(st.Class)}
	switch st.Class.Sort {
	case statement.Reads:
		j.Problems = append(j.Problems, engine.Problem{Path: "exec", Message: st.Class.Verb + " only reads; write it under `query:`"})
	case statement.Control:
		j.Problems = append(j.Problems, engine.Problem{Path: "exec", Message: controlSaid(st.Class.Verb)})
	case statement.Writes, statement.Calls, statement.Session, statement.Defines, statement.Commits, statement.Other:
	}
	if _, one := p.Params["node"]; one {
		if said := unfitForOne(st.Class); said != "" && len(j.Problems) == 0 {
			j.Problems = append(j.Problems, engine.Problem{Path: "node", Message: said})
		}
	}
	sent := use{st: st, path: "exec"}
	j.Remarks = sent.remarks()
	j.Problems = append(j.Problems, checkArgs(p.Params["args"], sent)...)
	return j
}

// classOf is what a crash may do to a statement that is carried out by itself.
func classOf(c statement.Class, takesBackDDL bool) engine.Class {
	switch c.Sort {
	case statement.Reads:
		return engine.ClassRead
	case statement.Writes, statement.Calls:
		return engine.ClassTransactional
	case statement.Defines:
		if takesBackDDL {
			return engine.ClassTransactional
		}
	case statement.Session, statement.Commits, statement.Control, statement.Other:
	}
	return engine.ClassUnrepeatable
}

func judgeTransaction(p engine.Proposal) engine.Judgement {
	j := engine.Judgement{Class: engine.ClassTransactional, Risk: engine.RiskReads}
	list, ok := p.Params["transaction"].(engine.List)
	if !ok {
		return engine.Judgement{}
	}
	if len(list) == 0 {
		j.Problems = append(j.Problems, engine.Problem{Path: "transaction", Message: "there is no statement in it"})
	}
	var uses []use
	names := map[string]bool{}
	for i, e := range list {
		path := fmt.Sprintf("transaction[%d]", i)
		r, ok := e.(engine.Record)
		if !ok {
			continue
		}
		u, problems := judgeEntry(r, path, p.Target)
		j.Problems = append(j.Problems, problems...)
		if u != nil {
			uses = append(uses, *u)
			j.Risk = max(j.Risk, riskOf(u.st.Class))
		}
		if as, ok := r["as"].(string); ok {
			if as == "affected" || as == "state" || names[as] {
				j.Problems = append(j.Problems, engine.Problem{Path: path + ".as", Message: fmt.Sprintf("%q is taken; choose another name", as)})
			}
			names[as] = true
		}
	}
	j.Remarks = remarksOf(uses...)
	if len(uses) == len(list) {
		j.Problems = append(j.Problems, checkArgs(p.Params["args"], uses...)...)
	}
	return j
}

// judgeEntry judges one statement of a transaction.
func judgeEntry(r engine.Record, path, target string) (*use, []engine.Problem) {
	key := "exec"
	if _, ok := r["query"]; ok {
		key = "query"
		if _, both := r["exec"]; both {
			return nil, []engine.Problem{{Path: path, Message: "an entry has `query` or `exec`, not both"}}
		}
	} else if _, ok := r["exec"]; !ok {
		return nil, []engine.Problem{{Path: path, Message: "an entry has `query` or `exec`"}}
	}
	st, problems := readText(grammarOf(target), r, key, path+"."+key)
	if st == nil {
		return nil, problems
	}
	if said := unfit(st.Class, key == "query", takesBackDDL(target)); said != "" {
		problems = append(problems, engine.Problem{Path: path + "." + key, Message: said})
	}
	return &use{st: st, path: path + "." + key, argsPath: path + ".args", own: r["args"]}, problems
}

// unfit is why a statement cannot be an entry of a transaction; empty: it can.
func unfit(c statement.Class, query, takesBackDDL bool) string {
	switch c.Sort {
	case statement.Defines, statement.Commits:
		switch {
		case c.Alone:
			return c.Verb + " is refused inside of a transaction; make it a step of its own, with `exec:`"
		case c.Sort == statement.Defines && takesBackDDL && query:
			return c.Verb + " brings no rows; write it under `exec:`"
		case c.Sort == statement.Defines && takesBackDDL:
			return ""
		}
		return c.Verb + " commits what came before it, so it cannot be part of a transaction; make it a step of its own, with `exec:`"
	case statement.Control:
		return controlSaid(c.Verb)
	case statement.Other:
		return c.Verb + " is not known to be taken back by a rollback, so it cannot be part of a transaction; make it a step of its own, with `exec:`"
	case statement.Reads:
		if !query {
			return c.Verb + " only reads; write it under `query:`"
		}
	case statement.Writes:
		if query && !c.Returns {
			return c.Verb + " brings no rows; write it under `exec:`"
		}
	case statement.Session:
		if query {
			return c.Verb + " brings no rows; write it under `exec:`"
		}
	case statement.Calls:
	}
	return ""
}

func judgeScript(p engine.Proposal) engine.Judgement {
	text, ok := p.Params["script"].(string)
	if !ok {
		return engine.Judgement{}
	}
	j := engine.Judgement{Class: engine.ClassTransactional, Risk: engine.RiskReads}
	g := grammarOf(p.Target)
	parts, err := statement.Split(g, text)
	if err != nil {
		return engine.Judgement{Problems: []engine.Problem{problemOf("script", err)}}
	}
	if len(parts) == 0 {
		j.Problems = append(j.Problems, engine.Problem{Path: "script", Message: "there is no statement in it"})
	}
	var uses []use
	for _, part := range parts {
		st, err := statement.Parse(g, part.Text)
		if err == nil && st.Class.Never != "" {
			err = statement.Error{Message: st.Class.Never}
		}
		if err != nil {
			bad := problemOf("script", err)
			bad.Offset += part.Start
			j.Problems = append(j.Problems, bad)
			continue
		}
		if st.Class.Sort == statement.Control {
			j.Problems = append(j.Problems, engine.Problem{Path: "script", Offset: part.Start, Message: controlSaid(st.Class.Verb)})
		}
		if scriptClass(st.Class, takesBackDDL(p.Target)) == engine.ClassUnrepeatable {
			j.Class = engine.ClassUnrepeatable
		}
		j.Risk = max(j.Risk, riskOf(st.Class))
		uses = append(uses, use{st: st, path: "script", offset: part.Start})
	}
	j.Remarks = remarksOf(uses...)
	if len(uses) == len(parts) {
		j.Problems = append(j.Problems, checkArgs(p.Params["args"], uses...)...)
	}
	return j
}

// scriptClass: what concerns the connection only is done again by a script that goes on.
func scriptClass(c statement.Class, takesBackDDL bool) engine.Class {
	if c.Sort == statement.Session {
		return engine.ClassRead
	}
	return classOf(c, takesBackDDL)
}
