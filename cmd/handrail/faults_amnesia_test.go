package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// forgetful adds to a table, and then fails until somebody makes a file.
const forgetful = addPlaybook + "  - {id: after, exec: {argv: [cat, there]}}\n"

// TestTargetThatIsPutBackToYesterdaysDataFolder: what a finished step did is gone with its marker.
func TestTargetThatIsPutBackToYesterdaysDataFolder(t *testing.T) {
	private := servers.PrivateMySQL(t)
	g := newSQLGround(t, private.Settings())
	g.playbook("forgetful", forgetful)
	putBack := private.Yesterday()
	g.handrail("run", "--yes", "forgetful").is(1)
	g.counted(1)
	putBack()
	g.counted(0)
	g.write("there", "")
	g.handrail("resume", g.last()).is(3, "In doubt", "target db does not hold the marker of add any more: it was restored, failed over, or is another server",
		"handrail resolve "+g.last()+" add")
	g.counted(0) // nothing was done again unasked
}

// TestStateFolderThatIsPutBackToYesterdays: the target knows of a later turn of the run than its journal.
func TestStateFolderThatIsPutBackToYesterdays(t *testing.T) {
	g := newSQLGround(t, servers.MySQL(t))
	g.playbook("forgetful", "targets: {db: mysql}\nsteps:\n  - {id: wait, exec: {argv: [cat, here]}}\n"+addPlaybook[len("targets: {db: mysql}\nsteps:\n"):]+
		"  - {id: after, exec: {argv: [cat, there]}}\n")
	g.handrail("run", "--yes", "forgetful").is(1)
	older := filepath.Join(t.TempDir(), "state")
	g.handrail("resume", g.last()).is(1)
	g.handrail("resume", g.last()).is(1)
	if err := os.CopyFS(older, os.DirFS(g.state())); err != nil {
		t.Fatal(err)
	}
	g.write("here", "")
	for range 3 {
		g.handrail("resume", g.last()).is(1) // adds, and fails at the step behind
	}
	g.counted(1)
	if err := os.RemoveAll(g.state()); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(g.state(), os.DirFS(older)); err != nil {
		t.Fatal(err)
	}
	g.write("there", "")
	// The step is not in the older journal; its marker decides, and it is not done again.
	g.handrail("resume", g.last()).is(0)
	g.counted(1)
}
