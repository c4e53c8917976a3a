package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Tree is a folder that no name leads out of: neither `..`, nor an absolute name, nor a symbolic link.
type Tree struct {
	root *os.Root
	may  func() error
	own  bool // this process may give files away
}

// Look opens a folder for looking.
func (Reader) Look(folder string) (*Tree, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	return &Tree{root: root, may: func() error { return ErrReadOnly }}, nil
}

// Tree opens a folder for changes.
func (w *Writer) Tree(folder string) (*Tree, error) {
	if err := w.may(); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	return &Tree{root: root, may: w.may, own: os.Geteuid() == 0}, nil
}

// MakeFolder makes one new folder that only its owner can enter.
func (w *Writer) MakeFolder(path string) error {
	if err := w.may(); err != nil {
		return err
	}
	return os.Mkdir(path, 0o700)
}

// Close closes it.
func (t *Tree) Close() error { return t.root.Close() }

// Lstat says what stands at a name.
func (t *Tree) Lstat(name string) (fs.FileInfo, error) { return t.root.Lstat(name) }

// Readlink reads a symbolic link.
func (t *Tree) Readlink(name string) (string, error) { return t.root.Readlink(name) }

// Open opens a regular file for reading.
func (t *Tree) Open(name string) (*File, error) {
	f, err := t.root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return regular(f, filepath.Join(t.root.Name(), name))
}

// Create begins a new file. It is for its owner alone until [Tree.Dress].
func (t *Tree) Create(name string) (*NewFile, error) {
	if err := t.may(); err != nil {
		return nil, err
	}
	f, err := t.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &NewFile{f: f}, nil
}

// NewFile is a file of a tree that is being written.
type NewFile struct{ f *os.File }

func (n *NewFile) Write(p []byte) (int, error) { return n.f.Write(p) }

// Close closes it. It is durable AFTER [Tree.Sync] alone.
func (n *NewFile) Close() error { return n.f.Close() }

// Mkdir makes a folder, and those above it, that are not there.
func (t *Tree) Mkdir(name string) error {
	if err := t.may(); err != nil {
		return err
	}
	return t.root.MkdirAll(name, 0o700)
}

// Symlink makes a symbolic link. Nothing is ever written through it.
func (t *Tree) Symlink(target, name string) error {
	if err := t.may(); err != nil {
		return err
	}
	return t.root.Symlink(target, name)
}

// Link gives a file of the tree a second name.
func (t *Tree) Link(old, name string) error {
	if err := t.may(); err != nil {
		return err
	}
	return t.root.Link(old, name)
}

// Rename moves within the tree, in place of what has the name.
func (t *Tree) Rename(old, name string) error {
	if err := t.may(); err != nil {
		return err
	}
	return t.root.Rename(old, name)
}

// RemoveAll removes a name and all below it.
func (t *Tree) RemoveAll(name string) error {
	if err := t.may(); err != nil {
		return err
	}
	return t.root.RemoveAll(name)
}

// Dress gives a new file or folder its owner, where this process may, and its mode and time.
func (t *Tree) Dress(name string, mode fs.FileMode, uid, gid int, at time.Time) error {
	if err := t.may(); err != nil {
		return err
	}
	if t.own {
		if err := t.root.Lchown(name, uid, gid); err != nil {
			return err
		}
	}
	if mode.Type() == fs.ModeSymlink {
		return nil
	}
	if err := t.root.Chmod(name, mode.Perm()); err != nil {
		return err
	}
	return t.root.Chtimes(name, at, at)
}

// Sync makes all that was written durable, contents and names. It is one flush of the file system, because
// one for each of a hundred thousand small files takes many times as long.
func (t *Tree) Sync() error {
	if err := t.may(); err != nil {
		return err
	}
	f, err := t.root.Open(".")
	if err != nil {
		return err
	}
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return errors.Join(&fs.PathError{Op: "syncfs", Path: t.root.Name(), Err: err}, f.Close())
	}
	return f.Close()
}
