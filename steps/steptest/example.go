package steptest

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/handrail-dev/handrail/engine"
)

// example reads the example of an operation as the loader would: what is a template is not known, a probe is
// a question, a duration is one.
func example(k engine.Kind, op engine.Operation) (p engine.Proposal, err error) {
	var doc any
	if err := yaml.Unmarshal([]byte(op.Example), &doc); err != nil {
		return p, err
	}
	if list, ok := doc.([]any); ok && len(list) == 1 {
		doc = list[0]
	}
	step, ok := doc.(map[string]any)
	if !ok {
		return p, fmt.Errorf("it is not one step")
	}
	p.Wipes = step["wipes"] == true
	p.Params, err = exampleParams(k, op, step)
	return p, err
}

func exampleParams(k engine.Kind, op engine.Operation, step map[string]any) (engine.Record, error) {
	value, ok := step[k.Name]
	if !ok {
		return nil, fmt.Errorf("it is not a step of kind %s", k.Name)
	}
	fields, ok := value.(map[string]any)
	if !ok {
		if op.Inline == "" {
			return nil, fmt.Errorf("the value of %s is not a mapping, and the operation has no inline parameter", k.Name)
		}
		fields = map[string]any{op.Inline: value}
	}
	if _, ok := fields[op.Key]; op.Key != "" && !ok {
		return nil, fmt.Errorf("it has no %s", op.Key)
	}
	v, err := shaped(op.Params, fields, false)
	if err != nil {
		return nil, err
	}
	return v.(engine.Record), nil
}

// shaped turns what YAML gave into the Value that a shape says. late: it stands in an entry of a
// sequence, whose templates the operation renders itself.
func shaped(s engine.Shape, v any, late bool) (engine.Value, error) {
	if text, ok := v.(string); ok && strings.Contains(text, "${{") {
		switch {
		case s.Literal:
			return nil, fmt.Errorf("a template in %q, which is sent as it is", text)
		case late:
			return Late(engine.Unknown{}), nil
		}
		return engine.Unknown{}, nil
	}
	got, err := shapedAs(s, v, late)
	if err != nil && s.Or != nil {
		return shapedAs(*s.Or, v, late)
	}
	return got, err
}

func shapedAs(s engine.Shape, v any, late bool) (engine.Value, error) {
	switch s.Type {
	case engine.TypeAny:
		return engine.Normalize(v)
	case engine.TypeRecord:
		return shapedRecord(s, v, late)
	case engine.TypeList:
		list, ok := v.([]any)
		if !ok {
			return nil, fmt.Errorf("%v is not a list", v)
		}
		out := make(engine.List, len(list))
		for i, e := range list {
			elem := engine.Shape{}
			if s.Elem != nil {
				elem = *s.Elem
			}
			var err error
			if out[i], err = shaped(elem, e, late || len(s.Entries) > 0); err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
		}
		return out, nil
	case engine.TypeProbe:
		if _, ok := v.(map[string]any); !ok {
			return nil, fmt.Errorf("%v is not a probe", v)
		}
		return Question(engine.Probe{Kind: "example", Op: "probe"}, engine.Record{}), nil
	case engine.TypeCondition:
		return Condition(Always(true)), nil
	case engine.TypeLate:
		return Late(v), nil
	case engine.TypeBool, engine.TypeInteger, engine.TypeNumber, engine.TypeText, engine.TypeBytes, engine.TypeTime,
		engine.TypeDuration, engine.TypeSize, engine.TypePath, engine.TypeEnum, engine.TypeSecret:
	}
	return scalar(s, v)
}

func shapedRecord(s engine.Shape, v any, late bool) (engine.Value, error) {
	fields, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%v is not a mapping", v)
	}
	out := engine.Record{}
	for name, e := range fields {
		shape := engine.Shape{}
		if s.Elem != nil {
			shape = *s.Elem
		}
		if f, ok := s.FieldNamed(name); ok {
			shape = f.Shape
		} else if !s.Open {
			return nil, fmt.Errorf("there is no parameter %s", name)
		}
		var err error
		if out[name], err = shaped(shape, e, late); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, f := range s.Fields {
		if _, ok := out[f.Name]; f.Required && !ok {
			return nil, fmt.Errorf("%s is missing", f.Name)
		}
	}
	return out, nil
}

func scalar(s engine.Shape, v any) (engine.Value, error) {
	text := fmt.Sprint(v)
	switch s.Type {
	case engine.TypeDuration:
		return time.ParseDuration(text)
	case engine.TypeSize:
		return size(text)
	case engine.TypeEnum:
		for _, e := range s.Enum {
			if e == text {
				return text, nil
			}
		}
		return nil, fmt.Errorf("%s is none of %s", text, strings.Join(s.Enum, ", "))
	case engine.TypeInteger:
		return strconv.ParseInt(text, 10, 64)
	case engine.TypeText, engine.TypePath, engine.TypeSecret:
		switch v.(type) {
		case []any, map[string]any, nil:
			return nil, fmt.Errorf("%v is not a text", v)
		}
		return text, nil
	case engine.TypeBool:
		if _, ok := v.(bool); !ok {
			return nil, fmt.Errorf("%v is not true or false", v)
		}
	case engine.TypeNumber:
		if _, err := strconv.ParseFloat(text, 64); err != nil {
			return nil, err
		}
	case engine.TypeAny, engine.TypeBytes, engine.TypeTime, engine.TypeList, engine.TypeRecord, engine.TypeProbe,
		engine.TypeCondition, engine.TypeLate:
	}
	return engine.Normalize(v)
}

func size(text string) (engine.Value, error) {
	digits := strings.TrimRight(text, "kKmMgGtTiB")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%q is not a size", text)
	}
	if unit := text[len(digits):]; unit != "" {
		n <<= 10 * (1 + strings.Index("KMGT", strings.ToUpper(unit[:1])))
	}
	return n, nil
}
