package statement

import (
	"fmt"
	"strings"
)

// postgres reads the tokens that only PostgreSQL has. False: the token is like those of the others.
func (x *lexer) postgres() (Token, bool, error) {
	c := x.src[x.at]
	switch {
	case c == '\'':
		s, err := x.text(false)
		return Token{Kind: Text, Text: s}, true, err
	case x.prefixed("eE", "'"):
		x.at++
		s, err := x.text(true)
		return Token{Kind: Text, Text: s}, true, err
	case x.prefixed("bBxXnN", "'"):
		x.at++
		s, err := x.text(false)
		return Token{Kind: Text, Text: s}, true, err
	case x.prefixed("uU", "&'"), x.prefixed("uU", `&"`):
		return Token{}, true, Error{Offset: x.at, Message: "U& with its own escapes is not understood here; write the letters themselves"}
	case c == '$':
		return x.dollar()
	case letter(c) || c >= 0x80:
		start := x.at
		for x.at < len(x.src) && (wordByte(x.src[x.at]) || digit(x.src[x.at])) {
			x.at++
		}
		text := x.src[start:x.at]
		return Token{Kind: Word, Text: text, Upper: strings.ToUpper(text)}, true, nil
	}
	return Token{}, false, nil
}

// prefixed: one of the letters stands here, with that behind it.
func (x *lexer) prefixed(letters, behind string) bool {
	return strings.IndexByte(letters, x.src[x.at]) >= 0 && strings.HasPrefix(x.src[x.at+1:], behind)
}

// text reads a string, and those behind it that the server joins to it: it does so when a new line lies
// between them, and reads them all by the rules of the first.
func (x *lexer) text(backslash bool) (string, error) {
	s, err := x.quoted('\'', backslash)
	for err == nil {
		next, joined := x.joined()
		if !joined {
			break
		}
		x.at = next
		var more string
		more, err = x.quoted('\'', backslash)
		s += more
	}
	return s, err
}

// joined is where the string goes on.
func (x *lexer) joined() (int, bool) {
	line := false
	for at := x.at; at < len(x.src); {
		switch c := x.src[at]; {
		case c == '\n' || c == '\r':
			line = true
			at++
		case c == ' ' || c == '\t' || c == '\f' || c == '\v':
			at++
		case line && strings.HasPrefix(x.src[at:], "--"):
			end := strings.IndexAny(x.src[at:], "\r\n")
			if end < 0 {
				return 0, false
			}
			at += end
		case c == '\'' && line:
			return at, true
		default:
			return 0, false
		}
	}
	return 0, false
}

// dollar reads $1, or a text between $tag$ and $tag$.
func (x *lexer) dollar() (Token, bool, error) {
	start, n := x.at, x.at+1
	for n < len(x.src) && (letter(x.src[n]) || x.src[n] >= 0x80 || digit(x.src[n])) {
		n++
	}
	tag := x.src[start+1 : n]
	if n < len(x.src) && x.src[n] == '$' && (tag == "" || !digit(tag[0])) {
		mark := x.src[start : n+1]
		end := strings.Index(x.src[n+1:], mark)
		if end < 0 {
			return Token{}, true, Error{Offset: start, Message: fmt.Sprintf("the %s that opens here is not closed", mark)}
		}
		x.at = n + 1 + end + len(mark)
		return Token{Kind: Text, Text: x.src[n+1 : n+1+end]}, true, nil
	}
	if tag != "" && digit(tag[0]) {
		x.at++
		for x.at < len(x.src) && digit(x.src[x.at]) {
			x.at++
		}
		return Token{Kind: Number, Text: x.src[start:x.at]}, true, nil
	}
	x.at++
	return Token{Kind: Symbol, Text: "$"}, true, nil
}
