// Package git reads revisions of files with the machine's git.
//
// It only reads: nothing is checked out, fetched, locked or written, not even the index, and no program that a repository
// or its attributes name is run. Every command is an argument list; a revision cannot be taken for an option.
package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"sort"
	"strings"
)

// Repo is a repository with a folder of files.
type Repo struct {
	dir string // where commands run
	// Top is the folder of the repository. Prefix leads from it to the folder that it was opened with, in slashes; empty: it is
	// that one.
	Top, Prefix string
}

// ErrNone means that the folder is in no repository.
var ErrNone = errors.New("the folder is in no git repository")

// Open finds the repository that a folder is in.
func Open(ctx context.Context, dir string) (*Repo, error) {
	r := &Repo{dir: dir}
	if _, err := exec.LookPath("git"); err != nil {
		return nil, errors.New("there is no git on this machine; compare two files instead: handrail diff OLD NEW")
	}
	out, err := r.run(ctx, "rev-parse", "--show-toplevel", "--show-prefix")
	if err != nil {
		if strings.Contains(err.Error(), "not a git repository") {
			return nil, fmt.Errorf("%s: %w", dir, ErrNone)
		}
		return nil, err
	}
	top, prefix, _ := strings.Cut(strings.TrimSuffix(string(out), "\n"), "\n")
	r.Top, r.Prefix = top, strings.TrimSuffix(prefix, "/")
	return r, nil
}

// Commit finds the commit that a revision names.
func (r *Repo) Commit(ctx context.Context, revision string) (string, error) {
	if err := check(revision); err != nil {
		return "", err
	}
	out, err := r.run(ctx, "rev-parse", "--verify", "--end-of-options", revision+"^{commit}")
	if err != nil {
		return "", fmt.Errorf("there is no commit %q here; fetch it first (git fetch), in a CI with the whole history", revision)
	}
	return strings.TrimSpace(string(out)), nil
}

// check refuses what git could take for anything but a revision.
func check(revision string) error {
	switch {
	case revision == "":
		return errors.New("the revision is empty")
	case strings.HasPrefix(revision, "-"):
		return fmt.Errorf("%q is no revision: it begins with a dash", revision)
	case strings.ContainsAny(revision, "\x00\n\r"):
		return fmt.Errorf("%q is no revision", revision)
	}
	return nil
}

// Base finds the newest commit that two commits have in common: where a branch has left the other.
func (r *Repo) Base(ctx context.Context, a, b string) (string, error) {
	out, err := r.run(ctx, "merge-base", a, b)
	if err != nil {
		return "", fmt.Errorf("no commit is known here that %s and %s have in common; a shallow clone lacks it: fetch the whole history (fetch-depth: 0, GIT_DEPTH: 0)",
			brief(a), brief(b))
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return first, nil
}

func brief(commit string) string { return commit[:min(len(commit), 12)] }

// Tree is the files of one commit.
type Tree struct {
	repo  *Repo
	files map[string]object
}

type object struct{ mode, id string }

// Tree lists the files of a commit.
func (r *Repo) Tree(ctx context.Context, commit string) (*Tree, error) {
	if err := check(commit); err != nil {
		return nil, err
	}
	out, err := r.run(ctx, "ls-tree", "-r", "-z", "--full-tree", commit)
	if err != nil {
		return nil, err
	}
	t := &Tree{repo: r, files: map[string]object{}}
	for line := range strings.SplitSeq(string(out), "\x00") {
		head, name, ok := strings.Cut(line, "\t")
		if f := strings.Fields(head); ok && len(f) == 3 && f[1] == "blob" {
			t.files[name] = object{f[0], f[2]}
		}
	}
	return t, nil
}

// Has tells whether there is such a file. Names are relative to the top of the repository, in slashes.
func (t *Tree) Has(name string) bool {
	_, ok := t.files[name]
	return ok
}

// Files lists the files of a folder, sorted, without those in the folders below.
func (t *Tree) Files(folder string) []string {
	var out []string
	for name := range t.files {
		if path.Dir(name) == path.Clean(folder) {
			out = append(out, name)
		}
	}
	sort.Strings(out)
	return out
}

// Read gives a file as it was committed. A symbolic link is not followed: it could lead out of the revision.
func (t *Tree) Read(ctx context.Context, name string, most int64) ([]byte, error) {
	o, ok := t.files[name]
	switch {
	case !ok:
		return nil, fmt.Errorf("there is no file %s", name)
	case o.mode == "120000":
		return nil, fmt.Errorf("%s is a symbolic link, which is not followed in a revision", name)
	}
	out, err := t.repo.limited(ctx, most+1, "cat-file", "blob", o.id)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(out)) > most {
		return nil, fmt.Errorf("%s: the file has more than %d bytes", name, most)
	}
	return out, nil
}

func (r *Repo) run(ctx context.Context, args ...string) ([]byte, error) {
	const most = 256 << 20 // the names of some million files
	return r.limited(ctx, most, args...)
}

// limited runs git, and takes no more than so many bytes of what it says.
func (r *Repo) limited(ctx context.Context, most int64, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, "git", append([]string{"--literal-pathspecs", "--no-pager", "-c", "core.fsmonitor=false"}, args...)...)
	c.Dir = r.dir
	c.Env = append(os.Environ(), "LC_ALL=C", "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0", "GIT_NO_LAZY_FETCH=1", "GIT_NO_REPLACE_OBJECTS=1")
	var said bytes.Buffer
	c.Stderr = &said
	from, err := c.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("git %s: %w", args[0], err)
	}
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("git %s: %w", args[0], err)
	}
	out, readErr := io.ReadAll(io.LimitReader(from, most))
	if int64(len(out)) == most {
		_, _ = io.Copy(io.Discard, from) // so that git can end
	}
	err = c.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		first, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n")
		return nil, fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimPrefix(first, "fatal: "))
	case readErr != nil:
		return nil, fmt.Errorf("git %s: %w", args[0], readErr)
	}
	return out, nil
}
