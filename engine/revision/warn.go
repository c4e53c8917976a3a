package revision

import (
	"fmt"
	"slices"
	"strings"

	"github.com/handrail-dev/handrail/engine"
)

// warnings are what a reviewer must not miss, the playbook's own first, then step by step.
func (c *comparison) warnings(p Playbook, pairs []*pair) []Warning {
	var out []Warning
	for _, s := range p.Settings {
		if text := headWarning(s); text != "" {
			out = append(out, Warning{Text: text})
		}
	}
	if c.after.Plan != nil && c.after.Plan.Error != "" && (c.before.Plan == nil || c.before.Plan.Error != c.after.Plan.Error) {
		out = append(out, Warning{Text: "the run would fail: " + c.after.Plan.Error})
	}
	if p.Change == Removed { // as a whole, which needs no warning
		return out
	}
	ahead := overtaken(pairs)
	for i, s := range c.steps {
		if s.Change == Same {
			continue
		}
		for _, text := range slices.Concat(s.warnings(), ahead[i], c.fresh(s, pairs[i])) {
			out = append(out, Warning{s.Path, text})
		}
	}
	return out
}

// overtaken warns of steps that were moved in front of an approval.
func overtaken(pairs []*pair) [][]string {
	out := make([][]string, len(pairs))
	for i, p := range pairs {
		if p.before == nil || p.after == nil || p.move == nil || !p.after.step.Class.Writes() {
			continue
		}
		for _, q := range pairs[i+1:] {
			if q.before != nil && q.after != nil && q.after.step.Class == engine.ClassPerson && q.before.order < p.before.order {
				out[i] = append(out[i], "it comes before the approval "+q.after.path+" now, and came behind it")
			}
		}
	}
	return out
}

func headWarning(s Setting) string {
	of := ""
	if s.Playbook != "" {
		of = " of " + s.Playbook
	}
	kind, name, _ := strings.Cut(s.Name, ".")
	switch {
	case kind == "locks":
		lost := slices.DeleteFunc(strings.Split(s.Before, ", "), func(lock string) bool { return slices.Contains(strings.Split(s.After, ", "), lock) })
		if len(lost) > 0 && s.Before != "" {
			return fmt.Sprintf("not locked any more%s: %s", of, strings.Join(lost, ", "))
		}
	case kind == "secrets" && s.Before == "":
		return fmt.Sprintf("it uses the secret %s, which it did not before", name)
	case kind == "targets" && s.Before != "" && s.After != "":
		return fmt.Sprintf("the target %s is another one", name)
	}
	return ""
}

// warnings of a step, by what both revisions say.
func (s Step) warnings() []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	switch {
	case s.Change == Removed && s.Before.Approval:
		say("nobody is asked for approval here any more")
	case s.Change == Removed && s.Before.Kind == "verify":
		say("this proof is gone")
	case s.Move != nil && s.After.Approval:
		say("approval is asked for at another time: it was %s, it is %s", s.Move.From, s.Move.To)
	}
	if s.After == nil || s.After.Group != "" {
		return out
	}
	harm := harms(s.After.Risk)
	switch {
	case s.Before != nil && s.After.Risk > s.Before.Risk:
		say("its risk was %s and is %s", s.Before.Risk, s.After.Risk)
	case s.After.Risk < engine.RiskDestroys:
	case s.Change == Added:
		say("it is new, and %s", harm)
	case s.Change == Changed && !s.Worded():
		say("it %s, and says something else", harm)
	case len(s.Through) > 0:
		say("it %s, and uses what was changed: %s", harm, strings.Join(s.Through, ", "))
	case s.Move != nil:
		say("it %s, and comes at another time: it was %s, it is %s", harm, s.Move.From, s.Move.To)
	}
	if s.Before != nil && s.After.Class == engine.ClassUnrepeatable && s.Before.Class != s.After.Class && s.Before.Class.Writes() {
		say("after a crash it would be in doubt: its class was %s and is %s", s.Before.Class, s.After.Class)
	}
	if s.Before == nil {
		return out
	}
	for _, x := range s.Settings {
		switch {
		case x.After != "":
		case x.Name == "sensitive":
			say("what it finds is recorded now: it is not sensitive any more")
		case x.Name == "expect" || x.Name == "done_if":
			say("its %s is gone", x.Name)
		}
	}
	return out
}

func harms(r engine.Risk) string {
	if r == engine.RiskIrreversible {
		return "cannot be taken back"
	}
	return r.String()
}

// fresh are the warnings of the plan that were not there before.
func (c *comparison) fresh(s Step, p *pair) []string {
	if p.after == nil || !c.planned {
		return nil
	}
	now, was := c.later[p.after.path], look{}
	if p.before != nil {
		was = c.earlier[p.before.path]
	}
	var out []string
	if now.items > 0 && now.standing == engine.StandingUnknown && s.After.Group == "" {
		out = append(out, "it could not be judged: "+now.why)
	}
	for _, w := range now.warnings {
		if !slices.Contains(was.warnings, w) {
			out = append(out, w)
		}
	}
	return out
}

// RuledOut says why a gate that lets nothing pass from a risk on holds up this step of a playbook; empty: it does not.
func (s Step) RuledOut(p Playbook, floor engine.Risk) string {
	asked := s.Before != nil && s.Before.Approval
	switch {
	case s.Worded():
	case asked && (s.After == nil || s.Move != nil) && p.Risk >= floor:
		return "approval is not asked for where it was"
	case s.After != nil && s.After.Group == "" && !s.After.Approval && s.After.Risk >= floor:
		return s.After.Risk.String() + ", " + s.Change.String()
	}
	return ""
}
