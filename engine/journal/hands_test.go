package journal

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

func TestTheInboxKeepsTheOrder(t *testing.T) {
	s := OpenStore(t.TempDir())
	j := create(t, s)
	defer closeJournal(t, j)
	var want []Request
	for i, ask := range []Ask{AskApprove, AskResolve, AskCancel} {
		r, err := s.Put(testRun, Request{Ask: ask, Step: "a", As: engine.ResolvedSkip, Because: "b", By: tester, At: noon.Add(time.Duration(i))})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, r)
	}
	if err := os.WriteFile(s.Folder(testRun, "inbox", "00-rubbish.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := s.Requests(testRun)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := os.Stat(s.Folder(testRun, "inbox", "00-rubbish.json.bad")); err != nil {
		t.Fatal(err)
	}
	if done, _, err := s.Answered(testRun, want[0]); done || err != nil {
		t.Fatalf("answered %v, %v", done, err)
	}
	if err := errors.Join(s.Remove(testRun, want[0], ""), s.Remove(testRun, want[1], "no such step")); err != nil {
		t.Fatal(err)
	}
	if done, refused, err := s.Answered(testRun, want[0]); !done || refused != "" || err != nil {
		t.Fatalf("answered %v, %q, %v", done, refused, err)
	}
	if done, refused, err := s.Answered(testRun, want[1]); !done || refused != "no such step" || err != nil {
		t.Fatalf("answered %v, %q, %v", done, refused, err)
	}
}

func TestTheWatcherSendsEachRequestOnce(t *testing.T) {
	s := OpenStore(t.TempDir())
	j := create(t, s)
	defer closeJournal(t, j)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	came := s.Watch(ctx, testRun, time.Millisecond, func(err error) { t.Error(err) })
	for i := range 3 {
		put, err := s.Put(testRun, Request{Ask: AskCancel, By: tester, At: noon.Add(time.Duration(i))})
		if err != nil {
			t.Fatal(err)
		}
		if got := <-came; got.Name != put.Name {
			t.Fatalf("came %s, not %s", got.Name, put.Name)
		}
	}
	cancel()
	for r := range came {
		t.Fatalf("came again: %s", r.Name)
	}
}

func TestARequestKnowsItsEvent(t *testing.T) {
	r := Request{Ask: AskResolve, Step: "a", As: engine.ResolvedNotDone, By: tester, At: noon}
	event := func(at time.Time, by engine.Person) engine.Stamped {
		return engine.Stamped{At: at, Event: engine.StepResolved{Step: "a", As: engine.ResolvedNotDone, By: by}}
	}
	if !r.Recorded(event(noon.Add(time.Second), tester)) {
		t.Error("its own event")
	}
	if r.Recorded(event(noon.Add(-time.Second), tester)) {
		t.Error("an event from before it was asked")
	}
	if r.Recorded(event(noon.Add(time.Second), engine.Person{User: "ops", Host: "bastion", PID: 43})) {
		t.Error("the event of another request")
	}
}

// TestARequestKnowsItsEventWhateverTheClockSays: the clock was set back between the request and its event, and the owner died
// before it could take the request away. Taken up again, an old word would be said of a later attempt.
func TestARequestKnowsItsEventWhateverTheClockSays(t *testing.T) {
	for _, r := range []Request{
		{Ask: AskResolve, Step: "a", As: engine.ResolvedNotDone, By: tester, At: noon, Name: "1.json"},
		{Ask: AskApprove, Step: "a", By: tester, At: noon, Name: "1.json"},
		{Ask: AskReject, Step: "a", By: tester, At: noon, Name: "1.json"},
		{Ask: AskCancel, By: tester, At: noon, Name: "1.json"},
	} {
		var e engine.Event
		switch r.Ask {
		case AskResolve:
			e = engine.StepResolved{Step: "a", As: engine.ResolvedNotDone, By: tester}
		case AskApprove:
			e = engine.ApprovalGiven{Step: "a", By: tester}
		case AskReject:
			e = engine.ApprovalRefused{Step: "a", By: tester}
		case AskCancel:
			e = engine.CancelAsked{By: tester}
		}
		for _, at := range []time.Time{noon.Add(-time.Hour), noon.Add(time.Hour)} {
			b, err := engine.MarshalEvent(engine.Stamped{At: at, Event: r.From(e)})
			if err != nil {
				t.Fatal(err)
			}
			s, err := engine.UnmarshalEvent(b)
			if err != nil {
				t.Fatal(err)
			}
			if !r.Recorded(s) {
				t.Errorf("%s: its own event at %s", r.Ask, at)
			}
			same := r
			same.Name = "2.json"
			if same.Recorded(s) {
				t.Errorf("%s: the event of another request by the same hand", r.Ask)
			}
		}
	}
}

