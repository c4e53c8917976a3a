// Package mask replaces secrets in what is written for people.
//
// A [Set] knows secrets, each in the forms in which programs tend to print it: as it is, in base64
// (also inside a longer text that was encoded as a whole), escaped for a URL or for JSON, in
// hexadecimal, and line by line. [Set.Text] masks a text; [Set.Writer] masks a stream, also where a
// secret is split across writes, holding back no more than the longest form of a secret.
//
// What it cannot do: find a secret that was changed in another way (encrypted, compressed, wrapped at a
// column). It never writes, stores or prints a secret itself.
package mask

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/handrail-dev/handrail/engine"
)

// Shortest is the length in bytes from which on a secret can be masked without harm. A shorter one is
// masked too, but it occurs by chance in any text.
const Shortest = 4

// Set is a set of secrets. It is safe for use by several goroutines; what is added counts for all
// bytes that are written afterwards. The zero Set masks nothing.
type Set struct {
	mu    sync.Mutex
	known map[string]bool
	index atomic.Pointer[index]
}

// Add adds a secret. The warning, if not empty, says why it is unwise to have such a secret; it does
// not contain it. The empty secret is left out.
func (s *Set) Add(name, secret string) (warning string) {
	if secret == "" {
		return fmt.Sprintf("secret %s is empty", name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[string]bool{}
	}
	added := false
	for _, form := range forms(secret) {
		if !s.known[form] {
			s.known[form] = true
			added = true
		}
	}
	if added {
		s.index.Store(newIndex(s.known))
	}
	if len(secret) < Shortest {
		return fmt.Sprintf("secret %s has only %d characters: it is masked wherever these occur by chance, which makes the output hard to read and gives the secret away; use a longer one", name, len(secret))
	}
	return ""
}

// Text masks a text. Where something was left out of it (…), what is left of a secret on either side is
// masked, too.
func (s *Set) Text(text string) string {
	if s.index.Load() == nil {
		return text
	}
	text = s.aroundCuts(text)
	var out bytes.Buffer
	w := s.Writer(&out)
	// Writing to a buffer cannot fail.
	_, _ = io.WriteString(w, text)
	_ = w.Flush()
	return out.String()
}

// Value masks every text in a value, names in records included. Lists and records are copied.
func (s *Set) Value(v engine.Value) engine.Value {
	if s.index.Load() == nil {
		return v
	}
	return engine.MapTexts(v, s.Text)
}

// Writer masks what passes through it on its way to w. The end of what was written is held back while
// it may be the beginning of a secret; [Writer.Flush] lets it go.
func (s *Set) Writer(w io.Writer) *Writer { return &Writer{set: s, to: w} }

// Writer is a stream on which secrets are masked. It is for one goroutine.
type Writer struct {
	set  *Set
	to   io.Writer
	held []byte
	out  []byte // kept from call to call, to spare allocations
	// covered is how many bytes at the head of held belong to a secret whose mask has been written.
	covered int
}

// Write masks p. It returns len(p) unless the writer behind it fails.
func (w *Writer) Write(p []byte) (int, error) {
	if err := w.pass(p, false); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush writes what was held back.
func (w *Writer) Flush() error { return w.pass(nil, true) }

func (w *Writer) pass(p []byte, final bool) error {
	x := w.set.index.Load()
	if x == nil {
		if len(p) == 0 {
			return nil
		}
		_, err := w.to.Write(p)
		return err
	}
	data := p
	if len(w.held) > 0 {
		data = append(w.held, p...)
	}
	var rest int
	w.out, rest, w.covered = x.mask(w.out[:0], data, w.covered, final)
	w.held = append(w.held[:0], data[rest:]...)
	if len(w.out) == 0 {
		return nil
	}
	_, err := w.to.Write(w.out)
	return err
}
