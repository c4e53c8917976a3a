package playbook

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/go-multierror"

	"github.com/handrail-dev/handrail/engine"
)

// ParseInputs makes the inputs of a run from what was given: texts, as `-i key=value` has them, or the
// values of a file. Defaults are filled in; an input that is not required and was not given is not
// there. Inputs of type secret become an [engine.Secret]. The error holds every mistake, each with the
// place where the input is declared.
func ParseInputs(pb *engine.Playbook, given map[string]any) (engine.Record, error) {
	out := engine.Record{}
	var wrong []*Diagnostic
	fail := func(pos engine.Pos, remedy, format string, args ...any) {
		wrong = append(wrong, &Diagnostic{Pos: pos, Message: fmt.Sprintf(format, args...), Remedy: remedy, Width: 1})
	}
	declared := make([]string, len(pb.Inputs))
	for i := range pb.Inputs {
		in := &pb.Inputs[i]
		declared[i] = in.Name
		raw, ok := given[in.Name]
		switch {
		case ok:
			v, problem := inputValue(in, raw)
			if problem != "" {
				fail(in.Pos, in.Description, "input %s %s", in.Name, problem)
				continue
			}
			out[in.Name] = v
		case in.Default != nil:
			out[in.Name] = in.Default
		case in.Required:
			fail(in.Pos, in.Description, "input %s is missing: give it with -i %s=…", in.Name, in.Name)
		}
	}
	for _, name := range keysOf(given) {
		if !contains(declared, name) {
			fail(engine.Pos{}, nearestOf(name, declared, "the inputs are"), "the playbook %s has no input %s", pb.Name, name)
		}
	}
	if len(wrong) == 0 {
		return out, nil
	}
	all := &multierror.Error{ErrorFormat: format}
	for _, d := range wrong {
		all.Errors = append(all.Errors, d)
	}
	return nil, all
}

// inputValue converts and checks what was given for an input.
func inputValue(in *engine.Input, raw any) (engine.Value, string) {
	v, ok := convert(raw, in.Shape)
	if !ok {
		if in.Shape.Type == engine.TypeSecret {
			return nil, "must be a string"
		}
		n, err := engine.Normalize(raw)
		if err != nil {
			return nil, "must be " + wanted(in.Shape)
		}
		if text, isText := n.(string); isText {
			return nil, fmt.Sprintf("must be %s, not %q", wanted(in.Shape), text)
		}
		return nil, fmt.Sprintf("must be %s, not %s", wanted(in.Shape), a(engine.TypeName(n)))
	}
	if in.Shape.Type == engine.TypeSecret {
		text, _ := v.(string)
		v = engine.NewSecret(in.Name, text)
	}
	return v, checkInput(in, v)
}

// convert brings a given value into a shape. A text is read as the type that is wanted.
func convert(raw any, s engine.Shape) (engine.Value, bool) {
	v, err := engine.Normalize(raw)
	if err != nil {
		return nil, false
	}
	if text, ok := v.(string); ok {
		return fromText(text, s)
	}
	switch s.Type {
	case engine.TypeAny:
		return v, true
	case engine.TypeBool:
		_, ok := v.(bool)
		return v, ok
	case engine.TypeInteger:
		return v, engine.TypeName(v) == "integer"
	case engine.TypeNumber:
		return v, isOneWord(engine.TypeName(v), "integer", "number", "decimal")
	case engine.TypeSize:
		n, ok := v.(int64)
		return v, ok && n >= 0
	case engine.TypeDuration:
		return v, engine.TypeName(v) == "duration"
	case engine.TypeText, engine.TypePath, engine.TypeSecret:
		if isOneWord(engine.TypeName(v), "integer", "number", "decimal") {
			return engine.Text(v), true
		}
	case engine.TypeList:
		return convertList(v, s)
	case engine.TypeRecord:
		return convertRecord(v, s)
	default: // an enum is text, and the other types are no types of inputs
	}
	return nil, false
}

func isOneWord(word string, words ...string) bool { return contains(words, word) }

func convertList(v engine.Value, s engine.Shape) (engine.Value, bool) {
	list, ok := v.(engine.List)
	if !ok || s.Elem == nil {
		return v, ok
	}
	out := make(engine.List, len(list))
	for i, e := range list {
		if out[i], ok = convert(e, *s.Elem); !ok {
			return nil, false
		}
	}
	return out, true
}

func convertRecord(v engine.Value, s engine.Shape) (engine.Value, bool) {
	r, ok := v.(engine.Record)
	if !ok || len(s.Fields) == 0 {
		return v, ok
	}
	out := make(engine.Record, len(r))
	for _, f := range s.Fields {
		inner, there := r[f.Name]
		if !there {
			return nil, false
		}
		if out[f.Name], ok = convert(inner, f.Shape); !ok {
			return nil, false
		}
	}
	return out, len(out) == len(r)
}

// fromText reads a text as a type.
func fromText(text string, s engine.Shape) (engine.Value, bool) {
	switch s.Type {
	case engine.TypeAny, engine.TypeText, engine.TypePath, engine.TypeSecret:
		return text, true
	case engine.TypeBool:
		return text == "true", text == "true" || text == "false"
	case engine.TypeInteger:
		if octal.MatchString(text) {
			return nil, false
		}
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			return i, true
		}
		u, err := strconv.ParseUint(text, 10, 64)
		return u, err == nil
	case engine.TypeNumber:
		if octal.MatchString(text) || !numeric.MatchString(text) || strings.Contains(text, "_") {
			return nil, false
		}
		if v, ok := fromText(text, engine.Of(engine.TypeInteger)); ok {
			return v, true
		}
		v, _, ok := plainFloat(text)
		return v, ok
	case engine.TypeDuration:
		d, err := parseDuration(text)
		return d, err == nil
	case engine.TypeSize:
		n, err := parseSize(text)
		return n, err == nil
	case engine.TypeEnum:
		return text, contains(s.Enum, text)
	case engine.TypeList:
		return listFromText(text, s)
	case engine.TypeRecord:
		v, err := decodeValue("", text)
		if _, isText := v.(string); err != nil || isText {
			return nil, false
		}
		return convert(v, s)
	default: // no type of an input
		return nil, false
	}
}

// listFromText reads [a, b] as YAML, and a,b as the texts between the commas.
func listFromText(text string, s engine.Shape) (engine.Value, bool) {
	if strings.HasPrefix(strings.TrimSpace(text), "[") {
		v, err := decodeValue("", text)
		if err != nil {
			return nil, false
		}
		return convert(v, s)
	}
	list := engine.List{}
	if text != "" {
		for _, part := range strings.Split(text, ",") {
			list = append(list, strings.TrimSpace(part))
		}
	}
	return convert(list, s)
}

// DecodeInputsFile reads a file of inputs: a mapping of names to values, as strict as a playbook.
func DecodeInputsFile(file string, src []byte) (map[string]any, error) {
	l := &loader{document: read(file, src)}
	if l.root == nil {
		return nil, l.err()
	}
	f, ok := l.entries(l.root, "a file of inputs")
	out := map[string]any{}
	for _, e := range f.list {
		if ok {
			out[e.key.Value] = l.value(e.value, engine.Shape{}, e.key.Value, place{}).Literal
		}
	}
	if err := l.err(); err != nil {
		return nil, err
	}
	return out, nil
}

// decodeValue reads a single value.
func decodeValue(file, text string) (engine.Value, error) {
	l := &loader{document: read(file, []byte(text))}
	if l.root == nil {
		return nil, l.err()
	}
	t := l.value(l.root, engine.Shape{}, "the value", place{})
	return t.Literal, l.err()
}
