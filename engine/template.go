package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Expr is a compiled expression. The loader makes it; the core only evaluates it. Eval must be pure.
// It returns an error that is or wraps [Unknown] when it needs a value that is not known yet.
type Expr interface {
	Eval(Scope) (Value, error)
	// String is the source, for messages and digests.
	String() string
}

// Test evaluates a condition.
func Test(e Expr, s Scope) (bool, error) {
	v, err := e.Eval(s)
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("%s is %s %s, not true or false", e, TypeName(v), Text(v))
	}
	return b, nil
}

// Template is a value with expressions in it. Exactly one of the fields is used; the zero Template
// is null.
type Template struct {
	Literal   Value
	Expr      Expr            // a lone ${{ }}: keeps its type
	Parts     []Template      // text with ${{ }} in it
	List      []Template      // a list with templates in it
	Fields    []FieldTemplate // a record with templates in it, in the order of the file
	Probe     *Probe          // renders to a Question
	Condition Expr            // renders to a Condition
	Late      *Template       // renders to a Late
}

// FieldTemplate is one field of a record.
type FieldTemplate struct {
	Name  string
	Value Template
}

// Render evaluates the template. An error says where in the template it was met.
func (t Template) Render(s Scope) (Value, error) {
	switch {
	case t.Expr != nil:
		v, err := t.Expr.Eval(s)
		if err != nil {
			return nil, fmt.Errorf("${{ %s }}: %w", t.Expr, err)
		}
		return v, nil
	case t.Parts != nil:
		return renderParts(t.Parts, s)
	case t.List != nil:
		out := make(List, len(t.List))
		for i, e := range t.List {
			v, err := e.Render(s)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			out[i] = v
		}
		return out, nil
	case t.Fields != nil:
		return renderFields(t.Fields, s)
	case t.Probe != nil:
		return t.Probe.bind(s)
	case t.Condition != nil:
		return Condition{expr: t.Condition, scope: s}, nil
	case t.Late != nil:
		return Late{template: *t.Late, scope: s}, nil
	}
	return t.Literal, nil
}

func renderFields(fields []FieldTemplate, s Scope) (Value, error) {
	out := make(Record, len(fields))
	for _, f := range fields {
		v, err := f.Value.Render(s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		out[f.Name] = v
	}
	return out, nil
}

// renderParts makes one text. A secret anywhere makes the whole a secret.
func renderParts(parts []Template, s Scope) (Value, error) {
	var text strings.Builder
	secret := ""
	for _, p := range parts {
		v, err := p.Render(s)
		if err != nil {
			return nil, err
		}
		if x, ok := v.(Secret); ok {
			secret = x.Name
			text.WriteString(x.Reveal())
			continue
		}
		text.WriteString(Text(v))
	}
	if secret != "" {
		return NewSecret(secret, text.String()), nil
	}
	return text.String(), nil
}

// Outline renders the parts that are literal and puts [Unknown] for the rest: what is known of the
// parameters before a run.
func (t Template) Outline() Value {
	switch {
	case t.Expr != nil, t.Parts != nil, t.Late != nil:
		return Unknown{}
	case t.List != nil:
		out := make(List, len(t.List))
		for i, e := range t.List {
			out[i] = e.Outline()
		}
		return out
	case t.Fields != nil:
		out := make(Record, len(t.Fields))
		for _, f := range t.Fields {
			out[f.Name] = f.Value.Outline()
		}
		return out
	case t.Probe != nil:
		return Question{probe: t.Probe}
	case t.Condition != nil:
		return Condition{expr: t.Condition}
	}
	return t.Literal
}

// Condition is an expression that an operation asks itself, about a result that only it has.
type Condition struct {
	expr  Expr
	scope Scope
}

// Holds asks the condition. The fields of result, and of each of locals, are in scope.
func (c Condition) Holds(result Record, locals Record) (bool, error) {
	return Test(c.expr, c.scope.with(locals).with(result))
}

func (c Condition) String() string { return c.expr.String() }
func (c Condition) digest() string { return Digest(c.expr.String()) }

// Late is a template that an operation renders itself, because it needs results that only it has.
type Late struct {
	template Template
	scope    Scope
}

// Render gives the value, with the fields of locals in scope.
func (l Late) Render(locals Record) (Value, error) { return l.template.Render(l.scope.with(locals)) }
func (l Late) digest() string                      { return l.template.Source() }

// Written is the template as a person would read it: what is sent, with its expressions as they stand
// in the playbook.
func (t Template) Written() string {
	switch {
	case t.Expr != nil:
		return "${{ " + t.Expr.String() + " }}"
	case t.Parts != nil:
		var b strings.Builder
		for _, p := range t.Parts {
			b.WriteString(p.Written())
		}
		return b.String()
	case t.List != nil:
		out := make([]string, len(t.List))
		for i, e := range t.List {
			out[i] = e.Written()
		}
		return "[" + strings.Join(out, ", ") + "]"
	case t.Fields != nil:
		out := make([]string, len(t.Fields))
		for i, f := range t.Fields {
			out[i] = f.Name + ": " + f.Value.Written()
		}
		return "{" + strings.Join(out, ", ") + "}"
	case t.Probe != nil:
		return "{" + t.Probe.Kind + "." + t.Probe.Op + ": " + t.Probe.Params.Written() + "}"
	case t.Condition != nil:
		return t.Condition.String()
	case t.Late != nil:
		return t.Late.Written()
	}
	return Text(t.Literal)
}

// Source is a text by which two templates are equal if they say the same.
func (t Template) Source() string {
	switch {
	case t.Expr != nil:
		return "${{" + t.Expr.String() + "}}"
	case t.Parts != nil:
		return "parts(" + joinSources(t.Parts) + ")"
	case t.List != nil:
		return "[" + joinSources(t.List) + "]"
	case t.Fields != nil:
		var b strings.Builder
		for _, f := range t.Fields {
			fmt.Fprintf(&b, "%q:%s,", f.Name, f.Value.Source())
		}
		return "{" + b.String() + "}"
	case t.Probe != nil:
		return "probe(" + t.Probe.Source() + ")"
	case t.Condition != nil:
		return "if(" + t.Condition.String() + ")"
	case t.Late != nil:
		return t.Late.Source()
	}
	b, err := AppendValue(nil, t.Literal)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func joinSources(ts []Template) string {
	out := make([]string, len(ts))
	for i, t := range ts {
		out[i] = t.Source()
	}
	return strings.Join(out, ",")
}

// Digest is the SHA-256 of a text, in hexadecimal.
func Digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// DigestValue is the SHA-256 of the typed form of a value; secrets enter by name.
func DigestValue(v Value) (string, error) {
	b, err := AppendValue(nil, v)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}
