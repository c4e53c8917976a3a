package expression

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"

	"github.com/handrail-dev/handrail/engine"
)

// The bounds of one expression.
const (
	MaxLength = 8 << 10 // bytes of its text
	maxNodes  = 1000
)

// Names says what an expression may refer to, and what shape it has.
type Names interface {
	// Name describes a name at the head of an expression. Of a namespace only the parts can be
	// used; they are asked for by Part.
	Name(name string) (shape engine.Shape, namespace bool, wrong *Mistake)
	// Part describes namespace.part, such as inputs.factor or steps.usage.
	Part(namespace, part string) (engine.Shape, *Mistake)
}

// Mistake is something wrong in the text of an expression.
type Mistake struct {
	Offset  int // in bytes from the start of the text
	Width   int // in bytes; 0: not known
	Message string
	Remedy  string
}

func (m *Mistake) Error() string { return m.Message }

// Compiler turns texts into expressions. It is not safe for concurrent use.
type Compiler struct {
	zone   *time.Location
	config *conf.Config
	read   map[string]ast.Node // texts that were read already; steps often say the same
}

// maxRead bounds what a compiler remembers.
const maxRead = 1000

// NewCompiler makes a compiler whose expressions see times in the given zone; nil is UTC.
func NewCompiler(zone *time.Location) *Compiler {
	if zone == nil {
		zone = time.UTC
	}
	config := &conf.Config{MaxNodes: maxNodes, Disabled: map[string]bool{}}
	// Every function that takes values is ours; only the syntax of predicates stays with the parser.
	for _, f := range builtin.Builtins {
		config.Disabled[f.Name] = true
	}
	return &Compiler{zone: zone, config: config, read: map[string]ast.Node{}}
}

// Expression is a compiled expression. It never changes and may be used by many goroutines.
type Expression struct {
	source string
	run    code
	slots  int
	zone   *time.Location
}

func (e *Expression) String() string { return e.source }

// Eval gives the value of the expression. An error of the scope, [engine.Unknown] above all, can be
// reached by errors.As.
func (e *Expression) Eval(s engine.Scope) (engine.Value, error) {
	m := machine{scope: s, zone: e.zone}
	if e.slots > 0 {
		m.slots = make([]engine.Value, e.slots)
	}
	v, err := e.run(&m)
	if err != nil {
		return nil, err
	}
	return normalize(v)
}

// normalize brings a result into the form of a Value. A part that is not known yet makes the whole
// not known.
func normalize(v engine.Value) (engine.Value, error) {
	switch x := v.(type) {
	case nil, bool, int64, float64, string:
		return v, nil
	case engine.Unknown:
		return nil, x
	case engine.List:
		out := make(engine.List, len(x))
		for i, e := range x {
			var err error
			if out[i], err = normalize(e); err != nil {
				return nil, err
			}
		}
		return out, nil
	case engine.Record:
		out := make(engine.Record, len(x))
		for k, e := range x {
			var err error
			if out[k], err = normalize(e); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return engine.Normalize(v)
}

// Compile reads an expression and checks it against the names that it may use. The shape is that of
// its value. With mistakes there is no expression.
func (c *Compiler) Compile(source string, names Names) (*Expression, engine.Shape, []Mistake) {
	if strings.TrimSpace(source) == "" {
		return nil, engine.Shape{}, []Mistake{{Message: "the expression is empty"}}
	}
	if len(source) > MaxLength {
		return nil, engine.Shape{}, []Mistake{{Message: fmt.Sprintf("the expression is longer than %d bytes", MaxLength),
			Remedy: "give parts of it a name under vars"}}
	}
	tree, mistake := c.parse(source)
	if mistake != nil {
		return nil, engine.Shape{}, []Mistake{*mistake}
	}
	k := &compilation{source: source, names: names, ascii: isASCII(source)}
	root := k.node(tree)
	if len(k.mistakes) > 0 {
		return nil, root.shape, k.mistakes
	}
	return &Expression{source: source, run: root.run, slots: k.slots, zone: c.zone}, root.shape, nil
}

// parse hands the text to expr's parser. A panic in there is a mistake in the text, not the end of the
// program.
func (c *Compiler) parse(source string) (root ast.Node, wrong *Mistake) {
	defer func() {
		if p := recover(); p != nil {
			root, wrong = nil, &Mistake{Message: "the expression cannot be read", Width: len(source)}
		}
	}()
	if tree, ok := c.read[source]; ok {
		return tree, nil
	}
	tree, err := parser.ParseWithConfig(source, c.config)
	if err == nil {
		if len(c.read) < maxRead {
			c.read[source] = tree.Node
		}
		return tree.Node, nil
	}
	var where *file.Error
	if !errors.As(err, &where) {
		return nil, &Mistake{Message: err.Error()}
	}
	from := byteOffset(source, where.From)
	m := plainSyntax(where.Message)
	m.Offset, m.Width = from, byteOffset(source, where.To)-from
	return nil, &m
}

var unexpected = regexp.MustCompile(`unexpected token (\w+)(?:\("(.*)"\))?`)

// plainSyntax words the parser's message for a person.
func plainSyntax(message string) Mistake {
	found := unexpected.FindStringSubmatch(message)
	switch {
	case strings.Contains(message, "exceeds maximum allowed nodes"):
		return Mistake{Message: fmt.Sprintf("the expression has more than %d parts", maxNodes)}
	case found == nil:
		return Mistake{Message: message}
	case found[1] == "EOF":
		return Mistake{Message: "the expression ends too early"}
	case found[2] == "=":
		return Mistake{Message: `"=" is not expected here`, Remedy: "to compare, write =="}
	case found[1] == "String":
		return Mistake{Message: fmt.Sprintf("the text %q is not expected here", found[2])}
	}
	return Mistake{Message: fmt.Sprintf(`"%s" is not expected here`, strings.ReplaceAll(found[2], `\"`, `"`))}
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// byteOffset turns the parser's count of characters into one of bytes.
func byteOffset(s string, runes int) int {
	for i := range s {
		if runes <= 0 {
			return i
		}
		runes--
	}
	return len(s)
}
