package file_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/file"
	"github.com/handrail-dev/handrail/steps/steptest"
)

// step is one operation in a folder of its own, as an engine would carry it out.
type step struct {
	t      testing.TB
	op     steps.Operation
	env    *steps.Env
	rec    *steptest.Recorder
	access steps.Access
}

func decode(t testing.TB, operation string, params engine.Value) steps.Operation {
	t.Helper()
	op, err := file.New().Decode(operation, engine.Record{operation: params})
	if err != nil {
		t.Fatalf("%s: %v", operation, err)
	}
	return op
}

func newStep(t testing.TB, dir, operation string, params engine.Value) *step {
	t.Helper()
	return newStepWith(t, &steptest.Recorder{}, steps.Full, dir, operation, params)
}

func newStepWith(t testing.TB, a engine.Attendant, access steps.Access, dir, operation string, params engine.Value) *step {
	t.Helper()
	call := engine.Call{Kind: "file", Operation: operation, Class: engine.ClassIdempotent, Attempt: 1, Token: "run/" + operation}
	s := &step{t: t, op: decode(t, operation, params), access: access}
	s.rec, _ = a.(*steptest.Recorder)
	s.env = steps.NewEnv(call, steps.Target{}, access, a, nil, nil)
	s.env.Dir = dir
	return s
}

func (s *step) do() engine.Outcome { return s.op.Execute(context.Background(), s.env) }

func (s *step) mustDo() engine.Record {
	s.t.Helper()
	o := s.do()
	if o.Err != "" {
		s.t.Fatalf("failed: %s", o.Err)
	}
	return o.Result
}

// mustFail wants a failure whose message holds a text.
func (s *step) mustFail(want string) engine.Outcome {
	s.t.Helper()
	o := s.do()
	if !strings.Contains(o.Err, want) {
		s.t.Fatalf("wanted a failure with %q, got %q (%v)", want, o.Err, o.Result)
	}
	return o
}

func preview(t testing.TB, dir, operation string, params engine.Value) engine.Impact {
	t.Helper()
	s := newStepWith(t, &steptest.Recorder{}, steps.ReadOnly, dir, operation, params)
	impact, err := s.op.Preview(t.Context(), s.env)
	if err != nil {
		t.Fatal(err)
	}
	return impact
}

// write makes files: name, content.
func write(t testing.TB, dir string, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		path := filepath.Join(dir, pairs[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(pairs[i+1]), 0o640); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t testing.TB, parts ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// noise is content that cannot be compressed; the same for each call.
func noise(n int) string {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(b)
	return string(b)
}

func sumOf(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:])
}

// prove writes the checksum file of a file.
func prove(t testing.TB, dir, name string) {
	t.Helper()
	write(t, dir, name+".sha256", sumOf(read(t, dir, name))+"  "+name+"\n")
}

// age makes a file so many days old.
func age(t testing.TB, days int, parts ...string) {
	t.Helper()
	at := time.Now().Add(-time.Duration(days) * 24 * time.Hour)
	if err := os.Chtimes(filepath.Join(parts...), at, at); err != nil {
		t.Fatal(err)
	}
}

// tree is all that is in a folder: names, modes, contents, links; hidden files too.
func tree(t testing.TB, dir string) string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		info, err := e.Info()
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%s %s", name, info.Mode())
		switch {
		case e.Type() == fs.ModeSymlink:
			target, _ := os.Readlink(path)
			line += " -> " + target
		case e.Type().IsRegular():
			line += " " + sumOf(read(t, path)) + " " + info.ModTime().String()
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// names are all files below a folder, with slashes.
func names(t testing.TB, dir string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			name, _ := filepath.Rel(dir, path)
			all = append(all, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// small mounts a file system of so many KiB, which the tests need root for.
func small(t testing.TB, kib int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dk", kib)); err != nil {
		t.Fatalf("mount a small file system (run the tests as root): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// attendant does something at a point of the work.
type attendant struct {
	steptest.Recorder
	at   int64
	then func()
}

func (a *attendant) Progress(done, total int64, unit string) {
	a.Recorder.Progress(done, total, unit)
	if a.then != nil && done >= a.at {
		then := a.then
		a.then = nil
		then()
	}
}
