package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// row is one line of the table.
type row struct {
	work     string
	bar      string
	handrail string
	beside   string // the reference
	figure   string // what the bar is about
	met      bool
}

// only, when set, names the parts to measure; the page is not written then.
const only = "HANDRAIL_BENCH_ONLY"

// BenchmarkTable measures everything once, prints the table and writes it into the page.
func BenchmarkTable(b *testing.B) {
	var rows []row
	wanted, before := os.Getenv(only), load()
	for _, part := range []struct {
		name    string
		measure func(*testing.B) []row
	}{
		{"durable", durableSteps}, {"reads", reads}, {"exec", execs}, {"start", starts}, {"files", files},
		{"memory", memory}, {"sweep", sweep}, {"cluster", clusters}, {"dump", dumps}, {"move", moves},
	} {
		if wanted == "" || strings.Contains(wanted, part.name) {
			rows = append(rows, part.measure(b)...)
		}
	}
	fmt.Print(table(rows, before))
	if wanted != "" {
		return
	}
	if err := document("../docs/performance.md", table(rows, before)); err != nil {
		b.Fatal(err)
	}
}

func table(rows []row, load string) string {
	var t strings.Builder
	fmt.Fprintf(&t, "Measured on %s, %s. Load average when it began: %s.\n\n", machine(), time.Now().UTC().Format("2 January 2006"), load)
	t.WriteString("| work | Handrail | beside it | figure | bar | met |\n|---|---|---|---|---|---|\n")
	for _, r := range rows {
		met := "yes"
		if !r.met {
			met = "**no**"
		}
		fmt.Fprintf(&t, "| %s | %s | %s | %s | %s | %s |\n", r.work, r.handrail, r.beside, r.figure, r.bar, met)
	}
	return t.String()
}

// load says how busy the machine was with other things.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "not known"
	}
	return strings.Fields(string(b))[0]
}

func machine() string {
	kernel, err := exec.Command("uname", "-sr").Output()
	if err != nil {
		kernel = []byte(runtime.GOOS)
	}
	return fmt.Sprintf("%d cores, %s, %s", runtime.NumCPU(), bytes.TrimSpace(kernel), runtime.Version())
}

// document puts the table between its two marks in a page.
func document(file, table string) error {
	const begin, end = "<!-- make bench writes from here -->\n", "<!-- to here -->\n"
	page, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(page), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no marks to put the table between", file)
	}
	return os.WriteFile(file, []byte(before+begin+table+end+after), 0o644)
}

// rounds is odd, so that there is one in the middle.
const rounds = 9

// compared is what came of two programs that ran in turn.
type compared struct {
	ours, theirs time.Duration // medians
	ratio        float64       // median of ours / theirs
}

// inTurn runs the two one after the other, several times, so that a slow moment of the machine meets both.
func inTurn(ours, theirs func() time.Duration) compared {
	var a, c []time.Duration
	var ratios []float64
	for range rounds {
		x, y := ours(), theirs()
		a, c = append(a, x), append(c, y)
		ratios = append(ratios, float64(x)/float64(y))
	}
	return compared{ours: median(a), theirs: median(c), ratio: median(ratios)}
}

func median[T int | float64 | time.Duration](v []T) T {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

// ratioRow is a row whose bar is a ratio of time per piece of work.
func ratioRow(work string, pieces int, c compared, bar float64, beside string) row {
	return row{
		work: work, bar: fmt.Sprintf("at most %.1f x", bar),
		handrail: each(c.ours, pieces), beside: beside + ": " + each(c.theirs, pieces),
		figure: fmt.Sprintf("%.2f x", c.ratio), met: c.ratio <= bar,
	}
}

func each(d time.Duration, pieces int) string {
	per := d / time.Duration(pieces)
	if per < time.Millisecond {
		return fmt.Sprintf("%.1f us each", float64(per)/1e3)
	}
	return fmt.Sprintf("%.2f ms each", float64(per)/1e6)
}
