package preview

import (
	"context"

	"github.com/handrail-dev/handrail/engine"
)

// readAfter names the step after which a read would be known.
func (w *walk) readAfter(c engine.Call) string {
	if after := unknownIn(c.Params); after != "" {
		return after
	}
	if after := w.changedBy(c.Kind, c.Target); after != "" {
		return after
	}
	after := ""
	eachQuestion(c.Params, func(q engine.Question) {
		if after == "" {
			after = q.After()
		}
		if kind, _, target := q.Operation(); after == "" && kind != "" {
			after = w.changedBy(kind, target)
		}
	})
	return after
}

// look adds what the live system says now, or why it could not be asked.
func (w *walk) look(ctx context.Context, s *Step, c engine.Call) error {
	impact, err := w.looker.Preview(ctx, c)
	if err != nil {
		s.Standing, s.Why = engine.StandingUnknown, err.Error()
		return err
	}
	known := s.Impact
	s.Impact = impact
	s.Class = known.Class
	if impact.Class != engine.ClassUnset {
		s.Class = impact.Class
	}
	s.Risk = max(impact.Risk, known.Risk)
	if s.Would == "" {
		s.Would = known.Would
	}
	if s.Why == "" {
		s.Why = known.Why
	}
	s.Figures = append([]engine.Figure(nil), impact.Figures...)
	if s.Standing == engine.StandingUnknown && s.Why == "" {
		s.Why = "it could not be judged"
	}
	return nil
}

// expectsFailure adds the failure that a step is expected to end in.
func expectsFailure(s *Step, fails engine.Expr) {
	if fails != nil {
		s.Would += "; it is expected to fail: " + fails.String()
	}
}

// refused: a look that ends in the failure which the step expects is no obstacle.
func (w *walk) refused(s *Step, c engine.Execute, err error) {
	if err == nil || w.run.FailsOf(c.Step) == nil {
		return
	}
	if e, ok := w.run.Judge(c, engine.Failure(err), 0).(engine.StepFinished); ok && e.State == engine.OK {
		s.Standing, s.Why = engine.StandingWould, e.Message
	}
}
