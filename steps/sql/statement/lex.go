package statement

import (
	"fmt"
	"strings"
)

// Kind is what a token is.
type Kind int

// The kinds of token.
const (
	Word     Kind = iota // a keyword, or a name without quotes
	Quoted               // a name in quotes; its text is the name
	Text                 // a string
	Number               // a number
	Param                // :name; its text is the name
	Ident                // ident(:name); its text is the name of the argument
	Variable             // @name or @@name
	Assign               // :=
	Hint                 // /*+ … */
	Symbol               // anything else, one byte of it
)

// Token is one piece of a statement. Blanks and comments are none.
type Token struct {
	Kind       Kind
	Text       string // as written; see the kinds
	Upper      string // of a Word: in capitals
	Start, End int    // where it stands in the source
	// Conditional: it stands in a comment that the server may execute, /*! … */.
	Conditional bool
}

func (t Token) is(word string) bool   { return t.Kind == Word && t.Upper == word }
func (t Token) sign(text string) bool { return t.Kind == Symbol && t.Text == text }

// names: the token can be the name of a table or a column.
func (t Token) names() bool { return t.Kind == Word || t.Kind == Quoted || t.Kind == Ident }

// Error is a text that cannot be read, and where.
type Error struct {
	Offset  int
	Message string

	everywhere bool // it is a mistake in every grammar
}

func (e Error) Error() string { return e.Message }

// Lex cuts a text into tokens.
func Lex(g Grammar, src string) ([]Token, error) {
	return inAny(g, func(g Grammar) ([]Token, error) { return lexAs(g, src) })
}

func lexAs(g Grammar, src string) ([]Token, error) {
	x := lexer{g: g, src: src}
	var out []Token
	for {
		t, ok, err := x.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			return identifiers(out), nil
		}
		out = append(out, t)
	}
}

// identifiers joins the four tokens of ident(:name) into one.
func identifiers(tokens []Token) []Token {
	out := tokens[:0]
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		if t.is("IDENT") && i+3 < len(tokens) && tokens[i+1].sign("(") && tokens[i+2].Kind == Param && tokens[i+3].sign(")") {
			out = append(out, Token{Kind: Ident, Text: tokens[i+2].Text, Start: t.Start, End: tokens[i+3].End, Conditional: t.Conditional})
			i += 3
			continue
		}
		out = append(out, t)
	}
	return out
}

// lexer walks over a text.
type lexer struct {
	g         Grammar
	src       string
	at        int
	delimiter string // a word ends before it; empty: none
	opened    int    // where the conditional comment that it is in began, plus one
}

func (x *lexer) has(s string) bool { return strings.HasPrefix(x.src[x.at:], s) }

// next gives the next token; false at the end.
func (x *lexer) next() (Token, bool, error) {
	if err := x.blanks(); err != nil {
		return Token{}, false, err
	}
	if x.at >= len(x.src) {
		if x.opened > 0 {
			return Token{}, false, Error{Offset: x.opened - 1, Message: "this comment is not closed"}
		}
		return Token{}, false, nil
	}
	start := x.at
	t, err := x.token()
	t.Start, t.End, t.Conditional = start, x.at, x.opened > 0
	return t, err == nil, err
}

