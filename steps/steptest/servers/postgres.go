package servers

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/handrail-dev/handrail/engine"
)

// Name and password of the user with all rights on PostgreSQL servers that this package makes.
const (
	postgresUser     = "handrail"
	postgresPassword = "handrail"
)

// Postgres gives the settings of a `postgres` target on the shared PostgreSQL. Its database is the
// test's own and is dropped at the end.
func Postgres(t testing.TB) engine.Record {
	t.Helper()
	// user:password@host:port, as scripts/servers wrote it
	who, address, ok := cutLast(setting(t, "HANDRAIL_TEST_POSTGRES"), "@")
	user, password, ok2 := strings.Cut(who, ":")
	if !ok || !ok2 {
		t.Fatal("HANDRAIL_TEST_POSTGRES must be user:password@host:port; run: make servers")
	}
	settings := engine.Record{"address": address, "user": user, "password": password}
	settings["database"] = freshPostgres(t, settings, true)
	return settings
}

func freshPostgres(t testing.TB, settings engine.Record, drop bool) string {
	t.Helper()
	db := OpenPostgres(t, settings)
	name := "t_" + strings.ToLower(rand.Text()[:12])
	// Two copies of template1 at once are refused by the server.
	for attempt := 1; ; attempt++ {
		_, err := db.Exec("CREATE DATABASE " + name + " TEMPLATE template0")
		if err == nil {
			break
		}
		if attempt == 50 || !strings.Contains(err.Error(), "being accessed by other users") {
			t.Fatalf("create the test's database on %s; run: make servers (%v)", settings["address"], err)
		}
	}
	if drop {
		t.Cleanup(func() {
			if _, err := db.Exec("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)"); err != nil {
				t.Errorf("drop the test's database %s: %v", name, err)
			}
		})
	}
	return name
}

