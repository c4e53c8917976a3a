package sql

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/disk"
	"github.com/handrail-dev/handrail/steps/internal/proof"
	"github.com/handrail-dev/handrail/steps/sql/stream"
)

type restoreParams struct {
	Restore steps.Path `param:"restore" need:"yes" doc:"the file of the dump, or a symbolic link to it. NAME.manifest.json beside it must prove it"`
	Safety  steps.Path `param:"safety" doc:"a file for a dump of what the restore overwrites; made BEFORE anything is touched. There may be no file of that name"`
	Proven  *bool      `param:"proven" default:"true" doc:"false: the dump was made by other means and has no manifest. Its mark of the end must be there all the same; the counts to be reached are taken from itself"`
	Program string     `param:"program" doc:"the program that makes the safety dump; unless it is given mariadb-dump, else mysqldump; on PostgreSQL pg_dump"`
}

// restore is the operation of that name.
type restore struct{ restoreParams }

func decodeRestore(params engine.Record) (steps.Operation, error) {
	var p restoreParams
	if err := steps.Bind(params, &p); err != nil {
		return nil, err
	}
	if found := problemsOfRestore(params, ""); len(found) > 0 {
		return nil, found[0]
	}
	return &restore{p}, nil
}

func judgeRestore(p engine.Proposal) engine.Judgement {
	j := engine.Judgement{Class: engine.ClassUnrepeatable, Risk: engine.RiskIrreversible, Problems: problemsOfRestore(p.Params, p.Target)}
	if _, given := p.Params["safety"]; given {
		j.Risk = engine.RiskDestroys // what was there can be restored in its turn
	}
	if !p.Wipes {
		j.Problems = append(j.Problems, engine.Problem{Message: "a restore may take the markers of finished steps along; say that this is meant, beside `id` of the step: `wipes: true`"})
	}
	return j
}

func problemsOfRestore(params engine.Record, target string) []engine.Problem {
	var out []engine.Problem
	if target == typeSQLite {
		out = append(out, engine.Problem{Message: noDumps})
	}
	for _, name := range []string{"restore", "safety"} {
		if params[name] == "" {
			out = append(out, engine.Problem{Path: name, Message: "names no file"})
		}
	}
	if a, b := params["restore"], params["safety"]; a != nil && a != "" && a == b {
		if _, text := a.(string); text {
			out = append(out, engine.Problem{Path: "safety", Message: "is the file that is restored"})
		}
	}
	return out
}

// Execute checks the dump, makes the safety dump, and only then touches the database.
func (r *restore) Execute(ctx context.Context, env *steps.Env) engine.Outcome {
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
	s, err := c.pin(ctx)
	if err != nil {
		return failure(err)
	}
	defer s.release()
	s.spoiled = true // a dump leaves variables and settings behind
	// Nothing of an earlier attempt is running AFTER it.
	if err := s.lock(ctx, env.Call.Token); err != nil {
		return failure(err)
	}
	defer s.unlock(ctx)
	b, err := r.open(ctx, env, c)
	if err != nil {
		return failure(err)
	}
	defer b.close()
	if err := c.mayRestore(ctx, s, b); err != nil {
		return failure(err)
	}
	run := &restoring{r: r, env: env, c: c, s: s, b: b}
	if r.Safety != "" {
		if run.safety, err = r.save(ctx, env, c, w, b); err != nil {
			return failure(fmt.Errorf("the safety dump was not made, so nothing was touched: %w", err))
		}
	}
	return run.run(ctx)
}

func (r *restore) safetyDump() *dump {
	return &dump{dumpParams: dumpParams{Dump: r.Safety, Snapshot: snapshotTransaction, Program: r.Program}, compress: stream.ByName(string(r.Safety))}
}

