package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"

	"github.com/handrail-dev/handrail/engine/journal"
	"github.com/handrail-dev/handrail/engine/playbook"
	"github.com/handrail-dev/handrail/playbooks"
)

// finder finds the playbooks that a playbook runs, and remembers what it has read: that is what is pinned.
type finder struct {
	app  *app
	top  string           // the file of the first playbook; empty: it is shipped
	seen map[string]found // by file
	read map[string]journal.NestedFile
}

// finder begins at a playbook. The ones that it runs are looked for beside it first, then like any other.
func (a *app) finder(from found) *finder {
	x := &finder{app: a, seen: map[string]found{from.file: from}, read: map[string]journal.NestedFile{}}
	if !from.shipped {
		x.top = from.file
	}
	return x
}

// find is a [playbook.Find].
func (x *finder) find(from, name string) (playbook.File, error) {
	f, err := x.locate(x.seen[from], name)
	if err != nil {
		return playbook.File{}, err
	}
	f.file = x.known(f)
	text, err := f.read()
	if err != nil {
		return playbook.File{}, fmt.Errorf("playbook %s: %w", name, err)
	}
	x.seen[f.file] = f
	x.read[f.name] = journal.NestedFile{Name: f.name, File: f.file, Text: text}
	return playbook.File{Name: f.file, Text: text}, nil
}

// known is the name under which a file was met before, perhaps on another way.
func (x *finder) known(f found) string {
	info, err := os.Stat(f.file)
	if err != nil || f.shipped {
		return f.file
	}
	for _, name := range sortedNames(x.seen) {
		if before, err := os.Stat(name); err == nil && !x.seen[name].shipped && os.SameFile(before, info) {
			return name
		}
	}
	return f.file
}

func (x *finder) locate(from found, name string) (found, error) {
	if err := x.nearby(from, name); err != nil {
		return found{}, err
	}
	switch {
	case isFile(name) && filepath.IsAbs(name):
		return x.app.find(name)
	case isFile(name) && from.shipped:
		return shippedPlaybook(name)
	case isFile(name):
		file := filepath.Join(filepath.Dir(from.file), name)
		if err := x.app.direct(file); err != nil { // BEFORE anything tells whether there is a file behind a link
			return found{}, err
		}
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return found{}, fmt.Errorf("there is no playbook %s: the file is looked for as %s", name, file)
		}
		return x.app.fromDisk(file), nil
	case !from.shipped:
		for _, ext := range []string{".yaml", ".yml"} {
			file := filepath.Join(filepath.Dir(from.file), name+ext)
			if err := x.app.direct(file); err != nil {
				return found{}, err
			}
			if regular(file) {
				return x.app.fromDisk(file), nil
			}
		}
	}
	return x.app.find(name)
}

func regular(file string) bool {
	info, err := os.Stat(file)
	return err == nil && !info.IsDir()
}

// shippedPlaybook is a playbook of the binary by its file.
func shippedPlaybook(name string) (found, error) {
	file := filepath.Clean(name)
	if _, err := fs.Stat(playbooks.Files, file); err != nil {
		return found{}, fmt.Errorf("there is no shipped playbook %s", name)
	}
	return found{name: stem(file), file: "shipped/" + file, shipped: true, read: func() ([]byte, error) { return playbooks.Files.ReadFile(file) }}, nil
}

// files are the playbooks that were read, sorted by name.
func (x *finder) files() []journal.NestedFile {
	var out []journal.NestedFile
	for _, name := range sortedNames(x.read) {
		out = append(out, x.read[name])
	}
	return out
}

// pinnedFinder finds the playbooks that a run has pinned. A name stands for one playbook in a run.
func pinnedFinder(files []journal.NestedFile) playbook.Find {
	return func(_, name string) (playbook.File, error) {
		i := sort.Search(len(files), func(i int) bool { return files[i].Name >= stem(name) })
		if i == len(files) || files[i].Name != stem(name) {
			return playbook.File{}, fmt.Errorf("the run has not pinned the playbook %s", name)
		}
		file := files[i].File
		if file == "" { // it came with a correction
			file = files[i].Name + ".yaml"
		}
		return playbook.File{Name: file, Text: files[i].Text}, nil
	}
}

// changesOf names the playbooks of a correction that are not what they were, with both texts.
func changesOf(before, after []journal.NestedFile, each func(name string, old, now []byte)) {
	old, now := map[string][]byte{}, map[string][]byte{}
	all := map[string]bool{}
	for _, n := range before {
		old[n.Name], all[n.Name] = n.Text, true
	}
	for _, n := range after {
		now[n.Name], all[n.Name] = n.Text, true
	}
	for _, name := range sortedNames(all) {
		if string(old[name]) != string(now[name]) {
			each(name, old[name], now[name])
		}
	}
}
