package stream

import "bytes"

// step follows one byte; i is where it is in the present Write.
func (s *postgres) step(c byte, i int) {
	switch s.at {
	case pgText:
		s.text(c, i)
	case pgDash:
		s.at = pgText
		if c == '-' {
			s.pause()
			s.at, s.line = pgLine, append(s.line[:0], '-', '-')
			return
		}
		s.sign()
		s.text(c, i)
	case pgSlash:
		s.at = pgText
		if c == '*' {
			s.pause()
			s.at, s.block, s.before = pgBlock, 1, 0
			return
		}
		s.sign()
		s.text(c, i)
	case pgBlock:
		s.inBlock(c)
	case pgEscape:
		s.at = pgQuote
	case pgTag:
		s.inTag(c, i)
	case pgLine, pgQuote, pgName, pgDollar, pgCommand, pgTail, pgRows: // passed over elsewhere
	}
}

func (s *postgres) inBlock(c byte) {
	switch {
	case s.before == '*' && c == '/':
		s.before = 0
		if s.block--; s.block == 0 {
			s.at = pgText
		}
	case s.before == '/' && c == '*':
		s.before = 0
		s.block++
	default:
		s.before = c
	}
}

// inTag reads $body$. What is none, such as $1, is plain text.
func (s *postgres) inTag(c byte, i int) {
	letter := c == '_' || c >= 0x80 || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' && len(s.tag) > 1
	switch {
	case c == '$':
		s.tag = append(s.tag, c)
		s.at, s.matched = pgDollar, 0
	case letter && len(s.tag) < longestName:
		s.tag = append(s.tag, c)
	default:
		s.at = pgText
		s.text(c, i)
	}
}

// text follows a byte outside of strings, names and comments.
func (s *postgres) text(c byte, i int) {
	ended := s.ended
	s.ended = false
	switch c {
	case '\'':
		s.quote(ended)
		return
	case '"':
		s.something()
		if ended && s.quoted {
			s.letter('"') // "" in a name
		} else {
			s.pause()
		}
		s.at, s.quoted, s.carried = pgName, true, false
		return
	case ' ', '\t', '\n', '\r', '\v', '\f':
		s.space(c)
		return
	}
	s.carried = false
	switch {
	case wordByte(c) || c == '$' && len(s.letters) > 0 && !s.quoted:
		s.something()
		if s.quoted {
			s.pause()
		}
		s.letter(c)
	case c == '$':
		s.sign()
		s.at, s.tag = pgTag, append(s.tag[:0], c)
	case c == '-':
		s.at = pgDash
	case c == '/':
		s.at = pgSlash
	case c == '\\':
		s.pause()
		s.at, s.line = pgCommand, s.line[:0]
	case c == ';':
		s.semicolon(i)
	default:
		s.sign()
		s.mark(c)
	}
}

func wordByte(c byte) bool {
	return c == '_' || c >= 0x80 || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9'
}

// quote begins a string; ended: right behind the end of another, of which it is a part then.
func (s *postgres) quote(ended bool) {
	s.something()
	s.escapes = s.plain || s.carried && (ended || s.broken) || !s.quoted && bytes.EqualFold(s.letters, []byte{'e'})
	if !s.quoted {
		s.letters = s.letters[:0] // what tells the sort of a string is no word
	}
	s.pause()
	s.at = pgQuote
}

// something of a statement is there.
func (s *postgres) something() { s.blank, s.complete = false, false }

// sign is a byte that belongs to no word.
func (s *postgres) sign() {
	s.something()
	s.pause()
}

func (s *postgres) space(c byte) {
	s.pause()
	s.broken = s.broken || c == '\n'
}

// pause ends a word.
func (s *postgres) pause() {
	if len(s.letters) == 0 && !s.quoted {
		return
	}
	w := word{text: string(s.letters)}
	if !s.quoted {
		w.upper = string(bytes.ToUpper(s.letters))
	}
	s.letters, s.quoted = s.letters[:0], false
	s.add(w)
}

// mark is a sign that says something about the words beside it.
func (s *postgres) mark(c byte) {
	switch c {
	case '(':
		s.bracket(1)
	case ')':
		s.bracket(-1)
	case '.', ',', '=':
	default:
		return
	}
	s.add(word{text: string(c), upper: string(c)})
}

// semicolon ends a statement, unless it stands in brackets or in a routine's body.
func (s *postgres) semicolon(i int) {
	s.pause()
	s.complete = false
	if s.depth > 0 || s.begun > 0 {
		s.blank = false
		return
	}
	copies := s.end()
	s.length += int64(i + 1 - s.from)
	s.longest = max(s.longest, s.length)
	switch {
	case s.w == nil:
	case copies:
		s.w.copying(i+1, 1)
	default:
		s.w.statement(i+1, 1, s.blank)
	}
	s.begin(i + 1)
	if copies {
		s.at, s.line = pgTail, s.line[:0]
	}
}
