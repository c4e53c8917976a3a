package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"

	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/disk"
)

const (
	chunk = 256 << 10
	// shownEvery is how many bytes pass between two reports of progress.
	shownEvery = 1 << 20
)

// meter counts the bytes that pass through its readers, shows them, and ends the passing when the step is
// cancelled.
type meter struct {
	stop        func() error
	show        func(done, total int64, unit string)
	done, total int64
	shown       int64
}

// newMeter makes one. A preview shows nothing.
func newMeter(ctx context.Context, env *steps.Env, total int64) *meter {
	m := &meter{stop: ctx.Err, show: func(int64, int64, string) {}, total: total}
	if env.Access == steps.Full {
		m.show = env.Progress
	}
	return m
}

func (m *meter) reader(r io.Reader) io.Reader { return metered{m, r} }

type metered struct {
	m *meter
	r io.Reader
}

func (x metered) Read(p []byte) (int, error) {
	if err := x.m.stop(); err != nil {
		return 0, err
	}
	n, err := x.r.Read(p)
	x.m.done += int64(n)
	if x.m.done-x.m.shown >= shownEvery || err == io.EOF && x.m.done != x.m.shown {
		x.m.shown = x.m.done
		x.m.show(x.m.done, x.m.total, "bytes")
	}
	return n, err
}

// pass copies in pieces.
func pass(to io.Writer, from io.Reader) (int64, error) {
	// The types are hidden, so that no shortcut between two files passes the meter by.
	return io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, chunk))
}

func hexOf(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// sum reads all of a file and says its SHA-256. It fails if the file is written to meanwhile.
func sum(m *meter, f *disk.File) (string, error) {
	h := sha256.New()
	if _, err := pass(h, m.reader(f)); err != nil {
		return "", err
	}
	return hexOf(h), f.Unchanged()
}

// sumOf opens a file and says its SHA-256.
func (s site) sumOf(m *meter, path string) (string, error) {
	f, err := s.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // it was only read
	return sum(m, f)
}
