package file

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/disk"
	"github.com/handrail-dev/handrail/steps/internal/proof"
)

type pruneParams struct {
	Prune pruning `param:"prune" need:"yes" doc:"Which backups to remove."`
}

type pruning struct {
	Folder    steps.Path     `param:"folder" need:"yes" doc:"The folder of the backups."`
	Match     string         `param:"match" need:"yes" doc:"The pattern of their names, such as numbering-*.tar.zst. Checksum files and manifests go with their backup; hidden files need a pattern that begins with a dot."`
	Keep      *int64         `param:"keep" doc:"The newest that stay, whatever their age. Needed unless older_than is given."`
	OlderThan *time.Duration `param:"older_than" doc:"Only those that were written to longer ago than this are removed; a day is 24h."`
	Proven    *bool          `param:"proven" default:"true" doc:"At least one that its checksum file or manifest proves must stay. false: these are no backups, such as logs, and age and count alone decide."`
}

func judgePrune(f *finder) {
	f.path("folder")
	if match, ok := f.text("match"); ok {
		switch {
		case match == "":
			f.add("match", "names no files; * is all of them")
		case strings.Contains(match, "/"):
			f.add("match", "is compared with names in the folder, and no name has a slash")
		}
	}
	f.patterns("match")
	_, aged := f.r["older_than"]
	keep, counted := f.r["keep"]
	if !aged && !counted {
		f.add("", "say what stays: keep, older_than or both")
	}
	if n, ok := keep.(int64); ok && (n < 0 || n == 0 && !aged) {
		f.add("keep", "at least one must stay")
	}
	if d, ok := f.r["older_than"].(time.Duration); ok && d <= 0 {
		f.add("older_than", "must be longer than nothing")
	}
}

// backup is one file that the pattern names.
type backup struct {
	name string
	info fs.FileInfo
}

// verdict is what prune has decided.
type verdict struct {
	doomed []backup // newest first
	kept   []backup // newest first
	proven string   // the newest that is; empty if nothing is doomed, or nobody asked
	size   int64    // of the doomed
	spared string   // one that age and count would have removed
}

// decide says what goes and what stays. It reads backups until it has found one that is proven: most often
// that is the newest.
func (p *pruning) decide(ctx context.Context, s site, folder string) (v verdict, err error) {
	all, linked, err := p.list(s, folder)
	if err != nil {
		return v, err
	}
	keep, now := 0, s.env.Now()
	if p.Keep != nil {
		keep = int(min(*p.Keep, int64(len(all))))
	}
	for i, b := range all {
		old := p.OlderThan == nil || now.Sub(b.info.ModTime()) > *p.OlderThan
		if i >= keep && old && !linked[b.name] {
			v.doomed = append(v.doomed, b)
		} else {
			v.kept = append(v.kept, b)
		}
	}
	if len(v.doomed) > 0 && (p.Proven == nil || *p.Proven) {
		if err := p.spare(ctx, s, folder, &v); err != nil {
			return v, err
		}
	}
	for _, b := range v.doomed {
		v.size += b.info.Size()
	}
	return v, nil
}

// spare makes sure that a proven backup stays. Where none of those that stay is proven, the newest of the
// others that is stays too; where none is, nothing may go: the one good backup could be among them.
func (p *pruning) spare(ctx context.Context, s site, folder string, v *verdict) error {
	m := newMeter(ctx, s.env, 0)
	var why string
	first := func(of []backup) (int, error) {
		for i, b := range of {
			ok, said, err := s.proven(m, filepath.Join(folder, b.name))
			if err != nil {
				return 0, err
			}
			if ok {
				return i, nil
			}
			if why == "" {
				why = b.name + ": " + said
			}
		}
		return -1, nil
	}
	i, err := first(v.kept)
	if err != nil {
		return err
	}
	if i >= 0 {
		v.proven = v.kept[i].name
		return nil
	}
	if i, err = first(v.doomed); err != nil {
		return err
	}
	if i < 0 {
		return fmt.Errorf("none of the %d backups in %s is proven (%s), so nothing is removed; make a good one first, or say proven: false if these are no backups",
			len(v.kept)+len(v.doomed), folder, why)
	}
	one := v.doomed[i]
	v.proven, v.spared = one.name, one.name
	v.doomed = slices.Delete(v.doomed, i, i+1)
	v.kept = append(v.kept, one)
	slices.SortFunc(v.kept, newestFirst)
	return nil
}

func newestFirst(a, b backup) int {
	return cmp.Or(b.info.ModTime().Compare(a.info.ModTime()), strings.Compare(b.name, a.name))
}

