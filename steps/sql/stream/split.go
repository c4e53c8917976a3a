package stream

import (
	"errors"
	"fmt"
	"io"
)

// Splitter cuts the text of a dump into statements.
type Splitter struct {
	scan Scanner
	send func(statement []byte) error
	most int64

	copy Copier
	rows io.WriteCloser // of the COPY under way

	buf  []byte
	from int // where in the present Write the statement's bytes begin
	now  []byte
	n    int64
	err  error
}

// NewSplitter makes one that hands over each statement, without its delimiter. What it hands over is good
// until send returns; most bounds its length in bytes. An error of send is that of Write.
func NewSplitter(scan Scanner, most int64, send func(statement []byte) error) *Splitter {
	s := &Splitter{scan: scan, send: send, most: most}
	scan.watch(s)
	return s
}

// Copier begins a COPY. What is written to what it gives are its rows; Close says what came of it.
type Copier func(statement []byte) (io.WriteCloser, error)

// Copies has statements that read the rows behind them carried out. They are counted as others.
func (s *Splitter) Copies(c Copier) { s.copy = c }

// Statements is how many were handed over.
func (s *Splitter) Statements() int64 { return s.n }

func (s *Splitter) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	s.now, s.from = p, 0
	_, _ = s.scan.Write(p) // it never fails
	s.take(len(p))         // of rows that is a few bytes at most: what may be the mark of their end
	s.now = nil
	if s.err != nil {
		return 0, s.err
	}
	return len(p), nil
}

// take takes the bytes up to there into the statement.
func (s *Splitter) take(end int) {
	if s.err == nil && int64(len(s.buf))+int64(end-s.from) > s.most {
		s.err = fmt.Errorf("statement %d is longer than %d bytes", s.n+1, s.most)
	}
	if s.err == nil {
		s.buf = append(s.buf, s.now[s.from:end]...)
	}
	s.from = end
}

func (s *Splitter) statement(end, tail int, blank bool) {
	s.take(end)
	if s.err == nil && !blank {
		s.n++
		s.err = s.send(s.buf[:len(s.buf)-tail])
	}
	s.buf = s.buf[:0]
}

func (s *Splitter) copying(end, tail int) {
	s.take(end)
	if s.err == nil && s.copy == nil {
		s.err = errors.New("the dump holds COPY, which is not carried out here")
	}
	if s.err == nil {
		s.n++
		s.rows, s.err = s.copy(s.buf[:len(s.buf)-tail])
	}
	s.buf = s.buf[:0]
}

func (s *Splitter) copied(end int) {
	for _, part := range [][]byte{s.buf, s.now[s.from:end]} {
		if s.err == nil && len(part) > 0 {
			_, s.err = s.rows.Write(part)
		}
	}
	s.buf, s.from = s.buf[:0], end
}

func (s *Splitter) copyEnd(end int) {
	if s.err == nil {
		s.err = s.rows.Close()
	}
	s.buf, s.from, s.rows = s.buf[:0], end, nil
}

func (s *Splitter) command(end int) {
	s.from = end
	s.buf = s.buf[:0]
}

// Close says whether the text has ended between two statements.
func (s *Splitter) Close() error {
	if s.err == nil && s.scan.open() {
		return errors.Join(s.err, fmt.Errorf("the text ends in the middle of statement %d", s.n+1))
	}
	return s.err
}

var _ io.WriteCloser = (*Splitter)(nil)
