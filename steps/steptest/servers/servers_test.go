package servers_test

import (
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

func TestMySQLGivesADatabaseOfOnesOwn(t *testing.T) {
	a, b := servers.MySQL(t), servers.MySQL(t)
	if a["database"] == b["database"] {
		t.Fatal("two tests would share a database")
	}
	if _, err := servers.Open(t, a).Exec("CREATE TABLE x (id INT)"); err != nil {
		t.Fatal(err)
	}
	if _, err := servers.Open(t, b).Exec("CREATE TABLE x (id INT)"); err != nil {
		t.Fatal(err)
	}
}

func TestPrivateMySQLKeepsWhatWasCommittedThroughKill(t *testing.T) {
	s := servers.PrivateMySQL(t)
	settings := s.Settings()
	db := servers.Open(t, settings)
	if _, err := db.Exec("CREATE TABLE x (id INT); INSERT INTO x VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if err := db.Ping(); err == nil {
		t.Fatal("the killed server answers")
	}
	s.Restart()
	var n int
	if err := servers.Open(t, settings).QueryRow("SELECT COUNT(*) FROM x").Scan(&n); err != nil || n != 1 {
		t.Fatalf("rows after the restart: %d, %v", n, err)
	}
}

func TestRedisRestartsOnItsPortWithItsData(t *testing.T) {
	s := servers.Redis(t, "--appendonly", "yes", "--appendfsync", "always")
	if err := s.Client().Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	s.Restart()
	if got := s.Client().Get(t.Context(), "k").Val(); got != "v" {
		t.Fatalf("after the restart k is %q", got)
	}
}

func TestRedisWithAPasswordStarts(t *testing.T) {
	s := servers.Redis(t, "--requirepass", "pw")
	if err := s.Client().Ping(t.Context()).Err(); err == nil {
		t.Fatal("no password was asked for")
	}
}

func TestDockerEngineAnswers(t *testing.T) {
	if servers.Docker(t)["host"] == "" {
		t.Fatal("no host")
	}
}

func TestPostgresGivesADatabaseOfOnesOwn(t *testing.T) {
	a, b := servers.Postgres(t), servers.Postgres(t)
	if a["database"] == b["database"] {
		t.Fatal("two tests would share a database")
	}
	for _, settings := range []engine.Record{a, b} {
		if _, err := servers.OpenPostgres(t, settings).Exec("CREATE TABLE x (id INT)"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPrivatePostgresKeepsWhatWasCommittedThroughKillAndHasAStandby(t *testing.T) {
	s := servers.PrivatePostgres(t)
	settings := s.Settings()
	if _, err := servers.OpenPostgres(t, settings).Exec("CREATE TABLE x (id INT); INSERT INTO x VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if err := servers.OpenPostgres(t, settings).Ping(); err == nil {
		t.Fatal("the killed server answers")
	}
	s.Restart()
	var n int
	if err := servers.OpenPostgres(t, settings).QueryRow("SELECT COUNT(*) FROM x").Scan(&n); err != nil || n != 1 {
		t.Fatalf("rows after the restart: %d, %v", n, err)
	}
	settings["address"] = s.Standby().Address()
	var follows bool
	if err := servers.OpenPostgres(t, settings).QueryRow("SELECT pg_is_in_recovery()").Scan(&follows); err != nil || !follows {
		t.Fatalf("the standby follows: %v, %v", follows, err)
	}
}
