package statement

import "strings"

// Definition is what DDL does to a table, in words that do not depend on how it was written.
type Definition struct {
	Table   Name // that it is done to; empty: it is none, or not understood
	Actions []Action
}

// Action is one thing that DDL does: an ALTER TABLE may do several.
type Action struct {
	// Does says what, in capitals: ADD COLUMN, ADD INDEX, DROP COLUMN; the verb of a statement that does one thing only.
	// Empty: it is not understood.
	Does string
	// Of is the column, or the value of an option.
	Of string

	tokens []Token
}

// Says tells whether a word stands in it.
func (a Action) Says(words ...string) bool {
	for _, t := range a.tokens {
		for _, w := range words {
			if t.is(w) {
				return true
			}
		}
	}
	return false
}

// Default is what a new column has in the rows that are there: "constant", the name of the function that is called, in
// capitals, or "expression"; empty: there is no DEFAULT.
func (a Action) Default() string {
	for i, t := range a.tokens {
		if !t.is("DEFAULT") || i+1 == len(a.tokens) {
			continue
		}
		for i++; i < len(a.tokens)-1 && (a.tokens[i].sign("(") || a.tokens[i].sign("-")); {
			i++
		}
		switch v := a.tokens[i]; {
		case v.Kind == Number, v.Kind == Text, v.Kind == Param, v.is("NULL"), v.is("TRUE"), v.is("FALSE"):
			if i+1 < len(a.tokens) && (a.tokens[i+1].sign("+") || a.tokens[i+1].sign("|")) {
				return "expression"
			}
			return "constant"
		case v.Kind == Word:
			return v.Upper
		}
		return "expression"
	}
	return ""
}

// Definition reads DDL and what rewrites a table. A statement of another sort has no actions.
func (s *Statement) Definition(g Grammar) Definition {
	r := &reader{g: g, t: s.Tokens}
	switch verb := s.Class.Verb; {
	case s.Class.Sort != Defines && s.Class.Sort != Commits:
		return Definition{}
	case verb == "ALTER TABLE":
		return r.alterations()
	case verb == "CREATE INDEX" || verb == "DROP INDEX" || verb == "CREATE TRIGGER":
		d := Definition{Actions: []Action{{Does: verb, tokens: r.t}}}
		if on := r.find(1, "ON"); on >= 0 {
			r.i = on + 1
			r.skip("ONLY")
			d.Table, _ = r.name()
		}
		return d
	case verb == "OPTIMIZE TABLE" || verb == "ANALYZE TABLE" || verb == "VACUUM" || verb == "ANALYZE" || verb == "CLUSTER" || verb == "REINDEX TABLE":
		d := Definition{Actions: []Action{{Does: verb, tokens: r.t}}}
		if r.at(0).is("VACUUM") || r.at(0).is("ANALYZE") || r.at(0).is("CLUSTER") {
			r.i = 1
		} else {
			r.i = max(r.find(1, "TABLE"), 0) + 1
		}
		if r.at(0).sign("(") {
			r.i = r.group(r.i)
		}
		r.skip("FULL", "FREEZE", "VERBOSE", "ANALYZE", "ONLY", "TABLE", "CONCURRENTLY")
		d.Table, _ = r.name()
		return d
	case len(s.Class.Tables) > 0:
		return Definition{Table: s.Class.Tables[0], Actions: []Action{{Does: verb, tokens: r.t}}}
	}
	return Definition{}
}

// alterations reads the list of an ALTER TABLE.
func (r *reader) alterations() Definition {
	var d Definition
	r.i = r.find(1, "TABLE") + 1
	r.skip("IF", "EXISTS", "ONLY")
	var ok bool
	if d.Table, ok = r.name(); !ok {
		return Definition{}
	}
	if r.at(0).sign("*") {
		r.i++
	}
	for r.more() {
		end := r.i
		for end < len(r.t) && !r.t[end].sign(",") {
			if r.t[end].sign("(") {
				end = r.group(end)
				continue
			}
			end++
		}
		if end > r.i {
			d.Actions = append(d.Actions, r.action(r.t[r.i:end]))
		}
		r.i = end + 1
	}
	return d
}

