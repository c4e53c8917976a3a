package http

import (
	"fmt"
	"net/url"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/internal/web"
)

// judge finds what is wrong, in what is known. No message holds a value that may be a secret.
func (m method) judge(r engine.Record) engine.Judgement {
	j := engine.Judgement{Risk: m.risk}
	add := func(path, format string, args ...any) {
		j.Problems = append(j.Problems, engine.Problem{Path: path, Message: fmt.Sprintf(format, args...)})
	}
	switch x := r[m.name].(type) {
	case string:
		if _, err := web.ParseURL(x); err != nil {
			add(m.name, "%v", err)
		}
	case engine.Unknown:
	case engine.Secret:
		add(m.name, "a URL is shown to people; a secret goes into headers, or into query")
	default:
		add(m.name, "must be a string, not %s", engine.TypeName(x))
	}
	if !m.reads {
		judgeBody(r, add)
	}
	j.Problems = append(j.Problems, web.JudgeHeaders("headers", r["headers"])...)
	j.Problems = append(j.Problems, web.JudgePairs("query", r["query"])...)
	j.Problems = append(j.Problems, web.JudgePairs("form", r["form"])...)
	j.Problems = append(j.Problems, web.TLS{}.Judge("tls", r["tls"])...)
	judgeStatus(r["status"], add)
	if text, ok := engine.Reveal(r["proxy"]); ok {
		judgeProxy(text, r["proxy"], add)
	}
	return j
}

func judgeBody(r engine.Record, add func(path, format string, args ...any)) {
	first := ""
	for _, name := range []string{"json", "body", "form"} {
		v, ok := r[name]
		switch {
		case !ok:
			continue
		case first != "":
			add(name, "a request has one body: give %s or %s, not both", first, name)
		case name == "json":
			if _, err := web.EncodeJSON(v, true); err != nil {
				add(name, "%v", err)
			}
		}
		first = name
	}
}

func judgeStatus(v engine.Value, add func(path, format string, args ...any)) {
	list, ok := v.(engine.List)
	if !ok {
		return
	}
	if len(list) == 0 {
		add("status", "without any status no answer would be a success")
	}
	for i, e := range list {
		if n, ok := e.(int64); ok && (n < 200 || n > 599) {
			add(fmt.Sprintf("status[%d]", i), "a final status is between 200 and 599")
		}
	}
}

func judgeProxy(text string, v engine.Value, add func(path, format string, args ...any)) {
	u, err := url.Parse(text)
	_, secret := v.(engine.Secret)
	switch {
	case err != nil || u.Hostname() == "":
		add("proxy", "it is not a URL such as http://proxy:3128")
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5":
		add("proxy", "it must begin with http://, https:// or socks5://")
	case u.User != nil && !secret:
		add("proxy", "it holds a user or password; make the whole of it a secret")
	}
}
