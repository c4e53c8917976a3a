package local

import (
	"context"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// tailBytes is how much of a step's output the journal keeps of a failure.
const tailBytes = 2048

// progressEvery bounds how often a step may speak to the screen.
const progressEvery = 50 * time.Millisecond

// attendant serves one command. An operation may use it from several goroutines.
type attendant struct {
	loop      *loop
	ctx       context.Context // of the command; it lives exactly as long as the attendant
	drain     <-chan struct{}
	step      string
	sensitive bool

	mu     sync.Mutex
	log    io.WriteCloser
	last   []byte
	shown  time.Time
	closed bool
}

var _ engine.Attendant = (*attendant)(nil)

// Draining is closed when the command should stop where another attempt can go on. Operations find it by
// asking for it.
func (a *attendant) Draining() <-chan struct{} { return a.drain }

// Note returns when the note is durable.
func (a *attendant) Note(v engine.Value) error {
	n, err := engine.Normalize(v)
	if err != nil {
		return err
	}
	return a.loop.note(engine.Noted{Step: a.step, Note: engine.Typed{V: a.loop.maskAny(n)}})
}

// Progress is shown if the loop has time for it, and forgotten if not.
func (a *attendant) Progress(done, total int64, unit string) {
	a.mu.Lock()
	now := a.loop.Clock.Now()
	due := now.Sub(a.shown) >= progressEvery || done == total
	if due {
		a.shown = now
	}
	a.mu.Unlock()
	if !due {
		return
	}
	a.loop.glance(Notice{Progress: &Progress{Step: a.step, Done: done, Total: total, Unit: unit}})
}

// Write appends to the step's log and keeps the end of it. A sensitive step leaves no log.
func (a *attendant) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.sensitive || a.closed {
		return len(p), nil
	}
	a.keep(p)
	if a.log == nil {
		if a.loop.Logs == nil {
			return len(p), nil
		}
		log, err := a.loop.Logs(a.step)
		if err != nil {
			return 0, err
		}
		a.log = log
	}
	return a.log.Write(p)
}

func (a *attendant) keep(p []byte) {
	if len(p) >= tailBytes {
		a.last = append(a.last[:0], p[len(p)-tailBytes:]...)
		return
	}
	a.last = append(a.last, p...)
	if over := len(a.last) - tailBytes; over > 0 {
		a.last = append(a.last[:0], a.last[over:]...)
	}
}

// tail is the end of the output, from a whole line on.
func (a *attendant) tail() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := strings.ToValidUTF8(string(a.last), "\uFFFD")
	if len(a.last) == tailBytes {
		if i := strings.IndexByte(s, '\n'); i >= 0 && i+1 < len(s) {
			s = s[i+1:]
		}
	}
	return strings.TrimRight(s, "\n")
}

func (a *attendant) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	if a.log != nil {
		_ = a.log.Close()
		a.log = nil
	}
}
