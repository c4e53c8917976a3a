package sql

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// Preview reads, and shows what there is now.
func (q *query) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	if q.nodes == nodesAny || q.nodes == nodesEach {
		return q.previewNodes(ctx, env)
	}
	c, err := connAt(ctx, env, q.node)
	if err != nil {
		return engine.Impact{}, err
	}
	st, err := statement.Parse(c.d.grammar(), q.text)
	if err != nil {
		return engine.Impact{}, fmt.Errorf("%s: %w", c.where, err)
	}
	e := entry{st: st, query: true}
	impact := engine.Impact{Standing: engine.StandingWould, Would: "read: " + oneLine(st.Source), Risk: riskOf(st.Class),
		Details: detailsOf(env, e, values{path: "args", all: q.all})}
	if st.Class.Sort != statement.Reads {
		impact.Standing = engine.StandingUnknown
		impact.Why = "the statement is not known to read, so a dry-run does not send it: " + st.Class.Why
		impact.Warnings = []string{impact.Why}
		return impact, nil
	}
	s, err := c.pin(ctx)
	if err != nil {
		return engine.Impact{}, err
	}
	defer s.release()
	r, err := c.render(ctx, s, st, st.Whole(), values{path: "args", all: q.all})
	if err != nil {
		return engine.Impact{}, err
	}
	result, err := s.query(ctx, e.doing(), r)
	var no refusal
	if errors.As(err, &no) { // the database itself tells more than the text
		impact.Standing, impact.Why, impact.Warnings = engine.StandingUnknown, no.why, []string{no.why}
		return impact, nil
	}
	if err != nil {
		return engine.Impact{}, err
	}
	impact.Facts = []engine.Fact{{Name: "now", Value: shownRows(env, result)}}
	return impact, nil
}

// shownRows is a result in one line.
func shownRows(env *steps.Env, result engine.Record) string {
	rows, _ := result["rows"].(engine.List)
	text := fmt.Sprintf("%d rows", len(rows))
	if len(rows) == 1 {
		text = "1 row"
	}
	if env.Call.Sensitive || len(rows) == 0 {
		return text
	}
	first, _ := rows[0].(engine.Record)
	columns, _ := result["columns"].(engine.List)
	parts := make([]string, 0, len(columns))
	for _, name := range columns {
		n, _ := name.(string)
		parts = append(parts, n+": "+shorten(engine.Text(first[n]), 60))
	}
	if len(rows) > 1 {
		text += ", the first"
	}
	return text + ": " + shorten(strings.Join(parts, ", "), 200)
}

func oneLine(s string) string { return shorten(strings.Join(strings.Fields(s), " "), 120) }

func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

// detailsOf are a statement and its arguments, as they would be sent. Secrets print masked.
func detailsOf(env *steps.Env, e entry, v values) []string {
	out := []string{strings.TrimSpace(e.st.Source)}
	said := map[string]bool{}
	for _, a := range e.st.Arguments() {
		x, ok := v.get(a.Name)
		if !ok || said[a.Name] {
			continue
		}
		said[a.Name] = true
		switch x.(type) {
		case engine.Late:
			out = append(out, ":"+a.Name+" comes from an earlier statement")
			continue
		case engine.Unknown:
			out = append(out, ":"+a.Name+" is not known yet")
			continue
		}
		text := shorten(shownValue(x), 80)
		if env.Call.Sensitive {
			text = engine.Masked
		}
		out = append(out, ":"+a.Name+" = "+text)
	}
	return out
}

