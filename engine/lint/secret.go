package lint

import (
	"regexp"
	"strings"

	"github.com/handrail-dev/handrail/engine"
)

var (
	secretName = regexp.MustCompile(`(?i)(^|_|-)(password|passwd|pwd|secret|token|api_?key|private_?key|credentials?|authorization)$`)
	withLogin  = regexp.MustCompile(`[a-z][a-z0-9+.-]*://[^\s:/@]+:[^\s:/@]+@|://hooks\.slack\.com/services/\S`)
)

// NamesSecret: what has such a name is a secret, wherever it stands.
func NamesSecret(name string) bool { return secretName.MatchString(name) }

// HoldsLogin: the text is an address in which a secret stands.
func HoldsLogin(text string) bool { return withLogin.MatchString(text) }

// secrets looks for secrets that are written out in the parameters of steps and the settings of targets.
func (c *check) secrets() {
	for _, t := range c.pb.Targets {
		if t.Settings != nil && t.Pos.File == c.pb.File {
			for _, name := range written("", *t.Settings) {
				c.found = append(c.found, engine.Finding{Rule: engine.RuleClear, Pos: t.Pos, Message: "the " + name + " of target " + t.Name + " is written out"})
			}
		}
	}
	c.pb.EveryStep(func(s *engine.Step) {
		params := s.Params
		if s.Nested != nil {
			params = engine.Template{Fields: s.Nested.Inputs}
		}
		for _, name := range written("", params) {
			c.add(engine.RuleClear, s, "the %s is written out", name)
		}
	})
}

// written are the names of fields of a template in which a secret is written out.
func written(name string, t engine.Template) []string {
	var out []string
	switch {
	case t.Fields != nil:
		for _, f := range t.Fields {
			out = append(out, written(f.Name, f.Value)...)
		}
	case t.List != nil:
		for _, e := range t.List {
			out = append(out, written(name, e)...)
		}
	case t.Expr == nil && t.Parts == nil && t.Probe == nil && t.Condition == nil && t.Late == nil:
		out = writtenValue(name, t.Literal)
	}
	return out
}

func writtenValue(name string, v engine.Value) []string {
	var out []string
	switch x := v.(type) {
	case engine.Record:
		for _, k := range engine.Keys(x) {
			out = append(out, writtenValue(k, x[k])...)
		}
	case engine.List:
		for _, e := range x {
			out = append(out, writtenValue(name, e)...)
		}
	case engine.Secret:
		out = writtenValue(name, x.Reveal())
	case string:
		switch {
		case strings.TrimSpace(x) != "" && secretName.MatchString(name):
			out = append(out, name)
		case withLogin.MatchString(x):
			out = append(out, "secret in an address")
		}
	}
	return out
}
