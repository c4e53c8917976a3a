package playbooks_test

import (
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/internal/torture"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// TestShippedPlaybooksThatAreKilledComeToTheSameEnd: each of them in a process of its own, killed with -9.
func TestShippedPlaybooksThatAreKilledComeToTheSameEnd(t *testing.T) {
	k := newKiller(t)
	withTLS, users := shopDB(t)
	for _, x := range []struct {
		playbook string
		light    int
		fresh    func(*testing.T) scene
	}{
		{"sequence-raise-max", 1, raiseScene}, {"sequence-yearly-reset", 1, yearScene}, {"sequence-gap", 2, gapScene},
		{"audit-log-archive", 1, archiveScene}, {"slow-numbering", 1, slowScene},
		{"mariadb-backup", 1, dumpScene}, {"mariadb-restore", 2, restoreScene(k)}, {"mysql-restore-verify", 1, handmadeScene},
		{"redis-memory", 1, memoryScene}, {"redis-save-copy", 1, saveScene}, {"reservation-sweep", 1, sweepScene},
		{"db-hardening", 1, userScene(withTLS, users)}, {"least-privilege-user", 1, userScene(withTLS, users)},
		{"site-recovery", 1, siteScene},
	} {
		k.kill(t, x.playbook, x.light, x.fresh)
	}
}

func raiseScene(t *testing.T) scene {
	target, db := numbering(t)
	return scene{targets: []steps.Target{target}, given: map[string]any{"type": "COR"}, end: func() string {
		return fmt.Sprint(ask[int64](t, db, maxOfCOR), " ", ask[int64](t, db, auditRows))
	}}
}

func yearScene(t *testing.T) scene {
	target, db := numbering(t)
	return scene{targets: []steps.Target{target}, given: map[string]any{"year": 2031}, end: func() string {
		return fmt.Sprint(ask[int64](t, db, sequences), " ", ask[int64](t, db, sequences+" WHERE scope_value = '2031' AND current_value = 0"))
	}}
}

func gapScene(t *testing.T) scene {
	target, db := numbering(t)
	return scene{targets: []steps.Target{target}, given: map[string]any{"age": "1h", "gap": 7}, end: func() string {
		return fmt.Sprint(current(t, db), skipRows(t, db))
	}}
}

func archiveScene(t *testing.T) scene {
	target, db := audited(t)
	given := folderOf(t)
	return scene{targets: []steps.Target{target}, given: given, end: func() string {
		return fmt.Sprint(ask[int64](t, db, auditRows), ask[int64](t, db, archived), ask[int64](t, db, inBoth), records(t, given["folder"]))
	}}
}

func slowScene(t *testing.T) scene {
	target, db := numbering(t)
	mustExec(t, db, "ALTER TABLE document_numbering_sequences ADD INDEX of_config (config_id), DROP INDEX idx_sequence_lookup")
	for i := range 100 {
		if _, err := db.Exec("INSERT INTO document_numbering_sequences (config_id, scope_value) VALUES (1, ?)", i); err != nil {
			t.Fatal(err)
		}
	}
	return scene{targets: []steps.Target{target}, end: func() string {
		return ask[string](t, db, `SELECT GROUP_CONCAT(column_name ORDER BY seq_in_index) FROM information_schema.statistics
			WHERE table_schema = DATABASE() AND index_name = 'idx_sequence_lookup'`)
	}}
}

// backups is how many files a folder has. latest must lead to one that is as its sum says.
func backups(t *testing.T, folder, latest string) string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	file, err := filepath.EvalSymlinks(filepath.Join(folder, latest))
	if err != nil {
		t.Fatal(err)
	}
	proof := "" // a sum, or a manifest with the sum in it
	for _, beside := range []string{".sha256", ".manifest.json"} {
		if text, err := os.ReadFile(file + beside); err == nil {
			proof += string(text)
		}
	}
	if !strings.Contains(proof, sha(t, file)) {
		t.Errorf("%s is not as what stands beside it says: %s", file, proof)
	}
	return fmt.Sprint(len(entries), " files")
}

func dumpScene(t *testing.T) scene {
	target, _ := numbering(t)
	folder := t.TempDir()
	return scene{targets: []steps.Target{target}, given: map[string]any{"folder": folder}, end: func() string {
		return backups(t, folder, "latest.sql.zst")
	}}
}

// notLoaded: a dump is many statements, and MariaDB commits each by itself. Where the engine was killed among them somebody has the dump loaded again.
func notLoaded(string) string { return "not-done" }

func restoreScene(k killer) func(t *testing.T) scene {
	return func(t *testing.T) scene {
		target, db := numbering(t)
		folder := t.TempDir()
		k.begin(t, "mariadb-backup", scene{targets: []steps.Target{target}, given: map[string]any{"folder": folder}}).through(0, 0)
		mustExec(t, db, "UPDATE document_numbering_sequences SET current_value = 1; DELETE FROM document_numbering_audit_logs")
		return scene{targets: []steps.Target{target}, given: map[string]any{"folder": folder}, doubt: notLoaded, end: func() string {
			return fmt.Sprint(current(t, db), ask[int64](t, db, auditRows))
		}}
	}
}

