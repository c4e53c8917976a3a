package playbook

import (
	"encoding/json"
	"fmt"

	"github.com/invopop/jsonschema"

	"github.com/handrail-dev/handrail/engine"
)

// Schema is the JSON Schema of a playbook, for editors. It is made from the tables and declarations
// that the loader reads by, and says what a schema can say: names and types, not whether expressions
// hold together.
func Schema(cat *Catalogue) ([]byte, error) {
	root := object(schemaFields{
		{"playbook", "The name: that of the file without .yaml.", pattern(nameForm.String())},
		{"description", "What the playbook does, in a sentence.", plainTextSchema()},
		{"timezone", "The zone of now(), such as Asia/Bangkok.", plainTextSchema()},
		{"objectives", "What the procedure has promised.", object(schemaFields{
			{"rto", "How long a recovery may take.", durationSchema()}, {"rpo", "How old the restored data may be.", durationSchema()},
		})},
		{"inputs", "What is asked for when a run starts.", named(snake.String(), ref("input"))},
		{"targets", "What the steps act on.", named(snake.String(), targetSchema(cat))},
		{"locks", "No two runs that share one are alive at once.", array(pattern(lockForm.String()))},
		{"vars", "Values that are evaluated once.", named(snake.String(), &jsonschema.Schema{})},
		{"steps", "What is done, one after the other.", least(array(ref("step")), 1)},
		{"outputs", "Expressions whose values are the result.", named(snake.String(), bareSchema("string", "boolean", "number"))},
		{"always", "Steps that are done at the end of every run, whatever has happened.", array(ref("step"))},
	}, "playbook", "steps")
	root.Version, root.Title = jsonschema.Version, "Handrail playbook"
	root.Definitions = jsonschema.Definitions{
		"step": stepSchema(cat), "probe": probeSchema(cat), "input": inputSchema(), "shape": innerShapeSchema(),
		"expression": {Type: "string", Pattern: `\$\{\{`, Description: "A value with ${{ }} in it."},
		"text":       anyOf(&jsonschema.Schema{Type: "string", Not: pattern(`\$\{\{`)}, ofType("number")),
		"duration":   pattern(durationForm.String()),
		"condition":  bareSchema("string", "boolean"),
	}
	for i := range cat.kinds {
		root.Definitions["kind_"+cat.kinds[i].Name] = kindSchema(&cat.kinds[i])
	}
	return json.MarshalIndent(root, "", "  ")
}

type schemaFields []struct {
	name, doc string
	schema    *jsonschema.Schema
}

// object is a mapping with these keys and no others.
func object(fields schemaFields, required ...string) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "object", Properties: jsonschema.NewProperties(), AdditionalProperties: jsonschema.FalseSchema, Required: required}
	for _, f := range fields {
		described := *f.schema
		if described.Description == "" {
			described.Description = f.doc
		}
		s.Properties.Set(f.name, &described)
	}
	return s
}

// named is a mapping with free names of one form.
func named(form string, value *jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "object", PatternProperties: map[string]*jsonschema.Schema{form: value}, AdditionalProperties: jsonschema.FalseSchema}
}

func ref(name string) *jsonschema.Schema { return &jsonschema.Schema{Ref: "#/$defs/" + name} }

func array(items *jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "array", Items: items}
}

func least(s *jsonschema.Schema, n uint64) *jsonschema.Schema {
	s.MinItems = &n
	return s
}

func anyOf(all ...*jsonschema.Schema) *jsonschema.Schema {
	if len(all) == 1 {
		return all[0]
	}
	return &jsonschema.Schema{AnyOf: all}
}

func ofType(name string) *jsonschema.Schema { return &jsonschema.Schema{Type: name} }

func pattern(p string) *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Pattern: p} }

func words(list []string) *jsonschema.Schema {
	s := &jsonschema.Schema{}
	for _, w := range list {
		s.Enum = append(s.Enum, w)
	}
	return s
}

// plainTextSchema is a text in which no expression can stand. A number is read as its text.
func plainTextSchema() *jsonschema.Schema { return ref("text") }

func durationSchema() *jsonschema.Schema { return ref("duration") }

func conditionSchema() *jsonschema.Schema { return ref("condition") }

