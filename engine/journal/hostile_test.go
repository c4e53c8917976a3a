package journal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
)

// What is not the id of a run leads nowhere, and neither does a link out of the state folder.
func TestIDsAndLinksDoNotLeadOutOfTheStateFolder(t *testing.T) {
	dir := t.TempDir()
	s := OpenStore(filepath.Join(dir, "state"))
	closeJournal(t, create(t, s))
	outside := filepath.Join(dir, "outside")
	if err := os.MkdirAll(filepath.Join(outside, "inbox"), 0o700); err != nil {
		t.Fatal(err)
	}
	const linked = "20261121-101512-aaaa"
	if err := os.Symlink(outside, s.Folder(linked)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{journalFile, playbookFile, inputsFile, originFile, headFile} {
		if err := os.WriteFile(filepath.Join(outside, name), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"../../outside", "..", ".", "", "/etc", "20261121-101512-k3f9/..", "20261121-101512-k3f9\x00", "20261121-101512-K3F9", linked} {
		if _, err := s.Create(id, tester, pinned); err == nil {
			t.Errorf("a run was made as %q", id)
		}
		if _, err := s.Open(id, tester); err == nil {
			t.Errorf("the journal of %q was opened", id)
		}
		if _, err := s.Read(id); err == nil {
			t.Errorf("the journal of %q was read", id)
		}
		if _, err := s.Pinned(id, "", nil); err == nil {
			t.Errorf("the copies of %q were read", id)
		}
		if _, err := s.Head(id); err == nil {
			t.Errorf("the head of %q was read", id)
		}
		if _, err := s.Put(id, Request{Ask: AskCancel, By: tester, At: noon}); err == nil {
			t.Errorf("a request was put to %q", id)
		}
		if got, err := s.Resolve(id); got != linked && !errors.Is(err, ErrNoRun) {
			t.Errorf("%q means %s, %v", id, got, err)
		}
	}
	if _, err := s.Pinned(testRun, "", map[string]string{"x/../../../outside/nested": engine.Digest("x")}); err == nil || !strings.Contains(err.Error(), "cannot be the name of a playbook") {
		t.Errorf("a copy outside of the run was looked for: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(outside, "inbox")); err != nil || len(left) > 0 {
		t.Errorf("outside there is now %v, %v", left, err)
	}
}
