package file

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"

	"github.com/handrail-dev/handrail/steps/internal/disk"
)

// folderMode is that of folders which the archive has files below, and does not name.
const folderMode = 0o755

// fill unpacks into a tree that was empty. Its folders, which it names, are left open to their owner: one
// that is read-only could neither be emptied nor taken away.
func fill(m *meter, tree *disk.Tree, from io.Reader, most int64) ([]member, error) {
	var folders []member
	_, err := unpack(m, from, most, func(one member, content io.Reader) error {
		if one.kind == memberFolder {
			folders = append(folders, one)
			return tree.Mkdir(one.name)
		}
		if above := path.Dir(one.name); above != "." {
			made, err := newFolders(tree, above)
			if err != nil {
				return err
			}
			folders = append(folders, made...)
		}
		switch one.kind {
		case memberSymlink:
			if err := tree.Symlink(one.link, one.name); err != nil {
				return err
			}
		case memberLink:
			// It has the owner, mode and time of the file that it is a name of.
			return tree.Link(one.link, one.name)
		case memberFile:
			if err := fillFile(tree, one, content); err != nil {
				return err
			}
		case memberFolder:
		}
		return tree.Dress(one.name, one.mode, one.uid, one.gid, one.at)
	})
	return folders, err
}

// dress gives folders their owners, modes and times. It comes AFTER all that is in them is in its place,
// because a time follows what is put in; the deepest first, because a folder may be made read-only.
func dress(tree *disk.Tree, folders []member) error {
	// Stable: one that was implied, and is named later, is last what it was named as.
	slices.SortStableFunc(folders, func(a, b member) int { return len(b.name) - len(a.name) })
	for _, f := range folders {
		if err := tree.Dress(f.name, f.mode, f.uid, f.gid, f.at); err != nil {
			return err
		}
	}
	return nil
}

// newFolders makes a folder and those above it, and says which were not there.
func newFolders(tree *disk.Tree, name string) ([]member, error) {
	var made []member
	for at := name; at != "."; at = path.Dir(at) {
		if _, err := tree.Lstat(at); err == nil {
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		made = append(made, member{name: at, kind: memberFolder, mode: folderMode, uid: -1, gid: -1})
	}
	return made, tree.Mkdir(name)
}

func fillFile(tree *disk.Tree, one member, content io.Reader) error {
	f, err := tree.Create(one.name)
	if err != nil {
		return err
	}
	n, err := pass(f, content)
	if err == nil && n != one.size {
		err = fmt.Errorf("entry %q ends early", one.name)
	}
	return errors.Join(err, f.Close())
}

// merge lets what differs take its place in a folder that was there, each name in one step.
func (sv survey) merge(w *disk.Writer, staging string) (err error) {
	tree, err := w.Tree(sv.to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tree.Close()) }()
	var folders []member
	for _, one := range sv.members {
		if !sv.differs[one.name] {
			continue
		}
		if err := parents(tree, one.name); err != nil {
			return partial{err}
		}
		above := path.Dir(one.name)
		if one.kind == memberFolder {
			above = one.name
		}
		if above != "." {
			made, err := newFolders(tree, above)
			if err != nil {
				return partial{err}
			}
			folders = append(folders, made...)
		}
		if one.kind == memberFolder {
			continue
		}
		if err := tree.Rename(path.Join(staging, one.name), one.name); err != nil {
			return partial{err}
		}
	}
	if err := dress(tree, sv.named(folders)); err != nil {
		return partial{err}
	}
	if err := tree.Sync(); err != nil {
		return partial{err}
	}
	return nil
}

// named puts what the archive says of folders in place of what is assumed.
func (sv survey) named(folders []member) []member {
	said := map[string]member{}
	for _, one := range sv.members {
		if one.kind == memberFolder {
			said[one.name] = one
		}
	}
	for i, f := range folders {
		if one, ok := said[f.name]; ok {
			folders[i] = one
		}
	}
	return folders
}
