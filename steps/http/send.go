package http

import (
	"context"
	"errors"
	"fmt"
	nethttp "net/http"
	"slices"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/internal/mask"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/web"
)

// Execute sends the request and waits for the answer.
func (q *request) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	if err := ctx.Err(); err != nil {
		return engine.Failure(fmt.Errorf("cancelled before it was sent: %w", err))
	}
	if q.url == nil {
		return engine.Failure(engine.Problem{Path: q.name, Message: "the URL is not known"})
	}
	secrets := q.secrets()
	key := web.Key(env.Call.Token)
	body, header, err := q.message(key)
	if err != nil {
		return engine.Failure(err)
	}
	r := web.Request{
		Method: q.http, URL: q.url, Header: header, Body: body, Follow: q.Follow == "same_host", Limit: mostBody,
	}
	// A request that only reads, such as a probe, leaves nothing that a crash could put in doubt.
	writes := !q.reads && env.Call.Class != engine.ClassRead
	if writes {
		r.Sending = func() error { return env.Note(q.sentNote(env, "")) }
	}
	client := web.Client{Access: env.Access, TLS: q.TLS, Dir: env.Dir, Proxy: q.proxy}
	reply, err := client.Do(ctx, r)
	if err != nil {
		return q.unanswered(env, err, writes, secrets)
	}
	q.log(env, reply, secrets)
	if writes {
		return q.judgeWrite(env, reply, secrets)
	}
	return q.judgeRead(reply, secrets)
}

// message is the body and the headers.
func (q *request) message(key string) (body []byte, h nethttp.Header, err error) {
	h = web.Header(q.Headers)
	kind := ""
	switch {
	case q.has("json"):
		kind = "application/json"
		if body, err = web.EncodeJSON(q.JSON, true); err != nil {
			return nil, nil, engine.Problem{Path: "json", Message: err.Error()}
		}
	case q.has("form"):
		kind, body = "application/x-www-form-urlencoded", []byte(web.EncodePairs(q.Form, true))
	case q.has("body"):
		kind, body = "text/plain; charset=utf-8", []byte(q.Body.Reveal())
	}
	if kind != "" && h.Get("Content-Type") == "" {
		h.Set("Content-Type", kind)
	}
	if !q.reads {
		if body == nil && q.http != nethttp.MethodDelete {
			body = []byte{} // so that Content-Length: 0 is said
		}
		if key != "" {
			h.Set(web.KeyHeader, key)
		}
	}
	return body, h, nil
}

func (q *request) has(name string) bool {
	_, ok := q.raw[name]
	return ok && !q.reads
}

// secrets are those of the parameters, and the query's credentials in the form in which they are sent.
func (q *request) secrets() *mask.Set { return web.Secrets(q.raw) }

// shown is the request in a few words: POST https://host/path?key=•••.
func (q *request) shown() string {
	if q.url == nil {
		return q.http + " (a URL that is not known yet)"
	}
	return q.http + " " + q.secrets().Text(web.Shown(q.url, q.secretQuery()...))
}

// secretQuery are the names of the parameters whose values are secrets.
func (q *request) secretQuery() []string {
	var names []string
	for name, v := range q.Query {
		list, many := v.(engine.List)
		if !many {
			list = engine.List{v}
		}
		for _, e := range list {
			if _, ok := e.(engine.Secret); ok {
				names = append(names, name)
			}
		}
	}
	return names
}

// unanswered: no status came.
func (q *request) unanswered(env *steps.Env, err error, writes bool, secrets *mask.Set) engine.Outcome {
	var f *web.Failure
	if !errors.As(err, &f) {
		f = &web.Failure{Sent: true, Err: err}
	}
	why := secrets.Text(web.Explain(f.Err))
	o := engine.Outcome{Err: fmt.Sprintf("%s: %s", q.shown(), why)}
	if !f.Sent || !writes {
		o.Transient = web.Passing(f.Err)
		return o
	}
	// The request is gone. That this note cannot be kept changes nothing of what is known.
	_ = env.Note(q.sentNote(env, why))
	o.Effect, o.InDoubt = engine.EffectUnknown, true
	how := fmt.Sprintf("%d bytes of the request were sent, not the whole of it", f.Bytes)
	if f.Whole {
		how = fmt.Sprintf("the whole request was sent, %d bytes", f.Bytes)
	}
	o.Evidence = []string{how + "; " + why, q.trace(env)}
	return o
}

// trace says where a person can look.
func (q *request) trace(env *steps.Env) string {
	return fmt.Sprintf("it carried %s: %s; the server's log may tell what became of it", web.KeyHeader, web.Key(env.Call.Token))
}

func (q *request) log(env *steps.Env, reply *web.Reply, secrets *mask.Set) {
	fmt.Fprintf(env.Output(), "%s: %d, %d bytes\n", q.shown(), reply.Status, len(reply.Body))
	if reply.Left != "" {
		fmt.Fprintf(env.Output(), "%s\n", secrets.Text(reply.Left))
	}
}

