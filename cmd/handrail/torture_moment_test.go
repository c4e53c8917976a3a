package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/internal/torture"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// momentPlaybook has one effect, of which the engine does not see the end.
const momentPlaybook = `playbook: moment
inputs:
  key: {type: string, description: What this run writes}
targets: {db: %s}
steps:
  - id: effect
    %s
`

// moment is an effect in the middle of which the engine is killed.
type moment struct {
	where  engine.Record
	db     *sql.DB
	typ    string
	step   string
	word   string // in the piece that is on its way
	times  string // a query for how often the effect happened; %s is the key
	others string // a query for how many others are connected
}

func moments(t *testing.T) map[string]moment {
	const insert = `sql: {args: {k: "${{ inputs.key }}"}, transaction: [{exec: "INSERT INTO ledger (k) VALUES (:k)", expect: affected == 1}]}`
	my, pg := servers.MySQL(t), servers.Postgres(t)
	myDB, pgDB := servers.Open(t, my), servers.OpenPostgres(t, pg)
	for _, db := range []*sql.DB{myDB, pgDB} {
		db.SetMaxOpenConns(1)
		if _, err := db.ExecContext(t.Context(), "CREATE TABLE ledger (k VARCHAR(64))"); err != nil {
			t.Fatal(err)
		}
	}
	myOthers := "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID()"
	return map[string]moment{
		"COMMIT of mysql": {my, myDB, "mysql", insert, "COMMIT", "SELECT COUNT(*) FROM ledger WHERE k = '%s'", myOthers},
		"COMMIT of postgres": {pg, pgDB, "postgres", insert, "COMMIT", "SELECT COUNT(*) FROM ledger WHERE k = '%s'",
			"SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"},
		"definition of mysql": {my, myDB, "mysql", `sql: {exec: "CREATE TABLE KEY (n INT)"}
    done_if: [{sql: {query: "SELECT COUNT(*) AS n FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = :k", args: {k: "${{ inputs.key }}"}}, expect: "rows[0].n == 1"}]`,
			"CREATE TABLE d", "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '%s'", myOthers},
	}
}

// TestKilledWhileACommitOrADefinitionIsUnderWay kills the engine when the packet is on its way, which then arrives, or does not. The
// server carries it out without its client.
func TestKilledWhileACommitOrADefinitionIsUnderWay(t *testing.T) {
	s := newFileStand(t)
	all := moments(t)
	for name, m := range all {
		t.Run(name, func(t *testing.T) {
			own := *s
			own.t = t
			way := torture.NewCutter(t, engine.Text(m.where["address"]))
			direct := m.where["address"]
			m.where["address"] = way.Addr
			own.write("here.yaml", fmt.Sprintf("targets:\n  db: {%s: %s}\n", m.typ, flow(t, m.where)))
			m.where["address"] = direct
			kills := 0
			for i := range torture.Turns(t, 2, 100, 1000) {
				kills++
				own.killedAtMoment(way, m, fmt.Sprintf("d%d", i), i%2 == 0)
			}
			torture.Figure(t, 5, "%d kills, 0 lost, 0 twice", kills)
		})
	}
}

func (s *stand) number(db *sql.DB, query string) (n int) {
	s.t.Helper()
	if err := db.QueryRowContext(s.t.Context(), query).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *stand) killedAtMoment(way *torture.Cutter, m moment, key string, arrives bool) {
	t := s.t
	t.Helper()
	s.write("moment.yaml", fmt.Sprintf(momentPlaybook, m.typ, strings.ReplaceAll(m.step, "KEY", key)))
	state := filepath.Join(s.dir, "state-"+m.typ+"-"+key+m.word[:3])
	c := s.command(state, "run", "./moment.yaml", "--env", "./here.yaml", "--yes", "-i", "key="+key)
	var said bytes.Buffer
	c.Stderr = &said
	dyingAt(t, way, c, func(piece []byte) bool { return bytes.Contains(piece, []byte(m.word)) }, arrives)
	if c.ProcessState.Exited() {
		t.Fatalf("%s: it was not killed: %s\n%s", key, c.ProcessState, &said)
	}
	eventually(t, "the server has done what it was sent", func() bool { return s.number(m.db, m.others) == 0 })
	if n := s.number(m.db, fmt.Sprintf(m.times, key)); n > 1 || !arrives && n != 0 {
		t.Errorf("%s: after the kill the effect is there %d times", key, n)
	}
	run := s.begun(state)
	if code, _, _, errs := s.handrail(state, 0, "resume", run); code != 0 {
		t.Errorf("%s: resume: exit %d\n%s", key, code, errs)
	}
	if n := s.number(m.db, fmt.Sprintf(m.times, key)); n != 1 {
		t.Errorf("%s: in the end the effect is there %d times", key, n)
	}
}

// TestKilledWhileAChildProcessIsAtWork: the program goes on without the engine. It is waited for, is never started beside itself, and
// what it did is asked of a person.
func TestKilledWhileAChildProcessIsAtWork(t *testing.T) {
	s := newFileStand(t)
	s.write("here.yaml", "targets: {}\n")
	s.write("child.yaml", `playbook: child
inputs:
  key: {type: string, description: What this run writes}
steps:
  - id: command
    exec: {argv: [sh, -c, "echo >> $1.begun; until [ -e $1.go ]; do sleep 0.02; done; echo $1 >> ledger.txt", sh, "${{ inputs.key }}"]}
`)
	kills := 0
	for i := range torture.Turns(t, 2, 100, 1000) {
		kills++
		key := fmt.Sprintf("c%d", i)
		state := filepath.Join(s.dir, "state-"+key)
		c := s.command(state, "run", "./child.yaml", "--env", "./here.yaml", "--yes", "-i", "key="+key)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		begun := func() []byte { b, _ := os.ReadFile(filepath.Join(s.dir, key+".begun")); return b }
		eventually(t, "the program is at work", func() bool { return len(begun()) > 0 })
		_ = c.Process.Kill()
		_ = c.Wait()
		run := s.begun(state)
		if i%2 == 0 { // it ends before somebody looks, or while it is waited for
			s.write(key+".go", "")
		}
		next := s.command(state, "resume", run)
		if err := next.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the run goes on", func() bool {
			b, err := os.ReadFile(filepath.Join(state, "runs", run, "journal.jsonl"))
			return err == nil && bytes.Contains(b, []byte(`"run_resumed"`))
		})
		s.write(key+".go", "")
		_ = next.Wait()
		if code := next.ProcessState.ExitCode(); code != 3 {
			t.Errorf("%s: resume: exit %d, want 3: nobody saw how it ended", key, code)
		}
		s.untilDone(state, run, key, "", 0)
		if n := s.countInFiles(key)["command"]; n != 1 || len(begun()) != 1 {
			t.Errorf("%s: it was started %d times, and did its work %d times", key, len(begun()), n)
		}
	}
	torture.Figure(t, 5, "%d kills, 0 lost, 0 twice", kills)
}
