package http_test

import (
	"context"
	"io"
	nethttp "net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

func TestAnAnswerOfAReadIsKeptAsItIs(t *testing.T) {
	half, err := engine.ParseDecimal("1.5")
	if err != nil {
		t.Fatal(err)
	}
	big, err := engine.ParseDecimal("123456789012345678901234567890")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		answer nethttp.HandlerFunc
		body   string
		json   engine.Value
		status int64
	}{
		"text":          {always(200, "text/plain", "up"), "up", nil, 200},
		"json as text":  {always(200, "text/plain", `{"a": 1}`), `{"a": 1}`, nil, 200},
		"404":           {always(404, "text/html", "<p>no"), "<p>no", nil, 404},
		"503":           {always(503, "application/problem+json; charset=utf-8", `"down"`), `"down"`, "down", 503},
		"no content":    {always(204, "application/json", ""), "", nil, 204},
		"not UTF-8":     {always(200, "text/plain", "a\xffb"), "a\uFFFDb", nil, 200},
		"exact numbers": {always(200, "application/json", "[9007199254740993, 18446744073709551615, 1.5, null]"), "[9007199254740993, 18446744073709551615, 1.5, null]", engine.List{int64(9007199254740993), uint64(18446744073709551615), half, nil}, 200},
		"long integer":  {always(200, "application/json", "123456789012345678901234567890"), "123456789012345678901234567890", big, 200},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, c.answer)
			o := get(t, engine.Record{"get": s.URL + "/a?b=c"})
			if o.Err != "" {
				t.Fatal(o.Err)
			}
			r := o.Result
			if r["status"] != c.status || r["body"] != c.body || typed(t, r["json"]) != typed(t, c.json) || r["url"] != s.URL+"/a?b=c" {
				t.Errorf("%v", r)
			}
			if _, ok := r["took"].(time.Duration); !ok {
				t.Errorf("took %v", r["took"])
			}
		})
	}
}

func typed(t testing.TB, v engine.Value) string {
	t.Helper()
	b, err := engine.AppendValue(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAnAnswerThatClaimsToBeJSONAndIsNotFailsARead(t *testing.T) {
	for body, want := range map[string]string{
		"<html>":     "it says that it is JSON, and is not: invalid character '<'",
		`{"a": `:     "it ends in the middle",
		`{} {"b":1}`: "something stands behind its end",
	} {
		s := newSite(t, always(200, "application/json", body))
		o := get(t, engine.Record{"get": s.URL})
		if !strings.Contains(o.Err, want) || o.Result != nil {
			t.Errorf("%q: %q, result %v", body, o.Err, o.Result)
		}
	}
}

func TestOnlyTheStatusesThatTheAuthorNamesAreASuccessOfARead(t *testing.T) {
	s := newSite(t, func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(503)
		_, _ = io.WriteString(w, "draining\nand more")
	})
	o := get(t, engine.Record{"get": s.URL, "status": engine.List{int64(200)}})
	if !strings.HasSuffix(o.Err, "answered 503 Service Unavailable: draining") || !o.Transient {
		t.Errorf("%q, transient %v", o.Err, o.Transient)
	}
}

func TestABodyOfOneGigabyteIsReadNoFurtherThanTheLimit(t *testing.T) {
	var written atomic.Int64
	gone := make(chan struct{})
	s := newSite(t, func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		defer close(gone)
		block := make([]byte, 1<<20)
		for range 1 << 10 {
			n, err := w.Write(block)
			written.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	o := get(t, engine.Record{"get": s.URL})
	if !strings.Contains(o.Err, "more than 1 MiB") || o.Result != nil {
		t.Errorf("%q", o.Err)
	}
	<-gone
	if n := written.Load(); n >= 1<<28 {
		t.Errorf("%d bytes were taken", n)
	}
}

func TestALargeAnswerOfAWriteLeavesTheEffectStanding(t *testing.T) {
	s := newSite(t, always(200, "text/plain", strings.Repeat("x", 1<<20+1)))
	o := newStep(t, "post", engine.Record{"post": s.URL}, steps.Full).execute(t.Context())
	if o.Effect != engine.EffectStands || o.InDoubt || !strings.Contains(o.Err, "more than 1 MiB") {
		t.Errorf("%+v", o)
	}
	whole := newSite(t, always(200, "text/plain", strings.Repeat("x", 1<<20)))
	if o := get(t, engine.Record{"get": whole.URL}); o.Err != "" {
		t.Error(o.Err)
	}
}

func TestASlowBodyEndsWithTheStep(t *testing.T) {
	s := newSite(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		_, _ = io.WriteString(w, "a beginning")
		w.(nethttp.Flusher).Flush()
		<-r.Context().Done()
	})
	for operation, effect := range map[string]engine.Effect{"get": engine.EffectNone, "post": engine.EffectStands} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		o := newStep(t, operation, engine.Record{operation: s.URL}, steps.Full).execute(ctx)
		cancel()
		if !strings.Contains(o.Err, "its answer broke off: no answer in time") || o.Effect != effect || o.InDoubt {
			t.Errorf("%s: %q, effect %s, in doubt %v", operation, o.Err, o.Effect, o.InDoubt)
		}
	}
}

func TestAStatusThatIsNotWantedSaysWhatIsKnownOfTheEffect(t *testing.T) {
	for _, c := range []struct {
		status int
		want   engine.List
		effect engine.Effect
		doubt  bool
		ok     bool
	}{
		{status: 201, ok: true},
		{status: 404, want: engine.List{int64(204), int64(404)}, ok: true},
		{status: 202, want: engine.List{int64(201)}, effect: engine.EffectStands},
		{status: 302, effect: engine.EffectUnknown, doubt: true},
		{status: 307, effect: engine.EffectNone},
		{status: 400, effect: engine.EffectNone},
		{status: 401, effect: engine.EffectNone},
		{status: 409, effect: engine.EffectUnknown, doubt: true},
		{status: 429, effect: engine.EffectNone},
		{status: 500, effect: engine.EffectUnknown, doubt: true},
		{status: 501, effect: engine.EffectNone},
		{status: 502, effect: engine.EffectUnknown, doubt: true},
		{status: 503, effect: engine.EffectUnknown, doubt: true},
		{status: 504, effect: engine.EffectUnknown, doubt: true},
	} {
		s := newSite(t, func(w nethttp.ResponseWriter, _ *nethttp.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(c.status)
		})
		params := engine.Record{"post": s.URL}
		if c.want != nil {
			params["status"] = c.want
		}
		step := newStep(t, "post", params, steps.Full)
		o := step.execute(t.Context())
		if (o.Err == "") != c.ok || o.Effect != c.effect || o.InDoubt != c.doubt {
			t.Errorf("%d: %q, effect %s, in doubt %v", c.status, o.Err, o.Effect, o.InDoubt)
		}
		if c.doubt {
			if e := strings.Join(step.settle(t).Evidence, "; "); !strings.Contains(e, "it answered "+engine.Text(int64(c.status))) {
				t.Errorf("%d: evidence %q", c.status, e)
			}
		}
		if n := s.writes(); n != 1 {
			t.Errorf("%d: %d requests", c.status, n)
		}
	}
}

func TestAWriteThatSucceededWithGarbledJSONIsDone(t *testing.T) {
	s := newSite(t, always(200, "application/json", "ok"))
	o := newStep(t, "post", engine.Record{"post": s.URL}, steps.Full).execute(t.Context())
	if o.Err != "" || o.Result["json"] != nil || !strings.Contains(o.Message, "it says that it is JSON") {
		t.Errorf("%+v", o)
	}
}
