package playbooks_test

import (
	"database/sql"
	"os/exec"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// shopDB is a database with TLS where a test may make users.
func shopDB(t *testing.T) (steps.Target, *sql.DB) {
	t.Helper()
	settings := servers.PrivateMySQL(t, append(servers.NewCertificates(t, "127.0.0.1").MySQL(), logged...)...).Settings()
	db := servers.Open(t, settings)
	for _, table := range []string{"document_numbering_configs", "document_numbering_sequences", "users", "secrets"} {
		mustExec(t, db, "CREATE TABLE "+table+" (id INT PRIMARY KEY)")
	}
	return steps.Target{Name: "db", Type: "mysql", Settings: settings}, db
}

// as tries a statement as another user.
func as(t *testing.T, target steps.Target, user, password, statement string, more ...string) (string, error) {
	t.Helper()
	host, port, _ := strings.Cut(target.Settings["address"].(string), ":")
	args := append([]string{"--protocol=TCP", "--host=" + host, "--port=" + port, "--user=" + user, "--password=" + password,
		"--database=" + target.Settings["database"].(string), "-e", statement}, more...)
	out, err := exec.Command("mariadb", args...).CombinedOutput()
	return string(out), err
}

func TestNumberingUserHasTheLeastRights(t *testing.T) {
	target, db := shopDB(t)
	// The statement of the written procedure.
	mustExec(t, db, "CREATE USER numbering@'%' IDENTIFIED BY 'old'")
	if _, err := db.Exec("GRANT SELECT, INSERT, UPDATE ON " + target.Settings["database"].(string) + ".document_numbering_* TO numbering@'%'"); err == nil || !strings.Contains(err.Error(), "1064") {
		t.Fatalf("a pattern in a table's name: %v: the trap is none any more", err)
	}
	mustExec(t, db, "GRANT SELECT, DROP ON *.* TO numbering@'%'")
	given := map[string]any{"password": `it's "good" \ enough`}
	w := open(t, "db-hardening", target)
	w.plan(given)
	// It may do too much, and a person is asked before that is taken away.
	w.ends(w.run(given), engine.Waiting)
	if out, err := as(t, target, "numbering", "old", "SELECT * FROM secrets"); err != nil {
		t.Errorf("changed before anybody has said yes: %s", out)
	}
	w = open(t, "db-hardening", target)
	w.yes, w.runs = true, 50
	r := w.run(given)
	w.ends(r, engine.RunOK)
	if got := engine.Text(r.Outputs()); got != "{tables: [document_numbering_configs, document_numbering_sequences, users]}" {
		t.Errorf("outputs: %s", got)
	}
	may := func(statement string) bool {
		_, err := as(t, target, "numbering", given["password"].(string), statement)
		return err == nil
	}
	for statement, want := range map[string]bool{
		"SELECT * FROM document_numbering_configs": true, "INSERT INTO document_numbering_sequences VALUES (1)": true, "SELECT * FROM users": true,
		"INSERT INTO users VALUES (1)": false, "DELETE FROM document_numbering_configs": false, "SELECT * FROM secrets": false, "DROP TABLE users": false,
	} {
		if may(statement) != want {
			t.Errorf("%s: may is %t", statement, !want)
		}
	}
	// Again: nothing is asked, nothing is different.
	again := w.run(given)
	w.ends(again, engine.RunOK)
	if w.state(again, "sure") != engine.Skipped {
		t.Errorf("sure is %s", w.state(again, "sure"))
	}
}

func TestApplicationUserNeedsTLS(t *testing.T) {
	target, db := shopDB(t)
	given := map[string]any{"password": "secret", "host": "%"}
	w := open(t, "least-privilege-user", target)
	w.plan(given)
	w.ends(w.run(given), engine.RunOK)
	if out, err := as(t, target, "caddy_app", "secret", "DELETE FROM users", "--ssl"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := as(t, target, "caddy_app", "secret", "SELECT 1", "--skip-ssl"); err == nil || !strings.Contains(out, "1045") {
		t.Errorf("without TLS: %v: %s", err, out)
	}
	// Where TLS is not demanded, the playbook says so: here by somebody who takes it back while it is looked at.
	mustExec(t, db, "ALTER USER caddy_app@'%' REQUIRE NONE")
	if out, err := as(t, target, "caddy_app", "secret", "SELECT 1", "--skip-ssl"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w.ends(w.run(given), engine.RunOK)
	if _, err := as(t, target, "caddy_app", "secret", "SELECT 1", "--skip-ssl"); err == nil {
		t.Error("TLS is not demanded again")
	}
}

// TestUnderscoreInGrantStandsForAnyCharacter is the trap of the written procedure.
func TestUnderscoreInGrantStandsForAnyCharacter(t *testing.T) {
	target, db := shopDB(t)
	mustExec(t, db, "CREATE DATABASE caddy_shopping")
	mustExec(t, db, "CREATE DATABASE caddyXshopping")
	mustExec(t, db, "CREATE TABLE caddyXshopping.others (id INT)")
	mustExec(t, db, "CREATE USER wide@'%' IDENTIFIED BY 'x'")
	mustExec(t, db, "GRANT SELECT ON caddy_shopping.* TO wide@'%'")
	target.Settings["database"] = "caddyXshopping"
	if out, err := as(t, target, "wide", "x", "SELECT * FROM others"); err != nil {
		t.Errorf("%v: %s: the trap is none any more", err, out)
	}
}

func TestApplicationUserOnAServerWithoutTLS(t *testing.T) {
	settings := servers.PrivateMySQL(t, logged...).Settings()
	w := open(t, "least-privilege-user", steps.Target{Name: "db", Type: "mysql", Settings: settings})
	r := w.run(map[string]any{"password": "secret"})
	w.ends(r, engine.RunFailed)
	if w.state(r, "tls") != engine.Failed {
		t.Errorf("tls is %s", w.state(r, "tls"))
	}
	db := servers.Open(t, settings)
	if n := ask[int](t, db, "SELECT COUNT(*) FROM mysql.user WHERE User = 'caddy_app'"); n != 0 {
		t.Error("a user who cannot log in was made")
	}
}
