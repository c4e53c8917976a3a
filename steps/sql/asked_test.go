package sql_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest"
)

// planner is an executor of a dry-run that keeps what is sent.
type planner struct {
	*steps.Executor
	dir string

	mu   sync.Mutex
	sent []string
}

func (g ground) planner(t testing.TB, limit time.Duration) *planner {
	t.Helper()
	k := newKind()
	p := &planner{dir: t.TempDir()}
	k.Hear(func(text string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.sent = append(p.sent, text)
	})
	if limit > 0 {
		k.LimitPreviews(limit)
	}
	p.Executor = steps.NewExecutor([]steps.Kind{k}, []steps.Target{g.target}, steps.ReadOnly)
	p.Dir = p.dir
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// plan previews one step, and gives what was sent for it, the opening of the target left out.
func (p *planner) plan(t testing.TB, g ground, operation string, params engine.Record) (engine.Impact, []string) {
	t.Helper()
	if _, err := p.Reach(t.Context(), "sql", g.target.Name); err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.sent = nil
	p.mu.Unlock()
	def, _ := newKind().Define().Operation(operation)
	j := def.Judge(engine.Proposal{Params: params, Target: g.target.Type, Wipes: operation == "restore"})
	i, err := p.Preview(t.Context(), engine.Call{Step: operation, ID: operation, Kind: "sql", Operation: operation, Target: g.target.Name,
		Params: params, Class: j.Class, Attempt: 1, Epoch: 1, Token: "plan/" + operation})
	if err != nil {
		t.Fatalf("%s: %v", operation, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return i, p.sent
}

// TestAPlanAsksNoMoreThanItsPageSays counts what is sent for each operation, on a table with everything that makes a plan ask.
func TestAPlanAsksNoMoreThanItsPageSays(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.stock(t)
		g.must(t, "CREATE TABLE parts (id INTEGER PRIMARY KEY, stock_id INTEGER, FOREIGN KEY (stock_id) REFERENCES stock (id) ON DELETE CASCADE)",
			"CREATE TABLE old_parts (id INTEGER PRIMARY KEY, stock_id INTEGER)", "INSERT INTO parts VALUES (1, 1), (2, 1)")
		five := strings.Repeat("UPDATE parts SET stock_id = 1 WHERE id = 1; ", 5)
		for _, c := range []struct {
			operation string
			counted   int // as the page says for each operation
			params    engine.Record
		}{
			{"query", 0, query("SELECT * FROM stock WHERE id = :id", "id", int64(1))},
			{"export", 0, engine.Record{"export": "SELECT * FROM stock", "to": "x.csv"}},
			{"exec", 2, exec("DELETE FROM stock WHERE id = :id", "id", int64(1))},
			{"exec", 2, exec("UPDATE ident(:t) SET n = 0 WHERE id IN (:ids)", "t", "stock", "ids", engine.List{int64(1), int64(2)})},
			{"exec", 1, exec("ALTER TABLE stock ADD COLUMN c INTEGER")},
			{"transaction", 4, transaction(exec("DELETE FROM stock WHERE id = 1"), exec("INSERT INTO parts VALUES (3, 2)"), exec("UPDATE old_parts SET stock_id = 1 WHERE id = 1"))},
			{"script", 5, engine.Record{"script": five}},
			{"move", 2, engine.Record{"move": "parts", "to": "old_parts", "where": "id > 0"}},
		} {
			i, sent := g.planner(t, 0).plan(t, g, c.operation, c.params)
			if most := steptest.Bound(t, "sql."+c.operation, c.counted); len(sent) > most || len(sent) == 0 {
				t.Errorf("sql.%s was asked about with %d statements, and docs/plan.md says %d at most:\n%s", c.operation, len(sent), most, strings.Join(sent, "\n"))
			}
			if c.operation != "query" && len(i.Figures) == 0 {
				t.Errorf("sql.%s has no figures", c.operation)
			}
		}
	})
}

// TestTheSameTableIsAskedAboutOnce: a script of a hundred statements does not ask a hundred times how its table is made.
func TestTheSameTableIsAskedAboutOnce(t *testing.T) {
	g := mysqlGround(t)
	g.stock(t)
	_, one := g.planner(t, 0).plan(t, g, "script", script("UPDATE stock SET n = 0 WHERE id = 1"))
	_, many := g.planner(t, 0).plan(t, g, "script", script(strings.Repeat("UPDATE stock SET n = 0 WHERE id = 1; ", 100)))
	if each := (len(many) - len(one) + 98) / 99; each > 1 {
		t.Errorf("%d statements for one, %d for a hundred", len(one), len(many))
	}
}

// TestACountStopsAtItsCap: what would take years to count ends with an estimate, or with nothing said, and the server has stopped, too.
func TestACountStopsAtItsCap(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.stock(t)
		endless := map[string]string{
			"mysql":    "SELECT a.seq FROM seq_1_to_10000000 a, seq_1_to_10000000 b",
			"postgres": "SELECT a FROM generate_series(1, 10000) a, generate_series(1, 10000) b, generate_series(1, 10000) c, generate_series(1, 10000) d",
			"sqlite":   "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c",
		}[g.target.Type]
		const limit = 300 * time.Millisecond
		i, sent := g.planner(t, limit).plan(t, g, "exec", exec("INSERT INTO stock (n) "+endless))
		f := i.Figures[0]
		want := engine.FigureEstimate
		if g.target.Type == "sqlite" {
			want = engine.FigureUnknown
		}
		if f.Name != "rows" || f.Certainty != want || !strings.HasPrefix(f.Why, fmt.Sprintf("counting took longer than %s", limit)) {
			t.Errorf("figure %+v", f)
		}
		if most := steptest.Bound(t, "sql.exec", 1); len(sent) > most {
			t.Errorf("%d statements, and docs/plan.md says %d:\n%s", len(sent), most, strings.Join(sent, "\n"))
		}
		switch g.target.Type {
		case "mysql":
			if n := g.one(t, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE '%seq_1_to_10000000%' AND INFO NOT LIKE '%PROCESSLIST%' AND DB = DATABASE()"); n != "0" {
				t.Error("the server goes on counting")
			}
		case "postgres":
			if n := g.one(t, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%generate_series%' AND state = 'active' AND pid <> pg_backend_pid() AND datname = current_database()"); n != "0" {
				t.Error("the server goes on counting")
			}
		}
	})
}

