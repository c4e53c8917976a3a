// Command mutants removes, one at a time, each sync, marker, lock, probe and check on which the promises of
// docs/reliability.md rest, in a copy of the tree, and runs the tests that must notice. It reports which
// mutants were found and which survived. One that can no longer be applied, or that does not compile, is an
// error: the list is kept true to the code.
//
// It never changes the tree that it stands in.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// mutant is one change that makes the code break a promise.
type mutant struct {
	name     string
	file     string
	old, new string // old occurs exactly once
	pkg, run string // the tests that must notice; packages are separated by spaces
}

func main() {
	only := flag.String("only", "", "a pattern for the names of mutants")
	list := flag.Bool("list", false, "name them, and see that each can be applied")
	flag.Parse()
	survived, err := attack(context.Background(), *only, *list)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(2)
	}
	if survived > 0 {
		os.Exit(1)
	}
}

func attack(ctx context.Context, only string, list bool) (survived int, err error) {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return 0, err
	}
	tree, err := copyTree(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tree)) }()
	found := 0
	var broken []error
	for _, m := range mutants {
		if !pattern.MatchString(m.name) {
			continue
		}
		if list {
			if _, _, err := m.mutate(tree); err != nil {
				broken = append(broken, err)
			}
			fmt.Println(m.name)
			continue
		}
		began := time.Now()
		noticed, err := m.try(ctx, tree)
		switch {
		case err != nil:
			broken = append(broken, err)
			fmt.Printf("BROKEN    %s: %s\n", m.name, err)
		case noticed:
			found++
			fmt.Printf("found     %s (%s)\n", m.name, time.Since(began).Round(time.Second))
		default:
			survived++
			fmt.Printf("SURVIVED  %s: go test %s -run '%s' sees nothing\n", m.name, m.pkg, m.run)
		}
	}
	if !list {
		fmt.Printf("%d found, %d survived, %d could not be applied\n", found, survived, len(broken))
	}
	return survived, errors.Join(broken...)
}

// mutate gives the file as it is, and as the mutant has it.
func (m mutant) mutate(tree string) (before, after []byte, err error) {
	before, err = os.ReadFile(filepath.Join(tree, m.file))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", m.name, err)
	}
	if n := bytes.Count(before, []byte(m.old)); n != 1 {
		return nil, nil, fmt.Errorf("%s: %s has %d places like this, not one: %q; bring the list of mutants up to date", m.name, m.file, n, m.old)
	}
	return before, bytes.Replace(before, []byte(m.old), []byte(m.new), 1), nil
}

// try applies a mutant, runs its tests, and takes it back.
func (m mutant) try(ctx context.Context, tree string) (noticed bool, err error) {
	before, after, err := m.mutate(tree)
	if err != nil {
		return false, err
	}
	file := filepath.Join(tree, m.file)
	if err := os.WriteFile(file, after, 0o644); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.WriteFile(file, before, 0o644)) }()
	if out, err := goCommand(ctx, tree, "build", "./..."); err != nil {
		return false, fmt.Errorf("it does not compile:\n%s", out)
	}
	args := append([]string{"test", "-count=1", "-timeout", "5m", "-run", m.run}, strings.Fields(m.pkg)...)
	if out, err := goCommand(ctx, tree, args...); err != nil {
		if !strings.Contains(out, "--- FAIL") && !strings.Contains(out, "panic:") {
			return false, fmt.Errorf("its tests did not run:\n%s", out)
		}
		return true, nil
	}
	return false, nil
}

func goCommand(ctx context.Context, tree string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, "go", args...)
	c.Dir = tree
	out, err := c.CombinedOutput()
	return string(out), err
}

// copyTree copies what git knows of, and what it would take in.
func copyTree(ctx context.Context) (string, error) {
	tree, err := os.MkdirTemp("", "handrail-mutants-*")
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, "git", "ls-files", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return "", fmt.Errorf("list the files: %w", err)
	}
	for _, name := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		b, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) { // removed, and not committed yet
			continue
		}
		to := filepath.Join(tree, name)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o755)
		}
		if err == nil {
			err = os.WriteFile(to, b, 0o755)
		}
		if err != nil {
			return "", fmt.Errorf("copy the tree: %w", err)
		}
	}
	// The servers that the tests ask are those of this tree.
	if here, err := filepath.Abs(".test"); err == nil {
		if err := os.Symlink(here, filepath.Join(tree, ".test")); err != nil {
			return "", err
		}
	}
	return tree, nil
}
