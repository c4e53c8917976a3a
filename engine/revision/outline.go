package revision

import (
	"fmt"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/lint"
)

// outline is a setting as it is written: a text, a list or a record. Of a text it knows both what it is and what may be shown
// of it, because a secret that somebody has written out must not come out again where the change of it is discussed.
type outline struct {
	raw, shown string
	list       []outline
	fields     []field
	plain      bool // a list of texts, which stands on one line
}

type field struct {
	name  string
	value outline
}

func text(name, s string, shape engine.Shape) outline {
	o := outline{raw: s, shown: s}
	if shape.Type == engine.TypeSecret || lint.NamesSecret(name) || lint.HoldsLogin(s) {
		o.shown = engine.Masked
	}
	return o
}

// expression is a text that stands for a value; there is no secret in it.
func expression(e engine.Expr) outline {
	s := "${{ " + e.String() + " }}"
	return outline{raw: s, shown: s}
}

// outlined makes an outline of a template. name is that of the field that it stands in.
func outlined(name string, t engine.Template, shape engine.Shape) outline {
	switch {
	case t.Expr != nil:
		return expression(t.Expr)
	case t.Parts != nil:
		return text(name, t.Written(), shape)
	case t.List != nil:
		var o outline
		for _, e := range t.List {
			o.list = append(o.list, outlined(name, e, element(shape)))
		}
		return o.listed()
	case t.Fields != nil:
		var o outline
		for _, f := range t.Fields {
			o.fields = append(o.fields, field{f.Name, outlined(f.Name, f.Value, inside(shape, f.Name))})
		}
		return o
	case t.Probe != nil:
		return probed(t.Probe)
	case t.Condition != nil:
		return outline{raw: t.Condition.String(), shown: t.Condition.String()}
	case t.Late != nil:
		return outlined(name, *t.Late, shape)
	}
	return valued(name, t.Literal, shape)
}

func valued(name string, v engine.Value, shape engine.Shape) outline {
	switch x := v.(type) {
	case engine.Record:
		var o outline
		for _, k := range engine.Keys(x) {
			o.fields = append(o.fields, field{k, valued(k, x[k], inside(shape, k))})
		}
		return o
	case engine.List:
		var o outline
		for _, e := range x {
			o.list = append(o.list, valued(name, e, element(shape)))
		}
		return o.listed()
	case engine.Secret:
		return outline{raw: x.Reveal(), shown: engine.Masked}
	case nil:
		return outline{}
	case string:
		return text(name, x, shape)
	}
	return text(name, engine.Text(v), shape)
}

func probed(p *engine.Probe) outline {
	var o outline
	if p.Kind != "" {
		o.fields = append(o.fields, field{p.Kind + "." + p.Op, outlined("", p.Params, engine.Shape{})})
	}
	o.put("on", p.Target)
	o.put("expect", source(p.Expect))
	o.put("tolerate", source(p.Tolerate))
	o.put("fails", source(p.Fails))
	if p.Message != nil {
		o.fields = append(o.fields, field{"message", outlined("message", *p.Message, engine.Shape{})})
	}
	return o
}

func (o *outline) put(name, s string) {
	if s != "" {
		o.fields = append(o.fields, field{name, outline{raw: s, shown: s}})
	}
}

func source(e engine.Expr) string {
	if e == nil {
		return ""
	}
	return e.String()
}

// listed finds out whether the list has room on one line.
func (o outline) listed() outline {
	o.plain = true
	for _, e := range o.list {
		if len(e.fields) > 0 || len(e.list) > 0 || strings.Contains(e.raw, "\n") {
			o.plain = false
		}
	}
	return o
}

func inside(s engine.Shape, name string) engine.Shape {
	if f, ok := s.FieldNamed(name); ok {
		return f.Shape
	}
	if s.Or != nil {
		return inside(*s.Or, name)
	}
	return element(s)
}

func element(s engine.Shape) engine.Shape {
	if s.Elem != nil {
		return *s.Elem
	}
	return engine.Shape{}
}

// written is the outline as lines like those of a playbook.
func (o outline) written(shown bool) string {
	var b strings.Builder
	o.write(&b, "", shown)
	return strings.TrimSuffix(b.String(), "\n")
}

func (o outline) write(b *strings.Builder, indent string, shown bool) {
	switch {
	case len(o.fields) > 0:
		for _, f := range o.fields {
			f.value.entry(b, indent, f.name+":", shown)
		}
	case len(o.list) > 0 && !o.plain:
		for _, e := range o.list {
			e.entry(b, indent, "-", shown)
		}
	default:
		fmt.Fprintf(b, "%s\n", strings.ReplaceAll(strings.TrimRight(o.line(shown), "\n"), "\n", "\n"+indent))
	}
}

// entry writes an outline behind its name, or behind the dash of a list.
func (o outline) entry(b *strings.Builder, indent, head string, shown bool) {
	deeper := indent + "  "
	switch line := o.line(shown); {
	case len(o.fields) > 0 && head == "-":
		var inner strings.Builder
		o.write(&inner, deeper, shown)
		b.WriteString(indent + "- " + strings.TrimPrefix(inner.String(), deeper))
	case len(o.fields) > 0, len(o.list) > 0 && !o.plain:
		b.WriteString(indent + head + "\n")
		o.write(b, deeper, shown)
	case strings.Contains(line, "\n"):
		b.WriteString(indent + head + " |\n" + deeper)
		o.write(b, deeper, shown)
	default:
		b.WriteString(indent + head + " " + line + "\n")
	}
}

// line is a text, or a list that has room on a line.
func (o outline) line(shown bool) string {
	if o.list == nil {
		if shown {
			return o.shown
		}
		return o.raw
	}
	parts := make([]string, len(o.list))
	for i, e := range o.list {
		parts[i] = e.line(shown)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}
