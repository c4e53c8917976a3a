package journal

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/internal/torture"
)

// written is a journal as its writer knows it: each line, and which of them it was told are on the medium.
type written struct {
	bytes    []byte
	lines    []int // where each line ends
	promised int   // how many were acknowledged
	synced   int   // how many bytes
}

// writeAtRandom lets a journal write lines of all sizes, some synced and some not.
func writeAtRandom(t *testing.T, r *rand.Rand, d *memDisk) written {
	t.Helper()
	s := StoreOn(d)
	j := create(t, s)
	appendAll(t, j, started())
	w := written{lines: []int{int(j.size)}, promised: 1}
	for i := range 2 + r.IntN(9) {
		e := intent(i + 1)
		if r.IntN(4) == 0 { // longer than a sector, or than a page
			e.Event = engine.StepSkipped{Step: fmt.Sprintf("s%d", i+1), Why: strings.Repeat("x", r.IntN(6000))}
		}
		sync := r.IntN(3) == 0
		if err := j.Append([]engine.Stamped{e}, sync); err != nil {
			t.Fatal(err)
		}
		w.lines = append(w.lines, int(j.size))
		if sync {
			w.promised = len(w.lines)
		}
	}
	w.bytes = d.files[inRun(testRun, journalFile)].data
	w.synced = w.lines[w.promised-1]
	return w
}

// loseSectors gives the file as it may be found after a power failure: any length from what was synced on,
// and any sectors behind that which were never filled. What was synced stays.
func (w written) loseSectors(r *rand.Rand) []byte {
	sector := []int{512, 512, 4096}[r.IntN(3)]
	length := w.synced + r.IntN(len(w.bytes)-w.synced+1)
	if r.IntN(2) == 0 {
		length = len(w.bytes)
	}
	left := bytes.Clone(w.bytes[:length])
	odds := 1 + r.IntN(4)
	for start := w.synced / sector * sector; start < length; start += sector {
		if r.IntN(odds) == 0 {
			clear(left[max(start, w.synced):min(start+sector, length)])
		}
	}
	return left
}

// diskWith is a disk with a run whose journal holds these bytes.
func diskWith(d *memDisk, journal []byte) *memDisk {
	after := d.crash(1 << 20)
	after.files[inRun(testRun, journalFile)] = &memFile{data: journal, synced: journal}
	return after
}

// A power failure may lose any sectors that were not synced, in any order. Whatever is left, the journal
// opens, holds all that was acknowledged and nothing that was not written, and goes on.
func TestSectorsLostAndReordered(t *testing.T) {
	states, repaired := 0, 0
	for seed := range torture.Turns(t, 20_000/20, 100_000/20, 5_000_000/20) {
		r := rand.New(rand.NewPCG(uint64(seed), 3))
		d := newMemDisk()
		w := writeAtRandom(t, r, d)
		for range 20 {
			states++
			left := w.loseSectors(r)
			s := StoreOn(diskWith(d, left))
			j, err := s.Open(testRun, tester)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if j.Lines() < w.promised {
				t.Fatalf("seed %d: %d lines were acknowledged and %d are left", seed, w.promised, j.Lines())
			}
			if !bytes.HasPrefix(w.bytes, left[:j.size]) {
				t.Fatalf("seed %d: it holds what was never written", seed)
			}
			if rep := j.Repaired(); rep != nil {
				repaired++
				appendAll(t, j, engine.Stamped{At: noon, Event: *rep})
			}
			lines := j.Lines()
			appendAll(t, j, intent(99))
			closeJournal(t, j)
			again, err := s.Open(testRun, tester)
			if err != nil || again.Lines() != lines+1 || again.Repaired() != nil {
				t.Fatalf("seed %d: it does not go on: %v", seed, err)
			}
		}
	}
	torture.Figure(t, 3, "%d states of the disk, %d of them repaired, 0 acknowledged lines lost", states, repaired)
}

// A hole in what was on the medium when something behind it was written is damage, never a torn end: to
// cut it off would lose an effect.
func TestAHoleInWhatWasAcknowledgedIsRefused(t *testing.T) {
	holes := 0
	for seed := range torture.Turns(t, 2_000, 10_000, 100_000) {
		holes++
		r := rand.New(rand.NewPCG(uint64(seed), 4))
		d := newMemDisk()
		w := writeAtRandom(t, r, d)
		if w.promised < 2 || w.promised == len(w.lines) {
			continue
		}
		from := r.IntN(w.lines[w.promised-1])
		to := min(from+1+r.IntN(1024), w.lines[w.promised-1]) // something behind it says that it was synced
		left := bytes.Clone(w.bytes)
		clear(left[from:to])
		if _, err := StoreOn(diskWith(d, left)).Open(testRun, tester); err == nil {
			t.Fatalf("seed %d: zeros from %d to %d of %v were cut off", seed, from, to, w.lines)
		}
	}
	torture.Figure(t, 3, "%d holes in acknowledged lines, all refused", holes)
}

// Every length of the file that a crash can leave, with everything in front of it whole.
func TestTornAtEveryByte(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 5))
	d := newMemDisk()
	w := writeAtRandom(t, r, d)
	for n := w.lines[0]; n <= len(w.bytes); n++ {
		j, err := StoreOn(diskWith(d, w.bytes[:n])).Open(testRun, tester)
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		whole := 0
		for _, end := range w.lines {
			if end <= n {
				whole++
			}
		}
		if j.Lines() != whole || (j.Repaired() == nil) != (n == w.lines[whole-1]) {
			t.Fatalf("%d bytes: %d lines, not %d", n, j.Lines(), whole)
		}
	}
}

// FuzzReader: whatever a file holds, reading it ends, and says either what is in it or what is wrong.
func FuzzReader(f *testing.F) {
	for _, golden := range goldenFiles(f) {
		f.Add([]byte(golden))
		f.Add([]byte(golden[:len(golden)/2]))
	}
	f.Add([]byte("{\"n\":1,\"format\":2,\"records\":[],\"h\":\"\"}\n\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		file := &memHandle{disk: newMemDisk(), file: &memFile{data: b}}
		r := &Reader{path: "fuzz", file: file}
		rep, err := r.Verify()
		if err == nil && rep.Bytes+rep.Torn != int64(len(b)) {
			t.Fatalf("%d bytes are whole and %d are torn of %d", rep.Bytes, rep.Torn, len(b))
		}
		if _, err := lastRunEvent(file); err != nil {
			t.Fatal(err)
		}
		// Whatever is judged whole can be written behind.
		if err == nil && rep.Torn == 0 && rep.Lines > 0 {
			line, _ := r.at.end(append(r.at.begin(nil), `{"at":"2026-11-21T12:00:00Z","event":"entered","step":"x"}`...))
			file.file.data = append(bytes.Clone(b), line...)
			n := 0
			if err := r.Replay(func(engine.Stamped) error { n++; return nil }); err != nil || n != 1 {
				t.Fatalf("%d, %v", n, err)
			}
		}
	})
}
