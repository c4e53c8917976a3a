// Testsum reads the output of `go test -json`, shows what a person wants to see of it, and ends with
// one line: N passed, N failed, N skipped.
//
// It guarantees that nothing is lost: the output of what failed is shown whole, a package that did
// not build or that ended without a verdict counts as failed, and so does a test that began and
// never ended. A skipped test makes the exit code 1 as a failed one does. It never runs anything.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
)

func main() {
	failed := flag.Int("failed", 0, "checks that failed before the tests, to be counted")
	flag.Parse()
	s := newSummary(os.Stdout)
	s.failed = *failed
	if err := s.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(1)
	}
	if !s.finish() {
		os.Exit(1)
	}
}

// event is a line of `go test -json` (see: go doc test2json).
type event struct {
	Action      string
	Package     string
	ImportPath  string
	Test        string
	Output      string
	Elapsed     float64
	FailedBuild string
}

type testKey struct{ pkg, test string }

type summary struct {
	out                     io.Writer
	passed, failed, skipped int
	output                  map[testKey]*strings.Builder // of tests and packages without a verdict yet
	running                 map[testKey]bool
	parents                 map[testKey]bool // tests with subtests; only the leaves are counted
	failedIn                map[string]int   // failed tests per package
	builds                  map[string]*strings.Builder
	packages                map[string]bool // began and has no verdict yet
}

func newSummary(out io.Writer) *summary {
	return &summary{
		out: out, output: map[testKey]*strings.Builder{}, running: map[testKey]bool{},
		parents: map[testKey]bool{}, failedIn: map[string]int{},
		builds: map[string]*strings.Builder{}, packages: map[string]bool{},
	}
}

func (s *summary) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) != nil {
				fmt.Fprint(s.out, line) // what the go command says itself
			} else {
				s.take(e)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the output of go test: %w", err)
		}
	}
}

func (s *summary) take(e event) {
	k := testKey{e.Package, e.Test}
	switch e.Action {
	case "start":
		s.packages[e.Package] = true
	case "run":
		s.running[k] = true
		if i := strings.LastIndex(e.Test, "/"); i >= 0 {
			s.parents[testKey{e.Package, e.Test[:i]}] = true
		}
	case "output":
		keep(s.output, k, e.Output)
	case "build-output":
		keep(s.builds, e.ImportPath, e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.endPackage(e)
		} else {
			s.endTest(k, e.Action)
		}
	}
}

func keep[K comparable](m map[K]*strings.Builder, k K, text string) {
	if m[k] == nil {
		m[k] = &strings.Builder{}
	}
	m[k].WriteString(text)
}

func (s *summary) endTest(k testKey, action string) {
	delete(s.running, k)
	switch action {
	case "fail":
		s.show(k)
		s.failedIn[k.pkg]++
		if !s.parents[k] {
			s.failed++
		}
	case "skip":
		s.show(k)
		s.skipped++
	default:
		if !s.parents[k] {
			s.passed++
		}
	}
	delete(s.output, k)
}

func (s *summary) show(k testKey) {
	if b := s.output[k]; b != nil {
		fmt.Fprint(s.out, b.String())
	}
}

func (s *summary) endPackage(e event) {
	delete(s.packages, e.Package)
	k := testKey{pkg: e.Package}
	switch e.Action {
	case "fail":
		if b := s.builds[e.FailedBuild]; b != nil {
			fmt.Fprint(s.out, b.String())
		}
		s.showRunning(e.Package)
		s.show(k)
		if s.failedIn[e.Package] == 0 { // did not build, or ended outside of a test
			s.failed++
		}
	case "pass":
		fmt.Fprintf(s.out, "ok    %s  %.1fs\n", e.Package, e.Elapsed)
	}
	delete(s.output, k)
}

// showRunning: a test that was under way when its package ended in a panic or a timeout has failed.
func (s *summary) showRunning(pkg string) {
	var cut []testKey
	for k := range s.running {
		if k.pkg == pkg {
			cut = append(cut, k)
		}
	}
	sort.Slice(cut, func(i, j int) bool { return cut[i].test < cut[j].test })
	for _, k := range cut {
		s.endTest(k, "fail")
	}
}

// finish prints the last line and says whether all is well.
func (s *summary) finish() bool {
	for pkg := range s.packages { // the go command was killed
		fmt.Fprintf(s.out, "FAIL  %s has no verdict\n", pkg)
		s.showRunning(pkg)
		if s.failedIn[pkg] == 0 {
			s.failed++
		}
	}
	fmt.Fprintf(s.out, "%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
	return s.failed == 0 && s.skipped == 0 && s.passed > 0
}
