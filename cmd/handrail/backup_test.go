package main

import (
	"bytes"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// backupGround is the numbering database with a folder for its dumps.
type backupGround struct {
	*sqlGround
	folder string
	real   string // mariadb-dump
}

func newBackupGround(t *testing.T) *backupGround {
	t.Helper()
	settings := servers.MySQL(t)
	g := &backupGround{&sqlGround{newGround(t), servers.Open(t, settings), settings}, "", ""}
	g.target("db", "mysql", settings)
	g.folder = filepath.Join(g.dir, "backups")
	if err := os.Mkdir(g.folder, 0o700); err != nil {
		t.Fatal(err)
	}
	schema, err := os.ReadFile("../../examples/numbering/schema.sql")
	if err != nil {
		t.Fatal(err)
	}
	g.sql(string(schema), "INSERT INTO document_numbering_audit_logs (operation) VALUES ('one'), ('two')")
	return g
}

// impatient takes the pauses between attempts out of the playbook.
func (g *backupGround) impatient() {
	g.t.Helper()
	b, err := os.ReadFile("../../playbooks/mariadb-backup.yaml")
	if err != nil {
		g.t.Fatal(err)
	}
	text := strings.Replace(string(b), "backoff: 30s..5m", "backoff: 1ms", 1)
	if text == string(b) {
		g.t.Fatal("the playbook has another pause now")
	}
	g.write("playbooks/mariadb-backup.yaml", text)
}

// backup runs the shipped playbook. The names of the dumps have the second in them.
func (g *backupGround) backup(more ...string) said {
	g.t.Helper()
	s := g.handrail(append([]string{"run", "mariadb-backup", "--yes", "-i", "folder=" + g.folder}, more...)...)
	last := time.Now().Unix() // its name has a second that is no later
	eventually(g.t, "the second is over", func() bool { return time.Now().Unix() > last })
	return s
}

func (g *backupGround) restore(more ...string) said {
	g.t.Helper()
	return g.handrail(append([]string{"run", "mariadb-restore", "--yes", "-i", "folder=" + g.folder}, more...)...)
}

// files are the names in the folder, hidden ones too.
func (g *backupGround) files() []string {
	g.t.Helper()
	entries, err := os.ReadDir(g.folder)
	if err != nil {
		g.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// dumps are the dumps among them.
func (g *backupGround) dumps() []string {
	return slices.DeleteFunc(g.files(), func(n string) bool {
		return !strings.HasPrefix(n, "numbering_") || strings.HasSuffix(n, ".json")
	})
}

func (g *backupGround) latest() string {
	g.t.Helper()
	name, err := os.Readlink(filepath.Join(g.folder, "latest.sql.zst"))
	if err != nil {
		g.t.Fatal(err)
	}
	return name
}

// rows is what the tables hold.
func (g *backupGround) rows() string {
	g.t.Helper()
	var all string
	if err := g.db.QueryRowContext(g.t.Context(), `SELECT CONCAT_WS(' | ',
		(SELECT GROUP_CONCAT(id, document_type, scope, max_value, updated_at ORDER BY id) FROM document_numbering_configs),
		(SELECT GROUP_CONCAT(id, config_id, scope_value, current_value, COALESCE(last_used_at, '-') ORDER BY id) FROM document_numbering_sequences),
		(SELECT GROUP_CONCAT(id, operation, timestamp ORDER BY id) FROM document_numbering_audit_logs))`).Scan(&all); err != nil {
		g.t.Fatal(err)
	}
	return all
}

func (g *backupGround) spoil() {
	g.t.Helper()
	g.sql("DELETE FROM document_numbering_audit_logs", "UPDATE document_numbering_sequences SET current_value = 7", "DELETE FROM document_numbering_sequences WHERE id > 2")
}

// program puts a stand-in for mariadb-dump before the real one. Its version it says truly.
func (g *backupGround) program(script string) {
	g.t.Helper()
	bin := filepath.Join(g.dir, "bin")
	if err := os.MkdirAll(bin, 0o700); err != nil {
		g.t.Fatal(err)
	}
	if g.real == "" {
		var err error
		if g.real, err = exec.LookPath("mariadb-dump"); err != nil {
			g.t.Fatal(err)
		}
		g.t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	}
	text := "#!/bin/sh\ndump=" + g.real + "\nif [ \"$1\" = --version ]; then exec $dump --version; fi\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(bin, "mariadb-dump"), []byte(text), 0o700); err != nil {
		g.t.Fatal(err)
	}
}

// TestBackupIsProvenPublishedAndOnlyThenOldOnesGo: every night, and on the night on which the dump fails.
func TestBackupIsProvenPublishedAndOnlyThenOldOnesGo(t *testing.T) {
	g := newBackupGround(t)
	g.handrail("plan", "mariadb-backup", "-i", "folder="+g.folder).is(0)
	if got := g.files(); len(got) > 0 {
		t.Fatalf("a plan left %q", got)
	}
	g.backup().is(0)
	first := g.latest()
	g.backup().is(0)
	second := g.latest()
	if got := g.dumps(); len(got) != 2 || first == second || second != got[1] {
		t.Fatalf("after two nights: %q, latest %s", got, second)
	}
	old := filepath.Join(g.folder, "numbering_20200101_020000.sql.zst")
	long := time.Now().Add(-40 * 24 * time.Hour)
	for from, to := range map[string]string{first: old, first + ".manifest.json": old + ".manifest.json"} {
		b, err := os.ReadFile(filepath.Join(g.folder, from))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	// The dump fails half-way: nothing is removed, and latest leads where it led.
	before := g.files()
	g.impatient()
	g.program(`$dump "$@" | head -c 2500; echo "mariadb-dump: Error 2013: Lost connection to server" >&2; exit 3`)
	g.backup().is(1, "mariadb-dump ended with code 3", "Lost connection", "nothing of the dump is kept")
	if got := g.files(); !slices.Equal(got, before) || g.latest() != second {
		t.Errorf("a failed night left %q, latest %s", got, g.latest())
	}
	g.program(`exec $dump "$@"`)
	g.backup().is(0)
	if got := g.dumps(); len(got) != 3 || slices.Contains(got, filepath.Base(old)) || g.latest() != got[2] {
		t.Errorf("after the next good night: %q, latest %s", got, g.latest())
	}
}

// TestRestoreAsksFirstStopsWritersAndProvesItself: nothing is touched until a person has said yes.
func TestRestoreAsksFirstStopsWritersAndProvesItself(t *testing.T) {
	g := newBackupGround(t)
	docker := servers.Docker(t)
	host, _ := docker["host"].(string)
	t.Setenv("DOCKER_HOST", host)
	g.targets["engine"] = map[string]engine.Record{"docker": docker} // for the test's own commands
	writer := g.container()
	g.docker("run", "-d", "--name", writer, "--stop-timeout", "0", servers.Image, "sleep", "600")
	g.backup().is(0)
	whole := g.rows()
	g.spoil()
	spoilt := g.rows()
	g.handrail("plan", "mariadb-restore", "-i", "folder="+g.folder, "-i", "writers="+writer).is(0)
	s := g.restore("-i", "writers="+writer).is(3)
	if !strings.Contains(s.out+s.errors, "This overwrites 3 tables") || g.rows() != spoilt || len(g.dumps()) != 1 {
		t.Fatalf("before anybody has said yes: %s%s%s", g.rows(), s.out, s.errors)
	}
	run := g.last()
	g.handrail("approve", run).is(0)
	g.handrail("resume", run).is(0)
	if got := g.rows(); got != whole {
		t.Errorf("restored is\n%s\nwas\n%s", got, whole)
	}
	if got := g.docker("inspect", "-f", "{{.State.Running}} {{.State.StartedAt}}", writer); !strings.HasPrefix(got, "true") {
		t.Errorf("the writer was left stopped: %s", got)
	}
	if !slices.Contains(g.files(), "before-restore_"+run+".sql.zst") {
		t.Errorf("there is no safety dump: %q", g.files())
	}
	// A second run, of what the first has saved.
	g.restore("-i", "backup=before-restore_"+run+".sql.zst").is(3)
	g.handrail("approve", g.last()).is(0)
	g.handrail("resume", g.last()).is(0)
	if got := g.rows(); got != spoilt {
		t.Errorf("the safety dump brings back\n%s\nbefore the restore it was\n%s", got, spoilt)
	}
}

// TestRestoreRefusesABadDumpAndAFullHouse: before anything is asked or touched.
func TestRestoreRefusesABadDumpAndAFullHouse(t *testing.T) {
	g := newBackupGround(t)
	g.backup().is(0)
	file := filepath.Join(g.folder, g.latest())
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before := g.rows()
	if err := os.Truncate(file, 500); err != nil {
		t.Fatal(err)
	}
	g.restore().is(1, "backup", "proven")
	g.restore("-i", "backup=nix.sql.zst").is(1, "no such file")
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	// Somebody else is connected: it would write while the tables are restored.
	name := "other_" + strings.ToLower(rand.Text()[:10])
	g.sql("CREATE USER "+name+"@'%' IDENTIFIED BY 'x'", "GRANT SELECT ON "+g.settings["database"].(string)+".* TO "+name+"@'%'")
	t.Cleanup(func() {
		if _, err := g.db.Exec("DROP USER " + name + "@'%'"); err != nil {
			t.Error(err)
		}
	})
	other := servers.Open(t, engine.Record{"address": g.settings["address"], "user": name, "password": "x", "database": g.settings["database"]})
	if err := other.PingContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.restore().is(3)
	g.handrail("approve", g.last()).is(0)
	g.handrail("resume", g.last()).is(1, "step quiet: expect rows[0].others == 0")
	if got := g.rows(); got != before {
		t.Errorf("it was touched:\n%s", got)
	}
	// What holds them up is gone: the same run goes on.
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nobody else is connected", func() bool {
		var n int
		return g.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = ?", name).Scan(&n) == nil && n == 0
	})
	g.handrail("resume", g.last()).is(0)
}

// begun starts a process that is going to be killed.
func (g *ground) begun(args ...string) *exec.Cmd {
	g.t.Helper()
	c := exec.Command("handrail", args...)
	c.Dir, c.Env = g.dir, g.environ()
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		_ = c.Process.Kill() // it was killed, if all went well
		_ = c.Wait()
		if g.t.Failed() {
			g.t.Logf("%s:\n%s", strings.Join(args, " "), out.String())
		}
	})
	return c
}

