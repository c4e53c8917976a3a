package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// TestDemo runs what `make demo` runs, with a container taking part. The demo itself fails unless every
// effect happened exactly once.
func TestDemo(t *testing.T) {
	cmd := exec.Command("./demo")
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+engine.Text(servers.Docker(t)["host"]))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, line := range []string{
		"killed. Its journal ends with the intent to book",
		"the attempt that was cut off is not done",
		"  yes  SQLite: invoices with exactly one entry in the ledger",
		"  yes  Redis: closings of the month",
		"  yes  Docker: starts of the shop's container",
		"the chain holds",
	} {
		if !strings.Contains(string(out), line) {
			t.Errorf("the demo does not say %q:\n%s", line, out)
		}
	}
}
