package mask

import (
	"strings"

	"github.com/handrail-dev/handrail/engine"
)

// ellipsis stands where something was left out.
const ellipsis = "…"

// shortestRest is the length in bytes from which on the rest of a secret is masked where a text was cut.
const shortestRest = 4

// End masks a text of which only the end was kept, so that it may begin within a secret.
func (s *Set) End(text string) string {
	if s.index.Load() == nil {
		return text
	}
	text = strings.TrimLeft(text, "\uFFFD") // what a cut through a letter has left
	if n := s.restAt(text, false); n > 0 {
		return engine.Masked + s.Text(text[n:])
	}
	return s.Text(text)
}

// aroundCuts masks the beginning of a secret in front of each ellipsis, and the end of one behind it.
func (s *Set) aroundCuts(text string) string {
	if !strings.Contains(text, ellipsis) {
		return text
	}
	parts := strings.Split(text, ellipsis)
	for i, p := range parts {
		if i > 0 {
			if n := s.restAt(p, false); n > 0 {
				p = engine.Masked + p[n:]
			}
		}
		if i < len(parts)-1 {
			if n := s.restAt(p, true); n > 0 {
				p = p[:len(p)-n] + engine.Masked
			}
		}
		parts[i] = p
	}
	return strings.Join(parts, ellipsis)
}

// restAt is how many bytes at the start of a text are the end of a secret, or at its end the beginning of
// one.
func (s *Set) restAt(text string, end bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	longest := 0
	for form := range s.known {
		for k := min(len(form)-1, len(text)); k >= shortestRest && k > longest; k-- {
			if !end && form[len(form)-k:] == text[:k] || end && form[:k] == text[len(text)-k:] {
				longest = k
			}
		}
	}
	return longest
}
