// Package http is the step kind `http`: it asks web servers, and makes requests of them.
//
// It guarantees that a request that may write is sent at most once, and never in a dry-run, where only GET
// and HEAD leave the process. Whether anything of it was sent is known for certain; when an answer was
// lost the step is in doubt, with what is known as evidence, and only `done_if` or a person can say what
// became of it. The step's token goes along as Idempotency-Key, for servers that can tell a repetition.
// Redirects are followed to the same host only, and by default not at all for what writes.
//
// It never prints a secret, never obeys the proxy variables of the environment, never accepts a
// certificate that does not hold, and keeps no more of an answer than 1 MiB.
package http

import (
	"fmt"
	nethttp "net/http"
	"net/url"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/web"
)

// Kind is the step kind.
type Kind struct{}

// New makes the kind.
func New() *Kind { return &Kind{} }

// mostBody is how much of an answer is kept, in bytes. A larger one fails the step.
const mostBody = 1 << 20

// method declares one operation.
type method struct {
	name    string
	http    string
	reads   bool
	risk    engine.Risk
	doc     string
	url     string // the doc of its parameter
	example string
}

func methods() []method {
	return []method{
		{"get", nethttp.MethodGet, true, engine.RiskReads,
			"Asks for a resource. Every status is an answer, so that a probe can expect one; give `status` to fail on others.", "The URL to ask for.",
			`{id: health, http: {get: "https://api.example.com/health"}, expect: "status == 200"}`},
		{"head", nethttp.MethodHead, true, engine.RiskReads,
			"Asks for the headers of a resource. Every status is an answer.", "The URL to ask for.",
			`{id: there, http: {head: "https://files.example.com/backup.tar.zst"}, expect: "status == 200"}`},
		{"post", nethttp.MethodPost, false, engine.RiskChanges,
			"Sends a request that may do anything. Without an answer the step is in doubt; give `done_if` so that it can be answered without a person.", "The URL to send it to.",
			`{id: drain, http: {post: "https://lb.example.com/drain", json: {node: api-1}, headers: {Authorization: "Bearer ${{ secrets.LB_TOKEN }}"}, status: [200, 202]}, timeout: 30s}`},
		{"put", nethttp.MethodPut, false, engine.RiskChanges,
			"Puts a resource. If putting it twice is the same as once, say `effect: idempotent`.", "The URL of the resource.",
			`{id: flag, http: {put: "https://flags.example.com/maintenance", json: {on: true}}, effect: idempotent, timeout: 30s}`},
		{"delete", nethttp.MethodDelete, false, engine.RiskDestroys,
			"Deletes a resource.", "The URL of the resource.",
			`{id: gone, http: {delete: "https://api.example.com/sessions/old", status: [204, 404]}, timeout: 30s}`},
		{"patch", nethttp.MethodPatch, false, engine.RiskChanges,
			"Changes a part of a resource.", "The URL of the resource.",
			`{id: scaled, http: {patch: "https://api.example.com/pools/1", json: {size: 3}}, timeout: 30s}`},
	}
}

type readParams struct {
	Query   map[string]engine.Value `param:"query" doc:"Parameters added to the URL. Secrets may stand here; many servers log them, so headers are better."`
	Headers map[string]engine.Value `param:"headers" doc:"Headers. Secrets may stand here."`
	Status  []int64                 `param:"status" doc:"The statuses that mean success. Without it every status is one."`
	Follow  string                  `param:"follow" enum:"none,same_host" default:"same_host" doc:"Which redirects are followed. One to another host never is: the answer is the redirect itself."`
	TLS     *web.TLS                `param:"tls" doc:"Whom to trust, and who we are."`
	Proxy   engine.Secret           `param:"proxy" doc:"The URL of a proxy to go through. HTTP_PROXY and its like are not obeyed."`
}