// bareSchema is a value that is an expression as a whole.
func bareSchema(types ...string) *jsonschema.Schema {
	all := make([]*jsonschema.Schema, len(types))
	for i, t := range types {
		all[i] = ofType(t)
		if t == "string" {
			all[i] = &jsonschema.Schema{Type: t, Pattern: `\S`, Not: pattern(`^\s*\$\{\{`)}
		}
	}
	s := anyOf(all...)
	return &jsonschema.Schema{AnyOf: s.AnyOf, Type: s.Type, Pattern: s.Pattern, Not: s.Not, Description: "An expression."}
}

// shapeSchema is the schema of a declared shape. With expressions, a ${{ }} may stand in its place.
func shapeSchema(s engine.Shape, expressions bool) *jsonschema.Schema {
	if s.Literal {
		expressions = false
	}
	out := typeSchema(s, expressions)
	if s.Or != nil {
		or := *s.Or
		or.Literal = or.Literal || s.Literal
		out = anyOf(out, typeSchema(or, expressions))
	}
	if expressions && takesExpression(s.Type) {
		out = anyOf(out, ref("expression"))
	}
	return out
}

// takesExpression: not where the type takes any text already, and not where an expression stands
// without ${{ }}.
func takesExpression(t engine.Type) bool {
	return !isOneOf(t, engine.TypeAny, engine.TypeLate, engine.TypeCondition, engine.TypeProbe)
}

func typeSchema(s engine.Shape, expressions bool) *jsonschema.Schema {
	switch s.Type {
	case engine.TypeBool:
		return ofType("boolean")
	case engine.TypeInteger:
		return ofType("integer")
	case engine.TypeNumber:
		return ofType("number")
	case engine.TypeText, engine.TypePath, engine.TypeSecret:
		return plainTextSchema()
	case engine.TypeBytes, engine.TypeTime:
		return ofType("string")
	case engine.TypeDuration:
		return durationSchema()
	case engine.TypeSize:
		return anyOf(&jsonschema.Schema{Type: "integer", Minimum: "0"}, pattern(`^[0-9]+\s*([bB]|[kKmMgGtT]([iI][bB])?)?$`))
	case engine.TypeEnum:
		return words(s.Enum)
	case engine.TypeList:
		return listSchema(s, expressions)
	case engine.TypeRecord:
		return recordSchema(s, expressions)
	case engine.TypeProbe:
		return ref("probe")
	case engine.TypeCondition:
		return conditionSchema()
	case engine.TypeAny, engine.TypeLate:
	}
	return &jsonschema.Schema{}
}

func listSchema(s engine.Shape, expressions bool) *jsonschema.Schema {
	if s.Elem == nil {
		return ofType("array")
	}
	elem := *s.Elem
	elem.Literal = elem.Literal || s.Literal
	items := shapeSchema(elem, expressions)
	if len(s.Entries) == 0 {
		return array(items)
	}
	items = typeSchema(elem, expressions) // an entry is told by its key, so it is written out
	for _, v := range s.Entries {
		items.OneOf = append(items.OneOf, &jsonschema.Schema{Required: []string{v.Key}})
	}
	return array(items)
}

func recordSchema(s engine.Shape, expressions bool) *jsonschema.Schema {
	out := &jsonschema.Schema{Type: "object"}
	switch {
	case !s.Open:
		out.AdditionalProperties = jsonschema.FalseSchema
	case s.Elem != nil:
		out.AdditionalProperties = shapeSchema(*s.Elem, expressions)
	}
	if len(s.Fields) > 0 {
		out.Properties = jsonschema.NewProperties()
	}
	for _, f := range s.Fields {
		shape := f.Shape
		shape.Literal = shape.Literal || s.Literal
		field := *shapeSchema(shape, expressions)
		field.Description = f.Doc
		if f.Default != "" {
			field.Description += " Default: " + f.Default + "."
		}
		out.Properties.Set(f.Name, &field)
		if f.Required {
			out.Required = append(out.Required, f.Name)
		}
	}
	for _, name := range s.Either {
		out.OneOf = append(out.OneOf, &jsonschema.Schema{Required: []string{name}})
	}
	return out
}

