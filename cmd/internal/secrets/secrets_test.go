package secrets

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/handrail-dev/handrail/engine"
)

func write(t *testing.T, dir, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
		t.Fatal(err)
	}
}

// seal encrypts for one identity, and writes the identity and both forms of the file.
func seal(t *testing.T, dir, text string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "key.txt", "# a comment\n"+id.String()+"\n", 0o600)
	for _, name := range []string{"sealed.age", "armored.age"} {
		var out bytes.Buffer
		var to io.Writer = &out
		var a io.WriteCloser
		if name == "armored.age" {
			a = armor.NewWriter(&out)
			to = a
		}
		w, err := age.Encrypt(to, id.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if a != nil {
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
		}
		write(t, dir, name, out.String(), 0o644)
	}
}

func options(t *testing.T, m *Masker) (Options, string) {
	dir := t.TempDir()
	return Options{Dir: dir, Masker: m, LookupEnv: func(name string) (string, bool) {
		v, ok := map[string]string{"DB_PASSWORD": "from-the-environment", "EMPTY": ""}[name]
		return v, ok
	}}, dir
}

func TestEachSourceGivesItsSecretAndItIsMasked(t *testing.T) {
	var m Masker
	o, dir := options(t, &m)
	write(t, dir, "plain", "from-a-file\n", 0o600)
	seal(t, dir, "from-age\n")
	write(t, dir, "where", "", 0o600)
	add := func(want string, s Source) Source { s.Name = want; return s }
	list := []Source{
		add("from-the-environment", Source{Env: "DB_PASSWORD"}),
		add("from-a-file", Source{File: "plain"}),
		add("from-age", Source{Age: "sealed.age", Identity: "key.txt"}),
		add("from-age", Source{Age: "armored.age", Identity: filepath.Join(dir, "key.txt")}),
		add("from-a-command", Source{Command: []string{"printf", "from-a-command\n"}}),
		add("from-a-shell", Source{Shell: "test -e where && echo from-a-shell"}),
	}
	found, err := Resolve(context.Background(), list, o)
	if err != nil || len(found.Warnings) > 0 {
		t.Fatal(err, found.Warnings)
	}
	for _, s := range list {
		got, ok := found.Values[s.Name].(engine.Secret)
		if !ok || got.Reveal() != s.Name {
			t.Errorf("%s: %#v", s.Name, found.Values[s.Name])
		}
		if masked := m.Text("x " + s.Name + " y"); masked != "x ••• y" {
			t.Errorf("%s is not masked: %s", s.Name, masked)
		}
	}
}

func TestAPlanRunsNoCommandUnlessItIsAllowed(t *testing.T) {
	o, dir := options(t, &Masker{})
	o.InPlan = true
	found, err := Resolve(context.Background(), []Source{
		{Name: "A", Command: []string{"touch", "started"}},
		{Name: "B", Shell: "touch started; echo x"},
		{Name: "C", Shell: "touch allowed; echo allowed-secret", InPlan: true},
		{Name: "D", Env: "DB_PASSWORD"},
	}, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "started")); err == nil {
		t.Error("a command was run")
	}
	for _, name := range []string{"A", "B"} {
		if _, unknown := found.Values[name].(engine.Unknown); !unknown {
			t.Errorf("%s is %v", name, found.Values[name])
		}
	}
	if s, _ := found.Values["C"].(engine.Secret); s.Reveal() != "allowed-secret" {
		t.Error("C was not asked")
	}
	if s, _ := found.Values["D"].(engine.Secret); s.Reveal() == "" {
		t.Error("D was not asked")
	}
	if len(found.Warnings) != 2 || !strings.Contains(found.Warnings[0], "in_plan: true") {
		t.Error(found.Warnings)
	}
}

func TestEveryMistakeIsSaidAndNoneShowsASecret(t *testing.T) {
	var m Masker
	o, dir := options(t, &m)
	write(t, dir, "empty", "\n", 0o600)
	write(t, dir, "not-a-key", "AGE-SECRET-KEY-1BROKENhunter22\n", 0o600)
	write(t, dir, "other", "", 0o600)
	seal(t, dir, "hunter22")
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "stranger", stranger.String(), 0o600)
	wants := map[string]string{
		"A": "the environment variable NO_SUCH is not set",
		"B": "missing: no such file or directory",
		"C": "the file empty is empty",
		"D": "does not open sealed.age: it was encrypted for somebody else",
		"E": "not-a-key holds no age identity",
		"F": "the command sh failed: exit status 3: it went wrong with •••",
		"G": "executable file not found",
		"H": "exactly one of env, file, command and age",
		"I": "age needs `identity:`",
		"J": "open not-a-key",
		"K": "is a folder",
		"L": "the environment variable EMPTY is empty",
	}
	_, err = Resolve(context.Background(), []Source{
		{Name: "A", Env: "NO_SUCH"}, {Name: "B", File: "missing"}, {Name: "C", File: "empty"},
		{Name: "D", Age: "sealed.age", Identity: "stranger"},
		{Name: "E", Age: "sealed.age", Identity: "not-a-key"},
		{Name: "F", Command: []string{"sh", "-c", "echo hunter22; echo it went wrong with hunter22 >&2; exit 3"}},
		{Name: "G", Command: []string{"no-such-command-anywhere"}},
		{Name: "H", Env: "A", File: "B"}, {Name: "I", Age: "sealed.age"},
		{Name: "J", Age: "not-a-key", Identity: "key.txt"},
		{Name: "K", File: "."}, {Name: "L", Env: "EMPTY"},
	}, o)
	if err == nil {
		t.Fatal("no error")
	}
	for name, want := range wants {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: no %q in\n%v", name, want, err)
		}
	}
	if strings.Contains(err.Error(), "hunter22") {
		t.Errorf("shows a secret:\n%v", err)
	}
}

func TestAnEndlessSourceIsRefused(t *testing.T) {
	o, _ := options(t, &Masker{})
	for _, s := range []Source{
		{Name: "A", File: "/dev/zero"},
		{Name: "B", Command: []string{"head", "-c", "3000000", "/dev/zero"}},
	} {
		if _, err := Resolve(context.Background(), []Source{s}, o); err == nil || !strings.Contains(err.Error(), "longer than") {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
}

func TestWidePermissionsAndShortSecretsAreWarnedOf(t *testing.T) {
	o, dir := options(t, &Masker{})
	write(t, dir, "open", "long-enough", 0o644)
	write(t, dir, "pin", "123", 0o400)
	found, err := Resolve(context.Background(), []Source{{Name: "A", File: "open"}, {Name: "B", File: "pin"}}, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Warnings) != 2 || !strings.Contains(found.Warnings[0], "0644") || !strings.Contains(found.Warnings[0], "chmod 600") ||
		!strings.Contains(found.Warnings[1], "only 3 characters") {
		t.Error(found.Warnings)
	}
}

func TestACancelledCommandIsEnded(t *testing.T) {
	o, _ := options(t, &Masker{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Resolve(ctx, []Source{{Name: "A", Command: []string{"sleep", "1000"}}}, o)
	if err == nil || !strings.Contains(err.Error(), "was cancelled") {
		t.Error(err)
	}
}
