package wait_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest"
	"github.com/handrail-dev/handrail/steps/wait"
)

func question(op string) engine.Question {
	return steptest.Question(engine.Probe{Kind: "demo", Op: op}, engine.Record{})
}

func yes(context.Context, engine.Question) engine.Answer { return engine.Answer{Asked: engine.Yes} }

func TestContract(t *testing.T) {
	steptest.Run(t, steptest.Suite{Kind: wait.New(), Ask: yes, Cases: []steptest.Case{
		{Operation: "for", Params: engine.Record{"for": time.Millisecond}, Bad: []steptest.Bad{
			{Params: engine.Record{"for": -time.Second}, Path: "for"},
			{Params: engine.Record{"for": "soon"}, Path: "for"},
		}},
		{Operation: "until", Params: engine.Record{"until": engine.List{question("a"), question("b")}, "every": time.Millisecond},
			Bad: []steptest.Bad{
				{Params: engine.Record{"until": engine.List{}}, Path: "until"},
				{Params: engine.Record{"until": engine.List{"x"}}, Path: "until[0]"},
				{Params: engine.Record{"until": engine.List{question("a")}, "every": time.Duration(0)}, Path: "every"},
			}},
	}})
}

func env(t *testing.T, timeout time.Duration, access steps.Access, ask func(context.Context, engine.Question) engine.Answer) (*steps.Env, *steptest.Recorder) {
	rec := &steptest.Recorder{}
	call := engine.Call{Step: "w", Kind: "wait", Timeout: timeout, Class: engine.ClassRead}
	return steptest.EnvAsking(t, wait.New(), call, steps.Target{}, access, rec, ask), rec
}

func decode(t *testing.T, op string, params engine.Record) steps.Operation {
	t.Helper()
	o, err := wait.New().Decode(op, params)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func until(t *testing.T) steps.Operation {
	return decode(t, "until", engine.Record{"until": engine.List{question("a"), question("b")}, "every": time.Millisecond})
}

func TestWaitingGoesOnUntilAllSayYesInTheSameRound(t *testing.T) {
	var a, b atomic.Int64
	e, rec := env(t, 0, steps.Full, func(_ context.Context, q engine.Question) engine.Answer {
		if _, op, _ := q.Operation(); op == "a" {
			if a.Add(1)%2 == 1 {
				return engine.Answer{Asked: engine.Yes, Message: "a is up"}
			}
			return engine.Answer{Asked: engine.No, Message: "a is down"}
		}
		if b.Add(1) < 5 {
			return engine.Answer{Asked: engine.CouldNotAsk, Message: "connection refused"}
		}
		return engine.Answer{Asked: engine.Yes}
	})
	o := until(t).Execute(t.Context(), e)
	if o.Err != "" || o.Result["attempts"] != int64(5) || o.Message != "a is up" {
		t.Errorf("%+v", o)
	}
	if n := strings.Count(rec.Output(), "could not ask: connection refused"); n != 1 {
		t.Errorf("an answer that does not change is written %d times:\n%s", n, rec.Output())
	}
}

func TestCouldNotAskIsNeverNoAndTheEndSaysWhatEachAnswered(t *testing.T) {
	var rounds atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	e, _ := env(t, 50*time.Millisecond, steps.Full, func(ctx context.Context, q engine.Question) engine.Answer {
		if _, op, _ := q.Operation(); op == "a" {
			rounds.Add(1)
			return engine.Answer{Asked: engine.No, Message: "status is 503"}
		}
		if rounds.Load() > 3 { // the last question is cut off by the timeout
			<-ctx.Done()
			return engine.Answer{Message: ctx.Err().Error()}
		}
		return engine.Answer{Message: "connection refused"}
	})
	o := until(t).Execute(ctx, e)
	for _, want := range []string{"the step's timeout is over", "demo.a: no: status is 503", "demo.b: could not ask: connection refused"} {
		if !strings.Contains(o.Err, want) {
			t.Errorf("no %q in %q", want, o.Err)
		}
	}
	if o.Effect != engine.EffectNone || o.InDoubt {
		t.Errorf("%+v", o)
	}
}

func TestAQuestionThatHangsDoesNotKeepTheOthersFromBeingAsked(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	e, _ := env(t, 0, steps.Full, func(ctx context.Context, q engine.Question) engine.Answer {
		if _, op, _ := q.Operation(); op == "a" {
			<-ctx.Done()
			return engine.Answer{Message: "no answer"}
		}
		cancel(errors.New("enough"))
		return engine.Answer{Asked: engine.Yes}
	})
	o := until(t).Execute(ctx, e)
	if !strings.Contains(o.Err, "cancelled") || !strings.Contains(o.Err, "demo.a") || strings.Contains(o.Err, "demo.b") {
		t.Error(o.Err)
	}
}

func TestADryRunAsksOnceAndNeverWaits(t *testing.T) {
	var asked atomic.Int64
	no := func(context.Context, engine.Question) engine.Answer {
		asked.Add(1)
		return engine.Answer{Asked: engine.No, Message: "still starting"}
	}
	e, _ := env(t, 0, steps.ReadOnly, no)
	impact, err := until(t).Preview(t.Context(), e)
	if err != nil || asked.Load() != 2 || len(impact.Facts) != 2 || impact.Facts[0].Value != "no: still starting" {
		t.Errorf("%+v %v", impact, err)
	}
	if len(impact.Warnings) != 1 || !strings.Contains(impact.Warnings[0], "no timeout") {
		t.Error(impact.Warnings)
	}
	if o := until(t).Execute(t.Context(), e); o.Err != "" || asked.Load() != 4 {
		t.Errorf("%+v", o)
	}
	if o := decode(t, "for", engine.Record{"for": time.Hour}).Execute(t.Context(), e); o.Err != "" {
		t.Errorf("%+v", o)
	}
}

func TestAFixedWaitEndsWithItsTimeoutAndSaysSo(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	e, rec := env(t, time.Millisecond, steps.Full, yes)
	o := decode(t, "for", engine.Record{"for": time.Hour}).Execute(ctx, e)
	if !strings.Contains(o.Err, "make `timeout` longer") {
		t.Error(o.Err)
	}
	if r := rec.Reports(); len(r) == 0 || r[0].Total != 3600 || r[0].Unit != "s" {
		t.Error(r)
	}
}
