package file

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/disk"
	"github.com/handrail-dev/handrail/steps/internal/proof"
)

type extractParams struct {
	Extract extracting `param:"extract" need:"yes" doc:"What to unpack where."`
}

type extracting struct {
	From      steps.Path  `param:"from" need:"yes" doc:"The archive: tar, tar.gz or tar.zst, told by its content."`
	To        steps.Path  `param:"to" need:"yes" doc:"The folder. It is made if it is not there; the one above it must be."`
	Overwrite bool        `param:"overwrite" default:"false" doc:"Replace files of the folder that differ from those of the archive. Without it the step fails if there are any. Other files of the folder stay in any case."`
	MaxSize   *steps.Size `param:"max_size" doc:"The most that the archive may have unpacked. Without it, 100 times its own size, or 1 GiB if that is more."`
}

// most is how much the archive may have unpacked.
func (x *extracting) most(packed int64) int64 {
	if x.MaxSize != nil {
		return int64(*x.MaxSize)
	}
	const floor, ratio = 1 << 30, 100
	return max(floor, packed*ratio)
}

// survey is what is known AFTER an archive was read through.
type survey struct {
	from, to string
	there    bool // to exists
	members  []member
	differs  map[string]bool // what is new, or not as in the archive
	conflict []string        // what is there and not as in the archive
	files    int64
	bytes    int64
}

