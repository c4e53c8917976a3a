package sql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// counter finds out by reading how many rows statements would change.
type counter struct {
	c       *Conn
	env     *steps.Env
	changed map[string]string // by table: the statement before that changes it
	blurred string            // a statement before that may change anything
	locals  engine.Record
	keys    map[statement.Name][]string
	sizes   []engine.Figure   // of the tables that are changed
	lacking map[string]string // what the user may not do, by table and rights; empty: nothing is in the way
}

// look adds what is to be said of one statement.
func (n *counter) look(ctx context.Context, e entry, all engine.Record, one bool, impact *engine.Impact) error {
	own, _ := e.args.(engine.Record)
	v := values{path: argsPath(e.path), own: own, all: all}
	impact.Details = append(impact.Details, detailsOf(n.env, e, v)...)
	class := e.st.Class
	if class.NoWhere {
		impact.Warnings = append(impact.Warnings, n.label(e, one)+class.Verb+" has no WHERE: it takes every row of the table")
	}
	if err := n.privileges(ctx, e, v, impact); err != nil {
		return err
	}
	if err := n.means(ctx, e, v, impact); err != nil {
		return err
	}
	switch class.Sort {
	case statement.Reads, statement.Session:
		return nil
	case statement.Writes:
		return n.write(ctx, e, v, one, impact)
	case statement.Defines:
		n.blurred = shortDoing(e)
		return n.define(ctx, e, v, impact)
	case statement.Calls, statement.Commits, statement.Control, statement.Other:
	}
	n.blurred = shortDoing(e)
	why := "what it does cannot be told without doing it"
	if class.Why != "" {
		why += ": " + class.Why
	}
	impact.Figures = append(impact.Figures, engine.Figure{Name: n.figure(e, one), Why: why})
	return nil
}

func (n *counter) label(e entry, one bool) string {
	if one {
		return ""
	}
	return e.path + ": "
}

func (n *counter) figure(e entry, one bool) string {
	if one {
		return "rows"
	}
	return "rows, " + e.doing()
}

// define says what is known of the tables that DDL is about.
func (n *counter) define(ctx context.Context, e entry, v values, impact *engine.Impact) error {
	names, _ := n.c.targets(e.st, v, n.c.database)
	for _, name := range names {
		f, err := n.c.facts(ctx, n.c, name)
		if err != nil {
			return err
		}
		impact.Facts = append(impact.Facts, engine.Fact{Name: "table " + name.String(), Value: said(f)})
	}
	return nil
}

func said(f tableFacts) string {
	switch {
	case !f.there:
		return "is not there"
	case f.view:
		return "is there, a view"
	case f.rows < 0:
		return "is there, " + f.engine
	}
	return fmt.Sprintf("is there, %s, about %d rows", f.engine, f.rows)
}

// write counts the rows of an INSERT, UPDATE or DELETE.
func (n *counter) write(ctx context.Context, e entry, v values, one bool, impact *engine.Impact) error {
	names, known := n.c.targets(e.st, v, n.c.database)
	var doubts []string
	var parents []statement.Name // from which a DELETE is carried on
	for _, name := range names {
		f, err := n.c.facts(ctx, n.c, name)
		if err != nil {
			return err
		}
		n.size(name, f)
		var cascades []string
		if event(e.st.Class.Verb) != "INSERT" || e.st.Class.Verb == "REPLACE" {
			if cascades, err = n.cascades(ctx, name); err != nil {
				return err
			}
		}
		if slices.ContainsFunc(cascades, func(k string) bool { return strings.HasPrefix(k, "DELETE ") }) {
			parents = append(parents, name)
		}
		d, warnings := n.doubtsOf(name, f, cascades, e.st.Class)
		doubts = append(doubts, d...)
		for _, w := range warnings {
			impact.Warnings = append(impact.Warnings, n.label(e, one)+w)
		}
	}
	figure, err := n.count(ctx, e, v)
	figure.Name = n.figure(e, one)
	if err != nil {
		return err
	}
	if !known {
		doubts = append(doubts, "its table is not known yet")
	}
	if figure.Certainty == engine.FigureExact && len(doubts) > 0 {
		figure.Certainty, figure.Why = engine.FigureEstimate, doubts[0]
	}
	impact.Figures = append(impact.Figures, figure)
	for _, name := range parents {
		if err := n.carried(ctx, e, v, name, n.label(e, one), impact); err != nil {
			return err
		}
	}
	for _, name := range names {
		n.changed[strings.ToLower(name.String())] = shortDoing(e)
	}
	return nil
}

