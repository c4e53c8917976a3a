package main

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/internal/torture"
)

// TestAStaleEngineThatSleepsAnywhere stops an engine wherever it is: before its effect, in the middle of its transaction or
// script, behind it. Another host goes on with a copy of the state folder until the run is done, and the first wakes up.
// The effect is there once.
func TestAStaleEngineThatSleepsAnywhere(t *testing.T) {
	times := torture.Times(t, 3, 100, 1000)
	r := rand.New(rand.NewPCG(5, 6))
	eachKeeper(t, func(t *testing.T, k keeper) {
		passed, woken := 0, map[int]int{}
		for i := range times {
			h := newHosts(t, k)
			key := "s" + strconv.Itoa(i)
			a, id := h.begin("alpha", key)
			h.let(key)
			wait(t.Context(), time.Duration(r.Int64N(int64(50*time.Millisecond))))
			sendSignal(t, a, syscall.SIGSTOP)
			if out, err := exec.CommandContext(t.Context(), "cp", "-a", filepath.Join(h.dir, "alpha"), filepath.Join(h.dir, "beta")).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if err := os.RemoveAll(filepath.Join(h.dir, "beta", "locks")); err != nil { // those of the other host
				t.Fatal(err)
			}
			k.cut()
			b := h.at("beta", "resume", id)
			_ = b.Run() // how it ended is in its state
			switch code := b.ProcessState.ExitCode(); code {
			case 0:
				passed++
			case 2: // it had come to its end before it was stopped
			default:
				t.Errorf("%s: the other host does not come to an end: exit %d\n%s", key, code, b.Stderr)
			}
			h.counted(key, 1)
			sendSignal(t, a, syscall.SIGCONT)
			_ = a.Wait() // what it says of itself is its own view; the ledger decides
			woken[a.ProcessState.ExitCode()]++
			h.counted(key, 1)
		}
		torture.Figure(t, 5, "%d engines slept, %d of them while another host came to the end of their run; they woke up to exit codes %v", times, passed, woken)
	})
}
