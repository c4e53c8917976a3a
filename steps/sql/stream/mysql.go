package stream

import (
	"bytes"
	"strings"
)

// state is where in the text of a statement a scanner is.
type state int

const (
	inText      state = iota
	afterDash         // -
	afterDashes       // --
	afterSlash        // /
	afterOpen         // /*
	afterOpenM        // /*M
	inLine            // -- or # up to the end of the line
	inBlock           // /* up to */
	afterStar         // in a block, *
	inQuote
	afterEscape // in a quote, \
	inDelimiter // behind the word DELIMITER
)

const (
	// keptLine is how much of a comment is looked at: the mark of the end is one.
	keptLine = 64
	// keptSet is how much of a statement is looked at for a change of sql_mode.
	keptSet = 1024
)

// mysqlMark begins the last line of what mysqldump and mariadb-dump write.
const mysqlMark = "-- Dump completed"

// mysql follows what mysqldump and mariadb-dump write.
type mysql struct {
	tables
	head
	w watcher

	state     state
	quote     byte
	delimiter []byte
	matched   int  // bytes of a delimiter longer than one that were seen
	blank     bool // nothing of a statement was seen since the last one ended
	depth     int  // brackets
	line      []byte
	set       []byte // the beginning of the statement
	plainBack bool   // NO_BACKSLASH_ESCAPES
	ansi      bool   // ANSI_QUOTES
	complete  bool
	length    int64 // of the statement so far
	longest   int64
	from      int // where in the present Write the statement's bytes begin
}

func newMySQL() *mysql {
	m := &mysql{delimiter: []byte{';'}, blank: true}
	m.head.tables = &m.tables
	return m
}

func (m *mysql) watch(w watcher)     { m.w = w }
func (m *mysql) open() bool          { return !m.blank || m.state == inBlock || m.state == afterStar }
func (m *mysql) Longest() int64      { return m.longest }
func (m *mysql) Databases() []string { return m.used }
func (*mysql) Refused() string       { return "" }

// Complete looks at an unfinished last line, too.
func (m *mysql) Complete() bool {
	return m.blank && (m.complete && m.state != inBlock || m.state == inLine && bytes.HasPrefix(m.line, []byte(mysqlMark)))
}

// Write follows some more of the text.
func (m *mysql) Write(p []byte) (int, error) {
	m.from = 0
	for i := 0; i < len(p); {
		switch {
		case m.state == inQuote:
			j := m.skipQuoted(p, i)
			m.keep(p[i:j], m.state == inText)
			i = j
		case m.state == inText && m.mode == rowsMode && len(m.delimiter) == 1:
			i = m.skipRows(p, i)
		case m.state == inLine:
			i = m.skipLine(p, i)
		default:
			m.step(p[i], i)
			i++
		}
	}
	m.length += int64(len(p) - m.from)
	return len(p), nil
}

// keep looks at what stands in quotes.
func (m *mysql) keep(p []byte, closed bool) {
	if m.mode == rowsMode {
		return
	}
	if m.mode == nameMode {
		m.name(p, closed)
	}
	if room := keptSet - len(m.set); room > 0 {
		m.set = append(m.set, p[:min(room, len(p))]...)
	}
}

// skipLine passes over a comment up to the end of its line.
func (m *mysql) skipLine(p []byte, i int) int {
	end := bytes.IndexByte(p[i:], '\n')
	rest := p[i:]
	if end >= 0 {
		rest = p[i : i+end]
	}
	if room := keptLine - len(m.line); room > 0 {
		m.line = append(m.line, rest[:min(room, len(rest))]...)
	}
	if end < 0 {
		return len(p)
	}
	if m.blank && bytes.HasPrefix(m.line, []byte(mysqlMark)) {
		m.complete = true
	}
	m.state = inText
	return i + end + 1
}

// skipQuoted passes over a string, up to its end or that of p.
func (m *mysql) skipQuoted(p []byte, i int) int {
	escapes := m.quote != '`' && !m.plainBack && !(m.ansi && m.quote == '"')
	closing := -1 // where the next quote is
	for i < len(p) {
		if closing < i {
			if closing = bytes.IndexByte(p[i:], m.quote); closing < 0 {
				closing = len(p)
			} else {
				closing += i
			}
		}
		back := -1
		if escapes {
			back = bytes.IndexByte(p[i:closing], '\\')
		}
		switch {
		case back < 0 && closing == len(p):
			return len(p)
		case back < 0:
			m.state = inText
			return closing + 1
		case i+back+1 == len(p):
			m.state = afterEscape
			return len(p)
		}
		i += back + 2
	}
	return i
}

// What a byte between the values of rows means.
const (
	valueByte byte = iota
	quoteByte
	openByte
	shutByte
	otherByte
)

var meaning = [256]byte{'\'': quoteByte, '"': quoteByte, '`': quoteByte, '(': openByte, ')': shutByte,
	';': otherByte, '-': otherByte, '#': otherByte, '/': otherByte}

// skipRows passes over the rows of an INSERT, up to the end of the statement or that of p. Nearly every byte
// of a dump goes through here.
func (m *mysql) skipRows(p []byte, i int) int {
	for i < len(p) {
		c := p[i]
		switch meaning[c] {
		case valueByte:
			for i++; i < len(p) && meaning[p[i]] == valueByte; i++ {
			}
		case quoteByte:
			// Most strings have a few bytes and no escapes: they are over before a call would have begun.
			j := i + 1
			for j < len(p) && j-i < 24 && p[j] != c && p[j] != '\\' {
				j++
			}
			if j < len(p) && p[j] == c {
				i = j + 1
				continue
			}
			m.quote, m.state = c, inQuote
			if i = m.skipQuoted(p, j); m.state != inText {
				return i
			}
		case openByte:
			m.bracket(1)
			i++
		case shutByte:
			m.bracket(-1)
			i++
		default:
			if c == '-' && i+1 < len(p) && p[i+1] != '-' {
				i++ // a sign
				continue
			}
			m.step(c, i)
			i++
			if m.state != inText || m.mode != rowsMode {
				return i
			}
		}
	}
	return i
}