// cascades are what a change of a table does to others; asked once.
func (n *counter) cascades(ctx context.Context, name statement.Name) ([]string, error) {
	if had, ok := n.keys[name]; ok {
		return had, nil
	}
	found, err := n.c.d.cascades(ctx, n.c, name)
	if err == nil {
		n.keys[name] = found
	}
	return found, err
}

// doubtsOf are why a count on a table is no more than an estimate, and what a person should know.
func (n *counter) doubtsOf(name statement.Name, f tableFacts, cascades []string, class statement.Class) (doubts, warnings []string) {
	if by, ok := n.changed[strings.ToLower(name.String())]; ok {
		doubts = append(doubts, by+" before it changes the table")
	} else if n.blurred != "" {
		doubts = append(doubts, n.blurred+" before it may change the table")
	}
	if f.leaky {
		warnings = append(warnings, fmt.Sprintf("table %s is of engine %s, which keeps no transactions: a failure may leave a part of the change", name, f.engine))
	}
	if f.volatile {
		warnings = append(warnings, fmt.Sprintf("table %s is unlogged: a crash of the server empties it, also of what was committed", name))
	}
	if f.view {
		doubts = append(doubts, name.String()+" is a view")
	}
	for _, g := range f.triggersOn(event(class.Verb)) {
		doubts = append(doubts, "the trigger "+g+" may change more")
		warnings = append(warnings, fmt.Sprintf("the trigger %s on %s is fired", g, name))
	}
	for _, k := range cascades {
		if on, table, _ := strings.Cut(k, " "); on == class.Verb || class.Verb == "REPLACE" {
			doubts = append(doubts, "a foreign key carries the change on to "+table)
			warnings = append(warnings, "a foreign key carries the change on to "+table)
		}
	}
	return doubts, slices.Compact(warnings)
}

// count is how many rows the statement finds now.
func (n *counter) count(ctx context.Context, e entry, v values) (engine.Figure, error) {
	change := e.st.Class.Change
	if own, err := lateRecord(e.args, n.locals, v.path); err == nil {
		v.own = own
	} else if change.Rows == 0 {
		return engine.Figure{Why: notYet(err)}, nil
	}
	switch {
	case change.Rows > 0 && change.Plain:
		return engine.Figure{Value: int64(change.Rows), Certainty: engine.FigureExact}, nil
	case change.Rows > 0:
		return engine.Figure{Value: int64(change.Rows), Certainty: engine.FigureEstimate, Why: "rows that are there already are handled by the statement itself"}, nil
	case len(e.st.Class.Code) > 0:
		return engine.Figure{Why: fmt.Sprintf("it calls %s, which is not known to read only", e.st.Class.Code[0])}, nil
	case e.st.Tokens[0].Upper == "WITH":
		return engine.Figure{Why: "a change that begins with WITH is not counted"}, nil
	case !change.Select.Empty():
		f, err := n.ofQuery(ctx, e.st, change.Select, v)
		if f.Certainty == engine.FigureExact {
			f.Certainty, f.Why = engine.FigureEstimate, "as many as its SELECT brings now"
		}
		return f, err
	case change.Target.Empty():
		return engine.Figure{Why: "it cannot be counted without doing it"}, nil
	}
	return n.ofChange(ctx, e.st, change, v)
}

func notYet(err error) string {
	if u, ok := unknownOfArgs(err); ok {
		return u.Error()
	}
	return "its arguments come from an earlier statement: " + err.Error()
}

// ofQuery counts the rows of a SELECT.
func (n *counter) ofQuery(ctx context.Context, st *statement.Statement, piece statement.Span, v values) (engine.Figure, error) {
	r, err := n.c.render(ctx, n.c, st, piece, v)
	if err != nil {
		return n.unrendered(err)
	}
	return n.ask(ctx, rendered{text: "SELECT COUNT(*) FROM (" + r.text + ") AS handrail_rows", args: r.args}, r)
}

