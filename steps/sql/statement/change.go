package statement

// insert reads INSERT and REPLACE.
func (r *reader) insert() Class {
	c := Class{Sort: Writes, Verb: r.at(0).Upper, Change: &Change{Single: true, Plain: !r.at(0).is("REPLACE")}}
	r.i++
	r.modifiers(c.Change)
	r.skip("INTO")
	before := scan(r.g, r.t[:r.i])
	n, ok := r.name()
	if !ok {
		return Class{Sort: Other, Why: "the table that it writes is not understood"}
	}
	r.tables = append(r.tables, n)
	if r.g != MySQL && r.at(0).is("AS") && r.at(1).names() { // its other name
		r.i += 2
	}
	found := scan(r.g, r.t[r.i:]) // AFTER the name, whose columns stand in brackets like arguments
	c.Code = append(before.code, found.code...)
	if c.unsafe = before.unsafe; c.unsafe == "" {
		c.unsafe = found.unsafe
	}
	if r.at(0).sign("(") && !r.at(1).is("SELECT") && !r.at(1).is("WITH") {
		r.i = r.group(r.i) // the columns
	}
	if end := r.find(r.i, "RETURNING"); end >= 0 {
		c.Returns = true
		r.t = r.t[:end]
	}
	if dup := r.find(r.i, "ON"); dup >= 0 && dup+1 < len(r.t) && (r.t[dup+1].is("DUPLICATE") || r.t[dup+1].is("CONFLICT")) {
		c.Change.Plain = false
		r.t = r.t[:dup]
	}
	begins := []string{"VALUES", "VALUE", "SELECT", "WITH", "TABLE", "SET", "DEFAULT"}
	if r.g == Postgres { // OVERRIDING SYSTEM VALUE stands before them there
		begins = []string{"VALUES", "SELECT", "WITH", "TABLE", "DEFAULT"}
	}
	switch at := r.find(r.i, begins...); {
	case at < 0:
		if r.at(0).sign("(") { // INSERT INTO t (SELECT …)
			c.Change.Select = r.span(r.i, len(r.t))
		}
	case r.t[at].is("VALUES") || r.t[at].is("VALUE"):
		c.Change.Rows = r.rows(at + 1)
	case r.t[at].is("SET") || r.t[at].is("DEFAULT"):
		c.Change.Rows = 1
	default:
		c.Change.Select = r.span(at, len(r.t))
	}
	return c
}

// rows counts the brackets behind VALUES.
func (r *reader) rows(i int) int {
	n := 0
	for i < len(r.t) {
		switch {
		case r.t[i].is("ROW"), r.t[i].sign(","):
			i++
		case r.t[i].sign("("):
			n++
			i = r.group(i)
		default:
			return n
		}
	}
	return n
}

// run takes in what a write calls.
func (c *Class) run(f findings) { c.Code, c.unsafe = f.code, f.unsafe }

// modifiers passes over the words between the verb and the table.
func (r *reader) modifiers(c *Change) {
	for {
		switch t := r.at(0); {
		case t.is("LOW_PRIORITY"), t.is("HIGH_PRIORITY"), t.is("DELAYED"), t.is("QUICK"):
			r.i++
		case t.is("IGNORE"):
			c.Plain = false
			r.i++
		case t.is("OR") && r.at(1).Kind == Word: // SQLite: INSERT OR REPLACE
			c.Plain = false
			r.i += 2
		default:
			return
		}
	}
}

func (r *reader) span(from, to int) Span {
	if from < 0 || from >= to || to > len(r.t) {
		return Span{}
	}
	return Span{r.t[from].Start, r.t[to-1].End}
}

// update reads UPDATE t SET … WHERE ….
func (r *reader) update() Class {
	c := Class{Sort: Writes, Verb: "UPDATE", Change: &Change{Plain: true}}
	c.run(scan(r.g, r.t))
	r.i++
	r.modifiers(c.Change)
	set := r.find(r.i, "SET")
	if set < 0 {
		return Class{Sort: Other, Why: "it has no SET"}
	}
	from := r.find(set, "FROM")
	c.Change.Single = r.references(r.i, set) && from < 0
	r.joined(&c, from)
	c.Change.Target = r.span(r.i, set)
	r.ending(&c, set)
	return c
}

