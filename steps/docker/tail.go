package docker

import (
	"io"
	"strings"
)

// tailBytes is how much of each stream of a command is kept for its result.
const tailBytes = 64 << 10

// tail passes on what is written and keeps the end of it, in memory that does not grow. It is used
// by one goroutine at a time.
type tail struct {
	next io.Writer
	ring []byte
	at   int   // where the next byte goes
	full bool  // the ring has been filled once
	err  error // of next; the stream is drained all the same, so that the command is not blocked
}

func newTail(next io.Writer) *tail { return &tail{next: next} }

func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	if t.err == nil {
		_, t.err = t.next.Write(p)
	}
	t.keep(p)
	return n, nil
}

func (t *tail) keep(p []byte) {
	if t.ring == nil {
		t.ring = make([]byte, tailBytes)
	}
	if len(p) > tailBytes {
		p, t.full = p[len(p)-tailBytes:], true
	}
	for len(p) > 0 {
		n := copy(t.ring[t.at:], p)
		p = p[n:]
		if t.at += n; t.at == tailBytes {
			t.at, t.full = 0, true
		}
	}
}

// String is the end of the stream. What is not UTF-8 is replaced.
func (t *tail) String() string {
	s := string(t.ring[:t.at])
	if t.full {
		s = string(t.ring[t.at:]) + s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