func handmadeScene(t *testing.T) scene {
	settings := servers.MySQL(t)
	db := servers.Open(t, settings)
	mustExec(t, db, "CREATE TABLE users (id INT PRIMARY KEY); CREATE TABLE products (id INT PRIMARY KEY); CREATE TABLE orders (id INT PRIMARY KEY)")
	mustExec(t, db, "INSERT INTO users VALUES (1), (2); INSERT INTO products VALUES (1); INSERT INTO orders VALUES (1), (2), (3)")
	dir := t.TempDir()
	shopDump(t, settings, filepath.Join(dir, "shop.sql"))
	mustExec(t, db, "DELETE FROM users; DROP TABLE orders; INSERT INTO products VALUES (7)")
	return scene{
		targets: []steps.Target{{Name: "db", Type: "mysql", Settings: settings}}, given: map[string]any{"folder": dir, "backup": "shop.sql", "proven": false}, doubt: notLoaded,
		end: func() string {
			return ask[string](t, db, "SELECT CONCAT_WS(' ', (SELECT COUNT(*) FROM users), (SELECT COUNT(*) FROM products), (SELECT COUNT(*) FROM orders))")
		},
	}
}

func memoryScene(t *testing.T) scene {
	s := servers.Redis(t)
	return scene{
		targets: []steps.Target{{Name: "cache", Type: "redis", Settings: s.Settings()}}, given: map[string]any{"maxmemory": "64MiB", "policy": "allkeys-lru"},
		end: func() string { return fmt.Sprint(s.Client().ConfigGet(t.Context(), "maxmemory*").Val()) },
	}
}

func saveScene(t *testing.T) scene {
	s := servers.Redis(t)
	if err := s.Client().Set(t.Context(), "a", "1", 0).Err(); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "copy.rdb")
	return scene{targets: []steps.Target{{Name: "cache", Type: "redis", Settings: s.Settings()}}, given: map[string]any{"to": to}, end: func() string {
		out, err := exec.CommandContext(t.Context(), "redis-check-rdb", to).CombinedOutput()
		return fmt.Sprint(strings.Contains(string(out), "RDB looks OK"), strings.Contains(string(out), "1 keys read"), err)
	}}
}

func sweepScene(t *testing.T) scene {
	s := servers.Redis(t)
	c := s.Client()
	for i := range 50 {
		if err := c.Set(t.Context(), fmt.Sprint("reservation:", i), "x", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Set(t.Context(), "other", "x", 0).Err(); err != nil {
		t.Fatal(err)
	}
	return scene{targets: []steps.Target{{Name: "cache", Type: "redis", Settings: s.Settings()}}, end: func() string {
		return fmt.Sprint(c.Keys(t.Context(), "reservation:*").Val(), c.Exists(t.Context(), "other").Val())
	}}
}

// userScene has another user each time, on one server.
func userScene(target steps.Target, db *sql.DB) func(t *testing.T) scene {
	return func(t *testing.T) scene {
		user := "u" + strings.ToLower(rand.Text()[:10])
		given := map[string]any{"user": user, "host": "%"}
		mustExec(t, db, "CREATE USER "+user+"@'%' IDENTIFIED BY 'old'")
		mustExec(t, db, "GRANT SELECT, DROP ON *.* TO "+user+"@'%'") // too much: it is taken away
		return scene{targets: []steps.Target{target}, given: given, secret: map[string]string{"password": "correct horse"}, end: func() string {
			rows, err := db.QueryContext(t.Context(), "SHOW GRANTS FOR "+user+"@'%'")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = rows.Close() }()
			var all []string
			for rows.Next() {
				var grant string
				if err := rows.Scan(&grant); err != nil {
					t.Fatal(err)
				}
				all = append(all, strings.ReplaceAll(grant, user, "USER"))
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
			_, err = as(t, target, user, "correct horse", "SELECT * FROM document_numbering_configs", "--ssl")
			slices.Sort(all) // the server has them in no order
			return fmt.Sprint(strings.Join(all, "\n"), err)
		}}
	}
}

func siteScene(t *testing.T) scene {
	s := newSite(t)
	mustExec(t, s.db, "INSERT INTO orders VALUES (1), (2), (3)")
	return scene{targets: s.targets, given: s.given, end: func() string {
		out := fmt.Sprint(s.cache.DBSize(t.Context()).Val(), " keys")
		for _, unit := range []string{"redis-server", "caddy-backend", "nginx"} {
			_, err := os.Stat(filepath.Join(s.dir, "unit-"+unit))
			out += fmt.Sprint(" ", unit, err)
		}
		return out
	}}
}

// killed kills backups of a cluster in containers, and where there is time for it restores; `make test` has those in TestTheDisaster.
func (r *ring) killed(k killer) {
	k.kill(r.t, "redis-backup", 1, func(t *testing.T) scene {
		folder := t.TempDir()
		return scene{targets: []steps.Target{r.engine, r.target}, given: map[string]any{"containers": r.containers, "folder": folder}, end: func() string {
			return fmt.Sprint(backups(t, folder, "latest.tar.gz"), " ", r.docker("exec", r.node(1), "ls", "/data"))
		}}
	})
	if torture.How(r.t) == torture.Light {
		return
	}
	k.kill(r.t, "redis-restore", 1, func(t *testing.T) scene {
		r.fill(r.client(), "later", 50)
		return scene{targets: []steps.Target{r.engine, r.target}, given: map[string]any{"containers": r.containers, "folder": r.folder}, end: func() string {
			return fmt.Sprint(r.keys(r.client()), r.docker("ps", "-a", "--format", "{{.Names}}", "--filter", "name="+r.name+"-1-handrail"))
		}}
	})
}
