package witness

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Files are folders with all that is in them: names, modes, owners, sizes, times of change and contents. A file that others
// write to, by the end of its path, is looked at for its name alone, as is the folder that it is in.
func Files(folders []string, written ...string) Watch {
	return func(t testing.TB) func() []string {
		t.Helper()
		before := snapshot(t, folders, written)
		return func() []string {
			t.Helper()
			after := snapshot(t, folders, written)
			var found []string
			for path, was := range before {
				switch is, ok := after[path]; {
				case !ok:
					found = append(found, path+" is gone")
				case is != was:
					found = append(found, fmt.Sprintf("%s was %s and is %s", path, was, is))
				}
			}
			for path, is := range after {
				if _, ok := before[path]; !ok {
					found = append(found, fmt.Sprintf("%s is new: %s", path, is))
				}
			}
			slices.Sort(found)
			return found
		}
	}
}

func snapshot(t testing.TB, folders, written []string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			all[path], err = describe(path, d, slices.ContainsFunc(written, func(w string) bool { return path == w || path == filepath.Dir(w) }))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func describe(path string, d fs.DirEntry, byOthers bool) (string, error) {
	info, err := d.Info()
	if err != nil {
		return "", err
	}
	text := info.Mode().String()
	if byOthers {
		return text, nil
	}
	text += fmt.Sprintf(", %v", info.ModTime().UnixNano())
	switch {
	case info.Mode().Type() == fs.ModeSymlink:
		to, err := os.Readlink(path)
		return text + ", leads to " + to, err
	case info.Mode().IsRegular():
		b, err := os.ReadFile(path)
		return fmt.Sprintf("%s, %d bytes, SHA-256 %x", text, len(b), sha256.Sum256(b)), err
	}
	return text, nil
}
