package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/handrail-dev/handrail/cmd/internal/git"
	"github.com/handrail-dev/handrail/engine/journal"
	"github.com/handrail-dev/handrail/engine/playbook"
	"github.com/handrail-dev/handrail/engine/revision"
)

// tree is the files of one revision; names are relative to the top of the repository, in slashes.
type tree interface {
	has(name string) bool
	list(folder string) ([]string, error)
	read(name string) ([]byte, error)
}

// committed is the tree of a commit.
type committed struct {
	ctx  context.Context
	tree *git.Tree
}

func (t committed) has(name string) bool                 { return t.tree.Has(name) }
func (t committed) list(folder string) ([]string, error) { return t.tree.Files(folder), nil }
func (t committed) read(name string) ([]byte, error)     { return t.tree.Read(t.ctx, name, maxFile) }

// working is the tree as it is on the disk. A link that leads out of it is not followed.
type working struct {
	app  *app
	root *os.Root
}

func (t working) has(name string) bool {
	info, err := t.root.Lstat(filepath.FromSlash(name)) // where a link leads is found out when it is read
	return err == nil && !info.IsDir()
}

func (t working) list(folder string) ([]string, error) {
	if err := t.app.direct(filepath.Join(t.root.Name(), filepath.FromSlash(folder))); err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(t.root.FS(), path.Clean(folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, e := range entries {
		if !e.IsDir() {
			out = append(out, path.Join(folder, e.Name()))
		}
	}
	return out, err
}

func (t working) read(name string) ([]byte, error) {
	if err := t.app.readable(filepath.Join(t.root.Name(), filepath.FromSlash(name))); err != nil {
		return nil, err
	}
	f, err := t.root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s: the file has more than %d bytes", name, maxFile)
	}
	return b, err
}

// sides are the two revisions in git.
type sides struct {
	*comparing
	repo          *git.Repo
	before, after tree
}

// revisions compares playbooks in git.
func (c *comparing) revisions(ctx context.Context, d *revision.Diff, args []string) error {
	dir, err := c.app.base()
	if err != nil {
		return err
	}
	repo, err := git.Open(ctx, dir)
	if err != nil {
		return err
	}
	s := &sides{comparing: c, repo: repo}
	closing, err := s.open(ctx, d)
	if err != nil {
		return err
	}
	defer closing()
	files, err := s.chosen(args)
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := s.compare(ctx, d, file); err != nil {
			return err
		}
	}
	return nil
}

// open finds both trees. The earlier is where the branch has left the base, so that what has happened there since is not
// taken for a change of the branch.
func (s *sides) open(ctx context.Context, d *revision.Diff) (closing func(), err error) {
	base, err := s.repo.Commit(ctx, s.flags.base)
	if err != nil {
		return nil, fmt.Errorf("--base: %w", err)
	}
	at := "HEAD"
	if s.flags.head != "" {
		at = s.flags.head
	}
	head, err := s.repo.Commit(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("--head: %w", err)
	}
	if base, err = s.repo.Base(ctx, base, head); err != nil {
		return nil, err
	}
	d.Before = revision.Side{Name: s.flags.base, Commit: base}
	old, err := s.repo.Tree(ctx, base)
	if err != nil {
		return nil, err
	}
	s.before = committed{ctx, old}
	if s.flags.head != "" {
		d.After = revision.Side{Name: s.flags.head, Commit: head}
		now, err := s.repo.Tree(ctx, head)
		s.after = committed{ctx, now}
		return func() {}, err
	}
	d.After = revision.Side{Name: "the files as they are"}
	root, err := os.OpenRoot(s.repo.Top)
	if err != nil {
		return nil, fmt.Errorf("open the repository: %w", err)
	}
	s.after = working{s.app, root}
	return func() { _ = root.Close() }, nil // it was only read
}