func killed(t *testing.T, c *exec.Cmd) {
	t.Helper()
	if err := c.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // killed
}

// TestBackupKilledInTheMiddleOfTheDump: the resume makes one good dump, under the name of the run's start.
func TestBackupKilledInTheMiddleOfTheDump(t *testing.T) {
	g := newBackupGround(t)
	g.program(`[ -e ` + g.dir + `/half ] && exec $dump "$@"
$dump "$@" | { head -c 2000; touch ` + g.dir + `/half; sleep 1000; }`)
	c := g.begun("run", "mariadb-backup", "--yes", "-i", "folder="+g.folder)
	eventually(t, "half of the dump is written", func() bool { _, err := os.Stat(filepath.Join(g.dir, "half")); return err == nil })
	killed(t, c)
	if got := g.dumps(); len(got) != 0 {
		t.Errorf("a dump that was killed left %q", got)
	}
	g.handrail("resume", g.last()).is(0)
	if got := g.files(); len(got) != 3 || g.latest() != g.dumps()[0] {
		t.Errorf("in the folder is %q", got)
	}
	g.handrail("audit", g.last()).is(0)
}

// TestRestoreKilledInTheMiddle: it is in doubt and says why; a person decides; it is done once more, and proven.
func TestRestoreKilledInTheMiddle(t *testing.T) {
	g := newBackupGround(t)
	g.backup().is(0)
	whole := g.rows()
	g.spoil()
	spoilt := g.rows()
	g.restore().is(3)
	run := g.last()
	g.handrail("approve", run).is(0)
	// A reader holds the last table: the restore comes as far as that.
	reader := g.other("SELECT COUNT(*) FROM document_numbering_sequences")
	c := g.begun("resume", run)
	g.running("DROP TABLE IF EXISTS%")
	killed(t, c)
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	s := g.handrail("resume", run).is(3)
	shown := g.handrail("show", run).is(0)
	for _, want := range []string{"in doubt", "was under way on connection", "what was there before stands in"} {
		if !strings.Contains(s.out+s.errors+shown.out, want) {
			t.Errorf("%q is not said:\n%s%s%s", want, s.out, s.errors, shown.out)
		}
	}
	g.handrail("resolve", run, "restore", "not-done", "--because", "a table is missing").is(0)
	g.handrail("resume", run).is(0)
	if got := g.rows(); got != whole {
		t.Errorf("restored is\n%s\nwas\n%s", got, whole)
	}
	// The safety dump is that of before the first attempt.
	g.restore("-i", "backup=before-restore_"+run+".sql.zst").is(3)
	g.handrail("approve", g.last()).is(0)
	g.handrail("resume", g.last()).is(0)
	if got := g.rows(); got != spoilt {
		t.Errorf("the safety dump brings back\n%s\nbefore the restore it was\n%s", got, spoilt)
	}
}