// TestAPreviewCountsWhatAForeignKeyCarriesOn, and the server finds as many where it was carried no further.
func TestAPreviewCountsWhatAForeignKeyCarriesOn(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.stock(t)
		g.must(t, "CREATE TABLE parts (id INTEGER PRIMARY KEY, stock_id INTEGER, FOREIGN KEY (stock_id) REFERENCES stock (id) ON DELETE CASCADE)",
			"CREATE TABLE notes (id INTEGER PRIMARY KEY, stock_id INTEGER, FOREIGN KEY (stock_id) REFERENCES stock (id) ON DELETE SET NULL)",
			"CREATE TABLE bills (id INTEGER PRIMARY KEY, stock_id INTEGER, FOREIGN KEY (stock_id) REFERENCES stock (id))",
			"INSERT INTO parts VALUES (1, 1), (2, 1), (3, 2)", "INSERT INTO notes VALUES (1, 1), (2, 2)")
		params := exec("DELETE FROM stock WHERE id = :id", "id", int64(1))
		i := g.preview(t, params)
		got := map[string]engine.Figure{}
		for _, f := range i.Figures {
			got[f.Name[:strings.LastIndexAny(f.Name, " .")+1]+f.Name[strings.LastIndexAny(f.Name, " .")+1:]] = f
		}
		schema := map[string]string{"mysql": fmt.Sprint(g.target.Settings["database"]), "postgres": "public", "sqlite": "main"}[g.target.Type]
		gone, cleared := got["rows gone by foreign key, "+schema+".parts"], got["rows cleared by foreign key, "+schema+".notes"]
		if gone.Value != 2 || gone.Certainty != engine.FigureEstimate || cleared.Value != 1 || cleared.Certainty != engine.FigureEstimate {
			t.Errorf("figures %v", i.Figures)
		}
		for name := range got {
			if strings.Contains(name, "bills") {
				t.Errorf("%s: its key carries nothing on", name)
			}
		}
		ok(t, g.step(t, "exec", params).do())
		if left := g.one(t, "SELECT COUNT(*) FROM parts"); left != "1" {
			t.Errorf("%s parts are left", left)
		}
		if null := g.one(t, "SELECT COUNT(*) FROM notes WHERE stock_id IS NULL"); null != fmt.Sprint(cleared.Value) {
			t.Errorf("%s notes were cleared", null)
		}
	})
}

// TestAPlanOfADumpAsksNoMoreThanItsPageSays.
func TestAPlanOfADumpAsksNoMoreThanItsPageSays(t *testing.T) {
	for name, g := range map[string]ground{"mysql": mysqlGround(t), "postgres": postgresGround(t)} {
		t.Run(name, func(t *testing.T) {
			g.stock(t)
			g.must(t, "CREATE TABLE parts (id INTEGER PRIMARY KEY)")
			p := g.planner(t, 0)
			path := filepath.Join(p.dir, "a.sql.gz")
			_, sent := p.plan(t, g, "dump", engine.Record{"dump": path})
			if most := steptest.Bound(t, "sql.dump", 0); len(sent) > most || len(sent) == 0 {
				t.Errorf("%d statements, and docs/plan.md says %d at most:\n%s", len(sent), most, strings.Join(sent, "\n"))
			}
			ok(t, g.step(t, "dump", engine.Record{"dump": path}).do())
			_, sent = p.plan(t, g, "restore", engine.Record{"restore": path, "safety": filepath.Join(p.dir, "safety.sql.gz")})
			if most := steptest.Bound(t, "sql.restore", 2); len(sent) > most || len(sent) == 0 {
				t.Errorf("%d statements, and docs/plan.md says %d at most:\n%s", len(sent), most, strings.Join(sent, "\n"))
			}
		})
	}
}
