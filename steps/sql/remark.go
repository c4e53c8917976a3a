package sql

import (
	"fmt"
	"slices"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// gone are names that newer servers do not have, or under which there is often nothing.
var gone = map[string]string{
	"information_schema.innodb_lock_waits":              "MySQL 8 has no information_schema.innodb_lock_waits; there it is performance_schema.data_lock_waits",
	"information_schema.innodb_locks":                   "MySQL 8 has no information_schema.innodb_locks; there it is performance_schema.data_locks",
	"mysql.slow_log":                                    "mysql.slow_log is empty where log_output is FILE, as it is by default; ask for log_output first",
	"group_replication_allow_local_disjoint_gtids_join": "MySQL has taken this setting away in 8.0",
}

// remarks are what is known to go wrong with a statement that is correct.
func (u use) remarks() []engine.Remark {
	var out []engine.Remark
	say := func(rule engine.Rule, at int, format string, args ...any) {
		out = append(out, engine.Remark{Rule: rule, Path: u.path, Offset: u.offset + at, Message: fmt.Sprintf(format, args...)})
	}
	if u.st.Class.NoWhere {
		say(engine.RuleNoWhere, 0, "%s without WHERE changes every row of the table", u.st.Class.Verb)
	}
	if at, name := u.st.Clock(); at >= 0 {
		say(engine.RuleClock, at, "%s of the server chooses the rows", name)
	}
	if c := u.st.Class.Change; c != nil && !c.Select.Empty() && !u.st.Guarded() {
		say(engine.RuleDoubles, 0, "%s … SELECT takes the same rows again when it is run again", u.st.Class.Verb)
	}
	tokens := u.st.Tokens
	for i, t := range tokens {
		next := statement.Token{Kind: statement.Symbol}
		if i+1 < len(tokens) {
			next = tokens[i+1]
		}
		name := strings.ToLower(t.Text)
		switch {
		case t.Kind == statement.Word && t.Upper == "INTO" && (next.Upper == "OUTFILE" || next.Upper == "DUMPFILE"):
			say(engine.RuleServerFile, t.Start, "INTO %s writes on the database's machine; export writes here, with count and checksum", next.Upper)
		case t.Kind == statement.Word && t.Upper == "BY" && next.Kind == statement.Text && i > 0 && tokens[i-1].Upper == "IDENTIFIED":
			say(engine.RuleClear, next.Start, "the password stands in the statement; hand it over as an argument")
		case u.st.Class.Sort != statement.Reads && strings.HasSuffix(name, "group_replication_bootstrap_group") && !offBehind(tokens[i+1:]):
			say(engine.RuleSplits, t.Start, "if another member lives, there are two groups from now on")
		case gone[qualified(tokens, i)] != "" && (t.Kind == statement.Word || t.Kind == statement.Quoted):
			say(engine.RuleFails, t.Start, "%s", gone[qualified(tokens, i)])
		}
	}
	return out
}

// qualified is a name with the schema before it, in small letters.
func qualified(tokens []statement.Token, i int) string {
	name := strings.ToLower(tokens[i].Text)
	if i >= 2 && tokens[i-1].Kind == statement.Symbol && tokens[i-1].Text == "." {
		return strings.ToLower(tokens[i-2].Text) + "." + name
	}
	return name
}

// offBehind: a setting is given the value OFF or 0.
func offBehind(tokens []statement.Token) bool {
	for _, t := range tokens {
		if t.Kind == statement.Word || t.Kind == statement.Number {
			return strings.EqualFold(t.Text, "OFF") || t.Text == "0"
		}
	}
	return false
}

// remarksOf are those of statements that belong together. What is taken, and then marked or removed, is not
// taken again.
func remarksOf(uses ...use) []engine.Remark {
	var out []engine.Remark
	marks := false
	for _, u := range uses {
		out = append(out, u.remarks()...)
		verb := u.st.Class.Verb
		marks = marks || verb == "UPDATE" || verb == "DELETE"
	}
	return slices.DeleteFunc(out, func(r engine.Remark) bool { return marks && r.Rule == engine.RuleDoubles })
}
