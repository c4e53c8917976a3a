package sql

import (
	"context"
	"fmt"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/internal/ask"
)

// rest is what a move does between two batches, for the sake of the others on the server.
type rest struct {
	pause   time.Duration
	nice    float64 // times what the batch took
	running int64   // rest while more statements are running; 0: it is not asked
	hold    []engine.Question
}

const (
	// runningEvery and holdEvery are how long an answer of the server, and of the probes, holds.
	runningEvery = 200 * time.Millisecond
	holdEvery    = time.Second
)

// tiredness is what the server said of its load, and when.
type tiredness struct {
	running, hold time.Time
	said          string
}

// wait waits; false: something ended it, and the attempt ends too.
func (o *mover) wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-o.env.Draining():
	}
	return false
}

// pauseAfter rests AFTER a batch that took so long, and as long as the server or a probe asks for it.
func (o *mover) pauseAfter(ctx context.Context, took time.Duration) error {
	if !o.wait(ctx, o.rest.pause+time.Duration(o.rest.nice*float64(took))) {
		return o.ended(ctx, "")
	}
	for {
		why, again, err := o.tiring(ctx)
		if err != nil {
			return err
		}
		if why == "" {
			o.tired.said = ""
			return nil
		}
		if why != o.tired.said {
			o.tired.said = why
			if _, err := fmt.Fprintf(o.env.Output(), "rests AFTER %d rows: %s\n", o.at.moved, why); err != nil {
				return err
			}
		}
		if !o.wait(ctx, again) {
			return o.ended(ctx, why)
		}
	}
}

// ended is the error of a rest that a timeout or a person has ended; nil: the move is asked to stop.
func (o *mover) ended(ctx context.Context, why string) error {
	if ctx.Err() == nil {
		return nil
	}
	if why != "" {
		return fmt.Errorf("%s: stopped while it rested: %s", o.s.c.where, why)
	}
	return fmt.Errorf("%s: stopped while it rested", o.s.c.where)
}

// tiring says why the move must rest now, and when to ask again; empty: it need not.
func (o *mover) tiring(ctx context.Context) (why string, again time.Duration, err error) {
	now := o.env.Now()
	if text := o.s.c.d.running(); text != "" && o.rest.running > 0 && now.Sub(o.tired.running) >= runningEvery {
		o.tired.running = now
		rows, err := o.s.rows(ctx, "ask how many statements are running", text)
		if err != nil {
			return "", 0, err
		}
		if len(rows) > 0 {
			if n := number(rows[0][len(rows[0])-1]); n > o.rest.running {
				return fmt.Sprintf("%d statements are running on the server, and max_threads_running is %d", n, o.rest.running), runningEvery, nil
			}
		}
	}
	if len(o.rest.hold) == 0 || now.Sub(o.tired.hold) < holdEvery {
		return "", 0, nil
	}
	o.tired.hold = now
	for i, a := range ask.All(ctx, o.env, o.rest.hold) {
		if a.Asked != engine.Yes {
			return fmt.Sprintf("go_while %s: %s", o.rest.hold[i].String(), ask.Said(a)), holdEvery, nil
		}
	}
	return "", 0, nil
}
