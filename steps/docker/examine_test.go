package docker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/docker"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

func TestTheClockOfTheEngineIsHeldAgainstThisOne(t *testing.T) {
	conn, err := docker.New().Connect(t.Context(), steps.Target{Name: "engine", Type: "docker", Settings: servers.Docker(t)}, steps.ReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for by, want := range map[time.Duration]string{0: "", time.Hour: "behind", -time.Hour: "ahead of"} {
		lacks, err := conn.(steps.Examiner).Examine(t.Context(), func() time.Time { return time.Now().Add(by) })
		switch {
		case err != nil:
			t.Fatal(err)
		case want == "" && len(lacks) > 0, want != "" && (len(lacks) != 1 || !lacks[0].Unsure || !strings.Contains(lacks[0].What, "1h0m0s "+want)):
			t.Errorf("by %v: %+v", by, lacks)
		}
	}
}
