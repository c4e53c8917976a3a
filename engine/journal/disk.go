package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Disk is the state folder. Names are relative to it, with slashes. It stands between this package
// and the operating system so that tests can break it.
type Disk interface {
	// OpenFile opens a file, or a folder for reading. A file that it creates has exactly perm.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// Mkdir makes a folder with exactly perm.
	Mkdir(name string, perm fs.FileMode) error
	Rename(from, to string) error
	Remove(name string) error
}

// File is an open file or folder of a Disk.
type File interface {
	io.ReaderAt
	io.Writer // appends, when the file was opened so
	io.Closer
	Truncate(size int64) error
	// Sync returns when what was written is on the medium; of a folder, when its names are.
	Sync() error
	// Lock takes the file's lock for this open file; false: another one has it.
	Lock(exclusive bool) (bool, error)
	Size() (int64, error)
	Names() ([]string, error) // of a folder
}

const (
	fileMode   fs.FileMode = 0o600
	folderMode fs.FileMode = 0o700
)

// osDisk is a folder of this machine. Symbolic links inside cannot lead out of it.
type osDisk struct{ root *os.Root }

// openFolder opens a state folder that exists. It must be the caller's own, and nobody else may be
// able to put files there.
func openFolder(path string) (Disk, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	info, err := root.Stat(".")
	if err == nil {
		err = own(path, info)
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return osDisk{root}, nil
}

func own(path string, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("the owner of %s cannot be told", path)
	}
	if int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("the state folder %s belongs to user %d, and this is user %d; set HANDRAIL_STATE to a folder of your own",
			path, st.Uid, os.Geteuid())
	}
	if info.Mode().Perm()&0o002 != 0 {
		return fmt.Errorf("everybody can write to the state folder %s; type: chmod 700 %s", path, path)
	}
	return nil
}

// makeFolder makes a folder and those above it, readable by their owner alone under any umask.
func makeFolder(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		return fmt.Errorf("%s is not a folder", path)
	}
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if parent := filepath.Dir(path); parent != path {
		if err := makeFolder(parent); err != nil {
			return err
		}
	}
	err = os.Mkdir(path, folderMode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(path, folderMode)
}

func (d osDisk) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	if flag&os.O_CREATE == 0 {
		f, err := d.root.OpenFile(name, flag, 0)
		if err != nil {
			return nil, err
		}
		return osFile{f}, nil
	}
	f, err := d.root.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(perm); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return osFile{f}, nil
}

func (d osDisk) Mkdir(name string, perm fs.FileMode) error {
	if err := d.root.Mkdir(name, perm); err != nil {
		return err
	}
	return d.root.Chmod(name, perm)
}

func (d osDisk) Rename(from, to string) error { return d.root.Rename(from, to) }
func (d osDisk) Remove(name string) error     { return d.root.Remove(name) }

type osFile struct{ *os.File }

// Sync leaves out what does not matter for reading the bytes back, such as the time of the change.
func (f osFile) Sync() error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = unix.Fdatasync(int(fd)) }); err != nil {
		return err
	}
	return failed
}

func (f osFile) Lock(exclusive bool) (bool, error) {
	how := unix.LOCK_SH
	if exclusive {
		how = unix.LOCK_EX
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return false, err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = unix.Flock(int(fd), how|unix.LOCK_NB) }); err != nil {
		return false, err
	}
	if errors.Is(failed, unix.EWOULDBLOCK) {
		return false, nil
	}
	return failed == nil, failed
}

// Close lets go of the lock as well. Closing alone would not always: a child that is being started has a copy of each descriptor until it
// is another program, and the lock would live on in it for as long as that takes on a busy machine.
func (f osFile) Close() error {
	raw, err := f.SyscallConn()
	if err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.Flock(int(fd), unix.LOCK_UN) }) // where there was none nothing is let go of
	}
	return f.File.Close()
}

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f osFile) Names() ([]string, error) { return f.Readdirnames(-1) }

// readFile reads a whole file of at most limit bytes.
func readFile(d Disk, name string, limit int64) ([]byte, error) {
	f, err := d.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("%s has %d bytes; at most %d are read", name, size, limit)
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:n], nil
}

// writeFile makes a new file and returns when its bytes are on the medium; its name is there AFTER the
// folder was synced.
func writeFile(d Disk, name string, data []byte) error {
	f, err := d.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// syncFolder returns when the names in a folder are on the medium.
func syncFolder(d Disk, name string) error {
	f, err := d.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

func names(d Disk, folder string) ([]string, error) {
	f, err := d.OpenFile(folder, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	return f.Names()
}
