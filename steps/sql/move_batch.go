package sql

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

const (
	// stretchBatches is how many batches of rows are looked through at most by one statement, so that none
	// reads a whole table because few rows match.
	stretchBatches = 20
	// mostKeyParts bounds the values in a condition on keys: a server gives up on an index when there are too
	// many, and would lock every row.
	mostKeyParts = 20_000
	// batchTries is how often a batch is made that gives way to others.
	batchTries = 10
	firstPause = 100 * time.Millisecond
	mostPause  = 5 * time.Second
)

// size is how many rows the next batch has at most; 0: the limit is reached.
func (o *mover) size() int64 {
	n := min(o.batch, mostKeyParts/int64(len(o.r.columns)))
	if o.limit > 0 {
		n = min(n, o.limit-o.at.moved)
	}
	return max(n, 0)
}

// batchOf moves the next rows. more is false at the end of the table.
func (o *mover) batchOf(ctx context.Context) (more bool, err error) {
	n := o.size()
	for {
		if n == 0 || o.at.upto == nil || o.at.after != nil && samePlace(o.at.after, o.at.upto) {
			return false, nil
		}
		if o.leaves() {
			return true, nil
		}
		if o.bound == nil {
			if o.bound, err = o.stretch(ctx); err != nil {
				return false, err
			}
		}
		places, err := o.find(ctx, n)
		if err != nil {
			return false, err
		}
		if len(places) == 0 {
			o.at.after, o.bound = o.bound, nil
			continue
		}
		to := places[len(places)-1]
		if int64(len(places)) < n {
			to, o.bound = o.bound, nil
		}
		return true, o.firmly(ctx, places, to)
	}
}

// places asks for the keys of rows.
func (o *mover) places(ctx context.Context, doing string, f *fragment) ([]place, error) {
	rows, err := o.s.rows(ctx, doing, o.s.c.d.inOrder(f.text.String()), f.args...)
	if err != nil {
		return nil, err
	}
	out := make([]place, len(rows))
	for i, row := range rows {
		p := make(place, len(row))
		for n, v := range row {
			if u, ok := v.(uint64); ok && u <= math.MaxInt64 {
				v = int64(u)
			}
			p[n] = v
		}
		out[i] = p
	}
	return out, nil
}

// walk begins a statement that reads the table in the order of the key, from behind the last place on.
func (o *mover) walk(upto place) *fragment {
	f := (&fragment{}).add("SELECT " + o.r.keyList() + " FROM " + o.r.quoted(o.r.from) + o.s.c.d.walkBy(o.r.key) + " WHERE ")
	f.beyond(o.r.columns, "<=", upto)
	if o.at.after != nil {
		f.add(" AND ")
		f.beyond(o.r.columns, ">", o.at.after)
	}
	return f
}

// last is the last place that is in the table now.
func (o *mover) last(ctx context.Context) (place, error) {
	f := (&fragment{}).add("SELECT " + o.r.keyList() + " FROM " + o.r.quoted(o.r.from) + o.s.c.d.walkBy(o.r.key) + o.r.order(" DESC") + " LIMIT 1")
	found, err := o.places(ctx, "look for the end of "+o.r.from.String(), f)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found[0], nil
}

// stretch finds how far the next statements may look.
func (o *mover) stretch(ctx context.Context) (place, error) {
	f := o.walk(o.at.upto).add(o.r.order("") + fmt.Sprintf(" LIMIT 1 OFFSET %d", stretchBatches*o.batch-1))
	found, err := o.places(ctx, "look ahead in "+o.r.from.String(), f)
	if err != nil || len(found) == 0 {
		return o.at.upto, err
	}
	return found[0], nil
}

// find looks for the next rows that match, without locking any.
func (o *mover) find(ctx context.Context, n int64) ([]place, error) {
	f := o.walk(o.bound).add(" AND ").rendered(o.cond).add(o.r.order("") + fmt.Sprintf(" LIMIT %d", n))
	return o.places(ctx, "look for rows of "+o.r.from.String(), f)
}

// changed says that rows did not match any more when they were to be copied.
type changed struct{}

func (changed) Error() string { return "rows were changed meanwhile" }

// firmly moves the rows at these places, again and again while others are in its way.
func (o *mover) firmly(ctx context.Context, places []place, to place) error {
	careful := false
	wait := firstPause
	for try := 1; ; {
		err := o.transaction(ctx, places, to, careful)
		var meanwhile changed
		switch {
		case err == nil:
			return nil
		case errors.As(err, &meanwhile):
			careful = true
			continue
		case !is(err, busyFault) || o.s.lost || try == batchTries || ctx.Err() != nil || o.leaves():
			return err
		}
		if _, out := fmt.Fprintf(o.env.Output(), "gave way AFTER %d rows, and tries again: %v\n", o.at.moved, err); out != nil {
			return out
		}
		if !o.wait(ctx, wait) {
			return err
		}
		wait, try = min(2*wait, mostPause), try+1
	}
}

// transaction is one batch: the marker, the copies, the removals, COMMIT. Rows that do not match any more
// are left where they are: careful locks them first, one by one if need be, and moves those that still do.
// Otherwise the copying locks them, and [changed] says that they were fewer than were found.
func (o *mover) transaction(ctx context.Context, places []place, to place, careful bool) error {
	if _, err := o.s.exec(ctx, "begin a batch", o.s.c.d.begin()); err != nil {
		return err
	}
	next, text, err := o.change(ctx, places, to, careful)
	if err != nil {
		if !o.s.lost {
			_ = o.s.rollback(ctx) // if it fails the connection is lost, and that ends the transaction too
		}
		return err
	}
	return o.commit(ctx, next, text)
}

