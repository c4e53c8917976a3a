package playbooks_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// TestRestoreVerifyLoadsADumpThatWasMadeByHand: as the guide makes one, with gzip behind the program. One that was
// cut off is refused before anything is touched, and what was overwritten can be had again.
func TestRestoreVerifyLoadsADumpThatWasMadeByHand(t *testing.T) {
	settings := servers.MySQL(t)
	db := servers.Open(t, settings)
	mustExec(t, db, "CREATE TABLE users (id INT PRIMARY KEY); CREATE TABLE products (id INT PRIMARY KEY); CREATE TABLE orders (id INT PRIMARY KEY)")
	mustExec(t, db, "INSERT INTO users VALUES (1), (2); INSERT INTO products VALUES (1); INSERT INTO orders VALUES (1), (2), (3)")
	dir := t.TempDir()
	shopDump(t, settings, filepath.Join(dir, "shop.sql"))
	if out, err := exec.Command("sh", "-c", "cd "+dir+" && head -c 1500 shop.sql | gzip >half.sql.gz && gzip shop.sql").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	mustExec(t, db, "DELETE FROM users; DROP TABLE orders; INSERT INTO products VALUES (7)")
	w := open(t, "mysql-restore-verify", steps.Target{Name: "db", Type: "mysql", Settings: settings})
	w.yes = true
	rows := func(table string) (n int) {
		t.Helper()
		if err := db.QueryRow("SELECT COUNT(*) FROM " + table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}

	w.ends(w.run(map[string]any{"folder": dir, "backup": "half.sql.gz", "proven": false}), engine.RunFailed)
	w.ends(w.run(map[string]any{"folder": dir, "backup": "shop.sql.gz"}), engine.RunFailed) // it has no manifest
	if rows("products") != 2 || rows("users") != 0 {
		t.Error("a dump that was refused has touched the tables")
	}

	run := w.run(map[string]any{"folder": dir, "backup": "shop.sql.gz", "proven": false})
	w.ends(run, engine.RunOK)
	if rows("users") != 2 || rows("products") != 1 || rows("orders") != 3 {
		t.Error("the rows are not those of the dump")
	}
	safety := engine.Text(run.Outputs()["safety"])
	if got := engine.Text(run.Outputs()["rows"]); got != "6" || !strings.HasPrefix(filepath.Base(safety), "before-restore_") {
		t.Errorf("outputs: %s", engine.Text(run.Outputs()))
	}

	// Tables that hold too little are a failure, though all of the dump was carried out.
	w.ends(w.run(map[string]any{"folder": dir, "backup": "shop.sql.gz", "proven": false, "at_least": 2}), engine.RunFailed)

	// The safety dump has a manifest, and brings back what was there.
	mustExec(t, db, "DROP TABLE orders")
	w.ends(w.run(map[string]any{"folder": dir, "backup": filepath.Base(safety), "tables": []any{"products"}}), engine.RunOK)
	if rows("products") != 2 || rows("users") != 0 {
		t.Error("the safety dump does not bring back what was there")
	}
}

// TestTheNumberingComesBackFromItsBackup: what goes wrong on the way, cmd/handrail shows.
func TestTheNumberingComesBackFromItsBackup(t *testing.T) {
	target, db := numbering(t)
	docker, _, _ := engineTarget(t)
	folder := t.TempDir()
	before := checksum(t, db, "document_numbering_configs, document_numbering_sequences")
	w := open(t, "mariadb-backup", target)
	backup := w.run(map[string]any{"folder": folder})
	w.ends(backup, engine.RunOK)
	mustExec(t, db, "DELETE FROM document_numbering_sequences WHERE id > 2")
	r := open(t, "mariadb-restore", target, docker)
	r.yes = true
	restore := r.run(map[string]any{"folder": folder})
	r.ends(restore, engine.RunOK)
	if after := checksum(t, db, "document_numbering_configs, document_numbering_sequences"); after != before {
		t.Errorf("restored is\n%s\nwas\n%s", after, before)
	}
	if a, b := backup.Outputs()["rows"], restore.Outputs()["rows"]; a != b {
		t.Errorf("%v rows in the backup, %v restored", a, b)
	}
}

// shopDump dumps by hand.
func shopDump(t *testing.T, settings engine.Record, file string) {
	t.Helper()
	host, port, err := net.SplitHostPort(engine.Text(settings["address"]))
	if err != nil {
		t.Fatal(err)
	}
	secret, _ := engine.Reveal(settings["password"])
	cmd := exec.Command("mariadb-dump", "-h", host, "-P", port, "-u", engine.Text(settings["user"]), "--result-file="+file, engine.Text(settings["database"]))
	cmd.Env = append(os.Environ(), "MYSQL_PWD="+secret)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mariadb-dump: %v %s", err, out)
	}
}
