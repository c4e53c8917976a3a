package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRunsOfOlderVersionsGoOn takes up runs whose files an older version has written: one for each format of
// the journal. They have come by a crash, a person's word and a refused resume, and wait for an approval.
func TestRunsOfOlderVersionsGoOn(t *testing.T) {
	runs, err := filepath.Glob("testdata/runs/format-*")
	if err != nil || len(runs) == 0 {
		t.Fatal(runs, err)
	}
	for _, old := range runs {
		t.Run(filepath.Base(old), func(t *testing.T) {
			g := newGround(t)
			b, err := os.ReadFile(filepath.Join(old, "journal.jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			id := regexp.MustCompile(`"run":"([^"]+)"`).FindStringSubmatch(string(b))[1]
			folder := filepath.Join(g.state(), "runs", id)
			if err := os.CopyFS(folder, os.DirFS(old)); err != nil {
				t.Fatal(err)
			}
			for _, sub := range []string{"inbox", "logs", "scratch"} {
				if err := os.Mkdir(filepath.Join(folder, sub), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			g.handrail("audit", id).is(0)
			shown := g.handrail("show", id).is(0)
			for _, want := range []string{"golden: waiting", "resolved  pay", "done, says root@bastion: I looked", "skipped   left_out", "waits for approval: Today is"} {
				if !strings.Contains(shown.out, want) {
					t.Errorf("%q is not shown:\n%s", want, shown.out)
				}
			}
			g.handrail("approve", id).is(0)
			if said := g.handrail("resume", id, "-i", "key=hunter2-hunter2").is(0); !strings.Contains(said.out, "said: ops") {
				t.Errorf("the output is lost:\n%s", said.out)
			}
			g.handrail("audit", id).is(0)
		})
	}
}
