package statement

import (
	"fmt"
	"strings"
)

// findings are what a walk over all tokens of a statement has met.
type findings struct {
	why     string   // the first reason why it is not known to read
	unsafe  string   // the first reason why the server may not even be asked to explain it
	code    []string // functions that are not on the list
	locks   bool
	outfile bool // it writes a file on the server
}

// writes notes a reason that lies in what the statement says it does.
func (f *findings) writes(format string, args ...any) {
	if f.why == "" {
		f.why = fmt.Sprintf(format, args...)
	}
}

// because notes a reason that lies in what it would run, which the server may do to explain it, too.
func (f *findings) because(format string, args ...any) {
	f.writes(format, args...)
	if f.unsafe == "" {
		f.unsafe = fmt.Sprintf(format, args...)
	}
}

// scan looks for everything that could make a statement that begins like a read more than that.
func scan(g Grammar, tokens []Token) findings {
	var f findings
	for i, t := range tokens {
		next, prev := Token{Kind: Symbol}, Token{Kind: Symbol}
		if i+1 < len(tokens) {
			next = tokens[i+1]
		}
		if i > 0 {
			prev = tokens[i-1]
		}
		if t.Conditional {
			f.because("it has a conditional comment /*! … */, which means different things to different servers")
		}
		switch t.Kind {
		case Assign:
			f.because("it assigns a variable")
		case Hint:
			if h := strings.ToUpper(t.Text); strings.Contains(h, "SET_VAR") || strings.Contains(h, "MAX_EXECUTION_TIME") || strings.Contains(h, "RESOURCE_GROUP") {
				f.because("its hint changes settings of the server")
			}
		case Word:
			f.word(prev, t, next)
		case Quoted, Ident:
			if strings.EqualFold(t.Text, "nextval") || strings.EqualFold(t.Text, "lastval") {
				f.because("it may draw from a sequence")
			}
		case Text, Number, Param, Variable, Symbol:
		}
		if next.sign("(") && (t.Kind == Word || t.Kind == Quoted || t.Kind == Ident) {
			f.call(g, tokens, i)
		}
	}
	return f
}

// word looks at words that change what a SELECT does.
func (f *findings) word(prev, t, next Token) {
	if prev.sign(".") && t.Upper != "NEXTVAL" { // a column may have any name
		return
	}
	switch t.Upper {
	case "INTO":
		f.outfile = f.outfile || next.is("OUTFILE") || next.is("DUMPFILE")
		f.because("SELECT … INTO writes what it reads")
	case "OUTFILE", "DUMPFILE":
		f.outfile = true
	case "UPDATE":
		if prev.is("FOR") || prev.is("KEY") {
			f.locks = true
			return
		}
		f.writes("the word UPDATE stands in it")
	case "SHARE":
		if prev.is("FOR") || prev.is("KEY") {
			f.locks = true
		}
	case "LOCK":
		f.locks = f.locks || next.is("IN")
	case "DELETE", "MERGE":
		f.writes("the word %s stands in it", t.Upper)
	case "INSERT", "REPLACE":
		if !next.sign("(") {
			f.writes("the word %s stands in it", t.Upper)
		}
	case "PROCEDURE":
		if !prev.is("CREATE") && !prev.is("SHOW") { // SHOW CREATE PROCEDURE, SHOW PROCEDURE STATUS
			f.because("the word PROCEDURE stands in it")
		}
	case "NEXT":
		if next.is("VALUE") {
			f.because("it draws from a sequence")
		}
	case "NEXTVAL", "LASTVAL", "SETVAL":
		f.because("it may draw from a sequence")
	}
}

// call looks at a name with a bracket behind it.
func (f *findings) call(g Grammar, tokens []Token, i int) {
	t := tokens[i]
	prev := Token{Kind: Symbol}
	if i > 0 {
		prev = tokens[i-1]
	}
	qualified := prev.sign(".")
	if g == Postgres && qualified && i > 1 && tokens[i-2].is("PG_CATALOG") {
		qualified = false
	}
	if t.Kind == Word && !qualified && (g != Postgres && syntax(tokens, i) || g == Postgres && postgresSyntax(tokens, i)) {
		return
	}
	if prev.is("AS") && !qualified || columnList(tokens, i) {
		return // a type, an alias with its columns, a common table expression with its columns
	}
	// A built-in function with a blank before its bracket may be somebody's own function to MySQL.
	adjacent := g == SQLite || g == Postgres || t.End == tokens[i+1].Start
	if t.Kind == Word && !qualified && adjacent && builtin(g, t.Upper) {
		return
	}
	name := t.Text
	if t.Kind == Ident {
		name = "ident(:" + t.Text + ")"
	}
	f.code = append(f.code, name)
	if t.Kind == Word && builtin(g, t.Upper) {
		f.because("there is a blank between %s and its bracket, so it may be somebody's own function", t.Text)
		return
	}
	f.because("it calls %s, which is not on the list of functions that only read", name)
}

// columnList: name (a, b) AS ( … ) in a WITH.
func columnList(tokens []Token, i int) bool {
	depth, j := 0, i+1
	for ; j < len(tokens); j++ {
		if tokens[j].sign("(") {
			depth++
		}
		if tokens[j].sign(")") {
			if depth--; depth == 0 {
				break
			}
		}
	}
	if j+2 >= len(tokens) || !tokens[j+1].is("AS") {
		return false
	}
	return tokens[j+2].sign("(") || tokens[j+2].is("MATERIALIZED") || tokens[j+2].is("NOT")
}
