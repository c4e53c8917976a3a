package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// descriptors are those of ours that a start leaves open.
type descriptors []int

func (d *descriptors) add(fds ...int) { *d = append(*d, fds...) }

// keep takes some out of what is closed.
func (d *descriptors) keep(fds ...int) {
	*d = slices.DeleteFunc(*d, func(fd int) bool { return slices.Contains(fds, fd) })
}

func (d *descriptors) close() {
	for _, fd := range *d {
		_ = unix.Close(fd) // the command has its own
	}
}

// pipe makes a pipe whose reading end does not block.
func pipe() (reading, writing int, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return -1, -1, fmt.Errorf("make a pipe: %w", err)
	}
	// The end was made a moment ago: what its flags are need not be asked.
	if _, err := unix.FcntlInt(uintptr(p[0]), unix.F_SETFL, unix.O_NONBLOCK); err != nil {
		_, _ = unix.Close(p[0]), unix.Close(p[1])
		return -1, -1, fmt.Errorf("make a pipe: %w", err)
	}
	return p[0], p[1], nil
}

// openStdin gives the input as a file in memory: the command gets all of it, even when the engine dies
// meanwhile, and it is on no disk.
func openStdin(text string) (int, error) {
	if text == "" {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return 0, fmt.Errorf("open /dev/null: %w", err)
		}
		return fd, nil
	}
	fd, err := unix.MemfdCreate("stdin", unix.MFD_CLOEXEC)
	if err != nil {
		return 0, fmt.Errorf("make room for stdin: %w", err)
	}
	for rest := []byte(text); len(rest) > 0; {
		n, err := unix.Write(fd, rest)
		if err != nil && !errors.Is(err, unix.EINTR) {
			_ = unix.Close(fd)
			return 0, fmt.Errorf("write stdin: %w", err)
		}
		rest = rest[max(n, 0):]
	}
	if _, err := unix.Seek(fd, 0, io.SeekStart); err != nil {
		_ = unix.Close(fd)
		return 0, fmt.Errorf("write stdin: %w", err)
	}
	return fd, nil
}

func startError(c Command, err error) error {
	name := c.Argv[0]
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("%s is neither a program nor a script that begins with #!; run it with a shell: [sh, %s]", name, name)
	case errors.Is(err, syscall.ENOENT):
		return fmt.Errorf("start %s: the interpreter that it names does not exist", name)
	case errors.Is(err, syscall.E2BIG):
		return fmt.Errorf("start %s: its arguments and environment are too long; hand them over with stdin", name)
	}
	return fmt.Errorf("start %s: %w", name, err)
}

// LookPath finds the file that a command's name stands for: with a slash in it, from dir on; without
// one, in the folders of path, of which only absolute ones count. It must be there.
func LookPath(name, path, dir string) (string, error) {
	file, err := FileOf(name, path, dir)
	if err == nil && strings.Contains(name, "/") {
		err = executable(file)
	}
	return file, err
}

// FileOf is LookPath, but for a name with a slash in it, which says itself which file it is: whether that
// is there is told by starting it.
func FileOf(name, path, dir string) (string, error) {
	if strings.Contains(name, "/") {
		if !strings.HasPrefix(name, "/") && dir != "" {
			return strings.TrimSuffix(dir, "/") + "/" + name, nil
		}
		return name, nil
	}
	for _, folder := range strings.Split(path, ":") {
		if !strings.HasPrefix(folder, "/") {
			continue
		}
		if file := folder + "/" + name; executable(file) == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("there is no command %s in PATH (%s)", name, path)
}

func executable(file string) error {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("there is no file %s", file)
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a folder, not a program", file)
	}
	if err := unix.Access(file, unix.X_OK); err != nil {
		return fmt.Errorf("%s may not be executed by this user; `chmod +x` it, or run it with a shell", file)
	}
	return nil
}