// ofChange counts the rows that the WHERE of an UPDATE or DELETE finds.
func (n *counter) ofChange(ctx context.Context, st *statement.Statement, change *statement.Change, v values) (engine.Figure, error) {
	var all rendered
	for i, piece := range []statement.Span{change.Target, change.From, change.Where, change.Limit} {
		if piece.Empty() {
			continue
		}
		if i == 1 {
			all.text += ","
		}
		r, err := n.c.render(ctx, n.c, st, piece, v)
		if err != nil {
			return n.unrendered(err)
		}
		all.text += " " + r.text
		all.args = append(all.args, r.args...)
	}
	one := rendered{text: "SELECT 1 FROM" + all.text, args: all.args}
	ask := rendered{text: "SELECT COUNT(*) FROM" + all.text, args: all.args}
	if !change.Limit.Empty() {
		ask.text = "SELECT COUNT(*) FROM (" + one.text + ") AS handrail_rows"
	}
	f, err := n.ask(ctx, ask, one)
	if err != nil || f.Certainty != engine.FigureExact {
		return f, err
	}
	switch {
	case !change.Single:
		f.Certainty, f.Why = engine.FigureEstimate, "several tables are joined; a row may be found more than once"
	case !change.Limit.Empty():
		f.Certainty, f.Why = engine.FigureEstimate, "LIMIT takes any of the rows"
	case !change.Plain:
		f.Certainty, f.Why = engine.FigureEstimate, "the statement itself may leave rows out"
	}
	return f, nil
}

// unrendered: arguments that are not known yet make the figure unknown; what is wrong with them ends
// the preview.
func (n *counter) unrendered(err error) (engine.Figure, error) {
	if u, ok := unknownOfArgs(err); ok {
		return engine.Figure{Name: "rows", Why: u.Error()}, nil
	}
	return engine.Figure{}, err
}

// ask counts; when that takes too long, the server's own estimate has to do.
func (n *counter) ask(ctx context.Context, r, plain rendered) (engine.Figure, error) {
	f := engine.Figure{Name: "rows"}
	rows, err := n.bounded(ctx, r)
	var no refusal
	switch {
	case err == nil && len(rows) == 1:
		f.Value, f.Certainty = number(rows[0][0]), engine.FigureExact
		return f, nil
	case errors.As(err, &no):
		f.Why = no.why
		return f, nil
	case is(err, stopped) && ctx.Err() == nil:
		return n.estimate(ctx, plain)
	case is(err, absentFault) && n.blurred != "":
		f.Why = n.blurred + " before it may make the table"
		return f, nil
	case is(err, earlyFault), err == nil:
		f.Why = "it could not be counted"
		if err != nil {
			f.Why += ": " + err.Error()
		}
		return f, nil
	}
	return f, err
}

// bounded counts for as long as the server works on one statement of a dry-run. SQLite has no such bound of its own.
func (n *counter) bounded(ctx context.Context, r rendered) ([][]any, error) {
	if !n.c.holds() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, n.c.limit)
		defer cancel()
	}
	return n.c.rows(ctx, "count the rows", r.text, r.args...)
}

// estimate is what the server expects to look at. SQLite expects nothing.
func (n *counter) estimate(ctx context.Context, r rendered) (engine.Figure, error) {
	f := engine.Figure{Name: "rows", Why: fmt.Sprintf("counting took longer than %s", n.c.limit)}
	if !n.c.holds() {
		return f, nil
	}
	s, err := n.c.pin(ctx)
	if err != nil {
		return f, err
	}
	defer s.release()
	plan, err := s.query(ctx, "ask for an estimate", rendered{text: "EXPLAIN " + r.text, args: r.args})
	if err != nil {
		return f, nil //nolint:nilerr // without an estimate the figure stays unknown
	}
	rows, _ := plan["rows"].(engine.List)
	for _, row := range rows {
		rec, _ := row.(engine.Record)
		if x, ok := n.c.d.estimate(rec); ok {
			f.Value, f.Certainty = max(f.Value, x), engine.FigureEstimate
			f.Why += "; this is what its optimizer expects to look at"
		}
	}
	return f, nil
}
