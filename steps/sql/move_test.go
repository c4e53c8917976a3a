package sql_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
)

// audit makes two tables alike, the first with n rows, of which each fifth is young.
func (g ground) audit(t testing.TB, n int) {
	g.must(t, "CREATE TABLE audit (id INTEGER PRIMARY KEY, what VARCHAR(20) NOT NULL, note TEXT, n INTEGER)",
		"CREATE TABLE archive (id INTEGER PRIMARY KEY, what VARCHAR(20) NOT NULL, note TEXT, n INTEGER)")
	g.fill(t, n)
}

func (g ground) fill(t testing.TB, n int) {
	var values []string
	for id := 1; id <= n; id++ {
		what := "old"
		if id%5 == 0 {
			what = "young"
		}
		values = append(values, fmt.Sprintf("(%d, '%s', 'row %d', %d)", id, what, id, id%7))
	}
	if len(values) > 0 {
		g.must(t, "INSERT INTO audit VALUES "+strings.Join(values, ", "))
	}
}

func moved(more ...any) engine.Record {
	r := engine.Record{"move": "audit", "to": "archive", "where": "what = :what", "args": engine.Record{"what": "old"}, "batch": int64(7)}
	for i := 0; i < len(more); i += 2 {
		r[more[i].(string)] = more[i+1]
	}
	return r
}

// split asks the tables themselves: how many rows are in each, in both, and in neither of n.
func (g ground) split(t testing.TB, n int) string {
	t.Helper()
	from, to := g.one(t, "SELECT COUNT(*) FROM audit"), g.one(t, "SELECT COUNT(*) FROM archive")
	both := g.one(t, "SELECT COUNT(*) FROM audit a JOIN archive b ON a.id = b.id")
	all := g.one(t, "SELECT COUNT(*) FROM (SELECT id FROM audit UNION SELECT id FROM archive) x")
	if both != "0" || all != fmt.Sprint(n) {
		t.Errorf("%s rows are in both tables, %s of %d are in any", both, all, n)
	}
	return from + " " + to
}

func (g ground) wantSplit(t testing.TB, from, to int) {
	t.Helper()
	if got, want := g.split(t, from+to), fmt.Sprintf("%d %d", from, to); got != want {
		t.Errorf("the tables have %s rows, not %s", got, want)
	}
}

func TestMoveMovesWhatMatchesAndNothingElse(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.audit(t, 500)
		before := g.one(t, "SELECT SUM(id * n) FROM audit WHERE what = 'old'")
		r := ok(t, g.step(t, "move", moved()).do())
		if got := engine.Text(r); got != "{batches: 58, left: 0, moved: 400}" {
			t.Errorf("result %s", got)
		}
		g.wantSplit(t, 100, 400)
		if got := g.one(t, "SELECT SUM(id * n) FROM archive WHERE what = 'old' AND note LIKE 'row %'"); got != before {
			t.Errorf("the rows that were moved are other ones: %s, not %s", got, before)
		}
		// A second step finds nothing to do.
		if got := engine.Text(ok(t, g.step(t, "move", moved()).do())); got != "{batches: 0, left: 0, moved: 0}" {
			t.Errorf("result of a second move %s", got)
		}
		g.wantSplit(t, 100, 400)
	})
}

func TestMoveStopsAtItsLimit(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.audit(t, 100)
		if got := engine.Text(ok(t, g.step(t, "move", moved("limit", int64(10))).do())); got != "{batches: 2, left: 70, moved: 10}" {
			t.Errorf("result %s", got)
		}
		g.wantSplit(t, 90, 10)
	})
}
