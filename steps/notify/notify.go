// Package notify is the step kind `notify`: it tells people, by Slack, a webhook, mail or Alertmanager.
//
// A notification is advisory: it is sent at most once, never again AFTER a crash, and one that could not
// be sent makes its step degraded and stops nothing. It guarantees an end within a bounded time (10 s
// unless the step has a timeout), whatever the other side does, and that nothing is sent in a dry-run.
//
// It never prints a URL that is a secret, nor any part of it, nor its host; what the other side answers is
// shown with them masked. It follows no redirect, and never hands a password over without TLS, but on
// this machine itself.
package notify

import (
	"context"
	"fmt"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/web"
)

// Kind is the step kind.
type Kind struct{ patience time.Duration }

// New makes the kind.
func New() *Kind { return &Kind{patience: 10 * time.Second} }

type slackParams struct {
	Slack struct {
		URL  engine.Secret `param:"url" need:"yes" doc:"The incoming webhook's URL: a secret."`
		Text string        `param:"text" need:"yes" doc:"What to say."`
		TLS  *web.TLS      `param:"tls" doc:"Whom to trust, and who we are."`
	} `param:"slack" need:"yes" doc:"What to post, and where."`
}

type webhookParams struct {
	Webhook struct {
		URL     engine.Secret           `param:"url" need:"yes" doc:"Where to post it; may be a secret."`
		JSON    engine.Value            `param:"json" need:"yes" doc:"The body, as JSON."`
		Headers map[string]engine.Value `param:"headers" doc:"Headers. Secrets may stand here."`
		TLS     *web.TLS                `param:"tls" doc:"Whom to trust, and who we are."`
	} `param:"webhook" need:"yes" doc:"What to post, and where."`
}

type alertParams struct {
	Alert struct {
		URL         engine.Secret           `param:"url" need:"yes" doc:"The Alertmanager's URL, without /api/v2/alerts; may be a secret."`
		Labels      map[string]string       `param:"labels" need:"yes" doc:"The labels; alertname is needed."`
		Annotations map[string]string       `param:"annotations" doc:"The annotations, such as summary."`
		EndsIn      *time.Duration          `param:"ends_in" doc:"The alert ends by itself this long from now; 0s ends it at once. Without it the Alertmanager's resolve_timeout holds."`
		Headers     map[string]engine.Value `param:"headers" doc:"Headers. Secrets may stand here."`
		TLS         *web.TLS                `param:"tls" doc:"Whom to trust, and who we are."`
	} `param:"alertmanager" need:"yes" doc:"The alert, and where to raise it."`
}

type mailParams struct {
	Mail letter `param:"mail" need:"yes" doc:"The mail, and the server that takes it."`
}

type letter struct {
	SMTP     string        `param:"smtp" need:"yes" doc:"The server, as host:port. On port 465 TLS is spoken from the first byte."`
	From     string        `param:"from" need:"yes" doc:"Who sends it, as ops@example.com or Ops <ops@example.com>."`
	To       steps.Texts   `param:"to" need:"yes" doc:"Who gets it."`
	Subject  string        `param:"subject" need:"yes" doc:"The subject."`
	Text     string        `param:"text" need:"yes" doc:"What to say."`
	User     string        `param:"user" doc:"The user at the server, if it wants one."`
	Password engine.Secret `param:"password" doc:"The user's password: a secret."`
	StartTLS *bool         `param:"starttls" default:"true" doc:"TLS must be had BEFORE anything is said. With false it is not asked for."`
	TLS      *web.TLS      `param:"tls" doc:"Whom to trust, and who we are."`
}

// Define declares the kind.
func (*Kind) Define() engine.Kind {
	op := func(name, doc, example string, params, result engine.Shape, judge func(engine.Record) engine.Judgement) engine.Operation {
		return engine.Operation{Name: name, Key: name, Class: engine.ClassAdvisory, Risk: engine.RiskChanges,
			Doc: doc, Example: example, Params: params, Result: result, Judge: engine.ByParams(judge)}
	}
	answered := engine.RecordOf(
		engine.Field{Name: "status", Doc: "The status that was answered.", Shape: engine.Of(engine.TypeInteger), Required: true})
	return engine.Kind{
		Name: "notify",
		Doc:  "Tells people. What could not be sent makes the step degraded and stops nothing; AFTER a crash nothing is sent a second time. Without a timeout of the step it is given up after 10 s.",
		Operations: []engine.Operation{
			op("slack", "Posts a text to a Slack webhook, or one that understands the same (Mattermost, Rocket.Chat).",
				`{id: told, notify: {slack: {url: "${{ secrets.SLACK_URL }}", text: "Restore of ${{ inputs.db }} begins"}}}`,
				steps.Params[slackParams](), answered, judgeSlack),
			op("webhook", "Posts JSON to a URL.",
				`{id: told, notify: {webhook: {url: "https://hooks.example.com/dr", json: {event: restore, state: begun}}}}`,
				steps.Params[webhookParams](), answered, judgeWebhook),
			op("mail", "Sends a mail.",
				`{id: told, notify: {mail: {smtp: "mail.example.com:587", from: ops@example.com, to: [oncall@example.com], subject: Restore begins, text: It will take an hour., user: ops, password: "${{ secrets.MAIL_PASSWORD }}"}}}`,
				steps.Params[mailParams](), engine.RecordOf(engine.Field{Name: "accepted", Doc: "How many recipients the server accepted: all of them.",
					Shape: engine.Of(engine.TypeInteger), Required: true}), judgeMail),
			op("alertmanager", "Raises an alert, or with `ends_in: 0s` ends it.",
				`{id: told, notify: {alertmanager: {url: "http://alerts.example.com:9093", labels: {alertname: Failover, severity: page}, annotations: {summary: A failover is under way}, ends_in: 1h}}}`,
				steps.Params[alertParams](), answered, judgeAlert),
		},
	}
}

// Decode makes the operation.
func (k *Kind) Decode(operation string, r engine.Record) (steps.Operation, error) {
	def, ok := k.Define().Operation(operation)
	if !ok {
		return nil, fmt.Errorf("notify has no operation %q", operation)
	}
	if problems := def.Judge(engine.Proposal{Params: r}).Problems; len(problems) > 0 {
		return nil, problems[0]
	}
	switch operation {
	case "slack":
		return k.slack(r)
	case "webhook":
		return k.webhook(r)
	case "mail":
		return k.mail(r)
	default:
		return k.alert(r)
	}
}

// within bounds the time of a notification that the step does not bound itself.
func (k *Kind) within(ctx context.Context, env *steps.Env) (context.Context, context.CancelFunc) {
	if env.Call.Timeout > 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, k.patience)
}
