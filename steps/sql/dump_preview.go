package sql

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/disk"
	"github.com/handrail-dev/handrail/steps/internal/proof"
)

// Preview says what would be dumped, by which program, and whether there is room.
func (d *dump) Preview(ctx context.Context, env *steps.Env) (engine.Impact, error) {
	impact := engine.Impact{Standing: engine.StandingWould, Risk: engine.RiskChanges}
	c, err := connOf(ctx, env)
	if err != nil {
		return impact, err
	}
	how, err := dumperOf(c)
	if err != nil {
		return impact, err
	}
	impact.Would = "dump " + d.what(how.home(c))
	if u, ok := engine.FirstUnknown(env.Call.Params); ok {
		impact.Standing, impact.Why = engine.StandingUnknown, "part of it is "+u.Error()
		return impact, nil
	}
	path := pathOf(env, d.Dump)
	impact.Would += " to " + path
	d.preview(ctx, c, path, &impact)
	return impact, ctx.Err()
}

// what is the subject in a sentence.
func (d *dump) what(database string) string {
	switch {
	case len(d.Databases) > 0:
		return "the databases " + strings.Join(d.Databases, ", ")
	case len(d.Tables) > 0:
		return "the tables " + strings.Join(d.Tables, ", ") + " of database " + database
	}
	return "database " + database
}

// preview looks at the server, for the program and at the folder. What is in the way may be put right by an
// earlier step: so that is not known, rather than known to fail.
func (d *dump) preview(ctx context.Context, c *Conn, path string, impact *engine.Impact) {
	p, err := d.plan(ctx, c)
	unlikely(impact, err)
	impact.Warnings = append(impact.Warnings, p.warnings...)
	if p.tool.path != "" {
		impact.Facts = append(impact.Facts, engine.Fact{Name: "program", Value: p.tool.said})
	}
	if c.programs.elsewhere() {
		impact.Facts = append(impact.Facts, engine.Fact{Name: "program runs", Value: c.programs.String() + "; a dry-run starts nothing there, so its version is asked when the step runs"})
	}
	if p.server.text != "" {
		impact.Facts = append(impact.Facts, engine.Fact{Name: "server", Value: p.server.String()})
	}
	addHow(impact, "locks", d.grip())
	var rows, bytes int64
	for _, s := range p.stock {
		rows, bytes = rows+max(0, s.rows), bytes+s.bytes
	}
	if len(p.stock) > 0 {
		impact.Figures = append(impact.Figures, engine.Figure{Name: "tables", Value: int64(len(p.stock)), Certainty: engine.FigureExact},
			engine.Figure{Name: "rows", Value: rows, Certainty: engine.FigureEstimate, Why: "by the server's statistics"},
			engine.Figure{Name: "bytes", Value: bytes, Certainty: engine.FigureEstimate, Why: "of the data at the server, not packed"})
	}
	var r disk.Reader
	if err := folderOf(r, path); err != nil {
		unlikely(impact, err)
		return
	}
	if _, err := r.Lstat(path); err == nil {
		unlikely(impact, fmt.Errorf("%s is there already, and may be a good backup", path))
	}
	room(r, path, p.order, bytes, impact)
}

// grip is what a dump locks.
func (d *dump) grip() string {
	switch d.Snapshot {
	case snapshotLock:
		return "every table that it reads, against writers, until it has ended"
	case snapshotNone:
		return "nothing; the tables need not be of one moment"
	}
	return "no row; changes of the definition of a table wait until it has been read"
}

// unlikely notes a reason why it could not be done as things are now.
func unlikely(impact *engine.Impact, err error) {
	if err == nil {
		return
	}
	impact.Standing = engine.StandingUnknown
	impact.Why = strings.TrimPrefix(impact.Why+"; "+err.Error(), "; ")
	impact.Warnings = append(impact.Warnings, err.Error()+": the run would fail here, unless an earlier step puts it right")
}

// room holds what is free against the last backup of the same, else against the data.
func room(r disk.Reader, path string, o order, bytes int64, impact *engine.Impact) {
	folder := filepath.Dir(path)
	free, err := r.Free(folder)
	if err != nil {
		return
	}
	impact.Facts = append(impact.Facts, engine.Fact{Name: "free in " + folder, Value: disk.Size(free)})
	last, ok := lastOf(r, folder, o)
	switch {
	case ok:
		impact.Facts = append(impact.Facts, engine.Fact{Name: "last dump", Value: fmt.Sprintf("%s, %s, %d rows, of %s",
			last.File, disk.Size(last.Size), last.Dump.Rows, last.Made.At.Format(time.RFC3339))})
		if free < last.Size+last.Size/4 {
			impact.Warnings = append(impact.Warnings, fmt.Sprintf("only %s are free in %s, and the last dump has %s", disk.Size(free), folder, disk.Size(last.Size)))
		}
	case free < bytes:
		impact.Warnings = append(impact.Warnings, fmt.Sprintf("only %s are free in %s, and the data has %s: it fits only if it can be packed that far", disk.Size(free), folder, disk.Size(bytes)))
	}
}

// lookedAt bounds how many manifests are read to find the last dump of the same.
const lookedAt = 50

// lastOf finds the newest dump in a folder that holds the same tables or databases.
func lastOf(r disk.Reader, folder string, o order) (proof.Manifest, bool) {
	entries, err := r.List(folder)
	if err != nil {
		return proof.Manifest{}, false
	}
	var beside []fs.FileInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasSuffix(e.Name(), proof.ManifestSuffix) {
			beside = append(beside, info)
		}
	}
	slices.SortFunc(beside, func(a, b fs.FileInfo) int {
		return cmp.Or(b.ModTime().Compare(a.ModTime()), strings.Compare(b.Name(), a.Name()))
	})
	for _, info := range beside[:min(len(beside), lookedAt)] {
		path := filepath.Join(folder, strings.TrimSuffix(info.Name(), proof.ManifestSuffix))
		m, err := proof.Read(r, path)
		if err != nil || m.Dump == nil {
			continue
		}
		if _, err := r.Stat(path); err == nil && o.same(m.Dump) {
			return m, true
		}
	}
	return proof.Manifest{}, false
}

// same: a dump of the same databases, or of the same tables of the same database.
func (o order) same(was *proof.Dump) bool {
	if len(o.databases) > 0 {
		return slices.Equal(was.Databases, o.databases)
	}
	if was.Database != o.database {
		return false
	}
	for _, name := range o.tables {
		if !slices.ContainsFunc(was.Tables, func(t proof.Table) bool { return t.Name == name }) {
			return false
		}
	}
	return len(o.tables) == 0 || len(o.tables) == len(was.Tables)
}
