package servers

import (
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
)

// account is the user that a server runs as; nil: the one that the test runs as.
type account struct{ uid, gid int }

// postgresAccount hands files to the user that PostgreSQL runs as, since it refuses to run as root, and
// refuses a data folder or a key that others can read.
func postgresAccount(t testing.TB, dir string) *account {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		if who, err = user.Lookup("nobody"); err != nil {
			t.Fatalf("find a user for PostgreSQL, which refuses to run as root: %v", err)
		}
	}
	a := &account{}
	if a.uid, err = strconv.Atoi(who.Uid); err == nil {
		a.gid, err = strconv.Atoi(who.Gid)
	}
	if err == nil {
		err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			mode := os.FileMode(0o600)
			if d.IsDir() {
				mode = 0o700
			}
			if err := os.Chmod(path, mode); err != nil {
				return err
			}
			return os.Chown(path, a.uid, a.gid)
		})
	}
	if err != nil {
		t.Fatalf("hand %s to the user %s: %v", dir, who.Username, err)
	}
	return a
}
