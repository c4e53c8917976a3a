package playbooks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/internal/torture"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// rabbit is a container in which a stand-in for rabbitmqctl says what a real one has said: testdata/rabbitmq-N.json
// is of RabbitMQ 3.10.8 with N of three nodes running, without its feature flags.
type rabbit struct {
	t          *testing.T
	host, name string
}

func newRabbit(t *testing.T) rabbit {
	t.Helper()
	target, _, name := engineTarget(t)
	host, _ := engine.Reveal(target.Settings["host"])
	r := rabbit{t, host, name}
	if out, err := docker(t.Context(), host, "run", "-d", "--name", name, "--network", "none", servers.Image, "sleep", "600"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { _, _ = docker(context.Background(), host, "rm", "-f", name) })
	r.put("/bin/rabbitmqctl", "#!/bin/sh\n[ \"$*\" = '-q cluster_status --formatter json' ] || exit 64\n"+
		"if [ -e /down ]; then cat /says >&2; exit 69; fi\ncat /says\n", 0o755)
	return r
}

func (r rabbit) put(to, text string, mode os.FileMode) {
	r.t.Helper()
	file := filepath.Join(r.t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		r.t.Fatal(err)
	}
	if out, err := docker(r.t.Context(), r.host, "cp", file, r.name+":"+to); err != nil {
		r.t.Fatalf("%v: %s", err, out)
	}
}

func (r rabbit) says(text string) { r.t.Helper(); r.put("/says", text, 0o644) }

// TestRabbitMQIsReal runs the playbooks of RabbitMQ against three real nodes. Erlang takes its time to start, so that is done under
// HANDRAIL_TORTURE, by scripts/torture; else what the same nodes have said is in testdata, and the test looks that it is of them.
func TestRabbitMQIsReal(t *testing.T) {
	if torture.Times(t, 0, 1, 1) > 0 {
		t.Run("status", realRabbitStatus)
		t.Run("folders", realRabbitFolders)
		return
	}
	for n := 1; n <= 3; n++ {
		var s rabbitStatus
		if err := json.Unmarshal(slurp(t, fmt.Sprintf("testdata/rabbitmq-%d.json", n)), &s); err != nil || len(s.Running) != n {
			t.Errorf("%d nodes: %v %v", n, s.Running, err)
		}
	}
}

func TestRabbitStatusIsGraded(t *testing.T) {
	target, _, _ := engineTarget(t)
	one, two := newRabbit(t), newRabbit(t)
	said := func(file string) string { t.Helper(); return string(slurp(t, "testdata/"+file)) }
	graded := func(what string, want engine.RunState, running any) {
		t.Helper()
		w := open(t, "rabbitmq-status", target)
		run := w.run(map[string]any{"containers": []any{one.name, two.name}})
		w.ends(run, want)
		if want != engine.RunFailed && run.Outputs()["running"] != running {
			t.Errorf("%s: outputs %v", what, run.Outputs())
		}
	}
	three := said("rabbitmq-3.json")
	one.says(three)
	two.says(three)
	graded("three run", engine.RunOK, int64(3))

	one.says(said("rabbitmq-2.json"))
	two.says(said("rabbitmq-2.json"))
	graded("two run", engine.RunDegraded, int64(2))

	one.says(said("rabbitmq-1.json"))
	two.says(said("rabbitmq-0.txt"))
	two.put("/down", "", 0o644)
	graded("one runs", engine.RunFailed, nil)

	one.says(said("rabbitmq-0.txt"))
	one.put("/down", "", 0o644)
	graded("none runs", engine.RunFailed, nil)

	for _, r := range []rabbit{one, two} {
		if out, err := docker(t.Context(), r.host, "exec", r.name, "rm", "/down"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	// One that lists nodes twice has no more of them.
	doubled := strings.Replace(said("rabbitmq-2.json"), `"running_nodes": [`, `"running_nodes": ["rabbit1@localhost", `, 1)
	if doubled == said("rabbitmq-2.json") {
		t.Fatal("nothing was doubled")
	}
	one.says(doubled)
	two.says(doubled)
	graded("two, listed twice", engine.RunDegraded, int64(2))

	// Each part of a split cluster says that it runs.
	split := strings.Replace(three, `"partitions": {}`, `"partitions": {"rabbit1@localhost": ["rabbit2@localhost"]}`, 1)
	one.says(split)
	two.says(three)
	graded("split", engine.RunFailed, nil)

	// One that is cut off sees fewer than the other.
	one.says(said("rabbitmq-1.json"))
	graded("one sees itself only", engine.RunFailed, nil)

	alarmed := strings.Replace(three, `"alarms": []`, `"alarms": [{"node": "rabbit1@localhost", "resource": "disk", "type": "resource_limit"}]`, 1)
	one.says(alarmed)
	two.says(alarmed)
	graded("an alarm", engine.RunDegraded, int64(3))
}
