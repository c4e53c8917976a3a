package servers

import (
	"os"
	"path/filepath"
	"testing"
)

// yesterday copies the folder of a server that is down meanwhile, and gives what puts the copy in its place.
func yesterday(t testing.TB, data string, kill, restart func()) (putBack func()) {
	t.Helper()
	copied := filepath.Join(folder(t, "hry"), "data")
	replace := func(to, from string) {
		t.Helper()
		kill()
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatalf("copy the data folder: %v", err)
		}
		restart()
	}
	replace(copied, data)
	return func() { replace(data, copied) }
}
