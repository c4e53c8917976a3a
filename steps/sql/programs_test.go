package sql_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"

	apicontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/host"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// recordOf is a mapping of JSON as settings.
func recordOf(m map[string]any) engine.Record {
	r := engine.Record{}
	for k, v := range m {
		if inner, ok := v.(map[string]any); ok {
			v = recordOf(inner)
		}
		r[k] = v
	}
	return r
}

// plainOf is the other way round.
func plainOf(r engine.Record) map[string]any {
	m := map[string]any{}
	for k, v := range r {
		switch x := v.(type) {
		case engine.Record:
			m[k] = plainOf(x)
		default:
			m[k], _ = engine.Reveal(v)
		}
	}
	return m
}

// workshop is another place where programs run: over ssh, or in a container. It sees the folder dir under
// its name, and the programs of this machine.
type workshop struct {
	name     string
	settings engine.Record
	breaks   func(t *testing.T) // the way to it
}

// workshops are a real sshd, and a real container that lends the programs of this machine, since no image with
// them can be had.
func workshops(t *testing.T, dir string) []workshop {
	server := servers.SSH(t)
	name, kill := toolbox(t, dir)
	return []workshop{
		{"over ssh", engine.Record{"ssh": server.Settings()}, func(*testing.T) { server.CutConnections() }},
		{"in a container", engine.Record{"container": name, "docker": servers.Docker(t)}, kill},
	}
}

func toolbox(t *testing.T, dir string) (name string, kill func(*testing.T)) {
	t.Helper()
	address, _ := engine.Reveal(servers.Docker(t)["host"])
	plain, err := client.NewClientWithOpts(client.WithHost(address), client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plain.Close() })
	name = "hr-test-sql-" + strings.ToLower(rand.Text()[:10])
	config := &apicontainer.Config{Image: servers.Image, Cmd: []string{"sleep", "3600"}, StopSignal: "KILL", Env: []string{"PATH=/usr/bin:/bin"}}
	lent := &apicontainer.HostConfig{NetworkMode: "host", Binds: []string{"/usr:/usr:ro", "/usr/lib:/lib:ro", "/usr/lib64:/lib64:ro", "/etc:/etc:ro", dir + ":" + dir}}
	if _, err := plain.ContainerCreate(t.Context(), config, lent, nil, nil, name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plain.ContainerRemove(context.Background(), name, apicontainer.RemoveOptions{Force: true}); err != nil {
			t.Error(err)
		}
	})
	if err := plain.ContainerStart(t.Context(), name, apicontainer.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	return name, func(t *testing.T) {
		if err := plain.ContainerKill(t.Context(), name, "KILL"); err != nil {
			t.Error(err)
		}
	}
}

// shop is a system that is dumped, with its real program.
type shop struct {
	name    string
	ground  func(testing.TB) ground
	program string
	fill    string
	counts  string
}

func shops(t *testing.T) []shop {
	t.Helper()
	real := func(names ...string) string {
		for _, name := range names {
			if path, err := osexec.LookPath(name); err == nil {
				return path
			}
		}
		t.Fatalf("none of %q is installed; run: make servers", names)
		return ""
	}
	// Debian's own pg_dump is a script for a machine with all of Debian.
	return []shop{
		{"mysql", func(t testing.TB) ground { return dumpGround(t) }, real("mariadb-dump", "mysqldump"), "INSERT INTO a SELECT seq, REPEAT('x', 200) FROM seq_1_to_60000", "a 60000"},
		{"postgres", postgresGround, real(filepath.Join(os.Getenv("HANDRAIL_TEST_POSTGRES_BIN"), "pg_dump"), "/usr/lib/postgresql/15/bin/pg_dump", "pg_dump"),
			"INSERT INTO a SELECT n, repeat('x', 200) FROM generate_series(1, 60000) n", "public.a 60000"},
	}
}

// everywhere runs a test with each system and each place.
func everywhere(t *testing.T, f func(t *testing.T, g ground, s shop, w workshop, dir string)) {
	for _, s := range shops(t) {
		for i := range 2 {
			t.Run(s.name+" "+[]string{"over ssh", "in a container"}[i], func(t *testing.T) {
				dir := t.TempDir()
				w := workshops(t, dir)[i]
				g := s.ground(t)
				g.must(t, "CREATE TABLE a (x int PRIMARY KEY, filler varchar(250))", s.fill)
				g.target.Settings["programs"] = w.settings
				f(t, g, s, w, dir)
			})
		}
	}
}

