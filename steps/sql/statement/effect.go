package statement

import "strings"

// effect is the class of a statement that neither reads nor changes rows by its first word.
func (r *reader) effect(head Token) Class {
	two := head.Upper
	if r.at(1).Kind == Word {
		two += " " + r.at(1).Upper
	}
	switch head.Upper {
	case "CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE":
		return r.define(head)
	case "GRANT", "REVOKE", "INSTALL", "UNINSTALL", "COMMENT":
		return Class{Sort: Defines, Verb: head.Upper}
	case "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "XA", "LOCK", "UNLOCK", "ABORT":
		return Class{Sort: Control, Verb: head.Upper}
	case "END":
		return Class{Sort: Control, Verb: "END"}
	case "START":
		if r.at(1).is("TRANSACTION") {
			return Class{Sort: Control, Verb: two}
		}
		return Class{Sort: Commits, Verb: two}
	case "FLUSH", "RESET", "OPTIMIZE", "REPAIR", "CHECK", "CACHE", "CHANGE", "STOP":
		return Class{Sort: Commits, Verb: two}
	case "ANALYZE":
		return r.analyze()
	case "SET":
		return r.set()
	case "USE":
		return Class{Sort: Session, Verb: "USE"}
	case "CALL", "DO", "EXECUTE":
		return Class{Sort: Calls, Verb: head.Upper, Why: "it runs code that is not seen here"}
	case "PREPARE", "DEALLOCATE":
		return Class{Sort: Session, Verb: head.Upper}
	case "PRAGMA":
		return r.pragma()
	}
	return Class{Sort: Other, Verb: head.Upper, Why: head.Upper + " is not known to read"}
}

// analyze tells ANALYZE TABLE from MariaDB's ANALYZE statement, which executes the statement.
func (r *reader) analyze() Class {
	if r.g != SQLite && (r.at(1).is("TABLE") || r.at(1).is("LOCAL") || r.at(1).is("NO_WRITE_TO_BINLOG")) {
		return Class{Sort: Commits, Verb: "ANALYZE TABLE"}
	}
	return Class{Sort: Other, Verb: "ANALYZE", Why: "ANALYZE executes the statement or rewrites statistics"}
}

// define reads DDL.
func (r *reader) define(head Token) Class {
	c := Class{Sort: Defines, Verb: head.Upper, Destroys: head.is("DROP") || head.is("TRUNCATE")}
	object := r.object()
	if object != "" {
		c.Verb += " " + object
	}
	if r.temporary() {
		c.Sort, c.Destroys = Session, false
		return c
	}
	if head.is("ALTER") && r.find(0, "DROP", "TRUNCATE") >= 0 {
		c.Destroys = true
	}
	if head.is("TRUNCATE") || object == "TABLE" {
		r.defined(head)
	}
	return c
}

// object is the word that says what is created or dropped.
func (r *reader) object() string {
	for i := 1; i < len(r.t) && i < 12; i++ {
		switch t := r.t[i]; {
		case t.is("TABLE"), t.is("TABLES"), t.is("INDEX"), t.is("VIEW"), t.is("DATABASE"), t.is("SCHEMA"), t.is("USER"), t.is("ROLE"),
			t.is("TRIGGER"), t.is("PROCEDURE"), t.is("FUNCTION"), t.is("EVENT"), t.is("SEQUENCE"), t.is("SERVER"):
			return t.Upper
		}
	}
	return ""
}

// temporary: it concerns a temporary table only. OR REPLACE may stand before the word.
func (r *reader) temporary() bool {
	for i := 1; i < len(r.t) && i < 4; i++ {
		if r.t[i].is("TABLE") {
			return false
		}
		if r.t[i].is("TEMPORARY") || r.t[i].is("TEMP") {
			return i+1 < len(r.t) && r.t[i+1].is("TABLE") && !r.t[0].is("ALTER")
		}
	}
	return false
}

// defined reads the tables of CREATE TABLE, ALTER TABLE, DROP TABLE and TRUNCATE.
func (r *reader) defined(head Token) {
	r.i = 1
	if at := r.find(1, "TABLE"); at >= 0 && at < 6 {
		r.i = at + 1
	}
	r.skip("IF", "NOT", "EXISTS", "ONLY")
	for {
		n, ok := r.name()
		if !ok {
			return
		}
		r.tables = append(r.tables, n)
		if !(head.is("DROP") || head.is("TRUNCATE")) || !r.at(0).sign(",") {
			return
		}
		r.i++
		r.skip("ONLY")
	}
}

// set reads SET: most of it concerns the connection only.
func (r *reader) set() Class {
	switch {
	case r.at(1).is("PASSWORD"), r.at(1).is("DEFAULT"), r.at(1).is("RESOURCE"):
		return Class{Sort: Defines, Verb: "SET " + r.at(1).Upper}
	case r.at(1).is("STATEMENT"):
		return Class{Sort: Other, Verb: "SET STATEMENT", Why: "SET STATEMENT changes settings of the server"}
	}
	for _, t := range r.t {
		switch {
		case t.is("GLOBAL"), t.is("PERSIST"), t.is("PERSIST_ONLY"), t.Kind == Variable && outside(t.Text):
			return Class{Sort: Other, Verb: "SET GLOBAL", Why: "it changes a setting of the server"}
		case t.is("AUTOCOMMIT"), t.Kind == Variable && len(t.Text) > 10 && hasSuffixFold(t.Text, "autocommit"):
			return Class{Sort: Control, Verb: "SET autocommit"}
		}
	}
	if found := scan(r.g, r.t[1:]); len(found.code) > 0 {
		return Class{Sort: Calls, Verb: "SET", Code: found.code, Why: "it calls " + found.code[0]}
	}
	return Class{Sort: Session, Verb: "SET"}
}

// outside: a variable of the whole server.
func outside(v string) bool {
	return hasPrefixFold(v, "@@global.") || hasPrefixFold(v, "@@persist")
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

func hasSuffixFold(s, suffix string) bool {
	return len(s) >= len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}

// pragma reads SQLite's PRAGMA: only those on the list are known to read.
func (r *reader) pragma() Class {
	unknown := Class{Sort: Other, Verb: "PRAGMA", Why: "this PRAGMA is not known to read"}
	if r.g == MySQL {
		return unknown
	}
	r.i = 1
	n, ok := r.name()
	if !ok {
		return unknown
	}
	name := strings.ToUpper(n.Table)
	alone := !r.more()
	bracket := r.at(0).sign("(") && r.group(r.i) == len(r.t)
	if alone && (readPragmas.has(name) || pragmas.has(name)) || bracket && pragmas.has(name) {
		return Class{Sort: Reads, Verb: "PRAGMA"}
	}
	return unknown
}
