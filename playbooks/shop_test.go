package playbooks_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// br is TiDB's tool: it keeps the position of each backup in a file, and makes no backup twice.
const br = `storage=
for a in "$@"; do [ "$last" = --storage ] && storage=$(printf %s "$a" | tr -c 'a-z0-9\n' _); last=$a; done
case "$1 $2" in
"validate decode") [ -f "tso$storage" ] || exit 1; echo "[INFO] detail"; cat "tso$storage" ;;
"validate checksum") [ -f "tso$storage" ] && [ ! -f broken ] ;;
"backup full") [ ! -f down ] || exit 1; n=$(cat next); echo "$n" > "tso$storage"; echo $((n + 1000)) > next ;;
"restore full") [ ! -f down ] ;;
*) exit 64 ;;
esac`

const (
	decode     = "br validate decode --field=end-version --storage "
	checksumOf = "br validate checksum --storage "
)

func TestTiDBBackupsFollowEachOtherByThePositionOfTheLastOne(t *testing.T) {
	r := record(t, map[string]string{"br": br})
	r.file("next", "440000000000000001")
	full := open(t, "tidb-backup-full")
	given := map[string]any{"pd": "pd1:2379,pd2:2379", "storage": "local:///b/full"}
	run := full.run(given)
	full.ends(run, engine.RunOK)
	if got := engine.Text(run.Outputs()["tso"]); got != "440000000000000001" {
		t.Errorf("the position is %s", got)
	}
	r.wants(decode+"local:///b/full",
		"br backup full --pd pd1:2379,pd2:2379 --storage local:///b/full --ratelimit 100",
		decode+"local:///b/full", checksumOf+"local:///b/full")
	again := full.run(given)
	full.ends(again, engine.RunOK)
	if full.state(again, "backup") != engine.Already {
		t.Errorf("a backup that is there is %s", full.state(again, "backup"))
	}
	_ = r.called()

	more := open(t, "tidb-backup-incremental")
	run = more.run(map[string]any{"pd": "pd1:2379", "since": "local:///b/full", "storage": "local:///b/one"})
	more.ends(run, engine.RunOK)
	r.wants(decode+"local:///b/full", decode+"local:///b/one",
		"br backup full --pd pd1:2379 --storage local:///b/one --lastbackupts 440000000000000001 --ratelimit 50",
		decode+"local:///b/one", checksumOf+"local:///b/one")
	if got := engine.Text(run.Outputs()); got != "{since: 440000000000000001, tso: 440000000000001001}" {
		t.Errorf("outputs: %s", got)
	}
	more.ends(more.run(map[string]any{"pd": "pd1:2379", "since": "local:///b/full", "storage": "local:///b/full"}), engine.RunFailed)
	r.wants(decode + "local:///b/full")
	more.ends(more.run(map[string]any{"pd": "pd1:2379", "since": "local:///b/nothing", "storage": "local:///b/two"}), engine.RunFailed)
	r.wants(decode + "local:///b/nothing")
}

// systemctl knows one unit, whose state is in a file.
const systemctl = `case "$1" in
stop) echo inactive > unit ;;
start) echo active > unit ;;
is-active) cat unit; [ "$(cat unit)" = active ] || exit 3 ;;
esac`

func TestTiDBRestoreStartsTheServiceOnlyOnAWholeDatabase(t *testing.T) {
	r := record(t, map[string]string{"br": br, "systemctl": systemctl})
	settings := servers.MySQL(t)
	db := servers.Open(t, settings)
	mustExec(t, db, "CREATE TABLE users (id INT PRIMARY KEY); CREATE TABLE products (id INT PRIMARY KEY); CREATE TABLE orders (id INT PRIMARY KEY)")
	mustExec(t, db, "INSERT INTO users VALUES (1), (2); INSERT INTO products VALUES (1)")
	w := open(t, "tidb-restore", steps.Target{Name: "db", Type: "mysql", Settings: settings})
	w.yes = true
	r.file("tso"+"local____b_full", "1\n")
	r.file("unit", "active\n")
	given := map[string]any{"pd": "pd1:2379", "storage": "local:///b/full"}

	r.file("broken", "")
	w.ends(w.run(given), engine.RunFailed)
	r.wants(checksumOf + "local:///b/full") // refused before anything is touched
	if err := os.Remove(filepath.Join(r.dir, "broken")); err != nil {
		t.Fatal(err)
	}

	w.ends(w.run(given), engine.RunFailed) // no orders: the service stays down
	restore := "br restore full --pd pd1:2379 --storage local:///b/full --ratelimit 100"
	r.wants(checksumOf+"local:///b/full", "systemctl stop caddy-backend", "systemctl is-active caddy-backend", restore)

	mustExec(t, db, "INSERT INTO orders VALUES (1), (2), (3)")
	run := w.run(given)
	w.ends(run, engine.RunOK)
	r.wants(checksumOf+"local:///b/full", "systemctl stop caddy-backend", "systemctl is-active caddy-backend", restore,
		"systemctl start caddy-backend", "systemctl is-active caddy-backend")
	if got := engine.Text(run.Outputs()); got != "{counts: [2, 1, 3]}" {
		t.Errorf("outputs: %s", got)
	}
}

