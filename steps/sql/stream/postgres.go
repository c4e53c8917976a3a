package stream

import (
	"bytes"
	"strings"
)

// place is where in the text of a dump of PostgreSQL a scanner is.
type place int

const (
	pgText    place = iota
	pgDash          // -
	pgSlash         // /
	pgLine          // -- up to the end of the line
	pgBlock         // /* up to */, nested
	pgQuote         // '
	pgEscape        // in a quote, \
	pgName          // "
	pgTag           // $, and what may be the rest of a mark like $body$
	pgDollar        // behind that mark, up to the next
	pgCommand       // \, for psql, up to the end of the line
	pgTail          // behind COPY … FROM stdin; up to the end of the line
	pgRows          // what COPY reads
)

const (
	// postgresMark is the last line but one of what pg_dump writes.
	postgresMark = "-- PostgreSQL database dump complete"
	// keptCommand is how much of a line is looked at: that of \unrestrict has a key of 63 letters.
	keptCommand = 256
	// customMark begins what pg_dump writes in its custom format.
	customMark = "PGDMP"
)

// postgres follows what pg_dump writes in its plain format.
type postgres struct {
	tables
	postgresHead
	w watcher

	at       place
	blank    bool   // nothing of a statement was seen since the last one ended
	line     []byte // the beginning of a comment, a command, or of a line of rows
	tag      []byte // $body$
	matched  int    // bytes of tag that were seen
	block    int    // comments in comments
	before   byte   // the byte before, in a block
	escapes  bool   // in the string under way
	ended    bool   // a string or a name has just ended: another quote goes on with it
	carried  bool   // a string with escapes has ended, and nothing but space was seen since
	broken   bool   // a line has ended since
	key      string // of \restrict
	free     bool   // \unrestrict has come
	complete bool
	first    int // bytes of customMark that were seen at the very beginning; -1: it is none
	length   int64
	longest  int64
	from     int
}

func newPostgres() *postgres {
	s := &postgres{blank: true}
	s.postgresHead.tables = &s.tables
	return s
}

func (s *postgres) watch(w watcher) { s.w = w }
func (s *postgres) open() bool {
	return !s.blank || s.at == pgBlock || s.at == pgRows || s.at == pgTail
}
func (s *postgres) Longest() int64    { return max(s.longest, s.length) }
func (*postgres) Databases() []string { return nil }

// Complete: the dump that is bound to a key must have given it back, too.
func (s *postgres) Complete() bool {
	mark := s.complete || s.at == pgLine && s.isMark()
	return s.blank && mark && (s.at == pgText || s.at == pgLine || s.at == pgCommand) && (s.key == "" || s.free || s.at == pgCommand && s.unrestricts())
}

func (s *postgres) isMark() bool { return s.blank && string(s.line) == postgresMark }

// Write follows some more of the text.
func (s *postgres) Write(p []byte) (int, error) {
	s.from = 0
	s.looksCustom(p)
	for i := 0; i < len(p); {
		switch s.at {
		case pgRows:
			i = s.skipRows(p, i)
		case pgQuote:
			i = s.skipQuote(p, i)
		case pgName:
			i = s.skipName(p, i)
		case pgDollar:
			i = s.skipDollar(p, i)
		case pgLine, pgCommand, pgTail:
			i = s.skipLine(p, i)
		case pgText, pgDash, pgSlash, pgBlock, pgEscape, pgTag:
			s.step(p[i], i)
			i++
		}
	}
	if s.at != pgRows {
		s.length += int64(len(p) - s.from)
	}
	return len(p), nil
}

// looksCustom tells a dump of another format, which would only seem to be cut short.
func (s *postgres) looksCustom(p []byte) {
	for i := 0; s.first >= 0 && i < len(p); i++ {
		if p[i] != customMark[s.first] {
			s.first = -1
			return
		}
		if s.first++; s.first == len(customMark) {
			s.refuse("it is in pg_dump's custom format, which only pg_restore reads; make dumps with --format=plain, or run pg_restore with exec")
			s.first = -1
		}
	}
}

// keepLine keeps the beginning of a line.
func (s *postgres) keepLine(p []byte) {
	if room := keptCommand - len(s.line); room > 0 {
		s.line = append(s.line, p[:min(room, len(p))]...)
	}
}

// skipLine passes over the rest of a line that is not the server's.
func (s *postgres) skipLine(p []byte, i int) int {
	end := bytes.IndexByte(p[i:], '\n')
	if end < 0 {
		s.keepLine(p[i:])
		return len(p)
	}
	s.keepLine(p[i : i+end])
	s.line = bytes.TrimSuffix(s.line, []byte{'\r'})
	switch s.at {
	case pgCommand:
		s.command()
		s.drop(i + end + 1)
	case pgTail:
		if len(bytes.TrimSpace(s.line)) > 0 {
			s.refuse("something stands behind a COPY on its line")
		}
		s.drop(i + end + 1)
		s.at, s.line = pgRows, s.line[:0]
		return i + end + 1
	default:
		s.complete = s.complete || s.isMark()
	}
	s.at = pgText
	s.space('\n')
	return i + end + 1
}

