package steptest

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// checkDefinition: it is whole, and always the same.
func checkDefinition(t *testing.T, k steps.Kind) {
	def := k.Define()
	if a, b := plain(def), plain(k.Define()); !reflect.DeepEqual(a, b) {
		t.Errorf("Define does not always give the same:\n%+v\n%+v", a, b)
	}
	if def.Name == "" || def.Doc == "" || len(def.Operations) == 0 {
		t.Errorf("the kind has a name %q, a doc %q and %d operations", def.Name, def.Doc, len(def.Operations))
	}
	_, connects := k.(steps.Connector)
	if connects != (len(def.Targets) > 0) {
		t.Errorf("%s declares %d types of target, and connects: %v", def.Name, len(def.Targets), connects)
	}
	for _, target := range def.Targets {
		if target.Name == "" || target.Doc == "" || target.Example == "" {
			t.Errorf("target type %q: its name, doc or example is missing", target.Name)
		}
		checkDocs(t, "target "+target.Name, target.Settings)
	}
	keys := map[string]string{}
	for _, op := range def.Operations {
		checkOperation(t, k, def, op)
		if other, taken := keys[op.Key]; taken {
			t.Errorf("operations %s and %s are both told by the key %q", op.Name, other, op.Key)
		}
		keys[op.Key] = op.Name
	}
	if _, ok := keys[""]; ok && len(def.Operations) > 1 {
		t.Errorf("operation %s needs a key: the kind has others", keys[""])
	}
}

// plain is a definition without its functions, which cannot be compared.
func plain(def engine.Kind) engine.Kind {
	def.Operations = append([]engine.Operation(nil), def.Operations...)
	for i := range def.Operations {
		def.Operations[i].Judge = nil
	}
	return def
}

func checkOperation(t *testing.T, k steps.Kind, def engine.Kind, op engine.Operation) {
	name := def.Name + "." + op.Name
	if op.Name == "" || op.Doc == "" || op.Example == "" {
		t.Errorf("%s: its name, doc or example is missing", name)
	}
	if op.Class == engine.ClassUnset {
		t.Errorf("%s has no class", name)
	}
	if op.Class != engine.ClassRead && op.Class != engine.ClassPerson && op.Risk == engine.RiskReads {
		t.Errorf("%s is %s, and its risk is that it %s", name, op.Class, op.Risk)
	}
	for what, param := range map[string]string{"key": op.Key, "inline": op.Inline} {
		if _, ok := op.Params.FieldNamed(param); param != "" && !ok {
			t.Errorf("%s: its %s is %q, which is no parameter", name, what, param)
		}
	}
	if op.Params.Type != engine.TypeRecord || op.Result.Type != engine.TypeRecord {
		t.Errorf("%s: parameters and result must be records", name)
	}
	checkDocs(t, name, op.Params)
	checkDocs(t, name+" result", op.Result)
	checkDefaults(t, name, op.Params)

	proposal, err := example(def, op)
	if err != nil {
		t.Errorf("%s: example %q: %v", name, op.Example, err)
		return
	}
	if op.Judge != nil {
		for _, p := range op.Judge(proposal).Problems {
			t.Errorf("%s: example %q: %v", name, op.Example, p)
		}
	}
	decoded, err := k.Decode(op.Name, proposal.Params)
	if err != nil {
		t.Errorf("%s: example %q does not decode: %v", name, op.Example, err)
		return
	}
	if _, prepares := decoded.(steps.Preparer); op.Prepares && !prepares {
		t.Errorf("%s: Prepares is declared, and it is no Preparer", name)
	} else if prepares && !op.Prepares {
		t.Errorf("%s is a Preparer, and Prepares is not declared: it would never be called", name)
	}
	if _, err := k.Decode("no such operation", engine.Record{}); err == nil {
		t.Errorf("%s decodes an operation that it does not have", def.Name)
	}
}

