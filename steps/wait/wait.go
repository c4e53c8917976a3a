// Package wait is the step kind `wait`: for a length of time, or until probes say yes.
//
// A probe that could not be asked has not said no: the wait goes on, and says at its end what could not
// be asked. It changes nothing, so AFTER a crash it simply begins again. In a dry-run it never waits: it
// asks once and says what it was told.
package wait

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/ask"
)

// Kind is the step kind.
type Kind struct{}

// New makes the kind.
func New() *Kind { return &Kind{} }

// defaultEvery is the pause between two rounds of questions.
const defaultEvery = 2 * time.Second

type forParams struct {
	For time.Duration `param:"for" doc:"How long to wait, such as 30s or 5m." need:"yes"`
}

type untilParams struct {
	Until []engine.Question `param:"until" doc:"Probes. The step is done as soon as all of them say yes in the same round." need:"yes"`
	Every time.Duration     `param:"every" doc:"The pause between two rounds of asking." default:"2s"`
}

var waited = engine.Field{Name: "waited", Doc: "How long it took.", Shape: engine.Of(engine.TypeDuration), Required: true}

// Define declares the kind.
func (*Kind) Define() engine.Kind {
	return engine.Kind{
		Name: "wait",
		Doc:  "Waits for a length of time, or until probes say yes. Prefer probes: a fixed time is too short on a bad day and too long on a good one.",
		Operations: []engine.Operation{{
			Name: "for", Key: "for", Class: engine.ClassRead, Waits: true, Risk: engine.RiskReads,
			Doc:     "Waits for a fixed length of time.",
			Params:  steps.Params[forParams](),
			Result:  engine.RecordOf(waited),
			Example: "{id: settle, wait: {for: 30s}}",
			Judge:   engine.ByParams(judgeFor),
		}, {
			Name: "until", Key: "until", Class: engine.ClassRead, Waits: true, Risk: engine.RiskReads,
			Doc: "Asks probes again and again until all say yes. A probe that could not be asked has not said no; the wait goes on. " +
				"The `timeout` of the step ends it; the step then fails and says what each probe answered last.",
			Params: steps.Params[untilParams](),
			Result: engine.RecordOf(waited,
				engine.Field{Name: "attempts", Doc: "How many rounds were asked.", Shape: engine.Of(engine.TypeInteger), Required: true}),
			Example: "{id: up, wait: {until: [{redis: {do: [PING]}, expect: \"value == 'PONG'\"}], every: 2s}, timeout: 60s}",
			Judge:   engine.ByParams(judgeUntil),
		}},
	}
}

func judgeFor(p engine.Record) engine.Judgement {
	j := engine.Judgement{Remarks: []engine.Remark{{Rule: engine.RuleSleeps, Path: "for",
		Message: "time passes, and nothing is asked; wait until a probe says that it is so, with a timeout"}}}
	if d, ok := p["for"].(time.Duration); ok && d < 0 {
		j.Problems = append(j.Problems, engine.Problem{Path: "for", Message: "a wait cannot be shorter than nothing"})
	}
	return j
}

func judgeUntil(p engine.Record) engine.Judgement {
	var j engine.Judgement
	if probes, ok := p["until"].(engine.List); ok && len(probes) == 0 {
		j.Problems = append(j.Problems, engine.Problem{Path: "until", Message: "there is nothing to wait for; give at least one probe"})
	}
	if d, ok := p["every"].(time.Duration); ok && d <= 0 {
		j.Problems = append(j.Problems, engine.Problem{Path: "every", Message: "the pause must be longer than nothing, or the probes are asked without rest"})
	}
	return j
}

// Decode makes the operation.
func (*Kind) Decode(operation string, params engine.Record) (steps.Operation, error) {
	switch operation {
	case "for":
		var p forParams
		if err := firstProblem(steps.Bind(params, &p), judgeFor(params)); err != nil {
			return nil, err
		}
		_, unknown := params["for"].(engine.Unknown)
		return pause{length: p.For, unknown: unknown}, nil
	case "until":
		p := untilParams{Every: defaultEvery}
		if err := firstProblem(steps.Bind(params, &p), judgeUntil(params)); err != nil {
			return nil, err
		}
		if p.Every <= 0 {
			return nil, engine.Problem{Path: "every", Message: "the pause must be longer than nothing"}
		}
		return until{questions: p.Until, every: p.Every}, nil
	}
	return nil, fmt.Errorf("wait has no operation %q", operation)
}

func firstProblem(err error, j engine.Judgement) error {
	if err == nil && len(j.Problems) > 0 {
		return j.Problems[0]
	}
	return err
}

// pause is wait.for.
type pause struct {
	length  time.Duration
	unknown bool
}

