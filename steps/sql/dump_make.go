package sql

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/disk"
	"github.com/handrail-dev/handrail/steps/internal/host"
	"github.com/handrail-dev/handrail/steps/internal/proof"
	"github.com/handrail-dev/handrail/steps/sql/stream"
)

// make makes a dump under a token of its own, which is that of the step, or derived from it. On an error
// there is no file of that name.
func (d *dump) make(ctx context.Context, env *steps.Env, c *Conn, w *disk.Writer, token string) (m made, err error) {
	m.path = pathOf(env, d.Dump)
	if err := folderOf(w.Reader, m.path); err != nil {
		return m, err
	}
	if before, err := madeBefore(ctx, w, m.path, token); before != nil || err != nil {
		if before != nil {
			fmt.Fprintf(env.Output(), "%s was made by an earlier attempt of this step\n", m.path)
			m = *before
		}
		return m, err
	}
	p, err := d.plan(ctx, c)
	if err != nil {
		return m, err
	}
	if env.Again || env.Call.Attempt > 1 {
		if err := c.programs.alone(ctx, p.runner, env.Call.Token, func(said string) { fmt.Fprintln(env.Output(), said) }); err != nil {
			return m, err
		}
	}
	for _, said := range p.warnings {
		fmt.Fprintln(env.Output(), "handrail: "+said)
	}
	draft, err := w.Draft(m.path, key(token), dumpMode)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, draft.Discard()) }()
	// What it holds is of no earlier moment. The end of a long dump would make its data younger than it is.
	begun := env.Now().UTC()
	m.Manifest, err = d.stream(ctx, env, c, p, draft)
	if err != nil {
		return m, fmt.Errorf("dump to %s: %w", m.path, err)
	}
	m.File, m.Made = filepath.Base(m.path), proof.Made{At: begun, Run: env.Run, By: by(token)}
	if err := m.publish(w, draft, token); err != nil {
		return m, fmt.Errorf("dump to %s: %w", m.path, err)
	}
	return m, nil
}

// plan is what the dump was found to need.
type plan struct {
	d        dumper
	runner   host.Runner
	tool     tool // none in a dry-run, which starts nothing on other machines
	server   version
	order    order
	stock    []stocked // what would be dumped
	warnings []string
}

// plan looks at the server and for the program, BEFORE anything is written.
func (d *dump) plan(ctx context.Context, c *Conn) (plan, error) {
	var p plan
	var err error
	if p.d, err = dumperOf(c); err != nil {
		return p, err
	}
	if p.order, err = d.order(c, p.d); err != nil {
		return p, err
	}
	if p.server, err = p.d.serverVersion(ctx, c); err != nil {
		return p, err
	}
	stock, err := p.d.stock(ctx, c, p.order)
	if err != nil {
		return p, err
	}
	p.stock = wantedOf(stock, p.order)
	if err := missingFrom(stock, p.order, c.where); err != nil {
		return p, err
	}
	return p, d.find(ctx, c, &p)
}

// find looks for the program.
func (d *dump) find(ctx context.Context, c *Conn, p *plan) (err error) {
	if p.runner, err = c.programs.open(ctx); err != nil || c.programs.elsewhere() && c.access != steps.Full {
		return err
	}
	names := p.d.programs(p.server)
	if d.Program != "" {
		names = []string{d.Program}
	}
	fit := func(v version) bool { return !p.d.mustMatch() || !v.older(p.server) }
	if p.tool, err = findTool(ctx, p.runner, names, p.d.toolVersion, fit); err != nil {
		return err
	}
	if p.tool.version.older(p.server) {
		said := fmt.Sprintf("%s is version %s, older than the server (%s)", p.tool.name(), p.tool.version, p.server)
		if p.d.mustMatch() {
			return fmt.Errorf("%s, and cannot dump it; install the program of the server's version, or name it with `program`", said)
		}
		p.warnings = append(p.warnings, said+": it may not know all that the server has")
	}
	return nil
}

// flow takes in what the program writes: it counts, and passes it on to be packed.
type flow struct {
	scan  stream.Scanner
	to    io.Writer
	env   *steps.Env
	n     int64
	shown int64
}

// shownEvery is how many bytes pass between two reports of progress.
const shownEvery = 4 << 20

func (f *flow) Write(p []byte) (int, error) {
	_, _ = f.scan.Write(p) // it never fails
	if f.n += int64(len(p)); f.n-f.shown >= shownEvery {
		f.shown = f.n
		f.env.Progress(f.scan.Rows(), 0, "rows")
	}
	return f.to.Write(p)
}

