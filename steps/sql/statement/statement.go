package statement

import (
	"errors"
	"strings"
)

// Statement is one statement, read.
type Statement struct {
	Source string
	Tokens []Token
	Class  Class
}

// Parse reads one statement of a playbook and says what sort it is. A text with none in it, or with
// several, is an [Error], and so is an argument without a name.
func Parse(g Grammar, src string) (*Statement, error) {
	return inAny(g, func(g Grammar) (*Statement, error) {
		s, err := parseAs(g, src)
		if err != nil {
			return nil, err
		}
		for i, t := range s.Tokens {
			if t.sign("?") && !(g == Postgres && operator(s.Tokens, i)) {
				return nil, Error{Offset: t.Start, Message: "arguments have names here: write :name and give it under `args:`"}
			}
		}
		return s, nil
	})
}

// ParseSent reads one statement as it is sent, with placeholders for its arguments.
func ParseSent(g Grammar, src string) (*Statement, error) {
	return inAny(g, func(g Grammar) (*Statement, error) { return parseAs(g, src) })
}

// inAny reads in the first grammar that can.
func inAny[T any](g Grammar, read func(Grammar) (T, error)) (T, error) {
	var none T
	var first error
	for _, one := range g.each() {
		got, err := read(one)
		if err == nil {
			return got, nil
		}
		var bad Error
		if errors.As(err, &bad) && bad.everywhere {
			return none, err
		}
		if first == nil {
			first = err
		}
	}
	return none, first
}

func parseAs(g Grammar, src string) (*Statement, error) {
	tokens, err := lexAs(g, src)
	if err != nil {
		return nil, err
	}
	for len(tokens) > 0 && tokens[len(tokens)-1].sign(";") {
		tokens = tokens[:len(tokens)-1]
	}
	if len(tokens) == 0 {
		return nil, Error{Offset: 0, Message: "there is no statement in it"}
	}
	if !tokens[0].is("CREATE") { // the body of a routine may hold statements
		for _, t := range tokens {
			if t.sign(";") {
				return nil, Error{Offset: t.Start, Message: "one statement at a time: split it, or write it under `script:`"}
			}
		}
	}
	return &Statement{Source: src, Tokens: tokens, Class: classify(g, tokens)}, nil
}

// operator: the question mark at i stands between two operands, as PostgreSQL's ?, ?| and ?& do.
func operator(tokens []Token, i int) bool {
	if i == 0 || i+1 >= len(tokens) || !operand(tokens[i-1]) {
		return false
	}
	next := tokens[i+1]
	return next.sign("|") || next.sign("&") || next.sign("(") || next.Kind != Symbol && !(next.Kind == Word && postgresKeywords.has(next.Upper) && !next.is("ARRAY"))
}

// operand: the token may end one.
func operand(t Token) bool {
	switch t.Kind {
	case Word:
		return !postgresKeywords.has(t.Upper)
	case Quoted, Text, Number, Param, Ident:
		return true
	case Variable, Assign, Hint, Symbol:
	}
	return t.sign(")") || t.sign("]")
}

// Argument is one place where a named argument stands.
type Argument struct {
	Name   string
	Ident  bool // it stands as ident(:name)
	Offset int
}

// Arguments are the places, in the order of the text.
func (s *Statement) Arguments() []Argument {
	var out []Argument
	for _, t := range s.Tokens {
		if t.Kind == Param || t.Kind == Ident {
			out = append(out, Argument{t.Text, t.Kind == Ident, t.Start})
		}
	}
	return out
}

// Span is a piece of the source.
type Span struct{ Start, End int }

// Empty: there is no such piece.
func (s Span) Empty() bool { return s.End <= s.Start }

// Render gives a piece of the source with something put in place of each argument.
func (s *Statement) Render(piece Span, put func(Argument) (string, error)) (string, error) {
	var b strings.Builder
	at := piece.Start
	for _, t := range s.Tokens {
		if t.Kind != Param && t.Kind != Ident || t.Start < piece.Start || t.End > piece.End {
			continue
		}
		text, err := put(Argument{t.Text, t.Kind == Ident, t.Start})
		if err != nil {
			return "", err
		}
		b.WriteString(s.Source[at:t.Start])
		b.WriteString(text)
		at = t.End
	}
	b.WriteString(s.Source[at:piece.End])
	return b.String(), nil
}

// Whole is the statement from its first token to its last, with the conditional comment that it may
// stand in.
func (s *Statement) Whole() Span {
	span := Span{s.Tokens[0].Start, s.Tokens[len(s.Tokens)-1].End}
	if s.Tokens[0].Conditional {
		span.Start = 0
	}
	if s.Tokens[len(s.Tokens)-1].Conditional {
		span.End = len(strings.TrimRight(s.Source, "; \t\r\n"))
	}
	return span
}