// action names one of the list.
func (r *reader) action(t []Token) Action {
	a := &reader{g: r.g, t: t, i: 1}
	out := Action{tokens: t}
	switch head := t[0].Upper; head {
	case "ADD":
		out.Does, out.Of = a.added()
	case "DROP":
		out.Does, out.Of = a.dropped()
	case "MODIFY", "CHANGE":
		a.skip("COLUMN", "IF", "EXISTS")
		out.Does, out.Of = "MODIFY COLUMN", a.at(0).Text
	case "ALTER":
		out.Does, out.Of = a.altered()
	case "RENAME":
		out.Does, out.Of = a.renamed()
	case "SET", "VALIDATE", "ATTACH", "DETACH", "OWNER", "ENABLE", "DISABLE":
		out.Does = head
		if a.at(0).Kind == Word {
			out.Does += " " + a.at(0).Upper
		} else if a.at(0).sign("(") {
			out.Does = "SET PARAMETERS"
		}
	case "FORCE", "CONVERT":
		out.Does = head
	case "ENGINE", "AUTO_INCREMENT", "COMMENT", "ROW_FORMAT", "ALGORITHM", "LOCK":
		if a.at(0).sign("=") {
			a.i++
		}
		out.Does, out.Of = head, a.at(0).Text
	}
	return out
}

func (r *reader) added() (does, of string) {
	if r.at(0).is("CONSTRAINT") {
		r.i++
		if !r.at(0).is("PRIMARY") && !r.at(0).is("UNIQUE") && !r.at(0).is("FOREIGN") && !r.at(0).is("CHECK") {
			r.skip("IF", "NOT", "EXISTS")
			r.i++
		}
	}
	switch t := r.at(0); {
	case t.is("INDEX"), t.is("KEY"):
		return "ADD INDEX", ""
	case t.is("UNIQUE"), t.is("FULLTEXT"), t.is("SPATIAL"), t.is("CHECK"):
		return "ADD " + t.Upper, ""
	case t.is("PRIMARY"), t.is("FOREIGN"):
		return "ADD " + t.Upper + " KEY", ""
	case t.is("PARTITION"), t.is("EXCLUDE"), t.is("PERIOD"), t.is("SYSTEM"):
		return "", ""
	}
	r.skip("COLUMN", "IF", "NOT", "EXISTS")
	if r.at(0).sign("(") {
		r.i++
	}
	return "ADD COLUMN", r.at(0).Text
}

func (r *reader) dropped() (does, of string) {
	switch t := r.at(0); {
	case t.is("INDEX"), t.is("KEY"):
		return "DROP INDEX", ""
	case t.is("PRIMARY"), t.is("FOREIGN"):
		return "DROP " + t.Upper + " KEY", ""
	case t.is("CONSTRAINT"), t.is("CHECK"):
		return "DROP CONSTRAINT", ""
	case t.is("PARTITION"), t.is("PERIOD"), t.is("SYSTEM"):
		return "", ""
	}
	r.skip("COLUMN", "IF", "EXISTS")
	return "DROP COLUMN", r.at(0).Text
}

func (r *reader) altered() (does, of string) {
	if r.at(0).is("INDEX") || r.at(0).is("CONSTRAINT") || r.at(0).is("CHECK") {
		return "", ""
	}
	r.skip("COLUMN", "IF", "EXISTS")
	of = r.at(0).Text
	r.i++
	var words []string
	for r.at(0).Kind == Word && len(words) < 3 {
		words = append(words, r.at(0).Upper)
		r.i++
	}
	said := strings.Join(words, " ")
	switch {
	case strings.HasPrefix(said, "TYPE"), strings.HasPrefix(said, "SET DATA"):
		return "SET TYPE", of
	case strings.HasPrefix(said, "SET DEFAULT"):
		return "SET DEFAULT", of
	}
	for _, known := range []string{"DROP DEFAULT", "SET NOT NULL", "DROP NOT NULL", "SET STATISTICS", "SET STORAGE"} {
		if strings.HasPrefix(said, known) {
			return known, of
		}
	}
	return "", of
}

func (r *reader) renamed() (does, of string) {
	switch t := r.at(0); {
	case t.is("COLUMN"):
		return "RENAME COLUMN", r.at(1).Text
	case t.is("INDEX"), t.is("KEY"):
		return "RENAME INDEX", ""
	case t.is("CONSTRAINT"):
		return "RENAME CONSTRAINT", ""
	case t.is("TO"), t.is("AS"), t.sign("="), r.g == MySQL:
		return "RENAME", ""
	}
	return "RENAME COLUMN", r.at(0).Text
}
