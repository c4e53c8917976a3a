package host

import (
	"bytes"
	"strings"
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
