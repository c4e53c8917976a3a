package expression

import (
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// typeNull is the shape of the literal nil.
const typeNull engine.Type = -1

// group is a set of sorts of values; values of one sort can be compared with each other.
type group uint16

const (
	gNull group = 1 << iota
	gBool
	gNumber
	gText
	gBytes
	gTime
	gDuration
	gList
	gRecord
	gSecret
	gAll group = 1<<iota - 1
)

var groupNames = []struct {
	group group
	name  string
}{
	{gNull, "null"}, {gBool, "boolean"}, {gNumber, "number"}, {gText, "string"}, {gBytes, "bytes"},
	{gTime, "time"}, {gDuration, "duration"}, {gList, "list"}, {gRecord, "record"}, {gSecret, "secret"},
}

func (g group) String() string {
	var names []string
	for _, n := range groupNames {
		if g&n.group != 0 {
			names = append(names, n.name)
		}
	}
	if len(names) > 1 {
		last := len(names) - 1
		return strings.Join(names[:last], ", ") + " or " + names[last]
	}
	return strings.Join(names, "")
}

// groupOf is what a value of this shape can be.
func groupOf(s engine.Shape) group {
	g := groupOfType(s.Type)
	if s.Or != nil {
		g |= groupOf(*s.Or)
	}
	return g
}

func groupOfType(t engine.Type) group {
	switch t {
	case typeNull:
		return gNull
	case engine.TypeBool:
		return gBool
	case engine.TypeInteger, engine.TypeNumber, engine.TypeSize:
		return gNumber
	case engine.TypeText, engine.TypePath, engine.TypeEnum:
		return gText
	case engine.TypeBytes:
		return gBytes
	case engine.TypeTime:
		return gTime
	case engine.TypeDuration:
		return gDuration
	case engine.TypeList:
		return gList
	case engine.TypeRecord:
		return gRecord
	case engine.TypeSecret:
		return gSecret
	case engine.TypeAny, engine.TypeProbe, engine.TypeCondition, engine.TypeLate:
		return gAll
	}
	return gAll
}

// groupOfValue is the sort of a value.
func groupOfValue(v engine.Value) group {
	switch v.(type) {
	case nil:
		return gNull
	case bool:
		return gBool
	case int64, uint64, float64, engine.Decimal:
		return gNumber
	case string:
		return gText
	case engine.Bytes:
		return gBytes
	case time.Time:
		return gTime
	case time.Duration:
		return gDuration
	case engine.List:
		return gList
	case engine.Record:
		return gRecord
	case engine.Secret:
		return gSecret
	}
	return 0
}

// Describe is the word for a shape in messages: "string", "integer", "list".
func Describe(s engine.Shape) string {
	if s.Type == typeNull {
		return "null"
	}
	if s.Or != nil {
		return Describe(engine.Shape{Type: s.Type}) + " or " + Describe(*s.Or)
	}
	switch s.Type {
	case engine.TypeEnum:
		return "string"
	case engine.TypeSize:
		return "integer"
	default:
		return s.Type.String()
	}
}

// article puts "a" or "an" before a word.
func article(word string) string {
	if word != "" && strings.ContainsRune("aeiou", rune(word[0])) {
		return "an " + word
	}
	if word == "null" || word == "bytes" {
		return word
	}
	return "a " + word
}

// Unified is a shape that both shapes fit; any, if nothing narrower is known.
func Unified(a, b engine.Shape) engine.Shape {
	switch {
	case a.Type == typeNull:
		return b
	case b.Type == typeNull:
		return a
	case groupOf(a) == gSecret || groupOf(b) == gSecret:
		return engine.Of(engine.TypeSecret)
	case a.Or != nil || b.Or != nil:
		return engine.Shape{}
	case a.Type == b.Type && a.Type != engine.TypeRecord && a.Type != engine.TypeList:
		return engine.Of(a.Type)
	case groupOf(a) == groupOf(b) && groupOf(a) == gNumber:
		return engine.Of(engine.TypeNumber)
	case groupOf(a) == groupOf(b) && groupOf(a) == gText:
		return engine.Of(engine.TypeText)
	}
	return engine.Shape{}
}

// elemOf is the shape of the entries of a list.
func elemOf(s engine.Shape) engine.Shape {
	if s.Type == engine.TypeList && s.Elem != nil && s.Or == nil {
		return *s.Elem
	}
	return engine.Shape{}
}

func boolShape() engine.Shape { return engine.Of(engine.TypeBool) }
func textShape() engine.Shape { return engine.Of(engine.TypeText) }
func intShape() engine.Shape  { return engine.Of(engine.TypeInteger) }
func listShape() engine.Shape { return engine.Of(engine.TypeList) }
