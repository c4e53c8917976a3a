package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// Summary is what a list of runs says of one.
type Summary struct {
	ID       string
	Playbook string
	State    engine.RunState
	Reason   string
	Started  time.Time
	Finished time.Time // zero: not yet
	By       engine.Person
}

// errStop ends a replay early.
var errStop = errors.New("that is enough")

// Summary reads the beginning and the end of a journal. It checks no hashes; see [Reader.Verify]. A
// run that nobody drives and that says it is running was killed: it is interrupted.
func (s *Store) Summary(id string) (Summary, error) {
	sum := Summary{ID: id}
	d, err := s.existing(id)
	if err != nil {
		return sum, err
	}
	r, err := s.Read(id)
	if err != nil {
		return sum, err
	}
	defer func() { _ = r.Close() }() // it was only read
	begun := false
	err = r.Replay(func(e engine.Stamped) error {
		if started, ok := e.Event.(engine.RunStarted); ok {
			sum.Playbook, sum.Started, sum.By, begun = started.Playbook, started.Started, started.By, true
		}
		return errStop
	})
	if err != nil && !errors.Is(err, errStop) {
		return sum, err
	}
	if !begun {
		return sum, fmt.Errorf("run %s: %w", id, ErrNotBegun)
	}
	// The question comes BEFORE the look at the end: an owner that ends in between has written it.
	alive, err := s.Alive(id)
	if err != nil {
		return sum, err
	}
	f, err := d.OpenFile(inRun(id, journalFile), os.O_RDONLY, 0)
	if err != nil {
		return sum, err
	}
	last, err := lastRunEvent(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return sum, &Fault{Doing: "read the journal", Path: s.Folder(id, journalFile), Err: err}
	}
	switch e := last.Event.(type) {
	case engine.RunFinished:
		sum.State, sum.Reason, sum.Finished = e.State, e.Error, last.At
	case engine.RunPaused:
		sum.State, sum.Reason = e.State, e.Reason
	default:
		sum.State = engine.Running
	}
	switch {
	case sum.State == engine.Running && !alive:
		sum.State, sum.Reason = engine.Interrupted, "its process ended without a word"
	}
	return sum, nil
}

// lastRunEvent reads backwards from the end to the last line that says how the run as a whole stands.
func lastRunEvent(f File) (engine.Stamped, error) {
	size, err := f.Size()
	if err != nil {
		return engine.Stamped{}, err
	}
	block := make([]byte, 64<<10)
	var tail []byte // the bytes from offset on that are not judged yet
	for offset := size; ; {
		n := min(int64(len(block)), offset)
		offset -= n
		if _, err := f.ReadAt(block[:n], offset); err != nil && !errors.Is(err, io.EOF) {
			return engine.Stamped{}, err
		}
		tail = append(append([]byte(nil), block[:n]...), tail...)
		for {
			i := bytes.LastIndexByte(bytes.TrimSuffix(tail, []byte("\n")), '\n')
			if i < 0 && offset > 0 {
				break
			}
			if e, ok := runEventIn(tail[i+1:]); ok {
				return e, nil
			}
			if i < 0 {
				return engine.Stamped{}, nil
			}
			tail = tail[:i+1]
		}
	}
}

var runEventMark = []byte(`"event":"run_`)

func runEventIn(line []byte) (last engine.Stamped, found bool) {
	line = bytes.TrimSuffix(line, []byte("\n"))
	if !bytes.Contains(line, runEventMark) || !wellFormed(line) {
		return last, false
	}
	i := bytes.Index(line, []byte(`"records":`))
	if i < 0 {
		return last, false
	}
	err := decode(line[i+len(`"records":`):len(line)-tailSize], func(s engine.Stamped) error {
		switch s.Event.(type) {
		case engine.RunStarted, engine.RunResumed, engine.RunPaused, engine.RunFinished:
			last, found = s, true
		}
		return nil
	})
	return last, found && err == nil
}
