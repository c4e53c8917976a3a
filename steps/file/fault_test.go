package file_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest"
)

func TestArchiveOnADiskThatFillsUpLeavesNothing(t *testing.T) {
	dir, disk := t.TempDir(), small(t, 1024)
	write(t, dir, "src/big", noise(3<<20))
	for _, name := range []string{"b.tar.zst", "b.tar.gz"} {
		o := newStep(t, dir, "archive", engine.Record{"from": "src", "to": filepath.Join(disk, name)}).mustFail("no space left")
		if o.Effect != engine.EffectNone || !strings.Contains(o.Err, "make room") {
			t.Errorf("effect %s: %s", o.Effect, o.Err)
		}
		if got := names(t, disk); got != "" {
			t.Errorf("%s is left behind", got)
		}
	}
}

func TestCopyOntoADiskThatFillsUpMeanwhileKeepsTheOldFile(t *testing.T) {
	dir, disk := t.TempDir(), small(t, 5*1024)
	write(t, dir, "big", noise(3<<20))
	write(t, disk, "big", "old")
	a := &attendant{at: 1 << 20, then: func() {
		_ = os.WriteFile(filepath.Join(disk, "another"), []byte(noise(4<<20)), 0o600) // as far as it goes
	}}
	o := newStepWith(t, a, steps.Full, dir, "copy", engine.Record{"from": "big", "to": filepath.Join(disk, "big")}).mustFail("no space left")
	if o.Effect != engine.EffectNone {
		t.Errorf("effect %s", o.Effect)
	}
	if got := names(t, disk); got != "another big" || read(t, disk, "big") != "old" {
		t.Errorf("there is %s", got)
	}
}

func TestWhatIsKnownNotToFitIsNotBegun(t *testing.T) {
	dir, disk := t.TempDir(), small(t, 1024)
	write(t, dir, "big", noise(2<<20))
	params := engine.Record{"from": "big", "to": filepath.Join(disk, "big")}
	newStep(t, dir, "copy", params).mustFail("has room for 1.0 MiB, and this needs 2.0 MiB")
	if i := preview(t, dir, "copy", params); i.Standing != engine.StandingUnknown || !strings.Contains(i.Why, "has room for") {
		t.Errorf("the preview says %s: %s", i.Standing, i.Why)
	}
	newStep(t, dir, "archive", engine.Record{"from": "big", "to": "big.tar.gz"}).mustDo()
	newStep(t, dir, "extract", engine.Record{"from": "big.tar.gz", "to": filepath.Join(disk, "new")}).mustFail("has room for")
	if got := names(t, disk); got != "" {
		t.Errorf("there is %s", got)
	}
}

// A source that is written to while it is read, in each way that there is.
func TestSourceChangedMeanwhileIsFound(t *testing.T) {
	for name, change := range map[string]func(src string) error{
		"the file that is read grows": func(src string) error {
			f, err := os.OpenFile(filepath.Join(src, "b"), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteString("more")
			return err
		},
		"the file that is read becomes shorter":  func(src string) error { return os.Truncate(filepath.Join(src, "b"), 5) },
		"one that was read changes":              func(src string) error { return os.WriteFile(filepath.Join(src, "a"), []byte("B"), 0o600) },
		"one that is yet to be read changes":     func(src string) error { return os.WriteFile(filepath.Join(src, "c"), []byte("CC"), 0o600) },
		"one that was read is removed":           func(src string) error { return os.Remove(filepath.Join(src, "a")) },
		"one that is yet to be read is removed":  func(src string) error { return os.Remove(filepath.Join(src, "c")) },
		"one comes into being among them":        func(src string) error { return os.WriteFile(filepath.Join(src, "aa"), nil, 0o600) },
		"one comes into being behind the others": func(src string) error { return os.WriteFile(filepath.Join(src, "z"), nil, 0o600) },
		"one is put in the place of another":     func(src string) error { return os.Rename(filepath.Join(src, "c"), filepath.Join(src, "a")) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "src/a", "a", "src/b", noise(4<<20), "src/c", "c", "out/other", "")
			age(t, 1, dir, "src/a")
			a := &attendant{at: 2 << 20}
			a.then = func() {
				if err := change(filepath.Join(dir, "src")); err != nil {
					t.Error(err)
				}
			}
			o := newStepWith(t, a, steps.Full, dir, "archive", engine.Record{"from": "src", "to": "out/b.tar.zst"}).do()
			if o.Err == "" || o.Effect != engine.EffectNone {
				t.Errorf("ended with %q, effect %s", o.Err, o.Effect)
			}
			if got := names(t, filepath.Join(dir, "out")); got != "other" {
				t.Errorf("there is %s", got)
			}
		})
	}
	t.Run("copy", func(t *testing.T) {
		dir := t.TempDir()
		write(t, dir, "big", noise(4<<20))
		a := &attendant{at: 2 << 20, then: func() { _ = os.Truncate(filepath.Join(dir, "big"), 1<<20) }}
		o := newStepWith(t, a, steps.Full, dir, "copy", engine.Record{"from": "big", "to": "copy"}).mustFail("was changed while it was read")
		if !o.Transient {
			t.Error("it may well succeed a moment later")
		}
		if got := names(t, dir); got != "big" {
			t.Errorf("there is %s", got)
		}
	})
}

