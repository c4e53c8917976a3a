package stream

import (
	"slices"
	"strings"
)

// mode is how much is known of a statement.
type mode int

const (
	wordMode  mode = iota // a word, or the space before one
	nameMode              // inside of a quoted name
	otherMode             // nothing of it matters
	rowsMode              // an INSERT, behind VALUES
)

// longestName bounds a name: 64 characters of four bytes, and more than enough.
const longestName = 1024

// word is one of a statement.
type word struct {
	text  string
	upper string // empty for a quoted name, which is no keyword
}

// head reads the first words of a statement: which table it creates or fills, or which database is meant by
// what follows.
type head struct {
	tables  *tables
	mode    mode
	words   []word
	letters []byte // of the word under way
	quoted  byte   // the quote of a name under way; 0: it is none
	columns int    // brackets of a list of columns
	table   int    // which is filled
	db      string
	used    []string
}

func (h *head) forget() {
	h.mode, h.words, h.letters, h.quoted, h.columns = wordMode, h.words[:0], h.letters[:0], 0, 0
}

// says: the statement is this one word so far.
func (h *head) says(keyword string) bool {
	return h.mode == wordMode && len(h.words) == 1 && h.words[0].upper == keyword
}

// begin: a quote opens.
func (h *head) begin(quote byte) {
	if h.mode == wordMode && h.quoted == quote { // right behind the one that closed: it is a part of the name
		h.letters = append(h.letters, quote)
		h.mode = nameMode
		return
	}
	h.pause()
	switch {
	case h.mode != wordMode:
	case quote == '\'':
		h.mode = otherMode
	default:
		h.mode, h.quoted = nameMode, quote
	}
}

// name is the text of a quoted name; closed: with the quote at its end.
func (h *head) name(p []byte, closed bool) {
	if closed {
		p = p[:len(p)-1]
	}
	h.letters = append(h.letters, p[:max(0, min(len(p), longestName-len(h.letters)))]...)
	if closed {
		h.mode = wordMode // it is over unless the next byte is another quote
	}
}

// letter is a byte outside of quotes.
func (h *head) letter(c byte) {
	switch {
	case c == '.', c == ',', c == '=', c == '(', c == ')':
		h.pause()
		h.add(word{text: string(c), upper: string(c)})
	case h.quoted != 0:
		h.pause()
		h.letter(c)
	case len(h.letters) < longestName:
		h.letters = append(h.letters, c)
	}
}

// pause ends a word.
func (h *head) pause() {
	if h.mode == wordMode && (len(h.letters) > 0 || h.quoted != 0) {
		h.finish()
	}
}

func (h *head) finish() {
	w := word{text: string(h.letters)}
	if h.quoted == 0 {
		w.upper = strings.ToUpper(w.text)
	}
	h.letters, h.quoted = h.letters[:0], 0
	h.add(w)
}

// add takes a word, and looks whether the statement is known by now.
func (h *head) add(w word) {
	if h.mode != wordMode {
		return
	}
	h.words = append(h.words, w)
	switch h.words[0].upper {
	case "INSERT", "REPLACE":
		h.insert(w)
	case "CREATE":
		h.create(w)
	case "USE":
		if len(h.words) == 2 {
			h.db, h.mode = w.text, otherMode
			h.uses(w.text)
		}
	case "DELIMITER":
	default:
		h.mode = otherMode
	}
}

func (h *head) uses(database string) {
	if !slices.Contains(h.used, database) {
		h.used = append(h.used, database)
	}
}

// insert looks for VALUES behind the name and perhaps a list of columns.
func (h *head) insert(w word) {
	switch w.upper {
	case "(":
		h.columns++
	case ")":
		h.columns--
	case "VALUES", "VALUE":
		if h.columns > 0 {
			return
		}
		h.mode = otherMode
		if name := h.named("LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO"); name != "" {
			h.table, h.mode = h.tables.find(name), rowsMode
		}
	case "SELECT", "SET":
		h.mode = otherMode
	}
	if h.columns > 0 && len(h.words) > 10 {
		h.words = h.words[:10] // the names of columns do not matter
	}
}

// create looks for the name of a table.
func (h *head) create(w word) {
	if w.upper == "(" {
		if name := h.named("OR", "REPLACE", "TABLE", "IF", "NOT", "EXISTS"); name != "" {
			h.tables.find(name)
		}
		h.mode = otherMode
		return
	}
	before := []string{"CREATE", "OR", "REPLACE", "TABLE", "IF", "NOT", "EXISTS", "."}
	named := slices.ContainsFunc(h.words, func(w word) bool { return w.upper == "TABLE" })
	if !named && !slices.Contains(before, w.upper) {
		h.mode = otherMode
	}
}

// named is the name behind the words that may come before it.
func (h *head) named(before ...string) string {
	at := 1
	for at < len(h.words) && slices.Contains(before, h.words[at].upper) {
		at++
	}
	if at >= len(h.words) {
		return ""
	}
	db, name := h.db, h.words[at].text
	if at+2 < len(h.words) && h.words[at+1].upper == "." {
		db, name = name, h.words[at+2].text
		h.uses(db)
	}
	if db != "" && name != "" {
		name = db + "." + name
	}
	return name
}
