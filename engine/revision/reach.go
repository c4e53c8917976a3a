package revision

import (
	"regexp"
	"slices"
	"strings"

	"github.com/handrail-dev/handrail/engine"
)

// A change reaches a step through names: the step uses `vars.table`, and the variable is another one. What is looked
// for is the name in the words of the step, so a name that is only mentioned counts as well; nothing is missed for that.
var (
	usedName   = regexp.MustCompile(`\b(inputs|vars|steps|targets)(?:\??\.|\[["'])([A-Za-z_][A-Za-z0-9_]*)`)
	usedTarget = regexp.MustCompile(`(?m)^[ -]*on: ([a-z][a-z0-9_]*)$`)
)

// uses are the names that a text uses.
func uses(text string) []string {
	var out []string
	for _, m := range usedName.FindAllStringSubmatch(text, -1) {
		out = append(out, m[1]+"."+m[2])
	}
	for _, m := range usedTarget.FindAllStringSubmatch(text, -1) {
		out = append(out, "targets."+m[1])
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// reach finds the steps that a change elsewhere reaches. It goes on until nothing new is found, because a step that is
// reached may be used by another one, and a playbook that is run hands its outputs back.
func (c *comparison) reach(pairs []*pair) {
	c.mark("", c.after.Playbook, "")
	used := make([][]string, len(pairs))
	for i, p := range pairs {
		if p.after != nil {
			used[i] = uses(p.after.said.raw())
		}
	}
	touched := map[string]string{} // groups whose entries may be done otherwise, and why
	for more := true; more; {
		more = false
		for i, p := range pairs {
			if p.after != nil && p.before != nil && c.reachStep(&c.steps[i], p, used[i], touched) {
				more = true
			}
		}
	}
	for i, p := range pairs {
		s := &c.steps[i]
		if s.Change == Same && len(s.Through) > 0 {
			s.Change = Reached
		}
		// What only reads does no harm by finding something else; what it hands on was followed.
		if s.Change == Reached && s.After.Group == "" && s.After.Risk == engine.RiskReads && !p.after.step.Class.Writes() {
			s.Change, s.Through = Same, nil
		}
	}
}

// reachStep takes in what reaches one step, and what is reached through it; it tells whether that is anything new.
func (c *comparison) reachStep(s *Step, p *pair, used []string, touched map[string]string) bool {
	at := home(p.after.path)
	names := c.names(at)
	var through []string
	for _, name := range used {
		if names[name] {
			through = append(through, name)
		}
	}
	if t := "targets." + p.after.step.Target; c.names("")[t] && !slices.Contains(through, t) {
		through = append(through, t)
	}
	around := ""
	if _, path, ok := strings.Cut(p.after.list, "the steps of "); ok {
		if around = touched[path]; around != "" {
			through = append(through, around)
		}
	}
	fresh := len(through) > len(s.Through)
	s.Through = through
	changed := len(s.Settings) > 0 && !s.Worded() || len(through) > 0
	if changed && !names["steps."+p.after.step.ID] && p.after.step.Nested == nil {
		names["steps."+p.after.step.ID], fresh = true, true
	}
	if p.after.step.Group != engine.NoGroup && touched[p.after.path] == "" {
		if why := c.touches(s, p, around); why != "" {
			touched[p.after.path], fresh = why, true
		}
	}
	if p.after.step.Nested != nil && c.enter(s, p, names) {
		fresh = true
	}
	return fresh
}

// touches says why the entries of a group may be done otherwise; empty: they are not.
func (c *comparison) touches(s *Step, p *pair, around string) string {
	for _, x := range s.Settings {
		if slices.Contains([]string{"when", "for_each", "key", "group", "operation", "playbook"}, x.Name) {
			return "steps." + p.after.step.ID
		}
	}
	if around != "" {
		return around
	}
	for _, name := range []string{"when", "for_each", "key"} {
		e, _ := p.after.said.named(name)
		for _, used := range uses(e.raw) {
			if c.names(home(p.after.path))[used] {
				return used
			}
		}
	}
	return ""
}

// enter finds which names of a nested playbook mean something else, and whether its outputs do; it tells whether that is
// anything new.
func (c *comparison) enter(s *Step, p *pair, outer map[string]bool) bool {
	nested, inside := p.after.step.Nested, p.after.path+"/"
	names := c.names(inside)
	before := len(names)
	for _, f := range nested.Inputs {
		name := "inputs." + f.Name
		e, _ := p.after.said.named(name)
		if slices.ContainsFunc(s.Settings, func(x Setting) bool { return x.Name == name }) ||
			slices.ContainsFunc(uses(e.raw), func(used string) bool { return outer[used] }) {
			names[name] = true
		}
	}
	for own, of := range nested.Targets {
		if c.names("")["targets."+of] {
			names["targets."+own] = true
		}
	}
	c.mark(nested.Playbook.Name, nested.Playbook, inside)
	fresh := len(names) > before
	id := "steps." + p.after.step.ID
	for _, o := range nested.Playbook.Outputs {
		if !outer[id] && slices.ContainsFunc(uses(source(o.Expr)), func(used string) bool { return names[used] }) {
			outer[id], fresh = true, true
		}
	}
	return fresh
}

// mark notes the inputs, variables and targets of a playbook that are said otherwise, and the variables that use them.
func (c *comparison) mark(in string, p *engine.Playbook, at string) {
	names := c.names(at)
	for _, s := range c.heads {
		if s.Playbook != in {
			continue
		}
		switch kind, _, _ := strings.Cut(s.Name, "."); kind {
		case "inputs", "vars", "targets":
			names[s.Name] = true
		case "outputs":
			if step := strings.TrimSuffix(at, "/"); step != "" { // what is handed back is another thing
				c.names(home(step))["steps."+strings.TrimPrefix(step, home(step))] = true
			}
		}
	}
	for _, v := range p.Vars {
		if slices.ContainsFunc(uses(outlined(v.Name, v.Value, engine.Shape{}).written(false)), func(used string) bool { return names[used] }) {
			names["vars."+v.Name] = true
		}
	}
}

func (c *comparison) names(at string) map[string]bool {
	if c.changed[at] == nil {
		c.changed[at] = map[string]bool{}
	}
	return c.changed[at]
}