func (m *mysql) bracket(by int) {
	if by > 0 && m.depth == 0 && m.mode == rowsMode {
		m.list[m.table].Rows++
		m.rows++
	}
	m.depth += by
}

// step follows one byte; i is where it is in the present Write.
func (m *mysql) step(c byte, i int) {
	switch m.state {
	case inText:
		m.text(c, i)
	case afterDash:
		m.state = inText
		if c == '-' {
			m.state = afterDashes
			return
		}
		m.plain('-')
		m.text(c, i)
	case afterDashes:
		if c == ' ' || c == '\t' || c == '\n' || c == '\r' {
			m.comment("--", c)
			return
		}
		m.state = inText
		m.plain('-')
		m.plain('-')
		m.text(c, i)
	case afterSlash:
		m.state = inText
		if c == '*' {
			m.state = afterOpen
			return
		}
		m.plain('/')
		m.text(c, i)
	case afterOpen, afterOpenM:
		m.opened(c)
	case inBlock:
		if c == '*' {
			m.state = afterStar
		}
	case afterStar:
		switch c {
		case '/':
			m.state = inText
			m.pause()
		case '*':
		default:
			m.state = inBlock
		}
	case afterEscape:
		m.state = inQuote
		m.keep([]byte{c}, false)
	case inDelimiter:
		m.changing(c, i)
	case inLine, inQuote: // passed over elsewhere
	}
}

// opened tells a comment from /*! and /*M!, whose text the server carries out.
func (m *mysql) opened(c byte) {
	switch {
	case c == '!':
		m.state = inText
		m.plain('!')
	case c == 'M' && m.state == afterOpen:
		m.state = afterOpenM
	case c == '*':
		m.state = afterStar
	default:
		m.state = inBlock
	}
}

func (m *mysql) comment(begin string, c byte) {
	m.pause()
	m.line = append(m.line[:0], begin...)
	if c != 0 {
		m.line = append(m.line, c)
	}
	m.state = inLine
	if c == '\n' {
		m.state = inText
	}
}

// text follows a byte outside of strings and comments.
func (m *mysql) text(c byte, i int) {
	switch {
	case c == m.delimiter[m.matched]:
		if m.matched++; m.matched == len(m.delimiter) {
			m.matched = 0
			m.end(i)
		}
		return
	case m.matched > 0:
		m.unmatched(c, i)
		return
	}
	switch c {
	case '-':
		m.state = afterDash
	case '/':
		m.state = afterSlash
	case '#':
		m.comment("#", 0)
	case '\'', '"', '`':
		m.plain(0)
		m.begin(c)
		m.quote, m.state = c, inQuote
	case '(':
		m.pause()
		m.bracket(1)
		m.plain(c)
	case ')':
		m.bracket(-1)
		m.plain(c)
	case ' ', '\t', '\n', '\r', '\v', '\f':
		m.pause()
		m.keepOne(c)
		if m.says("DELIMITER") {
			m.state, m.line = inDelimiter, m.line[:0]
		}
	default:
		m.plain(c)
	}
}

// unmatched: what looked like the beginning of the delimiter was none.
func (m *mysql) unmatched(c byte, i int) {
	seen := m.matched
	m.matched = 0
	for _, was := range m.delimiter[:seen] {
		m.plain(was)
	}
	m.text(c, i)
}

// plain is a byte of the statement; 0 stands for one that is followed elsewhere.
func (m *mysql) plain(c byte) {
	m.blank, m.complete = false, false
	if c == 0 {
		return
	}
	m.keepOne(c)
	if m.mode < otherMode {
		m.letter(c)
	}
}

func (m *mysql) keepOne(c byte) {
	if m.mode != rowsMode && len(m.set) < keptSet {
		m.set = append(m.set, c)
	}
}

// end ends a statement.
func (m *mysql) end(i int) {
	m.pause()
	m.length += int64(i + 1 - m.from)
	m.longest = max(m.longest, m.length)
	if m.w != nil {
		m.w.statement(i+1, len(m.delimiter), m.blank)
	}
	m.modes()
	m.next(i + 1)
}

// next begins a statement.
func (m *mysql) next(from int) {
	m.length, m.from, m.depth, m.blank = 0, from, 0, true
	m.set = m.set[:0]
	m.forget()
}

// changing follows the line of a DELIMITER.
func (m *mysql) changing(c byte, i int) {
	if c != '\n' {
		if len(m.line) < keptLine {
			m.line = append(m.line, c)
		}
		return
	}
	if d := bytes.TrimSpace(m.line); len(d) > 0 {
		m.delimiter = bytes.Clone(d)
	}
	m.state, m.matched = inText, 0
	if m.w != nil {
		m.w.command(i + 1)
	}
	m.next(i + 1)
}

// modes looks for a change of sql_mode, which changes what a backslash and a double quote mean.
func (m *mysql) modes() {
	if m.mode == rowsMode || !bytes.Contains(bytes.ToLower(m.set), []byte("sql_mode")) {
		return
	}
	text := strings.ToUpper(string(m.set))
	if !strings.Contains(text, "SET ") {
		return
	}
	m.plainBack = strings.Contains(text, "NO_BACKSLASH_ESCAPES")
	m.ansi = false
	for _, name := range []string{"ANSI", "DB2", "MAXDB", "MSSQL", "ORACLE", "POSTGRESQL"} {
		m.ansi = m.ansi || strings.Contains(text, name)
	}
}
