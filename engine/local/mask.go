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

func (l *loop) maskEnd(s string) string {
	if l.MaskEnd == nil || s == "" {
		return l.mask(s)
	}
	return l.MaskEnd(s)
}

func (l *loop) maskOutcome(o engine.Outcome) engine.Outcome {
	if l.Mask == nil {
		return o
	}
	o.Err, o.Message, o.Tail = l.mask(o.Err), l.mask(o.Message), l.maskEnd(o.Tail)
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

// maskAny masks what an operation wants to be remembered.
func (l *loop) maskAny(v engine.Value) engine.Value {
	if l.Mask == nil {
		return v
	}
	return l.maskValue(v)
}

// cutFrom is the length from which on a text in a result may be the end of a longer one.
const cutFrom = 32 << 10

// maskValue masks the texts in a result: a secret that a target gives back must not be recorded.
func (l *loop) maskValue(v engine.Value) engine.Value {
	return engine.MapTexts(v, func(text string) string {
		if len(text) >= cutFrom {
			return l.maskEnd(text)
		}
		return l.Mask(text)
	})
}
