package playbook

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/handrail-dev/handrail/engine"
)

// KindsMarkdown is the reference page of all kinds, docs/kinds.md.
func KindsMarkdown(cat *Catalogue) []byte {
	var b bytes.Buffer
	b.WriteString("# Step kinds\n\n")
	b.WriteString("<!-- Made from the declarations of the kinds by `make docs`. Do not edit. -->\n\n")
	b.WriteString("What every step has beside its kind, and the expressions in it, is told in [playbooks.md](playbooks.md).\n")
	b.WriteString("The *class* says what a crash may do to an effect, the *risk* how bad it is if the step should not have\n" +
		"been run. Both are the widest that the operation can have; its parameters may narrow them.\n\n")
	b.WriteString("| kind | operations (class) | targets |\n|---|---|---|\n")
	for i := range cat.kinds {
		k := &cat.kinds[i]
		ops := make([]string, len(k.Operations))
		for j, o := range k.Operations {
			ops[j] = fmt.Sprintf("%s (%s)", o.Name, classWord(&o))
		}
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s |\n", k.Name, k.Name, strings.Join(ops, ", "), orDash(strings.Join(typesOf(k), ", ")))
	}
	for i := range cat.kinds {
		writeKind(&b, cat, &cat.kinds[i])
	}
	return b.Bytes()
}

func classWord(o *engine.Operation) string {
	if o.Nests {
		return "as its steps"
	}
	return o.Class.String()
}

func orDash(s string) string {
	if s == "" {
		return "—"
	}
	return s
}

func writeKind(b *bytes.Buffer, cat *Catalogue, k *engine.Kind) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n", k.Name, k.Doc)
	for i, t := range k.Targets {
		if cat.targets[t.Name] != &k.Targets[i] {
			fmt.Fprintf(b, "\nA target `%s` is declared as told above.\n", t.Name)
			continue
		}
		fmt.Fprintf(b, "\n### Target `%s`\n\n%s\n", t.Name, t.Doc)
		if t.Example != "" {
			fmt.Fprintf(b, "\n```yaml\ntargets:\n  name: %s\n```\n", targetExample(t))
		}
		writeFields(b, "setting", t.Settings, true)
	}
	for i := range k.Operations {
		writeOperation(b, k, &k.Operations[i])
	}
}

// targetExample is the example of a target as an environment has it: {type: {settings}}. Some kinds
// declare the settings alone, some with the type around them.
func targetExample(t engine.TargetType) string {
	if strings.HasPrefix(t.Example, "{"+t.Name+":") {
		return t.Example
	}
	return "{" + t.Name + ": " + t.Example + "}"
}

func writeOperation(b *bytes.Buffer, k *engine.Kind, o *engine.Operation) {
	fmt.Fprintf(b, "\n### `%s`\n\n%s\n\n", fullName(k.Name, o), o.Doc)
	if o.Nests {
		b.WriteString("Class and risk are those of its steps.")
	} else {
		fmt.Fprintf(b, "Class: %s. Risk: %s.", o.Class, o.Risk)
	}
	if o.ExpectInside {
		b.WriteString(" `expect` is asked BEFORE the effect is committed; if it is false, there is no effect.")
	}
	if o.Grades {
		b.WriteString(" The operation itself says ok, degraded or failed.")
	}
	b.WriteString("\n")
	if o.Example != "" {
		fmt.Fprintf(b, "\n```yaml\n- %s\n```\n", o.Example)
	}
	writeFields(b, "parameter", o.Params, true)
	if len(o.Result.Fields) > 0 {
		b.WriteString("\nResult:\n")
		writeFields(b, "field", o.Result, false)
	}
}

func writeFields(b *bytes.Buffer, title string, s engine.Shape, given bool) {
	if len(s.Fields) == 0 {
		return
	}
	if given {
		fmt.Fprintf(b, "\n| %s | type | needed | default | meaning |\n|---|---|---|---|---|\n", title)
	} else {
		fmt.Fprintf(b, "\n| %s | type | meaning |\n|---|---|---|\n", title)
	}
	rows(b, "", s, given)
}

// rows writes the fields of a record, and below each the fields inside of it.
func rows(b *bytes.Buffer, prefix string, s engine.Shape, given bool) {
	for _, f := range s.Fields {
		name, doc := prefix+f.Name, cell(f.Doc)
		if f.Shape.Literal {
			doc += " No `${{ }}` in it."
		}
		if given {
			need := ""
			switch {
			case f.Required:
				need = "yes"
			case contains(s.Either, f.Name):
				need = "one of " + strings.Join(s.Either, ", ")
			}
			fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", name, cell(typeWords(f.Shape)), need, code(f.Default), doc)
		} else {
			fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, cell(typeWords(f.Shape)), doc)
		}
		switch {
		case f.Shape.Type == engine.TypeRecord:
			rows(b, name+".", f.Shape, given)
		case f.Shape.Type == engine.TypeList && f.Shape.Elem != nil && f.Shape.Elem.Type == engine.TypeRecord:
			rows(b, name+"[].", *f.Shape.Elem, given)
		}
	}
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + cell(s) + "`"
}

// cell makes a text fit into a table.
func cell(s string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", `\|`)
}

// typeWords is a type as the page names it: "list of string, or string".
func typeWords(s engine.Shape) string {
	words := s.Type.String()
	switch {
	case s.Type == engine.TypeEnum:
		quoted := make([]string, len(s.Enum))
		for i, e := range s.Enum {
			quoted[i] = "`" + e + "`"
		}
		words = strings.Join(quoted, " or ")
	case s.Type == engine.TypeList && s.Elem != nil:
		words = "list of " + typeWords(*s.Elem)
	case s.Type == engine.TypeRecord && s.Elem != nil:
		words = "record of " + typeWords(*s.Elem)
	case s.Type == engine.TypeLate:
		words = "any"
	}
	if s.Or != nil {
		words += ", or " + typeWords(*s.Or)
	}
	return words
}
