package playbook

import (
	"regexp"

	"github.com/handrail-dev/handrail/engine"
)

// namesError: the failure is told by its words. What holds of any failure would take a target that cannot be reached for a refusal.
var namesError = regexp.MustCompile(`\b` + engine.ErrorField + `\b`)

// fails reads the failure that a step or a probe is expected to end in, and refuses the keys that are about a success.
func (l *loader) fails(f fields, c *chosen, in *names, not ...string) engine.Expr {
	n := f.get("fails")
	if n == nil {
		return nil
	}
	in = in.with(engine.FailureShape())
	in.where = "fails"
	e := l.condition(n, "fails", in)
	switch {
	case e != nil && !namesError.MatchString(e.String()):
		l.node(n, `such as: fails: error contains "1142"`, "fails must say which failure is expected, by its words, which are in error")
	case c.op.Class == engine.ClassAdvisory || c.op.Class == engine.ClassPerson:
		l.node(n, "", "%s takes no fails", c.op.Name)
	case c.each:
		l.node(n, "name one node, or write one for each", "of several nodes some may fail and others not: fails goes with one")
	}
	for _, key := range not {
		if k := f.get(key); k != nil {
			l.node(k, "", "%s is about what succeeds: it does not go with fails", key)
		}
	}
	return e
}
