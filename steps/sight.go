package steps

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/handrail-dev/handrail/engine"
)

// A saved plan holds good as long as what it was made from is still there: this container, that table. So a kind says
// where it looks at a thing what makes it this one ([Saw]), and a preview takes that in, whichever operation asked.

// sights collects what a preview sees.
type sights struct {
	mu   sync.Mutex
	seen map[string]string
}

type sightsKey struct{}

// watch lets what is seen under the context be collected.
func watch(ctx context.Context) (context.Context, *sights) {
	s := &sights{seen: map[string]string{}}
	return context.WithValue(ctx, sightsKey{}, s), s
}

// Watched tells whether somebody wants to know what is seen: it may cost a question more.
func Watched(ctx context.Context) bool {
	_, ok := ctx.Value(sightsKey{}).(*sights)
	return ok
}

// Saw notes what tells a thing from another of its name, such as the id of a container. It must stay the same as long
// as the thing is the same for a person who has agreed to a plan, and must hold no secret, nor anything that could be
// used to guess one.
func Saw(ctx context.Context, name, what string) {
	s, ok := ctx.Value(sightsKey{}).(*sights)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[name] = what
}

// list is what was seen, by name.
func (s *sights) list() []engine.Sight {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []engine.Sight
	for name, what := range s.seen {
		out = append(out, engine.Sight{Name: name, Value: what})
	}
	slices.SortFunc(out, func(a, b engine.Sight) int { return strings.Compare(a.Name, b.Name) })
	return out
}
