// Package torture says how hard the tests try that prove what Handrail promises of crashes, and collects
// what they found for docs/reliability.md.
//
// A test of this kind is part of `make test`, where it tries a little; `make torture` tries more, and
// HANDRAIL_TORTURE=full is the full column of the table. No test behaves otherwise than in how often it tries.
package torture

import (
	"fmt"
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
