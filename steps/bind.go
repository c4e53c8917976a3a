package steps

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// Size is a parameter in bytes, written 512, 64k or 2MiB.
type Size int64

// Path is a parameter that names a file or folder.
type Path string

// Texts is a parameter that is one text or a list of them.
type Texts []string

// Params derives the shape of an operation's parameters from the struct that they are bound to. Each
// field has a tag `param:"name"`, and may have
//
//	doc:"…"          a sentence for the documents
//	need:"yes"       it must be given
//	default:"…"      what holds when it is not given, as it would be written
//	enum:"a,b"       the only values of a string
//	literal:"yes"    no ${{ }} in it or below it: it is sent as a statement
//
// The Go type of the field says the rest: string, [Path], [Size], bool, int64, float64,
// time.Duration, engine.Value (anything), engine.Secret (text or secret), engine.Question (a probe),
// engine.Condition, engine.Late, [Texts], slices, map[string]T and structs of these. A pointer is the same
// as what it points to; it tells "not given" from the zero value.
func Params[T any]() engine.Shape { return structShape(reflect.TypeFor[T]()) }

var plainShapes = map[reflect.Type]engine.Type{
	reflect.TypeFor[string]():           engine.TypeText,
	reflect.TypeFor[Path]():             engine.TypePath,
	reflect.TypeFor[Size]():             engine.TypeSize,
	reflect.TypeFor[bool]():             engine.TypeBool,
	reflect.TypeFor[int64]():            engine.TypeInteger,
	reflect.TypeFor[float64]():          engine.TypeNumber,
	reflect.TypeFor[time.Duration]():    engine.TypeDuration,
	reflect.TypeFor[engine.Value]():     engine.TypeAny,
	reflect.TypeFor[engine.Secret]():    engine.TypeSecret,
	reflect.TypeFor[engine.Question]():  engine.TypeProbe,
	reflect.TypeFor[engine.Condition](): engine.TypeCondition,
	reflect.TypeFor[engine.Late]():      engine.TypeLate,
}

func shapeOf(t reflect.Type) engine.Shape {
	if plain, ok := plainShapes[t]; ok {
		return engine.Of(plain)
	}
	switch {
	case t.Kind() == reflect.Pointer:
		return shapeOf(t.Elem())
	case t == reflect.TypeFor[Texts]():
		s := engine.ListOf(engine.Of(engine.TypeText))
		one := engine.Of(engine.TypeText)
		s.Or = &one
		return s
	case t.Kind() == reflect.Slice:
		return engine.ListOf(shapeOf(t.Elem()))
	case t.Kind() == reflect.Map:
		return engine.MapOf(shapeOf(t.Elem()))
	case t.Kind() == reflect.Struct:
		return structShape(t)
	}
	panic(fmt.Sprintf("steps: a parameter cannot be of Go type %s", t))
}

func structShape(t reflect.Type) engine.Shape {
	s := engine.Shape{Type: engine.TypeRecord}
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("param")
		if name == "" {
			continue
		}
		shape := shapeOf(f.Type)
		if enum := f.Tag.Get("enum"); enum != "" {
			shape.Type, shape.Enum = engine.TypeEnum, strings.Split(enum, ",")
		}
		shape.Literal = f.Tag.Get("literal") == "yes"
		s.Fields = append(s.Fields, engine.Field{
			Name: name, Doc: f.Tag.Get("doc"), Shape: shape,
			Required: f.Tag.Get("need") == "yes", Default: f.Tag.Get("default"),
		})
	}
	return s
}

// Bind fills the struct at into from rendered parameters. What does not fit is an [engine.Problem]
// that says where; that happens at run time only, when a template gave a value of another type.
// Parts that are [engine.Unknown] leave the zero value.
func Bind(params engine.Record, into any) error {
	return bindStruct("", params, reflect.ValueOf(into).Elem())
}

