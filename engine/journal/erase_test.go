package journal

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// stopping is a disk whose process ends at an operation: from that on nothing is done any more.
type stopping struct {
	Disk
	left   int
	synced bool // the folder of runs, since something in it got another name
	early  bool // something was removed BEFORE that
}

// noting is the folder of runs, which tells that it was synced.
type noting struct {
	File
	disk *stopping
}

func (f noting) Sync() error {
	f.disk.synced = true
	return f.File.Sync()
}

func (d *stopping) end() error {
	if d.left--; d.left < 0 {
		return syscall.EIO
	}
	return nil
}

func (d *stopping) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	if err := d.end(); err != nil {
		return nil, err
	}
	f, err := d.Disk.OpenFile(name, flag, perm)
	if err == nil && name == runsFolder {
		f = noting{f, d}
	}
	return f, err
}

func (d *stopping) Rename(from, to string) error {
	if err := d.end(); err != nil {
		return err
	}
	d.synced = false
	return d.Disk.Rename(from, to)
}

func (d *stopping) Remove(name string) error {
	if err := d.end(); err != nil {
		return err
	}
	d.early = d.early || !d.synced
	return d.Disk.Remove(name)
}

// TestARunIsErasedWholeOrNotAtAll: wherever the process ends, the run is there and opens, or it is not; what is left
// of it is swept away, and nothing but that.
func TestARunIsErasedWholeOrNotAtAll(t *testing.T) {
	whole, gone := 0, 0
	for at := 0; ; at++ {
		dir, elsewhere := filepath.Join(t.TempDir(), "state"), t.TempDir()
		s := OpenStore(dir)
		other, err := s.Create("20260102-030405-bbbb", tester, Pinned{})
		if err != nil {
			t.Fatal(err)
		}
		closeJournal(t, other)
		j := create(t, s)
		appendAll(t, j, started(), intent(1))
		closeJournal(t, j)
		kept := filepath.Join(elsewhere, "kept")
		for _, err := range []error{
			os.WriteFile(kept, nil, 0o600), os.Symlink(elsewhere, s.Folder(testRun, "scratch", "link")),
			os.Mkdir(s.Folder(testRun, "scratch", "deep"), 0o700), os.WriteFile(s.Folder(testRun, "scratch", "deep", "x"), nil, 0o600),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		disk, err := openFolder(dir)
		if err != nil {
			t.Fatal(err)
		}
		broken := StoreOn(disk)
		if j, err = broken.Open(testRun, tester); err != nil {
			t.Fatal(err)
		}
		limited := &stopping{Disk: disk, left: at}
		broken.disk = limited
		err = broken.Erase(j)
		if limited.early {
			t.Fatal("something was removed BEFORE the new name was on the medium")
		}
		if again, opened := OpenStore(dir).Open(testRun, tester); opened == nil {
			whole++
			if got := steps(t, again.Replay); !slices.Equal(got, []string{"s1"}) || err == nil {
				t.Errorf("operation %d: the run opens with %v; Erase said %v", at, got, err)
			}
			closeJournal(t, again)
		} else {
			gone++
			after := OpenStore(dir)
			if err := after.Sweep(); err != nil {
				t.Fatalf("operation %d: %v", at, err)
			}
			left, err := os.ReadDir(filepath.Join(dir, "runs"))
			if err != nil || len(left) != 1 || left[0].Name() != "20260102-030405-bbbb" {
				t.Fatalf("operation %d: left are %v, %v", at, left, err)
			}
		}
		if _, err := os.Stat(kept); err != nil {
			t.Fatalf("operation %d: a link was followed: %v", at, err)
		}
		if err == nil {
			break
		}
	}
	if whole == 0 || gone < 5 {
		t.Errorf("it was whole %d times and gone %d times", whole, gone)
	}
}