func stepSchema(cat *Catalogue) *jsonschema.Schema {
	steps := array(ref("step"))
	schemas := map[string]*jsonschema.Schema{
		"id": pattern(snake.String()), "title": plainTextSchema(), "on": pattern(snake.String()),
		"when": conditionSchema(), "for_each": anyOf(ofType("array"), ref("expression")), "as": pattern(snake.String()),
		"key": bareSchema("string"), "at_once": {Type: "integer", Minimum: "1", Maximum: json.Number(fmt.Sprint(maxAtOnce))},
		"timeout": durationSchema(), "retry": object(schemaFields{
			{"attempts", "How many attempts; the first one counts.", &jsonschema.Schema{Type: "integer", Minimum: "2", Maximum: json.Number(fmt.Sprint(maxAttempts))}},
			{"backoff", "The pause: 2s, or 1s..10s for one that doubles.", pattern(backoffForm.String())},
		}, "attempts"),
		"expect": conditionSchema(), "tolerate": conditionSchema(), "fails": conditionSchema(),
		"done_if": anyOf(ref("probe"), least(array(ref("probe")), 1)),
		"effect":  words([]string{engine.ClassRead.String(), engine.ClassIdempotent.String(), engine.ClassUnrepeatable.String()}),
		"wipes":   anyOf(ofType("boolean"), pattern(snake.String()), least(array(pattern(snake.String())), 1)), "unsettles": ofType("boolean"), "on_error": words(onErrors), "undo": steps, "always": steps, "sensitive": ofType("boolean"),
		"block": least(array(ref("step")), 1), "parallel": least(array(ref("step")), 1),
	}
	var fields schemaFields
	for _, k := range stepKeyTable {
		fields = append(fields, schemaFields{{k.name, k.doc, schemas[k.name]}}...)
	}
	for i := range cat.kinds {
		k := &cat.kinds[i]
		fields = append(fields, schemaFields{{k.Name, k.Doc, ref("kind_" + k.Name)}}...)
	}
	s := object(fields, "id")
	s.OneOf = whatSchemas(cat)
	s.DependentRequired = map[string][]string{"as": {"for_each"}, "key": {"for_each"}, "at_once": {"for_each"}, "tolerate": {"expect"}}
	return s
}

// whatSchemas says that a step has one kind, or is a group, and which keys go with it.
func whatSchemas(cat *Catalogue) []*jsonschema.Schema {
	var out []*jsonschema.Schema
	for _, name := range cat.kindNames() {
		s := &jsonschema.Schema{Required: []string{name}, Not: anyOf(keysNotOf(formAct)...)}
		if k := cat.byName[name]; cat.nests(name) {
			s.Not = anyOf(keysNotOf(formNested)...)
		} else if len(k.Targets) == 0 {
			s.Not = anyOf(append([]*jsonschema.Schema{{Required: []string{"on"}}}, keysNotOf(formAct)...)...)
		}
		out = append(out, s)
	}
	for _, name := range []string{"block", "parallel"} {
		out = append(out, &jsonschema.Schema{Required: []string{name}, Not: anyOf(keysNotOf(formGroup)...)})
	}
	return out
}

// keysNotOf are the keys that a form of a step does not take.
func keysNotOf(is form) []*jsonschema.Schema {
	var out []*jsonschema.Schema
	for _, k := range stepKeyTable {
		if k.forms&is == 0 && k.name != "block" && k.name != "parallel" {
			out = append(out, &jsonschema.Schema{Required: []string{k.name}})
		}
	}
	return out
}

// kindSchema is what may stand behind the name of a kind.
func kindSchema(k *engine.Kind) *jsonschema.Schema {
	var all []*jsonschema.Schema
	for i := range k.Operations {
		o := &k.Operations[i]
		s := recordSchema(o.Params, true)
		s.Title = fullName(k.Name, o)
		s.Description = o.Doc
		all = append(all, s)
		if f, ok := o.Params.FieldNamed(o.Inline); ok && o.Inline != "" {
			all = append(all, shapeSchema(f.Shape, true))
		}
	}
	return anyOf(all...)
}

