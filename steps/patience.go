package steps

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

const (
	// longestLook is how long a dry-run waits for a step that has no timeout of its own.
	longestLook = 5 * time.Minute
	// nextLook is how long it waits for a target that has kept it waiting for too long once.
	nextLook = 10 * time.Second
)

// impatience is the cause that ends a wait of a dry-run, and those within it: what a step asks others.
type impatience struct {
	limit time.Duration
	told  atomic.Bool // by one that was within it
}

func (*impatience) Error() string { return "a dry-run waits no longer" }

// patience bounds how long a dry-run waits for an answer: a server that takes connections and says nothing would keep it,
// and whoever reads it, for ever. A run is bounded by the timeouts of its steps alone.
type patience struct {
	x      *Executor
	ctx    context.Context
	cancel context.CancelFunc
	target string
	cause  *impatience // its own; nil: it is a run
}

// patience begins to wait. Without a target it is for a file, or a program, on this host.
func (x *Executor) patience(ctx context.Context, target string, timeout time.Duration) (context.Context, *patience) {
	p := &patience{x: x, ctx: ctx, cancel: func() {}, target: target}
	if x.access != ReadOnly {
		return ctx, p
	}
	p.cause = &impatience{limit: cmp.Or(timeout, longestLook)}
	x.mu.Lock()
	if x.silent[target] {
		p.cause.limit = min(p.cause.limit, nextLook)
	}
	x.mu.Unlock()
	p.ctx, p.cancel = context.WithTimeoutCause(ctx, p.cause.limit, p.cause)
	return p.ctx, p
}

// end remembers the target that has not answered in time. before stands in front of what is said of that then. It is empty
// where there was an answer, and where one within this has said it.
func (p *patience) end() (before string) {
	var cause *impatience
	over := errors.As(context.Cause(p.ctx), &cause)
	p.cancel()
	if !over {
		return ""
	}
	if p.target != "" {
		p.x.mu.Lock()
		p.x.silent[p.target] = true
		p.x.mu.Unlock()
	}
	switch {
	case cause != p.cause:
		cause.told.Store(true)
	case cause.told.Load():
		return ""
	}
	return fmt.Sprintf("not known within %s: ", cause.limit)
}

// preview is one look at what an operation would do.
func (x *Executor) preview(ctx context.Context, op Operation, env *Env) (engine.Impact, error) {
	ctx, p := x.patience(ctx, env.Call.Target, env.Call.Timeout)
	impact, err := op.Preview(ctx, env)
	before := p.end()
	if err != nil && before != "" {
		err = fmt.Errorf("%s%w", before, err)
	}
	if impact.Standing == engine.StandingUnknown && impact.Why != "" {
		impact.Why = before + impact.Why
	}
	return impact, err
}

// execute carries out an operation; in a dry-run it is one that reads.
func (x *Executor) execute(ctx context.Context, op Operation, env *Env) engine.Outcome {
	ctx, p := x.patience(ctx, env.Call.Target, env.Call.Timeout)
	o := op.Execute(ctx, env)
	if before := p.end(); o.Err != "" {
		o.Err = before + o.Err
	}
	return o
}
