package playbook

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/handrail-dev/handrail/engine"
)

// Find finds the playbook that another one runs, by what it calls it. from is the file of the one that
// runs it.
type Find func(from, name string) (File, error)

// File is the text of a playbook, under the name by which messages speak of it.
type File struct {
	Name string
	Text []byte
}

// The bounds of a tree of playbooks.
const (
	maxDeep = 8   // playbooks that run each other, the first one included
	maxRuns = 200 // playbooks in the whole tree, each counted as often as it is run
)

// tree is what the loads of a playbook and of those that it runs have in common.
type tree struct {
	find  Find
	done  map[string]*branch
	files map[string]string // of each playbook by its name
	runs  int
}

// branch is a playbook as some step runs it.
type branch struct {
	pb      *engine.Playbook
	targets map[string]string // its own names, and those of the run
	lacks   []lack
	found   []*Diagnostic
	more    int
	runs    int
}

// lack is what the step that runs a playbook has not said, or said wrongly, of its targets.
type lack struct{ target, remedy, message string }

// binding is what a playbook that is run by another one takes over from it.
type binding struct {
	key       string // tells it from others
	targets   map[string]targetInfo
	named     map[string]string // `targets` of the step: the playbook's name, and the one outside
	sensitive bool
	lacks     []lack
}

// LoadTree reads a playbook like [Load], with the playbooks that it runs. Mistakes in those are reported with
// their own places.
func LoadTree(file string, src []byte, cat *Catalogue, env *Environment, find Find) (*engine.Playbook, error) {
	l := newLoader(file, src, cat, env)
	l.tree = &tree{find: find, done: map[string]*branch{}, files: map[string]string{}}
	l.chain = []string{file}
	pb := l.load()
	if err := l.err(); err != nil {
		return nil, err
	}
	return pb, nil
}

// nests: steps of that kind run a playbook.
func (c *Catalogue) nests(kind string) bool {
	k := c.byName[kind]
	return k != nil && k.Operations[0].Nests
}

// nested reads a step that runs another playbook, and gives the shape of its outputs.
func (l *loader) nested(e *field, f fields, s *engine.Step, sc *scope) engine.Shape {
	s.Kind, s.Group = e.key.Value, engine.PlaybookGroup
	unknown := engine.Shape{Type: engine.TypeRecord, Open: true}
	op := &l.cat.byName[s.Kind].Operations[0]
	m, ok := l.mapping(e.value, s.Kind, fieldNames(op.Params))
	if !ok {
		return unknown
	}
	params := &names{l: l, sight: seeForParams, scope: sc, self: s.ID, where: "an input"}
	var b *branch
	run := m.get(op.Key)
	if run == nil {
		l.node(e.value, "name it: run: redis-backup", "it is not said which playbook is run")
	} else if name := l.plainText(run, op.Key); name != "" {
		b = l.branch(run, name, l.namedTargets(m.get("targets")), s.Sensitive)
	}
	if b == nil {
		if in := m.get("inputs"); in != nil { // its own mistakes are found all the same
			l.value(in, engine.MapOf(engine.Shape{}), "inputs", place{names: params})
		}
		return unknown
	}
	for _, x := range b.lacks {
		at := run
		if named := m.get("targets"); named != nil {
			if n := locate(named, x.target, ""); n != named {
				at = n
			}
		}
		l.node(at, x.remedy, "%s", x.message)
	}
	s.Steps, s.Always = b.pb.Steps, b.pb.Always
	s.Nested = &engine.Nested{Playbook: b.pb, Targets: b.targets}
	s.Nested.Inputs, s.Nested.Accept = l.nestedInputs(m.get("inputs"), run, b.pb, s.Sensitive, params)
	return l.outputShape(b.pb, run, s.ForEach != nil)
}

// namedTargets reads `targets` of a step: what the playbook calls a target, and what it is called here.
func (l *loader) namedTargets(n *yaml.Node) map[string]string {
	out := map[string]string{}
	if n == nil {
		return out
	}
	f, _ := l.entries(n, "targets")
	for _, e := range f.list {
		name := l.plainText(e.value, "targets."+e.key.Value)
		if _, ok := l.targets[name]; name != "" && !ok {
			l.node(e.value, nearestOf(name, keysOf(l.targets), "the targets are"), "there is no target %s", name)
			continue
		}
		if name != "" {
			out[e.key.Value] = name
		}
	}
	return out
}