// result is an answer as later steps see it. The error says that it claims to be JSON and is not.
func (q *request) result(reply *web.Reply, secrets *mask.Set) (engine.Record, error) {
	headers, _ := secrets.Value(web.Headers(reply.Header)).(engine.Record)
	r := engine.Record{
		"status": int64(reply.Status), "headers": headers, "body": secrets.Text(web.Readable(reply.Body)), "json": nil,
		"url": secrets.Text(web.Shown(reply.URL, q.secretQuery()...)), "took": reply.Took,
	}
	if !web.IsJSON(reply.Header.Get("Content-Type")) || len(reply.Body) == 0 {
		return r, nil
	}
	v, err := web.DecodeJSON(reply.Body)
	if err != nil {
		return r, fmt.Errorf("it says that it is JSON, and is not: %s", secrets.Text(err.Error()))
	}
	r["json"] = secrets.Value(v)
	return r, nil
}

// judgeRead: every status is an answer unless the author said otherwise. An answer that is not whole, or
// not what it says it is, is none.
func (q *request) judgeRead(reply *web.Reply, secrets *mask.Set) engine.Outcome {
	o := engine.Outcome{Message: secrets.Text(reply.Left)}
	result, garbled := q.result(reply, secrets)
	switch {
	case len(q.Status) > 0 && !slices.Contains(q.Status, int64(reply.Status)):
		o.Err = q.unwanted(reply, secrets)
		o.Transient = reply.Status == nethttp.StatusServiceUnavailable && reply.Header.Get("Retry-After") != ""
	case reply.BodyErr != nil:
		o.Err = q.broken(reply)
		o.Transient = web.Passing(reply.BodyErr)
		return o
	case garbled != nil:
		o.Err = fmt.Sprintf("%s answered %d; %v", q.shown(), reply.Status, garbled)
		return o
	}
	o.Result = result
	return o
}

// judgeWrite: with a status that means success the effect stands, whatever became of the rest of the
// answer. With another one it is known only of some that nothing was done.
func (q *request) judgeWrite(env *steps.Env, reply *web.Reply, secrets *mask.Set) engine.Outcome {
	result, garbled := q.result(reply, secrets)
	if q.wanted(reply.Status) {
		o := engine.Outcome{Result: result}
		if garbled != nil {
			o.Message = "the answer's json is null: " + garbled.Error()
		}
		if reply.BodyErr != nil {
			o.Err, o.Effect, o.Result = q.broken(reply), engine.EffectStands, nil
		}
		return o
	}
	o := engine.Outcome{Err: q.unwanted(reply, secrets), Effect: effectOf(reply.Status)}
	if reply.BodyErr == nil {
		o.Result = result
	}
	if o.Effect == engine.EffectUnknown {
		_ = env.Note(q.sentNote(env, fmt.Sprintf("it answered %d", reply.Status)))
		o.InDoubt = true
		o.Evidence = []string{fmt.Sprintf("it answered %d, which does not say whether anything was done", reply.Status), q.trace(env)}
	}
	return o
}

func (q *request) wanted(status int) bool {
	if len(q.Status) > 0 {
		return slices.Contains(q.Status, int64(status))
	}
	return status >= 200 && status < 300
}

// effectOf is what a status that is not wanted says of the effect of a request that may write. A server
// that refuses a request has not carried it out. A gateway's word is none about the server behind it,
// a server that broke down may have done a part, a conflict may be the request itself, and a redirect
// to another page is often the end of what was done.
func effectOf(status int) engine.Effect {
	switch {
	case status < 300:
		return engine.EffectStands
	case status == nethttp.StatusTemporaryRedirect, status == nethttp.StatusPermanentRedirect,
		status == nethttp.StatusNotImplemented, status == nethttp.StatusHTTPVersionNotSupported:
		return engine.EffectNone
	case status < 400, status >= 500, status == nethttp.StatusRequestTimeout, status == nethttp.StatusConflict, status == 499:
		return engine.EffectUnknown
	}
	return engine.EffectNone
}

func (q *request) unwanted(reply *web.Reply, secrets *mask.Set) string {
	text := fmt.Sprintf("%s answered %d %s", q.shown(), reply.Status, nethttp.StatusText(reply.Status))
	if reply.Left != "" {
		return text + ": " + secrets.Text(reply.Left)
	}
	if line := web.FirstLine(reply.Body); line != "" {
		text += ": " + secrets.Text(line)
	}
	return text
}

func (q *request) broken(reply *web.Reply) string {
	if errors.Is(reply.BodyErr, web.ErrTooLarge) {
		return fmt.Sprintf("%s answered %d with more than 1 MiB, which is more than is kept; ask for less, or fetch it with exec", q.shown(), reply.Status)
	}
	return fmt.Sprintf("%s answered %d, and its answer broke off: %s", q.shown(), reply.Status, web.Explain(reply.BodyErr))
}