func bindStruct(path string, r engine.Record, into reflect.Value) error {
	t := into.Type()
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("param")
		if name == "" {
			continue
		}
		v, ok := r[name]
		if !ok {
			continue
		}
		if err := bind(join(path, name), v, into.Field(i)); err != nil {
			return err
		}
	}
	return nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func bind(path string, v engine.Value, into reflect.Value) error {
	if _, unknown := v.(engine.Unknown); unknown {
		return nil
	}
	if into.Kind() == reflect.Pointer {
		if v == nil {
			return nil
		}
		into.Set(reflect.New(into.Type().Elem()))
		return bind(path, v, into.Elem())
	}
	if into.Type() == reflect.TypeFor[engine.Value]() {
		if v != nil {
			into.Set(reflect.ValueOf(v))
		}
		return nil
	}
	if v != nil && reflect.TypeOf(v) == into.Type() {
		into.Set(reflect.ValueOf(v))
		return nil
	}
	if fits, err := bindPlain(path, v, into); fits || err != nil {
		return err
	}
	return bindComposite(path, v, into)
}

// bindPlain handles the types that hold one value.
func bindPlain(path string, v engine.Value, into reflect.Value) (bool, error) {
	switch into.Interface().(type) {
	case engine.Secret:
		if s, ok := v.(string); ok {
			into.Set(reflect.ValueOf(engine.NewSecret(path, s)))
			return true, nil
		}
		return false, wrong(path, "a string", v)
	case time.Duration:
		if s, ok := v.(string); ok {
			d, err := time.ParseDuration(s)
			if err != nil {
				return false, engine.Problem{Path: path, Message: fmt.Sprintf("%q is not a duration such as 30s or 5m", s)}
			}
			into.SetInt(int64(d))
			return true, nil
		}
		return false, wrong(path, "a duration", v)
	case engine.Question, engine.Condition, engine.Late:
		return false, wrong(path, "what the playbook's loader makes", v)
	}
	switch into.Kind() {
	case reflect.String:
		switch v.(type) {
		case engine.List, engine.Record, nil, engine.Secret:
			return false, wrong(path, "a string", v)
		}
		into.SetString(engine.Text(v))
		return true, nil
	case reflect.Bool:
		if b, ok := v.(bool); ok {
			into.SetBool(b)
			return true, nil
		}
		return false, wrong(path, "true or false", v)
	case reflect.Int64:
		if n, ok := v.(int64); ok {
			into.SetInt(n)
			return true, nil
		}
		return false, wrong(path, "an integer", v)
	case reflect.Float64:
		return bindFloat(path, v, into)
	default:
		return false, nil
	}
}

func bindFloat(path string, v engine.Value, into reflect.Value) (bool, error) {
	switch x := v.(type) {
	case int64:
		into.SetFloat(float64(x))
	case float64:
		into.SetFloat(x)
	case engine.Decimal:
		into.SetFloat(x.Float())
	default:
		return false, wrong(path, "a number", v)
	}
	return true, nil
}

func bindComposite(path string, v engine.Value, into reflect.Value) error {
	switch into.Kind() {
	case reflect.Slice:
		list, ok := v.(engine.List)
		if !ok {
			if into.Type() != reflect.TypeFor[Texts]() {
				return wrong(path, "a list", v)
			}
			list = engine.List{v}
		}
		out := reflect.MakeSlice(into.Type(), len(list), len(list))
		for i, e := range list {
			if err := bind(path+"["+strconv.Itoa(i)+"]", e, out.Index(i)); err != nil {
				return err
			}
		}
		into.Set(out)
		return nil
	case reflect.Map:
		r, ok := v.(engine.Record)
		if !ok {
			return wrong(path, "a mapping", v)
		}
		out := reflect.MakeMapWithSize(into.Type(), len(r))
		for _, k := range engine.Keys(r) {
			e := reflect.New(into.Type().Elem()).Elem()
			if err := bind(join(path, k), r[k], e); err != nil {
				return err
			}
			out.SetMapIndex(reflect.ValueOf(k), e)
		}
		into.Set(out)
		return nil
	case reflect.Struct:
		r, ok := v.(engine.Record)
		if !ok {
			return wrong(path, "a mapping", v)
		}
		return bindStruct(path, r, into)
	default:
		return wrong(path, into.Type().String(), v)
	}
}

func wrong(path, want string, v engine.Value) error {
	return engine.Problem{Path: path, Message: fmt.Sprintf("must be %s, not %s", want, engine.TypeName(v))}
}
