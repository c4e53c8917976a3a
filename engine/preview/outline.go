package preview

import (
	"context"
	"fmt"
	"unicode/utf8"

	"github.com/handrail-dev/handrail/engine"
)

// bounds are what the plan of a stranger's playbook may come to.
type bounds struct {
	steps int // lines
	paths int // bytes of all paths: the keys of loops are in them
	text  int // bytes of a single text
}

// outlineBounds: what a person can be expected to read, and more.
var outlineBounds = bounds{steps: 2000, paths: 4 << 20, text: 2000}

// Outline makes the plan of a playbook that nobody has read yet. It is handed nothing that could ask anything, so no
// step kind, whatever it does in its preview, has a part in it: each step is judged as it was when the playbook was loaded. given
// must hold an [engine.Unknown] for everything that the playbook must not know; then nothing of that can decide what
// the plan says. When the run starts is not known either: a playbook could do no harm on the day on which it is looked at. What the walk could come to is bounded.
func Outline(ctx context.Context, pb *engine.Playbook, start engine.RunStarted, given engine.Given) (*Plan, error) {
	return outline(ctx, pb, start, given, outlineBounds)
}

func outline(ctx context.Context, pb *engine.Playbook, start engine.RunStarted, given engine.Given, b bounds) (*Plan, error) {
	given.Timeless = true
	w := newWalk(pb, start, given, nil)
	w.bounds, w.plan.Offline, w.plan.Untrusted = &b, false, true
	return w.make(ctx, start)
}

// exceeded says which bound the plan has passed; empty: none.
func (w *walk) exceeded() string {
	switch b := w.bounds; {
	case b == nil:
	case len(w.plan.Steps) > b.steps:
		return fmt.Sprintf("the plan ends here: it would have more than %d steps", b.steps)
	case w.paths > b.paths:
		return fmt.Sprintf("the plan ends here: the names of its steps have more than %d bytes", b.paths)
	}
	return ""
}

// shorten keeps the texts of a plan within its bounds.
func (w *walk) shorten() {
	most := w.bounds.text
	for i := range w.plan.Steps {
		s := &w.plan.Steps[i]
		s.Title, s.Would, s.Why = cut(s.Title, most), cut(s.Would, most), cut(s.Why, most)
	}
	w.plan.Error = cut(w.plan.Error, most)
}

// cut keeps the beginning of a text, in whole characters.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "…"
}

// aloof says why nothing was asked of anybody.
func (w *walk) aloof() string {
	if w.plan.Untrusted {
		return "nothing that the playbook says is asked of anybody"
	}
	return "the plan is offline"
}
