package journal

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/handrail-dev/handrail/engine"
)

func newKeys(t *testing.T, name string) Keys {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	derived, err := PublicKey(private)
	if err != nil || derived != public {
		t.Fatalf("%s is not %s, %v", derived, public, err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	return Keys{signer, verifier}
}

// signedRun is a run of five lines whose process was killed.
func signedRun(t *testing.T, keys Keys) (*Store, [][]byte) {
	t.Helper()
	s := OpenStore(t.TempDir())
	s.SignWith(keys)
	j := create(t, s)
	appendAll(t, j, started(), intent(1), intent(2), intent(3), intent(4))
	if err := j.file.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(s.Folder(testRun, journalFile))
	if err != nil {
		t.Fatal(err)
	}
	return s, bytes.SplitAfter(b, []byte("\n"))[:5]
}

func audit(t *testing.T, s *Store, keys Keys) (Report, Head, error) {
	t.Helper()
	b, err := s.Head(testRun)
	if err != nil {
		t.Fatal(err)
	}
	h, err := ReadHead(b, keys.Verifier)
	if err != nil {
		return Report{}, h, err
	}
	r, err := s.Read(testRun)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	rep, err := r.VerifyAgainst(testRun, h)
	return rep, h, err
}

// A signed head covers every line that was synced, also those of a process that was killed.
func TestASignedHeadFollowsTheJournal(t *testing.T) {
	keys := newKeys(t, "bastion")
	s, _ := signedRun(t, keys)
	rep, h, err := audit(t, s, keys)
	if err != nil || h.Lines != 5 || h.Hash != rep.Head || !h.Verified {
		t.Fatalf("%+v, %+v, %v", rep, h, err)
	}
	j, err := s.Open(testRun, tester)
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, j, intent(5))
	closeJournal(t, j)
	if _, h, err := audit(t, s, keys); err != nil || h.Lines != 6 {
		t.Fatalf("%+v, %v", h, err)
	}
}

// Lines cut off the end, and a journal that was written anew, are found by audit and refused by a resume:
// a lost intent would have its effect repeated.
func TestATruncatedJournalIsRefused(t *testing.T) {
	keys := newKeys(t, "bastion")
	for lines := 1; lines < 5; lines++ {
		s, all := signedRun(t, keys)
		if err := os.WriteFile(s.Folder(testRun, journalFile), bytes.Join(all[:lines], nil), 0o600); err != nil {
			t.Fatal(err)
		}
		var fault *Fault
		if _, _, err := audit(t, s, keys); !errors.As(err, &fault) || !strings.Contains(err.Error(), "lines were cut off its end") {
			t.Fatalf("%d lines: audit says %v", lines, err)
		}
		s.SignWith(Keys{}) // a resume needs no key to see that
		if _, err := s.Open(testRun, tester); !errors.As(err, &fault) || !strings.Contains(err.Error(), "it had 5 lines, and it has") {
			t.Fatalf("%d lines: opened with %v", lines, err)
		}
	}
}

func TestAJournalThatWasWrittenAnewIsRefused(t *testing.T) {
	keys := newKeys(t, "bastion")
	s, _ := signedRun(t, keys)
	other := OpenStore(t.TempDir())
	j := create(t, other)
	appendAll(t, j, started(), intent(1), intent(2), intent(3), intent(9), intent(10))
	closeJournal(t, j)
	b, err := os.ReadFile(other.Folder(testRun, journalFile))
	if err == nil {
		err = os.WriteFile(s.Folder(testRun, journalFile), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := audit(t, s, keys); err == nil || !strings.Contains(err.Error(), "line 5 is not the one that was signed") {
		t.Fatal(err)
	}
	if _, err := s.Open(testRun, tester); err == nil {
		t.Fatal("it was opened")
	}
}

func TestAHeadSignedByAnotherKeyIsRefused(t *testing.T) {
	keys := newKeys(t, "bastion")
	s, _ := signedRun(t, newKeys(t, "bastion"))
	if _, _, err := audit(t, s, keys); err == nil || !strings.Contains(err.Error(), "it is signed by bastion+") {
		t.Fatal(err)
	}
	s.SignWith(keys)
	if _, err := s.Open(testRun, tester); err == nil || !strings.Contains(err.Error(), "it is signed by bastion+") {
		t.Fatal(err)
	}
	h := Head{Run: testRun, Lines: 5, Hash: strings.Repeat("0", 64)}
	b, err := s.Head(testRun)
	if err != nil {
		t.Fatal(err)
	}
	forged := h.text() + string(b[bytes.Index(b, []byte("\n\n"))+1:])
	if _, err := ReadHead([]byte(forged), keys.Verifier); err == nil {
		t.Fatal("a forged head was believed")
	}
}

// A power failure leaves a head that is true, or the one before it; never one that speaks of lines that
// are lost.
func TestASignedHeadSurvivesAPowerFailure(t *testing.T) {
	keys := newKeys(t, "bastion")
	for at := 1; at < 60; at++ {
		d := newMemDisk()
		s := StoreOn(d)
		s.SignWith(keys)
		j := create(t, s)
		n := 0
		var found *memDisk
		d.fail = func(string) error {
			if n++; n == at {
				found = d.crash(1 << 20 * (at % 2))
			}
			return nil
		}
		for i := range 4 {
			if err := j.Append([]engine.Stamped{intent(i)}, i%2 == 0); err != nil {
				t.Fatal(err)
			}
		}
		if found == nil {
			if at < 15 {
				t.Fatalf("only %d operations", n)
			}
			return
		}
		after := StoreOn(found)
		after.SignWith(keys)
		j, err := after.Open(testRun, tester)
		if err != nil {
			t.Fatalf("operation %d: %v", at, err)
		}
		closeJournal(t, j)
	}
}

// A head that cannot be written ends the run as a line that cannot be written does.
func TestAHeadThatCannotBeWrittenEndsTheJournal(t *testing.T) {
	d := newMemDisk()
	s := StoreOn(d)
	s.SignWith(newKeys(t, "bastion"))
	j := create(t, s)
	appendAll(t, j, started())
	for _, op := range []string{"open", "write", "sync", "rename"} {
		d.fail = func(what string) error {
			if strings.HasPrefix(what, op) && strings.Contains(what, headFile) {
				return errDisk
			}
			return nil
		}
		var fault *Fault
		if err := j.Append([]engine.Stamped{intent(1)}, true); !errors.As(err, &fault) || !errors.Is(err, errDisk) {
			t.Fatalf("%s: %v", op, err)
		}
		d.fail = nil
		_ = j.Close()
		var err error
		if j, err = s.Open(testRun, tester); err != nil {
			t.Fatal(err)
		}
	}
}
