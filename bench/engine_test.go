package bench

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// durableSteps: 10,000 steps whose effect is nothing, beside one append and fdatasync of the same bytes
// per step.
func durableSteps(b *testing.B) []row {
	const n = 10_000
	kind := &nothing{watch: true}
	w := newWorld(b, kind)
	pb := w.mustLoad(b, repeated(n, nothingStep))
	var size int64
	var late []float64
	ours := func() time.Duration {
		kind.began = make([]time.Time, 0, n)
		took, file, err := w.run(pb)
		if err != nil {
			b.Fatal(err)
		}
		size = sizeOf(b, file)
		late = append(late, float64(window(kind.began, n-100))/float64(window(kind.began, 100)))
		return took
	}
	c := inTurn(ours, func() time.Duration { return appendAndSync(b, n, int(size)/n) })
	rows := []row{ratioRow("10,000 steps whose effect is nothing, all durable", n, c, 1.5, "append + fdatasync of the same bytes per step")}
	ratio := median(late)
	return append(rows, row{
		work: "the 10,000th step against the 100th", bar: "at most 1.2 x", handrail: "medians of 100 steps around each",
		beside: "itself", figure: number(ratio), met: ratio <= 1.2,
	})
}

// window is the median time of the hundred steps from the n-th on.
func window(began []time.Time, n int) time.Duration {
	var took []time.Duration
	for i := n; i < n+99; i++ {
		took = append(took, began[i+1].Sub(began[i]))
	}
	return median(took)
}

// appendAndSync is the least that a durable step costs.
func appendAndSync(tb testing.TB, times, size int) time.Duration {
	f, err := os.OpenFile(filepath.Join(tb.TempDir(), "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	line := append(bytes.Repeat([]byte("x"), max(1, size)-1), '\n')
	began := time.Now()
	for range times {
		if _, err := f.Write(line); err != nil {
			tb.Fatal(err)
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			tb.Fatal(err)
		}
	}
	return time.Since(began)
}

func sizeOf(tb testing.TB, file string) int64 {
	info, err := os.Stat(file)
	if err != nil {
		tb.Fatal(err)
	}
	return info.Size()
}