// standIn is a program in a folder that the other place sees.
func standIn(t *testing.T, dir, real, script string) string {
	t.Helper()
	path := filepath.Join(dir, filepath.Base(real))
	text := "#!/bin/sh\nif [ \"$1\" = --version ]; then exec " + real + " --version; fi\n" + script + "\n"
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestAProgramElsewhereDumpsToHere: over ssh and in a container, with the password in no argument there and no
// file of it left.
func TestAProgramElsewhereDumpsToHere(t *testing.T) {
	everywhere(t, func(t *testing.T, g ground, s shop, w workshop, dir string) {
		spy := standIn(t, dir, s.program, `for p in $$ $PPID; do tr '\0' '\n' </proc/$p/cmdline; done >`+dir+`/argv 2>/dev/null
env >`+dir+`/env; exec `+s.program+` "$@"`)
		out := t.TempDir()
		r := ok(t, g.dumping(t, out, dumpTo("a.sql.zst", "program", spy)).do())
		if counts(r) != s.counts {
			t.Errorf("counted %s", counts(r))
		}
		argv, err := os.ReadFile(filepath.Join(dir, "argv"))
		if err != nil || !strings.Contains(string(argv), "--") || strings.Contains(string(argv), password) {
			t.Errorf("the arguments there are %q, %v", argv, err)
		}
		env, err := os.ReadFile(filepath.Join(dir, "env"))
		if err != nil || !strings.Contains(string(env), "HANDRAIL_TOKEN=run-") || s.name == "mysql" && strings.Contains(string(env), password) {
			t.Errorf("the environment there is %q, %v", env, err)
		}
		if found, _ := osexec.Command("grep", "-rl", password, dir, "/tmp/.handrail").Output(); s.name == "mysql" && len(found) > 0 {
			t.Errorf("the password stands in %s", found)
		}
		g.must(t, "DELETE FROM a WHERE x > 5")
		if r := ok(t, g.restoring(t, out, restoreFrom("a.sql.zst", "safety", "before.sql", "program", s.program)).do()); counts(r) != s.counts {
			t.Errorf("restored %v", r)
		}
		// The plan reaches the place and starts nothing there.
		told := standIn(t, dir, s.program, "")
		if err := os.WriteFile(told, []byte("#!/bin/sh\ntouch "+dir+"/started\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		p := g.stepUnder(t, steps.ReadOnly, "dump", dumpTo("b.sql", "program", told, "tables", texts("a")))
		p.env.Dir = out
		i, err := p.op.Preview(t.Context(), p.env)
		if err != nil || i.Standing != engine.StandingWould {
			t.Errorf("the plan says %+v, %v", i, err)
		}
		contains(t, fmt.Sprintf("%+v", i), "program runs Value:", "a dry-run starts nothing there", "Name:tables Value:1")
		if _, err := os.Stat(filepath.Join(dir, "started")); err == nil {
			t.Error("the plan has started it")
		}
	})
}

// TestTheWayToAProgramElsewhereIsLost: nothing that looks like a backup is there, and nothing goes on there.
func TestTheWayToAProgramElsewhereIsLost(t *testing.T) {
	everywhere(t, func(t *testing.T, g ground, s shop, w workshop, dir string) {
		half := standIn(t, dir, s.program, s.program+` "$@" | head -c 50000; touch `+dir+`/half; sleep 1000`)
		out := t.TempDir()
		st := g.dumping(t, out, dumpTo("a.sql.zst", "program", half)).prepare()
		done := make(chan engine.Outcome, 1)
		go func() { done <- st.execute(t.Context()) }()
		eventually(t, func() bool { _, err := os.Stat(filepath.Join(dir, "half")); return err == nil })
		w.breaks(t)
		failed(t, <-done, engine.EffectNone, "nothing of the dump is kept")
		if got := folder(t, out); len(got) != 0 {
			t.Errorf("left behind: %q", got)
		}
		eventually(t, func() bool { return len(alive(t, st.env.Call.Token)) == 0 })
	})
}

// alive is what carries the token on this machine: what runs in a container does so here, too.
func alive(t *testing.T, token string) []host.Alive {
	t.Helper()
	left, err := host.Local{}.Survivors(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	return left
}

// TestKilledInTheMiddleOfADumpElsewhere: what the killed engine has left running there is ended BEFORE the next
// attempt begins, and that makes one good dump.
func TestKilledInTheMiddleOfADumpElsewhere(t *testing.T) {
	everywhere(t, func(t *testing.T, g ground, s shop, w workshop, dir string) {
		stays := standIn(t, dir, s.program, `[ ! -e `+dir+`/first ] || exec `+s.program+` "$@"
touch `+dir+`/first; trap '' PIPE HUP; `+s.program+` "$@"; sleep 1000`)
		out := t.TempDir()
		r := role{Operation: "dump", Params: map[string]string{"dump": "a.sql.zst", "program": stays}, Dir: out, Token: "run-" + rand.Text() + "/dump", Far: 1000, Programs: plainOf(w.settings)}
		if note := g.killed(t, r); note != nil {
			t.Errorf("it noted %v", note)
		}
		for _, name := range folder(t, out) {
			if !strings.HasPrefix(name, ".") || !strings.HasSuffix(name, ".part") {
				t.Errorf("%s was left, and looks like a backup", name)
			}
		}
		if len(alive(t, r.Token)) == 0 {
			t.Fatal("nothing was left running, so that this shows nothing")
		}
		st := g.dumping(t, out, dumpTo("a.sql.zst", "program", stays))
		st.env.Call, st.env.Again = r.call(), true
		if got := ok(t, st.execute(t.Context())); counts(got) != s.counts {
			t.Errorf("then it counts %s", counts(got))
		}
		contains(t, st.rec.Output(), "an earlier attempt has left a program running", "is ended (SIGTERM)")
		if left := alive(t, r.Token); len(left) > 0 {
			t.Errorf("still alive: %v", left)
		}
		if got := folder(t, out); len(got) != 2 {
			t.Errorf("in the folder is %q", got)
		}
	})
}

// TestAProgramElsewhereThatCannotBeHad: it is said where, and what to do.
func TestAProgramElsewhereThatCannotBeHad(t *testing.T) {
	dir := t.TempDir()
	g := postgresGround(t)
	g.must(t, "CREATE TABLE a (x int)")
	all := workshops(t, dir)
	old := filepath.Join(dir, "pg_dump")
	if err := os.WriteFile(old, []byte("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n[ \"$1\" = --version ] || touch "+dir+"/started\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	try := func(programs engine.Record, program string, says ...string) {
		t.Helper()
		g.target.Settings["programs"] = programs
		out := t.TempDir()
		failed(t, g.dumping(t, out, dumpTo("a.sql", "program", program)).do(), engine.EffectNone, says...)
		if got := folder(t, out); len(got) != 0 {
			t.Errorf("left behind: %q", got)
		}
	}
	for _, w := range all {
		try(w.settings, old, "older than the server", "install the program of the server's version")
	}
	try(all[0].settings, "no-such-dump", "there is no command no-such-dump on 127.0.0.1")
	try(all[1].settings, "no-such-dump", "no-such-dump could not be started in container")
	try(engine.Record{"container": "hr-no-such", "docker": servers.Docker(t)}, "pg_dump", "where the programs run that dump", "hr-no-such")
	nobody := engine.Record{}
	for k, v := range all[0].settings["ssh"].(engine.Record) {
		nobody[k] = v
	}
	nobody["address"] = "127.0.0.1:1"
	try(engine.Record{"ssh": nobody}, "pg_dump", "where the programs run that dump", "no ssh server answers at 127.0.0.1:1")
	all[1].breaks(t)
	try(all[1].settings, "pg_dump", "does not run; start it in a step before")
	if _, err := os.Stat(filepath.Join(dir, "started")); err == nil {
		t.Error("one that is too old was started")
	}
	// The server is elsewhere for a program that is elsewhere.
	near := engine.Record{"address": "127.0.0.1:1", "ssh": all[0].settings["ssh"]}
	try(near, shops(t)[1].program, "pg_dump", "port 1 failed")
}

func TestSettingsOfProgramsThatContradictThemselves(t *testing.T) {
	ssh := engine.Record{"address": "a"}
	for want, c := range map[string][2]engine.Record{
		"programs.container: say ssh or container, not both": {{"ssh": ssh, "container": "c"}, nil},
		"say where the programs run: ssh, or container":      {{"address": "a"}, nil},
		"docker and user are those of a container":           {{"ssh": ssh, "user": "u"}, nil},
		"programs.tls: the target itself has no tls":         {{"ssh": ssh, "tls": engine.Record{"ca": "x"}}, nil},
		"programs.address: there are several servers":        {{"ssh": ssh, "address": "b"}, nil},
		"the files of the target's tls are not there":        {{"ssh": ssh}, {"ca": "/x"}},
	} {
		for _, typ := range []string{"mysql", "postgres"} {
			settings := engine.Record{"address": "127.0.0.1:1", "user": "u", "programs": c[0]}
			if strings.HasPrefix(want, "programs.address") {
				delete(settings, "address")
				settings["addresses"] = texts("127.0.0.1:1", "127.0.0.1:2")
			}
			if c[1] != nil {
				settings["tls"] = c[1]
			}
			_, err := newKind().Connect(t.Context(), steps.Target{Name: "db", Type: typ, Settings: settings}, steps.ReadOnly)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", typ, err, want)
			}
		}
	}
}
