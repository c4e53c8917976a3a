package file

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"

	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/disk"
)

// entry is one file, folder or symbolic link that is packed.
type entry struct {
	name string // in the archive
	path string
	info fs.FileInfo
	link string // what a symbolic link says
}

// sources are all of them, in the order of the archive: sorted within each folder.
type sources struct {
	entries []entry
	files   int64
	bytes   int64
	leftOut []string
}

// scan finds what is to be packed. out is the folder of the archive, which must not be among it.
func (a *archiving) scan(s site, out fs.FileInfo) (sources, error) {
	var set sources
	taken := map[string]bool{}
	for _, from := range a.From {
		abs, err := s.path(steps.Path(from))
		if err != nil {
			return set, err
		}
		name := filepath.Base(abs)
		if name == "/" {
			return set, errors.New("the root folder has no name; say which folders of it")
		}
		if taken[name] {
			return set, fmt.Errorf("two sources have the last name %s, and each stands in the archive under it", name)
		}
		taken[name] = true
		real, err := s.Real(abs)
		if err != nil {
			return set, err
		}
		if err := a.walk(s, &set, real, name, out); err != nil {
			return set, err
		}
	}
	return set, nil
}

func (a *archiving) walk(s site, set *sources, at, name string, out fs.FileInfo) error {
	if a.excluded(name) {
		return nil
	}
	info, err := s.Lstat(at)
	if err != nil {
		return err
	}
	e := entry{name: name, path: at, info: info}
	switch mode := info.Mode(); {
	case mode.IsRegular():
		set.files++
		set.bytes += info.Size()
	case mode.Type() == fs.ModeSymlink:
		if e.link, err = s.Readlink(at); err != nil {
			return err
		}
		// What extract would refuse is no backup.
		if err := staysInside(name, e.link); err != nil {
			return fmt.Errorf("%s: %w; exclude it, or pack what it leads to", at, err)
		}
	case mode.IsDir():
		if disk.Same(info, out) {
			return fmt.Errorf("the archive would lie in %s, which it is to hold; put it elsewhere, or exclude the folder", at)
		}
		set.entries = append(set.entries, e)
		list, err := s.List(at)
		if err != nil {
			return err
		}
		for _, child := range list {
			if err := a.walk(s, set, filepath.Join(at, child.Name()), path.Join(name, child.Name()), out); err != nil {
				return err
			}
		}
		return nil
	case mode.Type() == fs.ModeSocket:
		set.leftOut = append(set.leftOut, name)
		return nil
	default:
		return fmt.Errorf("%s %w, and cannot be packed; exclude it", at, disk.ErrNotRegular)
	}
	set.entries = append(set.entries, e)
	return nil
}

func (a *archiving) excluded(name string) bool {
	for _, pattern := range a.Exclude {
		// The pattern was looked at when it was decoded.
		if ok, _ := path.Match(pattern, path.Base(name)); ok {
			return true
		}
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return false
}

// same says what differs between two scans.
func (set sources) same(now sources) error {
	for i, e := range set.entries {
		if i >= len(now.entries) {
			return fmt.Errorf("%s %w: it is gone", e.path, disk.ErrChanged)
		}
		n := now.entries[i]
		switch {
		case n.name < e.name:
			return fmt.Errorf("%s %w: it came into being", n.path, disk.ErrChanged)
		case n.name > e.name:
			return fmt.Errorf("%s %w: it is gone", e.path, disk.ErrChanged)
		case e.info.IsDir() && n.info.IsDir() && disk.Same(e.info, n.info):
			// What counts of a folder is what it holds; its time of change follows what is excluded too.
		case !disk.Alike(e.info, n.info), e.link != n.link:
			return fmt.Errorf("%s %w", e.path, disk.ErrChanged)
		}
	}
	if len(now.entries) > len(set.entries) {
		return fmt.Errorf("%s %w: it came into being", now.entries[len(set.entries)].path, disk.ErrChanged)
	}
	return nil
}