// change does what a batch commits.
func (o *mover) change(ctx context.Context, places []place, to place, careful bool) (progress, string, error) {
	next := o.at
	err := o.s.c.fenced(ctx, o.s)
	if err != nil {
		return next, "", err
	}
	if careful {
		if places, err = o.lockRows(ctx, places); err != nil {
			return next, "", err
		}
	}
	next.after, next.moved = to, next.moved+int64(len(places))
	if len(places) > 0 {
		next.batches++
	}
	text, err := encode(next.record())
	if err == nil {
		err = o.advance(ctx, text)
	}
	if err == nil && len(places) > 0 {
		if err = o.copyRows(ctx, places, careful); err == nil {
			err = o.removeRows(ctx, places)
		}
	}
	return next, text, err
}

// lockRows locks those of the rows that still match.
func (o *mover) lockRows(ctx context.Context, places []place) ([]place, error) {
	f := (&fragment{}).add("SELECT " + o.r.keyList() + " FROM " + o.r.quoted(o.r.from) + o.s.c.d.walkBy(o.r.key) + " WHERE ")
	f.among(o.r.columns, places)
	f.add(" AND ").rendered(o.cond).add(o.r.order("") + o.s.c.d.forUpdate())
	return o.places(ctx, "lock rows of "+o.r.from.String(), f)
}

// advance writes into the marker how far this batch comes, if nobody has changed it meanwhile.
func (o *mover) advance(ctx context.Context, text string) error {
	if err := o.s.kept(ctx); err != nil {
		return err
	}
	done, err := o.s.exec(ctx, "write the marker of this step", o.s.c.d.own("UPDATE "+o.mark.table+" SET result = ?, epoch = ?, at = ? WHERE token = ? AND state = ? AND epoch <= ? AND result = ?"),
		text, int64(o.mark.epoch), markerTime(), o.mark.key(), string(statePart), int64(o.mark.epoch), o.text)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 1 {
		return err
	}
	now, err := o.mark.read(ctx, o.s)
	switch {
	case err != nil:
		return err
	case now.epoch > int64(o.mark.epoch):
		return o.takenOver(now.epoch)
	}
	return fmt.Errorf("%s: the marker of this step was changed by somebody else meanwhile; this batch was not moved", o.s.c.where)
}

func (o *mover) copyRows(ctx context.Context, places []place, locked bool) error {
	r, d := o.r, o.s.c.d
	list := r.carriedList()
	f := (&fragment{}).add("INSERT INTO " + r.quoted(r.to) + " (" + list + ")" + d.insertAs() + " SELECT " + list + " FROM " + r.quoted(r.from) + d.walkBy(r.key) + " WHERE ")
	f.among(r.columns, places)
	if !locked {
		f.add(" AND ").rendered(o.cond)
	}
	f.add(d.forUpdate())
	n, err := o.affected(ctx, "copy rows of "+r.from.String()+" to "+r.to.String(), f)
	switch want := int64(len(places)); {
	case err != nil || n == want:
		return err
	case n < want && !locked:
		return changed{}
	default:
		return fmt.Errorf("%s: %d rows of %s were to be copied to %s, and the server says %d; the batch was taken back", o.s.c.where, want, r.from, r.to, n)
	}
}

func (o *mover) removeRows(ctx context.Context, places []place) error {
	r := o.r
	f := (&fragment{}).add(o.s.c.d.removeByKey(r.quoted(r.from), r.key) + " WHERE ")
	f.among(r.columns, places)
	n, err := o.affected(ctx, "remove rows of "+r.from.String(), f)
	if want := int64(len(places)); err == nil && n != want {
		return fmt.Errorf("%s: %d rows of %s were copied, and %d were removed; the batch was taken back. Does a trigger or a foreign key change the table itself?", o.s.c.where, want, r.from, n)
	}
	return err
}

func (o *mover) affected(ctx context.Context, doing string, f *fragment) (int64, error) {
	done, err := o.s.exec(ctx, doing, o.s.c.d.inOrder(f.text.String()), f.args...)
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}

// unknownBatch: nobody could be asked whether the last batch was committed.
type unknownBatch struct {
	cause    error
	evidence []string
}

func (u unknownBatch) Error() string { return u.cause.Error() }
func (u unknownBatch) Unwrap() error { return u.cause }

// commit ends a batch. Nothing stops it: whether a COMMIT that was interrupted has happened would have to
// be found out all the same.
func (o *mover) commit(ctx context.Context, next progress, text string) error {
	if err := ctx.Err(); err != nil {
		_ = o.s.rollback(ctx)
		return o.s.c.notSent("commit", err)
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.s.c.patience)
	defer cancel()
	_, err := o.s.conn.ExecContext(bounded, "COMMIT")
	if err == nil {
		o.mark.committed()
		o.at, o.text = next, text
		return nil
	}
	err = o.s.c.faultOf("commit a batch", err)
	if !o.s.c.holds() && reachOf(err) == refused { // SQLite leaves the transaction open
		_ = o.s.rollback(ctx)
		return err
	}
	o.s.lost = true // its state is not known
	m, asked := o.s.c.askMarker(ctx, o.mark, o.env.Call.Token, o.s.id, func(m marker) bool { return m.result == text })
	switch {
	case asked != nil:
		return unknownBatch{err, []string{"the marker could not be asked: " + asked.Error()}}
	case m.epoch > int64(o.mark.epoch):
		return o.takenOver(m.epoch) // and whoever did so has gone on from whatever was committed
	case m.result == text:
		o.at, o.text = next, text
	case m.result != o.text:
		return unknownBatch{err, []string{fmt.Sprintf("%s: the marker in %s is not as this attempt has left it, and not as its last batch would: %s", o.s.c.where, o.mark.table, m.result)}}
	}
	return err
}
