package engine

// Type is what a shape says a value is.
type Type int

// The types. Those from TypeProbe on occur in the parameters of operations only.
const (
	TypeAny Type = iota
	TypeBool
	TypeInteger
	TypeNumber // integer, float or decimal
	TypeText
	TypeBytes
	TypeTime
	TypeDuration // written 30s, 5m, 1h30m
	TypeSize     // bytes; written 512, 64k, 2MiB; held as an integer
	TypePath
	TypeEnum
	TypeList
	TypeRecord
	TypeSecret
	TypeProbe     // an operation that reads, with its expect; held as a Question
	TypeCondition // a bare expression, asked by the operation itself; held as a Condition
	TypeLate      // a template that the operation renders itself; held as a Late
)

var typeNames = [...]string{"any", "boolean", "integer", "number", "string", "bytes", "time", "duration", "size", "path", "enum", "list", "record", "secret", "probe", "expression", "late"}

func (t Type) String() string { return typeNames[t] }

// Shape declares the values that a parameter, an input or a result can have. One declaration serves
// the loader, the JSON Schema, the reference pages and the type check of expressions.
type Shape struct {
	Type   Type
	Elem   *Shape   // of a list, and of a record whose names are free: the shape of each value
	Fields []Field  // of a record, in the order of the documents
	Open   bool     // the record may have names beyond Fields
	Either []string // of a record: exactly one of these fields is there
	Enum   []string // of TypeEnum
	// Or is one other shape that is accepted in its place, such as a list beside a single text.
	Or *Shape
	// Literal: no ${{ }} may stand here or below, because the text is sent as a statement.
	Literal bool
	// Entries, of a list: each entry is one statement of a sequence, of which exactly one variant's
	// key is present. Later entries see the results of those that bind a name with `as`.
	Entries []Variant
}

// Field is one named part of a record.
type Field struct {
	Name     string
	Doc      string
	Shape    Shape
	Required bool
	Default  string // as it would be written; for the documents
}

// Variant is one form that an entry of a sequence may take, told by its key.
type Variant struct {
	Key    string
	Result Shape
}

// FieldNamed finds a field of a record.
func (s Shape) FieldNamed(name string) (Field, bool) {
	for _, f := range s.Fields {
		if f.Name == name {
			return f, true
		}
	}
	return Field{}, false
}

// Of is the shape of a plain type.
func Of(t Type) Shape { return Shape{Type: t} }

// ListOf is the shape of a list.
func ListOf(elem Shape) Shape { return Shape{Type: TypeList, Elem: &elem} }

// MapOf is the shape of a record with free names.
func MapOf(elem Shape) Shape { return Shape{Type: TypeRecord, Elem: &elem, Open: true} }

// RecordOf is the shape of a record with these fields and no others.
func RecordOf(fields ...Field) Shape { return Shape{Type: TypeRecord, Fields: fields} }

// RowsShape is the shape of a list of rows whose columns are known only to the server.
func RowsShape() Shape {
	return ListOf(Shape{Type: TypeRecord, Open: true})
}
