package proof

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/steps/internal/disk"
)

func sum(c string) string { return strings.Repeat(c, 64) }

// TestAllThatStandsBesideAFileMustAgree: one proof that is wrong or broken is not outvoted by another.
func TestAllThatStandsBesideAFileMustAgree(t *testing.T) {
	for name, c := range map[string]struct {
		sums, manifest string
		proven         bool
		why            string
	}{
		"nothing":               {"", "", false, "no checksum file or manifest"},
		"sha256sum":             {sum("a") + "  b.zst\n", "", true, "b.zst.sha256 agrees"},
		"the sum alone":         {strings.ToUpper(sum("a")) + "\n", "", true, "agrees"},
		"of several files":      {sum("b") + " *other\n" + sum("a") + " *b.zst\n", "", true, "agrees"},
		"of another file":       {sum("a") + "  other\n", "", false, "holds no checksum of b.zst"},
		"another sum":           {sum("b") + "  b.zst\n", "", false, "says bbbbbbbbbbbb"},
		"manifest":              {"", `{"sha256": "` + sum("a") + `", "size": 5}`, true, "b.zst.manifest.json agrees"},
		"manifest without size": {"", `{"sha256": "` + sum("a") + `"}`, true, "agrees"},
		"another size":          {"", `{"sha256": "` + sum("a") + `", "size": 6}`, false, "says 6 bytes, and it has 5"},
		"no JSON":               {"", "{", false, "is not a manifest"},
		"no sum":                {"", `{"size": 5}`, false, "holds no sha256"},
		"both":                  {sum("a"), `{"sha256": "` + sum("a") + `"}`, true, "b.zst.sha256 and b.zst.manifest.json agrees"},
		"one of both":           {sum("a"), `{"sha256": "` + sum("b") + `"}`, false, "manifest.json says"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "b.zst")
			for suffix, text := range map[string]string{SumSuffix: c.sums, ManifestSuffix: c.manifest} {
				if text != "" {
					write(t, file+suffix, text)
				}
			}
			claims, err := Claims(disk.Reader{}, file)
			if err != nil {
				t.Fatal(err)
			}
			if ok, why := Agree(claims, sum("a"), 5); ok != c.proven || !strings.Contains(why, c.why) {
				t.Errorf("%v %q", ok, why)
			}
		})
	}
}

func TestAManifestIsReadAsItWasWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "b.zst")
	if _, err := Read(disk.Reader{}, file); !errors.Is(err, ErrNone) {
		t.Errorf("of no manifest it is said: %v", err)
	}
	m := Manifest{File: "b.zst", Size: 5, SHA256: sum("a"), Made: Made{At: time.Unix(1e9, 0).UTC(), Run: "r", By: "d"},
		Dump: &Dump{System: "mysql", Rows: 3, Tables: []Table{{"a", 3}, {"b", 0}}}}
	text, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	write(t, file+ManifestSuffix, string(text))
	got, err := Read(disk.Reader{}, file)
	if err != nil {
		t.Fatal(err)
	}
	again, err := got.Encode()
	if err != nil || string(again) != string(text) {
		t.Errorf("%s\n%s %v", text, again, err)
	}
	for text, want := range map[string]string{
		strings.Replace(string(text), `"handrail": 1`, `"handrail": 2`, 1): "newer Handrail",
		`{"sha256": "` + sum("a") + `"}`:                                   "not written by Handrail",
		`{"sha256": "` + sum("a"):                                          "is not a manifest",
		"":                                                                 "is not a manifest",
	} {
		write(t, file+ManifestSuffix, text)
		if _, err := Read(disk.Reader{}, file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("of %q it is said: %v", text, err)
		}
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
