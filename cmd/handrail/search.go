package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"github.com/handrail-dev/handrail/playbooks"
)

// found is a playbook file.
type found struct {
	name    string // the stem
	file    string // for messages; of a shipped one "shipped/NAME.yaml"
	shipped bool
	ours    bool // it may stand beside the environment, whoever has written it
	read    func() ([]byte, error)
}

// maxFile bounds what is read of a file; the loader refuses less than this with its own words.
const maxFile = 2 << 20

func (a *app) fromDisk(file string) found {
	return found{name: stem(file), file: file, read: func() ([]byte, error) {
		if err := a.readable(file); err != nil {
			return nil, err
		}
		return readFile(file)
	}}
}

// readFile reads a playbook, an environment or inputs.
func readFile(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no file %s", file)
	}
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a folder", file)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s: the file has %d bytes; it may have 1 MiB (1048576 bytes) at most", file, info.Size())
	}
	return os.ReadFile(file)
}

func stem(file string) string {
	return strings.TrimSuffix(strings.TrimSuffix(filepath.Base(file), ".yaml"), ".yml")
}

func isFile(name string) bool {
	return strings.ContainsRune(name, filepath.Separator) || strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
}

// searchPath is where playbooks are looked for, in this order, before the shipped ones.
func (a *app) searchPath() []string {
	dirs := []string{a.in("playbooks")}
	if a.untrusted { // the others are this machine's
		return dirs
	}
	for _, dir := range filepath.SplitList(a.lookup("HANDRAIL_PATH")) {
		if dir != "" {
			dirs = append(dirs, a.in(dir))
		}
	}
	return append(dirs, "/etc/handrail/playbooks")
}

// everyPlaybook lists the playbooks that can be named; of two with one name the first found counts.
func (a *app) everyPlaybook() ([]found, error) {
	var all []found
	seen := map[string]bool{}
	for _, dir := range a.searchPath() {
		files, err := a.yamlFiles(dir)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if !seen[stem(f)] {
				seen[stem(f)] = true
				all = append(all, a.fromDisk(f))
			}
		}
	}
	shipped, err := fs.Glob(playbooks.Files, "*.yaml")
	if err != nil {
		return nil, err
	}
	for _, f := range shipped {
		if !seen[stem(f)] {
			all = append(all, found{name: stem(f), file: "shipped/" + f, shipped: true, read: func() ([]byte, error) { return playbooks.Files.ReadFile(f) }})
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].name < all[j].name })
	return all, nil
}

func (a *app) yamlFiles(dir string) ([]string, error) {
	if err := a.direct(dir); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for playbooks: %w", err)
	}
	var out []string
	for _, e := range entries {
		if ext := path.Ext(e.Name()); !e.IsDir() && (ext == ".yaml" || ext == ".yml") && !strings.HasPrefix(e.Name(), ".") {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out, nil
}

// find gives the playbook that a person has named, by its name or its file.
func (a *app) find(name string) (found, error) {
	if isFile(name) {
		file := a.in(name)
		if err := a.direct(file); err != nil {
			return found{}, err
		}
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return found{}, fmt.Errorf("playbook %s: there is no such file; see the playbooks with: handrail list", name)
		} else if err != nil {
			return found{}, fmt.Errorf("playbook %s: %w", name, err)
		}
		return a.fromDisk(file), nil
	}
	all, err := a.everyPlaybook()
	if err != nil {
		return found{}, err
	}
	best, distance := "", 4
	for _, f := range all {
		if f.name == name {
			return f, nil
		}
		if d := editDistance(name, f.name); d < distance {
			best, distance = f.name, d
		}
	}
	err = fmt.Errorf("there is no playbook %s; see them with: handrail list", name)
	if best != "" {
		err = fmt.Errorf("there is no playbook %s; is %s meant?", name, best)
	}
	return found{}, err
}

// editDistance counts the letters to change, add or take away.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}

// environmentFile finds the file of an environment by its name or path; with no name, the one of
// $HANDRAIL_ENV, the only one there is, or the one named default. Empty: there is none.
func (a *app) environmentFile(name string) (string, error) {
	if name == "" {
		name = a.lookup("HANDRAIL_ENV")
	}
	switch {
	case name != "" && isFile(name):
		return a.in(name), nil
	case name != "" && a.untrusted:
		return "", fmt.Errorf("--untrusted: the environment %s would be looked for in ./environments, which may be a stranger's: name a file that is yours, as --env /ci/%s.yaml", name, name)
	case a.untrusted: // none is taken from the folder
		return "", nil
	}
	files, err := a.yamlFiles(a.in("environments"))
	if err != nil {
		return "", err
	}
	var names []string
	for _, f := range files {
		if stem(f) == name || name == "" && stem(f) == "default" {
			return f, nil
		}
		names = append(names, stem(f))
	}
	switch {
	case name != "" && len(names) == 0:
		return "", fmt.Errorf("there is no environment %s: the folder %s holds none", name, a.in("environments"))
	case name != "":
		return "", fmt.Errorf("there is no environment %s; there are %s", name, strings.Join(names, ", "))
	case len(files) == 1:
		return files[0], nil
	}
	return "", nil
}

// ambiguous says which environments there are when none was chosen; empty: that is not the reason.
func (a *app) ambiguous() string {
	files, err := a.yamlFiles(a.in("environments"))
	if err != nil || len(files) < 2 {
		return ""
	}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = stem(f)
	}
	return "choose an environment with --env: " + strings.Join(names, ", ")
}
