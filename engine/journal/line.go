package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/handrail-dev/handrail/engine"
)

// Format is the version of the journal's form that a new journal is written in. All before it are read, and
// a run goes on in the one that it was begun in.
//
// Format 2 says in every line how many lines before it were on the medium, so that a hole which a power
// failure left in what nobody had been promised is told from damage.
const Format = 2

const (
	hashKey  = `,"h":"`
	hashSize = sha256.Size * 2
	tailSize = len(hashKey) + hashSize + len(`"}`)
)

// chain is the place between two lines of a journal.
type chain struct {
	n      int    // lines so far
	head   string // the h of the last one; empty before the first
	format int    // of the journal; 0 before its first line was read
	synced int    // how many lines are known to be on the medium
}

var (
	errForm = errors.New("this is not a line of a journal")
	errHash = errors.New("the line does not match its hash: it was changed after it was written")
)

// begin appends the start of the next line to b, up to where its records go.
func (c chain) begin(b []byte) []byte {
	b = append(b, `{"n":`...)
	b = strconv.AppendInt(b, int64(c.n)+1, 10)
	switch {
	case c.n == 0:
		b = append(b, `,"format":`...)
		b = strconv.AppendInt(b, int64(c.format), 10)
	case c.format >= 2:
		b = append(b, `,"synced":`...)
		b = strconv.AppendInt(b, int64(c.synced), 10)
	}
	return append(b, `,"records":[`...)
}

// end closes the line whose bytes so far are b, and gives the place after it.
func (c chain) end(b []byte) ([]byte, chain) {
	b = append(b, ']')
	next := c
	next.n, next.head = c.n+1, c.hash(b)
	b = append(append(append(b, hashKey...), next.head...), "\"}\n"...)
	return b, next
}

func (c chain) hash(body []byte) string {
	h := sha256.New()
	h.Write([]byte(c.head))
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// check holds a line, without its newline, against the chain and gives its records, a JSON list.
func (c chain) check(line []byte) (records []byte, next chain, err error) {
	if !wellFormed(line) {
		return nil, c, errForm
	}
	body := line[:len(line)-tailSize]
	said := string(line[len(body)+len(hashKey) : len(body)+len(hashKey)+hashSize])
	next = c
	if err := next.readStart(body); err != nil {
		return nil, c, err
	}
	if c.hash(body) != said {
		return nil, c, errHash
	}
	start := next.begin(nil)
	if !bytes.HasPrefix(body, start) {
		return nil, c, fmt.Errorf("line number %d was expected here", c.n+1)
	}
	next.n, next.head = c.n+1, said
	return body[len(start)-1:], next, nil
}

// readStart takes from the beginning of a line what differs from journal to journal, and from line to line:
// the format of the first one, BEFORE anything else is judged, and what the others say was synced.
func (c *chain) readStart(body []byte) error {
	switch {
	case c.n == 0:
		if _, err := fmt.Sscanf(string(body[:min(len(body), 64)]), `{"n":1,"format":%d,`, &c.format); err != nil {
			return errors.New("the first line names no format")
		}
		if c.format < 1 || c.format > Format {
			return fmt.Errorf("the journal has format %d, and this handrail reads the formats 1 to %d: use the version that wrote it, or a newer one", c.format, Format)
		}
	case c.format >= 2:
		_, synced, ok := startOf(body)
		if !ok || synced < c.synced || synced > c.n {
			return fmt.Errorf("line number %d was expected here", c.n+1)
		}
		c.synced = synced
	}
	return nil
}

// startOf reads the beginning of a line of format 2, which need not be whole.
func startOf(line []byte) (n, synced int, ok bool) {
	line = line[:min(len(line), 64)]
	if !bytes.HasPrefix(line, []byte(`{"n":`)) {
		return 0, 0, false
	}
	_, err := fmt.Sscanf(string(line), `{"n":%d,"synced":%d,`, &n, &synced)
	return n, synced, err == nil
}

// wellFormed: the line starts and ends as one that was written whole.
func wellFormed(line []byte) bool {
	if len(line) < tailSize || !bytes.HasPrefix(line, []byte(`{"n":`)) || !bytes.HasSuffix(line, []byte(`"}`)) {
		return false
	}
	tail := line[len(line)-tailSize:]
	if !bytes.HasPrefix(tail, []byte(hashKey)) {
		return false
	}
	for _, b := range tail[len(hashKey) : len(hashKey)+hashSize] {
		if (b < '0' || b > '9') && (b < 'a' || b > 'f') {
			return false
		}
	}
	return true
}

// decode calls f for each event of a list of records.
func decode(records []byte, f func(engine.Stamped) error) error {
	var raw []json.RawMessage
	if err := json.Unmarshal(records, &raw); err != nil {
		return err
	}
	for _, r := range raw {
		e, err := engine.UnmarshalEvent(r)
		if err != nil {
			return err
		}
		if err := f(e); err != nil {
			return err
		}
	}
	return nil
}
