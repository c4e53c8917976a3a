package statement

// clockCalls read the server's clock when they are called, clockWords wherever they stand.
var (
	clockCalls = map[string]bool{"NOW": true, "CURDATE": true, "CURTIME": true, "SYSDATE": true, "UTC_DATE": true,
		"UTC_TIME": true, "UTC_TIMESTAMP": true, "UNIX_TIMESTAMP": true, "CLOCK_TIMESTAMP": true}
	clockWords = map[string]bool{"CURRENT_DATE": true, "CURRENT_TIME": true, "CURRENT_TIMESTAMP": true, "LOCALTIME": true,
		"LOCALTIMESTAMP": true}
)

// Clock is where the server's clock decides which rows a statement is about: behind its WHERE. -1: nowhere.
func (s *Statement) Clock() (at int, name string) {
	where := false
	for i, t := range s.Tokens {
		where = where || t.is("WHERE")
		if !where || t.Kind != Word || i > 0 && s.Tokens[i-1].sign(".") {
			continue
		}
		called := i+1 < len(s.Tokens) && s.Tokens[i+1].sign("(")
		if clockWords[t.Upper] || called && clockCalls[t.Upper] {
			return t.Start, t.Upper
		}
	}
	return -1, ""
}

// Guarded: an INSERT … SELECT leaves out what is there already, as far as its words tell.
func (s *Statement) Guarded() bool {
	for i, t := range s.Tokens {
		next := Token{Kind: Symbol}
		if i+1 < len(s.Tokens) {
			next = s.Tokens[i+1]
		}
		switch {
		case t.is("EXISTS"), t.is("IGNORE"), t.is("DUPLICATE"), t.is("CONFLICT"), t.is("REPLACE"),
			t.is("IS") && next.is("NULL"), t.is("NOT") && next.is("IN"), t.is("EXCEPT"):
			return true
		}
	}
	return false
}
