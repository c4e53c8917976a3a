package playbook_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine/playbook"
)

// FuzzLoad: whatever the file, it loads or is reported, and each report has its place in the file.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(raiseMax))
	for _, pattern := range []string{"testdata/bad/*.yaml", "testdata/good/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	cat := testCatalogue()
	f.Fuzz(func(t *testing.T, text []byte) {
		lines := strings.Count(string(text), "\n") + strings.Count(string(text), "\r") + 1
		check := func(err error) {
			for _, d := range playbook.Diagnostics(err) {
				if d.Message == "" || d.Pos.Line > lines || d.Pos.Line > 0 && d.Pos.Column < 1 || d.Width < 0 {
					t.Fatalf("%+v", d)
				}
				if strings.Contains(d.Render(), "%!") && !strings.Contains(string(text), "%!") { // it shows the line
					t.Fatal(d.Render())
				}
			}
			if err != nil && len(playbook.Diagnostics(err)) == 0 {
				t.Fatal("an error without a mistake")
			}
		}
		pb, err := playbook.Load("test.yaml", text, cat, nil)
		if (pb == nil) == (err == nil) {
			t.Fatal("neither a playbook nor an error, or both")
		}
		check(err)
		_, err = playbook.LoadEnvironment("env.yaml", text, cat)
		check(err)
		_, err = playbook.DecodeInputsFile("in.yaml", text)
		check(err)
	})
}

func BenchmarkLoad1000Steps(b *testing.B) {
	var text strings.Builder
	text.WriteString("playbook: test\ninputs:\n  n: {type: integer}\ntargets: {db: mysql}\nsteps:\n")
	for i := range 1000 {
		fmt.Fprintf(&text, "  - id: step_%d\n    title: Number %d\n    sql:\n      query: SELECT a FROM t WHERE a = :a\n      args: {a: \"${{ inputs.n + %d }}\"}\n    expect: len(rows) == 1\n", i, i, i)
		if i > 0 {
			fmt.Fprintf(&text, "    when: steps.step_%d.rows[0].a > 0.8 * inputs.n\n", i-1)
		}
	}
	src, cat := []byte(text.String()), testCatalogue()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := playbook.Load("test.yaml", src, cat, nil); err != nil {
			b.Fatal(err)
		}
	}
}
