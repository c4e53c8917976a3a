// Package approve is the step kind `approve`: a person says yes before the run goes on.
//
// The core asks the person and waits; the kind only declares what is asked. It never says yes itself,
// and there is no parameter that does.
package approve

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// Kind is the step kind.
type Kind struct{}

// New makes the kind.
func New() *Kind { return &Kind{} }

type params struct {
	Message string         `param:"message" doc:"What is about to happen, in a sentence for the person who is asked." need:"yes"`
	Expires *time.Duration `param:"expires" doc:"How long an answer is waited for; the time runs on through a crash. Without it there is no end."`
}

// Define declares the kind.
func (*Kind) Define() engine.Kind {
	return engine.Kind{
		Name: "approve",
		Doc:  "Stops until a person has said yes: at the prompt, or with `handrail approve`. The yes is bound to the playbook, the inputs, the environment and the results so far.",
		Operations: []engine.Operation{{
			Name: "approve", Inline: "message", Class: engine.ClassPerson, Risk: engine.RiskReads,
			Doc:     "Asks a person. Declined, expired, or nobody there to ask: the run does not go on. `--yes` does not answer it.",
			Params:  steps.Params[params](),
			Result:  engine.RecordOf(),
			Example: "{id: sure, approve: {message: \"This overwrites ${{ targets.db.database }}\", expires: 30m}}",
			Judge:   engine.ByParams(judge),
		}},
	}
}

func judge(p engine.Record) engine.Judgement {
	var j engine.Judgement
	if m, ok := p["message"].(string); ok && m == "" {
		j.Problems = append(j.Problems, engine.Problem{Path: "message", Message: "say what the person is asked to approve"})
	}
	if d, ok := p["expires"].(time.Duration); ok && d <= 0 {
		j.Problems = append(j.Problems, engine.Problem{Path: "expires", Message: "nobody can answer in no time; leave it out to wait without end"})
	}
	return j
}

// Decode makes the operation.
func (*Kind) Decode(operation string, record engine.Record) (steps.Operation, error) {
	if operation != "approve" {
		return nil, fmt.Errorf("approve has no operation %q", operation)
	}
	var p params
	if err := steps.Bind(record, &p); err != nil {
		return nil, err
	}
	if problems := judge(record).Problems; len(problems) > 0 {
		return nil, problems[0]
	}
	if u, ok := record["message"].(engine.Unknown); ok {
		p.Message = "a message that is " + u.Error()
	}
	return approval{p}, nil
}

type approval struct{ params }

// Preview says what will be asked.
func (a approval) Preview(context.Context, *steps.Env) (engine.Impact, error) {
	would := "ask a person: " + a.Message
	if a.Expires != nil && *a.Expires > 0 {
		would += " (within " + a.Expires.String() + ")"
	}
	return engine.Impact{
		Standing: engine.StandingWould, Would: would, Risk: engine.RiskReads,
		Warnings: []string{"the run stops here until a person has answered; --yes does not answer it"},
	}, nil
}

// Execute is never called: a person answers, not code.
func (approval) Execute(context.Context, *steps.Env) engine.Outcome {
	return engine.Failure(errors.New("an approval is given by a person; nothing can execute it"))
}
