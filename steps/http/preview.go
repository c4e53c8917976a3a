package http

import (
	"context"
	"fmt"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/web"
)

// mostShown bounds how much of a body a plan shows, in bytes.
const mostShown = 16 << 10

// Preview says what would be sent. It sends nothing: a read is carried out by the dry-run itself.
func (q *request) Preview(_ context.Context, env *steps.Env) (engine.Impact, error) {
	impact := engine.Impact{Standing: engine.StandingWould, Would: q.shown(), Risk: q.risk}
	if env.Call.Class == engine.ClassRead {
		impact.Risk = engine.RiskReads
		if !q.reads {
			impact.Standing, impact.Why = engine.StandingUnknown, web.ErrReadOnly.Error()
		}
	}
	if _, err := q.TLS.Config(env.Dir); err != nil {
		impact.Standing, impact.Why = engine.StandingUnknown, "the real run would fail: "+err.Error()
	}
	if lines := web.ShownHeaders(q.Headers); len(lines) > 0 {
		for _, line := range lines {
			impact.Details = append(impact.Details, q.secrets().Text(line))
		}
	}
	if body, kind := q.shownBody(); kind != "" {
		sent, _, err := q.message("")
		if err != nil {
			return engine.Impact{}, err
		}
		impact.Would += fmt.Sprintf(" with %d bytes of %s", len(sent), kind)
		impact.Details = append(impact.Details, q.secrets().Text(body))
	}
	impact.Warnings = q.warnings(env)
	return impact, nil
}

// shownBody is the body for people, and what it is.
func (q *request) shownBody() (text, kind string) {
	switch {
	case q.has("json"):
		text, kind = web.PrettyJSON(q.JSON), "JSON"
	case q.has("form"):
		text, kind = web.EncodePairs(q.Form, false), "a form"
	case q.has("body"):
		text, kind = engine.Masked, "text"
		if plain, ok := q.raw["body"].(string); ok {
			text = web.Readable([]byte(plain))
		}
	}
	if len(text) > mostShown {
		text = web.Readable([]byte(text[:mostShown])) + "…"
	}
	return text, kind
}

func (q *request) warnings(env *steps.Env) []string {
	var out []string
	if q.url != nil && q.url.Scheme == "http" && hasSecret(q.raw) {
		out = append(out, "a secret goes to "+q.url.Host+" without TLS")
	}
	if len(q.secretQuery()) > 0 {
		out = append(out, "a secret stands in the query, which servers and proxies write into their logs")
	}
	if !q.reads && env.Call.Timeout == 0 {
		out = append(out, "the step has no timeout: it waits for the answer without end")
	}
	return out
}

func hasSecret(v engine.Value) bool {
	switch x := v.(type) {
	case engine.Secret:
		return true
	case engine.List:
		for _, e := range x {
			if hasSecret(e) {
				return true
			}
		}
	case engine.Record:
		for _, e := range x {
			if hasSecret(e) {
				return true
			}
		}
	}
	return false
}
