package sql

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/disk"
	"github.com/handrail-dev/handrail/steps/internal/proof"
)

// Preview reads the whole dump, and holds its counts against what is there now.
func (r *restore) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	impact := engine.Impact{Standing: engine.StandingWould, Risk: engine.RiskIrreversible, Would: "restore a dump"}
	if r.Safety != "" {
		impact.Risk = engine.RiskDestroys
	}
	c, err := connOf(ctx, env)
	if err != nil {
		return impact, err
	}
	if u, ok := engine.FirstUnknown(env.Call.Params); ok {
		impact.Standing, impact.Why = engine.StandingUnknown, "part of it is "+u.Error()
		return impact, nil
	}
	how, err := dumperOf(c)
	if err != nil {
		return impact, err
	}
	impact.Would = fmt.Sprintf("restore %s into database %s of %s", pathOf(env, r.Restore), how.home(c), c.where)
	b, err := r.open(ctx, env, c)
	if err != nil {
		unlikely(&impact, err)
		return impact, ctx.Err()
	}
	defer b.close()
	if len(b.Dump.Databases) > 0 {
		impact.Would = fmt.Sprintf("restore %s into the databases %s of %s", b.path, strings.Join(b.Dump.Databases, ", "), c.where)
	}
	unlikely(&impact, c.mayRestore(ctx, c, b))
	if c.d.ddlRollsBack() {
		addHow(&impact, "locks", "every table of the dump, against everybody, from when it comes to it until the whole dump is restored")
	} else {
		addHow(&impact, "locks", "one table after another, against everybody, while it is removed, made anew and filled; who comes between finds it gone or not yet full")
	}
	r.previewDump(b, &impact)
	r.previewTables(ctx, c, b, &impact)
	if r.Safety == "" {
		impact.Warnings = append(impact.Warnings, "no safety dump is made: what is there now cannot be brought back; give `safety`, the name of a file")
	} else {
		r.previewSafety(ctx, env, c, b, &impact)
	}
	return impact, ctx.Err()
}

func (r *restore) previewDump(b *backup, impact *engine.Impact) {
	impact.Facts = append(impact.Facts, engine.Fact{Name: "dump", Value: fmt.Sprintf("%s, %s of text; size, sum, end and counts are as they should be", disk.Size(b.Size), disk.Size(b.Dump.Size))})
	if !b.Made.At.IsZero() {
		impact.Facts = append(impact.Facts, engine.Fact{Name: "made", Value: fmt.Sprintf("%s, of %s, server %s", b.Made.At.Format(time.RFC3339), strings.Join(append(b.Dump.Databases, b.Dump.Database), ""), b.Dump.Server)})
	}
	impact.Figures = append(impact.Figures, engine.Figure{Name: "tables", Value: int64(len(b.Dump.Tables)), Certainty: engine.FigureExact},
		engine.Figure{Name: "rows", Value: b.Dump.Rows, Certainty: engine.FigureExact})
}

// previewTables shows what each table has now, and what it would have.
func (r *restore) previewTables(ctx context.Context, c *Conn, b *backup, impact *engine.Impact) {
	for i, t := range b.Dump.Tables {
		if i < shownTables {
			impact.Facts = append(impact.Facts, engine.Fact{Name: t.Name, Value: c.nowAndThen(ctx, b.Dump, t)})
		}
		switch t.Name[strings.LastIndexByte(t.Name, '.')+1:] {
		case lockTableName:
			impact.Warnings = append(impact.Warnings, "the locks of runs come from the dump, which was made by other means: those that are held now are lost, and runs that have ended have theirs again; free these with `handrail unlock`")
		case markerTableName:
			impact.Warnings = append(impact.Warnings, "the markers of finished steps come from the dump: a run that is under way on this database stops when it is resumed, and asks")
		}
	}
	if more := len(b.Dump.Tables) - shownTables; more > 0 {
		impact.Facts = append(impact.Facts, engine.Fact{Name: "and", Value: fmt.Sprintf("%d more tables", more)})
	}
}

func (c *Conn) nowAndThen(ctx context.Context, d *proof.Dump, t proof.Table) string {
	n, err := c.countOf(ctx, c, d, t.Name)
	switch {
	case is(err, absentFault):
		return fmt.Sprintf("is not there, and would have %d rows", t.Rows)
	case err != nil:
		return fmt.Sprintf("would have %d rows; how many it has now could not be counted: %v", t.Rows, err)
	}
	return fmt.Sprintf("has %d rows, and would have %d", n, t.Rows)
}

// previewSafety looks whether the safety dump could be made.
func (r *restore) previewSafety(ctx context.Context, env *steps.Env, c *Conn, b *backup, impact *engine.Impact) {
	d := r.safetyDump()
	nothing, err := c.aim(ctx, d, b)
	if err != nil {
		unlikely(impact, err)
		return
	}
	if nothing {
		impact.Facts = append(impact.Facts, engine.Fact{Name: "safety dump", Value: "nothing of what the dump holds is there now, so there is nothing to save"})
		return
	}
	safety := engine.Impact{Standing: engine.StandingWould}
	path := pathOf(env, r.Safety)
	d.preview(ctx, c, path, &safety)
	impact.Facts = append(impact.Facts, engine.Fact{Name: "safety dump", Value: path})
	impact.Warnings = append(impact.Warnings, safety.Warnings...)
	if safety.Standing == engine.StandingUnknown {
		impact.Standing, impact.Why = engine.StandingUnknown, strings.TrimPrefix(impact.Why+"; "+safety.Why, "; ")
	}
}