func probeSchema(cat *Catalogue) *jsonschema.Schema {
	fields := schemaFields{
		{"on", "The target.", pattern(snake.String())},
		{"expect", "An expression over the result.", conditionSchema()},
		{"tolerate", "What is still good enough.", conditionSchema()},
		{"fails", "An expression over error, the words of the failure that is expected.", conditionSchema()},
		{"message", "What a person is told.", anyOf(plainTextSchema(), ref("expression"))},
		{"effect", "The author vouches that it only reads.", words([]string{engine.ClassRead.String(), engine.ClassIdempotent.String(), engine.ClassUnrepeatable.String()})},
	}
	s := &jsonschema.Schema{}
	for i := range cat.kinds {
		k := &cat.kinds[i]
		fields = append(fields, schemaFields{{k.Name, k.Doc, ref("kind_" + k.Name)}}...)
		s.OneOf = append(s.OneOf, &jsonschema.Schema{Required: []string{k.Name}})
	}
	out := object(fields)
	// Without an operation it is about what is known already.
	asks := append([]*jsonschema.Schema{{Required: []string{"on"}}, {Required: []string{"effect"}}}, s.OneOf...)
	out.OneOf = append(s.OneOf, &jsonschema.Schema{Required: []string{"expect"}, Not: anyOf(asks...)})
	out.DependentRequired = map[string][]string{"tolerate": {"expect"}}
	return out
}

func targetSchema(cat *Catalogue) *jsonschema.Schema {
	names := cat.targetTypes()
	one := uint64(1)
	settings := &jsonschema.Schema{Type: "object", Properties: jsonschema.NewProperties(), AdditionalProperties: jsonschema.FalseSchema, MinProperties: &one, MaxProperties: &one}
	for _, name := range names {
		t := recordSchema(cat.targets[name].Settings, true)
		t.Description = cat.targets[name].Doc
		if len(t.Required) == 0 {
			t = anyOf(t, ofType("null"))
		}
		settings.Properties.Set(name, t)
	}
	for i := range cat.kinds {
		if k := &cat.kinds[i]; len(k.Targets) > 0 && !contains(names, k.Name) {
			names = append(names, k.Name)
		}
	}
	return anyOf(words(names), settings)
}

func inputSchema() *jsonschema.Schema {
	bound := anyOf(ofType("number"), ofType("string"))
	s := object(schemaFields{
		{"type", "", words(inputTypeNames())},
		{"description", "What it is, in a sentence.", plainTextSchema()},
		{"default", "What holds when it is not given.", &jsonschema.Schema{Not: ofType("null")}},
		{"required", "false: it may be left out, and is null then.", ofType("boolean")},
		{"min", "The smallest value.", bound}, {"max", "The largest value.", bound},
		{"pattern", "A regular expression that the text matches.", &jsonschema.Schema{Type: "string", Format: "regex"}},
		{"values", "The values of an enum.", least(array(plainTextSchema()), 1)},
		{"items", "What the entries of a list are.", ref("shape")},
		{"fields", "What a record holds.", &jsonschema.Schema{Type: "object", AdditionalProperties: ref("shape")}},
	}, "type")
	s.AllOf = []*jsonschema.Schema{
		only([]string{"enum"}, "values"), only([]string{"list"}, "items"), only([]string{"record"}, "fields"),
		only([]string{"integer", "number", "duration", "size"}, "min", "max"), only([]string{"string", "path", "secret"}, "pattern"),
		{If: typeIs("enum"), Then: &jsonschema.Schema{Required: []string{"values"}}},
		{If: typeIs("secret"), Then: &jsonschema.Schema{Not: &jsonschema.Schema{Required: []string{"default"}}}},
	}
	return s
}

func typeIs(names ...string) *jsonschema.Schema {
	s := &jsonschema.Schema{Properties: jsonschema.NewProperties()}
	s.Properties.Set("type", words(names))
	return s
}

// only says that keys go with these types alone.
func only(types []string, keys ...string) *jsonschema.Schema {
	var has []*jsonschema.Schema
	for _, k := range keys {
		has = append(has, &jsonschema.Schema{Required: []string{k}})
	}
	return &jsonschema.Schema{If: anyOf(has...), Then: typeIs(types...)}
}

func innerShapeSchema() *jsonschema.Schema {
	var names []string
	for _, n := range inputTypeNames() {
		if n != "secret" {
			names = append(names, n)
		}
	}
	return anyOf(words(names), object(schemaFields{
		{"type", "", words(names)}, {"values", "", least(array(plainTextSchema()), 1)}, {"items", "", ref("shape")},
		{"fields", "", &jsonschema.Schema{Type: "object", AdditionalProperties: ref("shape")}},
	}, "type"))
}
