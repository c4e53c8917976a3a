package git

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// repository makes one with two branches that have gone on since they parted.
func repository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	t.Setenv("GIT_CONFIG_SYSTEM", os.DevNull)
	write := func(name, text string) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command(t, dir, "init", "-q", "-b", "main")
	write("sub/a.yaml", "one\n")
	write("sub/deep/b.yaml", "b\n")
	write("ä b\n.yaml", "odd\n")
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "sub", "link.yaml")); err != nil {
		t.Fatal(err)
	}
	command(t, dir, "add", "-A")
	command(t, dir, "commit", "-q", "-m", "one")
	command(t, dir, "tag", "parted")
	command(t, dir, "checkout", "-q", "-b", "work")
	write("sub/a.yaml", "two\n")
	command(t, dir, "commit", "-q", "-a", "-m", "two")
	command(t, dir, "checkout", "-q", "main")
	write("other", "x")
	command(t, dir, "add", "-A")
	command(t, dir, "commit", "-q", "-m", "three")
	command(t, dir, "checkout", "-q", "work")
	return dir
}

func command(t *testing.T, dir string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"}, args...)...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestFilesAreReadAsTheyWereCommitted(t *testing.T) {
	dir, ctx := repository(t), t.Context()
	r, err := Open(ctx, filepath.Join(dir, "sub"))
	if err != nil {
		t.Fatal(err)
	}
	if real, _ := filepath.EvalSymlinks(dir); r.Top != real || r.Prefix != "sub" {
		t.Errorf("%s, %s", r.Top, r.Prefix)
	}
	commit := func(name string) string {
		t.Helper()
		id, err := r.Commit(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	base, err := r.Base(ctx, commit("main"), commit("HEAD"))
	if err != nil || base != commit("parted") {
		t.Errorf("they parted at %s, %v", base, err)
	}
	old, err := r.Tree(ctx, base)
	if err != nil {
		t.Fatal(err)
	}
	now, err := r.Tree(ctx, commit("work"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		tree       *Tree
		name, want string
	}{{old, "sub/a.yaml", "one\n"}, {now, "sub/a.yaml", "two\n"}, {old, "ä b\n.yaml", "odd\n"}} {
		if got, err := c.tree.Read(ctx, c.name, 100); err != nil || string(got) != c.want {
			t.Errorf("%q: %q, %v", c.name, got, err)
		}
	}
	if got := strings.Join(now.Files("sub"), " "); got != "sub/a.yaml sub/link.yaml" {
		t.Errorf("sub has %s", got)
	}
	for name, want := range map[string]string{"sub/none.yaml": "there is no file", "sub/link.yaml": "symbolic link", "sub": "there is no file"} {
		if _, err := now.Read(ctx, name, 100); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := now.Read(ctx, "sub/a.yaml", 3); err == nil || !strings.Contains(err.Error(), "more than 3 bytes") {
		t.Errorf("four bytes where three may be: %v", err)
	}
}

func TestARevisionIsNoOption(t *testing.T) {
	dir := repository(t)
	r, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for revision, want := range map[string]string{
		"": "empty", "--all": "begins with a dash", "-h": "begins with a dash", "a\nb": "is no revision", "no-such": "there is no commit",
		"HEAD^{tree}": "there is no commit", "HEAD:sub/a.yaml": "there is no commit", "main..work": "there is no commit", "--output=x": "begins with a dash",
	} {
		if id, err := r.Commit(t.Context(), revision); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %s, %v", revision, id, err)
		}
	}
	if _, err := r.Tree(t.Context(), "--help"); err == nil {
		t.Error("a tree of --help")
	}
}

func TestWhatIsNotThereIsSaid(t *testing.T) {
	if _, err := Open(t.Context(), t.TempDir()); !errors.Is(err, ErrNone) {
		t.Errorf("no repository: %v", err)
	}
	dir := repository(t)
	command(t, dir, "checkout", "-q", "--orphan", "alone")
	command(t, dir, "commit", "-q", "-m", "four")
	r, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Base(t.Context(), command(t, dir, "rev-parse", "main"), command(t, dir, "rev-parse", "alone")); err == nil || !strings.Contains(err.Error(), "fetch-depth") {
		t.Errorf("nothing in common: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Commit(ctx, "main"); err == nil {
		t.Error("it went on after it was ended")
	}
}
