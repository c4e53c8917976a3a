package sql_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

func (g ground) preview(t testing.TB, params engine.Record) engine.Impact {
	t.Helper()
	s := g.stepUnder(t, steps.ReadOnly, operationOf(params), params)
	i, err := s.op.Preview(t.Context(), s.env)
	if err != nil {
		t.Fatalf("preview: %v", err)
	}
	return i
}

func figures(i engine.Impact) string {
	var out []string
	for _, f := range i.Figures {
		out = append(out, fmt.Sprintf("%s %d %s: %s", f.Name, f.Value, f.Certainty, f.Why))
	}
	return strings.Join(out, "\n")
}

func TestAPreviewCounts(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.stock(t)
		g.must(t, "CREATE TABLE parts (id INTEGER PRIMARY KEY, stock_id INTEGER, note VARCHAR(9))", "INSERT INTO parts VALUES (1, 1, ''), (2, 1, ''), (3, 2, '')")
		again := "REPLACE INTO parts VALUES (1, 1, 'a')"
		if g.postgres() {
			again = "INSERT INTO parts VALUES (1, 1, 'a') ON CONFLICT (id) DO NOTHING"
		}
		for _, c := range []struct {
			text string
			args []any
			want string
		}{
			{"UPDATE stock SET n = :n WHERE id IN (:ids)", []any{"n", int64(0), "ids", engine.List{int64(1), int64(2), int64(3)}}, "rows 2 exact: "},
			{"DELETE FROM parts WHERE stock_id = :id AND note = ''", []any{"id", int64(1)}, "rows 2 exact: "},
			{"DELETE FROM parts", nil, "rows 3 exact: "},
			{"UPDATE parts SET note = 'x' WHERE stock_id IN (SELECT id FROM stock WHERE n > 15)", nil, "rows 1 exact: "},
			{"INSERT INTO parts VALUES (4, 1, 'a'), (5, 1, 'b')", nil, "rows 2 exact: "},
			{"INSERT INTO parts (id, stock_id) SELECT id + 10, id FROM stock WHERE id = :id", []any{"id", int64(1)}, "rows 1 estimate: as many as its SELECT brings now"},
			{again, nil, "rows 1 estimate: rows that are there already"},
		} {
			if got := figures(g.preview(t, exec(c.text, c.args...))); !strings.HasPrefix(got, c.want) {
				t.Errorf("%s: %s, want %s", c.text, got, c.want)
			}
		}
		if g.one(t, "SELECT COUNT(*) FROM parts WHERE note = ''") != "3" {
			t.Error("a preview changed something")
		}
	})
}

func TestAPreviewSaysWhatACountLeavesOut(t *testing.T) {
	g := mysqlGround(t)
	g.stock(t)
	g.must(t, "CREATE TABLE parts (id INT PRIMARY KEY, stock_id INTEGER, FOREIGN KEY (stock_id) REFERENCES stock (id) ON DELETE CASCADE)",
		"INSERT INTO parts VALUES (1, 1), (2, 1), (3, 2)", "CREATE TABLE log (n INT) ENGINE=MyISAM",
		"CREATE TRIGGER writes_log AFTER INSERT ON parts FOR EACH ROW INSERT INTO log VALUES (1)")
	for _, c := range []struct{ text, want, warning string }{
		{"DELETE FROM stock WHERE id = 1", "rows 1 estimate: a foreign key carries the change on to parts", "a foreign key carries the change on to parts"},
		{"UPDATE stock SET n = 0 WHERE id = 1", "rows 1 exact", ""},
		{"INSERT INTO parts VALUES (4, 1)", "rows 1 estimate: the trigger writes_log may change more", "the trigger writes_log on"},
		{"DELETE FROM parts LIMIT 2", "rows 2 estimate: LIMIT", ""},
		{"UPDATE stock JOIN parts ON parts.stock_id = stock.id SET n = 0", "rows 3 estimate: several tables", "no WHERE"},
		{"DELETE FROM log WHERE n = 5", "rows 0 exact", "MyISAM"},
		{"DELETE FROM parts WHERE id = own_function()", "rows 0 unknown: it calls own_function", ""},
		{"CALL p()", "rows 0 unknown: what it does cannot be told", ""},
		{"UPDATE stock SET n = 0", "rows 2 exact", "no WHERE"},
	} {
		i := g.preview(t, exec(c.text))
		if got := figures(i); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.text, got, c.want)
		}
		if all := strings.Join(i.Warnings, "\n"); !strings.Contains(all, c.warning) || c.warning == "" && all != "" && !strings.Contains(all, "unrepeatable") {
			t.Errorf("%s: warnings %q, want %q", c.text, all, c.warning)
		}
	}
}

