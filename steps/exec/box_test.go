package exec_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"strings"
	"testing"

	apicontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/docker"
	"github.com/handrail-dev/handrail/steps/internal/container"
	"github.com/handrail-dev/handrail/steps/internal/host"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

// box is a container of a test's own.
type box struct {
	name   string
	target steps.Target
	runner container.Runner
}

func newBox(t testing.TB) *box {
	t.Helper()
	b := &box{name: "hr-test-exec-" + strings.ToLower(rand.Text()[:10])}
	b.target = steps.Target{Name: "engine", Type: "docker", Settings: servers.Docker(t)}
	address, _ := engine.Reveal(b.target.Settings["host"])
	plain, err := client.NewClientWithOpts(client.WithHost(address), client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plain.Close() })
	config := &apicontainer.Config{Image: servers.Image, Cmd: []string{"sleep", "3600"}, StopSignal: "KILL"}
	if _, err := plain.ContainerCreate(t.Context(), config, nil, nil, nil, b.name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plain.ContainerRemove(context.Background(), b.name, apicontainer.RemoveOptions{Force: true}); err != nil {
			t.Error(err)
		}
	})
	if err := plain.ContainerStart(t.Context(), b.name, apicontainer.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	conn, err := docker.New().Connect(t.Context(), b.target, steps.Full)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	b.runner = container.Runner{Engine: conn.(container.Engine), Container: b.name}
	return b
}

// run runs a shell in the container without Handrail.
func (b *box) run(t testing.TB, text string) string {
	t.Helper()
	var out bytes.Buffer
	e, err := b.runner.Run(context.Background(), host.Job{Argv: []string{"sh", "-c", text}, Stdout: &out})
	if err != nil || e.Code != 0 {
		t.Fatalf("%s: %+v %v", text, e, err)
	}
	return out.String()
}
