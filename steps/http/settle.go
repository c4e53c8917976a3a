package http

import (
	"context"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// sentNote is durable BEFORE the first byte of a request leaves. ended, if not empty, says how waiting
// for the answer came to its end.
func (q *request) sentNote(env *steps.Env, ended string) engine.Record {
	return engine.Record{"attempt": int64(env.Call.Attempt), "to": q.shown(), "ended": ended}
}

// Settle says what is known of an attempt that was cut off. Without its note, nothing of the request was
// sent. With it nobody here can know: a server goes on with a request whether or not somebody waits for
// the answer, so the attempt is never called dead, and a No of done_if permits no other.
func (q *request) Settle(_ context.Context, env *steps.Env) engine.Settlement {
	note, _ := env.Call.Note.(engine.Record)
	if attempt, ok := note["attempt"].(int64); !ok || attempt != int64(env.Call.Attempt) {
		return engine.Settlement{Verdict: engine.VerdictNotDone, Dead: true,
			Evidence: []string{"nothing of " + q.shown() + " was sent"}}
	}
	how := "the engine was gone before an answer was recorded"
	if ended, _ := note["ended"].(string); ended != "" {
		how = ended
	}
	return engine.Settlement{Evidence: []string{q.shown() + " was sent; " + how, q.trace(env)}}
}
