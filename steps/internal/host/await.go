package host

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Await waits until nothing of an attempt is alive. Meanwhile it takes up the output of the command,
// which may be waiting for a reader. say is told who is waited for, whenever that changes. What is
// still alive when ctx ends is returned with its error.
//
// A free lock alone proves nothing, because programs such as sudo close what they inherit; so the
// process itself, its group, its session and the token in the environment of every process are looked
// for as well.
func (t Traces) Await(ctx context.Context, token string, past Past, stdout, stderr io.Writer, say func(string)) ([]Alive, error) {
	var out *pumps
	defer func() {
		if out != nil {
			out.stop(0)
		}
	}()
	said := ""
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		held, err := t.held(token)
		if err != nil {
			return nil, err
		}
		alive, err := survivors(token, past.Process)
		if err != nil {
			return nil, fmt.Errorf("look for what is alive of an earlier attempt: %w", err)
		}
		if !held && len(alive) == 0 {
			if out != nil {
				out.stop(patience)
				out = nil
			}
			return nil, nil
		}
		if now := names(alive); now != said {
			say(now)
			said = now
		}
		if out == nil {
			out = takeUp(alive, past.pipes, stdout, stderr)
		}
		next := time.NewTimer(pause)
		select {
		case <-next.C:
		case <-ctx.Done():
			next.Stop()
			if len(alive) == 0 {
				alive = []Alive{{Name: "an unknown process that holds its lock"}}
			}
			return alive, ctx.Err()
		}
	}
}

func names(alive []Alive) string {
	if len(alive) == 0 {
		return "a process that holds its lock"
	}
	all := make([]string, 0, len(alive))
	for i, a := range alive {
		if i == 5 {
			all = append(all, fmt.Sprintf("%d more", len(alive)-i))
			break
		}
		all = append(all, a.String())
	}
	return strings.Join(all, ", ")
}

// takeUp opens the output of the first process that still has both pipes.
func takeUp(alive []Alive, pipes [2]uint64, stdout, stderr io.Writer) *pumps {
	for _, a := range alive {
		var files []*os.File
		for i, fd := range []int{stdoutFD, stderrFD} {
			if f := openPipe(fmt.Sprintf("/proc/%d/fd/%d", a.PID, fd), pipes[i]); f != nil {
				files = append(files, f)
			}
		}
		if len(files) == 2 {
			return startPumps(files, []io.Writer{stdout, stderr})
		}
		for _, f := range files {
			_ = f.Close()
		}
	}
	return nil
}

// openPipe opens another process's pipe for reading. nil: it is not the pipe that was wanted, or not to
// be had; reading from any other would take away what belongs to somebody else.
func openPipe(name string, want uint64) *os.File {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	var s unix.Stat_t
	if unix.Fstat(fd, &s) != nil || s.Mode&unix.S_IFMT != unix.S_IFIFO || s.Ino != want {
		_ = unix.Close(fd)
		return nil
	}
	return os.NewFile(uintptr(fd), name)
}
