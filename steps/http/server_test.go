package http_test

import (
	"context"
	"fmt"
	"io"
	nethttp "net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/http"
	"github.com/handrail-dev/handrail/steps/steptest"
)

// site is a server that keeps what was done to it, and counts every request that reaches it.
type site struct {
	*httptest.Server
	mu      sync.Mutex
	changes []string
	seen    []*nethttp.Request // with their bodies read
	answer  nethttp.HandlerFunc
}

// newSite answers as answer does; without it, with what it was sent.
func newSite(t testing.TB, answer nethttp.HandlerFunc) *site {
	t.Helper()
	s := quietSite(answer)
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func quietSite(answer nethttp.HandlerFunc) *site {
	if answer == nil {
		answer = func(w nethttp.ResponseWriter, r *nethttp.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("X-Echo", r.Header.Get("Authorization"))
			fmt.Fprintf(w, `{"authorization": %q, "query": %q}`, r.Header.Get("Authorization"), r.URL.RawQuery)
		}
	}
	return &site{answer: answer}
}

func (s *site) ServeHTTP(w nethttp.ResponseWriter, r *nethttp.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.seen = append(s.seen, r)
	if r.Method != nethttp.MethodGet && r.Method != nethttp.MethodHead {
		s.changes = append(s.changes, r.Method+" "+r.URL.Path+" "+r.Header.Get("Content-Type")+" "+string(body))
	}
	s.mu.Unlock()
	s.answer(w, r)
}

func (s *site) reset(testing.TB) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes, s.seen = nil, nil
}

func (s *site) state() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.changes, "\n")
}

func (s *site) writes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.changes)
}

func (s *site) requests() []*nethttp.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*nethttp.Request(nil), s.seen...)
}

// always answers with a status, a type and a body.
func always(status int, kind, body string) nethttp.HandlerFunc {
	return func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func redirect(status int, to string) nethttp.HandlerFunc {
	return func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(status)
	}
}

// step is one attempt.
type step struct {
	env *steps.Env
	rec *steptest.Recorder
	op  steps.Operation
}

func newStep(t testing.TB, operation string, params engine.Record, access steps.Access) *step {
	t.Helper()
	op, err := http.New().Decode(operation, params)
	if err != nil {
		t.Fatal(err)
	}
	class := engine.ClassUnrepeatable
	if operation == "get" || operation == "head" {
		class = engine.ClassRead
	}
	call := engine.Call{Step: "x", Kind: "http", Operation: operation, Class: class, Attempt: 1, Token: "run-1/x", Params: params}
	s := &step{op: op}
	s.env, s.rec = steptest.Env(t, http.New(), call, steps.Target{}, access)
	return s
}

func (s *step) execute(ctx context.Context) engine.Outcome { return s.op.Execute(ctx, s.env) }

func (s *step) settle(t testing.TB) engine.Settlement {
	return s.op.(steps.Settler).Settle(t.Context(), s.env)
}

func get(t testing.TB, params engine.Record) engine.Outcome {
	t.Helper()
	return newStep(t, "get", params, steps.Full).execute(t.Context())
}
