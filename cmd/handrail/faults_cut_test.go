package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestAJournalThatIsCutAtAnyByte cuts the journal of a run that has done everything, as a restored backup
// or a broken disk might, and resumes. The target remembers what the journal has lost: every effect is
// there once. Without a whole first line there is no run, and that is said.
func TestAJournalThatIsCutAtAnyByte(t *testing.T) {
	t.Parallel()
	g, db := bookGround(t)
	g.playbook("book", `targets: {book: sqlite}
steps:
  - {id: one, sql: {exec: "INSERT INTO ledger VALUES ('one')"}, expect: affected == 1}
  - {id: two, sql: {transaction: [{exec: "INSERT INTO ledger VALUES ('two')"}]}}
`)
	g.handrail("run", "--yes", "book").is(0)
	id := g.last()
	file := filepath.Join(g.state(), "runs", id, "journal.jsonl")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range whole {
		g.only(file, whole[:cut])
		s := g.handrail("resume", id)
		if bytes.ContainsRune(whole[:cut], '\n') {
			s.is(0)
		} else {
			s.is(2, "run "+id, "never began")
		}
		if got := booked(t, db); got != "one two" {
			t.Fatalf("cut at %d: the ledger has %q\n%s", cut, got, s.errors)
		}
	}
}

// only makes text the journal, and takes away what an earlier repair has kept.
func (g *ground) only(file string, text []byte) {
	g.t.Helper()
	kept, err := filepath.Glob(file + ".*")
	if err != nil {
		g.t.Fatal(err)
	}
	for _, k := range kept {
		if err := os.Remove(k); err != nil {
			g.t.Fatal(err)
		}
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		g.t.Fatal(err)
	}
}