type writeParams struct {
	JSON    engine.Value            `param:"json" doc:"The body, as JSON. Secrets may stand in it."`
	Body    engine.Secret           `param:"body" doc:"The body, as a text or a secret."`
	Form    map[string]engine.Value `param:"form" doc:"The body, as fields of a form. Secrets may stand here."`
	Query   map[string]engine.Value `param:"query" doc:"Parameters added to the URL. Secrets may stand here; many servers log them, so headers are better."`
	Headers map[string]engine.Value `param:"headers" doc:"Headers. Secrets may stand here. Idempotency-Key is the step's token."`
	Status  []int64                 `param:"status" doc:"The statuses that mean success. Without it every 2xx is one."`
	Follow  string                  `param:"follow" enum:"none,same_host" default:"none" doc:"Which redirects are followed. One to another host never is."`
	TLS     *web.TLS                `param:"tls" doc:"Whom to trust, and who we are."`
	Proxy   engine.Secret           `param:"proxy" doc:"The URL of a proxy to go through. HTTP_PROXY and its like are not obeyed."`
}

// Define declares the kind.
func (*Kind) Define() engine.Kind {
	k := engine.Kind{
		Name: "http",
		Doc:  "Asks web servers, and makes requests of them. It needs no target: the URL says where.",
	}
	for _, m := range methods() {
		op := engine.Operation{
			Name: m.name, Key: m.name, Class: engine.ClassUnrepeatable, Risk: m.risk, Doc: m.doc, Example: m.example,
			Params: steps.Params[writeParams](), Result: resultShape(), Judge: engine.ByParams(m.judge),
		}
		if m.reads {
			op.Class, op.Params = engine.ClassRead, steps.Params[readParams]()
		}
		address := engine.Field{Name: m.name, Doc: m.url, Shape: engine.Of(engine.TypeText), Required: true}
		op.Params.Fields = append([]engine.Field{address}, op.Params.Fields...)
		k.Operations = append(k.Operations, op)
	}
	return k
}

func resultShape() engine.Shape {
	field := func(name string, s engine.Shape, doc string) engine.Field {
		return engine.Field{Name: name, Doc: doc, Shape: s, Required: true}
	}
	return engine.RecordOf(
		field("status", engine.Of(engine.TypeInteger), "The status, such as 200."),
		field("headers", engine.MapOf(engine.Of(engine.TypeText)), "The headers of the answer, by their names in lower case."),
		field("body", engine.Of(engine.TypeText), "The answer as text, at most 1 MiB; what is not UTF-8 in it is replaced."),
		field("json", engine.Of(engine.TypeAny), "The answer as a value, when its content type is JSON; else null. Integers are exact."),
		field("url", engine.Of(engine.TypeText), "Where the answer came from, AFTER redirects."),
		field("took", engine.Of(engine.TypeDuration), "How long it took, connecting included."),
	)
}

// request is one operation with its parameters.
type request struct {
	method
	writeParams // of a read: those that it has
	raw         engine.Record
	url         *url.URL // nil: not known yet
	proxy       *url.URL
}

// Decode makes the operation.
func (*Kind) Decode(operation string, r engine.Record) (steps.Operation, error) {
	for _, m := range methods() {
		if m.name == operation {
			return m.decode(r)
		}
	}
	return nil, fmt.Errorf("http has no operation %q", operation)
}

func (m method) decode(r engine.Record) (steps.Operation, error) {
	if problems := m.judge(r).Problems; len(problems) > 0 {
		return nil, problems[0]
	}
	q := &request{method: m, raw: r}
	if m.reads {
		q.Follow = "same_host"
	}
	if err := steps.Bind(r, &q.writeParams); err != nil {
		return nil, err
	}
	if text, ok := r[m.name].(string); ok {
		// It was parsed by judge; what is not known yet stays nil.
		q.url, _ = web.ParseURL(text)
		q.url.RawQuery = joinQuery(q.url.RawQuery, web.EncodePairs(q.Query, true))
	}
	if text, ok := engine.Reveal(r["proxy"]); ok {
		q.proxy, _ = url.Parse(text)
	}
	return q, nil
}

func joinQuery(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "&" + b
}
