package sql_test

import (
	"os"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// TestNothingIsBuiltOnAServerThatHasForgotten: behind one address there is another server, or an older state of it, from one step to the next.
func TestNothingIsBuiltOnAServerThatHasForgotten(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		const once = "UPDATE stock SET n = n + 1 WHERE id = 1"
		g.stock(t)
		g.must(t, "CREATE TABLE sold (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, note VARCHAR(100))")
		first := g.step(t, "exec", exec(once))
		ok(t, first.do())
		second := first.beside(g.step(t, "exec", exec(once)))
		ok(t, second.do())
		forget := func() { g.must(t, "DELETE FROM handrail_markers WHERE state = 'done'") }
		lost := func(s *step, last string) {
			t.Helper()
			o := s.do()
			failed(t, o, engine.EffectNone, "does not have what was committed there last ("+last+")", "another server", "nothing was sent", "`wipes: ["+g.target.Name+"]`")
			if !o.Transient {
				t.Error("it may come to be there, and is not tried again")
			}
		}
		forget()
		for operation, params := range map[string]engine.Record{
			"exec":        exec(once),
			"transaction": {"transaction": engine.List{engine.Record{"exec": once}}},
			"script":      script(once),
			"move":        {"move": "stock", "to": "sold", "where": "n > 0"},
		} {
			lost(first.beside(g.step(t, operation, params)), second.env.Call.Token)
		}
		lost(first.beside(g.step(t, "exec", exec("CREATE TABLE other (id INTEGER)"))), second.env.Call.Token)
		ok(t, first.beside(g.step(t, "query", engine.Record{"query": "SELECT n FROM stock"})).do())
		if n, tables := g.n(t, 1), strings.Join(g.tables(t), " "); n != "12" || strings.Contains(tables, "other") {
			t.Errorf("n is %s, and the tables are %s", n, tables)
		}
		// Where a step has wiped it on purpose nothing is missed, and from the next marker on it is again.
		g.must(t, "DROP TABLE handrail_markers")
		wiped := first.beside(g.step(t, "exec", exec(once)))
		wiped.env.Call.Wiped = true
		ok(t, wiped.do())
		forget()
		lost(first.beside(g.step(t, "exec", exec(once))), wiped.env.Call.Token)
	})
}

// TestADatabaseThatTheRunDropsIsNotMissed: the marker that was committed last was in it.
func TestADatabaseThatTheRunDropsIsNotMissed(t *testing.T) {
	g := mysqlGround(t)
	g.stock(t)
	other := engine.Text(g.target.Settings["database"]) + "_kept"
	g.must(t, "CREATE DATABASE "+other, "CREATE TABLE "+other+".stock (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)", "INSERT INTO "+other+".stock VALUES (1, 10)",
		"GRANT ALL ON "+other+".* TO "+engine.Text(g.target.Settings["user"])+"@'%'")
	t.Cleanup(func() { g.must(t, "DROP DATABASE IF EXISTS "+other) })
	first := g.step(t, "exec", exec("UPDATE "+other+".stock SET n = 11 WHERE id = 1"))
	ok(t, first.do())
	ok(t, first.beside(g.step(t, "exec", exec("DROP DATABASE "+other))).do())
	ok(t, first.beside(g.step(t, "exec", exec("UPDATE stock SET n = 11 WHERE id = 1"))).do())
}

// TestAFileThatIsReplacedIsNotReadOn: what an open connection would still see is nobody's database any more.
func TestAFileThatIsReplacedIsNotReadOn(t *testing.T) {
	g := sqliteGround(t)
	file := engine.Text(g.target.Settings["file"])
	g.stock(t)
	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	first := g.step(t, "exec", exec("UPDATE stock SET n = 11 WHERE id = 1"))
	ok(t, first.do())
	read := func() engine.Outcome {
		return first.beside(g.step(t, "query", engine.Record{"query": "SELECT n FROM stock WHERE id = 1"})).do()
	}
	n := func() string { return engine.Text(ok(t, read())["rows"].(engine.List)[0].(engine.Record)["n"]) }
	if n() != "11" {
		t.Errorf("n is %s", n())
	}
	if err := os.WriteFile(file+".new", kept, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
	if n() != "10" {
		t.Errorf("n is %s, as in the file that is gone", n())
	}
	failed(t, first.beside(g.step(t, "exec", exec("UPDATE stock SET n = 12 WHERE id = 1"))).do(), engine.EffectNone, "does not have what was committed there last", "nothing was sent")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	failed(t, read(), engine.EffectNone, "the file cannot be opened")
}

// TestAResumeKnowsWhatMustBeThere: what it has found when it asked for the markers must be there later, too.
func TestAResumeKnowsWhatMustBeThere(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		const once = "UPDATE stock SET n = n + 1 WHERE id = 1"
		g.stock(t)
		one, two := g.step(t, "exec", exec(once)), g.step(t, "exec", exec(once))
		ok(t, one.do())
		ok(t, two.do())
		resumed := func() *step {
			t.Helper()
			next := g.step(t, "exec", exec(once))
			conn, err := next.env.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			there, err := steps.Rememberer(newKind()).Remembers(t.Context(), conn, []engine.Call{one.env.Call, two.env.Call})
			if err != nil || !there[one.env.Call.Token] || !there[two.env.Call.Token] {
				t.Fatalf("%v, %v", there, err)
			}
			return next
		}
		ok(t, resumed().do())
		next := resumed()
		g.must(t, "DELETE FROM handrail_markers WHERE state = 'done'")
		failed(t, next.do(), engine.EffectNone, "does not have what was committed there last ("+two.env.Call.Token+")")
	})
}
