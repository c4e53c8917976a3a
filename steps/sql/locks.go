package sql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/handrail-dev/handrail/steps"
)

// Locks of runs that hold between hosts. A lock is a row; that belongs to a run, and nothing that ends frees it. Beside
// the rows a process that drives a run has a session lock named after the run: it shows that the process lives, and
// keeps a second one, on a host with a copy of the state folder, from driving the same run. The session lock goes with
// its connection, and may be had again: as long as the row has the fence that this process gave it, nobody else has had
// the lock in between.
//
// A transaction of a step in the same database holds the row, shared, until its COMMIT. So a process that sleeps and
// wakes up when its lock is another's commits nothing, however late it was looked.

// lockTableName is the table with the rows, in the target's own database.
const lockTableName = "handrail_locks"

// lockbook is what one run has.
type lockbook struct {
	c     *Conn
	owner steps.LockOwner
	said  string // the owner, as the rows have it
	table string // quoted, with its database

	mu   sync.Mutex
	s    *session         // that has the session lock; nil: none
	held map[string]int64 // lock to fence
}

// Locks opens the locks of the target.
func (*Kind) Locks(conn io.Closer, owner steps.LockOwner) (steps.Locks, error) {
	if _, several := conn.(*group); several {
		return nil, errors.New("locks are kept on one server, and this target has several addresses: name one of them as a target of its own")
	}
	c, ok := conn.(*Conn)
	if !ok {
		return nil, errors.New("the connection is not one to a database")
	}
	switch {
	case c.d.lockTable("") == "":
		return nil, fmt.Errorf("%s: this kind of database keeps no locks between hosts", c.where)
	case c.database == "":
		return nil, fmt.Errorf("%s: locks need a database: write it into the target's settings", c.where)
	}
	said, err := json.Marshal(owner)
	if err != nil {
		return nil, err
	}
	b := &lockbook{c: c, owner: owner, said: string(said), table: c.d.quote(c.database) + "." + c.d.quote(lockTableName), held: map[string]int64{}}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = append(c.kept, b)
	return b, nil
}

func (c *Conn) lockbooks() []*lockbook {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.kept)
}

func (b *lockbook) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop()
}

// drop lets go of the session, and of the session lock with it.
func (b *lockbook) drop() {
	if b.s == nil {
		return
	}
	b.s.unlock(context.Background())
	b.s.release()
	b.s = nil
}

// engineToken names the session lock of whoever drives a run.
func engineToken(run string) string { return "engine/" + run }

// inHand is a session lock that another connection has.
type inHand struct{ connection int64 }

func (i inHand) Error() string {
	return fmt.Sprintf("its connection %d is open", i.connection)
}

// drive gets the session lock, unless it is had. A connection of this very host and state folder that still has it is
// one of a process that is dead, since its journal is in our hands: mine says so, and it is ended.
func (b *lockbook) drive(ctx context.Context, mine bool) error {
	if b.s != nil && !b.s.lost {
		return nil
	}
	b.drop()
	s, err := b.engine(ctx, b.owner.Run, mine)
	if err == nil {
		b.s = s
	}
	return err
}

// engine is a new session that has the session lock of whoever drives a run.
func (b *lockbook) engine(ctx context.Context, run string, mine bool) (*session, error) {
	s, err := b.c.pin(ctx)
	if err != nil {
		return nil, err
	}
	token := engineToken(run)
	holder, err := s.holder(ctx, token)
	if err == nil && holder != 0 && holder != s.id {
		if !mine {
			err = inHand{holder}
		} else if err = b.c.kill(ctx, holder, true); is(err, rightsFault) {
			err = nil // it ends when the server notices; that is waited for
		}
	}
	if err == nil {
		within, cancel := context.WithTimeout(ctx, b.c.patience)
		defer cancel()
		err = s.lock(within, token)
	}
	if err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}

