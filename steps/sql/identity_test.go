package sql_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// TestAnotherServerIsNotTakenForOneOnWhichNothingHappened: a step was committed and its engine killed; then
// the address leads to a server that never heard of it.
func TestAnotherServerIsNotTakenForOneOnWhichNothingHappened(t *testing.T) {
	first := ground{target: targetOf(servers.PrivateMySQL(t, "--server-id=1").Settings())}
	first.db = servers.Open(t, first.target.Settings)
	other := ground{target: targetOf(servers.PrivateMySQL(t, "--server-id=2").Settings())}
	other.db = servers.Open(t, other.target.Settings)
	first.stock(t)
	other.stock(t)
	for _, operation := range []string{"exec", "script"} {
		s := first.step(t, operation, with(operation, "UPDATE stock SET n = n + 1 WHERE id = 1"))
		ok(t, s.do())
		if settled := s.again(first, true).settle(); settled.Verdict != engine.VerdictDone {
			t.Errorf("%s: settled as %s where it happened: %v", operation, settled.Verdict, settled.Evidence)
		}
		settled := s.again(other, true).settle()
		if settled.Verdict != engine.VerdictUnknown {
			t.Errorf("%s: settled as %s on another server: %v", operation, settled.Verdict, settled.Evidence)
		}
		contains(t, strings.Join(settled.Evidence, "\n"), "another database than the one that the step was begun on", "server_id 1", "server_id 2")
	}
}

// TestAFileThatWasPutBackIsNotTakenForOneOnWhichNothingHappened is the same for SQLite: yesterday's copy of the
// file in the place of today's.
func TestAFileThatWasPutBackIsNotTakenForOneOnWhichNothingHappened(t *testing.T) {
	g := sqliteGround(t)
	g.stock(t)
	file := g.target.Settings["file"].(string)
	yesterday, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := g.step(t, "exec", exec("UPDATE stock SET n = n + 1 WHERE id = 1"))
	ok(t, s.do())
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.WriteFile(copied, yesterday, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(copied, file); err != nil {
		t.Fatal(err)
	}
	settled := s.again(g, true).settle()
	if settled.Verdict != engine.VerdictUnknown {
		t.Errorf("settled as %s: %v", settled.Verdict, settled.Evidence)
	}
	contains(t, strings.Join(settled.Evidence, "\n"), "another database than the one")
}

// TestAMarkerThatIsAheadOfTheJournalStopsEverything: the journal was put back to an older copy.
func TestAMarkerThatIsAheadOfTheJournalStopsEverything(t *testing.T) {
	grounds(t, func(t *testing.T, g ground) {
		g.stock(t)
		s := g.step(t, "exec", exec("UPDATE stock SET n = n + 1 WHERE id = 1"))
		s.env.Call.Epoch = 5
		ok(t, s.do())
		old := s.again(g, true)
		old.env.Call.Epoch = 3
		settled := old.settle()
		if settled.Verdict != engine.VerdictUnknown {
			t.Errorf("settled as %s: %v", settled.Verdict, settled.Evidence)
		}
		contains(t, strings.Join(settled.Evidence, "\n"), "is of turn 5 of this run, and this journal is at turn 3")
		conn, err := old.env.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := steps.Rememberer(newKind()).Remembers(t.Context(), conn, []engine.Call{old.env.Call}); err == nil || !strings.Contains(err.Error(), "turn 5") {
			t.Errorf("asked whether it remembers, it says %v", err)
		}
	})
}
