package host

import (
	"context"
	"fmt"
	"io"
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
	w, err := newWatch(ctx, -1, -1, -1, [2]io.Writer{stdout, stderr})
	if err != nil {
		return nil, err
	}
	defer w.close()
	said := ""
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		held, err := held(past.lock)
		if err != nil {
			return nil, err
		}
		alive, err := survivors(token, past.Process)
		if err != nil {
			return nil, fmt.Errorf("look for what is alive of an earlier attempt: %w", err)
		}
		if !held && len(alive) == 0 {
			return nil, w.readUntil(ctx, time.Now().Add(patience), true)
		}
		if now := names(alive); now != said {
			say(now)
			said = now
		}
		if !w.reading() {
			w.takeUp(alive, past.pipes)
		}
		if err := w.readUntil(ctx, time.Now().Add(pause), false); err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			if len(alive) == 0 {
				alive = []Alive{{Name: "an unknown process that holds its lock"}}
			}
			return alive, ctx.Err()
		}
	}
}

// readUntil reads what comes until then, or until ctx ends. toEnd: no longer than there is a writer.
func (w *watch) readUntil(ctx context.Context, then time.Time, toEnd bool) error {
	for ctx.Err() == nil && time.Now().Before(then) && (w.reading() || !toEnd) {
		if _, err := w.wait(then); err != nil {
			return err
		}
	}
	return nil
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
func (w *watch) takeUp(alive []Alive, pipes [2]uint64) {
	for _, a := range alive {
		for i, fd := range []int{stdoutFD, stderrFD} {
			w.fds[i].Fd = int32(openPipe(fmt.Sprintf("/proc/%d/fd/%d", a.PID, fd), pipes[i]))
		}
		if w.fds[watchStdout].Fd >= 0 && w.fds[watchStderr].Fd >= 0 {
			return
		}
		w.drop(watchStdout)
		w.drop(watchStderr)
	}
}

// openPipe opens another process's pipe for reading. -1: it is not the pipe that was wanted, or not to
// be had; reading from any other would take away what belongs to somebody else.
func openPipe(name string, want uint64) int {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	var s unix.Stat_t
	if unix.Fstat(fd, &s) != nil || s.Mode&unix.S_IFMT != unix.S_IFIFO || s.Ino != want {
		_ = unix.Close(fd)
		return -1
	}
	return fd
}
