package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// tells asks for the exit code and for what stands in the answer.
func (s said) tells(code int, wants ...string) said {
	s.g.t.Helper()
	if s.code != code {
		s.g.t.Errorf("exit %d, not %d", s.code, code)
	}
	for _, w := range wants {
		if !strings.Contains(s.out, w) {
			s.g.t.Errorf("it does not say %q", w)
		}
	}
	if s.g.t.Failed() {
		s.g.t.Logf("%s%s", s.out, s.errors)
	}
	return s
}

// leaks fails if something is said that must not be.
func (s said) silentOn(words ...string) said {
	s.g.t.Helper()
	for _, w := range words {
		if strings.Contains(s.out+s.errors, w) {
			s.g.t.Errorf("it says %q:\n%s%s", w, s.out, s.errors)
		}
	}
	return s
}

func TestDoctorFindsMissingTablesAndColumns(t *testing.T) {
	g := newSQLGround(t, servers.MySQL(t))
	g.handrail("doctor", "add").tells(0, "add           ok")
	g.playbook("wrong", `targets: {db: mysql}
inputs: {id: {type: integer}}
steps:
  - {id: read, sql: {query: "SELECT n FROM counter WHERE id = :id", args: {id: "${{ inputs.id }}"}}}
  - {id: locked, sql: {args: {id: "${{ inputs.id }}"}, transaction: [{query: "SELECT n FROM counts WHERE id = :id FOR UPDATE", as: old}, {exec: "UPDATE counts SET n = :n", args: {n: "${{ old.rows[0].n }}"}}]}}
  - {id: column, when: "steps.read.rows[0].n > 1", sql: {exec: "UPDATE counts SET m = :m WHERE id IN (:ids)", args: {m: "${{ steps.read.rows[0].n }}", ids: [1, 2]}}}
  - {id: audit, sql: {transaction: [{exec: "INSERT INTO audits (n) VALUES (1)"}, {exec: "DELETE FROM counts WHERE id = 7"}]}}
  - {id: proven, verify: [{sql: {query: SELECT nn FROM counts}, expect: "len(rows) == 1"}]}
`)
	g.handrail("doctor", "wrong").tells(1,
		"fails     read: mysql ", "there is no such table", "check its name and the database", "wrong.yaml:5:5",
		"fails     column: mysql ", "there is no such column", "wrong.yaml:7:5",
		"fails     audit: mysql ", "wrong.yaml:8:5",
		"fails     proven: mysql ", "wrong.yaml:9:27").silentOn("locked")
	g.counted(0)
	if _, err := os.Stat(g.state()); err == nil {
		t.Error("a state folder was made")
	}
}

// TestDoctorFindsMissingRights: for a user who may only read, what writes would fail, and nothing of it is tried.
func TestDoctorFindsMissingRights(t *testing.T) {
	g := newSQLGround(t, servers.MySQL(t))
	user := "r" + strings.ToLower(engine.Text(g.settings["database"]))
	g.sql("CREATE USER "+user+"@'%' IDENTIFIED BY 'the-password-4711'", "GRANT SELECT ON "+engine.Text(g.settings["database"])+".* TO "+user+"@'%'")
	t.Cleanup(func() { g.dropUser(user) })
	g.target("db", "mysql", g.with(engine.Record{"user": user, "password": "the-password-4711"}))
	g.handrail("doctor", "add").tells(1, "fails     add: mysql ", "the user may not do this", "give it the right with GRANT").silentOn("the-password-4711")
	g.playbook("reads", "targets: {db: mysql}\nsteps:\n  - {id: a, sql: {query: SELECT n FROM counts}}\n")
	g.handrail("doctor", "reads").tells(0)
	g.counted(0)
}

func TestDoctorFindsAWrongPasswordOnce(t *testing.T) {
	g := newSQLGround(t, servers.MySQL(t))
	g.target("db", "mysql", g.with(engine.Record{"password": "not-the-password-0815"}))
	g.playbook("other", "targets: {db: mysql}\nsteps:\n  - {id: a, sql: {query: SELECT n FROM nowhere}}\n")
	g.handrail("doctor").tells(1, "fails     target db: mysql ", "it does not accept the user and password", "check `user` and `password`",
		"environments/default.yaml:1:", "2 checked on default: 2 would fail tonight").silentOn("not-the-password-0815", "nowhere")
}

func TestDoctorFindsAServerThatIsDown(t *testing.T) {
	private := servers.PrivateMySQL(t)
	g := newSQLGround(t, private.Settings())
	private.Kill()
	g.handrail("doctor", "add").tells(1, "fails     target db: mysql ", "cannot be reached")
	private.Restart()
	g.handrail("doctor", "add").tells(0)
	g.counted(0)
}

