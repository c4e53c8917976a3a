// Package servers hands real servers to tests: a fresh database on the shared MariaDB, MariaDB, Redis
// and OpenSSH processes of a test's own that it may kill and restart, and the Docker engine.
//
// What is shared was started by `make servers` and is described by .test/servers.env. A server that
// is not there fails the test with a line that says so: this package never skips a test and never
// stands in with a fake. What a test gets ends with the test, also when the test binary is killed
// (on Linux, where the kernel does that).
package servers

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// setting is one line of .test/servers.env; the environment goes before the file.
func setting(t testing.TB, key string) string {
	t.Helper()
	if v := os.Getenv(key); v != "" {
		return v
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatalf("the test runs outside the module, so .test/servers.env cannot be found")
		}
		dir = up
	}
	f, err := os.Open(filepath.Join(dir, ".test", "servers.env"))
	if err != nil {
		t.Fatalf("the test servers are not up; run: make servers (%v)", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if v, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), key+"="); ok {
			return v
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatalf("read .test/servers.env: %v", err)
	}
	return ""
}
