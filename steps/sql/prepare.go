package sql

import (
	"context"
	"errors"
	"fmt"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// seen is what Prepare leaves for Execute and for AFTER a crash.
type seen struct {
	markers  string // the database with the markers; empty: there are none
	identity string // which database that is
	leaky    string // why a rollback does not take everything back; empty: it does
}

func (s seen) value() engine.Value {
	return engine.Record{"markers": s.markers, "leaky": s.leaky, "identity": s.identity}
}

func seenOf(call engine.Call) seen {
	r, _ := call.Seen.(engine.Record)
	var s seen
	s.markers, _ = r["markers"].(string)
	s.leaky, _ = r["leaky"].(string)
	s.identity, _ = r["identity"].(string)
	return s
}

// recall is what Prepare saw, or, if its word is not there, where it would have put the marker.
func (c *Conn) recall(ctx context.Context, call engine.Call, list []written) (seen, error) {
	if call.Seen != nil || call.Class != engine.ClassTransactional {
		return seenOf(call), nil
	}
	home, _, err := c.footing(ctx, c, list)
	return seen{markers: home}, err
}

// unmarked refuses a transactional effect for which no place was found: without its marker a crash could
// repeat it.
func (s seen) unmarked(call engine.Call) error {
	if call.Class == engine.ClassTransactional && s.markers == "" {
		return fmt.Errorf("step %s is transactional, and it was not prepared: there is no place for its marker", call.Step)
	}
	return nil
}

// written is a statement with its arguments, as far as they are known.
type written struct {
	st *statement.Statement
	v  values
}

// takes says whether rows may be written here at all. A server that follows another one would refuse that only of a
// user without the rights of an administrator; of one with them it would be written to beside the one that it follows.
func (c *Conn) takes(ctx context.Context, q queryer) error {
	why, err := c.d.follows(ctx, q)
	if err != nil || why == "" {
		return err
	}
	return &fault{where: c.where, reach: notSent, sort: rightsFault,
		said: why + ", and so takes no writes; nothing was sent; let the target point to the primary, or name all the servers under `addresses`"}
}

// begins says whether the first of the statements that changes something writes rows or defines a table. What comes
// behind a change of the server itself is not held against how it is now.
func begins(list []written) bool {
	for _, w := range list {
		switch w.st.Class.Sort {
		case statement.Writes, statement.Defines:
			return true
		case statement.Reads:
		case statement.Calls, statement.Session, statement.Commits, statement.Control, statement.Other:
			return false
		}
	}
	return false
}

// prepare looks whether what is written can be committed together with a marker. An effect that the
// author calls idempotent needs none.
func (c *Conn) prepare(ctx context.Context, class engine.Class, list []written) (engine.Preparation, error) {
	if begins(list) {
		if err := c.takes(ctx, c); err != nil {
			return engine.Preparation{}, err
		}
	}
	home, why, err := c.footing(ctx, c, list)
	if err != nil {
		return engine.Preparation{}, err
	}
	if class == engine.ClassIdempotent {
		return engine.Preparation{Seen: seen{leaky: why}.value()}, nil
	}
	if why != "" {
		return engine.Preparation{Seen: seen{leaky: why}.value(), Class: engine.ClassUnrepeatable, Why: why}, nil
	}
	if home == "" {
		return engine.Preparation{}, fmt.Errorf("%s: no database is chosen, so there is no place for the marker of this step; give `database` in the target's settings, or write database.table", c.where)
	}
	if why, err = c.ensureMarkers(ctx, home); err != nil {
		return engine.Preparation{}, err
	}
	if why != "" {
		return engine.Preparation{Seen: seen{}.value(), Class: engine.ClassUnrepeatable, Why: why}, nil
	}
	id, err := c.known(ctx, home)
	return engine.Preparation{Seen: seen{markers: home, identity: id}.value()}, err
}

// footing finds the database that is written, and why a rollback would not take back everything: a
// table without transactions among the written ones, or one that hidden code might write.
func (c *Conn) footing(ctx context.Context, q queryer, list []written) (home, why string, err error) {
	database, hidden := c.database, ""
	for _, w := range list {
		class := w.st.Class
		switch class.Sort {
		case statement.Calls:
			hidden = class.Verb + " runs code that is not seen here"
			continue
		case statement.Session:
			if class.Verb == "USE" {
				database = used(w.st)
			}
			continue
		case statement.Writes:
		case statement.Defines:
			if !c.d.ddlRollsBack() {
				continue
			}
		case statement.Reads, statement.Commits, statement.Control, statement.Other:
			continue
		}
		if len(class.Code) > 0 {
			hidden = "it calls " + class.Code[0] + ", which may write"
		}
		names, known := c.targets(w.st, w.v, database)
		if !known {
			hidden = "the table that it writes is not known yet"
			continue
		}
		for _, n := range names {
			if home == "" {
				home = n.Schema
			}
			facts, err := c.facts(ctx, q, n)
			switch {
			case err != nil:
				return "", "", err
			case facts.leaky:
				return home, fmt.Sprintf("table %s is of engine %s, which keeps no transactions", n, facts.engine), nil
			case facts.view:
				hidden = fmt.Sprintf("%s is a view on other tables", n)
			case len(facts.triggersOn(event(class.Verb))) > 0:
				hidden = fmt.Sprintf("table %s has the trigger %s", n, facts.triggersOn(event(class.Verb))[0])
			}
		}
	}
	if home == "" {
		home = database
	}
	if hidden != "" && home != "" {
		why, err = c.mightLeak(ctx, q, home, hidden)
	}
	return home, why, err
}

// used is the database of a USE.
func used(st *statement.Statement) string {
	if len(st.Tokens) < 2 {
		return ""
	}
	return st.Tokens[1].Text
}

// event is what a trigger calls the statement.
func event(verb string) string {
	if verb == "REPLACE" || verb == "LOAD DATA" || verb == "COPY" {
		return "INSERT"
	}
	return verb
}

// mightLeak: code that is not seen may write any table of the database.
func (c *Conn) mightLeak(ctx context.Context, q queryer, database, hidden string) (string, error) {
	c.mu.Lock()
	leaks, ok := c.leaks[database]
	c.mu.Unlock()
	if !ok {
		var err error
		if leaks, err = c.d.leaky(ctx, q, database); err != nil {
			return "", err
		}
		c.mu.Lock()
		c.leaks[database] = leaks
		c.mu.Unlock()
	}
	if len(leaks) == 0 {
		return "", nil
	}
	return fmt.Sprintf("%s, and database %s has %s, which keeps no transactions", hidden, database, leaks[0]), nil
}

// facts are those of a table; asked once, until something may have changed them.
func (c *Conn) facts(ctx context.Context, q queryer, n statement.Name) (tableFacts, error) {
	key := n.Schema + "\x00" + n.Table
	c.mu.Lock()
	f, ok := c.tables[key]
	c.mu.Unlock()
	if !ok {
		var err error
		if f, err = c.d.look(ctx, q, n); err != nil {
			return f, err
		}
	}
	if err := c.sawTable(ctx, q, n, &f); err != nil {
		return f, err
	}
	if f.there {
		c.mu.Lock()
		c.tables[key] = f
		c.mu.Unlock()
	}
	return f, nil
}

// ensureMarkers sees to it that the database has a table of markers that can be written, and says why
// it cannot have one. It is asked of the server once.
func (c *Conn) ensureMarkers(ctx context.Context, database string) (string, error) {
	c.mu.Lock()
	why, ok := c.marked[database]
	c.mu.Unlock()
	if ok {
		return why, nil
	}
	s, err := c.pin(ctx)
	if err != nil {
		return "", err
	}
	defer s.release()
	if err = c.tryMarkers(ctx, s, database); err == nil {
		err = c.christen(ctx, s, database)
	}
	var no *fault
	switch {
	case err == nil:
	case is(err, rightsFault) && errors.As(err, &no):
		why = fmt.Sprintf("there can be no markers in database %s: %s: %s", database, no.doing, no.said)
	default:
		return "", err
	}
	c.mu.Lock()
	c.marked[database] = why
	c.mu.Unlock()
	return why, nil
}

// tryMarkers creates the table if it is not there, and writes a row that is taken back.
func (c *Conn) tryMarkers(ctx context.Context, s *session, database string) error {
	table := statement.Name{Schema: database, Table: markerTableName}
	f, err := c.d.look(ctx, s, table)
	if err != nil {
		return err
	}
	if !f.there {
		_, made := s.exec(ctx, "create the table of markers", c.d.markerTable(c.markerName(database)))
		if made != nil && s.lost {
			return made
		}
		if f, err = c.d.look(ctx, s, table); err != nil {
			return err
		}
		if made != nil && !f.there { // else somebody else was quicker
			return made
		}
	}
	if f.leaky {
		return &fault{where: c.where, doing: "look at the table of markers", reach: refused, sort: rightsFault,
			said: fmt.Sprintf("%s is of engine %s, which keeps no transactions; make it InnoDB", table, f.engine)}
	}
	if _, err := s.exec(ctx, "begin a transaction", c.d.begin()); err != nil {
		return err
	}
	m := &markers{c: c, table: c.markerName(database), token: "rights of Handrail, " + pointName()}
	tried := m.begin(ctx, s, "", false).broken
	if tried == nil {
		tried = m.set(ctx, s, stateBegun, "", stateBegun)
	}
	if _, err := s.exec(context.WithoutCancel(ctx), "take the trial of the markers back", "ROLLBACK"); err != nil {
		s.spoiled = true
		return errors.Join(tried, err)
	}
	return tried
}
