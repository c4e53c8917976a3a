package sql

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/handrail-dev/handrail/engine"
)

// markerTableName is the table that says which effects have happened. It lives in the database that is
// written, so that a restore of that takes it along.
const markerTableName = "handrail_markers"

// markerColumns are those by which it is known. Somebody else may have a table of that name, and it must stop nobody's resume.
const markerColumns = "'token', 'epoch', 'state', 'result'"

// state is what a marker says. Only done proves anything.
type state string

// The states of a marker. Begun alone is what a commit leaves that came before the end. Fenced was
// written by an engine that found nothing: an older one that wakes up finds it and stops.
const (
	stateNone   state = ""
	stateBegun  state = "begun"
	stateDone   state = "done"
	stateFenced state = "fenced"
	// statePart is that of an effect made of parts; its result says which of them are committed.
	statePart state = "part"
)

// marker is the row of one token.
type marker struct {
	state  state
	epoch  int64
	result string
}

// markers is where one token's marker is.
type markers struct {
	c     *Conn
	table string // quoted, with its database
	token string
	epoch int
}

func (c *Conn) markerName(database string) string {
	return c.d.quote(database) + "." + c.d.quote(markerTableName)
}

// maxToken is how long a token may be in the table.
const maxToken = 255

// key is the token as it stands in the table: a long one is told by its digest.
func (m *markers) key() any {
	t := m.token
	if len(t) > maxToken {
		sum := sha256.Sum256([]byte(t))
		end := hex.EncodeToString(sum[:])
		t = t[:maxToken-len(end)-1] + "~" + end
	}
	return m.c.d.token(t)
}

func markerTime() string { return time.Now().UTC().Format("2006-01-02 15:04:05.000000") }

// read gives the marker; state none when there is none, or no table.
func (m *markers) read(ctx context.Context, s *session) (marker, error) {
	return m.readWith(ctx, s, "")
}

func (m *markers) readWith(ctx context.Context, s *session, suffix string) (marker, error) {
	rows, err := s.rows(ctx, "read the marker of this step", m.c.d.own("SELECT state, epoch, result FROM "+m.table+" WHERE token = ?"+suffix), m.key())
	if is(err, absentFault) {
		return marker{}, nil
	}
	if err != nil || len(rows) == 0 {
		return marker{}, err
	}
	return marker{state: state(word(rows[0][0])), epoch: number(rows[0][1]), result: word(rows[0][2])}, nil
}

// found is what stands in the way of beginning.
type found struct {
	done   *marker
	begun  *marker
	newer  int64 // the epoch of an engine that took the run over
	broken error
}

// begin writes the marker, state begun, as the first thing of a transaction. A row that is there
// already says what was before. note is kept in it, to tell this attempt's row from an older one's.
func (m *markers) begin(ctx context.Context, s *session, note string, again bool) found {
	if err := s.kept(ctx); err != nil {
		return found{broken: err}
	}
	there, err := m.insert(ctx, s, "write the marker of this step", stateBegun, note)
	if err != nil {
		return found{broken: err}
	}
	if !there {
		return found{}
	}
	old, err := m.readWith(ctx, s, m.c.d.forUpdate())
	switch {
	case err != nil:
		return found{broken: err}
	case old.epoch > int64(m.epoch):
		return found{newer: old.epoch}
	case old.state == stateDone:
		return found{done: &old}
	case old.state == stateBegun && again:
		return found{begun: &old}
	}
	err = m.set(ctx, s, stateBegun, note, old.state)
	if err != nil {
		return found{broken: err}
	}
	return found{}
}

// insert writes the row, and says whether there was one.
func (m *markers) insert(ctx context.Context, s *session, doing string, as state, result any) (there bool, err error) {
	done, err := s.exec(ctx, doing, m.c.d.own("INSERT INTO "+m.table+" (token, epoch, state, result, at) VALUES (?, ?, ?, ?, ?)"+m.c.d.keepFirst()),
		m.key(), int64(m.epoch), string(as), result, markerTime())
	if is(err, doubleFault) {
		return true, nil
	}
	if err != nil || m.c.d.keepFirst() == "" {
		return false, err
	}
	n, err := done.RowsAffected()
	return n == 0, err
}

// set changes the marker's state, if it is the one that is expected and of no newer epoch.
func (m *markers) set(ctx context.Context, s *session, to state, result string, from state) error {
	done, err := s.exec(ctx, "write the marker of this step", m.c.d.own("UPDATE "+m.table+" SET state = ?, epoch = ?, result = ?, at = ? WHERE token = ? AND state = ? AND epoch <= ?"),
		string(to), int64(m.epoch), result, markerTime(), m.key(), string(from), int64(m.epoch))
	if err != nil {
		return err
	}
	n, err := done.RowsAffected()
	if err == nil && n != 1 {
		err = errors.New("the marker of this step was changed by somebody else meanwhile")
		if now, asked := m.read(ctx, s); asked == nil && now.epoch > int64(m.epoch) {
			err = fmt.Errorf("this run was taken over by another engine (its turn %d, this one's %d)", now.epoch, m.epoch)
		}
	}
	if err != nil {
		return &fault{where: m.c.where, doing: "write the marker of this step", reach: refused, said: err.Error(), cause: err}
	}
	return nil
}

// fence leaves a row where there was none, so that an older engine that is only paused, not dead, finds
// it when it wakes up. That it could not be left changes no verdict.
func (m *markers) fence(ctx context.Context, s *session) error {
	_, err := m.insert(ctx, s, "fence off older attempts", stateFenced, nil)
	if is(err, absentFault) || is(err, rightsFault) {
		return nil
	}
	return err
}

// encode is a result as a marker holds it.
func encode(r engine.Record) (string, error) {
	v, err := engine.Normalize(r)
	if err != nil {
		return "", err
	}
	b, err := engine.AppendValue(nil, v)
	return string(b), err
}

// decodeResult reads it back. The result of a sensitive step was not kept.
func decodeResult(text string) (engine.Record, error) {
	if text == "" {
		return nil, nil
	}
	v, err := engine.DecodeValue([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("the result in the marker cannot be read: %w", err)
	}
	r, ok := v.(engine.Record)
	if !ok {
		return nil, errors.New("the result in the marker is no record")
	}
	return r, nil
}
