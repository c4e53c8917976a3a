package statement

import (
	"errors"
	"strings"
)

// Condition is what stands behind WHERE in a statement that Handrail makes itself.
type Condition struct {
	Statement *Statement // the condition in a SELECT around it
	Piece     Span       // the condition in the text of that
	// Clock is the first word of it that may mean something else a moment later, such as NOW; empty:
	// there is none.
	Clock string
}

const (
	conditionHead = "SELECT 1 FROM handrail WHERE (\n"
	conditionTail = "\n)"
)

// ConditionOffset is what the offset of something in a condition is ahead of its offset in the text that
// the condition was read from.
const ConditionOffset = len(conditionHead)

// clocks are functions whose value is another one a moment later, in any of the grammars; bareClocks
// are those of them that need no bracket.
var (
	clocks = list(`CLOCK_TIMESTAMP CURDATE CURTIME GEN_RANDOM_UUID NOW RAND RANDOM RANDOMBLOB RANDOM_BYTES STATEMENT_TIMESTAMP
SYSDATE TIMEOFDAY TRANSACTION_TIMESTAMP UNIXEPOCH UUID UUID_SHORT`)
	bareClocks = list(`CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP LOCALTIME LOCALTIMESTAMP UTC_DATE UTC_TIME UTC_TIMESTAMP`)
)

// ParseCondition reads a condition. One whose brackets would close something else is an [Error].
func ParseCondition(g Grammar, src string) (*Condition, error) {
	return inAny(g, func(g Grammar) (*Condition, error) { return conditionAs(g, src) })
}

func conditionAs(g Grammar, src string) (*Condition, error) {
	tokens, err := lexAs(g, src)
	if err != nil {
		return nil, err
	}
	if len(tokens) == 0 {
		return nil, Error{Offset: 0, Message: "there is no condition in it"}
	}
	depth := 0
	c := &Condition{}
	for i, t := range tokens {
		switch {
		case t.sign("("):
			depth++
		case t.sign(")"):
			depth--
		case t.sign(";"):
			return nil, Error{Offset: t.Start, Message: "a condition ends without a semicolon"}
		}
		if depth < 0 {
			return nil, Error{Offset: t.Start, Message: "this bracket closes none of the condition's own"}
		}
		if c.Clock == "" && asksClock(tokens, i) {
			c.Clock = t.Text
		}
	}
	if depth > 0 {
		return nil, Error{Offset: len(src), Message: "a bracket is not closed"}
	}
	whole := conditionHead + src + conditionTail
	if c.Statement, err = Parse(g, whole); err != nil {
		var at Error
		if errors.As(err, &at) {
			at.Offset = max(0, min(at.Offset-ConditionOffset, len(src)))
			return nil, at
		}
		return nil, err
	}
	c.Piece = Span{ConditionOffset, ConditionOffset + len(src)}
	return c, nil
}

// asksClock: the i-th token is a clock, or 'now', which SQLite and PostgreSQL take for one.
func asksClock(tokens []Token, i int) bool {
	t := tokens[i]
	switch {
	case t.Kind == Text:
		return strings.EqualFold(t.Text, "now")
	case t.Kind != Word || i > 0 && tokens[i-1].sign("."):
		return false
	case bareClocks.has(t.Upper):
		return true
	}
	return clocks.has(t.Upper) && i+1 < len(tokens) && tokens[i+1].sign("(")
}

// Speaks: the condition names that column.
func (c *Condition) Speaks(column string) bool {
	for _, t := range c.Statement.Tokens {
		if t.names() && t.Start >= c.Piece.Start && strings.EqualFold(t.Text, column) {
			return true
		}
	}
	return false
}

// ParseName reads the name of a table, with its database or without, as it stands in a statement.
func ParseName(g Grammar, src string) (Name, error) {
	tokens, err := Lex(g, src)
	if err != nil {
		return Name{}, err
	}
	r := &reader{g: g, t: tokens}
	n, ok := r.name()
	if !ok || r.more() || n.Table == "" {
		return Name{}, Error{Offset: 0, Message: "is not the name of a table: write table, or database.table"}
	}
	return n, nil
}