// shownValue masks secrets inside of lists too.
func shownValue(v engine.Value) string {
	if list, ok := v.(engine.List); ok {
		parts := make([]string, len(list))
		for i, e := range list {
			parts[i] = shownValue(e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return engine.Text(v)
}

// Preview counts what would be written.
func (x *export) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	impact, err := x.query.previewRows(ctx, env)
	if err != nil {
		return impact, err
	}
	file := x.file(env)
	impact.Would = "write the rows to " + file
	impact.Risk = max(impact.Risk, engine.RiskChanges)
	if info, err := os.Stat(file); err == nil {
		impact.Facts = append(impact.Facts, engine.Fact{Name: file, Value: fmt.Sprintf("is there, %d bytes; it would be replaced", info.Size())})
	}
	return impact, nil
}

// previewRows counts the rows of a query without bringing them over.
func (q *query) previewRows(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	c, err := connOf(ctx, env)
	if err != nil {
		return engine.Impact{}, err
	}
	st, err := statement.Parse(c.d.grammar(), q.text)
	if err != nil {
		return engine.Impact{}, fmt.Errorf("%s: %w", c.where, err)
	}
	v := values{path: "args", all: q.all}
	impact := engine.Impact{Standing: engine.StandingWould, Risk: riskOf(st.Class), Details: detailsOf(env, entry{st: st}, v)}
	if st.Class.Sort != statement.Reads {
		impact.Standing = engine.StandingUnknown
		impact.Why = "the statement is not known to read, so a dry-run does not send it: " + st.Class.Why
		impact.Warnings = []string{impact.Why}
		return impact, nil
	}
	n := &counter{c: c, env: env}
	figure, err := n.ofQuery(ctx, st, st.Whole(), v)
	impact.Figures = []engine.Figure{figure}
	return impact, err
}

// Preview counts the rows that the statements would change.
func (t *change) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	c, err := connAt(ctx, env, t.node)
	if err != nil {
		return engine.Impact{}, err
	}
	entries, err := t.entries(c)
	if err != nil {
		return engine.Impact{}, err
	}
	impact, err := previewEntries(ctx, env, c, entries, t.all, t.one)
	if err != nil {
		return impact, err
	}
	if refused, err := c.previewTakes(ctx, t.written(entries), &impact); refused || err != nil {
		return impact, err
	}
	if !t.alone(c, entries[0]) {
		err = c.previewMarkers(ctx, env, t.written(entries), &impact)
	}
	return impact, err
}

// Preview says what each statement would do.
func (t *script) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	c, err := connOf(ctx, env)
	if err != nil {
		return engine.Impact{}, err
	}
	entries, err := t.entries(c)
	if err != nil {
		return engine.Impact{}, err
	}
	impact, err := previewEntries(ctx, env, c, entries, t.all, false)
	if err != nil {
		return impact, err
	}
	if refused, err := c.previewTakes(ctx, t.written(entries), &impact); refused || err != nil {
		return impact, err
	}
	if env.Call.Class != engine.ClassTransactional {
		return impact, nil
	}
	return impact, c.previewMarkers(ctx, env, t.written(entries), &impact)
}

// previewTakes says of a server that takes no writes that the step would be refused.
func (c *Conn) previewTakes(ctx context.Context, list []written, impact *engine.Impact) (refused bool, err error) {
	if !begins(list) {
		return false, nil
	}
	err = c.takes(ctx, c)
	var f *fault
	if !errors.As(err, &f) || f.sort != rightsFault {
		return false, err
	}
	impact.Standing, impact.Why = engine.StandingUnknown, err.Error()
	return true, nil
}

// previewEntries looks at each statement. What was changed before is no longer exact.
func previewEntries(ctx context.Context, env *steps.Env, c *Conn, entries []entry, all engine.Record, one bool) (engine.Impact, error) {
	impact := engine.Impact{Standing: engine.StandingWould}
	n := &counter{c: c, env: env, changed: map[string]string{}, lacking: map[string]string{}, keys: map[statement.Name][]string{}, locals: engine.Record{}}
	var would []string
	for _, e := range entries {
		impact.Risk = max(impact.Risk, riskOf(e.st.Class))
		if len(would) < 6 {
			would = append(would, shortDoing(e))
		}
		if err := n.look(ctx, e, all, one, &impact); err != nil {
			return impact, err
		}
		if e.as != "" {
			n.locals[e.as] = engine.Unknown{After: e.path}
		}
	}
	impact.Figures = append(impact.Figures, n.sizes...)
	impact.Would = strings.Join(would, "; ")
	if more := len(entries) - len(would); more > 0 {
		impact.Would += fmt.Sprintf("; and %d more", more)
	}
	return impact, nil
}

func shortDoing(e entry) string {
	e.path = ""
	return e.doing()
}

// previewMarkers says when the class falls.
func (c *Conn) previewMarkers(ctx context.Context, env *steps.Env, list []written, impact *engine.Impact) error {
	if env.Call.Class != engine.ClassTransactional {
		return nil
	}
	home, why, err := c.footing(ctx, c, list)
	if err != nil {
		return err
	}
	if why == "" && home == "" {
		why = "no database is chosen, so there is no place for a marker"
	}
	if why == "" {
		if why, err = c.d.mayKeep(ctx, c, home, markerTableName); err != nil {
			return err
		}
	}
	if why != "" {
		impact.Class = engine.ClassUnrepeatable
		impact.Warnings = append(impact.Warnings, "it is unrepeatable here, not transactional, so AFTER a crash a person is asked: "+why)
	}
	return nil
}
