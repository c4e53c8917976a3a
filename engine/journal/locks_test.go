package journal

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// refusal is what somebody else is told who wants the lock x.
func refusal(t *testing.T, l *Locks) *LockedError {
	t.Helper()
	var locked *LockedError
	if err := l.Take(context.Background(), []string{"x"}, holder("two")); !errors.As(err, &locked) {
		t.Fatalf("error %v", err)
	}
	return locked
}

// What is said of a lock is what can be done now: nobody is told to resume a run that is alive.
func TestALockSaysHowItStandsWithItsRun(t *testing.T) {
	ctx := context.Background()
	s := OpenStore(t.TempDir())
	j := create(t, s)
	l := NewLocks(lockFolders(t), RunStanding)
	if err := l.Take(ctx, []string{"x"}, HolderOf(testRun, "p", s.Path(), tester, noon)); err != nil {
		t.Fatal(err)
	}
	appendAll(t, j, started())
	says := func(standing Standing, wants string, not ...string) {
		t.Helper()
		e := refusal(t, l)
		if e.Standing != standing || !strings.Contains(e.Error(), wants) || !strings.Contains(e.Error(), "process 42 of ops@bastion") {
			t.Errorf("standing %d: %s", e.Standing, e)
		}
		for _, word := range not {
			if strings.Contains(e.Error(), word) {
				t.Errorf("%s is offered: %s", word, e)
			}
		}
	}
	says(StandingAlive, "handrail show "+testRun+" --follow", "resume", "unlock")
	closeJournal(t, j)
	says(StandingIdle, "handrail resume "+testRun, "--follow", "unlock")
	if err := os.RemoveAll(s.Folder(testRun)); err != nil {
		t.Fatal(err)
	}
	says(StandingGone, "handrail unlock "+testRun, "resume")
	if err := os.RemoveAll(s.Path()); err != nil {
		t.Fatal(err)
	}
	says(StandingGone, "handrail unlock "+testRun, "resume")
}

// Who drives the run now is said, not who took the lock first.
func TestALockNamesWhoDrivesItsRunNow(t *testing.T) {
	l := NewLocks(lockFolders(t), nil)
	h := holder("one")
	for _, pid := range []int{42, 77} {
		h.PID = pid
		if err := l.Take(context.Background(), []string{"x", "x", "y"}, h); err != nil {
			t.Fatal(err)
		}
		if e := refusal(t, l); e.PID != pid {
			t.Errorf("it names process %d", e.PID)
		}
	}
}

// A refusal takes nothing from a run that it had before.
func TestARefusedRunKeepsTheLocksThatItHad(t *testing.T) {
	ctx := context.Background()
	folders := lockFolders(t)
	all, second := NewLocks(folders, nil), NewLocks(folders[1:], nil)
	if err := all.Take(ctx, []string{"x"}, holder("one")); err != nil {
		t.Fatal(err)
	}
	if err := second.Take(ctx, []string{"y"}, holder("two")); err != nil {
		t.Fatal(err)
	}
	var locked *LockedError
	if err := all.Take(ctx, []string{"x", "y"}, holder("one")); !errors.As(err, &locked) || locked.Lock != "y" {
		t.Fatal(err)
	}
	for _, l := range []*Locks{NewLocks(folders[:1], nil), second} {
		if e := refusal(t, l); e.Run != "one" {
			t.Errorf("the lock belongs to %s", e.Run)
		}
	}
}

// A lock that may not outlive a power failure is none.
func TestALockWhoseFolderCannotBeSyncedIsNotTaken(t *testing.T) {
	folders := lockFolders(t)
	synced := 0
	l := NewLocks(folders, nil)
	l.sync = func(File) error { synced++; return nil }
	if err := l.Take(context.Background(), []string{"x"}, holder("one")); err != nil || synced != len(folders) {
		t.Fatalf("%d folders were synced, %v", synced, err)
	}
	l.sync = func(File) error { return errDisk }
	if err := l.Take(context.Background(), []string{"y"}, holder("one")); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	if err := NewLocks(folders, nil).Take(context.Background(), []string{"y"}, holder("two")); err != nil {
		t.Fatalf("it stayed behind: %v", err)
	}
}

func TestUnlockFreesOnlyWhatNobodyDrives(t *testing.T) {
	ctx := context.Background()
	s := OpenStore(t.TempDir())
	j := create(t, s)
	appendAll(t, j, started())
	l := NewLocks(lockFolders(t), RunStanding)
	if err := l.Take(ctx, []string{"x", "y"}, HolderOf(testRun, "p", s.Path(), tester, noon)); err != nil {
		t.Fatal(err)
	}
	var owned *OwnedError
	if _, err := l.Unlock(ctx, testRun, tester.Host); !errors.As(err, &owned) {
		t.Fatalf("while it is alive: %v", err)
	}
	closeJournal(t, j)
	if _, err := l.Unlock(ctx, testRun, "elsewhere"); err == nil || !strings.Contains(err.Error(), "type it there") {
		t.Fatalf("on another host: %v", err)
	}
	if freed, err := l.Unlock(ctx, "20261121-101512-zzzz", tester.Host); err != nil || len(freed) > 0 {
		t.Fatalf("of another run: %v, %v", freed, err)
	}
	_ = refusal(t, l)
	if freed, err := l.Unlock(ctx, testRun, tester.Host); err != nil || len(freed) != 4 {
		t.Fatalf("freed %v, %v", freed, err)
	}
	if err := l.Take(ctx, []string{"x", "y"}, holder("two")); err != nil {
		t.Fatal(err)
	}
	j, err := s.Open(testRun, tester) // nothing of it is held any more
	if err != nil {
		t.Fatal(err)
	}
	closeJournal(t, j)
}

// A lock of a run whose state folder this user may not look into stays.
func TestUnlockOfAnotherUsersRunIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("without the right to give a folder away, / is another user's")
	}
	state := "/"
	if os.Geteuid() == 0 {
		state = filepath.Join(t.TempDir(), "state")
		if err := os.MkdirAll(filepath.Join(state, "runs", testRun), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(state, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	l := NewLocks(lockFolders(t), RunStanding)
	if err := l.Take(context.Background(), []string{"x"}, HolderOf(testRun, "p", state, tester, noon)); err != nil {
		t.Fatal(err)
	}
	if e := refusal(t, l); e.Standing != StandingUnknown || !strings.Contains(e.Error(), "only its user can tell") {
		t.Fatal(e)
	}
	if _, err := l.Unlock(context.Background(), testRun, tester.Host); err == nil || !strings.Contains(err.Error(), "cannot be told") {
		t.Fatal(err)
	}
}