func TestAPreviewOfATransaction(t *testing.T) {
	g := mysqlGround(t)
	g.stock(t)
	i := g.preview(t, transaction(
		engine.Record{"query": "SELECT n FROM stock WHERE id = 1 FOR UPDATE", "as": "old"},
		exec("UPDATE stock SET n = 0 WHERE id = 1"),
		exec("UPDATE stock SET n = 1 WHERE id = 2"),
		engine.Record{"exec": "UPDATE stock SET n = 2 WHERE n = :old", "args": engine.Record{"old": cell("old", "n")}},
		engine.Record{"exec": "INSERT INTO stock VALUES (3, :old, 'x')", "args": engine.Record{"old": cell("old", "n")}},
	))
	want := []string{"rows, transaction[1], UPDATE stock 1 exact: ", "rows, transaction[2], UPDATE stock 1 estimate: UPDATE stock before it changes the table",
		"rows, transaction[3], UPDATE stock 0 unknown: known after step transaction[0]", "rows, transaction[4], INSERT stock 1 estimate: UPDATE stock before"}
	lines := strings.Split(figures(i), "\n")
	for n, w := range want {
		if n >= len(lines) || !strings.HasPrefix(lines[n], w) {
			t.Errorf("figures\n%s\nwant\n%s", figures(i), strings.Join(want, "\n"))
			break
		}
	}
	if i.Standing != engine.StandingWould || i.Risk != engine.RiskChanges || i.Class != engine.ClassUnset {
		t.Errorf("standing %s, risk %s, class %s, %v", i.Standing, i.Risk, i.Class, i.Warnings)
	}
}

func TestAPreviewSaysWhenTheClassFalls(t *testing.T) {
	g := userGround(t, servers.MySQL(t), "SELECT, INSERT, UPDATE, DELETE ON %s.*")
	g.stock(t)
	i := g.preview(t, exec("UPDATE stock SET n = 0 WHERE id = 1"))
	if i.Class != engine.ClassUnrepeatable || !strings.Contains(strings.Join(i.Warnings, ""), "no right to CREATE") {
		t.Errorf("class %s, warnings %q", i.Class, i.Warnings)
	}
	g.must(t, "CREATE TABLE handrail_markers (token VARBINARY(255) PRIMARY KEY, epoch BIGINT NOT NULL, state VARCHAR(8) NOT NULL, result LONGTEXT, at DATETIME(6) NOT NULL)")
	if i = g.preview(t, exec("UPDATE stock SET n = 0 WHERE id = 1")); i.Class != engine.ClassUnset {
		t.Errorf("with the table made by somebody else: %q", i.Warnings)
	}
	g.must(t, "CREATE TABLE old (n INT) ENGINE=MyISAM")
	if i = g.preview(t, exec("UPDATE old SET n = 0 WHERE n = 1")); i.Class != engine.ClassUnrepeatable {
		t.Errorf("a table without transactions: class %s", i.Class)
	}
}

func TestAPreviewOfDDLLooksAtTheTables(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.stock(t)
		i := g.preview(t, exec("DROP TABLE stock"))
		if len(i.Facts) != 1 || !strings.Contains(i.Facts[0].Name, "stock") || !strings.Contains(i.Facts[0].Value, "is there") || i.Risk != engine.RiskDestroys {
			t.Errorf("facts %v, risk %s", i.Facts, i.Risk)
		}
		if i = g.preview(t, exec("CREATE TABLE made (a INT)")); len(i.Facts) != 1 || i.Facts[0].Value != "is not there" {
			t.Errorf("facts %v", i.Facts)
		}
		i = g.preview(t, script("CREATE TABLE made (a INT); INSERT INTO made SELECT n FROM stock; DELETE FROM made WHERE a = 1; DELETE FROM stock"))
		if got := figures(i); !strings.Contains(got, "rows, statement 3 of 4, DELETE made 0 unknown") || !strings.Contains(got, "DELETE stock 2 estimate") {
			t.Errorf("figures\n%s", got)
		}
	})
}

func TestAPreviewOfAReadShowsWhatThereIsNow(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.stock(t)
		i := g.preview(t, query("SELECT id, n FROM stock WHERE id = :id", "id", int64(1)))
		if len(i.Facts) != 1 || i.Facts[0].Value != "1 row: id: 1, n: 10" {
			t.Errorf("facts %v", i.Facts)
		}
		i = g.preview(t, query("SELECT unknown_function(1)"))
		if i.Standing != engine.StandingUnknown || !strings.Contains(i.Why, "unknown_function") || len(i.Warnings) != 1 {
			t.Errorf("standing %s, %s, %v", i.Standing, i.Why, i.Warnings)
		}
		secret := engine.NewSecret("token", "very-secret-value")
		i = g.preview(t, exec("UPDATE stock SET note = :s WHERE id = 1 AND note <> :s", "s", secret))
		if text := fmt.Sprintf("%+v", i); strings.Contains(text, "very-secret") || !strings.Contains(text, ":s = •••") {
			t.Errorf("impact %s", text)
		}
	})
}

func TestAPreviewOfAnExport(t *testing.T) {
	g := sqliteGround(t)
	g.stock(t)
	i := g.preview(t, engine.Record{"export": "SELECT * FROM stock", "to": "x.csv"})
	if figures(i) != "rows 2 exact: " || !strings.Contains(i.Would, "x.csv") {
		t.Errorf("%s, %s", i.Would, figures(i))
	}
}
