package bench

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

const (
	moveAll    = 1_000_000
	moveOld    = 500_000
	moveRounds = 5
)

// moves: half of the rows of a table move to its archive, beside pt-archiver, while somebody else writes.
func moves(b *testing.B) []row {
	archiver, err := exec.LookPath("pt-archiver")
	if err != nil {
		b.Fatal("pt-archiver is missing, the program to be measured beside: install percona-toolkit, as scripts/bench does on Debian")
	}
	m := newMoveGround(b)
	w := newWorld(b)
	w.targets = []steps.Target{{Name: "db", Type: "mysql", Settings: m.settings}}
	pb := w.mustLoad(b, `  - {id: move, sql: {move: audit, to: archive, where: "at < :before", args: {before: "2024-01-01"}, max_threads_running: 0}, expect: left == 0}`)
	var rates, stalls []float64
	var ours, theirs []measured
	for range moveRounds {
		x := m.measure(func() { w.must(b, pb) })
		y := m.measure(func() { m.archive(archiver) })
		ours, theirs = append(ours, x), append(theirs, y)
		rates = append(rates, x.rate()/y.rate())
		stalls = append(stalls, float64(x.stall)/float64(y.stall))
	}
	faster, stall := median(rates), median(stalls)
	return []row{
		{work: "`sql.move`, 500,000 of 1,000,000 rows", bar: "at least 1.5 x as fast",
			handrail: rowsPerSecond(ours), beside: "pt-archiver, `--bulk-insert --bulk-delete --limit 1000`: " + rowsPerSecond(theirs),
			figure: number(faster), met: faster >= 1.5},
		{work: "the longest that another writer was held up meanwhile", bar: "no longer",
			handrail: longest(ours), beside: "pt-archiver: " + longest(theirs), figure: fmt.Sprintf("%.2f x", stall), met: stall <= 1},
	}
}

// measured is one move, and the longest time that the other writer waited for one statement.
type measured struct{ took, stall time.Duration }

func (m measured) rate() float64 { return moveOld / m.took.Seconds() }

func rowsPerSecond(list []measured) string {
	var all []float64
	for _, m := range list {
		all = append(all, m.rate())
	}
	return fmt.Sprintf("%.0f rows/s", median(all))
}

func longest(list []measured) string {
	var all []time.Duration
	for _, m := range list {
		all = append(all, m.stall)
	}
	return fmt.Sprintf("%.1f ms", float64(median(all))/1e6)
}

// moveGround is the two tables.
type moveGround struct {
	b        *testing.B
	settings engine.Record
	db       *sql.DB
}

func newMoveGround(b *testing.B) *moveGround {
	m := &moveGround{b: b, settings: servers.MySQL(b)}
	m.db = servers.Open(b, m.settings)
	for _, table := range []string{"audit", "archive"} {
		m.must("CREATE TABLE " + table + ` (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, operation VARCHAR(50) NOT NULL,
			document_type VARCHAR(10) NULL, old_value VARCHAR(100) NULL, new_value VARCHAR(100) NULL, user_id BIGINT UNSIGNED NULL,
			at DATETIME NOT NULL) ENGINE=InnoDB`)
	}
	return m
}

func (m *moveGround) must(query string, args ...any) {
	m.b.Helper()
	if _, err := m.db.Exec(query, args...); err != nil {
		m.b.Fatal(err)
	}
}

// fill makes a million rows, the older half of which is to be moved.
func (m *moveGround) fill() {
	m.must("TRUNCATE TABLE audit")
	m.must("TRUNCATE TABLE archive")
	m.must(`INSERT INTO audit (operation, document_type, old_value, new_value, user_id, at)
		SELECT 'ADJUST_MAX_VALUE', 'COR', seq, seq + 1, seq % 50, IF(seq <= ?, '2023-06-01', '2025-06-01') FROM seq_1_to_1000000 WHERE seq <= ?`, moveOld, moveAll)
}

func (m *moveGround) measure(move func()) measured {
	m.fill()
	stop, stalled := make(chan struct{}), time.Duration(0)
	var writer sync.WaitGroup
	writer.Go(func() { stalled = m.write(stop) })
	began := time.Now()
	move()
	took := time.Since(began)
	close(stop)
	writer.Wait()
	var moved, left int
	if err := m.db.QueryRow("SELECT (SELECT COUNT(*) FROM archive), (SELECT COUNT(*) FROM audit WHERE at < '2024-01-01')").Scan(&moved, &left); err != nil {
		m.b.Fatal(err)
	}
	if moved != moveOld || left != 0 {
		m.b.Fatalf("%d rows were moved, %d are left", moved, left)
	}
	return measured{took, stalled}
}

// write changes and adds young rows, as the service that owns the table does, and says how long the
// slowest statement took.
func (m *moveGround) write(stop <-chan struct{}) (slowest time.Duration) {
	ctx := context.Background()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return slowest
		case <-tick.C:
		}
		began := time.Now()
		var err error
		if n%2 == 0 {
			_, err = m.db.ExecContext(ctx, "INSERT INTO audit (operation, at) VALUES ('NEW', NOW())")
		} else {
			_, err = m.db.ExecContext(ctx, "UPDATE audit SET new_value = 'changed' WHERE id = ?", moveOld+1+n%moveOld)
		}
		if err != nil {
			m.b.Errorf("the other writer: %v", err)
			return slowest
		}
		slowest = max(slowest, time.Since(began))
	}
}

// archive lets pt-archiver move the rows.
func (m *moveGround) archive(program string) {
	host, port, err := net.SplitHostPort(engine.Text(m.settings["address"]))
	if err != nil {
		m.b.Fatal(err)
	}
	source := fmt.Sprintf("h=%s,P=%s,u=%s,p=%s,D=%s,t=", host, port, m.settings["user"], m.settings["password"], m.settings["database"])
	out, err := exec.Command(program, "--source", source+"audit", "--dest", source+"archive", "--where", "at < '2024-01-01'",
		"--bulk-insert", "--bulk-delete", "--limit", "1000", "--commit-each", "--no-check-charset").CombinedOutput()
	if err != nil {
		m.b.Fatalf("pt-archiver: %v\n%s", err, out)
	}
}