// save dumps what will be overwritten. That of an earlier attempt of this step is kept: it holds what was
// there BEFORE that one touched anything.
func (r *restore) save(ctx context.Context, env *steps.Env, c *Conn, w *disk.Writer, b *backup) (string, error) {
	d := r.safetyDump()
	token := env.Call.Token + "#safety"
	path := pathOf(env, r.Safety)
	if path == b.path {
		return "", fmt.Errorf("%s is the file that is restored", path)
	}
	if err := folderOf(w.Reader, path); err != nil {
		return "", err
	}
	if before, err := madeBefore(ctx, w, path, token); before != nil || err != nil {
		if before != nil {
			fmt.Fprintf(env.Output(), "the safety dump %s of an earlier attempt is kept\n", path)
		}
		return path, err
	}
	nothing, err := c.aim(ctx, d, b)
	if err != nil {
		return "", err
	}
	if nothing {
		fmt.Fprintf(env.Output(), "nothing of what the dump holds is there now: there is nothing to save\n")
		return "", nil
	}
	m, err := d.make(ctx, env, c, w, token)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(env.Output(), "the safety dump is %s, %d rows\n", m.path, m.Dump.Rows)
	return m.path, nil
}

// aim points a safety dump at what the restore of another overwrites. nothing: that is not there.
func (c *Conn) aim(ctx context.Context, d *dump, b *backup) (nothing bool, err error) {
	how, err := dumperOf(c)
	if err != nil {
		return false, err
	}
	stock, err := how.stock(ctx, c, order{database: how.home(c), databases: b.Dump.Databases})
	if err != nil {
		return false, err
	}
	if _, all := how.(wholeRestorer); all && (b.Dump.Whole || b.covers(stock)) {
		return len(stock) == 0, nil // views and functions that stand on the tables are saved with them
	}
	for _, s := range stock {
		switch {
		case len(b.Dump.Databases) > 0:
			if !contains(d.Databases, s.database) {
				d.Databases = append(d.Databases, s.database)
			}
		case b.holds(s.name):
			d.Tables = append(d.Tables, s.name)
		default:
			continue
		}
		if s.leaky {
			d.Snapshot = snapshotLock // no transaction shows it as of one moment
		}
	}
	return len(d.Tables)+len(d.Databases) == 0, nil
}

// holds: the table is in the dump.
func (b *backup) holds(name string) bool {
	return slices.ContainsFunc(b.Dump.Tables, func(t proof.Table) bool { return t.Name == name })
}

// covers: all tables that are there are in the dump.
func (b *backup) covers(stock []stocked) bool {
	for _, s := range stock {
		if !b.holds(s.name) && !strings.HasSuffix(s.name, "."+markerTableName) {
			return false
		}
	}
	return true
}

// mayRestore looks for what would stop the restore in its middle, BEFORE it begins.
func (c *Conn) mayRestore(ctx context.Context, q queryer, b *backup) error {
	d, ok := c.d.(restorer)
	if !ok {
		return fmt.Errorf("%s: %s", c.where, noDumps)
	}
	if b.Dump.System != d.system() {
		return fmt.Errorf("%s: %s is a dump of %s, and this server is another system", c.where, filepath.Base(b.path), b.Dump.System)
	}
	if err := c.takes(ctx, q); err != nil {
		return err
	}
	most, err := d.longest(ctx, q)
	if err != nil {
		return err
	}
	if most > 0 && b.Dump.Longest > most {
		return fmt.Errorf("%s: the longest statement of the dump has %d bytes, and the server takes %d; raise max_allowed_packet there; nothing was touched", c.where, b.Dump.Longest, most)
	}
	why, err := d.unable(ctx, q, c.database, b.Dump)
	if err == nil && why != "" {
		err = fmt.Errorf("%s: %s; nothing was touched", c.where, why)
	}
	return err
}

// restorer is a dialect whose dumps can be sent statement by statement.
type restorer interface {
	dumper
	// longest is the longest statement that the server takes; 0: there is no bound.
	longest(ctx context.Context, q queryer) (int64, error)
	// unable says which right the user lacks to restore a dump, and what to do about it; empty: none that is known.
	unable(ctx context.Context, q queryer, database string, d *proof.Dump) (why string, err error)
	// counting is a table of a dump as a statement that counts names it.
	counting(d *proof.Dump, name string) string
}