func (b *lockbook) rows(ctx context.Context, q queryer, where string, args ...any) ([]steps.HeldLock, error) {
	found, err := q.rows(ctx, "read the locks", b.c.d.own("SELECT name, fence, run, owner FROM "+b.table+where), args...)
	if is(err, absentFault) {
		return nil, nil
	}
	var out []steps.HeldLock
	for _, row := range found {
		var r steps.HeldLock
		if text := word(row[3]); text != "" {
			if err := json.Unmarshal([]byte(text), &r.LockOwner); err != nil {
				return nil, fmt.Errorf("%s: the lock %s in %s cannot be read: %w", b.c.where, word(row[0]), b.table, err)
			}
		}
		r.Lock, r.Fence, r.Run = word(row[0]), number(row[1]), word(row[2])
		out = append(out, r)
	}
	return out, err
}

// taken is the error about a lock that somebody else has.
func (b *lockbook) taken(ctx context.Context, s *session, r steps.HeldLock) error {
	if id, err := s.holder(ctx, engineToken(r.Run)); err == nil && id != 0 {
		r.Alive = inHand{id}.Error()
	}
	return &steps.LockTakenError{HeldLock: r}
}

// Look reads who has the locks.
func (b *lockbook) Look(ctx context.Context, names []string) ([]steps.HeldLock, error) {
	s, err := b.c.pin(ctx)
	if err != nil {
		return nil, err
	}
	defer s.release()
	all, err := b.rows(ctx, s, "")
	var out []steps.HeldLock
	for _, r := range all {
		if r.Run == "" || !slices.Contains(names, r.Lock) {
			continue
		}
		id, err := s.holder(ctx, engineToken(r.Run))
		if err != nil {
			return nil, err
		}
		if id != 0 {
			r.Alive = inHand{id}.Error()
		}
		out = append(out, r)
	}
	return out, err
}

// Take takes all of the locks in one transaction.
func (b *lockbook) Take(ctx context.Context, names []string, over func(steps.HeldLock) bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	if err := b.make(ctx); err != nil {
		return err
	}
	if err := b.driveFirst(ctx); err != nil {
		return err
	}
	for _, name := range names {
		_, err := b.s.exec(ctx, "make the lock "+name, b.c.d.own("INSERT INTO "+b.table+" (name, fence, run, owner) VALUES (?, ?, ?, ?)"+strings.Replace(b.c.d.keepFirst(), "(token)", "(name)", 1)), name, int64(0), "", "")
		if err != nil && !is(err, doubleFault) {
			b.drop()
			return err
		}
	}
	took, err := b.takeRows(ctx, names, over)
	if err != nil {
		if len(b.held) == 0 {
			b.drop() // nothing shows any more that this process has something in hand
		}
		return err
	}
	for name, fence := range took {
		b.held[name] = fence
	}
	return nil
}

// driveFirst gets the session lock. That another process has it is told as of the lock that it has.
func (b *lockbook) driveFirst(ctx context.Context) error {
	own, err := b.rows(ctx, b.c, " WHERE run = ?", b.owner.Run)
	if err != nil {
		return err
	}
	mine := len(own) > 0 && own[0].Host == b.owner.Host && own[0].State == b.owner.State
	err = b.drive(ctx, mine)
	var other inHand
	if errors.As(err, &other) && len(own) > 0 {
		own[0].Alive = other.Error()
		return &steps.LockTakenError{HeldLock: own[0]}
	}
	return err
}

func (b *lockbook) takeRows(ctx context.Context, names []string, over func(steps.HeldLock) bool) (map[string]int64, error) {
	s := b.s
	if _, err := s.exec(ctx, "begin to take locks", b.c.d.begin()); err != nil {
		return nil, err
	}
	took := map[string]int64{}
	for _, name := range names {
		var err error
		if took[name], err = b.takeRow(ctx, name, over); err != nil {
			return nil, errors.Join(err, s.rollback(ctx))
		}
	}
	if _, err := s.exec(ctx, "take the locks", "COMMIT"); err != nil {
		// It may have happened: what would be this run's for ever is given back.
		b.drop()
		return nil, errors.Join(err, b.giveBack(ctx, took))
	}
	return took, nil
}