// branch loads the playbook that a step runs; nil if it cannot be had. n is where it is named.
func (l *loader) branch(n *yaml.Node, name string, named map[string]string, sensitive bool) *branch {
	t := l.tree
	if t == nil || t.find == nil {
		l.node(n, "", "the playbook %s cannot be looked for", name)
		return nil
	}
	file, err := t.find(l.src.file, name)
	if err != nil {
		l.node(n, l.runBy(), "%s", err)
		return nil
	}
	switch known, is := t.files[stem(file.Name)]; {
	case slices.Contains(l.chain, file.Name):
		l.node(n, "", "%s runs itself: %s", stem(file.Name), l.chainTo(file.Name))
		return nil
	case len(l.chain) >= maxDeep:
		l.node(n, "", "playbooks run each other more than %d deep: %s", maxDeep, l.chainTo(file.Name))
		return nil
	case is && known != file.Name:
		l.node(n, "give one of them another name", "two playbooks of one run are called %s: %s and %s", stem(file.Name), known, file.Name)
		return nil
	}
	t.files[stem(file.Name)] = file.Name
	key := fmt.Sprintf("%s\x00%s\x00%v\x00%v", l.outer.keyOf(), file.Name, named, sensitive)
	b, loaded := t.done[key]
	if !loaded {
		b = l.loadBranch(file, &binding{key: key, targets: l.targets, named: named, sensitive: sensitive})
		t.done[key] = b
	} else {
		t.runs += b.runs
	}
	if t.runs > maxRuns {
		l.node(n, "", "the playbook runs more than %d others", maxRuns)
		return nil
	}
	return l.adopt(n, file, b)
}

func (l *loader) loadBranch(file File, bound *binding) *branch {
	t := l.tree
	before := t.runs
	t.runs++
	c := newLoader(file.Name, file.Text, l.cat, l.env)
	c.tree, c.outer, c.usedSecrets = t, bound, l.usedSecrets
	c.chain = append(slices.Clone(l.chain), file.Name)
	b := &branch{pb: c.load(), targets: map[string]string{}}
	for name, info := range c.targets {
		b.targets[name] = info.run
	}
	for _, name := range keysOf(bound.named) {
		if _, ok := c.targets[name]; !ok {
			bound.lacks = append(bound.lacks, lack{name, nearestOf(name, keysOf(c.targets), "its targets are"), stem(file.Name) + " has no target " + name})
		}
	}
	b.lacks, b.found, b.more, b.runs = bound.lacks, c.found, c.more, t.runs-before
	return b
}

// adopt takes over what a branch has found wrong, and the targets of which it says itself where they are.
func (l *loader) adopt(n *yaml.Node, file File, b *branch) *branch {
	if len(b.found) > 0 {
		for _, d := range b.found {
			l.add(d)
		}
		l.more += b.more
		l.node(n, "", "the playbook %s, which this step runs, has mistakes; they are in %s", stem(file.Name), file.Name)
		return nil
	}
	for _, use := range b.pb.Targets {
		if !slices.ContainsFunc(l.nestedTargets, func(x engine.TargetUse) bool { return x.Name == use.Name }) {
			l.nestedTargets = append(l.nestedTargets, use)
		}
	}
	return b
}

func (b *binding) keyOf() string {
	if b == nil {
		return ""
	}
	return b.key
}

// chainTo names the playbooks that run each other, down to one more.
func (l *loader) chainTo(file string) string { return chainOf(append(slices.Clone(l.chain), file)) }

func chainOf(files []string) string {
	all := make([]string, len(files))
	for i, f := range files {
		all[i] = stem(f)
	}
	return strings.Join(all, " → ")
}

// runBy says how the loader came to this file, when it is not the first one.
func (l *loader) runBy() string {
	if len(l.chain) < 2 {
		return ""
	}
	return "this file is run by another: " + chainOf(l.chain)
}

// boundTarget finds what a target of a nested playbook is outside. What does not fit is for the step that
// runs the playbook to mend.
func (l *loader) boundTarget(name string, own targetInfo) targetInfo {
	b, pb := l.outer, stem(l.src.file)
	lacks := func(remedy, format string, args ...any) targetInfo {
		b.lacks = append(b.lacks, lack{name, remedy, fmt.Sprintf(format, args...)})
		return own
	}
	outside := name
	if as, ok := b.named[name]; ok {
		outside = as
	}
	t, ok := b.targets[outside]
	kind := own.typ
	if own.family != nil {
		kind = own.family.Name
	}
	switch {
	case !ok:
		return lacks(fmt.Sprintf("declare it: `targets: {%s: %s}`; or say which one it is: `targets: {%s: …}` beside run", name, kind, name),
			"%s acts on a target %s, and there is none of that name here", pb, name)
	case own.typ != "" && t.typ != "" && own.typ != t.typ,
		own.family != nil && t.typ != "" && !accepts(own.family, t.typ):
		return lacks("", "%s takes its target %s as %s; %s is %s here", pb, name, kind, outside, t.typ)
	case t.typ == "" && t.family != nil && own.family != nil && own.family != t.family,
		t.typ == "" && t.family != nil && own.typ != "" && !accepts(t.family, own.typ):
		return lacks("", "%s takes its target %s as %s; %s is for %s here", pb, name, kind, outside, t.family.Name)
	}
	if t.typ == "" {
		t.typ = own.typ
	}
	if t.family == nil {
		t.family = own.family
	}
	return t
}

