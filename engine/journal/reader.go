package journal

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"

	"github.com/handrail-dev/handrail/engine"
)

// Reader reads a journal from its beginning and, called again, goes on where it was. It takes no
// lock: what an owner is about to write is there at the next call.
type Reader struct {
	path   string // for messages
	file   File
	at     chain
	offset int64
	events int
	torn   int64 // bytes behind the last whole line

	watch   int    // a line whose hash is wanted
	watched string // and that hash
}

// Replay calls f for each event that was not given before. A torn end is left where it is; any other
// damage is a [Fault] with its place. An error of f is returned as it is.
func (r *Reader) Replay(f func(engine.Stamped) error) error {
	return r.lines(func(records []byte) error {
		var stopped error
		err := decode(records, func(s engine.Stamped) error {
			r.events++
			stopped = f(s)
			return stopped
		})
		if err != nil && stopped == nil {
			return r.fault(err)
		}
		return err
	})
}

// check goes over the lines without decoding their events.
func (r *Reader) check() error { return r.lines(func([]byte) error { return nil }) }

func (r *Reader) lines(f func(records []byte) error) error {
	in := bufio.NewReaderSize(io.NewSectionReader(r.file, r.offset, math.MaxInt64-r.offset), 64<<10)
	var long []byte
	for {
		line, err := readLine(in, &long)
		if errors.Is(err, io.EOF) {
			if bytes.IndexByte(line, 0) >= 0 {
				return r.bad(errForm, line, in)
			}
			r.torn = int64(len(line))
			return nil
		}
		if err != nil {
			return &Fault{Doing: "read the journal", Path: r.path, Line: r.at.n + 1, Err: err}
		}
		records, next, err := r.at.check(line[:len(line)-1])
		if err != nil {
			return r.bad(err, line, in)
		}
		if err := f(records); err != nil {
			return err
		}
		if r.at = next; r.at.n == r.watch {
			r.watched = r.at.head
		}
		r.offset += int64(len(line))
	}
}

// readLine gives the next line with its newline, or what is left with io.EOF.
func readLine(in *bufio.Reader, long *[]byte) ([]byte, error) {
	line, err := in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	*long = append((*long)[:0], line...)
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = in.ReadSlice('\n')
		*long = append(*long, line...)
	}
	return *long, err
}

// bad tells a torn end from damage. A line that was cut short by a crash has no newline, which was
// seen before; or, when the file system had made room that it never filled, it has zero bytes. A line that
// was on the medium when one behind it was written was acknowledged, so losing it would lose an effect.
func (r *Reader) bad(why error, line []byte, in *bufio.Reader) error {
	if bytes.IndexByte(line, 0) < 0 {
		return r.fault(why)
	}
	torn := int64(0)
	var long []byte
	for {
		if r.outlived(line) {
			return r.fault(errors.New("the line is damaged, and there are good lines behind it"))
		}
		torn += int64(len(line))
		if len(line) == 0 || line[len(line)-1] != '\n' {
			r.torn = torn
			return nil
		}
		var err error
		if line, err = readLine(in, &long); err != nil && !errors.Is(err, io.EOF) {
			return r.fault(err)
		}
	}
}

// outlived tells whether something in this line, which is at or behind the first bad one, was written AFTER
// the bad one was on the medium. A hole may have eaten the end of one line and left the next whole.
func (r *Reader) outlived(line []byte) bool {
	for _, part := range bytes.FieldsFunc(line, func(c rune) bool { return c == 0 }) {
		if n, synced, ok := startOf(part); ok && synced > r.at.n && n > synced {
			return true
		}
		if r.at.format < 2 && wellFormed(bytes.TrimSuffix(part, []byte("\n"))) {
			return true
		}
	}
	return false
}

func (r *Reader) fault(err error) error {
	return &Fault{Doing: "trust the journal", Path: r.path, Line: r.at.n + 1, Err: err,
		Remedy: "nothing was changed; compare it with a copy, and do not resume the run before it is clear what happened"}
}

// Close ends the reading.
func (r *Reader) Close() error { return r.file.Close() }

// Report is what a check of a journal found.
type Report struct {
	Lines, Events int
	Bytes         int64
	Torn          int64  // bytes behind the last whole line
	Head          string // the hash that stands for the whole journal
}

// Verify checks every line and event.
func (r *Reader) Verify() (Report, error) {
	err := r.Replay(func(engine.Stamped) error { return nil })
	return Report{Lines: r.at.n, Events: r.events, Bytes: r.offset, Torn: r.torn, Head: r.at.head}, err
}