// chosen lists the files that are meant; without any, those of all folders where playbooks are looked for.
func (s *sides) chosen(args []string) ([]string, error) {
	seen := map[string]bool{}
	folder := func(name string) error {
		for _, t := range []tree{s.before, s.after} {
			files, err := t.list(name)
			if err != nil {
				return err
			}
			for _, f := range files {
				if isPlaybookFile(f) {
					seen[f] = true
				}
			}
		}
		return nil
	}
	if len(args) == 0 {
		for _, dir := range s.folders() {
			if err := folder(dir); err != nil {
				return nil, err
			}
		}
		return sortedNames(seen), nil
	}
	for _, arg := range args {
		name, err := s.inside(arg)
		if isFile(arg) || arg == "." {
			switch before := len(seen); {
			case err != nil:
				return nil, err
			case s.before.has(name) || s.after.has(name):
				seen[name] = true
			default:
				if err := folder(name); err != nil {
					return nil, err
				}
				if len(seen) == before {
					return nil, fmt.Errorf("playbook %s: it is in neither revision", arg)
				}
			}
			continue
		}
		before := len(seen)
		for _, t := range []tree{s.before, s.after} {
			if file := s.named(t, s.folders(), arg); file != "" {
				seen[file] = true
			}
		}
		if len(seen) == before {
			return nil, fmt.Errorf("there is no playbook %s in either revision; they are looked for in %s", arg, strings.Join(s.folders(), ", "))
		}
	}
	return sortedNames(seen), nil
}

func isPlaybookFile(name string) bool {
	ext := path.Ext(name)
	return (ext == ".yaml" || ext == ".yml") && !strings.HasPrefix(path.Base(name), ".")
}

// inside is a path as the trees name it.
func (s *sides) inside(name string) (string, error) {
	full := path.Join(s.repo.Prefix, filepath.ToSlash(name))
	if filepath.IsAbs(name) {
		rel, err := filepath.Rel(s.repo.Top, name)
		if err != nil {
			return "", fmt.Errorf("%s is not in the repository %s", name, s.repo.Top)
		}
		full = filepath.ToSlash(rel)
	}
	if full == ".." || strings.HasPrefix(full, "../") {
		return "", fmt.Errorf("%s is not in the repository %s", name, s.repo.Top)
	}
	return full, nil
}

// folders are those of the search path that are in the repository; the first may be gone by now.
func (s *sides) folders() []string {
	out := []string{path.Join(s.repo.Prefix, "playbooks")}
	for _, dir := range s.app.searchPath() {
		if in, ok := s.inRepository(dir); ok && !slices.Contains(out, in) {
			out = append(out, in)
		}
	}
	return out
}

// inRepository is a folder of this machine as the trees name it, if it is one of theirs.
func (s *sides) inRepository(dir string) (string, bool) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", false
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	}
	rel, err := filepath.Rel(s.repo.Top, abs)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return "", false
	}
	return filepath.ToSlash(rel), true
}

// named finds the file of a playbook by its name.
func (s *sides) named(t tree, folders []string, name string) string {
	for _, dir := range folders {
		for _, ext := range []string{".yaml", ".yml"} {
			if file := path.Join(dir, name+ext); t.has(file) {
				return file
			}
		}
	}
	return ""
}

// reading is one revision of a file, before anybody knows whether it says something else.
type reading struct {
	there  bool
	finder *treeFinder
	load   func(*playbook.Environment) (*loaded, error)
}

// compare adds what both revisions of a file differ in, if they do.
func (s *sides) compare(ctx context.Context, d *revision.Diff, file string) error {
	names := [2]string{fmt.Sprintf("before (%s, %s)", d.Before.Name, briefly(d.Before.Commit)), "after (" + d.After.Name + ")"}
	var both [2]reading
	for i, t := range []tree{s.before, s.after} {
		if !t.has(file) {
			continue
		}
		src, err := t.read(file)
		if err == nil && ofEnvironment.Match(src) && !ofPlaybook.Match(src) {
			return nil
		}
		both[i] = s.reading(t, file, src, err)
	}
	if both[0].there && both[1].there && both[0].finder.texts() == both[1].finder.texts() {
		return nil
	}
	var found [2]revision.Revision
	for i, r := range both {
		if r.there {
			var err error
			if found[i], err = s.side(ctx, stem(file), names[i], file, both[1].there, r.load); err != nil {
				return err
			}
		}
	}
	p := revision.Compare(file, found[0], found[1])
	p.Name = stem(file)
	d.Playbooks = append(d.Playbooks, p)
	return nil
}

