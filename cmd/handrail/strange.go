package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/handrail-dev/handrail/engine/playbook"
)

// With --untrusted a mistake in a file is shown with its line. So a stranger's files must be read from where they stand, and from
// nowhere else: a symbolic link, or the name of a playbook to run, could otherwise lead to any file of this machine.

// direct refuses a path that leads over a symbolic link. What comes before the stranger's files is taken as it is: the working
// folder, and a folder that -C names in full.
func (a *app) direct(path string) error {
	if !a.untrusted {
		return nil
	}
	at, rest := "", filepath.Clean(path)
	if dir := filepath.Clean(a.dir); filepath.IsAbs(path) && filepath.IsAbs(a.dir) {
		if below, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(below) {
			at, rest = dir, below
		}
	}
	for part := range strings.SplitSeq(rest, string(filepath.Separator)) {
		if part == "" { // the root
			at = string(filepath.Separator)
			continue
		}
		at = filepath.Join(at, part)
		info, err := os.Lstat(at)
		if err != nil { // whoever reads it says so
			return nil
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return fmt.Errorf("%s: --untrusted follows no symbolic link, and %s is one", path, at)
		}
	}
	return nil
}

// readable refuses what a stranger's playbook must not be read from.
func (a *app) readable(file string) error {
	if !a.untrusted {
		return nil
	}
	if err := a.direct(file); err != nil {
		return err
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil // whoever reads it says so
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", file)
	}
	for _, g := range a.guarded {
		if other, err := os.Stat(g); err == nil && os.SameFile(info, other) {
			return fmt.Errorf("%s: with --untrusted this is no playbook: an environment, inputs or a secret are read from it", file)
		}
	}
	return nil
}

// guard keeps the files of an environment, and those that its secrets come from, from being read as a playbook.
func (a *app) guard(env *playbook.Environment) {
	if env == nil {
		return
	}
	a.guarded = append(a.guarded, env.File)
	for _, s := range env.Secrets {
		for _, file := range []string{s.File, s.Age, s.Identity} {
			if file != "" && !filepath.IsAbs(file) {
				file = filepath.Join(filepath.Dir(env.File), file)
			}
			if file != "" {
				a.guarded = append(a.guarded, file)
			}
		}
	}
}

// apart refuses an environment out of the same checkout as a stranger's playbook: who could change the one could change the other,
// and an environment names commands that are run.
func (a *app) apart(of string, env *playbook.Environment) error {
	if !a.untrusted || env == nil || env.File == "" {
		return nil
	}
	playbook, err := filepath.Abs(of)
	if err != nil {
		return err
	}
	file, err := filepath.Abs(env.File)
	if err != nil {
		return err
	}
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real
	}
	if real, err := filepath.EvalSymlinks(filepath.Dir(playbook)); err == nil {
		playbook = filepath.Join(real, filepath.Base(playbook))
	}
	tree := checkout(filepath.Dir(playbook))
	if tree == "" || !within(tree, file) {
		return nil
	}
	if own := checkout(filepath.Dir(file)); own != tree {
		// A checkout of its own below the other; a submodule, which has a file there, is a stranger's as well.
		if info, err := os.Lstat(filepath.Join(own, ".git")); err == nil && info.IsDir() {
			return nil
		}
	}
	return fmt.Errorf("--untrusted: the environment %s is of the same checkout (%s) as the playbook, so a stranger may have written it, too; "+
		"take it from a copy of the branch that you trust", env.File, tree)
}

// checkout is the work tree of git that a folder is in; empty: none.
func checkout(dir string) string {
	for {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

// within: a path is in a folder, as both are written.
func within(folder, path string) bool {
	below, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(below)
}

// errFar is told of a playbook that a stranger's must not run.
var errFar = errors.New("with --untrusted a playbook runs those that stand in its folder or below it, or in ./playbooks, and no others")

// errFarInGit is the same where playbooks are read from git.
var errFarInGit = errors.New("with --untrusted a playbook runs those of its repository, and no others")

// plainName: a path that leads to a playbook below a folder, and to no hidden file, such as those of git.
func plainName(below string) bool {
	ext := filepath.Ext(below)
	return (ext == ".yaml" || ext == ".yml") && filepath.IsLocal(below) &&
		!strings.HasPrefix(below, ".") && !strings.Contains(below, string(filepath.Separator)+".")
}

// nearby refuses the name of a playbook by which a stranger would find out about, or read, what is not the stranger's. It looks at nothing
// but the name.
func (x *finder) nearby(from found, name string) error {
	if !x.app.untrusted || from.shipped || !isFile(name) {
		return nil
	}
	folders := []string{x.app.in("playbooks")}
	if x.top != "" {
		folders = append(folders, filepath.Dir(x.top))
	}
	file := filepath.Join(filepath.Dir(from.file), name)
	for _, folder := range folders {
		if below, err := filepath.Rel(folder, file); err == nil && !filepath.IsAbs(name) && plainName(below) {
			return nil
		}
	}
	return errFar
}
