package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

const testRun = "20261121-101512-k3f9"

var (
	noon   = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	tester = engine.Person{User: "ops", Host: "bastion", PID: 42}
	pinned = Pinned{
		Playbook: []byte("playbook: p\n"), Environment: []byte("targets: {}\n"),
		Inputs: engine.Record{"type": "COR", "key": engine.NewSecret("key", "hunter2")},
		Origin: Origin{Playbook: "/srv/p.yaml", Environment: "staging", Dir: "/srv"},
	}
)

func started() engine.Stamped {
	return engine.Stamped{At: noon, Event: engine.RunStarted{
		Run: testRun, Playbook: "p", Inputs: engine.Typed{V: pinned.Inputs}, Started: noon, By: tester, Version: "test"}}
}

func intent(i int) engine.Stamped {
	return engine.Stamped{At: noon.Add(time.Duration(i) * time.Second), Event: engine.StepIntended{
		Step: fmt.Sprintf("s%d", i), Attempt: 1, Token: fmt.Sprintf("%s/s%d", testRun, i), Class: engine.ClassIdempotent, Digest: "d"}}
}

func create(t *testing.T, s *Store) *Journal {
	t.Helper()
	j, err := s.Create(testRun, tester, pinned)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func appendAll(t *testing.T, j *Journal, events ...engine.Stamped) {
	t.Helper()
	for _, e := range events {
		if err := j.Append([]engine.Stamped{e}, true); err != nil {
			t.Fatal(err)
		}
	}
}

func closeJournal(t *testing.T, j *Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// steps are the names of the steps whose intent is there.
func steps(t *testing.T, replay func(func(engine.Stamped) error) error) []string {
	t.Helper()
	var out []string
	if err := replay(func(e engine.Stamped) error {
		if step := engine.EventStep(e.Event); step != "" {
			out = append(out, step)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWhatWasAppendedIsReplayed(t *testing.T) {
	s := OpenStore(t.TempDir())
	j := create(t, s)
	appendAll(t, j, started(), intent(1))
	if err := j.Append([]engine.Stamped{intent(2), intent(3)}, false); err != nil {
		t.Fatal(err)
	}
	closeJournal(t, j)
	again, err := s.Open(testRun, tester)
	if err != nil {
		t.Fatal(err)
	}
	defer closeJournal(t, again)
	if got := steps(t, again.Replay); !reflect.DeepEqual(got, []string{"s1", "s2", "s3"}) {
		t.Fatalf("steps %v", got)
	}
	if again.Repaired() != nil || again.Lines() != 3 {
		t.Fatalf("repaired %v, lines %d", again.Repaired(), again.Lines())
	}
}

func TestSecretsAreNotPinned(t *testing.T) {
	s := OpenStore(t.TempDir())
	closeJournal(t, create(t, s))
	b, err := os.ReadFile(s.Folder(testRun, "inputs.json"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "hunter2") {
		t.Fatalf("the secret is in %s", b)
	}
	p, err := s.Pinned(testRun, engine.Digest(string(pinned.Playbook)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if string(p.Playbook) != string(pinned.Playbook) || string(p.Environment) != string(pinned.Environment) ||
		p.Inputs["type"] != "COR" || !reflect.DeepEqual(p.Origin, pinned.Origin) {
		t.Fatalf("pinned %+v", p)
	}
}

func TestAChangedPinnedCopyIsRefused(t *testing.T) {
	s := OpenStore(t.TempDir())
	closeJournal(t, create(t, s))
	if err := os.WriteFile(s.Folder(testRun, "playbook.yaml"), []byte("playbook: other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := s.Pinned(testRun, engine.Digest(string(pinned.Playbook)), nil)
	var fault *Fault
	if !errors.As(err, &fault) {
		t.Fatalf("error %v", err)
	}
}

func TestAnAdoptedPlaybookIsFoundByItsDigest(t *testing.T) {
	s := OpenStore(t.TempDir())
	j := create(t, s)
	corrected := []byte("playbook: p # corrected\n")
	for range 2 { // a process may die between the copy and the event
		if err := j.Adopt(corrected, nil); err != nil {
			t.Fatal(err)
		}
	}
	closeJournal(t, j)
	p, err := s.Pinned(testRun, engine.Digest(string(corrected)), nil)
	if err != nil || string(p.Playbook) != string(corrected) {
		t.Fatalf("%q, %v", p.Playbook, err)
	}
}

func TestNestedPlaybooksArePinnedAndAdopted(t *testing.T) {
	s := OpenStore(t.TempDir())
	first := NestedFile{Name: "low", File: "/srv/low.yaml", Text: []byte("playbook: low\n")}
	p := pinned
	p.Nested = []NestedFile{first}
	j, err := s.Create(testRun, tester, p)
	if err != nil {
		t.Fatal(err)
	}
	second := NestedFile{Name: "low", File: "/srv/low.yaml", Text: []byte("playbook: low # corrected\n")}
	for range 2 { // a process may die between the copies and the event
		if err := j.Adopt(pinned.Playbook, []NestedFile{second}); err != nil {
			t.Fatal(err)
		}
	}
	closeJournal(t, j)
	for _, want := range []NestedFile{first, second} {
		got, err := s.Pinned(testRun, engine.Digest(string(pinned.Playbook)), map[string]string{"low": engine.Digest(string(want.Text))})
		if err != nil || !reflect.DeepEqual(got.Nested, []NestedFile{want}) {
			t.Errorf("%+v, %v", got.Nested, err)
		}
	}
	changed, err := filepath.Glob(s.Folder(testRun, "nested.low.*"))
	if err != nil || len(changed) != 2 {
		t.Fatalf("%v, %v", changed, err)
	}
	if err := os.WriteFile(changed[0], []byte("playbook: other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(changed[1], []byte("playbook: other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var fault *Fault
	if _, err := s.Pinned(testRun, "", map[string]string{"low": engine.Digest(string(first.Text))}); !errors.As(err, &fault) {
		t.Errorf("a changed copy: %v", err)
	}
	if _, err := s.Pinned(testRun, "", map[string]string{"low": engine.Digest("never there")}); !errors.As(err, &fault) {
		t.Errorf("a missing copy: %v", err)
	}
}

func TestADiscardedRunLeavesNothingOfItsPlaybooks(t *testing.T) {
	s := OpenStore(t.TempDir())
	p := pinned
	p.Nested = []NestedFile{{Name: "low", Text: []byte("playbook: low\n")}}
	j, err := s.Create(testRun, tester, p)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Discard(j); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.Folder(testRun)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
}

func TestModesHoldUnderAnyUmask(t *testing.T) {
	for _, mask := range []int{0, 0o022, 0o077, 0o777} {
		dir := filepath.Join(t.TempDir(), "a", "state")
		old := syscall.Umask(mask)
		s := OpenStore(dir)
		j, err := s.Create(testRun, tester, pinned)
		syscall.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		closeJournal(t, j)
		if err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			info, statErr := os.Lstat(p)
			want := fs.FileMode(0o600)
			if d.IsDir() {
				want = 0o700
			}
			if err == nil && statErr == nil && info.Mode().Perm() != want {
				t.Errorf("umask %03o: %s has mode %o", mask, p, info.Mode().Perm())
			}
			return errors.Join(err, statErr)
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheStateFolderOfAnotherUserIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		// Without rights to give a folder away, / itself is another user's.
		if _, err := OpenStore("/").Create(testRun, tester, pinned); err == nil || !strings.Contains(err.Error(), "belongs to user 0") {
			t.Fatalf("error %v", err)
		}
		return
	}
	dir := t.TempDir()
	if err := os.Chown(dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	_, err := OpenStore(dir).Create(testRun, tester, pinned)
	var fault *Fault
	if !errors.As(err, &fault) || !strings.Contains(err.Error(), "belongs to user 65534") {
		t.Fatalf("error %v", err)
	}
}

func TestAJournalHasOneOwner(t *testing.T) {
	s := OpenStore(t.TempDir())
	j := create(t, s)
	appendAll(t, j, started())
	_, err := OpenStore(s.Path()).Open(testRun, engine.Person{User: "other", PID: 7})
	var owned *OwnedError
	if !errors.As(err, &owned) || owned.Owner != tester {
		t.Fatalf("error %v", err)
	}
	if alive, err := s.Alive(testRun); err != nil || !alive {
		t.Fatalf("alive %v, %v", alive, err)
	}
	r, err := s.Read(testRun) // reading needs no lock
	if err != nil {
		t.Fatal(err)
	}
	if rep, err := r.Verify(); err != nil || rep.Lines != 1 || rep.Events != 1 {
		t.Fatalf("%+v, %v", rep, err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	closeJournal(t, j)
	j, err = s.Open(testRun, tester)
	if err != nil {
		t.Fatal(err)
	}
	closeJournal(t, j)
}

// TestAClosedJournalIsFreeAlthoughAChildHasItStill: until a child that is being started is another program it has a copy of each
// descriptor, and so of each lock.
func TestAClosedJournalIsFreeAlthoughAChildHasItStill(t *testing.T) {
	s := OpenStore(t.TempDir())
	j := create(t, s)
	raw, err := j.file.(osFile).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		inherited, err := syscall.Dup(int(fd))
		if err != nil {
			t.Error(err)
		}
		t.Cleanup(func() { _ = syscall.Close(inherited) })
	}); err != nil {
		t.Fatal(err)
	}
	closeJournal(t, j)
	if alive, err := s.Alive(testRun); err != nil || alive {
		t.Errorf("alive %v, %v", alive, err)
	}
	if j, err = s.Open(testRun, tester); err != nil {
		t.Fatal(err)
	}
	closeJournal(t, j)
}

func TestAReaderGoesOnWhereItWas(t *testing.T) {
	s := OpenStore(t.TempDir())
	j := create(t, s)
	defer closeJournal(t, j)
	appendAll(t, j, started(), intent(1))
	r, err := s.Read(testRun)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if got := steps(t, r.Replay); !reflect.DeepEqual(got, []string{"s1"}) {
		t.Fatalf("first %v", got)
	}
	appendAll(t, j, intent(2))
	if got := steps(t, r.Replay); !reflect.DeepEqual(got, []string{"s2"}) {
		t.Fatalf("then %v", got)
	}
}

// damage changes the journal file of a closed run and opens it.
func damage(t *testing.T, change func([]byte) []byte) (*Store, *Journal, error) {
	t.Helper()
	s := OpenStore(t.TempDir())
	j := create(t, s)
	appendAll(t, j, started(), intent(1), intent(2))
	closeJournal(t, j)
	file := s.Folder(testRun, "journal.jsonl")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
	j, err = s.Open(testRun, tester)
	return s, j, err
}

func TestDamageIsRefusedWithItsPlace(t *testing.T) {
	lines := func(b []byte) []string { return strings.SplitAfter(string(b), "\n") }
	cases := []struct {
		name   string
		change func([]byte) []byte
		want   string
	}{
		{"a letter of the second line", func(b []byte) []byte { return []byte(strings.Replace(string(b), `"s1"`, `"sX"`, 1)) }, "line 2: the line does not match its hash"},
		{"a letter of the last line", func(b []byte) []byte { return []byte(strings.Replace(string(b), `"s2"`, `"sX"`, 1)) }, "line 3: the line does not match its hash"},
		{"a line gone", func(b []byte) []byte { l := lines(b); return []byte(l[0] + l[2]) }, "line 2: "},
		{"two lines exchanged", func(b []byte) []byte { l := lines(b); return []byte(l[0] + l[2] + l[1]) }, "line 2: "},
		{"the first line gone", func(b []byte) []byte { l := lines(b); return []byte(l[1] + l[2]) }, "line 1: the first line names no format"},
		{"half a line with a good one behind it", func(b []byte) []byte { l := lines(b); return []byte(l[0] + l[1][:20] + "\n" + l[2]) }, "line 2: this is not a line of a journal"},
		{"zeros with a good line behind them", func(b []byte) []byte {
			l := lines(b)
			return []byte(l[0] + strings.Repeat("\x00", len(l[1])-1) + "\n" + l[2])
		}, "line 2: the line is damaged, and there are good lines behind it"},
		{"a whole last line that is none", func(b []byte) []byte { return append(b, "{}\n"...) }, "line 4: this is not a line of a journal"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, _, err := damage(t, c.change)
			var fault *Fault
			if !errors.As(err, &fault) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v", err)
			}
			if left, _ := filepath.Glob(s.Folder(testRun, "*.broken")); len(left) > 0 {
				t.Fatalf("something was cut off: %v", left)
			}
		})
	}
}

func TestATornEndIsKeptAsideAndCutOff(t *testing.T) {
	ends := map[string]string{
		"half a line":               `{"n":4,"records":[{"at":"2026`,
		"room that was not filled":  "\x00\x00\x00\x00\x00\x00",
		"a line with a hole":        "{\"n\":4,\"reco\x00\x00\x00\x00\",\"h\":\"\"}\n",
		"a whole line, no newline":  `{"n":4,"records":[],"h":"0000000000000000000000000000000000000000000000000000000000000000"}`,
		"two torn lines with holes": "{\"n\":4\x00\x00\n{\"n\":5,\x00",
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			s, j, err := damage(t, func(b []byte) []byte { return append(b, end...) })
			if err != nil {
				t.Fatal(err)
			}
			if got := steps(t, j.Replay); !reflect.DeepEqual(got, []string{"s1", "s2"}) {
				t.Fatalf("steps %v", got)
			}
			rep := j.Repaired()
			if rep == nil || rep.Bytes != len(end) || rep.Kept != "journal.jsonl.1.broken" {
				t.Fatalf("repaired %+v", rep)
			}
			if kept, err := os.ReadFile(s.Folder(testRun, rep.Kept)); err != nil || string(kept) != end {
				t.Fatalf("kept %q, %v", kept, err)
			}
			appendAll(t, j, engine.Stamped{At: noon, Event: *rep}, intent(3))
			closeJournal(t, j)
			j, err = s.Open(testRun, tester)
			if err != nil || j.Repaired() != nil {
				t.Fatalf("after the repair: %v, %v", j.Repaired(), err)
			}
			if got := steps(t, j.Replay); !reflect.DeepEqual(got, []string{"s1", "s2", "s3"}) {
				t.Fatalf("steps %v", got)
			}
			closeJournal(t, j)
		})
	}
}

func TestTheShellScriptAgrees(t *testing.T) {
	s := OpenStore(t.TempDir())
	j := create(t, s)
	appendAll(t, j, started(), engine.Stamped{At: noon, Event: engine.StepSkipped{Step: "a", Why: "back\\slash, %s and \"quotes\" – äöü ,\"h\":\"x\"}"}})
	closeJournal(t, j)
	file := s.Folder(testRun, "journal.jsonl")
	r, err := s.Read(testRun)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := r.Verify()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("sh", "../../docs/verify-journal.sh", file).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "2 lines, the chain holds, head "+rep.Head {
		t.Fatalf("%s, %v; want head %s", out, err, rep.Head)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{"changed": strings.Replace(string(b), "slash", "flash", 1), "torn": string(b[:len(b)-9])} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("sh", "../../docs/verify-journal.sh", file).CombinedOutput(); err == nil {
			t.Errorf("%s: the script says %s", name, out)
		}
	}
}

func TestRunsAreFoundByWhatAPersonTypes(t *testing.T) {
	s := OpenStore(t.TempDir())
	ids := []string{"20261121-101512-k3f9", "20261121-101513-abcd", "20261122-080000-zzzz"}
	for _, id := range ids {
		j, err := s.Create(id, tester, pinned)
		if err != nil {
			t.Fatal(err)
		}
		closeJournal(t, j)
	}
	if got, err := s.List(); err != nil || !reflect.DeepEqual(got, []string{ids[2], ids[1], ids[0]}) {
		t.Fatalf("list %v, %v", got, err)
	}
	for typed, want := range map[string]string{ids[0]: ids[0], "20261122": ids[2], "k3f9": ids[0], "20261121": "", "nope": "", "": "", "../..": ""} {
		got, err := s.Resolve(typed)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %s, %v", typed, got, err)
		}
		if err != nil && !errors.Is(err, ErrNoRun) {
			t.Errorf("%q: %v is not ErrNoRun", typed, err)
		}
	}
}

func TestAnIDIsTakenOnce(t *testing.T) {
	s := OpenStore(t.TempDir())
	closeJournal(t, create(t, s))
	if _, err := s.Create(testRun, tester, pinned); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("error %v", err)
	}
	if id := NewID(noon, [4]byte{0, 1, 255, 30}); !ValidID(id) || !strings.HasPrefix(id, "20261121-120000-") {
		t.Fatalf("id %s", id)
	}
}

func TestARunThatNeverBeganCanBeDiscarded(t *testing.T) {
	s := OpenStore(t.TempDir())
	j := create(t, s)
	if err := s.Discard(j); err != nil {
		t.Fatal(err)
	}
	if ids, err := s.List(); err != nil || len(ids) != 0 {
		t.Fatalf("%v, %v", ids, err)
	}
}

func TestReadingMakesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := OpenStore(dir)
	if ids, err := s.List(); err != nil || len(ids) != 0 {
		t.Fatalf("%v, %v", ids, err)
	}
	if _, err := s.Open(testRun, tester); !errors.Is(err, ErrNoRun) {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the state folder was made: %v", err)
	}
}

func TestSummaries(t *testing.T) {
	at := func(e engine.Event) engine.Stamped { return engine.Stamped{At: noon.Add(time.Hour), Event: e} }
	cases := []struct {
		name   string
		events []engine.Stamped
		state  engine.RunState
	}{
		{"killed", []engine.Stamped{intent(1)}, engine.Interrupted},
		{"waiting", []engine.Stamped{intent(1), at(engine.RunPaused{State: engine.Waiting, Reason: "r"})}, engine.Waiting},
		{"approved since", []engine.Stamped{at(engine.RunPaused{State: engine.Waiting}), at(engine.ApprovalGiven{Step: "a"})}, engine.Waiting},
		{"finished", []engine.Stamped{at(engine.RunPaused{State: engine.Waiting}), at(engine.RunResumed{Epoch: 1}), at(engine.RunFinished{State: engine.RunOK})}, engine.RunOK},
		{"killed after a resume", []engine.Stamped{at(engine.RunFinished{State: engine.RunFailed}), at(engine.RunResumed{Epoch: 1}), intent(2)}, engine.Interrupted},
		{"very long", append(many(3000), at(engine.StepSkipped{Step: "s", Why: strings.Repeat("x", 200<<10)})), engine.Interrupted},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := OpenStore(t.TempDir())
			j := create(t, s)
			appendAll(t, j, started())
			if err := j.Append(c.events, true); err != nil {
				t.Fatal(err)
			}
			if sum, err := s.Summary(testRun); err != nil || !c.state.Final() && c.state != engine.Waiting && sum.State != engine.Running {
				t.Fatalf("while it is owned: %+v, %v", sum, err)
			}
			closeJournal(t, j)
			sum, err := s.Summary(testRun)
			if err != nil || sum.State != c.state || sum.Playbook != "p" || !sum.Started.Equal(noon) || sum.Finished.IsZero() == c.state.Final() {
				t.Fatalf("%+v, %v", sum, err)
			}
		})
	}
}

func many(n int) []engine.Stamped {
	out := make([]engine.Stamped, n)
	for i := range out {
		out[i] = intent(i)
	}
	return out
}
