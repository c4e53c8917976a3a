package playbooks_test

import (
	"compress/gzip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
)

// oc is OpenShift's client. What was patched is kept, pods have a new name after each rollout, and the Redis in
// a pod has its append-only file on as the config map said when the pod was made.
const oc = `pod() { cat "pod-$1" 2>/dev/null || echo 1; }
case "$1 $2" in
"get configmap") cat configmap.json ;;
"patch configmap") printf '{"data": %s}' "$(printf %s "$7" | sed 's/^{"data"://; s/}$//')" > configmap.json ;;
"get pods")
	name=${4#deploymentConfig=}
	case "$4" in *" in "*) echo '{"items": []}'; exit ;; esac
	printf '{"items": [{"metadata": {"name": "%s-%s"}}]}' "$name" "$(pod "$name")" ;;
"rollout latest")
	name=${3#dc/}
	echo $(( $(pod "$name") + 1 )) > "pod-$name"
	grep -q 'appendonly yes' configmap.json && echo 1 > aof || echo 0 > aof ;;
"rollout status")
	[ ! -f "stuck-${3#dc/}" ] || { echo 'error: replication controller has failed progressing' >&2; exit 1; }
	echo 'replication controller successfully rolled out' ;;
"get APIManager/"*) cat manager.json ;;
rsh*)
	case "$*" in
	*"INFO keyspace") echo '# Keyspace'; echo 'db0:keys=42,expires=0' ;;
	*"CONFIG SET appendonly yes") echo 1 > aof; echo 1 > rewriting ;;
	*"INFO persistence")
		busy=0; [ ! -f rewriting ] || { busy=1; rm rewriting; }
		printf 'aof_enabled:%s\naof_rewrite_in_progress:%s\naof_rewrite_scheduled:0\naof_last_bgrewrite_status:ok\naof_last_write_status:ok\n' "$(cat aof)" $busy ;;
	esac ;;
esac`

const redisConf = `{"data": {"redis.conf": "save 900 1\nsave 60 10000\nappendonly yes\ndir /var/lib/redis/data\n"}}`

func TestGatewayRedisIsLoadedWithTheAppendOnlyFileOff(t *testing.T) {
	r := record(t, map[string]string{"oc": oc})
	r.file("configmap.json", redisConf)
	r.file("dump.rdb", "REDIS0011")
	w := open(t, "threescale-redis-restore")
	given := map[string]any{"deployment": "backend-redis", "dump": filepath.Join(r.dir, "dump.rdb")}
	run := w.run(given)
	w.ends(run, engine.RunOK)
	calls := r.called()
	golden(t, "oc-threescale-redis-restore.txt", slices.Clone(calls), provesGateway, r.dir, "DIR")
	patches := about(calls, "oc patch configmap")
	off := `{"data":{"redis.conf":"#save 900 1\n#save 60 10000\nappendonly no\ndir /var/lib/redis/data"}}`
	if len(patches) != 2 || !strings.HasSuffix(patches[0], off) || !strings.Contains(patches[1], `save 900 1\nsave 60 10000\nappendonly yes`) {
		t.Errorf("patches: %q", patches)
	}
	// Each look is at the pod that the rollout before it has made.
	var order []string
	for _, c := range calls {
		for _, part := range []string{"rollout latest", "sh -c", "oc cp", "CONFIG SET appendonly yes"} {
			if strings.Contains(c, part) {
				order = append(order, strings.Fields(part)[1]+" "+podIn(c))
			}
		}
	}
	want := []string{"latest ", "-c backend-redis-2", "cp backend-redis-2", "latest ", "SET backend-redis-3", "latest "}
	if !slices.Equal(order, want) {
		t.Errorf("order: %q\nwant   %q", order, want)
	}
	if got := engine.Text(run.Outputs()["keys"]); got != "[# Keyspace, db0:keys=42,expires=0]" {
		t.Errorf("keys: %s", got)
	}
}

// TestGatewayRedisSettingsComeBackWhenARolloutFails: a rollout that fails in the middle must not leave Redis without
// its append-only file for good.
func TestGatewayRedisSettingsComeBackWhenARolloutFails(t *testing.T) {
	r := record(t, map[string]string{"oc": oc})
	r.file("configmap.json", redisConf)
	r.file("dump.rdb", "REDIS0011")
	r.file("stuck-system-redis", "")
	w := open(t, "threescale-redis-restore")
	w.ends(w.run(map[string]any{"deployment": "system-redis", "dump": filepath.Join(r.dir, "dump.rdb")}), engine.RunFailed)
	patches := about(r.called(), "oc patch configmap")
	if len(patches) != 2 || !strings.Contains(patches[1], "appendonly yes") {
		t.Errorf("patches: %q", patches)
	}
	r.file("bad.rdb", "not a dump")
	w.ends(w.run(map[string]any{"deployment": "system-redis", "dump": filepath.Join(r.dir, "bad.rdb")}), engine.RunFailed)
	r.wants() // refused before anything is touched
}

