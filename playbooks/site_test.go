package playbooks_test

import (
	"database/sql"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// units stands in for systemctl: each unit is a file, and that of the cache is a real Redis in the folder DIR with
// its append-only file on.
const units = `code=0
case "$1" in
stop) if [ "$2" = redis-server ]; then redis-cli -p PORT shutdown nosave 2>/dev/null; fi; rm -f "unit-$2" ;;
start) if [ "$2" = redis-server ]; then
    redis-server --port PORT --bind 127.0.0.1 --dir DIR --appendonly yes --save '' --daemonize yes >/dev/null; fi
  touch "unit-$2" ;;
is-active) shift; for u in "$@"; do if [ -e "unit-$u" ]; then echo active; else echo inactive; code=3; fi; done ;;
esac
exit $code`

// site is a shop whose services stand-ins start and stop, and a copy of its cache with 40 keys. Its tables have no orders.
type site struct {
	*recorder
	targets []steps.Target
	given   map[string]any
	db      *sql.DB
	cache   *goredis.Client
	dump    string
}

func newSite(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(address)
	r := record(t, map[string]string{"br": br, "systemctl": strings.NewReplacer("PORT", port, "DIR", dir).Replace(units)})
	t.Cleanup(func() { _ = exec.Command("redis-cli", "-p", port, "shutdown", "nosave").Run() })

	// The copy of the cache has 40 keys.
	source := servers.Redis(t)
	for i := range 40 {
		source.Client().Set(t.Context(), fmt.Sprint("cart:", i), "x", 0)
	}
	if err := source.Client().Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	dump := filepath.Join(t.TempDir(), "redis.rdb")
	put(t, dump, slurp(t, filepath.Join(source.Dir, "dump.rdb")))

	settings := servers.MySQL(t)
	db := servers.Open(t, settings)
	mustExec(t, db, "CREATE TABLE users (id INT PRIMARY KEY); CREATE TABLE products (id INT PRIMARY KEY); CREATE TABLE orders (id INT PRIMARY KEY)")
	mustExec(t, db, "INSERT INTO users VALUES (1), (2); INSERT INTO products VALUES (1)")
	health := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, err := os.Stat(filepath.Join(r.dir, "unit-nginx")); err != nil {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	t.Cleanup(health.Close)
	// What runs now has other data, in an append-only file.
	if out, err := exec.Command("systemctl", "start", "redis-server").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c := goredis.NewClient(&goredis.Options{Addr: address})
	t.Cleanup(func() { _ = c.Close() })
	for c.Set(t.Context(), "wrong", "x", 0).Err() != nil {
		tick(t)
	}
	for _, u := range []string{"caddy-backend", "nginx"} {
		r.file("unit-"+u, "")
	}
	r.file("tso"+"local____b_full", "1\n")
	_ = r.called()
	return &site{
		recorder: r, db: db, cache: c, dump: dump,
		targets: []steps.Target{{Name: "db", Type: "mysql", Settings: settings}, {Name: "kv", Type: "redis", Settings: engine.Record{"address": address}}},
		given:   map[string]any{"pd": "pd1:2379", "storage": "local:///b/full", "dump": dump, "redis_dir": dir, "health": health.URL},
	}
}

func TestSiteIsStartedOnlyBehindEveryRestore(t *testing.T) {
	s := newSite(t)
	r, db, c, dump, given := s.recorder, s.db, s.cache, s.dump, s.given
	w := open(t, "site-recovery", s.targets...)
	w.yes = true
	w.plan(given)

	// A copy that is cut short: nothing is stopped.
	whole := slurp(t, dump)
	put(t, dump, whole[:len(whole)/2])
	w.ends(w.run(given), engine.RunFailed)
	if calls := r.called(); len(calls) != 0 {
		t.Errorf("called: %v", calls)
	}
	put(t, dump, whole)

	// The database comes back without orders: neither the back end nor the front is started, and the run says failed.
	w.ends(w.run(given), engine.RunFailed)
	for _, call := range r.called() {
		if call == "systemctl start caddy-backend" || call == "systemctl start nginx" {
			t.Errorf("%s, on half a database", call)
		}
	}

	mustExec(t, db, "INSERT INTO orders VALUES (1), (2), (3)")
	run := w.run(given)
	w.ends(run, engine.RunOK)
	r.wants("systemctl stop nginx", "systemctl stop caddy-backend", "systemctl stop redis-server",
		"systemctl is-active nginx", "systemctl is-active caddy-backend", "systemctl is-active redis-server",
		"systemctl start redis-server", checksumOf+"local:///b/full", "systemctl stop caddy-backend", "systemctl is-active caddy-backend",
		"br restore full --pd pd1:2379 --storage local:///b/full --ratelimit 100",
		"systemctl start caddy-backend", "systemctl is-active caddy-backend", "systemctl start nginx", "systemctl is-active redis-server caddy-backend nginx")
	if n := c.DBSize(t.Context()).Val(); n != 40 {
		t.Errorf("%d keys in the cache", n)
	}
	if got := engine.Text(run.Outputs()); got != "{counts: [2, 1, 3]}" {
		t.Errorf("outputs: %s", got)
	}
}
