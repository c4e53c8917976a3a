package file_test

import (
	"bufio"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest"
)

const roleVariable = "HANDRAIL_TEST_FILE_ENGINE"

// The test binary is also an engine that can be killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(roleVariable); dir != "" {
		playEngine(dir, os.Getenv("OPERATION"))
		os.Exit(1) // it was to be killed
	}
	os.Exit(m.Run())
}

// slow says when it has come far, and stays there: Progress is called by the operation itself. Extract reads
// its archive twice, and writes the second time.
type slow struct{ steptest.Recorder }

func (h *slow) Progress(done, total int64, unit string) {
	if done > total*3/4 {
		fmt.Println("far")
		select {}
	}
}

type testFailure struct{ testing.TB }

func (testFailure) Helper() {}
func (testFailure) Fatalf(format string, args ...any) {
	fmt.Printf(format+"\n", args...)
	os.Exit(1)
}

func playEngine(dir, operation string) {
	o := newStepWith(testFailure{}, &slow{}, steps.Full, dir, operation, killed(operation)).do()
	fmt.Println("ended:", o.Err)
}

// killed are the parameters of the operations that are killed in the middle.
func killed(operation string) engine.Record {
	switch operation {
	case "copy":
		return engine.Record{"from": "src/big", "to": "out/big"}
	case "archive":
		return engine.Record{"from": "src", "to": "out/src.tar.zst"}
	case "prune":
		return engine.Record{"folder": "out", "match": "b-*", "keep": int64(1)}
	}
	return engine.Record{"from": "packed.tar.gz", "to": "out/there", "max_size": int64(1 << 30)}
}

// killInTheMiddle kills an engine with SIGKILL while it is at an operation.
func killInTheMiddle(t *testing.T, dir, operation string) {
	t.Helper()
	cmd := osexec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+dir, "OPERATION="+operation)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if killed := cmd.Process.Kill(); killed != nil {
		t.Error(killed)
	}
	_ = cmd.Wait() // it was killed
	if err != nil || line != "far\n" {
		t.Fatalf("the engine said %q (%v)", line, err)
	}
}

func again(t *testing.T, dir, operation string, note engine.Value) engine.Record {
	t.Helper()
	s := newStep(t, dir, operation, killed(operation))
	s.env.Again, s.env.Call.Note = true, note
	return s.mustDo()
}

func ground(t *testing.T) string {
	dir := t.TempDir()
	write(t, dir, "src/big", noise(6<<20), "src/small", "s", "out/other", "o")
	return dir
}

func TestKilledInTheMiddleOfACopyAndDoneAgain(t *testing.T) {
	dir := ground(t)
	killInTheMiddle(t, dir, "copy")
	if got := strings.Fields(names(t, filepath.Join(dir, "out"))); len(got) != 2 || !strings.HasSuffix(got[0], ".part") || got[1] != "other" {
		t.Fatalf("AFTER the kill there is %s", got)
	}
	r := again(t, dir, "copy", nil)
	if got := names(t, filepath.Join(dir, "out")); got != "big other" {
		t.Errorf("AFTER it was done again there is %s", got)
	}
	if want := sumOf(read(t, dir, "src/big")); r["sha256"] != want || sumOf(read(t, dir, "out/big")) != want {
		t.Errorf("the copy is another: %v", r)
	}
}

func TestKilledInTheMiddleOfAnArchiveAndDoneAgain(t *testing.T) {
	dir := ground(t)
	killInTheMiddle(t, dir, "archive")
	for _, name := range strings.Fields(names(t, filepath.Join(dir, "out"))) {
		if ok, _ := filepath.Match("*.tar.zst*", name); ok && name[0] != '.' {
			t.Errorf("%s looks like a backup", name)
		}
	}
	r := again(t, dir, "archive", nil)
	if got := names(t, filepath.Join(dir, "out")); got != "other src.tar.zst src.tar.zst.sha256" {
		t.Errorf("AFTER it was done again there is %s", got)
	}
	if c := newStep(t, dir, "checksum", "out/src.tar.zst").mustDo(); c["proven"] != true || c["sha256"] != r["sha256"] {
		t.Errorf("it is not proven: %v", c)
	}
	newStep(t, dir, "extract", engine.Record{"from": "out/src.tar.zst", "to": "back"}).mustDo()
	if read(t, dir, "back/src/big") != read(t, dir, "src/big") {
		t.Error("what comes back out is not what went in")
	}
}

func TestKilledInTheMiddleOfAnExtractAndDoneAgain(t *testing.T) {
	for _, there := range []bool{false, true} {
		t.Run(fmt.Sprintf("into a folder that is there: %v", there), func(t *testing.T) {
			dir := ground(t)
			newStep(t, dir, "archive", engine.Record{"from": "src", "to": "packed.tar.gz"}).mustDo()
			if there {
				write(t, dir, "out/there/own", "own")
			}
			killInTheMiddle(t, dir, "extract")
			for _, name := range strings.Fields(names(t, filepath.Join(dir, "out"))) {
				if strings.HasPrefix(name, "there/src") {
					t.Errorf("AFTER the kill there is %s", name)
				}
			}
			if got := names(t, filepath.Join(dir, "out")); !strings.Contains(got, ".part/src/big") {
				t.Errorf("it was not killed while it wrote: %s", got)
			}
			again(t, dir, "extract", nil)
			want := "other there/src/big there/src/small"
			if there {
				want = "other there/own there/src/big there/src/small"
			}
			if got := names(t, filepath.Join(dir, "out")); got != want {
				t.Errorf("AFTER it was done again there is %s", got)
			}
		})
	}
}

func TestArchivePublishedBeforeTheCrashIsFoundAgain(t *testing.T) {
	dir := ground(t)
	first := newStep(t, dir, "archive", killed("archive"))
	want := first.mustDo()
	before := tree(t, filepath.Join(dir, "out"))
	// The source has gone on since; the archive that the step made is the one that it has to stand for.
	write(t, dir, "src/small", "later")
	got := again(t, dir, "archive", first.env.Call.Note)
	if got["sha256"] != want["sha256"] || got["count"] != want["count"] {
		t.Errorf("the result is %v, was %v", got, want)
	}
	if now := tree(t, filepath.Join(dir, "out")); now != before {
		t.Errorf("it was written again:\n%s\nbefore:\n%s", now, before)
	}
}

func TestPruneCutOffIsFinishedWithAllItsNames(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"b-4", "b-3", "b-2", "b-1"} {
		write(t, dir, "out/"+name, name)
		prove(t, filepath.Join(dir, "out"), name)
		age(t, i, dir, "out", name)
	}
	// As it is when the engine is killed between a backup and its checksum file.
	note := engine.Record{"folder": filepath.Join(dir, "out"), "removing": engine.List{"b-1", "b-2", "b-3"}}
	if err := os.Remove(filepath.Join(dir, "out", "b-1")); err != nil {
		t.Fatal(err)
	}
	r := again(t, dir, "prune", note)
	if got := engine.Text(r["removed"]); got != engine.Text(engine.List{"b-1", "b-2", "b-3"}) {
		t.Errorf("removed %s", got)
	}
	if got := names(t, filepath.Join(dir, "out")); got != "b-4 b-4.sha256" {
		t.Errorf("there is %s", got)
	}
}