// nestedInputs reads what a step gives to the playbook that it runs.
func (l *loader) nestedInputs(n, run *yaml.Node, pb *engine.Playbook, sensitive bool, params *names) ([]engine.FieldTemplate, func(engine.Record) (engine.Record, error)) {
	given := fields{node: run}
	if n != nil {
		given, _ = l.entries(n, "inputs")
	}
	places := map[string]engine.Pos{"": l.posOf(run)}
	var declared []string
	var out []engine.FieldTemplate
	for i := range pb.Inputs {
		in := &pb.Inputs[i]
		declared = append(declared, in.Name)
		value := given.get(in.Name)
		if value == nil {
			if in.Required {
				l.node(run, in.Description, "%s needs the input %s", pb.Name, in.Name)
			}
			continue
		}
		places[in.Name] = l.posOf(value)
		out = append(out, engine.FieldTemplate{Name: in.Name, Value: l.nestedInput(value, in, pb, sensitive, params)})
	}
	for _, e := range given.list {
		if !contains(declared, e.key.Value) {
			l.node(e.key, nearestOf(e.key.Value, declared, "its inputs are"), "%s has no input %s", pb.Name, e.key.Value)
		}
	}
	return out, func(r engine.Record) (engine.Record, error) { return accept(pb, r, places) }
}

func (l *loader) nestedInput(n *yaml.Node, in *engine.Input, pb *engine.Playbook, sensitive bool, params *names) engine.Template {
	withheld := false
	seeing := *params
	seeing.withheld = &withheld
	secret := in.Shape.Type == engine.TypeSecret
	if secret && !hasExpression(n) {
		l.node(n, "take it from the environment: \"${{ secrets.NAME }}\"", "the input %s of %s is a secret; it cannot stand in a playbook", in.Name, pb.Name)
		return engine.Template{}
	}
	before := len(l.found) + l.more
	t := l.value(n, in.Shape, "the input "+in.Name, place{names: &seeing})
	switch {
	case len(l.found)+l.more > before:
	case withheld && !secret && !sensitive:
		l.node(n, "declare it as a secret in "+pb.Name+", or say `sensitive: true` of this step", "the result of a sensitive step would be recorded as the input %s of %s", in.Name, pb.Name)
	case isLiteral(t) && t.List == nil && t.Fields == nil:
		if problem := checkInput(in, t.Literal); problem != "" {
			l.node(n, in.Description, "the input %s of %s %s", in.Name, pb.Name, problem)
		}
	}
	return t
}

// accept brings the inputs of a nested playbook into the form that it declares. places are those of the values in
// the file of the step that gives them.
func accept(pb *engine.Playbook, given engine.Record, places map[string]engine.Pos) (engine.Record, error) {
	out := engine.Record{}
	var wrong []error
	for i := range pb.Inputs {
		in := &pb.Inputs[i]
		at, named := places[in.Name]
		if !named {
			at = places[""]
		}
		v, problem := acceptOne(in, given[in.Name])
		switch {
		case problem != "":
			wrong = append(wrong, fmt.Errorf("%s: input %s of %s %s", at, in.Name, pb.Name, problem))
		case v != nil:
			out[in.Name] = v
		}
	}
	return out, errors.Join(wrong...)
}

// acceptOne checks one value. One that is null was not given.
func acceptOne(in *engine.Input, v engine.Value) (engine.Value, string) {
	switch x := v.(type) {
	case nil:
		if in.Default == nil && in.Required {
			return nil, "is null; it must be given"
		}
		return in.Default, ""
	case engine.Unknown:
		return x, ""
	case engine.Secret:
		if in.Shape.Type != engine.TypeSecret {
			return nil, "must be " + wanted(in.Shape) + ", not a secret"
		}
		return x, checkInput(in, x)
	}
	if _, unknown := engine.FirstUnknown(v); unknown {
		return v, ""
	}
	return inputValue(in, v)
}

// outputShape is what a step brings back that runs a playbook.
func (l *loader) outputShape(pb *engine.Playbook, run *yaml.Node, loop bool) engine.Shape {
	s := engine.RecordOf()
	for _, o := range pb.Outputs {
		if o.Name == "state" || loop && o.Name == "key" {
			l.node(run, "call the output something else", "the output %s of %s cannot be seen: %s is what is known of the step itself", o.Name, pb.Name, o.Name)
		}
		s.Fields = append(s.Fields, engine.Field{Name: o.Name, Shape: o.Shape, Required: true})
	}
	return s
}