// look reads the archive through and compares it with the folder. It writes nothing.
func (x *extracting) look(m *meter, s site, f *disk.File, sv *survey) error {
	var at *disk.Tree
	info, err := s.Lstat(sv.to)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := s.destination(sv.to); err != nil {
			return err
		}
	case err != nil:
		return err
	case info.Mode().Type() == fs.ModeSymlink:
		return fmt.Errorf("%s is a symbolic link; name the folder itself", sv.to)
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder", sv.to)
	default:
		sv.there = true
		if at, err = s.Look(sv.to); err != nil {
			return err
		}
		defer func() { _ = at.Close() }() // it was only looked at
	}
	sv.differs = map[string]bool{}
	sums := map[string]string{}
	sum, err := unpack(m, f, x.most(f.Info().Size()), func(one member, content io.Reader) error {
		sv.members = append(sv.members, one)
		if one.kind == memberFile {
			sv.files++
			sv.bytes += one.size
		}
		same, clash, err := compare(m, at, one, content, sums)
		if err != nil {
			return err
		}
		if !same {
			sv.differs[one.name] = true
		}
		if clash {
			sv.conflict = append(sv.conflict, one.name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := f.Unchanged(); err != nil {
		return err
	}
	claims, err := proof.Claims(s.Reader, sv.from)
	if err != nil || len(claims) == 0 {
		return err
	}
	if ok, why := proof.Agree(claims, sum, f.Info().Size()); !ok {
		return fmt.Errorf("the archive is refused: %s", why)
	}
	return nil
}

// compare says whether a member is in the folder as it is in the archive, and whether something else is.
// sums remembers the files whose content was read, for the hard links to them.
func compare(m *meter, at *disk.Tree, one member, content io.Reader, sums map[string]string) (same, clash bool, err error) {
	if at == nil {
		return false, false, nil
	}
	if err := parents(at, one.name); err != nil {
		return false, false, err
	}
	info, err := at.Lstat(one.name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	if one.kind == memberFolder || info.IsDir() {
		if one.kind == memberFolder && info.IsDir() {
			return true, false, nil
		}
		return false, false, fmt.Errorf("%s stands in the way: one is a folder, here or in the archive, and the other is not", one.name)
	}
	switch one.kind {
	case memberSymlink:
		if info.Mode().Type() != fs.ModeSymlink {
			return false, true, nil
		}
		target, err := at.Readlink(one.name)
		return target == one.link, target != one.link, err
	case memberFile:
		if !info.Mode().IsRegular() || info.Size() != one.size {
			return false, true, nil
		}
		h := sha256.New()
		if _, err := pass(h, content); err != nil {
			return false, false, fmt.Errorf("the archive cannot be read: %w", err)
		}
		sums[one.name] = hexOf(h)
		same, err := sameContent(m, at, one.name, sums[one.name])
		return same, !same, err
	case memberLink:
		wanted, known := sums[one.link]
		if !known || !info.Mode().IsRegular() {
			return false, true, nil
		}
		same, err := sameContent(m, at, one.name, wanted)
		return same, !same, err
	case memberFolder:
	}
	return false, true, nil
}

func sameContent(m *meter, at *disk.Tree, name, wanted string) (bool, error) {
	f, err := at.Open(name)
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }() // it was only read
	// Not through the meter's count: that is of the archive.
	got, err := sum(&meter{stop: m.stop, show: func(int64, int64, string) {}}, f)
	return got == wanted, err
}

// parents refuses a way that leads through a symbolic link of the folder.
func parents(at *disk.Tree, name string) error {
	for i, r := range name {
		if r != '/' {
			continue
		}
		info, err := at.Lstat(name[:i])
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return fmt.Errorf("%s stands in the way: it is no folder, and the archive has files below it", name[:i])
		}
	}
	return nil
}

func (x *extracting) refuseConflicts(sv survey) error {
	if len(sv.conflict) == 0 || x.Overwrite {
		return nil
	}
	shown := sv.conflict
	if len(shown) > 5 {
		shown = append(append([]string{}, shown[:5]...), "…")
	}
	return fmt.Errorf("%d files of %s differ from those in the archive (%s); say overwrite: true to replace them", len(sv.conflict), sv.to, strings.Join(shown, ", "))
}

func (x *extracting) paths(s site) (sv survey, err error) {
	if sv.from, err = s.path(x.From); err != nil {
		return sv, err
	}
	// What proves an archive stands beside the file itself, not beside a link such as latest.
	if sv.from, err = s.Real(sv.from); err != nil {
		return sv, err
	}
	sv.to, err = s.path(x.To)
	return sv, err
}

func (x *extracting) preview(ctx context.Context, s site) (engine.Impact, error) {
	i := engine.Impact{Standing: engine.StandingWould, Would: fmt.Sprintf("unpack %s into %s", x.From, x.To)}
	sv, err := x.paths(s)
	if err != nil {
		return i, err
	}
	f, err := s.Open(sv.from)
	if err != nil {
		return i, err
	}
	defer func() { _ = f.Close() }() // it was only read
	if err := x.look(newMeter(ctx, s.env, 0), s, f, &sv); err != nil {
		return i, err
	}
	i.Figures = []engine.Figure{exact("files", sv.files), exact("bytes", sv.bytes)}
	if sv.there && len(sv.differs) == 0 {
		i.Standing = engine.StandingAlready
		return i, nil
	}
	i.Figures = append(i.Figures, exact("replaced", int64(len(sv.conflict))))
	i.Facts = s.freeFact(filepath.Dir(sv.to))
	if err := x.refuseConflicts(sv); err != nil {
		return i, err
	}
	return i, s.room(sv.near(), sv.bytes)
}

// near is a folder that exists on the file system of the destination.
func (sv survey) near() string {
	if sv.there {
		return sv.to
	}
	return filepath.Dir(sv.to)
}

// staging is where the archive is unpacked BEFORE any of it gets its name.
func (sv survey) staging(key string) string {
	if sv.there {
		return disk.TempName(filepath.Join(sv.to, filepath.Base(sv.to)), key)
	}
	return disk.TempName(sv.to, key)
}

func (x *extracting) change(ctx context.Context, s site, w *disk.Writer) (engine.Record, error) {
	sv, err := x.paths(s)
	if err != nil {
		return nil, err
	}
	for _, there := range []bool{true, false} {
		if err := w.Clear(survey{to: sv.to, there: there}.staging(s.key())); err != nil {
			return nil, err
		}
	}
	f, err := s.Open(sv.from)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	m := newMeter(ctx, s.env, 2*f.Info().Size())
	if err := x.look(m, s, f, &sv); err != nil {
		return nil, err
	}
	r := engine.Record{"path": sv.to, "count": sv.files, "size": sv.bytes, "written": int64(len(sv.differs)), "replaced": int64(len(sv.conflict)), "changed": true}
	if sv.there && len(sv.differs) == 0 {
		r["changed"] = false
		return r, w.SyncFolder(sv.to)
	}
	if err := x.refuseConflicts(sv); err != nil {
		return nil, err
	}
	if err := s.room(sv.near(), sv.bytes); err != nil {
		return nil, err
	}
	if err := f.Rewind(); err != nil {
		return nil, err
	}
	if err := x.write(ctx, m, s, w, f, sv); err != nil {
		return nil, fmt.Errorf("extract %s: %w", sv.from, err)
	}
	return r, nil
}

// write unpacks into a folder of its own, makes that durable, and only then lets names lead to it.
func (x *extracting) write(ctx context.Context, m *meter, s site, w *disk.Writer, f *disk.File, sv survey) (err error) {
	staging := sv.staging(s.key())
	if err := w.MakeFolder(staging); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Clear(staging)) }()
	tree, err := w.Tree(staging)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tree.Close()) }()
	// The archive is judged again as it is written: it might be another by now.
	folders, err := fill(m, tree, f, x.most(f.Info().Size()))
	if err != nil {
		return err
	}
	if err := f.Unchanged(); err != nil {
		return err
	}
	if !sv.there {
		if err := dress(tree, folders); err != nil {
			return err
		}
	}
	if err := tree.Sync(); err != nil {
		return err
	}
	// The last moment at which a cancelled step has no effect.
	if err := ctx.Err(); err != nil {
		return err
	}
	if !sv.there {
		if err := w.Rename(staging, sv.to); err != nil {
			return err
		}
		if err := w.SyncFolder(filepath.Dir(sv.to)); err != nil {
			return partial{err}
		}
		return nil
	}
	return sv.merge(w, filepath.Base(staging))
}
