package local

import (
	"context"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// within bounds an attempt by its step's timeout.
func (l *loop) within(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, timeout, errTimeout)
}

func (l *loop) mask(s string) string {
	if l.Mask == nil || s == "" {
		return s
	}
	return l.Mask(s)
}

func (l *loop) maskOutcome(o engine.Outcome) engine.Outcome {
	if l.Mask == nil {
		return o
	}
	o.Err, o.Message, o.Tail = l.mask(o.Err), l.mask(o.Message), l.mask(o.Tail)
	for i, line := range o.Evidence {
		o.Evidence[i] = l.mask(line)
	}
	o.Result = l.maskResult(o.Result)
	return o
}

func (l *loop) maskResult(r engine.Record) engine.Record {
	if l.Mask == nil || r == nil {
		return r
	}
	out, _ := l.maskValue(r).(engine.Record)
	return out
}

// maskValue masks the texts in a result: a secret that a target gives back must not be recorded.
func (l *loop) maskValue(v engine.Value) engine.Value {
	switch x := v.(type) {
	case string:
		return l.Mask(x)
	case engine.Bytes:
		if masked := l.Mask(string(x)); masked != string(x) {
			return masked
		}
		return x
	case engine.List:
		out := make(engine.List, len(x))
		for i, e := range x {
			out[i] = l.maskValue(e)
		}
		return out
	case engine.Record:
		out := make(engine.Record, len(x))
		for k, e := range x {
			out[k] = l.maskValue(e)
		}
		return out
	}
	return v
}
