package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestWhatIsRememberedComesBackNewestFirst(t *testing.T) {
	s := OpenStore(filepath.Join(t.TempDir(), "state"))
	if got, err := s.Recall("p"); len(got) != 0 || err != nil {
		t.Fatalf("before the first run: %v, %v", got, err)
	}
	j := create(t, s)
	defer closeJournal(t, j)
	if got, err := s.Recall("p"); len(got) != 0 || err != nil {
		t.Fatalf("nothing is remembered yet: %v, %v", got, err)
	}
	for _, text := range []string{"one", "two"} { // a run may come to an end twice
		if err := s.Remember("p", testRun, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Recall("p")
	if err != nil || len(got) != 1 || got[0].Run != testRun || string(got[0].Data) != "two" {
		t.Fatalf("%v, %v", got, err)
	}
	if other, err := s.Recall("q"); len(other) != 0 || err != nil {
		t.Errorf("of another playbook: %v, %v", other, err)
	}
	if outside, err := s.Recall("../runs"); len(outside) != 0 || err != nil {
		t.Errorf("outside of the folder: %v, %v", outside, err)
	}
	if err := s.Remember("p", "20261121-101512-none", nil); !errors.Is(err, ErrNoRun) {
		t.Errorf("of a run that is not there: %v", err)
	}
}

func TestTheOldestRunsMakeRoom(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := OpenStore(dir)
	closeJournal(t, create(t, s))
	if err := s.Remember("p", testRun, []byte("first")); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, "history", "p")
	for i := range memoryMost {
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("20260101-%06d-aaaa", i)), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// What a killed process left half written is no run.
	if err := os.WriteFile(filepath.Join(folder, ".20260101-000000-aaaa"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Remember("p", testRun, []byte("again")); err != nil {
		t.Fatal(err)
	}
	got, err := s.Recall("p")
	if err != nil || len(got) != memoryMost || string(got[0].Data) != "again" || got[len(got)-1].Run != "20260101-000001-aaaa" {
		t.Fatalf("%d remembered, %v", len(got), err)
	}
}
