package sql

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// Servers take no parameters in DDL, so a value stands in it as a literal. It is written so that the server
// reads exactly the value: numbers are written anew from their digits, texts are put in quotes by the rules
// of a session that greet has made, and what cannot be written so is refused.

// numeral is a value that stands for itself in every dialect; false: it is none.
func numeral(v engine.Value) (string, bool, error) {
	switch x := v.(type) {
	case nil:
		return "NULL", true, nil
	case bool:
		return strings.ToUpper(strconv.FormatBool(x)), true, nil
	case int64:
		return apart(strconv.FormatInt(x, 10)), true, nil
	case uint64:
		return strconv.FormatUint(x, 10), true, nil
	case engine.Decimal:
		return apart(x.String()), true, nil
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return "", true, fmt.Errorf("%v is no number that can stand in a statement", x)
		}
		return apart(strconv.FormatFloat(x, 'e', -1, 64)), true, nil
	}
	return "", false, nil
}

// apart keeps a sign from making a comment with another one before it.
func apart(n string) string {
	if strings.HasPrefix(n, "-") {
		return " " + n
	}
	return n
}

// legible refuses what no literal can hold.
func legible(s string) error {
	if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		return errors.New("a text that is not UTF-8, or has a zero byte in it, cannot stand in this statement")
	}
	return nil
}

func unfitLiteral(v engine.Value) error {
	return fmt.Errorf("a %s cannot stand in this statement", engine.TypeName(v))
}

func (*mysqlDialect) unbound(c statement.Class) bool {
	return c.Sort == statement.Defines || c.Sort == statement.Commits
}

func (d *mysqlDialect) literal(v engine.Value) (string, error) {
	if text, ok, err := numeral(v); ok {
		return text, err
	}
	switch x := v.(type) {
	case engine.Secret:
		return d.literal(x.Reveal())
	case string:
		// A session that greet has made takes the backslash for an escape, whatever the server's mode was.
		return "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`, "\n", `\n`, "\r", `\r`, "\x1a", `\Z`).Replace(x) + "'", legible(x)
	case engine.Bytes:
		return "X'" + hex.EncodeToString(x) + "'", nil
	case time.Time:
		return "'" + x.In(d.loc).Format("2006-01-02 15:04:05.999999") + "'", nil
	case time.Duration:
		return "'" + clock(x) + "'", nil
	}
	return "", unfitLiteral(v)
}

// unbound: in PostgreSQL only what reads and writes rows takes parameters.
func (*postgresDialect) unbound(c statement.Class) bool {
	switch c.Sort {
	case statement.Defines, statement.Commits, statement.Session:
		return true
	case statement.Calls:
		return c.Verb == "NOTIFY"
	case statement.Reads, statement.Writes, statement.Control, statement.Other:
	}
	return false
}

func (d *postgresDialect) literal(v engine.Value) (string, error) {
	if text, ok, err := numeral(v); ok {
		return text, err
	}
	switch x := v.(type) {
	case engine.Secret:
		return d.literal(x.Reveal())
	case string:
		// standard_conforming_strings is on, so a backslash is one.
		return "'" + strings.ReplaceAll(x, "'", "''") + "'", legible(x)
	case engine.Bytes, time.Time, time.Duration:
		text, _, err := d.written(v)
		return fmt.Sprintf("'%s'", text), err
	}
	return "", unfitLiteral(v)
}

func (sqliteDialect) unbound(c statement.Class) bool { return c.Sort == statement.Defines }

func (d sqliteDialect) literal(v engine.Value) (string, error) {
	if text, ok, err := numeral(v); ok {
		return text, err
	}
	switch x := v.(type) {
	case engine.Secret:
		return d.literal(x.Reveal())
	case string:
		return "'" + strings.ReplaceAll(x, "'", "''") + "'", legible(x)
	case engine.Bytes:
		return "X'" + hex.EncodeToString(x) + "'", nil
	case time.Time:
		return "'" + x.UTC().Format(sqliteTime) + "'", nil
	}
	return "", unfitLiteral(v)
}
