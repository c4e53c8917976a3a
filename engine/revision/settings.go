package revision

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// entry is one thing that a playbook or a step says: what it is, and what may be shown of it.
type entry struct{ name, raw, shown string }

// said are the entries of a playbook or a step in the order of the documents.
type said []entry

func (s *said) add(name, text string) {
	if text != "" {
		*s = append(*s, entry{name, text, text})
	}
}

func (s *said) outline(name string, o outline) {
	if raw := o.written(false); raw != "" {
		*s = append(*s, entry{name, raw, o.written(true)})
	}
}

// record takes the fields of a record one by one, and those of the records in it.
func (s *said) record(prefix string, o outline, depth int) {
	for _, f := range o.fields {
		if len(f.value.fields) > 0 && depth > 0 {
			s.record(prefix+f.name+".", f.value, depth-1)
			continue
		}
		s.outline(prefix+f.name, f.value)
	}
}

func (s said) named(name string) (entry, bool) {
	for _, e := range s {
		if e.name == name {
			return e, true
		}
	}
	return entry{}, false
}

// raw is everything that is said, for comparing it as a whole.
func (s said) raw() string {
	var b strings.Builder
	for _, e := range s {
		fmt.Fprintf(&b, "%q=%q\n", e.name, e.raw)
	}
	return b.String()
}

// differences of what two revisions say.
func differences(before, after said) []Setting {
	var out []Setting
	for _, b := range before {
		if a, ok := after.named(b.name); !ok || a.raw != b.raw {
			out = append(out, Setting{Name: b.name, Before: b.shown, After: a.shown})
		}
	}
	for _, a := range after {
		if _, ok := before.named(a.name); !ok {
			out = append(out, Setting{Name: a.name, After: a.shown})
		}
	}
	return out
}

// saidByStep is what a step says, its id and the steps in it excepted.
func saidByStep(s *engine.Step) said {
	var out said
	out.add("title", s.Title)
	switch {
	case s.Nested != nil:
		out.add("playbook", s.Nested.Playbook.Name)
	case s.Group != engine.NoGroup:
		out.add("group", s.Group.String())
	case s.Operation != nil:
		out.add("operation", operation(s))
	}
	out.add("on", s.Target)
	out.add("when", source(s.When))
	if s.ForEach != nil {
		out.outline("for_each", outlined("for_each", *s.ForEach, engine.Shape{}))
		out.add("as", s.As)
		out.add("key", source(s.Key))
		if s.AtOnce > 1 {
			out.add("at_once", strconv.Itoa(s.AtOnce))
		}
	}
	if s.Nested != nil {
		out.record("inputs.", outlined("", engine.Template{Fields: s.Nested.Inputs}, engine.Shape{}), 0)
		for _, name := range sortedNames(s.Nested.Targets) {
			if of := s.Nested.Targets[name]; of != name {
				out.add("targets."+name, of)
			}
		}
	}
	if s.Operation != nil {
		out.params(s)
	}
	out.policies(s)
	return out
}

func operation(s *engine.Step) string {
	if s.Operation.Name == s.Kind {
		return s.Kind
	}
	return s.Kind + "." + s.Operation.Name
}

func (s *said) params(step *engine.Step) {
	o := outlined("", step.Params, step.Operation.Params)
	if len(o.fields) > 0 {
		s.record("", o, 1)
		return
	}
	s.outline(step.Operation.Name, o)
}

func (s *said) policies(step *engine.Step) {
	s.add("expect", source(step.Expect))
	s.add("tolerate", source(step.Tolerate))
	s.add("fails", source(step.Fails))
	var asked outline
	for _, p := range step.DoneIf {
		asked.list = append(asked.list, probed(p))
	}
	s.outline("done_if", asked)
	if step.Retry.Attempts > 1 {
		s.add("retry", fmt.Sprintf("%d attempts, %s to %s apart", step.Retry.Attempts, step.Retry.Min, step.Retry.Max))
	}
	s.add("timeout", lasting(step.Timeout))
	s.add("class", step.Class.String())
	s.add("on_error", [...]string{engine.StopOnError: "", engine.ContinueOnError: "continue", engine.UndoOnError: "undo"}[step.OnError])
	wipes := step.WipesToo
	if step.Wipes {
		wipes = append([]string{"true"}, wipes...)
	}
	s.add("wipes", strings.Join(wipes, ", "))
	for _, flag := range []struct {
		name string
		set  bool
	}{{"sensitive", step.Sensitive}, {"unsettles", step.Unsettles}} {
		if flag.set {
			s.add(flag.name, "true")
		}
	}
}

func lasting(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// saidByPlaybook is what stands beside the steps. Of a playbook that another one runs, targets and secrets are those of that.
func saidByPlaybook(p *engine.Playbook, nested bool) said {
	var out said
	out.add("description", strings.TrimSpace(p.Description))
	if p.Timezone != nil {
		out.add("timezone", p.Timezone.String())
	}
	out.add("objectives.rto", lasting(p.Objectives.RTO))
	out.add("objectives.rpo", lasting(p.Objectives.RPO))
	for _, i := range p.Inputs {
		standard := text(i.Name, engine.Text(i.Default), i.Shape)
		out = append(out, entry{"inputs." + i.Name, declared(i, standard.raw), declared(i, standard.shown)})
	}
	for _, t := range p.Targets {
		if nested {
			break
		}
		name := "targets." + t.Name
		if t.Settings == nil {
			out.add(name, orAny(t.Type))
			continue
		}
		o := outlined("", *t.Settings, engine.Shape{})
		out.outline(name, outline{fields: []field{{t.Type, o}}})
	}
	out.add("locks", strings.Join(p.Locks, ", "))
	for _, v := range p.Vars {
		out.outline("vars."+v.Name, outlined(v.Name, v.Value, engine.Shape{}))
	}
	for _, o := range p.Outputs {
		out.add("outputs."+o.Name, source(o.Expr))
	}
	if !nested {
		for _, name := range sortedNames(p.Secrets) {
			out.add("secrets."+name, "used")
		}
	}
	return out
}

// orAny: a target whose type only an environment says.
func orAny(typ string) string {
	if typ == "" {
		return "as the environment says"
	}
	return typ
}

// declared is an input in one line.
func declared(i engine.Input, standard string) string {
	words := []string{i.Shape.Type.String()}
	if len(i.Shape.Enum) > 0 {
		words = []string{"one of " + strings.Join(i.Shape.Enum, ", ")}
	}
	switch {
	case i.Default != nil:
		words = append(words, "default "+standard)
	case i.Required:
		words = append(words, "must be given")
	default:
		words = append(words, "may be left out")
	}
	if i.Min != nil {
		words = append(words, "at least "+engine.Text(i.Min))
	}
	if i.Max != nil {
		words = append(words, "at most "+engine.Text(i.Max))
	}
	if i.Pattern != "" {
		words = append(words, "matches "+i.Pattern)
	}
	return strings.Join(words, "; ")
}
