package redis

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/handrail-dev/handrail/engine"
)

// node is one server.
type node struct {
	client  *goredis.Client
	address string
	timeout time.Duration
	db      int64

	// calls are those that were given up and may still wait for their answer; close waits for them.
	calls sync.WaitGroup
}

func (n *node) close() error {
	err := n.client.Close()
	n.calls.Wait()
	if errors.Is(err, goredis.ErrClosed) {
		return nil
	}
	return err
}

// wait runs f, which the client would not break off when ctx is cancelled, and returns when either ends.
// f must own everything that it touches.
func (n *node) wait(ctx context.Context, f func() error) error {
	if ctx.Done() == nil {
		return f()
	}
	done := make(chan error, 1)
	n.calls.Go(func() { done <- f() })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// call sends one command on any connection, once.
func (n *node) call(ctx context.Context, doing string, args ...any) (engine.Value, error) {
	if err := ctx.Err(); err != nil {
		return nil, faultOf(n.address, doing, err, false)
	}
	cmd := goredis.NewCmd(ctx, args...)
	err := n.wait(ctx, func() error { return n.client.Process(ctx, cmd) })
	return n.answer(cmd, err, doing, true)
}

// answer reads what came of a command. After a wait that was broken off, only the error may be looked at.
func (n *node) answer(cmd *goredis.Cmd, err error, doing string, sent bool) (engine.Value, error) {
	switch {
	case errors.Is(err, goredis.Nil):
		return nil, nil
	case err != nil:
		return nil, faultOf(n.address, doing, err, sent)
	}
	return valueOf(cmd.Val()), nil
}

// asks bounds how often a read is sent, when connections are lost.
const asks = 3

// ask sends a command that only reads; it repeats it on a new connection when one is lost.
func (n *node) ask(ctx context.Context, doing string, args ...any) (engine.Value, error) {
	for i := 1; ; i++ {
		v, err := n.call(ctx, doing, append([]any(nil), args...)...)
		var f *fault
		if err == nil || i == asks || !errors.As(err, &f) || f.reach != lost || isTimeout(f.cause) || ctx.Err() != nil {
			return v, err
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return nil, faultOf(n.address, doing, err, false)
		}
	}
}

// askAll sends reads in one go. Errors of single commands are in the errors.
func (n *node) askAll(ctx context.Context, doing string, commands [][]any) ([]engine.Value, []error, error) {
	pipe := n.client.Pipeline()
	cmds := make([]*goredis.Cmd, len(commands))
	for i, args := range commands {
		cmds[i] = pipe.Do(ctx, args...)
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, faultOf(n.address, doing, err, false)
	}
	err := n.wait(ctx, func() error { _, err := pipe.Exec(ctx); return err })
	if err != nil && !errors.As(err, new(goredis.Error)) {
		return nil, nil, faultOf(n.address, doing, err, true)
	}
	values, errs := make([]engine.Value, len(cmds)), make([]error, len(cmds))
	for i, c := range cmds {
		if err := c.Err(); err != nil && !errors.Is(err, goredis.Nil) {
			errs[i] = faultOf(n.address, doing, err, true)
			continue
		}
		values[i] = valueOf(c.Val())
	}
	return values, errs, nil
}

// pinned is one connection that a step has for itself.
type pinned struct {
	n    *node
	conn *goredis.Conn
	// asking: the node answers only who was sent to it by an ASK, which holds for one command.
	asking bool
	// under and using count the calls that use the connection, also those that were given up.
	under sync.WaitGroup
	using atomic.Int32
}

// pin takes a connection out of the pool and proves that it stands, so that an error of the next command
// on it means that the command was lost, and not that it was not sent.
func (n *node) pin(ctx context.Context, doing string) (*pinned, error) {
	p := &pinned{n: n, conn: n.client.Conn()}
	if _, err := p.send(ctx, doing, false, "PING"); err != nil && !answered(err) {
		p.release()
		return nil, err
	}
	return p, nil
}

// answered: the connection stands, even if the server does not answer a PING as things are. What it has
// to say, the command itself is told.
func answered(err error) bool {
	var f *fault
	if !errors.As(err, &f) || f.reach != refused {
		return false
	}
	switch f.code {
	case "NOPERM", "MISCONF", "LOADING", "BUSY", "MASTERDOWN", "NOREPLICAS":
		return true
	}
	return false
}

// call sends one command, once.
func (p *pinned) call(ctx context.Context, doing string, args ...any) (engine.Value, error) {
	return p.send(ctx, doing, true, args...)
}

func (p *pinned) send(ctx context.Context, doing string, sent bool, args ...any) (engine.Value, error) {
	if err := ctx.Err(); err != nil {
		return nil, faultOf(p.n.address, doing, err, false)
	}
	cmd := goredis.NewCmd(ctx, args...)
	asking := p.asking && sent
	err := p.run(ctx, func() error {
		if asking {
			if err := p.conn.Process(ctx, goredis.NewCmd(ctx, "ASKING")); err != nil {
				cmd.SetErr(err)
				return err
			}
		}
		return p.conn.Process(ctx, cmd)
	})
	return p.n.answer(cmd, err, doing, sent)
}

// plain is call for a command that has no keys, so that it needs no ASK.
func (p *pinned) plain(ctx context.Context, doing string, args ...any) (engine.Value, error) {
	return p.send(ctx, doing, false, args...)
}

// run is wait for something that uses the connection.
func (p *pinned) run(ctx context.Context, f func() error) error {
	p.under.Add(1)
	p.using.Add(1)
	return p.n.wait(ctx, func() error {
		defer p.under.Done()
		defer p.using.Add(-1)
		return f()
	})
}

// release gives the connection back, when nothing uses it any more.
func (p *pinned) release() {
	if p.using.Load() == 0 {
		_ = p.conn.Close()
		return
	}
	p.n.calls.Go(func() {
		p.under.Wait()
		_ = p.conn.Close()
	})
}