// list finds the backups, newest first, and those that a symbolic link of the folder leads to.
func (p *pruning) list(s site, folder string) (all []backup, linked map[string]bool, err error) {
	entries, err := s.List(folder)
	if err != nil {
		return nil, nil, err
	}
	var links []fs.FileInfo
	for _, e := range entries {
		name := e.Name()
		if e.Type() == fs.ModeSymlink {
			if info, err := s.Stat(filepath.Join(folder, name)); err == nil {
				links = append(links, info)
			}
			continue
		}
		if ok, _ := path.Match(p.Match, name); !ok || proof.Is(name) || !e.Type().IsRegular() {
			continue
		}
		if name[0] == '.' && p.Match[0] != '.' {
			continue
		}
		info, err := s.Lstat(filepath.Join(folder, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has gone meanwhile
		}
		if err != nil {
			return nil, nil, err
		}
		all = append(all, backup{name, info})
	}
	slices.SortFunc(all, newestFirst)
	linked = map[string]bool{}
	for _, b := range all {
		linked[b.name] = slices.ContainsFunc(links, func(l fs.FileInfo) bool { return disk.Same(l, b.info) })
	}
	return all, linked, nil
}

func (p *pruning) preview(ctx context.Context, s site) (engine.Impact, error) {
	i := engine.Impact{Standing: engine.StandingWould, Risk: engine.RiskIrreversible, Would: fmt.Sprintf("prune %s in %s", p.Match, p.Folder)}
	folder, err := s.path(p.Folder)
	if err != nil {
		return i, err
	}
	v, err := p.decide(ctx, s, folder)
	if err != nil {
		return i, err
	}
	i.Figures = []engine.Figure{exact("files", int64(len(v.doomed))), exact("bytes", v.size)}
	i.Facts = []engine.Fact{{Name: folder, Value: fmt.Sprintf("%d stay", len(v.kept))}}
	if v.proven != "" {
		i.Facts = append(i.Facts, engine.Fact{Name: v.proven, Value: "is the newest that is proven"})
	}
	if v.spared != "" {
		i.Warnings = append(i.Warnings, v.spared+" stays although its time is over: none of the newer ones is proven")
	}
	for _, b := range slices.Backward(v.doomed) {
		i.Details = append(i.Details, fmt.Sprintf("remove %s (%s, %s)", b.name, size(b.info.Size()), b.info.ModTime().UTC().Format(time.RFC3339)))
	}
	if len(v.doomed) == 0 {
		i.Standing = engine.StandingAlready
	}
	return i, nil
}

func (p *pruning) change(ctx context.Context, s site, w *disk.Writer) (engine.Record, error) {
	folder, err := s.path(p.Folder)
	if err != nil {
		return nil, err
	}
	before, err := p.finish(s, w, folder)
	if err != nil {
		return nil, err
	}
	v, err := p.decide(ctx, s, folder)
	if err != nil {
		return nil, err
	}
	removed := append(engine.List{}, before...)
	for _, b := range slices.Backward(v.doomed) {
		removed = append(removed, b.name)
	}
	if len(v.doomed) > 0 {
		// Which they are is known to a later attempt BEFORE the first is gone.
		if err := s.env.Note(engine.Record{"folder": folder, "removing": removed}); err != nil {
			return nil, err
		}
	}
	for i, b := range slices.Backward(v.doomed) {
		if err := ctx.Err(); err != nil {
			return nil, some(len(before) > 0 || i < len(v.doomed)-1, err)
		}
		if err := p.remove(s, w, filepath.Join(folder, b.name), b.info); err != nil {
			return nil, some(len(before) > 0 || i < len(v.doomed)-1, fmt.Errorf("prune %s: %w", folder, err))
		}
		fmt.Fprintf(s.env.Output(), "removed %s (%s)\n", b.name, size(b.info.Size()))
		s.env.Progress(int64(len(v.doomed)-i), int64(len(v.doomed)), "files")
	}
	if len(removed) > 0 {
		if err := w.SyncFolder(folder); err != nil {
			return nil, partial{err}
		}
	}
	kept := make(engine.List, len(v.kept))
	for i, b := range v.kept {
		kept[i] = b.name
	}
	r := engine.Record{"path": folder, "removed": removed, "count": int64(len(removed)), "size": v.size, "kept": kept,
		"proven": nil, "changed": len(removed) > 0}
	if v.proven != "" {
		r["proven"] = v.proven
	}
	return r, nil
}

// some marks a failure AFTER a part of the effect.
func some(part bool, err error) error {
	if part {
		return partial{err}
	}
	return err
}

// remove takes a backup away, and only then what proves it.
func (p *pruning) remove(s site, w *disk.Writer, name string, seen fs.FileInfo) error {
	if err := w.Remove(name, seen); err != nil {
		return err
	}
	return p.orphans(s, w, name)
}

// orphans removes the checksum file and the manifest of a backup that is gone.
func (p *pruning) orphans(s site, w *disk.Writer, name string) error {
	for _, beside := range proof.Names(name) {
		info, err := s.Lstat(beside)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := w.Remove(beside, info); err != nil {
			return err
		}
	}
	return nil
}

// finish looks at what an attempt that was cut off meant to remove: what of it is gone was removed by that,
// and what stood beside it goes too.
func (p *pruning) finish(s site, w *disk.Writer, folder string) (gone engine.List, err error) {
	note, ok := s.env.Call.Note.(engine.Record)
	if !ok || note["folder"] != folder {
		return nil, nil
	}
	names, _ := note["removing"].(engine.List)
	for _, v := range names {
		name, ok := v.(string)
		if !ok || name != filepath.Base(name) {
			return nil, fmt.Errorf("the note of an earlier attempt names %v, which is no name of a backup", v)
		}
		if _, err := s.Lstat(filepath.Join(folder, name)); err == nil {
			continue
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err := p.orphans(s, w, filepath.Join(folder, name)); err != nil {
			return nil, err
		}
		gone = append(gone, name)
	}
	return gone, nil
}
