package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/handrail-dev/handrail/steps"
)

// Writer looks and changes. The zero Writer changes nothing; [ForChanges] makes one.
type Writer struct {
	Reader
	granted bool
}

// ErrReadOnly is what every change gives without full access.
var ErrReadOnly = errors.New("a dry-run changes no file")

// ForChanges makes a Writer, for full access only.
func ForChanges(access steps.Access) (*Writer, error) {
	if access != steps.Full {
		return nil, ErrReadOnly
	}
	return &Writer{granted: true}, nil
}

func (w *Writer) may() error {
	if w == nil || !w.granted {
		return ErrReadOnly
	}
	return nil
}

// TempName is the name beside a path under which an effect is prepared. It is the same for each attempt, so
// that what a crash has left behind is found.
func TempName(path, key string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+key+".part")
}

// Draft is a new file that has not got its name yet.
type Draft struct {
	f     *os.File
	temp  string
	final string
	done  bool
}

// Draft begins a new file beside the path that it shall get. One that an attempt cut off has left is removed.
func (w *Writer) Draft(final, key string, mode fs.FileMode) (*Draft, error) {
	if err := w.may(); err != nil {
		return nil, err
	}
	temp := TempName(final, key)
	if err := w.Clear(temp); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	d := &Draft{f: f, temp: temp, final: final}
	if err := f.Chmod(mode.Perm()); err != nil {
		return nil, errors.Join(err, d.Discard())
	}
	return d, nil
}

// Clear removes what stands under a temporary name.
func (w *Writer) Clear(temp string) error {
	if err := w.may(); err != nil {
		return err
	}
	return os.RemoveAll(temp)
}

func (d *Draft) Write(p []byte) (int, error) { return d.f.Write(p) }

// Like gives it the owner of another file, and a mode.
func (d *Draft) Like(info fs.FileInfo, mode fs.FileMode) error {
	own, err := d.f.Stat()
	if err != nil {
		return err
	}
	uid, gid := Owner(info)
	if u, g := Owner(own); u != uid || g != gid {
		if err := d.f.Chown(uid, gid); err != nil {
			return fmt.Errorf("the owner %d:%d cannot be kept: %w", uid, gid, err)
		}
	}
	// AFTER the owner, because changing that takes the special bits away.
	return d.f.Chmod(mode)
}

// Sync makes what was written durable. It must come BEFORE Publish.
func (d *Draft) Sync() error {
	err := errors.Join(d.f.Sync(), d.f.Close())
	d.f = nil
	return err
}

// Publish gives it its name, in place of what had it, in one step. Readers of the name see the old file or
// the new one, never neither.
func (d *Draft) Publish() error {
	if d.f != nil {
		return errors.New("a file is published only AFTER it is durable")
	}
	if err := os.Rename(d.temp, d.final); err != nil {
		return err
	}
	d.done = true
	return nil
}

// Discard removes it, unless it was published. It may be called at any time.
func (d *Draft) Discard() error {
	if d.done {
		return nil
	}
	d.done = true
	var err error
	if d.f != nil {
		err = d.f.Close()
	}
	return errors.Join(err, os.Remove(d.temp))
}

// SyncFolder makes the names in a folder durable. A rename counts only AFTER it.
func (w *Writer) SyncFolder(path string) error {
	if err := w.may(); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Symlink makes a path a symbolic link to a target, in place of what had the name, in one step.
func (w *Writer) Symlink(target, path, key string) error {
	if err := w.may(); err != nil {
		return err
	}
	temp := TempName(path, key)
	if err := w.Clear(temp); err != nil {
		return err
	}
	if err := os.Symlink(target, temp); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return nil
}

// Remove removes a file, if it is still the one that was looked at.
func (w *Writer) Remove(path string, seen fs.FileInfo) error {
	if err := w.may(); err != nil {
		return err
	}
	now, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !Alike(seen, now):
		return fmt.Errorf("%s was changed since it was looked at", path)
	}
	return os.Remove(path)
}

// Rename moves a folder that is durable to a name that is not taken.
func (w *Writer) Rename(from, to string) error {
	if err := w.may(); err != nil {
		return err
	}
	if _, err := os.Lstat(to); err == nil {
		return fmt.Errorf("%s has come into being meanwhile", to)
	}
	return os.Rename(from, to)
}
