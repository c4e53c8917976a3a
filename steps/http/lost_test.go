package http_test

import (
	"context"
	"errors"
	"net"
	nethttp "net/http"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// hangUp has read the whole request, and closes the connection without a word.
func hangUp(t testing.TB) nethttp.HandlerFunc {
	return func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		c, _, err := w.(nethttp.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = c.Close()
	}
}

// Every method is tried, because net/http sends some of them a second time by itself.
func TestALostAnswerIsInDoubtAndTheRequestIsSentOnce(t *testing.T) {
	for _, operation := range []string{"post", "put", "delete", "patch"} {
		s := newSite(t, hangUp(t))
		step := newStep(t, operation, engine.Record{operation: s.URL + "/pay"}, steps.Full)
		o := step.execute(t.Context())
		if !o.InDoubt || o.Effect != engine.EffectUnknown || !strings.Contains(o.Err, "closed before the answer had come") {
			t.Errorf("%s: %+v", operation, o)
		}
		if n := s.writes(); n != 1 {
			t.Errorf("%s: it was sent %d times", operation, n)
		}
		evidence := strings.Join(o.Evidence, "; ")
		if !strings.Contains(evidence, "the whole request was sent") || !strings.Contains(evidence, "Idempotency-Key: run-1/x") {
			t.Errorf("%s: evidence %q", operation, evidence)
		}
		settled := step.settle(t)
		if settled.Verdict != engine.VerdictUnknown || settled.Dead {
			t.Errorf("%s: %s, dead %v", operation, settled.Verdict, settled.Dead)
		}
		if e := strings.Join(settled.Evidence, "; "); !strings.Contains(e, "closed before the answer had come") {
			t.Errorf("%s: evidence %q", operation, e)
		}
		if key := s.requests()[0].Header.Get("Idempotency-Key"); key != "run-1/x" {
			t.Errorf("%s: key %q", operation, key)
		}
	}
}

func TestALostAnswerOfAReadIsOnlyAFailure(t *testing.T) {
	s := newSite(t, hangUp(t))
	o := get(t, engine.Record{"get": s.URL})
	if o.Err == "" || o.InDoubt || o.Effect != engine.EffectNone || !o.Transient {
		t.Errorf("%+v", o)
	}
}

func TestAServerThatNeverAnswersLeavesAWriteInDoubt(t *testing.T) {
	arrived := make(chan struct{}, 1)
	s := newSite(t, func(_ nethttp.ResponseWriter, r *nethttp.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	o := newStep(t, "post", engine.Record{"post": s.URL, "body": "x"}, steps.Full).execute(ctx)
	if !o.InDoubt || !strings.Contains(o.Err, "it was cancelled") {
		t.Errorf("%+v", o)
	}
}

// closedPort is an address at which nobody listens.
func closedPort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestWhatNeverLeftHasNoEffect(t *testing.T) {
	plain := newSite(t, nil)
	for name, url := range map[string]string{
		"refused":      "http://" + closedPort(t) + "/",
		"no such name": "http://nobody.invalid/",
		"no TLS there": strings.Replace(plain.URL, "http:", "https:", 1),
	} {
		step := newStep(t, "post", engine.Record{"post": url, "body": "x"}, steps.Full)
		o := step.execute(t.Context())
		if o.Err == "" || o.InDoubt || o.Effect != engine.EffectNone {
			t.Errorf("%s: %+v", name, o)
		}
		if len(step.rec.Notes()) != 0 {
			t.Errorf("%s: notes %v", name, step.rec.Notes())
		}
		if s := step.settle(t); s.Verdict != engine.VerdictNotDone || !s.Dead {
			t.Errorf("%s: %s, dead %v", name, s.Verdict, s.Dead)
		}
		if name == "refused" && !o.Transient {
			t.Error("a refused connection is not said to pass")
		}
	}
	if n := plain.writes(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestTheNoteIsKeptBeforeTheFirstByteLeaves(t *testing.T) {
	s := newSite(t, nil)
	step := newStep(t, "post", engine.Record{"post": s.URL}, steps.Full)
	noted := 0
	step.rec.OnNote = func(engine.Value) error {
		noted++
		if n := len(s.requests()); n != 0 {
			t.Errorf("%d requests had arrived", n)
		}
		return nil
	}
	if o := step.execute(t.Context()); o.Err != "" || noted != 1 {
		t.Errorf("%q, %d notes", o.Err, noted)
	}
}

func TestNothingIsSentWhenTheNoteCannotBeKept(t *testing.T) {
	s := newSite(t, nil)
	step := newStep(t, "post", engine.Record{"post": s.URL}, steps.Full)
	step.rec.OnNote = func(engine.Value) error { return errors.New("the disk is full") }
	o := step.execute(t.Context())
	if !strings.Contains(o.Err, "the disk is full") || o.InDoubt || o.Effect != engine.EffectNone {
		t.Errorf("%+v", o)
	}
	if n := len(s.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestTheNoteOfAnEarlierAttemptSaysNothingOfThisOne(t *testing.T) {
	s := newSite(t, always(503, "text/plain", ""))
	step := newStep(t, "post", engine.Record{"post": s.URL}, steps.Full)
	step.execute(t.Context())
	step.env.Call.Attempt = 2
	if settled := step.settle(t); settled.Verdict != engine.VerdictNotDone {
		t.Errorf("%s", settled.Verdict)
	}
}