func TestCancelledInTheMiddleLeavesNothing(t *testing.T) {
	dir := ground(t)
	before := tree(t, dir)
	for _, operation := range []string{"copy", "archive"} {
		ctx, cancel := context.WithCancel(t.Context())
		a := &attendant{at: 2 << 20, then: cancel}
		s := newStepWith(t, a, steps.Full, dir, operation, killed(operation))
		if o := s.op.Execute(ctx, s.env); o.Err == "" || o.Effect != engine.EffectNone {
			t.Errorf("%s: ended with %q, effect %s", operation, o.Err, o.Effect)
		}
		if now := tree(t, dir); now != before {
			t.Errorf("%s: AFTER it there is\n%s", operation, now)
		}
	}
}

func TestAnArchiveDoesNotReplaceABackupUnasked(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "src/a", "1", "b.tar.gz", "a good backup")
	params := engine.Record{"from": "src", "to": "b.tar.gz"}
	newStep(t, dir, "archive", params).mustFail("may be a good backup")
	if i := preview(t, dir, "archive", params); i.Standing != engine.StandingUnknown {
		t.Errorf("the preview says %s", i.Standing)
	}
	if read(t, dir, "b.tar.gz") != "a good backup" {
		t.Error("it was replaced")
	}
	params["overwrite"] = true
	newStep(t, dir, "archive", params).mustDo()
	if c := newStep(t, dir, "checksum", "b.tar.gz").mustDo(); c["proven"] != true {
		t.Errorf("not proven: %v", c)
	}
}

func TestAnArchiveNeverHoldsItself(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "src/a", "1", "src/out/b", "1")
	newStep(t, dir, "archive", engine.Record{"from": "src", "to": "src/out/x.tgz"}).mustFail("would lie in")
	newStep(t, dir, "archive", engine.Record{"from": "src", "to": "src/out/x.tgz", "exclude": "out"}).mustDo()
	newStep(t, dir, "extract", engine.Record{"from": "src/out/x.tgz", "to": "back"}).mustDo()
	if got := names(t, filepath.Join(dir, "back")); got != "src/a" {
		t.Errorf("it holds %s", got)
	}
}

func TestPlacesThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a", "1", "folder/x", "1")
	for _, link := range [][2]string{{"a", "link"}, {"/etc/passwd", "folder/out"}} {
		if err := os.Symlink(link[0], filepath.Join(dir, link[1])); err != nil {
			t.Fatal(err)
		}
	}
	for want, do := range map[string]struct {
		operation string
		params    engine.Record
	}{
		"does not exist; make it, or mount": {"copy", engine.Record{"from": "a", "to": "missing/a"}},
		"is a folder; name the file in it":  {"copy", engine.Record{"from": "a", "to": "folder"}},
		"are the same file":                 {"copy", engine.Record{"from": "link", "to": "a"}},
		"name the file itself":              {"copy", engine.Record{"from": "folder/x", "to": "link"}},
		"`archive` packs folders":           {"copy", engine.Record{"from": "folder", "to": "b"}},
		"to the absolute name":              {"archive", engine.Record{"from": "folder", "to": "b.tgz"}},
	} {
		o := newStep(t, dir, do.operation, do.params).mustFail(want)
		if o.Effect != engine.EffectNone {
			t.Errorf("%s: effect %s", want, o.Effect)
		}
	}
}

func TestCopyKeepsOwnerAndModeOfWhatItReplaces(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "new", "new", "old", "old")
	if err := os.Chown(filepath.Join(dir, "old"), 1234, 2345); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "old"), 0o604); err != nil {
		t.Fatal(err)
	}
	newStep(t, dir, "copy", engine.Record{"from": "new", "to": "old"}).mustDo()
	s := newStep(t, dir, "stat", "old").mustDo()
	if s["uid"] != int64(1234) || s["gid"] != int64(2345) || s["mode"] != "0604" || read(t, dir, "old") != "new" {
		t.Errorf("it is %v", s)
	}
	if i := preview(t, dir, "copy", engine.Record{"from": "new", "to": "old"}); i.Standing != engine.StandingAlready {
		t.Errorf("the preview says %s", i.Standing)
	}
	if r := newStep(t, dir, "copy", engine.Record{"from": "new", "to": "old"}).mustDo(); r["changed"] != false {
		t.Error("it was copied again")
	}
}

func TestProgressIsInBytesOfAKnownTotal(t *testing.T) {
	dir := ground(t)
	s := newStep(t, dir, "archive", killed("archive"))
	s.mustDo()
	reports := s.rec.Reports()
	want := steptest.Progress{Done: 6<<20 + 1, Total: 6<<20 + 1, Unit: "bytes"}
	if len(reports) < 5 || reports[len(reports)-1] != want {
		t.Errorf("the reports are %v", reports)
	}
}
