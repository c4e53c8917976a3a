package file_test

import (
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
)

// TestAPlanOfAnArchiveTellsOfTheLastOne, which is called like it but for its digits.
func TestAPlanOfAnArchiveTellsOfTheLastOne(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "data", "1234", "b-20260101.tar.gz", "old", "b-20260102.tar.gz", "newer, longer", "c-20260103.tar.gz", "another's", "b-20260104.tar.gz.sha256", "its sum")
	age(t, 2, dir, "b-20260101.tar.gz")
	age(t, 1, dir, "b-20260102.tar.gz")
	params := engine.Record{"from": engine.List{"data"}, "to": "b-20260105.tar.gz"}
	i := preview(t, dir, "archive", params)
	said := ""
	for _, f := range i.Facts {
		if f.Name == "last of the same" {
			said = f.Value
		}
	}
	if !strings.HasPrefix(said, "b-20260102.tar.gz, 13 ") {
		t.Errorf("facts %v", i.Facts)
	}
	params["to"] = "other-1.tar.gz"
	for _, f := range preview(t, dir, "archive", params).Facts {
		if f.Name == "last of the same" {
			t.Errorf("there is no other of that name: %v", f)
		}
	}
}
