// Package torture says how hard the tests try that prove what Handrail promises of crashes, and collects
// what they found for docs/reliability.md.
//
// A test of this kind is part of `make test`, where it tries a little; `make torture` tries more, and
// HANDRAIL_TORTURE=full is the full column of the table. No test behaves otherwise than in how often it tries.
// HANDRAIL_TORTURE_PART=2/8 is the second of eight parts of that, for as many processes or machines.
package torture

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"testing"
)

// Mode is how hard the tests try.
type Mode string

// The modes.
const (
	Light Mode = ""     // make test
	CI    Mode = "ci"   // make torture
	Full  Mode = "full" // the full column
)

// How hard the tests of this process try.
func How(t testing.TB) Mode {
	t.Helper()
	switch m := Mode(os.Getenv("HANDRAIL_TORTURE")); m {
	case Light, CI, Full:
		return m
	default:
		t.Fatalf("HANDRAIL_TORTURE=%s: there are ci and full", m)
		return Light
	}
}

// Times is how often a test tries.
func Times(t testing.TB, light, ci, full int) int {
	t.Helper()
	switch How(t) {
	case CI:
		return ci
	case Full:
		return full
	case Light:
	}
	return light
}

// part is which part this process does, counted from 0, and of how many.
func part(t testing.TB) (which, of int) {
	t.Helper()
	text := os.Getenv("HANDRAIL_TORTURE_PART")
	if text == "" {
		return 0, 1
	}
	if n, err := fmt.Sscanf(text, "%d/%d", &which, &of); n != 2 || err != nil || which < 1 || which > of {
		t.Fatalf("HANDRAIL_TORTURE_PART=%s: it is like 2/8, the second part of eight", text)
	}
	return which - 1, of
}

// Mine says whether this process has the try of that number.
func Mine(t testing.TB, number int) bool {
	t.Helper()
	which, of := part(t)
	return number%of == which
}

// Turns are the numbers of the tries that this process has, of as many as Times.
func Turns(t testing.TB, light, ci, full int) iter.Seq[int] {
	t.Helper()
	which, of := part(t)
	all := Times(t, light, ci, full)
	return func(yield func(int) bool) {
		for i := which; i < all; i += of {
			if !yield(i) {
				return
			}
		}
	}
}

// Share is how many tries this process has, of as many as Times.
func Share(t testing.TB, light, ci, full int) (n int) {
	t.Helper()
	for range Turns(t, light, ci, full) {
		n++
	}
	return n
}

// Rand are the random numbers of a test, others in each part.
func Rand(t testing.TB, seed uint64) *rand.Rand {
	t.Helper()
	which, _ := part(t)
	return rand.New(rand.NewPCG(seed, uint64(which)))
}

// Figure reports what a test of a row of the table has done. With HANDRAIL_FIGURES=FILE it is a line there too.
func Figure(t testing.TB, row int, format string, args ...any) {
	t.Helper()
	line := fmt.Sprintf("row %d, %s: ", row, t.Name()) + fmt.Sprintf(format, args...)
	if t.Failed() {
		line = fmt.Sprintf("row %d, %s: failed, so it has no figure", row, t.Name())
	}
	t.Log(line)
	name := os.Getenv("HANDRAIL_FIGURES")
	if name == "" {
		return
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = fmt.Fprintln(f, line)
	}
	if err != nil {
		t.Error(err)
		return
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
