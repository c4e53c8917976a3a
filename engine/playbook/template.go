package playbook

import (
	"strings"
	"unicode"

	"gopkg.in/yaml.v3"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/playbook/expression"
)

const (
	opening = "${{"
	closing = "}}"
)

// segment is a piece of a text: words as they are, or an expression between ${{ and }}.
type segment struct {
	text   string
	offset int // of the piece, or of the expression inside of it, in the text
	expr   bool
}

// fault is what keeps a text from being split.
type fault struct {
	offset  int
	message string
	remedy  string
}

// split finds the expressions in a text. What }} means is decided as the expression's own grammar
// would: not inside a quoted string or comment, and not where it closes braces of the expression.
func split(text string) ([]segment, *fault) {
	var out []segment
	at := 0
	for {
		i := strings.Index(text[at:], opening)
		if i < 0 {
			break
		}
		if i > 0 {
			out = append(out, segment{text: text[at : at+i], offset: at})
		}
		start := at + i + len(opening)
		end, wrong := expressionEnd(text, start)
		if wrong != nil {
			if wrong.offset < start {
				wrong.offset = at + i
			}
			return nil, wrong
		}
		source := text[start:end]
		lead := len(source) - len(strings.TrimLeftFunc(source, unicode.IsSpace))
		out = append(out, segment{text: strings.TrimSpace(source), offset: start + lead, expr: true})
		at = end + len(closing)
	}
	if at < len(text) {
		out = append(out, segment{text: text[at:], offset: at})
	}
	return out, nil
}

// expressionEnd is where the }} stands that ends the expression that begins at start.
func expressionEnd(text string, start int) (int, *fault) {
	depth := 0
	for i := start; i < len(text); {
		switch c := text[i]; {
		case c == '\'' || c == '"' || c == '`':
			end := quotedEnd(text, i)
			if end < 0 {
				return 0, &fault{i, "the string that begins here does not end", "close it with " + string(c)}
			}
			i = end
		case strings.HasPrefix(text[i:], "//"):
			if end := strings.IndexByte(text[i:], '\n'); end >= 0 {
				i += end
			} else {
				i = len(text)
			}
		case strings.HasPrefix(text[i:], "/*"):
			end := strings.Index(text[i+2:], "*/")
			if end < 0 {
				return 0, &fault{i, "the comment that begins here does not end", "close it with */"}
			}
			i += 2 + end + 2
		case c == '{':
			depth++
			i++
		case c == '}' && depth > 0:
			depth--
			i++
		case strings.HasPrefix(text[i:], closing):
			return i, nil
		case strings.HasPrefix(text[i:], opening):
			return 0, &fault{i, "a ${{ stands inside of another", "an expression needs no ${{ }} inside of it"}
		default:
			i++
		}
	}
	return 0, &fault{start - 1, "the ${{ is not closed", "close it with }}; where a # after a blank cut it off, put the whole value into quotes"}
}

// quotedEnd is the byte after the string that begins at i; -1 if it does not end.
func quotedEnd(text string, i int) int {
	quote := text[i]
	for j := i + 1; j < len(text); j++ {
		switch {
		case text[j] == '\\' && quote != '`':
			j++
		case text[j] == quote:
			return j + 1
		}
	}
	return -1
}

