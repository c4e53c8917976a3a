package sql

import (
	"context"
	"fmt"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/ask"
	"github.com/handrail-dev/handrail/steps/sql/statement"
)

// Preview counts the rows that would be moved, and says how.
func (m *move) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	impact := engine.Impact{Standing: engine.StandingWould, Risk: engine.RiskDestroys,
		Would: fmt.Sprintf("move rows of %s to %s where %s", m.from, m.to, oneLine(m.where))}
	c, err := connOf(ctx, env)
	if err != nil {
		return engine.Impact{}, err
	}
	r, err := m.routeOf(ctx, c, c, true)
	if err != nil {
		return engine.Impact{}, err
	}
	impact.Details = detailsOf(env, entry{st: r.where.Statement}, values{path: "args", all: m.all})
	impact.Details[0] = "WHERE " + strings.TrimSpace(m.where)
	impact.Warnings = append(impact.Warnings, r.said...)
	if r.absent {
		impact.Warnings = append(impact.Warnings, fmt.Sprintf("there is no table %s now; a step before this one must make it", r.to))
	}
	impact.Facts = append(impact.Facts, engine.Fact{Name: "walks", Value: r.walked()})
	if len(m.rest.hold) > 0 {
		impact.Facts = append(impact.Facts, ask.Facts(m.rest.hold, ask.All(ctx, env, m.rest.hold))...)
	}
	if impact.Figures, err = m.figures(ctx, env, r); err != nil {
		return engine.Impact{}, err
	}
	if err := c.meansOfMove(ctx, r, &impact); err != nil {
		return engine.Impact{}, err
	}
	list, err := r.written()
	if err != nil {
		return engine.Impact{}, err
	}
	return impact, c.previewMove(ctx, r, list, &impact)
}

// meansOfMove says what a move locks, how large its table is, and which right is missing.
func (c *Conn) meansOfMove(ctx context.Context, r *route, impact *engine.Impact) error {
	n := &counter{c: c}
	n.size(r.from, r.facts)
	impact.Figures = append(impact.Figures, n.sizes...)
	const brief = "the rows of a batch, until it is committed; rows behind and before it are free"
	addHow(impact, "locks, "+r.from.String(), brief)
	addHow(impact, "locks, "+r.to.String(), brief)
	needs := []need{{r.from, []string{"SELECT", "DELETE"}}}
	if !r.absent {
		needs = append(needs, need{r.to, []string{"INSERT"}})
	}
	for _, x := range needs {
		why, err := c.d.forbids(ctx, c, x.table, x.rights)
		if err != nil {
			return err
		}
		if why != "" {
			unlikely(impact, fmt.Errorf("%s: %s", c.where, why))
		}
	}
	return nil
}

// need are rights on a table.
type need struct {
	table  statement.Name
	rights []string
}

// walked says how the table is read.
func (r *route) walked() string {
	text := fmt.Sprintf("%s by %s", r.from, r.key)
	if r.facts.rows >= 0 {
		text += fmt.Sprintf(", about %d rows", r.facts.rows)
	}
	if !r.where.Speaks(r.key.columns[0]) {
		text += "; the condition says nothing of the key, so each row is read once"
	}
	return text
}

func (m *move) figures(ctx context.Context, env *steps.Env, r *route) ([]engine.Figure, error) {
	n := &counter{c: r.c, env: env}
	cond, err := r.condition(ctx, r.c)
	rows := engine.Figure{Name: "rows"}
	if err == nil {
		all := rendered{text: " FROM " + r.quoted(r.from) + " WHERE " + cond.text, args: cond.args}
		rows, err = n.ask(ctx, rendered{text: "SELECT COUNT(*)" + all.text, args: all.args}, rendered{text: "SELECT 1" + all.text, args: all.args})
	} else {
		rows, err = n.unrendered(err)
	}
	if err != nil {
		return nil, err
	}
	if m.limit > 0 && rows.Certainty != engine.FigureUnknown {
		rows.Value = min(rows.Value, m.limit)
	}
	batches := engine.Figure{Name: "batches", Why: rows.Why}
	if rows.Certainty != engine.FigureUnknown {
		batches.Value, batches.Certainty = (rows.Value+m.batch-1)/m.batch, engine.FigureEstimate
		if rows.Certainty == engine.FigureExact { // the smallest batch has one row
			batches.Bounds = &engine.Bounds{Least: batches.Value, Most: rows.Value}
		}
		if batches.Why == "" {
			batches.Why = "rows that others change meanwhile, and long stretches without a row that matches, make them smaller and more"
		}
	}
	return []engine.Figure{rows, batches}, nil
}

// previewMove says when the move would be refused for want of a place for its marker.
func (c *Conn) previewMove(ctx context.Context, r *route, list []written, impact *engine.Impact) error {
	home, why, err := c.footing(ctx, c, list)
	if err == nil && why == "" {
		why, err = c.d.mayKeep(ctx, c, home, markerTableName)
	}
	if err == nil && why != "" {
		impact.Standing = engine.StandingUnknown
		impact.Why = "it would be refused, because a batch could not be committed together with its marker: " + why
	}
	return err
}
