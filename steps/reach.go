package steps

import (
	"context"
	"fmt"
)

// Reacher opens targets, and can do nothing else. It is what the plan of a stranger's playbook has in the place of an
// [Executor]: no call, and so nothing that a playbook says, can be handed to it. What it sends are the questions that a
// kind asks of every target when it connects and examines it.
type Reacher struct {
	x     *Executor
	kinds map[string]string // by type of target: the first kind that acts on it
}

// NewReacher makes a reacher of targets.
func NewReacher(kinds []Kind, targets []Target) *Reacher {
	r := &Reacher{x: NewExecutor(kinds, targets, ReadOnly), kinds: map[string]string{}}
	for _, k := range kinds {
		def := k.Define()
		for _, t := range def.Targets {
			if _, ok := r.kinds[t.Name]; !ok {
				r.kinds[t.Name] = def.Name
			}
		}
	}
	return r
}

// Reach opens a target for reading, and looks at it as the doctor does. An error says why it cannot be had.
func (r *Reacher) Reach(ctx context.Context, target string) error {
	t, ok := r.x.targets[target]
	if !ok {
		return fmt.Errorf("nothing says where target %s is", target)
	}
	_, err := r.x.Reach(ctx, r.kinds[t.Type], target)
	return err
}

// Close closes every connection.
func (r *Reacher) Close() error { return r.x.Close() }
