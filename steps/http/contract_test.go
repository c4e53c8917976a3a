package http_test

import (
	"math"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/http"
	"github.com/handrail-dev/handrail/steps/steptest"
)

func TestContract(t *testing.T) {
	s := newSite(t, nil)
	secret := engine.NewSecret("TOKEN", "Bearer very-secret-token")
	params := func(key string, more engine.Record) engine.Record {
		r := engine.Record{
			key: s.URL + "/thing", "headers": engine.Record{"Authorization": secret, "X-N": int64(1)},
			"query": engine.Record{"api": engine.NewSecret("API", "another secret/value"), "page": int64(2)},
		}
		for k, v := range more {
			r[k] = v
		}
		return r
	}
	one := func(key string, more engine.Record, bad ...steptest.Bad) steptest.Case {
		return steptest.Case{Operation: key, Params: params(key, more), Setup: s.reset, Fingerprint: s.state, Effect: s.writes, Bad: bad}
	}
	again := one("put", engine.Record{"json": engine.Record{"on": true}})
	again.Name, again.Class = "put that may be repeated", engine.ClassIdempotent
	again.Effect, again.Fingerprint = nil, func() string { // a put of the same is the same
		if s.writes() == 0 {
			return ""
		}
		return "on"
	}
	bad := func(path string, r engine.Record) steptest.Bad { return steptest.Bad{Params: r, Path: path} }
	post := func(more engine.Record) engine.Record {
		r := engine.Record{"post": "http://a/"}
		for k, v := range more {
			r[k] = v
		}
		return r
	}
	steptest.Run(t, steptest.Suite{Kind: http.New(), Cases: []steptest.Case{
		one("get", engine.Record{"status": engine.List{int64(200)}, "follow": "none", "tls": engine.Record{"server_name": "a"}},
			bad("get", engine.Record{"get": ""}),
			bad("get", engine.Record{"get": "ftp://a/"}),
			bad("get", engine.Record{"get": "//a/"}),
			bad("get", engine.Record{"get": "https:///path"}),
			bad("get", engine.Record{"get": "http://user:password@a/"}),
			bad("get", engine.Record{"get": "http://a/#part"}),
			bad("get", engine.Record{"get": engine.NewSecret("URL", "http://a/")}),
			bad("status", engine.Record{"get": "http://a/", "status": engine.List{}}),
			bad("status[1]", engine.Record{"get": "http://a/", "status": engine.List{int64(200), int64(100)}}),
			bad("tls", engine.Record{"get": "http://a/", "tls": engine.Record{"cert": "a.pem"}}),
			bad("proxy", engine.Record{"get": "http://a/", "proxy": "http://u:p@proxy:3128"}),
			bad("proxy", engine.Record{"get": "http://a/", "proxy": "proxy"}),
			bad("query.a", engine.Record{"get": "http://a/", "query": engine.Record{"a": engine.Record{}}}),
		),
		one("head", nil),
		one("post", engine.Record{"json": engine.Record{"password": engine.NewSecret("P", "hunter22-and-more")}},
			bad("headers.Idempotency-Key", post(engine.Record{"headers": engine.Record{"Idempotency-Key": "mine"}})),
			bad("headers.Content-Length", post(engine.Record{"headers": engine.Record{"Content-Length": "1"}})),
			bad("headers.A B", post(engine.Record{"headers": engine.Record{"A B": "x"}})),
			bad("headers.A", post(engine.Record{"headers": engine.Record{"A": "x\r\nB: y"}})),
			bad("headers.A", post(engine.Record{"headers": engine.Record{"A": engine.NewSecret("S", "x\nB: y")}})),
			bad("headers.A", post(engine.Record{"headers": engine.Record{"A": nil}})),
			bad("headers.accept", post(engine.Record{"headers": engine.Record{"Accept": "a", "accept": "b"}})),
			bad("body", post(engine.Record{"json": engine.Record{}, "body": "x"})),
			bad("form", post(engine.Record{"body": "x", "form": engine.Record{}})),
			bad("form.a", post(engine.Record{"form": engine.Record{"a": nil}})),
			bad("json", post(engine.Record{"json": math.Inf(1)})),
		),
		one("put", engine.Record{"body": engine.NewSecret("B", "the body is a secret")}),
		again,
		one("delete", nil),
		one("patch", engine.Record{"form": engine.Record{"a": engine.List{int64(1), "b c"}, "s": engine.NewSecret("F", "secret of a form")}}),
	}})
}
