package playbooks_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recorder stands in for programs that cannot be had here. Each writes down how it was called, and answers as
// the test says: by the file answers/PROGRAM, a shell text that sees the arguments as "$@".
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
			"{ printf '%s' \"${0##*/}\"; for a in \"$@\"; do printf '\\037%s' \"$a\"; done; printf '\\n'; } >> '" + r.calls() + "'\n" +
			"cd '" + r.dir + "'\n" + answer + "\n"
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	return r
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
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.ReplaceAll(line, "\x1f", " ")
	}
	return lines
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