func lockFolders(t *testing.T) []LockFolder {
	dir := t.TempDir()
	return []LockFolder{{Path: filepath.Join(dir, "shared"), Shared: true}, {Path: filepath.Join(dir, "own")}}
}

func holder(run string) Holder {
	return HolderOf(run, "p", "/var/lib/handrail", tester, noon)
}

func TestALockBelongsToOneRun(t *testing.T) {
	ctx := context.Background()
	l := NewLocks(lockFolders(t), nil)
	if err := l.Take(ctx, []string{"numbering", "a/b ../c"}, holder("one")); err != nil {
		t.Fatal(err)
	}
	if err := l.Take(ctx, []string{"numbering"}, holder("one")); err != nil {
		t.Fatalf("the same run again: %v", err)
	}
	err := l.Take(ctx, []string{"free", "numbering"}, holder("two"))
	var locked *LockedError
	if !errors.As(err, &locked) || locked.Run != "one" || locked.Lock != "numbering" || locked.Holder.PID != tester.PID {
		t.Fatalf("error %v", err)
	}
	if err := l.Take(ctx, []string{"free"}, holder("three")); err != nil {
		t.Fatalf("a lock stayed behind after a refusal: %v", err)
	}
	if err := l.Release(ctx, "one", "/var/lib/handrail"); err != nil {
		t.Fatal(err)
	}
	if err := l.Take(ctx, []string{"numbering", "a/b ../c"}, holder("two")); err != nil {
		t.Fatalf("after the release: %v", err)
	}
}

func TestALockOutlivesTheSharedFolder(t *testing.T) {
	ctx := context.Background()
	folders := lockFolders(t)
	l := NewLocks(folders, nil)
	if err := l.Take(ctx, []string{"x"}, holder("one")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(folders[0].Path); err != nil { // as a reboot does
		t.Fatal(err)
	}
	var locked *LockedError
	if err := l.Take(ctx, []string{"x"}, holder("two")); !errors.As(err, &locked) {
		t.Fatalf("error %v", err)
	}
	if left, err := os.ReadDir(folders[0].Path); err != nil || len(left) > 0 {
		t.Fatalf("the refused run left %v, %v", left, err)
	}
}

func TestALockLeftOverByAFinishedRunIsTaken(t *testing.T) {
	ctx := context.Background()
	s := OpenStore(t.TempDir())
	j := create(t, s)
	l := NewLocks(lockFolders(t), RunStanding)
	mine := HolderOf(testRun, "p", s.Path(), tester, noon)
	if err := l.Take(ctx, []string{"x"}, mine); err != nil {
		t.Fatal(err)
	}
	var locked *LockedError
	refused := func(when string) {
		t.Helper()
		if err := l.Take(ctx, []string{"x"}, holder("two")); !errors.As(err, &locked) {
			t.Fatalf("%s: %v", when, err)
		}
	}
	refused("before the first event")
	appendAll(t, j, started(), intent(1))
	refused("while it runs")
	closeJournal(t, j)
	refused("after it was killed")
	j, err := s.Open(testRun, tester)
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, j, engine.Stamped{At: noon, Event: engine.RunFinished{State: engine.RunFailed}})
	refused("while somebody has the finished run in hand")
	closeJournal(t, j)
	if err := l.Take(ctx, []string{"x"}, holder("two")); err != nil {
		t.Fatal(err)
	}
}

func TestSharedLocksAreSafeAgainstLinks(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	folder := LockFolder{Path: filepath.Join(dir, "locks"), Shared: true}
	if err := folder.make(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(folder.Path)
	if err != nil || info.Mode() != fs.ModeDir|fs.ModeSticky|0o777 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	l := NewLocks([]LockFolder{folder}, nil)
	for _, target := range []string{victim, filepath.Join(dir, "nowhere")} {
		link := filepath.Join(folder.Path, "x.lock")
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		if err := l.Take(ctx, []string{"x"}, holder("one")); err == nil {
			t.Fatalf("a link to %s was taken for a lock", target)
		}
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(victim); err != nil || string(b) != "precious" {
		t.Fatalf("%q, %v", b, err)
	}
	link := LockFolder{Path: filepath.Join(dir, "link"), Shared: true}
	if err := os.Symlink(folder.Path, link.Path); err != nil {
		t.Fatal(err)
	}
	if err := NewLocks([]LockFolder{link}, nil).Take(ctx, []string{"x"}, holder("one")); err == nil {
		t.Fatal("a link was taken for the folder")
	}
}