// TestDoctorLooksAtEveryServerOfSeveral: one that is down matters to what asks each of them.
func TestDoctorLooksAtEveryServerOfSeveral(t *testing.T) {
	g := newSQLGround(t, servers.MySQL(t))
	several := g.with(engine.Record{"addresses": engine.List{"127.0.0.1:1", g.settings["address"]}})
	delete(several, "address")
	g.target("db", "mysql", several)
	g.handrail("doctor", "add").tells(0, "may fail  target db: 127.0.0.1:1 cannot be reached", "there is one less for a failover", "environments/default.yaml:1:")
	g.playbook("each", "targets: {db: mysql}\nsteps:\n  - {id: all, sql: {query: SELECT n FROM counts, nodes: each}}\n  - {id: one, sql: {query: SELECT n FROM counts, nodes: any}}\n")
	g.handrail("doctor", "each").tells(1, "fails     all: mysql 127.0.0.1:1: ").silentOn("one: ")
	g.handrail("run", "--yes", "add").tells(0)
	g.counted(1)
	several["addresses"] = engine.List{g.settings["address"], strings.Replace(engine.Text(g.settings["address"]), "127.0.0.1", "localhost", 1)}
	g.target("db", "mysql", several)
	g.handrail("doctor", "add").tells(1, "fails     target db: 2 of its servers take writes", "find out which is the primary")
	g.handrail("plan", "add").tells(1, "2 of its servers take writes")
	if s := g.handrail("run", "--yes", "add").tells(1); !strings.Contains(s.errors, "2 of its servers take writes") {
		t.Error(s.errors)
	}
	g.counted(1)
}

func TestDoctorFindsStoppedContainersAndMissingImages(t *testing.T) {
	g := newGround(t)
	settings := servers.Docker(t)
	g.target("engine", "docker", settings)
	name := fmt.Sprintf("handrail-doctor-%d", os.Getpid())
	docker := func(args ...string) {
		t.Helper()
		if host, ok := settings["host"].(string); ok {
			args = append([]string{"-H", host}, args...)
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if out, err := exec.CommandContext(ctx, "docker", args...).CombinedOutput(); err != nil {
			t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	docker("create", "--name", name, "handrail-test/base:1", "sleep", "600")
	t.Cleanup(func() { docker("rm", "-f", name) })
	g.playbook("containers", `targets: {engine: docker}
steps:
  - {id: inside, docker: {exec: {container: `+name+`, argv: ["true"]}}}
  - {id: again, docker: {restart: no-such-container-4711}}
  - {id: fresh, docker: {run: {name: `+name+`-2, image: "handrail-test/no-such-image:1", pull: never}}}
`)
	g.handrail("doctor").tells(1, "fails     inside: ", name, "containers.yaml:4:5")
	docker("start", name)
	g.handrail("doctor").tells(0, "may fail  again: ", "no-such-container-4711", "step inside before it may put that right",
		"may fail  fresh: ", "no-such-image").silentOn("inside: ")
}

func TestDoctorFindsAFullDisk(t *testing.T) {
	g, _ := bookGround(t)
	g.playbook("save", "targets: {book: sqlite}\nsteps:\n  - {id: rows, sql: {export: SELECT * FROM ledger, to: "+filepath.Join(g.dir, "backups", "x.csv")+"}}\n")
	g.playbook("copy", "steps:\n  - {id: copy, file: {copy: {from: playbooks/save.yaml, to: backups/y}}}\n")
	if err := os.Mkdir(filepath.Join(g.dir, "backups"), 0o700); err != nil {
		t.Fatal(err)
	}
	out := g.mounted(`
mount -t tmpfs -o size=192k,mode=700 none backups
code=0; handrail doctor || code=$?
echo "backups: code=$code"
umount backups
mkdir "$STATE"
mount -t tmpfs -o size=192k,mode=700 none "$STATE"
code=0; handrail doctor || code=$?
echo "state: code=$code"
`)
	for _, want := range []string{"fails     rows: only ", "fails     copy: only ", "make room there", "backups: code=1", "this machine  fails", "free some space there", "state: code=1"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
}

// TestDoctorAsksPostgreSQL: for a user who may only read, about tables and columns that are not there.
func TestDoctorAsksPostgreSQL(t *testing.T) {
	g := newGround(t)
	settings := servers.Postgres(t)
	db := servers.OpenPostgres(t, settings)
	user := "r" + strings.ToLower(engine.Text(settings["database"]))
	run := func(statements ...string) {
		t.Helper()
		for _, q := range statements {
			if _, err := db.ExecContext(context.WithoutCancel(t.Context()), q); err != nil {
				t.Fatalf("%s: %v", q, err)
			}
		}
	}
	run("CREATE TABLE counts (id INT PRIMARY KEY, n INT NOT NULL)", "CREATE ROLE "+user+" LOGIN PASSWORD 'the-password-4711'", "GRANT SELECT ON counts TO "+user)
	t.Cleanup(func() { run("DROP OWNED BY "+user, "DROP ROLE "+user) })
	g.playbook("add", `targets: {db: postgres}
steps:
  - {id: read, sql: {query: "SELECT n FROM counts WHERE id = :id", args: {id: 1}}}
  - {id: add, sql: {exec: "UPDATE counts SET n = n + :by WHERE id = :id", args: {id: 1, by: 1}}}
  - {id: audit, sql: {exec: INSERT INTO audits VALUES (1)}}
  - {id: column, sql: {query: SELECT m FROM counts}}
`)
	g.target("db", "postgres", settings)
	g.handrail("doctor").tells(1, "fails     audit: postgres ", "fails     column: postgres ").silentOn("fails     add: ", "fails     read: ")
	mine := engine.Record{}
	for k, v := range settings {
		mine[k] = v
	}
	mine["user"], mine["password"] = user, "the-password-4711"
	g.target("db", "postgres", mine)
	g.handrail("doctor").tells(1, "fails     add: postgres ").silentOn("fails     read: ", "the-password-4711")
}