// blanks skips white space and comments, and enters conditional comments.
func (x *lexer) blanks() error {
	for x.at < len(x.src) {
		switch c := x.src[x.at]; {
		case c <= ' ':
			x.at++
		case x.has("--") && (x.g != MySQL || x.at+2 == len(x.src) || x.src[x.at+2] <= ' '), c == '#' && x.g == MySQL:
			x.line()
		case x.opened > 0 && x.has("*/"):
			x.opened = 0
			x.at += 2
		case x.g == MySQL && (x.has("/*!") || x.has("/*M!")):
			if x.opened > 0 {
				return Error{Offset: x.at, Message: "a conditional comment stands inside another"}
			}
			x.opened = x.at + 1
			x.at += strings.IndexByte(x.src[x.at:], '!') + 1
			for x.at < len(x.src) && digit(x.src[x.at]) {
				x.at++
			}
		case x.has("/*") && !(x.g == MySQL && x.has("/*+")):
			if err := x.comment(); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

// comment passes over one; in PostgreSQL one may stand inside another.
func (x *lexer) comment() error {
	start, depth := x.at, 0
	for x.at < len(x.src) {
		switch {
		case x.has("/*") && (depth == 0 || x.g == Postgres):
			depth++
			x.at += 2
		case x.has("*/"):
			depth--
			x.at += 2
		default:
			x.at++
		}
		if depth == 0 {
			return nil
		}
	}
	return Error{Offset: start, Message: "this comment is not closed"}
}

func (x *lexer) line() {
	ends := "\n"
	if x.g == Postgres {
		ends = "\r\n"
	}
	if end := strings.IndexAny(x.src[x.at:], ends); end >= 0 {
		x.at += end + 1
		return
	}
	x.at = len(x.src)
}

func (x *lexer) token() (Token, error) {
	if x.g == Postgres {
		if t, ok, err := x.postgres(); ok || err != nil {
			return t, err
		}
	}
	c := x.src[x.at]
	switch {
	case c == '\'':
		s, err := x.quoted('\'', x.g == MySQL)
		return Token{Kind: Text, Text: s}, err
	case c == '"' && x.g == MySQL:
		s, err := x.quoted('"', true)
		return Token{Kind: Text, Text: s}, err
	case c == '"', c == '`' && x.g != Postgres:
		s, err := x.quoted(c, false)
		return Token{Kind: Quoted, Text: s}, err
	case c == '[' && x.g == SQLite:
		return x.bracketed()
	case x.has("/*+") && x.g == MySQL:
		return x.hint()
	case c == ':':
		return x.colon(), nil
	case c == '@' && x.g == MySQL:
		return x.variable()
	case digit(c), c == '.' && x.at+1 < len(x.src) && digit(x.src[x.at+1]) && !x.afterName():
		return x.number(), nil
	case wordByte(c):
		return x.word(), nil
	}
	x.at++
	return Token{Kind: Symbol, Text: string(c)}, nil
}

// quoted reads up to the closing quote; a doubled quote stands for itself.
func (x *lexer) quoted(quote byte, backslash bool) (string, error) {
	start := x.at
	var b strings.Builder
	for x.at++; x.at < len(x.src); x.at++ {
		c := x.src[x.at]
		switch {
		case c == '\\' && backslash && x.at+1 < len(x.src):
			x.at++
			b.WriteByte(x.src[x.at])
		case c == quote && x.at+1 < len(x.src) && x.src[x.at+1] == quote:
			x.at++
			b.WriteByte(quote)
		case c == quote:
			x.at++
			return b.String(), nil
		default:
			b.WriteByte(c)
		}
	}
	return "", Error{Offset: start, Message: fmt.Sprintf("the %c that opens here is not closed", quote)}
}

func (x *lexer) bracketed() (Token, error) {
	end := strings.IndexByte(x.src[x.at:], ']')
	if end < 0 {
		return Token{}, Error{Offset: x.at, Message: "the [ that opens here is not closed"}
	}
	name := x.src[x.at+1 : x.at+end]
	x.at += end + 1
	return Token{Kind: Quoted, Text: name}, nil
}

func (x *lexer) hint() (Token, error) {
	end := strings.Index(x.src[x.at:], "*/")
	if end < 0 {
		return Token{}, Error{Offset: x.at, Message: "this comment is not closed"}
	}
	text := x.src[x.at : x.at+end+2]
	x.at += end + 2
	return Token{Kind: Hint, Text: text}, nil
}

// colon tells an argument from a cast, an assignment and a label.
func (x *lexer) colon() Token {
	rest := x.src[x.at+1:]
	switch {
	case strings.HasPrefix(rest, ":"):
		x.at += 2
		return Token{Kind: Symbol, Text: "::"}
	case strings.HasPrefix(rest, "=") && x.g == Postgres: // the name of a function's argument
		x.at += 2
		return Token{Kind: Symbol, Text: ":="}
	case strings.HasPrefix(rest, "="):
		x.at += 2
		return Token{Kind: Assign, Text: ":="}
	case rest == "" || !letter(rest[0]) || x.afterName():
		x.at++
		return Token{Kind: Symbol, Text: ":"}
	}
	n := 1
	for n < len(rest) && (letter(rest[n]) || digit(rest[n])) {
		n++
	}
	x.at += 1 + n
	return Token{Kind: Param, Text: rest[:n]}
}

// afterName: the byte before is the end of a name, so that what follows belongs to it (a label's
// colon, the point before a column).
func (x *lexer) afterName() bool {
	return x.at > 0 && (wordByte(x.src[x.at-1]) || digit(x.src[x.at-1]) || x.src[x.at-1] == '`')
}

func (x *lexer) variable() (Token, error) {
	start := x.at
	for x.at < len(x.src) && x.src[x.at] == '@' {
		x.at++
	}
	if x.at < len(x.src) && strings.IndexByte("'\"`", x.src[x.at]) >= 0 {
		if _, err := x.quoted(x.src[x.at], x.src[x.at] != '`'); err != nil {
			return Token{}, err
		}
	} else {
		for x.at < len(x.src) && (wordByte(x.src[x.at]) || digit(x.src[x.at]) || x.src[x.at] == '.') && !x.atDelimiter() {
			x.at++
		}
	}
	return Token{Kind: Variable, Text: x.src[start:x.at]}, nil
}

func (x *lexer) atDelimiter() bool { return x.delimiter != "" && x.has(x.delimiter) }

func (x *lexer) number() Token {
	start := x.at
	for x.at++; x.at < len(x.src) && !x.atDelimiter(); x.at++ {
		c := x.src[x.at]
		exponent := (c == '+' || c == '-') && (x.src[x.at-1]|0x20 == 'e') && x.at-1 > start && !strings.HasPrefix(x.src[start:], "0x") &&
			x.at+1 < len(x.src) && digit(x.src[x.at+1])
		if !digit(c) && !wordByte(c) && c != '.' && !exponent {
			break
		}
	}
	return Token{Kind: Number, Text: x.src[start:x.at]}
}

func (x *lexer) word() Token {
	start := x.at
	for x.at < len(x.src) && (wordByte(x.src[x.at]) || digit(x.src[x.at])) {
		if x.atDelimiter() && x.at > start {
			break
		}
		x.at++
	}
	text := x.src[start:x.at]
	return Token{Kind: Word, Text: text, Upper: strings.ToUpper(text)}
}

func digit(c byte) bool  { return c >= '0' && c <= '9' }
func letter(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }

// wordByte: it may begin a name. Bytes beyond ASCII are letters to every server.
func wordByte(c byte) bool { return letter(c) || c == '$' || c >= 0x80 }
