package file

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/disk"
	"github.com/handrail-dev/handrail/steps/internal/proof"
)

type archiveParams struct {
	Archive archiving `param:"archive" need:"yes" doc:"What to pack where."`
}

type archiving struct {
	From    steps.Texts `param:"from" need:"yes" doc:"Files and folders. Each stands in the archive under its own last name."`
	To      steps.Path  `param:"to" need:"yes" doc:"The archive: a name that ends in .tar.gz, .tgz, .tar.zst or .tzst."`
	Exclude steps.Texts `param:"exclude" doc:"Patterns such as *.tmp or data/cache, compared with the last name and with the whole name in the archive. A folder is left out with all that is in it."`

	Overwrite bool `param:"overwrite" default:"false" doc:"Replace a file that has the archive's name. Without it the step fails, because that may be a good backup."`
}

func judgeArchive(f *finder) {
	f.path("to")
	if to, ok := f.text("to"); ok && to != "" && formatOf(to) == 0 {
		f.add("to", "%q says no format; end it in .tar.zst or .tar.gz", filepath.Base(to))
	}
	from, ok := f.r["from"].(engine.List)
	if ok && len(from) == 0 || f.r["from"] == nil || f.r["from"] == "" {
		f.add("from", "names no file")
	}
	seen := map[string]bool{}
	for i, v := range from {
		text, ok := v.(string)
		base := filepath.Base(text)
		switch at := fmt.Sprintf("from[%d]", i); {
		case !ok:
		case text == "":
			f.add(at, "names no file")
		case seen[base]:
			f.add(at, "another source has the last name %s too, and each stands in the archive under it", base)
		default:
			seen[base] = true
		}
	}
	f.patterns("exclude")
}

// patterns looks at a pattern, or a list of them.
func (f *finder) patterns(name string) {
	list, ok := f.r[name].(engine.List)
	if !ok {
		list = engine.List{f.r[name]}
	}
	for i, v := range list {
		if text, ok := v.(string); ok {
			if _, err := filepath.Match(text, "x"); err != nil {
				at := name
				if _, isList := f.r[name].(engine.List); isList {
					at = fmt.Sprintf("%s[%d]", name, i)
				}
				f.add(at, "%q is not a pattern: %v", text, err)
			}
		}
	}
}

// format is how an archive is compressed.
type format int

const (
	plainTar format = iota + 1
	gzipTar
	zstdTar
)

func formatOf(name string) format {
	switch name = strings.ToLower(name); {
	case strings.HasSuffix(name, ".tar.gz"), strings.HasSuffix(name, ".tgz"):
		return gzipTar
	case strings.HasSuffix(name, ".tar.zst"), strings.HasSuffix(name, ".tzst"):
		return zstdTar
	}
	return 0
}

// look finds what would be packed, and that it may be packed there.
func (a *archiving) look(s site) (set sources, to string, was fs.FileInfo, err error) {
	if to, err = s.path(a.To); err != nil {
		return set, to, nil, err
	}
	if was, err = s.destination(to); err != nil {
		return set, to, nil, err
	}
	folder, err := s.Stat(filepath.Dir(to))
	if err != nil {
		return set, to, was, err
	}
	set, err = a.scan(s, folder)
	return set, to, was, err
}

func (a *archiving) preview(_ context.Context, s site) (engine.Impact, error) {
	i := engine.Impact{Standing: engine.StandingWould, Would: fmt.Sprintf("pack %s into %s", strings.Join(a.From, ", "), a.To)}
	set, to, was, err := a.look(s)
	if err != nil {
		return i, err
	}
	i.Figures = []engine.Figure{exact("files", set.files), exact("bytes", set.bytes)}
	i.Facts = s.freeFact(filepath.Dir(to))
	s.againstLast(to, &i)
	if was != nil {
		if !a.Overwrite {
			return i, taken(to)
		}
		i.Warnings = append(i.Warnings, fmt.Sprintf("%s is there (%s), and would be replaced", to, size(was.Size())))
	}
	if free, err := s.Free(filepath.Dir(to)); err == nil && set.bytes > free {
		i.Warnings = append(i.Warnings, fmt.Sprintf("the sources have %s and only %s are free: it fits only if they can be compressed that far", size(set.bytes), size(free)))
	}
	for _, name := range set.leftOut {
		i.Warnings = append(i.Warnings, "the socket "+name+" is left out")
	}
	return i, nil
}

func taken(to string) error {
	return fmt.Errorf("%s is there already, and may be a good backup; give the new one another name, or say overwrite: true", to)
}

