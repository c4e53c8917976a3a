package sql

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/disk"
	"github.com/handrail-dev/handrail/steps/internal/proof"
	"github.com/handrail-dev/handrail/steps/sql/stream"
)

// How a dump comes to be of one moment.
const (
	snapshotTransaction = "transaction"
	snapshotLock        = "lock"
	snapshotNone        = "none"
)

type dumpParams struct {
	Dump      steps.Path `param:"dump" need:"yes" doc:"the file; its folder must be there, and no file of that name. NAME.manifest.json is written beside it"`
	Tables    []string   `param:"tables" doc:"tables of the target's database; all of it unless they are given. On PostgreSQL one of another schema than the current is written schema.table"`
	Databases []string   `param:"databases" doc:"whole databases, by name, in place of the target's own; they come back under these names. Not on PostgreSQL, where a dump is of one database"`
	Compress  string     `param:"compress" enum:"zstd,gzip,none" doc:"unless it is given the file's name says it: .zst, .gz"`
	Snapshot  string     `param:"snapshot" enum:"transaction,lock,none" default:"transaction" doc:"how all tables come to be of one moment. transaction: by one that reads them all; nobody has to wait. lock: writers wait meanwhile. none: they are not. PostgreSQL knows transaction alone"`
	Routines  *bool      `param:"routines" doc:"procedures and functions, too; unless it is said, when no tables are given. Not on PostgreSQL, where it is always so"`
	Events    *bool      `param:"events" doc:"events of MySQL and MariaDB, too; unless it is said, when no tables are given"`
	Program   string     `param:"program" doc:"the program that dumps; unless it is given mariadb-dump, else mysqldump; on PostgreSQL pg_dump"`
	Extra     []string   `param:"extra" doc:"further options of that program, such as --hex-blob or --no-owner; only such that leave the dump one that can be counted and restored"`
}

// dump is the operation of that name.
type dump struct {
	dumpParams
	compress string
}

func decodeDump(params engine.Record) (steps.Operation, error) {
	var p dumpParams
	if err := steps.Bind(params, &p); err != nil {
		return nil, err
	}
	if found := problemsOfDump(params, ""); len(found) > 0 {
		return nil, found[0]
	}
	if p.Snapshot == "" {
		p.Snapshot = snapshotTransaction
	}
	d := &dump{dumpParams: p, compress: p.Compress}
	if d.compress == "" {
		d.compress = stream.ByName(string(p.Dump))
	}
	return d, nil
}

func judgeDump(p engine.Proposal) engine.Judgement {
	return engine.Judgement{Class: engine.ClassIdempotent, Risk: engine.RiskChanges, Problems: problemsOfDump(p.Params, p.Target)}
}

func problemsOfDump(params engine.Record, target string) []engine.Problem {
	var out []engine.Problem
	add := func(path, format string, args ...any) {
		out = append(out, engine.Problem{Path: path, Message: fmt.Sprintf(format, args...)})
	}
	if target == typeSQLite {
		add("", noDumps)
	}
	if d, known := dumpers()[target]; known {
		out = append(out, d.unfit(params)...)
	}
	if params["dump"] == "" {
		add("dump", "names no file")
	}
	_, tables := params["tables"]
	_, databases := params["databases"]
	if tables && databases {
		add("databases", "give tables or databases, not both")
	}
	for _, name := range []string{"tables", "databases"} {
		list, ok := params[name].(engine.List)
		if ok && len(list) == 0 {
			add(name, "there is nothing in it; without it all is dumped")
		}
		for i, v := range list {
			if v == "" {
				add(fmt.Sprintf("%s[%d]", name, i), "it is empty")
			}
		}
	}
	extra, _ := params["extra"].(engine.List)
	for i, v := range extra {
		path := fmt.Sprintf("extra[%d]", i)
		switch option := v.(type) {
		case engine.Secret:
			add(path, "every user of the machine can see the options of a program; the password goes there by itself")
		case string:
			if why := refusesExtra(target, option); why != "" {
				add(path, "%s", why)
			}
		}
	}
	return out
}

// refusesExtra asks the system of the target, where that is known.
func refusesExtra(target, option string) string {
	var last string
	all := dumpers()
	for _, typ := range slices.Sorted(maps.Keys(all)) {
		if target != "" && target != typ {
			continue
		}
		if last = all[typ].refusesExtra(option); last == "" {
			return ""
		}
	}
	return last
}

// order is what the program is told.
func (d *dump) order(c *Conn, how dumper) (order, error) {
	o := order{database: how.home(c), databases: d.Databases, snapshot: d.Snapshot, extra: d.Extra,
		routines: len(d.Tables) == 0, events: len(d.Tables) == 0}
	if d.Routines != nil {
		o.routines = *d.Routines
	}
	if d.Events != nil {
		o.events = *d.Events
	}
	for _, name := range d.Tables {
		spelt, err := how.spell(name, c.database)
		if err != nil {
			return o, err
		}
		o.tables = append(o.tables, spelt)
	}
	if o.database == "" && len(o.databases) == 0 {
		return o, fmt.Errorf("%s: no database is chosen; give `database` in the target's settings, or `databases`", c.where)
	}
	return o, nil
}

