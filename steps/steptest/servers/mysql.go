package servers

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/handrail-dev/handrail/engine"
)

// Name and password of the user with all rights on servers that this package makes.
const (
	mysqlUser     = "handrail"
	mysqlPassword = "handrail"
	mysqlAccount  = "CREATE USER IF NOT EXISTS " + mysqlUser + "@'%' IDENTIFIED BY '" + mysqlPassword + "';\n" +
		"GRANT ALL PRIVILEGES ON *.* TO " + mysqlUser + "@'%' WITH GRANT OPTION;\n"
)

// MySQL gives the settings of a `mysql` target on the shared MariaDB. Its database is the test's own
// and is dropped at the end.
func MySQL(t testing.TB) engine.Record {
	t.Helper()
	// user:password@host:port, as scripts/servers wrote it
	who, address, ok := cutLast(setting(t, "HANDRAIL_TEST_MYSQL"), "@")
	user, password, ok2 := strings.Cut(who, ":")
	if !ok || !ok2 {
		t.Fatal("HANDRAIL_TEST_MYSQL must be user:password@host:port; run: make servers")
	}
	settings := engine.Record{"address": address, "user": user, "password": password}
	settings["database"] = freshDatabase(t, settings)
	return settings
}

func freshDatabase(t testing.TB, settings engine.Record) string {
	t.Helper()
	db := openMySQL(t, settings)
	if err := db.Ping(); err != nil {
		t.Fatalf("MariaDB does not answer at %s; run: make servers (%v)", settings["address"], err)
	}
	name := "t_" + strings.ToLower(rand.Text()[:12])
	if _, err := db.Exec("CREATE DATABASE " + name + " CHARACTER SET utf8mb4"); err != nil {
		t.Fatalf("create the test's database: %v", err)
	}
	t.Cleanup(func() {
		// A connection that a test left open would hold the metadata lock for ever.
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if _, err := db.ExecContext(ctx, "DROP DATABASE IF EXISTS "+name); err != nil {
			t.Errorf("drop the test's database %s: %v (does a connection still hold a lock on it?)", name, err)
		}
		_ = db.Close()
	})
	return name
}

func openMySQL(t testing.TB, settings engine.Record) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", dsn(settings))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// Open is a plain connection pool to the settings' database, for what a test itself prepares and asks.
// It is closed at the end of the test.
func Open(t testing.TB, settings engine.Record) *sql.DB {
	t.Helper()
	db := openMySQL(t, settings)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func dsn(settings engine.Record) string {
	c := mysql.NewConfig()
	c.Net, c.Addr = "tcp", engine.Text(settings["address"])
	c.User, c.Passwd = engine.Text(settings["user"]), engine.Text(settings["password"])
	if name, ok := settings["database"].(string); ok {
		c.DBName = name
	}
	c.ParseTime, c.MultiStatements = true, true
	c.Logger = &mysql.NopLogger{} // a server that is still starting is not news
	return c.FormatDSN()
}

// MySQLServer is a MariaDB process of a test's own.
type MySQLServer struct {
	t       testing.TB
	process process
	address string
	data    string // the data folder
}

// PrivateMySQL starts a MariaDB that the test may kill. args are further options of mariadbd.
func PrivateMySQL(t testing.TB, args ...string) *MySQLServer {
	t.Helper()
	dir := folder(t, "hrm")
	s := &MySQLServer{t: t, process: process{name: "mariadbd", output: filepath.Join(dir, "log")}, data: filepath.Join(dir, "data")}
	s.process.answers = s.answers
	daemon := setting(t, "HANDRAIL_TEST_MARIADBD")
	if err := os.WriteFile(filepath.Join(dir, "init.sql"), []byte(mysqlAccount), 0o644); err != nil {
		t.Fatal(err)
	}
	if daemon != "" {
		template := setting(t, "HANDRAIL_TEST_MARIADB_TEMPLATE")
		if err := os.CopyFS(filepath.Join(dir, "data"), os.DirFS(template)); err != nil {
			t.Fatalf("copy MariaDB's empty data folder; run: make servers (%v)", err)
		}
	} else {
		s.process.asContainer(t, dir)
	}
	t.Cleanup(s.process.kill)
	startOnFreePort(t, &s.process, func(port int) {
		s.address = "127.0.0.1:" + strconv.Itoa(port)
		if daemon != "" {
			s.process.argv = append(mysqlArgv(daemon, dir, port), args...)
			return
		}
		s.process.argv = append([]string{"docker", "run", "--rm", "--name", s.process.container,
			"-p", s.address + ":3306", "-v", filepath.Join(dir, "data") + ":/var/lib/mysql",
			"-v", filepath.Join(dir, "init.sql") + ":/docker-entrypoint-initdb.d/init.sql",
			"-e", "MARIADB_RANDOM_ROOT_PASSWORD=1", setting(t, "HANDRAIL_TEST_MARIADB_IMAGE")}, args...)
	})
	return s
}

// mysqlArgv starts the daemon as the test's own user; --init-file makes the account at each start. Each has a folder of its own for
// temporary tables: a server that starts removes those of all others in the same one.
func mysqlArgv(daemon, dir string, port int) []string {
	argv := []string{daemon, "--no-defaults", "--datadir=" + filepath.Join(dir, "data"),
		"--socket=" + filepath.Join(dir, "sock"), "--pid-file=" + filepath.Join(dir, "pid"), "--tmpdir=" + dir,
		"--port=" + strconv.Itoa(port), "--bind-address=127.0.0.1", "--skip-name-resolve",
		"--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M", "--character-set-server=utf8mb4",
		"--init-file=" + filepath.Join(dir, "init.sql")}
	if os.Getuid() == 0 {
		argv = append(argv, "--user=root")
	}
	return argv
}

func (s *MySQLServer) answers(ctx context.Context) error {
	db, err := sql.Open("mysql", dsn(engine.Record{"address": s.address, "user": mysqlUser, "password": mysqlPassword}))
	if err != nil {
		return err
	}
	defer db.Close()
	return db.PingContext(ctx)
}

// Settings are those of a `mysql` target on this server, with a fresh database.
func (s *MySQLServer) Settings() engine.Record {
	s.t.Helper()
	settings := engine.Record{"address": s.address, "user": mysqlUser, "password": mysqlPassword}
	db := Open(s.t, settings)
	name := "t_" + strings.ToLower(rand.Text()[:12])
	if _, err := db.Exec("CREATE DATABASE " + name); err != nil {
		s.t.Fatalf("create a database on the private MariaDB: %v", err)
	}
	settings["database"] = name
	return settings
}

// Kill is SIGKILL: what is not durable is lost.
func (s *MySQLServer) Kill() { s.process.kill() }

// Restart brings it up again on the same data and port, after killing it if it still lives.
func (s *MySQLServer) Restart() {
	s.t.Helper()
	s.process.kill()
	if err := s.process.start(); err != nil {
		s.t.Fatal(fmt.Errorf("restart MariaDB: %w", err))
	}
}

// Yesterday copies the data folder, as a backup of the machine does, and gives what puts it back: the server
// then knows of nothing that has happened since. It is down for both.
func (s *MySQLServer) Yesterday() (putBack func()) {
	s.t.Helper()
	return yesterday(s.t, s.data, s.Kill, s.Restart)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
