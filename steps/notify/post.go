package notify

import (
	"context"
	"errors"
	"fmt"
	nethttp "net/http"
	"net/url"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/internal/mask"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/web"
)

// keptAnswer is how much of an answer is read, in bytes: enough for its first line.
const keptAnswer = 4 << 10

// post is a notification that is posted as JSON.
type post struct {
	kind    *Kind
	what    string // "Slack"
	raw     engine.Record
	given   engine.Value // the URL as the playbook has it
	headers map[string]engine.Value
	tls     *web.TLS
	would   string
	path    string // added to the URL's
	json    func(now time.Time) engine.Value
}

func (k *Kind) slack(r engine.Record) (steps.Operation, error) {
	var p slackParams
	if err := steps.Bind(r, &p); err != nil {
		return nil, err
	}
	return &post{kind: k, what: "Slack", raw: r, given: inside(r, "slack")["url"], tls: p.Slack.TLS, would: "tell Slack: " + p.Slack.Text,
		json: func(time.Time) engine.Value { return engine.Record{"text": p.Slack.Text} }}, nil
}

func (k *Kind) webhook(r engine.Record) (steps.Operation, error) {
	var p webhookParams
	if err := steps.Bind(r, &p); err != nil {
		return nil, err
	}
	return &post{kind: k, what: "the webhook", raw: r, given: inside(r, "webhook")["url"], headers: p.Webhook.Headers, tls: p.Webhook.TLS,
		would: "post JSON to the webhook", json: func(time.Time) engine.Value { return p.Webhook.JSON }}, nil
}

func (k *Kind) alert(r engine.Record) (steps.Operation, error) {
	var p alertParams
	if err := steps.Bind(r, &p); err != nil {
		return nil, err
	}
	a := p.Alert
	would := "raise the alert " + a.Labels["alertname"]
	if a.EndsIn != nil && *a.EndsIn <= 0 {
		would = "end the alert " + a.Labels["alertname"]
	}
	return &post{kind: k, what: "Alertmanager", raw: r, given: inside(r, "alertmanager")["url"], headers: a.Headers, tls: a.TLS,
		would: would, path: "/api/v2/alerts", json: func(now time.Time) engine.Value {
			alert := engine.Record{"labels": texts(a.Labels), "annotations": texts(a.Annotations), "startsAt": now}
			if a.EndsIn != nil {
				alert["endsAt"] = now.Add(*a.EndsIn)
			}
			return engine.List{alert}
		}}, nil
}

func texts(m map[string]string) engine.Record {
	r := engine.Record{}
	for k, v := range m {
		r[k] = v
	}
	return r
}

// where names the other side: its host, unless the URL is a secret.
func (p *post) where() string {
	text, ok := p.given.(string)
	if !ok {
		return p.what
	}
	u, err := web.ParseURL(text)
	if err != nil {
		return p.what
	}
	return p.what + " at " + u.Host
}

// Preview says what would be told. It sends nothing.
func (p *post) Preview(_ context.Context, env *steps.Env) (engine.Impact, error) {
	secrets := p.secrets()
	impact := engine.Impact{Standing: engine.StandingWould, Would: secrets.Text(p.would), Risk: engine.RiskChanges,
		Facts:   []engine.Fact{{Name: "to", Value: p.where()}},
		Details: []string{secrets.Text(web.PrettyJSON(p.json(env.Now())))}}
	if _, err := p.tls.Config(env.Dir); err != nil {
		impact.Warnings = append(impact.Warnings, "it could not be sent: "+err.Error())
	}
	return impact, nil
}

// Execute sends it, once.
func (p *post) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	if err := ctx.Err(); err != nil {
		return engine.Failure(fmt.Errorf("cancelled before it was sent: %w", err))
	}
	text, ok := engine.Reveal(p.given)
	if !ok {
		return engine.Failure(errors.New("the URL is not known"))
	}
	u, err := web.ParseURL(text)
	if err != nil {
		return engine.Failure(fmt.Errorf("the URL of %s: %w", p.what, err))
	}
	if p.path != "" && !strings.HasSuffix(u.Path, p.path) {
		u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/")+p.path, ""
	}
	body, err := web.EncodeJSON(p.json(env.Now()), true)
	if err != nil {
		return engine.Failure(err)
	}
	header := web.Header(p.headers)
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/json")
	}
	if key := web.Key(env.Call.Token); key != "" {
		header.Set(web.KeyHeader, key)
	}
	ctx, cancel := p.kind.within(ctx, env)
	defer cancel()
	client := web.Client{Access: env.Access, TLS: p.tls, Dir: env.Dir}
	reply, err := client.Do(ctx, web.Request{Method: nethttp.MethodPost, URL: u, Header: header, Body: body, Limit: keptAnswer})
	if err != nil {
		return p.unanswered(err)
	}
	if reply.Status < 200 || reply.Status > 299 {
		return p.refused(reply)
	}
	return engine.Outcome{Result: engine.Record{"status": int64(reply.Status)}}
}

func (p *post) unanswered(err error) engine.Outcome {
	var f *web.Failure
	o := engine.Outcome{Err: fmt.Sprintf("%s: %s", p.where(), p.secrets().Text(web.Explain(err)))}
	if errors.As(err, &f) {
		o.Err = fmt.Sprintf("%s: %s", p.where(), p.secrets().Text(web.Explain(f.Err)))
		if f.Sent {
			o.Err += "; it may have been taken all the same"
			o.Effect = engine.EffectUnknown
		}
	}
	return o
}

func (p *post) refused(reply *web.Reply) engine.Outcome {
	o := engine.Outcome{Err: fmt.Sprintf("%s answered %d %s", p.where(), reply.Status, nethttp.StatusText(reply.Status)), Effect: engine.EffectUnknown}
	if reply.Left != "" {
		// Where it leads is left out: it may hold what the URL holds.
		o.Err += "; redirects are not followed"
		return o
	}
	if line := web.FirstLine(reply.Body); line != "" {
		o.Err += ": " + p.secrets().Text(line)
	}
	return o
}

// shortestPart is the length from which on a part of a secret URL is masked by itself.
const shortestPart = 6

// secrets are those of the parameters. Of a URL that is a secret, its host and the parts of its path and
// query are secrets too: errors and answers tend to repeat a part of it.
func (p *post) secrets() *mask.Set {
	set := web.Secrets(p.raw)
	secret, ok := p.given.(engine.Secret)
	if !ok {
		return set
	}
	u, err := url.Parse(secret.Reveal())
	if err != nil {
		return set
	}
	set.Add(secret.Name, u.Hostname())
	set.Add(secret.Name, u.RequestURI())
	parts := strings.Split(u.Path, "/")
	for name, values := range u.Query() {
		parts = append(append(parts, name), values...)
	}
	for _, part := range parts {
		if len(part) >= shortestPart {
			set.Add(secret.Name, part)
		}
	}
	return set
}