// delete reads DELETE FROM t WHERE … and the forms with several tables.
func (r *reader) delete() Class {
	c := Class{Sort: Writes, Verb: "DELETE", Change: &Change{Plain: true}}
	c.run(scan(r.g, r.t))
	r.i++
	r.modifiers(c.Change)
	if r.at(0).is("HISTORY") {
		return Class{Sort: Other, Verb: "DELETE HISTORY", Destroys: true, Why: "it removes history for good"}
	}
	from := r.find(r.i, "FROM")
	if from < 0 {
		return Class{Sort: Other, Why: "it has no FROM"}
	}
	end := len(r.t)
	if stop := r.find(from, "WHERE", "ORDER", "LIMIT", "RETURNING"); stop >= 0 {
		end = stop
	}
	using := r.find(from, "USING")
	if r.g == Postgres {
		r.joined(&c, using)
		if using >= 0 && using < end {
			end = using
		}
	}
	single := r.references(from+1, end)
	c.Change.Single = single && from == r.i && using < 0
	c.Change.Target = r.span(from+1, end)
	r.ending(&c, from)
	return c
}

// joined finds the tables behind FROM of an UPDATE, or behind USING of a DELETE.
func (r *reader) joined(c *Class, at int) {
	if at < 0 || r.g == MySQL {
		return
	}
	end := len(r.t)
	if stop := r.find(at, "WHERE", "ORDER", "LIMIT", "RETURNING"); stop >= 0 {
		end = stop
	}
	c.Change.From = r.span(at+1, end)
}

// ending finds WHERE, ORDER BY, LIMIT and RETURNING, from i on.
func (r *reader) ending(c *Class, i int) {
	end := len(r.t)
	if ret := r.find(i, "RETURNING"); ret >= 0 {
		c.Returns, end = true, ret
	}
	if limit := r.find(i, "LIMIT"); limit >= 0 && limit < end {
		begin := limit
		if order := r.find(i, "ORDER"); order >= 0 && order < limit {
			begin = order
		}
		c.Change.Limit, c.Change.Plain = r.span(begin, end), false
		end = begin
	} else if order := r.find(i, "ORDER"); order >= 0 && order < end {
		end = order
	}
	if where := r.find(i, "WHERE"); where >= 0 && where < end {
		c.Change.Where = r.span(where, end)
		return
	}
	c.NoWhere = c.Change.Limit.Empty()
	c.Destroys = c.NoWhere
}

// references collects the tables between two tokens, and says whether it is exactly one.
func (r *reader) references(from, to int) bool {
	saved := r.i
	defer func() { r.i = saved }()
	single, expect, n := true, true, 0
	for r.i = from; r.i < to; {
		t := r.t[r.i]
		switch {
		case t.sign("("):
			if r.at(1).is("SELECT") || r.at(1).is("WITH") || r.at(1).is("VALUES") || !expect {
				single = single && !expect // a list of partitions or indexes is no other table
				r.i = r.group(r.i)
				expect = false
				continue
			}
			single = false
			r.i++
		case t.sign(","), t.is("JOIN"), t.is("STRAIGHT_JOIN"), t.is("USING") && !r.at(1).sign("("):
			single, expect = false, true
			r.i++
		case t.is("LATERAL"), t.is("ONLY"):
			r.i++
		case expect && t.names():
			name, _ := r.name()
			r.tables = append(r.tables, name)
			n++
			expect = false
		default:
			r.i++
		}
	}
	return single && n == 1
}

// load reads LOAD DATA and LOAD XML; LOAD INDEX only fills a cache.
func (r *reader) load() Class {
	if r.at(1).is("INDEX") {
		return Class{Sort: Commits, Verb: "LOAD INDEX"}
	}
	at := r.find(0, "TABLE")
	if at < 0 || !(r.at(1).is("DATA") || r.at(1).is("XML")) {
		return Class{Sort: Other}
	}
	r.i = at + 1
	n, ok := r.name()
	if !ok {
		return Class{Sort: Other}
	}
	r.tables = append(r.tables, n)
	return Class{Sort: Writes, Verb: "LOAD DATA", Change: &Change{Single: true}}
}
