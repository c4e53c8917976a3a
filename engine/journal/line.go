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

// Format is the version of the journal's form that this package writes and reads.
const Format = 1

const (
	hashKey  = `,"h":"`
	hashSize = sha256.Size * 2
	tailSize = len(hashKey) + hashSize + len(`"}`)
)

// chain is the place between two lines of a journal.
type chain struct {
	n    int    // lines so far
	head string // the h of the last one; empty before the first
}

var (
	errForm = errors.New("this is not a line of a journal")
	errHash = errors.New("the line does not match its hash: it was changed after it was written")
)

// begin appends the start of the next line to b, up to where its records go.
func (c chain) begin(b []byte) []byte {
	b = append(b, `{"n":`...)
	b = strconv.AppendInt(b, int64(c.n)+1, 10)
	if c.n == 0 {
		b = append(b, `,"format":`...)
		b = strconv.AppendInt(b, Format, 10)
	}
	return append(b, `,"records":[`...)
}

// end closes the line whose bytes so far are b, and gives the place after it.
func (c chain) end(b []byte) ([]byte, chain) {
	b = append(b, ']')
	next := chain{n: c.n + 1, head: c.hash(b)}
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
	if err := c.checkFormat(body); err != nil {
		return nil, c, err
	}
	if c.hash(body) != said {
		return nil, c, errHash
	}
	start := c.begin(nil)
	if !bytes.HasPrefix(body, start) {
		return nil, c, fmt.Errorf("line number %d was expected here", c.n+1)
	}
	return body[len(start)-1:], chain{n: c.n + 1, head: said}, nil
}

// checkFormat refuses a journal of another version BEFORE anything in it is judged.
func (c chain) checkFormat(body []byte) error {
	if c.n > 0 {
		return nil
	}
	var version int
	if _, err := fmt.Sscanf(string(body[:min(len(body), 64)]), `{"n":1,"format":%d,`, &version); err != nil {
		return fmt.Errorf("the first line names no format")
	}
	if version != Format {
		return fmt.Errorf("the journal has format %d, and this handrail reads format %d: use the version that wrote it, or a newer one", version, Format)
	}
	return nil
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
