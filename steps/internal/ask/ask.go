// Package ask asks several probes at the same time.
//
// It guarantees an answer for every question, in the order of the questions, and that nothing of it is
// running any more when it returns. It never takes "could not ask" for an answer.
package ask

import (
	"context"
	"sync"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// atOnce bounds how many probes are under way at the same time: a server that does not answer must
// not keep the others from being asked.
const atOnce = 8

// All asks the questions.
func All(ctx context.Context, env *steps.Env, questions []engine.Question) []engine.Answer {
	answers := make([]engine.Answer, len(questions))
	if len(questions) == 1 {
		answers[0] = env.Ask(ctx, questions[0])
		return answers
	}
	room := make(chan struct{}, atOnce)
	var asked sync.WaitGroup
	for i, q := range questions {
		room <- struct{}{}
		asked.Add(1)
		go func() {
			defer asked.Done()
			answers[i] = env.Ask(ctx, q)
			<-room
		}()
	}
	asked.Wait()
	return answers
}

// Said is an answer in one line: "yes", "no: status is 503", "could not ask: connection refused".
func Said(a engine.Answer) string {
	said := a.Asked.String()
	if a.Asked == engine.Yes && a.Grade != engine.GradeOK {
		said += ", " + a.Grade.String()
	}
	if a.Message != "" {
		said += ": " + a.Message
	}
	return said
}

// Facts are the questions and their answers, for a preview.
func Facts(questions []engine.Question, answers []engine.Answer) []engine.Fact {
	facts := make([]engine.Fact, len(questions))
	for i, q := range questions {
		facts[i] = engine.Fact{Name: q.String(), Value: Said(answers[i])}
	}
	return facts
}