// drop: what came up to there is not for the server.
func (s *postgres) drop(end int) {
	if s.w != nil {
		s.w.command(end)
	}
	s.length, s.from = 0, end
}

func (s *postgres) unrestricts() bool {
	return string(bytes.TrimSpace(s.line)) == "unrestrict "+s.key
}

// command is a line for psql. pg_dump writes two of them, which keep a text that only looks like a dump from
// giving psql commands; nothing of it ever reaches one here.
func (s *postgres) command() {
	words := strings.Fields(string(s.line))
	switch {
	case !s.blank:
		s.refuse("it has a command of psql in the middle of a statement")
	case len(words) == 2 && words[0] == "restrict" && s.key == "":
		s.key = words[1]
	case len(words) == 2 && s.unrestricts():
		s.free = true
	case len(words) > 0 && (words[0] == "connect" || words[0] == "c"):
		s.refuse(`it holds \connect, so it is meant for several databases; make one dump for each, with pg_dump and without --create`)
	default:
		s.refuse(`it holds \%s, a command of psql that pg_dump does not write`, strings.Join(words, " "))
	}
}

// skipRows passes over rows that COPY reads. Nearly every byte of a dump goes through here. What may be the
// line at their end is held back until it is known; the rest is handed on at once.
func (s *postgres) skipRows(p []byte, i int) int {
	from := i
	for i < len(p) {
		end := bytes.IndexByte(p[i:], '\n')
		if end < 0 {
			s.keepLine(p[i:])
			break
		}
		if len(s.line) > 0 || end > 1 && p[i] == '\\' {
			s.keepLine(p[i : i+end])
			if s.isEnd() {
				s.copied(from, i)
				s.endRows(i + end + 1)
				return i + end + 1
			}
			s.line = s.line[:0]
		}
		s.fill(1)
		i += end + 1
	}
	if len(s.line) > 0 && !strings.HasPrefix("\\.\r", string(s.line)) {
		i = len(p)
	}
	s.copied(from, i)
	return len(p)
}

func (s *postgres) isEnd() bool { return string(bytes.TrimSuffix(s.line, []byte{'\r'})) == `\.` }

// copied hands on rows. They are no part of a statement.
func (s *postgres) copied(from, end int) {
	if s.w != nil && end > from {
		s.w.copied(end)
	}
}

func (s *postgres) endRows(end int) {
	if s.w != nil {
		s.w.copyEnd(end)
	}
	s.at, s.line = pgText, s.line[:0]
	s.begin(end)
}

// begin begins a statement.
func (s *postgres) begin(from int) {
	s.length, s.from, s.blank = 0, from, true
	s.ended, s.carried, s.broken = false, false, false
	s.next()
}

// skipQuote passes over a string, up to its end or that of p.
func (s *postgres) skipQuote(p []byte, i int) int {
	for i < len(p) {
		end := bytes.IndexByte(p[i:], '\'')
		part := p[i:]
		if end >= 0 {
			part = p[i : i+end]
		}
		if back := bytes.IndexByte(part, '\\'); s.escapes && back >= 0 {
			if i += back + 2; i > len(p) {
				s.at = pgEscape
				return len(p)
			}
			continue
		}
		if end < 0 {
			return len(p)
		}
		s.at, s.ended, s.carried, s.broken = pgText, true, s.escapes, false
		return i + end + 1
	}
	return len(p)
}

// skipName passes over a name in quotes.
func (s *postgres) skipName(p []byte, i int) int {
	end := bytes.IndexByte(p[i:], '"')
	part := p[i:]
	if end >= 0 {
		part = p[i : i+end]
	}
	s.letter(part...)
	if end < 0 {
		return len(p)
	}
	s.at, s.ended = pgText, true
	return i + end + 1
}

func (s *postgres) letter(p ...byte) {
	if room := longestName - len(s.letters); room > 0 {
		s.letters = append(s.letters, p[:min(room, len(p))]...)
	}
}

// skipDollar passes over a text between two marks. A $ stands only at both ends of a mark.
func (s *postgres) skipDollar(p []byte, i int) int {
	for ; i < len(p); i++ {
		if s.matched == 0 {
			next := bytes.IndexByte(p[i:], '$')
			if next < 0 {
				return len(p)
			}
			i += next
		}
		switch p[i] {
		case s.tag[s.matched]:
			if s.matched++; s.matched == len(s.tag) {
				s.at = pgText
				return i + 1
			}
		case '$':
			s.matched = 1
		default:
			s.matched = 0
		}
	}
	return len(p)
}
