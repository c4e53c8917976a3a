// Package disk is the file system as operations get it: for looking, and, for those that
// may change something, for changing too.
//
// It guarantees that a [Reader] has no way to a change, that a [Writer] is made for full access only, and
// that what a Writer publishes under a name is whole and durable BEFORE the name leads to it. Files that are
// not regular, such as pipes and devices, are never opened.
//
// It never decides what to do: which files, and whether they may, is the operations' business.
package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Reader looks at files. The zero Reader is ready.
type Reader struct{}

// ErrNotRegular is what opening a folder, a pipe, a socket or a device gives.
var ErrNotRegular = errors.New("is not a regular file")

// Open opens a regular file for reading. It does not wait, as opening a pipe otherwise would.
func (Reader) Open(path string) (*File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return regular(f, path)
}

func regular(f *os.File, path string) (*File, error) {
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s %w", path, ErrNotRegular)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &File{f: f, info: info}, nil
}

// Stat says what a path leads to.
func (Reader) Stat(path string) (fs.FileInfo, error) { return os.Stat(path) }

// Lstat says what stands at a path; a symbolic link is not followed.
func (Reader) Lstat(path string) (fs.FileInfo, error) { return os.Lstat(path) }

// List names what is in a folder, sorted.
func (Reader) List(path string) ([]fs.DirEntry, error) { return os.ReadDir(path) }

// Readlink reads a symbolic link.
func (Reader) Readlink(path string) (string, error) { return os.Readlink(path) }

// Real is a path with all its symbolic links followed.
func (Reader) Real(path string) (string, error) { return filepath.EvalSymlinks(path) }

// Free says how many bytes there are for this process on the file system of a folder.
func (Reader) Free(folder string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(folder, &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: folder, Err: err}
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// Used says how full the file system of a folder is, in per cent as df counts them: of what is there for users who
// are not root, rounded up.
func (Reader) Used(folder string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(folder, &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: folder, Err: err}
	}
	used := int64(st.Blocks - st.Bfree)
	all := used + int64(st.Bavail)
	if all <= 0 {
		return 0, nil // a file system without blocks, such as /proc
	}
	return (100*used + all - 1) / all, nil
}

// Same says whether two infos are of the same file.
func Same(a, b fs.FileInfo) bool { return os.SameFile(a, b) }

// Owner is who owns a file, by number.
func Owner(info fs.FileInfo) (uid, gid int) {
	if st, ok := info.Sys().(*unixStat); ok {
		return int(st.Uid), int(st.Gid)
	}
	return -1, -1
}

// Links is how many names a file has.
func Links(info fs.FileInfo) int {
	if st, ok := info.Sys().(*unixStat); ok {
		return int(st.Nlink)
	}
	return 1
}

// Full says whether an error is that of a file system with no room left.
func Full(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// File is a file that is open for reading.
type File struct {
	f    *os.File
	info fs.FileInfo
}

// Info is how the file was when it was opened.
func (f *File) Info() fs.FileInfo { return f.info }

func (f *File) Read(p []byte) (int, error) { return f.f.Read(p) }

// Rewind goes back to the start.
func (f *File) Rewind() error {
	_, err := f.f.Seek(0, io.SeekStart)
	return err
}

// Close closes it.
func (f *File) Close() error { return f.f.Close() }

// Slurp reads all of a small file.
func (r Reader) Slurp(path string, most int64) ([]byte, error) {
	f, err := r.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > most {
		return nil, fmt.Errorf("%s has %s; at most %s are read", path, Size(max(f.Info().Size(), most+1)), Size(most))
	}
	return text, f.Unchanged()
}

// Size is a number of bytes for a person: 1.5 MiB.
func Size(n int64) string {
	f, units := float64(n), []string{"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	i := 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// ErrChanged is what [File.Unchanged] says of a file that was written to.
var ErrChanged = errors.New("was changed while it was read")

// Unchanged says, AFTER the file was read, whether that was one state of it: it has the size and time of
// change that it was opened with.
func (f *File) Unchanged() error {
	now, err := f.f.Stat()
	if err != nil {
		return err
	}
	if !Alike(f.info, now) {
		return fmt.Errorf("%s %w", f.f.Name(), ErrChanged)
	}
	return nil
}

// Alike says whether nothing shows that a file was written to between two looks at it.
func Alike(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && a.Mode().Type() == b.Mode().Type()
}