// stream has the program dump into the draft, and says what came of it. It is an error unless all is there.
func (d *dump) stream(ctx context.Context, env *steps.Env, c *Conn, p plan, to io.Writer) (proof.Manifest, error) {
	job, err := p.d.job(p.tool, p.server, p.order)
	if err != nil {
		return proof.Manifest{}, err
	}
	scan, err := stream.New(p.d.system())
	if err != nil {
		return proof.Manifest{}, err
	}
	out := disk.NewCounted(to)
	packer, err := stream.Pack(out, d.compress)
	if err != nil {
		return proof.Manifest{}, err
	}
	in := &flow{scan: scan, to: packer, env: env}
	said := host.NewTail(tailBytes)
	job.Stdout, job.Stderr = in, io.MultiWriter(env.Output(), said)
	job.KillAfter, job.Token = endLimit, env.Call.Token
	e, err := p.runner.Run(ctx, c.programs.piped(job))
	var lost *host.LostError
	if errors.As(err, &lost) {
		c.programs.abandoned(ctx, p.runner, env.Call.Token, func(said string) { fmt.Fprintln(env.Output(), said) })
	}
	err = errors.Join(d.ended(p, e, err, said.String()), packer.Close())
	if err == nil {
		err = complete(scan, p)
	}
	if err != nil {
		return proof.Manifest{}, err
	}
	env.Progress(scan.Rows(), scan.Rows(), "rows")
	m := proof.Manifest{Size: out.Size(), SHA256: out.SHA256(), Dump: &proof.Dump{
		System: p.d.system(), Server: p.server.String(), Tool: p.tool.name() + " " + p.tool.version.String(), Compress: d.compress,
		Snapshot: d.Snapshot, Size: in.n, Longest: scan.Longest(), Rows: scan.Rows(), Databases: scan.Databases()}}
	if len(p.order.databases) == 0 {
		m.Dump.Database = p.order.database
		m.Dump.Whole = len(p.order.tables) == 0 && !slices.ContainsFunc(p.order.extra, narrows)
	}
	for _, t := range scan.Tables() {
		m.Dump.Tables = append(m.Dump.Tables, proof.Table{Name: t.Name, Rows: t.Rows})
	}
	return m, nil
}

// brokenTool is a program that did not do its work.
type brokenTool struct {
	said string
	tail string
	cut  error // why it was ended by us; nil: it ended by itself
}

func (b *brokenTool) Error() string { return b.said }
func (b *brokenTool) Unwrap() error { return b.cut }

// ended says in words how the program ended, when that was no good end.
func (d *dump) ended(p plan, e host.Ended, err error, tail string) error {
	var lost *host.LostError
	b := &brokenTool{tail: tail, cut: e.Cut}
	switch {
	case errors.As(err, &lost):
		b.said = fmt.Sprintf("%s: %v", p.tool.name(), err)
	case err != nil:
		return err
	case e.Cut != nil && disk.Full(e.Cut):
		b.said = "no room is left: " + e.Cut.Error()
	case errors.Is(e.Cut, context.DeadlineExceeded):
		b.said = p.tool.name() + " did not end within the step's timeout, and was ended"
	case errors.Is(e.Cut, context.Canceled):
		b.said = p.tool.name() + " was ended because the step was cancelled"
	case e.Cut != nil:
		b.said = fmt.Sprintf("%s was ended: %v", p.tool.name(), e.Cut)
	case e.Signal != 0:
		b.said = fmt.Sprintf("%s was ended by signal %d (%s)", p.tool.name(), int(e.Signal), e.Signal)
	case e.Code != 0:
		b.said = fmt.Sprintf("%s ended with code %d", p.tool.name(), e.Code)
	default:
		return nil
	}
	if line := lastLine(tail); line != "" && e.Cut == nil {
		b.said += ": " + line
		if hint := p.d.hint(tail); hint != "" {
			b.said += "; " + hint
		}
	}
	b.said += "; nothing of the dump is kept"
	return b
}

var aside = regexp.MustCompile(`^(\S+: (detail|hint): |\s)`)

// lastLine is the last thing that was said, not what was added to explain it, or goes on with it.
func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	last := lines[len(lines)-1]
	for i := len(lines) - 1; i >= 0 && aside.MatchString(last); i-- {
		last = lines[i]
	}
	return shorten(last, 300)
}

// complete says what is not there although the program called its work done.
func complete(scan stream.Scanner, p plan) error {
	if !scan.Complete() {
		return &brokenTool{said: fmt.Sprintf("%s ended well, and its output has not the mark that it writes at its end: it is cut short; nothing of it is kept", p.tool.name())}
	}
	there := map[string]bool{}
	for _, t := range scan.Tables() {
		there[t.Name] = true
	}
	if why := scan.Refused(); why != "" {
		return &brokenTool{said: fmt.Sprintf("%s ended well, and its output could not be restored: %s; nothing of it is kept", p.tool.name(), why)}
	}
	for _, name := range p.order.tables {
		if !there[name] {
			return &brokenTool{said: fmt.Sprintf("%s ended well, and table %s is not in its output; nothing of it is kept", p.tool.name(), name)}
		}
	}
	return nil
}

// publish gives both files their names. The manifest comes first: a crash between the two leaves nothing that
// looks like a backup.
func (m made) publish(w *disk.Writer, draft *disk.Draft, token string) (err error) {
	if err := draft.Sync(); err != nil {
		return err
	}
	text, err := m.Encode()
	if err != nil {
		return err
	}
	beside, err := w.Draft(m.path+proof.ManifestSuffix, key(token), dumpMode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, beside.Discard()) }()
	if _, err := beside.Write(text); err != nil {
		return err
	}
	if err := beside.Sync(); err != nil {
		return err
	}
	if _, err := w.Lstat(m.path); err == nil {
		return fmt.Errorf("%s has come into being meanwhile, and is left alone; give this dump another name", m.path)
	}
	if err := beside.Publish(); err != nil {
		return err
	}
	folder := filepath.Dir(m.path)
	if err := w.SyncFolder(folder); err != nil {
		return err
	}
	if err := draft.Publish(); err != nil {
		return err
	}
	return w.SyncFolder(folder)
}

// sumOf reads all of a file.
func sumOf(ctx context.Context, f *disk.File) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, stopping{ctx, f}); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), f.Unchanged()
}

// stopping is a reader that ends with the context.
type stopping struct {
	ctx context.Context //nolint:containedctx // it lives as long as the one call that reads
	r   io.Reader
}

func (s stopping) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}
