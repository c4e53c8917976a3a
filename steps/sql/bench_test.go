package sql_test

import (
	"testing"
	"time"

	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// BenchmarkSelectOne against BenchmarkSelectOneBare is what the kind costs beside its driver.
func BenchmarkSelectOne(b *testing.B) {
	g := ground{target: targetOf(servers.MySQL(b))}
	s := g.step(b, "query", query("SELECT 1"))
	for b.Loop() {
		if o := s.op.Execute(b.Context(), s.env); o.Err != "" {
			b.Fatal(o.Err)
		}
	}
}

func BenchmarkSelectOneBare(b *testing.B) {
	db := servers.Open(b, servers.MySQL(b))
	for b.Loop() {
		var n int
		if err := db.QueryRowContext(b.Context(), "SELECT 1").Scan(&n); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTransaction is a transaction with its marker.
func BenchmarkTransaction(b *testing.B) {
	g := ground{target: targetOf(servers.MySQL(b))}
	g.db = servers.Open(b, g.target.Settings)
	g.stock(b)
	s := g.step(b, "exec", exec("UPDATE stock SET n = n + 1 WHERE id = 1")).prepare()
	token, i := s.env.Call.Token, 0
	for b.Loop() {
		i++
		s.env.Call.Token = token + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676%26)) + string(rune('a'+i/17576))
		if o := s.op.Execute(b.Context(), s.env); o.Err != "" {
			b.Fatal(o.Err)
		}
	}
}

// BenchmarkPlanOfTenMillionRows is a plan that counts by a column without an index: for as long as it takes, and with a limit of one second.
func BenchmarkPlanOfTenMillionRows(b *testing.B) {
	g := ground{target: targetOf(servers.MySQL(b))}
	g.db = servers.Open(b, g.target.Settings)
	g.must(b, "CREATE TABLE big (id INT PRIMARY KEY, n INT NOT NULL) AS SELECT seq AS id, seq % 7 AS n FROM seq_1_to_10000000")
	for name, limit := range map[string]time.Duration{"counted": 0, "stopped": time.Second} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				i, _ := g.planner(b, limit).plan(b, g, "exec", exec("DELETE FROM big WHERE n = 3"))
				b.Logf("%+v", i.Figures[0])
			}
		})
	}
}