// provesGateway: the call is of one of the verify steps, whose probes are asked side by side. A Redis is in its fourth pod then.
func provesGateway(call string) bool {
	return strings.Contains(call, "-redis-4 redis-cli INFO ") || strings.Contains(call, "--watch=false") || strings.HasPrefix(call, "oc get APIManager")
}

func podIn(call string) string {
	for _, word := range strings.Fields(call) {
		if name, _, _ := strings.Cut(word, ":"); strings.HasPrefix(name, "backend-redis-") {
			return name
		}
	}
	return ""
}

func about(calls []string, prefix string) []string {
	return slices.DeleteFunc(slices.Clone(calls), func(c string) bool { return !strings.HasPrefix(c, prefix) })
}

// gatewayBackup is a folder with every file that the restore wants.
func gatewayBackup(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"system-smtp", "system-app", "system-environment"} {
		put(name+".json", "{}")
	}
	for _, name := range []string{"backend-redis", "system-redis"} {
		put(name+"-dump.rdb", "REDIS0011")
	}
	var packed strings.Builder
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte("SELECT 1;\n")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	put("system-mysql-backup.gz", packed.String())
	put("zync-database-backup.gz", packed.String())
	return dir
}

func TestGatewayIsRestoredWithTheReplicasThatItHad(t *testing.T) {
	r := record(t, map[string]string{"oc": oc})
	r.file("configmap.json", redisConf)
	r.file("manager.json", `{"spec": {"system": {"appSpec": {"replicas": 3}}, "zync": {"queSpec": {"replicas": 2}}}}`)
	w := open(t, "threescale-restore")
	w.yes = true
	dir := gatewayBackup(t)
	given := map[string]any{"deployment": "gateway", "backup": dir, "secrets": []any{"system-smtp", "system-app"}, "configmaps": []any{"system-environment"}}
	run := w.run(given)
	w.ends(run, engine.RunOK)
	calls := r.called()
	golden(t, "oc-threescale-restore.txt", slices.Clone(calls), provesGateway, dir, "BACKUP")
	patches := about(calls, "oc patch APIManager/gateway")
	if len(patches) != 2 || !strings.HasSuffix(patches[1], `{"spec":{"system":{"appSpec":{"replicas":3}},"zync":{"queSpec":{"replicas":2}}}}`) {
		t.Errorf("patches: %q", patches)
	}
	if one := about(calls, "oc patch dc/"); len(one) != 1 || !strings.HasPrefix(one[0], "oc patch dc/zync ") {
		t.Errorf("parts without a number: %q", one)
	}
	if applied := about(calls, "oc apply"); len(applied) != 3 {
		t.Errorf("applied: %q", applied)
	}
	first := slices.IndexFunc(calls, func(c string) bool { return strings.HasPrefix(c, "oc patch APIManager") })
	load := slices.IndexFunc(calls, func(c string) bool { return strings.Contains(c, "mysql -hsystem-mysql") })
	zync := slices.IndexFunc(calls, func(c string) bool { return strings.Contains(c, "psql -v ON_ERROR_STOP=1") })
	up := slices.IndexFunc(calls, func(c string) bool { return strings.HasPrefix(c, "oc rollout latest dc/backend-worker") })
	routes := slices.IndexFunc(calls, func(c string) bool { return strings.Contains(c, "zync:resync:domains") })
	if first < 0 || load < first || zync < load || up < zync || routes < up {
		t.Errorf("order %d %d %d %d %d in %q", first, load, zync, up, routes, calls)
	}
	if got := engine.Text(run.Outputs()); got != "{replicas: 3}" {
		t.Errorf("outputs: %s", got)
	}

	// A dump that was cut off is refused before anything is touched.
	whole, err := os.ReadFile(filepath.Join(dir, "system-mysql-backup.gz"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "system-mysql-backup.gz"), whole[:len(whole)-4], 0o600); err != nil {
		t.Fatal(err)
	}
	w.ends(w.run(given), engine.RunFailed)
	r.wants()
}
