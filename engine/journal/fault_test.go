package journal

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/handrail-dev/handrail/engine"
)

// A power failure at any byte of any write loses nothing that was acknowledged, and what is left is a
// journal that goes on.
func TestAPowerFailureAtEveryByte(t *testing.T) {
	for acknowledged := range 3 {
		for keep := 0; ; keep++ {
			d := newMemDisk()
			j := create(t, StoreOn(d))
			appendAll(t, j, started())
			for i := range acknowledged {
				appendAll(t, j, intent(i+1))
			}
			before := j.size
			for i := acknowledged; i < acknowledged+2; i++ {
				if err := j.Append([]engine.Stamped{intent(i + 1)}, false); err != nil {
					t.Fatal(err)
				}
			}
			if int64(keep) > j.size-before {
				break
			}
			after := StoreOn(d.crash(keep))
			again, err := after.Open(testRun, tester)
			if err != nil {
				t.Fatalf("%d bytes: %v", keep, err)
			}
			got := steps(t, again.Replay)
			if len(got) < acknowledged {
				t.Fatalf("%d bytes: only %v is left of %d acknowledged intents", keep, got, acknowledged)
			}
			if rep := again.Repaired(); rep != nil {
				appendAll(t, again, engine.Stamped{At: noon, Event: *rep})
			}
			appendAll(t, again, intent(9))
			closeJournal(t, again)
			r, err := after.Read(testRun)
			if err != nil {
				t.Fatal(err)
			}
			if rest := steps(t, r.Replay); !reflect.DeepEqual(rest, append(got, "s9")) {
				t.Fatalf("%d bytes: then %v", keep, rest)
			}
		}
	}
}

// A crash while a torn end is being cut off loses nothing either.
func TestACrashDuringTheRepair(t *testing.T) {
	for at := 1; at < 30; at++ {
		d := newMemDisk()
		j := create(t, StoreOn(d))
		appendAll(t, j, started(), intent(1))
		if err := j.Append([]engine.Stamped{intent(2)}, false); err != nil {
			t.Fatal(err)
		}
		torn := d.crash(40)
		n := 0
		torn.fail = func(string) error {
			if n++; n >= at {
				return errDisk
			}
			return nil
		}
		if _, err := StoreOn(torn).Open(testRun, tester); err == nil && at < 5 {
			t.Fatalf("operation %d failed and nobody noticed", at)
		}
		torn.fail = nil
		again, err := StoreOn(torn.crash(1<<20)).Open(testRun, tester)
		if err != nil {
			t.Fatalf("operation %d: %v", at, err)
		}
		if got := steps(t, again.Replay); !reflect.DeepEqual(got, []string{"s1"}) {
			t.Fatalf("operation %d: %v", at, got)
		}
	}
}

// The pinned copies are on the medium BEFORE the first event is.
func TestNoEventIsThereWithoutItsPinnedCopies(t *testing.T) {
	d := newMemDisk()
	s := StoreOn(d)
	j := create(t, s)
	appendAll(t, j, started())
	after := StoreOn(d.crash(0))
	if _, err := after.Pinned(testRun, "", nil); err != nil {
		t.Fatal(err)
	}
	r, err := after.Read(testRun)
	if err != nil {
		t.Fatal(err)
	}
	if rep, err := r.Verify(); err != nil || rep.Events != 1 {
		t.Fatalf("%+v, %v", rep, err)
	}
}

func TestAFailedWriteEndsTheJournal(t *testing.T) {
	faults := []struct {
		name, op string
		err      error
		short    int
	}{
		{"disk full, nothing written", "write", syscall.ENOSPC, 0},
		{"disk full in the middle of a line", "write", syscall.ENOSPC, 30},
		{"i/o error on write", "write", syscall.EIO, 0},
		{"i/o error on sync", "sync", syscall.EIO, 0},
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			d := newMemDisk()
			s := StoreOn(d)
			j := create(t, s)
			appendAll(t, j, started(), intent(1))
			d.short = f.short
			d.fail = func(op string) error {
				if strings.HasPrefix(op, f.op) && strings.HasSuffix(op, journalFile) {
					return f.err
				}
				return nil
			}
			err := j.Append([]engine.Stamped{intent(2)}, true)
			var fault *Fault
			if !errors.As(err, &fault) || !errors.Is(err, f.err) || !strings.Contains(err.Error(), "handrail resume "+testRun) {
				t.Fatalf("error %v", err)
			}
			d.fail = nil
			syncs := d.count["sync"]
			if again := j.Append([]engine.Stamped{intent(3)}, true); !errors.Is(again, f.err) {
				t.Fatalf("the dead journal took an event: %v", again)
			}
			if err := j.Close(); !errors.Is(err, f.err) {
				t.Fatalf("close: %v", err)
			}
			if d.count["sync"] != syncs {
				t.Fatal("a sync was tried again after a failure")
			}
			open, err := s.Open(testRun, tester)
			if err != nil {
				t.Fatal(err)
			}
			got := steps(t, open.Replay)
			if want := []string{"s1"}; f.op == "write" && !reflect.DeepEqual(got, want) {
				t.Fatalf("left %v", got)
			}
			if (open.Repaired() != nil) != (f.short > 0) {
				t.Fatalf("repaired %+v", open.Repaired())
			}
		})
	}
}