// checkDocs: every field says what it is.
func checkDocs(t *testing.T, at string, s engine.Shape) {
	for _, f := range s.Fields {
		if f.Name == "" || f.Doc == "" {
			t.Errorf("%s: field %q has no doc", at, f.Name)
		}
		checkDocs(t, at+"."+f.Name, f.Shape)
	}
	if s.Elem != nil {
		checkDocs(t, at+"[]", *s.Elem)
	}
	if s.Or != nil {
		checkDocs(t, at, *s.Or)
	}
	for _, v := range s.Entries {
		checkDocs(t, at+" "+v.Key, v.Result)
	}
}

// checkDefaults: a default that is a plain value is written as that value is.
func checkDefaults(t *testing.T, at string, s engine.Shape) {
	for _, f := range s.Fields {
		switch f.Shape.Type {
		case engine.TypeDuration, engine.TypeSize, engine.TypeInteger, engine.TypeNumber, engine.TypeEnum:
			if _, err := scalar(f.Shape, f.Default); f.Default != "" && err != nil {
				t.Errorf("%s.%s: default %q: %v", at, f.Name, f.Default, err)
			}
		case engine.TypeBool:
			if f.Default != "" && f.Default != "true" && f.Default != "false" {
				t.Errorf("%s.%s: default %q", at, f.Name, f.Default)
			}
		case engine.TypeAny, engine.TypeText, engine.TypeBytes, engine.TypeTime, engine.TypePath, engine.TypeList,
			engine.TypeRecord, engine.TypeSecret, engine.TypeProbe, engine.TypeCondition, engine.TypeLate:
		}
		if f.Required && f.Default != "" {
			t.Errorf("%s.%s is required and has a default", at, f.Name)
		}
		checkDefaults(t, at+"."+f.Name, f.Shape)
	}
}

// checkParameters: good ones decode, bad ones are refused with their place.
func (b *bench) checkParameters(t *testing.T) {
	if b.op.Judge != nil {
		for _, p := range b.op.Judge(b.proposal(b.c.Params)).Problems {
			t.Errorf("good parameters: %v", p)
		}
	}
	b.decode(t)
	for _, bad := range b.c.Bad {
		if !hasPath(b.problems(bad.Params), bad.Path) {
			t.Errorf("%s: wanted a problem at %q, got %v", engine.Text(bad.Params), bad.Path, b.problems(bad.Params))
		}
	}
	for name := range b.c.Params {
		f, ok := b.op.Params.FieldNamed(name)
		if !ok {
			t.Errorf("parameter %s is not declared", name)
			continue
		}
		wrong, can := wrongFor(f.Shape)
		if !can {
			continue
		}
		params := engine.Record{}
		for k, v := range b.c.Params {
			params[k] = v
		}
		params[name] = wrong
		_, err := b.suite.Kind.Decode(b.op.Name, params)
		var p engine.Problem
		if !errors.As(err, &p) || !strings.HasPrefix(p.Path, name) {
			t.Errorf("%s: %s is not refused with its place: %v", name, engine.TypeName(wrong), err)
		}
	}
}

// wrongFor is a value that a shape does not accept, where there is one.
func wrongFor(s engine.Shape) (engine.Value, bool) {
	if s.Or != nil {
		return nil, false
	}
	switch s.Type {
	case engine.TypeAny:
		return nil, false
	case engine.TypeRecord, engine.TypeList:
		return int64(7), true
	case engine.TypeBool, engine.TypeInteger, engine.TypeNumber, engine.TypeText, engine.TypeBytes, engine.TypeTime,
		engine.TypeDuration, engine.TypeSize, engine.TypePath, engine.TypeEnum, engine.TypeSecret, engine.TypeProbe,
		engine.TypeCondition, engine.TypeLate:
	}
	return engine.Record{"wrong": true}, true
}

// problems are what Judge and Decode say of parameters together.
func (b *bench) problems(params engine.Record) []engine.Problem {
	var out []engine.Problem
	if b.op.Judge != nil {
		out = b.op.Judge(b.proposal(params)).Problems
	}
	if _, err := b.suite.Kind.Decode(b.op.Name, params); err != nil {
		var p engine.Problem
		if !errors.As(err, &p) {
			p = engine.Problem{Message: err.Error()}
		}
		out = append(out, p)
	}
	return out
}

func hasPath(problems []engine.Problem, path string) bool {
	for _, p := range problems {
		if p.Path == path {
			return true
		}
	}
	return false
}