func (a *archiving) change(ctx context.Context, s site, w *disk.Writer) (r engine.Record, err error) {
	to, err := s.path(a.To)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{to, to + proof.SumSuffix} {
		if err := w.Clear(disk.TempName(name, s.key())); err != nil {
			return nil, err
		}
	}
	if r, err := s.publishedBefore(ctx, w, to); r != nil || err != nil {
		return r, err
	}
	set, _, was, err := a.look(s)
	if err != nil {
		return nil, err
	}
	if was != nil && !a.Overwrite {
		return nil, taken(to)
	}
	for _, name := range set.leftOut {
		fmt.Fprintf(s.env.Output(), "left out: the socket %s\n", name)
	}
	d, err := w.Draft(to, s.key(), 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Discard()) }()
	out := disk.NewCounted(d)
	if err := pack(newMeter(ctx, s.env, set.bytes), s, out, formatOf(to), set); err != nil {
		return nil, fmt.Errorf("archive %s: %w", to, err)
	}
	if err := a.unchanged(s, set, to); err != nil {
		return nil, fmt.Errorf("archive %s: %w", to, err)
	}
	sum := out.SHA256()
	beside, err := w.Draft(to+proof.SumSuffix, s.key(), 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, beside.Discard()) }()
	if _, err := fmt.Fprintf(beside, "%s  %s\n", sum, filepath.Base(to)); err != nil {
		return nil, fmt.Errorf("archive %s: %w", to, err)
	}
	leftOut := make(engine.List, len(set.leftOut))
	for i, name := range set.leftOut {
		leftOut[i] = name
	}
	r = engine.Record{"path": to, "size": out.Size(), "sha256": sum, "count": set.files, "content": set.bytes, "left_out": leftOut}
	// Noted BEFORE the name is taken, so that a later attempt knows its own work by its sum.
	if err := s.env.Note(r); err != nil {
		return nil, err
	}
	// The proof comes first: a crash between the two leaves nothing that looks like a backup.
	if err := publish(ctx, w, to, beside, d); err != nil {
		return nil, fmt.Errorf("archive %s: %w", to, err)
	}
	return r, nil
}

// publishedBefore is the result of an attempt that was cut off AFTER it had published its archive; nil if
// there was none.
func (s site) publishedBefore(ctx context.Context, w *disk.Writer, to string) (engine.Record, error) {
	noted, ok := s.env.Call.Note.(engine.Record)
	if !ok || noted["path"] != to {
		return nil, nil
	}
	if info, err := s.Lstat(to); err != nil || !info.Mode().IsRegular() || noted["size"] != info.Size() {
		return nil, ignoreMissing(err)
	}
	sum, err := s.sumOf(newMeter(ctx, s.env, 0), to)
	if err != nil || sum != noted["sha256"] {
		return nil, err
	}
	if ok, _, err := s.proven(newMeter(ctx, s.env, 0), to); !ok || err != nil {
		return nil, err
	}
	return noted, w.SyncFolder(filepath.Dir(to))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// unchanged looks at all sources a second time, AFTER the last was read: what is in the archive was all
// there at one time.
func (a *archiving) unchanged(s site, set sources, to string) error {
	folder, err := s.Stat(filepath.Dir(to))
	if err != nil {
		return err
	}
	now, err := a.scan(s, folder)
	if err != nil {
		return fmt.Errorf("%w: %w", disk.ErrChanged, err)
	}
	return set.same(now)
}

// pack writes the archive.
func pack(m *meter, s site, out io.Writer, f format, set sources) error {
	var c io.WriteCloser
	var err error
	switch f {
	case gzipTar:
		c = gzip.NewWriter(out)
	case zstdTar:
		c, err = zstd.NewWriter(out)
	case plainTar:
		err = errors.New("an archive is compressed")
	}
	if err != nil {
		return err
	}
	t := tar.NewWriter(c)
	for _, e := range set.entries {
		if err := packOne(m, s, t, e); err != nil {
			// Its goroutines end with it. That it fails as well says nothing new.
			_ = c.Close()
			return err
		}
	}
	return errors.Join(t.Close(), c.Close())
}

func packOne(m *meter, s site, t *tar.Writer, e entry) error {
	if err := m.stop(); err != nil {
		return err
	}
	uid, gid := disk.Owner(e.info)
	h := &tar.Header{Name: e.name, Mode: int64(e.info.Mode().Perm()), Uid: uid, Gid: gid,
		ModTime: e.info.ModTime(), Format: tar.FormatPAX}
	switch {
	case e.info.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, e.name+"/"
		return t.WriteHeader(h)
	case e.info.Mode().Type() == fs.ModeSymlink:
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
		return t.WriteHeader(h)
	}
	f, err := s.Open(e.path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	if !disk.Alike(e.info, f.Info()) {
		return fmt.Errorf("%s %w", e.path, disk.ErrChanged)
	}
	h.Typeflag, h.Size = tar.TypeReg, f.Info().Size()
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	// One that grows is not read beyond its size; that it grew is found below.
	n, err := pass(t, m.reader(io.LimitReader(f, h.Size)))
	if err != nil {
		return err
	}
	if n < h.Size {
		return fmt.Errorf("%s %w: it became shorter", e.path, disk.ErrChanged)
	}
	return f.Unchanged()
}