// Preview says how long.
func (p pause) Preview(context.Context, *steps.Env) (engine.Impact, error) {
	would := "wait " + p.length.String()
	if p.unknown {
		would = "wait for a time that is not known yet"
	}
	return engine.Impact{Standing: engine.StandingWould, Would: would, Risk: engine.RiskReads}, nil
}

// Execute waits, and shows each second how much is left.
func (p pause) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	began := env.Now()
	if env.Access == steps.ReadOnly {
		return engine.Outcome{Result: engine.Record{"waited": time.Duration(0)}}
	}
	end := time.NewTimer(p.length)
	defer end.Stop()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for shown := int64(0); ; shown++ {
		env.Progress(shown, int64(p.length/time.Second), "s")
		select {
		case <-end.C:
			return engine.Outcome{Result: engine.Record{"waited": env.Now().Sub(began)}}
		case <-second.C:
		case <-ctx.Done():
			return engine.Outcome{Err: ended(ctx, env.Now().Sub(began), p.length)}
		}
	}
}

func ended(ctx context.Context, waited, length time.Duration) string {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Sprintf("the step's timeout ended a wait of %s after %s; make `timeout` longer than the wait", length, waited.Round(time.Millisecond))
	}
	return fmt.Sprintf("the wait was cancelled after %s of %s", waited.Round(time.Millisecond), length)
}

// until is wait.until.
type until struct {
	questions []engine.Question
	every     time.Duration
}

func (u until) String() string {
	if len(u.questions) == 1 {
		return "wait until " + u.questions[0].String()
	}
	return fmt.Sprintf("wait until %d probes say yes", len(u.questions))
}

// Preview asks once.
func (u until) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	answers := ask.All(ctx, env, u.questions)
	impact := engine.Impact{
		Standing: engine.StandingWould, Would: u.String(), Risk: engine.RiskReads,
		Facts: ask.Facts(u.questions, answers),
	}
	if env.Call.Timeout == 0 {
		impact.Warnings = append(impact.Warnings, "the step has no timeout: it waits without end if a probe never says yes")
	}
	return impact, nil
}

// Execute asks until all say yes in the same round, or the time is over.
func (u until) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	began := env.Now()
	last := make([]engine.Answer, len(u.questions))
	for attempts := int64(1); ; attempts++ {
		yes := u.round(ctx, env, last)
		env.Progress(attempts, 0, "rounds")
		result := engine.Record{"waited": env.Now().Sub(began), "attempts": attempts}
		switch {
		case yes:
			return engine.Outcome{Result: result, Message: u.message(last)}
		case env.Access == steps.ReadOnly:
			// A dry-run does not wait.
			return engine.Outcome{Result: result, Message: "not yet: " + u.open(last)}
		}
		next := time.NewTimer(u.every)
		select {
		case <-next.C:
		case <-ctx.Done():
			next.Stop()
			return engine.Outcome{Result: result, Err: u.inVain(ctx, env.Now().Sub(began), attempts, last)}
		}
	}
}

// round asks every question and keeps the answers. One that could not be asked because the time was
// over does not replace what was answered before.
func (u until) round(ctx context.Context, env *steps.Env, last []engine.Answer) bool {
	yes := true
	for i, a := range ask.All(ctx, env, u.questions) {
		if a.Asked == engine.CouldNotAsk && ctx.Err() != nil && (last[i].Asked != engine.CouldNotAsk || last[i].Message != "") {
			yes = false
			continue
		}
		if ask.Said(a) != ask.Said(last[i]) {
			fmt.Fprintf(env.Output(), "%s: %s\n", u.questions[i], ask.Said(a))
		}
		last[i] = a
		yes = yes && a.Asked == engine.Yes
	}
	return yes
}

func (u until) message(last []engine.Answer) string {
	var said []string
	for _, a := range last {
		if a.Message != "" {
			said = append(said, a.Message)
		}
	}
	return strings.Join(said, "; ")
}

// open lists the probes that have not said yes, with their last answer.
func (u until) open(last []engine.Answer) string {
	var lines []string
	for i, a := range last {
		if a.Asked != engine.Yes {
			lines = append(lines, u.questions[i].String()+": "+ask.Said(a))
		}
	}
	if len(lines) == 0 {
		return "every probe had said yes, but not all in the same round"
	}
	return strings.Join(lines, "; ")
}

func (u until) inVain(ctx context.Context, waited time.Duration, attempts int64, last []engine.Answer) string {
	why := "cancelled"
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		why = "the step's timeout is over"
	}
	return fmt.Sprintf("waited %s in vain and asked %d times (%s): %s", waited.Round(time.Millisecond), attempts, why, u.open(last))
}
