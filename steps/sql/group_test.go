package sql_test

import (
	stdsql "database/sql"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// followed is a target of two servers, of which the second follows the first.
type followed struct {
	ground
	first, second string      // their addresses
	follower      *stdsql.DB  // the same database on the second
	one, two      interface { // the servers
		Kill()
		Restart()
		Promote()
		CutOff()
	}
}

// eachFollowed runs a test on MariaDB and on PostgreSQL. The follower stands first in the target, so that nothing
// comes right by the order.
func eachFollowed(t *testing.T, f func(t *testing.T, g followed)) {
	t.Run("mysql", func(t *testing.T) {
		primary, replica := servers.FollowedMySQL(t)
		g := followed{first: primary.Address(), second: replica.Address(), one: primary, two: replica}
		g.on(t, "mysql", primary.Settings(), servers.Open)
		f(t, g)
	})
	t.Run("postgres", func(t *testing.T) {
		primary := servers.PrivatePostgres(t)
		standby := primary.Standby()
		g := followed{first: primary.Address(), second: standby.Address(), one: primary, two: standby}
		g.on(t, "postgres", primary.Settings(), servers.OpenPostgres)
		f(t, g)
	})
}

func (g *followed) on(t *testing.T, typ string, settings engine.Record, open func(testing.TB, engine.Record) *stdsql.DB) {
	g.db = open(t, settings)
	g.stock(t)
	there := maps.Clone(settings)
	there["address"] = g.second
	g.follower = open(t, there)
	servers.Arrives(t, g.follower, "SELECT COUNT(*) FROM stock")
	delete(settings, "address")
	settings["addresses"] = engine.List{g.second, g.first}
	g.target = steps.Target{Name: "db", Type: typ, Settings: settings}
}

// at is the ground with other addresses.
func (g followed) at(addresses ...engine.Value) followed {
	g.target.Settings = maps.Clone(g.target.Settings)
	g.target.Settings["addresses"] = engine.List(addresses)
	return g
}

// through reaches the first server through a relay.
func (g followed) through(t testing.TB) (followed, *relay) {
	r := newRelay(t, g.first)
	return g.at(g.second, r.address), r
}

// alone is a target that is one server.
func (g followed) alone(address string) ground {
	one := g.ground
	one.target.Settings = maps.Clone(one.target.Settings)
	delete(one.target.Settings, "addresses")
	one.target.Settings["address"] = address
	return one
}

// stockOn is the number of the first row there.
func stockOn(t testing.TB, db *stdsql.DB) string {
	t.Helper()
	return ground{db: db}.one(t, "SELECT n FROM stock WHERE id = 1")
}

const more = "UPDATE stock SET n = n + 1 WHERE id = 1"

func asked(text, nodes string) engine.Record {
	q := query(text)
	q["nodes"] = nodes
	return q
}

func TestOfSeveralServersTheWriterIsWritten(t *testing.T) {
	eachFollowed(t, func(t *testing.T, g followed) {
		ok(t, g.step(t, "exec", exec(more)).do())
		ok(t, g.step(t, "transaction", transaction(exec(more))).do())
		ok(t, g.step(t, "script", script(more+"; "+more)).do())
		if got := g.n(t, 1); got != "14" {
			t.Errorf("n is %s", got)
		}
		if got := first(t, ok(t, g.step(t, "query", query("SELECT n FROM stock WHERE id = 1")).do()))["n"]; got != int64(14) {
			t.Errorf("a query without `nodes` sees %v", got)
		}
		servers.Arrives(t, g.follower, "SELECT COUNT(*) FROM stock WHERE id = 1 AND n = 14")
		s := g.step(t, "exec", exec(more))
		failed(t, s.expect(steptest.Equals("affected", int64(2))).do(), engine.EffectNone, g.first)
		if settled := s.settle(); settled.Verdict != engine.VerdictNotDone || !settled.Dead {
			t.Errorf("settled as %s: %v", settled.Verdict, settled.Evidence)
		}
		kind := newKind()
		conn, err := kind.Connect(t.Context(), g.target, steps.Full)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		done := g.step(t, "exec", exec(more))
		ok(t, done.do())
		there, err := kind.Remembers(t.Context(), conn, []engine.Call{done.env.Call})
		if err != nil || !there[done.env.Call.Token] {
			t.Errorf("it remembers: %v, %v", there, err)
		}
	})
}

func TestAnyAndEachAskThoseServers(t *testing.T) {
	eachFollowed(t, func(t *testing.T, g followed) {
		where := "SELECT n FROM stock WHERE id = 1"
		o := g.step(t, "query", asked(where, "any")).do()
		if r := ok(t, o); r["node"] != g.second || len(rows(t, r)) != 1 {
			t.Errorf("any: %v", r)
		}
		contains(t, o.Message, "answered by "+g.second)
		r := ok(t, g.step(t, "query", asked(where, "each")).do())
		list, _ := r["nodes"].(engine.List)
		if len(list) != 2 || list[0].(engine.Record)["node"] != g.second || list[1].(engine.Record)["node"] != g.first {
			t.Fatalf("each: %v", r)
		}
		for _, v := range list {
			if first(t, v.(engine.Record))["n"] != int64(10) {
				t.Errorf("%v", v)
			}
		}
		plan, err := g.stepUnder(t, steps.ReadOnly, "query", asked(where, "each")).preview()
		if err != nil || plan.Standing != engine.StandingWould || len(plan.Facts) != 2 || plan.Facts[0].Name != "now on "+g.second {
			t.Errorf("the plan of each: %+v, %v", plan, err)
		}
		plan, err = g.stepUnder(t, steps.ReadOnly, "query", asked(where, "any")).preview()
		if err != nil || len(plan.Facts) != 1 || plan.Facts[0].Name != "now on "+g.second {
			t.Errorf("the plan of any: %+v, %v", plan, err)
		}
		failed(t, g.step(t, "query", asked("SELECT nothing FROM stock", "any")).do(), engine.EffectNone, g.second, "no such column")

		g.two.Kill()
		o = g.step(t, "query", asked(where, "any")).do()
		if r := ok(t, o); r["node"] != g.first {
			t.Errorf("any, with one down: %v", r)
		}
		contains(t, o.Message, "answered by "+g.first, g.second+" cannot be reached")
		o = g.step(t, "query", asked(where, "each")).do()
		failed(t, o, engine.EffectNone, "1 of 2 servers", g.second, "cannot be reached")
		contains(t, strings.Join(o.Evidence, ""), "answered by "+g.first)
		plan, err = g.stepUnder(t, steps.ReadOnly, "query", asked(where, "each")).preview()
		if err != nil || plan.Standing != engine.StandingUnknown || !strings.Contains(plan.Why, g.second) {
			t.Errorf("the plan of each, with one down: %+v, %v", plan, err)
		}
		ok(t, g.step(t, "exec", exec(more)).do())
		g.one.Kill()
		failed(t, g.step(t, "query", asked(where, "any")).do(), engine.EffectNone, "none of the 2 servers answers", g.first, g.second)
	})
}

// TestADumpIsOfTheWriterAndARestoreGoesToIt: what the follower lags behind is in the dump.
func TestADumpIsOfTheWriterAndARestoreGoesToIt(t *testing.T) {
	eachFollowed(t, func(t *testing.T, g followed) {
		g.two.CutOff()
		ok(t, g.step(t, "exec", exec(more)).do())
		file := filepath.Join(t.TempDir(), "stock.sql")
		if r := ok(t, g.step(t, "dump", engine.Record{"dump": file, "tables": engine.List{"stock"}}).do()); r["rows"] != int64(2) {
			t.Errorf("%v", r)
		}
		ok(t, g.step(t, "exec", exec(more)).do())
		s := g.step(t, "restore", engine.Record{"restore": file})
		s.env.Call.Wipes, s.env.Call.Wiped = true, true
		ok(t, s.do())
		if g.n(t, 1) != "11" || stockOn(t, g.follower) != "10" {
			t.Errorf("n is %s, on the follower %s", g.n(t, 1), stockOn(t, g.follower))
		}
		alone := g.alone(g.second)
		failed(t, alone.step(t, "restore", engine.Record{"restore": file}).do(), engine.EffectNone, "takes no writes", "nothing was sent")
	})
}

// TestNoWriterAndTwoAreRefused: with the answer of every server.
func TestNoWriterAndTwoAreRefused(t *testing.T) {
	eachFollowed(t, func(t *testing.T, g followed) {
		refused := func(g followed, says ...string) {
			t.Helper()
			s := g.step(t, "exec", exec(more))
			_, err := s.op.(steps.Preparer).Prepare(t.Context(), s.env)
			if err == nil {
				t.Fatal("it is prepared")
			}
			contains(t, err.Error(), append(says, "target db", "nothing was sent")...)
			failed(t, s.execute(t.Context()), engine.EffectNone, says...)
			if plan, err := g.stepUnder(t, steps.ReadOnly, "exec", exec(more)).preview(); err == nil {
				t.Errorf("the plan knows no better: %+v", plan)
			}
		}
		refused(g.at(g.second), "none of its servers takes writes", g.second+" is a ")
		refused(g.at(g.second, "127.0.0.1:1"), "none of its servers takes writes", "127.0.0.1:1 cannot be reached")
		g.two.Promote()
		refused(g, "2 of its servers take writes", g.first+" takes writes", g.second+" takes writes")
		if stockOn(t, g.db) != "10" || stockOn(t, g.follower) != "10" {
			t.Error("something was written")
		}
	})
}

// TestAReplicaIsNotWritten: also by a user whom the server itself would let.
func TestAReplicaIsNotWritten(t *testing.T) {
	eachFollowed(t, func(t *testing.T, g followed) {
		alone := g.alone(g.second)
		for _, params := range []engine.Record{exec(more), exec("CREATE TABLE made (a INT)"), transaction(exec(more)), script(more)} {
			s := alone.step(t, operationOf(params), params)
			_, err := s.op.(steps.Preparer).Prepare(t.Context(), s.env)
			if err == nil {
				t.Fatalf("%v is prepared", params)
			}
			contains(t, err.Error(), g.second, "takes no writes", "primary")
			plan, err := alone.stepUnder(t, steps.ReadOnly, operationOf(params), params).preview()
			if err != nil || plan.Standing != engine.StandingUnknown || !strings.Contains(plan.Why, "takes no writes") {
				t.Errorf("the plan: %+v, %v", plan, err)
			}
		}
		if stockOn(t, g.follower) != "10" {
			t.Error("the replica was written")
		}
		if g.mysql() { // what makes it a primary is no write of rows
			ok(t, alone.step(t, "exec", exec("SET GLOBAL read_only = OFF")).do())
			ok(t, alone.step(t, "exec", exec(more)).do())
		}
	})
}

func TestNodeIsTheServerThatIsNamed(t *testing.T) {
	eachFollowed(t, func(t *testing.T, g followed) {
		at := func(r engine.Record, node string) engine.Record {
			r["node"] = node
			return r
		}
		follows := map[string]string{"mysql": "SELECT @@GLOBAL.read_only + 0 AS n", "postgres": "SELECT pg_is_in_recovery()::int AS n"}[g.target.Type]
		for node, want := range map[string]int64{g.first: 0, g.second: 1} {
			if got := first(t, ok(t, g.step(t, "query", at(query(follows), node)).do()))["n"]; got != want {
				t.Errorf("%s says %v, want %d", node, got, want)
			}
			plan, err := g.stepUnder(t, steps.ReadOnly, "query", at(query(follows), node)).preview()
			if err != nil || len(plan.Facts) != 1 {
				t.Errorf("the plan: %+v, %v", plan, err)
			}
		}
		// A name that is none, such as that of an expression that came out empty, is not taken for the one that takes writes.
		for _, none := range []string{"127.0.0.1:1", ""} {
			failed(t, g.step(t, "query", at(query(follows), none)).do(), engine.EffectNone, "its addresses are "+g.second+", "+g.first)
		}
		// Rows are the business of the one that takes writes, which keeps the marker, too. That is said when the playbook is loaded.
		if p := judge(t, "exec", at(exec(more), g.second), g.target.Type).Problems; len(p) != 1 || p[0].Path != "node" || !strings.Contains(p[0].Message, "leave `node` out") {
			t.Errorf("an UPDATE for one server: %v", p)
		}
		if p := judge(t, "query", at(asked(follows, "each"), g.second), g.target.Type).Problems; len(p) != 1 || p[0].Path != "node" {
			t.Errorf("both: %v", p)
		}
	})
}

// TestWhatConcernsOneServerIsSentThere, and in a dry-run nowhere.
func TestWhatConcernsOneServerIsSentThere(t *testing.T) {
	primary, replica := servers.FollowedMySQL(t)
	g := followed{first: primary.Address(), second: replica.Address(), one: primary, two: replica}
	g.on(t, "mysql", primary.Settings(), servers.Open)
	set := exec("SET GLOBAL max_connect_errors = 77")
	set["node"] = g.second
	value := func(db *stdsql.DB) string { return ground{db: db}.one(t, "SELECT @@GLOBAL.max_connect_errors") }
	before := value(g.db)
	plan, err := g.stepUnder(t, steps.ReadOnly, "exec", set).preview()
	if err != nil || plan.Standing != engine.StandingWould || value(g.follower) != before {
		t.Fatalf("the plan: %+v, %v; the setting is %s", plan, err, value(g.follower))
	}
	s := g.step(t, "exec", set)
	ok(t, s.do())
	if value(g.db) != before || value(g.follower) != "77" || before == "77" {
		t.Errorf("the setting is %s and %s, and was %s", value(g.db), value(g.follower), before)
	}
	// AFTER a crash that server is asked whether the attempt still lives.
	if settled := s.settle(); !settled.Dead || settled.Verdict != engine.VerdictUnknown {
		t.Errorf("settled: %+v", settled)
	}
}
