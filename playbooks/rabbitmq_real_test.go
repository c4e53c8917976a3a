package playbooks_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// rabbits are three nodes of a real RabbitMQ, each in a container. They share one network that nothing else reaches, and find each
// other through an Erlang port mapper in a container of its own, which outlives each of them.
type rabbits struct {
	t      *testing.T
	host   string
	target steps.Target
	nodes  []string // the containers
}

// rabbitPatience is how long anything may take on a machine that is busy.
const rabbitPatience = 5 * time.Minute

func newRabbits(t *testing.T) *rabbits {
	t.Helper()
	target, _, name := engineTarget(t)
	host, _ := engine.Reveal(target.Settings["host"])
	r := &rabbits{t: t, host: host, target: target}
	r.run(name+"-epmd", "--network", "none", servers.RabbitMQImage, "epmd")
	for i := range 3 {
		node := fmt.Sprintf("%s-%d", name, i+1)
		r.run(node, "--network", "container:"+name+"-epmd", "-e", fmt.Sprintf("RABBITMQ_NODENAME=rabbit%d@localhost", i+1), "-e", fmt.Sprintf("RABBITMQ_NODE_PORT=%d", 5671+i),
			"-e", "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel net_ticktime 4", servers.RabbitMQImage)
		r.nodes = append(r.nodes, node)
	}
	for _, node := range r.nodes {
		rabbitStarts(t, host, node)
	}
	for _, node := range r.nodes[1:] {
		r.ctl(node, "stop_app")
		r.ctl(node, "join_cluster", "rabbit1@localhost")
		r.ctl(node, "start_app")
	}
	r.until("three run", func(s rabbitStatus) bool { return len(s.Running) == 3 })
	return r
}

// rabbitStarts waits until a node has started. One that has not begun to is an error to the program that waits.
func rabbitStarts(t *testing.T, host, node string) {
	t.Helper()
	for end := time.Now().Add(rabbitPatience); ; tick(t) {
		out, err := docker(t.Context(), host, "exec", node, "rabbitmqctl", "-q", "await_startup", "--timeout", "300")
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not in %s: %s starts; %v: %s", rabbitPatience, node, err, out)
		}
	}
}