// text compiles a scalar that may have expressions in it. A lone ${{ }} keeps its type; its shape is
// returned. Other texts with expressions are strings, or secrets if one is in them.
func (l *loader) text(n *yaml.Node, p place) (engine.Template, engine.Shape) {
	plain := engine.Template{Literal: n.Value}
	if !strings.Contains(n.Value, opening) {
		return plain, engine.Of(engine.TypeText)
	}
	segments, wrong := split(n.Value)
	if wrong != nil {
		l.within(n, wrong.offset, 1, wrong.remedy, "%s", wrong.message)
		return plain, engine.Shape{}
	}
	if len(segments) == 1 && segments[0].expr {
		e, shape := l.compile(n, segments[0].text, segments[0].offset, p.names)
		if e == nil {
			return plain, engine.Shape{}
		}
		return engine.Template{Expr: e}, shape
	}
	shape := engine.Of(engine.TypeText)
	parts, broken := make([]engine.Template, 0, len(segments)), false
	for _, s := range segments {
		if !s.expr {
			parts = append(parts, engine.Template{Literal: s.text})
			continue
		}
		e, part := l.compile(n, s.text, s.offset, p.names)
		if e == nil {
			broken = true
			continue
		}
		switch part.Type {
		case engine.TypeSecret:
			shape = engine.Of(engine.TypeSecret)
		case engine.TypeList, engine.TypeRecord:
			if part.Or == nil {
				l.within(n, s.offset, len(s.text), "join(…) and toJSON(…) make a string of it", "a %s cannot be written into a text", expression.Describe(part))
			}
		default: // reads as text
		}
		parts = append(parts, engine.Template{Expr: e})
	}
	if broken {
		return plain, engine.Shape{}
	}
	return engine.Template{Parts: parts}, shape
}

// compile compiles the expression that begins at a byte of a scalar.
func (l *loader) compile(n *yaml.Node, source string, offset int, names *names) (engine.Expr, engine.Shape) {
	l.current = n
	e, shape, mistakes := l.compiler.Compile(source, names)
	for _, m := range mistakes {
		l.within(n, offset+m.Offset, m.Width, m.Remedy, "%s", m.Message)
	}
	if e == nil {
		return nil, shape
	}
	return e, shape
}

// bare compiles a value that is an expression as a whole, such as `when`.
func (l *loader) bare(n *yaml.Node, what string, names *names) (engine.Expr, engine.Shape) {
	switch {
	case n.Tag == "!tagged" || n.Kind == yaml.AliasNode: // reported already
		return nil, engine.Shape{}
	case n.Kind != yaml.ScalarNode:
		l.node(n, "", "%s must be an expression, not %s", what, wordFor(n))
		return nil, engine.Shape{}
	case isNull(n):
		l.node(n, "", "%s is empty", what)
		return nil, engine.Shape{}
	case strings.HasPrefix(strings.TrimSpace(n.Value), opening):
		l.node(n, "leave out ${{ and }}", "%s is an expression already", what)
		return nil, engine.Shape{}
	}
	if comment, ok := l.cutOff(n); ok {
		l.at(comment, 1, "put the expression into quotes, or the comment on a line of its own", "a comment follows the expression: what stands behind # is not part of it")
		return nil, engine.Shape{}
	}
	return l.compile(n, n.Value, 0, names)
}

// cutOff finds a comment behind a scalar without quotes. YAML takes it away, and with it what may have
// been meant as the rest of the expression.
func (l *loader) cutOff(n *yaml.Node) (int, bool) {
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return 0, false
	}
	back := l.src.scalarMap(n)
	if back == nil {
		return 0, n.LineComment != ""
	}
	end := back[len(back)-1]
	line, _, _ := strings.Cut(l.src.text[end:], "\n")
	blank := len(line) - len(strings.TrimLeft(line, " \t"))
	if blank > 0 && strings.HasPrefix(line[blank:], "#") {
		return end + blank, true
	}
	return 0, false
}

// condition compiles an expression that must be true or false.
func (l *loader) condition(n *yaml.Node, what string, names *names) engine.Expr {
	e, shape := l.bare(n, what, names)
	if e == nil {
		return nil
	}
	if shape.Type != engine.TypeAny && shape.Type != engine.TypeBool {
		l.node(n, "compare it with something", "%s must be true or false; this is %s", what, a(expression.Describe(shape)))
	}
	return e
}

// a puts the article before a word.
func a(word string) string {
	switch {
	case word == "null" || word == "bytes":
		return word
	case strings.ContainsRune("aeiou", rune((word + " ")[0])):
		return "an " + word
	}
	return "a " + word
}