// reading reads a playbook as far as it is needed to know which others belong to it.
func (s *sides) reading(t tree, file string, src []byte, err error) reading {
	x := &treeFinder{sides: s, tree: t, top: src, seen: map[string]found{}, nested: map[string]journal.NestedFile{}}
	x.remember(found{name: stem(file), file: file}, true)
	load := func(env *playbook.Environment) (*loaded, error) {
		if err != nil {
			return nil, err
		}
		if _, live := t.(working); live {
			if err := s.app.apart(filepath.Join(s.repo.Top, filepath.FromSlash(file)), env); err != nil {
				return nil, err
			}
		}
		pb, err := playbook.LoadTree(file, src, s.app.catalogue(), env, x.find)
		if err != nil {
			return nil, err
		}
		return &loaded{pb: pb, src: src, file: file, nested: x.files(), env: env}, nil
	}
	_, _ = load(s.env) // what is wrong is told when it is loaded again, if there is anything to compare
	return reading{there: true, finder: x, load: load}
}

// treeFinder finds the playbooks that a playbook of a revision runs: in the same revision, and what is not in the
// repository where a run would find it.
type treeFinder struct {
	*sides
	tree   tree
	top    []byte
	seen   map[string]found // by file
	within map[string]bool  // of those, the files of the revision
	nested map[string]journal.NestedFile
}

func (x *treeFinder) remember(f found, within bool) {
	if x.within == nil {
		x.within = map[string]bool{}
	}
	x.seen[f.file], x.within[f.file] = f, within
}

// find is a [playbook.Find].
func (x *treeFinder) find(from, name string) (playbook.File, error) {
	f, within, err := x.locate(from, name)
	if err != nil {
		return playbook.File{}, err
	}
	text, err := f.read()
	if err != nil {
		return playbook.File{}, fmt.Errorf("playbook %s: %w", name, err)
	}
	x.remember(f, within)
	x.nested[f.name] = journal.NestedFile{Name: f.name, File: f.file, Text: text}
	return playbook.File{Name: f.file, Text: text}, nil
}

func (x *treeFinder) locate(from, name string) (f found, within bool, err error) {
	own := x.within[from]
	if x.app.untrusted && isFile(name) && !x.seen[from].shipped {
		if filepath.IsAbs(name) || !plainName(filepath.FromSlash(path.Join(path.Dir(from), filepath.ToSlash(name)))) {
			return f, false, errFarInGit
		}
	}
	switch {
	case isFile(name) && own && !filepath.IsAbs(name):
		file := path.Join(path.Dir(from), filepath.ToSlash(name))
		if !x.tree.has(file) {
			return f, false, fmt.Errorf("there is no playbook %s: the file is looked for as %s", name, file)
		}
		return x.inTree(file), true, nil
	case isFile(name) && x.seen[from].shipped:
		f, err = shippedPlaybook(name)
		return f, false, err
	case isFile(name):
		file := name
		if !filepath.IsAbs(name) {
			file = filepath.Join(filepath.Dir(from), name)
		}
		if inside, err := x.inside(file); err == nil && x.tree.has(inside) {
			return x.inTree(inside), true, nil
		}
		return x.app.fromDisk(file), false, nil
	case own:
		if file := x.named(x.tree, []string{path.Dir(from)}, name); file != "" {
			return x.inTree(file), true, nil
		}
	}
	if file := x.named(x.tree, x.folders(), name); file != "" {
		return x.inTree(file), true, nil
	}
	f, err = x.outside(name)
	return f, false, err
}

func (x *treeFinder) inTree(file string) found {
	return found{name: stem(file), file: file, read: func() ([]byte, error) { return x.tree.read(file) }}
}

// outside looks for a playbook where no revision has it: in the folders outside of the repository, and in the binary.
func (x *treeFinder) outside(name string) (found, error) {
	for _, dir := range x.app.searchPath() {
		if _, in := x.inRepository(dir); in {
			continue
		}
		for _, ext := range []string{".yaml", ".yml"} {
			if file := filepath.Join(dir, name+ext); regular(file) {
				return x.app.fromDisk(file), nil
			}
		}
	}
	return shippedPlaybook(name + ".yaml")
}

// files are the playbooks that were read, sorted by name.
func (x *treeFinder) files() []journal.NestedFile {
	var out []journal.NestedFile
	for _, name := range sortedNames(x.nested) {
		out = append(out, x.nested[name])
	}
	return out
}

// texts is all that was read, for comparing it as a whole.
func (x *treeFinder) texts() string {
	all := string(x.top)
	for _, f := range x.files() {
		all += "\x00" + f.Name + "\x00" + string(f.Text)
	}
	return all
}