// Execute makes the dump, or finds that an attempt before has.
func (d *dump) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
	if err := ctx.Err(); err != nil {
		return failure(fmt.Errorf("cancelled before it began: %w", err))
	}
	w, err := disk.ForChanges(env.Access)
	if err != nil {
		return failure(err)
	}
	c, err := connOf(ctx, env)
	if err != nil {
		return failure(err)
	}
	m, err := d.make(ctx, env, c, w, env.Call.Token)
	if err != nil {
		return dumpFailure(err)
	}
	return engine.Outcome{Result: m.record()}
}

// dumpFailure: whatever failed, there is no file.
func dumpFailure(err error) engine.Outcome {
	o := failure(err)
	var broken *brokenTool
	if errors.As(err, &broken) {
		o.Tail = broken.tail
	}
	if disk.Full(err) {
		o.Transient = false
		o.Err += "; nothing unfinished is left behind: make room, then try again"
	}
	return o
}

// made is a dump that is there.
type made struct {
	path string
	proof.Manifest
}

func (m made) record() engine.Record {
	return engine.Record{"file": m.path, "manifest": m.path + proof.ManifestSuffix, "size": m.Size, "sha256": m.SHA256,
		"content": m.Dump.Size, "rows": m.Dump.Rows, "tables": tablesOf(m.Dump.Tables), "made": m.Made.At}
}

func tablesOf(tables []proof.Table) engine.List {
	list := make(engine.List, len(tables))
	for i, t := range tables {
		list[i] = engine.Record{"name": t.Name, "rows": t.Rows}
	}
	return list
}

func pathOf(env *steps.Env, p steps.Path) string {
	if filepath.IsAbs(string(p)) {
		return filepath.Clean(string(p))
	}
	return filepath.Join(env.Dir, string(p))
}

// by tells in a manifest whose work it is. It is the same for each attempt of a step.
func by(token string) string { return engine.Digest(token) }

// key tells the temporary names of this step from those of others.
func key(token string) string { return engine.Digest(token)[:12] }

// madeBefore is the dump of an attempt that was cut off AFTER it had published it; nil if there is none.
func madeBefore(ctx context.Context, w *disk.Writer, path, token string) (*made, error) {
	info, err := w.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	taken := fmt.Errorf("%s is there already, and may be a good backup; give the new one another name, such as one with the time in it", path)
	m, err := proof.Read(w.Reader, path)
	switch {
	case !info.Mode().IsRegular(), errors.Is(err, proof.ErrNone), err == nil && (m.Made.By != by(token) || m.Dump == nil):
		return nil, taken
	case err != nil:
		return nil, fmt.Errorf("%w; %w", taken, err)
	}
	f, err := w.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	sum, err := sumOf(ctx, f)
	if err != nil {
		return nil, err
	}
	if sum != m.SHA256 || f.Info().Size() != m.Size {
		return nil, fmt.Errorf("%s was made by an earlier attempt of this step and has been changed since; move it away, then try again", path)
	}
	return &made{path, m}, w.SyncFolder(filepath.Dir(path))
}

// folderOf says what is wrong with the folder of a new file.
func folderOf(r disk.Reader, path string) error {
	info, err := r.Stat(filepath.Dir(path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the folder %s is not there; is its disk mounted? Nothing is written elsewhere in its place", filepath.Dir(path))
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder", filepath.Dir(path))
	}
	return nil
}

// dumpMode is that of a dump and its manifest: it holds what the database guards.
const dumpMode os.FileMode = 0o600

// missingFrom are the tables that were wanted and are not there, or the reason why all of it is no good.
func missingFrom(stock []stocked, o order, where string) error {
	if len(o.tables) == 0 && len(stock) == 0 {
		return fmt.Errorf("%s: there is no table in %s", where, strings.Join(append(o.databases, o.database), ""))
	}
	there := map[string]bool{}
	for _, s := range stock {
		there[s.name] = true
	}
	var missing []string
	for _, name := range o.tables {
		if !there[name] {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s: there is no table %s in database %s; check `tables` and the target's `database`", where, strings.Join(missing, ", "), o.database)
	}
	if o.snapshot != snapshotTransaction {
		return nil
	}
	for _, s := range wantedOf(stock, o) {
		if s.leaky {
			return fmt.Errorf("%s: table %s.%s is of engine %s, which keeps no transactions, so a transaction cannot show it as of one moment; say snapshot: lock, and writers wait meanwhile", where, s.database, s.name, s.engine)
		}
	}
	return nil
}

// wantedOf are the tables that would be dumped.
func wantedOf(stock []stocked, o order) []stocked {
	if len(o.tables) == 0 {
		return stock
	}
	var out []stocked
	for _, s := range stock {
		if contains(o.tables, s.name) {
			out = append(out, s)
		}
	}
	return out
}