// Whatever fails while a run is made, either there is no run that counts, or it is whole.
func TestAFaultWhileARunIsMade(t *testing.T) {
	total := 0
	{
		d := newMemDisk()
		d.fail = func(string) error { total++; return nil }
		create(t, StoreOn(d))
	}
	refused := 0
	for at := 1; at <= total; at++ {
		d := newMemDisk()
		n := 0
		d.fail = func(string) error {
			if n++; n == at {
				return errDisk
			}
			return nil
		}
		j, err := StoreOn(d).Create(testRun, tester, pinned)
		if err != nil {
			var fault *Fault
			if !errors.As(err, &fault) {
				t.Fatalf("operation %d: %v", at, err)
			}
			refused++
			continue
		}
		// Only the hint about the owner may fail without ending it.
		appendAll(t, j, started())
		if _, err := StoreOn(d.crash(0)).Pinned(testRun, "", nil); err != nil {
			t.Fatalf("operation %d: %v", at, err)
		}
	}
	if refused < total-5 {
		t.Fatalf("only %d of %d faults were noticed", refused, total)
	}
}

func TestRequestsSurviveAPowerFailureOncePut(t *testing.T) {
	d := newMemDisk()
	s := StoreOn(d)
	j := create(t, s)
	appendAll(t, j, started())
	put, err := s.Put(testRun, Request{Ask: AskCancel, By: tester, At: noon})
	if err != nil {
		t.Fatal(err)
	}
	got, err := StoreOn(d.crash(0)).Requests(testRun)
	if err != nil || !reflect.DeepEqual(got, []Request{put}) {
		t.Fatalf("%+v, %v", got, err)
	}
	d.fail = func(op string) error {
		if strings.HasPrefix(op, "rename") {
			return errDisk
		}
		return nil
	}
	if _, err := s.Put(testRun, Request{Ask: AskCancel, By: tester, At: noon.Add(1)}); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
}

func BenchmarkAppend(b *testing.B) {
	s := OpenStore(b.TempDir())
	j, err := s.Create(testRun, tester, pinned)
	if err != nil {
		b.Fatal(err)
	}
	if err := j.Append([]engine.Stamped{started()}, true); err != nil {
		b.Fatal(err)
	}
	from := j.size
	i := 0
	for b.Loop() {
		i++
		pair := []engine.Stamped{
			{At: noon, Event: engine.StepFinished{Step: fmt.Sprintf("s%d", i), Attempt: 1, State: engine.OK, Result: engine.Typed{V: engine.Record{}}}},
			intent(i),
		}
		if err := j.Append(pair, true); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(j.size-from)/float64(i), "bytes/op")
}

// BenchmarkBare is what the disk alone takes for the same bytes.
func BenchmarkBare(b *testing.B) {
	d, err := openFolder(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	f, err := d.OpenFile("bare", 0o2001|0o100, fileMode) // O_WRONLY|O_APPEND|O_CREAT
	if err != nil {
		b.Fatal(err)
	}
	line := []byte(strings.Repeat("x", 341) + "\n")
	for b.Loop() {
		if _, err := f.Write(line); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

// The torn bytes are on the medium under another name BEFORE they are cut off: whatever of the cut has
// reached the medium, they can be found.
func TestTheRepairLosesNoBytes(t *testing.T) {
	name := inRun(testRun, journalFile)
	cuts := 0
	for at := 1; at < 40; at++ {
		d := newMemDisk()
		j := create(t, StoreOn(d))
		appendAll(t, j, started(), intent(1))
		if err := j.Append([]engine.Stamped{intent(2)}, false); err != nil {
			t.Fatal(err)
		}
		torn := d.crash(40)
		whole := len(torn.files[name].data)
		n := 0
		torn.fail = func(string) error {
			if n++; n >= at {
				return errDisk
			}
			return nil
		}
		if j, err := StoreOn(torn).Open(testRun, tester); err == nil {
			_ = j.Close()
		}
		left := len(torn.files[name].data) // a cut may reach the medium before anybody syncs it
		if left == whole {
			continue
		}
		cuts++
		kept := torn.crash(0).files[inRun(testRun, journalFile+".1.broken")]
		if kept == nil || len(kept.data) != whole-left {
			t.Fatalf("operation %d: %d bytes were cut off, and kept is %+v", at, whole-left, kept)
		}
	}
	if cuts == 0 {
		t.Error("nothing was cut off")
	}
}

// A line that has the right hash and a number that is not its own is refused.
func TestTheNumberOfALineIsItsPlace(t *testing.T) {
	for _, start := range []string{`{"n":7,"synced":1,"records":[`, `{"n":3,"synced":1,"records":[`, `{"n":2,"synced":9,"records":[`} {
		_, _, err := damage(t, func(b []byte) []byte {
			first := b[:strings.IndexByte(string(b), '\n')+1]
			c := chain{}
			_, c, err := c.check(first[:len(first)-1])
			if err != nil {
				t.Fatal(err)
			}
			line, _ := c.end([]byte(start))
			return append(append([]byte(nil), first...), line...)
		})
		if err == nil || !strings.Contains(err.Error(), "line number 2 was expected here") {
			t.Errorf("%s: %v", start, err)
		}
	}
}
