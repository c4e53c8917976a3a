package steps

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

const (
	// longestLook is how long a dry-run waits for a step that has no timeout of its own.
	longestLook = 5 * time.Minute
	// nextLook is how long it waits for a target that has kept it waiting for too long once.
	nextLook = 10 * time.Second
)

var errPatience = errors.New("a dry-run waits no longer")

// patience bounds how long a dry-run waits for an answer: a server that takes connections and says nothing would keep it,
// and whoever reads it, for ever. A run is bounded by the timeouts of its steps alone.
type patience struct {
	x      *Executor
	ctx    context.Context
	cancel context.CancelFunc
	target string
	limit  time.Duration
}

// patience begins to wait. Without a target it is for a file, or a program, on this host.
func (x *Executor) patience(ctx context.Context, target string, timeout time.Duration) (context.Context, *patience) {
	p := &patience{x: x, ctx: ctx, cancel: func() {}, target: target, limit: longestLook}
	if x.access != ReadOnly {
		return ctx, p
	}
	if timeout > 0 {
		p.limit = timeout
	}
	x.mu.Lock()
	if x.silent[target] {
		p.limit = min(p.limit, nextLook)
	}
	x.mu.Unlock()
	p.ctx, p.cancel = context.WithTimeoutCause(ctx, p.limit, errPatience)
	return p.ctx, p
}

// end says whether it was waited for too long, and remembers the target that has not answered.
func (p *patience) end() (over bool) {
	over = errors.Is(context.Cause(p.ctx), errPatience)
	p.cancel()
	if over && p.target != "" {
		p.x.mu.Lock()
		p.x.silent[p.target] = true
		p.x.mu.Unlock()
	}
	return over
}

// said puts in front of what is said how long was waited.
func (p *patience) said(what string) string {
	return fmt.Sprintf("not known within %s: %s", p.limit, what)
}

// preview is one look at what an operation would do.
func (x *Executor) preview(ctx context.Context, op Operation, env *Env) (engine.Impact, error) {
	ctx, p := x.patience(ctx, env.Call.Target, env.Call.Timeout)
	impact, err := op.Preview(ctx, env)
	switch over := p.end(); {
	case over && err != nil:
		err = fmt.Errorf("not known within %s: %w", p.limit, err)
	case over && impact.Standing == engine.StandingUnknown && impact.Why != "":
		impact.Why = p.said(impact.Why)
	}
	return impact, err
}

// execute carries out an operation; in a dry-run it is one that reads.
func (x *Executor) execute(ctx context.Context, op Operation, env *Env) engine.Outcome {
	ctx, p := x.patience(ctx, env.Call.Target, env.Call.Timeout)
	o := op.Execute(ctx, env)
	if p.end() && o.Err != "" {
		o.Err = p.said(o.Err)
	}
	return o
}
