package revision

import (
	"slices"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/preview"
)

// Revision is one revision of a playbook.
type Revision struct {
	Playbook *engine.Playbook // nil: there is none, or it cannot be read
	Problems []Problem        // why it cannot be read
	Plan     *preview.Plan    // nil: none was made
}

func (r Revision) there() bool { return r.Playbook != nil || len(r.Problems) > 0 }

// Compare says in what two revisions of a playbook differ. At least one of them is there.
func Compare(file string, before, after Revision) Playbook {
	c := comparison{before: before, after: after, changed: map[string]map[string]bool{}}
	out := Playbook{Name: nameOf(before, after), File: file, Problems: append(slices.Clone(before.Problems), after.Problems...)}
	for i := range out.Problems {
		out.Problems[i].Side = "before"
		if i >= len(before.Problems) {
			out.Problems[i].Side = "after"
		}
	}
	switch {
	case len(out.Problems) > 0:
		out.Change = Uncompared
	case !before.there():
		out.Change = Added
	case !after.there():
		out.Change = Removed
	}
	out.Planned = after.Plan != nil && (before.Playbook == nil || before.Plan != nil)
	c.planned = out.Planned
	if c.planned {
		c.looked(before.Plan, after.Plan)
	}
	if before.Playbook != nil && after.Playbook != nil {
		c.heads = c.compareHeads()
		out.Settings = c.heads
	}
	pairs := paired(spots(before.Playbook), spots(after.Playbook))
	c.steps = make([]Step, len(pairs))
	for i, p := range pairs {
		c.steps[i] = c.compare(p, out.Change)
	}
	if before.Playbook != nil && after.Playbook != nil {
		c.reach(pairs)
	}
	for i, s := range c.steps {
		if s.After != nil && s.After.Risk > out.Risk && s.After.Group == "" {
			out.Risk = s.After.Risk
		}
		if s.Change == Same && len(s.Impact) == 0 {
			out.Unchanged++
			continue
		}
		if s.Change == Same {
			c.steps[i].Change = Reached
		}
		out.Steps = append(out.Steps, c.steps[i])
	}
	if out.Change == Same && (len(out.Steps) > 0 || len(out.Settings) > 0) {
		out.Change = Changed
	}
	out.Warnings = c.warnings(out, pairs)
	return out
}

func nameOf(before, after Revision) string {
	for _, r := range []Revision{after, before} {
		if r.Playbook != nil {
			return r.Playbook.Name
		}
	}
	return ""
}

// comparison is the work on one playbook.
type comparison struct {
	before, after Revision
	planned       bool
	earlier       map[string]look // what the plans say of a step, by its path without loops
	later         map[string]look
	// changed are the names, such as inputs.state, whose value may be another one now: of each playbook in the tree, by the
	// path of the step that runs it with a slash, which is empty for the outermost.
	changed map[string]map[string]bool
	heads   []Setting
	steps   []Step
}

// compareHeads compares what stands beside the steps, of the playbook and of those that it runs.
func (c *comparison) compareHeads() []Setting {
	out := differences(saidByPlaybook(c.before.Playbook, false), saidByPlaybook(c.after.Playbook, false))
	was := map[string]*engine.Playbook{}
	c.before.Playbook.EachNested(func(p *engine.Playbook) { was[p.Name] = p })
	c.after.Playbook.EachNested(func(p *engine.Playbook) {
		if was[p.Name] == nil {
			return // its steps are new
		}
		for _, s := range differences(saidByPlaybook(was[p.Name], true), saidByPlaybook(p, true)) {
			s.Playbook = p.Name
			out = append(out, s)
		}
	})
	return out
}

// compare says what became of one step; whether a change elsewhere reaches it is not known yet.
func (c *comparison) compare(p *pair, whole Change) Step {
	s := Step{Move: p.move}
	if p.before != nil {
		s.Path, s.Before = p.before.path, face(p.before, c.earlier)
	}
	if p.after != nil {
		s.Path, s.After = p.after.path, face(p.after, c.later)
	}
	switch {
	case whole == Uncompared:
		s.Change = Uncompared
	case p.before == nil:
		s.Change = Added
	case p.after == nil:
		s.Change = Removed
	default:
		s.Settings = differences(p.before.said, p.after.said)
		if p.before.path != p.after.path {
			s.Was = p.before.path
		}
		if c.planned {
			s.Impact = impact(c.earlier[p.before.path], c.later[p.after.path], c.sameTarget(p), len(s.Settings) > 0)
		}
		switch {
		case len(s.Settings) > 0 || s.Before.Risk != s.After.Risk:
			s.Change = Changed
		case s.Was != "":
			s.Change = Renamed
		case s.Move != nil:
			s.Change = Moved
		}
		return s
	}
	var before, after said
	if p.before != nil {
		before = p.before.said
	}
	if p.after != nil {
		after = p.after.said
	}
	s.Settings = slices.DeleteFunc(differences(before, after), func(x Setting) bool { return slices.Contains(onFace, x.Name) })
	return s
}

// onFace are the settings that a [Face] shows. It is never changed.
var onFace = []string{"title", "operation", "group", "playbook", "on", "class"}

// sameTarget: the step acts on the same target, and that is where it was.
func (c *comparison) sameTarget(p *pair) bool {
	return p.before.step.Target == p.after.step.Target && !slices.ContainsFunc(c.heads, func(s Setting) bool {
		return s.Playbook == "" && s.Name == "targets."+p.after.step.Target
	})
}

func face(x *spot, looks map[string]look) *Face {
	s := x.step
	f := &Face{Title: s.Title, Kind: s.Kind, Target: s.Target, Depth: x.deep, Class: s.Class, Risk: s.Risk,
		Approval: s.Class == engine.ClassPerson, File: s.Pos.File, Line: s.Pos.Line}
	if s.Operation != nil {
		f.Operation = s.Operation.Name
	}
	if f.Group = s.Group.String(); s.Nested != nil {
		f.Operation = s.Nested.Playbook.Name
	}
	if l, ok := looks[x.path]; ok && f.Group == "" {
		standing := l.standing
		f.Standing, f.Would, f.Why, f.Figures = &standing, l.does(), l.why, l.figures
		f.Risk = max(f.Risk, l.risk)
		if l.class != engine.ClassUnset {
			f.Class = l.class
		}
	}
	return f
}

// home is what stands before the ids of the steps of the playbook that a path is in.
func home(path string) string { return path[:strings.LastIndexByte(path, '/')+1] }