// OpenPostgres is a plain connection pool to the settings' database, for what a test itself prepares and
// asks. It is closed at the end of the test.
func OpenPostgres(t testing.TB, settings engine.Record) *sql.DB {
	t.Helper()
	db, err := openPostgres(settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func openPostgres(settings engine.Record) (*sql.DB, error) {
	name, _ := settings["database"].(string)
	if name == "" {
		name = "postgres"
	}
	u := url.URL{Scheme: "postgres", Host: engine.Text(settings["address"]), Path: "/" + name, RawQuery: "sslmode=prefer",
		User: url.UserPassword(engine.Text(settings["user"]), engine.Text(settings["password"]))}
	config, err := pgx.ParseConfig(u.String())
	if err != nil {
		return nil, err
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol // several statements at once, nothing prepared
	return stdlib.OpenDB(*config), nil
}

// PostgresServer is a PostgreSQL of a test's own.
type PostgresServer struct {
	t       testing.TB
	process process
	dir     string
	bin     string // its programs; empty: it runs as a container
	address string
}

// PrivatePostgres starts a PostgreSQL that the test may kill. args are further options of postgres.
func PrivatePostgres(t testing.TB, args ...string) *PostgresServer {
	t.Helper()
	s := newPostgres(t)
	if s.bin != "" {
		if err := os.CopyFS(filepath.Join(s.dir, "data"), os.DirFS(setting(t, "HANDRAIL_TEST_POSTGRES_TEMPLATE"))); err != nil {
			t.Fatalf("copy PostgreSQL's empty data folder; run: make servers (%v)", err)
		}
		hba := "local all all trust\nhost all all all scram-sha-256\nhost replication all all scram-sha-256\n"
		if err := os.WriteFile(filepath.Join(s.dir, "data", "pg_hba.conf"), []byte(hba), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.start(args)
	return s
}

func newPostgres(t testing.TB) *PostgresServer {
	t.Helper()
	dir := folder(t, "hrp")
	s := &PostgresServer{t: t, dir: dir, bin: setting(t, "HANDRAIL_TEST_POSTGRES_BIN"), process: process{name: "postgres", output: filepath.Join(dir, "log")}}
	s.process.answers = s.answers
	if s.bin == "" {
		s.process.asContainer(t, dir)
	}
	t.Cleanup(s.process.kill)
	return s
}

// start begins it on a free port; its data folder is there.
func (s *PostgresServer) start(args []string) {
	t := s.t
	t.Helper()
	if s.bin != "" {
		s.process.account = postgresAccount(t, s.dir)
	}
	startOnFreePort(t, &s.process, func(port int) {
		s.address = "127.0.0.1:" + strconv.Itoa(port)
		if s.bin == "" {
			s.process.argv = append([]string{"docker", "run", "--rm", "--name", s.process.container, "-p", s.address + ":5432",
				"-v", filepath.Join(s.dir, "data") + ":/var/lib/postgresql/data", "-e", "POSTGRES_USER=" + postgresUser,
				"-e", "POSTGRES_PASSWORD=" + postgresPassword, setting(t, "HANDRAIL_TEST_POSTGRES_IMAGE"), "postgres", "-F"}, args...)
			return
		}
		s.process.argv = append([]string{filepath.Join(s.bin, "postgres"), "-D", filepath.Join(s.dir, "data"), "-p", strconv.Itoa(port),
			"-h", "127.0.0.1", "-k", s.dir, "-F", "-c", "shared_buffers=16MB", "-c", "max_prepared_transactions=5"}, args...)
	})
}

func (s *PostgresServer) answers(ctx context.Context) error {
	db, err := openPostgres(engine.Record{"address": s.address, "user": postgresUser, "password": postgresPassword})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.PingContext(ctx)
}

// Standby starts a second server that follows this one and takes no writes.
func (s *PostgresServer) Standby() *PostgresServer {
	t := s.t
	t.Helper()
	if s.bin == "" {
		t.Fatal("a standby needs PostgreSQL's own programs on this machine; run: make servers")
	}
	two := newPostgres(t)
	account := postgresAccount(t, two.dir)
	host, port, _ := strings.Cut(s.address, ":")
	copied := exec.CommandContext(t.Context(), filepath.Join(s.bin, "pg_basebackup"), "-h", host, "-p", port, "-U", postgresUser,
		"-D", filepath.Join(two.dir, "data"), "-R", "-c", "fast", "--no-sync")
	copied.Env = append(os.Environ(), "PGPASSWORD="+postgresPassword)
	account.take(copied)
	if out, err := copied.CombinedOutput(); err != nil {
		t.Fatalf("copy PostgreSQL for a standby: %v\n%s", err, out)
	}
	two.start(nil)
	return two
}

// Settings are those of a `postgres` target on this server, with a fresh database.
func (s *PostgresServer) Settings() engine.Record {
	s.t.Helper()
	settings := engine.Record{"address": s.address, "user": postgresUser, "password": postgresPassword}
	settings["database"] = freshPostgres(s.t, settings, false)
	return settings
}

// Address is host:port.
func (s *PostgresServer) Address() string { return s.address }

// Socket is the folder with its Unix socket.
func (s *PostgresServer) Socket() string { return s.dir }

// Kill is SIGKILL: what is not durable is lost. The processes of its sessions end a moment after it, and answer as
// long as they live; so it waits for them.
func (s *PostgresServer) Kill() {
	s.t.Helper()
	s.process.kill()
	ctx, cancel := context.WithTimeout(s.t.Context(), startLimit)
	defer cancel()
	for s.livesOn() {
		select {
		case <-ctx.Done():
			s.t.Fatal("a process of the killed PostgreSQL does not end")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// livesOn: a process of its is there. All of them are in its data folder.
func (s *PostgresServer) livesOn() bool {
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	data, err := filepath.EvalSymlinks(filepath.Join(s.dir, "data"))
	for _, l := range links {
		if to, gone := os.Readlink(l); err == nil && gone == nil && to == data {
			return true
		}
	}
	return false
}

// Restart brings it up again on the same data and port, after killing it if it still lives.
func (s *PostgresServer) Restart() {
	s.t.Helper()
	s.process.kill()
	deadline := time.Now().Add(startLimit)
	for {
		err := s.process.start()
		if err == nil {
			return
		}
		s.process.kill()
		// Its children end a moment after it, and as long as one lives the data is taken.
		if !errors.Is(err, errEnded) || time.Now().After(deadline) {
			s.t.Fatal(fmt.Errorf("restart PostgreSQL: %w", err))
		}
	}
}

// Yesterday copies the data folder, as a backup of the machine does, and gives what puts it back: the server
// then knows of nothing that has happened since. It is down for both.
func (s *PostgresServer) Yesterday() (putBack func()) {
	s.t.Helper()
	return yesterday(s.t, filepath.Join(s.dir, "data"), s.Kill, func() {
		if s.bin != "" {
			postgresAccount(s.t, s.dir) // the copy is the test's
		}
		s.Restart()
	})
}

// Promote makes a standby take writes, and returns when it does. The server that it followed may be dead.
func (s *PostgresServer) Promote() {
	s.t.Helper()
	s.own("SELECT pg_promote()")
}

// CutOff has a standby receive nothing more from the server that it follows.
func (s *PostgresServer) CutOff() {
	s.t.Helper()
	s.own("ALTER SYSTEM SET primary_conninfo = ''")
	s.own("SELECT pg_reload_conf()")
	s.until("the standby receives nothing", "SELECT COUNT(*) = 0 FROM pg_stat_wal_receiver")
}

// Follows returns when this standby has all that the server which it follows has committed.
func (s *PostgresServer) Follows(first *PostgresServer) {
	s.t.Helper()
	var at string
	db := OpenPostgres(s.t, engine.Record{"address": first.address, "user": postgresUser, "password": postgresPassword})
	if err := db.QueryRow("SELECT pg_current_wal_lsn()::text").Scan(&at); err != nil {
		s.t.Fatal(err)
	}
	s.until("the standby has what the other has", "SELECT pg_last_wal_replay_lsn() >= '"+at+"'::pg_lsn")
}

// own is what this package itself asks of a server.
func (s *PostgresServer) own(statement string) {
	s.t.Helper()
	db, err := openPostgres(engine.Record{"address": s.address, "user": postgresUser, "password": postgresPassword})
	if err == nil {
		_, err = db.Exec(statement)
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

func (s *PostgresServer) until(what, question string) {
	s.t.Helper()
	db := OpenPostgres(s.t, engine.Record{"address": s.address, "user": postgresUser, "password": postgresPassword})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(startLimit); time.Now().Before(deadline); <-tick.C {
		var yes bool
		if err := db.QueryRow(question).Scan(&yes); err != nil {
			s.t.Fatalf("%s: %v", question, err)
		}
		if yes {
			return
		}
	}
	s.t.Fatalf("%s: this did not come about", what)
}

// Log is what the server has written.
func (s *PostgresServer) Log() string {
	s.t.Helper()
	b, err := os.ReadFile(s.process.output)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}
