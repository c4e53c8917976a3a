package playbooks_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// recorder stands in for programs that cannot be had here. Each writes down how it was called, with what it was given to read, and
// answers as the test says: by a shell text that sees the arguments as "$@" and the input as "$in".
type recorder struct {
	t   *testing.T
	dir string
}

// record puts stand-ins in front of everything else on PATH.
func record(t *testing.T, programs map[string]string) *recorder {
	t.Helper()
	r := &recorder{t: t, dir: t.TempDir()}
	bin := filepath.Join(r.dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, answer := range programs {
		script := "#!/bin/sh\n" +
			writesDown("${0##*/}", r.calls()) + "cd '" + r.dir + "'\n" + answer + "\n"
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	return r
}

// writesDown is the part of a stand-in that does that: its name, its arguments, and its input if there is any. Probes of one verify are
// asked side by side, so it is put into a file of its own, and added in one write.
func writesDown(name, to string) string {
	return "in=$(cat)\nown=$(mktemp '" + to + "-XXXXXX')\n" +
		"{ printf '%s' \"" + name + "\"; for a in \"$@\"; do printf '\\037%s' \"$a\"; done; [ -z \"$in\" ] || printf '\\037<<<\\037%s' \"$in\"; printf '\\036'; } > \"$own\"\n" +
		"cat \"$own\" >> '" + to + "'; rm \"$own\"\n"
}

// readCalls gives what was written down, each call as its words joined by blanks.
func readCalls(text string) []string {
	calls := strings.Split(strings.TrimSuffix(text, "\036"), "\036")
	for i, call := range calls {
		calls[i] = strings.ReplaceAll(call, "\x1f", " ")
	}
	return calls
}

func (r *recorder) calls() string { return filepath.Join(r.dir, "calls") }

// called gives the calls so far, each as its words joined by blanks, and forgets them.
func (r *recorder) called() []string {
	r.t.Helper()
	text, err := os.ReadFile(r.calls())
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		r.t.Fatal(err)
	}
	if err := os.Remove(r.calls()); err != nil {
		r.t.Fatal(err)
	}
	return readCalls(string(text))
}

// golden checks that just the calls of a file in testdata were made, in this order; HANDRAIL_UPDATE=1 writes it. Those that follow each
// other and are made side by side are sorted. What differs from run to run comes with the name that it has in the file.
func golden(t *testing.T, name string, calls []string, beside func(string) bool, differs ...string) {
	t.Helper()
	for i := 0; i < len(calls); i++ {
		j := i
		for j < len(calls) && beside(calls[j]) {
			j++
		}
		slices.Sort(calls[i:j])
		i = j
	}
	got := strings.NewReplacer(differs...).Replace(strings.Join(calls, "\n")) + "\n"
	file := filepath.Join("testdata", name)
	if os.Getenv("HANDRAIL_UPDATE") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := string(slurp(t, file)); got != want {
		t.Errorf("called:\n%s\nwant, as %s has it:\n%s", got, file, want)
	}
}

// wants checks that just these calls were made, in this order.
func (r *recorder) wants(want ...string) {
	r.t.Helper()
	got := r.called()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		show, _ := json.MarshalIndent(got, "", "  ")
		r.t.Errorf("called:\n%s\nwant:\n%s", show, strings.Join(want, "\n"))
	}
}

// file writes a file that the stand-ins see in their folder.
func (r *recorder) file(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}
