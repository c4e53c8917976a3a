package notify

import (
	"fmt"
	"net"
	"net/mail"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/internal/web"
)

// inside is what stands under the key of the operation.
func inside(r engine.Record, key string) engine.Record {
	params, _ := r[key].(engine.Record)
	return params
}

// judgePost finds what the operations that post have in common: it never prints a URL.
func judgePost(key string, p engine.Record) []engine.Problem {
	var out []engine.Problem
	if text, ok := engine.Reveal(p["url"]); ok {
		if _, err := web.ParseURL(text); err != nil {
			out = append(out, engine.Problem{Path: key + ".url", Message: err.Error()})
		}
	}
	out = append(out, web.JudgeHeaders(key+".headers", p["headers"])...)
	return append(out, web.TLS{}.Judge(key+".tls", p["tls"])...)
}

func judgeSlack(r engine.Record) engine.Judgement {
	p := inside(r, "slack")
	j := engine.Judgement{Risk: engine.RiskChanges, Problems: judgePost("slack", p)}
	if text, ok := p["text"].(string); ok && strings.TrimSpace(text) == "" {
		j.Problems = append(j.Problems, engine.Problem{Path: "slack.text", Message: "it says nothing"})
	}
	return j
}

func judgeWebhook(r engine.Record) engine.Judgement {
	p := inside(r, "webhook")
	j := engine.Judgement{Risk: engine.RiskChanges, Problems: judgePost("webhook", p)}
	if _, err := web.EncodeJSON(p["json"], true); err != nil {
		j.Problems = append(j.Problems, engine.Problem{Path: "webhook.json", Message: err.Error()})
	}
	return j
}

func judgeAlert(r engine.Record) engine.Judgement {
	p := inside(r, "alertmanager")
	j := engine.Judgement{Risk: engine.RiskChanges, Problems: judgePost("alertmanager", p)}
	labels, ok := p["labels"].(engine.Record)
	if name, has := labels["alertname"]; ok && (!has || name == "") {
		j.Problems = append(j.Problems, engine.Problem{Path: "alertmanager.labels", Message: "an alert needs the label alertname"})
	}
	return j
}

func judgeMail(r engine.Record) engine.Judgement {
	p := inside(r, "mail")
	j := engine.Judgement{Risk: engine.RiskChanges}
	add := func(path, format string, args ...any) {
		j.Problems = append(j.Problems, engine.Problem{Path: "mail." + path, Message: fmt.Sprintf(format, args...)})
	}
	if text, ok := p["smtp"].(string); ok {
		if host, port, err := net.SplitHostPort(text); err != nil || host == "" || port == "" {
			add("smtp", "%q is not host:port", text)
		}
	}
	if text, ok := p["from"].(string); ok {
		if _, err := mail.ParseAddress(text); err != nil {
			add("from", "%q is not an address such as ops@example.com", text)
		}
	}
	to, many := p["to"].(engine.List)
	if !many {
		to = engine.List{p["to"]}
	}
	if len(to) == 0 {
		add("to", "it goes to nobody")
	}
	for i, e := range to {
		path := "to"
		if many {
			path = fmt.Sprintf("to[%d]", i)
		}
		if text, ok := e.(string); ok {
			if _, err := mail.ParseAddress(text); err != nil {
				add(path, "%q is not an address such as ops@example.com", text)
			}
		}
	}
	if text, ok := p["subject"].(string); ok && strings.ContainsAny(text, "\r\n\x00") {
		add("subject", "a subject is one line")
	}
	judgeLogin(p, add)
	j.Problems = append(j.Problems, web.TLS{}.Judge("mail.tls", p["tls"])...)
	return j
}

func judgeLogin(p engine.Record, add func(path, format string, args ...any)) {
	_, user := p["user"]
	_, password := p["password"]
	if user != password {
		add("user", "user and password go together")
	}
	smtp, ok := p["smtp"].(string)
	if ok && password && p["starttls"] == false && !implicitTLS(smtp) && !onThisMachine(smtp) {
		add("starttls", "a password does not go out without TLS")
	}
}

func implicitTLS(address string) bool {
	_, port, err := net.SplitHostPort(address)
	return err == nil && port == "465"
}

func onThisMachine(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}
