package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// watch waits for output, for the end of a process and for the end of a context at the same time, all
// in the goroutine of its owner. A command is over in less time than several goroutines need to tell
// each other that it is.
type watch struct {
	fds  [4]unix.PollFd
	to   [2]io.Writer
	buf  []byte
	stop func() bool
	// ending: an output has come to its end, so most likely the process is about to.
	ending bool
	// roomy: the pipes hold far more than is written at once, so what comes may gather in them.
	roomy bool
	came  int64     // bytes so far, where they may gather
	few   bool      // the last of it was little
	small [512]byte // buf, until more is written
}

// Programs write to a pipe in pieces of a page. Waking up for each page of what is written without end costs as
// much as all that is done with it; so from gatherFrom bytes on it gathers for gatherTime.
const (
	roomyPipe  = 1 << 20
	gatherFrom = 256 << 10
	gatherTime = time.Millisecond
	fewBytes   = 64 << 10
)

// widen gives a pipe more room. That the system allows no more is of no matter.
func widen(pipe int) bool {
	n, err := unix.FcntlInt(uintptr(pipe), unix.F_SETPIPE_SZ, roomyPipe)
	return err == nil && n >= roomyPipe
}

// endingTime is how long only the end of a process is waited for when one of its outputs has ended. Most
// often everything ends at once, and waking up for each would cost more than all the rest.
const endingTime = 2 * time.Millisecond

// The places in watch.fds.
const (
	watchStdout = iota
	watchStderr
	watchProcess
	watchContext
)

// newWatch makes a watch of two pipes and a process; -1 stands for none. It owns all of them.
func newWatch(ctx context.Context, stdout, stderr, process int, to [2]io.Writer) (*watch, error) {
	w := &watch{to: to, stop: func() bool { return true }}
	wake := -1
	if ctx.Done() != nil {
		var err error
		if wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
			return nil, fmt.Errorf("make an event: %w", err)
		}
	}
	for i, fd := range []int{stdout, stderr, process, wake} {
		w.fds[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	}
	if wake >= 0 {
		done := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			// Eight bytes for an event cannot fail to be taken.
			_, _ = unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
			close(done)
		})
		w.stop = func() bool {
			if stop() {
				return true
			}
			<-done
			return false
		}
	}
	return w, nil
}

// close closes all that the watch still has.
func (w *watch) close() {
	w.stop()
	for i := range w.fds {
		w.drop(i)
	}
}

// drop closes one of the descriptors. poll passes over a negative one.
func (w *watch) drop(i int) {
	if w.fds[i].Fd >= 0 {
		_ = unix.Close(int(w.fds[i].Fd)) // only read from
		w.fds[i].Fd = -1
	}
}

// reading: an output has not come to its end.
func (w *watch) reading() bool { return w.fds[watchStdout].Fd >= 0 || w.fds[watchStderr].Fd >= 0 }

// wait waits until something happens, at most until the deadline, if it is not zero, and hands over the
// output that has come. exited says that the process has ended.
func (w *watch) wait(deadline time.Time) (exited bool, err error) {
	timeout := -1
	if !deadline.IsZero() {
		timeout = int(max(0, (time.Until(deadline)+time.Millisecond-1)/time.Millisecond))
	}
	for i := range w.fds {
		w.fds[i].Revents = 0
	}
	from := 0
	if w.ending && w.fds[watchProcess].Fd >= 0 {
		from = watchProcess
		if limit := int(endingTime / time.Millisecond); timeout < 0 || timeout > limit {
			timeout = limit
		}
	}
	w.ending = false
	if w.few && w.came >= gatherFrom && from == 0 {
		_, _ = unix.Poll(w.fds[watchProcess:], int(gatherTime/time.Millisecond)) // what it sees is seen below again
	}
	n, err := unix.Poll(w.fds[from:], timeout)
	if errors.Is(err, unix.EINTR) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("wait for a command: %w", err)
	}
	if n == 0 {
		return false, nil
	}
	for i := range w.to {
		if w.fds[i].Revents != 0 {
			w.read(i)
		}
	}
	if w.fds[watchContext].Revents != 0 {
		w.drop(watchContext) // once is enough; the owner asks the context
	}
	if w.fds[watchProcess].Revents != 0 {
		w.drop(watchProcess)
		exited = true
	}
	return exited, nil
}

// read hands over what a pipe holds. What the writer behind it thinks of that is not the command's
// fault.
func (w *watch) read(i int) (more bool) {
	if w.buf == nil {
		w.buf = w.small[:]
	}
	n, err := unix.Read(int(w.fds[i].Fd), w.buf)
	switch {
	case n > 0:
		_, _ = w.to[i].Write(w.buf[:n])
		most := 64 << 10
		if w.roomy {
			most, w.few, w.came = 256<<10, n < fewBytes, w.came+int64(n)
		}
		if n == len(w.buf) && n < most {
			w.buf = make([]byte, min(8*n, most))
		}
		return true
	case errors.Is(err, unix.EINTR):
		return true
	case errors.Is(err, unix.EAGAIN):
	default:
		w.drop(i) // its writers are gone
		w.ending = true
	}
	return false
}

// drain reads what there is.
func (w *watch) drain() {
	for i := range w.to {
		for again := true; again && w.fds[i].Fd >= 0; {
			again = w.read(i)
		}
	}
}
