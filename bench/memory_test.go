package bench

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine/journal"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/all"
)

// childMode names the playbook that this binary runs instead of the benchmark, so that its memory can
// be measured alone.
const childMode = "HANDRAIL_BENCH_CHILD"

func TestMain(m *testing.M) {
	if mode := os.Getenv(childMode); mode != "" {
		if err := child(mode); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child runs under the soft limit that the binary sets itself.
func child(mode string) error {
	debug.SetMemoryLimit(46 << 20)
	dir := os.Getenv("HANDRAIL_BENCH_DIR")
	w := &world{kinds: append(all.Kinds(), steps.Kind(&nothing{})), dir: dir, state: journal.OpenStore(filepath.Join(dir, "state"))}
	text := repeated(10_000, nothingStep)
	switch mode {
	case "items":
		text = manyItems
	case dumpMode:
		text = dumpChild(w)
	}
	pb, err := w.load(text)
	if err != nil {
		return err
	}
	if _, _, err := w.run(pb); err != nil {
		return err
	}
	kib, err := highWater()
	fmt.Println(kib)
	return err
}

// highWater is the largest resident size that this process has had, in KiB. The figure that wait(2)
// gives would include the memory of the parent before the exec.
func highWater() (int, error) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			return strconv.Atoi(strings.Fields(v)[0])
		}
	}
	return 0, fmt.Errorf("no VmHWM in /proc/self/status: %w", lines.Err())
}

func memory(b *testing.B) []row {
	measure := func(work, mode string, bar int) row {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childMode+"="+mode, "HANDRAIL_BENCH_DIR="+b.TempDir())
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			b.Fatal(err)
		}
		kib, err := strconv.Atoi(strings.TrimSpace(string(out)))
		if err != nil {
			b.Fatal(err)
		}
		return row{work: work, bar: fmt.Sprintf("at most %d MiB", bar), handrail: fmt.Sprintf("%d MiB", kib/1024),
			beside: "—", figure: fmt.Sprintf("%d MiB", kib/1024), met: kib <= bar*1024}
	}
	return []row{
		measure("peak memory, 10,000 steps", "steps", 64),
		measure("peak memory, `for_each` over 100,000 items", "items", 128),
	}
}