func (r *rabbits) docker(args ...string) string {
	r.t.Helper()
	out, err := docker(r.t.Context(), r.host, args...)
	if err != nil {
		r.t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

func (r *rabbits) run(name string, args ...string) {
	r.t.Helper()
	r.docker(append([]string{"run", "-d", "--name", name}, args...)...)
	r.t.Cleanup(func() { _, _ = docker(context.Background(), r.host, "rm", "-f", name) })
}

func (r *rabbits) ctl(node string, args ...string) string {
	r.t.Helper()
	return r.docker(append([]string{"exec", node, "rabbitmqctl", "-q"}, args...)...)
}

type rabbitStatus struct {
	Running    []string            `json:"running_nodes"`
	Partitions map[string][]string `json:"partitions"`
	Alarms     []any               `json:"alarms"`
}

// until waits until the first node says so.
func (r *rabbits) until(what string, yes func(rabbitStatus) bool) {
	r.t.Helper()
	r.untilOneOf(r.nodes[:1], what, yes)
}

// untilOneOf waits until one of the nodes says so.
func (r *rabbits) untilOneOf(nodes []string, what string, yes func(rabbitStatus) bool) {
	r.t.Helper()
	for end := time.Now().Add(rabbitPatience); ; tick(r.t) {
		var said string
		for _, node := range nodes {
			var s rabbitStatus
			out, err := docker(r.t.Context(), r.host, "exec", node, "rabbitmqctl", "-q", "cluster_status", "--formatter", "json")
			if err == nil {
				err = json.Unmarshal([]byte(out), &s)
			}
			if err == nil && yes(s) {
				return
			}
			said += fmt.Sprintf("%s: %v %+v; ", node, err, s)
		}
		if time.Now().After(end) {
			r.t.Fatalf("not in %s: %s; %s", rabbitPatience, what, said)
		}
	}
}

// split has the third node stand still until the others have given it up, and go on then. When they meet again some of them say that there
// is a partition, often the third alone: whoever asks one of the others only does not learn it. still is called while it stands.
func (r *rabbits) split(still func()) {
	r.t.Helper()
	one, three := r.nodes[0], r.nodes[2]
	r.docker("pause", three)
	r.until("the third is given up", func(s rabbitStatus) bool { return len(s.Running) == 2 })
	still()
	r.docker("unpause", three)
	r.untilOneOf([]string{three, one}, "the cluster is split", func(s rabbitStatus) bool {
		if len(s.Partitions) > 0 {
			return true
		}
		r.ctl(one, "eval", "net_adm:ping(rabbit3@localhost).") // left to themselves they may not meet for long
		return false
	})
}

// graded runs rabbitmq-status, asking some of the nodes.
func (r *rabbits) graded(what string, want engine.RunState, says string, nodes ...string) {
	r.t.Helper()
	list := make([]any, len(nodes))
	for i, n := range nodes {
		list[i] = n
	}
	w := open(r.t, "rabbitmq-status", r.target)
	run := w.run(map[string]any{"containers": list})
	w.ends(run, want)
	if want != engine.RunOK {
		says1 := w.saysOf(run, "graded")
		if !strings.Contains(says1, says) {
			r.t.Errorf("%s: it says %q, want %q in it", what, says1, says)
		}
	}
	r.t.Logf("%s: %s", what, w.saysOf(run, "graded"))
}

// realRabbitStatus: what a real cluster says is graded as what the stand-in says. The cluster is really split: one node stands still until
// the others have given it up, and then goes on.
func realRabbitStatus(t *testing.T) {
	r := newRabbits(t)
	one, two, three := r.nodes[0], r.nodes[1], r.nodes[2]
	r.graded("three run", engine.RunOK, "", one, two, three)

	r.ctl(one, "set_vm_memory_high_watermark", "0.0000001")
	r.until("there is an alarm", func(s rabbitStatus) bool { return len(s.Alarms) > 0 })
	r.graded("an alarm", engine.RunDegraded, "alarms", one, two, three)
	r.ctl(one, "set_vm_memory_high_watermark", "0.6")
	r.until("there is none", func(s rabbitStatus) bool { return len(s.Alarms) == 0 })

	r.split(func() {
		r.graded("one stands still", engine.RunDegraded, "sees rabbit1@localhost rabbit2@localhost", one, two)
	})
	r.graded("split", engine.RunFailed, "the cluster is split", one, two, three)

	r.docker("restart", "-t", "0", three)
	r.until("it is whole again", func(s rabbitStatus) bool { return len(s.Running) == 3 && len(s.Partitions) == 0 })
	r.graded("whole again", engine.RunOK, "", one, two, three)

	r.docker("kill", three)
	r.until("two run", func(s rabbitStatus) bool { return len(s.Running) == 2 })
	r.graded("two run", engine.RunDegraded, "sees rabbit1@localhost rabbit2@localhost", one, two, three)
	r.docker("kill", two)
	r.until("one runs", func(s rabbitStatus) bool { return len(s.Running) == 1 })
	r.graded("one runs", engine.RunFailed, "sees rabbit1@localhost", one, two, three)
	r.docker("kill", one)
	r.graded("none runs", engine.RunFailed, "0 of 3 containers answer", one, two, three)
}

// realRabbitFolders: the definitions of a real RabbitMQ are lost, and are there again after the restore.
func realRabbitFolders(t *testing.T) {
	servers.Compose(t)
	target, _, _ := engineTarget(t)
	host, _ := engine.Reveal(target.Settings["host"])
	folder := filepath.Join(t.TempDir(), "hr-rabbit-"+strings.ToLower(rand.Text()[:10]))
	config := filepath.Join(folder, "config")
	if err := os.MkdirAll(config, 0o755); err != nil {
		t.Fatal(err)
	}
	file, name := filepath.Join(folder, "docker-compose.yaml"), filepath.Base(folder)
	put(t, file, []byte(`services:
  rabbitmq:
    image: `+servers.RabbitMQImage+`
    container_name: `+name+`
    network_mode: none
    stop_grace_period: 1s
    environment: {RABBITMQ_NODENAME: "rabbit@localhost"}
    volumes: ["./config:/etc/rabbitmq"]
    healthcheck: {test: [CMD, rabbitmqctl, -q, await_startup, --timeout, "60"], interval: 2s, timeout: 70s, retries: 60}
`))
	definitions := filepath.Join(config, "definitions.json")
	put(t, filepath.Join(config, "rabbitmq.conf"), []byte("load_definitions = /etc/rabbitmq/definitions.json\n"))
	put(t, definitions, []byte(`{"vhosts": [{"name": "/"}, {"name": "orders"}]}`))
	t.Cleanup(func() { composeOf(t, context.Background(), file, "down", "-v") })
	composeOf(t, t.Context(), file, "up", "-d")
	vhosts := func() string {
		t.Helper()
		rabbitStarts(t, host, name)
		out, err := docker(t.Context(), host, "exec", name, "rabbitmqctl", "-q", "list_vhosts", "--no-table-headers")
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.Join(slices.Sorted(slices.Values(strings.Fields(out))), " ")
	}
	if got := vhosts(); got != "/ orders" {
		t.Fatalf("it has %s", got)
	}
	archive := filepath.Join(t.TempDir(), "one.tar.gz")
	b := open(t, "rabbitmq-backup", target)
	b.ends(b.run(map[string]any{"from": []any{config}, "to": archive, "compose": file}), engine.RunOK)
	if got := vhosts(); got != "/ orders" {
		t.Errorf("after the backup it has %s", got)
	}

	composeOf(t, t.Context(), file, "down", "-v")
	put(t, definitions, []byte(`{"vhosts": [{"name": "/"}]}`))
	composeOf(t, t.Context(), file, "up", "-d")
	if got := vhosts(); got != "/" {
		t.Fatalf("nothing is lost: it has %s", got)
	}
	r := open(t, "rabbitmq-restore", target)
	r.yes = true
	r.ends(r.run(map[string]any{"archive": archive, "into": folder, "safety": filepath.Join(t.TempDir(), "before.tar.gz"), "compose": file}), engine.RunOK)
	if got := vhosts(); got != "/ orders" {
		t.Errorf("after the restore it has %s", got)
	}
}
