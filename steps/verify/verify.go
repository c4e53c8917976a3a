// Package verify is the step kind `verify`: it asks probes and grades what they say.
//
// The grade of the step is the worst of its checks. A probe that could not be asked is graded failed,
// and the message says that it could not be asked: nothing is taken for proved that was not seen. It
// changes nothing; a finished verify is asked again when its run is resumed.
package verify

import (
	"context"
	"fmt"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/ask"
)

// Kind is the step kind.
type Kind struct{}

// New makes the kind.
func New() *Kind { return &Kind{} }

type params struct {
	Probes []engine.Question `param:"probes" doc:"Probes, each with expect, and if wanted tolerate and message." need:"yes"`
}

func field(name string, t engine.Type, doc string) engine.Field {
	return engine.Field{Name: name, Doc: doc, Shape: engine.Of(t), Required: true}
}

// Define declares the kind.
func (*Kind) Define() engine.Kind {
	checks := engine.ListOf(engine.RecordOf(
		field("probe", engine.TypeText, "The question in one line."),
		field("grade", engine.TypeText, "ok, degraded or failed."),
		field("asked", engine.TypeText, "yes, no, or could not ask."),
		field("message", engine.TypeText, "The message of the probe, or why it does not hold; may be empty."),
		field("result", engine.TypeAny, "What the probe brought back; null if it could not be asked."),
	))
	return engine.Kind{
		Name: "verify",
		Doc:  "Proves that something is as it must be. Each probe is graded ok, degraded (expect does not hold, but tolerate does) or failed; the step has the worst of the grades.",
		Operations: []engine.Operation{{
			Name: "verify", Inline: "probes", Class: engine.ClassRead, Risk: engine.RiskReads, Grades: true,
			Doc: "Asks all probes and grades them. A probe that could not be asked is failed, never ok. " +
				"When there is exactly one probe, the fields of its result stand beside `checks`: `steps.<id>.rows[0].n`.",
			Params: steps.Params[params](),
			Result: engine.Shape{Type: engine.TypeRecord, Open: true, Fields: []engine.Field{
				{Name: "checks", Doc: "One entry for each probe, in their order.", Shape: checks, Required: true},
			}},
			Example: "{id: proven, verify: [{redis: {do: [PING]}, expect: \"value == 'PONG'\", message: cache answers}]}",
			Judge:   engine.ByParams(judge),
		}},
	}
}

func judge(p engine.Record) engine.Judgement {
	if probes, ok := p["probes"].(engine.List); ok && len(probes) == 0 {
		return engine.Judgement{Problems: []engine.Problem{{Path: "probes", Message: "nothing is proved by no probe; give at least one"}}}
	}
	return engine.Judgement{}
}

// Decode makes the operation.
func (*Kind) Decode(operation string, record engine.Record) (steps.Operation, error) {
	if operation != "verify" {
		return nil, fmt.Errorf("verify has no operation %q", operation)
	}
	var p params
	if err := steps.Bind(record, &p); err != nil {
		return nil, err
	}
	if problems := judge(record).Problems; len(problems) > 0 {
		return nil, problems[0]
	}
	return check{questions: p.Probes}, nil
}

type check struct{ questions []engine.Question }

// Preview asks now. That what is asked about may change before the step is reached is for the one who
// walks the playbook to say.
func (c check) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	would := fmt.Sprintf("verify %d probes", len(c.questions))
	if len(c.questions) == 1 {
		would = "verify " + c.questions[0].String()
	}
	return engine.Impact{
		Standing: engine.StandingWould, Would: would, Risk: engine.RiskReads,
		Facts: ask.Facts(c.questions, ask.All(ctx, env, c.questions)),
	}, nil
}

// Execute asks and grades.
func (c check) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	answers := ask.All(ctx, env, c.questions)
	checks := make(engine.List, len(answers))
	worst := engine.GradeOK
	for i, a := range answers {
		grade := gradeOf(a)
		worst = max(worst, grade)
		var result engine.Value
		if a.Result != nil {
			result = a.Result
		}
		checks[i] = engine.Record{
			"probe": c.questions[i].String(), "grade": grade.String(), "asked": a.Asked.String(),
			"message": a.Message, "result": result,
		}
		fmt.Fprintf(env.Output(), "%s: %s (%s)\n", grade, c.questions[i], ask.Said(a))
	}
	result := engine.Record{}
	if len(answers) == 1 {
		for name, v := range answers[0].Result {
			result[name] = v
		}
	}
	result["checks"] = checks
	return engine.Outcome{Result: result, Grade: worst, Message: c.message(answers, worst)}
}

// gradeOf is the grade of an answer. What was not seen is not ok.
func gradeOf(a engine.Answer) engine.Grade {
	if a.Asked == engine.Yes {
		return a.Grade
	}
	return engine.GradeFailed
}

// message says what is wrong, or, when nothing is, what was proved.
func (c check) message(answers []engine.Answer, worst engine.Grade) string {
	var wrong, said []string
	for i, a := range answers {
		grade := gradeOf(a)
		switch {
		case grade == engine.GradeOK && a.Message != "":
			said = append(said, a.Message)
		case grade == engine.GradeOK:
		case a.Asked == engine.CouldNotAsk:
			wrong = append(wrong, "could not ask "+c.questions[i].String()+": "+a.Message)
		case a.Message != "":
			wrong = append(wrong, a.Message)
		default:
			wrong = append(wrong, c.questions[i].String()+" is "+grade.String())
		}
	}
	if worst == engine.GradeOK {
		return strings.Join(said, "; ")
	}
	all := strings.Join(wrong, "; ")
	if len(answers) > 1 {
		all = fmt.Sprintf("%d of %d checks hold; %s", len(answers)-len(wrong), len(answers), all)
	}
	return all
}
