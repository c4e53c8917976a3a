package statement

import "strings"

// Part is one statement of a script.
type Part struct {
	Text  string
	Start int // where it stands in the script
}

// Split cuts a script into its statements. DELIMITER works as in the mysql client. The body of a
// CREATE TRIGGER, PROCEDURE, FUNCTION or EVENT is kept together up to the END of its BEGIN, also
// without DELIMITER; in PostgreSQL what stands between dollars is one text. What holds only blanks and comments is left out.
func Split(g Grammar, src string) ([]Part, error) {
	return inAny(g, func(g Grammar) ([]Part, error) { return splitAs(g, src) })
}

// splitter is one pass over a script.
type splitter struct {
	lexer
	end   string // what ends a statement now
	parts []Part
	first int // where the statement at hand began; -1: not yet
	last  int // where its last token ended
	body  body
}

func splitAs(g Grammar, src string) ([]Part, error) {
	s := splitter{lexer: lexer{g: g, src: src}, end: ";", first: -1}
	for {
		if err := s.blanks(); err != nil {
			return nil, err
		}
		if s.opened == 0 && s.at < len(s.src) && s.has(s.end) && !(s.end == ";" && s.body.open()) {
			s.cut()
			s.at += len(s.end)
			continue
		}
		if s.first < 0 && s.g == Postgres && s.has("\\") {
			return nil, Error{Offset: s.at, Message: "commands with a backslash are psql's own; write the statement that the server is to carry out"}
		}
		if s.first < 0 && s.g == MySQL && s.isDelimiter() {
			if err := s.setDelimiter(); err != nil {
				return nil, err
			}
			continue
		}
		inside := s.opened
		t, ok, err := s.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			if s.end == ";" && s.body.open() {
				return nil, Error{Offset: s.body.start, Message: "the BEGIN of this statement has no END"}
			}
			s.cut()
			return s.parts, nil
		}
		if s.first < 0 {
			s.first = t.Start
			if inside > 0 { // it begins with the conditional comment that its first word stands in
				s.first = inside - 1
			}
		}
		s.last = t.End
		s.body.see(t)
	}
}

// cut ends the statement at hand.
func (s *splitter) cut() {
	if s.first >= 0 {
		end := s.last
		// The conditional comment that the last token stands in belongs to the statement.
		if tail := s.src[end:s.at]; strings.Contains(tail, "*/") {
			end += strings.Index(tail, "*/") + 2
		}
		s.parts = append(s.parts, Part{Text: s.src[s.first:end], Start: s.first})
	}
	s.first, s.body = -1, body{}
}

func (s *splitter) isDelimiter() bool {
	const word = "delimiter"
	rest := s.src[s.at:]
	return len(rest) >= len(word) && strings.EqualFold(rest[:len(word)], word) &&
		(len(rest) == len(word) || rest[len(word)] <= ' ')
}

func (s *splitter) setDelimiter() error {
	start := s.at
	s.line()
	fields := strings.Fields(s.src[start:s.at])
	if len(fields) < 2 {
		return Error{Offset: start, Message: "DELIMITER names none: write DELIMITER // or the like, on a line of its own", everywhere: true}
	}
	s.end, s.delimiter = fields[1], fields[1]
	if s.end == ";" {
		s.delimiter = ""
	}
	return nil
}

// body follows a statement that holds others: CREATE TRIGGER … BEGIN …; …; END.
type body struct {
	words   int // how many tokens have been seen
	creates bool
	routine bool
	depth   int
	start   int
	ended   bool // the token before was END
}

func (b *body) open() bool { return b.depth > 0 }

func (b *body) see(t Token) {
	b.words++
	if b.words == 1 {
		b.creates = t.is("CREATE")
	}
	if t.Kind != Word || !b.creates {
		b.ended = false
		return
	}
	wasEnd := b.ended
	b.ended = false
	switch t.Upper {
	case "TRIGGER", "PROCEDURE", "FUNCTION", "EVENT":
		b.routine = true
	case "BEGIN", "CASE":
		if !b.routine || wasEnd { // END CASE closes a statement that CASE opened
			return
		}
		if b.depth == 0 {
			if t.Upper == "CASE" {
				return
			}
			b.start = t.Start
		}
		b.depth++
	case "END":
		b.ended = true
		if b.depth > 0 {
			b.depth--
		}
	case "IF", "LOOP", "WHILE", "REPEAT", "FOR":
		if wasEnd { // END IF closes what was never counted
			b.depth++
		}
	}
}
