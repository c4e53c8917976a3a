package playbooks_test

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// mongosh stands in for the shell of MongoDB: it writes down how it is called, in one file for all hosts, keeps in files what was initiated
// and added, and as the real one fails when that is asked for a second time.
var mongosh = "#!/bin/sh\n" + writesDown("$(hostname): $(env | grep -E '^(SET|CONFIGSVR|SHARD|DATABASE|COLLECTION|DOCUMENTS)=' | sort | tr '\\n' ' ')mongosh", "/shared/calls") + `
case "$5" in
*rs.initiate*) if [ -e /set ]; then echo "already ${SET%%/*}"; else touch /set; echo "initiated ${SET%%/*}"; fi ;;
*hello*) [ -e /set ] && echo "primary $3" ;;
*addShard*) if grep -qx "$SHARD" /shards 2>/dev/null; then echo "already ${SHARD%%/*}"; else echo "$SHARD" >> /shards; echo "added ${SHARD%%/*}"; fi ;;
*bulkWrite*) [ -s /shards ] || exit 1; echo "$DOCUMENTS" > /documents; echo "seeded $DATABASE.$COLLECTION" ;;
*collStats*) if [ -e /skewed ]; then echo '[{"shard":"shard1","count":1000},{"shard":"shard2","count":0}]'
  else echo '[{"shard":"shard1","count":492},{"shard":"shard2","count":508}]'; fi ;;
*) exit 64 ;;
esac
`

func TestMongoShardingIsSetUpOnce(t *testing.T) {
	servers.Compose(t)
	folder := filepath.Join(t.TempDir(), "hr-mongo-"+strings.ToLower(rand.Text()[:10]))
	name := filepath.Base(folder)
	hosts := []string{name + "-config", name + "-one", name + "-two", name + "-router"}
	text := "services:\n"
	for i, host := range hosts {
		text += "  s" + string(rune('0'+i)) + ": {image: \"" + servers.Image + "\", container_name: " + host + ", hostname: " + host + ", volumes: [\"shared:/shared\"], command: [sleep, \"600\"], stop_signal: KILL}\n"
	}
	text += "volumes: {shared: {}}\n"
	file := filepath.Join(folder, "compose.yaml")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, file, []byte(text))
	t.Cleanup(func() { composeOf(t, context.Background(), file, "down", "-v") })
	composeOf(t, t.Context(), file, "up", "-d")
	target := steps.Target{Name: "engine", Type: "docker", Settings: servers.Docker(t)}
	host, _ := engine.Reveal(target.Settings["host"])
	for _, h := range hosts {
		rabbit{t, host, h}.put("/bin/mongosh", mongosh, 0o755)
	}
	given := map[string]any{"compose": file, "config": "config_server/" + hosts[0] + ":27017",
		"shards": []any{"shard1/" + hosts[1] + ":27018", "shard2/" + hosts[2] + ":27019"}, "router": hosts[3] + ":27020"}
	w := open(t, "mongo-sharding-init", target)
	w.plan(given)
	w.ends(w.run(given), engine.RunOK)
	calls := func() []string {
		out, err := docker(t.Context(), host, "exec", hosts[3], "sh", "-c", "cat /shared/calls && rm /shared/calls")
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return readCalls(out)
	}
	none := func(string) bool { return false }
	differs := []string{hosts[0], "CONFIG", hosts[1], "ONE", hosts[2], "TWO", hosts[3], "ROUTER"}
	golden(t, "mongosh-mongo-sharding-init.txt", calls(), none, differs...)
	// A second run: all is there, it is asked the same, and nothing fails.
	again := w.run(given)
	w.ends(again, engine.RunOK)
	golden(t, "mongosh-mongo-sharding-init.txt", calls(), none, differs...)
	// Documents of one shard only are no sharding.
	rabbit{t, host, hosts[3]}.put("/skewed", "", 0o644)
	w.ends(w.run(given), engine.RunFailed)
}
