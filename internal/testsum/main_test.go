package main

import (
	"strings"
	"testing"
)

func TestSummary(t *testing.T) {
	for name, c := range map[string]struct {
		lines string
		last  string
		shows string
		well  bool
	}{
		"a parent is not counted beside its subtests": {
			lines: `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"A"}
{"Action":"run","Package":"p","Test":"A/x"}
{"Action":"run","Package":"p","Test":"A/y"}
{"Action":"pass","Package":"p","Test":"A/x"}
{"Action":"pass","Package":"p","Test":"A/y"}
{"Action":"pass","Package":"p","Test":"A"}
{"Action":"pass","Package":"p"}`,
			last: "2 passed, 0 failed, 0 skipped", shows: "ok    p", well: true,
		},
		"a skip is not well": {
			lines: `{"Action":"run","Package":"p","Test":"A"}
{"Action":"run","Package":"p","Test":"B"}
{"Action":"output","Package":"p","Test":"A","Output":"no server\n"}
{"Action":"skip","Package":"p","Test":"A"}
{"Action":"pass","Package":"p","Test":"B"}
{"Action":"pass","Package":"p"}`,
			last: "1 passed, 0 failed, 1 skipped", shows: "no server",
		},
		"a package that does not build has failed": {
			lines: `{"ImportPath":"p [p.test]","Action":"build-output","Output":"x.go:1: undefined\n"}
{"Action":"start","Package":"p"}
{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}`,
			last: "0 passed, 1 failed, 0 skipped", shows: "undefined",
		},
		"a test cut off by a panic has failed": {
			lines: `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"A"}
{"Action":"output","Package":"p","Test":"A","Output":"panic: boom\n"}
{"Action":"fail","Package":"p"}`,
			last: "0 passed, 1 failed, 0 skipped", shows: "boom",
		},
		"a package without a verdict has failed": {
			lines: `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"A"}`,
			last: "0 passed, 1 failed, 0 skipped", shows: "no verdict",
		},
		"nothing ran": {lines: "go: no such module", last: "0 passed, 0 failed, 0 skipped", shows: "no such module"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			s := newSummary(&out)
			if err := s.read(strings.NewReader(c.lines)); err != nil {
				t.Fatal(err)
			}
			well := s.finish()
			if !strings.HasSuffix(out.String(), c.last+"\n") || !strings.Contains(out.String(), c.shows) || well != c.well {
				t.Errorf("well %v, printed:\n%s", well, out.String())
			}
		})
	}
}