func TestServiceRestartEndsWhenTheServiceAnswers(t *testing.T) {
	r := record(t, map[string]string{"pm2": "true", "systemctl": "true", "journalctl": "echo said"})
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 3 {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer server.Close()
	w := open(t, "service-restart")
	w.afterPlan = func() { asked.Store(0) }
	w.ends(w.run(map[string]any{"health": server.URL}), engine.RunOK)
	r.wants("pm2 stop caddy-backend", "pm2 save", "pm2 logs caddy-backend --nostream --lines 100", "pm2 start caddy-backend")
	if n := asked.Load(); n != 4 {
		t.Errorf("it was asked %d times", n)
	}
	w.ends(w.run(map[string]any{"health": server.URL, "manager": "systemd", "service": "nginx"}), engine.RunOK)
	r.wants("systemctl stop nginx", "journalctl --unit nginx --lines 100 --no-pager", "systemctl start nginx")
}

func TestConsistencyCheckWritesPassOnlyWhereItIsSo(t *testing.T) {
	settings := servers.MySQL(t)
	db := servers.Open(t, settings)
	mustExec(t, db, `CREATE TABLE users (id INT PRIMARY KEY); CREATE TABLE user_profiles (user_id INT PRIMARY KEY);
		CREATE TABLE products (id INT PRIMARY KEY); CREATE TABLE orders (id INT PRIMARY KEY, user_id INT);
		CREATE TABLE system_checks (check_type VARCHAR(50), result VARCHAR(10), checked_at DATETIME, details TEXT);
		INSERT INTO users VALUES (1), (2); INSERT INTO user_profiles VALUES (1), (2); INSERT INTO products VALUES (1);
		INSERT INTO orders VALUES (1, 1), (2, 2)`)
	w := open(t, "consistency-check", steps.Target{Name: "db", Type: "mysql", Settings: settings})
	w.ends(w.run(nil), engine.RunOK)
	const lastResult = "SELECT CONCAT(COUNT(*), ' ', SUM(result = 'PASS')) FROM system_checks"
	if got := ask[string](t, db, lastResult); got != "1 1" {
		t.Errorf("rows and passes: %s", got)
	}
	// As many profiles as users, and one of them nobody's: a count alone would pass.
	mustExec(t, db, "UPDATE user_profiles SET user_id = 7 WHERE user_id = 2")
	w.ends(w.run(nil), engine.RunFailed)
	if got := ask[string](t, db, lastResult); got != "2 1" {
		t.Errorf("rows and passes: %s", got)
	}
}

func TestBackupRetentionIsSetAndReadBack(t *testing.T) {
	file := filepath.Join(t.TempDir(), "backup.conf")
	if err := os.WriteFile(file, []byte("# days\nlocal_maintain=21\nminio_maintain=21\nother=21\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	w := open(t, "mysql-backup-retention")
	r := w.run(map[string]any{"file": file, "days": 30})
	w.ends(r, engine.RunOK)
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != "# days\nlocal_maintain=30\nminio_maintain=30\nother=21\n" || engine.Text(r.Outputs()) != "{before: [21, 21]}" {
		t.Errorf("%s\n%s", got, engine.Text(r.Outputs()))
	}
	w.ends(w.run(map[string]any{"file": filepath.Join(filepath.Dir(file), "none.conf"), "days": 30}), engine.RunFailed)
}

func TestMinIOIsGradedByItsNodesAndItsQuorum(t *testing.T) {
	var down [4]atomic.Bool
	var readOnly atomic.Bool
	var nodes []any
	for i := range down {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if down[i].Load() || readOnly.Load() && strings.HasSuffix(r.URL.Path, "/cluster") {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}))
		defer s.Close()
		nodes = append(nodes, s.URL)
	}
	w := open(t, "minio-status")
	given := map[string]any{"nodes": nodes}
	w.ends(w.run(given), engine.RunOK)
	down[1].Store(true)
	r := w.run(given)
	w.ends(r, engine.RunDegraded)
	if w.state(r, "graded") != engine.Degraded {
		t.Errorf("one node missing is %s", w.state(r, "graded"))
	}
	readOnly.Store(true)
	w.ends(w.run(given), engine.RunFailed)
	readOnly.Store(false)
	down[0].Store(true)
	w.ends(w.run(given), engine.RunFailed) // half is no majority
}
