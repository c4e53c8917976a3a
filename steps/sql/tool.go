package sql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/internal/host"
	"github.com/handrail-dev/handrail/steps/internal/remote"
)

// tool is a program that dumps, with what it says of itself.
type tool struct {
	path    string
	version version
	said    string // the first line of --version
}

func (t tool) name() string { return filepath.Base(t.path) }

// version is one of a server or of a program.
type version struct {
	text   string // 10.11.19
	flavor string // MariaDB, TiDB; empty: the other one
	number [3]int
}

func (v version) String() string {
	return strings.TrimSpace(v.flavor + " " + v.text)
}

// older says whether a program is of an older line than the server; the last number does not matter.
func (v version) older(than version) bool {
	if v.flavor != than.flavor || v.text == "" || than.text == "" {
		return false
	}
	return v.number[0] < than.number[0] || v.number[0] == than.number[0] && v.number[1] < than.number[1]
}

var numbers = regexp.MustCompile(`\d+(\.\d+)+`)

func versionOf(text, flavor string) version {
	v := version{text: numbers.FindString(text), flavor: flavor}
	for i, part := range strings.SplitN(v.text, ".", 3) {
		v.number[i], _ = strconv.Atoi(part) // what is no number is a 0
	}
	return v
}

const (
	// askLimit is how long a program may take to say its version.
	askLimit = 10 * time.Second
	// endLimit is how long a program may take to end when it is asked to.
	endLimit = 5 * time.Second
	// tailBytes is how much of the end of what a program says is kept.
	tailBytes = 4 << 10
)

// findTool looks for the first of the programs that is there, and asks for its version. That is all that a
// dry-run ever starts: no target, no file and no parameter reaches it. One that is not fit is taken only if no
// other is there.
func findTool(ctx context.Context, r host.Runner, names []string, read func(said string) version, fit func(version) bool) (tool, error) {
	var missing []error
	var second tool
	for _, name := range names {
		ctx, cancel := context.WithTimeout(ctx, askLimit)
		var out strings.Builder
		e, err := r.Run(ctx, host.Job{Argv: []string{name, "--version"}, KillAfter: endLimit, Stdout: bounded{&out}, Stderr: io.Discard})
		cancel()
		var lost *host.LostError
		switch {
		case errors.As(err, &lost), errors.Is(err, remote.ErrUnreachable):
			return tool{}, fmt.Errorf("ask %s for its version: %w", name, err)
		case err != nil:
			missing = append(missing, err)
			continue
		case e.Cut != nil:
			return tool{}, fmt.Errorf("%s --version did not answer within %s; is it the program that dumps?", name, askLimit)
		case e.Code != 0:
			return tool{}, fmt.Errorf("%s --version ended with code %d; is it the program that dumps?", name, e.Code)
		}
		said, _, _ := strings.Cut(strings.TrimSpace(out.String()), "\n")
		t := tool{path: name, said: said, version: read(said)}
		if fit(t.version) {
			return t, nil
		}
		if second.path == "" {
			second = t
		}
	}
	if second.path != "" {
		return second, nil
	}
	return tool{}, fmt.Errorf("there is no program to dump with: %w; install it, or name it with `program`", errors.Join(missing...))
}

// bounded keeps the beginning.
type bounded struct{ *strings.Builder }

func (b bounded) Write(p []byte) (int, error) {
	_, _ = b.Builder.Write(p[:min(len(p), max(0, tailBytes-b.Len()))])
	return len(p), nil
}

// order is what a program is to dump, and how.
type order struct {
	database  string   // the tables are its
	tables    []string // none: all
	databases []string // whole ones, in place of database
	snapshot  string
	routines  bool
	events    bool
	extra     []string
}

// within are the databases of the dump. The locks of runs, which stand in one of them, are of today and no part of a
// dump: brought back some day, they would be those of runs long gone, in the place of the ones that are held then.
func (o order) within() []string {
	if len(o.databases) == 0 {
		return []string{o.database}
	}
	return o.databases
}

// dumper is a dialect whose servers are dumped by a program of their own.
type dumper interface {
	// system names the form of its dumps.
	system() string
	// programs are those that dump a server of that version, the best first.
	programs(server version) []string
	// toolVersion and serverVersion read what a program and the server say of themselves.
	toolVersion(said string) version
	serverVersion(ctx context.Context, q queryer) (version, error)
	// mustMatch: a program that is older than the server cannot dump it.
	mustMatch() bool
	// job is how the program is started. Nothing secret is in its arguments.
	job(t tool, server version, o order) (host.Job, error)
	// stock is what there is to dump, by the catalogue.
	stock(ctx context.Context, q queryer, o order) ([]stocked, error)
	// home is the database that is dumped when none is named.
	home(c *Conn) string
	// spell is the name of a table as the dump and stock write it.
	spell(name, database string) (string, error)
	// unfit are parameters of a dump that mean nothing to such a server.
	unfit(params engine.Record) []engine.Problem
	// refusesExtra says why an option may not be given; empty: it may.
	refusesExtra(option string) string
	// hint says what to do next about what a program said at its end; empty: nothing is known.
	hint(said string) string
}

// stocked is a table that would be dumped.
type stocked struct {
	database, name string
	engine         string
	leaky          bool  // it keeps no transactions
	rows           int64 // an estimate; -1: not known
	bytes          int64 // of the data, an estimate
}

// dumperOf is how the target is dumped.
func dumperOf(c *Conn) (dumper, error) {
	d, ok := c.d.(dumper)
	if !ok {
		return nil, fmt.Errorf("%s: %s", c.where, noDumps)
	}
	return d, nil
}

// noDumps says what to do in place of a dump of SQLite.
const noDumps = "SQLite has no program that dumps; copy its file with file.copy while nobody writes to it, or write rows with sql.export"

// dumpers are the types of target that can be dumped.
func dumpers() map[string]dumper {
	return map[string]dumper{typeMySQL: &mysqlDialect{}, typePostgres: &postgresDialect{}}
}
