package playbooks_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// engineTarget is the test engine, with a name on it that nobody else has.
func engineTarget(t *testing.T) (target steps.Target, c *client.Client, name string) {
	t.Helper()
	settings := servers.Docker(t)
	host, _ := engine.Reveal(settings["host"])
	c, err := client.NewClientWithOpts(client.WithHost(host), client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return steps.Target{Name: "engine", Type: "docker", Settings: settings}, c, "hr-playbook-" + strings.ToLower(rand.Text()[:10])
}

func TestNetworkCreateMakesItOnceAndProvesIt(t *testing.T) {
	target, c, name := engineTarget(t)
	b := make([]byte, 2)
	_, _ = rand.Read(b) // it never fails
	subnet := fmt.Sprintf("10.%d.%d.16/28", 96+b[0]%128, b[1])
	t.Cleanup(func() { _ = c.NetworkRemove(context.Background(), name) })
	w := open(t, "network-create", target)
	given := map[string]any{"name": name, "subnet": subnet}
	if s := line(t, w.plan(given), "network"); s.Standing != engine.StandingWould || !strings.Contains(s.Would, subnet) {
		t.Errorf("the plan says %+v", s)
	}
	if all, err := c.NetworkList(t.Context(), network.ListOptions{}); err != nil {
		t.Fatal(err)
	} else if strings.Contains(fmt.Sprint(all), name) {
		t.Fatal("the plan made the network")
	}
	r := w.run(given)
	w.ends(r, engine.RunOK)
	n, err := c.NetworkInspect(t.Context(), name, network.InspectOptions{})
	if err != nil || len(n.IPAM.Config) != 1 || n.IPAM.Config[0].Subnet != subnet || n.Driver != "bridge" {
		t.Fatalf("network %+v, %v", n, err)
	}
	if r.Outputs()["id"] != n.ID || r.Outputs()["made"] != true {
		t.Errorf("outputs %v", r.Outputs())
	}
	again := w.run(given)
	w.ends(again, engine.RunOK)
	if again.Outputs()["id"] != n.ID || again.Outputs()["made"] != false {
		t.Errorf("outputs of the second run %v", again.Outputs())
	}
	w.ends(w.run(map[string]any{"name": name, "subnet": "10.255.255.240/28"}), engine.RunFailed)
}
