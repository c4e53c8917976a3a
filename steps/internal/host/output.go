package host

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

// Tail keeps the end of what is written to it. The zero Tail keeps nothing; see [NewTail].
type Tail struct {
	max int
	buf []byte
	cut bool
}

// NewTail makes a Tail that keeps at most so many bytes.
func NewTail(bytes int) *Tail { return &Tail{max: bytes} }

// Write keeps the end of p.
func (t *Tail) Write(p []byte) (int, error) {
	n := len(p)
	if len(p) > t.max {
		p, t.cut = p[len(p)-t.max:], true
	}
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*t.max {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-t.max:]...)
		t.cut = true
	}
	return n, nil
}

// Cut says that not everything was kept.
func (t *Tail) Cut() bool { return t.cut || len(t.buf) > t.max }

// String is what was kept, as valid UTF-8, without the line ends at its end.
func (t *Tail) String() string {
	b := t.buf
	if len(b) > t.max {
		b = b[len(b)-t.max:]
	}
	if t.Cut() {
		for n := 0; n < utf8.UTFMax && len(b) > 0 && !utf8.RuneStart(b[0]); n++ {
			b = b[1:]
		}
	}
	b = bytes.TrimRight(b, "\r\n")
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// pump copies a pipe until its writers are gone, or until it is told to stop by a deadline. What the
// writer behind it thinks of it is not the command's fault: the pipe is read on.
func pump(from *os.File, to io.Writer) (stopped bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			_, _ = to.Write(buf[:n])
		}
		if err != nil {
			return errors.Is(err, os.ErrDeadlineExceeded)
		}
	}
}

// pumps are the goroutines that read the output of a command. Their owner calls stop.
type pumps struct {
	files []*os.File
	done  chan bool // one value for each file: whether it was stopped before its end
}

func startPumps(files []*os.File, to []io.Writer) *pumps {
	p := &pumps{files: files, done: make(chan bool, len(files))}
	for i, f := range files {
		go func() { p.done <- pump(f, to[i]) }()
	}
	return p
}

// stop waits for the end of every pipe, but no longer than so long, and closes them. left says that
// some process still held one open.
func (p *pumps) stop(patience time.Duration) (left bool) {
	deadline := time.Now().Add(patience)
	for _, f := range p.files {
		// Fails only on what is no pipe.
		_ = f.SetReadDeadline(deadline)
	}
	for range p.files {
		left = <-p.done || left
	}
	for _, f := range p.files {
		_ = f.Close() // a reading end
	}
	return left
}
