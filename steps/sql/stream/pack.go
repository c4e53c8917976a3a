package stream

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// The ways to pack a dump.
const (
	Zstd  = "zstd"
	Gzip  = "gzip"
	Plain = "none"
)

// ByName is how a file of that name is packed.
func ByName(name string) string {
	switch name = strings.ToLower(name); {
	case strings.HasSuffix(name, ".zst"):
		return Zstd
	case strings.HasSuffix(name, ".gz"):
		return Gzip
	}
	return Plain
}

// Pack writes what is written to it, packed. Close ends it, and does not close to.
func Pack(to io.Writer, how string) (io.WriteCloser, error) {
	switch how {
	case Zstd:
		return zstd.NewWriter(to, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2))
	case Gzip:
		return newMembers(to, runtime.GOMAXPROCS(0)), nil
	case Plain:
		return unpacked{to}, nil
	}
	return nil, fmt.Errorf("%q is no way to pack a dump", how)
}

type unpacked struct{ io.Writer }

func (unpacked) Close() error { return nil }

const (
	zstdMagic = "\x28\xb5\x2f\xfd"
	gzipMagic = "\x1f\x8b"
	// widest bounds the memory that reading takes: what others have packed with a larger window is refused.
	widest = 64 << 20
)

// Unpack reads what was packed, whatever the way: the file says it itself. It fails where the packed text is
// cut short or damaged.
func Unpack(from io.Reader) (io.ReadCloser, error) {
	in := bufio.NewReaderSize(from, 1<<18)
	begin, err := in.Peek(len(zstdMagic))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(begin, []byte(zstdMagic)):
		d, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(2), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(widest))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	case bytes.HasPrefix(begin, []byte(gzipMagic)):
		return gzip.NewReader(in)
	}
	return io.NopCloser(in), nil
}

// member is how much text goes into one member of a gzip file. Every gzip reads several as one; they can be
// packed side by side.
const member = 1 << 20

// members packs by gzip on several cores. Its goroutines have ended when Close has returned.
type members struct {
	to    io.Writer
	buf   []byte
	begun bool
	queue chan *packed // in the order of the text; as long as there may be members at once
	free  chan []byte
	ended chan struct{}

	mu  sync.Mutex
	err error
}

// packed is one member; done is closed when it is ready.
type packed struct {
	text []byte
	out  bytes.Buffer
	err  error
	done chan struct{}
}

func newMembers(to io.Writer, atOnce int) *members {
	m := &members{to: to, queue: make(chan *packed, atOnce), free: make(chan []byte, atOnce+2), ended: make(chan struct{})}
	go m.write()
	return m
}

func (m *members) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if m.buf == nil {
			m.buf = m.room()
		}
		take := min(len(p), member-len(m.buf))
		m.buf, p = append(m.buf, p[:take]...), p[take:]
		if len(m.buf) == member {
			m.flush()
		}
	}
	return n, m.failed()
}

func (m *members) room() []byte {
	select {
	case b := <-m.free:
		return b[:0]
	default:
		return make([]byte, 0, member)
	}
}

// flush begins to pack what has come together.
func (m *members) flush() {
	p := &packed{text: m.buf, done: make(chan struct{})}
	m.buf, m.begun = nil, true
	m.queue <- p
	go func() {
		defer close(p.done)
		z, err := gzip.NewWriterLevel(&p.out, flate.DefaultCompression)
		if err == nil {
			_, err = z.Write(p.text)
			err = errors.Join(err, z.Close())
		}
		p.err = err
	}()
}

// write writes the members in their order.
func (m *members) write() {
	defer close(m.ended)
	for p := range m.queue {
		<-p.done
		err := p.err
		if err == nil && m.failed() == nil {
			_, err = m.to.Write(p.out.Bytes())
		}
		if err != nil {
			m.fail(err)
		}
		select {
		case m.free <- p.text:
		default:
		}
	}
}

func (m *members) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.err = err
	}
}

func (m *members) failed() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

func (m *members) Close() error {
	if len(m.buf) > 0 || !m.begun {
		m.flush() // not even an empty text is packed into nothing
	}
	close(m.queue)
	<-m.ended
	return m.failed()
}
