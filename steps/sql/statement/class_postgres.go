package statement

// postgres is the class of a statement that is PostgreSQL's own, or means something else there. False:
// it is as on the other servers.
func (r *reader) postgres(head Token) (Class, bool) {
	two := head.Upper
	if r.at(1).Kind == Word {
		two += " " + r.at(1).Upper
	}
	switch head.Upper {
	case "EXPLAIN":
		return r.explainPostgres(), true
	case "MERGE":
		return r.merge(), true
	case "COPY":
		return r.copy(), true
	case "SET":
		return r.setPostgres(two), true
	case "RESET", "LISTEN", "UNLISTEN", "LOCK", "LOAD", "CLOSE", "DEALLOCATE":
		return Class{Sort: Session, Verb: head.Upper}, true
	case "PREPARE":
		if r.at(1).is("TRANSACTION") {
			return Class{Sort: Control, Verb: two}, true
		}
		return Class{Sort: Session, Verb: head.Upper}, true
	case "DISCARD":
		return Class{Sort: Other, Verb: head.Upper, Never: "DISCARD would let go of the session lock that keeps two attempts apart"}, true
	case "DO", "CALL", "EXECUTE", "DECLARE", "FETCH", "MOVE":
		return Class{Sort: Calls, Verb: head.Upper, Why: "it runs code that is not seen here"}, true
	case "NOTIFY":
		return Class{Sort: Calls, Verb: head.Upper, Why: "it sends a notification"}, true
	case "CREATE", "ALTER", "DROP", "TRUNCATE", "REINDEX", "REFRESH", "CLUSTER", "ANALYZE", "ANALYSE", "GRANT", "REVOKE", "COMMENT", "SECURITY", "REASSIGN", "IMPORT":
		return r.definePostgres(head), true
	case "VACUUM":
		return Class{Sort: Commits, Verb: head.Upper, Alone: true}, true
	case "REPLACE", "DESCRIBE", "DESC", "USE", "FLUSH", "PRAGMA", "RENAME", "CHECKPOINT", "OPTIMIZE", "REPAIR", "CHECK", "CACHE", "CHANGE", "STOP", "XA":
		return Class{Sort: Other, Verb: head.Upper, Why: head.Upper + " is not known to read"}, true
	}
	return Class{}, false
}

// definePostgres reads DDL, which a rollback takes back unless the server refuses it inside of a
// transaction.
func (r *reader) definePostgres(head Token) Class {
	c := Class{Sort: Defines, Verb: head.Upper, Destroys: head.is("DROP") || head.is("TRUNCATE")}
	object := ""
	for i := 1; i < len(r.t) && i < 12; i++ {
		if r.t[i].Kind == Word && postgresObjects.has(r.t[i].Upper) {
			object = r.t[i].Upper
			break
		}
	}
	switch head.Upper {
	case "CREATE", "ALTER", "DROP", "REINDEX", "REFRESH":
		if object != "" {
			c.Verb += " " + object
		}
	}
	switch {
	case r.temporary():
		c.Sort, c.Destroys = Session, false
		return c
	case r.alone(head, object):
		c.Sort, c.Alone = Commits, true
	}
	if head.is("ALTER") && r.find(0, "DROP", "TRUNCATE") >= 0 {
		c.Destroys = true
	}
	if head.is("TRUNCATE") || object == "TABLE" && (head.is("CREATE") || head.is("ALTER") || head.is("DROP")) {
		r.defined(head)
	}
	return c
}

// alone: PostgreSQL refuses it inside of a transaction.
func (r *reader) alone(head Token, object string) bool {
	for _, t := range r.t {
		if t.is("CONCURRENTLY") && !head.is("REFRESH") {
			return true
		}
	}
	switch {
	case head.is("CLUSTER"):
		return len(r.t) == 1 || len(r.t) == 2 && r.at(1).is("VERBOSE")
	case head.is("REINDEX"):
		return object == "DATABASE" || object == "SCHEMA" || object == "SYSTEM"
	case !head.is("CREATE") && !head.is("ALTER") && !head.is("DROP"):
		return false
	case object == "SYSTEM", object == "TABLESPACE" && !head.is("ALTER"):
		return true
	}
	switch object {
	case "DATABASE":
		return !head.is("ALTER") || r.find(1, "TABLESPACE") >= 0
	case "SUBSCRIPTION":
		return true
	}
	return false
}

