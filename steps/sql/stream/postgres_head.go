package stream

import (
	"fmt"
	"slices"
	"strings"
)

// keptWords is how many words and signs of a statement are looked at.
const keptWords = 24

// postgresHead reads the words of a statement: which table it creates or fills, where a body in plain SQL ends,
// and what a restore cannot send.
type postgresHead struct {
	tables  *tables
	words   []word
	letters []byte // of the word under way
	quoted  bool   // that is a name in quotes
	depth   int    // brackets
	begun   int    // BEGIN and CASE of a routine's body, which have not met their END
	routine bool   // CREATE FUNCTION or PROCEDURE
	rows    bool   // an INSERT, behind VALUES
	table   int    // which is filled by it
	last    string
	source  bool   // COPY … FROM STDIN, and nothing behind it
	plain   bool   // standard_conforming_strings is off: a backslash escapes
	refused string // why all of it cannot be restored
}

func (h *postgresHead) next() {
	h.words, h.letters, h.quoted, h.last = h.words[:0], h.letters[:0], false, ""
	h.depth, h.begun, h.routine, h.rows, h.source = 0, 0, false, false, false
}

// Refused says why a dump cannot be restored statement by statement; empty: nothing is known against it.
func (h *postgresHead) Refused() string { return h.refused }

func (h *postgresHead) refuse(format string, args ...any) {
	if h.refused == "" {
		h.refused = fmt.Sprintf(format, args...)
	}
}

// add takes a word, a name in quotes or a sign.
func (h *postgresHead) add(w word) {
	if len(h.words) < keptWords {
		h.words = append(h.words, w)
	}
	if h.depth > 0 || w.upper == ")" {
		return
	}
	if h.source {
		h.source = false
		h.refuse("a COPY in it is not in the form of text that pg_dump writes")
	}
	h.source = h.words[0].upper == "COPY" && h.last == "FROM" && w.upper == "STDIN"
	h.body(w)
	if w.upper == "VALUES" && h.words[0].upper == "INSERT" && !h.rows {
		h.insert(h.last == "DEFAULT")
	}
	h.last = w.upper
}

// body follows BEGIN ATOMIC … END of a routine, in which a semicolon ends nothing, as psql does.
func (h *postgresHead) body(w word) {
	if n := len(h.words); n <= 4 && !h.routine {
		h.routine = n > 1 && h.words[0].upper == "CREATE" && (w.upper == "FUNCTION" || w.upper == "PROCEDURE") &&
			(n == 2 || n == 4 && h.words[1].upper == "OR" && h.words[2].upper == "REPLACE")
	}
	if !h.routine {
		return
	}
	switch {
	case w.upper == "BEGIN", w.upper == "CASE" && h.begun > 0:
		h.begun++
	case w.upper == "END" && h.begun > 0:
		h.begun--
	}
}

// insert: what follows are rows; or there is one, of default values.
func (h *postgresHead) insert(one bool) {
	name := h.named(1, "INTO")
	if name == "" {
		return
	}
	h.table = h.tables.find(name)
	if h.rows = !one; one {
		h.fill(1)
	}
}

func (h *postgresHead) fill(rows int64) {
	h.tables.list[h.table].Rows += rows
	h.tables.rows += rows
}

// bracket follows one; the outermost of an INSERT are rows.
func (h *postgresHead) bracket(by int) {
	if by > 0 && h.depth == 0 && h.rows {
		h.fill(1)
	}
	h.depth = max(0, h.depth+by)
}

// end looks at a whole statement. copies: rows follow.
func (h *postgresHead) end() (copies bool) {
	if len(h.words) == 0 {
		return false
	}
	second := ""
	if len(h.words) > 1 {
		second = h.words[1].upper
	}
	switch h.words[0].upper {
	case "COPY":
		if !h.source {
			return false
		}
		name := h.named(1)
		if name == "" {
			h.refuse("a COPY in it names no table")
			return false
		}
		h.table = h.tables.find(name)
		return true
	case "CREATE":
		h.create(second)
	case "SET":
		h.set(second)
	case "DROP", "ALTER":
		if second == "DATABASE" && h.words[0].upper == "DROP" || second == "SYSTEM" || second == "TABLESPACE" {
			h.refuse("it holds %s %s, which is not of one database; make it without --create", h.words[0].upper, second)
		}
	case "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "PREPARE", "VACUUM":
		h.refuse("it holds %s, which cannot be a part of one transaction", h.words[0].upper)
	}
	return false
}

func (h *postgresHead) create(second string) {
	if second == "DATABASE" || second == "TABLESPACE" {
		h.refuse("it holds CREATE %s, which is not of one database; make it without --create", second)
		return
	}
	at := 1
	for at < len(h.words) && slices.Contains([]string{"UNLOGGED", "GLOBAL", "LOCAL"}, h.words[at].upper) {
		at++
	}
	if at < len(h.words) && h.words[at].upper == "TABLE" {
		if name := h.named(at+1, "IF", "NOT", "EXISTS"); name != "" {
			h.tables.find(name)
		}
	}
}

func (h *postgresHead) set(second string) {
	switch second {
	case "STANDARD_CONFORMING_STRINGS":
		h.plain = strings.EqualFold(h.words[len(h.words)-1].text, "off")
	case "SESSION":
		if len(h.words) > 2 && h.words[2].upper == "AUTHORIZATION" {
			h.refuse("it holds SET SESSION AUTHORIZATION; make it without --use-set-session-authorization")
		}
	}
}

// named is the name of a table at that word, behind those that may come before it.
func (h *postgresHead) named(at int, before ...string) string {
	for at < len(h.words) && slices.Contains(before, h.words[at].upper) {
		at++
	}
	if at >= len(h.words) || h.words[at].text == "" || h.words[at].upper == "(" {
		return ""
	}
	if at+2 < len(h.words) && h.words[at+1].upper == "." {
		return PostgresName(fold(h.words[at]), fold(h.words[at+2]))
	}
	return PostgresName("", fold(h.words[at]))
}

// fold is a name as the server understands it.
func fold(w word) string {
	if w.upper == "" {
		return w.text
	}
	return strings.ToLower(w.text)
}