func (b *lockbook) takeRow(ctx context.Context, name string, over func(steps.HeldLock) bool) (int64, error) {
	found, err := b.rows(ctx, b.s, " WHERE name = ?"+b.c.d.forUpdate(), name)
	switch {
	case err != nil:
		return 0, err
	case len(found) != 1:
		return 0, fmt.Errorf("%s: the row of the lock %s in %s is gone", b.c.where, name, b.table)
	case found[0].Run != "" && found[0].Run != b.owner.Run && (over == nil || !over(found[0])):
		return 0, b.taken(ctx, b.s, found[0])
	}
	fence := found[0].Fence + 1
	_, err = b.s.exec(ctx, "take the lock "+name, b.c.d.own("UPDATE "+b.table+" SET fence = ?, run = ?, owner = ? WHERE name = ?"), fence, b.owner.Run, b.said, name)
	return fence, err
}

// make makes the table, unless it is there.
func (b *lockbook) make(ctx context.Context) error {
	_, err := b.c.rows(ctx, "look for the table of locks", b.c.d.own("SELECT 1 FROM "+b.table+" WHERE name = ?"), "")
	if !is(err, absentFault) {
		return err
	}
	s, err := b.c.pin(ctx)
	if err != nil {
		return err
	}
	defer s.release()
	statement := b.c.d.lockTable(b.table)
	_, err = s.exec(ctx, "create the table of locks", statement)
	if is(err, rightsFault) {
		return fmt.Errorf("%w; let somebody who may create it: %s", err, statement)
	}
	if is(err, doubleFault) { // another process has made it in the same moment
		return nil
	}
	return err
}

// Held asks the rows, on the connection that has the session lock; or on a new one that could get it.
func (b *lockbook) Held(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.held) == 0 {
		return nil
	}
	within, cancel := context.WithTimeout(ctx, b.c.patience)
	defer cancel()
	for {
		err := b.check(within)
		var gone *steps.LockLostError
		if err == nil || errors.As(err, &gone) {
			return err
		}
		b.drop()
		if !pause(within, lockPause) {
			return fmt.Errorf("whether the locks of this run are still its own cannot be told: %w", err)
		}
	}
}

func (b *lockbook) check(ctx context.Context) error {
	err := b.drive(ctx, false)
	if errors.As(err, new(inHand)) {
		// As long as the rows are as this process left them, that is a connection of its own which the server takes to be open.
		if err = b.still(ctx, b.c, b.held, ""); err == nil {
			err = b.drive(ctx, true)
		}
	}
	if err != nil {
		return err
	}
	if id, err := b.s.holder(ctx, engineToken(b.owner.Run)); err != nil || id != b.s.id {
		b.s.lost = b.s.lost || err == nil // its session is not its own: there is a pooler in between
		return errors.Join(err, fmt.Errorf("%s: the session lock is not had", b.c.where))
	}
	return b.still(ctx, b.s, b.held, "")
}

// mine: this process has written it. The run and the fence do not say that: where a failover has lost the row as it was,
// another process of the run, with a copy of its state folder, has got the same fence.
func (b *lockbook) mine(r steps.HeldLock) bool {
	same := r.LockOwner
	same.Since = b.owner.Since
	return same == b.owner && r.Since.Equal(b.owner.Since)
}

// still reads the rows of what was taken; suffix says how.
func (b *lockbook) still(ctx context.Context, q queryer, held map[string]int64, suffix string) error {
	var names []any
	for _, name := range slices.Sorted(maps.Keys(held)) {
		names = append(names, name)
	}
	// By the key, so that no row of another lock is locked along.
	all, err := b.rows(ctx, q, " WHERE name IN (?"+strings.Repeat(", ?", len(names)-1)+")"+suffix, names...)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(held)) {
		i := slices.IndexFunc(all, func(r steps.HeldLock) bool { return r.Lock == name })
		if i < 0 {
			return &steps.LockLostError{Lock: name}
		}
		if r := all[i]; r.Fence != held[name] || !b.mine(r) {
			return &steps.LockLostError{Lock: name, Now: &r}
		}
	}
	return nil
}