// setPostgres reads SET: all of it concerns the connection only.
func (*reader) setPostgres(two string) Class {
	if two == "SET TRANSACTION" || two == "SET SESSION" {
		return Class{Sort: Control, Verb: two}
	}
	return Class{Sort: Session, Verb: "SET"}
}

// explainPostgres: it reads if the server does not execute what is explained.
func (r *reader) explainPostgres() Class {
	executes := Class{Sort: Other, Verb: "EXPLAIN", Why: "EXPLAIN ANALYZE executes the statement"}
	r.i++
	if r.at(0).sign("(") && !r.at(1).is("SELECT") && !r.at(1).is("WITH") && !r.at(1).is("VALUES") && !r.at(1).is("TABLE") && !r.at(1).sign("(") {
		end := r.group(r.i)
		for _, t := range r.t[r.i:end] {
			if t.is("ANALYZE") || t.is("ANALYSE") || t.Kind == Quoted {
				return executes
			}
		}
		r.i = end
	}
	for r.at(0).is("ANALYZE") || r.at(0).is("ANALYSE") || r.at(0).is("VERBOSE") {
		if !r.at(0).is("VERBOSE") {
			return executes
		}
		r.i++
	}
	inner := (&reader{g: r.g, t: r.t[min(r.i, len(r.t)):]}).statement()
	switch {
	case inner.Sort == Writes && inner.unsafe != "":
		return Class{Sort: Calls, Verb: "EXPLAIN", Code: inner.Code, Why: inner.unsafe}
	case inner.Sort == Writes, inner.Sort == Reads:
		return Class{Sort: Reads, Verb: "EXPLAIN"}
	case inner.Sort == Calls && inner.Why != "":
		return Class{Sort: Calls, Verb: "EXPLAIN", Code: inner.Code, Why: inner.Why}
	}
	return Class{Sort: Other, Verb: "EXPLAIN", Why: "this EXPLAIN is not understood"}
}

// merge reads MERGE INTO t USING … ON … WHEN ….
func (r *reader) merge() Class {
	c := Class{Sort: Writes, Verb: "MERGE", Change: &Change{}}
	c.run(scan(r.g, r.t))
	r.i++
	r.skip("INTO", "ONLY")
	n, ok := r.name()
	if !ok {
		return Class{Sort: Other, Verb: "MERGE", Why: "the table that it writes is not understood"}
	}
	r.tables = append(r.tables, n)
	c.Returns = r.find(r.i, "RETURNING") >= 0
	return c
}

// copy reads COPY, between a table and a file of the server.
func (r *reader) copy() Class {
	way := r.find(1, "FROM", "TO")
	if way < 0 || way+1 >= len(r.t) {
		return Class{Sort: Other, Verb: "COPY", Why: "this COPY is not understood"}
	}
	switch far := r.t[way+1]; {
	case far.is("STDIN"), far.is("STDOUT"):
		return Class{Sort: Other, Verb: "COPY", Never: "COPY to or from the client is not carried out here; write rows to a file with `export:`, or let the server read and write a file of its own"}
	case r.t[way].is("TO"), far.is("PROGRAM"):
		return Class{Sort: Other, Verb: "COPY", Why: "COPY writes a file on the server or runs a program there"}
	}
	r.i = 1
	n, ok := r.name()
	if !ok {
		return Class{Sort: Other, Verb: "COPY", Why: "the table that it writes is not understood"}
	}
	r.tables = append(r.tables, n)
	return Class{Sort: Writes, Verb: "COPY", Change: &Change{Single: true}}
}
